"""Nodes that rules build again and again: literals of the right dtype, broadcasts, sums back to a shape.

Level: tensor graph. In: nodes and numbers. Out: nodes. Gradient rules, passes and composites use these. (The modules of
ops and this one import each other, as the gradient of a broadcast is a sum and that of a sum a broadcast: they only
look inside each other when called.)

    full_like(x, 0.5)      # of x's shape and dtype
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np

from graphc.ir.attribute import Array
from graphc.ir.dim import Size
from graphc.ir.dtype import DType, real_of
from graphc.ir.graph import Node
from graphc.ir.type import Shape, TensorType
from graphc.ops import creation, elementwise, movement, reduction

Number: TypeAlias = "int | float | complex | bool"


def constant(value: Number | np.generic, dtype: DType, shape: Shape = ()) -> Node:
    """A number of this dtype (rounded to it) with this shape."""
    with np.errstate(over="ignore", invalid="ignore"):
        number = np.asarray(value).astype(dtype.numpy)
    ones = creation.constant(value=Array(number.reshape((1,) * len(shape))))
    return broadcast_to(ones, shape)


def full(value: Number | np.generic, like: TensorType) -> Node:
    """A number of this type's dtype and shape."""
    return constant(value, like.dtype, like.shape)


def full_like(x: Node, value: Number | np.generic) -> Node:
    """A number with the shape and dtype of x."""
    return full(value, x.tensor)


def zeros_like(x: Node) -> Node:
    """Zeros with the shape and dtype of x."""
    return full(0, x.tensor)


def ones_like(x: Node) -> Node:
    """Ones with the shape and dtype of x."""
    return full(1, x.tensor)


def zero(dtype: DType) -> Node:
    """A 0 without axes."""
    return constant(0, dtype)


def size_of(value: Size, dtype: DType) -> Node:
    """A size as a number without axes: a constant where it is known."""
    return constant(value, dtype) if isinstance(value, int) else creation.size(value=value, dtype=dtype)


def cast_to(x: Node, dtype: DType) -> Node:
    """x in this dtype; x itself if it has it."""
    return x if x.tensor.dtype is dtype else elementwise.cast(x, dtype=dtype)


def reshape_to(x: Node, shape: Shape) -> Node:
    """x with this shape; x itself if it has it."""
    return x if x.shape == shape else movement.reshape(x, shape=shape)


def permute_to(x: Node, axes: tuple[int, ...]) -> Node:
    """x with its axes in this order; x itself if they are."""
    return x if axes == tuple(range(len(axes))) else movement.permute(x, axes=axes)


def broadcast_to(x: Node, shape: Shape) -> Node:
    """x broadcast as in numpy: leading axes are added, axes of size 1 repeat. x itself if it has the shape."""
    lined_up = reshape_to(x, (1,) * (len(shape) - len(x.shape)) + x.shape)
    return lined_up if lined_up.shape == shape else movement.broadcast(lined_up, shape=shape)


def insert_axes(x: Node, axes: tuple[int, ...]) -> Node:
    """x with axes of size 1 added, so that they are at `axes` of the result."""
    sizes = iter(x.shape)
    rank = len(x.shape) + len(axes)
    return reshape_to(x, tuple(1 if axis in axes else next(sizes) for axis in range(rank)))


def repeat_along(x: Node, axes: tuple[int, ...], shape: Shape) -> Node:
    """x with axes added at `axes`, repeated to `shape`: the way back from a reduction."""
    return broadcast_to(insert_axes(x, axes), shape)


def sum_to(x: Node, shape: Shape) -> Node:
    """x summed over what a broadcast from `shape` has repeated."""
    extra = len(x.shape) - len(shape)
    axes = tuple(axis for axis, size in enumerate(x.shape) if axis < extra or (shape[axis - extra] == 1 and size != 1))
    return reshape_to(reduction.sum_(x, axes=axes) if axes else x, shape)


def conj_of(x: Node) -> Node:
    """The complex conjugate; x itself if it is real."""
    return elementwise.conj(x) if x.tensor.dtype.is_complex else x


def to_complex(x: Node) -> Node:
    """A real node as a complex one with imaginary part 0; a complex one as it is."""
    return x if x.tensor.dtype.is_complex else elementwise.complex_(x, zeros_like(x))


def scaled(x: Node, factor: float) -> Node:
    """x times a number."""
    return elementwise.mul(x, full_like(x, factor))


def real_dtype(x: Node) -> DType:
    """The dtype of the parts of x."""
    return real_of(x.tensor.dtype)
