"""Tensors and the memory of others: numpy's arrays, buffers, files.

In: arrays, buffers, or data to copy. Out: tensors over the same memory where there is one, and numpy's arrays
over the memory of tensors.
"""

from __future__ import annotations

import mmap
import os
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from graphc.eager.arguments import check_place, created, dtype_of, type_name
from graphc.eager.data import _BadSequence, array_of, cast, check_array
from graphc.eager.device import default_in_force
from graphc.eager.dispatch import function_of
from graphc.eager.dlpack import from_dlpack
from graphc.eager.gpu_interface import described
from graphc.eager.history import set_requires_grad
from graphc.eager.memory import clone
from graphc.eager.mode import is_grad_enabled
from graphc.eager.node import AutogradError
from graphc.eager.placement import gpu_of, on, place_of
from graphc.eager.tensor import AnyArray, Tensor
from graphc.eager.transfer import transfer
from graphc.eager.watch import WATCHING, look
from graphc.ir.dtype import DType, bf16, get_default_dtype
from graphc.ir.errors import ArgumentError, SignatureError

_COPY_ADVICE = (
    "To copy construct from a tensor, it is recommended to use sourceTensor.detach().clone() or "
    "sourceTensor.detach().clone().requires_grad_(True), rather than {}(sourceTensor)."
)


