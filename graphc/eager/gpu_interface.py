"""Memory of GPUs by `__cuda_array_interface__`: what tensors tell other libraries, and what those tell.

In: tensors of a GPU, or objects with the attribute. Out: the attribute (version 3 of numba's description, with the
stream that the reader has to wait for), and arrays over the memory of others.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from graphc.eager.data import check_array
from graphc.eager.dlpack import gpu_array
from graphc.eager.placement import gpu_of
from graphc.eager.tensor import AnyArray, Tensor
from graphc.eager.watch import WATCHING, look
from graphc.ir.dtype import bf16
from graphc.ir.errors import ArgumentError, GraphcError, SignatureError, UnknownAttribute

_LEGACY_DEFAULT: Final = 1
"""What the description calls the stream whose handle is 0."""


class _UnevenStrides(GraphcError, ValueError):
    """Strides that are no multiple of the elements' size."""


def cuda_array_interface(self: Tensor) -> dict[str, object]:
    """Where the memory is, for libraries that use it on a GPU; tensors of the CPU don't have the attribute.

    Raises ArgumentError (a RuntimeError) for tensors that need gradients, SignatureError (a TypeError) for float8.
    """
    gpu = gpu_of(self._array)
    if gpu is None:
        raise UnknownAttribute(
            f"Can't get __cuda_array_interface__ on non-CUDA tensor type: {self.type()} "  # type: ignore[attr-defined]
            "If CUDA data is required use tensor.cuda() to copy tensor to device memory."
        )
    if self.requires_grad:
        raise ArgumentError(
            "Can't get __cuda_array_interface__ on Variable that requires grad. If gradients aren't required, use "
            "var.detach() to get Variable that doesn't require grad."
        )
    if self.dtype.is_storage_only:
        raise SignatureError(f"__cuda_array_interface__ has no {self.dtype}")
    if WATCHING:
        look(self, "__cuda_array_interface__")
    # Late: importing graphc must be quick, and most programs have no GPU.
    from graphc.runtime.cuda.stream import current_stream

    array = self._array
    return {
        "shape": array.shape,
        "typestr": "<V2" if self.dtype is bf16 else array.dtype.str,
        "data": (array.__array_interface__["data"][0] if array.size else 0, False),
        "strides": None if array.flags.c_contiguous else array.strides,
        "stream": current_stream(gpu).handle or _LEGACY_DEFAULT,
        "version": 3,
    }


def described(data: Any) -> AnyArray:
    """An array over the memory that an object tells of, which it keeps; the current stream waits for the one it names.

    Raises SignatureError (a TypeError) for what is no such description, for memory that is only for reading and for
    masks, ArgumentError for memory of the host.
    """
    told = data.__cuda_array_interface__
    if not isinstance(told, dict):
        raise SignatureError("`__cuda_array_interface__` must be a dict")
    shape = _sizes(told)
    dtype = _dtype(told)
    address = _address(told)
    strides = _strides(told, shape, dtype.itemsize)
    if told.get("mask") is not None:
        raise SignatureError("the mask of a __cuda_array_interface__ is not supported", hint="apply it first")
    gpu = _gpu_of_address(address, shape)
    array = gpu_array(address, shape, strides, dtype, gpu, data)
    check_array(array)
    stream = told.get("stream")
    if stream is not None:
        _wait_for(stream, gpu)
    return array


def _sizes(told: dict[str, Any]) -> tuple[int, ...]:
    if "shape" not in told:
        raise SignatureError("attribute `shape` must exist")
    shape = told["shape"]
    if not isinstance(shape, Sequence) or isinstance(shape, str):
        raise SignatureError("shape and strides must be sequences")
    return tuple(int(size) for size in shape)


def _dtype(told: dict[str, Any]) -> np.dtype[Any]:
    if "typestr" not in told:
        raise SignatureError("attribute `typestr` must exist")
    try:
        found = np.dtype(told["typestr"])
    except TypeError:
        raise _UnevenStrides("cannot parse `typestr`", hint=f'it is {told["typestr"]!r}, not such as "<f4"') from None
    return bf16.numpy if found == np.dtype("V2") else found


def _address(told: dict[str, Any]) -> int:
    if "data" not in told:
        raise SignatureError("attribute `data` must exist")
    data = told["data"]
    if not isinstance(data, tuple) or len(data) != 2:
        raise SignatureError("`data` must be a 2-tuple of (int, bool)")
    if data[1]:
        raise SignatureError(
            "the read only flag is not supported, should always be False", hint="hand over a copy, or by DLPack"
        )
    return int(data[0])


def _strides(told: dict[str, Any], shape: tuple[int, ...], itemsize: int) -> tuple[int, ...] | None:
    strides = told.get("strides")
    if strides is None:
        return None
    if not isinstance(strides, Sequence) or len(strides) != len(shape):
        raise SignatureError("strides must be a sequence of the same length as shape")
    if any(step % itemsize for step in strides):
        raise _UnevenStrides(
            "given array strides not a multiple of the element byte size. Make a copy of the array to reallocate the "
            "memory."
        )
    return tuple(strides)


def _gpu_of_address(address: int, shape: tuple[int, ...]) -> int:
    """The GPU that has the memory: the driver knows."""
    from graphc.runtime.cuda.device import activate, current_device  # late, as above
    from graphc.runtime.cuda.select import driver

    current = current_device()
    if 0 in shape:
        return current
    activate(current)
    found = driver().device_of(address)
    if found is None:
        raise ArgumentError(
            "The specified pointer resides on host memory and is not registered with any CUDA device.",
            hint=f"no GPU has memory at {address:#x}",
        )
    return found


def _wait_for(stream: object, gpu: int) -> None:
    """Let the current stream wait for what the one of the other library has to do."""
    from graphc.runtime.cuda.event import Event  # late, as above
    from graphc.runtime.cuda.stream import Stream, current_stream

    if type(stream) is not int or stream == 0:
        raise SignatureError(
            f"the stream of a __cuda_array_interface__ is a handle, not {stream!r}", hint="1 is the default stream"
        )
    handle = 0 if stream == _LEGACY_DEFAULT else stream
    current = current_stream(gpu)
    if handle != current.handle:
        mark = Event()
        mark.record(Stream(gpu, handle))
        mark.wait(current)
