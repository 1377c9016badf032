"""Cutting a joint graph: the same values, few saved bytes, any budget."""

from __future__ import annotations

from typing import get_args

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphc.ir.dim import symbol
from graphc.ir.dtype import f32, f64
from graphc.ir.errors import ArgumentError
from graphc.ir.graph import Graph, Node, make_input
from graphc.ir.interpret import evaluate_graph
from graphc.ir.location import Location, using
from graphc.ir.type import Shape, TensorType
from graphc.ir.verify import verify
from graphc.ops import build
from graphc.ops import contraction as ct
from graphc.ops import elementwise as ew
from graphc.ops import movement as mv
from graphc.ops import reduction as rd
from graphc.passes import partition as module
from graphc.passes.autodiff import differentiate
from graphc.passes.instrument import random_arguments
from graphc.passes.partition import Partition, Recompute, partition
from graphc.passes.rewrite import rewrite
from tests.random_graphs import graphs

Arrays = tuple[npt.NDArray[np.generic], ...]


def joint_of(graph: Graph) -> Graph:
    return rewrite(differentiate(graph))


def cut(graph: Graph, recompute: Recompute = "cheap", max_saved_bytes: int | None = None) -> Partition:
    joint = joint_of(graph)
    found = partition(
        joint, len(graph.inputs), len(graph.outputs), recompute=recompute, max_saved_bytes=max_saved_bytes
    )
    assert_parts_compose(joint, found, len(graph.inputs), len(graph.outputs))
    return found


def assert_parts_compose(joint: Graph, found: Partition, arguments: int, results: int) -> None:
    verify(found.forward)
    verify(found.backward)
    arrays = random_arguments(joint, 3)
    expected = evaluate_graph(joint, arrays)
    forward = evaluate_graph(found.forward, arrays[:arguments])
    saved = [arrays[s.index] if s.source == "argument" else forward[s.index] for s in found.saved]
    backward = evaluate_graph(found.backward, (*saved, *arrays[arguments:]))
    for a, b in zip(expected, forward[:results] + backward):
        np.testing.assert_array_equal(a, b)
    if not joint.sizes:
        added = [forward[s.index].nbytes for s in found.saved if s.source == "output" and s.index >= results]
        assert found.saved_bytes == sum(added)


def saved_ops(found: Partition) -> list[str]:
    return [each.node.op.name for each in found.saved if each.source == "output"]


def tensor(name: str, *shape: int) -> Node:
    return make_input(name, TensorType(shape, f32))


def dense(x: Node, w: Node) -> Node:
    return ct.dot(x, w, contract=((1,), (0,)))


def relu(x: Node) -> Node:
    zero = build.zeros_like(x)
    return ew.select(ew.gt(x, zero), x, zero)


def network(layers: int) -> Graph:
    x = tensor("x", 8, 16)
    weights = [tensor(f"w{i}", 16, 16) for i in range(layers)]
    value = x
    for w in weights:
        value = ew.tanh(dense(value, w))
    return Graph("network", (x, *weights), (rd.sum_(value, axes=(0, 1)),))


def test_the_mask_of_a_relu_is_saved_rather_than_its_operand() -> None:
    x, w, v = tensor("x", 8, 16), tensor("w", 16, 16), tensor("v", 16, 4)
    found = cut(Graph("f", (x, w, v), (dense(relu(dense(x, w)), v),)))
    # The hidden values are needed for the gradient by v; the mask follows from the dot that gives both.
    assert saved_ops(found) == ["dot"]
    found = cut(Graph("f", (x, w), (rd.sum_(relu(dense(x, w)), axes=(0, 1)),)))
    assert saved_ops(found) == ["gt"]
    assert found.saved_bytes == 8 * 16


def test_results_and_arguments_are_free_to_save() -> None:
    x = tensor("x", 4)
    found = cut(Graph("f", (x,), (ew.exp(x),)))
    assert [(s.source, s.index, s.nbytes) for s in found.saved] == [("output", 0, 0)]
    assert len(found.forward.outputs) == 1
    found = cut(Graph("f", (x,), (ew.mul(ew.mul(x, x), x),)))
    assert {s.source for s in found.saved} == {"argument"}
    assert found.saved_bytes == 0


def test_what_is_cheap_is_computed_twice_and_what_is_not_is_saved() -> None:
    x, w = tensor("x", 8, 16), tensor("w", 16, 16)
    hidden = dense(x, w)
    cheap = ew.mul(ew.add(hidden, hidden), hidden)  # as large as `hidden`, from which it is cheap to compute
    graph = Graph("f", (x, w), (rd.sum_(ew.mul(cheap, ew.mul(cheap, hidden)), axes=(0, 1)),))
    assert saved_ops(cut(graph)) == ["dot"]
    assert len(saved_ops(cut(graph, "none"))) > 1
    assert cut(graph, "none").recomputed == ()
    assert "dot" not in [node.op.name for node in cut(graph).recomputed]


