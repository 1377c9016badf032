"""Making modules whose parameters are filled later."""

from __future__ import annotations

import inspect
from typing import Any

from graphc.eager.generator import default_generator
from graphc.nn.module import Module

__all__ = ["skip_init"]


def skip_init(module_cls: Any, *args: Any, **kwargs: Any) -> Any:
    """A module of this class whose values are not to be relied on; no random numbers are used up for them.

    The class must be a Module's that takes `device`. Raises RuntimeError for others.
    """
    if not issubclass(module_cls, Module):
        raise RuntimeError(f"Expected a Module; got {module_cls}")
    if "device" not in inspect.signature(module_cls).parameters:
        raise RuntimeError("Module must support a 'device' arg to skip initialization")
    # Values of parameters that nobody relies on may be any; the generator must be where it was.
    state = default_generator.get_state()
    try:
        return module_cls(*args, **kwargs)
    finally:
        default_generator.set_state(state)
