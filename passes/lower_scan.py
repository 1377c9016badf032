"""Kernels of the ops that go along an axis in order: running sums and extremes, linear recurrences.

In: a group whose anchor is such an op. Out: one loop over the other axes, and in it one along the axis that reads back
what the step before has written.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias, cast

from graphc.ir.dim import Size, product
from graphc.ir.dtype import i64
from graphc.ir.graph import Node
from graphc.ir.lowering import Scalar
from graphc.kernel.builder import Pair
from graphc.kernel.ir import LoopKind, Operand
from graphc.ops import reduction, scan
from graphc.ops.indices import linear_index, split_index

if TYPE_CHECKING:
    from graphc.passes.lower import GroupLowering

Place: TypeAlias = "Callable[[Size], tuple[Size, ...]]"
"""The indices of a position along the axis."""
Step: TypeAlias = "Callable[[GroupLowering, Node, Scalar, Size, Place], Scalar]"
"""(group, anchor, result of the step before, position, place) -> the result here."""


def lower_scan(group: GroupLowering, anchor: Node) -> None:
    """Along the axis in order, each row of the other axes by itself."""
    b = group.builder
    shape = anchor.shape
    axis = cast("int", anchor.attribute("axis"))
    is_reverse = bool(anchor.keywords.get("reverse", False))
    others = tuple(a for a in range(len(shape)) if a != axis)
    extent = shape[axis]
    first, follow = STEPS[anchor.op.name]
    with b.loop(product(shape[a] for a in others)) as position:
        at = dict(zip(others, split_index(position, tuple(shape[a] for a in others)), strict=True))

        def place(step: Size) -> tuple[Size, ...]:
            return tuple(step if a == axis else at[a] for a in range(len(shape)))

        with b.loop(extent, LoopKind.SERIAL) as step:
            here = extent - 1 - step if is_reverse else step
            result = first(group, anchor, place(here))
            if step != 0:
                follows = b.apply("gt", b.index(step, i64), b.constant(0, i64))
                assert not isinstance(follows, Pair), "a condition is a bool"
                before = linear_index(place(here + 1 if is_reverse else here - 1), shape)
                total = read_back(group, before, result, follows)
                result = b.select(follows, follow(group, anchor, total, here, place), result)
            b.store(group.results[0], linear_index(place(here), shape), result)


def read_back(group: GroupLowering, position: Size, like: Scalar, condition: Operand) -> Scalar:
    """An element of the result as it is now; 0 where the condition fails."""
    b, buffer = group.builder, group.results[0]
    if isinstance(like, Pair):
        return Pair(b.load_again(buffer, 2 * position, condition), b.load_again(buffer, 2 * position + 1, condition))
    return b.load_again(buffer, position, condition)


def _last_operand(group: GroupLowering, anchor: Node, indices: tuple[Size, ...]) -> Scalar:
    return group.read(anchor.inputs[-1], indices)


def _nowhere(group: GroupLowering, anchor: Node, indices: tuple[Size, ...]) -> Scalar:
    return group.builder.constant(0, i64)


def _add(group: GroupLowering, anchor: Node, before: Scalar, here: Size, place: Place) -> Scalar:
    return group.builder.apply("add", before, group.read(anchor.inputs[0], place(here)))


def _follow_recurrence(group: GroupLowering, anchor: Node, before: Scalar, here: Size, place: Place) -> Scalar:
    factor, addend = (group.read(x, place(here)) for x in anchor.inputs)
    return group.builder.apply("add", group.builder.apply("mul", factor, before), addend)


def _follow_position(compare: str) -> Step:
    def follow(group: GroupLowering, anchor: Node, before: Scalar, here: Size, place: Place) -> Scalar:
        b, x = group.builder, anchor.inputs[0]
        element = group.read(x, place(here))
        best = group.read(x, place(b.position(before, x.shape[cast("int", anchor.attribute("axis"))])))
        is_best = b.apply("bitwise_or", b.apply(compare, element, best), b.apply("ne", element, element))
        return b.select(is_best, b.index(here, i64), before)

    return follow


def _add_exponentials(group: GroupLowering, anchor: Node, before: Scalar, here: Size, place: Place) -> Scalar:
    """log(exp(before) + exp(x)): the greater of the two plus log1p(exp(-their distance))."""
    b = group.builder
    x = group.read(anchor.inputs[0], place(here))
    most, least = b.apply("maximum", before, x), b.apply("minimum", before, x)
    distance = b.apply("sub", least, most)
    # Of two equal infinities the distance is nan, and the sum is what they are.
    is_infinite = b.apply("bitwise_and", b.apply("eq", least, most), b.apply("ne", distance, distance))
    return b.select(is_infinite, most, b.apply("add", most, b.apply("log1p", b.apply("exp", distance))))


First: TypeAlias = "Callable[[GroupLowering, Node, tuple[Size, ...]], Scalar]"

STEPS: dict[str, tuple[First, Step]] = {
    reduction.cumsum.name: (_last_operand, _add),
    scan.recurrence.name: (_last_operand, _follow_recurrence),
    scan.cumargmax.name: (_nowhere, _follow_position("ge")),
    scan.cumargmin.name: (_nowhere, _follow_position("le")),
    scan.logcumsumexp.name: (_last_operand, _add_exponentials),
}
"""Of each op: what the first step gives, and what one that follows another gives."""
