"""Layers that pad the last dimensions with zeros, a number, or what stands inside.

A padding is one number for all sides, or one for each: before and after, the last dimension first.

>>> ZeroPad2d(1)
ZeroPad2d((1, 1, 1, 1))
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graphc.eager.guard import NamedByClass
from graphc.nn import functional as F
from graphc.nn.module import Module
from graphc.nn.modules.utils import _ntuple

__all__ = [
    "CircularPad1d",
    "CircularPad2d",
    "CircularPad3d",
    "ConstantPad1d",
    "ConstantPad2d",
    "ConstantPad3d",
    "ReflectionPad1d",
    "ReflectionPad2d",
    "ReflectionPad3d",
    "ReplicationPad1d",
    "ReplicationPad2d",
    "ReplicationPad3d",
    "ZeroPad1d",
    "ZeroPad2d",
    "ZeroPad3d",
]


class _PadNd(NamedByClass, Module):
    """A padding of some number of dimensions by what stands inside."""

    _named = ("__init__",)
    __constants__ = ["padding"]
    _rank: int
    _mode: str

    def __init__(self, padding: int | Sequence[int]) -> None:
        super().__init__()
        self.padding = _ntuple(2 * self._rank)(padding)

    def forward(self, input: Any) -> Any:
        """`[n, channels, size...]`, or without n, to the same with greater sizes."""
        return F.pad(input, self.padding, self._mode)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class _ReflectionPadNd(_PadNd):
    _mode = "reflect"


class ReflectionPad1d(_ReflectionPadNd):
    """`[n, channels, length]` mirrored at its ends, which are not repeated."""

    _rank = 1


class ReflectionPad2d(_ReflectionPadNd):
    """`[n, channels, height, width]` mirrored at its borders, which are not repeated."""

    _rank = 2


class ReflectionPad3d(_ReflectionPadNd):
    """`[n, channels, depth, height, width]` mirrored at its borders, which are not repeated."""

    _rank = 3


class _ReplicationPadNd(_PadNd):
    _mode = "replicate"


class ReplicationPad1d(_ReplicationPadNd):
    """`[n, channels, length]` with its ends repeated."""

    _rank = 1


class ReplicationPad2d(_ReplicationPadNd):
    """`[n, channels, height, width]` with its borders repeated."""

    _rank = 2


class ReplicationPad3d(_ReplicationPadNd):
    """`[n, channels, depth, height, width]` with its borders repeated."""

    _rank = 3


class _CircularPadNd(_PadNd):
    _mode = "circular"

    def _check_input_dim(self, input: Any) -> None:
        if input.ndim not in (self._rank + 1, self._rank + 2):
            raise ValueError(f"expected {self._rank + 1}D or {self._rank + 2}D input (got {input.ndim}D input)")

    def forward(self, input: Any) -> Any:
        """`[n, channels, size...]`, or without n, to the same with greater sizes."""
        self._check_input_dim(input)
        return super().forward(input)


class CircularPad1d(_CircularPadNd):
    """`[n, channels, length]` with what stands at the other end."""

    _rank = 1


class CircularPad2d(_CircularPadNd):
    """`[n, channels, height, width]` with what stands at the other border."""

    _rank = 2


class CircularPad3d(_CircularPadNd):
    """`[n, channels, depth, height, width]` with what stands at the other border."""

    _rank = 3


class _ConstantPadNd(NamedByClass, Module):
    """A padding of some number of dimensions by a number."""

    _named = ("__init__",)
    __constants__ = ["padding", "value"]
    _rank: int

    def __init__(self, padding: int | Sequence[int], value: float) -> None:
        super().__init__()
        self.padding, self.value = _ntuple(2 * self._rank)(padding), value

    def forward(self, input: Any) -> Any:
        """`[..., size...]` to the same with greater sizes."""
        return F.pad(input, self.padding, "constant", self.value)

    def extra_repr(self) -> str:
        return f"padding={self.padding}, value={self.value}"


class ConstantPad1d(_ConstantPadNd):
    """A number at both ends of the last dimension."""

    _rank = 1


class ConstantPad2d(_ConstantPadNd):
    """A number around the last two dimensions."""

    _rank = 2


class ConstantPad3d(_ConstantPadNd):
    """A number around the last three dimensions."""

    _rank = 3


class ZeroPad1d(ConstantPad1d):
    """Zeros at both ends of the last dimension."""

    def __init__(self, padding: int | Sequence[int]) -> None:
        super().__init__(padding, 0.0)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class ZeroPad2d(ConstantPad2d):
    """Zeros around the last two dimensions."""

    def __init__(self, padding: int | Sequence[int]) -> None:
        super().__init__(padding, 0.0)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class ZeroPad3d(ConstantPad3d):
    """Zeros around the last three dimensions."""

    def __init__(self, padding: int | Sequence[int]) -> None:
        super().__init__(padding, 0.0)

    def extra_repr(self) -> str:
        return f"{self.padding}"
