"""Tensors of other dtypes: `to` in all its forms, `type`, `float` and its kin, `cpu`, `cuda`.

In: a tensor and what it should become. Out: the tensor itself where nothing changes, else a converted copy, through
the table's `to`, so gradients flow back in the old dtype.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from graphc.eager.arguments import created, dtype_of, invalid_combination, type_name
from graphc.eager.data import cast
from graphc.eager.device import device, device_for, gpu_index
from graphc.eager.dispatch import function_of
from graphc.eager.memory import clone, contiguous
from graphc.eager.memory_format import memory_format, preserve_format
from graphc.eager.placement import gpu_of, place_of
from graphc.eager.tensor import Tensor
from graphc.eager.tensor_type import dtype_of_type, place_of_type
from graphc.eager.tensor_type import type_name as name_of_type
from graphc.eager.transfer import transfer
from graphc.ir.dtype import DType, bool_
from graphc.ir.dtype import dtype as to_dtype
from graphc.ir.errors import ArgumentError, SignatureError, UnsupportedDType


def convert(self: Tensor, dtype: DType, copy: bool = False, memory_format: object = None) -> Tensor:
    """The tensor in a dtype; itself where nothing changes and no copy is asked for."""
    source = self.dtype
    order = preserve_format if memory_format is None else memory_format
    if source is dtype:
        if copy:
            return clone(self, memory_format=order)
        return self if order is preserve_format else contiguous(self, order)
    if dtype.is_integer and source.is_differentiable and gpu_of(self._array) is None:
        # No gradient flows back, and numbers that the integers can't hold become what the processor makes of them.
        result = created(cast(self._array, dtype))
    else:
        result = _call("to", self, dtype)
    if source.is_complex and not dtype.is_complex and dtype is not bool_:
        warnings.warn("Casting complex values to real discards the imaginary part", stacklevel=4)
    return result if order is preserve_format else contiguous(result, order)


def _call(name: str, *args: object) -> Tensor:
    found = function_of(name)(*args)
    assert isinstance(found, Tensor)
    return found


_LATER = "bool non_blocking = False, bool copy = False, *, torch.memory_format memory_format = None)"
_FORMS = (
    f"(torch.device device = None, torch.dtype dtype = None, {_LATER}",
    f"(torch.dtype dtype, {_LATER}",
    f"(Tensor tensor, {_LATER}",
)
_PYTHON_TYPES = (bool, int, float, complex)


def to(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """`to(dtype)`, `to(device, dtype)` or `to(other)`, each with `non_blocking`, `copy` and `memory_format`.

    The tensor itself where it has the dtype already and `copy` is not set. `non_blocking`: copies of pinned memory to a
    GPU are not waited for; what comes to the CPU is always there at return.
    """
    given = dict(kwargs)
    values = list(args)
    first = values[0] if values else None
    target, gpu = self.dtype, gpu_of(self._array)
    names: tuple[str, ...] = ("non_blocking", "copy")
    if isinstance(first, Tensor) or "tensor" in given:
        other = values.pop(0) if values else given.pop("tensor")
        target, gpu = other.dtype, gpu_of(other._array)
    elif isinstance(first, DType) or (isinstance(first, type) and first in _PYTHON_TYPES):
        target = dtype_of("to", values.pop(0), target)
    else:
        names = ("device", "dtype", "non_blocking", "copy")
    if len(values) > len(names):
        raise invalid_combination("to", args, kwargs, _FORMS)
    for name, value in zip(names, values):
        if name in given:
            raise invalid_combination("to", args, kwargs, _FORMS)
        given[name] = value
    if not given.keys() <= {"device", "dtype", "non_blocking", "copy", "memory_format"}:
        raise invalid_combination("to", args, kwargs, _FORMS)
    place = given.get("device")
    if place is not None:
        if not isinstance(place, device | str | int) or isinstance(place, bool):
            raise invalid_combination("to", args, kwargs, _FORMS)
        gpu = _gpu(place)
    target = dtype_of("to", given.get("dtype"), target)
    order = given.get("memory_format")
    if order is not None and not isinstance(order, memory_format):
        raise SignatureError(f"to(): argument 'memory_format' must be torch.memory_format, not {type_name(order)}")
    is_quick = bool(given.get("non_blocking", False))
    if gpu != gpu_of(self._array):
        if target.itemsize > self.dtype.itemsize:  # the fewer bytes go from one memory to the other
            return convert(transfer(self, gpu, is_quick), target, memory_format=order)
        return transfer(convert(self, target, memory_format=order), gpu, is_quick)
    return convert(self, target, bool(given.get("copy", False)), order)


def _gpu(place: object) -> int | None:
    """The GPU that a device is; None: the CPU. Raises where no tensor can be."""
    found = device_for(place, "to")
    if found.type == "meta":
        raise UnsupportedDType("tensors without memory are not there", hint="tensors live on the CPU and on GPUs")
    return gpu_index(found)


def type_(self: Tensor, dtype: Any = None, non_blocking: bool = False) -> Tensor | str:
    """The name of the type, such as "torch.FloatTensor"; or the tensor as a type, for which a dtype may stand."""
    if dtype is None:
        return name_of_type(self.dtype, place_of(self._array).type)
    if isinstance(dtype, DType):
        return convert(self, dtype)
    if isinstance(dtype, str):
        target, place = dtype_of_type(dtype), place_of_type(dtype)
    elif isinstance(dtype, type):
        own = getattr(dtype, "dtype", None)
        target = own if isinstance(own, DType) else dtype_of_type(_name(dtype))
        place = place_of_type(_name(dtype))
    else:
        raise SignatureError("dtype must be a type, str, or dtype object", hint="such as torch.float64")
    here = gpu_of(self._array)
    return convert(transfer(self, (_gpu("cuda") if here is None else here) if place == "cuda" else None), target)


def _name(kind: type) -> str:
    if issubclass(kind, Tensor):
        return "torch.Tensor"
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"


def type_as(self: Tensor, other: Tensor) -> Tensor:
    """The tensor in the dtype of another, where that is."""
    if not isinstance(other, Tensor):
        raise SignatureError(f"type_as(): argument 'other' (position 1) must be Tensor, not {type_name(other)}")
    return convert(transfer(self, gpu_of(other._array)), other.dtype)


def _conversion(name: str, target: DType) -> Callable[..., Tensor]:
    def method(self: Tensor, memory_format: object = None) -> Tensor:
        return convert(self, target, memory_format=memory_format)

    method.__name__ = method.__qualname__ = name
    method.__doc__ = f"The tensor in {target.name}."
    return method


def cpu(self: Tensor, memory_format: object = None) -> Tensor:
    """The tensor in the CPU's memory; itself if it is there."""
    return convert(transfer(self, None), self.dtype, memory_format=memory_format)


