"""Nodes with a gradient of their own, and barriers: types, values, text, gradients of any order."""

from __future__ import annotations

import numpy as np
import pytest

from graphc.ir.errors import ArgumentError
from graphc.ir.fingerprint import fingerprint
from graphc.ir.graph import Graph, Node, make_input
from graphc.ir.interpret import evaluate_graph
from graphc.ir.parse import parse_graph
from graphc.ir.spec import parse_spec
from graphc.ir.text import print_graph
from graphc.ir.verify import verify
from graphc.ops import control
from graphc.ops import elementwise as ew
from graphc.passes.autodiff import differentiate
from graphc.passes.default import default_pipeline

Nodes = tuple[Node, ...]
X = np.array([0.5, -1.0])


def tripled(cts: Nodes, results: Nodes, operands: Nodes) -> Nodes:
    """Three times the gradient of exp, from its result."""
    return (ew.mul(cts[0], ew.add(results[0], ew.add(results[0], results[0]))),)


def one_result() -> Graph:
    x = make_input("x", parse_spec("f64[n]"))
    return Graph("f", (x,), control.with_gradient((ew.exp(x),), (x,), tripled))


def two_results() -> Graph:
    """exp and sin, of which the first has ten times its gradient; then sin(exp(x)) + sin(x)."""

    def rule(cts: Nodes, results: Nodes, operands: Nodes) -> Nodes:
        ten = ew.mul(cts[0], results[0])
        return (ew.add(ew.mul(ten, ew.exp2(ew.exp2(ew.sub(cts[0], cts[0])))), ew.mul(cts[1], ew.cos(operands[0]))),)

    x = make_input("x", parse_spec("f64[n]"))
    a, b = control.with_gradient((ew.exp(x), ew.sin(x)), (x,), rule)
    return Graph("f", (x,), (ew.add(ew.sin(a), b),))


GRAPHS = {"one result": one_result, "two results": two_results}


@pytest.mark.parametrize("name", GRAPHS)
def test_text_parses_back_and_the_fingerprint_knows_the_gradient(name: str) -> None:
    graph = GRAPHS[name]()
    verify(graph)
    again = parse_graph(print_graph(graph))
    assert print_graph(again, locations=False) == print_graph(graph, locations=False)
    assert fingerprint(again) == fingerprint(graph)
    assert fingerprint(parse_graph(print_graph(graph).replace("mul", "sub"))) != fingerprint(graph)


def test_the_gradient_is_the_given_one_to_any_order() -> None:
    joint = differentiate(one_result())
    verify(joint)
    y, first = evaluate_graph(joint, (X, np.ones(2)))
    np.testing.assert_array_equal(y, np.exp(X))
    np.testing.assert_allclose(first, 3 * np.exp(X))
    second = differentiate(Graph("g", joint.inputs, joint.outputs[1:]), (0,))
    np.testing.assert_allclose(evaluate_graph(second, (X, np.ones(2), np.ones(2)))[1], 9 * np.exp(X))


def test_cotangents_of_several_results_arrive_together() -> None:
    joint = differentiate(two_results())
    verify(joint)
    _, found = evaluate_graph(joint, (X, np.ones(2)))
    np.testing.assert_allclose(found, 2 * np.cos(np.exp(X)) * np.exp(X) + np.cos(X))
    native = joint.compile()(X, np.ones(2))
    assert isinstance(native, tuple)
    np.testing.assert_allclose(native[1], found)


def test_a_result_that_nothing_uses_has_a_cotangent_of_zeros() -> None:
    graph = two_results()
    total = graph.outputs[0]
    (_, second) = total.inputs
    _, found = evaluate_graph(differentiate(Graph("g", graph.inputs, (second,))), (X, np.ones(2)))
    np.testing.assert_allclose(found, np.cos(X))


def test_no_gradient_goes_around_the_node() -> None:
    x = make_input("x", parse_spec("f64[n]"))
    (y,) = control.with_gradient((ew.exp(x),), (x,), lambda cts, results, operands: (None,))
    _, found = evaluate_graph(differentiate(Graph("f", (x,), (ew.add(y, x),))), (X, np.ones(2)))
    np.testing.assert_array_equal(found, np.ones(2))


def test_inputs_around_that_the_rule_reads_become_operands() -> None:
    x, w = make_input("x", parse_spec("f64[n]")), make_input("w", parse_spec("f64[n]"))
    (y,) = control.with_gradient((ew.exp(x),), (x,), lambda cts, results, operands: (ew.mul(cts[0], ew.neg(w)),))
    graph = Graph("f", (x, w), (ew.mul(y, w),))
    verify(graph)
    _, by_x, by_w = evaluate_graph(differentiate(graph), (X, 2 * X, np.ones(2)))
    np.testing.assert_allclose(by_x, -((2 * X) ** 2))
    np.testing.assert_allclose(by_w, np.exp(X))


def test_kernels_know_nothing_of_it() -> None:
    graph = default_pipeline().run(differentiate(one_result()))
    assert [node.op.name for node in graph.nodes if node.op.name not in ("input", "get")] == ["fused"]
    assert "custom_vjp" not in print_graph(graph)
    bare = parse_graph(
        "graph f(%x: f64[n]) { %0 = exp(%x) %1 = custom_vjp(%0, %x) {results=1, wrt=(), backward=graph b("
        "%c: f64[n], %y: f64[n], %x: f64[n]) { return }} return %1 }"
    )
    np.testing.assert_allclose(bare.compile(passes="fuse")(X), np.exp(X))


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ("results=3, wrt=(0)", "custom_vjp: 3 results of 2 operands"),
        ("results=1, wrt=(1)", r"custom_vjp: wrt=\(1,\) of 1 operands"),
        ("results=1, wrt=()", r"custom_vjp: the backward graph gives \(f64\[2\]\) for operands \(\)"),
        ("results=2, wrt=()", r"custom_vjp: the backward graph takes \(f64\[2\], f64\[2\], f64\[2\]\), not \("),
    ],
)
def test_bodies_that_do_not_fit_are_refused(attributes: str, message: str) -> None:
    text = (
        "graph f(%x: f64[2]) { %0 = exp(%x) %1 = custom_vjp(%0, %x) {"
        + attributes
        + ", backward=graph b(%c: f64[2], %y: f64[2], %x: f64[2]) { return %c }} return %x }"
    )
    with pytest.raises(Exception, match=message):
        parse_graph(text)
    x = make_input("x", parse_spec("f64[2]"))
    with pytest.raises(ArgumentError):
        control.custom_vjp(x, results=2, wrt=(), backward=Graph("b", (), ()))


def test_a_barrier_keeps_what_is_behind_it_from_being_merged() -> None:
    graph = parse_graph(
        "graph f(%x: f64[n], %after: f64[]) { %0 = sin(%x) %1 = barrier(%x, %after) %2 = sin(%1) %3 = mul(%0, %2) "
        "return %3 }"
    )
    verify(graph)
    sines = [node for node in default_pipeline().run(graph).nodes[-1].attribute("body") if node.op is ew.sin]  # type: ignore[union-attr]  # a fused node holds a graph
    assert len(sines) == 2
    np.testing.assert_allclose(graph.compile()(X, np.array(1.0)), np.sin(X) ** 2)
    _, by_x, by_after = evaluate_graph(differentiate(graph), (X, np.array(1.0), np.ones(2)))
    np.testing.assert_allclose(by_x, 2 * np.sin(X) * np.cos(X))
    assert by_after == 0
