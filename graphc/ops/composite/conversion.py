"""Copies, dtypes, parts of complex numbers and sizes, under PyTorch's names."""

from __future__ import annotations

from graphc.ir.dim import Size
from graphc.ir.dtype import DType
from graphc.ir.dtype import dtype as to_dtype
from graphc.ir.errors import DTypeError
from graphc.ir.graph import Node
from graphc.ir.type import Shape
from graphc.ops import build
from graphc.ops import elementwise as ew
from graphc.ops.composite.operand import detached, normal_dim
from graphc.ops.function import function


@function(method=True)
def contiguous(input: Node) -> Node:
    """The tensor itself: a graph's values have no layout."""
    return input


@function(method=True)
def clone(input: Node) -> Node:
    """The tensor itself: a graph's values never change."""
    return input


@function(method=True)
def detach(input: Node) -> Node:
    """The tensor, which gradients take for a constant."""
    return detached(input)


@function(method=True, free=False)
def to(input: Node, dtype: object) -> Node:
    """The elements converted to a dtype, or to that of another tensor."""
    return build.cast_to(input, dtype.tensor.dtype if isinstance(dtype, Node) else to_dtype(dtype))


@function(method=True, free=False)
def type_as(input: Node, other: Node) -> Node:
    """The elements converted to the dtype of another tensor."""
    return build.cast_to(input, other.tensor.dtype)


def _conversion(name: str, target: DType) -> None:
    def convert(input: Node) -> Node:
        return build.cast_to(input, target)

    convert.__name__ = convert.__qualname__ = name
    convert.__doc__ = f"The elements converted to {target.name}."
    function(method=True, free=False)(convert)


for _name, _target in (
    ("bool", "bool"),
    ("char", "int8"),
    ("short", "int16"),
    ("int", "int32"),
    ("long", "int64"),
    ("byte", "uint8"),
    ("half", "float16"),
    ("bfloat16", "bfloat16"),
    ("float", "float32"),
    ("double", "float64"),
    ("cfloat", "complex64"),
    ("cdouble", "complex128"),
):
    _conversion(_name, to_dtype(_target))


@function(method=True)
def real(input: Node) -> Node:
    """The real part; a real tensor itself."""
    return ew.real(input) if input.tensor.dtype.is_complex else input


@function(method=True)
def imag(input: Node) -> Node:
    """The imaginary part of a complex tensor."""
    if not input.tensor.dtype.is_complex:
        raise DTypeError(
            "imag is not implemented for tensors with non-complex dtypes.", hint="a real tensor has no such part"
        )
    return ew.imag(input)


@function(method=True, free=False)
def size(input: Node, dim: int | None = None) -> Shape | Size:
    """The shape, or one size of it."""
    return input.shape if dim is None else input.shape[normal_dim("size", dim, len(input.shape))]


@function(method=True)
def numel(input: Node) -> Size:
    """How many elements there are."""
    return input.tensor.size


@function(method=True, free=False)
def dim(input: Node) -> int:
    """How many dimensions there are."""
    return len(input.shape)
