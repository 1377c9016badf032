"""Ops that combine elements along axes: sum, prod, max, min, any, all, argmax, argmin; and the running sum.

Level: tensor graph. In: one operand and the axes, which the result no longer has. The kernel level fixes in which order
elements combine: adjacent axes are taken as one, in row-major order, and groups of them are reduced from the last to
the first.

    sum_(x, axes=(1,))      # [n, 10] -> [n]
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from graphc.ir.dim import Size, product
from graphc.ir.dtype import DType, Kind, bf16, c64, c128, f16, f32, f64, i64
from graphc.ir.errors import DTypeError, ShapeError
from graphc.ir.graph import Node
from graphc.ir.lowering import Builder, Operand, Scalar
from graphc.ir.op import Flags, Op, register
from graphc.ir.type import TensorType
from graphc.ops import build, check, elementwise
from graphc.ops.indices import split_index
from graphc.ops.numerics import NumpyArray, exactly, widely

Axes: TypeAlias = "tuple[int, ...]"


def _reduced(x: TensorType, axes: Axes) -> TensorType:
    return x.with_shape(tuple(size for axis, size in enumerate(x.shape) if axis not in axes))


def adjacent_groups(axes: Axes) -> tuple[Axes, ...]:
    """Sorted axes cut into runs of neighbours.

    >>> adjacent_groups((0, 1, 3))
    ((0, 1), (3,))
    """
    groups: list[Axes] = []
    for axis in axes:
        if groups and groups[-1][-1] == axis - 1:
            groups[-1] = (*groups[-1], axis)
        else:
            groups.append((axis,))
    return tuple(groups)


def _lower_reduce(
    b: Builder, combiner: str, x: Operand, i: tuple[Size, ...], axes: Axes, element: Callable[[Scalar], Scalar]
) -> Scalar:
    groups = adjacent_groups(axes)
    kept = iter(i)
    source: list[Size] = [0 if axis in axes else next(kept) for axis in range(x.type.rank)]

    def over(depth: int, indices: tuple[Size, ...]) -> Scalar:
        if depth == len(groups):
            return element(x(indices))
        group = groups[depth]
        shape = tuple(x.type.shape[axis] for axis in group)

        def at(k: Size) -> Scalar:
            inner = list(indices)
            for axis, index in zip(group, split_index(k, shape)):
                inner[axis] = index
            return over(depth + 1, tuple(inner))

        return b.reduce(combiner, product(shape), at)

    return over(0, tuple(source))


def _accumulated(dtype: DType) -> DType:
    """In which dtype values of this one are summed and multiplied."""
    return f32 if dtype in (f16, bf16) else _total(dtype)


def _total(dtype: DType) -> DType:
    """Which dtype a sum or product of this one has."""
    return dtype if dtype.is_differentiable else i64


def _as_total(x: NumpyArray) -> NumpyArray:
    return x if x.dtype.kind in "fc" else x.astype(np.int64)


def _arithmetic(
    name: str,
    summary: str,
    reference: Callable[..., NumpyArray],
    takes: tuple[Kind, ...],
    vjp: Callable[..., tuple[Node]],
) -> Op:
    """A sum or product: integers and bools give int64, halves accumulate in float32."""

    def type_rule(x: TensorType, *, axes: Axes) -> TensorType:
        check.takes(name, x, takes)
        return _reduced(x, check.distinct_axes(name, x, axes, is_sorted=True)).with_dtype(_total(x.dtype))

    def lower(b: Builder, out: TensorType, i: tuple[Size, ...], x: Operand, *, axes: Axes) -> Scalar:
        wide = _accumulated(x.type.dtype)
        return b.cast(_lower_reduce(b, name, x, i, axes, lambda v: b.cast(v, wide)), out.dtype)

    return register(Op(name, summary, type_rule, widely(reference), vjp, lower, Flags.REDUCTION))


def _sum_vjp(ct: Node, out: Node, x: Node, *, axes: Axes) -> tuple[Node]:
    return (build.repeat_along(ct, axes, x.shape),)


sum_: Op = _arithmetic(
    "sum",
    "the sum along axes",
    # Over no axes numpy adds each element to 0.0, which loses the sign of -0.0.
    lambda x, axes: np.asarray(np.sum(_as_total(x), axis=axes)) if axes else _as_total(x),
    check.ANY,
    _sum_vjp,
)


def _prod_vjp(ct: Node, out: Node, x: Node, *, axes: Axes) -> tuple[Node]:
    # The slope by an element is the product of the others. Where the element isn't 0 that is out / x. For one that is,
    # it is the product of the elements that aren't 0 times the other zeros: 1 if there are none, their sum less the
    # element if there is one other, which keeps it exact in the second order.
    zero, one = build.zeros_like(x), build.ones_like(x)

    def along(reduced: Node) -> Node:
        return build.repeat_along(reduced, axes, x.shape)

    is_zero = elementwise.eq(x, zero)
    filled = elementwise.select(is_zero, one, x)
    rest = prod(filled, axes=axes)
    count = along(sum_(elementwise.select(is_zero, one, zero), axes=axes))
    zeros = along(sum_(elementwise.select(is_zero, x, zero), axes=axes))
    is_pair = elementwise.eq(count, build.full_like(count, 2))
    other = elementwise.select(is_pair, elementwise.sub(zeros, x), zero)
    others = elementwise.select(elementwise.eq(count, one), one, other)
    by_zero = elementwise.mul(along(elementwise.mul(ct, rest)), others)
    by_other = elementwise.div(along(elementwise.mul(ct, out)), filled)
    return (elementwise.select(is_zero, by_zero, by_other),)


prod: Op = _arithmetic(
    "prod",
    "the product along axes",
    lambda x, axes: np.asarray(np.prod(_as_total(x), axis=axes)),
    check.ORDERED,
    _prod_vjp,
)


def _not_empty(op: str, x: TensorType, axes: Axes) -> None:
    for axis in axes:
        if x.shape[axis] == 0:
            raise ShapeError(
                f"{op}: axis {axis} of the shape {check.shape_text(x.shape)} is empty",
                hint="an empty axis has no such element: reduce along another axis, or pad this one",
            )


def _extreme_vjp(ct: Node, out: Node, x: Node, *, axes: Axes) -> tuple[Node]:
    is_extreme = elementwise.eq(x, build.repeat_along(out, axes, x.shape))
    weight = elementwise.cast(is_extreme, dtype=x.tensor.dtype)
    share = elementwise.div(ct, sum_(weight, axes=axes))
    return (elementwise.mul(build.repeat_along(share, axes, x.shape), weight),)


def _extreme(name: str, summary: str, numpy_function: Callable[..., NumpyArray]) -> Op:
    """The greatest or least element; nan wins, ties share the gradient. Nothing gives the least or greatest number."""

    def type_rule(x: TensorType, *, axes: Axes) -> TensorType:
        check.takes(name, x, check.REAL)
        check.distinct_axes(name, x, axes, is_sorted=True)
        _not_empty(name, x, axes)
        return _reduced(x, axes)

    def compute(x: NumpyArray, axes: Axes) -> NumpyArray:
        ends = (-np.inf, np.inf) if x.dtype.kind == "f" else (np.iinfo(x.dtype).min, np.iinfo(x.dtype).max)
        start = x.dtype.type(ends[0] if name == "max" else ends[1])
        return numpy_function(x, axis=axes, initial=start)

    def lower(b: Builder, out: TensorType, i: tuple[Size, ...], x: Operand, *, axes: Axes) -> Scalar:
        return _lower_reduce(b, name, x, i, axes, lambda v: v)

    return register(Op(name, summary, type_rule, exactly(compute), _extreme_vjp, lower, Flags.REDUCTION))


max_: Op = _extreme("max", "the greatest element along axes; nan wins", np.max)
min_: Op = _extreme("min", "the least element along axes; nan wins", np.min)


def _logical(name: str, summary: str, numpy_function: Callable[..., NumpyArray]) -> Op:
    def type_rule(x: TensorType, *, axes: Axes) -> TensorType:
        check.takes(name, x, check.BOOL)
        return _reduced(x, check.distinct_axes(name, x, axes, is_sorted=True))

    def lower(b: Builder, out: TensorType, i: tuple[Size, ...], x: Operand, *, axes: Axes) -> Scalar:
        return _lower_reduce(b, name, x, i, axes, lambda v: v)

    reference = exactly(lambda x, axes: numpy_function(x, axis=axes))
    return register(Op(name, summary, type_rule, reference, lower=lower, flags=Flags.REDUCTION))


any_: Op = _logical("any", "whether one is true along axes", np.any)
all_: Op = _logical("all", "whether all are true along axes", np.all)


def _position(name: str, summary: str, numpy_function: Callable[..., NumpyArray]) -> Op:
    def type_rule(x: TensorType, *, axis: int) -> TensorType:
        check.takes(name, x, check.REAL)
        check.axis_in_range(name, x, axis)
        _not_empty(name, x, (axis,))
        return _reduced(x, (axis,)).with_dtype(i64)

    def compute(x: NumpyArray, axis: int) -> NumpyArray:
        if x.shape[axis] == 0:
            return np.zeros(x.shape[:axis] + x.shape[axis + 1 :], np.int64)
        return numpy_function(x, axis=axis)

    def lower(b: Builder, out: TensorType, i: tuple[Size, ...], x: Operand, *, axis: int) -> Scalar:
        return b.reduce(name, x.type.shape[axis], lambda k: x((*i[:axis], k, *i[axis:])))

    return register(Op(name, summary, type_rule, exactly(compute), lower=lower, flags=Flags.REDUCTION))


argmax: Op = _position("argmax", "where the greatest element along an axis is; the first of ties, nan wins", np.argmax)
argmin: Op = _position("argmin", "where the least element along an axis is; the first of ties, nan wins", np.argmin)


def summable(op: str, x: TensorType) -> None:
    """Many additions one after another: the operand must have a dtype that is good for sums."""
    if x.dtype is not i64 and x.dtype not in (f32, f64, c64, c128):
        better = "float32" if x.dtype.is_floating_point else "int64"
        raise DTypeError(
            f"{op}: adds up int64, float32, float64 or complex numbers, not {x.dtype.name}",
            hint=f"convert it first, and the result back if need be: x.to({better!r})",
        )


def _cumsum_type(x: TensorType, *, axis: int, reverse: bool) -> TensorType:
    summable("cumsum", x)
    check.axis_in_range("cumsum", x, axis)
    return x


def _cumsum_compute(x: NumpyArray, axis: int, reverse: bool) -> NumpyArray:
    return np.flip(np.cumsum(np.flip(x, axis), axis), axis) if reverse else np.cumsum(x, axis)


cumsum: Op = register(
    Op(
        "cumsum",
        "the running sum along an axis, from its end if `reverse`",
        type_rule=_cumsum_type,
        reference=widely(_cumsum_compute),
        vjp=lambda ct, out, x, *, axis, reverse: (cumsum(ct, axis=axis, reverse=not reverse),),
        flags=Flags.OPAQUE,
        defaults=(("reverse", False),),
    )
)
