"""Views as movement of a base's elements, in graphs.

Level: between numpy's strides and the IR. In: an array, the node of its values, and a view of the same memory. Out: the
node of the view's values, or of the base's after a write to the view. Regular views become slices, reshapes and
permutations, which cost nothing; others are gathered from places that are known now.

    part_of(base, node, base.T)      # permute(node)
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from graphc.eager.geometry import address_of, as_real, is_dense, positions
from graphc.eager.tensor import AnyArray
from graphc.ir.attribute import Array
from graphc.ir.dtype import dtype as to_dtype
from graphc.ir.graph import Node
from graphc.ops import build, creation, indexing, movement
from graphc.ops.function import functions


def part_of(base: AnyArray, node: Node, part: AnyArray) -> Node:
    """The values of a view, given those of its base."""
    if part.dtype != base.dtype:
        if base.dtype.kind == "c" and part.dtype == base.real.dtype:
            return part_of(as_real(base), _built("view_as_real", node), part)
        if part.dtype.kind == "c" and base.dtype == part.real.dtype:
            return _built("view_as_complex", part_of(base, node, as_real(part)))
        return _bits(base, node, part)
    regular = _regular(base, node, part)
    if regular is not None:
        return regular
    flat = build.reshape_to(node, (math.prod(node.shape),))
    return indexing.gather(flat, _places(base, part), axis=0)


def with_part(base: AnyArray, node: Node, part: AnyArray, value: Node) -> Node:
    """The base's values after the view has got others."""
    if part.dtype != base.dtype:
        if base.dtype.kind == "c" and part.dtype == base.real.dtype:
            pairs = with_part(as_real(base), _built("view_as_real", node), part, value)
            return _built("view_as_complex", pairs)
        if part.dtype.kind == "c" and base.dtype == part.real.dtype:
            return with_part(base, node, as_real(part), _built("view_as_real", value))
        whole = _bits(base, node, part, is_whole=True)
        return _built("view", with_part(base.view(part.dtype), whole, part, value), to_dtype(base.dtype))
    block = _block(base, part)
    if block is not None:
        starts, sizes = block
        update = build.reshape_to(value, sizes)
        if sizes == node.shape:
            return update
        places = [build.constant(start, to_dtype(np.dtype(np.int64))) for start in starts]
        return indexing.dynamic_update(node, update, *places)
    flat = build.reshape_to(node, (math.prod(node.shape),))
    written = indexing.scatter(flat, _places(base, part), value, axis=0, mode="set")
    return build.reshape_to(written, node.shape)


def _built(name: str, *operands: object) -> Node:
    found = functions()[name].build(*operands)
    assert isinstance(found, Node)
    return found


def _bits(base: AnyArray, node: Node, part: AnyArray, is_whole: bool = False) -> Node:
    """The bits of the base read as another dtype."""
    whole = base.view(part.dtype)
    found = _built("view", node, to_dtype(part.dtype))
    return found if is_whole else part_of(whole, found, part)


def _places(base: AnyArray, part: AnyArray) -> Node:
    return creation.constant(value=Array(positions(base, part)))


def _block(base: AnyArray, part: AnyArray) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    """Starts and sizes, along the base's axes, of a view that is a range along each; None for other views."""
    if not base.flags.c_contiguous:
        return None
    starts = tuple(map(int, np.unravel_index((address_of(part) - address_of(base)) // base.itemsize, base.shape)))
    own = [(size, step) for size, step in zip(part.shape, part.strides) if size != 1]
    sizes: list[int] = []
    at = 0
    for axis, (size, step) in enumerate(zip(base.shape, base.strides)):
        if at < len(own) and own[at][1] == step and own[at][0] <= size - starts[axis]:
            sizes.append(own[at][0])
            at += 1
        else:
            sizes.append(1)
    return (starts, tuple(sizes)) if at == len(own) else None


def _regular(base: AnyArray, node: Node, part: AnyArray) -> Node | None:
    """A view whose axes nest, as slices and reshapes of the base's elements in memory order; None for other views."""
    if not is_dense(base):
        return None
    order = sorted(range(base.ndim), key=lambda axis: (-base.strides[axis], -base.shape[axis]))
    order = [a for a in order if base.shape[a] != 1] + [a for a in order if base.shape[a] == 1]
    x = build.permute_to(node, tuple(order))
    x = build.reshape_to(x, (math.prod(x.shape),))
    unit = part.itemsize
    axes = [axis for axis, (size, step) in enumerate(zip(part.shape, part.strides)) if size != 1 and step != 0]
    axes.sort(key=lambda axis: -part.strides[axis])
    steps = [(part.shape[axis], part.strides[axis] // unit) for axis in axes]
    found = _nested(x, (address_of(part) - address_of(base)) // unit, steps)
    if found is None:
        return None
    # Axes back in their places, those of size 1 and repeated ones between them.
    found = build.permute_to(found, tuple(axes.index(axis) for axis in sorted(axes)))
    found = build.reshape_to(found, tuple(n if axis in axes else 1 for axis, n in enumerate(part.shape)))
    return build.broadcast_to(found, part.shape)


def _nested(x: Node, offset: int, steps: Sequence[tuple[int, int]]) -> Node | None:
    """Elements of the last axis of x at an offset, by sizes and steps from the slowest to the fastest."""
    lead: tuple[int, ...] = ()
    for number, (size, step) in enumerate(steps):
        length = x.tensor.shape[-1]
        assert isinstance(length, int)
        reach = 1 + sum((n - 1) * s for n, s in steps[number + 1 :])
        if step < reach:
            return None
        row, column = divmod(offset, step)
        if length % step == 0 and column + reach <= step:
            x = build.reshape_to(x, (*lead, length // step, step))
            x = _ranged(x, len(lead), row, row + size)
            offset = column
        elif offset + size * step <= length:
            x = _ranged(x, len(lead), offset, offset + size * step)
            x = build.reshape_to(x, (*lead, size, step))
            offset = 0
        else:
            return None
        lead = (*lead, size)
    x = _ranged(x, len(lead), offset, offset + 1)
    return build.reshape_to(x, lead)


def _ranged(x: Node, axis: int, start: int, stop: int) -> Node:
    shape = x.shape
    if (start, stop) == (0, shape[axis]):
        return x
    ones = (1,) * len(shape)
    starts = tuple(start if a == axis else 0 for a in range(len(shape)))
    stops = tuple(stop if a == axis else n for a, n in enumerate(shape))
    return movement.slice_(x, start=starts, stop=stops, step=ones)
