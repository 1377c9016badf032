"""Functions with gradients of their own, and checkpoints."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import graphc
from graphc.ir.errors import ArgumentError, ShapeError

X = np.array([0.5, -1.0, 2.0])
Y = np.array([3.0, 4.0, 5.0])


@graphc.custom_vjp
def product(x: Any, y: Any) -> Any:
    return x * y


product.defvjp(lambda x, y: (product(x, y), (x, y)), lambda saved, ct: (10 * ct * saved[1], 100 * ct * saved[0]))


@graphc.custom_vjp
def exponential(x: Any) -> Any:
    return x.exp()


def _exponential(x: Any) -> Any:
    y = exponential(x)
    return y, y


exponential.defvjp(_exponential, lambda y, ct: (3 * ct * y,))


def test_on_arrays_and_in_compiled_functions_it_computes_the_function() -> None:
    np.testing.assert_array_equal(product(X, Y), X * Y)  # type: ignore[arg-type]  # an array
    np.testing.assert_array_equal(graphc.compile(lambda x: product(x, x) + 1)(X), X * X + 1)


def test_the_gradient_is_what_the_backward_rule_says() -> None:
    by_x, by_y = graphc.grad(lambda x, y: product(x, y).sum(), (0, 1))(X, Y)
    np.testing.assert_array_equal(by_x, 10 * Y)
    np.testing.assert_array_equal(by_y, 100 * X)
    np.testing.assert_array_equal(graphc.grad(lambda x: product(x, x).sum())(X), 110 * X)


def test_a_gradient_that_reads_the_result_has_itself_as_gradient() -> None:
    second = graphc.grad(lambda x: graphc.grad(lambda y: exponential(y).sum())(x).sum())
    np.testing.assert_allclose(second(X), 9 * np.exp(X))


def test_gradients_need_not_be_linear() -> None:
    @graphc.custom_vjp
    def clipped(x: Any) -> Any:
        return x

    clipped.defvjp(lambda x: (x, None), lambda _, ct: (ct.clamp(-1, 1),))
    np.testing.assert_array_equal(graphc.grad(lambda x: (clipped(x) ** 2).sum())(X), [1, -1, 1])


def test_containers_integers_and_fixed_arguments() -> None:
    @graphc.custom_vjp
    def pick(scale: float, pair: Any, index: Any) -> Any:
        return {"picked": pair[0][index] * scale, "where": index}

    with pytest.raises(ArgumentError, match="No VJP defined for custom_vjp function pick using defvjp"):
        graphc.symbolic_trace(pick, 2.0, ["f64[3]", "f64[3]"], "i64[2]")
    fixed = graphc.custom_vjp(pick.function, nondiff_argnums=(0,))
    fixed.defvjp(
        lambda scale, pair, index: (pick.function(scale, pair, index), pair[1]),
        lambda scale, other, ct: ([other * scale, None], None) if ct["where"] is None else (None, None),
    )
    index = np.array([2, 0])
    value, pair = graphc.value_and_grad(lambda pair: fixed(2.0, pair, index)["picked"].sum())([X, Y])  # type: ignore[index]  # a dict
    assert value == 2 * (X[2] + X[0])
    np.testing.assert_array_equal(pair[0], 2 * Y)
    np.testing.assert_array_equal(pair[1], np.zeros(3))


def test_tensors_from_around_are_constants_to_it() -> None:
    def loss(x: Any, w: Any) -> Any:
        scaled = graphc.custom_vjp(lambda x: x * w)
        scaled.defvjp(lambda x: (x * w, None), lambda _, ct: (ct * w * w,))
        return scaled(x).sum()

    by_x, by_w = graphc.grad(loss, (0, 1))(X, Y)
    np.testing.assert_array_equal(by_x, Y * Y)
    np.testing.assert_array_equal(by_w, np.zeros(3))


def _with(forward: Any, backward: Any) -> Any:
    @graphc.custom_vjp
    def f(x: Any) -> Any:
        return x * 2

    f.defvjp(forward, backward)
    return f


@pytest.mark.parametrize(
    ("forward", "backward", "error", "message"),
    [
        (lambda x: x * 2, lambda r, ct: (ct,), ArgumentError, "f: the forward rule gives a SymbolicTensor"),
        (
            lambda x: (x.sum(), x),
            lambda r, ct: (ct,),
            ArgumentError,
            r"f: the forward rule gives a value of type f64\[\], the function one of f64\[3\]",
        ),
        (lambda x: (x, x), lambda r, ct: ct, ArgumentError, "f: the backward rule gives a SymbolicTensor"),
        (lambda x: (x, x), lambda r, ct: (ct, ct), ArgumentError, "f: the backward rule gives a tuple of 2"),
        (
            lambda x: (x, x),
            lambda r, ct: (ct.sum(),),
            ShapeError,
            r"f: the backward rule gives a cotangent of type f64\[\] for an argument of type f64\[3\]",
        ),
        (lambda x: (x, x), lambda r, ct: ([ct],), ArgumentError, "a list can't be part of a graph"),
    ],
)
def test_rules_that_do_not_fit_are_refused(forward: Any, backward: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        graphc.compile(_with(forward, backward))(X)


# Checkpoints


def layer(x: Any, weights: Any) -> Any:
    for w in weights:
        x = (x @ w).tanh()
    return x


def network(x: Any, *weights: Any, is_checkpointed: bool) -> Any:
    for i in range(0, len(weights), 4):
        part = weights[i : i + 4]
        x = graphc.checkpoint(layer, x, part) if is_checkpointed else layer(x, part)
    return x.sum()


def test_checkpoints_give_the_same_bits_in_less_memory() -> None:
    random = np.random.default_rng(7)
    x = random.standard_normal((256, 16)).astype(np.float32)
    weights = [random.standard_normal((16, 16)).astype(np.float32) * 0.3 for _ in range(16)]
    found, taken = [], []
    for is_checkpointed in (False, True):

        def loss(x: Any, *weights: Any, kept: bool = is_checkpointed) -> Any:
            return network(x, *weights, is_checkpointed=kept)

        gradient = graphc.grad(loss, tuple(range(17)))
        found.append(gradient(x, *weights))
        taken.append(gradient.compilations[0].executable.program.arena_bytes)
    for plain, again in zip(*found, strict=True):
        np.testing.assert_array_equal(plain, again)
    assert taken[1] <= taken[0] / 2


def test_a_checkpoint_computes_its_function_again_and_no_more_than_that() -> None:
    def loss(x: Any) -> Any:
        return graphc.checkpoint(lambda y: (y.exp().sin(), y.sum()), x)[0].sum()

    graph = graphc.symbolic_trace(graphc.value_and_grad(loss), "f64[3]")
    names = [node.op.name for node in graph.nodes]
    assert names.count("exp") == 2
    assert names.count("sin") == 1  # its gradient is of exp(y) alone
    np.testing.assert_allclose(graphc.grad(loss)(X), np.cos(np.exp(X)) * np.exp(X))


def test_what_a_checkpointed_function_finds_around_has_a_gradient() -> None:
    def loss(x: Any, w: Any) -> Any:
        scaled = w * 2
        return graphc.checkpoint(lambda y: (y * scaled).sin() + w, x).sum()

    by_x, by_w = graphc.grad(loss, (0, 1))(X, Y)
    np.testing.assert_allclose(by_x, np.cos(2 * X * Y) * 2 * Y)
    np.testing.assert_allclose(by_w, np.cos(2 * X * Y) * 2 * X + 1)


def test_gradients_of_gradients_of_checkpoints() -> None:
    def slope(f: Any) -> Any:
        return graphc.grad(lambda x: (graphc.grad(f)(x) ** 2).sum())

    def plain(x: Any) -> Any:
        return x.sin().exp().sum()

    np.testing.assert_allclose(slope(lambda x: graphc.checkpoint(plain, x))(X), slope(plain)(X))


def test_on_arrays_a_checkpoint_is_a_call() -> None:
    assert graphc.checkpoint(np.add, 1, 2) == 3
