"""How many launches a compiled training step is on a GPU, with joint kernels and without, and what memory it takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

import graphc
from graphc.frontend import stages
from graphc.ir.graph import Graph
from tests.benchmarks.training import transformer
from tests.gpu.harness import gpu_program, schedule_graph


def test_a_training_step_is_half_the_launches_in_the_same_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[tuple[Graph, Mapping[int, int]]] = []
    build = stages.build

    def recorded(graph: Graph, **options: Any) -> Any:
        found.append((graph, options.get("donated") or {}))
        return build(graph, **options)

    monkeypatch.setattr(stages, "build", recorded)
    graphc.manual_seed(0)
    step, arguments = transformer(graphc, True)
    run: Any = graphc.compile(step)
    for _ in range(3):  # the first step makes the optimizer's states
        run(*arguments)
    graph, donated = max(found, key=lambda entry: len(entry[0].nodes))
    program, alone = gpu_program(graph, donated=donated), schedule_graph(graph, donated=donated).program
    assert len(donated) > 100
    assert dict(program.in_place) == donated
    assert 2 * len(program.launches) < len(alone.launches), (len(program.launches), len(alone.launches))
    assert isinstance(alone.peak_bytes, int)
    assert program.peak_bytes <= alone.peak_bytes
