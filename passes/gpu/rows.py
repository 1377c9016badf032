"""Rows that are reduced, each by a team of threads: one kernel that reads a row once if it fits on the chip.

In: a kernel of `lower` whose reductions run along rows (neighbouring elements are neighbours in memory, or what follows
is along the row). Out: the kernel for a GPU, with the bits that the kernel has on a CPU; where the length of rows is
known to a run alone several, of which it takes one.

Short rows are done by parts of a warp, longer ones by a warp, and few long ones by a block each. What the loops along
a row read or keep lies in registers where the row's length is a number and not too large; else in shared memory, where
that can hold it (`graphc.passes.gpu.row_memory`); else it is read or computed again.

Accesses are as wide as 16 bytes hold. A row may begin anywhere, and be of any length: a team takes the multiples of the
width in memory, and the elements in front of the first and behind the last one by themselves.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import gcd
from typing import TYPE_CHECKING, Final

from graphc.ir.dim import (
    MAX_SIZE,
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
from graphc.kernel.gpu import MOST_THREADS, WARP, GpuTarget
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
    statements_in,
)
from graphc.passes.gpu.chunks import Work
from graphc.passes.gpu.row_memory import WIDEST, along, in_one, keep_row, recomputed, row_base, row_length
from graphc.passes.gpu.row_nest import (
    RowNest,
    find_rows,
    inner_reductions,
    scratch_of,
    with_kept_loads,
    without_scratch,
)
from graphc.passes.gpu.team import TILE_BYTES, BlockTeam, WarpTeam, write_row
from graphc.passes.gpu.writer import Copier, Writer

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
WARP_ROW: Final = 1024
"""Elements of a row of unknown length up to which a warp keeps them in shared memory."""
WIDEST_SHIFTED: Final = 8
"""Elements of such an access at most: at the edges each has code of its own."""
SHIFTED_STEPS: Final = 4
"""Steps of a team from which on wide accesses to rows that begin anywhere are worth their edges."""
WIDEST_TILE_BYTES: Final = 32 * 1024
"""What both tiles may take that a block brings to one warp, if each of its threads computes a chunk of 8 bytes each."""
TILES: Final = (2 * TILE_BYTES, TILE_BYTES, TILE_BYTES // 2)
"""What such a tile may take in a block that keeps its row in shared memory: what leaves other blocks their room."""
OWN_BYTES: Final = 1024
"""Shared memory that each block takes for the machine itself."""
REDUCTION_BYTES: Final = 1024
"""Shared memory in which threads tell each other about a reduction, at most."""
WARP_WORDS: Final = 64
"""Registers of a thread that hold elements of a row, in a team that is part of a warp."""
BLOCK_WORDS: Final = 32
"""The same in a team of a whole block, which can have more threads instead."""


def schedule_rows(call: KernelCall, target: GpuTarget) -> tuple[KernelCall, ...] | None:
    """The rows policy: None for kernels without reductions, or whose reductions run down columns."""
    nest = find_rows(call.kernel)
    if nest is None or runs_down_columns(nest) or not computes_scratch_simply(nest):
        return None
    return tuple(replace(call, kernel=write_rows(plan)) for plan in plan_rows(nest, target)) or None


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
    base: Size | None = None
    """Where a row begins in memory, if that may be between two multiples of the width."""
    slots: tuple[Buffer, ...] = ()
    """What is kept of a row in shared memory, a team's part."""
    shift: Symbol | None = None
    """How far behind the beginning of its place there a row begins."""
    resident: int = 0
    """Blocks with such memory that a multiprocessor has room for."""
    tile_bytes: int = TILE_BYTES
    """Elements that a block brings to one warp at once."""


