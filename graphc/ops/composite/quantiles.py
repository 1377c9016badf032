"""Elements by their rank under PyTorch's names: kthvalue, median, mode, quantile and their kin without nan."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np

from graphc.ir.dtype import Kind, f32, f64, i64, u8
from graphc.ir.errors import ArgumentError, DimensionError, DTypeError, ShapeError
from graphc.ir.graph import Node
from graphc.ir.type import Shape
from graphc.ops import along, build, creation, reduction, requirement, return_types, scan
from graphc.ops import elementwise as ew
from graphc.ops.composite.operand import normal_dim, refuse_kinds
from graphc.ops.composite.ordering import lined, order_along
from graphc.ops.composite.shapes import movedim
from graphc.ops.function import function
from graphc.ops.return_types import ValuesAndIndices
from graphc.ops.scan import moved

Pair = TypeVar("Pair", bound=ValuesAndIndices)


def not_empty(name: str, x: Node, axis: int) -> None:
    """Raise DimensionError, in PyTorch's words, for a dimension without elements."""
    if x.shape and x.shape[axis] == 0:
        raise DimensionError(
            f"{name}: Expected reduction dim {axis} to have non-zero size.", hint="there is no element to choose"
        )


def _at(kind: type[Pair], x: Node, axis: int, order: Node, position: Node, keepdim: bool) -> Pair:
    """The elements at a position of the order: [..., 1, ...] positions, [..., n, ...] order."""
    vector = lined(x)
    indices = along.take_along(order, position, axis=axis)
    values = along.take_along(vector, indices, axis=axis)
    shape = tuple(1 if a == axis else size for a, size in enumerate(x.shape) if keepdim or a != axis)
    return kind(build.reshape_to(values, shape), build.reshape_to(indices, shape))


def _row(x: Node, axis: int, value: Node) -> Node:
    """A number for each row along the axis."""
    return build.broadcast_to(value, tuple(1 if a == axis else size for a, size in enumerate(x.shape)))


def _nan_count(x: Node, axis: int) -> Node:
    """How many nan each row along the axis holds: [..., 1, ...]."""
    if not x.tensor.dtype.is_floating_point:
        return _row(x, axis, build.zero(i64))
    return build.insert_axes(reduction.sum_(ew.is_nan(x), axes=(axis,)), (axis,))


@function(method=True)
def kthvalue(input: Node, k: int, dim: int = -1, keepdim: bool = False) -> ValuesAndIndices:
    """(values, indices) of the k-th smallest element along `dim`, counted from 1."""
    axis = normal_dim("kthvalue", dim, len(input.shape))
    not_empty("kthvalue()", input, axis)
    size = lined(input).shape[axis]
    if k < 1 or (isinstance(size, int) and k > size):
        raise ArgumentError(
            f"kthvalue(): selected number k out of range for dimension {axis}", hint=f"k is from 1 to {size}"
        )
    refuse_kinds("kthvalue_cpu", input, Kind.BOOL, Kind.COMPLEX)
    x = lined(input)
    position = _row(x, axis, build.constant(k - 1, i64))
    return _at(return_types.kthvalue, input, axis, order_along(x, axis), position, keepdim)


def _median(kind: type[Pair], input: Node, dim: int | None, keepdim: bool, skips_nan: bool) -> Node | Pair:
    refuse_kinds("median_cpu", input, Kind.BOOL, Kind.COMPLEX)
    if dim is None:
        return _median_of_all(kind, input, skips_nan)
    axis = normal_dim(kind.__name__, dim, len(input.shape))
    not_empty(f"{kind.__name__}()", input, axis)
    x = lined(input)
    size = _row(x, axis, build.size_of(x.shape[axis], i64))
    one, zero = build.ones_like(size), build.zeros_like(size)
    count = _nan_count(x, axis)
    half = build.full_like(size, 1)
    if skips_nan:
        left = ew.maximum(ew.sub(ew.sub(size, count), one), zero)
        position = ew.shift_right(left, half)
    else:  # nan is last in the order: the first one is the result where there is one
        middle = ew.shift_right(ew.sub(size, one), half)
        position = ew.select(ew.gt(count, zero), ew.sub(size, count), middle)
    return _at(kind, input, axis, order_along(x, axis), position, keepdim)


