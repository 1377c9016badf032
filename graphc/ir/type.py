"""The types of values: tensors with sizes and a dtype, and tuples of them.

>>> from graphc.ir.dtype import f32
>>> print(TensorType((64, 10), f32))
f32[64,10]
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from graphc.ir.dim import Size, product
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
