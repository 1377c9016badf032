"""AdamW: Adam whose weights decay apart from the gradient.

I. Loshchilov, F. Hutter: Decoupled Weight Decay Regularization (2017).
"""

from __future__ import annotations

from typing import Any

from graphc.eager.tensor import Tensor
from graphc.optim.adam import Adam
from graphc.optim.optimizer import Params

__all__ = ["AdamW"]


class AdamW(Adam):
    """Adam with decoupled decay: each step first shrinks the parameter by `lr * weight_decay` of it."""

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 1e-3,
        betas: tuple[float | Tensor, float | Tensor] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        super().__init__(
            params,
            lr,
            betas,
            eps,
            weight_decay,
            amsgrad,
            foreach=foreach,
            maximize=maximize,
            capturable=capturable,
            differentiable=differentiable,
            fused=fused,
            decoupled_weight_decay=True,
        )

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for group in self.param_groups:
            group["decoupled_weight_decay"] = True
