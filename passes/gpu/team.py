"""A row's code, shared by the threads of a team.

In: the statements of a row (`graphc.passes.gpu.row_nest`), and which threads work on it. Out: what one of them does.

All threads of a team do the row's scalar code alike. Along the row they take chunks of `width` neighbours in turn:
chunk c is that of thread c modulo their number, so neighbouring threads touch neighbouring memory, and an element
always is the same thread's: what a row keeps lies in that thread's registers. Reductions give all threads their value.

    16 threads, width 4:  thread 3 has the elements 12..15, 76..79, 140..143, ...

There are two kinds of teams: `WarpTeam`, part of a warp or a whole one, whose threads are the holders of accumulators
that `graphc.passes.gpu.reduction_tree` describes, and `BlockTeam`, a whole block, which brings the elements to one warp
through shared memory, or gives each of its warps reductions of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeAlias

from graphc.ir.dim import Size, bounds, minimum, quotient
from graphc.ir.dtype import DType
from graphc.kernel.gpu import WARP
from graphc.kernel.ir import (
    LANES,
    Allocate,
    Apply,
    Bind,
    Buffer,
    If,
    Load,
    Loop,
    LoopKind,
    Operand,
    Position,
    Reduce,
    Space,
    Statement,
    Store,
)
from graphc.passes.gpu.reduction_tree import Accumulators, Combiner, Layout, Parts, tree
from graphc.passes.gpu.row_nest import inner_reductions
from graphc.passes.gpu.slice import needed_by
from graphc.passes.gpu.writer import Copier, Writer, statements_in

TILE_BYTES: Final = 16 * 1024
"""Elements that a block brings to one warp at once."""

Chunk: TypeAlias = "Callable[[Size, Size, int, Operand | None], None]"
"""Writes the code of a chunk: its number, which of the thread's own it is, that modulo the groups of accumulators, and
where it is there at all (None: always). Where it is not, the number is that of another one."""


@dataclass(slots=True)
class Work:
    """What a row's code is copied with."""

    writer: Writer
    copier: Copier
    width: int
    kept: frozenset[Buffer]
    """Scratch of the row that lies in registers; its loops are written out."""
    is_row: Operand | None
    """Whether the row exists (None: for certain)."""
    registers: dict[Buffer, Buffer] = field(default_factory=dict)


class Team(Protocol):
    """The threads that work on a row."""

    @property
    def threads(self) -> int:
        """Their number."""

    @property
    def member(self) -> Size:
        """The number of this one among them."""

    def reduce(self, work: Work, reduce: Reduce) -> Operand:
        """Write a reduction along the row; its value."""


