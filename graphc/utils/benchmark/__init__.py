"""graphc.utils.benchmark: timing of statements, as `timeit` does it, with figures that print well."""

from graphc.utils.benchmark.measurement import Measurement, TaskSpec
from graphc.utils.benchmark.timer import Timer, timer

__all__ = ["Measurement", "TaskSpec", "Timer", "timer"]
