"""L-BFGS: Newton's method with the curvature estimated from the last few steps.

D. C. Liu, J. Nocedal: On the limited memory BFGS method for large scale optimization (1989).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from graphc.eager.dispatch import function_of
from graphc.eager.mode import enable_grad
from graphc.eager.tensor import Tensor
from graphc.eager.view import view_as_real
from graphc.optim.line_search import Point, strong_wolfe
from graphc.optim.optimizer import Optimizer, Params, _to_scalar, _use_grad_for_differentiable
from graphc.optim.options import check_learning_rate

__all__ = ["LBFGS"]

LEAST_CURVATURE = 1e-10
"""Steps along which the gradient changes by less are not remembered."""


class LBFGS(Optimizer):
    """L-BFGS, for all parameters in one group; `step` evaluates a closure several times.

    Raises ValueError for several groups and a negative learning rate.
    """

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 1,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:
        check_learning_rate(lr)
        defaults = {
            "lr": lr,
            "max_iter": max_iter,
            "max_eval": max_iter * 5 // 4 if max_eval is None else max_eval,
            "tolerance_grad": tolerance_grad,
            "tolerance_change": tolerance_change,
            "history_size": history_size,
            "line_search_fn": line_search_fn,
        }
        super().__init__(params, defaults)
        if len(self.param_groups) != 1:
            raise ValueError("LBFGS doesn't support per-parameter options (parameter groups)")

    @property
    def _params(self) -> list[Any]:
        params: list[Any] = self.param_groups[0]["params"]
        return params

    def _gather_flat_grad(self) -> Any:
        """The gradients of all parameters in one row; complex numbers as pairs."""
        gradients = [param.new_zeros(param.shape) if param.grad is None else param.grad for param in self._params]
        return function_of("cat")([_as_real(each).reshape(-1) for each in gradients], 0)

    def _add_grad(self, step_size: Any, update: Any) -> None:
        """Move all parameters by so much of a row."""
        start = 0
        for param in map(_as_real, self._params):
            part = update[start : start + param.numel()]
            param.add_(part.view(param.shape), alpha=float(step_size))
            start += param.numel()

    def _evaluate(self, closure: Callable[[], Any], start: list[Any], direction: Any, step: Any) -> tuple[float, Any]:
        """The loss and its gradient after a step from `start`, where the parameters are left."""
        self._add_grad(step, direction)
        loss, gradient = float(closure()), self._gather_flat_grad()
        for param, value in zip(self._params, start):
            param.copy_(value)
        return loss, gradient

    @_use_grad_for_differentiable
    def step(self, closure: Callable[[], Any]) -> Any:
        """Take up to `max_iter` steps; `closure` computes the loss and its gradients, and returns the loss.

        Returns the loss before the first step. Raises RuntimeError for an unknown line search.
        """
        compute = enable_grad()(closure)
        group = self.param_groups[0]
        rate, change = _to_scalar(group["lr"]), group["tolerance_change"]
        state = self.state[self._params[0]]  # for all; kept with the first so that loading casts it
        state.setdefault("func_evals", 0)
        state.setdefault("n_iter", 0)
        first_loss = compute()
        loss = float(first_loss)
        evaluations = 1
        state["func_evals"] += 1
        gradient = self._gather_flat_grad()
        if gradient.abs().max() <= group["tolerance_grad"]:
            return first_loss
        d, t = state.get("d"), state.get("t")
        previous, previous_loss = state.get("prev_flat_grad"), state.get("prev_loss")
        for iteration in range(1, group["max_iter"] + 1):
            state["n_iter"] += 1
            if state["n_iter"] == 1:
                d = gradient.neg()
                state |= {"old_dirs": [], "old_stps": [], "ro": [], "H_diag": 1}
            else:
                _remember(state, gradient.sub(previous), d.mul(t), group["history_size"])
                d = _direction(state, gradient, group["history_size"])
            if previous is None:
                previous = gradient.clone()
            else:
                previous.copy_(gradient)
            previous_loss = loss
            t = min(1.0, 1.0 / gradient.abs().sum()) * rate if state["n_iter"] == 1 else rate
            slope = gradient.dot(d)
            if slope > -change:
                break
            count, is_flat = 0, False
            if group["line_search_fn"] is not None:
                if group["line_search_fn"] != "strong_wolfe":
                    raise RuntimeError("only 'strong_wolfe' is supported")
                start = [param.clone() for param in self._params]
                found, count = strong_wolfe(
                    partial(self._evaluate, compute, start, d),
                    t,
                    d,
                    Point(0, loss, gradient, slope),
                    group["max_eval"] - evaluations,
                )
                loss, gradient, t = found.loss, found.gradient, found.step
                self._add_grad(t, d)
                is_flat = bool(gradient.abs().max() <= group["tolerance_grad"])
            else:
                self._add_grad(t, d)
                if iteration != group["max_iter"]:  # the next step evaluates it anyway
                    loss, gradient = float(compute()), self._gather_flat_grad()
                    is_flat = bool(gradient.abs().max() <= group["tolerance_grad"])
                    count = 1
            evaluations += count
            state["func_evals"] += count
            if evaluations >= group["max_eval"] or is_flat:
                break
            if d.mul(t).abs().max() <= change or abs(loss - previous_loss) < change:
                break
        memory = {} if "d" in state else {key: state.pop(key) for key in ("old_dirs", "old_stps", "ro", "H_diag")}
        state |= {"d": d, "t": t, **memory, "prev_flat_grad": previous, "prev_loss": previous_loss}
        return first_loss


def _remember(state: dict[str, Any], change: Any, step: Any, most: int) -> None:
    """Keep how the gradient changed along a step, if it did."""
    curvature = change.dot(step)
    if curvature > LEAST_CURVATURE:
        histories = (state["old_dirs"], state["old_stps"], state["ro"])
        for history, value in zip(histories, (change, step, 1.0 / curvature)):
            if len(history) == most:
                history.pop(0)
            history.append(value)
        state["H_diag"] = curvature / change.dot(change)


def _direction(state: dict[str, Any], gradient: Any, most: int) -> Any:
    """The inverse Hessian, as far as it is known, times the negative gradient: the two loops of the paper."""
    changes, steps, inverses = state["old_dirs"], state["old_stps"], state["ro"]
    shares = state.setdefault("al", [None] * most)
    direction = gradient.neg()
    for index in reversed(range(len(changes))):
        shares[index] = steps[index].dot(direction) * inverses[index]
        direction.sub_(changes[index] * shares[index])
    direction = direction * state["H_diag"]
    for index, step in enumerate(steps):
        direction.add_(step * (shares[index] - changes[index].dot(direction) * inverses[index]))
    return direction


def _as_real(tensor: Any) -> Any:
    """A complex tensor as pairs, over the same memory."""
    return view_as_real(tensor) if tensor.is_complex() else tensor
