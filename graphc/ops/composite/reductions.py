"""Reductions under PyTorch's names: over all dimensions or some, kept or dropped."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from graphc.ir.dtype import DType, Kind, bool_, dtype, i64, real_of
from graphc.ir.errors import ArgumentError, DTypeError
from graphc.ir.graph import Node
from graphc.ir.op import Op
from graphc.ops import build, creation, indexing, reduction
from graphc.ops import elementwise as ew
from graphc.ops.composite.arithmetic import div, maximum, minimum, sub, truth
from graphc.ops.composite.operand import detached, floating, normal_dim, normal_dims, only_floats, widened
from graphc.ops.function import function

Dims: TypeAlias = "int | tuple[int, ...] | list[int] | None"


class ValuesAndIndices(NamedTuple):
    """What a reduction along one dimension finds, and where."""

    values: Node
    indices: Node


def reduced(op: Op, x: Node, dims: tuple[int, ...], keepdim: bool) -> Node:
    """A reduction along these dimensions; with `keepdim` they stay, with size 1."""
    result = op(x, axes=dims) if x.shape else build.reshape_to(op(x, axes=()), ())
    return build.insert_axes(result, dims) if keepdim and x.shape else result


def _converted(x: Node, to: object) -> Node:
    return x if to is None else build.cast_to(x, dtype(to))


def _make(op: Op, summary: str) -> Callable[..., Node]:
    def build_node(input: Node, dim: Dims = None, keepdim: bool = False, *, dtype: DType | str | None = None) -> Node:
        x = _converted(input, dtype)
        return reduced(op, x, normal_dims(op.name, dim, len(x.shape)), keepdim)

    build_node.__name__ = build_node.__qualname__ = op.name
    build_node.__doc__ = summary
    return function(method=True)(build_node)


sum_ = _make(reduction.sum_, "The sum over `dim` (all dimensions by default); of integers and bools an int64.")


@function(method=True)
def prod(input: Node, dim: int | None = None, keepdim: bool = False, *, dtype: DType | str | None = None) -> Node:
    """The product over `dim` (all dimensions by default); of integers and bools an int64."""
    x = _converted(input, dtype)
    return reduced(reduction.prod, x, normal_dims("prod", dim, len(x.shape)), keepdim)


def count(x: Node, dims: tuple[int, ...], result: DType) -> Node:
    """How many elements these dimensions hold, as a 0-d tensor."""
    total = build.constant(1, i64)
    for axis in dims:
        total = ew.mul(total, build.size_of(x.shape[axis], i64))
    known = math.prod(size for axis in dims if isinstance(size := x.shape[axis], int))
    if all(isinstance(x.shape[axis], int) for axis in dims):
        return build.constant(known, result)
    return build.cast_to(total, result)


@function(method=True)
def mean(input: Node, dim: Dims = None, keepdim: bool = False, *, dtype: DType | str | None = None) -> Node:
    """The mean over `dim` (all dimensions by default). Raises DTypeError for integers, as PyTorch does."""
    x = _converted(input, dtype)
    if x.tensor.dtype.kind < Kind.FLOAT:
        raise DTypeError(
            f"mean: the mean of {x.tensor.dtype.name} numbers is no {x.tensor.dtype.name}",
            hint="convert them first, e.g. x.mean(dtype='float32')",
        )
    dims = normal_dims("mean", dim, len(x.shape))
    total = reduced(reduction.sum_, widened(x), dims, keepdim)
    return build.cast_to(div(total, count(x, dims, real_of(total.tensor.dtype))), x.tensor.dtype)


@function(method=True)
def nansum(input: Node, dim: Dims = None, keepdim: bool = False, *, dtype: DType | str | None = None) -> Node:
    """The sum over `dim` with nan taken for 0."""
    x = _converted(input, dtype)
    kept = ew.select(ew.is_nan(x), build.zeros_like(x), x) if x.tensor.dtype.is_floating_point else x
    return reduced(reduction.sum_, kept, normal_dims("nansum", dim, len(x.shape)), keepdim)


@function(method=True)
def nanmean(input: Node, dim: Dims = None, keepdim: bool = False, *, dtype: DType | str | None = None) -> Node:
    """The mean over `dim` of what isn't nan."""
    x = only_floats("nanmean", _converted(input, dtype))
    wide = widened(x)
    is_number = ew.logical_not(ew.is_nan(wide))
    dims = normal_dims("nanmean", dim, len(x.shape))
    number = build.cast_to(reduced(reduction.sum_, is_number, dims, keepdim), wide.tensor.dtype)
    return build.cast_to(div(nansum(wide, dims, keepdim), number), x.tensor.dtype)


