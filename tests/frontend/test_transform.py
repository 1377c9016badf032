"""`grad` and `value_and_grad`: against derivatives known by hand, composed with each other and with `compile`."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphc
from graphc import compile, grad, value_and_grad, vjp
from graphc.ir.errors import ArgumentError, DTypeError, GraphcError, ShapeError

X = np.arange(1.0, 7).reshape(2, 3)
Result = namedtuple("Result", "loss extra")


def cube(x: Any) -> Any:
    return (x**3).sum()


def test_the_gradient_of_a_sum_of_cubes_to_any_order() -> None:
    np.testing.assert_allclose(grad(cube)(X), 3 * X**2)
    np.testing.assert_allclose(grad(lambda x: grad(cube)(x).sum())(X), 6 * X)
    np.testing.assert_allclose(grad(lambda x: grad(lambda y: grad(cube)(y).sum())(x).sum())(X), np.full((2, 3), 6.0))
    assert grad(grad(grad(lambda x: x**5)))(2.0) == 60 * 4
    assert grad(grad(grad(grad(lambda x: x**5))))(np.float64(2.0)) == 120 * 2


COMPOSED: dict[str, Callable[[], Any]] = {
    "grad": lambda: grad(cube),
    "compile of grad": lambda: compile(grad(cube)),
    "grad of compile": lambda: grad(compile(cube)),
    "compile of grad of compile": lambda: compile(grad(compile(cube))),
    "value_and_grad": lambda: lambda x: value_and_grad(cube)(x)[1],
    "compile of value_and_grad": lambda: compile(lambda x: value_and_grad(cube)(x)[1]),
    "dynamic": lambda: compile(grad(cube), dynamic={"x": 0}),
    "grad of value_and_grad": lambda: grad(lambda x: value_and_grad(lambda y: (y**4).sum() / 4)(x)[1].sum()),
    "vjp": lambda: lambda x: vjp(cube, x)[1](1.0)[0],
    "vjp in compile": lambda: compile(lambda x: vjp(cube, x)[1](1.0)[0]),
    "vjp of grad": lambda: lambda x: vjp(grad(lambda y: (y**4).sum() / 4), x)[1](np.ones_like(x))[0],
    "grad of vjp": lambda: grad(lambda x: vjp(lambda y: (y**4).sum() / 4, x)[1](1.0)[0].sum()),
    "grad of a graph": lambda: grad(graphc.symbolic_trace(cube, "f64[2,3]").compile()),
}


@pytest.mark.parametrize("name", COMPOSED)
def test_transformations_compose(name: str) -> None:
    expected = 3 * X**2
    np.testing.assert_allclose(COMPOSED[name]()(X), expected, rtol=1e-12)


def test_inner_and_outer_derivatives_are_not_confused() -> None:
    """The classical test: in d/dx x * (d/dy (x + y)), x is a constant of the inner derivative."""
    assert grad(lambda x: x * grad(lambda y: x + y)(1.0))(1.0) == 1
    assert grad(lambda x: x * grad(lambda y: x * y)(2.0))(3.0) == 6
    assert grad(lambda x: grad(lambda y: x * y * y)(x))(3.0) == 12
    assert grad(lambda x: grad(lambda y: grad(lambda z: x * y * z * z)(y))(x))(2.0) == 16
    assert grad(lambda x: vjp(lambda y: x * y * y, x)[1](1.0)[0])(3.0) == 12
    assert grad(lambda x: compile(lambda y: x * y)(np.float32(2)))(3.0) == 2
    rows = compile(lambda x: grad(lambda y: (x * y).sum())(np.ones(3)))(X)
    np.testing.assert_array_equal(rows, X.sum(0))


def test_argnums_choose_the_arguments() -> None:
    def f(a: Any, b: Any, n: int, *, scale: float = 1.0) -> Any:
        return (a * a * b * n).sum() * scale

    a, b = X, X + 1
    np.testing.assert_allclose(grad(f)(a, b, 2), 4 * a * b)
    np.testing.assert_allclose(grad(f, argnums=1)(a, b, 2), 2 * a * a)
    np.testing.assert_allclose(grad(f, argnums=-2)(a, b, 2), 2 * a * a)
    by_both = grad(f, argnums=(1, 0))(a, b, 2)
    assert isinstance(by_both, tuple)
    np.testing.assert_allclose(by_both[0], 2 * a * a)
    np.testing.assert_allclose(by_both[1], 4 * a * b)
    np.testing.assert_allclose(grad(f, argnums=(0,))(a, b, 2)[0], 4 * a * b)
    np.testing.assert_allclose(grad(f)(a, b, n=2, scale=3.0), 12 * a * b)
    twice = grad(f, argnums=(0, 0))(a, b, 1)
    np.testing.assert_array_equal(twice[0], twice[1])
    assert not np.shares_memory(twice[0], twice[1])


def test_gradients_have_the_containers_of_the_argument() -> None:
    params = {"w": X, "layers": [(X[0], None), (X[1], 2.0)]}

    def f(p: Any, x: Any) -> Any:
        (a, nothing), (b, c) = p["layers"]
        assert nothing is None
        return (p["w"] * x).sum() + (a * a).sum() + (b * c).sum()

    g = grad(f)(params, X)
    assert list(g) == ["w", "layers"]
    np.testing.assert_allclose(g["w"], X)
    np.testing.assert_allclose(g["layers"][0][0], 2 * X[0])
    assert g["layers"][0][1] is None
    np.testing.assert_allclose(g["layers"][1][0], 2 * np.ones(3))
    np.testing.assert_allclose(g["layers"][1][1], X[1].sum())


def test_more_results_than_the_loss_are_passed_along() -> None:
    def f(x: Any) -> Any:
        return (x * x).sum(), {"twice": x * 2, "count": x.shape[0], "name": "f", "none": None}

    (loss, extras), g = value_and_grad(f)(X)
    assert loss == (X * X).sum()
    np.testing.assert_array_equal(extras.pop("twice"), 2 * X)
    assert extras == {"count": 2, "name": "f", "none": None}
    np.testing.assert_allclose(g, 2 * X)
    np.testing.assert_allclose(grad(f)(X), 2 * X)
    named, g = value_and_grad(lambda x: Result((x * x).sum(), x))(X)
    assert isinstance(named, Result)
    np.testing.assert_allclose(g, 2 * X)


def test_what_has_no_influence_has_a_gradient_of_zeros() -> None:
    by_a, by_b = grad(lambda a, b: b.sum(), argnums=(0, 1))(X, X)
    np.testing.assert_array_equal(by_a, np.zeros_like(X))
    np.testing.assert_array_equal(by_b, np.ones_like(X))
    value, g = value_and_grad(lambda x: 3.0)(X)
    assert value == 3
    np.testing.assert_array_equal(g, np.zeros_like(X))
    np.testing.assert_array_equal(grad(lambda x: (x > 1).sum() * 1.0)(X), np.zeros_like(X))
    np.testing.assert_array_equal(grad(lambda p: p[0].sum())([X, X])[1], np.zeros_like(X))


def test_dtypes_of_gradients_are_those_of_the_arguments() -> None:
    for dtype in (np.float16, np.float32, np.float64, np.complex64, np.complex128):
        x = X.astype(dtype)
        g = grad(lambda x: (graphc.abs(x) ** 2).sum())(x)
        np.testing.assert_allclose(g, 2 * x, strict=True)
    assert grad(lambda x: x * x)(3.0).dtype == np.float32
    assert grad(lambda x, y: x * y.sum())(3.0, X).dtype == np.float64


def test_a_gradient_is_compiled_once_for_a_kind_of_arguments() -> None:
    traced = []

    def f(x: Any, rate: float) -> Any:
        traced.append(1)
        return (x * x).sum() * rate

    g = grad(f)
    for rate in (1.0, 2.0, 3.0):
        np.testing.assert_allclose(g(X * rate, rate), 2 * X * rate * rate)
    assert len(traced) == len(g.compilations) == 1
    assert g.__name__ == "grad_f"
    assert g.compilations[0].graph.name == "grad_f"
    assert [str(n.attribute("name")) for n in g.compilations[0].graph.inputs] == ["x", "rate"]


def test_the_value_is_not_computed_twice() -> None:
    step = compile(lambda x: value_and_grad(lambda y: graphc.exp(y).sum())(x))
    (program,) = (step(X), step.compilations)[1]
    assert [node.op.name for node in program.graph.nodes].count("exp") == 1


def test_sizes_may_be_symbols() -> None:
    g = compile(grad(lambda w, x: ((x @ w) ** 2).mean()), dynamic={"x": 0})
    for n in (1, 4, 7):
        x, w = np.random.default_rng(n).random((n, 3)), np.ones(3)
        np.testing.assert_allclose(g(w, x), 2 * x.T @ (x @ w) / n)
    assert len(g.compilations) == 1


WRONG: list[tuple[Callable[[], object], type[GraphcError], str]] = [
    (lambda: grad(lambda x: x * x)(X), ShapeError, r"function gives a f64\[2,3\], and a gradient starts from a real"),
    (lambda: grad(lambda x: (x > 0).sum())(X), ShapeError, r"function gives a i64\[\], and a gradient starts"),
    (lambda: grad(lambda x: (x * 1j).sum())(X), ShapeError, r"function gives a c128\[\], and a gradient starts"),
    (lambda: grad(lambda x: [x.sum()])(X), ArgumentError, "function gives a list, and a gradient starts"),
    (lambda: grad(lambda x: ({"a": x.sum()}, x))(X), ArgumentError, "function gives a dict, and a gradient starts"),
    (lambda: grad(lambda x: (None, x))(X), ArgumentError, "function gives None, and a gradient starts"),
    (lambda: grad(lambda x: None)(X), ArgumentError, "function returns None"),
    (lambda: grad(lambda x: x.sum())(np.arange(3)), DTypeError, "'x' has dtype int64, and a gradient needs floats"),
    (lambda: grad(lambda x: x.sum())(X > 0), DTypeError, "'x' has dtype bool, and a gradient needs floats"),
    (lambda: grad(lambda x: x * x)(3), DTypeError, "'x' is 3, and a gradient needs floats"),
    (lambda: grad(lambda p: p["w"].sum())({"w": X, "n": 3}), DTypeError, r"\"p\['n'\]\" is 3, and a gradient needs"),
    (lambda: grad(cube, argnums=1)(X), ArgumentError, "argnums 1 names no argument of cube, which got 1 by position"),
    (lambda: grad(cube, argnums=(0, -2))(X), ArgumentError, "argnums -2 names no argument of cube"),
    (lambda: grad(cube, argnums="x"), ArgumentError, "grad: argnums='x'"),
    (lambda: grad(cube, argnums=True), ArgumentError, "grad: argnums=True"),
    (lambda: value_and_grad(cube, argnums=()), ArgumentError, r"value_and_grad: argnums=\(\)"),
    (lambda: grad(X), ArgumentError, "grad: a ndarray is no function"),
    (lambda: value_and_grad(None), ArgumentError, "value_and_grad: None is no function"),
    (lambda: grad(cube)(), ArgumentError, "argnums 0 names no argument of cube, which got 0|missing a required"),
]


@pytest.mark.parametrize(("call", "error", "message"), WRONG, ids=[message for _, _, message in WRONG])
def test_what_has_no_gradient(call: Callable[[], object], error: type[GraphcError], message: str) -> None:
    with pytest.raises(error, match=message) as info:
        call()
    assert info.value.location is not None
    assert info.value.location.file == __file__
    assert info.value.hint
