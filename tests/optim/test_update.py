"""Updates against their published formulas, written in numpy in float64."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphc

Array = np.ndarray[Any, np.dtype[np.float64]]
Update = Callable[[Array, Array], Array]
SHAPES = ((3, 4), (5,), ())
STEPS = 6


def sgd(lr: float, momentum: float = 0.0, dampening: float = 0.0, weight_decay: float = 0.0, nesterov: bool = False):
    velocity: Array | None = None

    def update(x: Array, g: Array) -> Array:
        nonlocal velocity
        g = g + weight_decay * x
        if momentum:
            velocity = g if velocity is None else momentum * velocity + (1 - dampening) * g
            g = g + momentum * velocity if nesterov else velocity
        return x - lr * g

    return update


def adam(
    lr: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    amsgrad: bool = False,
    decoupled: bool = False,
) -> Update:
    m = v = largest = np.zeros(())
    t = 0

    def update(x: Array, g: Array) -> Array:
        nonlocal m, v, t, largest
        t += 1
        if decoupled:
            x = x - lr * weight_decay * x
        else:
            g = g + weight_decay * x
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g**2
        largest = np.maximum(largest, v)
        second = (largest if amsgrad else v) / (1 - betas[1] ** t)
        return x - lr * m / (1 - betas[0] ** t) / (np.sqrt(second) + eps)

    return update


def rmsprop(
    lr: float = 1e-2,
    alpha: float = 0.99,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    momentum: float = 0.0,
    centered: bool = False,
) -> Update:
    v = mean = velocity = np.zeros(())

    def update(x: Array, g: Array) -> Array:
        nonlocal v, mean, velocity
        g = g + weight_decay * x
        v = alpha * v + (1 - alpha) * g**2
        mean = alpha * mean + (1 - alpha) * g
        velocity = momentum * velocity + g / (np.sqrt(v - mean**2 if centered else v) + eps)
        return x - lr * velocity

    return update


CASES: list[tuple[str, Callable[..., Update], dict[str, Any], dict[str, Any]]] = [
    ("SGD", sgd, {"lr": 0.1}, {}),
    ("SGD", sgd, {"lr": 0.1, "weight_decay": 0.3}, {}),
    ("SGD", sgd, {"lr": 0.1, "momentum": 0.9, "dampening": 0.25}, {}),
    ("SGD", sgd, {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.1, "nesterov": True}, {}),
    ("Adam", adam, {}, {}),
    ("Adam", adam, {"lr": 0.05, "betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.1}, {}),
    ("Adam", adam, {"lr": 0.05, "amsgrad": True}, {}),
    ("AdamW", adam, {"lr": 0.05, "weight_decay": 0.1}, {"decoupled": True}),
    ("AdamW", adam, {"lr": 0.05, "weight_decay": 0.1, "amsgrad": True}, {"decoupled": True}),
    ("RMSprop", rmsprop, {}, {}),
    ("RMSprop", rmsprop, {"momentum": 0.9, "centered": True, "weight_decay": 0.1, "alpha": 0.9}, {}),
    ("RMSprop", rmsprop, {"centered": True}, {}),
    ("RMSprop", rmsprop, {"momentum": 0.5}, {}),
]


NAMED = [pytest.param(*case, id=f"{case[0]}-{'-'.join(case[2]) or 'plain'}") for case in CASES]


def run(
    name: str, options: dict[str, Any], dtype: Any, gradients: list[list[Array]], start: list[Array]
) -> list[Array]:
    params = [graphc.tensor(x, dtype=dtype, requires_grad=True) for x in start]
    optimizer = getattr(graphc.optim, name)(params, **options)
    for each in gradients:
        for param, grad in zip(params, each):
            param.grad = graphc.tensor(grad, dtype=dtype)
        optimizer.step()
    return [param.detach().numpy() for param in params]


@pytest.mark.parametrize(("name", "formula", "options", "also"), NAMED)
@pytest.mark.parametrize("dtype", [graphc.float64, graphc.float32], ids=str)
def test_the_steps_are_those_of_the_formula(
    name: str, formula: Callable[..., Update], options: dict[str, Any], also: dict[str, Any], dtype: Any
) -> None:
    random = np.random.default_rng(7)
    start = [random.standard_normal(shape) for shape in SHAPES]
    gradients = [[random.standard_normal(shape) for shape in SHAPES] for _ in range(STEPS)]
    found = run(name, options, dtype, gradients, start)
    for index, x in enumerate(start):
        update = formula(**{"lr": 1e-3, **options, **also} if name in ("Adam", "AdamW") else {**options, **also})
        for each in gradients:
            x = update(x, each[index])
        tolerance = 1e-13 if dtype is graphc.float64 else 2e-6
        np.testing.assert_allclose(found[index], x, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(("name", "formula", "options", "also"), NAMED)
def test_maximizing_is_minimizing_with_the_opposite_gradient(
    name: str, formula: object, options: dict[str, Any], also: object
) -> None:
    start, gradients = [np.array([1.0, -2.0])], [[np.array([0.5, 0.25])], [np.array([-1.0, 2.0])]]
    opposite = [[-each for each in grads] for grads in gradients]
    (up,) = run(name, {**options, "maximize": True}, graphc.float32, gradients, start)
    (down,) = run(name, options, graphc.float32, opposite, start)
    assert up.tobytes() == down.tobytes()


def test_the_first_step_of_adam_has_the_length_of_the_learning_rate() -> None:
    (found,) = run("Adam", {"lr": 0.25}, graphc.float64, [[np.array([3.0, -1e-3])]], [np.zeros(2)])
    assert all(math.isclose(abs(value), 0.25, rel_tol=1e-4) for value in found)
