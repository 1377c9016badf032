"""Add up the cotangents that reach one value.

Level: tensor graph. In: the contributions of a value's users, in order. Out: their sum. Contributions of slices along
an axis are zero but for their own part; where parts don't overlap they are joined instead of added, so that the
gradient of a value that is read slice by slice (a sequence step by step, a projection in three parts) takes time in
proportion to its size, not to its size times the number of slices.

    pad(a, 0) {low=(0), high=(2)} + pad(b, 0) {low=(3), high=(0)}      becomes      concat(a, b) {axis=0}
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from graphc.ir.graph import Node
from graphc.ir.type import Shape
from graphc.ops import build, movement
from graphc.ops import elementwise as ew
from graphc.passes.match import is_splat, sizes_of, static_shape


@dataclass(frozen=True, slots=True)
class _Part:
    """A contribution that is zero but for the places `start` to `stop` of one axis."""

    node: Node
    axis: int
    start: int
    stop: int
    size: int
    """Of the axis."""


def accumulate(contributions: Sequence[Node]) -> Node:
    """The sum of the contributions, added in their order; parts that don't overlap are joined."""
    left = _join_parts(contributions) if len(contributions) > 1 else tuple(contributions)
    total = left[0]
    for contribution in left[1:]:
        total = ew.add(total, contribution)
    return total


def _join_parts(contributions: Sequence[Node]) -> tuple[Node, ...]:
    """The contributions with parts along the same axis replaced, in the place of the first, by one joined value."""
    found = {node: part for node in contributions if (part := _as_part(node)) is not None}
    by_axis: dict[int, list[_Part]] = {}
    for node in contributions:
        if node in found:
            by_axis.setdefault(found[node].axis, []).append(found[node])
    joined = {axis: _join(parts) for axis, parts in by_axis.items() if len(parts) > 1}
    result: list[Node] = []
    placed: set[int] = set()
    for node in contributions:
        whole = joined.get(found[node].axis) if node in found else None
        if whole is None:
            result.append(node)
        elif found[node].axis not in placed:
            placed.add(found[node].axis)
            result.append(whole)
    return tuple(result)


def _as_part(node: Node) -> _Part | None:
    if node.op is not movement.pad or not is_splat(node.inputs[1], 0):
        return None
    low, high = sizes_of(node, "low"), sizes_of(node, "high")
    wide = [axis for axis in range(len(low)) if low[axis] != 0 or high[axis] != 0]
    if len(wide) != 1 or any(gap != 0 for gap in sizes_of(node, "interior")):
        return None
    (axis,) = wide
    size = static_shape((low[axis], node.inputs[0].shape[axis], high[axis]))
    if size is None or size[0] < 0 or size[2] < 0:
        return None
    return _Part(node.inputs[0], axis, size[0], size[0] + size[1], sum(size))


def _join(parts: Sequence[_Part]) -> Node | None:
    """The sum of parts along one axis: equal places added, the others in order with zeros around them and between.

    None if some overlap.
    """
    spans: dict[tuple[int, int], Node] = {}
    for part in parts:
        span = part.start, part.stop
        spans[span] = ew.add(spans[span], part.node) if span in spans else part.node
    ordered = sorted(spans)
    if any(before[1] > after[0] for before, after in pairwise(ordered)):
        return None
    axis, size = parts[0].axis, parts[0].size
    pieces = [spans[ordered[0]]]
    for before, after in pairwise(ordered):
        node = spans[after]
        if before[1] < after[0]:
            pieces.append(build.constant(0, node.tensor.dtype, _with(node.shape, axis, after[0] - before[1])))
        pieces.append(node)
    whole = movement.concat(*pieces, axis=axis) if len(pieces) > 1 else pieces[0]
    low, high = ordered[0][0], size - ordered[-1][1]
    if not low and not high:
        return whole
    zeros = (0,) * len(whole.shape)
    zero = build.zero(whole.tensor.dtype)
    return movement.pad(whole, zero, low=_with(zeros, axis, low), high=_with(zeros, axis, high), interior=zeros)


def _with(sizes: Shape, axis: int, size: int) -> Shape:
    return sizes[:axis] + (size,) + sizes[axis + 1 :]
