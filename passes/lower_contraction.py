"""The kernel of a contraction with its epilogue: loops over batch dimensions and one `Contract`.

In: a group whose anchor is `dot`. The result's dimensions fall into batch, rows (free dimensions of one operand) and
columns (of the other); the operand that gives the innermost dimension of the output gives the columns, so that results
are stored in runs. Panels read their operands through whatever movement the group holds: a convolution's windows are
thus taken while packing, and never stored.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from graphc.ir.dim import Size, bounds, product
from graphc.ir.dtype import DType, bf16, f16, f32
from graphc.ir.graph import Node
from graphc.ir.lowering import Scalar
from graphc.kernel.ir import LoopKind, Value
from graphc.ops.indices import split_index
from graphc.passes.access import Axis, accesses_below

if TYPE_CHECKING:
    from graphc.passes.lower import GroupLowering

FEW_COLUMNS = 32
"""Columns that one contraction should at least have before a dimension becomes a loop around it."""


def lower_contraction(group: GroupLowering, anchor: Node) -> None:
    """Write the contraction that computes `anchor`, and the group's outputs as its epilogue."""
    root = group.body.outputs[0]
    place = _places(group, anchor)
    contract = cast("tuple[tuple[int, ...], tuple[int, ...]]", anchor.attribute("contract"))
    batch = cast("tuple[tuple[int, ...], tuple[int, ...]]", anchor.attribute("batch"))
    sides = (0, 1)
    free = [
        tuple(a for a in range(len(anchor.inputs[side].shape)) if a not in contract[side] and a not in batch[side])
        for side in sides
    ]
    start = len(batch[0])
    position = [range(start, start + len(free[0])), range(start + len(free[0]), len(anchor.shape))]
    wide = [p for p in range(len(anchor.shape)) if anchor.shape[p] != 1]
    innermost = max((p for p in wide if p >= start), key=lambda p: place[p], default=len(anchor.shape) - 1)
    right = 0 if innermost in position[0] else 1
    left = 1 - right
    rows, columns = list(position[left]), list(position[right])
    around = list(range(start))
    while _should_peel(group, anchor, right, columns):
        around.append(columns.pop(0))
    shape = anchor.shape
    depth = tuple(anchor.inputs[0].shape[axis] for axis in contract[0])
    around_sizes = tuple(shape[p] for p in around)
    b = group.builder

    with b.loop(product(around_sizes), LoopKind.PARALLEL) as position_around:
        outside = dict(zip(around, split_index(position_around, around_sizes), strict=True))

        def indices_of(at: dict[int, Size]) -> tuple[Size, ...]:
            return tuple(at.get(p, 0) for p in range(len(shape)))

        def element(side: int, at: dict[int, Size], k: Size) -> Scalar:
            indices: list[Size] = [0] * len(anchor.inputs[side].shape)
            for i, axis in enumerate(batch[side]):
                indices[axis] = at.get(i, 0)
            for axis, p in zip(free[side], position[side], strict=True):
                indices[axis] = at.get(p, 0)
            for axis, index in zip(contract[side], split_index(k, depth), strict=True):
                indices[axis] = index
            x = group.read(anchor.inputs[side], tuple(indices))
            return b.cast(x, _accumulator(x.dtype))

        def along(positions: list[int], index: Size) -> dict[int, Size]:
            return dict(zip(positions, split_index(index, tuple(shape[p] for p in positions)), strict=True))

        def epilogue(m: Size, n: Size, acc: Value) -> None:
            at = {**outside, **along(rows, m), **along(columns, n)}
            dot_indices = indices_of(at)
            group.define(anchor, dot_indices, b.cast(acc, anchor.tensor.dtype))
            domain: list[Size] = [0] * len(root.shape)
            for p, index in enumerate(dot_indices):
                if shape[p] != 1:
                    domain[place[p]] = index
            for i in range(len(group.body.outputs)):
                group.write(i, tuple(domain))

        b.contract(
            product(shape[p] for p in rows),
            product(shape[p] for p in columns),
            product(depth),
            lambda m, k: element(left, {**outside, **along(rows, m)}, k),
            lambda k, n: element(right, {**outside, **along(columns, n)}, k),
            epilogue,
            _accumulator(anchor.tensor.dtype),
            parallel=product(around_sizes) == 1,
        )


def _accumulator(dtype: DType) -> DType:
    return f32 if dtype in (f16, bf16) else dtype


def _should_peel(group: GroupLowering, anchor: Node, right: int, columns: list[int]) -> bool:
    """Whether the first of several column dimensions should be a loop: where windows are taken, runs stay whole.

    On a GPU each thread finds out once where its column lies, and wide tiles are worth more.
    """
    if group.target is not None or len(columns) < 2 or anchor.inputs[right] in group.buffers:
        return False
    rest = product(anchor.shape[p] for p in columns[1:])
    return bounds(rest)[0] >= FEW_COLUMNS or bounds(rest)[1] > 4 * FEW_COLUMNS


def _places(group: GroupLowering, anchor: Node) -> dict[int, int]:
    """For each dimension of the anchor that isn't 1, the dimension of the root that it becomes."""
    (access,) = accesses_below(group.body, None)[anchor]
    return {p: index.index for p, index in enumerate(access) if isinstance(index, Axis)}
