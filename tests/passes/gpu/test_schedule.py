"""Graphs of many shapes on a GPU: kernels that are valid and, but where an order is the GPU's own, the CPU's bits."""

from __future__ import annotations

import pytest

import graphc as g
from graphc.ir.dtype import bf16, f16
from graphc.ir.graph import Graph
from graphc.kernel.gpu import grid_of
from graphc.kernel.interpret import run_program
from tests.gpu.harness import assert_same_bits, cpu_program, gpu_program, schedule_graph
from tests.structured_graphs import structured_arguments, structured_graph


def has_own_order(graph: Graph) -> bool:
    """Whether it has scans, which are summed in chunks, or products on tensor cores."""
    return any(
        node.op.name in ("cumsum", "recurrence", "logcumsumexp")
        or (node.op.name == "dot" and node.tensor.dtype in (bf16, f16))
        for node in graph.nodes
    )


@pytest.mark.parametrize("seed", range(100, 160))
def test_random_graphs_keep_every_bit(seed: int) -> None:
    graph = structured_graph(seed, nodes=12, symbolic=seed % 3 == 0)
    program = gpu_program(graph)
    arrays = structured_arguments(graph, seed=seed)
    found, expected = run_program(program, arrays), run_program(cpu_program(graph), arrays)
    if not has_own_order(graph):
        assert_same_bits(found, expected)
    for a, b in zip(found, expected, strict=True):
        assert (a.dtype, a.shape) == (b.dtype, b.shape)


def test_calls_of_the_host_stay_what_they_are() -> None:
    graph = g.symbolic_trace(lambda x: g.linalg.eigvals(x) * 2, "f32[4,4]")
    policies = schedule_graph(graph).policies
    assert list(policies.values()) == ["as it is", "elementwise"]
    assert [grid_of(kernel) is None for kernel in policies] == [True, False]
