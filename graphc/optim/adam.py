"""Adam: steps scaled by running averages of the gradient and of its square.

D. P. Kingma, J. Ba: Adam: A Method for Stochastic Optimization (2014); the variant with the largest average so far:
S. J. Reddi, S. Kale, S. Kumar: On the Convergence of Adam and Beyond (2018).
"""

from __future__ import annotations

from typing import ClassVar

from graphc.eager.tensor import Tensor
from graphc.optim.optimizer import Params, _to_scalar
from graphc.optim.options import check_betas, check_not_negative, check_one_element, check_ways, has_decay
from graphc.optim.rule import Group, Options, Rule, Value
from graphc.optim.ruled import RuledOptimizer

__all__ = ["Adam"]


def adam(
    param: Value,
    grad: Value,
    step: Value,
    exp_avg: Value,
    exp_avg_sq: Value,
    max_exp_avg_sq: Value | None = None,
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
    """One step. Decay is part of the gradient, or, `decoupled`, shrinks the parameter by itself (AdamW)."""
    step = step + 1
    count = step.double()
    grad = -grad if maximize else grad
    if decays and decoupled:
        param = param * (1 - lr * weight_decay)
    elif decays:
        grad = grad + weight_decay * param
    exp_avg = average(exp_avg, grad, beta1)
    exp_avg_sq = average_of_squares(exp_avg_sq, grad, beta2)
    largest = exp_avg_sq if max_exp_avg_sq is None else max_exp_avg_sq.maximum(exp_avg_sq)
    denominator = largest.sqrt() / (1 - beta2**count).sqrt() + eps
    param = param - (lr / (1 - beta1**count)) * exp_avg / denominator
    states = (step, exp_avg, exp_avg_sq)
    return (param, *states) if max_exp_avg_sq is None else (param, *states, largest)


def average(value: Value, new: Value, beta: Value) -> Value:
    """The running average: the share `1 - beta` of what is new."""
    return value + (1 - beta) * (new - value)


def average_of_squares(value: Value, new: Value, beta: Value) -> Value:
    """The running average of squares."""
    return beta * value + (1 - beta) * new * new


class Adam(RuledOptimizer):
    """Adam; `amsgrad` divides by the largest average of squares so far.

    Raises ValueError for numbers out of range.
    """

    _rule = Rule(
        adam,
        {"lr": "lr", "beta1": ("betas", 0), "beta2": ("betas", 1), "eps": "eps", "weight_decay": "weight_decay"},
        ("maximize", "decays", "decoupled"),
        scalars=1,
    )
    _loaded: ClassVar = {
        "amsgrad": False,
        "maximize": False,
        "foreach": None,
        "capturable": False,
        "differentiable": False,
        "decoupled_weight_decay": False,
        "fused": None,
    }

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 1e-3,
        betas: tuple[float | Tensor, float | Tensor] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
    ) -> None:
        is_refused = foreach and not capturable
        if isinstance(lr, Tensor):
            if is_refused:
                raise ValueError("lr as a Tensor is not supported for capturable=False and foreach=True")
            check_one_element("lr", lr)
        check_not_negative("learning rate", lr)
        check_not_negative("epsilon value", eps)
        check_betas(betas)
        check_not_negative("weight_decay value", weight_decay)
        first, second = betas
        if not any(isinstance(first, kind) and isinstance(second, kind) for kind in (float, Tensor)):
            raise ValueError("betas must be either both floats or both Tensors")
        for index, beta in enumerate(betas):
            if isinstance(beta, Tensor) and is_refused:
                raise ValueError(f"betas[{index}] as a Tensor is not supported for capturable=False and foreach=True")
            check_one_element(f"betas[{index}]", beta)
        defaults = {
            "lr": lr,
            "betas": (_to_scalar(first), _to_scalar(second)),
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "differentiable": differentiable,
            "fused": fused,
            "decoupled_weight_decay": decoupled_weight_decay,
        }
        super().__init__(params, defaults)
        check_ways(fused, foreach, differentiable)

    def _options(self, group: Group) -> Options:
        return (group["maximize"], has_decay(group), group["decoupled_weight_decay"])

    def _states(self, group: Group) -> tuple[str, ...]:
        states = ("step", "exp_avg", "exp_avg_sq")
        return (*states, "max_exp_avg_sq") if group["amsgrad"] else states
