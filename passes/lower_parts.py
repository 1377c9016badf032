"""The kernels of a `concat` of many parts: each part is written by loops of its own.

In: a group whose root is such a `concat`. Out: kernels that store the parts one after another, each at its place. If
pulled element by element, every element of the result would ask of every part whether it lies there.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, cast

from graphc.ir.dim import Size, is_at_most, product
from graphc.ir.graph import Node
from graphc.ops import movement
from graphc.ops.indices import linear_index, split_index
from graphc.passes.schedule import CHUNK

if TYPE_CHECKING:
    from graphc.passes.lower import GroupLowering, KernelCall

PART_LIMIT = 8
"""Parts that a kernel may tell apart at each element."""
SERIAL_LIMIT = 65536
"""Elements that one thread may copy, to have one kernel for all parts."""


def has_many_parts(node: Node) -> bool:
    """Whether the node is better written part by part."""
    return node.op is movement.concat and len(node.inputs) > PART_LIMIT


def lower_parts(group: GroupLowering) -> list[KernelCall]:
    """One kernel for each part, or for all of them where together they are no work for several threads."""
    root = group.body.outputs[0]
    axis = cast("int", root.attribute("axis"))
    calls: list[KernelCall] = []
    offset: Size = 0
    parts = [part for part in root.inputs if part.tensor.size != 0]
    is_small = product(root.shape[:axis]) == 1 and is_at_most(root.tensor.size, SERIAL_LIMIT)
    is_small = is_small and all(is_at_most(part.tensor.size, CHUNK) for part in parts)
    for part in parts:
        _write(group, root, part, axis, offset)
        offset = offset + part.shape[axis]
        if not is_small or part is parts[-1]:
            calls.append(replace(group.finish(), is_part=not is_small))
            group.restart()
    return calls


def _write(group: GroupLowering, root: Node, part: Node, axis: int, offset: Size) -> None:
    before, rest = part.shape[:axis], part.shape[axis:]
    with group.builder.loop(product(before)) as outer, group.builder.loop(product(rest)) as inner:
        indices = (*split_index(outer, before), *split_index(inner, rest))
        target = (*indices[:axis], indices[axis] + offset, *indices[axis + 1 :])
        x = group.read(part, indices)
        group.builder.store(group.results[0], linear_index(target, root.shape), x)
