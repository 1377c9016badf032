"""Several nests over elements in one kernel for a GPU.

In: a kernel that does several things of which none needs another one's results, such as the parts of a `concat`, each
in loops of its own. Out: one grid, the blocks of the first nest in front of those of the second, and so on.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from graphc.ir.dim import Size, quotient
from graphc.kernel.gpu import GpuTarget
from graphc.kernel.ir import Buffer, Load, Loop, LoopKind, Statement, statements_in
from graphc.passes.gpu.build import Nest, finish, is_uniform, nest_of
from graphc.passes.gpu.elementwise import is_short
from graphc.passes.gpu.writer import Copier, Names, Writer
from graphc.passes.lower import KernelCall

THREADS: Final = 256


def schedule_parts(call: KernelCall, target: GpuTarget) -> tuple[KernelCall, ...] | None:
    """A kernel of several nests over elements, beside scalar code; None for another one."""
    nests = _nests(call)
    if not all(is_short(s) for nest in nests for code in nest.between for s in code) or not nests:
        return None
    writer = Writer(Names(call.kernel), list(nests[0].hoisted))
    ends: list[Size] = [0]
    for nest in nests:
        ends.append(ends[-1] + quotient(nest.count + (THREADS - 1), THREADS))
    with (
        writer.loop("b", ends[-1], LoopKind.BLOCK) as block,
        writer.loop("t", THREADS, LoopKind.THREAD) as thread,
    ):
        for nest, start, end in zip(nests, ends, ends[1:]):
            is_behind = writer.apply("ge", writer.position(block), writer.position(start))
            with writer.when(writer.both(is_behind, writer.is_below(block, end))):
                position = (block - start) * THREADS + thread
                with writer.when(writer.is_below(position, nest.count)):
                    nest.write_at(Copier(writer), position)
    return (finish(call, tuple(writer.statements)),)


def _nests(call: KernelCall) -> list[Nest]:
    """The nests of a kernel that is made of several, none of which reads what it writes; none of another one."""
    kernel = call.kernel
    loops = [s for s in kernel.body if isinstance(s, Loop) and s.kind is LoopKind.PARALLEL]
    hoisted = tuple(s for s in kernel.body if s not in loops)
    if len(loops) < 2 or not all(is_uniform(s, kernel) for s in hoisted) or _reads_any(loops, kernel.writes):
        return []
    return [nest_of(hoisted, loop, kernel) for loop in loops]


def _reads_any(body: Iterable[Statement], buffers: frozenset[Buffer]) -> bool:
    return any(isinstance(s, Load) and s.buffer in buffers for s in statements_in(body))