def tensor(
    data: Any,
    *,
    dtype: DType | None = None,
    device: object = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """A tensor with a copy of the data: a number, nested lists or tuples of numbers, an array, a tensor.

    Without a dtype it has that of the data; Python's floats have the default dtype. Raises for lists of uneven lengths
    (ValueError), for what is no number (TypeError, RuntimeError) and for numbers that the dtype can't hold.
    """
    if isinstance(data, Tensor):
        warnings.warn(_COPY_ADVICE.format("torch.tensor"), stacklevel=3)
    target = None if dtype is None else dtype_of("tensor", dtype, bf16)
    if hasattr(data, "__cuda_array_interface__") and not isinstance(data, Tensor):
        return _copied(data, target, device, requires_grad, pin_memory)
    place = _place("tensor", device, data, pin_memory)
    return created(array_of(data, target), requires_grad, place, pin_memory=pin_memory)


def _copied(data: Any, dtype: DType | None, device: object, requires_grad: bool, pin_memory: bool) -> Tensor:
    """A copy of another library's memory of a GPU, there unless a device is given."""
    if pin_memory:
        raise ArgumentError("Can't pin tensor constructed from __cuda_array_interface__", hint="leave it out")
    shared = created(described(data))
    moved = shared if device is None else transfer(shared, check_place("tensor", None, device, False))
    if dtype is not None and dtype is not moved.dtype:
        moved = _converted(moved, dtype)
    found = moved if moved is not shared else clone(moved)
    if requires_grad:
        set_requires_grad(found, True)
    return found


def _place(function: str, device: object, data: object, pin_memory: object = False) -> int | None:
    """Where the data goes: to the device given, to that in force, or, a tensor, where it is."""
    if device is None:
        device = default_in_force()
    like = data._array if isinstance(data, Tensor) else None
    return check_place(function, None, device, pin_memory, like)


def new_tensor(
    self: Tensor,
    data: Any,
    *,
    dtype: DType | None = None,
    device: object = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """`tensor(data)`, in the dtype of this tensor unless one is given."""
    if isinstance(data, Tensor):
        warnings.warn(_COPY_ADVICE.format("tensor.new_tensor"), stacklevel=3)
    target = dtype_of("new_tensor", dtype, self.dtype)
    place = check_place("new_tensor", None, device, pin_memory, self._array)
    return created(array_of(data, target), requires_grad, place, pin_memory=pin_memory)


def from_numpy(array: AnyArray) -> Tensor:
    """A tensor over the memory of an array: writes to either are seen in both.

    Raises SignatureError (a TypeError) for what is no array and for dtypes that tensors don't have, ValueError for
    negative strides.
    """
    if not isinstance(array, np.ndarray):
        raise SignatureError(f"expected np.ndarray (got {type_name(array)})", hint="use graphc.tensor for other data")
    check_array(array)
    if not array.flags.writeable:
        warnings.warn(
            "The given NumPy array is not writable, and PyTorch does not support non-writable tensors. This means "
            "writing to this tensor will result in undefined behavior. You may want to copy the array to protect its "
            "data or make it writable before converting it to a tensor. This type of warning will be suppressed for "
            "the rest of this program.",
            stacklevel=3,
        )
    return created(array.view(np.ndarray))


def as_tensor(data: Any, dtype: DType | None = None, device: object = None) -> Tensor:
    """The data as a tensor: itself, or over the same memory, where it is a tensor or array of the dtype."""
    target = None if dtype is None else dtype_of("as_tensor", dtype, bf16)
    place = _place("as_tensor", device, data, False)
    if isinstance(data, Tensor):
        return transfer(data if target is None or target is data.dtype else _converted(data, target), place)
    if isinstance(data, np.ndarray):
        shared = from_numpy(data)
        if target is not None and target is not shared.dtype:
            return created(cast(shared._array, target), place=place)
        return transfer(shared, place)
    if hasattr(data, "__cuda_array_interface__"):
        shared = created(described(data))
        shared = shared if target is None or target is shared.dtype else _converted(shared, target)
        return shared if device is None else transfer(shared, place)
    if hasattr(data, "__array_interface__") and not isinstance(data, np.generic):
        return as_tensor(np.asarray(data), target, device)
    return created(array_of(data, target), place=place)


def _converted(source: Tensor, dtype: DType) -> Tensor:
    found = function_of("to")(source, dtype)
    assert isinstance(found, Tensor)
    return found


def asarray(
    obj: Any,
    *,
    dtype: DType | None = None,
    device: object = None,
    copy: bool | None = None,
    requires_grad: bool | None = None,
) -> Tensor:
    """The object as a tensor: over its memory where it has such, as arrays, buffers and DLPack's do.

    `copy` True always copies, False raises ValueError where a copy is needed.
    """
    target = None if dtype is None else dtype_of("asarray", dtype, bf16)
    place = _place("asarray", device, obj, False)
    found: Tensor | None = None
    if isinstance(obj, Tensor):
        found = obj
    elif isinstance(obj, np.ndarray):
        found = from_numpy(obj)
    elif hasattr(obj, "__cuda_array_interface__"):
        found = created(described(obj))
        place = gpu_of(found._array) if device is None else place
    elif not isinstance(obj, np.generic | list | tuple | int | float | complex):
        if hasattr(obj, "__dlpack__"):
            found = from_dlpack(obj)
        elif not isinstance(obj, str) and _is_buffer(obj):
            found = frombuffer(obj, dtype=target or get_default_dtype())
    if found is None:
        if copy is False:
            raise _BadSequence("can't alias arbitrary sequence into a tensor.")
        return created(array_of(obj, target), bool(requires_grad), place)
    if target is not None and target is not found.dtype:
        if copy is False:
            raise _BadSequence(f"can't alias tensor with dtype '{found.dtype.scalar}' into dtype '{target.scalar}'.")
        found = _converted(found, target)
    elif copy and gpu_of(found._array) == place:
        found = clone(found)
    if gpu_of(found._array) != place:
        if copy is False:
            raise _BadSequence(f"can't alias tensor with device '{place_of(found._array)}' on another device.")
        found = transfer(found, place)
    if requires_grad is None:
        if found.requires_grad:
            warnings.warn(
                "torch.asarray: unspecified requires_grad now defaults to obj.requires_grad instead of False. Pass "
                "requires_grad=False explicitly to get the old behavior and silence this warning.",
                stacklevel=3,
            )
        return found
    if requires_grad:
        set_requires_grad(found, True)
        return found
    return found.detach() if found.requires_grad else found  # type: ignore[attr-defined]  # a method


def _is_buffer(value: object) -> bool:
    try:
        memoryview(value)  # type: ignore[arg-type]  # what is no buffer raises TypeError
    except TypeError:
        return False
    return True


def frombuffer(buffer: Any, *, dtype: DType, count: int = -1, offset: int = 0, requires_grad: bool = False) -> Tensor:
    """A vector over the memory of a buffer: `count` elements (-1: all) from `offset` bytes on."""
    element = dtype_of("frombuffer", dtype, bf16)
    if not _is_buffer(buffer):
        raise _BadSequence("object does not implement Python buffer protocol.")
    raw = np.frombuffer(buffer, np.uint8)
    length, size = raw.size, element.itemsize
    if not length or not count:
        raise _BadSequence(f"both buffer length ({length}) and count ({count}) must not be 0")
    if not 0 <= offset < length:
        raise _BadSequence(
            f"offset ({offset} bytes) must be non-negative and no greater than buffer length ({length} bytes) minus 1"
        )
    if count < 0:
        if (length - offset) % size:
            raise _BadSequence(
                f"buffer length ({length - offset} bytes) after offset ({offset} bytes) must be a multiple of element "
                f"size ({size})"
            )
        count = (length - offset) // size
    elif offset + count * size > length:
        raise _BadSequence(
            f"requested buffer length ({count} * {size} bytes) after offset ({offset} bytes) must not be greater than "
            f"actual buffer length ({length} bytes)"
        )
    if not raw.flags.writeable:
        warnings.warn(
            "The given buffer is not writable, and PyTorch does not support non-writable tensors. This means you can "
            "write to the underlying (supposedly non-writable) buffer using the tensor. You may want to copy the "
            "buffer to protect its data or make it writable before converting it to a tensor. This type of warning "
            "will be suppressed for the rest of this program.",
            stacklevel=3,
        )
    return created(np.frombuffer(buffer, element.numpy, count, offset), requires_grad)


def from_file(
    filename: str | bytes,
    shared: bool | None = None,
    size: int | None = 0,
    *,
    dtype: DType | None = None,
    layout: object = None,
    device: object = None,
    pin_memory: bool = False,
    requires_grad: bool = False,
) -> Tensor:
    """A vector of `size` elements over a file that is mapped to memory.

    Shared memory is written back to the file, which is created and made longer as needed; else what is written is seen
    here alone. Raises ArgumentError (a RuntimeError) for files that aren't there or too short.
    """
    place = check_place("from_file", layout, device, pin_memory)
    if place is not None:
        raise ArgumentError("from_file(): a file is mapped to the host's memory", hint='move it with .to("cuda")')
    element = dtype_of("from_file", dtype, get_default_dtype())
    name, length = os.fsdecode(filename), (size or 0) * element.itemsize
    if not size:
        return created(np.empty(0, element.numpy), requires_grad, pin_memory=pin_memory)
    if length < 0:
        raise ArgumentError(f"unable to mmap {length} bytes from file <{name}>: Cannot allocate memory (12)")
    try:
        with open(name, "r+b" if shared and os.path.exists(name) else "w+b" if shared else "rb") as file:
            present = file.seek(0, os.SEEK_END)
            if present < length and shared:
                file.truncate(length)
            elif present < length:
                raise ArgumentError(
                    f"file <{name}> size <{present}> is smaller than the required mapping size <{length}>"
                )
            memory = mmap.mmap(file.fileno(), length, access=mmap.ACCESS_WRITE if shared else mmap.ACCESS_COPY)
    except OSError as error:
        mode = "read-write" if shared else "read-only"
        raise ArgumentError(f"unable to open file <{name}> in {mode} mode: {error.strerror} ({error.errno})") from None
    return created(np.frombuffer(memory, element.numpy), requires_grad, pin_memory=pin_memory)


# Out of tensors.


def numpy(self: Tensor, *, force: bool = False) -> AnyArray:
    """The array over the same memory. Raises where a gradient would be lost: not inside `no_grad`, nor with `force`."""
    if WATCHING:
        look(self, "numpy()")
    if gpu_of(self._array) is not None:
        if force:
            return on(self._array, None)
        raise SignatureError(
            f"can't convert {place_of(self._array)} device type tensor to numpy. Use Tensor.cpu() to copy the tensor "
            "to host memory first."
        )
    if self.requires_grad and not force and is_grad_enabled():
        raise AutogradError("Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead.")
    _refuse_foreign(self)
    return self._array


def _refuse_foreign(self: Tensor) -> None:
    """Refuse the dtypes that numpy itself doesn't have."""
    dtype = self.dtype
    if dtype is bf16 or dtype.is_storage_only:
        raise SignatureError(f"Got unsupported ScalarType {dtype.scalar}", hint="convert it first, e.g. with .float()")


def __array__(self: Tensor, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> AnyArray:
    """What numpy asks for."""
    array = numpy(self)
    if dtype is not None and array.dtype != dtype:
        if copy is False:
            raise _BadSequence("Unable to avoid copy while creating an array as requested.")
        converted: AnyArray = array.astype(dtype)
        return converted
    return array.copy() if copy else array


def __array_wrap__(self: Tensor, array: AnyArray, context: object = None, return_scalar: bool = False) -> Tensor:
    """What numpy's functions do with their results: bools become uint8."""
    if array.dtype == np.bool_:
        array = array.astype(np.uint8)
    return created(np.asarray(array))


FUNCTIONS: dict[str, Callable[..., object]] = {
    "as_tensor": as_tensor,
    "asarray": asarray,
    "from_numpy": from_numpy,
    "from_file": from_file,
    "frombuffer": frombuffer,
    "tensor": tensor,
}
METHODS: dict[str, Callable[..., object]] = {
    "__array__": __array__,
    "__array_wrap__": __array_wrap__,
    "new_tensor": new_tensor,
    "numpy": numpy,
}
