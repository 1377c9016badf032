"""RMSprop: steps scaled by the running average of the squared gradient.

G. Hinton: lecture 6e of Neural Networks for Machine Learning (2012); centered and with momentum as in A. Graves:
Generating Sequences With Recurrent Neural Networks (2013).
"""

from __future__ import annotations

from typing import ClassVar

from graphc.eager.tensor import Tensor
from graphc.optim.adam import average, average_of_squares
from graphc.optim.optimizer import Params
from graphc.optim.options import check_learning_rate, check_not_negative, has_decay
from graphc.optim.rule import Group, Options, Rule, Value
from graphc.optim.ruled import RuledOptimizer

__all__ = ["RMSprop"]


def rmsprop(
    param: Value,
    grad: Value,
    step: Value,
    square_avg: Value,
    *states: Value,
    lr: Value,
    alpha: Value,
    eps: Value,
    weight_decay: Value,
    momentum: Value,
    centered: bool,
    has_momentum: bool,
    maximize: bool,
    decays: bool,
) -> tuple[Value, ...]:
    """One step; `states` are the momentum buffer and the average gradient, as far as they are used."""
    grad = -grad if maximize else grad
    grad = grad + weight_decay * param if decays else grad
    square_avg = average_of_squares(square_avg, grad, alpha)
    found = [step + 1, square_avg]
    variance = square_avg
    if centered:
        grad_avg = average(states[-1], grad, alpha)
        variance = square_avg - grad_avg * grad_avg
    direction = grad / (variance.sqrt() + eps)
    if has_momentum:
        direction = momentum * states[0] + direction
        found.append(direction)
    if centered:
        found.append(grad_avg)
    return (param - lr * direction, *found)


class RMSprop(RuledOptimizer):
    """RMSprop; `centered` divides by the standard deviation of the gradient. Raises ValueError for negative numbers."""

    _rule = Rule(
        rmsprop,
        {"lr": "lr", "alpha": "alpha", "eps": "eps", "weight_decay": "weight_decay", "momentum": "momentum"},
        ("centered", "has_momentum", "maximize", "decays"),
        scalars=1,
    )
    _loaded: ClassVar = {
        "momentum": 0,
        "centered": False,
        "foreach": None,
        "maximize": False,
        "differentiable": False,
        "capturable": False,
    }

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_learning_rate(lr)
        check_not_negative("epsilon value", eps)
        check_not_negative("momentum value", momentum)
        check_not_negative("weight_decay value", weight_decay)
        check_not_negative("alpha value", alpha)
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "alpha": alpha,
            "eps": eps,
            "centered": centered,
            "weight_decay": weight_decay,
            "capturable": capturable,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def _options(self, group: Group) -> Options:
        return (group["centered"], group["momentum"] > 0, group["maximize"], has_decay(group))

    def _states(self, group: Group) -> tuple[str, ...]:
        names = ["step", "square_avg"]
        if group["momentum"] > 0:
            names.append("momentum_buffer")
        if group["centered"]:
            names.append("grad_avg")
        return tuple(names)
