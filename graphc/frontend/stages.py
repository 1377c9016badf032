"""The stages of a compilation in order: graph through the passes, kernels, program.

In: a graph. Out: the fused graph, and from it the program that code is generated for. This module pulls in all passes;
it is imported at the first compilation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from graphc.ir.graph import Graph
from graphc.kernel.ir import Kernel
from graphc.kernel.program import Program
from graphc.passes.default import default_pipeline, with_fusion
from graphc.passes.instrument import instruments_from_settings
from graphc.passes.lower import lower
from graphc.passes.memory import plan_memory
from graphc.passes.pipeline import Instrument, Pipeline, parse_pipeline
from graphc.passes.schedule import schedule


def pipeline_of(numerics: Literal["strict", "fast"], passes: str | None) -> Pipeline:
    """The passes that a graph goes through; raises ParseError for a text that is no pipeline."""
    return with_fusion(default_pipeline(numerics) if passes is None else parse_pipeline(passes))


def optimize(
    graph: Graph, *, numerics: Literal["strict", "fast"], passes: str | None, instruments: Sequence[Instrument]
) -> Graph:
    """The graph after its passes."""
    return pipeline_of(numerics, passes).run(graph, instruments=(*instruments_from_settings(), *instruments))


def make_program(fused: Graph) -> Program:
    """The program of a fused graph: kernels lowered, scheduled, and given their memory."""
    lowered = lower(fused)
    scheduled: dict[Kernel, Kernel] = {call.kernel: schedule(call.kernel) for call in lowered.calls}
    calls = tuple(replace(call, kernel=scheduled[call.kernel]) for call in lowered.calls)
    return plan_memory(replace(lowered, calls=calls))
