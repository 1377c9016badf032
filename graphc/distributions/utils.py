"""What distributions share: parameters made tensors of one shape, probabilities and logits, values computed when asked.

>>> import graphc
>>> [x.tolist() for x in broadcast_all(graphc.tensor([1.0, 2.0]), 3)]
[[1.0, 2.0], [3.0, 3.0]]
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from graphc.distributions.functions import Value, f
from graphc.eager.mode import enable_grad
from graphc.eager.placement import place_of
from graphc.eager.tensor import Tensor
from graphc.eager.type_info import finfo

euler_constant: Final = 0.57721566490153286060

__all__ = [
    "broadcast_all",
    "clamp_probs",
    "euler_constant",
    "lazy_property",
    "logits_to_probs",
    "probs_to_logits",
    "tril_matrix_to_vec",
    "vec_to_tril_matrix",
]


def is_number(value: object) -> bool:
    """Whether a parameter is a Python or numpy number."""
    return isinstance(value, int | float | complex | np.number)


def broadcast_all(*values: Any) -> tuple[Value, ...]:
    """Tensors and numbers as tensors of one shape; numbers take the dtype of the first tensor, or the default one.

    Raises ValueError for what is neither.
    """
    if not all(isinstance(value, Tensor) or is_number(value) for value in values):
        raise ValueError(
            "Input arguments must all be instances of Number, torch.Tensor or objects implementing __torch_function__."
        )
    first = next((value for value in values if isinstance(value, Tensor)), None)
    dtype = f.get_default_dtype() if first is None else first.dtype
    place = None if first is None else place_of(first._array)
    tensors = [value if isinstance(value, Tensor) else f.tensor(value, dtype=dtype, device=place) for value in values]
    found: tuple[Value, ...] = tuple(f.broadcast_tensors(*tensors))
    return found


def shape_of_all(*values: Any) -> Value:
    """The batch shape of parameters that are already broadcast: empty where all were given as numbers."""
    return f.Size() if all(map(is_number, values[:-1])) else values[-1].size()


def sum_rightmost(value: Value, count: int) -> Value:
    """The sum over the last `count` dimensions."""
    return value.reshape(value.shape[: value.dim() - count] + (-1,)).sum(-1) if count else value


def clamp_probs(probs: Value) -> Value:
    """Probabilities away from 0 and 1 by the dtype's epsilon."""
    eps = finfo(probs.dtype).eps
    return probs.clamp(min=eps, max=1 - eps)


def probs_to_logits(probs: Value, is_binary: bool = False) -> Value:
    """Logarithms of probabilities; of odds, where there are two outcomes."""
    clamped = clamp_probs(probs)
    return clamped.log() - (-clamped).log1p() if is_binary else clamped.log()


def logits_to_probs(logits: Value, is_binary: bool = False) -> Value:
    """Probabilities of logits: softmax along the last dimension, or sigmoid where there are two outcomes."""
    return logits.sigmoid() if is_binary else logits.softmax(dim=-1)


def check_one_of(probs: object, logits: object) -> None:
    """Raise ValueError unless one of both is given."""
    if (probs is None) == (logits is None):
        raise ValueError("Either `probs` or `logits` must be specified, but not both.")


class lazy_property:
    """A property that is computed when it is first asked for, and kept in the object's `__dict__`."""

    def __init__(self, wrapped: Callable[[Any], Any]) -> None:
        self.wrapped = wrapped
        functools.update_wrapper(self, wrapped)  # type: ignore[arg-type]  # it isn't called

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return self
        with enable_grad():
            value = self.wrapped(instance)
        setattr(instance, self.wrapped.__name__, value)
        return value


def tril_matrix_to_vec(mat: Value, diag: int = 0) -> Value:
    """The entries of the lower triangle of matrices, row by row."""
    n = mat.shape[-1]
    if not -n <= diag < n:
        raise ValueError(f"diag ({diag}) provided is outside [{-n}, {n - 1}].")
    rows, columns = _lower(n, diag)
    return mat[..., rows, columns]


def vec_to_tril_matrix(vec: Value, diag: int = 0) -> Value:
    """Lower triangular matrices of the entries of their triangle, row by row."""
    count = vec.shape[-1]
    n = (-(1 + 2 * diag) + math.sqrt((1 + 2 * diag) ** 2 + 8 * count + 4 * abs(diag) * (diag + 1))) / 2
    eps = finfo(vec.dtype).eps
    if round(n) - n > eps:
        raise ValueError(
            f"The size of last dimension is {count} which cannot be expressed as the lower triangular part"
        )
    size = round(n)
    matrix = f.zeros((*vec.shape[:-1], size, size), dtype=vec.dtype, device=vec.device)
    rows, columns = _lower(size, diag)
    matrix[..., rows, columns] = vec
    return matrix


def _lower(n: int, diag: int) -> Sequence[Value]:
    found: Sequence[Value] = f.tril_indices(n, n, diag).unbind(0)
    return found
