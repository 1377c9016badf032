"""Adamax: Adam with the largest gradient so far, decayed, in place of the average of squares.

D. P. Kingma, J. Ba: Adam: A Method for Stochastic Optimization (2014), section 7.
"""

from __future__ import annotations

from typing import ClassVar

from graphc.eager.tensor import Tensor
from graphc.optim.adam import average
from graphc.optim.optimizer import Params
from graphc.optim.options import check_betas, check_learning_rate, check_not_negative, has_decay
from graphc.optim.rule import Group, Options, Rule, Value
from graphc.optim.ruled import RuledOptimizer

__all__ = ["Adamax"]


def adamax(
    param: Value,
    grad: Value,
    step: Value,
    exp_avg: Value,
    exp_inf: Value,
    *,
    lr: Value,
    beta1: Value,
    beta2: Value,
    eps: Value,
    weight_decay: Value,
    maximize: bool,
    decays: bool,
) -> tuple[Value, ...]:
    """One step."""
    step = step + 1
    grad = -grad if maximize else grad
    grad = grad + weight_decay * param if decays else grad
    exp_avg = average(exp_avg, grad, beta1)
    exp_inf = (beta2 * exp_inf).maximum(grad.abs() + eps)
    return param - (lr / (1 - beta1 ** step.double())) * exp_avg / exp_inf, step, exp_avg, exp_inf


class Adamax(RuledOptimizer):
    """Adamax. Raises ValueError for numbers out of range."""

    _rule = Rule(
        adamax,
        {"lr": "lr", "beta1": ("betas", 0), "beta2": ("betas", 1), "eps": "eps", "weight_decay": "weight_decay"},
        ("maximize", "decays"),
        scalars=1,
    )
    _loaded: ClassVar = {"foreach": None, "maximize": False, "differentiable": False, "capturable": False}

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        check_learning_rate(lr)
        check_not_negative("epsilon value", eps)
        check_betas(betas)
        check_not_negative("weight_decay value", weight_decay)
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
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
        return ("step", "exp_avg", "exp_inf")
