"""Constructors from before `tensor` and `zeros`: `Tensor(2, 3)`, `FloatTensor([1, 2])`, `Variable(x)`.

In: sizes, or data, or another tensor, or nothing. Out: uninitialised tensors of these sizes; tensors of the data in the
type's dtype; the other tensor's memory. The types of tensors (`FloatTensor` and its kin) are no classes of objects:
every tensor is a `Tensor`, and `isinstance` asks for its dtype.
"""

from __future__ import annotations

import copyreg
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from graphc.eager.arguments import allocate, check_sizes, created, invalid_combination, sizes_of, type_name
from graphc.eager.data import array_of
from graphc.eager.device import device as Device
from graphc.eager.device import device_for, gpu_index
from graphc.eager.guard import guarded
from graphc.eager.memory import UntypedStorage
from graphc.eager.memory_format import strided
from graphc.eager.placement import place_of
from graphc.eager.subclass import adopt, alias
from graphc.eager.tensor import Tensor, wrap_shared
from graphc.ir.dtype import DTYPES, DType, get_default_dtype
from graphc.ir.errors import ArgumentError, SignatureError
from graphc.ops.composite.operand import c_name

_FORMS: Final = (
    "(*, torch.device device = None)",
    "(torch.Storage storage)",
    "(Tensor other)",
    "(tuple of ints size, *, torch.device device = None)",
    "(object data, *, torch.device device = None)",
)


@guarded
def construct(cls: type[Tensor], *args: Any, device: object = None, **others: Any) -> Tensor:
    """`Tensor(...)`: in the default dtype, except that another tensor keeps its own."""
    if others:
        raise invalid_combination("new", args, others, _FORMS)
    if len(args) == 1 and isinstance(args[0], Tensor):
        found = alias(args[0])
    else:
        found = _made(args, get_default_dtype(), device)
    return found if cls is Tensor else adopt(found, cls)


def new(self: Tensor, *args: Any, device: object = None) -> Tensor:
    """As `Tensor(...)`, in the dtype of this tensor, where it is."""
    here = place_of(self._array)
    return _made(args, self.dtype, here if device is None else device, here.type)


@guarded
def _made(args: tuple[Any, ...], dtype: DType, device: object, kind: str = "cpu") -> Tensor:
    if device is not None and Device(device).type != kind:
        raise ArgumentError(
            f"legacy constructor expects device type: {kind} but device type: {Device(device).type} was passed"
        )
    place = gpu_index(device_for(kind if device is None else device))
    if not args:
        return created(allocate((0,), dtype, place=place))
    first = args[0]
    if len(args) > 1 or (isinstance(first, int | np.integer) and not isinstance(first, bool)) or _is_size(first):
        shape = sizes_of("new", args)
        check_sizes(shape, dtype)
        return created(allocate(shape, dtype, place=place))
    if isinstance(first, Tensor):
        if place_of(first._array).type != kind:
            raise ArgumentError(
                f"expected {_options(dtype, kind)} (got {_options(first.dtype, place_of(first._array).type)})",
                hint="move it with .to(device)",
            )
        if first.dtype is not dtype:
            raise SignatureError(
                f"expected {_options(dtype, kind)} (got {_options(first.dtype, kind)})", hint="convert it with .to()"
            )
        return alias(first)
    if isinstance(first, UntypedStorage):
        owner = first._storage.owner
        assert owner is not None, "a storage that users hold has memory"
        return wrap_shared(owner.reshape(-1).view(dtype.numpy), first._storage)
    if isinstance(first, str):
        raise SignatureError(f"new(): invalid data type '{type_name(first)}'", hint="tensors hold numbers")
    if not hasattr(first, "__len__"):
        raise SignatureError(f"new(): data must be a sequence (got {type_name(first)})", hint="use graphc.tensor")
    return created(array_of(first, dtype), place=place)


def _is_size(value: object) -> bool:
    return type(value).__name__ == "Size" and isinstance(value, tuple)


def _options(dtype: DType, kind: str) -> str:
    shown = kind if kind == "cpu" else f"{kind}:0"
    return (
        f"TensorOptions(dtype={c_name(dtype)}, device={shown}, layout=Strided, requires_grad=false (default), "
        "pinned_memory=false (default), memory_format=(nullopt))"
    )


class tensortype(type):
    """The type of `FloatTensor` and its kin."""

    dtype: DType
    layout = strided
    place = "cpu"
    is_cuda = False
    is_sparse = False

    def __call__(cls, *args: Any, device: object = None) -> Tensor:
        return _made(args, cls.dtype, device, cls.place)

    def __instancecheck__(cls, instance: object) -> bool:
        is_ours = isinstance(instance, Tensor) and instance.dtype is cls.dtype
        return is_ours and place_of(instance._array).type == cls.place  # type: ignore[attr-defined]  # a tensor


TYPES: Final = {
    f"{d.scalar}Tensor": tensortype(f"{d.scalar}Tensor", (), {"__module__": "torch", "dtype": d})
    for d in DTYPES
    if not d.is_complex and not (not d.signed and d.bits > 8)
}
"""The types of tensors that PyTorch has, by name."""
CUDA_TYPES: Final = {
    name: tensortype(name, (), {"__module__": "torch.cuda", "dtype": kind.dtype, "place": "cuda", "is_cuda": True})
    for name, kind in TYPES.items()
}
"""Those of tensors on GPUs."""


def _type_of_name(name: str, place: str = "cpu") -> tensortype:
    return (CUDA_TYPES if place == "cuda" else TYPES)[name]


def _reduce_type(kind: tensortype) -> tuple[Callable[..., tensortype], tuple[str, str]]:
    return _type_of_name, (kind.__name__, kind.place)


copyreg.pickle(tensortype, _reduce_type)  # pickle would look for a module named torch

METHODS: dict[str, Callable[..., object]] = {"new": new}
STATIC: dict[str, Any] = {"__new__": staticmethod(construct)}
"""Class and static methods of `Tensor`."""
