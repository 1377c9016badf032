"""The frame of a contraction's kernels: the grid, what a block knows of its place, and where results go.

In: a `Problem`, the size of a block's tile, and a function that writes what a thread does. Out: a kernel.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from graphc.ir.dim import Size, bounds, is_at_most, minimum, quotient, remainder
from graphc.kernel.ir import (
    Allocate,
    Buffer,
    CopyAsync,
    Kernel,
    Load,
    LoopKind,
    Operand,
    Store,
    Value,
    statements_in,
)
from graphc.passes.gpu.contraction_plan import Problem, likely
from graphc.passes.gpu.contraction_stage import Factor, Stager
from graphc.passes.gpu.writer import Copier, Names, Writer

BAND: Final = 8
"""Rows of tiles that are computed column by column."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of the depth that a block sums apart, and where its sums go: [chunk, batch, row, column]."""

    steps: int
    partial: Buffer


@dataclass(slots=True)
class Spot:
    """Where in the problem a thread is."""

    problem: Problem
    writer: Writer
    thread: Size
    batch: Size
    row: Size
    """First row of the block's tile."""
    column: Size
    chunk: Chunk | None
    chunk_number: Size
    sizes: dict[str, Size]
    """What stands for the symbols around the contraction."""
    values: dict[Value, Operand]
    rows_tile: int
    columns_tile: int

    @property
    def first(self) -> Size:
        """Where the block begins along the depth."""
        return 0 if self.chunk is None else self.chunk_number * self.chunk.steps

    @property
    def depth(self) -> Size:
        """Products that the block sums for each of its results."""
        whole = self.problem.contract.depth
        if self.chunk is None:
            return whole
        if remainder(whole, self.chunk.steps) == 0:
            return self.chunk.steps
        return minimum(self.chunk.steps, whole - self.first)

    def row_holds(self, row: Size) -> Operand | None:
        """Whether a row of the tile is one of the result; None: all are."""
        rows = self.problem.contract.rows
        return None if remainder(rows, self.rows_tile) == 0 else self.writer.is_below(self.row + row, rows)

    def column_holds(self, column: Size) -> Operand | None:
        """Whether a column of the tile is one of the result; None: all are."""
        columns = self.problem.contract.columns
        if remainder(columns, self.columns_tile) == 0:
            return None
        return self.writer.is_below(self.column + column, columns)

    def stagers(self, factors: Sequence[Factor], shared: Sequence[Buffer]) -> list[Stager]:
        """What brings the tiles of the left and the right factor into shared memory, with registers on the way."""
        made: list[Stager] = []
        for factor, start, buffer in zip(factors, (self.row, self.column), shared):
            count = factor.staging.each * factor.staging.group
            is_copied = factor.staging.is_copied
            kept = None if is_copied else self.writer.registers(f"next_{buffer.name}", buffer.dtype, count)
            made.append(Stager(self.writer, factor, self.thread, start, self.sizes, self.values, buffer, kept))
        return made

    def finish(self, row: Size, column: Size, total: Operand) -> None:
        """What is done with the sum of a row and a column of the tile."""
        contract = self.problem.contract
        m, n = self.row + row, self.column + column
        if self.chunk is not None:
            place = partial_index(self.problem, self.chunk_number, self.batch, m, n)
            self.writer.store(self.chunk.partial, place, total)
            return
        names = {**self.sizes, contract.m.name: m, contract.n.name: n}
        Copier(self.writer, {**self.values, contract.acc: total}, names).copy(contract.epilogue)

    def result_width(self, most: int) -> int:
        """How many neighbouring columns can be finished at once, of `most` that a thread has."""
        epilogue = self.problem.contract.epilogue
        accessed = [s.buffer.dtype.itemsize for s in statements_in(epilogue) if isinstance(s, Load | Store)]
        widest = self.chunk.partial.dtype.itemsize if self.chunk is not None else max(accessed, default=16)
        width = min(most, 16 // widest)
        while width > 1 and remainder(self.problem.contract.columns, width) != 0:
            width //= 2
        return width


Body: TypeAlias = "Callable[[Spot], None]"


def partial_index(problem: Problem, chunk: Size, batch: Size, m: Size, n: Size) -> Size:
    """Where the sum of a chunk lies."""
    contract = problem.contract
    return ((chunk * problem.batch + batch) * contract.rows + m) * contract.columns + n


def chunks_of(problem: Problem, steps: int) -> Size:
    """How many chunks of so many steps the depth has."""
    return quotient(problem.contract.depth + steps - 1, steps)


def write_blocks(
    problem: Problem, tile: tuple[int, int], threads: int, shared: tuple[Buffer, ...], body: Body, chunk: Chunk | None
) -> Kernel:
    """The kernel whose blocks have a tile of rows x columns of the result each, all of the depth or a chunk of it."""
    contract = problem.contract
    names = Names(problem.kernel)
    w = Writer(names)
    for statement in problem.before:
        w.add(statement)
    parts = 1 if chunk is None else chunks_of(problem, chunk.steps)
    down, across = (quotient(extent + size - 1, size) for extent, size in zip((contract.rows, contract.columns), tile))
    with w.loop("b", parts * problem.batch * down * across, LoopKind.BLOCK) as block:
        if min(likely(down), likely(across)) > BAND:
            part, batch, place = coordinates(
                w, ("part", "batch", "place"), block, (parts, problem.batch, down * across)
            )
            row, column = _in_bands(w, place, down, across)
        else:
            part, batch, row, column = coordinates(
                w, ("part", "batch", "row", "column"), block, (parts, problem.batch, down, across)
            )
        around = {} if problem.around is None else {problem.around.symbol.name: batch}
        outside = Copier(w, {}, around)
        outside.copy(problem.inside)
        for buffer in shared:
            w.add(Allocate(buffer))
        with w.loop("t", threads, LoopKind.THREAD) as thread:
            spot = Spot(
                problem=problem,
                writer=w,
                thread=thread,
                batch=batch,
                row=row * tile[0],
                column=column * tile[1],
                chunk=chunk,
                chunk_number=part,
                sizes=outside.sizes,
                values=outside.values,
                rows_tile=tile[0],
                columns_tile=tile[1],
            )
            body(spot)
    written = problem.kernel.writes if chunk is None else frozenset((chunk.partial,))
    return finish_kernel(problem.kernel, w, () if chunk is None else (chunk.partial,), written)


def _in_bands(w: Writer, place: Size, down: Size, across: Size) -> tuple[Size, Size]:
    """Row and column of a tile, by columns of bands of rows: tiles at work at the same time read the same factors.

    All tiles of `BAND` rows and columns at once read 2 * BAND strips of the factors; a row of as many reads more.
    """
    band = w.bind("band", quotient(down + BAND - 1, BAND), w.position(quotient(place, BAND * across)))
    inside = w.bind("inside", BAND * across, w.position(remainder(place, BAND * across)))
    height: Size = BAND if remainder(down, BAND) == 0 else minimum(BAND, down - BAND * band)
    row = w.bind("row", down, w.position(BAND * band + remainder(inside, height)))
    column = w.bind("column", across, w.position(quotient(inside, height)))
    return row, column


def coordinates(w: Writer, hints: tuple[str, ...], position: Size, extents: tuple[Size, ...]) -> tuple[Size, ...]:
    """The coordinates of a row-major position; those of extent 1 are 0."""
    wide = [extent for extent in extents if extent != 1]
    found: list[Size] = []
    inner: Size = 1
    for hint, extent in reversed(list(zip(hints, extents))):
        if extent == 1:
            found.append(0)
        elif len(wide) == 1:
            found.append(position)
        else:
            found.append(w.bind(hint, extent, w.position(remainder(quotient(position, inner), extent))))
            inner = inner * extent
    return tuple(reversed(found))


def finish_kernel(kernel: Kernel, w: Writer, more: tuple[Buffer, ...], written: frozenset[Buffer]) -> Kernel:
    """The kernel with the parameters that its statements use."""
    used: set[Buffer] = set()
    for statement in statements_in(w.statements):
        if isinstance(statement, Load | Store):
            used.add(statement.buffer)
        elif isinstance(statement, CopyAsync):
            used.add(statement.source)
    buffers = tuple(b for b in (*kernel.buffers, *more) if b in used)
    return Kernel(kernel.name, buffers, kernel.sizes, tuple(w.statements), frozenset(written & used))


def is_below(w: Writer, index: Size, extent: Size) -> Operand | bool:
    """Whether the index is below the extent; a plain bool where that is known."""
    if is_at_most(index + 1, extent):
        return True
    if bounds(index - extent)[0] >= 0:
        return False
    return w.is_below(index, extent)


def where(w: Writer, condition: Operand | bool, write: Callable[[], None]) -> None:
    """What `write` writes, where the condition holds; nothing where it never does."""
    if condition is False:
        return
    with w.when(None if condition is True else condition):
        write()
