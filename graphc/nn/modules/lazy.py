"""Modules whose parameters get their shapes from the first input.

In: a module with `UninitializedParameter`s and a method `initialize_parameters`. Out: after the first call, or after
loading values, the module with parameters; its class is then `cls_to_become`.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

from graphc.eager.mode import no_grad
from graphc.nn.module import Module
from graphc.nn.parameter import is_lazy

__all__ = ["LazyModuleMixin"]


class LazyModuleMixin(Module):
    """Comes before the class of a layer: calls `initialize_parameters` with the arguments of the first call."""

    cls_to_become: type[Module] | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._load_hook = self._register_load_state_dict_pre_hook(self._lazy_load_hook)
        self._initialize_hook = self.register_forward_pre_hook(self._infer_parameters, with_kwargs=True)

    def _own(self) -> Iterator[tuple[str, Any]]:
        return itertools.chain(self._parameters.items(), self._buffers.items())

    def _lazy_load_hook(self, state_dict: Mapping[str, Any], prefix: str, *rest: Any) -> None:
        """Give what is loaded into a shape."""
        for name, value in self._own():
            source = state_dict.get(prefix + name)
            if source is not None and is_lazy(value) and not is_lazy(source):
                with no_grad():
                    value.materialize(source.shape)

    def initialize_parameters(self, *args: Any, **kwargs: Any) -> None:
        """Materialize what has no shape, for these arguments of a call; each class defines its own."""
        raise NotImplementedError(f"initialize_parameters is not implemented for {type(self).__name__}")

    def has_uninitialized_params(self) -> bool:
        """Whether a parameter or buffer has no shape yet."""
        return any(is_lazy(value) for _, value in self._own())

    def _infer_parameters(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any] | None = None) -> None:
        module.initialize_parameters(*args, **(kwargs or {}))
        if module.has_uninitialized_params():
            raise RuntimeError(f"module {self._get_name()} has not been fully initialized")
        module._initialize_hook.remove()
        module._load_hook.remove()
        del module._initialize_hook, module._load_hook
        if module.cls_to_become is not None:
            module.__class__ = module.cls_to_become
