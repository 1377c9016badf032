"""Any kernel on a GPU: each independent iteration a thread, everything else as it is.

In: a kernel that no other policy takes. Out: the same code for each iteration of its outer independent loops in a
thread of its own, in which inner loops are serial and contractions are loops; a kernel without such loops runs in one
thread. Scratch that is small stays with its thread, other scratch becomes memory beside the results.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

from graphc.ir.dim import Size, bounds, minimum, quotient
from graphc.kernel.gpu import GpuTarget
from graphc.kernel.ir import (
    CONTRACT_BLOCK,
    Allocate,
    Buffer,
    Contract,
    If,
    Kernel,
    Literal,
    Load,
    Loop,
    LoopKind,
    Reduce,
    Space,
    Statement,
    Store,
    statements_in,
)
from graphc.passes.gpu.build import MOST_BLOCKS, find_nest, finish, grid, one_thread
from graphc.passes.gpu.writer import Copier, Names, Writer
from graphc.passes.lower import KernelCall, Scratch

THREADS: Final = 128
"""Threads of a block; what comes here is long for each of them, so small blocks share the machine better."""
LOCAL_BYTES: Final = 1024
"""Scratch that stays with its thread: the driver sets it aside for each thread that a GPU can hold, 300,000 or so."""
SCRATCH_BYTES: Final = 1 << 28
"""Scratch of all threads together; fewer threads run where each needs much."""


def schedule_fallback(call: KernelCall, target: GpuTarget) -> tuple[KernelCall, ...]:
    """One kernel with the call's own loops, whatever they are."""
    names = Names(call.kernel)
    kernel = replace(call.kernel, body=_without_contractions(call.kernel.body, names))
    nest = find_nest(kernel)
    threads, blocks = (1, 1) if nest is None else (THREADS, _most_blocks(kernel))
    writer = Writer(names, [] if nest is None else list(nest.hoisted))
    taken = Writer(names)
    if nest is None:
        with one_thread(taken):
            for statement in kernel.body:
                taken.add(statement)
        scratch = _Relocation(1, 0)
    else:
        with grid(taken, nest.count, threads, blocks) as position:
            nest.write_at(Copier(taken), position)
        launched = minimum(quotient(nest.count + (threads - 1), threads), blocks)
        block = taken.statements[-1]
        assert isinstance(block, Loop)
        thread = next(s for s in block.body if isinstance(s, Loop))
        scratch = _Relocation(launched * threads, block.symbol.size * threads + thread.symbol.size)
    body = (*writer.statements, *scratch.body(tuple(taken.statements)))
    return (finish(call, body, scratch.sources),)


def _is_small(buffer: Buffer) -> bool:
    return bounds(buffer.size)[1] * buffer.dtype.itemsize <= LOCAL_BYTES


