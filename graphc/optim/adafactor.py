"""Adafactor: Adam whose averages of squares are kept as one row and one column for each matrix.

N. Shazeer, M. Stern: Adafactor: Adaptive Learning Rates with Sublinear Memory Cost (2018).
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from graphc.eager.placement import gpu_of, on
from graphc.eager.tensor import AnyArray, Tensor, wrap_constant
from graphc.eager.type_info import finfo
from graphc.optim.optimizer import Params
from graphc.optim.options import check_one_element, has_decay
from graphc.optim.rule import Group, Numbers, Options, Rule, Value, number, where
from graphc.optim.ruled import RuledOptimizer, State, scalar, zeros_like
from graphc.optim.together import Change

__all__ = ["Adafactor"]


def adafactor(
    param: Value,
    grad: Value,
    step: Value,
    *variances: Value,
    lr: Value,
    beta2_decay: Value,
    eps1: Value,
    eps2: Value,
    d: Value,
    weight_decay: Value,
    maximize: bool,
    decays: bool,
    default_eps: float | None,
) -> tuple[Value, ...]:
    """One step. `variances` are the means of squares along rows and along columns, or, of a vector, the squares."""
    step = step + 1
    count = step.double()
    grad = -grad if maximize else grad
    floor = eps1 if default_eps is None else number(default_eps)
    share = count**beta2_decay
    largest = count.rsqrt()
    scale = (param * param).mean().sqrt().double().maximum(eps2) * lr.minimum(largest)
    if decays:
        param = param * (1 - lr * weight_decay)
    squares = grad * grad
    if len(variances) == 2:
        rows = _moved(variances[0], squares.mean(dim=-1, keepdim=True), share)
        columns = _moved(variances[1], squares.mean(dim=-2, keepdim=True), share)
        variances = (rows, columns)
        least = floor.to(rows.dtype)
        estimate = rows @ columns / rows.mean(dim=-2, keepdim=True).maximum(least)
    else:
        estimate = _moved(variances[0], squares, share)
        variances = (estimate,)
    change = estimate.maximum((floor * floor).to(estimate.dtype)).rsqrt() * grad
    excess = (change * change).mean().sqrt().double() / d
    return (param - (scale / where(excess > 1, excess, 1.0)) * change, step, *variances)


def _moved(value: Value, new: Value, share: Value) -> Value:
    """The running average with this share of what is new."""
    return value + share * (new - value)


class Adafactor(RuledOptimizer):
    """Adafactor; steps relative to the size of the parameter. Raises ValueError for numbers out of range."""

    _rule = Rule(
        adafactor,
        {
            "lr": "lr",
            "beta2_decay": "beta2_decay",
            "eps1": ("eps", 0),
            "eps2": ("eps", 1),
            "d": "d",
            "weight_decay": "weight_decay",
        },
        ("maximize", "decays", "default_eps"),
        scalars=1,
        is_elementwise=False,
    )
    _loaded: ClassVar = {"foreach": None}

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 1e-2,
        beta2_decay: float = -0.8,
        eps: tuple[float | None, float] = (None, 1e-3),
        d: float = 1.0,
        weight_decay: float = 0.0,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
    ) -> None:
        check_one_element("lr", lr)
        if not lr >= 0.0:  # type: ignore[operator]  # tensors compare
            raise ValueError(f"Learning rate should be >= 0 but is: {lr}")
        if not beta2_decay <= 0.0:
            raise ValueError(f"beta2_decay should be <= 0 but is: {beta2_decay}")
        if eps[0] is not None and not eps[0] >= 0.0:
            raise ValueError(f"epsilon1 should be >= 0 but is: {eps[0]}")
        if not eps[1] >= 0.0:
            raise ValueError(f"epsilon2 should be >= 0 but is: {eps[1]}")
        if not d >= 1.0:
            raise ValueError(f"Clipping threshold d should be >= 1 but is: {d}")
        if not weight_decay >= 0.0:
            raise ValueError(f"weight_decay should be >= 0 but is: {weight_decay}")
        defaults = {
            "lr": lr,
            "beta2_decay": beta2_decay,
            "eps": eps,
            "d": d,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def _options(self, group: Group) -> Options:
        return (group["maximize"], has_decay(group), None)

    def _states(self, group: Group) -> tuple[str, ...]:
        return ("step",)

    def _change(
        self, param: Tensor, grad: Tensor, state: State, options: Options, names: tuple[str, ...], numbers: Numbers
    ) -> Change:
        if param.is_complex():
            raise RuntimeError("Adafactor does not support complex parameters")
        if not state:
            self._start(param, state, numbers.group)
        names = ("step", "row_var", "col_var") if param.ndim > 1 else ("step", "variance")
        if numbers.group["eps"][0] is None:
            options = (*options[:-1], finfo(param.dtype).eps)
        return Change(options, (param, *[state[name] for name in names]), grad)

    def _start(self, param: Tensor, state: dict[str, Any], group: Group) -> None:
        state["step"] = scalar(0.0, group, param)
        array = param._array
        if array.ndim > 1:
            shape = array.shape
            state["row_var"] = _zeros((*shape[:-1], 1), array)
            state["col_var"] = _zeros((*shape[:-2], 1, shape[-1]), array)
        else:
            state["variance"] = zeros_like(param)


def _zeros(shape: tuple[int, ...], like: AnyArray) -> Tensor:
    """Zeros in the dtype of an array, where it is."""
    return wrap_constant(on(np.zeros(shape, like.dtype), gpu_of(like)))
