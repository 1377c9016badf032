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

from graphc.ir.graph import Graph
from graphc.ir.settings import settings
from graphc.kernel.ir import Kernel
from graphc.kernel.program import Program
from graphc.kernel.text import print_kernel, print_program
from graphc.kernel.verify import verify_kernel
from graphc.passes.default import default_pipeline, with_fusion
from graphc.passes.instrument import Dump, instruments_from_settings
from graphc.passes.lower import lower
from graphc.passes.memory import NO_DONATIONS, plan_memory
from graphc.passes.pipeline import Instrument, Pipeline, parse_pipeline
from graphc.passes.schedule import schedule


def pipeline_of(numerics: Literal["strict", "fast"], passes: str | None) -> Pipeline:
    """The passes that a graph goes through; raises ParseError for a text that is no pipeline."""
    return with_fusion(default_pipeline(numerics) if passes is None else parse_pipeline(passes))


def build(
    graph: Graph,
    *,
    numerics: Literal["strict", "fast"],
    passes: str | None,
    instruments: Sequence[Instrument],
    donated: Mapping[int, int] = NO_DONATIONS,
) -> tuple[Graph, Program]:
    """The graph after its passes, and its program, both as `GRAPHC_DUMP` and `GRAPHC_VERIFY` ask for."""
    chosen = (*instruments_from_settings(), *instruments)
    with paused_collector():
        fused = pipeline_of(numerics, passes).run(graph, instruments=chosen)
        program = make_program(fused, donated)
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


def make_program(fused: Graph, donated: Mapping[int, int] = NO_DONATIONS) -> Program:
    """The program of a fused graph: kernels lowered, scheduled, and given their memory."""
    lowered = lower(fused)
    scheduled: dict[Kernel, Kernel] = {call.kernel: schedule(call.kernel) for call in lowered.calls}
    if settings().verify:
        for kernel in scheduled.values():
            verify_kernel(kernel, is_scheduled=True)
    calls = tuple(replace(call, kernel=scheduled[call.kernel]) for call in lowered.calls)
    return plan_memory(replace(lowered, calls=calls), donated)