def _most_blocks(kernel: Kernel) -> int:
    """Blocks of the grid, so that the scratch of its threads is within `SCRATCH_BYTES` if it is as long as usual."""
    allocated = [s.buffer for s in statements_in(kernel.body) if isinstance(s, Allocate) and not _is_small(s.buffer)]
    each = sum(min(bounds(b.size)[1], 1 << 16) * b.dtype.itemsize for b in allocated)
    return max(1, min(MOST_BLOCKS, SCRATCH_BYTES // (max(each, 1) * THREADS)))


@dataclass(slots=True)
class _Relocation:
    """Serial code, with large scratch in global memory: element k of each thread lies beside that of its neighbours."""

    threads: Size
    thread: Size
    moved: dict[Buffer, Buffer] = field(default_factory=dict)
    sources: dict[Buffer, Scratch] = field(default_factory=dict)

    def body(self, statements: tuple[Statement, ...]) -> tuple[Statement, ...]:
        """The statements of a body."""
        result: list[Statement] = []
        for statement in statements:
            match statement:
                case Allocate(buffer=buffer) if not _is_small(buffer):
                    moved = Buffer(f"scratch{len(self.moved)}", buffer.dtype, buffer.size * self.threads)
                    self.moved[buffer] = moved
                    self.sources[moved] = Scratch(moved.size, moved.dtype)
                case Load(buffer=buffer) | Store(buffer=buffer) if buffer in self.moved:
                    index = statement.index * self.threads + self.thread
                    result.append(replace(statement, buffer=self.moved[buffer], index=index))
                case Loop(kind=kind, body=body):
                    serial = kind in (LoopKind.PARALLEL, LoopKind.VECTOR)
                    kind = LoopKind.SERIAL if serial else kind
                    result.append(replace(statement, kind=kind, body=self.body(body)))
                case Reduce(body=body) | If(body=body):
                    result.append(replace(statement, body=self.body(body)))
                case _:
                    result.append(statement)
        return tuple(result)


def _without_contractions(body: tuple[Statement, ...], names: Names) -> tuple[Statement, ...]:
    """The body with each contraction as loops over its rows and columns, and in them one over its depth."""
    result: list[Statement] = []
    for statement in body:
        match statement:
            case Contract():
                result.append(contraction_loops(statement, names))
            case Loop(body=inner) | If(body=inner):
                result.append(replace(statement, body=_without_contractions(inner, names)))
            case _:
                result.append(statement)
    return tuple(result)


def contraction_loops(statement: Contract, names: Names) -> Loop:
    """The contraction as independent loops whose iterations sum in its order."""
    writer = Writer(names)
    total = Buffer("total", statement.acc.dtype, 1, Space.LOCAL)
    part = Buffer("part", statement.acc.dtype, 1, Space.LOCAL)
    for buffer in (total, part):
        writer.add(Allocate(buffer))
    zero = Literal(0.0 if statement.acc.dtype.is_floating_point else 0, statement.acc.dtype)
    writer.store(total, 0, zero)
    depth = statement.depth
    _products(writer, statement, total, 0, minimum(CONTRACT_BLOCK, depth))
    rest = quotient(depth + (CONTRACT_BLOCK - 1), CONTRACT_BLOCK) - 1
    if bounds(rest)[1] > 0:
        _rest(writer, statement, total, part, zero)
    copier = Copier(writer, {statement.acc: writer.load(total, 0)})
    copier.copy(statement.epilogue)
    columns = Loop(statement.n, statement.columns, LoopKind.PARALLEL, tuple(writer.statements))
    return Loop(statement.m, statement.rows, LoopKind.PARALLEL, (columns,))


def _rest(writer: Writer, statement: Contract, total: Buffer, part: Buffer, zero: Literal) -> None:
    """The blocks behind the first one, each added to the total."""
    depth = statement.depth
    blocks = quotient(depth + (CONTRACT_BLOCK - 1), CONTRACT_BLOCK)
    with (
        writer.loop("block", blocks, LoopKind.SERIAL) as block,
        writer.when(writer.apply("gt", writer.position(block), writer.position(0))),
    ):
        writer.store(part, 0, zero)
        start = block * CONTRACT_BLOCK
        _products(writer, statement, part, start, minimum(CONTRACT_BLOCK, depth - start))
        writer.store(total, 0, writer.apply("add", writer.load(total, 0), writer.load(part, 0)))


def _products(writer: Writer, statement: Contract, sum_: Buffer, start: Size, count: Size) -> None:
    """Add `count` products from `start` on to a sum."""
    dtype = statement.acc.dtype
    with writer.loop("k", count, LoopKind.SERIAL) as k:
        factors = []
        for panel in (statement.left, statement.right):
            copier = Copier(writer, sizes={statement.k.name: start + k})
            copier.copy(panel.body)
            factor = copier.operand(panel.element)
            factors.append(factor if factor.dtype is dtype else writer.apply("cast", factor, dtype=dtype))
        before = writer.load(sum_, 0)
        if dtype.is_floating_point:
            writer.store(sum_, 0, writer.apply("fma", *factors, before))
        else:
            writer.store(sum_, 0, writer.apply("add", before, writer.apply("mul", *factors)))
