"""Placeholders, `function` and `gradients`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphc
from graphc.ir.errors import ArgumentError, DTypeError, GraphcError, ShapeError, TraceError

X = np.arange(6, dtype=np.float32).reshape(2, 3)


def test_a_graph_without_a_function() -> None:
    x = graphc.placeholder((None, 3), "float32", name="x")
    w = graphc.placeholder((3, 2), name="w")
    f = graphc.function([x, w], {"y": [x @ w], "total": (x @ w).sum(), "none": None})
    result = f(X, np.ones((3, 2), np.float32))
    np.testing.assert_array_equal(result["y"][0], X @ np.ones((3, 2), np.float32), strict=True)
    assert result["total"] == 30
    assert result["none"] is None
    assert f(w=np.ones((3, 2), np.float32), x=X[:1])["total"] == 6
    assert repr(f) == "<executable function(x: f32[x_0,3], w: f32[3,2])>"


def test_inputs_in_containers() -> None:
    params = {"w": graphc.placeholder((2,), name="w"), "b": graphc.placeholder((), name="b")}
    x = graphc.placeholder((2,), name="x")
    f = graphc.function([params, x], [x * params["w"] + params["b"]], name="affine")
    ones = np.ones(2, np.float32)
    np.testing.assert_array_equal(f({"w": ones * 2, "b": 3.0}, ones)[0], ones * 5)
    np.testing.assert_array_equal(f({"w": ones * 2, "b": 3.0}, x=ones)[0], ones * 5)
    assert f.graph.name == "affine"


def test_sizes_are_numbers_names_sizes_of_others_or_none() -> None:
    x = graphc.placeholder(("n", None, np.int64(3)), "f64", name="x")
    y = graphc.placeholder((x.shape[0], x.shape[1] * 2, x.shape[2]), "f64", name="y")
    assert [str(size) for size in y.shape] == ["n", "2*x_1", "3"]
    f = graphc.function([x, y], graphc.cat([x, y], dim=1))
    assert f(np.ones((2, 4, 3)), np.ones((2, 8, 3))).shape == (2, 12, 3)
    with pytest.raises(ShapeError, match="dimension 1 of argument y is 7, expected 2\\*x_1 = 8"):
        f(np.ones((2, 4, 3)), np.ones((2, 7, 3)))


def test_gradients_by_placeholders_and_by_what_is_between() -> None:
    x = graphc.placeholder((None,), "float64", name="x")
    unused = graphc.placeholder((2,), "float64", name="unused")
    square = x * x
    loss = (square * square).sum()
    by_x, by_square, by_unused = graphc.gradients(loss, [x, square, unused])
    (second,) = graphc.gradients(by_x.sum(), [x])
    f = graphc.function([x, unused], [by_x, by_square, by_unused, second])
    v = np.array([1.0, 2.0, 3.0])
    for have, want in zip(f(v, np.ones(2)), (4 * v**3, 2 * v**2, np.zeros(2), 12 * v**2), strict=True):
        np.testing.assert_allclose(have, want)


def test_functions_and_transformations_work_on_placeholders() -> None:
    x = graphc.placeholder((2, 3), "float32", name="x")
    compiled = graphc.compile(lambda a, n, rate: (a * n * rate).sum(dim=0))
    outputs = [
        compiled(x, 2, 0.5),
        graphc.grad(lambda a: (a * a * x).sum())(x),
        graphc.vjp(lambda a: a * x, x)[1](x)[0],
    ]
    results = graphc.function([x], outputs)(X)
    for have, want in zip(results, (X.sum(0), 2 * X * X, X * X), strict=True):
        np.testing.assert_allclose(have, want)
    assert compiled.compilations == ()


def test_names_are_made_where_none_is_given() -> None:
    a, b = graphc.placeholder((None,)), graphc.placeholder((None,))
    f = graphc.function([a, b], [a.sum() + b.sum()])
    assert f(np.ones(2, np.float32), np.ones(3, np.float32))[0] == 5


def test_options_reach_the_compiler() -> None:
    x = graphc.placeholder((2,), name="x")
    assert graphc.function([x], [x + 1], numerics="fast", passes="cse")(np.ones(2, np.float32))[0][0] == 2


a, b = graphc.placeholder((2,), name="a"), graphc.placeholder((3,), name="b")
WRONG: list[tuple[Callable[[], Any], type[GraphcError], str]] = [
    (lambda: graphc.placeholder((-1, 3)), ArgumentError, "-1 is no size"),
    (lambda: graphc.placeholder((1.5,)), ArgumentError, "1.5 is no size"),
    (lambda: graphc.placeholder((True,)), ArgumentError, "True is no size"),
    (lambda: graphc.placeholder(("n m",)), ArgumentError, "'n m' is no size"),
    (lambda: graphc.placeholder((a,)), ArgumentError, "is no size"),
    (lambda: graphc.placeholder(3), ArgumentError, "placeholder: the shape is an int"),
    (lambda: graphc.placeholder("ab"), ArgumentError, "placeholder: the shape is a str"),
    (lambda: graphc.placeholder((2,), name=3), ArgumentError, "placeholder: the name is an int"),
    (lambda: graphc.placeholder((2,), "float33"), DTypeError, "'float33' is no dtype"),
    (lambda: graphc.placeholder((2**70,)), ShapeError, "is too large"),
    (lambda: graphc.function([a], [a + 1, b]), ArgumentError, "needs the placeholder 'b', which is no input"),
    (lambda: graphc.function([a, a], [a]), ArgumentError, "an input is listed twice"),
    (lambda: graphc.function([a, graphc.placeholder((2,), name="a")], [a]), ArgumentError, "two inputs are called 'a'"),
    (lambda: graphc.function([a + 1], [a]), ArgumentError, "is no placeholder"),
    (lambda: graphc.function([X], [a]), ArgumentError, "is no placeholder"),
    (lambda: graphc.function(a, [a]), ArgumentError, "function: the inputs are a SymbolicTensor"),
    (lambda: graphc.function([a], [object()]), ArgumentError, "an object can't be part of a graph"),
    (lambda: graphc.function([a], [a], numerics="quick"), ArgumentError, "numerics='quick'"),
    (lambda: graphc.function([a], [a], passes="nothing"), GraphcError, "no pass called 'nothing'"),
    (lambda: graphc.gradients(a, [a]), ShapeError, r"the output is a f32\[2\], and a gradient starts"),
    (lambda: graphc.gradients((a > 0).sum(), [a]), ShapeError, r"the output is a i64\[\]"),
    (lambda: graphc.gradients(a.sum(), a), ArgumentError, "the inputs are a SymbolicTensor"),
    (lambda: graphc.gradients(a.sum(), [X]), ArgumentError, "the inputs are a list"),
    (lambda: bool(a.sum() > 0), TraceError, "the truth of a bool"),
    (lambda: a + b, ShapeError, r"\[2\] and \[3\] don't broadcast"),
]


@pytest.mark.parametrize(("call", "error", "message"), WRONG, ids=[message for _, _, message in WRONG])
def test_what_makes_no_graph(call: Callable[[], object], error: type[GraphcError], message: str) -> None:
    with pytest.raises(error, match=message) as info:
        call()
    assert info.value.location is not None
    assert info.value.location.file == __file__
    assert info.value.hint or "twice" in message
