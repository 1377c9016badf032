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
from collections.abc import Iterable, Sequence
from typing import Any

from graphc.eager.methods import of_table
from graphc.eager.mode import no_grad
from graphc.eager.placement import gpu_of
from graphc.eager.tensor import Tensor
from graphc.eager.together import can_run_together, change_together, number_on_gpu
from graphc.eager.watch import WATCHING
from graphc.ir.dtype import dtype, f32, f64

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
    if _is_together(given):
        (total,) = change_together(("norm", norm_type), lambda _, read: (_norm(read, norm_type),), (), given)
    else:
        total = _norm(given, norm_type)
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
    if _is_together(gradients) and can_run_together(gradients, [total_norm]) and total_norm.dtype is gradients[0].dtype:
        change_together("clip by norm", _clip, gradients, (total_norm, _number(max_norm, gradients)))
        return
    factor = _factor(float(max_norm), total_norm)
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
    gradients = _gradients(given)
    if _is_together(gradients) and not error_if_nonfinite:
        kind, order = ("clip", float(norm_type)), float(norm_type)

        def clip(changed: list[Any], read: list[Any]) -> list[Any]:
            total = _norm(changed, order)
            return [*_clip(changed, [total, *read]), total]

        (total,) = change_together(kind, clip, gradients, (_number(max_norm, gradients),))
        return total
    total = get_total_norm(gradients, norm_type, error_if_nonfinite, foreach)
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
    gradients = _gradients(parameters)
    if _is_together(gradients):
        change_together(
            ("clip by value", bound), lambda x, _: [_clamp(each, min=-bound, max=bound) for each in x], gradients, ()
        )
        return
    for gradient in gradients:
        gradient.clamp_(min=-bound, max=bound)


def _norm(tensors: Sequence[Any], order: float) -> Any:
    return _vector_norm(_stack([_vector_norm(each, order) for each in tensors]), order)


def _factor(max_norm: Any, total_norm: Any) -> Any:
    """At most 1: multiplying by that leaves the bits, and asks for no value."""
    return _clamp(max_norm / (total_norm + 1e-6), max=1.0)


def _clip(changed: list[Any], read: list[Any]) -> list[Any]:
    """The gradients clipped; `read` are the norm that they have and the one that they may have."""
    total_norm, max_norm = read
    factor = _factor(max_norm, total_norm)
    return [each * factor for each in changed]


def _number(value: float, gradients: Sequence[Tensor]) -> Tensor:
    array = gradients[0]._array
    return number_on_gpu(float(value), dtype(array.dtype), gpu_of(array) or 0)


def _is_together(gradients: Sequence[Any]) -> bool:
    """Whether one program does it for all of them: on a GPU, in one dtype in which numbers round as they do alone."""
    if len(gradients) < 2 or WATCHING or not can_run_together(gradients):
        return False
    found = {each.dtype for each in gradients}
    return found in ({f32}, {f64})


def _listed(tensors: Tensors) -> list[Any]:
    return [tensors] if isinstance(tensors, Tensor) else list(tensors)


def _gradients(parameters: Tensors) -> list[Any]:
    return [each.grad for each in _listed(parameters) if each.grad is not None]
