"""Contractions on a GPU's common cores: any dtype, the bits of the CPU's kernels.

In: a `Problem` and a `Tile`. Out: a kernel. Each thread of a block has some of the results in registers. For step after
step along the depth, the block loads a tile of both factors into registers, multiplies the tiles before, which lie in
shared memory, and stores the new ones there; so loads are under way while it multiplies.

    serial s { load tiles s;  multiply tiles s - 1;  store tiles s in shared memory;  barrier }

Sums are the ones that `Contract` describes: fused multiply-add in order of k, a total for each `CONTRACT_BLOCK`. Rows
and columns beyond the result are computed from copies of the last one and dropped; beyond the depth nothing is added.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from graphc.ir.dim import Size, bounds, is_at_most, quotient, remainder
from graphc.kernel.builder import literal
from graphc.kernel.ir import CONTRACT_BLOCK, Buffer, Kernel, Literal, LoopKind, Operand, Panel, Space
from graphc.passes.gpu.contraction_block import Chunk, Spot, is_below, where, write_blocks
from graphc.passes.gpu.contraction_plan import ACCESS_BYTES, Axis, Problem, Tile, find_access
from graphc.passes.gpu.contraction_stage import Factor, Layout, Staging
from graphc.passes.gpu.writer import Writer

RUN = 4
"""Neighbouring rows or columns of a thread."""
MOST_LOADED = 8
"""Elements that a thread loads at once, at most; narrow ones all of an access."""
PADDING = 4
"""Elements between rows of shared memory, so that what is stored down a column goes to several banks."""


def write_tiles(problem: Problem, tile: Tile, chunk: Chunk | None) -> Kernel:
    """The kernel."""
    contract = problem.contract
    left = _factor(problem, contract.left, (contract.m, contract.rows), tile.rows, tile)
    right = _factor(problem, contract.right, (contract.n, contract.columns), tile.columns, tile)
    shared = tuple(
        Buffer(name, contract.acc.dtype, 2 * factor.size, Space.SHARED)
        for name, factor in (("left", left), ("right", right))
    )

    def body(spot: Spot) -> None:
        _Thread(spot, tile, (left, right), shared).write()

    return write_blocks(problem, (tile.rows, tile.columns), tile.threads, shared, body, chunk)


def _factor(problem: Problem, panel: Panel, cross: Axis, size: int, tile: Tile) -> Factor:
    contract = problem.contract
    depth = (contract.k, contract.depth)
    access = find_access(problem.kernel, panel, cross, depth, min(MOST_LOADED, size, tile.steps))
    # A width that leaves threads without work is no gain.
    group = max(1, min(access.width, size * tile.steps // tile.threads))
    along = access.runs_along_depth
    staging = Staging(tile.threads, size, tile.steps, group, along, along, group > 1, is_copied=False)
    layout = Layout(is_depth_major=True, stride=size + (PADDING if size > 1 else 0))
    return Factor(panel, cross, depth, staging, layout, contract.acc.dtype, fills_zeros=False)


class _Thread:
    """What a thread does."""

    def __init__(self, spot: Spot, tile: Tile, factors: tuple[Factor, Factor], shared: tuple[Buffer, ...]) -> None:
        self.spot, self.tile, self.shared = spot, tile, shared
        self.writer: Writer = spot.writer
        self.dtype = spot.problem.contract.acc.dtype
        self.factors = factors
        self.counts = tile.height, tile.width
        threads = spot.thread
        self.threads = quotient(threads, tile.across), remainder(threads, tile.across)
        """The thread's row and column among the threads."""
        registers = self.writer.registers
        self.stagers = spot.stagers(factors, shared)
        self.parts = [registers(name, self.dtype, count) for name, count in zip("ab", self.counts)]
        self.sums = registers("sums", self.dtype, tile.height * tile.width)
        self.has_blocks = not is_at_most(spot.depth, CONTRACT_BLOCK)
        self.total = registers("total", self.dtype, tile.height * tile.width) if self.has_blocks else self.sums

    def write(self) -> None:
        """All of it."""
        w, steps, depth = self.writer, self.tile.steps, self.spot.depth
        whole, count = quotient(depth, steps), quotient(depth + steps - 1, steps)
        self._fill(self.sums, literal(0, self.dtype))
        if self.has_blocks:
            self._fill(self.total, self._nothing())
        with w.loop("s", whole + 1, LoopKind.SERIAL) as s:
            has_more = is_below(w, s, count)
            where(w, has_more, lambda: self._load(s))
            where(w, is_below(w, 0, s), lambda: self._multiply_whole(s - 1))
            where(w, has_more, lambda: self._store(s))
            w.barrier()
        # Chunks are whole tiles, but for what is left of the last one.
        rest = 0 if remainder(self.spot.problem.contract.depth, steps) == 0 else remainder(depth, steps)
        if rest != 0:
            self._begin_block(whole)
            self._multiply(whole, rest, LoopKind.SERIAL)
        if self.has_blocks:
            self._add_block()
        self._finish()

    def _load(self, number: Size) -> None:
        for stager in self.stagers:
            stager.load(self.spot.first + number * self.tile.steps, 0)

    def _store(self, number: Size) -> None:
        for stager in self.stagers:
            stager.store(remainder(number, 2) * stager.factor.size)

    def _multiply_whole(self, number: Size) -> None:
        self._begin_block(number)
        self._multiply(number, self.tile.steps, LoopKind.UNROLLED)

    def _begin_block(self, number: Size) -> None:
        """Where a block of the sum ends in front of a tile: add it to the total."""
        if not self.has_blocks:
            return
        w = self.writer
        each = CONTRACT_BLOCK // self.tile.steps
        place = remainder(number, each)
        if is_below(w, 0, number) is False or (isinstance(place, int) and place != 0):
            return
        with w.when(w.both(w.equals(place, 0), w.is_below(0, number))):
            self._add_block()
            self._fill(self.sums, literal(0, self.dtype))

    def _multiply(self, number: Size, steps: Size, kind: LoopKind) -> None:
        """Add the products of some steps of a tile."""
        w, tile = self.writer, self.tile
        with w.loop("k", steps, kind) as k:
            for side, (stager, part) in enumerate(zip(self.stagers, self.parts)):
                start = remainder(number, 2) * stager.factor.size
                with self._run(side, ACCESS_BYTES // self.dtype.itemsize) as (inside, at):
                    w.store(part, inside, w.load(self.shared[side], start + stager.factor.layout.index(at, k)))
            with w.loop("i", tile.height, LoopKind.UNROLLED) as i, w.loop("j", tile.width, LoopKind.UNROLLED) as j:
                a, b = w.load(self.parts[0], i), w.load(self.parts[1], j)
                at = i * tile.width + j
                c = w.load(self.sums, at)
                if self.dtype.is_floating_point:
                    new = w.apply("fma", a, b, c)
                else:
                    new = w.apply("add", c, w.apply("mul", a, b))
                w.store(self.sums, at, new)

    def _add_block(self) -> None:
        w = self.writer
        with w.loop("i", self.tile.height * self.tile.width, LoopKind.UNROLLED) as i:
            w.store(self.total, i, w.apply("add", w.load(self.total, i), w.load(self.sums, i)))

    def _finish(self) -> None:
        """The epilogue for the thread's results, several neighbours at once where they are stored so."""
        w, spot = self.writer, self.spot
        with self._run(0, 1) as (i, row), w.when(spot.row_holds(row)):
            width = spot.result_width(min(RUN, self.tile.width))
            with self._run(1, width, spot.column_holds) as (j, column):
                total = w.load(self.total, i * self.tile.width + j)
                spot.finish(row, column, total)

    @contextmanager
    def _run(
        self, side: int, most: int, holds: Callable[[Size], Operand | None] = lambda at: None
    ) -> Iterator[tuple[Size, Size]]:
        """Loops over the thread's rows (side 0) or columns, at most `most` of them at once: (number, place in tile)."""
        w, count = self.writer, self.counts[side]
        run = min(RUN, count)
        width = min(run, most)
        apart = (self.tile.rows, self.tile.columns)[side] // (count // run)
        with w.loop("r", count // run, LoopKind.UNROLLED) as r, w.loop("u", run // width, LoopKind.UNROLLED) as u:
            first = apart * r + run * self.threads[side] + width * u
            with w.when(holds(first)), w.loop("v", width, LoopKind.VECTOR) as v:
                yield run * r + width * u + v, first + v

    def _fill(self, buffer: Buffer, number: Operand) -> None:
        w = self.writer
        with w.loop("i", self.tile.height * self.tile.width, LoopKind.UNROLLED) as i:
            w.store(buffer, i, number)

    def _nothing(self) -> Operand:
        """What, added to the first block's sum, leaves it what it is; 0 where there is no block."""
        w = self.writer
        if not self.dtype.is_floating_point:
            return literal(0, self.dtype)
        nothing: Operand = Literal(-0.0, self.dtype)
        if bounds(self.spot.depth)[0] >= 1:
            return nothing
        return w.apply("select", w.is_below(0, self.spot.depth), nothing, literal(0, self.dtype))
