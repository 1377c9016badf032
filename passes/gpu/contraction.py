"""The policy for contractions (`dot`: products of matrices, convolutions) on a GPU.

In: a call whose kernel ends with a `Contract`, perhaps in a loop over batch dimensions. Out: one call, or two where a
few long sums are computed in chunks, each by a block of its own: the first stores the sums of the chunks, the second
adds them in order. Chunks of `CONTRACT_BLOCK` products give the bits of the CPU's kernel, which sums in such blocks.
For convolutions on tensor cores a call stands in front that brings the filter into another order.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final, TypeAlias

from graphc.ir.dim import Size, is_at_least, maximum
from graphc.kernel.gpu import GpuTarget
from graphc.kernel.ir import CONTRACT_BLOCK, Buffer, Kernel, LoopKind
from graphc.passes.gpu.contraction_block import (
    Chunk,
    chunks_of,
    coordinates,
    finish_kernel,
    partial_index,
)
from graphc.passes.gpu.contraction_fragment import Arithmetic
from graphc.passes.gpu.contraction_matrices import (
    arithmetic_of,
    choose_matrix_tile,
    should_split_matrices,
    write_matrices,
)
from graphc.passes.gpu.contraction_plan import (
    Problem,
    choose_tile,
    count_of,
    find_contraction,
    likely,
    should_split,
)
from graphc.passes.gpu.contraction_taps import reorder_taps
from graphc.passes.gpu.contraction_tiles import write_tiles
from graphc.passes.gpu.writer import Copier, Names, Writer
from graphc.passes.lower import KernelCall, Scratch, Source

Memory: TypeAlias = "dict[Buffer, Scratch]"

THREADS: Final = 256
"""Of the blocks that add the sums of chunks."""
MATRIX_CHUNK: Final = 1024
"""Products that a block of tensor cores sums where others sum the rest: enough to keep the tiles' loads under way."""
STEP_BYTES: Final = 64
"""Bytes along the depth of a tile of what goes through registers to tensor cores."""


def schedule_contraction(call: KernelCall, target: GpuTarget) -> tuple[KernelCall, ...] | None:
    """The calls for a GPU; None for a kernel that is no contraction."""
    problem = find_contraction(call.kernel)
    if problem is None:
        return None
    arithmetic = arithmetic_of(problem.contract, target)
    if arithmetic is None:
        return _on_common_cores(call, problem)
    return _on_tensor_cores(call, problem, arithmetic, target)


def _on_common_cores(call: KernelCall, problem: Problem) -> tuple[KernelCall, ...]:
    tile = choose_tile(problem, 1)
    if not should_split(problem, tile, CONTRACT_BLOCK):
        return (_with_kernel(call, write_tiles(problem, tile, None), {}),)
    chunk = _chunk(problem, CONTRACT_BLOCK)
    tile = choose_tile(problem, likely(chunks_of(problem, CONTRACT_BLOCK)))
    return _in_two(call, problem, write_tiles(problem, tile, chunk), chunk, {})


def _on_tensor_cores(
    call: KernelCall, problem: Problem, arithmetic: Arithmetic, target: GpuTarget
) -> tuple[KernelCall, ...]:
    reordered = reorder_taps(problem, STEP_BYTES // arithmetic.dtype.itemsize)
    if reordered is None:
        return _products(call, problem, arithmetic, target, {})
    memory = {reordered.filter: Scratch(reordered.filter.size, reordered.filter.dtype)}
    first = _with_kernel(call, reordered.first, memory)
    return (first, *_products(call, reordered.problem, arithmetic, target, memory))


def _products(
    call: KernelCall, problem: Problem, arithmetic: Arithmetic, target: GpuTarget, memory: Memory
) -> tuple[KernelCall, ...]:
    chunks = likely(chunks_of(problem, MATRIX_CHUNK))
    whole, part = (choose_matrix_tile(problem, arithmetic, count, target) for count in (1, chunks))
    if not should_split_matrices(problem, whole, part, MATRIX_CHUNK, chunks):
        return (_with_kernel(call, write_matrices(problem, arithmetic, whole, None, target), memory),)
    chunk = _chunk(problem, MATRIX_CHUNK)
    return _in_two(call, problem, write_matrices(problem, arithmetic, part, chunk, target), chunk, memory)


def _chunk(problem: Problem, steps: int) -> Chunk:
    size: Size = chunks_of(problem, steps) * count_of(problem)
    return Chunk(steps, Buffer("partial", problem.contract.acc.dtype, size))


def _in_two(call: KernelCall, problem: Problem, first: Kernel, chunk: Chunk, memory: Memory) -> tuple[KernelCall, ...]:
    memory = {**memory, chunk.partial: Scratch(chunk.partial.size, chunk.partial.dtype)}
    return _with_kernel(call, first, memory), _with_kernel(call, write_sum(problem, chunk), memory)


def _with_kernel(call: KernelCall, kernel: Kernel, memory: Memory) -> KernelCall:
    """The call of another kernel over the same buffers, and memory between kernels."""
    sources: dict[Buffer, Source] = {**dict(zip(call.kernel.buffers, call.sources)), **memory}
    return replace(call, kernel=kernel, sources=tuple(sources[buffer] for buffer in kernel.buffers))


def write_sum(problem: Problem, chunk: Chunk) -> Kernel:
    """The kernel that adds the sums of the chunks and finishes the results, a thread for each."""
    contract, kernel = problem.contract, problem.kernel
    w = Writer(Names(kernel))
    for statement in problem.before:
        w.add(statement)
    count = count_of(problem)
    blocks = (count + THREADS - 1) // THREADS
    with w.loop("b", blocks, LoopKind.BLOCK) as block, w.loop("t", THREADS, LoopKind.THREAD) as thread:
        position = block * THREADS + thread
        with w.when(w.is_below(position, count)):
            extents = (problem.batch, contract.rows, contract.columns)
            batch, m, n = coordinates(w, ("batch", "row", "column"), position, extents)
            around = {} if problem.around is None else {problem.around.symbol.name: batch}
            copier = Copier(w, {}, {**around, contract.m.name: m, contract.n.name: n})
            copier.copy(problem.inside)
            total = w.registers("total", contract.acc.dtype, 1)
            chunks = chunks_of(problem, chunk.steps)
            is_any = None if is_at_least(chunks, 1) else w.is_below(0, chunks)
            w.store(total, 0, w.load(chunk.partial, partial_index(problem, 0, batch, m, n), is_any))
            with w.loop("s", maximum(chunks - 1, 0), LoopKind.SERIAL) as s:
                part = w.load(chunk.partial, partial_index(problem, s + 1, batch, m, n))
                w.store(total, 0, w.apply("add", w.load(total, 0), part))
            copier.values[contract.acc] = w.load(total, 0)
            copier.copy(contract.epilogue)
    return finish_kernel(kernel, w, (chunk.partial,), kernel.writes)
