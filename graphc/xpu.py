"""graphc.xpu: GPUs of Intel's, which graphc doesn't compute on.

>>> is_available(), device_count()
(False, 0)
"""

from __future__ import annotations

from typing import NoReturn

from graphc.eager.guard import guarded
from graphc.ir.errors import DeviceUnavailable

__all__ = [
    "current_device",
    "device_count",
    "empty_cache",
    "is_available",
    "manual_seed",
    "manual_seed_all",
    "synchronize",
]


def _refuse() -> NoReturn:
    raise DeviceUnavailable("Torch not compiled with XPU enabled", hint='tensors live on "cpu"')


def is_available() -> bool:
    """Whether there is such a device: False."""
    return False


def device_count() -> int:
    """How many devices there are: 0."""
    return 0


def manual_seed(seed: int) -> None:
    """Seed the device; without one it does nothing."""


def manual_seed_all(seed: int) -> None:
    """Seed all devices; without one it does nothing."""


def empty_cache() -> None:
    """Give unused memory back; without a device it does nothing."""


@guarded
def current_device() -> int:
    """The number of the current device; raises DeviceUnavailable."""
    _refuse()


@guarded
def synchronize(device: object = None) -> None:
    """Wait for the device; raises DeviceUnavailable."""
    _refuse()
