"""One kernel out of several that don't depend on each other: a launch costs more than what a small kernel does.

In: calls of kernels for a GPU, whose blocks have equally many threads. Out: a call whose grid is the sum of theirs.
Kernels that differ in their buffers alone, or also in how many elements they have, become one piece of code that
chooses its buffers by the number of the block (`several`). Others follow each other, each for its own blocks
(`side_by_side`).

    block block < 6 {                                   # two kernels of three blocks each
      thread t < 256 {
        %row: i64 = position (block // 3)
        %at: i64 = position (block % 3)
        bind b < 3 = %at
        choose %row (x: f32[768], y: f32[768]) of (x_0, y_0), (x_1, y_1) {
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from graphc.ir.attribute import Array
from graphc.ir.dim import Symbol, evaluate, quotient, remainder, substitute, symbols
from graphc.ir.dtype import i32
from graphc.ir.graph import Node
from graphc.ir.location import Location
from graphc.kernel.gpu import Grid, grid_of
from graphc.kernel.ir import Allocate, Bind, Buffer, Choose, Kernel, Loop, LoopKind, Operand, statements_in
from graphc.ops import creation
from graphc.passes.gpu.writer import Copier, Names, Writer
from graphc.passes.lower import KernelCall, Source

PARAMETERS: Final = 500
"""Buffers and sizes that a joint kernel may have: every driver takes 4096 bytes of them."""
_LONGEST_NAME: Final = 60


@dataclass(frozen=True, slots=True)
class Code:
    """A kernel's code, and which call of it is meant: what its buffers stand for, and how many elements it has."""

    kernel: Kernel
    sources: tuple[Source, ...]
    sizes: tuple[Symbol, ...] = ()
    """Those of the kernel's sizes that differ between calls."""
    values: tuple[int, ...] = ()
    """What they are here."""

    @property
    def blocks(self) -> int:
        """Blocks of the grid."""
        found = _grid(self.kernel).blocks
        return evaluate(found, self.known)

    @property
    def threads(self) -> int:
        """Threads of a block."""
        return _grid(self.kernel).threads

    @property
    def known(self) -> dict[str, int]:
        """What is known of the sizes."""
        return {size.name: value for size, value in zip(self.sizes, self.values, strict=True)}


def several(calls: Sequence[Code], location: Location | None) -> KernelCall:
    """One call of a kernel that does what all of these do, which have the same code."""
    first = calls[0]
    kernel, sizes = first.kernel, first.sizes
    loop, threads = _loops(kernel)
    columns = list(zip(*(call.sources for call in calls)))
    varies = [any(size in sizes for size in symbols(buffer.size)) for buffer in kernel.buffers]
    same = [i for i, column in enumerate(columns) if not varies[i] and column.count(column[0]) == len(calls)]
    chosen = tuple(i for i in range(len(columns)) if i not in same)
    rows = tuple(
        tuple(_parameter(kernel.buffers[i], call, number) for i in chosen) for number, call in enumerate(calls)
    )
    writer = Writer(Names(kernel))
    copier = Copier(writer)
    buffers = [*(copier.another(kernel.buffers[i]) for i in same), *(each for row in rows for each in row)]
    sources: list[Source] = [columns[i][0] for i in same]
    sources += [call.sources[i] for call in calls for i in chosen]
    with writer.loop("block", sum(call.blocks for call in calls), LoopKind.BLOCK) as block:
        row: Operand
        values: list[Operand] = []
        if not sizes:
            row = writer.position(quotient(block, first.blocks))
            place = writer.position(remainder(block, first.blocks))
        else:
            node = _table(calls)
            table = Buffer("blocks", i32, node.tensor.size)
            buffers.append(table)
            sources.append(node)
            line = 2 + len(sizes)
            values = [writer.load(table, line * block + i) for i in range(line)]
            row, place = values[:2]
        _copy_shared(kernel, copier)
        binds = tuple(Bind(size, size.upper + 1, value) for size, value in zip(sizes, values[2:], strict=True))
        names = tuple(copier.another(kernel.buffers[i]) for i in chosen)
        inner = Writer(writer.names)
        _copy_thread(kernel, replace(copier, writer=inner))
        body = tuple(inner.statements)
        if chosen:
            body = (Choose(row, names, rows, body),)
        writer.add(replace(threads, body=(*binds, Bind(loop.symbol, loop.extent, place), *body)))
    written = {each for each_row in rows for i, each in zip(chosen, each_row) if kernel.buffers[i] in kernel.writes}
    written.update(copier.buffer(kernel.buffers[i]) for i in same if kernel.buffers[i] in kernel.writes)
    joint = Kernel(
        f"{kernel.name}_x{len(calls)}",
        tuple(buffers),
        tuple(each for each in kernel.sizes if each not in sizes),
        tuple(writer.statements),
        frozenset(written),
    )
    return KernelCall(joint, tuple(sources), location)


