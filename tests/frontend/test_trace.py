"""Tracing: specs, names, locations, and tensors that outlive their trace."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

import graphc
from graphc.frontend.scope import TRACING, current_scope
from graphc.ir.errors import ArgumentError, GraphcError, TraceError
from graphc.ir.parse import parse_graph
from graphc.ir.text import print_graph

X = np.ones((2, 3), np.float32)


def test_a_graph_has_the_names_types_and_lines_of_its_function() -> None:
    def loss(params: Any, x: Any, *, scale: int = 2) -> Any:
        hidden = x @ params["w"]
        return {"loss": (hidden * scale).sum(), "hidden": [hidden]}

    graph = graphc.symbolic_trace(loss, {"w": "f32[3,4]"}, "f32[n,3] where n in 1..64")
    assert graph.name == "loss"
    assert [(node.attribute("name"), str(node.type)) for node in graph.inputs] == [
        ("params['w']", "f32[3,4]"),
        ("x", "f32[n,3]"),
    ]
    assert [str(node.type) for node in graph.outputs] == ["f32[]", "f32[n,4]"]
    first = loss.__code__.co_firstlineno
    lines = {node.op.name: node.location.line - first for node in graph.nodes if node.location is not None}
    assert lines["dot"] == 1
    assert lines["sum"] == 2
    assert lines["input"] == 0
    assert print_graph(parse_graph(print_graph(graph))) == print_graph(graph)


def test_specs_are_texts_arrays_and_tensors() -> None:
    p = graphc.placeholder(("n", 3), "float64")
    graph = graphc.symbolic_trace(lambda a, b, c: (a, [b], c), "f32[n,3]", X.astype(">f4"), p)
    assert [str(node.type) for node in graph.inputs] == ["f32[n,3]", "f32[2,3]", "f64[n,3]"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((lambda x: x, "f32[2"), "expected ',' or ']'"),
        ((lambda x: x, "f33[2]"), "f33"),
        ((lambda x: x, "f32[-1]"), "1:5"),
        ((lambda x: x, "f32[n] where n in 3..2"), "3..2"),
        ((lambda x, y: x, "f32[2]"), "missing a required argument: 'y'"),
        ((lambda x: x, "f32[2]", "f32[2]"), "too many positional arguments"),
        (("f32[2]",), "symbolic_trace: a str is no function"),
        ((lambda x: x, np.array(["a"])), "is no dtype graphc computes with"),
        ((lambda x: x + y_of_nowhere, "f32[2]"), "y_of_nowhere"),  # noqa: F821
    ],
)
def test_what_cannot_be_traced(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(Exception) as info:  # which error it is, is in the message
        graphc.symbolic_trace(*arguments)
    assert message in str(info.value)
    if isinstance(info.value, GraphcError):
        assert info.value.location is not None
        assert info.value.location.file == __file__
    assert current_scope() is None


def test_a_trace_that_fails_is_over() -> None:
    def outer(x: Any) -> Any:
        with pytest.raises(ZeroDivisionError):
            graphc.grad(lambda y: y / (1 // 0))(x)
        return x * 2

    np.testing.assert_array_equal(graphc.compile(outer)(X), X * 2)
    assert current_scope() is None
    assert TRACING == []


# Tensors of elsewhere


def test_a_tensor_that_outlives_its_trace_is_named_where_it_is_used() -> None:
    kept: list[Any] = []

    def keep(x: Any) -> Any:
        kept.append(x * 2)
        return x

    graphc.compile(keep)(X)
    made = keep.__code__.co_firstlineno + 1
    users = {
        "in another trace": lambda: graphc.compile(lambda y: y + kept[0])(X),
        "as an argument": lambda: graphc.compile(lambda y: y)(kept[0]),
        "in a container": lambda: graphc.compile(lambda y: graphc.cat([y, kept[0]]))(X),
        "returned": lambda: graphc.compile(lambda y: kept[0])(X),
        "after it": lambda: kept[0] + 1,
        "in numpy": lambda: X + kept[0],
        "in a function of symbols": lambda: graphc.function([graphc.placeholder((2,))], kept[0]),
        "in a gradient": lambda: graphc.gradients(kept[0], []),
    }
    for use in users.values():
        with pytest.raises(
            TraceError, match=r"a f32\[2,3\] is used after the call of keep in which it was made"
        ) as info:
            use()
        assert f"{__file__}:{made} in keep: kept.append(x * 2)" in info.value.message
        assert info.value.location is not None
        assert info.value.location.file == __file__
        assert info.value.location.line != made
        assert "return it from the function" in str(info.value)
    assert "f32[2,3]" in repr(kept[0])
    assert kept[0].shape == (2, 3)


def test_a_tensor_that_outlives_a_gradient() -> None:
    kept: list[Any] = []

    def loss(x: Any) -> Any:
        kept.append(x * 2)
        return x.sum()

    def f(x: Any) -> Any:
        return graphc.grad(loss)(x) + kept[-1]

    with pytest.raises(TraceError, match="used after the call of loss in which it was made"):
        graphc.compile(f)(X)


def test_a_placeholder_is_no_part_of_a_traced_function() -> None:
    p = graphc.placeholder((2, 3), name="p")
    with pytest.raises(TraceError, match=r"f uses p : f32\[2,3\], which is no argument of it; it was made at") as info:
        graphc.compile(_named_f(p))(X)
    assert "p = graphc.placeholder" in info.value.message
    assert info.value.location is not None
    assert "return x + p" in str(info.value)
    with pytest.raises(ArgumentError, match="a function is being traced, whose arguments are its placeholders"):
        graphc.compile(lambda x: graphc.placeholder((2,)))(X)


def _named_f(p: Any) -> Any:
    def f(x: Any) -> Any:
        return x + p

    return f


def test_a_tensor_of_another_thread_is_no_part_of_a_trace() -> None:
    seen: list[Any] = []
    go_on, done = threading.Event(), threading.Event()

    def borrows(x: Any) -> Any:
        return x + seen[0]

    def lends(x: Any) -> Any:
        seen.append(x * 3)
        done.set()
        assert go_on.wait(30)
        return x

    thread = threading.Thread(target=lambda: graphc.compile(lends)(X))
    thread.start()
    assert done.wait(30)
    try:
        with pytest.raises(TraceError, match=r"borrows uses x : f32\[2,3\], which is no argument of it"):
            graphc.compile(borrows)(X)
    finally:
        go_on.set()
        thread.join()


def test_traces_inside_traces_do_not_mix() -> None:
    def f(x: Any) -> Any:
        inner = graphc.symbolic_trace(lambda y: y * 2, "f32[2,3]")
        assert [node.op.name for node in inner.nodes if node.op.name == "input"] == ["input"]
        with pytest.raises(TraceError, match="which is no argument of it"):
            graphc.symbolic_trace(lambda y: y * x, "f32[2,3]")
        return x + 1

    np.testing.assert_array_equal(graphc.compile(f)(X), X + 1)


def test_compiled_and_differentiated_functions_are_traced_as_any() -> None:
    for function in (graphc.compile(lambda x: (x * x).sum()), graphc.grad(lambda x: (x * x).sum())):
        graph = graphc.symbolic_trace(function, "f64[n]")
        assert [str(node.type) for node in graph.inputs] == ["f64[n]"]
        assert {node.op.name for node in graph.nodes} >= {"mul"}
