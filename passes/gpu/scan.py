"""Running sums and extremes along an axis, by all threads of a block.

In: a group whose anchor is such an op. Out: kernels with a grid, or an ordinary one with a parallel loop over the rows
where a thread for each does as well: rows are short, or there are many of them side by side.

Each thread combines a few neighbouring elements in order; warps combine the totals of their threads by shuffles, the
block those of its warps through shared memory, and what a tile of elements gives is carried to the next one (Hillis and
Steele 1986; Harris, Sengupta and Owens, GPU Gems 3, chapter 39). Long rows are cut into chunks for many blocks: one
kernel finds the chunks' totals, a second one what stands in front of each, and a third the elements.

Which elements are combined first depends on the shape alone, so every run gives the same bits. For integers and for
extremes these are the bits that going along the axis in order gives; floats differ by rounding. Recurrences of floats
are in `recurrence`: products of factors may leave the range of floats where no element does.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias, cast

from graphc.ir.dim import Size, is_at_least, is_at_most, minimum, product, quotient, remainder
from graphc.ir.dtype import DType, bf16, f16, f32, i64, real_of
from graphc.ir.graph import Node
from graphc.kernel.builder import AnyScalar, KernelBuilder, Pair
from graphc.kernel.gpu import WARP, GpuTarget
from graphc.kernel.ir import Buffer, LoopKind, Operand, Space
from graphc.ops import reduction, scan
from graphc.ops.indices import linear_index, split_index
from graphc.passes.gpu.statements import barrier, both, real, shuffle
from graphc.passes.gpu.states import (
    Combine,
    Element,
    Monoid,
    State,
    allocate,
    chosen,
    identity,
    less,
    load,
    load_again,
    select,
    store,
)

if TYPE_CHECKING:
    from graphc.passes.lower import GroupLowering, KernelCall

SHORT: Final = 32
"""Elements of a row that one thread goes along."""
MANY_ROWS: Final = 4096
"""Rows side by side that keep a GPU busy with a thread each."""
USUAL_LENGTH: Final = 64
"""Elements that a thread goes along of rows side by side, if their extent is not known."""
EACH: Final = 4
"""Neighbouring elements that a thread combines."""
MOST_THREADS: Final = 256
"""Threads of a block; there are fewer where a row has less for them."""
CHUNK: Final = 16 * EACH * MOST_THREADS
"""Elements of a long row that a block takes."""
FEW_ROWS: Final = 256
"""Rows that leave much of a GPU idle with a block each."""

Write: TypeAlias = "Callable[[Size, Size, State, Operand | None], None]"
"""(row, number along it, what is found, whether to write; None: yes)."""


@dataclass(frozen=True, slots=True)
class Rows:
    """What a kernel goes along: so many rows, in chunks."""

    count: Size
    extent: Size
    """Elements of a row."""
    chunk: Size
    """Elements that a block takes of a row, one block after the other."""

    @property
    def chunks(self) -> Size:
        """Blocks for a row."""
        return 1 if self.chunk == self.extent else quotient(self.extent + (self.chunk - 1), self.chunk)


@dataclass(frozen=True, slots=True)
class Along:
    """The anchor's rows along its axis, from their end if it goes backwards."""

    group: GroupLowering
    anchor: Node

    @property
    def axis(self) -> int:
        """Along which rows lie."""
        return cast("int", self.anchor.attribute("axis"))

    @property
    def extent(self) -> Size:
        """Elements of a row."""
        return self.anchor.shape[self.axis]

    @property
    def beside(self) -> Size:
        """Rows whose elements are neighbours."""
        return product(self.anchor.shape[self.axis + 1 :])

    @property
    def rows(self) -> Size:
        """How many rows there are."""
        return product(size for axis, size in enumerate(self.anchor.shape) if axis != self.axis)

    def element(self, row: Size, number: Size) -> State:
        """What an element is before it is combined with any other."""
        return _element(self.group, self.anchor, self._place(row, number))

    def write(self, row: Size, number: Size, state: State, inside: Operand | None) -> None:
        """Store the result of a state."""
        b = self.group.builder
        place = linear_index(self._place(row, number), self.anchor.shape)
        b.store(self.group.results[0], place, b.cast(state[-1], self.anchor.tensor.dtype), inside)

    def _place(self, row: Size, number: Size) -> tuple[Size, ...]:
        shape = self.anchor.shape
        others = tuple(axis for axis in range(len(shape)) if axis != self.axis)
        at = dict(zip(others, split_index(row, tuple(shape[axis] for axis in others)), strict=True))
        is_reverse = bool(self.anchor.keywords.get("reverse", False))
        here = self.extent - 1 - number if is_reverse else number
        return tuple(here if axis == self.axis else at[axis] for axis in range(len(shape)))


