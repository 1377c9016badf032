"""Tensors on another device: `to("cuda")`, `cpu()`.

In: a tensor and the GPU that is to have it, or None for the CPU. Out: the tensor itself if it is there, else a copy,
whose gradient comes back to where the tensor is.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from graphc.eager.geometry import row_major
from graphc.eager.memory import new_array, preserved_strides
from graphc.eager.mode import MODE
from graphc.eager.node import Cotangents, Edge, GradNode, edge_of
from graphc.eager.placement import common_gpu, copy_into, gpu_of, on, refuse_mixed
from graphc.eager.record import see
from graphc.eager.tensor import AutogradMeta, Tensor, wrap
from graphc.eager.watch import WATCHING, copied, look
from graphc.ir.dtype import dtype as to_dtype
from graphc.ir.type import TensorType


class ToCopyBackward0(GradNode):
    """The node of a copy to another device."""

    __slots__ = ("place", "type")

    def __init__(self, edge: Edge | None, place: int | None, type: TensorType) -> None:
        super().__init__((edge,), 1)
        self.place = place
        """Where the gradient goes."""
        self.type = type

    def result(self, index: int) -> TensorType:
        """Shape and dtype of the copy."""
        return self.type

    def run(self, cotangents: Cotangents, create_graph: bool) -> Cotangents:
        """The gradient on the device of what was copied."""
        (cotangent,) = cotangents
        return (None if cotangent is None else transfer(cotangent, self.place),)


def transfer(tensor: Tensor, place: int | None, non_blocking: bool = False) -> Tensor:
    """The tensor on that GPU, or for None on the CPU: itself if it is there.

    `non_blocking`: don't wait until the GPU has read pinned memory, which must not be changed before it has.
    """
    source = tensor._array
    if gpu_of(source) == place:
        return tensor
    if WATCHING:
        if place is None:
            look(tensor, "cpu()")
        see((tensor,))
    strides = preserved_strides(source)
    if strides is None and source.size and source.strides != row_major(source.shape, source.itemsize):
        strides = source.strides  # of dimensions of size 1, where any will do
    if strides is None:
        array = on(source, place, non_blocking)
    else:
        array = new_array(source.shape, source.dtype, strides, place)
        copy_into(array, source, non_blocking)
    result = wrap(array)
    if WATCHING:
        copied(array, source)
    meta = tensor._meta
    if MODE.grad and meta is not None and tensor.requires_grad:
        node = ToCopyBackward0(edge_of(tensor), gpu_of(source), TensorType(array.shape, to_dtype(array.dtype)))
        result._meta = AutogradMeta(True, node, 0)
    return result


def through_host(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, which reads elements by numpy: tensors of a GPU are copied to the host for it, its results back."""

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        tensors = [each for each in (*args, *kwargs.values()) if isinstance(each, Tensor)]
        if all(type(each._array) is np.ndarray for each in tensors):
            return function(*args, **kwargs)
        gpu = common_gpu(each._array for each in tensors)
        refuse_mixed(function.__name__, tensors)
        given = [_moved(each, None) for each in args]
        named = {name: each if name == "out" else _moved(each, None) for name, each in kwargs.items()}
        return _moved(function(*given, **named), gpu)

    return call


def _moved(value: Any, place: int | None) -> Any:
    """The value with its tensors there: one, or a tuple of them."""
    if isinstance(value, Tensor):
        return transfer(value, place)
    if isinstance(value, tuple):
        moved = [_moved(each, place) for each in value]
        return type(value)(*moved) if hasattr(value, "_fields") else tuple(moved)
    return value
