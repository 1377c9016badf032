"""Loops: serial, split over threads, and in vector lanes.

In: a `Loop`. Out: blocks. A vector loop has a main part without masks, `UNROLL` registers at a time, and a tail: masked
where the machine has masked loads and stores of every width, otherwise one element at a time.
"""

from __future__ import annotations

import re

from graphc.codegen.body import emit_body
from graphc.codegen.emitter import Emitter, VectorContext
from graphc.codegen.index import index
from graphc.codegen.lanes import column_registers, fits_lanes, is_straight, lane_count, statement_count
from graphc.ir.dim import Size, Symbol, is_at_least
from graphc.kernel.ir import Loop, LoopKind, Statement

UNROLL = 2
UNROLL_STATEMENTS = 160
"""Bodies up to this size are repeated `UNROLL` times in the main part of a vector loop."""
REST_STATEMENTS = 64
"""How many statements the body may become in the rest of a loop of known length, written out."""


def emit_loop(e: Emitter, loop: Loop) -> None:
    """A loop, in the way that its kind and its body allow."""
    if loop.kind is LoopKind.PARALLEL and e.depth == 0 and e.threads != "1":
        _emit_share(e, loop)
    elif loop.kind is LoopKind.VECTOR and e.context is None and fits_lanes(loop.body, loop.symbol.name):
        _emit_lanes(e, loop)
    else:
        stop = index(e, loop.extent)
        _emit_range(e, loop, "0", stop, is_at_least(loop.extent, 1))


def _emit_range(e: Emitter, loop: Loop, start: str, stop: str, known_nonempty: bool) -> None:
    if start == "0" and stop == "1":
        emit_at(e, loop.symbol, "0", None, loop.body)
        return
    with e.loop(start, stop, known_nonempty=known_nonempty) as i:
        e.bind(loop.symbol, i)
        emit_body(e, loop.body)


def _emit_share(e: Emitter, loop: Loop) -> None:
    """This thread's part of the iterations: neighbours, as evenly as it goes."""
    extent = index(e, loop.extent)
    start = e.emit(f"udiv i64 {e.emit(f'mul i64 {extent}, {e.thread}')}, {e.threads}")
    after = e.emit(f"add i64 {e.thread}, 1")
    stop = e.emit(f"udiv i64 {e.emit(f'mul i64 {extent}, {after}')}, {e.threads}")
    # What is inside belongs to this thread alone.
    before = e.thread, e.threads
    e.thread, e.threads = "0", "1"
    _emit_range(e, loop, start, stop, False)
    e.thread, e.threads = before


def emit_at(
    e: Emitter, symbol: Symbol, position: str, context: VectorContext | None, body: tuple[Statement, ...]
) -> None:
    """One iteration, or as many as the context has lanes, from `position` on."""
    with e.scope():
        e.bind(symbol, position, varying=context is not None)
        with e.vectorized(context):
            emit_body(e, body)


def lane_context(symbol: Symbol, lanes: int, mask: str | None = None) -> VectorContext | None:
    """The context of `lanes` values of the symbol; one lane is scalar code."""
    return VectorContext(symbol, lanes, mask) if lanes > 1 else None


def lane_mask(e: Emitter, lanes: int, remaining: str) -> str:
    """The mask of the first `remaining` lanes (i64, at least 0)."""
    limited = e.intrinsic("umin", "i64", ("i64", remaining), ("i64", str(lanes)))
    count = e.emit(f"trunc i64 {limited} to i32")
    type_ = f"<{lanes} x i32>"
    one = e.emit(f"insertelement {type_} poison, i32 {count}, i64 0")
    spread = e.emit(f"shufflevector {type_} {one}, {type_} poison, {type_} zeroinitializer")
    return e.emit(f"icmp ult {type_} {lane_numbers(lanes, 32)}, {spread}")


def lane_numbers(lanes: int, bits: int) -> str:
    """0, 1, 2, ... as a constant."""
    return f"<{', '.join([f'i{bits} {lane}' for lane in range(lanes)])}>"


def constant_mask(lanes: int, active: int) -> str:
    """The mask of the first `active` lanes as a constant."""
    return f"<{', '.join(['i1 true' if lane < active else 'i1 false' for lane in range(lanes)])}>"


