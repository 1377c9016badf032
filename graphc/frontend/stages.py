"""The stages of a compilation in order: graph through the passes, kernels, program.

In: a graph. Out: the fused graph, and from it the program that code is generated for. This module pulls in all passes;
it is imported at the first compilation.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Literal

from graphc.codegen.program import KERNEL
from graphc.ir.graph import Graph
from graphc.ir.settings import settings
from graphc.kernel.gpu import GpuTarget, grid_of
from graphc.kernel.ir import Kernel
from graphc.kernel.program import Program
from graphc.kernel.text import print_kernel, print_program
from graphc.kernel.verify import verify_kernel
from graphc.passes.default import default_pipeline, for_gpu, with_fusion
from graphc.passes.instrument import Dump, instruments_from_settings
from graphc.passes.lower import lower
from graphc.passes.memory import NO_DONATIONS, plan_memory
from graphc.passes.pipeline import Instrument, Pipeline, parse_pipeline
from graphc.passes.schedule import schedule


def pipeline_of(numerics: Literal["strict", "fast"], passes: str | None, target: GpuTarget | None = None) -> Pipeline:
    """The passes that a graph goes through, for the CPU or a GPU; raises ParseError for a text that is no pipeline."""
    found = with_fusion(default_pipeline(numerics) if passes is None else parse_pipeline(passes))
    return found if target is None else for_gpu(found)


def build(
    graph: Graph,
    *,
    numerics: Literal["strict", "fast"],
    passes: str | None,
    instruments: Sequence[Instrument],
    donated: Mapping[int, int] = NO_DONATIONS,
    target: GpuTarget | None = None,
) -> tuple[Graph, Program]:
    """The graph after its passes, and its program, both as `GRAPHC_DUMP` and `GRAPHC_VERIFY` ask for.

    `target` is the GPU that the program is for; None: this machine's CPU.
    """
    chosen = (*instruments_from_settings(), *instruments)
    with paused_collector():
        fused = pipeline_of(numerics, passes, target).run(graph, instruments=chosen)
        program = make_program(fused, donated, target)
    for instrument in chosen:
        if isinstance(instrument, Dump):
            instrument.write("kernel.txt", graph.name, "\n".join(map(print_kernel, program.kernels)))
            instrument.write("program.txt", graph.name, print_program(program))
    return fused, program


@contextmanager
def paused_collector() -> Iterator[None]:
    """Without Python's cyclic collector, which would walk all nodes again and again, and find nothing."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def optimize(
    graph: Graph, *, numerics: Literal["strict", "fast"], passes: str | None, instruments: Sequence[Instrument]
) -> Graph:
    """The graph after its passes."""
    return pipeline_of(numerics, passes).run(graph, instruments=(*instruments_from_settings(), *instruments))


def make_program(fused: Graph, donated: Mapping[int, int] = NO_DONATIONS, target: GpuTarget | None = None) -> Program:
    """The program of a fused graph: kernels lowered, scheduled, and given their memory."""
    if target is None:
        lowered = lower(fused)
        scheduled: dict[Kernel, Kernel] = {call.kernel: schedule(call.kernel) for call in lowered.calls}
        calls = tuple(replace(call, kernel=scheduled[call.kernel]) for call in lowered.calls)
        program = plan_memory(replace(lowered, calls=calls), donated)
    else:
        # Late: most programs are for the CPU, and importing graphc must be quick.
        from graphc.passes.gpu.join import plan_launches

        program = plan_launches(lower(fused, target), target, donated)
    if settings().verify:
        for kernel in program.kernels:
            verify_kernel(kernel, is_scheduled=True)
    return program


def gpu_kernels(program: Program) -> dict[str, Kernel]:
    """The kernels of a program for a GPU by the names that they have in a module of their code."""
    kernels = [kernel for kernel in program.kernels if grid_of(kernel) is not None]
    return {f"{KERNEL}_{i}_{kernel.name}": kernel for i, kernel in enumerate(kernels)}


def ptx_of(program: Program, target: GpuTarget) -> str:
    """The PTX of a program's kernels, in one module."""
    from graphc.codegen.gpu.ptx import emit_ptx  # late, as in make_program

    return emit_ptx(gpu_kernels(program), target)
