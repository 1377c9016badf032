"""L-BFGS on functions whose minimum is known."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import graphc
from graphc.optim.line_search import Point, strong_wolfe


def minimize(loss: Any, params: list[Any], steps: int, **options: Any) -> tuple[list[float], int]:
    optimizer = graphc.optim.LBFGS(params, **options)
    calls = 0

    def closure() -> Any:
        nonlocal calls
        calls += 1
        optimizer.zero_grad()
        found = loss()
        found.backward()
        return found

    losses = [optimizer.step(closure).item() for _ in range(steps)]
    state = optimizer.state_dict()["state"][0]
    assert state["func_evals"] == calls
    return losses, calls


def rosenbrock(x: Any) -> Any:
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


def test_a_quadratic_form_is_solved_in_about_as_many_steps_as_it_has_dimensions() -> None:
    scale, center = graphc.tensor([1.0, 10.0, 100.0]).double(), graphc.tensor([3.0, -2.0, 0.5]).double()
    x = graphc.zeros(3, dtype=graphc.float64, requires_grad=True)
    _, calls = minimize(lambda: (scale * (x - center) ** 2).sum(), [x], 1, line_search_fn="strong_wolfe")
    assert x.tolist() == pytest.approx(center.tolist(), abs=1e-6)
    assert calls <= 15


@pytest.mark.parametrize("options", [{}, {"history_size": 3}, {"lr": 30.0}])
def test_the_valley_of_rosenbrock_is_walked_to_its_end(options: dict[str, Any]) -> None:
    x = graphc.tensor([-1.2, 1.0, 0.5], dtype=graphc.float64, requires_grad=True)
    losses, _ = minimize(lambda: rosenbrock(x), [x], 6, line_search_fn="strong_wolfe", **options)
    assert all(after <= before for before, after in itertools.pairwise(losses))
    assert x.tolist() == pytest.approx([1.0, 1.0, 1.0], abs=1e-5)


def test_without_a_line_search_the_first_step_is_scaled_by_the_gradient() -> None:
    x = graphc.tensor([2.0, 0.0], dtype=graphc.float64, requires_grad=True)
    minimize(lambda: (x**2).sum(), [x], 1, lr=0.5, max_iter=1)
    assert x.tolist() == [1.5, 0.0]  # the gradient is 4: a step of 0.5 / 4 of it


def test_several_parameters_of_any_kind_are_one_row() -> None:
    x = graphc.zeros(2, 2, dtype=graphc.float64, requires_grad=True)
    z = graphc.zeros(2, dtype=graphc.complex128, requires_grad=True)
    unused = graphc.ones(3, dtype=graphc.float64, requires_grad=True)
    goal = graphc.tensor([1 + 2j, -1j])
    minimize(lambda: ((x - 1) ** 2).sum() + (z - goal).abs().pow(2).sum(), [x, z, unused], 2, lr=0.5, max_iter=50)
    np.testing.assert_allclose(x.detach().numpy(), 1.0, atol=1e-5)
    np.testing.assert_allclose(z.detach().numpy(), goal.numpy(), atol=1e-5)
    assert unused.tolist() == [1.0] * 3


def test_it_stops_where_it_stands_at_the_minimum_or_after_enough_evaluations() -> None:
    x = graphc.zeros(2, requires_grad=True)
    assert minimize(lambda: (x**2).sum(), [x], 1) == ([0.0], 1)
    y = graphc.tensor([-1.2, 1.0], requires_grad=True)
    assert minimize(lambda: rosenbrock(y), [y], 1, max_eval=5, lr=1e-3)[1] == 5


def test_an_unknown_line_search_is_refused() -> None:
    x = graphc.ones(2, requires_grad=True)
    with pytest.raises(RuntimeError, match="only 'strong_wolfe' is supported"):
        minimize(lambda: (x**2).sum(), [x], 1, line_search_fn="backtrack")


@pytest.mark.parametrize("step", [0.01, 1.0, 7.0, 100.0])
def test_the_point_that_is_found_satisfies_both_conditions(step: float) -> None:
    def evaluate(t: Any) -> tuple[float, Any]:
        x = graphc.as_tensor(t, dtype=graphc.float64).detach().requires_grad_()
        loss = (x - 3) ** 4 + graphc.sin(5 * x)
        loss.backward()
        return loss.item(), x.grad.reshape(1)

    loss, gradient = evaluate(0.0)
    direction = graphc.ones(1, dtype=graphc.float64)
    found, evaluations = strong_wolfe(evaluate, step, direction, Point(0, loss, gradient, gradient.dot(direction)), 25)
    slope = gradient.item()
    assert found.loss <= loss + 1e-4 * float(found.step) * slope
    assert abs(found.slope.item()) <= -0.9 * slope
    assert evaluations <= 26
