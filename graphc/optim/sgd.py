"""Stochastic gradient descent, with momentum.

I. Sutskever, J. Martens, G. Dahl, G. Hinton: On the importance of initialization and momentum in deep learning (2013),
with the velocity scaled by the learning rate when it is applied rather than when it is gathered.
"""

from __future__ import annotations

from typing import ClassVar

from graphc.eager.tensor import Tensor
from graphc.optim.optimizer import Params
from graphc.optim.options import check_learning_rate, check_not_negative, check_ways, has_decay
from graphc.optim.rule import Group, Numbers, Options, Rule, Value
from graphc.optim.ruled import RuledOptimizer, State, zeros_like
from graphc.optim.together import Change

__all__ = ["SGD"]


def sgd(
    param: Value,
    grad: Value,
    momentum_buffer: Value | None = None,
    *,
    lr: Value,
    momentum: Value,
    dampening: Value,
    weight_decay: Value,
    nesterov: bool,
    maximize: bool,
    decays: bool,
    is_first: bool,
) -> tuple[Value, ...]:
    """One step; without a buffer there is no momentum, and the first gradient becomes the buffer as it is."""
    grad = -grad if maximize else grad
    grad = grad + weight_decay * param if decays else grad
    if momentum_buffer is None:
        return (param - lr * grad,)
    buffer = grad if is_first else momentum * momentum_buffer + (1 - dampening) * grad
    direction = grad + momentum * buffer if nesterov else buffer
    return param - lr * direction, buffer


class SGD(RuledOptimizer):
    """Stochastic gradient descent: `param -= lr * grad`, or with momentum the decayed sum of gradients.

    Raises ValueError for negative numbers, and for `nesterov` without momentum or with dampening.
    """

    _rule = Rule(
        sgd,
        {"lr": "lr", "momentum": "momentum", "dampening": "dampening", "weight_decay": "weight_decay"},
        ("nesterov", "maximize", "decays", "is_first"),
    )
    _loaded: ClassVar = {"nesterov": False, "maximize": False, "foreach": None, "differentiable": False, "fused": False}

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float | Tensor = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        check_learning_rate(lr)
        check_not_negative("momentum value", momentum)
        check_not_negative("weight_decay value", weight_decay)
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "maximize": maximize,
            "foreach": foreach,
            "differentiable": differentiable,
            "fused": fused,
        }
        super().__init__(params, defaults)
        check_ways(fused, foreach, differentiable)

    def _options(self, group: Group) -> Options:
        return (group["nesterov"], group["maximize"], has_decay(group), False)

    def _states(self, group: Group) -> tuple[str, ...]:
        return ("momentum_buffer",) if group["momentum"] != 0 else ()

    def _change(
        self, param: Tensor, grad: Tensor, state: State, options: Options, names: tuple[str, ...], numbers: Numbers
    ) -> Change:
        if names and state.get("momentum_buffer") is None:
            state["momentum_buffer"] = zeros_like(param)
            options = (*options[:-1], True)
        return Change(options, (param, *[state[name] for name in names]), grad)
