"""graphc.compiler: marks that programs put beside `graphc.compile`.

>>> is_compiling()
False
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from graphc.frontend.compile import compile

__all__ = [
    "allow_in_graph",
    "assume_constant_result",
    "compile",
    "cudagraph_mark_step_begin",
    "disable",
    "is_compiling",
    "is_dynamo_compiling",
    "is_exporting",
    "list_backends",
    "reset",
]


def is_compiling() -> bool:
    """Whether the code is being compiled by PyTorch's compiler: False."""
    return False


def is_dynamo_compiling() -> bool:
    """Whether the code is being compiled by PyTorch's compiler: False."""
    return False


def is_exporting() -> bool:
    """Whether the code is being exported: False."""
    return False


def list_backends(exclude_tags: object = ()) -> list[str]:
    """Other compilers to choose from: none, for graphc is one."""
    return []


def reset() -> None:
    """Forget what was compiled; compiled functions of graphc's hold their programs themselves."""


def cudagraph_mark_step_begin() -> None:
    """Say that a step begins; it has no effect on the CPU."""


def allow_in_graph(fn: Any) -> Any:
    """The function: every function may stand in compiled code."""
    return fn


def assume_constant_result(fn: Any) -> Any:
    """The function."""
    return fn


def disable(fn: Any = None, recursive: bool = True, *, reason: str | None = None) -> Callable[..., Any]:
    """The function; without one, a decorator that gives its function back."""
    return (lambda function: function) if fn is None else fn
