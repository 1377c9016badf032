"""Sorting along an axis, by all threads.

In: a group whose anchor is `argsort`, or keys in rows. Out: kernels with a grid.

A block sorts up to `RUN` elements in shared memory by a bitonic network (K. E. Batcher, Sorting networks and their
applications, 1968) whose keys are pairs of element and position: no two are equal, so what comes out is the stable
order, the same as by any other way of sorting. Longer rows are sorted run by run, and then runs are merged, two by two:
an element's place is its number in its own run plus how many elements of the other run go before it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias, cast

from graphc.ir.dim import Size, bounds, is_at_most, product, quotient
from graphc.ir.dtype import DType, i32, i64
from graphc.ir.graph import Node
from graphc.ir.lowering import Scalar
from graphc.kernel.builder import KernelBuilder
from graphc.kernel.gpu import GpuTarget
from graphc.kernel.ir import Buffer, LoopKind, Operand, Space
from graphc.ops.indices import linear_index, split_index
from graphc.passes.gpu.statements import barrier, both, real

if TYPE_CHECKING:
    from graphc.passes.lower import GroupLowering, KernelCall

RUN: Final = 2048
"""Elements that a block sorts: with their positions 24 KiB of shared memory at most, so that two blocks fit."""
LEAST: Final = 512
"""Elements that a block sorts at least: several rows where they are short."""
MOST_ELEMENTS: Final = 1 << 33
"""More than fit into any GPU with the memory that sorting takes: nobody merges longer runs."""
MERGE_THREADS: Final = 256


Key: TypeAlias = "Callable[[Size, Size], Scalar]"
"""(row, number along it) -> the integer by which the element there is sorted."""
Write: TypeAlias = "Callable[[Size, Size, Operand, Operand, Operand], None]"
"""(row, number along it, key and former number of the element that comes to stand there, whether to write)."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows to sort: how many, how long, their elements, and what to do with the sorted ones."""

    group: GroupLowering
    count: Size
    extent: Size
    dtype: DType
    """Of the keys."""
    key: Key
    write: Write

    @property
    def position_dtype(self) -> DType:
        """Of positions while they are sorted."""
        return i32 if is_at_most(self.extent, (1 << 31) - 1) else i64


@dataclass(frozen=True, slots=True)
class Half:
    """Keys and positions of all rows, in runs."""

    keys: Buffer
    order: Buffer


def lower_argsort(group: GroupLowering, anchor: Node, target: GpuTarget) -> list[KernelCall] | None:
    """The kernels of a sort whose result are positions."""
    x, shape = anchor.inputs[0], anchor.shape
    axis = cast("int", anchor.attribute("axis"))
    others = tuple(a for a in range(len(shape)) if a != axis)
    sizes = tuple(shape[a] for a in others)

    def indices(row: Size, number: Size) -> tuple[Size, ...]:
        at = dict(zip(others, split_index(row, sizes), strict=True))
        return tuple(number if a == axis else at[a] for a in range(len(shape)))

    def write(row: Size, number: Size, key: Operand, position: Operand, inside: Operand) -> None:
        b = group.builder
        b.store(group.results[0], linear_index(indices(row, number), shape), b.cast(position, i64), inside)

    def key(row: Size, number: Size) -> Scalar:
        return group.read(x, indices(row, number))

    return sort_rows(Rows(group, product(sizes), shape[axis], x.tensor.dtype, key, write))


def sort_rows(rows: Rows) -> list[KernelCall]:
    """The kernels that sort rows; another one of the group has to `restart`."""
    group, extent = rows.group, rows.extent
    if is_at_most(extent, RUN):
        _sort_runs(rows, _power(bounds(extent)[1]), None)
        return [group.finish()]
    size = rows.count * extent
    halves = [Half(group.scratch(rows.dtype, size), group.scratch(rows.position_dtype, size)) for _ in range(2)]
    _sort_runs(rows, RUN, halves[0])
    calls = [group.finish()]
    run, most = RUN, min(bounds(extent)[1], MOST_ELEMENTS)
    while run < most:
        source, to = halves
        group.restart()
        _merge_runs(rows, run, source, to if 2 * run < most else None)
        calls.append(group.finish())
        halves, run = [to, source], 2 * run
    return calls


def _power(size: int) -> int:
    """The least power of two that is not below, and at least 2."""
    return 1 << max(1, size - 1).bit_length()


