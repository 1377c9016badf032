"""Long reductions for several threads.

In: a kernel that reduces a long extent to one number, as two nested reductions in front of everything else. Out: two
kernels, a parallel one that reduces the blocks and one that combines them. The bits are the same: the blocks are the
fixed tree's own.
"""

from __future__ import annotations

from dataclasses import dataclass

from graphc.kernel.ir import (
    Buffer,
    Kernel,
    Load,
    Loop,
    LoopKind,
    Reduce,
    Statement,
    Store,
    Value,
    nested_bodies,
)


@dataclass(frozen=True, slots=True)
class Partial:
    """The two kernels, and the memory between them."""

    first: Kernel
    second: Kernel
    buffer: Buffer


def split_long_reduction(kernel: Kernel) -> Partial | None:
    """Split where the kernel has no loop and its only long reduction is of blocks; None elsewhere."""
    if any(isinstance(s, Loop) for s in kernel.body):
        return None
    long = [s for s in kernel.body if isinstance(s, Reduce) and any(isinstance(x, Reduce) for x in s.body)]
    if len(long) != 1 or not isinstance(long[0].element, Value):
        return None
    outer = long[0]
    before = kernel.body[: kernel.body.index(outer)]
    buffer = Buffer("partial", outer.element.dtype, outer.extent)
    store = Store(buffer, outer.symbol.size, outer.element)
    blocks = Loop(outer.symbol, outer.extent, LoopKind.PARALLEL, (*outer.body, store))
    first = _kernel(kernel, (*before, blocks), buffer, frozenset((buffer,)))
    element = Value("partial", outer.element.dtype)
    combine = Reduce(
        outer.out, outer.combiner, outer.symbol, outer.extent, (Load(element, buffer, outer.symbol.size),), element
    )
    body = tuple(combine if s is outer else s for s in kernel.body)
    return Partial(first, _kernel(kernel, body, buffer, kernel.writes), buffer)


def _kernel(kernel: Kernel, body: tuple[Statement, ...], extra: Buffer, writes: frozenset[Buffer]) -> Kernel:
    """A kernel with the parameters that the body uses."""
    used = _buffers(body)
    buffers = tuple(b for b in (*kernel.buffers, extra) if b in used)
    return Kernel(kernel.name, buffers, kernel.sizes, body, frozenset(b for b in writes if b in used))


def _buffers(body: tuple[Statement, ...]) -> set[Buffer]:
    found: set[Buffer] = set()
    pending = [body]
    while pending:
        for statement in pending.pop():
            if isinstance(statement, Load | Store):
                found.add(statement.buffer)
            pending.extend(nested_bodies(statement))
    return found
