"""Rprop: each element has a step size of its own, which grows while its gradient keeps its sign and shrinks when not.

M. Riedmiller, H. Braun: A direct adaptive method for faster backpropagation learning: the RPROP algorithm (1993).
"""

from __future__ import annotations

from typing import Any, ClassVar

from graphc.eager.tensor import Tensor
from graphc.optim.optimizer import Params
from graphc.optim.options import check_learning_rate
from graphc.optim.rule import Group, Options, Rule, Value, where
from graphc.optim.ruled import RuledOptimizer, full_like

__all__ = ["Rprop"]


def rprop(
    param: Value,
    grad: Value,
    step: Value,
    prev: Value,
    step_size: Value,
    *,
    shrink: Value,
    grow: Value,
    smallest: Value,
    largest: Value,
    maximize: bool,
) -> tuple[Value, ...]:
    """One step; an element whose gradient changes its sign rests."""
    grad = -grad if maximize else grad
    product = grad * prev
    sign = product.sign()
    turned = product < 0
    factor = where(sign > 0, grow.to(sign.dtype), where(turned, shrink.to(sign.dtype), sign + 1))
    step_size = (step_size * factor).maximum(smallest.to(sign.dtype)).minimum(largest.to(sign.dtype))
    grad = grad.masked_fill(turned, 0.0)
    return param - grad.sign() * step_size, step + 1, grad, step_size


class Rprop(RuledOptimizer):
    """Resilient backpropagation: only the signs of gradients count. Raises ValueError for numbers out of range."""

    _rule = Rule(
        rprop,
        {
            "shrink": ("etas", 0),
            "grow": ("etas", 1),
            "smallest": ("step_sizes", 0),
            "largest": ("step_sizes", 1),
        },
        ("maximize",),
        scalars=1,
    )
    _loaded: ClassVar = {"foreach": None, "maximize": False, "differentiable": False, "capturable": False}

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 1e-2,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50),
        *,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_learning_rate(lr)
        if not 0.0 < etas[0] < 1.0 < etas[1]:
            raise ValueError(f"Invalid eta values: {etas[0]}, {etas[1]}")
        defaults = {
            "lr": lr,
            "etas": etas,
            "step_sizes": step_sizes,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        super().__init__(params, defaults)

    def _options(self, group: Group) -> Options:
        return (group["maximize"],)

    def _states(self, group: Group) -> tuple[str, ...]:
        return ("step", "prev", "step_size")

    def _start(self, param: Tensor, state: dict[str, Any], group: Group) -> None:
        super()._start(param, state, group)
        state["step_size"] = full_like(param, float(group["lr"]))
