"""Adadelta: steps as large as the earlier ones were, for the gradients that there were.

M. D. Zeiler: ADADELTA: An Adaptive Learning Rate Method (2012).
"""

from __future__ import annotations

from typing import ClassVar

from graphc.eager.tensor import Tensor
from graphc.optim.adam import average_of_squares
from graphc.optim.optimizer import Params
from graphc.optim.options import check_learning_rate, check_not_negative, has_decay
from graphc.optim.rule import Group, Options, Rule, Value
from graphc.optim.ruled import RuledOptimizer

__all__ = ["Adadelta"]


def adadelta(
    param: Value,
    grad: Value,
    step: Value,
    square_avg: Value,
    acc_delta: Value,
    *,
    lr: Value,
    rho: Value,
    eps: Value,
    weight_decay: Value,
    maximize: bool,
    decays: bool,
) -> tuple[Value, ...]:
    """One step."""
    grad = -grad if maximize else grad
    grad = grad + weight_decay * param if decays else grad
    square_avg = average_of_squares(square_avg, grad, rho)
    delta = (acc_delta + eps).sqrt() / (square_avg + eps).sqrt() * grad
    return param - lr * delta, step + 1, square_avg, average_of_squares(acc_delta, delta, rho)


class Adadelta(RuledOptimizer):
    """Adadelta. Raises ValueError for numbers out of range."""

    _rule = Rule(
        adadelta,
        {"lr": "lr", "rho": "rho", "eps": "eps", "weight_decay": "weight_decay"},
        ("maximize", "decays"),
        scalars=1,
    )
    _loaded: ClassVar = {"foreach": None, "maximize": False, "differentiable": False, "capturable": False}

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        capturable: bool = False,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_learning_rate(lr)
        if not 0.0 <= rho <= 1.0:
            raise ValueError(f"Invalid rho value: {rho}")
        check_not_negative("epsilon value", eps)
        check_not_negative("weight_decay value", weight_decay)
        defaults = {
            "lr": lr,
            "rho": rho,
            "eps": eps,
            "weight_decay": weight_decay,
            "maximize": maximize,
            "capturable": capturable,
            "foreach": foreach,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def _options(self, group: Group) -> Options:
        return (group["maximize"], has_decay(group))

    def _states(self, group: Group) -> tuple[str, ...]:
        return ("step", "square_avg", "acc_delta")