@function(method=True)
def var(
    input: Node, dim: Dims = None, unbiased: bool = True, keepdim: bool = False, *, correction: int | None = None
) -> Node:
    """The variance over `dim`: squared distances from the mean, divided by their number less `correction` (1)."""
    dims = normal_dims("var", dim, len(input.shape))
    less = correction if correction is not None else int(unbiased)
    given = floating(input)
    x = widened(given)
    centered = sub(x, mean(x, dims, True))
    squares = ew.mul(centered, centered) if not x.tensor.dtype.is_complex else _squared_modulus(centered)
    total = reduced(reduction.sum_, squares, dims, keepdim)
    real = total.tensor.dtype
    result = div(total, ew.maximum(sub(count(x, dims, real), less), build.constant(0, real)))
    return build.cast_to(result, real_of(given.tensor.dtype))


def _squared_modulus(x: Node) -> Node:
    return ew.real(ew.mul(x, ew.conj(x)))


@function(method=True)
def std(
    input: Node, dim: Dims = None, unbiased: bool = True, keepdim: bool = False, *, correction: int | None = None
) -> Node:
    """The standard deviation over `dim`: the square root of `var`."""
    return ew.sqrt(var(input, dim, unbiased, keepdim, correction=correction))


@function(method=True)
def var_mean(
    input: Node, dim: Dims = None, unbiased: bool = True, keepdim: bool = False, *, correction: int | None = None
) -> tuple[Node, Node]:
    """(variance, mean) over `dim`."""
    return var(input, dim, unbiased, keepdim, correction=correction), mean(floating(input), dim, keepdim)


@function(method=True)
def std_mean(
    input: Node, dim: Dims = None, unbiased: bool = True, keepdim: bool = False, *, correction: int | None = None
) -> tuple[Node, Node]:
    """(standard deviation, mean) over `dim`."""
    return std(input, dim, unbiased, keepdim, correction=correction), mean(floating(input), dim, keepdim)


@function(method=True)
def amax(input: Node, dim: Dims = None, keepdim: bool = False) -> Node:
    """The largest element over `dim` (all dimensions by default); nan if there is one."""
    if input.tensor.dtype is bool_:
        return any_(input, dim, keepdim)
    return reduced(reduction.max_, input, normal_dims("amax", dim, len(input.shape)), keepdim)


@function(method=True)
def amin(input: Node, dim: Dims = None, keepdim: bool = False) -> Node:
    """The smallest element over `dim` (all dimensions by default); nan if there is one."""
    if input.tensor.dtype is bool_:
        return all_(input, dim, keepdim)
    return reduced(reduction.min_, input, normal_dims("amin", dim, len(input.shape)), keepdim)


class LeastAndGreatest(NamedTuple):
    """Both ends of what a dimension holds."""

    min: Node
    max: Node


@function(method=True)
def aminmax(input: Node, *, dim: int | None = None, keepdim: bool = False) -> LeastAndGreatest:
    """(least, greatest) over `dim` (all dimensions by default)."""
    return LeastAndGreatest(amin(input, dim, keepdim), amax(input, dim, keepdim))


