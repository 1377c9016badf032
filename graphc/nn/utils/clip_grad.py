"""Keeping gradients small: by the norm of all of them together, or each element by itself.

In: parameters, or one of them. Out: the same with gradients changed in place, and the norm there was.

>>> import graphc
>>> x = graphc.ones(4, requires_grad=True)
>>> x.sum().backward()
>>> clip_grad_norm_(x, 1.0), x.grad
(tensor(2.), tensor([0.5000, 0.5000, 0.5000, 0.5000]))
"""

from __future__ import annotations

import types
import warnings
from collections.abc import Iterable
from typing import Any

from graphc.eager.methods import of_table
from graphc.eager.mode import no_grad
from graphc.eager.tensor import Tensor

__all__ = ["clip_grad_norm", "clip_grad_norm_", "clip_grad_value_", "clip_grads_with_norm_", "get_total_norm"]

_vector_norm, _stack, _clamp = (of_table(name) for name in ("linalg.vector_norm", "stack", "clamp"))
_isfinite, _zeros = of_table("isfinite"), of_table("zeros")

Tensors = Tensor | Iterable[Tensor]


@no_grad()
def get_total_norm(
    tensors: Tensors, norm_type: float = 2.0, error_if_nonfinite: bool = False, foreach: bool | None = None
) -> Any:
    """The norm of all tensors as if they were one vector: that of their norms. Of no tensors 0.

    Raises RuntimeError for a norm that is no finite number if asked to.
    """
    given = _listed(tensors)
    norm_type = float(norm_type)
    if not given:
        return _zeros(())
    norms = [_vector_norm(each, norm_type) for each in given]
    total = _vector_norm(_stack(norms), norm_type)
    if error_if_nonfinite and not bool(_isfinite(total)):
        raise RuntimeError(
            f"The total norm of order {norm_type} for gradients from `parameters` is non-finite, so it cannot be "
            "clipped. To disable this error and scale the gradients by the non-finite norm anyway, set "
            "`error_if_nonfinite=False`"
        )
    return total


@no_grad()
def clip_grads_with_norm_(parameters: Tensors, max_norm: float, total_norm: Any, foreach: bool | None = None) -> None:
    """Scale the gradients by `max_norm / total_norm` where that is less than 1."""
    gradients = _gradients(parameters)
    if not gradients:
        return
    # Multiplying by 1 leaves the bits, and asks for no value.
    factor = _clamp(float(max_norm) / (total_norm + 1e-6), max=1.0)
    for gradient in gradients:
        gradient.mul_(factor)


@no_grad()
def clip_grad_norm_(
    parameters: Tensors,
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Any:
    """Scale the gradients so that their total norm is at most `max_norm`, and give the norm that they had."""
    is_generator = isinstance(parameters, types.GeneratorType)
    given = _listed(parameters)
    if is_generator and not given:
        warnings.warn("`parameters` is an empty generator, no gradient clipping will occur.", stacklevel=3)
    total = get_total_norm(_gradients(given), norm_type, error_if_nonfinite, foreach)
    clip_grads_with_norm_(given, max_norm, total, foreach)
    return total


def clip_grad_norm(
    parameters: Tensors,
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Any:
    """The old name of `clip_grad_norm_`."""
    warnings.warn(
        "`torch.nn.utils.clip_grad_norm` is now deprecated in favor of `torch.nn.utils.clip_grad_norm_`.",
        FutureWarning,
        stacklevel=2,
    )
    return clip_grad_norm_(parameters, max_norm, norm_type, error_if_nonfinite, foreach)


@no_grad()
def clip_grad_value_(parameters: Tensors, clip_value: float, foreach: bool | None = None) -> None:
    """Bring each element of the gradients between `-clip_value` and `clip_value`."""
    bound = float(clip_value)
    for gradient in _gradients(parameters):
        gradient.clamp_(min=-bound, max=bound)


def _listed(tensors: Tensors) -> list[Any]:
    return [tensors] if isinstance(tensors, Tensor) else list(tensors)


def _gradients(parameters: Tensors) -> list[Any]:
    return [each.grad for each in _listed(parameters) if each.grad is not None]