def _sort_runs(rows: Rows, run: int, to: Half | None) -> None:
    """Sort `run` elements at a time, a power of two; without `to` these are whole rows, and the result is written."""
    b, dtype = rows.group.builder, rows.dtype
    held = max(run, LEAST)
    together = held // run
    runs = 1 if to is None else quotient(rows.extent + (run - 1), run)
    threads = min(held // 2, 512)
    pieces = rows.count * runs
    last = b.constant((1 << (dtype.bits - dtype.signed)) - 1, dtype)
    with b.loop(quotient(pieces + (together - 1), together), LoopKind.BLOCK) as block:
        keys = b.allocate(dtype, held, Space.SHARED)
        order = b.allocate(i32, held, Space.SHARED)
        with b.loop(threads, LoopKind.THREAD) as thread:

            def place(slot: Size) -> tuple[Size, Size, Operand]:
                piece = block * together + slot // run
                row, first = (piece, 0) if runs == 1 else (piece // runs, piece % runs * run)
                is_inside = _less(b, first + slot % run, rows.extent)
                return row, first + slot % run, both(b, _less(b, piece, pieces), is_inside)

            with b.loop(held // threads, LoopKind.SERIAL) as step:
                slot = step * threads + thread
                row, number, is_inside = place(slot)
                x = b.guard(is_inside, lambda: rows.key(row, number), last)
                b.store(keys, slot, x)
                b.store(order, slot, b.index(slot % run, i32))
            barrier(b)
            with b.loop(run.bit_length() - 1, LoopKind.SERIAL) as stage, b.loop(stage + 1, LoopKind.SERIAL) as pass_:
                with b.loop(held // 2 // threads, LoopKind.SERIAL) as step:
                    _exchange(b, keys, order, step * threads + thread, stage, stage - pass_, run)
                barrier(b)
            with b.loop(held // threads, LoopKind.SERIAL) as step:
                slot = step * threads + thread
                row, number, is_inside = place(slot)
                key, position = b.load_again(keys, slot), b.load_again(order, slot)
                if to is None:
                    rows.write(row, number, key, position, is_inside)
                else:
                    index = row * rows.extent + number
                    whole = b.apply("add", b.cast(position, i64), b.index(number - slot % run, i64))
                    b.store(to.keys, index, key, is_inside)
                    b.store(to.order, index, b.cast(whole, rows.position_dtype), is_inside)


def _exchange(b: KernelBuilder, keys: Buffer, order: Buffer, pair: Size, stage: Size, power: Size, run: int) -> None:
    """Put a pair of elements 2**power apart in order: rising or falling, as bit stage + 1 of its place says.

    In the last stage all of a run rises.
    """
    one = b.constant(1, i32)
    number, shift = b.index(pair, i32), b.index(power, i32)
    distance = b.apply("shift_left", one, shift)
    before = b.apply("shift_left", b.apply("shift_right", number, shift), b.apply("add", shift, one))
    low = b.apply("bitwise_or", before, b.apply("bitwise_and", number, b.apply("sub", distance, one)))
    in_run = b.apply("bitwise_and", low, b.constant(run - 1, i32))
    side = b.apply("bitwise_and", b.apply("shift_right", in_run, b.index(stage + 1, i32)), one)
    falls = b.apply("eq", side, one)
    size = cast("int", keys.size)
    first, second = b.position(low, size), b.position(b.apply("add", low, distance), size)
    x, y = b.load_again(keys, first), b.load_again(keys, second)
    at_x, at_y = b.load_again(order, first), b.load_again(order, second)
    is_tie = b.apply("bitwise_and", b.apply("eq", y, x), b.apply("lt", at_y, at_x))
    is_behind = b.apply("bitwise_or", b.apply("lt", y, x), is_tie)
    swaps = b.apply("bitwise_xor", is_behind, falls)
    b.store(keys, first, b.select(swaps, y, x))
    b.store(keys, second, b.select(swaps, x, y))
    b.store(order, first, b.select(swaps, at_y, at_x))
    b.store(order, second, b.select(swaps, at_x, at_y))


def _merge_runs(rows: Rows, run: int, source: Half, to: Half | None) -> None:
    """Merge neighbouring runs: every element finds its place by itself; without `to` the result is written."""
    b, extent = rows.group.builder, rows.extent
    elements = rows.count * extent
    blocks = quotient(elements + (MERGE_THREADS - 1), MERGE_THREADS)
    with b.loop(blocks, LoopKind.BLOCK) as block, b.loop(MERGE_THREADS, LoopKind.THREAD) as thread:
        element = block * MERGE_THREADS + thread
        is_inside = _less(b, element, elements)
        row, number = (element // extent, element % extent) if rows.count != 1 else (0, element)
        half, in_run = number // run, number % run
        key = b.load_again(source.keys, element, is_inside)
        is_right = b.apply("eq", b.index(half % 2, i64), b.constant(1, i64))
        size = b.index(extent, i64)
        start = b.index(half // 2 * (2 * run), i64)
        width = b.constant(run, i64)
        other = b.apply("minimum", b.select(is_right, start, b.apply("add", start, width)), size)
        end = b.apply("minimum", b.apply("add", other, width), size)
        ends = b.allocate(i64, 2)
        b.store(ends, 0, other)
        b.store(ends, 1, end)
        with b.loop(run.bit_length(), LoopKind.SERIAL):
            low, high = b.load_again(ends, 0), b.load_again(ends, 1)
            is_open = b.apply("lt", low, high)
            middle = b.apply("add", low, b.apply("shift_right", b.apply("sub", high, low), b.constant(1, i64)))
            reads = both(b, is_inside, is_open)
            there = b.load_again(source.keys, row * extent + b.position(middle, extent), reads)
            # Of equal elements those of the left run go first.
            is_before = b.apply("lt", there, key)
            is_tie = b.apply("bitwise_and", is_right, b.apply("eq", there, key))
            rises = b.apply("bitwise_and", is_open, b.apply("bitwise_or", is_before, is_tie))
            falls = b.apply("bitwise_and", is_open, b.apply("bitwise_not", rises))
            b.store(ends, 0, b.select(rises, b.apply("add", middle, b.constant(1, i64)), low))
            b.store(ends, 1, b.select(falls, middle, high))
        rank = b.apply("sub", b.load_again(ends, 0), other)
        place = b.apply("add", b.apply("add", start, b.index(in_run, i64)), rank)
        position = b.load_again(source.order, element, is_inside)
        if to is None:
            rows.write(row, b.position(place, extent), key, position, is_inside)
        else:
            index = row * extent + b.position(place, extent)
            b.store(to.keys, index, key, is_inside)
            b.store(to.order, index, position, is_inside)


def _less(b: KernelBuilder, index: Size, limit: Size) -> Operand:
    return real(b.apply("lt", b.index(index, i64), b.index(limit, i64)))
