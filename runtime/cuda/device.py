"""The current device of each thread, and waiting for a device.

In: device numbers. Out: the number in force, which every thread has for itself and which is 0 at first.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from graphc.ir.errors import ArgumentError
from graphc.runtime.cuda import checks
from graphc.runtime.cuda.driver import Driver
from graphc.runtime.cuda.select import driver, what_is_missing


class _Thread(threading.local):
    device = 0


_thread = _Thread()


def device_count() -> int:
    """How many GPUs there are; 0 without a driver."""
    return 0 if what_is_missing() is not None else driver().device_count()


def current_device() -> int:
    """The calling thread's device; raises DeviceUnavailable where there is none at all."""
    driver()
    return _thread.device


def set_device(device: int) -> None:
    """Choose the calling thread's device; raises ArgumentError for one that there is not."""
    check_device(device)
    _thread.device = device


def check_device(device: int) -> None:
    """Raise ArgumentError where there is no device of this number."""
    count = driver().device_count()
    if not 0 <= device < count:
        raise ArgumentError(
            "CUDA error: invalid device ordinal",
            hint=f"there is no cuda:{device}; there {'is cuda:0 alone' if count == 1 else f'are {count}, from 0 on'}",
        )


def activate(device: int) -> None:
    """Make the device's context the calling thread's, for calls of the driver."""
    driver().activate(device)


@contextmanager
def activated(found: Driver, device: int) -> Iterator[None]:
    """Make the device's context the calling thread's inside the block alone.

    What runs when an object goes may interrupt anything, also between another `activate` and its calls, or those of
    another library.
    """
    before = found.current()
    found.activate(device)
    try:
        yield
    finally:
        found.restore(before)


def synchronize(device: int | None = None) -> None:
    """Wait for all that the device has to do, and raise what failed in it."""
    device = current_device() if device is None else device
    check_device(device)
    driver().activate(device)
    driver().synchronize()
    checks.raise_failed(device)
