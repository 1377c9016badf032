"""Muon: momentum whose matrix is made orthogonal before it is applied.

K. Jordan et al.: Muon: An optimizer for hidden layers in neural networks (2024); learning rates as in J. Liu et al.:
Muon is Scalable for LLM Training (2025).
"""

from __future__ import annotations

from graphc.eager.tensor import Tensor
from graphc.ir.dtype import bf16
from graphc.optim.optimizer import Params
from graphc.optim.options import check_one_element
from graphc.optim.rule import Group, Numbers, Options, Rule, Value, number
from graphc.optim.ruled import RuledOptimizer, State
from graphc.optim.together import Change

__all__ = ["Muon"]

EPS = 1e-7
DEFAULT_A, DEFAULT_B, DEFAULT_C = 3.4445, -4.7750, 2.0315
DEFAULT_NS_STEPS = 5


def muon(
    param: Value,
    grad: Value,
    momentum_buffer: Value,
    *,
    lr: Value,
    weight_decay: Value,
    momentum: Value,
    eps: Value,
    nesterov: bool,
    ns_coefficients: tuple[float, float, float],
    ns_steps: int,
    adjust_lr_fn: str | None,
    is_tall: bool,
) -> tuple[Value, ...]:
    """One step."""
    buffer = momentum_buffer + (1 - momentum) * (grad - momentum_buffer)
    direction = grad + momentum * (buffer - grad) if nesterov else buffer
    wide = orthogonal(direction.T if is_tall else direction, ns_coefficients, ns_steps, eps)
    change = wide.T if is_tall else wide
    rows, columns = map(number, param.shape)
    if adjust_lr_fn is None or adjust_lr_fn == "original":
        ratio = (rows / columns).maximum(number(1.0)).sqrt()
    else:
        ratio = 0.2 * rows.maximum(columns).sqrt()
    return param * (1 - lr * weight_decay) - (lr * ratio) * change.to(param.dtype), buffer


def orthogonal(matrix: Value, coefficients: tuple[float, float, float], steps: int, eps: Value) -> Value:
    """About the nearest matrix with orthonormal rows, in bfloat16: its singular values are from 0.5 to 1.5.

    A Newton-Schulz iteration by a polynomial of degree 5, whose slope at zero is as steep as can be.
    """
    a, b, c = coefficients
    x = matrix.to(bf16)
    x = x / x.norm().maximum(eps.to(bf16))  # no singular value is above 1 then
    for _ in range(steps):
        gram = x @ x.T
        x = x.addmm(gram.addmm(gram, gram, beta=b, alpha=c), x, beta=a)
    return x


class Muon(RuledOptimizer):
    """Muon, for matrices: biases, embeddings and other parameters are left to another optimizer.

    Raises ValueError for numbers out of range, and for parameters that are no matrices.
    """

    _rule = Rule(
        muon,
        {"lr": "lr", "weight_decay": "weight_decay", "momentum": "momentum", "eps": "eps"},
        ("nesterov", "ns_coefficients", "ns_steps", "adjust_lr_fn", "is_tall"),
        is_elementwise=False,
    )

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_coefficients: tuple[float, float, float] = (DEFAULT_A, DEFAULT_B, DEFAULT_C),
        eps: float = EPS,
        ns_steps: int = DEFAULT_NS_STEPS,
        adjust_lr_fn: str | None = None,
    ) -> None:
        check_one_element("lr", lr)
        if not lr >= 0.0:
            raise ValueError(f"Learning rate should be >= 0 but is: {lr}")
        if not momentum >= 0.0:
            raise ValueError(f"momentum should be >= 0 but is: {momentum}")
        if not weight_decay >= 0.0:
            raise ValueError(f"weight decay should be >= 0 but is: {weight_decay}")
        if adjust_lr_fn not in (None, "original", "match_rms_adamw"):
            raise ValueError(f"Adjust learning rate function {adjust_lr_fn} is not supported")
        defaults = {
            "lr": lr,
            "weight_decay": weight_decay,
            "momentum": momentum,
            "nesterov": nesterov,
            "ns_coefficients": ns_coefficients,
            "eps": eps,
            "ns_steps": ns_steps,
            "adjust_lr_fn": adjust_lr_fn,
        }
        super().__init__(params, defaults)
        for group in self.param_groups:
            for param in group["params"]:
                if param.ndim != 2:
                    raise ValueError(
                        f"Muon only supports 2D parameters whereas we found a parameter with size: {param.size()}"
                    )

    def _options(self, group: Group) -> Options:
        if group["ns_steps"] >= 100:
            raise ValueError("Number of steps must be less than 100 for computational efficiency")
        if len(group["ns_coefficients"]) != 3:
            raise ValueError("Coefficients must be a tuple of exactly 3 values")
        return (group["nesterov"], tuple(group["ns_coefficients"]), group["ns_steps"], group["adjust_lr_fn"], False)

    def _states(self, group: Group) -> tuple[str, ...]:
        return ("momentum_buffer",)

    def _change(
        self, param: Tensor, grad: Tensor, state: State, options: Options, names: tuple[str, ...], numbers: Numbers
    ) -> Change:
        if param.is_complex():
            raise RuntimeError("Muon does not support complex parameters")
        rows, columns = param._array.shape
        return super()._change(param, grad, state, (*options[:-1], rows > columns), names, numbers)
