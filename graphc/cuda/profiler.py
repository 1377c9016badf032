"""When NVIDIA's profilers look: `nsys profile --capture-range=cudaProfilerApi` records from `start` to `stop`.

with profile():
    step()
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from graphc.eager.guard import guarded
from graphc.runtime.cuda.device import activate, current_device
from graphc.runtime.cuda.select import driver

__all__ = ["profile", "start", "stop"]


@guarded
def start() -> None:
    """Let a profiler record; nothing happens where none is attached. Raises DeviceUnavailable without a GPU."""
    activate(current_device())
    driver().start_profiler()


@guarded
def stop() -> None:
    """Let it rest."""
    activate(current_device())
    driver().stop_profiler()


@contextmanager
def profile() -> Iterator[None]:
    """A context that a profiler records."""
    start()
    try:
        yield
    finally:
        stop()
