"""Timing of a statement on a number of threads.

>>> Timer("sum(range(10))").timeit(100).number_per_run
100
"""

from __future__ import annotations

import contextlib
import time
import timeit
from collections.abc import Iterator
from typing import Any

from graphc.runtime.threads import get_num_threads, set_num_threads
from graphc.utils.benchmark.measurement import Measurement, TaskSpec

timer = time.perf_counter
_WARM_UP_SECONDS = 0.01


class Timer:
    """Times a statement of Python, after a set-up, with these globals, on `num_threads` threads."""

    def __init__(
        self,
        stmt: str = "pass",
        setup: str = "pass",
        global_setup: str = "",
        timer: Any = timer,
        globals: dict[str, Any] | None = None,
        label: str | None = None,
        sub_label: str | None = None,
        description: str | None = None,
        env: str | None = None,
        num_threads: int = 1,
        language: object = "python",
    ) -> None:
        if language not in ("python", "py", 0):
            raise ValueError(f"graphc times statements of Python, not of {language}")
        self._task = TaskSpec(stmt, setup, global_setup, label, sub_label, description, env, num_threads)
        self._timer = timeit.Timer(stmt, setup, timer, {} if globals is None else dict(globals))

    @contextlib.contextmanager
    def _threads(self) -> Iterator[None]:
        before = get_num_threads()
        set_num_threads(self._task.num_threads)
        try:
            yield
        finally:
            set_num_threads(before)

    def timeit(self, number: int = 1000000) -> Measurement:
        """The time of `number` runs, after a few others."""
        with self._threads():
            self._timer.timeit(max(number // 100, 2))
            return Measurement(number, [self._timer.timeit(number)], self._task)

    def blocked_autorange(self, callback: object = None, min_run_time: float = 0.2) -> Measurement:
        """Rounds of as many runs as keep the clock's cost small, until `min_run_time` seconds have gone by."""
        with self._threads():
            number = self._number(min_run_time)
            times: list[float] = []
            while not times or sum(times) < min_run_time:
                times.append(self._timer.timeit(number))
            return Measurement(number, times, self._task)

    def adaptive_autorange(
        self,
        threshold: float = 0.1,
        *,
        min_run_time: float = 0.01,
        max_run_time: float = 10.0,
        callback: object = None,
    ) -> Measurement:
        """Rounds until they agree: until their quartiles are apart by less than `threshold` of the median."""
        with self._threads():
            number = self._number(min_run_time)
            times: list[float] = []
            while True:
                times.append(self._timer.timeit(number))
                found = Measurement(number, times, self._task)
                settled = len(times) >= 4 and found.iqr / found.median < threshold
                if (sum(times) >= min_run_time and settled) or sum(times) >= max_run_time:
                    return found

    def _number(self, min_run_time: float) -> int:
        """A power of ten of runs that last long enough for the clock, and no longer than the whole."""
        number = 1
        while self._timer.timeit(number) < min(_WARM_UP_SECONDS, min_run_time / 10):
            number *= 10
        return number
