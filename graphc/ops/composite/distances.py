"""Norms and distances of vectors: dist, renorm, cdist, pdist, cosine_similarity, and cross products."""

from __future__ import annotations

import math

from graphc.ir.dim import Size
from graphc.ir.dtype import DType, Kind, dtype, real_of
from graphc.ir.errors import ArgumentError, DTypeError, ShapeError
from graphc.ir.graph import Node
from graphc.ops import build, reduction
from graphc.ops import elementwise as ew
from graphc.ops.composite.arithmetic import add, clamp, div, mul, sub, truth
from graphc.ops.composite.operand import broadcast_shape, combined, normal_dim, refuse_kinds, widened
from graphc.ops.composite.reductions import Dims, dims_or_all, reduced
from graphc.ops.composite.shapes import cat, cut
from graphc.ops.control import with_gradient
from graphc.ops.function import function


def vector_norm(
    input: Node,
    power: float,
    dim: Dims,
    keepdim: bool,
    result: DType | str | None = None,
    *,
    shares_ties: bool = True,
) -> Node:
    """The norm of this power over `dim`, in the dtype asked for.

    Of an infinite power the elements that tie share the gradient, or each has all of it.
    """
    if input.tensor.dtype.kind < Kind.FLOAT:
        raise DTypeError(
            "linalg.vector_norm: Expected a floating point or complex tensor as input. Got "
            f"{input.tensor.dtype.scalar}",
            hint="convert it first, e.g. x.to('float32')",
        )
    given = input if result is None else build.cast_to(input, dtype(result))
    x = widened(given)
    dims = dims_or_all("norm", dim, len(x.shape))
    _check_not_empty(power, x, dims, is_whole=dim is None)

    def gradient(ct: tuple[Node, ...], out: tuple[Node, ...], inputs: tuple[Node, ...]) -> tuple[Node]:
        return (_norm_gradient(ct[0], out[0], inputs[0], power, shares_ties),)

    (value,) = with_gradient((_norm(ew.abs_(x), power, dims),), (x,), gradient)
    shape = value.shape if keepdim else tuple(s for a, s in enumerate(x.shape) if a not in dims)
    return build.cast_to(build.reshape_to(value, shape), real_of(given.tensor.dtype))


def _check_not_empty(power: float, x: Node, dims: tuple[int, ...], *, is_whole: bool) -> None:
    if 0 <= power < math.inf or not any(x.shape[axis] == 0 for axis in dims):
        return
    if is_whole:
        text = f"cannot compute the {power:g} norm on an empty tensor because the operation does not have an identity"
    else:
        axis = next(axis for axis in dims if x.shape[axis] == 0)
        text = (
            f"cannot compute the {power:g} norm on the dimension {axis}because this dimension is empty and the "
            "operation does not have an identity"
        )
    raise ArgumentError(f"linalg.vector_norm {text}", hint="use a power of 0 or more")


def _norm(size: Node, power: float, dims: tuple[int, ...]) -> Node:
    """The norm of what has these sizes; the dimensions stay."""
    if math.isinf(power):
        return reduced(reduction.max_ if power > 0 else reduction.min_, size, dims, True)
    if power == 0:
        return build.cast_to(reduced(reduction.sum_, truth(size), dims, True), size.tensor.dtype)
    if power == 1:
        return reduced(reduction.sum_, size, dims, True)
    powers = ew.mul(size, size) if power == 2 else ew.pow_(size, build.full_like(size, power))
    total = reduced(reduction.sum_, powers, dims, True)
    return ew.sqrt(total) if power == 2 else ew.pow_(total, build.full_like(total, 1.0 / power))


def _norm_gradient(ct: Node, out: Node, x: Node, power: float, shares_ties: bool) -> Node:
    """What PyTorch takes for the gradient, which is 0 where the norm is, and by an element that is 0."""
    length = build.broadcast_to(out, x.shape)
    share = build.broadcast_to(ct, x.shape)
    size = ew.abs_(x)
    zero = build.zeros_like(size)
    if power == 0:
        return build.zeros_like(x)
    if math.isinf(power):
        is_extreme = ew.bitwise_or(ew.eq(size, length), ew.bitwise_and(ew.is_nan(size), ew.is_nan(length)))
        weight = build.cast_to(is_extreme, size.tensor.dtype)
        if not shares_ties:
            return _times_direction(ew.mul(share, weight), x, size)
        axes = tuple(axis for axis, kept in enumerate(out.shape) if kept == 1 and x.shape[axis] != 1)
        number = build.broadcast_to(reduced(reduction.sum_, weight, axes, True), x.shape)
        return _times_direction(ew.div(ew.mul(share, weight), number), x, size)
    if power == 1:
        return _times_direction(share, x, size)
    is_zero = ew.eq(length, zero)
    length = ew.select(is_zero, build.ones_like(length), length)
    if power == 2:
        return _times_real(ew.select(is_zero, zero, ew.div(share, length)), x)
    scale = ew.mul(share, ew.pow_(length, build.full_like(length, 1.0 - power)))
    is_absent = ew.eq(size, zero)
    safe = ew.select(is_absent, build.ones_like(size), size)
    slope = ew.mul(scale, ew.pow_(safe, build.full_like(safe, power - 1.0)))
    return _times_direction(ew.select(ew.bitwise_or(is_zero, is_absent), zero, slope), x, size)


