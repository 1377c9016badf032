"""`graphc.compile(module)`: a module that computes as another one does, compiled.

In: a module and its compiled call. Out: a module with the same parameters, buffers and attributes. Its state dict has
the keys of PyTorch's compiled modules, with `_orig_mod.` in front.
"""

from __future__ import annotations

import copy
from typing import Any

from graphc.frontend.compile import CompiledFunction, compile
from graphc.frontend.concrete import wrap_compiled
from graphc.nn.module import Module

__all__ = ["OptimizedModule"]


class OptimizedModule(Module):
    """A module whose call is compiled."""

    def __init__(self, module: Module, compiled: CompiledFunction) -> None:
        super().__init__()
        self._orig_mod = module
        self.__dict__["forward"] = compiled
        self.training = module.training

    def __getattr__(self, name: str) -> Any:
        if name == "_orig_mod":
            return self._modules["_orig_mod"]
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(self._modules["_orig_mod"], name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in ("_orig_mod", "training") or name not in dir(self.__dict__.get("_modules", {}).get("_orig_mod")):
            super().__setattr__(name, value)
        else:
            setattr(self._orig_mod, name, value)

    def __deepcopy__(self, memo: dict[int, Any]) -> OptimizedModule:
        module = copy.deepcopy(self._orig_mod, memo)
        compiled: CompiledFunction = self.__dict__["forward"]
        return OptimizedModule(module, compiled.of(module))

    def __reduce_ex__(self, protocol: Any) -> Any:
        return compile, (self._orig_mod,)


def _compiled(module: Module, compiled: Any) -> Module:
    return OptimizedModule(module, compiled)


wrap_compiled(Module, _compiled)
