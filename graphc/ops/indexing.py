"""Ops that find elements by computed indices: gather, scatter, slices at computed places.

Level: tensor graph. In: an operand and integers. Out: elements of it, or it with elements replaced. Indices of gather
and scatter may be negative to count from the end; one that names no element is reported by the run.

    gather(table, token, axis=0)      # [v, d] and [n] -> [n, d]
"""

from __future__ import annotations

import numpy as np

from graphc.ir.dim import Size, is_at_least, product
from graphc.ir.dtype import bf16, f16, f32, i64, u64
from graphc.ir.errors import ArgumentError, IndexOutOfRange, ShapeError
from graphc.ir.graph import Node
from graphc.ir.lowering import Builder, Operand, Scalar
from graphc.ir.op import Flags, Op, register
from graphc.ir.type import Shape, TensorType
from graphc.ops import build, check, creation, elementwise
from graphc.ops.indices import all_of, in_range
from graphc.ops.numerics import NumpyArray
from graphc.ops.scattering import COMBINE, check_mode, scattered_vjp


def _gathered_shape(op: str, x: TensorType, index: TensorType, axis: int) -> Shape:
    check.axis_in_range(op, x, axis)
    check.takes(op, index, check.INTEGER, "the index")
    if x.shape[axis] == 0 and not any(size == 0 for size in index.shape):
        raise ShapeError(
            f"{op}: axis {axis} of the shape {check.shape_text(x.shape)} is empty and has no element for an index",
            hint="index another axis",
        )
    return (*x.shape[:axis], *index.shape, *x.shape[axis + 1 :])


def _positions(index: NumpyArray, axis: int, extent: int) -> NumpyArray:
    """The indices counted from the start; raises IndexOutOfRange."""
    wrong = (index < -extent) | (index >= extent) if index.dtype.kind == "i" else index >= extent
    if np.any(wrong):
        raise IndexOutOfRange(
            f"index {index[wrong][0]} is out of bounds for dimension {axis} with size {extent}",
            hint=f"indices go from {-extent} to {extent - 1}" if extent else "the axis is empty",
        )
    signed = index.astype(np.int64)
    return np.where(signed < 0, signed + extent, signed)


def _gather_reference(out: TensorType, x: NumpyArray, index: NumpyArray, *, axis: int) -> NumpyArray:
    return np.asarray(np.take(x, _positions(index, axis, x.shape[axis]), axis=axis))


def _gather_vjp(ct: Node, out: Node, x: Node, index: Node, *, axis: int) -> tuple[Node, None]:
    dtype = ct.tensor.dtype
    wide = f32 if dtype in (f16, bf16) else dtype
    zeros = build.full(0, x.tensor.with_dtype(wide))
    total = scatter(zeros, index, build.cast_to(ct, wide), axis=axis, mode="add")
    return build.cast_to(total, dtype), None


def _gather_lower(b: Builder, out: TensorType, i: tuple[Size, ...], x: Operand, index: Operand, *, axis: int) -> Scalar:
    """Checks with code 0: the builder puts the code of this node in its place."""
    rank = index.type.rank
    extent = x.type.shape[axis]
    size, zero = b.index(extent, i64), b.constant(0, i64)
    given = index(i[axis : axis + rank])
    position = b.cast(given, i64)
    if given.dtype.signed:
        position = b.select(b.apply("lt", position, zero), b.apply("add", position, size), position)
    is_valid = b.apply("bitwise_and", b.apply("ge", position, zero), b.apply("lt", position, size))
    b.check(is_valid, 0)

    def element() -> Scalar:
        return x((*i[:axis], b.position(position, extent), *i[axis + rank :]))

    # The position is clamped, so only an empty axis needs protection from the read.
    return element() if is_at_least(extent, 1) else b.guard(is_valid, element, b.constant(0, out.dtype))


gather: Op = register(
    Op(
        "gather",
        "elements at computed indices of an axis",
        type_rule=lambda x, index, *, axis: x.with_shape(_gathered_shape("gather", x, index, axis)),
        reference=_gather_reference,
        vjp=_gather_vjp,
        lower=_gather_lower,
    )
)


def _scatter_type(x: TensorType, index: TensorType, updates: TensorType, *, axis: int, mode: str) -> TensorType:
    check_mode("scatter", x, mode)
    check.equal_dtypes("scatter", x, updates)
    wanted = _gathered_shape("scatter", x, index, axis)
    if updates.rank != len(wanted):
        raise ShapeError(
            f"scatter: the updates have the shape {check.shape_text(updates.shape)}, not {check.shape_text(wanted)}",
            hint="updates have the index's axes in place of the axis",
        )
    for k, (a, c) in enumerate(zip(updates.shape, wanted)):
        check.equal_sizes("scatter", f"the sizes of axis {k}, of the updates and of what they go into,", a, c)
    return x


def _scatter_reference(
    out: TensorType, x: NumpyArray, index: NumpyArray, updates: NumpyArray, *, axis: int, mode: str
) -> NumpyArray:
    positions = _positions(index, axis, x.shape[axis]).reshape(-1)
    result = np.moveaxis(x, axis, 0).copy()
    rows = np.moveaxis(updates, tuple(range(axis, axis + index.ndim)), tuple(range(index.ndim)))
    rows = rows.reshape((positions.size, *result.shape[1:]))
    combine = COMBINE[mode]
    with np.errstate(all="ignore"):
        for position, row in zip(positions, rows):
            result[position] = row if combine is None else combine(result[position], row)
    return np.moveaxis(result, 0, axis)


