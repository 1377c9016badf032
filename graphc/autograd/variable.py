"""The old name of a tensor that records: `Variable(data, requires_grad=True)`."""

from __future__ import annotations

from typing import Any

import numpy as np

from graphc.eager.history import detach, requires_grad_
from graphc.eager.node import AutogradError
from graphc.eager.tensor import Tensor, wrap
from graphc.ir.errors import SignatureError


class _VariableMeta(type):
    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, Tensor)

    def __call__(cls, data: Any = None, requires_grad: bool = False, volatile: bool = False) -> Tensor:
        if data is None:
            return _empty(requires_grad)
        if not isinstance(data, Tensor):
            raise SignatureError(f"Variable data has to be a tensor, but got {type(data).__name__}")
        if requires_grad and not data.dtype.is_differentiable:
            raise AutogradError("Only Tensors of floating point and complex dtype can require gradients")
        return requires_grad_(detach(data), requires_grad)


class Variable(metaclass=_VariableMeta):
    """A tensor over the memory of another, without its history. Every tensor is an instance."""


def _empty(requires_grad: bool) -> Tensor:
    return requires_grad_(wrap(np.empty(0, np.float32)), requires_grad)