def plan_rows(nest: RowNest, target: GpuTarget) -> tuple[Plan, ...]:
    """Choose a team for the rows, or several of which a run takes one; none if there is nothing to share in a row."""
    extents = [statement.extent for statement in along_row(nest.body)]
    longest = max(bounds(extent)[1] for extent in extents)
    if longest <= SHORTEST_ROW:
        return ()
    length = symbolic_length(nest)
    by_length = length is not None and not depends_on_row(nest)
    is_nested = any(isinstance(s, Reduce) and inner_reductions(s) for s in nest.body)
    is_few = bounds(nest.rows)[1] <= FEW_ROWS
    is_block = is_nested or longest >= LONGEST_ROW or (is_few and longest >= LONG_ROW)
    if not is_nested and all(isinstance(extent, int) for extent in extents):
        gone = (b for b in scratch_of(nest.body) or {} if not _is_keepable(nest.body, b))
        plan = _keeping(without_scratch(nest, gone), longest, is_block)
        if plan is not None:
            return (plan,)
    if by_length:
        return _by_length(nest, target)
    nest = in_one(nest, is_short=False)
    whole = row_length(nest)
    if isinstance(whole, int) and is_block:
        plan = _in_shared(nest, whole, target)
        if plan is not None:
            return (plan,)
    nest = recomputed(nest)
    if is_block:
        return (_aligned(Plan(nest, THREADS, 1, THREADS)),)
    lanes, width = _warp_team(longest, widest_access(nest))
    return (_aligned(Plan(nest, lanes, width, _threads(nest.rows, lanes))),)


def keeps_rows(nest: RowNest, target: GpuTarget) -> bool:
    """Whether shared memory can hold what is wanted several times of rows of known length."""
    length = row_length(nest)
    return isinstance(length, int) and _in_shared(in_one(nest, is_short=False), length, target) is not None


