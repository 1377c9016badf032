"""Seconds of work on a GPU, by marks that the device itself notes; and the rate of copies, which others are held to.

In: a library in PyTorch's style (graphc or torch), and calls that put work into its current stream. Out: figures: the
least and the median of several rounds, in seconds per call.

The device waits behind other work until the host has put in all calls of a round, so what the host takes is no part
of the figure. Where it could not keep ahead the figure says so (`host_bound`). Calls take turns over sets of arguments,
and results are kept as long, so that no call finds its memory in the cache of the one before.
"""

from __future__ import annotations

import statistics
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.benchmarks.gpu_task import Figures

ROUNDS = 7
ROUND_SECONDS = 0.02
"""Of work in a round."""
MOST_CALLS = 60
MOST_ROTATIONS = 40
CACHES = 3
"""Times the second-level cache that the sets of arguments fill."""
HOLD_BYTES = 1 << 30
TRIES = 3
"""Rounds that are tried again with a longer wait before a figure is called host-bound."""


@dataclass(slots=True)
class Stopwatch:
    """Times calls of one library on the current device. `is_tiny`: once, to see that the calls work."""

    library: Any
    is_tiny: bool = False
    _buffer: Any = field(default=None, repr=False)
    _hold_seconds: float = 0.0
    _copies: dict[int, float] = field(default_factory=dict)

    def rotations(self, nbytes: int) -> int:
        """Sets of arguments of so many bytes that do not fit into the cache together."""
        found = self.library.cuda.get_device_properties(0)
        wanted = -(-CACHES * found.L2_cache_size // max(1, nbytes))
        room = found.total_memory // 4 // max(1, nbytes)
        return 2 if self.is_tiny else max(1, min(wanted, room, MOST_ROTATIONS))

    def device_time(self, call: Callable[[int], Any], rotations: int = 1) -> Figures:
        """Seconds that a call takes on the device; it gets its number, for choosing its arguments."""
        host, whole, kept = self._warm_up(call, rotations)
        count = 1 if self.is_tiny else max(2, min(MOST_CALLS, int(ROUND_SECONDS / max(whole, 1e-7))))
        samples: list[float] = []
        hold, misses = 1.5 * host * count + 1e-4, 0
        while len(samples) < (1 if self.is_tiny else ROUNDS):
            seconds, is_ahead = self._round(call, count, kept, hold)
            if not is_ahead and misses < TRIES:
                misses, hold = misses + 1, 2 * hold
                continue
            samples.append(seconds / count)
        return {**summary(samples), "calls": count, "host_bound": misses >= TRIES}

    def whole_time(self, call: Callable[[int], Any], seconds: float = 0.2) -> Figures:
        """Seconds that a call takes, the host's part included: the device has nothing else to do."""
        _, whole, kept = self._warm_up(call, 1)
        count = 1 if self.is_tiny else max(3, min(2000, int(seconds / ROUNDS / max(whole, 1e-7))))
        samples = []
        for _ in range(1 if self.is_tiny else ROUNDS):
            start = time.perf_counter()
            for number in range(count):
                kept.append(call(number))
            self.library.cuda.synchronize()
            samples.append((time.perf_counter() - start) / count)
        return {**summary(samples), "calls": count}

    def host_time(self, call: Callable[[int], Any]) -> Figures:
        """Seconds until a call returns, while the device is still busy or not."""
        _, _, kept = self._warm_up(call, 1)
        count = 1 if self.is_tiny else 200  # a device takes on a thousand launches without making the host wait
        samples = []
        for _ in range(1 if self.is_tiny else ROUNDS):
            self.library.cuda.synchronize()
            start = time.perf_counter()
            for number in range(count):
                kept.append(call(number))
            samples.append((time.perf_counter() - start) / count)
        self.library.cuda.synchronize()
        return {**summary(samples), "calls": count}

    def copy_rate(self, nbytes: int) -> float:
        """Bytes per second, read and written, of the driver's copies that move so many in all; measured once each."""
        size = max(1 << 10, 1 << max(0, nbytes // 2 - 1).bit_length()) if not self.is_tiny else 1 << 10
        size = min(size, 1 << 30, self.library.cuda.get_device_properties(0).total_memory // 16)
        found = self._copies.get(size)
        if found is None:
            sets = [self._empty(size) for _ in range(2 * self.rotations(2 * size))]
            half = len(sets) // 2
            figures = self.device_time(lambda number: sets[half + number % half].copy_(sets[number % half]), half)
            found = self._copies[size] = 2 * size / figures["median"]
        return found

    def _warm_up(self, call: Callable[[int], Any], rotations: int) -> tuple[float, float, deque[Any]]:
        """Seconds of the host and in all per call, and what was kept of the results."""
        kept: deque[Any] = deque(maxlen=rotations)
        for number in range(2 if self.is_tiny else max(4, rotations + 2)):
            kept.append(call(number))
        self.library.cuda.synchronize()
        count = 1 if self.is_tiny else 4
        start = time.perf_counter()
        for number in range(count):
            kept.append(call(number))
        host = (time.perf_counter() - start) / count
        self.library.cuda.synchronize()
        return host, (time.perf_counter() - start) / count, kept

    def _round(self, call: Callable[[int], Any], count: int, kept: deque[Any], hold: float) -> tuple[float, bool]:
        """Seconds of the device for all calls, and whether the host had put them in before it began."""
        begin, end = (self.library.cuda.Event(enable_timing=True) for _ in range(2))
        self._hold(hold)
        begin.record()
        for number in range(count):
            kept.append(call(number))
        end.record()
        is_ahead = not begin.query()
        end.synchronize()
        return begin.elapsed_time(end) / 1e3, is_ahead or self.is_tiny

    def _hold(self, seconds: float) -> None:
        """Keep the device busy for so long."""
        if self._buffer is None:
            total = self.library.cuda.get_device_properties(0).total_memory
            self._buffer = self._empty(1 << 10 if self.is_tiny else min(HOLD_BYTES, total // 16))
            self._buffer.zero_()
            self.library.cuda.synchronize()
            start = time.perf_counter()
            for _ in range(4):
                self._buffer.zero_()
            self.library.cuda.synchronize()
            self._hold_seconds = (time.perf_counter() - start) / 4
        for _ in range(1 if self.is_tiny else min(200, 1 + int(seconds / self._hold_seconds))):
            self._buffer.zero_()

    def _empty(self, nbytes: int) -> Any:
        return self.library.zeros(nbytes // 4, dtype=self.library.int32, device="cuda")


def summary(samples: list[float]) -> Figures:
    """Least and median seconds."""
    return {"least": min(samples), "median": statistics.median(samples), "rounds": len(samples)}
