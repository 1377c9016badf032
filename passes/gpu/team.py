"""A row's code, shared by the threads of a team.

In: the statements of a row (`graphc.passes.gpu.row_nest`), and which threads work on it. Out: what one of them does.

All threads of a team do the row's scalar code alike. Along the row they take chunks in turn
(`graphc.passes.gpu.chunks`): what a row keeps of them lies in that thread's registers, or in shared memory. Reductions
give all threads their value.

    16 threads, width 4:  thread 3 has the elements 12..15, 76..79, 140..143, ...

Where a row begins between two chunks, accumulators are held in the order of positions in memory: that turns the tree's
circle of 64 around and leaves its pairs as they are.

There are two kinds of teams: `WarpTeam`, part of a warp or a whole one, whose threads are the holders of accumulators
that `graphc.passes.gpu.reduction_tree` describes, and `BlockTeam`, a whole block. What may be combined in any order its
threads combine as it comes. Else one warp does, which takes elements that need little work from where they are kept;
others all threads compute and bring to it through shared memory: into one tile while it takes in the one before. Where
the elements are reductions themselves, each warp may do some.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Protocol

from graphc.ir.dim import Size, bounds, maximum, minimum, quotient, remainder
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
    statements_in,
)
from graphc.passes.gpu.chunks import (
    ALL,
    EDGE,
    Where,
    Work,
    aligned_chunks,
    chunks,
    elements,
    is_near,
    is_quick,
    keeps_shared,
    steps_of,
    touches,
)
from graphc.passes.gpu.reduction_tree import Accumulators, Combiner, Layout, Parts, halved, lanes_total, tree
from graphc.passes.gpu.row_nest import inner_reductions
from graphc.passes.gpu.slice import needed_by
from graphc.passes.gpu.writer import Writer

TILE_BYTES: Final = 8 * 1024
"""Elements that a block brings to one warp at once; there are two such tiles."""


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

    def wait(self, work: Work) -> None:
        """What the threads have written to shared memory, all of them that read it see from here on."""


def write_row(team: Team, work: Work, body: tuple[Statement, ...]) -> None:
    """Write what a thread of the team does for a row."""
    writer, copier = work.writer, work.copier
    together, end = _split_end(body)
    for statement in together:
        match statement:
            case Allocate(buffer) if buffer in work.kept:
                assert isinstance(buffer.size, int)
                steps = quotient(buffer.size + (team.threads * work.width - 1), team.threads * work.width)
                if work.base is not None:
                    _, steps = steps_of(buffer.size, work.width, team.threads)
                assert isinstance(steps, int), "registers hold rows of known length"
                count = steps * work.width
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

    def chunk(number: Size, step: Size, group: int, where: Where) -> None:
        for _ in elements(work, loop, number, step, where):
            pass

    chunks(work, team.member, team.threads, extent, 1, loop, chunk)
    if keeps_shared(loop):
        team.wait(work)


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
        groups = layout.groups(extent if work.base is None else extent + (work.width - 1))
        accumulators = Accumulators(work.writer, combiner, layout, groups)

        def chunk(number: Size, step: Size, group: int, where: Where) -> None:
            for index, place, is_there in elements(work, reduce, number, step, where):
                element = combiner.element(work.writer, work.copier.operand(reduce.element), index)
                accumulators.take(work.width * group + place, element, is_there)

        chunks(work, self.member, self.threads, extent, groups, reduce, chunk)
        return combiner.result(work.writer, accumulators.total())

    def wait(self, work: Work) -> None:
        """Nothing: each element is one thread's."""

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
    tile_bytes: int = TILE_BYTES

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
            if combiner.is_free:
                return self._reduce_freely(work, reduce, combiner, extent)
            if is_quick(reduce):
                return self._reduce_by_one_warp(work.by_element, reduce)
            # What is kept is as quick to read one by one, and leaves little room for others.
            is_much = self.threads * work.width * combiner.dtype.itemsize > self.tile_bytes
            if (is_much or is_near(reduce)) and not touches(reduce, work.kept):
                work = work.by_element
            return self._reduce_elements(work, reduce, combiner, extent)
        if all(map(is_quick, inner)):
            return self._reduce_by_warps(work.by_element, reduce, combiner, extent)
        if bounds(extent)[1] < self.threads // WARP or any(bounds(each.extent)[1] >= LANES * WARP for each in inner):
            return self._reduce_in_turn(work, reduce, combiner, extent)
        return self._reduce_by_warps(work, reduce, combiner, extent)

    def wait(self, work: Work) -> None:
        """By a barrier."""
        work.writer.barrier()

    def _reduce_freely(self, work: Work, reduce: Reduce, combiner: Combiner, extent: Size) -> Operand:
        """Elements in any order: each thread takes in its own, then a warp its threads' ones, then all the warps'."""
        writer, warps = work.writer, self.threads // WARP
        accumulators = Accumulators(writer, combiner, Layout(WARP, work.width), 1)

        def chunk(number: Size, step: Size, group: int, where: Where) -> None:
            for index, place, is_there in elements(work, reduce, number, step, where):
                element = combiner.element(writer, work.copier.operand(reduce.element), index)
                accumulators.take(place, element, is_there)

        chunks(work, self.member, self.threads, extent, 1, reduce, chunk)
        parts = lanes_total(writer, combiner, WARP, halved(writer, combiner, accumulators.all_parts()))
        places = [self.memory("warps", dtype, warps) for dtype in combiner.dtypes]
        if work.is_repeated:
            writer.barrier()  # others may still read what was here before
        for place, part in zip(places, parts):
            writer.store(place, quotient(self.member, WARP), part, writer.equals(self.lane, 0))
        writer.barrier()
        held = tuple(writer.load(place, remainder(self.member, warps)) for place in places)
        return combiner.result(writer, lanes_total(writer, combiner, warps, held))

    def _reduce_by_one_warp(self, work: Work, reduce: Reduce) -> Operand:
        """Elements that take little: one warp has them all, where the others have put them."""
        writer = work.writer
        result = self.memory("result", reduce.out.dtype, 1)
        if work.is_repeated:
            writer.barrier()  # others may still read what was here before
        with writer.when(writer.is_below(self.member, WARP)):
            total = WarpTeam(WARP, self.lane).reduce(work, reduce)
            writer.store(result, 0, total, writer.equals(self.member, 0))
        writer.barrier()
        return writer.load(result, 0)

    def _reduce_in_turn(self, work: Work, reduce: Reduce, combiner: Combiner, extent: Size) -> Operand:
        """Elements that are long reductions themselves: the block does one after the other."""
        holder = Holder(work.writer, combiner, Layout(WARP, 1), self.lane, extent)
        with work.writer.loop("r", extent, LoopKind.SERIAL) as index:
            work.copier.sizes[reduce.symbol.name] = index
            write_row(self, replace(work, is_repeated=True), reduce.body)
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
            is_there = None if remainder(extent, warps) == 0 else writer.is_below(number, extent)
            with writer.when(is_there):
                element = combiner.element(writer, team.element(work, reduce, number), number)
                accumulators.take(0, element, writer.equals(turn % own, self.lane))
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
        """All threads compute elements, a tile at a time; one warp combines them, while the others go on."""
        writer, layout, width = work.writer, Layout(WARP, 1), work.width
        is_kept, dtype = touches(reduce, work.kept), combiner.dtype
        count = quotient(extent, width)
        whole, total = quotient(count, self.threads), quotient(count + (self.threads - 1), self.threads)
        if work.base is not None:
            whole, total = steps_of(extent, width, self.threads)
        most = max(1, self.tile_bytes // (dtype.itemsize * width * self.threads))
        each = max(1, min(most, bounds(total)[1]))
        """Steps of a tile."""
        size = self.threads * each * width
        stage = self.memory("stage", dtype, 2 * size)
        accumulators = Accumulators(writer, combiner, layout, layout.groups(extent + width - 1))
        (nothing,) = combiner.identity()

        def tile(number: Size, *, is_edge: bool) -> None:
            start = size * remainder(number, 2)
            steps = 0
            for more in range(each):
                step = each * number + more
                if is_edge and isinstance(step, int) and isinstance(total, int) and step >= total:
                    break
                steps += 1
                chunk, where = self.threads * step + self.member, ALL
                if is_edge and work.base is not None:
                    where = EDGE
                elif is_edge:
                    where = Where(writer.is_below(chunk, count))
                    chunk = writer.bind("q", count, writer.position(chunk))
                for _, place, is_there in elements(work, reduce, chunk, step, where):
                    element = work.copier.operand(reduce.element)
                    if is_there is not None:
                        # What is not there is written all the same: the identity changes no bit of an accumulator.
                        element = writer.apply("select", is_there, element, nothing)
                    writer.store(stage, start + width * (self.threads * more + self.member) + place, element)
            writer.barrier()
            with writer.when(writer.is_below(self.member, WARP)):
                combine(start, self.threads * width * steps)

        def combine(start: Size, extent: int) -> None:
            def take(number: Size, step: Size, group: int, where: Where) -> None:
                element = combiner.element(writer, writer.load(stage, start + number), number)
                accumulators.take(group, element, where.predicate)

            aligned_chunks(writer, self.lane, WARP, extent, accumulators.groups, 16, False, take)

        def tiles(first: Size, end: Size, *, is_edge: bool) -> None:
            """Those from the first one up to the end."""
            kind = LoopKind.UNROLLED if is_kept else LoopKind.SERIAL
            if end - first != 0:
                with writer.loop("tile", end - first, kind) as number:
                    tile(first + number, is_edge=is_edge)

        # Of a row that begins anywhere, the first step is an edge, too.
        begin: Size = 0 if work.base is None else minimum(1, total)
        end = maximum(begin, quotient(whole, each))
        last = quotient(total + (each - 1), each)
        tiles(0, begin, is_edge=True)
        tiles(begin, end, is_edge=False)
        if isinstance(last, int) and isinstance(end, int):
            for number in range(end, last):
                tile(number, is_edge=True)
        else:
            tiles(end, maximum(last, end), is_edge=True)
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