def _times_real(factor: Node, x: Node) -> Node:
    if not x.tensor.dtype.is_complex:
        return ew.mul(factor, x)
    return ew.complex_(ew.mul(factor, ew.real(x)), ew.mul(factor, ew.imag(x)))


def _times_direction(factor: Node, x: Node, size: Node) -> Node:
    """factor * x / |x|, and 0 where x is 0."""
    if not x.tensor.dtype.is_complex:
        return ew.mul(factor, ew.sign(x))
    is_zero = ew.eq(size, build.zeros_like(size))
    return _times_real(ew.div(factor, ew.select(is_zero, build.ones_like(size), size)), x)


@function(method=True)
def dist(input: Node, other: Node, p: float = 2) -> Node:
    """The p-norm of the difference of two tensors."""
    difference = sub(input, other)
    if difference.tensor.dtype.kind < Kind.FLOAT:
        raise DTypeError(
            "norm(): input dtype should be either floating point or complex. Got "
            f"{difference.tensor.dtype.scalar} instead.",
            hint="convert it first, e.g. x.to('float32')",
        )
    return vector_norm(difference, float(p), None, False)


@function(method=True)
def renorm(input: Node, p: float, dim: int, maxnorm: float) -> Node:
    """Each part along `dim` scaled so that its p-norm is at most `maxnorm`."""
    if len(input.shape) < 2:
        raise ShapeError(
            f"renorm: input needs at least 2 dimensions, got {len(input.shape)} dimensions", hint="unsqueeze it first"
        )
    if p <= 0:
        raise ArgumentError("renorm: non-positive-norm not supported", hint="use a power above 0")
    if maxnorm < 0:
        raise ArgumentError(f"renorm: expected maxnorm to be >= 0 but got {maxnorm:g}", hint="use 0 or more")
    axis = normal_dim("renorm", dim, len(input.shape))
    x = widened(input)
    others = tuple(a for a in range(len(x.shape)) if a != axis)
    length = vector_norm(x, float(p), others, True)
    limit = build.full_like(length, maxnorm)
    # The least addition keeps a length of 0 from dividing, with the value that PyTorch has.
    factor = ew.div(limit, ew.add(length, build.full_like(length, 1e-7)))
    factor = ew.select(ew.gt(length, limit), factor, build.ones_like(factor))
    return build.cast_to(mul(x, factor), input.tensor.dtype)


# Distances of rows


def _check_rows(name: str, which: str, x: Node) -> None:
    if len(x.shape) < 2:
        raise ShapeError(
            f"{name} only supports at least 2D tensors, {which} got: {len(x.shape)}D",
            hint="unsqueeze it: rows are points",
        )
    if not x.tensor.dtype.is_floating_point:
        raise DTypeError(
            f"{name} only supports floating-point dtypes, {which} got: {x.tensor.dtype.scalar}",
            hint="convert it first, e.g. x.to('float32')",
        )


@function(method=False)
def cdist(x1: Node, x2: Node, p: float = 2.0, compute_mode: str | int | None = None) -> Node:
    """The p-norms of the differences of all pairs of rows: `[..., n, d]` and `[..., m, d]` give `[..., n, m]`.

    `compute_mode` changes nothing: distances are sums of differences.
    """
    _check_rows("cdist", "X1", x1)
    _check_rows("cdist", "X2", x2)
    if x1.shape[-1] != x2.shape[-1]:
        raise ShapeError(
            f"X1 and X2 must have the same number of columns. X1: {x1.shape[-1]} X2: {x2.shape[-1]}",
            hint="cdist: rows are points of one space",
        )
    if p < 0:
        raise ArgumentError("cdist only supports non-negative p values", hint="use 0 or more")
    batch = broadcast_shape("cdist", x1.shape[:-2], x2.shape[:-2])
    rank = len(batch) + 3
    first = build.insert_axes(build.broadcast_to(x1, (*batch, *x1.shape[-2:])), (rank - 2,))
    second = build.insert_axes(build.broadcast_to(x2, (*batch, *x2.shape[-2:])), (rank - 3,))
    difference = sub(first, second)
    if x1.shape[-1] == 0:
        return build.constant(0, difference.tensor.dtype, difference.shape[:-1])
    return vector_norm(difference, float(p), -1, False, shares_ties=False)


