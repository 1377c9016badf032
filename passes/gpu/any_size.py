"""The code of a kernel over elements for any number of them, so that kernels of tensors of all sizes have one code.

In: the call of a kernel that is yet to be scheduled. Out: the same with the number of its elements as a size, of a part
of something also where it is written to, and what these sizes are. A number that 16 divides stays one, so that accesses
stay as wide.

    parallel i < 48 { y[i] = f(x[i]) }    becomes    size many; parallel i < 16*many + 16 { y[i] = f(x[i]) }, many = 2
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from graphc.ir.dim import Symbol, linear
from graphc.kernel.ir import Buffer, Kernel, Loop, LoopKind, Store, nested_bodies
from graphc.passes.gpu.build import find_nest
from graphc.passes.gpu.elementwise import LARGE
from graphc.passes.gpu.writer import Copier, Names, Writer
from graphc.passes.lower import KernelCall

RUN: Final = 16
"""Elements of the longest run that a thread takes at once."""
MOST: Final = 1 << 30
"""Elements of a kernel for any size: indices fit 32 bits."""


def for_any_size(call: KernelCall) -> tuple[KernelCall, tuple[Symbol, ...], tuple[int, ...]] | None:
    """The call of a kernel for any number of elements, its sizes and their values; None for one of another kind."""
    kernel = call.kernel
    nest = find_nest(kernel)
    if nest is None or len(nest.loops) != 1 or not isinstance(nest.count, int) or not 1 < nest.count < MOST:
        return None
    (loop,) = nest.loops
    if any(nested_bodies(s) for s in loop.body):
        return None
    run = RUN if nest.count % RUN == 0 else 1
    limit = LARGE if nest.count < LARGE else MOST  # large ones are scheduled in another way
    names = Names(kernel)
    size = names.symbol("many", limit // run - 2)
    extent = run * size.size + run
    copier = Copier(Writer(names))
    copier.buffers = {b: Buffer(b.name, b.dtype, extent) for b in kernel.buffers if b.size == nest.count}
    copier.copy(nest.hoisted)
    with copier.writer.loop(loop.symbol.name, extent, LoopKind.PARALLEL) as position:
        copier.sizes[loop.symbol.name] = position
        copier.copy(loop.body)
        start = _start(loop) if call.is_part else None
        sizes, values = [size], [nest.count // run - 1]
        if start is not None:
            own = RUN if start % RUN == 0 else 1
            sizes.append(names.symbol("start", MOST // own))
            values.append(start // own)
            copier.writer.statements[:] = [
                replace(s, index=s.index - start + own * sizes[1].size) if isinstance(s, Store) else s
                for s in copier.writer.statements
            ]
    changed = Kernel(
        kernel.name,
        tuple(map(copier.buffer, kernel.buffers)),
        (*kernel.sizes, *sizes),
        tuple(copier.writer.statements),
        frozenset(map(copier.buffer, kernel.writes)),
    )
    return replace(call, kernel=changed), tuple(sizes), tuple(values)


def _start(loop: Loop) -> int | None:
    """Where the elements are written to: the place of the first one, if they follow each other."""
    found = {linear(s.index, loop.symbol.name) for s in loop.body if isinstance(s, Store)}
    start, stride = (found.pop() if found else None) or (None, None)
    return start if not found and stride == 1 and isinstance(start, int) and start < MOST else None
