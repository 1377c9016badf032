"""Tensors on another device: `to("cuda")`, `cpu()`.

In: a tensor and the GPU that is to have it, or None for the CPU. Out: the tensor itself if it is there, else a copy,
whose gradient comes back to where the tensor is.
"""

from __future__ import annotations

from graphc.eager.mode import MODE
from graphc.eager.node import Cotangents, Edge, GradNode, edge_of
from graphc.eager.placement import gpu_of, on
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


def transfer(tensor: Tensor, place: int | None) -> Tensor:
    """The tensor on that GPU, or for None on the CPU: itself if it is there."""
    source = tensor._array
    if gpu_of(source) == place:
        return tensor
    if WATCHING:
        if place is None:
            look(tensor, "cpu()")
        see((tensor,))
    array = on(source, place)
    result = wrap(array)
    if WATCHING:
        copied(array, source)
    meta = tensor._meta
    if MODE.grad and meta is not None and tensor.requires_grad:
        node = ToCopyBackward0(edge_of(tensor), gpu_of(source), TensorType(array.shape, to_dtype(array.dtype)))
        result._meta = AutogradMeta(True, node, 0)
    return result