@function(method=False)
def pdist(input: Node, p: float = 2.0) -> Node:
    """The p-norms of the differences of each row and every later one: `[n, d]` gives `[n (n - 1) / 2]`."""
    if len(input.shape) != 2:
        raise ShapeError(f"pdist only supports 2D tensors, got: {len(input.shape)}D", hint="rows are points")
    if not input.tensor.dtype.is_floating_point:
        raise DTypeError("pdist only supports floating-point dtypes", hint="convert it first, e.g. x.to('float32')")
    if p < 0:
        raise ArgumentError("pdist only supports non-negative p values", hint="use 0 or more")
    rows = input.shape[0]
    if not isinstance(rows, int):
        raise ShapeError(f"pdist: the number of rows is the symbolic size {rows}", hint="give it a number")
    if rows < 2:
        return build.constant(0, input.tensor.dtype, (0,))
    parts = []
    for row in range(rows - 1):
        parts.append(sub(cut(input, 0, row + 1, rows), cut(input, 0, row, row + 1)))
    return vector_norm(cat(parts, 0), float(p), 1, False, shares_ties=False)


@function(method=False)
def cosine_similarity(x1: Node, x2: Node, dim: int = 1, eps: float = 1e-8) -> Node:
    """The cosine of the angle between vectors along `dim`; each length counts for at least eps."""
    x, y = combined("cosine_similarity", x1, x2)
    result = x.tensor.dtype
    if result.kind < Kind.FLOAT:
        raise DTypeError(
            f"expected common dtype to be floating point, yet common dtype is {result.scalar}",
            hint="convert them first, e.g. x.to('float32')",
        )
    refuse_kinds("cosine_similarity", x, Kind.COMPLEX)
    axis = normal_dim("cosine_similarity", dim, len(x.shape))
    x, y = (widened(each) for each in (x, y))
    units = [div(each, clamp(vector_norm(each, 2.0, axis, True), min=eps)) for each in (x, y)]
    return build.cast_to(reduced(reduction.sum_, ew.mul(*units), (axis,) if x.shape else (), False), result)


@function(method=False)
def pairwise_distance(x1: Node, x2: Node, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Node:
    """The p-norm of x1 - x2 + eps along the last dimension."""
    return vector_norm(add(sub(x1, x2), eps), float(p), -1, keepdim)


@function(method=False)
def normalize(input: Node, p: float = 2.0, dim: Dims = 1, eps: float = 1e-12) -> Node:
    """x divided by its p-norm along `dim`, or by eps where that is smaller."""
    return div(input, clamp(vector_norm(input, float(p), dim, True), min=eps))


# Products of vectors in space


@function(method=True)
def cross(input: Node, other: Node, dim: int | None = None) -> Node:
    """The cross product along a dimension of 3 elements, by default the first one that has them."""
    if dim is None:
        for axis, size in enumerate(input.shape):
            if size == 3:
                return cross_product(input, other, axis)
        raise ShapeError("no dimension of size 3 in input", hint="cross products are of vectors of 3 elements")
    return cross_product(input, other, dim)


def cross_product(input: Node, other: Node, dim: int) -> Node:
    """The cross product along this dimension, which both have with 3 elements."""
    if len(input.shape) != len(other.shape):
        raise ShapeError("linalg.cross: inputs must have the same number of dimensions.", hint="unsqueeze one of them")
    axis = normal_dim("cross", dim, len(input.shape))
    sizes: tuple[Size, Size] = (input.shape[axis], other.shape[axis])
    if sizes != (3, 3):
        raise ShapeError(
            f"linalg.cross: inputs dimension {dim} must have length 3. Got {sizes[0]} and {sizes[1]}",
            hint="cross products are of vectors of 3 elements",
        )
    x, y = combined("cross", input, other)

    def turned(each: Node, first: int) -> Node:
        """The elements from `first` on, round and round."""
        return cat([cut(each, axis, first, 3), cut(each, axis, 0, first)], axis)

    return ew.sub(ew.mul(turned(x, 1), turned(y, 2)), ew.mul(turned(x, 2), turned(y, 1)))
