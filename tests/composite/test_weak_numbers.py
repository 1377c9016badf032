"""Weak nodes: arguments of a graph that stand for Python numbers, which count as numbers do in result dtypes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from graphc.ir.dtype import DType, dtype
from graphc.ir.graph import INPUT, Graph, Node, make_input
from graphc.ir.interpret import evaluate_graph
from graphc.ir.type import TensorType
from graphc.ops.function import functions


def weak(kind: type) -> Node:
    """An input for a Python number of this kind."""
    wide = {int: "int64", float: "float64", complex: "complex128"}[kind]
    return Node(INPUT, (), (("name", "number"), ("weak", True)), TensorType((), dtype(wide)))


def build(name: str, element: DType, kind: type, **more: Any) -> Graph:
    """The graph of a function on a vector and a number."""
    x, number = make_input("x", TensorType((2,), element)), weak(kind)
    result: Any = functions()[name].build(x, number, **more)
    return Graph("f", (x, number), (result,))


@pytest.mark.parametrize(
    ("element", "kind", "expected"),
    [
        ("float16", float, "float16"),
        ("float32", float, "float32"),
        ("int8", int, "int8"),
        ("uint8", float, "float32"),
        ("bool", int, "int64"),
        ("float32", complex, "complex64"),
        ("float64", complex, "complex128"),
        ("int64", complex, "complex64"),
    ],
)
@pytest.mark.parametrize("name", ["add", "mul"])
def test_a_weak_node_counts_by_its_kind_alone(name: str, element: str, kind: type, expected: str) -> None:
    assert build(name, dtype(element), kind).outputs[0].tensor.dtype is dtype(expected)


@pytest.mark.parametrize(
    ("name", "kind", "number", "expected"),
    [
        ("add", float, 0.1, [1.1, 2.1]),
        ("pow", float, 0.5, [1.0, 2.0**0.5]),
        ("pow", int, 3, [1.0, 8.0]),
        ("clamp", float, 1.5, [1.5, 2.0]),
        ("eq", int, 2, [False, True]),
        ("remainder", float, 0.75, [0.25, 0.5]),
    ],
)
def test_a_weak_node_has_the_value_of_the_number(name: str, kind: type, number: Any, expected: list[Any]) -> None:
    graph = build(name, dtype("float64"), kind)
    (found,) = evaluate_graph(graph, (np.array([1.0, 2.0]), np.array(number)))
    np.testing.assert_array_equal(found, np.array(expected))


@pytest.mark.parametrize(("name", "expected"), [("add", [2.1, 4.2]), ("sub", [-0.1, -0.2])])
def test_a_factor_may_be_weak(name: str, expected: list[float]) -> None:
    x, number = make_input("x", TensorType((2,), dtype("float64"))), weak(float)
    built: Callable[..., Any] = functions()[name].build
    graph = Graph("f", (x, number), (built(x, x, alpha=number),))
    (found,) = evaluate_graph(graph, (np.array([1.0, 2.0]), np.array(1.1)))
    np.testing.assert_allclose(found, expected, rtol=1e-15)
