"""cuDNN, which graphc doesn't use: its switches keep what they are set to.

`allow_tf32` and `fp32_precision` are attributes of the module, `conv` and `rnn` have an `fp32_precision` of their own.

>>> is_available(), benchmark
(False, False)
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

from graphc.backends.switches import CudnnModule, Switch
from graphc.eager.tensor import Tensor
from graphc.ir.precision import precision_kept

enabled = True
benchmark = False
benchmark_limit: int | None = None
deterministic = False
conv = Switch("cuda.conv")
rnn = Switch("cuda.rnn")
sys.modules[__name__].__class__ = CudnnModule


def is_available() -> bool:
    """Whether the library is there: False."""
    return False


def version() -> int | None:
    """The library's version: None."""
    return None


def is_acceptable(tensor: Tensor) -> bool:
    """Whether the library would take the tensor: False."""
    return False


def set_flags(
    _enabled: bool | None = None,
    _benchmark: bool | None = None,
    _benchmark_limit: int | None = None,
    _deterministic: bool | None = None,
    _allow_tf32: bool | None = None,
    _fp32_precision: str | None = None,
) -> tuple[object, ...]:
    """Set the switches that are given, and return what all were."""
    module = sys.modules[__name__]
    names = ("enabled", "benchmark", "benchmark_limit", "deterministic", "allow_tf32", "fp32_precision")
    before = tuple(getattr(module, name) for name in names)
    given = (_enabled, _benchmark, _benchmark_limit, _deterministic, _allow_tf32, _fp32_precision)
    for name, value, old in zip(names, given, before, strict=True):
        if value is not None and value != old:
            setattr(module, name, value)
    return before


@contextlib.contextmanager
def flags(
    enabled: bool = False,
    benchmark: bool = False,
    benchmark_limit: int = 10,
    deterministic: bool = False,
    allow_tf32: bool = True,
    fp32_precision: str = "none",
) -> Iterator[None]:
    """A context with these switches."""
    with precision_kept():
        before = set_flags(enabled, benchmark, benchmark_limit, deterministic, allow_tf32, fp32_precision)
        try:
            yield
        finally:
            sys.modules[__name__].__dict__.update(
                zip(("enabled", "benchmark", "benchmark_limit", "deterministic"), before)
            )