def lower_scan(group: GroupLowering, anchor: Node, target: GpuTarget) -> list[KernelCall]:
    """The kernels of a scan."""
    along = Along(group, anchor)
    monoid, rows, extent, element, write = _monoid_of(anchor), along.rows, along.extent, along.element, along.write
    is_side_by_side = is_at_least(along.beside, WARP) and is_at_least(rows, MANY_ROWS)
    if is_at_most(extent, SHORT) or is_side_by_side:
        write_in_order(group.builder, monoid, rows, extent, element, write)
        return [group.finish()]
    if is_at_least(along.beside, WARP):
        return _side_by_side(along, monoid)
    if is_at_most(extent, CHUNK) or not is_at_most(rows, FEW_ROWS):
        _write_scan(group.builder, monoid, Rows(rows, extent, extent), element, write)
        return [group.finish()]
    return _in_three_phases(group, monoid, Rows(rows, extent, CHUNK), element, write)


def write_in_order(b: KernelBuilder, monoid: Monoid, rows: Size, extent: Size, element: Element, write: Write) -> None:
    """An ordinary kernel: a thread for each row, which keeps what it has found."""
    with b.loop(rows) as row:
        carry = [allocate(b, dtype, 1) for dtype in monoid.dtypes]
        store(b, carry, 0, identity(b, monoid))
        with b.loop(extent, LoopKind.SERIAL) as number:
            here = element(row, number)
            state = monoid.combine(b, load_again(b, monoid, carry, 0), here)
            first = here[-len(state) :]
            state = first if number == 0 else select(b, less(b, 0, number), state, first)
            store(b, carry, 0, state)
            write(row, number, state, None)