def _median_of_all(kind: type[Pair], input: Node, skips_nan: bool) -> Node:
    x = build.reshape_to(input, (input.tensor.size,))
    dtype = input.tensor.dtype
    if x.shape[0] == 0:
        return build.constant(np.nan if dtype.kind is Kind.FLOAT else np.iinfo(dtype.numpy.name).min, dtype)
    found = _median(kind, x, 0, False, skips_nan)
    assert isinstance(found, kind), "along a dimension there are indices"
    if not dtype.is_floating_point:
        return found.values
    # As in PyTorch, elements that tie with the median share its gradient: that of a maximum over them.
    median_ = ew.detach(found.values)
    both = build.broadcast_to(median_, x.shape)
    is_median = ew.bitwise_or(ew.eq(x, both), ew.bitwise_and(ew.is_nan(x), ew.is_nan(both)))
    return reduction.max_(ew.select(is_median, x, build.full_like(x, -np.inf)), axes=(0,))


@function(method=True)
def median(input: Node, dim: int | None = None, keepdim: bool = False) -> Node | ValuesAndIndices:
    """The median, of an even number of elements the lower; along `dim`, (values, indices). nan if there is one."""
    return _median(return_types.median, input, dim, keepdim, False)


@function(method=True)
def nanmedian(input: Node, dim: int | None = None, keepdim: bool = False) -> Node | ValuesAndIndices:
    """The median of what isn't nan; along `dim`, (values, indices)."""
    return _median(return_types.nanmedian, input, dim, keepdim, True)


@function(method=True)
def mode(input: Node, dim: int = -1, keepdim: bool = False) -> ValuesAndIndices:
    """(values, indices) of the most frequent element along `dim`: of several the smallest, where it is last."""
    axis = normal_dim("mode", dim, len(input.shape))
    not_empty("mode()", input, axis)
    refuse_kinds("mode_cpu", input, Kind.COMPLEX)
    x = lined(input)
    if x.shape[axis] == 0 or x.tensor.size == 0:
        shape = tuple(1 if a == axis else size for a, size in enumerate(input.shape) if keepdim or a != axis)
        return return_types.mode(build.constant(0, x.tensor.dtype, shape), build.constant(0, i64, shape))
    order = order_along(x, axis)
    ordered = along.take_along(ew.detach(x) if x.tensor.dtype.is_floating_point else x, order, axis=axis)
    place = creation.iota(shape=x.shape, axis=axis, dtype=i64)
    one = build.ones_like(place)
    is_first = ew.bitwise_or(ew.ne(ordered, moved(ordered, axis, 1)), ew.eq(place, build.zeros_like(place)))
    last = ew.sub(build.broadcast_to(build.size_of(x.shape[axis], i64), x.shape), one)
    is_last = ew.bitwise_or(moved(is_first, axis, -1), ew.eq(place, last))
    start = scan.cumargmax(build.cast_to(is_first, u8), axis=axis)
    length = ew.select(is_last, ew.add(ew.sub(place, start), one), build.zeros_like(place))
    position = build.insert_axes(reduction.argmax(length, axis=axis), (axis,))
    return _at(return_types.mode, input, axis, order, position, keepdim)


INTERPOLATIONS = ("linear", "lower", "higher", "midpoint", "nearest")


