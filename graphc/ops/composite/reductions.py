"""Sums, products, means, spreads and logical reductions under PyTorch's names: over all dimensions or some."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeAlias

from graphc.ir.dim import Size
from graphc.ir.dtype import DType, Kind, bool_, dtype, i64, real_of, u8
from graphc.ir.errors import DTypeError, ShapeError
from graphc.ir.graph import Node
from graphc.ir.op import Op
from graphc.ops import build, reduction
from graphc.ops import elementwise as ew
from graphc.ops.composite.arithmetic import div, mul, sub, truth
from graphc.ops.composite.operand import floating, normal_dims, widened
from graphc.ops.composite.shapes import cat, cut, sizes_from
from graphc.ops.control import with_gradient
from graphc.ops.function import function

Dims: TypeAlias = "int | tuple[int, ...] | list[int] | None"
Spread: TypeAlias = "int | float | None"
"""What the number of elements is lessened by."""


def reduced(op: Op, x: Node, dims: tuple[int, ...], keepdim: bool) -> Node:
    """A reduction along these dimensions; with `keepdim` they stay, with size 1."""
    result = op(x, axes=dims) if x.shape else build.reshape_to(op(x, axes=()), ())
    return build.insert_axes(result, dims) if keepdim and x.shape else result


def dims_or_all(name: str, dim: Dims, rank: int) -> tuple[int, ...]:
    """The dimensions of a reduction that takes none for all."""
    return normal_dims(name, None if isinstance(dim, tuple | list) and not dim else dim, rank)


def _converted(x: Node, to: object) -> Node:
    return x if to is None else build.cast_to(x, dtype(to))


def _total(op: Op, of_bools: Op, x: Node, dims: tuple[int, ...], keepdim: bool, to: object) -> Node:
    """A sum or product; with a dtype asked for, of elements and with a result of that dtype."""
    if to is None:
        return reduced(op, x, dims, keepdim)
    x = _converted(x, to)
    result = x.tensor.dtype
    return build.cast_to(reduced(of_bools if result is bool_ else op, x, dims, keepdim), result)


@function(method=True)
def sum_(input: Node, dim: Dims = None, keepdim: bool = False, *, dtype: DType | str | None = None) -> Node:
    """The sum over `dim` (all dimensions by default); of integers and bools an int64."""
    dims = dims_or_all("sum", dim, len(input.shape))
    return _total(reduction.sum_, reduction.any_, input, dims, keepdim, dtype)


@function(method=True, free=False)
def sum_to_size(input: Node, *size: Size | Sequence[Size]) -> Node:
    """The sum over what a broadcast from this shape to that of the tensor repeats."""
    shape = sizes_from("sum_to_size", size)
    extra = len(input.shape) - len(shape)
    if extra < 0 or any(mine not in (1, its) for mine, its in zip(shape, input.shape[max(extra, 0) :], strict=True)):
        texts = [f"[{', '.join(map(str, each))}]" for each in (shape, input.shape)]
        raise ShapeError(
            f"size {{{texts[0]}}} is not expandable to size {{{texts[1]}}}.",
            hint="sum_to_size: give sizes of 1 or equal",
        )
    return build.sum_to(input, shape) if shape else sum_(input)


@function(method=True)
def prod(input: Node, dim: int | None = None, keepdim: bool = False, *, dtype: DType | str | None = None) -> Node:
    """The product over `dim` (all dimensions by default); of integers and bools an int64."""
    dims = dims_or_all("prod", dim, len(input.shape))
    x = _converted(input, dtype)
    if x.tensor.dtype.is_complex:
        product = _complex_product(x, dims)
        return build.insert_axes(product, dims) if keepdim and x.shape else product
    return _total(reduction.prod, reduction.all_, input, dims, keepdim, dtype)


def _complex_product(x: Node, dims: tuple[int, ...]) -> Node:
    """Halves multiplied by halves until one element is left; kernels multiply real numbers one after another only."""
    others = tuple(axis for axis in range(len(x.shape)) if axis not in dims)
    kept = tuple(x.shape[axis] for axis in others)
    length = math.prod(_known(x.shape[axis]) for axis in dims)
    if length == 0:
        return build.constant(1, x.tensor.dtype, kept)
    part = build.reshape_to(build.permute_to(x, (*dims, *others)), (length, *kept))
    while length > 1:
        half = length // 2
        product = ew.mul(cut(part, 0, 0, half), cut(part, 0, half, 2 * half))
        part = cat([product, cut(part, 0, 2 * half, length)], 0) if length % 2 else product
        length -= half
    return build.reshape_to(part, kept)


def _known(size: Size) -> int:
    if not isinstance(size, int):
        raise ShapeError(f"prod: of complex numbers along the symbolic size {size}", hint="give it a number")
    return size


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
        what = "Input dtype" if dtype is None else "Optional dtype"
        raise DTypeError(
            f"mean(): could not infer output dtype. {what} must be either a floating point or complex dtype. "
            f"Got: {x.tensor.dtype.scalar}",
            hint="convert the tensor first, e.g. x.mean(dtype='float32')",
        )
    dims = dims_or_all("mean", dim, len(x.shape))
    total = reduced(reduction.sum_, widened(x), dims, keepdim)
    return build.cast_to(div(total, count(x, dims, real_of(total.tensor.dtype))), x.tensor.dtype)


@function(method=True)
def nansum(input: Node, dim: Dims = None, keepdim: bool = False, *, dtype: DType | str | None = None) -> Node:
    """The sum over `dim` with nan taken for 0."""
    if input.tensor.dtype.is_complex:
        raise DTypeError("nansum on CPU does not support complex inputs", hint="sum the parts")
    kept = input
    if input.tensor.dtype.is_floating_point:
        kept = ew.select(ew.is_nan(input), build.zeros_like(input), input)
    return sum_(kept, dim, keepdim, dtype=dtype)


@function(method=True)
def nanmean(input: Node, dim: Dims = None, keepdim: bool = False, *, dtype: DType | str | None = None) -> Node:
    """The mean over `dim` of what isn't nan."""
    if input.tensor.dtype.kind < Kind.FLOAT:
        raise DTypeError(
            f"nanmean(): expected input to have floating point or complex dtype but got {input.tensor.dtype.scalar}",
            hint="convert it first, e.g. x.to('float32')",
        )
    x = _converted(input, dtype)
    wide = widened(x)
    total = nansum(wide, dim, keepdim)
    is_number = ew.logical_not(ew.is_nan(wide))
    dims = dims_or_all("nanmean", dim, len(x.shape))
    number = build.cast_to(reduced(reduction.sum_, is_number, dims, keepdim), total.tensor.dtype)
    return build.cast_to(div(total, number), x.tensor.dtype)