@function(method=True)
def argmax(input: Node, dim: int | None = None, keepdim: bool = False) -> Node:
    """Where along `dim` the largest element is, the first of several; without `dim`, in the flattened tensor."""
    return _arg(reduction.argmax, input, dim, keepdim)


@function(method=True)
def argmin(input: Node, dim: int | None = None, keepdim: bool = False) -> Node:
    """Where along `dim` the smallest element is, the first of several; without `dim`, in the flattened tensor."""
    return _arg(reduction.argmin, input, dim, keepdim)


def _arg(op: Op, x: Node, dim: int | None, keepdim: bool) -> Node:
    if x.tensor.dtype is bool_:
        raise DTypeError(f"{op.name}: not for bools", hint="convert them first, e.g. x.to('uint8')")
    if dim is None:
        found = op(build.reshape_to(x, (x.tensor.size,)), axis=0)
        return build.reshape_to(found, (1,) * len(x.shape)) if keepdim else found
    axis = normal_dim(op.name, dim, len(x.shape))
    if not x.shape:
        return build.constant(0, i64)
    found = op(x, axis=axis)
    return build.insert_axes(found, (axis,)) if keepdim else found


def _extreme(
    input: Node, dim: int | Node | None, keepdim: bool, pair: Callable[..., Node], whole: Callable[..., Node], op: Op
) -> Node | ValuesAndIndices:
    if isinstance(dim, Node):
        return pair(input, dim)
    if dim is None:
        return whole(input)
    indices = _arg(op, input, dim, True)
    values = take_along(input, indices, normal_dim(op.name, dim, len(input.shape)))
    if keepdim or not input.shape:
        return ValuesAndIndices(values, indices)
    shape = tuple(s for a, s in enumerate(input.shape) if a != normal_dim(op.name, dim, len(input.shape)))
    return ValuesAndIndices(build.reshape_to(values, shape), build.reshape_to(indices, shape))


@function(method=True)
def max_(input: Node, dim: int | Node | None = None, keepdim: bool = False) -> Node | ValuesAndIndices:
    """The largest element; along `dim`, (values, indices); with another tensor, the larger of each pair."""
    return _extreme(input, dim, keepdim, maximum, amax, reduction.argmax)


@function(method=True)
def min_(input: Node, dim: int | Node | None = None, keepdim: bool = False) -> Node | ValuesAndIndices:
    """The smallest element; along `dim`, (values, indices); with another tensor, the smaller of each pair."""
    return _extreme(input, dim, keepdim, minimum, amin, reduction.argmin)


def take_along(x: Node, index: Node, axis: int) -> Node:
    """x's elements at the positions along `axis` that `index` gives for each place: PyTorch's gather.

    The positions are made flat, so that one gather along one axis does it. A position counted from the end, or out of
    range, is one of the axis, not of the flat tensor: the first is mapped, the second gives a position out of range.
    """
    if not x.shape:
        return x
    flat = flat_positions(x, index, axis)
    return indexing.gather(build.reshape_to(x, (x.tensor.size,)), flat, axis=0)


def flat_positions(x: Node, index: Node, axis: int) -> Node:
    """For each entry of `index`, its place in the flattened x; out of range exactly where the entry is."""
    size = build.broadcast_to(build.size_of(x.shape[axis], i64), index.shape)
    entry = build.cast_to(index, i64)
    zero = build.zeros_like(entry)
    counted = ew.select(ew.lt(entry, zero), ew.add(entry, size), entry)
    inside = ew.bitwise_and(ew.ge(counted, zero), ew.lt(counted, size))
    flat = zero
    stride = build.constant(1, i64)
    for dim in reversed(range(len(x.shape))):
        place = counted if dim == axis else creation.iota(shape=index.shape, axis=dim, dtype=i64)
        flat = ew.add(flat, ew.mul(place, build.broadcast_to(stride, index.shape)))
        stride = ew.mul(stride, build.size_of(x.shape[dim], i64))
    return ew.select(inside, flat, build.broadcast_to(stride, index.shape))


