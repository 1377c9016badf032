"""The types of values: tensors with sizes and a dtype, and tuples of them.

>>> from graphc.ir.dtype import f32
>>> print(TensorType((64, 10), f32))
f32[64,10]
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from graphc.ir.dim import Dim, Size, bounds, product
from graphc.ir.dtype import DType

Shape: TypeAlias = "tuple[Size, ...]"


@dataclass(frozen=True, slots=True)
class TensorType:
    """An array of `shape` with elements of `dtype`; it says nothing of layout or device."""

    shape: Shape
    dtype: DType

    @property
    def rank(self) -> int:
        """Number of dimensions."""
        return len(self.shape)

    @property
    def size(self) -> Size:
        """Number of elements."""
        return product(self.shape)

    @property
    def nbytes(self) -> Size:
        """Bytes of the elements."""
        return self.size * self.dtype.itemsize

    def with_shape(self, shape: Shape) -> TensorType:
        """The same dtype with another shape."""
        return TensorType(shape, self.dtype)

    def with_dtype(self, dtype: DType) -> TensorType:
        """The same shape with another dtype."""
        return TensorType(self.shape, dtype)

    def __str__(self) -> str:
        return f"{self.dtype.short}[{','.join(map(str, self.shape))}]"


@dataclass(frozen=True, slots=True)
class TupleType:
    """The results of a structural op, in order."""

    elements: tuple[TensorType, ...]

    def __str__(self) -> str:
        return f"({', '.join(map(str, self.elements))})"


Type: TypeAlias = "TensorType | TupleType"


def problem_of(type: object) -> str | None:
    """What is wrong with something that should be a type, or None: rules that trust their arguments build anything."""
    if isinstance(type, TupleType):
        for each in type.elements:
            problem = _tensor_problem(each)
            if problem is not None:
                return problem
        return None
    return _tensor_problem(type)


def _tensor_problem(type: object) -> str | None:
    if not isinstance(type, TensorType):
        return f"{type!r} is no type"
    dtype: object = type.dtype
    if not isinstance(dtype, DType):
        return f"{dtype!r} is no dtype"
    shape: object = type.shape
    if not isinstance(shape, tuple):
        return f"{shape!r} is no shape"
    for size in shape:
        if not isinstance(size, int | Dim) or isinstance(size, bool):
            return f"a size is an int or symbolic, not {size!r}"
        if bounds(size)[1] < 0:
            return f"the size {size} is negative"
    return None
