"""Switches of precision as attributes: of modules, and of what stands for a kind of products in one.

In: the name of a group of `graphc/ir/precision.py`. Out: objects and modules whose `fp32_precision` is its setting.
"""

from __future__ import annotations

import types

from graphc.ir.errors import ArgumentError
from graphc.ir.precision import precision_of, set_precision


class Switch:
    """The switches of a kind of products: `fp32_precision`, which is "none", "ieee", "tf32" or "bf16"."""

    _group: str

    def __init__(self, group: str) -> None:
        object.__setattr__(self, "_group", group)

    @property
    def fp32_precision(self) -> str:
        """How exact products of float32 numbers are."""
        return precision_of(self._group)

    @fp32_precision.setter
    def fp32_precision(self, value: str) -> None:
        set_precision(self._group, value)


class PrecisionModule(types.ModuleType):
    """A module with the attribute `fp32_precision`."""

    @property
    def _group(self) -> str:
        return _GROUPS[self.__name__]

    @property
    def fp32_precision(self) -> str:
        """How exact products of float32 numbers are."""
        return precision_of(self._group)

    @fp32_precision.setter
    def fp32_precision(self, value: str) -> None:
        set_precision(self._group, value)


class CudnnModule(PrecisionModule):
    """Also with `allow_tf32`, for convolutions and recurrent networks. They use it only where a program sets it."""

    @property
    def allow_tf32(self) -> bool:
        """Whether convolutions may round factors to tf32."""
        return precision_of("cuda.conv") == "tf32"

    @allow_tf32.setter
    def allow_tf32(self, value: bool) -> None:
        for group in ("cuda.conv", "cuda.rnn"):
            set_precision(group, "tf32" if checked(value, "set_allow_tf32_cublas") else "ieee")


_GROUPS = {
    "graphc.backends": "generic",
    "graphc.backends.cudnn": "cuda",
    "graphc.backends.mkldnn": "mkldnn",
}


def checked(value: object, function: str) -> bool:
    """A switch's new value; raises ArgumentError (a RuntimeError) for what is neither True nor False."""
    if not isinstance(value, bool):
        raise ArgumentError(f"{function} expects a bool, but got {type(value).__name__}", hint="set True or False")
    return value