def cuda(self: Tensor, device: object = None, non_blocking: bool = False, memory_format: object = None) -> Tensor:
    """The tensor on a GPU, the current one unless another is named; itself if it is there.

    `non_blocking`: a copy of pinned memory is not waited for.
    """
    place = _gpu("cuda" if device is None else device)
    if place is None:
        raise ArgumentError("Invalid device, must be cuda device", hint='name a GPU, as in cuda("cuda:0")')
    return convert(transfer(self, place, bool(non_blocking)), self.dtype, memory_format=memory_format)


def device_of(self: Tensor) -> device:
    """Where the memory is."""
    return place_of(self._array)


FUNCTIONS: dict[str, Callable[..., object]] = {}
METHODS: dict[str, Callable[..., object]] = {
    "cpu": cpu,
    "cuda": cuda,
    "to": to,
    "type": type_,
    "type_as": type_as,
    **{
        name: _conversion(name, to_dtype(target))
        for name, target in {
            "bool": "bool", "char": "int8", "short": "int16", "int": "int32", "long": "int64", "byte": "uint8",
            "half": "float16", "bfloat16": "bfloat16", "float": "float32", "double": "float64", "cfloat": "complex64",
            "cdouble": "complex128",
        }.items()
    },
}  # fmt: skip
ATTRIBUTES: dict[str, tuple[Callable[..., object] | None, ...]] = {"device": (device_of, None, None)}
