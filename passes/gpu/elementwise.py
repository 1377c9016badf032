"""Independent elements on a GPU: neighbours in neighbouring threads, with accesses of 16 bytes where they can be.

In: a nest of independent loops over scalar code, of which short reductions may be part. Out: a grid whose threads take
*runs* of neighbours along the innermost loop, as many as 16 bytes hold of the widest element that is read or written
one after the other. Where rows begin at places that are no multiple of that, a run is a single element, so that the
threads of a warp still touch memory in one piece.

A thread takes several runs at once, a block apart, where there is enough to do for all: their loads are under way
together. Divisions, to find an outer loop's index, are done once for each run, or for each chunk of a row.

    parallel i < 1000000 { y[i] = exp(x[i]) }
    block b < 489 { thread t < 256 { vector l < 4 { of 2048*b + 4*t + l and 2048*b + 1024 + 4*t + l } } }
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import zip_longest
from typing import Final

from graphc.ir.dim import Size, bounds, linear, minimum, product, quotient, remainder, substitute
from graphc.ir.dtype import f64
from graphc.kernel.expand import record
from graphc.kernel.gpu import WARP, GpuTarget
from graphc.kernel.ir import (
    Apply,
    Bind,
    Check,
    Load,
    LoopKind,
    Operand,
    Position,
    Reduce,
    Statement,
    Store,
    nested_bodies,
    statements_in,
)
from graphc.ops.indices import split_index
from graphc.passes.gpu.build import Nest, find_nest, finish, grid
from graphc.passes.gpu.writer import Copier, Names, Writer
from graphc.passes.lower import KernelCall

THREADS: Final = 256
ACCESS_BYTES: Final = 16
"""The widest access of a thread."""
LARGE: Final = 1 << 20
"""Elements from which on a thread takes several runs; of fewer, each thread that the machine has gets one."""
SMALL_CODE: Final = 24
"""Statements up to which code is written for several runs at once: more would need more registers than there are."""
LONG_CODE: Final = 300
"""Instructions that a run may take if it is to be a wide one: with more, memory isn't what it waits for."""
COST_OF_DOUBLE: Final = 4
"""Instructions that one in float64 counts for: it takes two registers, and several times as long."""
SHORT_REDUCTION: Final = 64
"""Elements that a thread reduces by itself: a window, say."""
LONG_ROW: Final = 128
"""Elements of a row from which on the threads of a warp take them in chunks of this one row."""


def schedule_elementwise(call: KernelCall, target: GpuTarget) -> tuple[KernelCall, ...] | None:
    """A kernel that is one nest over elements; None for another one."""
    nest = find_nest(call.kernel)
    if nest is None or not all(is_short(s) for code in nest.between for s in code):
        return None
    is_straight = _is_straight(nest)
    writer = Writer(Names(call.kernel), list(nest.hoisted))
    width = run_width(nest)
    inner = nest.extents[-1]
    is_small = is_straight and sum(map(len, nest.between)) <= SMALL_CODE
    if width == 1 and len(nest.loops) > 1 and bounds(inner)[1] >= LONG_ROW:
        _write_rows(writer, nest, 4 if is_small else 1)
    else:
        is_large = is_small and bounds(nest.count)[1] >= LARGE
        _write_runs(writer, nest, width, (4 if width == 1 else 2) if is_large else 1)
    return (finish(call, tuple(writer.statements)),)


def is_short(statement: Statement) -> bool:
    """Scalar code, and reductions of a few elements."""
    if isinstance(statement, Reduce):
        inner = [_length(each) for each in statements_in((statement,)) if isinstance(each, Reduce)]
        plain = all(isinstance(s, Apply | Position | Bind | Load | Check | Reduce) for s in statements_in((statement,)))
        return plain and product(inner) <= SHORT_REDUCTION  # type: ignore[operator]  # lengths are numbers
    return isinstance(statement, Apply | Position | Bind | Load | Store | Check)


def _is_straight(nest: Nest) -> bool:
    return not any(nested_bodies(s) for code in nest.between for s in code)


def _length(reduce: Reduce) -> int:
    return bounds(reduce.extent)[1]


# How wide a run is


def run_width(nest: Nest) -> int:
    """Elements of a run: what 16 bytes hold of the widest that are neighbours, where most lie on such boundaries."""
    if not _is_straight(nest):
        return 1
    symbol, inner = nest.loops[-1].symbol.name, nest.extents[-1]
    varying = _varying(nest)
    accesses = [s for s in nest.body if isinstance(s, Load | Store)]
    neighbours = [s for s in accesses if _stride(s.index, symbol) == 1 and s.predicate not in varying]
    if not neighbours:
        return 1
    width = ACCESS_BYTES // max(s.buffer.dtype.itemsize for s in neighbours)
    cost = sum(count_instructions(s) for s in nest.body if isinstance(s, Apply))
    while width > 1 and width * cost > LONG_CODE:
        width //= 2
    if width == 1 or (len(nest.loops) > 1 and remainder(inner, width) != 0):
        return 1
    gained = lost = 0
    for statement in accesses:
        stride = _stride(statement.index, symbol)
        if stride == 0 or stride is None:
            continue
        is_aligned = remainder(substitute(statement.index, {symbol: 0}), width) == 0
        if stride == 1 and is_aligned and statement in neighbours:
            gained += statement.buffer.dtype.itemsize
        else:
            lost += statement.buffer.dtype.itemsize
    return width if gained > lost else 1