def write_row(team: Team, work: Work, body: tuple[Statement, ...]) -> None:
    """Write what a thread of the team does for a row."""
    writer, copier = work.writer, work.copier
    together, end = _split_end(body)
    for statement in together:
        match statement:
            case Allocate(buffer) if buffer in work.kept:
                assert isinstance(buffer.size, int)
                count = -(-buffer.size // (team.threads * work.width)) * work.width
                work.registers[buffer] = writer.registers(buffer.name, buffer.dtype, count)
            case Reduce():
                copier.values[statement.out] = team.reduce(work, statement)
            case Loop():
                _write_loop(team, work, statement)
            case Store() | If():
                copier.predicate = writer.both(work.is_row, writer.equals(team.member, 0))
                copier.statement(statement)
            case _:
                copier.predicate = work.is_row
                copier.statement(statement)
    if end:
        with writer.when(writer.both(work.is_row, writer.equals(team.member, 0))):
            copier.predicate = None
            copier.copy(end)


def _split_end(body: tuple[Statement, ...]) -> tuple[list[Statement], list[Statement]]:
    """What the team does together, and what one of its threads does with that: scalar code that ends in stores.

    What one thread reads and writes by itself may be written where it was.
    """
    count = max((i for i, s in enumerate(body, 1) if isinstance(s, Loop | Reduce)), default=0)
    before, after = body[:count], body[count:]
    written = {s.buffer for s in statements_in(before) if isinstance(s, Store)}
    if not any(isinstance(s, Store) for s in after) or any(isinstance(s, Allocate) for s in after):
        return list(body), []
    stay = [s for s in before if not isinstance(s, Apply | Position | Bind | Load)]
    needed = {id(s) for s in (*stay, *needed_by(stay, before))}
    end = [s for s in before if id(s) not in needed]
    read = [s.buffer for s in (*end, *after) if isinstance(s, Load)]
    if not read or not written.isdisjoint(read):
        return list(body), []
    return [s for s in before if id(s) in needed], [*end, *after]


def _write_loop(team: Team, work: Work, loop: Loop) -> None:
    extent = work.copier.size(loop.extent)

    def chunk(number: Size, step: Size, group: int, predicate: Operand | None) -> None:
        work.copier.predicate = work.writer.both(work.is_row, predicate)
        for _ in elements(work, loop, number, step):
            pass

    is_kept = touches(loop, work.kept)
    unroll = unroll_of(loop.body)
    chunks(work.writer, team.member, team.threads, quotient(extent, work.width), 1, unroll, is_kept, chunk)


def elements(work: Work, statement: Loop | Reduce, number: Size, step: Size) -> Iterator[tuple[Size, Size]]:
    """Write the code of a chunk's elements; inside the iteration, their code's end: (element, place in the chunk)."""
    with work.writer.loop("j", work.width, LoopKind.VECTOR) as j:
        work.copier.sizes[statement.symbol.name] = work.width * number + j
        for buffer, registers in work.registers.items():
            work.copier.places[buffer] = (registers, work.width * step + j)
        work.copier.copy(statement.body)
        yield work.width * number + j, j


def touches(statement: Loop | Reduce, buffers: frozenset[Buffer]) -> bool:
    """Whether the code of the elements reads or writes one of the buffers."""
    return any(getattr(each, "buffer", None) in buffers for each in statement.body)


def unroll_of(body: tuple[Statement, ...]) -> int:
    """Chunks whose code stands side by side, for their loads to be under way at once."""
    return 8 if len(body) <= 6 else 4 if len(body) <= 16 else 2


def chunks(
    writer: Writer, member: Size, threads: int, count: Size, groups: int, unroll: int, is_kept: bool, chunk: Chunk
) -> None:
    """A thread's chunks of `count`, in order; the k-th of them is in group k modulo `groups`."""

    def one(step: Size, group: int, *, is_last: bool) -> None:
        number = threads * step + member
        if not is_last:
            chunk(number, step, group, None)
            return
        predicate = writer.is_below(number, count)
        chunk(writer.bind("q", count, writer.position(number)), step, group, predicate)

    def several(start: Size, times: Size, each: int, kind: LoopKind, *, is_last: bool) -> None:
        """`times` times `each` chunks, a multiple of the groups, from the `start`th on."""
        if times == 0:
            return
        with writer.loop("s", times, kind) as time:
            if each == groups == 1:
                one(start + time, 0, is_last=is_last)
                return
            with writer.loop("u", each // groups, LoopKind.UNROLLED) as more:
                for group in range(groups):
                    one(start + each * time + groups * more + group, group, is_last=is_last)

    unroll = max(unroll, groups)
    if not isinstance(count, int):
        rounds = quotient(count, threads * unroll)
        several(0, rounds, unroll, LoopKind.SERIAL, is_last=False)
        rest = quotient(count - rounds * threads * unroll + threads * groups - 1, threads * groups)
        several(rounds * unroll, rest, groups, LoopKind.SERIAL, is_last=True)
        return
    whole = count // threads
    done = 0
    if not is_kept and whole >= 2 * unroll:
        several(0, whole // unroll, unroll, LoopKind.SERIAL, is_last=False)
        done = whole // unroll * unroll
    several(done, (whole - done) // groups, groups, LoopKind.UNROLLED, is_last=False)
    for step in range(done + (whole - done) // groups * groups, whole):
        one(step, step % groups, is_last=False)
    if count % threads:
        one(whole, whole % groups, is_last=True)


@dataclass(frozen=True, slots=True)
class WarpTeam:
    """Some neighbouring threads of a warp, a power of two of them; all warps of a block come to the same code."""

    threads: int
    member: Size

    def reduce(self, work: Work, reduce: Reduce) -> Operand:
        """By the holders of the accumulators themselves."""
        extent = work.copier.size(reduce.extent)
        combiner = Combiner.of(reduce, extent)
        inner = inner_reductions(reduce)
        if inner:
            return self._reduce_in_turn(work, reduce, combiner, extent)
        layout = Layout(self.threads, work.width)
        accumulators = Accumulators(work.writer, combiner, layout, layout.groups(extent))

        def chunk(number: Size, step: Size, group: int, predicate: Operand | None) -> None:
            for index, place in elements(work, reduce, number, step):
                element = combiner.element(work.writer, work.copier.operand(reduce.element), index)
                accumulators.take(work.width * group + place, element, predicate)

        count = quotient(extent, work.width)
        is_kept = touches(reduce, work.kept)
        groups, unroll = accumulators.groups, unroll_of(reduce.body)
        chunks(work.writer, self.member, self.threads, count, groups, unroll, is_kept, chunk)
        return combiner.result(work.writer, accumulators.total())

    def _reduce_in_turn(self, work: Work, reduce: Reduce, combiner: Combiner, extent: Size) -> Operand:
        """Elements that are reductions themselves: the team does one after the other."""
        holder = Holder(work.writer, combiner, Layout(self.threads, 1), self.member, extent)
        with work.writer.loop("r", extent, LoopKind.SERIAL) as index:
            holder.take(index, self.element(work, reduce, index))
        return combiner.result(work.writer, holder.accumulators.total())

    def element(self, work: Work, reduce: Reduce, index: Size) -> Operand:
        """An element that is made of reductions."""
        work.copier.sizes[reduce.symbol.name] = index
        write_row(self, work, reduce.body)
        return work.copier.operand(reduce.element)


class Holder:
    """Accumulators of elements that all threads of a team know: each is taken in by the thread that holds its own."""

    def __init__(self, writer: Writer, combiner: Combiner, layout: Layout, member: Size, extent: Size) -> None:
        self.writer, self.combiner, self.layout, self.member = writer, combiner, layout, member
        self.accumulators = Accumulators(writer, combiner, layout, layout.groups(extent))

    def take(self, index: Size, element: Operand) -> None:
        """The element of this index."""
        parts = self.combiner.element(self.writer, element, index)
        for group in range(self.accumulators.groups):
            is_own = self.writer.equals(index % LANES, self.layout.lanes * group + self.member)
            self.accumulators.take(group, parts, is_own)


@dataclass(frozen=True, slots=True)
class BlockTeam:
    """All threads of a block."""

    threads: int
    member: Size
    shared: list[Buffer]
    """The block's memory: what is written adds to it."""

    @property
    def lane(self) -> Size:
        """The thread's number in its warp."""
        return self.member % WARP

    def reduce(self, work: Work, reduce: Reduce) -> Operand:
        """Through shared memory: elements of this reduction, or results of reductions by single warps."""
        extent = work.copier.size(reduce.extent)
        combiner = Combiner.of(reduce, extent)
        inner = inner_reductions(reduce)
        if not inner:
            return self._reduce_elements(work, reduce, combiner, extent)
        if bounds(extent)[1] < self.threads // WARP or any(bounds(each.extent)[1] >= LANES * WARP for each in inner):
            return self._reduce_in_turn(work, reduce, combiner, extent)
        return self._reduce_by_warps(work, reduce, combiner, extent)

    def _reduce_in_turn(self, work: Work, reduce: Reduce, combiner: Combiner, extent: Size) -> Operand:
        """Elements that are long reductions themselves: the block does one after the other."""
        holder = Holder(work.writer, combiner, Layout(WARP, 1), self.lane, extent)
        with work.writer.loop("r", extent, LoopKind.SERIAL) as index:
            work.copier.sizes[reduce.symbol.name] = index
            write_row(self, work, reduce.body)
            holder.take(index, work.copier.operand(reduce.element))
        return combiner.result(work.writer, holder.accumulators.total())

    def _reduce_by_warps(self, work: Work, reduce: Reduce, combiner: Combiner, extent: Size) -> Operand:
        """Elements that are reductions themselves: each warp does some, and of these holds the accumulators."""
        writer, warps, warp = work.writer, self.threads // WARP, self.member // WARP
        own = LANES // warps
        """Accumulators of a warp, one in each of its first threads."""
        team = WarpTeam(WARP, self.lane)
        accumulators = Accumulators(writer, combiner, Layout(WARP, 1), 1)
        with writer.loop("r", quotient(extent + warps - 1, warps), LoopKind.SERIAL) as turn:
            number = warps * turn + warp
            is_there = None if bounds(extent)[0] == bounds(extent)[1] and bounds(extent)[0] % warps == 0 else True
            predicate = None
            index = number
            if is_there:
                predicate = writer.is_below(number, extent)
                index = writer.bind("r", extent, writer.position(number))
            element = combiner.element(writer, team.element(work, reduce, index), index)
            is_own = writer.equals(turn % own, self.lane)
            accumulators.take(0, element, writer.both(is_own, predicate))
        places = [self.memory("held", dtype, LANES) for dtype in combiner.dtypes]
        is_holder = writer.is_below(self.lane, own)
        for place, part in zip(places, accumulators.parts(0)):
            # Threads beyond the holders name a place in range, too, and write nothing.
            writer.store(place, warps * (self.lane % own) + warp, part, is_holder)
        writer.barrier()
        held: list[Parts] = [
            tuple(writer.load(place, WARP * group + self.lane) for place in places) for group in range(LANES // WARP)
        ]
        return combiner.result(writer, tree(writer, combiner, Layout(WARP, 1), held))

    def _reduce_elements(self, work: Work, reduce: Reduce, combiner: Combiner, extent: Size) -> Operand:
        """All threads compute elements, a tile at a time; one warp combines them."""
        writer, layout = work.writer, Layout(WARP, 1)
        count = quotient(extent, work.width)
        is_kept = touches(reduce, work.kept)
        dtype = combiner.dtype
        most = max(1, TILE_BYTES // (dtype.itemsize * work.width * self.threads))
        each = max(1, min(most, -(-bounds(count)[1] // self.threads)))
        """Chunks of a thread in a tile."""
        stage = self.memory("stage", dtype, self.threads * each * work.width)
        accumulators = Accumulators(writer, combiner, layout, layout.groups(extent))

        def tile(number: Size, *, is_last: bool) -> None:
            writer.barrier()
            for more in range(each):
                step = each * number + more
                chunk = self.threads * step + self.member
                if is_last:
                    if isinstance(count, int) and isinstance(step, int) and self.threads * step >= count:
                        break
                    chunk = writer.bind("q", count, writer.position(chunk))
                for _, place in elements(work, reduce, chunk, step):
                    at = work.width * (self.threads * more + self.member) + place
                    writer.store(stage, at, work.copier.operand(reduce.element))
            writer.barrier()
            start = self.threads * each * work.width * number
            with writer.when(writer.is_below(self.member, WARP)):
                combine(start, minimum(self.threads * each * work.width, extent - start) if is_last else stage.size)

        def combine(start: Size, extent: Size) -> None:
            def take(number: Size, step: Size, group: int, predicate: Operand | None) -> None:
                element = combiner.element(writer, writer.load(stage, number), start + number)
                accumulators.take(group, element, predicate)

            chunks(writer, self.lane, WARP, extent, accumulators.groups, 16, False, take)

        tiles = quotient(count, self.threads * each)
        if tiles != 0:
            with writer.loop("tile", tiles, LoopKind.UNROLLED if is_kept else LoopKind.SERIAL) as number:
                tile(number, is_last=False)
        rest = count - tiles * self.threads * each
        if isinstance(rest, int):
            if rest:
                tile(tiles, is_last=True)
        else:
            with writer.loop("tile", minimum(1, rest), LoopKind.SERIAL) as none:
                tile(tiles + none, is_last=True)
        parts = accumulators.total()
        results = [self.memory("result", part.dtype, 1, is_own=True) for part in parts]
        for result, part in zip(results, parts):
            writer.store(result, 0, part, writer.equals(self.member, 0))
        writer.barrier()
        return combiner.result(writer, tuple(writer.load(result, 0) for result in results))

    def memory(self, hint: str, dtype: DType, size: int, *, is_own: bool = False) -> Buffer:
        """Shared memory; what others have used before, unless it is to be its own."""
        if not is_own and hint == "stage":
            for buffer in self.shared:
                if buffer.name == hint and buffer.dtype is dtype and buffer.size == size:
                    return buffer
        buffer = Buffer(hint, dtype, size, Space.SHARED)
        self.shared.append(buffer)
        return buffer