def side_by_side(calls: Sequence[KernelCall]) -> KernelCall:
    """One call of a kernel that does what all of these do; their grids have numbers of blocks."""
    kernels = [call.kernel for call in calls]
    names = Names(kernels[0])
    ends = [0]
    for kernel in kernels:
        names.take(kernel)
        ends.append(ends[-1] + Code(kernel, ()).blocks)
    writer = Writer(names)
    copiers = [Copier(writer) for _ in kernels]
    with writer.loop("block", ends[-1], LoopKind.BLOCK) as block:
        for kernel, copier in zip(kernels, copiers):
            _copy_shared(kernel, copier)
        with writer.loop("thread", _grid(kernels[0]).threads, LoopKind.THREAD) as thread:
            number = writer.position(block)
            for kernel, copier, start, end in zip(kernels, copiers, ends, ends[1:]):
                loop, threads = _loops(kernel)
                is_behind = writer.apply("ge", number, writer.position(start)) if start else None
                is_before = writer.apply("lt", number, writer.position(end)) if end < ends[-1] else None
                with writer.when(writer.both(is_behind, is_before)):
                    writer.add(Bind(loop.symbol, loop.extent, writer.position(block - start)))
                    copier.sizes[threads.symbol.name] = thread
                    for buffer in kernel.buffers:
                        copier.another(buffer)
                    _copy_thread(kernel, copier)
    joint = Kernel(
        "_and_".join(dict.fromkeys(kernel.name for kernel in kernels))[:_LONGEST_NAME],
        tuple(copier.buffer(buffer) for kernel, copier in zip(kernels, copiers) for buffer in kernel.buffers),
        tuple(dict.fromkeys(size for kernel in kernels for size in kernel.sizes)),
        tuple(writer.statements),
        frozenset(copier.buffer(buffer) for kernel, copier in zip(kernels, copiers) for buffer in kernel.writes),
    )
    return KernelCall(joint, tuple(source for call in calls for source in call.sources), calls[0].location)


def _parameter(buffer: Buffer, call: Code, number: int) -> Buffer:
    """The buffer of one of several calls."""
    return Buffer(f"{buffer.name}_{number}", buffer.dtype, substitute(buffer.size, call.known))


def _loops(kernel: Kernel) -> tuple[Loop, Loop]:
    """The loops over blocks and over threads."""
    blocks = kernel.body[-1]
    assert isinstance(blocks, Loop), f"{kernel.name} is not scheduled for a GPU"
    threads = blocks.body[-1]
    assert isinstance(threads, Loop), f"{kernel.name} is not scheduled for a GPU"
    return blocks, threads


def _copy_shared(kernel: Kernel, copier: Copier) -> None:
    """Allocate the memory of a block."""
    for statement in _loops(kernel)[0].body:
        if isinstance(statement, Allocate):
            copier.writer.add(Allocate(copier.another(statement.buffer)))


def _copy_thread(kernel: Kernel, copier: Copier) -> None:
    """Copy all that a thread of the kernel does, what all threads and blocks compute alike, too."""
    blocks, threads = _loops(kernel)
    front = (*kernel.body[:-1], *(s for s in blocks.body[:-1] if not isinstance(s, Allocate)))
    for statement in statements_in(threads.body):
        if isinstance(statement, Allocate):
            copier.another(statement.buffer)
    copier.copy((*front, *threads.body))


def _grid(kernel: Kernel) -> Grid:
    grid = grid_of(kernel)
    assert grid is not None, f"{kernel.name} is not scheduled for a GPU"
    return grid


def _table(calls: Sequence[Code]) -> Node:
    """For each block, of which call it is, which of its blocks, and the sizes there."""
    lines = [(row, block, *call.values) for row, call in enumerate(calls) for block in range(call.blocks)]
    return creation.constant(value=Array(np.array(lines, np.int32).reshape(-1)))
