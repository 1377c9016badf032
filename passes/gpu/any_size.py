"""The code of a kernel over elements for any number of them, so that kernels of tensors of all sizes have one code.

In: the call of a kernel that is yet to be scheduled. Out: the same with the number of its elements as a size, and what
that size is. A number that 16 divides stays one, so that accesses stay as wide.

    parallel i < 48 { y[i] = f(x[i]) }    becomes    size many; parallel i < 16*many + 16 { y[i] = f(x[i]) }, many = 2
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from graphc.ir.dim import Symbol
from graphc.kernel.ir import Buffer, Kernel, LoopKind, nested_bodies
from graphc.passes.gpu.build import find_nest
from graphc.passes.gpu.elementwise import LARGE
from graphc.passes.gpu.writer import Copier, Names, Writer
from graphc.passes.lower import KernelCall

RUN: Final = 16
"""Elements of the longest run that a thread takes at once."""
MOST: Final = 1 << 30
"""Elements of a kernel for any size: indices fit 32 bits."""


def for_any_size(call: KernelCall) -> tuple[KernelCall, Symbol, int] | None:
    """The call of a kernel for any number of elements, its size and the value; None for a kernel of another kind."""
    kernel = call.kernel
    nest = find_nest(kernel)
    if nest is None or len(nest.loops) != 1 or not isinstance(nest.count, int) or not 1 < nest.count < MOST:
        return None
    (loop,) = nest.loops
    if any(nested_bodies(s) for s in loop.body):
        return None
    run = RUN if nest.count % RUN == 0 else 1
    limit = LARGE if nest.count < LARGE else MOST  # large ones are scheduled in another way
    size = Names(kernel).symbol("many", limit // run - 2)
    extent = run * size.size + run
    copier = Copier(Writer(Names(kernel)))
    copier.buffers = {b: Buffer(b.name, b.dtype, extent) for b in kernel.buffers if b.size == nest.count}
    copier.copy(nest.hoisted)
    with copier.writer.loop(loop.symbol.name, extent, LoopKind.PARALLEL) as position:
        copier.sizes[loop.symbol.name] = position
        copier.copy(loop.body)
    changed = Kernel(
        kernel.name,
        tuple(map(copier.buffer, kernel.buffers)),
        (*kernel.sizes, size),
        tuple(copier.writer.statements),
        frozenset(map(copier.buffer, kernel.writes)),
    )
    return replace(call, kernel=changed), size, nest.count // run - 1
