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
from math import gcd
from typing import TYPE_CHECKING, Final

from graphc.ir.dim import (
    Greatest,
    Least,
    Quotient,
    Remainder,
    Size,
    Symbol,
    bounds,
    linear,
    maximum,
    minimum,
    quotient,
    remainder,
    substitute,
    symbols,
)
from graphc.ir.polynomial import from_atom, terms_of
from graphc.kernel.gpu import WARP, GpuTarget
from graphc.kernel.ir import (
    BLOCK,
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
from graphc.passes.gpu.team import TILE_BYTES, BlockTeam, WarpTeam, Work, write_row
from graphc.passes.gpu.writer import Copier, Writer, statements_in

if TYPE_CHECKING:
    from graphc.passes.lower import KernelCall

WIDEST_BYTES: Final = 16
"""The widest access of a thread."""
THREADS: Final = 256
"""Of a block."""
FEW_ROWS: Final = 1024
"""Rows that don't keep a GPU busy if each has only a warp."""
LONG_ROW: Final = 2048
"""Elements from which on few rows have a block each."""
LONGEST_ROW: Final = 8192
"""Elements from which on all rows have a block each."""
ENOUGH_BLOCKS: Final = 256
"""Blocks that keep a GPU busy."""
FEW_ELEMENTS: Final = 8
"""Elements of a row that a thread can have before more threads are asked for."""
SHORTEST_ROW: Final = 4
"""Elements up to which a thread does a row alone."""
WARP_WORDS: Final = 64
"""Registers of a thread that hold elements of a row, in a team that is part of a warp."""
BLOCK_WORDS: Final = 32
"""The same in a team of a whole block, which can have more threads instead."""


def schedule_rows(call: KernelCall, target: GpuTarget) -> tuple[KernelCall, ...] | None:
    """The rows policy: None for kernels without reductions, or whose reductions run down columns."""
    nest = find_rows(call.kernel)
    if nest is None or runs_down_columns(nest) or not computes_scratch_simply(nest):
        return None
    return tuple(replace(call, kernel=write_rows(plan)) for plan in plan_rows(nest)) or None


@dataclass(frozen=True, slots=True)
class Plan:
    """How a kernel's rows are done."""

    nest: RowNest
    lanes: int
    """Threads of a team."""
    width: int
    threads: int
    """Of a block."""
    kept: frozenset[Buffer] = frozenset()
    is_chosen: Size = 1
    """1 where rows of the length that a run has are done like this, 0 where another plan does them."""


def plan_rows(nest: RowNest) -> tuple[Plan, ...]:
    """Choose a team for the rows, or two of which each run takes one; none if there is nothing to share in a row."""
    extents = [statement.extent for statement in along_row(nest.body)]
    longest = max(bounds(extent)[1] for extent in extents)
    if longest <= SHORTEST_ROW:
        return ()
    nest = without_scratch(nest, (b for b in scratch_of(nest.body) or {} if not _is_keepable(nest.body, b)))
    is_nested = any(isinstance(s, Reduce) and inner_reductions(s) for s in nest.body)
    is_few = bounds(nest.rows)[1] <= FEW_ROWS
    is_block = is_nested or longest >= LONGEST_ROW or (is_few and longest >= LONG_ROW)
    if not is_nested and all(isinstance(extent, int) for extent in extents):
        plan = _keeping(nest, longest, is_block)
        if plan is not None:
            return (plan,)
    nest = without_scratch(nest, scratch_of(nest.body) or {})
    widest = widest_access(nest)
    in_blocks = Plan(nest, THREADS, _block_width(widest, THREADS), THREADS)
    length = symbolic_length(nest)
    if length is not None and not depends_on_row(nest):
        # A warp does short rows; the grid is empty for the plan that a run has no use for.
        is_long = minimum(1, length // LONGEST_ROW + (length // LONG_ROW) * (FEW_ROWS // maximum(nest.rows, 1)))
        in_warps = Plan(nest, WARP, min(widest, LANES // WARP), THREADS, is_chosen=1 - is_long)
        return in_warps, replace(in_blocks, is_chosen=is_long)
    if is_block:
        return (in_blocks,)
    lanes, width = _warp_team(longest, widest)
    return (Plan(nest, lanes, width, _threads(nest.rows, lanes)),)


def _keeping(nest: RowNest, longest: int, is_block: bool) -> Plan | None:
    """A plan by which registers hold what is kept of a row; None if that is nothing, or too much."""
    nest = with_kept_loads(nest)
    kept = frozenset(s.buffer for s in nest.body if isinstance(s, Allocate))
    words, widest = kept_words(nest.body), widest_access(nest)
    if not kept:
        return None
    lanes, width = _warp_team(longest, widest, words)
    each = -(-longest // lanes) * words
    if not is_block and each <= WARP_WORDS:
        # Small blocks fill a multiprocessor better where threads have many registers.
        threads = min(_threads(nest.rows, lanes), THREADS if each <= WARP_WORDS // 2 else THREADS // 2)
        return Plan(nest, lanes, width, threads, kept)
    for threads in (THREADS, 2 * THREADS, 4 * THREADS):
        if -(-longest // threads) * words <= BLOCK_WORDS:
            return Plan(nest, threads, _block_width(widest, threads), threads, kept)
    return None


def _warp_team(longest: int, widest: int, words: int = 0) -> tuple[int, int]:
    """Threads of a team that is part of a warp, and the width of their accesses, for rows that keep so many words."""
    lanes = 2
    while lanes < WARP:
        each = -(-longest // lanes)
        is_enough = each <= FEW_ELEMENTS or lanes * widest >= LANES
        if is_enough and each * words <= WARP_WORDS // 2:
            break
        lanes *= 2
    return lanes, min(widest, LANES // lanes)


def _block_width(widest: int, threads: int) -> int:
    """The width of a block's accesses: its threads' chunks, of 8 bytes an element at most, fit into shared memory."""
    return min(widest, 2 * TILE_BYTES // (8 * threads))


def _threads(rows: Size, lanes: int) -> int:
    """Threads of a block: fewer where there would be few blocks."""
    threads = THREADS
    while threads > 2 * WARP and bounds(rows)[1] * lanes < threads * ENOUGH_BLOCKS:
        threads //= 2
    return threads


def symbolic_length(nest: RowNest) -> Size | None:
    """The length of the rows up to a block of the tree, if it is known when the kernel runs."""
    for statement in nest.body:
        for inner in inner_reductions(statement) if isinstance(statement, Reduce) else ():
            assert isinstance(statement, Reduce)
            length = substitute(inner.extent, {statement.symbol.name: 0})
            if not isinstance(length, int) and bounds(length)[1] == BLOCK:
                return length
    return None


def write_rows(plan: Plan) -> Kernel:
    """The kernel for a GPU."""
    nest, kernel = plan.nest, plan.nest.kernel
    teams = plan.threads // plan.lanes
    """In a block."""
    writer = Writer(nest.names)
    shared: list[Buffer] = []
    blocks = quotient(nest.rows + teams - 1, teams) * plan.is_chosen
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
    if nest.rows == 1:
        return False
    votes = 0
    for statement in along_row(nest.body):
        for each in statement.body:
            if isinstance(each, Load | Store) and each.buffer.space is Space.GLOBAL:
                along, across = stride_of(each.index, statement.symbol.name), stride_of(each.index, nest.symbol.name)
                if along == 0 or along is None:
                    continue
                is_column = across is not None and across != 0 and _is_nearer(across, along)
                votes += 1 if is_column else -1
    return votes > 0


def _is_nearer(stride: Size, other: Size) -> bool:
    return isinstance(stride, int) and (not isinstance(other, int) or abs(stride) < abs(other))


def stride_of(index: Size, name: str) -> Size | None:
    """By how much an index grows with a symbol, for most of its values; None where that varies."""
    total: Size = 0
    for monomial, coefficient in terms_of(index):
        within = [atom for atom in monomial if name in _names(from_atom(atom))]
        if not within:
            continue
        own: Size | None = None
        if len(within) == 1:
            match within[0]:
                case Symbol():
                    own = 1
                case Remainder(dividend=dividend, divisor=divisor) if name not in _names(divisor):
                    own = stride_of(dividend, name)
                case Quotient(divisor=divisor) if name not in _names(divisor):
                    own = 0
        if own is None:
            return None
        for atom in monomial:
            own = own if atom is within[0] else own * from_atom(atom)
        total = total + coefficient * own
    return total


def _names(size: Size) -> frozenset[str]:
    return frozenset(each.name for each in symbols(size))


def widest_access(nest: RowNest) -> int:
    """How many neighbours of a row each thread can read and write at once: aligned, 16 bytes at most."""
    return next(width for width in (16, 8, 4, 2, 1) if width == 1 or _has_neighbours(nest, width))


def _has_neighbours(nest: RowNest, width: int) -> bool:
    """Whether a row consists of so many neighbours, of 16 bytes at most in all that is read and written along it."""
    chunk, place = Symbol("chunk.", 0), Symbol("place.", 0, width - 1)
    found = False
    for statement in along_row(nest.body):
        if factor_of(statement.extent) % width or any(isinstance(s, Reduce | If) for s in statement.body):
            return False
        element = {statement.symbol.name: width * chunk.size + place.size}
        for each in statement.body:
            if not isinstance(each, Load | Store) or each.buffer.space is not Space.GLOBAL:
                continue
            if stride_of(each.index, statement.symbol.name) != 1:
                continue
            parts = linear(substitute(each.index, element), place.name)
            if parts is None or parts[1] != 1 or factor_of(parts[0]) % width:
                return False
            if width * each.buffer.dtype.itemsize > WIDEST_BYTES:
                return False
            found = True
    return found


def factor_of(size: Size) -> int:
    """A number that divides the expression, whatever its symbols stand for; 0 where it is 0."""
    if isinstance(size, int):
        return abs(size)
    factors = []
    for monomial, coefficient in size.terms:
        for atom in monomial:
            if isinstance(atom, Least | Greatest):
                coefficient *= gcd(*map(factor_of, atom.operands))
        factors.append(abs(coefficient))
    return gcd(*factors)


def computes_scratch_simply(nest: RowNest) -> bool:
    """Whether what a row keeps in scratch could as well be computed again."""
    found = scratch_of(nest.body)
    return found is not None and not any(
        isinstance(s, Reduce) for each in found.values() for s in statements_in(each.producer.body)
    )


def depends_on_row(nest: RowNest) -> bool:
    """Whether the rows differ in length."""
    own = nest.symbol.name
    inside = (s for s in statements_in(nest.body) if isinstance(s, Loop | Reduce))
    return any(own in (each.name for each in symbols(statement.extent)) for statement in inside)


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