def _stride(index: Size, name: str) -> Size | None:
    """How far apart neighbouring iterations' elements are; None where it is not the same for all."""
    parts = linear(index, name)
    return None if parts is None else parts[1]


def _varying(nest: Nest) -> set[Operand | None]:
    """The values that differ between iterations of the innermost loop."""
    names = {nest.loops[-1].symbol.name}
    values: set[Operand | None] = set()
    for statement in nest.body:
        match statement:
            case Apply(out, _, operands):
                varies = not values.isdisjoint(operands)
            case Position(out, index):
                varies = _varies(index, names)
            case Load(out, _, index, predicate):
                varies = _varies(index, names) or predicate in values
            case Bind(symbol, _, operand):
                names |= {symbol.name} if operand in values else set()
                continue
            case _:
                continue
        if varies:
            values.add(out)
    return values


def _varies(index: Size, names: set[str]) -> bool:
    return any(linear(index, name) != (index, 0) for name in names)


def count_instructions(statement: Apply) -> int:
    """Base ops of the formula, in instructions that work on 32 bits."""
    steps = record(statement.op, tuple(x.dtype for x in statement.operands), statement.out.dtype).steps
    return len(steps) * (COST_OF_DOUBLE if statement.out.dtype is f64 else 1)


# The kernels


def _write_runs(writer: Writer, nest: Nest, width: int, copies: int) -> None:
    """Threads take runs of the whole nest in the order of its elements."""
    *outer, inner = nest.extents
    in_row = quotient(inner + (width - 1), width)
    count = product(outer) * in_row
    is_whole = remainder(inner, width) == 0

    def write(run: Size, extent: Size) -> None:
        with writer.loop("l", extent, LoopKind.VECTOR) as lane:
            _write(writer, nest, _place(run, lane))

    def _place(run: Size, lane: Size) -> tuple[Size, ...]:
        if not outer:
            return (width * run + lane,)
        return (*split_index(quotient(run, in_row), tuple(outer)), width * remainder(run, in_row) + lane)

    def rest(run: Size) -> Size:
        return width if is_whole else minimum(width, inner - width * run)

    if copies == 1:
        with grid(writer, count, THREADS) as run:
            write(run, rest(run))
        return
    tile = THREADS * copies
    tiles = quotient(count + (tile - 1), tile)
    with grid(writer, tiles * THREADS, THREADS) as position:
        number, thread = quotient(position, THREADS), remainder(position, THREADS)
        runs = [number * tile + (THREADS * copy + thread) for copy in range(copies)]
        whole_runs = count if is_whole else quotient(inner, width)

        def together() -> None:
            with writer.loop("l", width, LoopKind.VECTOR) as lane:
                _write_together(writer, nest, [_place(run, lane) for run in runs])

        def apart() -> None:
            with writer.loop("u", copies, LoopKind.SERIAL) as copy:
                run = number * tile + copy * THREADS + thread
                with writer.when(writer.is_below(run, count)):
                    write(run, rest(run))

        _write_either(writer, (number + 1) * tile, whole_runs, remainder(whole_runs, tile) == 0, together, apart)


def _write_rows(writer: Writer, nest: Nest, copies: int) -> None:
    """Warps take chunks of rows, each thread elements a warp apart."""
    *outer, inner = nest.extents
    length = WARP * copies
    chunks = quotient(inner + (length - 1), length)
    with grid(writer, product(outer) * chunks * WARP, THREADS) as position:
        warp, lane = quotient(position, WARP), remainder(position, WARP)
        start = remainder(warp, chunks) * length
        row = split_index(quotient(warp, chunks), tuple(outer))

        def together() -> None:
            _write_together(writer, nest, [(*row, start + lane + WARP * copy) for copy in range(copies)])

        def apart() -> None:
            with writer.loop("u", copies, LoopKind.SERIAL) as copy:
                column = start + lane + WARP * copy
                with writer.when(writer.is_below(column, inner)):
                    _write(writer, nest, (*row, column))

        _write_either(writer, start + length, inner, remainder(inner, length) == 0, together, apart)


def _write_either(
    writer: Writer, end: Size, limit: Size, is_certain: bool, together: Callable[[], None], apart: Callable[[], None]
) -> None:
    """One piece of code where all up to the end exists, the other one where it may not."""
    if is_certain:
        together()
        return
    whole = writer.apply("le", writer.position(end), writer.position(limit))
    with writer.when(whole):
        together()
    with writer.when(writer.apply("bitwise_not", whole)):
        apart()


def _write(writer: Writer, nest: Nest, indices: tuple[Size, ...]) -> None:
    nest.write(Copier(writer), indices)


def _write_together(writer: Writer, nest: Nest, places: list[tuple[Size, ...]]) -> None:
    """The code of several iterations, statement by statement: all load before one stores."""
    outer = writer.statements
    each: list[list[Statement]] = []
    for indices in places:
        writer.statements = []
        _write(writer, nest, indices)
        each.append(writer.statements)
    writer.statements = outer
    for statements in zip_longest(*each):
        for statement in statements:
            if statement is not None:
                writer.add(statement)
