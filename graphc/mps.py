"""graphc.mps: GPUs of Apple's, which graphc doesn't compute on.

>>> is_available(), device_count()
(False, 0)
"""

from __future__ import annotations

from typing import NoReturn

from graphc.eager.guard import guarded
from graphc.ir.errors import ArgumentError

__all__ = [
    "current_allocated_memory",
    "device_count",
    "empty_cache",
    "is_available",
    "manual_seed",
    "seed",
    "synchronize",
]


def _refuse(function: str) -> NoReturn:
    raise ArgumentError(f"Cannot execute {function}() without MPS backend.", hint='tensors live on "cpu"')


def is_available() -> bool:
    """Whether there is such a device: False."""
    return False


def device_count() -> int:
    """How many devices there are: 0."""
    return 0


def manual_seed(seed: int) -> None:
    """Seed the device; without one it does nothing."""


def seed() -> None:
    """Seed the device by chance; without one it does nothing."""


@guarded
def synchronize() -> None:
    """Wait for the device; raises ArgumentError (a RuntimeError)."""
    _refuse("deviceSynchronize")


@guarded
def empty_cache() -> None:
    """Give unused memory back; raises ArgumentError (a RuntimeError)."""
    _refuse("emptyCache")


@guarded
def current_allocated_memory() -> int:
    """Bytes that tensors take; raises ArgumentError (a RuntimeError)."""
    _refuse("getCurrentAllocatedMemory")