def _quantile(
    name: str, input: Node, q: float | Node, dim: int | None, keepdim: bool, interpolation: str, skips_nan: bool
) -> Node:
    dtype = input.tensor.dtype
    if dtype not in (f32, f64):
        raise DTypeError(f"{name} input tensor must be either float or double dtype", hint="convert it first")
    if isinstance(q, int | float):
        if not 0 <= q <= 1:
            raise ArgumentError(f"{name} q must be in the range [0, 1] but got {q:g}", hint="it is a fraction")
        q = build.constant(q, dtype)
    else:
        q = _fractions(name, q)
    if len(q.shape) > 1:
        raise ShapeError(f"{name} q must be a scalar or 1D tensor", hint="flatten it")
    if q.tensor.dtype is not dtype:
        raise DTypeError(f"{name} q tensor must be same dtype as the input tensor", hint="convert it first")
    if interpolation not in INTERPOLATIONS:
        raise ArgumentError(
            f"{name} interpolation must be one of linear, lower, higher, midpoint or nearest, but got {interpolation}",
            hint="it is linear by default",
        )
    if input.tensor.size == 0:
        raise ShapeError(f"{name} input tensor must be non-empty", hint="there is no element to choose")
    rank = len(input.shape)
    kept: Shape
    if dim is None:
        x, kept = build.reshape_to(input, (input.tensor.size,)), (1,) * rank
    else:
        axis = normal_dim(name, dim, rank)
        x = movedim(lined(input), axis, -1)
        kept = tuple(1 if a == axis else size for a, size in enumerate(input.shape))
    found = _ranked(x, lined(q), interpolation, skips_nan)
    rest = kept if keepdim else x.shape[:-1] if rank else ()
    return build.reshape_to(movedim(found, -1, 0), (*q.shape, *rest))


def _fractions(name: str, q: Node) -> Node:
    """Numbers, for which the run checks that they are from 0 to 1."""
    is_fraction = ew.bitwise_and(ew.ge(q, build.zeros_like(q)), ew.le(q, build.ones_like(q)))
    return requirement.require(q, is_fraction, message=f"{name} q values must be in the range [0, 1]")


def _ranked(x: Node, q: Node, interpolation: str, skips_nan: bool) -> Node:
    """[..., n] and [k] -> [..., k]: what stands at the fractions q of the order."""
    axis, dtype = len(x.shape) - 1, x.tensor.dtype
    shape = (*x.shape[:-1], *q.shape)
    ordered = along.take_along(x, order_along(x, axis), axis=axis)
    size = build.broadcast_to(build.size_of(x.shape[-1], dtype), shape)
    count = build.broadcast_to(build.cast_to(_nan_count(x, axis), dtype), shape)
    fraction = build.broadcast_to(q, shape)
    one, zero = build.ones_like(size), build.zeros_like(size)
    if skips_nan:
        rank = ew.maximum(ew.mul(fraction, ew.sub(ew.sub(size, count), one)), zero)
    else:
        last = ew.sub(size, one)
        rank = ew.select(ew.gt(count, zero), last, ew.mul(fraction, last))
    rounding: dict[str, Callable[[Node], Node]] = {"lower": ew.floor, "higher": ew.ceil, "nearest": ew.round_}

    def at(position: Node) -> Node:
        return along.take_along(ordered, build.cast_to(position, i64), axis=axis)

    if interpolation in rounding:
        return at(rounding[interpolation](rank))
    below = ew.floor(rank)
    weight = build.full_like(rank, 0.5) if interpolation == "midpoint" else ew.sub(rank, below)
    a, b = at(below), at(ew.ceil(rank))
    distance = ew.sub(b, a)
    from_below = ew.add(a, ew.mul(weight, distance))
    from_above = ew.sub(b, ew.mul(distance, ew.sub(one, weight)))
    return ew.select(ew.lt(weight, build.full_like(weight, 0.5)), from_below, from_above)


@function(method=True)
def quantile(
    input: Node, q: float | Node, dim: int | None = None, keepdim: bool = False, *, interpolation: str = "linear"
) -> Node:
    """The elements at fractions q of the order along `dim`, or of all; a vector q adds a first dimension."""
    return _quantile("quantile()", input, q, dim, keepdim, interpolation, False)


@function(method=True)
def nanquantile(
    input: Node, q: float | Node, dim: int | None = None, keepdim: bool = False, *, interpolation: str = "linear"
) -> Node:
    """`quantile` of what isn't nan."""
    return _quantile("nanquantile()", input, q, dim, keepdim, interpolation, True)
