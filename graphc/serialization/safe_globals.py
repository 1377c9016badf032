"""The classes and functions that the user vouches for, so that files may name them.

In: classes, functions, or pairs of one and the name it has in files. Out: what `load` with `weights_only=True` accepts
beside plain data.
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any, TypeAlias

SafeGlobal: TypeAlias = "Callable[..., Any] | tuple[Callable[..., Any], str]"

_safe: dict[SafeGlobal, None] = {}


def add_safe_globals(safe_globals: list[SafeGlobal]) -> None:
    """Let files use these classes and functions from now on: loading them calls what is listed."""
    _safe.update(dict.fromkeys(safe_globals))


def get_safe_globals() -> list[SafeGlobal]:
    """What `add_safe_globals` has added."""
    return list(_safe)


def clear_safe_globals() -> None:
    """Forget what `add_safe_globals` has added."""
    _safe.clear()


class safe_globals:
    """`add_safe_globals` for the length of a `with` block."""

    def __init__(self, safe_globals: list[SafeGlobal]) -> None:
        self.safe_globals = safe_globals

    def __enter__(self) -> None:
        add_safe_globals(self.safe_globals)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for each in self.safe_globals:
            _safe.pop(each, None)


def user_globals() -> dict[str, Any]:
    """The same by the name that files have for them."""
    found: dict[str, Any] = {}
    for each in _safe:
        if isinstance(each, tuple):
            if len(each) != 2:
                raise ValueError(
                    "Expected tuple of length 2 (global, str of callable full path), but got tuple of length: "
                    f"{len(each)}"
                )
            if type(each[1]) is not str:
                raise TypeError(
                    f"Expected second item in tuple to be str of callable full path, but got: {type(each[1])}"
                )
            found[each[1]] = each[0]
        else:
            found[f"{each.__module__}.{each.__qualname__}"] = each
    return found
