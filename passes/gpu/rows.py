"""Rows that are reduced, each by a team of threads: one kernel that reads a row once if its registers hold it.

In: a kernel of `lower` whose reductions run along rows (neighbouring elements are neighbours in memory, or what follows
is along the row). Out: the kernel for a GPU, with the bits that the kernel has on a CPU.

Short rows are done by parts of a warp, longer ones by a warp, and few long ones by a block each. What the loops along
a row read or keep lies in registers where the row's length is a number and not too large; else it is read or computed
again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from graphc.ir.dim import Size, bounds, linear, quotient, remainder
from graphc.kernel.gpu import WARP, GpuTarget
from graphc.kernel.ir import (
    LANES,
    Allocate,
    Buffer,
    If,
    Kernel,
    Load,
    Loop,
    LoopKind,
    Reduce,
    Space,
    Statement,
    Store,
)
from graphc.passes.gpu.row_nest import (
    RowNest,
    find_rows,
    inner_reductions,
    scratch_of,
    with_kept_loads,
    without_scratch,
)
from graphc.passes.gpu.team import BlockTeam, WarpTeam, Work, write_row
from graphc.passes.gpu.writer import Copier, Writer, statements_in

if TYPE_CHECKING:
    from graphc.passes.lower import KernelCall

THREADS: Final = 256
"""Of a block."""
FEW_ROWS: Final = 1024
"""Rows that don't keep a GPU busy if each has only a warp."""
LONG_ROW: Final = 2048
"""Elements from which on few rows have a block each."""
LONGEST_ROW: Final = 8192
"""Elements from which on all rows have a block each."""
SHORTEST_ROW: Final = 4
"""Elements up to which a thread does a row alone."""
WARP_WORDS: Final = 64
"""Registers of a thread that hold elements of a row, in a team that is part of a warp."""
BLOCK_WORDS: Final = 32
"""The same in a team of a whole block, which can have more threads instead."""


def schedule_rows(call: KernelCall, target: GpuTarget) -> tuple[KernelCall, ...] | None:
    """The rows policy: None for kernels without reductions, or whose reductions run down columns."""
    nest = find_rows(call.kernel)
    if nest is None or runs_down_columns(nest):
        return None
    plan = plan_rows(nest)
    return None if plan is None else (replace(call, kernel=write_rows(plan)),)


@dataclass(frozen=True, slots=True)
class Plan:
    """How a kernel's rows are done."""

    nest: RowNest
    lanes: int
    """Threads of a team."""
    width: int
    threads: int
    """Of a block."""
    kept: frozenset[Buffer]


