"""Loops of a GPU's kernel: over blocks and threads, in turn, written out, and side by side for wide accesses.

In: a `Loop`. Out: code of one thread. The iterations of a vector loop are written out statement by statement, so that
what they load or store, where these are neighbours, is one access; all else is scalar code of each.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from graphc.codegen.body import emit_body
from graphc.codegen.emitter import Carried, Register
from graphc.codegen.gpu.emitter import GpuEmitter, folded, narrow_index, wide_index
from graphc.codegen.gpu.memory import load_run, predicate_of, store, widest_run
from graphc.codegen.lanes import Variation
from graphc.ir.dim import Least, Size, Symbol, is_at_least, is_at_most
from graphc.kernel.gpu import WARP
from graphc.kernel.ir import (
    Apply,
    Bind,
    Buffer,
    Load,
    Loop,
    LoopKind,
    Position,
    Reduce,
    Statement,
    Store,
    Value,
)

MOST_LANES = 16
"""A vector loop of more iterations is no single access: it runs in turn."""
MOST_BLOCKS = 2**31 - 1
"""What a grid has at most."""


def emit_loop(e: GpuEmitter, loop: Loop) -> None:
    """A loop, in the way that its kind asks for."""
    extent = folded(e, loop.extent)
    if loop.kind is LoopKind.BLOCK:
        _emit_number(e, loop, "ctaid", MOST_BLOCKS)
    elif loop.kind is LoopKind.THREAD:
        assert isinstance(extent, int), f"{extent} threads"
        assert extent % WARP == 0, f"{extent} threads"
        _emit_number(e, loop, "tid", extent)
    elif loop.kind is LoopKind.UNROLLED:
        assert isinstance(extent, int), f"a loop over {extent} cannot be written out"
        for i in range(extent):
            emit_at(e, loop, i)
    elif loop.kind is LoopKind.VECTOR and isinstance(extent, int) and extent <= MOST_LANES:
        _emit_lanes(e, loop, extent)
    elif loop.kind is LoopKind.VECTOR and (lanes := _whole(extent)) is not None:
        is_whole = e.emit(f"icmp eq i64 {wide_index(e, extent)}, {lanes}")
        with e.branch(is_whole):
            _emit_lanes(e, loop, lanes)
        with e.branch(e.emit(f"xor i1 {is_whole}, true")):
            _emit_serial(e, loop, extent)
    else:
        _emit_serial(e, loop, extent)


def _emit_number(e: GpuEmitter, loop: Loop, register: str, limit: int) -> None:
    """The body for this block, or thread."""
    name = f"llvm.nvvm.read.ptx.sreg.{register}.x"
    e.module.declare(f"i32 @{name}()")
    with e.scope():
        e.bind_narrow(loop.symbol, e.emit(f"call range(i32 0, {limit}) i32 @{name}()"))
        emit_body(e, loop.body)


def _emit_serial(e: GpuEmitter, loop: Loop, extent: Size) -> None:
    if extent == 1:
        emit_at(e, loop, 0)
    elif extent != 0:
        with counted(e, loop.symbol, "0", extent, known_nonempty=is_at_least(extent, 1)):
            emit_body(e, loop.body)


@contextmanager
def counted(
    e: GpuEmitter,
    symbol: Symbol,
    start: str,
    extent: Size,
    step: int = 1,
    carried: Sequence[Carried] = (),
    known_nonempty: bool = False,
) -> Iterator[str]:
    """Code for symbol = start, start + step, ... below the extent, counted in an i32 where that will do.

    `start` is an i32 register or constant. Gives the symbol's i64.
    """
    stop, bits = narrow_index(e, extent)
    if bits == 32 and is_at_most(extent, 2**31 - 1 - step):
        with e.loop(start, stop, step, carried, known_nonempty, "i32") as i:
            e.bind_narrow(symbol, i)
            yield e.symbols[symbol.name].scalar or ""
        return
    first = start if start[0] != "%" else e.widen(start)
    with e.loop(first, wide_index(e, extent), step, carried, known_nonempty) as i:
        e.bind(symbol, i)
        yield i


def emit_at(e: GpuEmitter, loop: Loop | Reduce, position: int) -> None:
    """The iteration of that number."""
    before = e.replaced
    e.replaced = {**before, loop.symbol.name: position}
    with e.scope():
        emit_body(e, loop.body)
    e.replaced = before


def _whole(extent: Size) -> int | None:
    """V where the extent is the lesser of a small number V and of something that varies."""
    if isinstance(extent, int) or len(extent.terms) != 1:
        return None
    monomial, coefficient = extent.terms[0]
    if coefficient != 1 or len(monomial) != 1 or not isinstance(monomial[0], Least):
        return None
    numbers = [x for x in monomial[0].operands if isinstance(x, int)]
    return min(numbers) if numbers and min(numbers) <= MOST_LANES else None


# Iterations side by side


class _Lane:
    """What one iteration knows that others don't."""

    __slots__ = ("buffers", "replaced", "values")

    def __init__(self, e: GpuEmitter, name: str, position: int) -> None:
        self.values: dict[Value, Register] = dict(e.values)
        self.buffers: dict[Buffer, Register] = dict(e.buffers)
        self.replaced: dict[str, Size] = {**e.replaced, name: position}

    def enter(self, e: GpuEmitter) -> None:
        """Write code of this iteration."""
        e.values, e.buffers, e.replaced = self.values, self.buffers, self.replaced


