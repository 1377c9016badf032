"""Which function is being traced: each thread's innermost run of a function on symbolic tensors.

A symbolic tensor belongs to the scope it was made in and means nothing once that is over; inside one, compiled
functions and gradients become part of the graph that is being made, whatever they are called with.

    with Scope("loss"):
        result = function(*symbolic_arguments)
"""

from __future__ import annotations

import threading


class Scope:
    """One run of a function on symbolic tensors. It may be entered once."""

    __slots__ = ("is_open", "name", "outer")

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_open = False
        self.outer: Scope | None = None

    def __enter__(self) -> Scope:
        self.outer = _state.scope
        self.is_open = True
        _state.scope = self
        TRACING.append(self)
        return self

    def __exit__(self, *exception: object) -> None:
        self.is_open = False
        _state.scope = self.outer
        TRACING.remove(self)


class _State(threading.local):
    scope: Scope | None = None


_state = _State()
TRACING: list[Scope] = []
"""The open scopes of all threads: while it is empty, which costs least to see, nobody traces."""


def current_scope() -> Scope | None:
    """The innermost scope of this thread."""
    return _state.scope
