"""Sizes of symbolic tensors, as a traced function sees them: numbers that are not known yet.

In: a size expression of the graph. Out: an object for arithmetic (with floats it gives tensors), that answers a
comparison only if the answer is the same for every number that the size may stand for. Code that branches on a size
would otherwise be compiled for one answer and run with sizes of the other.

>>> from graphc.ir.dim import symbol
>>> n = of_user(symbol("n", 2))
>>> n * 2 + 1, n > 1, n == n
(2*n + 1, True, True)
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import NoReturn

import numpy as np

from graphc.ir.boundary import hide_internal_frames
from graphc.ir.dim import Dim, Size, bounds
from graphc.ir.errors import TraceError


class SymbolicSize:
    """A size that depends on the arguments."""

    __slots__ = ("dim",)

    def __init__(self, dim: Dim) -> None:
        self.dim = dim

    def __repr__(self) -> str:
        return str(self.dim)

    def __format__(self, specification: str) -> str:
        return str(self.dim)

    def __hash__(self) -> int:
        return hash(self.dim)

    @hide_internal_frames
    def __add__(self, other: object) -> object:
        return _combine(operator.add, self, other)

    @hide_internal_frames
    def __radd__(self, other: object) -> object:
        return _combine(operator.add, other, self)

    @hide_internal_frames
    def __sub__(self, other: object) -> object:
        return _combine(operator.sub, self, other)

    @hide_internal_frames
    def __rsub__(self, other: object) -> object:
        return _combine(operator.sub, other, self)

    @hide_internal_frames
    def __mul__(self, other: object) -> object:
        return _combine(operator.mul, self, other)

    @hide_internal_frames
    def __rmul__(self, other: object) -> object:
        return _combine(operator.mul, other, self)

    @hide_internal_frames
    def __floordiv__(self, other: object) -> object:
        return _combine(operator.floordiv, self, other)

    @hide_internal_frames
    def __rfloordiv__(self, other: object) -> object:
        return _combine(operator.floordiv, other, self)

    @hide_internal_frames
    def __mod__(self, other: object) -> object:
        return _combine(operator.mod, self, other)

    @hide_internal_frames
    def __rmod__(self, other: object) -> object:
        return _combine(operator.mod, other, self)

    @hide_internal_frames
    def __truediv__(self, other: object) -> object:
        return operator.truediv(_tensor(self), _tensor(other))

    @hide_internal_frames
    def __rtruediv__(self, other: object) -> object:
        return operator.truediv(_tensor(other), _tensor(self))

    @hide_internal_frames
    def __pow__(self, other: object) -> object:
        return operator.pow(_tensor(self), _tensor(other))

    @hide_internal_frames
    def __rpow__(self, other: object) -> object:
        return operator.pow(_tensor(other), _tensor(self))

    def __neg__(self) -> object:
        return of_user(-self.dim)

    @hide_internal_frames
    def __eq__(self, other: object) -> bool:
        size = _size_of(other)
        return NotImplemented if size is None else _decide(self.dim, "==", size)

    @hide_internal_frames
    def __ne__(self, other: object) -> bool:
        size = _size_of(other)
        return NotImplemented if size is None else not _decide(self.dim, "==", size)

    @hide_internal_frames
    def __lt__(self, other: object) -> bool:
        size = _size_of(other)
        return NotImplemented if size is None else _decide(self.dim, "<", size)

    @hide_internal_frames
    def __le__(self, other: object) -> bool:
        size = _size_of(other)
        return NotImplemented if size is None else not _decide(size, "<", self.dim)

    @hide_internal_frames
    def __gt__(self, other: object) -> bool:
        size = _size_of(other)
        return NotImplemented if size is None else _decide(size, "<", self.dim)

    @hide_internal_frames
    def __ge__(self, other: object) -> bool:
        size = _size_of(other)
        return NotImplemented if size is None else not _decide(self.dim, "<", size)

    @hide_internal_frames
    def __bool__(self) -> bool:
        return not _decide(self.dim, "==", 0)

    @hide_internal_frames
    def __index__(self) -> int:
        self._refuse("a range, an index or int()")

    @hide_internal_frames
    def __float__(self) -> float:
        self._refuse("float()")

    def _refuse(self, what: str) -> NoReturn:
        raise TraceError(
            f"{what} asks for the number behind the size {self.dim}, which is not known while a function is traced",
            hint="compute with whole tensors, or give this size a number: don't mark it as dynamic",
        )


def of_user(size: Size) -> int | SymbolicSize:
    """A size as the user sees it."""
    return SymbolicSize(size) if isinstance(size, Dim) else size


def _size_of(value: object) -> Size | None:
    """The size that an operand means; None if it means none."""
    if isinstance(value, SymbolicSize):
        return value.dim
    if isinstance(value, Dim):
        return value
    return int(value) if isinstance(value, int | np.integer) else None


def _combine(combine: Callable[[object, object], object], left: object, right: object) -> object:
    a, b = _size_of(left), _size_of(right)
    if a is not None and b is not None:
        result = combine(a, b)
        assert isinstance(result, int | Dim), "sizes combine to sizes"
        return of_user(result)
    if isinstance(left, float | complex) or isinstance(right, float | complex):
        return combine(_tensor(left), _tensor(right))
    return NotImplemented


def _tensor(value: object) -> object:
    """An operand of an operation that sizes don't have: a size as a tensor, anything else as it is."""
    if not isinstance(value, SymbolicSize):
        return value
    # Symbolic tensors are built over this module.
    from graphc.frontend.tensor import SymbolicTensor, to_node

    return SymbolicTensor(to_node(value))


def _decide(a: Size, sign: str, b: Size) -> bool:
    """Whether `a == b` or `a < b`; raises TraceError if that depends on the numbers that symbols stand for."""
    low, high = bounds(a - b)
    if sign == "==":
        if low == high == 0:
            return True
        if low > 0 or high < 0:
            return False
    else:
        if high < 0:
            return True
        if low >= 0:
            return False
    raise TraceError(
        f"whether {a} {sign} {b} is not known while a function is traced: it holds for some sizes and not for others",
        hint="branch only on known sizes: don't mark this one as dynamic, or give it bounds, as in "
        '"f32[n,10] where n in 2..64"',
    )
