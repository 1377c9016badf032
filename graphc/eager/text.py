"""The text of a tensor: `repr`, with what autograd adds to it.

In: a tensor. Out: PyTorch's text.
"""

from __future__ import annotations

from collections.abc import Callable

from graphc.eager.history import grad_fn
from graphc.eager.node import AutogradError
from graphc.eager.placement import place_of
from graphc.eager.printing import tensor_text
from graphc.eager.tensor import Tensor
from graphc.eager.watch import WATCHING, look


def show(self: Tensor, *, tensor_contents: str | None = None) -> str:
    """The text of the tensor."""
    try:
        node = grad_fn(self)
        name = None if node is None else type(node).__name__
    except AutogradError:  # a view whose history can't be made again
        name = "Invalid"
    kind = type(self)
    is_parameter = bool(getattr(kind, "_is_param", False))
    if WATCHING:
        look(self, "repr()")
    return tensor_text(
        self._array,
        self.dtype,
        device=str(place_of(self._array)),
        requires_grad=self.requires_grad,
        grad_fn_name=name,
        type_name="tensor" if kind is Tensor or is_parameter else kind.__name__,
        is_parameter=is_parameter,
    )


METHODS: dict[str, Callable[..., object]] = {"__repr__": show}