def _by_length(nest: RowNest, target: GpuTarget) -> tuple[Plan, ...]:
    """Plans for rows of any length: the grid is empty for those that a run has no use for."""
    length = symbolic_length(nest)
    whole = row_length(nest)
    assert length is not None
    again = recomputed(in_one(nest, is_short=False))
    plans = []
    if whole is not None:
        shorter = 0
        short = in_one(nest, is_short=True)
        for longest, lanes, threads in ((WARP_ROW, WARP, 4 * WARP), (LONGEST_ROW, THREADS, THREADS)):
            plan = _kept(short, longest, lanes, threads, target)
            if plan is not None:
                plans.append(replace(plan, is_chosen=_is_between(whole, shorter, longest)))
                shorter = longest
        most = _most_elements(nest, target)
        if plans and most > shorter:
            plan = _in_shared(in_one(nest, is_short=False), most, target)
            if plan is not None:
                plans.append(replace(plan, is_chosen=_is_between(whole, shorter, most)))
                shorter = most
        if plans:
            longer = minimum(1, quotient(whole, shorter + 1))
            return (*plans, _aligned(Plan(again, THREADS, 1, THREADS, is_chosen=longer)))
    # A warp does short rows.
    is_long = minimum(1, length // LONGEST_ROW + (length // LONG_ROW) * (FEW_ROWS // maximum(nest.rows, 1)))
    return (
        _aligned(Plan(recomputed(in_one(nest, is_short=True)), WARP, 1, THREADS, is_chosen=1 - is_long)),
        _aligned(Plan(again, THREADS, 1, THREADS, is_chosen=is_long)),
    )


def _is_between(length: Size, shorter: int, longest: int) -> Size:
    """1 where the length is above the one and at most the other number, else 0."""
    above = minimum(1, quotient(length, shorter + 1)) if shorter else 1
    return above * (1 - minimum(1, quotient(length, longest + 1)))


def _most_elements(nest: RowNest, target: GpuTarget) -> int:
    """Elements of the longest row that shared memory can keep."""
    sizes = [kept.nbytes for way in (nest, recomputed(nest)) if (kept := keep_row(way, 1 << 16)) is not None]
    each = min(sizes, default=1 << 16) // (1 << 16)
    return (target.most_shared_bytes - _other_bytes(nest)) // each - 2 * WIDEST


def _other_bytes(nest: RowNest, tile_bytes: int = TILES[-1]) -> int:
    """Shared memory that the block of a row takes beside what it keeps."""
    reductions = [s for s in nest.body if isinstance(s, Reduce)]
    widest = max((s.element.dtype.itemsize for s in reductions if s.element.dtype.is_floating_point), default=0)
    return REDUCTION_BYTES * (1 + len(reductions)) + 2 * max(tile_bytes, MOST_THREADS * widest)


def _in_shared(nest: RowNest, longest: int, target: GpuTarget) -> Plan | None:
    """The plan by which shared memory holds what is kept of rows of at most so many elements."""
    plans = [plan for way in (nest, recomputed(nest)) if (plan := _kept(way, longest, 0, 0, target)) is not None]
    return max(plans, key=lambda plan: min(2, plan.resident), default=None)


def _kept(nest: RowNest, longest: int, lanes: int, threads: int, target: GpuTarget) -> Plan | None:
    """The plan with teams of so many threads; 0: of as many as the blocks that a multiprocessor has room for need."""
    kept = keep_row(nest, longest)
    if kept is None:
        return None
    teams = threads // lanes if lanes else 1

    def resident_with(tile_bytes: int) -> int:
        needed = kept.nbytes * teams + _other_bytes(nest, tile_bytes)
        return (
            0 if needed > target.most_shared_bytes else (target.most_shared_bytes + OWN_BYTES) // (needed + OWN_BYTES)
        )

    resident = resident_with(TILES[-1])
    if resident == 0:
        return None
    tile_bytes = next(each for each in TILES if resident_with(each) == resident)
    if not lanes:
        lanes = threads = 4 * THREADS if resident == 1 else 2 * THREADS if resident <= 3 else THREADS
    plan = Plan(
        kept.nest, lanes, 1, threads, slots=kept.slots, shift=kept.shift, resident=resident, tile_bytes=tile_bytes
    )
    return _aligned(plan)


def _aligned(plan: Plan) -> Plan:
    """The plan with accesses as wide as they may be, of rows that begin at multiples of that or anywhere."""
    most = LANES // plan.lanes if plan.lanes <= WARP else _block_width(WIDEST_BYTES, plan.threads)
    width = min(most, widest_access(plan.nest))
    base = row_base(plan.nest)
    shifted = min(most, WIDEST_SHIFTED, shifted_access(plan.nest, base)) if base is not None else 1
    shortest = SHIFTED_STEPS * plan.lanes * shifted
    if shifted <= width or max(bounds(s.extent)[1] for s in along_row(plan.nest.body)) < shortest:
        return replace(plan, width=width)
    return replace(plan, width=shifted, base=base)


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
        return _aligned(Plan(nest, lanes, width, threads, kept))
    for threads in (THREADS, 2 * THREADS, 4 * THREADS):
        if -(-longest // threads) * words <= BLOCK_WORDS:
            return _aligned(Plan(nest, threads, 1, threads, kept))
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
    return min(widest, WIDEST_TILE_BYTES // (8 * threads))


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
            shift: Size = 0
            if plan.base is not None:
                work.base = copier.size(plan.base)
                chunk = quotient(work.base, plan.width)
                longest = max(bounds(buffer.size)[1] for buffer in nest.kernel.buffers)
                most = min(longest // plan.width + 1, MAX_SIZE)
                work.first = writer.bind("first", most, writer.position(chunk))
                shift = work.base - plan.width * work.first
            if plan.shift is not None:
                work.is_apart = plan.lanes <= WARP
                own = [replace(slot, size=teams * slot.size) for slot in plan.slots]
                copier.sizes[plan.shift.name] = shift
                for slot, whole in zip(plan.slots, own):
                    copier.moved[slot] = (whole, quotient(thread, plan.lanes) * slot.size if teams > 1 else 0)
                shared += own
            if plan.lanes > WARP:
                write_row(BlockTeam(plan.threads, thread, shared, plan.tile_bytes), work, nest.body)
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


def shifted_access(nest: RowNest, base: Size) -> int:
    """How many neighbours each thread can read and write at once of a row that begins there: 16 bytes at most."""
    widest = 0
    for statement in nest.body:
        way = along(statement)
        if way is None:
            continue
        if any(isinstance(s, Reduce | If) for s in way.body):
            return 1
        for each in way.body:
            if isinstance(each, Load | Store) and each.buffer.space is not Space.LOCAL:
                found = way.base_of(each.index)
                if each.buffer.space is Space.SHARED or (
                    found is not None and factor_of(found - base) % WIDEST_BYTES == 0
                ):
                    widest = max(widest, each.buffer.dtype.itemsize)
    return WIDEST_BYTES // widest if widest else 1


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
