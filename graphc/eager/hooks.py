"""Calling the user's functions that see gradients on their way: hooks of tensors, of leaves, of nodes.

In: hooks and gradients. Out: the gradients that they leave, checked. A node calls, in this order, the hooks of the
tensors that it computed, what keeps their gradient, its own pre-hooks, and, with what it gives, its hooks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from graphc.eager.handle import Hook
from graphc.eager.node import AutogradError, Cotangents
from graphc.eager.tensor import Tensor
from graphc.eager.tensor_type import type_name


def call_tensor_hooks(hooks: Mapping[int, Hook] | None, gradient: Tensor) -> Tensor:
    """What the hooks of a tensor make of its gradient."""
    for hook in [*hooks.values()] if hooks else ():
        replaced = hook(gradient)
        if replaced is not None:
            gradient = _checked(hook, replaced, gradient)
    return gradient


def call_pre_hooks(hooks: Mapping[int, Hook], gradients: Cotangents) -> Cotangents:
    """What the pre-hooks of a node make of the gradients of its results."""
    for hook in [*hooks.values()]:
        gradients = _all_checked(hook, hook(tuple(gradients)), gradients)
    return gradients


def call_post_hooks(
    hooks: Mapping[int, Hook], gradients: Cotangents, given: Cotangents, shown: Sequence[int]
) -> Cotangents:
    """What the hooks of a node make of the gradients that it gives; `shown` are those that users know of."""
    found: Cotangents = tuple(gradients[index] for index in shown)
    for hook in [*hooks.values()]:
        found = _all_checked(hook, hook(tuple(found), tuple(given)), found)
    results = list(gradients)
    for index, gradient in zip(shown, found):
        results[index] = gradient
    return results


def _all_checked(hook: Hook, replaced: object, before: Cotangents) -> Cotangents:
    if replaced is None:
        return before
    if not isinstance(replaced, tuple):
        raise TypeError(f"expected tuple, but hook returned '{type(replaced).__name__}'")
    if len(replaced) != len(before):
        raise AutogradError(
            f"hook '{_name(hook)}' has returned an incorrect number of values (got {len(replaced)}, but expected "
            f"{len(before)})"
        )
    return tuple(None if each is None else _checked(hook, each, old) for each, old in zip(replaced, before))


def _checked(hook: Hook, replaced: object, before: Tensor | None) -> Tensor:
    if not isinstance(replaced, Tensor):
        raise TypeError(f"expected Variable, but hook returned '{type(replaced).__name__}'")
    if before is None:
        return replaced
    if replaced._array.dtype != before._array.dtype:
        raise AutogradError(
            f"hook '{_name(hook)}' has changed the type of value (was {type_name(before.dtype)} got "
            f"{type_name(replaced.dtype)})"
        )
    if replaced._array.shape != before._array.shape:
        raise AutogradError(f"hook '{_name(hook)}' has changed the size of value")
    return replaced


def _name(hook: Hook) -> str:
    return str(getattr(hook, "__name__", "<unknown>"))
