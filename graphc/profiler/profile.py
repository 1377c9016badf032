"""A profiler of regions, step by step.

In: a schedule of steps, what to do with the result. Out: sums by name, or a file for Chrome's trace viewer.
"""

from __future__ import annotations

import json
import os
import socket
import time
import warnings
from collections.abc import Callable, Iterable
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graphc.profiler.events import LISTENERS, EventList, FunctionEventAvg, Region, averages

if TYPE_CHECKING:
    from graphc.runtime.cuda.timing import KernelTime, KernelTimes


class ProfilerActivity(Enum):
    """What may be profiled: regions on the CPU, kernels on GPUs."""

    CPU = 0
    XPU = 1
    CUDA = 2
    MTIA = 3


class ProfilerAction(Enum):
    """What a profiler does in a step."""

    NONE = 0
    WARMUP = 1
    RECORD = 2
    RECORD_AND_SAVE = 3


def supported_activities() -> set[ProfilerActivity]:
    """What can be profiled."""
    # Late: importing graphc must be quick, and most programs have no GPU.
    from graphc.runtime.cuda.select import what_is_missing

    gpus = {ProfilerActivity.CUDA} if what_is_missing() is None else set()
    return {ProfilerActivity.CPU} | gpus


def schedule(
    *, wait: int, warmup: int, active: int, repeat: int = 0, skip_first: int = 0
) -> Callable[[int], ProfilerAction]:
    """Steps in cycles: `wait` without profiling, `warmup` whose result is dropped, `active` with it."""

    def action(step: int) -> ProfilerAction:
        at = step - skip_first
        cycle = wait + warmup + active
        if at < 0 or (repeat > 0 and at // cycle >= repeat):
            return ProfilerAction.NONE
        at %= cycle
        if at < wait:
            return ProfilerAction.NONE
        if at < wait + warmup:
            return ProfilerAction.WARMUP
        return ProfilerAction.RECORD if at < cycle - 1 else ProfilerAction.RECORD_AND_SAVE

    return action


def tensorboard_trace_handler(
    dir_name: str, worker_name: str | None = None, use_gzip: bool = False
) -> Callable[[profile], None]:
    """What leaves a trace in a folder, under a name of its own."""

    def save(found: profile) -> None:
        Path(dir_name).mkdir(parents=True, exist_ok=True)
        worker = worker_name or f"{socket.gethostname()}_{os.getpid()}"
        found.export_chrome_trace(str(Path(dir_name) / f"{worker}.{time.time_ns()}.pt.trace.json"))

    return save


class profile:
    """Records the regions of `record_function` while it is open, in the steps that a schedule says.

    With `ProfilerActivity.CUDA`, and by default where there is a GPU, also each kernel that GPUs run and its time.
    """

    def __init__(
        self,
        *,
        activities: Iterable[ProfilerActivity] | None = None,
        schedule: Callable[[int], ProfilerAction] | None = None,
        on_trace_ready: Callable[[profile], object] | None = None,
        **options: Any,
    ) -> None:
        self._schedule = schedule
        self._ready = on_trace_ready
        self._regions: list[Region] = []
        self._kernels: list[KernelTime] = []
        self._times: KernelTimes | None = None
        supported = supported_activities()
        asked = supported if activities is None else set(activities)
        if ProfilerActivity.CUDA in asked - supported:
            warnings.warn("CUDA is not available, disabling CUDA profiling", stacklevel=2)
        if ProfilerActivity.CUDA in asked & supported:
            from graphc.runtime.cuda.timing import KernelTimes  # late, as in supported_activities

            self._times = KernelTimes()
        self.step_num = 0

    @property
    def _action(self) -> ProfilerAction:
        return ProfilerAction.RECORD if self._schedule is None else self._schedule(self.step_num)

    def _listen(self, region: Region) -> None:
        if self._is_recording:
            self._regions.append(region)

    @property
    def _is_recording(self) -> bool:
        return self._action in (ProfilerAction.RECORD, ProfilerAction.RECORD_AND_SAVE)

    def _time_kernels(self, is_open: bool = True) -> None:
        """Time kernels where this step is recorded, and keep what was timed."""
        if self._times is not None:
            self._kernels += self._times.take()
            if is_open and self._is_recording:
                self._times.start()
            else:
                self._times.stop()

    def start(self) -> None:
        """Begin."""
        self._regions, self._kernels = [], []
        self._time_kernels()
        LISTENERS.append(self._listen)

    def stop(self) -> None:
        """End, and hand the result to `on_trace_ready` where a schedule has not done so."""
        LISTENERS.remove(self._listen)
        self._time_kernels(False)
        if self._ready is not None and (self._schedule is None or self._regions):
            self._ready(self)

    def step(self) -> None:
        """The next step begins."""
        self._time_kernels()
        is_complete = self._action is ProfilerAction.RECORD_AND_SAVE
        if is_complete and self._ready is not None:
            self._ready(self)
        self.step_num += 1
        if is_complete and self._ready is not None:
            self._regions, self._kernels = [], []
        self._time_kernels()

    def __enter__(self) -> profile:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def key_averages(self, group_by_input_shape: bool = False, group_by_stack_n: int = 0) -> EventList:
        """The sums by name."""
        found = averages(self._regions)
        kernels: dict[str, FunctionEventAvg] = {}
        for each in self._kernels:
            event = kernels.setdefault(each.name, FunctionEventAvg(each.name))
            event.count += 1
            event.device_time_total += 1e3 * each.duration
        return EventList([*found, *kernels.values()])

    def export_chrome_trace(self, path: str) -> None:
        """Write the regions for Chrome's trace viewer."""
        events: list[dict[str, object]] = [
            {
                "name": region.name,
                "ph": "X",
                "ts": region.start * 1e6,
                "dur": (region.end - region.start) * 1e6,
                "pid": os.getpid(),
                "tid": region.thread,
            }
            for region in self._regions
        ]
        events += [
            {
                "name": kernel.name,
                "ph": "X",
                "cat": "kernel",
                "ts": kernel.start * 1e3,
                "dur": kernel.duration * 1e3,
                "pid": f"GPU {kernel.device}",
                "tid": kernel.stream,
            }
            for kernel in self._kernels
        ]
        Path(path).write_text(json.dumps({"traceEvents": events}), encoding="utf-8")
