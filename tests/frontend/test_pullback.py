"""`vjp`: value and pullback, on arrays and inside traced functions."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphc
from graphc import vjp
from graphc.frontend.pullback import _specializers
from graphc.ir.errors import ArgumentError, DTypeError, GraphcError, ShapeError
from graphc.passes.autodiff import differentiate
from graphc.passes.instrument import random_arguments
from tests.random_graphs import random_graph

X = np.arange(1.0, 7).reshape(2, 3)
Y = X[::-1] * 2


def test_a_pullback_carries_cotangents_of_all_results_to_all_arguments() -> None:
    def f(a: Any, b: Any) -> Any:
        return {"product": a * b["y"], "sum": [(a * a).sum()]}

    value, pullback = vjp(f, X, {"y": Y, "unused": X})
    np.testing.assert_allclose(value["product"], X * Y)
    np.testing.assert_allclose(value["sum"][0], (X * X).sum())
    for scale in (1.0, 3.0):
        by_a, by_b = pullback({"product": X * scale, "sum": [np.float64(2)]})
        np.testing.assert_allclose(by_a, X * scale * Y + 4 * X)
        np.testing.assert_allclose(by_b["y"], X * scale * X)
        np.testing.assert_array_equal(by_b["unused"], np.zeros_like(X))


def test_inside_a_traced_function_it_gives_the_same() -> None:
    def f(a: Any, b: Any) -> Any:
        return a * b, (a * a).sum()

    def both(a: Any, b: Any) -> Any:
        value, pullback = vjp(f, a, b)
        return value, pullback((b, 2.0))

    value, gradients = both(X, Y)
    traced_value, traced_gradients = graphc.compile(both)(X, Y)
    for have, want in zip((*traced_value, *traced_gradients), (*value, *gradients), strict=True):
        np.testing.assert_array_equal(have, want, strict=True)


def test_the_pullback_belongs_to_the_values_of_the_call() -> None:
    x = X.copy()
    value, pullback = vjp(lambda x: graphc.exp(x) * x, x)
    expected = np.exp(X) * (X + 1)
    np.testing.assert_allclose(pullback(np.ones_like(X))[0], expected)
    x[...] = 0
    value[...] = 0
    np.testing.assert_allclose(pullback(np.ones_like(X))[0], expected)


def test_the_pullback_does_not_repeat_what_is_costly() -> None:
    def f(x: Any, w: Any) -> Any:
        return graphc.exp(x @ w).sum()

    w = np.full((3, 4), 0.1)
    _, pullback = vjp(f, X, w)
    np.testing.assert_allclose(pullback(1.0)[1], X.T @ np.exp(X @ w))
    (made,) = _specializers[f].made
    backward = [node.op.name for node in made.made.parts.backward.nodes]
    assert "exp" not in backward
    assert backward.count("dot") == 2  # the gradients by x and by w, and not x @ w again


def test_results_of_integers_take_any_cotangent() -> None:
    def f(x: Any) -> Any:
        return x * 2, x.argmax()

    (_, index), pullback = vjp(f, X)
    assert index == 5
    for nothing in (None, 0, "anything"):
        np.testing.assert_array_equal(pullback((X, nothing))[0], 2 * X)

    def traced(x: Any) -> Any:
        return vjp(f, x)[1]((x, None))[0]

    np.testing.assert_array_equal(graphc.compile(traced)(X), 2 * X)


def test_functions_of_nothing_and_without_influence() -> None:
    value, pullback = vjp(lambda: graphc.ones(2))
    np.testing.assert_array_equal(value, [1, 1])
    assert pullback(np.ones(2, np.float32)) == ()
    _, pullback = vjp(lambda a, b: a, X, Y)
    same, zero = pullback(X)
    np.testing.assert_array_equal(same, X)
    np.testing.assert_array_equal(zero, np.zeros_like(Y))
    assert not np.shares_memory(same, X)


def test_floats_are_arguments_and_cotangents_without_dimensions() -> None:
    value, pullback = vjp(lambda a, b: a * b, 3.0, 2.0)
    assert value == 6
    assert pullback(1.0) == (2, 3)
    assert pullback(2) == (4, 6)


def test_a_function_is_traced_once_for_a_kind_of_arguments_and_not_kept_alive() -> None:
    traced = []

    def f(x: Any) -> Any:
        traced.append(1)
        return x * x

    for scale in (1, 2):
        np.testing.assert_array_equal(vjp(f, X * scale)[1](X)[0], 2 * X * X * scale)
    assert len(traced) == 1
    vjp(f, X[0])
    assert len(traced) == 2
    gone = weakref.ref(f)
    del f
    gc.collect()
    assert gone() is None
    assert all(function is not None for function in _specializers)


def test_the_pullback_of_a_dead_function_still_works() -> None:
    def make() -> Any:
        weight = np.full(3, 2.0)
        return vjp(lambda x: x * weight, X)[1]

    pullback = make()
    gc.collect()
    np.testing.assert_array_equal(pullback(X)[0], 2 * X)


def test_bound_methods_and_partial_functions() -> None:
    class Scale:
        factor = np.float64(3)

        def apply(self, x: Any) -> Any:
            return x * self.factor

    np.testing.assert_array_equal(vjp(Scale().apply, X)[1](X)[0], 3 * X)
    np.testing.assert_array_equal(vjp(graphc.compile(Scale().apply), X)[1](X)[0], 3 * X)


def test_a_pullback_from_several_threads() -> None:
    _, pullback = vjp(lambda x: x * x, X)
    results: list[np.ndarray] = []
    threads = [threading.Thread(target=lambda: results.append(pullback(X)[0])) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4
    for result in results:
        np.testing.assert_array_equal(result, 2 * X * X)


WRONG: list[tuple[Callable[[], object], type[GraphcError], str]] = [
    (lambda: vjp(lambda x: x, X)[1](X[0]), ShapeError, r"a cotangent of type f64\[3\] for a value of type f64\[2,3\]"),
    (lambda: vjp(lambda x: x, X)[1](1.0), ArgumentError, "a cotangent is a float"),
    (lambda: vjp(lambda x: x, X)[1](X.astype(np.float32)), DTypeError, r"a cotangent of type f32\[2,3\] for a value"),
    (lambda: vjp(lambda x: x, X)[1](None), ArgumentError, "a cotangent is None"),
    (lambda: vjp(lambda x: x, X)[1]("x"), ArgumentError, "a cotangent is a str"),
    (lambda: vjp(lambda x: x.sum(), X)[1](1j), GraphcError, "a cotangent is a complex"),
    (lambda: vjp(lambda x: x, X)[1]((X,)), ArgumentError, "other containers than the value: it is a tuple in place of"),
    (lambda: vjp(lambda x: {"a": x, "b": x}, X)[1]({"a": X}), ArgumentError, "the value: it lacks the key 'b'"),
    (lambda: vjp(lambda x: [x, x], X)[1]([X]), ArgumentError, "the value: it has 1 entries in place of 2"),
    (lambda: vjp(lambda x, n: x * n, X, np.arange(3)), DTypeError, "'n' has dtype int64, and a gradient needs floats"),
    (lambda: vjp(lambda x, n: x * n, X, 3), DTypeError, "'n' is 3, and a gradient needs floats"),
    (lambda: vjp(lambda x: x.argmax(), X), DTypeError, "function gives no floats"),
    (lambda: vjp(X, X), ArgumentError, "vjp: a ndarray is no function"),
    (lambda: vjp(lambda x, y: x, X), ArgumentError, "missing a required argument: 'y'"),
    (
        lambda: graphc.compile(lambda x: vjp(lambda y: y, x)[1](x[0]))(X),
        ShapeError,
        r"a cotangent of type f64\[3\] for a value of type f64\[2,3\]",
    ),
    (
        lambda: graphc.compile(lambda x: vjp(lambda y, n: y * n, x, 3)[1](x))(X),
        DTypeError,
        "'n' is 3, and a gradient needs floats",
    ),
]


@pytest.mark.parametrize(("call", "error", "message"), WRONG, ids=[message for _, _, message in WRONG])
def test_what_has_no_pullback(call: Callable[[], object], error: type[GraphcError], message: str) -> None:
    with pytest.raises(error, match=message) as info:
        call()
    assert info.value.location is not None
    assert info.value.location.file == __file__
    assert info.value.hint


@pytest.mark.parametrize("seed", range(8))
def test_forward_and_backward_give_the_bits_of_one_joint_graph(seed: int) -> None:
    graph = random_graph(seed, nodes=20, differentiable=True)
    arrays = random_arguments(graph, seed=seed)
    floats = [i for i, node in enumerate(graph.inputs) if node.tensor.dtype.is_differentiable]
    executable = graph.compile()

    def of_floats(*given: Any) -> Any:
        arguments: list[Any] = list(arrays)
        for i, x in zip(floats, given, strict=True):
            arguments[i] = x
        result = executable(*arguments)
        return result if isinstance(result, tuple) else (result,)

    values, pullback = vjp(of_floats, *(arrays[i] for i in floats))
    cotangents = tuple(np.ones_like(value) for value in values)
    wanted = [c for c, node in zip(cotangents, graph.outputs) if node.tensor.dtype.is_differentiable]
    joint: Any = differentiate(graph, floats).compile()(*arrays, *wanted)
    for have, want in zip((*values, *pullback(cotangents)), joint, strict=True):
        np.testing.assert_array_equal(have, want, strict=True)
