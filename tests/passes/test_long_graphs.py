"""Graphs of ten thousand nodes go through every pass: no recursion, and work in proportion."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator

import pytest

from graphc.ir.dtype import f32
from graphc.ir.graph import Graph, make_input
from graphc.ir.replace import inline
from graphc.ir.type import TensorType
from graphc.ops import build
from graphc.ops import elementwise as ew
from graphc.ops import movement as mv
from graphc.ops import reduction as rd
from graphc.passes.autodiff import differentiate
from graphc.passes.partition import partition
from graphc.passes.pipeline import parse_pipeline
from graphc.passes.rewrite import Rewriter, inline_fused

PASSES = ("cse", "dce", "simplify", "simplify{numerics=fast}", "fold", "fold{numerics=fast}", "decompose")


@pytest.fixture(autouse=True)
def little_stack() -> Iterator[None]:
    """Room for a few hundred frames: whatever recurses over ten thousand nodes fails."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack(0)) + 200)
    yield
    sys.setrecursionlimit(limit)


def varied(length: int) -> Graph:
    """A chain of many ops, with shared constants, double views, and a value used all along."""
    x, y = (make_input(name, TensorType((4, 4), f32)) for name in "xy")
    node = x
    for i in range(length // 5):
        node = mv.permute(ew.sin(node), axes=(1, 0))
        node = mv.permute(ew.add(node, y), axes=(1, 0)) if i % 2 else ew.mul(node, build.full_like(y, 1.0))
        node = ew.sub(node, build.full_like(node, float(i % 3)))
    return Graph("varied", (x, y), (rd.sum_(node, axes=(0, 1)),))


def negations(length: int) -> Graph:
    """Nothing is left of it."""
    x = make_input("x", TensorType((4,), f32))
    node = x
    for _ in range(length):
        node = ew.neg(node)
    return Graph("negations", (x,), (node,))


def constants(length: int) -> Graph:
    """One constant is left of it."""
    x = make_input("x", TensorType((4,), f32))
    node = build.full_like(x, 1.0)
    for _ in range(length):
        node = ew.add(ew.mul(node, build.full_like(x, 0.5)), node)
    return Graph("constants", (x,), (ew.add(node, x),))


def copies(length: int) -> Graph:
    """The same value many times over, added up."""
    x = make_input("x", TensorType((4,), f32))
    node = x
    for _ in range(length // 2):
        node = ew.add(node, ew.exp(x))
    return Graph("copies", (x,), (node,))


def visits(run: Callable[[Graph], object], graph: Graph, monkeypatch: pytest.MonkeyPatch) -> int:
    """How many nodes the rewrites in `run` look at."""
    count = 0
    apply = Rewriter._apply

    def counting(self: Rewriter, node: object) -> object:
        nonlocal count
        count += 1
        return apply(self, node)  # type: ignore[arg-type]  # handed on

    with monkeypatch.context() as patch:
        patch.setattr(Rewriter, "_apply", counting)
        run(graph)
    return count


@pytest.mark.parametrize("make", [varied, negations, constants, copies])
@pytest.mark.parametrize("name", PASSES)
def test_each_pass_looks_at_a_bounded_number_of_nodes(
    name: str, make: Callable[[int], Graph], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = parse_pipeline(name).run
    small, large = make(1_000), make(10_000)
    assert len(large.nodes) > 5_000
    at_small, at_large = (visits(run, graph, monkeypatch) for graph in (small, large))
    assert at_large <= 3 * len(large.nodes)
    assert at_large <= 10.5 * at_small


@pytest.mark.parametrize("make", [varied, copies])
def test_gradients_of_any_order_and_their_partition_stay_in_proportion(make: Callable[[int], Graph]) -> None:
    def sizes(length: int) -> list[int]:
        graph = make(length)
        first = differentiate(graph)
        gradient = first.outputs[-1]
        second = differentiate(Graph("second", first.inputs, (gradient,)))
        cut = partition(first, len(graph.inputs), 1)
        return [len(each.nodes) for each in (first, second, cut.forward, cut.backward)]

    for small, large in zip(sizes(500), sizes(5_000)):
        assert large <= 10.5 * small


def test_long_graphs_are_inlined() -> None:
    graph = varied(10_000)
    assert inline_fused(graph) is graph
    assert inline(graph, graph.inputs) == graph.outputs
    others = tuple(make_input(name, TensorType((4, 4), f32)) for name in "ab")
    (total,) = inline(graph, others)
    assert len(Graph("called", others, (total,)).nodes) == len(graph.nodes)
