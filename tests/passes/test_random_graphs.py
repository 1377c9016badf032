"""Every pass on random graphs: valid graphs, the same values, and nothing left to do on a second run."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphc.ir.fingerprint import fingerprint
from graphc.ir.graph import Graph
from graphc.ir.interpret import evaluate_graph
from graphc.ir.verify import verify
from graphc.passes.instrument import Compare, Verify, random_arguments
from graphc.passes.pipeline import parse_pipeline
from tests.random_graphs import graphs, random_graph

STRICT = ("cse", "dce", "simplify", "fold")


def same_bits(a: npt.NDArray[np.generic], b: npt.NDArray[np.generic]) -> bool:
    """Equal elements; nan equals nan, but zeros of different sign differ."""
    equal = (a == b) & (np.signbit(a) == np.signbit(b)) if a.dtype.kind == "f" else a == b
    return bool(np.all(equal | ((a != a) & (b != b))))


def arguments_with_special_values(graph: Graph, seed: int) -> tuple[npt.NDArray[np.generic], ...]:
    arrays = random_arguments(graph, seed)
    special = np.random.default_rng(seed)
    for array in arrays:
        if array.dtype.kind == "f" and array.size:
            where = special.random(array.shape) < 0.2
            array[where] = special.choice([0.0, -0.0, np.inf, -np.inf, np.nan, 1.0], int(where.sum()))
    return arrays


@pytest.mark.parametrize("symbolic", [False, True])
@given(data=st.data(), seed=st.integers(0, 1000))
@settings(max_examples=60, deadline=None)
def test_strict_passes_keep_every_bit(symbolic: bool, data: st.DataObject, seed: int) -> None:
    graph = data.draw(graphs(25, symbolic=symbolic, empty=True))
    arrays = arguments_with_special_values(graph, seed)
    expected = evaluate_graph(graph, arrays)
    for name in STRICT:
        step = parse_pipeline(name)
        result = step.run(graph, (Verify(),))
        found = evaluate_graph(result, arrays)
        assert all(same_bits(a, b) for a, b in zip(expected, found)), name
        assert step.run(result) is result, f"{name} finds more to do on its own result"


@given(graph=graphs(25, smooth=True), seed=st.integers(0, 1000))
@settings(max_examples=40, deadline=None)
def test_fast_numerics_keep_values_up_to_rounding(graph: Graph, seed: int) -> None:
    pipeline = parse_pipeline("simplify{numerics=fast},fold{numerics=fast},cse,simplify{numerics=fast}")
    arrays = random_arguments(graph, seed)
    pipeline.run(graph, (Verify(), Compare(arrays, tolerance=1e-4)))


def test_the_generator_gives_the_same_graph_for_the_same_seed_and_valid_ones_for_any() -> None:
    for seed in range(20):
        graph = random_graph(seed, nodes=40, symbolic=seed % 2 == 0, empty=True)
        verify(graph)
        assert fingerprint(graph) == fingerprint(random_graph(seed, nodes=40, symbolic=seed % 2 == 0, empty=True))