def round_down(e: Emitter, size: Size, step: int) -> str:
    """The size rounded down to a multiple of a power of two."""
    if isinstance(size, int):
        return str(size // step * step)
    return e.emit(f"and i64 {index(e, size)}, {-step}")


def _emit_lanes(e: Emitter, loop: Loop) -> None:
    lanes = lane_count(e.target, loop.body)
    if e.target.has_avx512:  # only where the columns that are left over can be masked
        lanes *= column_registers(loop.body)
    small = is_straight(loop.body) and statement_count(loop.body) <= UNROLL_STATEMENTS
    if isinstance(loop.extent, int):
        _emit_lanes_known(e, loop, loop.extent, lanes, UNROLL if small else 1)
        return
    stop = index(e, loop.extent)
    unroll = UNROLL if small else 1
    main_stop = round_down(e, loop.extent, lanes * unroll)
    _emit_main(e, loop, "0", main_stop, lanes, unroll)
    if not e.target.has_avx512:
        with e.loop(main_stop, stop) as i:
            emit_at(e, loop.symbol, i, None, loop.body)
    elif unroll == 1:
        with e.branch(e.emit(f"icmp slt i64 {main_stop}, {stop}")):
            _emit_masked(e, loop, main_stop, stop, lanes)
    else:
        with e.loop(main_stop, stop, lanes) as i:
            _emit_masked(e, loop, i, stop, lanes)


def _emit_main(e: Emitter, loop: Loop, start: str, stop: str, lanes: int, unroll: int, nonempty: bool = False) -> None:
    context = lane_context(loop.symbol, lanes)
    with e.loop(start, stop, lanes * unroll, known_nonempty=nonempty) as i:
        if unroll == 1:
            emit_at(e, loop.symbol, i, context, loop.body)
            return
        second = e.emit(f"add nuw nsw i64 {i}, {lanes}")
        lines = e.block.lines
        before = len(lines)
        emit_at(e, loop.symbol, i, context, loop.body)
        between = len(lines)
        emit_at(e, loop.symbol, second, context, loop.body)
        if e.block.lines is lines:
            lines[before:] = interleave(lines[before:between], lines[between:])


_REGISTER = re.compile(r"%r\d+")


def interleave(first: list[str], second: list[str]) -> list[str]:
    """Two runs of instructions in turn, so that a processor that waits for one finds work in the other close by.

    The second may use what the first computes, not the other way round.
    """
    pending = {line.partition(" = ")[0] for line in first if line[0] == "%"}
    merged: list[str] = []
    rest = iter(first)
    for line in second:
        own = next(rest, None)
        if own is not None:
            merged.append(own)
            pending.discard(own.partition(" = ")[0])
        used = _REGISTER.findall(line)
        while not pending.isdisjoint(used):
            own = next(rest)
            merged.append(own)
            pending.discard(own.partition(" = ")[0])
        merged.append(line)
    merged += rest
    return merged


def _emit_masked(e: Emitter, loop: Loop, position: str, stop: str, lanes: int) -> None:
    mask = lane_mask(e, lanes, e.emit(f"sub i64 {stop}, {position}"))
    emit_at(e, loop.symbol, position, VectorContext(loop.symbol, lanes, mask), loop.body)


def _emit_lanes_known(e: Emitter, loop: Loop, extent: int, lanes: int, unroll: int) -> None:
    """A loop of known length: whole registers, then what is left in one masked one, or in ever fewer lanes."""
    while lanes > 1 and lanes // 2 >= extent:
        lanes //= 2
    if extent < 4 * lanes * unroll and extent % (lanes * unroll):
        unroll = 1
    step = lanes * unroll
    position = extent // step * step
    if position == step:
        for copy in range(unroll):
            emit_at(e, loop.symbol, str(copy * lanes), lane_context(loop.symbol, lanes), loop.body)
    elif position:
        _emit_main(e, loop, "0", str(position), lanes, unroll, nonempty=True)
    rest = _rest(extent - position, lanes, e.target.has_avx512)
    if len(rest) == 1 or len(rest) * statement_count(loop.body) <= REST_STATEMENTS:
        for lanes, active in rest:
            mask = None if active == lanes else constant_mask(lanes, active)
            emit_at(e, loop.symbol, str(position), lane_context(loop.symbol, lanes, mask), loop.body)
            position += active
    elif e.target.has_avx512:
        with e.loop(str(position), str(extent), lanes, known_nonempty=True) as i:
            _emit_masked(e, loop, i, str(extent), lanes)
    else:
        whole = extent // lanes * lanes
        if position < whole:
            _emit_main(e, loop, str(position), str(whole), lanes, 1, nonempty=True)
        if whole < extent:
            _emit_range(e, loop, str(whole), str(extent), True)


def _rest(count: int, lanes: int, has_masks: bool) -> list[tuple[int, int]]:
    """(lanes, active ones) for each step of a rest: whole registers, then a masked one, or ever smaller ones."""
    steps = []
    while count:
        while lanes > count and not (has_masks and 2 * count > lanes):
            lanes //= 2
        active = min(lanes, count)
        steps.append((lanes, active))
        count -= active
    return steps
