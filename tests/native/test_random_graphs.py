"""Random graphs: native code against the interpreter, and the same bits however it was made and run."""

from collections.abc import Iterator

import numpy as np
import pytest

from graphc.frontend.executable import Executable
from graphc.ir.graph import Graph
from graphc.ir.interpret import evaluate_graph
from graphc.passes.instrument import random_arguments
from graphc.runtime import cache
from graphc.runtime.threads import get_num_threads, set_num_threads
from tests.random_graphs import random_graph

SEEDS = range(24)


@pytest.fixture
def threads() -> Iterator[None]:
    before = get_num_threads()
    yield
    set_num_threads(before)


def run(graph: Graph, arrays: list[np.ndarray], passes: str | None = None) -> list[np.ndarray]:
    result = Executable.build(graph, passes=passes)(*arrays)
    return [result] if isinstance(result, np.ndarray) else list(result)


def same_bits(a: list[np.ndarray], b: list[np.ndarray]) -> bool:
    """Equal to the bit; any nan counts as any other."""
    return all(np.array_equal(x, y, equal_nan=x.dtype.kind in "fc") and _signs(x, y) for x, y in zip(a, b, strict=True))


def _signs(x: np.ndarray, y: np.ndarray) -> bool:
    if x.dtype.kind != "f":
        return True
    is_zero = x == 0
    return bool((np.signbit(x[is_zero]) == np.signbit(y[is_zero])).all())


@pytest.mark.parametrize("seed", SEEDS)
def test_native_agrees_with_the_interpreter(seed: int) -> None:
    graph = random_graph(seed, nodes=25, smooth=True, symbolic=seed % 2 == 0)
    arrays = random_arguments(graph, seed=seed)
    for actual, expected in zip(run(graph, arrays), evaluate_graph(graph, arrays), strict=True):
        tolerance = 1e-4 if expected.dtype == np.float32 else 1e-9
        scale = np.max(np.abs(expected), initial=1)
        np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=tolerance * scale)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("passes", ["", "fuse{limit=1}", "simplify", "cse,dce", "fold"])
def test_passes_keep_every_bit(seed: int, passes: str) -> None:
    graph = random_graph(seed, nodes=20, symbolic=seed % 2 == 0)
    arrays = random_arguments(graph, seed=seed)
    assert same_bits(run(graph, arrays), run(graph, arrays, passes))


@pytest.mark.parametrize("seed", SEEDS[:6])
def test_threads_and_caches_keep_every_bit(seed: int, threads: None) -> None:
    graph = random_graph(seed, nodes=20)
    arrays = random_arguments(graph, seed=seed)
    set_num_threads(1)
    single = run(graph, arrays)
    set_num_threads(2)
    assert same_bits(single, run(graph, arrays))
    cache.forget()
    before = cache.stats()
    assert same_bits(single, run(graph, arrays))
    assert cache.stats().compiles == before.compiles, "the disk holds every kernel"
