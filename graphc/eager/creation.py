"""Making tensors: from values, from numpy, filled, random.

In: values, sizes, dtypes. Out: tensors with memory of their own, or over numpy's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from graphc.eager.history import grad_fn, set_requires_grad
from graphc.eager.printing import tensor_text
from graphc.eager.tensor import AnyArray, Tensor, wrap
from graphc.ir.dtype import DType, get_default_dtype
from graphc.ir.dtype import dtype as to_dtype


def tensor(data: Any, *, dtype: DType | None = None, requires_grad: bool = False) -> Tensor:
    """A tensor with a copy of the data."""
    array = np.array(data._array if isinstance(data, Tensor) else data)
    if dtype is not None:
        array = array.astype(to_dtype(dtype).numpy)
    elif array.dtype == np.float64 and not isinstance(data, np.ndarray | Tensor):
        array = array.astype(get_default_dtype().numpy)
    result = wrap(array)
    if requires_grad:
        set_requires_grad(result, True)
    return result


def from_numpy(array: AnyArray) -> Tensor:
    """A tensor over the memory of an array."""
    return wrap(array)


def numpy(self: Tensor) -> AnyArray:
    """The array over the same memory."""
    return self._array


def show(self: Tensor) -> str:
    """The text of the tensor."""
    node = grad_fn(self)
    return tensor_text(
        self._array, self.dtype, requires_grad=self.requires_grad, grad_fn_name=None if node is None else node.name()
    )


FUNCTIONS: dict[str, Callable[..., object]] = {"tensor": tensor, "from_numpy": from_numpy}
METHODS: dict[str, Callable[..., object]] = {"numpy": numpy, "__repr__": show}