def _side_by_side(along: Along, monoid: Monoid) -> list[KernelCall]:
    """Rows whose elements are neighbours: a thread for each chunk of a row, those of neighbouring rows side by side.

    Ordinary kernels: chunks' totals, what they add up to in front of each chunk, the elements from there on.
    """
    group, extent, beside = along.group, along.extent, along.beside
    length = 1 << math.isqrt(extent).bit_length() if isinstance(extent, int) else USUAL_LENGTH
    chunks = quotient(extent + (length - 1), length)
    pieces = along.rows * chunks
    totals, fronts = (_scratch(group, monoid, pieces) for _ in range(2))
    b = group.builder

    def place(piece: Size) -> tuple[Size, Size, Size]:
        lead, chunk, trail = split_index(piece, (quotient(along.rows, beside), chunks, beside))
        return lead * beside + trail, chunk * length, minimum(length, extent - chunk * length)

    def kept(start: State) -> list[Buffer]:
        buffers = [allocate(b, dtype, 1) for dtype in monoid.dtypes]
        store(b, buffers, 0, start)
        return buffers

    def go_on(carry: list[Buffer], state: State) -> State:
        result = monoid.combine(b, load_again(b, monoid, carry, 0), state)
        store(b, carry, 0, result)
        return result

    with b.loop(pieces) as piece:
        row, first, count = place(piece)
        carry = kept(identity(b, monoid))
        with b.loop(count, LoopKind.SERIAL) as k:
            go_on(carry, along.element(row, first + k))
        store(b, totals, piece, load_again(b, monoid, carry, 0))
    calls = [group.finish()]
    group.restart()
    b = group.builder
    with b.loop(along.rows) as row:
        carry = kept(identity(b, monoid))
        with b.loop(chunks, LoopKind.SERIAL) as chunk:
            piece = linear_index((row // beside, chunk, row % beside), (0, chunks, beside))
            store(b, fronts, piece, load_again(b, monoid, carry, 0))
            go_on(carry, load(b, monoid, totals, piece))
    calls.append(group.finish())
    group.restart()
    b = group.builder
    with b.loop(pieces) as piece:
        row, first, count = place(piece)
        carry = kept(load(b, monoid, fronts, piece))
        with b.loop(count, LoopKind.SERIAL) as k:
            along.write(row, first + k, go_on(carry, along.element(row, first + k)), None)
    return [*calls, group.finish()]


def _scratch(group: GroupLowering, monoid: Monoid, count: Size) -> tuple[Buffer, ...]:
    return tuple([group.scratch(real_of(dtype), count * (2 if dtype.is_complex else 1)) for dtype in monoid.dtypes])


def _in_three_phases(
    group: GroupLowering, monoid: Monoid, rows: Rows, element: Element, write: Write
) -> list[KernelCall]:
    """Chunks' totals; what they add up to in front of each chunk; the elements, from there on."""
    chunks = rows.chunks
    size = rows.count * chunks
    totals, fronts = (_scratch(group, monoid, size) for _ in range(2))

    def total(row: Size, number: Size) -> State:
        return load(group.builder, monoid, totals, row * chunks + number)

    def write_front(row: Size, number: Size, state: State, inside: Operand | None) -> None:
        for buffer, x in zip(fronts, state, strict=True):
            group.builder.store(buffer, row * chunks + number, x, inside)

    def front(row: Size, number: Size) -> State:
        return load(group.builder, monoid, fronts, row * chunks + number)

    _write_scan(group.builder, monoid, rows, element, None, totals=totals)
    calls = [group.finish()]
    group.restart()
    _write_scan(group.builder, monoid, Rows(rows.count, chunks, chunks), total, write_front)
    calls.append(group.finish())
    group.restart()
    _write_scan(group.builder, monoid, rows, element, write, front=front)
    return [*calls, group.finish()]


def _write_scan(
    b: KernelBuilder,
    monoid: Monoid,
    rows: Rows,
    element: Element,
    write: Write | None,
    totals: tuple[Buffer, ...] = (),
    front: Element | None = None,
) -> None:
    """One kernel: a block, or for short rows a warp, for each chunk of a row; what is wanted of it is given.

    `write` takes each element's result, `totals` those of whole chunks; `front(row, chunk - 1)` is what stands in front
    of all chunks but the first.
    """
    chunks = rows.chunks
    threads = _threads(rows.chunk)
    together = max(1, MOST_THREADS // 2 // threads) if threads == WARP else 1
    warps = threads // WARP
    tile = threads * EACH
    pieces = rows.count * chunks
    with b.loop(quotient(pieces + (together - 1), together), LoopKind.BLOCK) as block:
        shared = [allocate(b, dtype, warps, Space.SHARED) for dtype in monoid.dtypes] if warps > 1 else []
        with b.loop(threads * together, LoopKind.THREAD) as thread:
            piece = block if together == 1 else block * together + thread // threads
            is_piece = None if together == 1 else less(b, piece, pieces)
            row, chunk = (piece, 0) if chunks == 1 else (piece // chunks, piece % chunks)
            carry = [allocate(b, dtype, 1) for dtype in monoid.dtypes]
            local = [allocate(b, dtype, EACH) for dtype in monoid.dtypes]
            start = identity(b, monoid)
            if front is not None:
                start = chosen(b, less(b, 0, chunk), front, row, chunk - 1, start)
            store(b, carry, 0, start)
            here = _Here(b, monoid, thread % threads, warps, shared)
            end = minimum(rows.chunk, rows.extent - chunk * rows.chunk) if chunks != 1 else rows.extent
            is_whole = remainder(rows.extent, EACH) == 0
            tiles = quotient(end + (tile - 1), tile)
            with b.loop(tiles, LoopKind.SERIAL) as step:
                first = chunk * rows.chunk + step * tile + thread % threads * EACH

                def inside(k: Size) -> Operand:
                    # Of one thread all elements are inside or none, if rows are whole numbers of such.
                    within = less(b, first + (0 if is_whole else k), rows.extent)
                    return within if is_piece is None else both(b, is_piece, within)

                nothing = identity(b, monoid)
                with b.loop(EACH, LoopKind.VECTOR) as k:
                    store(b, local, k, chosen(b, inside(k), element, row, first + k, nothing))
                for k in range(1, EACH):
                    before = load_again(b, monoid, local, k - 1)
                    store(b, local, k, monoid.combine(b, before, load_again(b, monoid, local, k)))
                before, total = here.combine_threads(load_again(b, monoid, local, EACH - 1))
                carried = load_again(b, monoid, carry, 0)
                if write is not None:
                    base = monoid.combine(b, carried, before)
                    with b.loop(EACH, LoopKind.VECTOR) as k:
                        write(row, first + k, monoid.combine(b, base, load_again(b, monoid, local, k)), inside(k))
                store(b, carry, 0, monoid.combine(b, carried, total))
                if warps > 1 and tiles != 1:
                    barrier(b)  # before the next tile's totals
            if totals:
                is_first = real(b.apply("eq", b.index(thread % threads, i64), b.constant(0, i64)))
                is_written = is_first if is_piece is None else both(b, is_first, is_piece)
                for buffer, x in zip(totals, load_again(b, monoid, carry, 0), strict=True):
                    b.store(buffer, piece, x, is_written)


@dataclass(frozen=True, slots=True)
class _Here:
    """A thread among those of its row."""

    b: KernelBuilder
    monoid: Monoid
    thread: Size
    warps: int
    shared: list[Buffer]

    def combine_threads(self, own: State) -> tuple[State, State]:
        """What stands in front of this thread's elements in the tile, and the tile's total."""
        b, combine = self.b, self.monoid.combine
        lane = self.thread % WARP
        running = own
        for power in range(int(math.log2(WARP))):
            behind = select(
                b, less(b, lane, 1 << power), running, combine(b, self._shuffled(running, 1 << power), running)
            )
            running = behind
        nothing = identity(b, self.monoid)
        before = select(b, less(b, lane, 1), nothing, self._shuffled(running, 1))
        if self.warps == 1:
            return before, tuple([self._last(x) for x in running])
        warp = self.thread // WARP
        is_last = real(b.apply("eq", b.index(lane, i64), b.constant(WARP - 1, i64)))
        store(b, self.shared, warp, running, is_last)
        barrier(b)
        total = load_again(b, self.monoid, self.shared, 0)
        front = select(b, less(b, warp, 1), nothing, total)
        for other in range(1, self.warps):
            total = combine(b, total, load_again(b, self.monoid, self.shared, other))
            if other + 1 < self.warps:
                front = select(b, less(b, warp, other + 1), front, total)
        return combine(b, front, before), total

    def _shuffled(self, state: State, distance: int) -> State:
        return tuple([self._moved(x, "up", distance) for x in state])

    def _last(self, x: AnyScalar) -> AnyScalar:
        return self._moved(x, "index", WARP - 1)

    def _moved(self, x: AnyScalar, mode: str, lane: int) -> AnyScalar:
        if isinstance(x, Pair):
            return Pair(shuffle(self.b, x.real, mode, lane), shuffle(self.b, x.imaginary, mode, lane))
        return shuffle(self.b, x, mode, lane)


def _threads(extent: Size) -> int:
    """Threads for a row: no more than it has work for, a power of two times a warp."""
    threads = WARP
    while threads < MOST_THREADS and not is_at_most(extent, threads * EACH):
        threads *= 2
    return threads


def _element(group: GroupLowering, anchor: Node, indices: tuple[Size, ...]) -> State:
    b, x = group.builder, group.read(anchor.inputs[-1], indices)
    if anchor.op in (scan.cumargmax, scan.cumargmin):
        return cast("State", (x, b.index(indices[cast("int", anchor.attribute("axis"))], i64)))
    if anchor.op is scan.recurrence:
        return cast("State", (group.read(anchor.inputs[0], indices), x))
    return (b.cast(x, _wide(x.dtype)),)


def _monoid_of(anchor: Node) -> Monoid:
    """How the op combines."""
    dtype = anchor.inputs[-1].tensor.dtype
    wide = _wide(dtype)
    if anchor.op is reduction.cumsum:
        return Monoid((wide,), (-0.0 if wide.is_floating_point else 0,), _add)
    if anchor.op is scan.logcumsumexp:
        return Monoid((wide,), (-math.inf,), _add_exponentials)
    if anchor.op is scan.recurrence:
        return Monoid((dtype, dtype), (1, 0), _follow)
    compare, worst = ("ge", _least(dtype)) if anchor.op is scan.cumargmax else ("le", _greatest(dtype))
    return Monoid((dtype, i64), (worst, 0), _better(compare))


def _wide(dtype: DType) -> DType:
    return f32 if dtype in (f16, bf16) else dtype


def _least(dtype: DType) -> float:
    if dtype.is_floating_point:
        return -math.inf
    return -(1 << (dtype.bits - 1)) if dtype.signed else 0


def _greatest(dtype: DType) -> float:
    return math.inf if dtype.is_floating_point else (1 << (dtype.bits - dtype.signed)) - 1


def _add(b: KernelBuilder, left: State, right: State) -> State:
    return (b.apply("add", left[0], right[0]),)


def _follow(b: KernelBuilder, left: State, right: State) -> State:
    """x -> a x + b, first the left one, then the right one."""
    return b.apply("mul", right[0], left[0]), b.apply("add", b.apply("mul", right[0], left[1]), right[1])


def _better(compare: str) -> Combine:
    def combine(b: KernelBuilder, left: State, right: State) -> State:
        is_right = b.apply("bitwise_or", b.apply(compare, right[0], left[0]), b.apply("ne", right[0], right[0]))
        return select(b, is_right, right, left)

    return combine


def _add_exponentials(b: KernelBuilder, left: State, right: State) -> State:
    """log(exp(left) + exp(right)), as `passes.lower_scan` has it."""
    most, least = b.apply("maximum", left[0], right[0]), b.apply("minimum", left[0], right[0])
    distance = b.apply("sub", least, most)
    is_infinite = b.apply("bitwise_and", b.apply("eq", least, most), b.apply("ne", distance, distance))
    total = b.apply("add", most, b.apply("log1p", b.apply("exp", distance)))
    return (b.select(is_infinite, most, total),)