def _emit_lanes(e: GpuEmitter, loop: Loop, count: int) -> None:
    variation = Variation({loop.symbol.name})
    variation.walk(loop.body)
    outside = e.values, e.buffers, e.replaced
    with e.scope():
        lanes = [_Lane(e, loop.symbol.name, i) for i in range(count)]
        for statement in loop.body:
            if isinstance(statement, Apply | Position | Load | Reduce) and statement.out not in variation.values:
                lanes[0].enter(e)
                emit_body(e, (statement,))
                for lane in lanes[1:]:
                    lane.values[statement.out] = lanes[0].values[statement.out]
            elif isinstance(statement, Load):
                _load_lanes(e, lanes, statement)
            elif isinstance(statement, Store):
                _store_lanes(e, lanes, statement)
            else:
                _emit_each(e, lanes, statement, variation)
        e.values, e.buffers, e.replaced = outside


def _emit_each(e: GpuEmitter, lanes: list[_Lane], statement: Statement, variation: Variation) -> None:
    """The statement in every lane; a symbol that it brings gets a name for each."""
    if isinstance(statement, Bind):
        symbol = statement.symbol
        if symbol.name not in variation.symbols:
            lanes[0].enter(e)
            emit_body(e, (statement,))
            return
        for i, lane in enumerate(lanes):
            own = type(symbol)(f"{symbol.name}.{i}", symbol.lower, symbol.upper)
            lane.enter(e)
            emit_body(e, (Bind(own, statement.extent, statement.operand),))
            lane.replaced[symbol.name] = own.size
        return
    for lane in lanes:
        lane.enter(e)
        emit_body(e, (statement,))


def _neighbours(e: GpuEmitter, lanes: list[_Lane], statement: Load | Store) -> tuple[list[tuple[Size, str]], int]:
    """Of each lane the index and the predicate, and how many lanes one access may take."""
    places: list[tuple[Size, str]] = []
    for lane in lanes:
        lane.enter(e)
        places.append((folded(e, statement.index), predicate_of(e, statement)))
    first, predicate = places[0]
    if all(size - first == i and own == predicate for i, (size, own) in enumerate(places)):
        return places, widest_run(statement.buffer.dtype, first, len(lanes))
    return places, 1


def _runs(count: int, widest: int) -> list[tuple[int, int]]:
    """Starts and lengths that cover `count` lanes, each start a multiple of its length."""
    runs, start = [], 0
    while start < count:
        while widest > count - start:
            widest //= 2
        runs.append((start, widest))
        start += widest
    return runs


def _load_lanes(e: GpuEmitter, lanes: list[_Lane], statement: Load) -> None:
    places, widest = _neighbours(e, lanes, statement)
    for start, length in _runs(len(lanes), widest):
        size, predicate = places[start]
        lanes[start].enter(e)
        values = load_run(e, statement.buffer, size, length, predicate)
        for lane, value in zip(lanes[start:], values):
            lane.enter(e)
            e.set_value(statement.out, value)


def _store_lanes(e: GpuEmitter, lanes: list[_Lane], statement: Store) -> None:
    places, widest = _neighbours(e, lanes, statement)
    for start, length in _runs(len(lanes), widest):
        size, predicate = places[start]
        values = []
        for lane in lanes[start : start + length]:
            lane.enter(e)
            values.append(e.operand(statement.operand).name)
        store(e, statement.buffer, size, values, predicate)
