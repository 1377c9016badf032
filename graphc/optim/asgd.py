"""ASGD: stochastic gradient descent, and the average of all parameters on the way.

B. T. Polyak, A. B. Juditsky: Acceleration of stochastic approximation by averaging (1992).
"""

from __future__ import annotations

from typing import Any, ClassVar

from graphc.eager.tensor import Tensor
from graphc.optim.optimizer import Params
from graphc.optim.options import check_learning_rate, check_not_negative, has_decay
from graphc.optim.rule import Group, Options, Rule, Value, where
from graphc.optim.ruled import RuledOptimizer, scalar, zeros_like

__all__ = ["ASGD"]


def asgd(
    param: Value,
    grad: Value,
    step: Value,
    eta: Value,
    mu: Value,
    ax: Value,
    *,
    lr: Value,
    lambd: Value,
    alpha: Value,
    t0: Value,
    weight_decay: Value,
    maximize: bool,
    decays: bool,
) -> tuple[Value, ...]:
    """One step; `eta` is the learning rate by now, `mu` the weight of the newest parameter in the average `ax`."""
    step = step + 1
    count, rate = step.double(), eta.double()
    grad = -grad if maximize else grad
    grad = grad + weight_decay * param if decays else grad
    param = param * (1 - lambd * rate) - rate * grad
    ax = where(mu == 1, param, ax + (param - ax) * mu)
    eta = (lr / (1 + lambd * lr * count) ** alpha).to(eta.dtype)
    late = count - t0
    mu = (1 / where(late > 1, late, 1.0)).to(mu.dtype)
    return param, step, eta, mu, ax


class ASGD(RuledOptimizer):
    """Averaged stochastic gradient descent; the average is `state[param]["ax"]`. Raises ValueError for negatives."""

    _rule = Rule(
        asgd,
        {"lr": "lr", "lambd": "lambd", "alpha": "alpha", "t0": "t0", "weight_decay": "weight_decay"},
        ("maximize", "decays"),
        scalars=3,
    )
    _scalars = ("step", "eta", "mu")
    _loaded: ClassVar = {"foreach": None, "maximize": False, "differentiable": False, "capturable": False}

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 1e-2,
        lambd: float = 1e-4,
        alpha: float = 0.75,
        t0: float = 1e6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        check_learning_rate(lr)
        check_not_negative("weight_decay value", weight_decay)
        defaults = {
            "lr": lr,
            "lambd": lambd,
            "alpha": alpha,
            "t0": t0,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        super().__init__(params, defaults)

    def _options(self, group: Group) -> Options:
        return (group["maximize"], has_decay(group))

    def _states(self, group: Group) -> tuple[str, ...]:
        return ("step", "eta", "mu", "ax")

    def _start(self, param: Tensor, state: dict[str, Any], group: Group) -> None:
        state["step"] = scalar(0.0, group, param)
        state["eta"] = scalar(float(group["lr"]), group, param)
        state["mu"] = scalar(1.0, group, param)
        state["ax"] = zeros_like(param)
