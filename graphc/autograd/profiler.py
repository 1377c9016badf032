"""graphc.autograd.profiler: the older place of the profiler."""

from graphc.profiler import profile, record_function

__all__ = ["profile", "record_function"]
