"""Tensors and DLPack: memory of the host and of GPUs, shared with other libraries.

In: tensors of any library that have `__dlpack__`, or capsules. Out: tensors over the same memory, and capsules over
that of tensors. Streams are as the array API standard says: who takes memory of a GPU names the stream it works on,
and whoever gives it lets that stream wait for what is still being written.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import Any, Final

import numpy as np

from graphc.eager.arguments import check_place, created
from graphc.eager.device import device as Device
from graphc.eager.geometry import row_major
from graphc.eager.memory import clone
from graphc.eager.pinning import is_pinned
from graphc.eager.placement import gpu_of, place_of
from graphc.eager.tensor import AnyArray, Tensor
from graphc.eager.transfer import transfer
from graphc.eager.watch import WATCHING, look
from graphc.ir.errors import GraphcError, SignatureError
from graphc.runtime import dlpack
from graphc.runtime.dlpack import BufferRefused, Taken


class DLDeviceType(IntEnum):
    """Kinds of devices, in DLPack's numbers."""

    kDLCPU = 1
    kDLCUDA = 2
    kDLCUDAHost = 3
    kDLOpenCL = 4
    kDLVulkan = 7
    kDLMetal = 8
    kDLVPI = 9
    kDLROCM = 10
    kDLROCMHost = 11
    kDLExtDev = 12
    kDLCUDAManaged = 13
    kDLOneAPI = 14
    kDLWebGPU = 15
    kDLHexagon = 16
    kDLMAIA = 17


class _Unavoidable(GraphcError, ValueError):
    """A copy that is needed and not wanted."""


_PRESERVED: Final = -1
"""As a stream: nobody waits."""
_LEGACY_DEFAULT: Final = 1
_PER_THREAD_DEFAULT: Final = 2


def __dlpack__(
    self: Tensor,
    *,
    stream: int | None = _PRESERVED,
    max_version: tuple[int, int] | None = None,
    dl_device: tuple[int, int] | None = None,
    copy: bool | None = None,
) -> object:
    """A capsule over the tensor's memory, which one consumer may take.

    `stream` is the consumer's, by the driver's handle, for tensors of a GPU: it waits for the current one. None and 1
    stand for the default stream, -1 for not waiting. With `copy`, or another `dl_device`, the capsule has a copy.
    Raises BufferError for tensors that need gradients, or are on another GPU than the current one.
    """
    if WATCHING:
        look(self, "__dlpack__()")
    if self.requires_grad:
        raise BufferRefused("Can't export tensors that require gradient, use tensor.detach()")
    gpu = gpu_of(self._array)
    if gpu is not None:
        _refuse_another(gpu)
    if stream is not None and type(stream) is not int:
        raise SignatureError("stream must be ``int`` or ``none``", hint="give the driver's handle of it")
    if gpu is None and stream not in (None, _PRESERVED):
        raise AssertionError("stream should be None on cpu.")
    if gpu is not None and stream != _PRESERVED:
        _check_stream(stream)
    shared = _placed(self, dl_device, copy)
    here = gpu_of(shared._array)
    if gpu is not None and here is not None and stream != _PRESERVED:
        _let_wait(0 if stream is None or stream == _LEGACY_DEFAULT else stream, gpu)
    return _capsule(shared, is_versioned=max_version is not None and max_version[0] >= 1, is_copied=shared is not self)


def _refuse_another(gpu: int) -> None:
    # Late: importing graphc must be quick, and most programs have no GPU.
    from graphc.runtime.cuda.device import current_device

    current = current_device()
    if gpu != current:
        raise BufferRefused(
            f"Can't export tensors on a different CUDA device index. Expected: {gpu}. Current device: {current}.",
            hint=f"do it in a block `with graphc.cuda.device({gpu}):`",
        )


def _check_stream(stream: int | None) -> None:
    if stream == _PER_THREAD_DEFAULT:
        raise BufferRefused("per-thread default stream is not supported.", hint="give another stream")
    if stream == 0:  # which the standard forbids: it could be one default stream or the other
        raise AssertionError(f"unsupported stream on CUDA: {stream}.")


def _let_wait(stream: int, gpu: int) -> None:
    """Let a stream wait for what the current one of its GPU has to do so far."""
    from graphc.runtime.cuda.event import Event  # late, as in _refuse_another
    from graphc.runtime.cuda.stream import Stream, current_stream

    current = current_stream(gpu)
    if stream != current.handle:
        mark = Event()
        mark.record(current)
        mark.wait(Stream(gpu, stream))


def _placed(self: Tensor, place: tuple[int, int] | None, copy: bool | None) -> Tensor:
    """The tensor where the consumer wants it: itself, or a copy."""
    if place is not None:
        kind, number = place
        if kind not in (dlpack.CPU, dlpack.CUDA):
            raise BufferRefused(f"Unsupported device_type: {int(kind)}", hint="give the device of the CPU or of a GPU")
        wanted = Device("cpu") if kind == dlpack.CPU else Device("cuda", number)
        if wanted != place_of(self._array):
            if copy is False:
                raise _Unavoidable(
                    f"cannot move (i.e. copy=False) tensor from {place_of(self._array)} to {wanted} without copying."
                )
            return transfer(self, check_place("__dlpack__", None, wanted, False))
    return clone(self) if copy else self


def _capsule(shared: Tensor, is_versioned: bool, is_copied: bool) -> object:
    gpu = gpu_of(shared._array)
    place = (dlpack.CPU, 0) if gpu is None else (dlpack.CUDA, gpu)
    return dlpack.exported(shared._array, shared.dtype, place, is_versioned=is_versioned, is_copied=is_copied)


