"""Gradients of convolutions by name: with respect to the input, of which the size is given, or to the weight.

>>> import graphc
>>> conv1d_input((1, 1, 4), graphc.tensor([[[1.0, 2.0]]]), graphc.ones(1, 1, 3))
tensor([[[1., 3., 3., 2.]]])
>>> conv1d_weight(graphc.tensor([[[1.0, 2.0, 3.0, 4.0]]]), (1, 1, 2), graphc.ones(1, 1, 3))
tensor([[[6., 9.]]])
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from graphc.eager.backward import grad
from graphc.eager.methods import of_table
from graphc.eager.mode import enable_grad
from graphc.eager.tensor import Tensor
from graphc.eager.view import rename
from graphc.nn.attention import needs_gradient

Sizes: TypeAlias = "int | Sequence[int]"


def _gradient(function: Callable[[Tensor], Tensor], like: Tensor, size: Sequence[int], grad_output: Tensor) -> Tensor:
    """The gradient of a linear function with respect to its argument, a tensor of this size; it has one of its own."""
    kept = needs_gradient(like, grad_output)
    with enable_grad():
        argument = like.new_zeros(tuple(size)).requires_grad_()  # type: ignore[attr-defined]  # installed on tensors
        (found,) = grad(function(argument), (argument,), grad_output, create_graph=kept)
    assert isinstance(found, Tensor)
    if found._meta is not None and found._meta.node is not None:
        rename(found._meta.node, "ConvolutionBackwardBackward0")
    return found


def _to_input(dims: int) -> Callable[..., Tensor]:
    convolve: Callable[..., Any] = of_table(f"conv{dims}d")

    def compute(
        input_size: Sequence[int],
        weight: Tensor,
        grad_output: Tensor,
        stride: Sizes = 1,
        padding: Sizes = 0,
        dilation: Sizes = 1,
        groups: int = 1,
    ) -> Tensor:
        settings = (None, stride, padding, dilation, groups)
        return _gradient(lambda input: convolve(input, weight, *settings), weight, input_size, grad_output)

    return _named(compute, dims, "input", "of an input of this size")


def _to_weight(dims: int) -> Callable[..., Tensor]:
    convolve: Callable[..., Any] = of_table(f"conv{dims}d")

    def compute(
        input: Tensor,
        weight_size: Sequence[int],
        grad_output: Tensor,
        stride: Sizes = 1,
        padding: Sizes = 0,
        dilation: Sizes = 1,
        groups: int = 1,
    ) -> Tensor:
        settings = (None, stride, padding, dilation, groups)
        return _gradient(lambda weight: convolve(input, weight, *settings), input, weight_size, grad_output)

    return _named(compute, dims, "weight", "of a weight of this size")


def _named(function: Callable[..., Tensor], dims: int, of: str, whose: str) -> Callable[..., Tensor]:
    function.__name__ = function.__qualname__ = f"conv{dims}d_{of}"
    function.__doc__ = f"The gradient of `conv{dims}d` {whose}, from that of its result."
    return function


conv1d_input, conv2d_input, conv3d_input = (_to_input(dims) for dims in (1, 2, 3))
conv1d_weight, conv2d_weight, conv3d_weight = (_to_weight(dims) for dims in (1, 2, 3))