def test_expensive_values_and_contractions_are_computed_twice_only_if_asked() -> None:
    x, w = tensor("x", 8, 16), tensor("w", 16, 16)
    graph = Graph("f", (x, w), (rd.sum_(ew.mul(ew.exp(x), ew.sin(dense(x, w))), axes=(0, 1)),))
    ops = {recompute: {node.op.name for node in cut(graph, recompute).recomputed} for recompute in get_args(Recompute)}
    assert ops["none"] == set()
    assert ops["cheap"].isdisjoint({"exp", "sin", "dot"})
    assert "exp" in ops["expensive"]
    assert "dot" not in ops["expensive"]
    assert "dot" in ops["all"]
    assert cut(graph, "all").saved_bytes == 0


def test_any_budget_is_met_with_more_work_the_smaller_it_is() -> None:
    graph = network(6)
    whole = cut(graph).saved_bytes
    work = -1
    for budget in (whole, whole // 2, whole // 4, 600, 0):
        found = cut(graph, max_saved_bytes=budget)
        assert found.saved_bytes <= budget
        dots = sum(node.op is ct.dot for node in found.recomputed)
        assert dots >= work
        work = dots
    assert found.saved_bytes == 0


def test_large_graphs_are_cut_by_the_rule_of_thumb(monkeypatch: pytest.MonkeyPatch) -> None:
    exact = cut(network(6)).saved_bytes
    monkeypatch.setattr(module, "EXACT_LIMIT", 0)
    assert exact <= cut(network(6)).saved_bytes <= 2 * exact
    assert cut(network(6), max_saved_bytes=1000).saved_bytes <= 1000


def test_a_chain_of_ten_thousand_is_cut() -> None:
    x = tensor("x", 4)
    node = x
    for i in range(5_000):
        node = ew.mul(ew.sin(node) if i % 50 == 0 else ew.add(node, x), x)
    graph = Graph("f", (x,), (node,))
    joint = joint_of(graph)
    assert len(joint.nodes) > 20_000
    found = partition(joint, 1, 1)
    assert found.saved_bytes <= 2 * 100 * 16  # a value or two for each sine
    assert_parts_compose(joint, found, 1, 1)


@given(
    graph=graphs(20, differentiable=True, symbolic=True, scalar=True),
    recompute=st.sampled_from(get_args(Recompute)),
    budget=st.sampled_from([None, 0, 64, 256]),
    is_exact=st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_parts_of_random_graphs_compose(graph: Graph, recompute: Recompute, budget: int | None, is_exact: bool) -> None:
    limit = module.EXACT_LIMIT
    module.EXACT_LIMIT = limit if is_exact else 0
    try:
        found = cut(graph, recompute, budget)
    finally:
        module.EXACT_LIMIT = limit
    if budget is not None:
        assert found.saved_bytes <= budget


def test_a_size_that_saved_values_give_only_as_a_product_comes_with_an_argument() -> None:
    n = symbol("n", 1, 64)
    x = make_input("x", TensorType((n,), f64))
    square = ew.exp(mv.reshape(build.repeat_along(x, (1,), (n, n)), shape=(n * n,)))
    found = cut(Graph("f", (x,), (rd.sum_(square, axes=(0,)),)), "none")
    assert any(node.shape == (n,) for node in found.backward.inputs)


def test_symbolic_sizes_count_as_given() -> None:
    n = symbol("n", 1, 4096)
    shape: Shape = (n, 16)
    x, w = make_input("x", TensorType(shape, f32)), tensor("w", 16, 16)
    graph = Graph("f", (x, w), (rd.sum_(ew.tanh(dense(x, w)), axes=(0, 1)),))
    joint = joint_of(graph)
    assert partition(joint, 2, 1).saved_bytes == 64 * 16 * 4
    assert partition(joint, 2, 1, sizes={"n": 1000}).saved_bytes == 1000 * 16 * 4


def test_the_report_names_what_is_saved_and_where_it_comes_from() -> None:
    x, w = tensor("x", 8, 16), tensor("w", 16, 16)
    with using(Location("model.py", 7)):
        graph = Graph("f", (x, w), (rd.sum_(ew.exp(dense(x, w)), axes=(0, 1)),))
    lines = cut(graph).report().splitlines()
    assert lines[0].startswith("saves 512 bytes in 1 values, computes ")
    assert lines[1] == "         512 bytes  exp : f32[8,16]   # model.py:7"


def test_wrong_arguments_are_refused() -> None:
    graph = network(1)
    with pytest.raises(ArgumentError, match="the budget is -1 bytes"):
        partition(joint_of(graph), 2, 1, max_saved_bytes=-1)
    with pytest.raises(ArgumentError, match="none is left for cotangents"):
        partition(differentiate(graph, seed=True), 2, 1)
