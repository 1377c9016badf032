"""SparseAdam: Adam that touches only rows with a gradient. Gradients are always dense here, and it takes no such.

In: what Adam takes. Out: an optimizer that checks its arguments, and refuses dense gradients as PyTorch's does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from graphc.eager.mode import enable_grad
from graphc.eager.tensor import Tensor
from graphc.optim.optimizer import Optimizer, Params, _use_grad_for_differentiable
from graphc.optim.options import check_betas, check_one_element

__all__ = ["SparseAdam"]


class SparseAdam(Optimizer):
    """Adam for sparse gradients: `step` raises RuntimeError where there is a gradient, since none is sparse."""

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        maximize: bool = False,
    ) -> None:
        check_one_element("lr", lr)
        if not lr > 0.0:  # type: ignore[operator]  # tensors compare
            raise ValueError(f"Invalid learning rate: {lr}")
        if not eps > 0.0:
            raise ValueError(f"Invalid epsilon value: {eps}")
        check_betas(betas)
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "maximize": maximize})
        is_complex = [
            [index, position]
            for index, group in enumerate(self.param_groups)
            for position, param in enumerate(group["params"])
            if param.is_complex()
        ]
        if is_complex:
            raise ValueError(f"Complex params at indices {is_complex}: SparseAdam does not support complex parameters")

    @_use_grad_for_differentiable
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Refuse dense gradients; without any gradient nothing happens."""
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        if any(param.grad is not None for group in self.param_groups for param in group["params"]):
            raise RuntimeError("SparseAdam does not support dense gradients, please consider Adam instead")
        return loss
