"""graphc.accelerator: whichever device computes beside the CPU. There is none yet.

>>> is_available(), current_accelerator(), device_count()
(False, None, 0)
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any, NoReturn

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
    "memory_allocated",
    "set_device_index",
    "synchronize",
]


def _refuse() -> NoReturn:
    raise ArgumentError("Cannot access accelerator device when none is available.", hint='tensors live on "cpu"')


def is_available() -> bool:
    """Whether there is an accelerator: False."""
    return False


def device_count() -> int:
    """How many devices the accelerator has: 0."""
    return 0


def current_accelerator(check_available: bool = False) -> Device | None:
    """The accelerator, or None without one."""
    return None


@guarded
def current_device_index() -> int:
    """The number of the current device; raises ArgumentError (a RuntimeError)."""
    _refuse()


@guarded
def set_device_index(device: object, /) -> None:
    """Choose the current device; raises ArgumentError (a RuntimeError)."""
    _refuse()


@guarded
def synchronize(device: object = None, /) -> None:
    """Wait for the device; raises ArgumentError (a RuntimeError)."""
    _refuse()


@guarded
def current_stream(device: object = None, /) -> Any:
    """The stream in force; raises ArgumentError (a RuntimeError)."""
    _refuse()


@guarded
def empty_cache() -> None:
    """Give unused memory back; raises ArgumentError (a RuntimeError)."""
    _refuse()


@guarded
def memory_allocated(device_index: object = None, /) -> int:
    """Bytes that tensors take; raises ArgumentError (a RuntimeError)."""
    _refuse()


def get_device_module(device: Device | str | None = None) -> ModuleType:
    """The namespace of a device's type: `graphc.cpu`, `graphc.cuda`; without an argument that of the CPU."""
    kind = "cpu" if device is None else Device(device).type
    if kind not in ("cpu", "cuda", "mps", "xpu"):
        raise ArgumentError(
            f"Invalid device string '{device}', unable to find the related module.", hint='such as "cpu" or "cuda"'
        )
    return importlib.import_module(f"graphc.{kind}")