def _moments(
    name: str, input: Node, dim: Dims | bool, unbiased: bool | None, keepdim: bool, correction: Spread
) -> tuple[Node, Node]:
    """Variance and mean, in the dtype in which both are computed. A bool in place of `dim` is `unbiased`."""
    if input.tensor.dtype.kind < Kind.FLOAT:
        what = "std and var" if name in ("std", "var") else name
        raise DTypeError(
            f"{what} only support floating point and complex dtypes", hint="convert it first, e.g. x.to('float32')"
        )
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    dims = dims_or_all(name, dim, len(input.shape))
    less = correction if correction is not None else 1 if unbiased is None else int(unbiased)
    x = widened(input)
    center = mean(x, dims, True)
    centered = sub(x, center)
    squares = ew.mul(centered, centered) if not x.tensor.dtype.is_complex else _squared_modulus(centered)
    total = reduced(reduction.sum_, squares, dims, keepdim)
    real = total.tensor.dtype
    variance = div(total, ew.maximum(sub(count(x, dims, real), less), build.constant(0, real)))
    return variance, build.reshape_to(center, variance.shape)


def _squared_modulus(x: Node) -> Node:
    return ew.real(ew.mul(x, ew.conj(x)))


def _rounded_to(input: Node, variance: Node) -> Node:
    return build.cast_to(variance, real_of(input.tensor.dtype))


def _root(x: Node) -> Node:
    """The square root of what is never below 0, with a gradient of 0 at 0."""
    is_zero = ew.eq(x, build.zeros_like(x))
    return ew.select(is_zero, x, ew.sqrt(ew.select(is_zero, build.ones_like(x), x)))


