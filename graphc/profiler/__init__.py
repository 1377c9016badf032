"""graphc.profiler: how long the regions of a program take that it names by `record_function`.

Single operations are not listed: each is a small compiled program, and a step that `graphc.compile` takes is one.

>>> with profile() as found:
...     with record_function("sum"):
...         _ = sum(range(10))
>>> [(event.key, event.count) for event in found.key_averages()]
[('sum', 1)]
"""

from graphc.profiler.events import EventList, FunctionEventAvg, record_function
from graphc.profiler.profile import (
    ProfilerAction,
    ProfilerActivity,
    profile,
    schedule,
    supported_activities,
    tensorboard_trace_handler,
)

__all__ = [
    "EventList",
    "FunctionEventAvg",
    "ProfilerAction",
    "ProfilerActivity",
    "profile",
    "record_function",
    "schedule",
    "supported_activities",
    "tensorboard_trace_handler",
]
