"""What the policies for GPUs have in common: parts of kernels that are yet to be scheduled, and grids.

In: kernels of `lower`. Out: their independent loops as one count of iterations, and grids that run such a count.

    nest = find_nest(kernel)
    writer = Writer(Names(kernel), list(nest.hoisted))
    with grid(writer, nest.count, threads=256, most_blocks=MOST_BLOCKS) as position:
        nest.write(Copier(writer), position)
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final

from graphc.ir.dim import Size, is_at_least, is_at_most, minimum, product, quotient, remainder, symbols
from graphc.kernel.gpu import WARP
from graphc.kernel.ir import (
    Apply,
    Bind,
    Buffer,
    Check,
    Kernel,
    Load,
    Loop,
    LoopKind,
    Position,
    Statement,
    Store,
    statements_in,
)
from graphc.ops.indices import split_index
from graphc.passes.gpu.writer import Copier, Writer
from graphc.passes.lower import KernelCall, Scratch

MOST_BLOCKS: Final = 8192
"""Blocks of a grid whose threads take several iterations each. A GPU of 100 to 170 multiprocessors runs about 1000
at a time; with eight rounds of them the last one, which need not be full, costs little."""


def is_uniform(statement: Statement, kernel: Kernel) -> bool:
    """Whether each thread may do it for itself: it is cheap, and doesn't read what the kernel writes."""
    match statement:
        case Apply() | Position() | Bind() | Check():
            return True
        case Load(buffer=buffer):
            return buffer in kernel.buffers and buffer not in kernel.writes
        case _:
            return False


@dataclass(frozen=True, slots=True)
class Nest:
    """Independent loops, each all that the one around it holds beside scalar code in front of it."""

    hoisted: tuple[Statement, ...]
    """Scalar code in front of the outermost loop."""
    loops: tuple[Loop, ...]
    """From the outermost to the innermost."""
    between: tuple[tuple[Statement, ...], ...]
    """For each loop, the scalar code in it in front of the next one; of the innermost, all that it holds."""

    @property
    def extents(self) -> tuple[Size, ...]:
        """Of the loops."""
        return tuple(loop.extent for loop in self.loops)

    @property
    def count(self) -> Size:
        """Iterations of all loops together."""
        return product(self.extents)

    @property
    def body(self) -> tuple[Statement, ...]:
        """What the innermost loop holds."""
        return self.between[-1]

    def write(self, copier: Copier, indices: tuple[Size, ...]) -> None:
        """Copy the code of one iteration, that between the loops, too: each store there in one iteration alone."""
        for depth, (loop, code) in enumerate(zip(self.loops, self.between, strict=True)):
            copier.sizes[loop.symbol.name] = indices[depth]
            below = [index for index in indices[depth + 1 :] if index != 0]
            predicate = copier.predicate
            if below and any(isinstance(s, Store) for s in code):
                zero = [copier.writer.equals(index, 0) for index in below]
                copier.predicate = copier.writer.both(predicate, *zero)
            copier.copy(code)
            copier.predicate = predicate

    def write_at(self, copier: Copier, position: Size) -> None:
        """The code of the iteration at a position in the order in which the loops run."""
        self.write(copier, split_index(position, self.extents))


def find_nest(kernel: Kernel) -> Nest | None:
    """The kernel's nest, if it is one nest and scalar code in front of it that each thread may compute."""
    if not kernel.body:
        return None
    *hoisted, last = kernel.body
    if not all(is_uniform(s, kernel) for s in hoisted):
        return None
    if not isinstance(last, Loop) or last.kind is not LoopKind.PARALLEL:
        return None
    return nest_of(tuple(hoisted), last, kernel)


def nest_of(hoisted: tuple[Statement, ...], loop: Loop, kernel: Kernel) -> Nest:
    """The loop, and those in it that it runs in one go with."""
    loops, between = [loop], [loop.body]
    variable = {loop.symbol.name}
    has_effect = False
    while between[-1]:
        *front, inner = between[-1]
        if not isinstance(inner, Loop) or inner.kind is not LoopKind.PARALLEL:
            break
        if not all(isinstance(s, Store) or is_uniform(s, kernel) for s in front):
            break
        # What is stored in front of an inner loop would be lost where that loop runs no iteration.
        has_effect = has_effect or any(isinstance(s, Store | Check) for s in front)
        if has_effect and not is_at_least(inner.extent, 1):
            break
        variable |= {s.symbol.name for s in (inner, *front) if isinstance(s, Loop | Bind)}
        if any(symbol.name in variable for symbol in symbols(inner.extent)):
            break
        between[-1:] = [tuple(front), inner.body]
        loops.append(inner)
    return Nest(hoisted, tuple(loops), tuple(between))


@contextmanager
def grid(writer: Writer, count: Size, threads: int, most_blocks: int = MOST_BLOCKS) -> Iterator[Size]:
    """A thread for each of `count` iterations, or for every so many one, neighbours in neighbouring threads.

    What is written in the context is the code of the iteration whose number it gives.
    """
    blocks = minimum(quotient(count + (threads - 1), threads), most_blocks)
    with writer.loop("b", blocks, LoopKind.BLOCK) as block, writer.loop("t", threads, LoopKind.THREAD) as thread:
        first = block * threads + thread
        stride = threads * most_blocks
        if not is_at_most(count, stride):
            with writer.loop("s", quotient(count - first + (stride - 1), stride), LoopKind.SERIAL) as step:
                yield step * stride + first
        elif remainder(count, threads) == 0:
            yield first
        else:
            with writer.when(writer.is_below(first, count)):
                yield first


@contextmanager
def one_thread(writer: Writer) -> Iterator[None]:
    """A grid of one warp, in which one thread does what is written in the context."""
    with (
        writer.loop("b", 1, LoopKind.BLOCK),
        writer.loop("t", WARP, LoopKind.THREAD) as thread,
        writer.when(writer.equals(thread, 0)),
    ):
        yield


def finish(call: KernelCall, body: tuple[Statement, ...], scratch: dict[Buffer, Scratch] | None = None) -> KernelCall:
    """The call with another body, and the parameters that this one uses; `scratch` is memory that is new in it."""
    kernel = call.kernel
    sources = {**dict(zip(kernel.buffers, call.sources, strict=True)), **(scratch or {})}
    used, written = set(), set()
    for statement in statements_in(body):
        if isinstance(statement, Load | Store):
            used.add(statement.buffer)
        if isinstance(statement, Store):
            written.add(statement.buffer)
    buffers = tuple(buffer for buffer in sources if buffer in used)
    changed = Kernel(kernel.name, buffers, kernel.sizes, body, frozenset(b for b in buffers if b in written))
    return replace(call, kernel=changed, sources=tuple(sources[buffer] for buffer in buffers))
