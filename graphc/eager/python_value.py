"""Tensors as Python's values: numbers, lists, things to iterate over.

In: a tensor. Out: Python objects, exact: a float32 gives the Python float of the same value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from graphc.eager.dispatch import function_of
from graphc.eager.placement import on, refuse_mixed
from graphc.eager.tensor import Tensor, wrap
from graphc.eager.watch import WATCHING, look
from graphc.ir.dtype import f32
from graphc.ir.errors import ArgumentError, DTypeError, SignatureError


def item(self: Tensor) -> Any:
    """The one element as a Python number."""
    if WATCHING:
        look(self, "item()")
    array = self._array
    if array.size != 1:
        raise ArgumentError(
            f"a Tensor with {array.size} elements cannot be converted to Scalar",
            hint="pick an element first, or use tolist()",
        )
    found = array.item()
    return found if isinstance(found, bool | int | float | complex) else float(found)


def tolist(self: Tensor) -> Any:
    """The elements as Python numbers in nested lists; of a 0-d tensor the number."""
    if WATCHING:
        look(self, "tolist()")
    dtype = self.dtype
    wide = dtype.is_floating_point and dtype.bits < f32.bits
    array = on(self._array, None)
    return (array.astype(np.float32) if wide else array).tolist()


def _one(self: Tensor) -> Any:
    if self._array.size != 1:
        raise ArgumentError("only one element tensors can be converted to Python scalars", hint="use tolist()")
    return item(self)


def _real(self: Tensor, kind: str) -> Any:
    found = _one(self)
    if isinstance(found, complex):
        if found.imag:
            raise DTypeError(f"value cannot be converted to type {kind} without overflow", hint="take its .real")
        return found.real
    return found


def __int__(self: Tensor) -> int:
    """The one element, without its fraction."""
    return int(_real(self, "int64_t"))


def __float__(self: Tensor) -> float:
    """The one element."""
    return float(_real(self, "double"))


def __complex__(self: Tensor) -> complex:
    """The one element."""
    return complex(_one(self))


def __bool__(self: Tensor) -> bool:
    """Whether the one element is not zero."""
    if WATCHING:
        look(self, "bool()")
    array = self._array
    if array.size != 1:
        what = "no values" if array.size == 0 else "more than one value"
        raise ArgumentError(f"Boolean value of Tensor with {what} is ambiguous", hint="use .any() or .all()")
    return bool(array.item())


def __index__(self: Tensor) -> int:
    """The one element of an integer tensor."""
    if WATCHING:
        look(self, "int()")
    if self._array.size != 1 or self._array.dtype.kind not in "biu":
        raise SignatureError("only integer tensors of a single element can be converted to an index")
    return int(self._array.item())


def __bytes__(self: Tensor) -> bytes:
    """The elements as numbers from 0 to 255."""
    if WATCHING:
        look(self, "bytes()")
    return bytes(self._array.reshape(-1).tolist())


def __len__(self: Tensor) -> int:
    """The size of dimension 0."""
    if not self._array.ndim:
        raise SignatureError("len() of a 0-d tensor", hint="it holds one value")
    size: int = self._array.shape[0]
    return size


def __iter__(self: Tensor) -> Iterator[Tensor]:
    """The parts along dimension 0."""
    if not self._array.ndim:
        raise SignatureError("iteration over a 0-d tensor", hint="it holds one value")
    return iter(self.unbind(0))  # type: ignore[attr-defined]  # a method of the table


def reversed_(self: Tensor) -> Tensor:
    """The elements in the opposite order along dimension 0."""
    if not self._array.ndim:
        return self
    found = function_of("flip")(self, (0,))
    assert isinstance(found, Tensor)
    return found


def __contains__(self: Tensor, element: object) -> bool:
    """Whether any element equals the number, or an element of the tensor."""
    if WATCHING:
        look(self, "in")
    if not isinstance(element, Tensor | int | float | complex | np.generic):
        raise ArgumentError(f"Tensor.__contains__ only supports Tensor or scalar, but you passed in a {type(element)}.")
    if isinstance(element, Tensor):
        refuse_mixed("eq", (self, element))
        if type(element._array) is np.ndarray:
            element = element._array
    if type(self._array) is np.ndarray and not isinstance(element, Tensor):
        return bool((self._array == element).any())
    found = function_of("any")(function_of("eq")(self, wrap(element) if isinstance(element, np.ndarray) else element))
    assert isinstance(found, Tensor)
    return bool(found._array)


def __format__(self: Tensor, specification: str) -> str:
    """A tensor without dimensions as its number; others take no format."""
    if not self._array.ndim and type(self) is Tensor:
        return item(self).__format__(specification)  # type: ignore[no-any-return]  # a text
    return object.__format__(self, specification)


def is_nonzero(input: Tensor) -> bool:
    """Whether the one element is not zero."""
    return __bool__(input)


FUNCTIONS: dict[str, Callable[..., object]] = {"is_nonzero": is_nonzero}
METHODS: dict[str, Callable[..., object]] = {
    "__bool__": __bool__,
    "__bytes__": __bytes__,
    "__complex__": __complex__,
    "__contains__": __contains__,
    "__float__": __float__,
    "__format__": __format__,
    "__index__": __index__,
    "__int__": __int__,
    "__iter__": __iter__,
    "__len__": __len__,
    "__reversed__": reversed_,
    "is_nonzero": is_nonzero,
    "item": item,
    "tolist": tolist,
}
