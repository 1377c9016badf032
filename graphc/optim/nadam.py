"""NAdam: Adam with Nesterov momentum.

T. Dozat: Incorporating Nesterov Momentum into Adam (2016).
"""

from __future__ import annotations

from typing import Any, ClassVar

from graphc.eager.tensor import Tensor
from graphc.optim.adam import average, average_of_squares
from graphc.optim.optimizer import Params
from graphc.optim.options import check_betas, check_learning_rate, check_not_negative, has_decay
from graphc.optim.rule import Group, Options, Rule, Value
from graphc.optim.ruled import RuledOptimizer, scalar

__all__ = ["NAdam"]


def nadam(
    param: Value,
    grad: Value,
    step: Value,
    mu_product: Value,
    exp_avg: Value,
    exp_avg_sq: Value,
    *,
    lr: Value,
    beta1: Value,
    beta2: Value,
    eps: Value,
    weight_decay: Value,
    momentum_decay: Value,
    maximize: bool,
    decays: bool,
    decoupled: bool,
) -> tuple[Value, ...]:
    """One step; the momentum of step `t` is `beta1 * (1 - 0.96 ** (t * momentum_decay) / 2)`."""
    step = step + 1
    count = step.double()
    grad = -grad if maximize else grad
    if decays and decoupled:
        param = param * (1 - lr * weight_decay)
    elif decays:
        grad = grad + weight_decay * param
    mu = beta1 * (1 - 0.5 * 0.96 ** (count * momentum_decay))
    mu_next = beta1 * (1 - 0.5 * 0.96 ** ((count + 1) * momentum_decay))
    mu_product = mu_product * mu.to(mu_product.dtype)
    product = mu_product.double()
    exp_avg = average(exp_avg, grad, beta1)
    exp_avg_sq = average_of_squares(exp_avg_sq, grad, beta2)
    denominator = (exp_avg_sq / (1 - beta2**count)).sqrt() + eps
    param = param - (lr * (1 - mu) / (1 - product)) * grad / denominator
    param = param - (lr * mu_next / (1 - product * mu_next)) * exp_avg / denominator
    return param, step, mu_product, exp_avg, exp_avg_sq


class NAdam(RuledOptimizer):
    """NAdam. Raises ValueError for numbers out of range."""

    _rule = Rule(
        nadam,
        {
            "lr": "lr",
            "beta1": ("betas", 0),
            "beta2": ("betas", 1),
            "eps": "eps",
            "weight_decay": "weight_decay",
            "momentum_decay": "momentum_decay",
        },
        ("maximize", "decays", "decoupled"),
        scalars=2,
    )
    _scalars = ("step", "mu_product")
    _loaded: ClassVar = {
        "maximize": False,
        "foreach": None,
        "capturable": False,
        "differentiable": False,
        "decoupled_weight_decay": False,
    }

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum_decay: float = 4e-3,
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
        check_not_negative("momentum_decay value", momentum_decay)
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "momentum_decay": momentum_decay,
            "decoupled_weight_decay": decoupled_weight_decay,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def _options(self, group: Group) -> Options:
        return (group["maximize"], has_decay(group), group["decoupled_weight_decay"])

    def _states(self, group: Group) -> tuple[str, ...]:
        return ("step", "mu_product", "exp_avg", "exp_avg_sq")

    def _start(self, param: Tensor, state: dict[str, Any], group: Group) -> None:
        super()._start(param, state, group)
        state["mu_product"] = scalar(1.0, group, param)
