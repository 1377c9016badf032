"""Attribute values of nodes: immutable, hashable, comparable, printable.

A number, bool, string, dtype, size, array, graph, or a tuple of such.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from graphc.ir.dim import Dim
from graphc.ir.dtype import DType

if TYPE_CHECKING:
    from graphc.ir.graph import Graph


class Array:
    """A constant array, compared by dtype, shape and bits."""

    __slots__ = ("_digest", "value")

    def __init__(self, value: npt.NDArray[np.generic]) -> None:
        kept = np.array(value, order="C", copy=True)
        kept.flags.writeable = False
        self.value = kept
        head = f"{kept.dtype.str}{kept.dtype.name}{kept.shape}".encode()
        self._digest = hashlib.sha256(head + kept.tobytes()).digest()

    @property
    def digest(self) -> bytes:
        """SHA-256 of dtype, shape and bits."""
        return self._digest

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Array) and self._digest == other._digest

    def __hash__(self) -> int:
        return hash(self._digest)

    def __repr__(self) -> str:
        return f"Array({self.value!r})"


Attribute: TypeAlias = "int | float | bool | str | DType | Dim | Array | Graph | tuple[Attribute, ...] | None"
