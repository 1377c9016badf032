"""Columns that are reduced: neighbouring results are neighbours in memory.

In: a kernel of `lower` whose reductions run down columns (the first axis of a matrix, a middle one, a batch). Out: the
kernel for a GPU, with the bits that the kernel has on a CPU.

A block has some neighbouring columns, and for each of them several threads that take its elements in turn: a warp reads
neighbours, and each of the 64 accumulators of a column is one thread's. The threads of a column bring theirs together
through shared memory. Where there are few columns a block has fewer of them, with more threads each.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from graphc.ir.dim import MAX_SIZE, Size, bounds, minimum, quotient, remainder
from graphc.ir.dtype import DType
from graphc.kernel.gpu import WARP, GpuTarget
from graphc.kernel.ir import LANES, Allocate, Buffer, Kernel, LoopKind, Operand, Reduce, Space
from graphc.passes.gpu.chunks import Where, Work, chunks, elements
from graphc.passes.gpu.reduction_tree import Accumulators, Combiner, Layout, Parts, halved, within_thread
from graphc.passes.gpu.row_nest import RowNest, find_rows, inner_reductions, scratch_of, without_scratch
from graphc.passes.gpu.rows import (
    ENOUGH_BLOCKS,
    along_row,
    computes_scratch_simply,
    depends_on_row,
    runs_down_columns,
    symbolic_length,
)
from graphc.passes.gpu.team import Holder, write_row
from graphc.passes.gpu.writer import Copier, Writer

if TYPE_CHECKING:
    from graphc.passes.lower import KernelCall

THREADS: Final = 256
"""Of a block."""
PIECE_BYTES: Final = 32
"""Memory is read in pieces of so many bytes, of which a block should want all."""
ELEMENTS: Final = 8
"""Elements of a column that a thread has at least."""


def schedule_columns(call: KernelCall, target: GpuTarget) -> tuple[KernelCall, ...] | None:
    """The columns policy: None for kernels without reductions, or whose reductions run along rows."""
    nest = find_rows(call.kernel)
    if nest is None or not runs_down_columns(nest) or not computes_scratch_simply(nest):
        return None
    is_nested = any(inner_reductions(s) for s in nest.body if isinstance(s, Reduce))
    if is_nested and depends_on_row(nest):
        return None
    nest = without_scratch(nest, scratch_of(nest.body) or {})
    length = max(bounds(statement.extent)[1] for statement in along_row(nest.body))
    fewest = PIECE_BYTES // min((b.dtype.itemsize for b in nest.kernel.buffers), default=1)
    known = symbolic_length(nest)
    if known is None or depends_on_row(nest):
        columns = columns_of_block(length, bounds(nest.rows)[1], fewest)
        return (replace(call, kernel=write_columns(nest, columns)),)
    # The grid is empty for the way that a run has no use for.
    coarse, fine = columns_of_block(length, MAX_SIZE, fewest), columns_of_block(length, 1, fewest)
    is_long = minimum(1, known // (2 * LANES)) * (1 - minimum(1, nest.rows // (coarse * ENOUGH_BLOCKS)))
    ways = ((coarse, 1 - is_long), (fine, is_long))
    return tuple(replace(call, kernel=write_columns(nest, columns, is_chosen)) for columns, is_chosen in ways)


def columns_of_block(length: int, count: int, fewest: int) -> int:
    """How many of `count` columns of at most this length the threads of a block share: a power of two."""
    threads = 1
    """Of a column."""
    while threads < THREADS // WARP and 2 * threads * ELEMENTS <= length:
        threads *= 2
    most_threads = min(LANES, THREADS // fewest)
    while count * threads < THREADS * ENOUGH_BLOCKS and 2 * threads <= most_threads:
        if 2 * threads * ELEMENTS > length:
            break
        threads *= 2
    return THREADS // threads


def write_columns(nest: RowNest, columns: int, is_chosen: Size = 1) -> Kernel:
    """The kernel for a GPU."""
    writer = Writer(nest.names)
    shared: list[Buffer] = []
    blocks = quotient(nest.rows + columns - 1, columns) * is_chosen
    with writer.loop("b", blocks, LoopKind.BLOCK) as block:
        mark = len(writer.statements)
        with writer.loop("t", THREADS, LoopKind.THREAD) as thread:
            column, is_column = columns * block + remainder(thread, columns), None
            if remainder(nest.rows, columns) != 0:
                is_column = writer.is_below(column, nest.rows)
                column = writer.bind("column", nest.rows, writer.position(column))
            member, own = quotient(thread, columns), remainder(thread, columns)
            team = ColumnTeam(THREADS // columns, member, columns, own, shared)
            copier = Copier(writer, sizes={nest.symbol.name: column})
            write_row(team, Work(writer, copier, 1, frozenset(), is_column), nest.body)
        writer.statements[mark:mark] = [Allocate(buffer) for buffer in shared]
    return replace(nest.kernel, body=(*nest.prefix, *writer.statements))


@dataclass(frozen=True, slots=True)
class ColumnTeam:
    """The threads of a column: one each in groups of as many neighbouring threads as a block has columns."""

    threads: int
    member: Size
    columns: int
    column: Size
    """Of the block's columns, this thread's."""
    shared: list[Buffer]

    @property
    def layout(self) -> Layout:
        """Which accumulators the threads hold."""
        return Layout(self.threads, 1)

    def reduce(self, work: Work, reduce: Reduce) -> Operand:
        """Each thread takes in the elements of its accumulators."""
        extent = work.copier.size(reduce.extent)
        combiner = Combiner.of(reduce, extent)
        if inner_reductions(reduce):
            holder = Holder(work.writer, combiner, self.layout, self.member, extent)
            with work.writer.loop("r", extent, LoopKind.SERIAL) as index:
                work.copier.sizes[reduce.symbol.name] = index
                write_row(self, work, reduce.body)
                holder.take(index, work.copier.operand(reduce.element))
            return self._total(work.writer, holder.accumulators)
        accumulators = Accumulators(work.writer, combiner, self.layout, self.layout.groups(extent))

        def chunk(number: Size, step: Size, group: int, where: Where) -> None:
            for index, _, is_there in elements(work, reduce, number, step, where):
                element = combiner.element(work.writer, work.copier.operand(reduce.element), index)
                accumulators.take(group, element, is_there)

        chunks(work, self.member, self.threads, extent, accumulators.groups, reduce, chunk)
        return self._total(work.writer, accumulators)

    def wait(self, work: Work) -> None:
        """By a barrier."""
        work.writer.barrier()

    def _total(self, writer: Writer, accumulators: Accumulators) -> Operand:
        """The tree's value, for all threads of the column."""
        combiner = accumulators.combiner
        held = within_thread(writer, combiner, self.layout, accumulators.all_parts())
        if self.threads > 1:
            # Others may still read what was here before.
            writer.barrier()
            places = [self._memory(number, part.dtype) for number, part in enumerate(held[0])]
            for place, part in zip(places, held[0]):
                writer.store(place, self.columns * self.member + self.column, part)
            writer.barrier()
            held = [
                tuple(writer.load(place, self.columns * thread + self.column) for place in places)
                for thread in range(self.threads)
            ]
        parts: Parts = halved(writer, combiner, held)
        return combiner.result(writer, parts)

    def _memory(self, number: int, dtype: DType) -> Buffer:
        """Shared memory with an element for each thread of the block."""
        name = f"held{number}"
        for buffer in self.shared:
            if buffer.name == name and buffer.dtype is dtype:
                return buffer
        self.shared.append(Buffer(name, dtype, self.threads * self.columns, Space.SHARED))
        return self.shared[-1]
