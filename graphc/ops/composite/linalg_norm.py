"""Norms of vectors and matrices, and condition numbers.

Level: tensor graph. In: tensors. Out: norms over one, two or all dimensions. What isn't differentiable has the gradient
that PyTorch gives it: 0 where a norm is 0, shared evenly among equal maxima.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeAlias

from graphc.ir.dtype import DType, Kind, real_of
from graphc.ir.dtype import dtype as to_dtype
from graphc.ir.errors import ArgumentError, DimensionError, DTypeError
from graphc.ir.graph import Node
from graphc.ir.op import Op
from graphc.ir.type import Shape, TensorType
from graphc.ops import build, reduction
from graphc.ops import elementwise as ew
from graphc.ops.composite import distances
from graphc.ops.composite.linalg_matrix import check_floats, check_matrix, check_square, check_square_shape
from graphc.ops.composite.linalg_solve import inverted
from graphc.ops.composite.linalg_spectral import singular_values
from graphc.ops.composite.operand import normal_dim
from graphc.ops.composite.reductions import reduced
from graphc.ops.function import function

Dims: TypeAlias = "int | tuple[int, ...] | list[int] | None"
Order: TypeAlias = "int | float | str"


@function(namespace="linalg")
def vector_norm(
    input: Node, ord: float = 2, dim: Dims = None, keepdim: bool = False, *, dtype: DType | str | None = None
) -> Node:
    """The norm of the elements over `dim` (all by default); `ord` is a number, inf, -inf, or 0: how many are not 0."""
    _check_dtype("linalg.vector_norm", input, dtype)
    return distances.vector_norm(input, float(ord), dim, keepdim, dtype)


def _check_dtype(name: str, x: Node, dtype: DType | str | None) -> None:
    if x.tensor.dtype.kind < Kind.FLOAT:
        raise DTypeError(
            f"{name}: Expected a floating point or complex tensor as input. Got {x.tensor.dtype.scalar}",
            hint="convert it first, e.g. x.to('float32')",
        )
    if dtype is None:
        return
    wanted = to_dtype(dtype)
    if wanted.kind < Kind.FLOAT:
        raise DTypeError(
            f"{name}: dtype should be floating point or complex, but got {wanted.scalar}", hint="name another dtype"
        )
    if wanted.is_complex != x.tensor.dtype.is_complex:
        kind, given = ("complex", "complex") if x.tensor.dtype.is_complex else ("real", "real")
        raise DTypeError(
            f"{name}: dtype should be {kind} for {given} inputs, but got {wanted.scalar}", hint="name another dtype"
        )


@function(namespace="linalg")
def matrix_norm(
    input: Node,
    ord: Order = "fro",
    dim: Sequence[int] = (-2, -1),
    keepdim: bool = False,
    *,
    dtype: DType | str | None = None,
) -> Node:
    """The norm of matrices along `dim`: "fro", "nuc", or as maps 1, 2, inf; negative orders give the least."""
    return _matrix_norm("linalg.matrix_norm", input, ord, dim, keepdim, dtype)


def _matrix_norm(
    name: str, a: Node, order: Order, dim: Sequence[int], keepdim: bool, dtype: DType | str | None
) -> Node:
    check_matrix(name, a, takes="all")
    _check_dtype(name, a, dtype)
    axes = _pair(name, dim, len(a.shape))
    if isinstance(order, str) and order not in ("fro", "nuc"):
        raise ArgumentError(
            f"{name}: Order {order} not supported.", hint='use "fro", "nuc", 1, 2, inf or their negatives'
        )
    if not isinstance(order, str) and abs(order) not in (1, 2, math.inf):
        raise ArgumentError(f"{name}: Order {order:g} not supported.", hint="use 1, 2, inf or their negatives")
    if order == "fro":
        return distances.vector_norm(a, 2.0, axes, keepdim, dtype)
    x = a if dtype is None else build.cast_to(a, to_dtype(dtype))
    if order == "nuc" or (not isinstance(order, str) and abs(order) == 2):
        check_floats(name, x)
        rest = tuple(axis for axis in range(len(x.shape)) if axis not in axes)
        values = singular_values(build.permute_to(x, (*rest, *axes)))
        last = (len(values.shape) - 1,)
        if order == "nuc":
            result = build.cast_to(reduction.sum_(values, axes=last), real_of(x.tensor.dtype))
        elif float(order) > 0 and values.shape[-1] == 0:
            result = build.full(0, values.tensor.with_shape(values.shape[:-1]))
        elif values.shape[-1] == 0:
            raise _empty(-1)
        else:
            result = _extreme(float(order))(values, axes=last)
        return _with_axes(result, axes) if keepdim else result
    assert not isinstance(order, str)
    summed, chosen = axes if abs(order) == 1 else axes[::-1]
    if order < 0 and x.shape[chosen] == 0:
        raise _empty(chosen - (summed < chosen and not keepdim))
    if order > 0 and x.shape[chosen] == 0:
        # The greatest of no sums counts as 0.
        kept: Shape = tuple(1 if axis in axes else size for axis, size in enumerate(x.shape))
        left = tuple(size for axis, size in enumerate(x.shape) if axis not in axes)
        return build.full(0, TensorType(kept if keepdim else left, real_of(x.tensor.dtype)))
    sums = distances.vector_norm(x, 1.0, (summed,), True)
    result = reduced(_extreme(float(order)), sums, (chosen,), True)
    if keepdim:
        return result
    return build.reshape_to(result, tuple(size for axis, size in enumerate(result.shape) if axis not in axes))


def _empty(axis: int) -> DimensionError:
    return DimensionError(
        f"amin(): Expected reduction dim {axis} to have non-zero size.", hint="an empty matrix has no least sum"
    )


def _extreme(order: float) -> Op:
    return reduction.max_ if order > 0 else reduction.min_


def _pair(name: str, dim: Sequence[int], rank: int) -> tuple[int, int]:
    dims = tuple(dim) if isinstance(dim, tuple | list) else (dim,)
    if len(dims) != 2:
        raise ArgumentError(f"{name}: dim must be a 2-tuple. Got {_listed(dims)}", hint="name two dimensions")
    first, second = (normal_dim(name, each, rank) for each in dims)
    if first == second:
        raise ArgumentError(f"{name}: dims must be different. Got ({dims[0]}, {dims[1]})", hint="name two dimensions")
    return first, second


def _listed(dims: Sequence[object]) -> str:
    return " ".join(map(str, dims))


def _with_axes(x: Node, axes: tuple[int, ...]) -> Node:
    return build.insert_axes(x, tuple(sorted(axes)))


@function(namespace="linalg")
def norm(
    input: Node, ord: Order | None = None, dim: Dims = None, keepdim: bool = False, *, dtype: DType | str | None = None
) -> Node:
    """The norm of a vector or matrix: `matrix_norm` over two dimensions where `ord` is given, else `vector_norm`."""
    dims = None if dim is None else (dim,) if isinstance(dim, int) else tuple(dim)
    if ord is None:
        return vector_norm(input, 2, dims, keepdim, dtype=dtype)
    if dims is not None and len(dims) not in (1, 2):
        raise ArgumentError(
            f"linalg.norm: If dim is specified, it must be of length 1 or 2. Got {list(dims)}",
            hint="linalg.vector_norm takes any number of dimensions",
        )
    rank = len(input.shape)
    if dims is None and rank not in (1, 2):
        raise ArgumentError(
            f"linalg.norm: If dim is not specified but ord is, the input must be 1D or 2D. Got {rank}D.",
            hint="name the dimensions",
        )
    if isinstance(ord, str) or (rank if dims is None else len(dims)) == 2:
        return matrix_norm(input, ord, (-2, -1) if dims is None else dims, keepdim, dtype=dtype)
    return vector_norm(input, ord, dims, keepdim, dtype=dtype)


@function(namespace="linalg")
def cond(input: Node, p: Order | None = None) -> Node:
    """The condition number in the norm `p` (2 by default): infinite for a singular matrix."""
    check_matrix("linalg.cond", input, takes="all")
    if p is None or (not isinstance(p, str) and abs(p) == 2):
        check_floats("linalg.svd", input, "linalg_svd_cpu")
        values = singular_values(input)
        last = len(values.shape) - 1
        if values.shape[last] == 0:
            return build.full(0, values.tensor.with_shape(values.shape[:-1]))
        most, least = (op(values, axes=(last,)) for op in (reduction.max_, reduction.min_))
        return ew.div(least, most) if p == -2 else ew.div(most, least)
    if p not in ("fro", "nuc", 1, -1, math.inf, -math.inf):
        raise ArgumentError(
            f"linalg.cond got an invalid norm type: {p}", hint='use "fro", "nuc", 1, 2, inf or their negatives'
        )
    check_square_shape(f"linalg.cond(ord={p})", input)
    check_square("linalg.cond", input)
    inverse, info = inverted(input, "")
    result = ew.mul(matrix_norm(input, p), matrix_norm(inverse, p))
    is_regular = ew.eq(info, build.zeros_like(info))
    return ew.select(is_regular, result, build.full_like(result, math.inf))
