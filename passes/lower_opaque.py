"""Kernels of the ops whose elements depend on each other in order: scans and scatters."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from graphc.ir.dim import Size, product
from graphc.ir.dtype import i64
from graphc.ir.graph import Node
from graphc.ir.lowering import Scalar
from graphc.kernel.builder import Pair
from graphc.kernel.ir import LoopKind, Operand
from graphc.ops.indices import linear_index, split_index

if TYPE_CHECKING:
    from graphc.passes.lower import GroupLowering


def lower_scan(group: GroupLowering, anchor: Node) -> None:
    """Cumulative sum: along the axis in order, each row of the other axes by itself. It reads back what it wrote."""
    b = group.builder
    x, shape = anchor.inputs[0], anchor.shape
    axis = cast("int", anchor.attribute("axis"))
    is_reverse = bool(anchor.attribute("reverse"))
    others = tuple(a for a in range(len(shape)) if a != axis)
    extent = shape[axis]
    with b.loop(product(shape[a] for a in others)) as position:
        at = dict(zip(others, split_index(position, tuple(shape[a] for a in others)), strict=True))
        with b.loop(extent, LoopKind.SERIAL) as step:
            here = extent - 1 - step if is_reverse else step
            before = here + 1 if is_reverse else here - 1
            indices, previous = (tuple(i if a == axis else at[a] for a in range(len(shape))) for i in (here, before))
            element = group.read(x, indices)
            if step != 0:
                follows = b.apply("gt", b.index(step, i64), b.constant(0, i64))
                assert not isinstance(follows, Pair), "a condition is a bool"
                total = _read_back(group, linear_index(previous, shape), element, follows)
                element = b.apply("add", total, element)
            b.store(group.results[0], linear_index(indices, shape), element)


def lower_scatter(group: GroupLowering, anchor: Node) -> None:
    """Set or add updates in order of the index; independent along the other axes. The result holds the operand."""
    b = group.builder
    _, index, updates = anchor.inputs
    shape = anchor.shape
    axis = cast("int", anchor.attribute("axis"))
    is_add = anchor.attribute("mode") == "add"
    before, after = shape[:axis], shape[axis + 1 :]
    with b.loop(product((*before, *after))) as position:
        others = split_index(position, (*before, *after))
        lead, trail = others[:axis], others[axis:]
        with b.loop(product(index.shape), LoopKind.SERIAL) as step:
            at = split_index(step, index.shape)
            wanted = b.cast(group.read(index, at), i64)
            size = b.index(shape[axis], i64)
            is_negative = b.apply("lt", wanted, b.constant(0, i64))
            wanted = b.select(is_negative, b.apply("add", wanted, size), wanted)
            is_inside = b.apply("bitwise_and", b.apply("ge", wanted, b.constant(0, i64)), b.apply("lt", wanted, size))
            assert not isinstance(is_inside, Pair), "a condition is a bool"
            b.check(is_inside, group.site(anchor))
            target: Size = b.position(wanted, shape[axis])
            place = linear_index((*lead, target, *trail), shape)
            update = group.read(updates, (*lead, *at, *trail))
            if is_add:
                update = b.apply("add", _read_back(group, place, update, is_inside), update)
            b.store(group.results[0], place, update, is_inside)


def _read_back(group: GroupLowering, position: Size, like: Scalar, condition: Operand) -> Scalar:
    """An element of the result as it is now; 0 where the condition fails."""
    b, buffer = group.builder, group.results[0]
    if isinstance(like, Pair):
        return Pair(b.load_again(buffer, 2 * position, condition), b.load_again(buffer, 2 * position + 1, condition))
    return b.load_again(buffer, position, condition)
