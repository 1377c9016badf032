"""How long kernels take, each by itself: marks before and after every launch, while somebody asks for that.

In: launches, as `graphc.runtime.cuda.code` makes them. Out: their names, when they began, and how long they took.
While kernels are timed programs are not replayed as CUDA graphs, whose kernels can't be told apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from graphc.runtime.cuda.capture import is_capturing
from graphc.runtime.cuda.device import synchronize
from graphc.runtime.cuda.event import Event
from graphc.runtime.cuda.select import driver
from graphc.runtime.cuda.stream import Stream

TIMING: Final[list[KernelTimes]] = []
"""Who is told of launches."""


@dataclass(frozen=True, slots=True)
class KernelTime:
    """One launch: milliseconds from the first one on its device, and of its own."""

    name: str
    device: int
    stream: int
    start: float
    duration: float


class KernelTimes:
    """The launches between `start` and `stop`, of all threads."""

    def __init__(self) -> None:
        self._launches: list[tuple[str, Stream, Event, Event]] = []

    def start(self) -> None:
        """Begin, or go on."""
        if self not in TIMING:
            TIMING.append(self)

    def stop(self) -> None:
        """Pause."""
        if self in TIMING:
            TIMING.remove(self)

    def launch(
        self,
        name: str,
        device: int,
        function: int,
        blocks: int,
        threads: int,
        shared_bytes: int,
        stream: int,
        words: Sequence[int],
    ) -> None:
        """Launch a kernel between two marks: the driver's `launch`, with a name and a device."""
        if is_capturing(stream):  # its time is not now
            driver().launch(function, blocks, threads, shared_bytes, stream, words)
            return
        queue, before, after = Stream(device, stream), Event(True), Event(True)
        before.record(queue)
        driver().launch(function, blocks, threads, shared_bytes, stream, words)
        after.record(queue)
        self._launches.append((name, queue, before, after))

    def take(self) -> list[KernelTime]:
        """The launches so far, which are forgotten here; waits for them."""
        launches, self._launches = self._launches, []
        firsts: dict[int, Event] = {}
        found = []
        for device in {queue.device for _, queue, _, _ in launches}:
            synchronize(device)
        for name, queue, before, after in launches:
            first = firsts.setdefault(queue.device, before)
            found.append(KernelTime(name, queue.device, queue.handle, first.elapsed(before), before.elapsed(after)))
        return found
