"""Hooks that can be taken away again: the handle that registering gives, under PyTorch's path."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from graphc.eager.handle import RemovableHandle

__all__ = ["RemovableHandle", "unserializable_hook"]

F = TypeVar("F", bound=Callable[..., Any])


def unserializable_hook(f: F) -> F:
    """Mark a hook of a tensor as one that is not saved with it, on purpose."""
    setattr(f, "__torch_unserializable__", True)  # noqa: B010  # a function's attribute, which no type knows of
    return f
