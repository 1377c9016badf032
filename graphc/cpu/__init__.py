"""graphc.cpu: the CPU in the form of a device's namespace. Its results are there when a line returns.

>>> is_available(), device_count(), current_device()
(True, 1, 'cpu')
"""

from __future__ import annotations

from graphc.cpu import amp

__all__ = ["amp", "current_device", "device_count", "is_available", "is_initialized", "set_device", "synchronize"]


def is_available() -> bool:
    """Whether the CPU can be used: True."""
    return True


def is_initialized() -> bool:
    """Whether it was started: True."""
    return True


def device_count() -> int:
    """1: all of the CPU is one device."""
    return 1


def current_device() -> str:
    """The current device: "cpu"."""
    return "cpu"


def set_device(device: object) -> None:
    """Choose the one device there is."""


def synchronize(device: object = None) -> None:
    """Wait for the device, which is done."""
