"""Ops that go along an axis in order and keep what they have found: linear recurrences, running extremes.

Level: tensor graph. In: operands and the axis. Out: as many elements as there are. The running sum is in `reduction`;
a running product is a recurrence.

    recurrence(a, b, axis=0)        # y[t] = a[t] * y[t - 1] + b[t], y[0] = b[0]
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from graphc.ir.dtype import i64
from graphc.ir.graph import Node
from graphc.ir.op import Flags, Op, register
from graphc.ir.type import TensorType
from graphc.ops import build, check, elementwise, movement
from graphc.ops.numerics import NumpyArray, exactly, widely
from graphc.ops.reduction import summable


def moved(x: Node, axis: int, by: int, fill: float = 0.0) -> Node:
    """The element `by` places back along an axis for each place, `fill` where there is none."""
    low = tuple(by if a == axis else 0 for a in range(len(x.shape)))
    value = build.constant(fill, x.tensor.dtype)
    return movement.pad(x, value, low=low, high=tuple(-n for n in low), interior=(0,) * len(low))


def _recurrence_type(a: TensorType, b: TensorType, *, axis: int, reverse: bool) -> TensorType:
    summable("recurrence", a)
    check.equal_dtypes("recurrence", a, b)
    check.equal_shapes("recurrence", a, b)
    check.axis_in_range("recurrence", a, axis)
    return a


def _recurrence_compute(a: NumpyArray, b: NumpyArray, axis: int, reverse: bool) -> NumpyArray:
    result = np.array(b)
    factors, totals = (np.moveaxis(x, axis, 0)[:: -1 if reverse else 1] for x in (a, result))
    for step in range(1, len(totals)):
        totals[step] += factors[step] * totals[step - 1]
    return result


def _recurrence_vjp(ct: Node, out: Node, a: Node, b: Node, *, axis: int, reverse: bool) -> tuple[Node, Node]:
    # What flows into y[t] is its own cotangent and that of y[t + 1], times the factor there: a recurrence backwards.
    by = -1 if reverse else 1
    total = recurrence(moved(build.conj_of(a), axis, -by), ct, axis=axis, reverse=not reverse)
    return elementwise.mul(total, moved(build.conj_of(out), axis, by)), total


recurrence: Op = register(
    Op(
        "recurrence",
        "y[t] = a[t] * y[t-1] + b[t] along an axis, from its end if `reverse`; the first is b itself",
        type_rule=_recurrence_type,
        reference=widely(_recurrence_compute),
        vjp=_recurrence_vjp,
        flags=Flags.OPAQUE,
        defaults=(("reverse", False),),
    )
)


def _cumulative_position(name: str, summary: str, compare: Callable[[NumpyArray, NumpyArray], NumpyArray]) -> Op:
    def type_rule(x: TensorType, *, axis: int) -> TensorType:
        check.takes(name, x, check.REAL)
        check.axis_in_range(name, x, axis)
        return x.with_dtype(i64)

    def compute(x: NumpyArray, axis: int) -> NumpyArray:
        result = np.zeros(x.shape, np.int64)
        elements, places = np.moveaxis(x, axis, 0), np.moveaxis(result, axis, 0)
        for step in range(1, len(places)):
            best = np.take_along_axis(elements, places[step - 1][None], 0)[0]
            is_best = compare(elements[step], best) | (elements[step] != elements[step])
            places[step] = np.where(is_best, step, places[step - 1])
        return result

    return register(Op(name, summary, type_rule, exactly(compute), flags=Flags.OPAQUE))


cumargmax: Op = _cumulative_position(
    "cumargmax", "where the greatest element so far is along an axis; the last of ties, nan wins", np.greater_equal
)
cumargmin: Op = _cumulative_position(
    "cumargmin", "where the least element so far is along an axis; the last of ties, nan wins", np.less_equal
)


def _logcumsumexp_type(x: TensorType, *, axis: int) -> TensorType:
    check.takes("logcumsumexp", x, check.FLOAT)
    summable("logcumsumexp", x)
    check.axis_in_range("logcumsumexp", x, axis)
    return x


def _logcumsumexp_vjp(ct: Node, out: Node, x: Node, *, axis: int) -> tuple[Node]:
    # dx[k] = sum over t >= k of ct[t] exp(x[k] - y[t]). Each y is at least the one before, so what comes from behind is
    # carried forward by factors exp(y[k] - y[k + 1]) of at most 1, which neither overflow nor cancel.
    def weight(a: Node, b: Node) -> Node:
        is_nothing = elementwise.eq(a, build.full_like(a, -np.inf))
        safe = elementwise.select(is_nothing, build.zeros_like(a), elementwise.sub(a, b))
        return elementwise.select(is_nothing, build.zeros_like(a), elementwise.exp(safe))

    total = recurrence(weight(out, moved(out, axis, -1, np.inf)), ct, axis=axis, reverse=True)
    return (elementwise.mul(weight(x, out), total),)


logcumsumexp: Op = register(
    Op(
        "logcumsumexp",
        "the logarithm of the running sum of exponentials along an axis",
        type_rule=_logcumsumexp_type,
        reference=widely(lambda x, axis: np.logaddexp.accumulate(x, axis=axis)),
        vjp=_logcumsumexp_vjp,
        flags=Flags.OPAQUE,
    )
)
