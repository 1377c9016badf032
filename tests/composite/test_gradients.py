"""Gradients of the table's functions against central differences in float64, in two orders; and values at corners."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphc as g
import graphc.nn.functional as F
from tests.composite.case import Case, Values, interpret
from tests.composite.cases import CASES

STEP = 1e-5


def weighted(build: Callable[..., Any], arrays: tuple[Values, ...]) -> Callable[..., Any]:
    """A scalar function in which every element of the float results has a weight of its own."""
    random = np.random.default_rng(3)
    weights = [random.uniform(0.5, 1.5, result.shape) for result in interpret(build, *arrays)]

    def loss(*operands: Any) -> Any:
        results = build(*operands)
        listed = results if isinstance(results, tuple) else (results,)
        terms = [(x * w).sum() for x, w in zip(listed, weights, strict=True) if x.dtype is g.float64]
        return sum(terms[1:], terms[0])

    return loss


def check_slope(loss: Callable[..., Any], arrays: tuple[Values, ...], wrt: tuple[int, ...]) -> Callable[..., Any]:
    """Compare the slope along a random direction with a central difference; gives the function of the gradients."""
    random = np.random.default_rng(5)
    gradient = g.grad(loss, wrt)
    directions = [random.uniform(-1, 1, a.shape) if k in wrt else 0 for k, a in enumerate(arrays)]
    found = interpret(gradient, *arrays)
    slope = sum(float((got * directions[k]).sum()) for k, got in zip(wrt, found, strict=True))

    def value(step: float) -> float:
        moved = tuple(a + step * d if k in wrt else a for k, (a, d) in enumerate(zip(arrays, directions, strict=True)))
        return float(interpret(loss, *moved)[0])

    difference = (value(STEP) - value(-STEP)) / (2 * STEP)
    scale = 1.0 + sum(float(np.abs(got).sum()) for got in found)
    assert abs(slope - difference) < 1e-7 * scale, (slope, difference)
    return gradient


@pytest.mark.parametrize("case", [case for case in CASES if case.gradient], ids=lambda case: case.id)
def test_slopes_of_two_orders_are_those_of_differences(case: Case) -> None:
    wrt = tuple(k for k, a in enumerate(case.arrays) if a.dtype == np.float64)
    gradient = check_slope(weighted(case.build, case.arrays), case.arrays, wrt)
    check_slope(weighted(gradient, case.arrays), case.arrays, wrt)


INF = float("inf")
AT_CORNERS: tuple[tuple[str, Callable[..., Any], list[float], list[float]], ...] = (
    ("relu", g.relu, [-1, 0, 1], [0, 0, 1]),
    ("relu6", g.relu6, [0, 3, 6], [0, 1, 0]),
    ("hardtanh", g.hardtanh, [-1, 0, 1], [0, 1, 0]),
    ("leaky_relu", g.leaky_relu, [-1, 0, 1], [0.01, 0.01, 1]),
    ("clamp", lambda x: x.clamp(-1, 1), [-2, -1, 0, 1, 2], [0, 1, 1, 1, 0]),
    ("abs", g.abs, [-1, 0, 1], [-1, 0, 1]),
    ("elu", g.elu, [-1e4, 0, 1e4], [0, 1, 1]),
    ("celu", lambda x: g.celu(x, 2.0), [-1e4, 0, 1e4], [0, 1, 1]),
    ("gelu", g.gelu, [-1e4, 0, 1e4], [0, 0.5, 1]),
    ("softplus", g.softplus, [-1e4, 0, 1e4], [0, 0.5, 1]),
    ("logsigmoid", g.logsigmoid, [-1e4, 0, 1e4], [1, 0.5, 0]),
    ("mish", g.mish, [-1e4, 0, 1e4], [0, 0.6, 1]),
    ("silu", g.silu, [-1e4, 0, 1e4], [0, 0.5, 1]),
    ("sinc", g.sinc, [0], [0]),
    ("norm", g.norm, [0, 0], [0, 0]),
    ("normalize", lambda x: g.normalize(x, dim=0), [0, 0], [1e12, 1e12]),
    ("logsumexp", lambda x: x.logsumexp(0), [1e4, -1e4, -INF], [1, 0, 0]),
    ("softmax", lambda x: (x.softmax(0) * x.detach()).sum(), [1e3, -1e3], [0, 0]),
    ("max", lambda x: x.max(dim=0).values, [1, 2, 2], [0, 1, 0]),
    ("amax", lambda x: x.amax(), [1, 2, 2], [0, 0.5, 0.5]),
    ("xlogy", lambda x: g.xlogy(2.0, x), [1, 4], [2, 0.5]),
    ("detach", lambda x: x * x.detach(), [3, 4], [3, 4]),
    ("where", lambda x: g.where(x > 0, x.log(), 0.0), [0.5, 2], [2, 0.5]),
)


@pytest.mark.parametrize(("name", "build", "at", "expected"), AT_CORNERS, ids=[corner[0] for corner in AT_CORNERS])
def test_gradient_at_corners(name: str, build: Callable[..., Any], at: list[float], expected: list[float]) -> None:
    (found,) = interpret(g.grad(lambda x: build(x).sum()), np.array(at, np.float64))
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-9)


def test_the_padding_row_of_an_embedding_gets_no_gradient() -> None:
    index, table = np.array([0, 2, 1, 2]), np.ones((3, 2))
    (found,) = interpret(lambda i, w: g.grad(lambda w: F.embedding(i, w, padding_idx=-1).sum())(w), index, table)
    np.testing.assert_array_equal(found, [[1, 1], [1, 1], [0, 0]])


def test_ignored_targets_get_no_gradient() -> None:
    x, target = np.zeros((3, 2)), np.array([0, -100, 1])
    (found,) = interpret(lambda x, t: g.grad(lambda x: g.cross_entropy(x, t))(x), x, target)
    np.testing.assert_allclose(found, [[-0.25, 0.25], [0, 0], [0.25, -0.25]])
