"""graphc.overrides: classes that take part in calls of graphc's functions by `__torch_function__`.

>>> import graphc
>>> is_tensor_like(graphc.ones(2)), has_torch_function((graphc.ones(2), 3))
(True, False)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from graphc.eager.subclass import is_overridden
from graphc.eager.tensor import Tensor

__all__ = ["handle_torch_function", "has_torch_function", "is_tensor_like"]


def is_tensor_like(inp: object) -> bool:
    """Whether the object is a tensor, or of a class with `__torch_function__`."""
    return isinstance(inp, Tensor) or hasattr(inp, "__torch_function__")


def has_torch_function(relevant_args: Iterable[object]) -> bool:
    """Whether one of the arguments is of a class whose `__torch_function__` is to be called."""
    return any(map(_takes_part, relevant_args))


def _takes_part(value: object) -> bool:
    if isinstance(value, Tensor):
        return type(value) is not Tensor and is_overridden(type(value))
    return not isinstance(value, type) and hasattr(type(value), "__torch_function__")


def handle_torch_function(
    public_api: Callable[..., Any], relevant_args: Iterable[object], *args: Any, **kwargs: Any
) -> Any:
    """Call the `__torch_function__` of the arguments, subclasses first, until one knows the function.

    Raises TypeError where none does.
    """
    taking_part: list[object] = []
    for value in relevant_args:
        if not _takes_part(value) or any(type(value) is type(each) for each in taking_part):
            continue
        before = (i for i, each in enumerate(taking_part) if isinstance(value, type(each)))
        taking_part.insert(next(before, len(taking_part)), value)
    kinds = tuple(map(type, taking_part))
    for value in taking_part:
        result = value.__torch_function__(public_api, kinds, args, kwargs)  # type: ignore[attr-defined]  # it has one
        if result is not NotImplemented:
            return result
    name = f"{public_api.__module__}.{public_api.__name__}"
    raise TypeError(f"no implementation found for '{name}' on types that implement __torch_function__: {[*kinds]}")