@function(method=True)
def var(
    input: Node,
    dim: Dims | bool = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: Spread = None,
) -> Node:
    """The variance over `dim`: squared distances from the mean, divided by their number less `correction` (1)."""
    return _rounded_to(input, _moments("var", input, dim, unbiased, keepdim, correction)[0])


@function(method=True)
def std(
    input: Node,
    dim: Dims | bool = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: Spread = None,
) -> Node:
    """The standard deviation over `dim`: the square root of `var`."""
    variance, _ = _moments("std", input, dim, unbiased, keepdim, correction)
    return _rounded_to(input, _root(variance))


@function(method=True)
def var_mean(
    input: Node,
    dim: Dims | bool = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: Spread = None,
) -> tuple[Node, Node]:
    """(variance, mean) over `dim`."""
    variance, center = _moments("var_mean", input, dim, unbiased, keepdim, correction)
    return _rounded_to(input, variance), build.cast_to(center, input.tensor.dtype)


@function(method=True)
def std_mean(
    input: Node,
    dim: Dims | bool = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: Spread = None,
) -> tuple[Node, Node]:
    """(standard deviation, mean) over `dim`."""
    variance, center = _moments("std_mean", input, dim, unbiased, keepdim, correction)
    return _rounded_to(input, _root(variance)), build.cast_to(center, input.tensor.dtype)


def _truths(name: str, op: Op, input: Node, dim: Dims, keepdim: bool) -> Node:
    """Of uint8 the result is one too, and with no dimensions named nothing is reduced, both as in PyTorch."""
    found = reduced(op, truth(input), normal_dims(name, dim, len(input.shape)), keepdim)
    return build.cast_to(found, u8) if input.tensor.dtype is u8 else found


@function(method=True)
def any_(input: Node, dim: Dims = None, keepdim: bool = False) -> Node:
    """Whether an element over `dim` (all dimensions by default) is not 0."""
    return _truths("any", reduction.any_, input, dim, keepdim)


@function(method=True)
def all_(input: Node, dim: Dims = None, keepdim: bool = False) -> Node:
    """Whether all elements over `dim` (all dimensions by default) are not 0."""
    return _truths("all", reduction.all_, input, dim, keepdim)


@function(method=True)
def count_nonzero(input: Node, dim: Dims = None) -> Node:
    """How many elements over `dim` (all dimensions by default) are not 0."""
    return reduced(reduction.sum_, truth(input), dims_or_all("count_nonzero", dim, len(input.shape)), False)


@function(method=True)
def logsumexp(input: Node, dim: Dims, keepdim: bool = False) -> Node:
    """log(sum(exp(input))) over `dim`, without overflow; of nothing -inf."""
    given = floating(input)
    dims = dims_or_all("logsumexp", dim, len(given.shape))
    if not given.shape and not given.tensor.dtype.is_complex:
        return given
    x = widened(given)
    (result,) = with_gradient((_logsumexp(x, dims),), (x,), _share_of_sum)
    result = build.cast_to(result, given.tensor.dtype)
    return result if keepdim else build.reshape_to(result, tuple(s for a, s in enumerate(x.shape) if a not in dims))


def _logsumexp(x: Node, dims: tuple[int, ...]) -> Node:
    size = ew.real(x) if x.tensor.dtype.is_complex else x
    if any(x.shape[axis] == 0 for axis in dims):
        return ew.log(reduced(reduction.sum_, x, dims, True))
    most = reduced(reduction.max_, size, dims, True)
    shift = ew.select(ew.is_finite(most), most, build.zeros_like(most))
    shift = build.to_complex(shift) if x.tensor.dtype.is_complex else shift
    return ew.add(ew.log(reduced(reduction.sum_, ew.exp(sub(x, shift)), dims, True)), shift)


def _share_of_sum(ct: tuple[Node, ...], out: tuple[Node, ...], inputs: tuple[Node, ...]) -> tuple[Node]:
    """exp(x - result)."""
    return (mul(ct[0], build.conj_of(ew.exp(sub(inputs[0], out[0])))),)
