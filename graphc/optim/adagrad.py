"""Adagrad: steps scaled by the root of the sum of all squared gradients.

J. Duchi, E. Hazan, Y. Singer: Adaptive Subgradient Methods for Online Learning and Stochastic Optimization (2011).
"""

from __future__ import annotations

from typing import Any, ClassVar

from graphc.eager.tensor import Tensor
from graphc.optim.optimizer import Params
from graphc.optim.options import check_learning_rate, check_not_negative, check_ways, has_decay
from graphc.optim.rule import Group, Options, Rule, Value
from graphc.optim.ruled import RuledOptimizer, full_like, scalar

__all__ = ["Adagrad"]


def adagrad(
    param: Value,
    grad: Value,
    step: Value,
    sum: Value,
    *,
    lr: Value,
    lr_decay: Value,
    eps: Value,
    weight_decay: Value,
    maximize: bool,
    decays: bool,
) -> tuple[Value, ...]:
    """One step."""
    grad = -grad if maximize else grad
    grad = grad + weight_decay * param if decays else grad
    sum = sum + grad * grad
    rate = lr / (1 + step.double() * lr_decay)
    return param - rate * grad / (sum.sqrt() + eps), step + 1, sum


class Adagrad(RuledOptimizer):
    """Adagrad, with a learning rate that may fall with the steps. Raises ValueError for negative numbers."""

    _rule = Rule(
        adagrad,
        {"lr": "lr", "lr_decay": "lr_decay", "eps": "eps", "weight_decay": "weight_decay"},
        ("maximize", "decays"),
        scalars=1,
    )
    _loaded: ClassVar = {"foreach": None, "maximize": False, "differentiable": False, "fused": None}

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        check_learning_rate(lr)
        check_not_negative("lr_decay value", lr_decay)
        check_not_negative("weight_decay value", weight_decay)
        check_not_negative("initial_accumulator_value value", initial_accumulator_value)
        check_not_negative("epsilon value", eps)
        defaults = {
            "lr": lr,
            "lr_decay": lr_decay,
            "eps": eps,
            "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "fused": fused,
        }
        super().__init__(params, defaults)
        check_ways(fused, foreach, differentiable)
        for group in self.param_groups:
            for param in group["params"]:
                self._start(param, self.state[param], group)

    def share_memory(self) -> None:
        """Put the sums where child processes see them."""
        for state in self.state.values():
            state["sum"].share_memory_()

    def _options(self, group: Group) -> Options:
        return (group["maximize"], has_decay(group))

    def _states(self, group: Group) -> tuple[str, ...]:
        return ("step", "sum")

    def _start(self, param: Tensor, state: dict[str, Any], group: Group) -> None:
        state["step"] = scalar(0.0, group, param)
        state["sum"] = full_like(param, self.defaults["initial_accumulator_value"])
