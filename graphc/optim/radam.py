"""RAdam: Adam whose steps are scaled only once the average of squares is worth something.

L. Liu et al.: On the Variance of the Adaptive Learning Rate and Beyond (2019).
"""

from __future__ import annotations

from typing import ClassVar

from graphc.eager.tensor import Tensor
from graphc.optim.adam import average, average_of_squares
from graphc.optim.optimizer import Params
from graphc.optim.options import check_betas, check_learning_rate, check_not_negative, has_decay
from graphc.optim.rule import Group, Options, Rule, Value, where
from graphc.optim.ruled import RuledOptimizer

__all__ = ["RAdam"]


def radam(
    param: Value,
    grad: Value,
    step: Value,
    exp_avg: Value,
    exp_avg_sq: Value,
    *,
    lr: Value,
    beta1: Value,
    beta2: Value,
    eps: Value,
    weight_decay: Value,
    maximize: bool,
    decays: bool,
    decoupled: bool,
) -> tuple[Value, ...]:
    """One step; `length` is that of the simple moving average that the running one stands for."""
    step = step + 1
    count = step.double()
    grad = -grad if maximize else grad
    if decays and decoupled:
        param = param * (1 - lr * weight_decay)
    elif decays:
        grad = grad + weight_decay * param
    exp_avg = average(exp_avg, grad, beta1)
    exp_avg_sq = average_of_squares(exp_avg_sq, grad, beta2)
    correction = 1 - beta2**count
    longest = 2 / (1 - beta2) - 1
    length = longest - 2 * count * beta2**count / correction
    is_long = length > 5
    ratio = (length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length)
    rectified = where(is_long, ratio * correction, 1.0).sqrt()
    # Before that, every element moves alike.
    denominator = where(is_long, exp_avg_sq.sqrt() + eps, 1.0)
    return (
        param - (lr / (1 - beta1**count)) * exp_avg * rectified / denominator,
        step,
        exp_avg,
        exp_avg_sq,
    )


class RAdam(RuledOptimizer):
    """RAdam. Raises ValueError for numbers out of range."""

    _rule = Rule(
        radam,
        {"lr": "lr", "beta1": ("betas", 0), "beta2": ("betas", 1), "eps": "eps", "weight_decay": "weight_decay"},
        ("maximize", "decays", "decoupled"),
        scalars=1,
    )
    _loaded: ClassVar = {
        "foreach": None,
        "maximize": False,
        "differentiable": False,
        "decoupled_weight_decay": False,
        "capturable": False,
    }

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
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
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "decoupled_weight_decay": decoupled_weight_decay,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def _options(self, group: Group) -> Options:
        return (group["maximize"], has_decay(group), group["decoupled_weight_decay"])

    def _states(self, group: Group) -> tuple[str, ...]:
        return ("step", "exp_avg", "exp_avg_sq")
