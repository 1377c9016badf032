"""Attribute values of nodes: immutable, hashable, comparable, printable.

A number, bool, string, dtype, size, array, graph, or a tuple of such. Python compares some of them too loosely to
decide whether two nodes are the same (`0.0 == -0.0 == 0 == False`); `exact` gives keys that don't.

>>> exact((1, -0.0)) == exact((1, 0.0))
False
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from graphc.ir.dim import Dim
from graphc.ir.dtype import DType, dtype

if TYPE_CHECKING:
    from graphc.ir.graph import Graph


class Array:
    """A constant array of one of our dtypes, compared by dtype, shape and bits. It holds its own copy."""

    __slots__ = ("_digest", "value")

    def __init__(self, value: npt.NDArray[np.generic]) -> None:
        storage = dtype(np.asarray(value).dtype).numpy  # also puts the bytes in this machine's order
        kept = np.array(value, dtype=storage, order="C", copy=True)
        kept.flags.writeable = False
        self.value = kept
        self._digest: bytes | None = None

    @property
    def dtype(self) -> DType:
        """Element type."""
        return dtype(self.value.dtype)

    @property
    def digest(self) -> bytes:
        """SHA-256 of dtype, shape and bits; computed when first asked for."""
        if self._digest is None:
            import hashlib  # late: importing graphc must be quick, and this loads OpenSSL

            head = f"{self.value.dtype.name}{self.value.shape}".encode()
            self._digest = hashlib.sha256(head + self.value.tobytes()).digest()
        return self._digest

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if not isinstance(other, Array) or self.value.shape != other.value.shape:
            return False
        return self.value.dtype == other.value.dtype and self.digest == other.digest

    def __hash__(self) -> int:
        return hash((self.value.shape, self.digest))

    def __repr__(self) -> str:
        return f"Array({self.value!r})"


Attribute: TypeAlias = "int | float | bool | str | DType | Dim | Array | Graph | tuple[Attribute, ...] | None"


def exact(value: Attribute) -> Hashable:
    """The attribute as a key that tells 0.0 from -0.0 and 1 from 1.0 and True, and finds nan equal to itself.

    Two nodes of one op with the same operands compute the same only if these keys of their attributes are equal.
    """
    match value:
        case bool() | float():
            return type(value), repr(value)
        case tuple():
            return tuple(exact(each) for each in value)
        case _:
            return value
