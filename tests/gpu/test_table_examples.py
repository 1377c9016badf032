"""What the examples compile, scheduled for a GPU and run by the kernel interpreter: the bits that a CPU gives."""

from __future__ import annotations

import numpy as np

from graphc.kernel.interpret import run_program
from tests.gpu.harness import assert_same_bits, cpu_program, gpu_program
from tests.gpu.table import EXAMPLES, example_graphs
from tests.structured_graphs import structured_arguments

MOST_NODES = 1000
"""Of a graph that is run: the interpreter takes half a minute for a step of the language model, whose kernels are much
like those of the others."""


def test_every_example_has_graphs() -> None:
    assert {name for name, _ in example_graphs()} == {path.stem for path in EXAMPLES.glob("*.py")}


def test_a_gpu_gives_the_bits_of_a_cpu() -> None:
    # Graphs that differ in sizes and attributes alone are the same layers, wider or narrower.
    graphs = {tuple(node.op for node in graph.nodes): (name, graph) for name, graph in reversed(example_graphs())}
    assert len(graphs) > 50
    for name, graph in graphs.values():
        program = gpu_program(graph)
        if len(graph.nodes) > MOST_NODES:
            continue
        # Integers are places and labels: small ones are within all ranges.
        drawn = structured_arguments(graph, seed=0, sizes=dict.fromkeys((each.name for each in graph.sizes), 3))
        arrays = [np.abs(x) % 2 if x.dtype.kind in "iu" else x for x in drawn]
        try:
            assert_same_bits(run_program(program, arrays), run_program(cpu_program(graph), arrays))
        except AssertionError as error:
            raise AssertionError(f"{name}, {graph.name}: {error}") from error
