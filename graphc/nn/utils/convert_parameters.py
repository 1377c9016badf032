"""Parameters as one vector, and back.

>>> import graphc
>>> parameters_to_vector([graphc.ones(2, 2), graphc.zeros(1)])
tensor([1., 1., 1., 1., 0.])
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from graphc.eager.attributes import typename
from graphc.eager.methods import of_table
from graphc.eager.tensor import Tensor

__all__ = ["parameters_to_vector", "vector_to_parameters"]

_cat = of_table("cat")


def parameters_to_vector(parameters: Iterable[Any]) -> Any:
    """All elements in order, `[n]`; gradients go back to the parameters."""
    return _cat([each.view(-1) for each in parameters])


def vector_to_parameters(vec: Any, parameters: Iterable[Any]) -> None:
    """Let each parameter have its part of the vector `[n]` as its memory."""
    if not isinstance(vec, Tensor):
        raise TypeError(f"expected torch.Tensor, but got: {typename(vec)}")
    start = 0
    value: Any = vec
    for parameter in parameters:
        end = start + parameter.numel()
        parameter.data = value[start:end].view_as(parameter).data
        start = end
