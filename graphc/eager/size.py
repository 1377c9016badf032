"""The shape of an eager tensor: a tuple of integers that says so when printed.

In: an iterable of integers (Python's, numpy's, anything with `__index__`). Out: a `Size`, which stays one when sliced,
joined or repeated.

>>> Size([4, 3]) + (2,), Size([4, 3]).numel(), Size([4, 3])[1:]
(torch.Size([4, 3, 2]), 12, torch.Size([3]))
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable
from typing import SupportsIndex, overload

from graphc.ir.errors import SignatureError


class Size(tuple[int, ...]):
    """The sizes of a tensor's dimensions; equal to, and hashed as, the tuple of the same numbers."""

    __slots__ = ()

    def __new__(cls, sizes: Iterable[SupportsIndex] = (), /) -> Size:
        """Check each item; `trusted` skips that. Raises SignatureError (a TypeError) for an item that is no integer."""
        items = tuple(sizes)
        for item in items:
            if type(item) is not int:
                items = tuple(_integer(place, each) for place, each in enumerate(items))
                break
        return tuple.__new__(cls, items)

    @classmethod
    def trusted(cls, sizes: tuple[int, ...]) -> Size:
        """A tuple that holds nothing but Python integers, taken as it is."""
        return tuple.__new__(cls, sizes)

    def numel(self) -> int:
        """How many elements a tensor of this size has."""
        return math.prod(self)

    def __repr__(self) -> str:
        return f"torch.Size([{', '.join(map(int.__repr__, self))}])"

    def __reduce__(self) -> tuple[Callable[[tuple[int, ...]], Size], tuple[tuple[int, ...]]]:
        return Size, (tuple(self),)

    @overload
    def __getitem__(self, index: SupportsIndex, /) -> int: ...
    @overload
    def __getitem__(self, index: slice, /) -> Size: ...
    def __getitem__(self, index: SupportsIndex | slice, /) -> int | Size:
        found = tuple.__getitem__(self, index)
        return found if isinstance(found, int) else Size.trusted(found)

    def __add__(self, other: object, /) -> Size:
        if not isinstance(other, tuple):
            raise SignatureError(f"can only concatenate tuple (not {type(other).__name__}) to torch.Size")
        return Size.trusted(tuple.__add__(self, Size(other)))

    def __radd__(self, other: object, /) -> Size:
        if not isinstance(other, tuple):
            return NotImplemented
        return Size.trusted(tuple.__add__(Size(other), self))

    def __mul__(self, count: SupportsIndex, /) -> Size:
        if isinstance(count, float):
            raise SignatureError("can't multiply sequence by non-int of type 'float'", hint="repeat a whole number")
        return Size.trusted(tuple.__mul__(self, count))

    __rmul__ = __mul__


def _integer(place: int, item: object) -> int:
    """The integer that an item stands for; an integer tensor or array of one element is one too."""
    try:
        return int(operator.index(item))  # type: ignore[arg-type]  # what has no index raises TypeError
    except (TypeError, ValueError):
        kind = type(item)
        name = f"numpy.{kind.__name__}" if kind.__module__ == "numpy" else kind.__name__
        raise SignatureError(
            f"torch.Size() takes an iterable of 'int' (item {place} is '{name}')", hint="sizes are whole numbers"
        ) from None