def __dlpack_device__(self: Tensor) -> tuple[DLDeviceType, int]:
    """The device in DLPack's numbers: (1, 0) is the CPU, (2, n) a GPU, (3, 0) pinned memory of the CPU."""
    gpu = gpu_of(self._array)
    if gpu is not None:
        return DLDeviceType.kDLCUDA, gpu
    return (DLDeviceType.kDLCUDAHost if is_pinned(self._array) else DLDeviceType.kDLCPU), 0


def to_dlpack(tensor: Tensor) -> object:
    """A capsule over the tensor's memory; nobody waits for a GPU."""
    if not isinstance(tensor, Tensor):
        raise SignatureError(
            f"_to_dlpack(): argument 'data' (position 1) must be Tensor, not {type(tensor).__name__}",
            hint="other data has first to be a tensor",
        )
    if WATCHING:
        look(tensor, "to_dlpack()")
    return _capsule(tensor, is_versioned=False, is_copied=False)


def from_dlpack(ext_tensor: Any, *, device: object = None, copy: bool | None = None) -> Tensor:
    """A tensor over the memory of another library's tensor, or of a capsule; on another device, or a `copy`, its own.

    The memory is the other library's until the last tensor over it goes. What it says is only for reading is taken as
    any other: tensors have no such thing.
    """
    if not hasattr(ext_tensor, "__dlpack__"):
        if device is not None or copy is not None:
            raise AssertionError("device and copy kwargs not supported when ext_tensor is already a DLPack capsule.")
        return created(_array(dlpack.taken(ext_tensor)))
    kind, number = ext_tensor.__dlpack_device__()
    options: dict[str, Any] = {"max_version": (dlpack.MAJOR, 0)}
    if copy is not None:
        options["copy"] = copy
    wanted: Device | None = None
    moves = False
    if device is not None:
        if not isinstance(device, str | Device):
            raise AssertionError(f"from_dlpack: unsupported device type: {type(device)}")
        wanted = Device(device)
        if wanted.type not in ("cpu", "cuda"):
            raise BufferRefused(f"Cannot pack tensors on {wanted}", hint="tensors with memory are on the CPU or a GPU")
        place = (dlpack.CPU, 0) if wanted.type == "cpu" else (dlpack.CUDA, wanted.index or 0)
        moves = (int(kind), number) != place
        if not moves:
            options["dl_device"] = place
        elif copy is False:
            raise _Unavoidable(
                f"cannot move DLPack tensor from device {(kind, number)} to {place} without copying. Set copy=None or "
                "copy=True."
            )
    if kind == dlpack.CUDA:
        options["stream"] = _stream_here(number)
    capsule, refused = _asked(ext_tensor, options)
    found = created(_array(dlpack.taken(capsule)))
    if moves:
        return transfer(found, check_place("from_dlpack", None, wanted, False))
    return clone(found) if copy and "copy" in refused else found


def _stream_here(gpu: int) -> int:
    """The stream that takes the memory, as the standard numbers streams."""
    from graphc.runtime.cuda.device import check_device  # late, as in _refuse_another
    from graphc.runtime.cuda.stream import current_stream

    check_device(gpu)
    return current_stream(gpu).handle or _LEGACY_DEFAULT


def _asked(ext_tensor: Any, options: dict[str, Any]) -> tuple[object, set[str]]:
    """The capsule, and the options that the library doesn't know and was asked without."""
    refused: set[str] = set()
    for name in ("max_version", "copy", "dl_device"):
        try:
            return ext_tensor.__dlpack__(**options), refused
        except TypeError:
            if options.pop(name, None) is not None:
                refused.add(name)
    return ext_tensor.__dlpack__(**options), refused


def _array(found: Taken) -> AnyArray:
    """An array over what a capsule has said."""
    kind, number = found.place
    if kind in (dlpack.CPU, dlpack.CUDA_HOST):
        return dlpack.over(found.address, found.shape, found.strides, found.dtype.numpy, found.owner)
    if kind not in (dlpack.CUDA, dlpack.MANAGED):
        raise BufferRefused(f"Unsupported device_type: {kind}", hint="tensors are on the CPU or a GPU of NVIDIA's")
    return gpu_array(found.address, found.shape, found.strides, found.dtype.numpy, number, found.owner)


def gpu_array(
    address: int,
    shape: tuple[int, ...],
    strides: tuple[int, ...] | None,
    dtype: np.dtype[Any],
    gpu: int,
    owner: object,
) -> AnyArray:
    """An array over memory of a GPU that an owner keeps; strides in bytes, None: in row-major order."""
    from graphc.runtime.cuda.array import at, strided  # late, as in _refuse_another
    from graphc.runtime.cuda.device import check_device

    check_device(gpu)
    if strides is None:
        strides = row_major(shape, dtype.itemsize)
    if 0 in shape:
        return at(address, shape, dtype, gpu, owner)
    extent = 1 + sum((size - 1) * step for size, step in zip(shape, strides)) // dtype.itemsize
    return strided(at(address, (extent,), dtype, gpu, owner), shape, strides)


FUNCTIONS: dict[str, Callable[..., object]] = {"from_dlpack": from_dlpack, "to_dlpack": to_dlpack}
METHODS: dict[str, Callable[..., object]] = {"__dlpack__": __dlpack__, "__dlpack_device__": __dlpack_device__}
