"""The chunks of a row that are one thread's, and the code of their elements.

In: a loop or reduction along a row, and which of how many threads this one is. Out: the code of its chunks, of `width`
neighbours each, in order. Chunk c is that of thread c modulo their number, so neighbouring threads touch neighbouring
memory, and an element always is the same thread's.

A row may begin anywhere in memory: then chunks are those of memory (`Work.base`), the first one and the last one hold
fewer elements, and the steps in which these are done ask of each element whether it is there.

    width 4, a row of 10 elements from 6 on:  chunks 4..7, 8..11, 12..15, of which the first one has 2 elements
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Final, TypeAlias

from graphc.ir.dim import Size, maximum, minimum, quotient
from graphc.ir.dtype import i64
from graphc.kernel.gpu import MOST_THREADS
from graphc.kernel.ir import Apply, Buffer, Literal, Load, Loop, LoopKind, Operand, Reduce, Space, Store, statements_in
from graphc.passes.gpu.elementwise import count_instructions
from graphc.passes.gpu.writer import Copier, Writer

MOST_SIDE_BY_SIDE: Final = 32
"""Elements of one thread whose code stands side by side, each with registers of its own."""
MANY_ACCESSES: Final = 3
"""Accesses to memory of an element from which on elements at a row's edges are done in turn."""
QUICK: Final = 4
"""Instructions up to which one warp computes elements of what is kept by itself."""

Chunk: TypeAlias = "Callable[[Size, Size, int, Where], None]"
"""Writes the code of a chunk: its number, which of the thread's own it is, that modulo the groups of accumulators, and
which of its elements are there."""


@dataclass(frozen=True, slots=True)
class Where:
    """Which elements of a chunk are there: all or none, by the predicate (None: all); each by itself at an edge.

    Where the predicate fails, the chunk's number is that of another one.
    """

    predicate: Operand | None = None
    is_edge: bool = False


ALL: Final = Where()
EDGE: Final = Where(is_edge=True)


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
    base: Size | None = None
    """Where the row begins in memory, if that may be between two multiples of the width."""
    first: Size = 0
    """The chunk of memory in which it begins."""
    is_apart: bool = False
    """Whether no barrier stands between a thread that keeps an element in shared memory and others."""
    is_repeated: bool = False
    """Whether it is done several times, with the same memory."""

    @property
    def by_element(self) -> Work:
        """The same work in chunks of one element."""
        return replace(self, width=1, base=None, first=0)


def elements(
    work: Work, statement: Loop | Reduce, number: Size, step: Size, where: Where = ALL
) -> Iterator[tuple[Size, Size, Operand | None]]:
    """Write the code of a chunk's elements.

    Inside the iteration, their code's end: (element, place in the chunk, whether it is there; None: for certain).
    """
    writer, copier = work.writer, work.copier
    # What another thread keeps is not to be read even in vain while it may be writing it.
    is_guarded = _reads_shared(statement) and (work.is_apart or keeps_shared(statement))
    # At an edge each element has addresses of its own, which take registers.
    is_in_turn = where.is_edge and _is_better_in_turn(statement) and not touches(statement, work.kept)
    kind = LoopKind.SERIAL if is_in_turn else LoopKind.VECTOR
    with writer.when(where.predicate if is_guarded else None), writer.loop("j", work.width, kind) as j:
        index = work.width * (work.first + number) + j - (0 if work.base is None else work.base)
        is_there = where.predicate
        if where.is_edge:
            extent = copier.size(statement.extent)
            at = writer.position(index)
            is_behind, is_before = (
                writer.apply("ge", at, Literal(0, i64)),
                writer.apply("lt", at, writer.position(extent)),
            )
            is_there = writer.both(is_behind, is_before)
            if not is_guarded:
                index = writer.bind("k", extent, at)
        with writer.when(is_there if where.is_edge and is_guarded else None):
            copier.predicate, copier.own_predicate = writer.both(work.is_row, is_there), is_there
            copier.sizes[statement.symbol.name] = index
            for buffer, registers in work.registers.items():
                copier.places[buffer] = (registers, work.width * step + j)
            copier.copy(statement.body)
            yield index, j, is_there


def _is_better_in_turn(statement: Loop | Reduce) -> bool:
    """Whether a loop's elements need many addresses, or don't wait. (Those of reductions are told apart by number.)"""
    far = sum(isinstance(s, Load | Store) and s.buffer.space is Space.GLOBAL for s in statement.body)
    return isinstance(statement, Loop) and (far >= MANY_ACCESSES or is_near(statement))


def touches(statement: Loop | Reduce, buffers: frozenset[Buffer]) -> bool:
    """Whether the code of the elements reads or writes one of the buffers."""
    return any(getattr(each, "buffer", None) in buffers for each in statement.body)