@function(method=True)
def any_(input: Node, dim: Dims = None, keepdim: bool = False) -> Node:
    """Whether an element over `dim` (all dimensions by default) is not 0."""
    return reduced(reduction.any_, truth(input), normal_dims("any", dim, len(input.shape)), keepdim)


@function(method=True)
def all_(input: Node, dim: Dims = None, keepdim: bool = False) -> Node:
    """Whether all elements over `dim` (all dimensions by default) are not 0."""
    return reduced(reduction.all_, truth(input), normal_dims("all", dim, len(input.shape)), keepdim)


@function(method=True)
def count_nonzero(input: Node, dim: Dims = None) -> Node:
    """How many elements over `dim` (all dimensions by default) are not 0."""
    return reduced(reduction.sum_, truth(input), normal_dims("count_nonzero", dim, len(input.shape)), False)


@function(method=True)
def cumsum(input: Node, dim: int, *, dtype: DType | str | None = None) -> Node:
    """The running sum along `dim`; of integers and bools an int64."""
    x = _converted(input, dtype)
    if x.tensor.dtype.kind < Kind.FLOAT and dtype is None:
        x = build.cast_to(x, i64)
    axis = normal_dim("cumsum", dim, len(x.shape))
    return build.cast_to(reduction.cumsum(widened(x), axis=axis), x.tensor.dtype) if x.shape else x


@function(method=True)
def logsumexp(input: Node, dim: Dims, keepdim: bool = False) -> Node:
    """log(sum(exp(input))) over `dim`, without overflow."""
    given = floating(input)
    x = widened(given)
    dims = normal_dims("logsumexp", dim, len(x.shape))
    if not x.shape:
        return given
    most = detached(reduced(reduction.max_, x, dims, True))
    finite = ew.select(ew.is_finite(most), most, build.zeros_like(most))
    total = ew.log(reduced(reduction.sum_, ew.exp(sub(x, finite)), dims, True))
    result = build.cast_to(ew.add(total, finite), given.tensor.dtype)
    return result if keepdim else build.reshape_to(result, tuple(s for a, s in enumerate(x.shape) if a not in dims))


@function(method=True)
def norm(input: Node, p: float | str | None = 2.0, dim: Dims = None, keepdim: bool = False) -> Node:
    """The p-norm of the elements over `dim` (all by default); p may be inf, -inf, 0 (how many are not 0) or "fro"."""
    given = floating(input)
    x = ew.abs_(widened(given))
    dims = normal_dims("norm", dim, len(x.shape))
    power = 2.0 if p in (None, "fro") else p
    if not isinstance(power, int | float):
        raise ArgumentError(f"norm: p={p!r}", hint='use a number, inf or "fro"')
    return build.cast_to(_norm(x, float(power), dims, keepdim), real_of(given.tensor.dtype))


def _norm(x: Node, power: float, dims: tuple[int, ...], keepdim: bool) -> Node:
    """The norm of sizes, that is of numbers from 0 on."""
    if power == math.inf:
        return reduced(reduction.max_, x, dims, keepdim)
    if power == -math.inf:
        return reduced(reduction.min_, x, dims, keepdim)
    if power == 0:
        return build.cast_to(reduced(reduction.sum_, truth(x), dims, keepdim), x.tensor.dtype)
    if power == 1:
        return reduced(reduction.sum_, x, dims, keepdim)
    powers = ew.mul(x, x) if power == 2 else ew.pow_(x, build.full_like(x, power))
    total = reduced(reduction.sum_, powers, dims, keepdim)
    # A gradient of 0 at 0: the one of least size that a norm has there.
    zero = build.zeros_like(total)
    is_zero = ew.eq(total, zero)
    safe = ew.select(is_zero, build.ones_like(total), total)
    root = ew.sqrt(safe) if power == 2 else ew.pow_(safe, build.full_like(safe, 1.0 / power))
    return ew.select(is_zero, zero if power > 0 else build.full_like(total, math.inf), root)