def _scatter_vjp(
    ct: Node, out: Node, x: Node, index: Node, updates: Node, *, axis: int, mode: str
) -> tuple[Node, None, Node]:
    def take(node: Node) -> Node:
        return gather(node, index, axis=axis)

    def put(node: Node, values: Node, mode: str) -> Node:
        return scatter(node, index, values, axis=axis, mode=mode)

    def is_last() -> Node:
        count = product(index.shape)
        numbers = build.reshape_to(creation.iota(shape=(count,), axis=0, dtype=i64), index.shape)
        winner = scatter(build.constant(-1, i64, (x.shape[axis],)), index, numbers, axis=0, mode="set")
        is_winner = elementwise.eq(gather(winner, index, axis=0), numbers)
        before, behind = len(x.shape[:axis]), len(x.shape[axis + 1 :])
        lined_up = build.reshape_to(is_winner, (1,) * before + index.shape + (1,) * behind)
        return build.broadcast_to(lined_up, updates.shape)

    to_x, to_updates = scattered_vjp(ct, out, x, updates, mode, take, put, is_last)
    return to_x, None, to_updates


scatter: Op = register(
    Op(
        "scatter",
        "elements at computed indices of an axis set to updates, or combined with them in order",
        type_rule=_scatter_type,
        reference=_scatter_reference,
        vjp=_scatter_vjp,
        flags=Flags.OPAQUE,
    )
)


def _check_starts(op: str, x: TensorType, sizes: Shape, starts: tuple[TensorType, ...]) -> None:
    if len(starts) != x.rank:
        raise ArgumentError(f"{op}: {len(starts)} starts for {x.rank} axes", hint="give one start for every axis")
    check.one_per_axis(op, "sizes", x.rank, sizes)
    for axis, (start, size) in enumerate(zip(starts, sizes)):
        check.scalar_operand(op, f"the start of axis {axis}", start)
        check.takes(op, start, check.INTEGER, "a start")
        check.at_least(op, f"the size along axis {axis}", size, 0, "sizes count elements: give 0 or more")
        check.at_most(op, f"the size along axis {axis}", size, x.shape[axis], "take no more than there is")


def _first_positions(x: NumpyArray, sizes: tuple[int, ...], starts: tuple[NumpyArray, ...]) -> tuple[slice, ...]:
    firsts = [min(max(int(start), 0), n - size) for start, n, size in zip(starts, x.shape, sizes)]
    return tuple(slice(first, first + size) for first, size in zip(firsts, sizes))


def _lower_start(b: Builder, start: Operand, extent: Size, size: Size) -> Size:
    given = start(())
    if given.dtype is u64:  # what int64 can't hold would be taken for negative
        given = b.apply("minimum", given, b.constant(2**63 - 1, u64))
    return b.position(b.cast(given, i64), extent - size + 1)


def _dynamic_slice_type(x: TensorType, *starts: TensorType, sizes: Shape) -> TensorType:
    _check_starts("dynamic_slice", x, sizes, starts)
    return x.with_shape(sizes)


def _dynamic_slice_vjp(ct: Node, out: Node, x: Node, *starts: Node, sizes: Shape) -> tuple[Node | None, ...]:
    return (dynamic_update(build.zeros_like(x), ct, *starts), *(None for _ in starts))


def _dynamic_slice_lower(
    b: Builder, out: TensorType, i: tuple[Size, ...], x: Operand, *starts: Operand, sizes: Shape
) -> Scalar:
    firsts = (_lower_start(b, start, n, size) for start, n, size in zip(starts, x.type.shape, sizes))
    return x(tuple(first + index for first, index in zip(firsts, i)))


dynamic_slice: Op = register(
    Op(
        "dynamic_slice",
        "a block of fixed sizes at computed starts, moved so far that it fits",
        type_rule=_dynamic_slice_type,
        reference=lambda out, x, *starts, sizes: x[_first_positions(x, sizes, starts)],
        vjp=_dynamic_slice_vjp,
        lower=_dynamic_slice_lower,
    )
)


def _dynamic_update_type(x: TensorType, update: TensorType, *starts: TensorType) -> TensorType:
    check.equal_dtypes("dynamic_update", x, update)
    _check_starts("dynamic_update", x, update.shape, starts)
    return x


def _dynamic_update_reference(out: TensorType, x: NumpyArray, update: NumpyArray, *starts: NumpyArray) -> NumpyArray:
    result = np.array(x)
    result[_first_positions(x, update.shape, starts)] = update
    return result


def _dynamic_update_vjp(ct: Node, out: Node, x: Node, update: Node, *starts: Node) -> tuple[Node | None, ...]:
    kept = dynamic_update(ct, build.zeros_like(update), *starts)
    return kept, dynamic_slice(ct, *starts, sizes=update.shape), *(None for _ in starts)


def _dynamic_update_lower(
    b: Builder, out: TensorType, i: tuple[Size, ...], x: Operand, update: Operand, *starts: Operand
) -> Scalar:
    sizes = update.type.shape
    firsts = [_lower_start(b, start, n, size) for start, n, size in zip(starts, x.type.shape, sizes)]
    inner = tuple(index - first for index, first in zip(i, firsts))
    tests = [in_range(b, at, 0, size) for at, size, n in zip(inner, sizes, x.type.shape) if size != n]
    inside = all_of(b, [test for test in tests if test is not None])
    return update(inner) if inside is None else b.guard(inside, lambda: update(inner), x(i))


dynamic_update: Op = register(
    Op(
        "dynamic_update",
        "a block at computed starts replaced, moved so far that it fits",
        type_rule=_dynamic_update_type,
        reference=_dynamic_update_reference,
        vjp=_dynamic_update_vjp,
        lower=_dynamic_update_lower,
    )
)