def is_near(statement: Loop | Reduce) -> bool:
    """Whether shared memory has all that is read."""
    spaces = {s.buffer.space for s in statement.body if isinstance(s, Load)}
    return Space.SHARED in spaces and Space.GLOBAL not in spaces


def _reads_shared(statement: Loop | Reduce) -> bool:
    return any(isinstance(s, Load) and s.buffer.space is Space.SHARED for s in statement.body)


def keeps_shared(statement: Loop | Reduce) -> bool:
    return any(isinstance(s, Store) and s.buffer.space is Space.SHARED for s in statement.body)


def is_quick(reduce: Reduce) -> bool:
    """Whether the elements take little, and nothing from beyond the block."""
    inside = tuple(statements_in(reduce.body))
    if any(isinstance(s, Reduce) or (isinstance(s, Load) and s.buffer.space is not Space.SHARED) for s in inside):
        return False
    return sum(count_instructions(s) for s in inside if isinstance(s, Apply)) <= QUICK


def unroll_of(statement: Loop | Reduce, width: int, threads: int) -> int:
    """Chunks whose code stands side by side, for their loads to be under way at once."""
    size = len(statement.body)
    if _reads_shared(statement):
        # What is kept comes soon, and the more threads there are, the fewer registers each has.
        return max(1, (8 if threads <= MOST_THREADS // 2 else 4) // width)
    return min(8 if size <= 6 else 4 if size <= 16 else 2, max(1, MOST_SIDE_BY_SIDE // width))


def chunks(
    work: Work, member: Size, threads: int, extent: Size, groups: int, statement: Loop | Reduce, chunk: Chunk
) -> None:
    """A thread's chunks of a row, in order; the k-th of them is in group k modulo `groups`."""
    is_kept, unroll = touches(statement, work.kept), max(unroll_of(statement, work.width, threads), groups)
    if work.base is None:
        aligned_chunks(work.writer, member, threads, quotient(extent, work.width), groups, unroll, is_kept, chunk)
    else:
        _shifted_chunks(work, member, threads, extent, groups, unroll, is_kept, chunk)


def steps_of(extent: Size, width: int, threads: int) -> tuple[Size, Size]:
    """Of a row that begins anywhere: how many steps of a team hold whole chunks for certain, but for its first chunk,
    and how many there are at most."""
    most = quotient(extent + (2 * width - 2), width)
    return quotient(quotient(extent, width), threads), quotient(most + (threads - 1), threads) * minimum(1, extent)


def _shifted_chunks(
    work: Work, member: Size, threads: int, extent: Size, groups: int, unroll: int, is_kept: bool, chunk: Chunk
) -> None:
    """The first and the last steps ask of each element whether it is there."""
    writer = work.writer
    whole, total = steps_of(extent, work.width, threads)

    def some(start: Size, count: Size, each: int, kind: LoopKind, where: Where) -> None:
        if count == 0:
            return
        with writer.loop("s", count, kind) as time, writer.loop("u", each // groups, LoopKind.UNROLLED) as more:
            for group in range(groups):
                step = start + each * time + groups * more + group
                chunk(threads * step + member, step, group, where)

    if is_kept:
        assert isinstance(whole, int), "what registers keep is written out"
        assert isinstance(total, int), "what registers keep is written out"
        between = max(0, whole - groups) // groups
        some(0, min(groups, total) // groups, groups, LoopKind.UNROLLED, EDGE)
        some(groups, between, groups, LoopKind.UNROLLED, ALL)
        for step in range(groups * (1 + between) if total >= groups else 0, total):
            chunk(threads * step + member, step, step % groups, EDGE)
        return
    some(0, minimum(1, total), groups, LoopKind.SERIAL, EDGE)
    inside = maximum(whole - groups, 0)
    several = quotient(inside, unroll)
    some(groups, several, unroll, LoopKind.SERIAL, ALL)
    single = quotient(inside - several * unroll, groups) if unroll > groups else 0
    some(groups + several * unroll, single, groups, LoopKind.SERIAL, ALL)
    done = groups + several * unroll + single * groups
    some(done, quotient(maximum(total - done, 0) + (groups - 1), groups), groups, LoopKind.SERIAL, EDGE)


def aligned_chunks(
    writer: Writer, member: Size, threads: int, count: Size, groups: int, unroll: int, is_kept: bool, chunk: Chunk
) -> None:
    """A thread's chunks of `count` that are all there."""

    def one(step: Size, group: int, *, is_last: bool) -> None:
        number = threads * step + member
        if not is_last:
            chunk(number, step, group, ALL)
            return
        predicate = writer.is_below(number, count)
        chunk(writer.bind("q", count, writer.position(number)), step, group, Where(predicate))

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
