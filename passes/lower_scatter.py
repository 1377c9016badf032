"""The kernels of scatters, whose updates of one element happen in order.

In: a group whose anchor is `scatter` or `put_along`, and whose result holds the operand already. Out: loops over the
axes along which updates are independent, and in them one over the updates.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias, cast

from graphc.ir.dim import Size, product
from graphc.ir.dtype import i64
from graphc.ir.graph import Node
from graphc.ir.lowering import Scalar
from graphc.kernel.builder import Pair
from graphc.kernel.ir import LoopKind
from graphc.ops import along, indexing
from graphc.ops.indices import linear_index, split_index
from graphc.passes.lower_scan import read_back

if TYPE_CHECKING:
    from graphc.passes.lower import GroupLowering

Indices: TypeAlias = "tuple[Size, ...]"

COMBINERS = {"set": None, "add": "add", "mul": "mul", "max": "maximum", "min": "minimum"}
"""Of each mode: the scalar op that combines an element with an update."""


def lower_scatter(group: GroupLowering, anchor: Node) -> None:
    """One index for all that stands beside the axis."""
    b = group.builder
    _, index, updates = anchor.inputs
    shape = anchor.shape
    axis = cast("int", anchor.attribute("axis"))
    before, after = shape[:axis], shape[axis + 1 :]
    with b.loop(product((*before, *after))) as position:
        others = split_index(position, (*before, *after))
        lead, trail = others[:axis], others[axis:]
        with b.loop(product(index.shape), LoopKind.SERIAL) as step:
            at = split_index(step, index.shape)
            wanted = b.cast(group.read(index, at), i64)
            is_negative = b.apply("lt", wanted, b.constant(0, i64))
            wanted = b.select(is_negative, b.apply("add", wanted, b.index(shape[axis], i64)), wanted)
            update = group.read(updates, (*lead, *at, *trail))
            _apply(group, anchor, wanted, update, lead, trail)


def lower_put_along(group: GroupLowering, anchor: Node) -> None:
    """An index for each place."""
    b = group.builder
    _, index, updates = anchor.inputs
    axis = cast("int", anchor.attribute("axis"))
    sizes = (*index.shape[:axis], *index.shape[axis + 1 :])
    with b.loop(product(sizes)) as position:
        others = split_index(position, sizes)
        lead, trail = others[:axis], others[axis:]
        with b.loop(index.shape[axis], LoopKind.SERIAL) as step:
            at = (*lead, step, *trail)
            wanted = b.cast(group.read(index, at), i64)
            _apply(group, anchor, wanted, group.read(updates, at), lead, trail)


def _apply(group: GroupLowering, anchor: Node, wanted: Scalar, update: Scalar, lead: Indices, trail: Indices) -> None:
    """Combine an element of the result with an update, if the index between the others names one; report it if not."""
    b = group.builder
    extent = anchor.shape[cast("int", anchor.attribute("axis"))]
    is_inside = b.apply(
        "bitwise_and", b.apply("ge", wanted, b.constant(0, i64)), b.apply("lt", wanted, b.index(extent, i64))
    )
    assert not isinstance(is_inside, Pair), "a condition is a bool"
    b.check(is_inside, group.site(anchor))
    position = linear_index((*lead, b.position(wanted, extent), *trail), anchor.shape)
    combine = COMBINERS[cast("str", anchor.attribute("mode"))]
    if combine is not None:
        update = b.apply(combine, read_back(group, position, update, is_inside), update)
    b.store(group.results[0], position, update, is_inside)


SCATTERS = {indexing.scatter: lower_scatter, along.put_along: lower_put_along}
"""Ops whose result holds the operand first."""
