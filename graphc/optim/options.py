"""Checks of options that several optimizers have.

In: what a constructor was given, or a group. Out: PyTorch's errors, or an answer.
"""

from __future__ import annotations

from typing import Any

from graphc.eager.tensor import Tensor


def check_learning_rate(lr: Any) -> None:
    """Raise ValueError for a tensor that is not one number, and for less than 0."""
    check_one_element("lr", lr)
    check_not_negative("learning rate", lr)


def check_one_element(name: str, value: object) -> None:
    """Raise ValueError for a tensor that is not one number."""
    if isinstance(value, Tensor) and value._array.size != 1:
        raise ValueError(f"Tensor {name} must be 1-element")


def check_not_negative(name: str, value: Any) -> None:
    """Raise ValueError for a number that is not 0 or more."""
    if not value >= 0.0:
        raise ValueError(f"Invalid {name}: {value}")


def check_betas(betas: tuple[Any, ...]) -> None:
    """Raise ValueError for the weights of running averages outside 0 to 1."""
    for index, beta in enumerate(betas):
        if not 0.0 <= beta < 1.0:
            raise ValueError(f"Invalid beta parameter at index {index}: {beta}")


def check_ways(fused: bool | None, foreach: bool | None, differentiable: bool) -> None:
    """Raise RuntimeError for ways to compute that exclude each other; they all mean the same here."""
    if fused:
        if differentiable:
            raise RuntimeError("`fused` does not support `differentiable`")
        if foreach:
            raise RuntimeError("`fused` and `foreach` cannot be `True` together.")


def has_decay(group: dict[str, Any]) -> bool:
    """Whether weights decay: where they don't, a weight that is not finite leaves its gradient alone."""
    decay = group["weight_decay"]
    return isinstance(decay, Tensor) or decay != 0
