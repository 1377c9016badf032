"""graphc.accelerator: whichever device computes beside the CPU: the GPUs, or none.

>>> is_available() == (device_count() > 0)
True
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any, Final

from graphc import cuda
from graphc.eager.device import device as Device
from graphc.eager.guard import guarded
from graphc.ir.errors import ArgumentError

__all__ = [
    "current_accelerator",
    "current_device_index",
    "current_stream",
    "device_count",
    "empty_cache",
    "get_device_module",
    "is_available",
    "max_memory_allocated",
    "memory_allocated",
    "memory_reserved",
    "set_device_index",
    "set_stream",
    "synchronize",
]

_GPU: Final = Device("cuda")


def _require() -> None:
    """Raise ArgumentError, a RuntimeError, where there is no accelerator."""
    if not cuda.is_available():
        raise ArgumentError("Cannot access accelerator device when none is available.", hint='tensors live on "cpu"')


def is_available() -> bool:
    """Whether there is an accelerator."""
    return cuda.is_available()


def device_count() -> int:
    """How many devices the accelerator has."""
    return cuda.device_count()


def current_accelerator(check_available: bool = False) -> Device | None:
    """The accelerator, without an index; None where there is none."""
    return _GPU if cuda.is_available() else None


@guarded
def current_device_index() -> int:
    """The number of the current device; raises ArgumentError without one, as the functions below do."""
    _require()
    return cuda.current_device()


@guarded
def set_device_index(device: object, /) -> None:
    """Choose the current device."""
    _require()
    cuda.set_device(device)


@guarded
def synchronize(device: object = None, /) -> None:
    """Wait for the device."""
    _require()
    cuda.synchronize(device)


@guarded
def current_stream(device: object = None, /) -> Any:
    """The stream in force."""
    _require()
    return cuda.current_stream(device)


@guarded
def set_stream(stream: Any) -> None:
    """Put a stream, and its device, in force."""
    _require()
    cuda.set_stream(stream)


@guarded
def empty_cache() -> None:
    """Give unused memory back."""
    _require()
    cuda.empty_cache()


@guarded
def memory_allocated(device_index: object = None, /) -> int:
    """Bytes that tensors take."""
    _require()
    return cuda.memory_allocated(device_index)


@guarded
def max_memory_allocated(device_index: object = None, /) -> int:
    """Most bytes that tensors have taken."""
    _require()
    return cuda.max_memory_allocated(device_index)


@guarded
def memory_reserved(device_index: object = None, /) -> int:
    """Bytes that are held for tensors."""
    _require()
    return cuda.memory_reserved(device_index)


def get_device_module(device: Device | str | None = None) -> ModuleType:
    """The namespace of a device's type: `graphc.cpu`, `graphc.cuda`. Without an argument: that in use."""
    kind = ("cuda" if is_available() else "cpu") if device is None else Device(device).type
    if kind not in ("cpu", "cuda", "mps", "xpu"):
        raise ArgumentError(
            f"Invalid device string '{device}', unable to find the related module.", hint='such as "cpu" or "cuda"'
        )
    return importlib.import_module(f"graphc.{kind}")
