"""Hooks that can be taken away again.

In: a callable. Out: a handle with `remove()`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any, TypeAlias

Hook: TypeAlias = "Callable[..., object]"


class RemovableHandle:
    """What registering a hook gives: `remove()` takes the hook away; so does leaving a `with` block."""

    next_id = 0

    def __init__(self, hooks_dict: OrderedDict[int, Any], *, extra_dict: Any = None) -> None:
        self.id = RemovableHandle.next_id
        RemovableHandle.next_id += 1
        self._hooks = hooks_dict
        self._extra: tuple[dict[int, Any], ...] = (extra_dict,) if isinstance(extra_dict, dict) else extra_dict or ()
        """Dictionaries that say more of the hook under the same number."""

    def remove(self) -> None:
        """Take the hook away, if it is still there."""
        for each in (self._hooks, *self._extra):
            each.pop(self.id, None)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *exception: object) -> None:
        self.remove()


def add_hook(hooks: OrderedDict[int, Any], hook: Hook, prepend: bool = False) -> RemovableHandle:
    """Put a hook after those there are, or before them, and give what removes it."""
    handle = RemovableHandle(hooks)
    hooks[handle.id] = hook
    if prepend:
        hooks.move_to_end(handle.id, last=False)
    return handle