def plan_rows(nest: RowNest) -> Plan | None:
    """Choose a team for the rows; None if there is nothing to share in a row."""
    scratch = scratch_of(nest.body)
    if scratch is None or any(_reduces(each.producer) for each in scratch.values()):
        return None
    along = list(along_row(nest.body))
    extents = [statement.extent for statement in along]
    longest = max(bounds(extent)[1] for extent in extents)
    if longest <= SHORTEST_ROW:
        return None
    nest = without_scratch(nest, (b for b in scratch if not _is_keepable(nest.body, b)))
    is_nested = any(isinstance(s, Reduce) and inner_reductions(s) for s in nest.body)
    is_known = all(isinstance(extent, int) for extent in extents)
    few = bounds(nest.rows)[1] <= FEW_ROWS
    is_block = is_nested or (is_known and (longest >= LONGEST_ROW or (few and longest >= LONG_ROW)))
    widest = widest_access(nest)
    if is_known and not is_nested:
        keeping = with_kept_loads(nest)
        kept = frozenset(s.buffer for s in keeping.body if isinstance(s, Allocate))
        words = kept_words(keeping.body)
        if not kept:
            pass
        elif not is_block and (team := _warp_team(longest, widest, words)) is not None:
            return Plan(keeping, *team, THREADS, kept)
        else:
            for threads in (THREADS, 2 * THREADS, 4 * THREADS):
                if -(-longest // threads) * words <= BLOCK_WORDS:
                    return Plan(keeping, threads, widest, threads, kept)
    nest = without_scratch(nest, scratch_of(nest.body) or {})
    if is_block:
        return Plan(nest, THREADS, widest, THREADS, frozenset())
    team = _warp_team(longest, widest, 0)
    assert team is not None, "nothing is kept"
    return Plan(nest, *team, THREADS, frozenset())


def _warp_team(longest: int, widest: int, words: int) -> tuple[int, int] | None:
    """Threads and width of a team that is part of a warp; None where a row's `words` are too many for a warp."""
    best: tuple[int, int] | None = None
    lanes = 2
    while lanes <= WARP:
        width = min(widest, LANES // lanes)
        each = -(-longest // lanes)
        is_short = words == 0 or each * words <= WARP_WORDS // 2 or lanes == WARP
        if (each <= 2 * width or each <= 8 or lanes * widest >= LANES) and is_short and each * words <= WARP_WORDS:
            best = best or (lanes, width)
        lanes *= 2
    return best


def write_rows(plan: Plan) -> Kernel:
    """The kernel for a GPU."""
    nest, kernel = plan.nest, plan.nest.kernel
    teams = plan.threads // plan.lanes
    """In a block."""
    writer = Writer(nest.names)
    shared: list[Buffer] = []
    blocks = quotient(nest.rows + teams - 1, teams)
    with writer.loop("b", blocks, LoopKind.BLOCK) as block:
        mark = len(writer.statements)
        with writer.loop("t", plan.threads, LoopKind.THREAD) as thread:
            row, is_row = teams * block + quotient(thread, plan.lanes), None
            if teams == 1:
                row = block
            elif remainder(nest.rows, teams) != 0:
                is_row = writer.is_below(row, nest.rows)
                row = writer.bind("row", nest.rows, writer.position(row))
            copier = Copier(writer, sizes={nest.symbol.name: row})
            work = Work(writer, copier, plan.width, plan.kept, is_row)
            if plan.lanes > WARP:
                write_row(BlockTeam(plan.threads, thread, shared), work, nest.body)
            else:
                write_row(WarpTeam(plan.lanes, remainder(thread, plan.lanes)), work, nest.body)
        writer.statements[mark:mark] = [Allocate(buffer) for buffer in shared]
    return replace(kernel, body=(*nest.prefix, *writer.statements))


# What a row looks like


def along_row(body: tuple[Statement, ...]) -> Iterator[Loop | Reduce]:
    """The loops and reductions whose elements a team shares."""
    for statement in body:
        if isinstance(statement, Reduce) and inner_reductions(statement):
            yield from inner_reductions(statement)
        elif isinstance(statement, Loop | Reduce):
            yield statement


def runs_down_columns(nest: RowNest) -> bool:
    """Whether neighbouring rows, rather than elements of a row, are neighbours in memory."""
    if nest.inner is None:
        return False
    votes = 0
    for statement in along_row(nest.body):
        for each in statement.body:
            if isinstance(each, Load | Store) and each.buffer.space is Space.GLOBAL:
                along, across = _stride(each.index, statement.symbol.name), _row_stride(nest, each.index)
                if along == 0 or along is None:
                    continue
                is_column = across is not None and across != 0 and _is_nearer(across, along)
                votes += 1 if is_column else -1
    return votes > 0


def _is_nearer(stride: Size, other: Size) -> bool:
    return isinstance(stride, int) and (not isinstance(other, int) or abs(stride) < abs(other))


def _row_stride(nest: RowNest, index: Size) -> Size | None:
    """How far apart elements of neighbouring rows are, for most neighbours."""
    parts = linear(index, nest.symbol.name)
    if parts is not None:
        return parts[1]
    from graphc.ir.dim import Symbol, substitute

    # Rows of several axes: neighbours differ in the last one, the row's number modulo its extent.
    assert nest.inner is not None
    last = Symbol("last", 0, nest.inner.upper)
    moved = substitute(index, {nest.symbol.name: last.size})
    parts = linear(moved, last.name)
    return None if parts is None else parts[1]


def _stride(index: Size, name: str) -> Size | None:
    parts = linear(index, name)
    return None if parts is None else parts[1]


def widest_access(nest: RowNest) -> int:
    """How many neighbours of a row each thread can read and write at once: aligned, 16 bytes at most."""
    width = 16
    has_neighbours = False
    for statement in along_row(nest.body):
        while remainder(statement.extent, width) != 0:
            width //= 2
        if any(isinstance(s, Reduce | If) for s in statement.body):
            return 1
        for each in statements_in(statement.body):
            if not isinstance(each, Load | Store) or each.buffer.space is not Space.GLOBAL:
                continue
            parts = linear(each.index, statement.symbol.name)
            if parts is None or parts[1] != 1:
                continue
            has_neighbours = True
            width = min(width, 16 // each.buffer.dtype.itemsize)
            while not is_multiple(parts[0], width):
                width //= 2
    return width if has_neighbours else 1


def is_multiple(size: Size, number: int) -> bool:
    """Whether the expression is a multiple of the number, whatever its symbols stand for."""
    return remainder(size, number) == 0


def _reduces(loop: Loop) -> bool:
    return any(isinstance(s, Reduce) for s in statements_in(loop.body))


def _is_keepable(body: tuple[Statement, ...], buffer: Buffer) -> bool:
    """Whether scratch is only touched by the thread that does an element, at that element."""
    for statement in body:
        own = statement.symbol.size if isinstance(statement, Loop | Reduce) else None
        inside = statement.body if isinstance(statement, Loop | Reduce) else ()
        for each in statements_in((statement,)):
            if isinstance(each, Load | Store) and each.buffer is buffer:
                assert isinstance(statement, Loop | Reduce | Load | Store | If)
                if each not in inside or each.index != own or statement.extent != buffer.size:  # type: ignore[union-attr]
                    return False
    return isinstance(buffer.size, int)


def kept_words(body: tuple[Statement, ...]) -> int:
    """Registers that hold what a row keeps of one element, where they are most."""
    lives: dict[Buffer, list[int]] = {}
    for number, statement in enumerate(body):
        for each in statements_in((statement,)):
            if isinstance(each, Load | Store) and each.buffer.space is Space.LOCAL:
                lives.setdefault(each.buffer, [number, number])[1] = number
    most = 0
    for number in range(len(body)):
        live = [b for b, (start, end) in lives.items() if start <= number < end]
        most = max(most, sum(max(1, buffer.dtype.itemsize // 4) for buffer in live))
    return most
