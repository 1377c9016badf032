"""graphc.cuda: GPUs of NVIDIA's. There is none to compute on yet; the functions say so as a PyTorch without CUDA does.

Asking whether there are devices, seeding them and emptying their caches is harmless; whatever needs a device raises
DeviceUnavailable (an AssertionError and a RuntimeError).

>>> is_available(), device_count()
(False, 0)
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any, NoReturn

from graphc.cuda import amp
from graphc.eager.guard import guarded
from graphc.eager.tensor import Tensor
from graphc.ir.errors import ArgumentError, DeviceUnavailable, MemoryExceeded

OutOfMemoryError = MemoryExceeded
has_half = True
has_magma = False
default_generators: tuple[Any, ...] = ()


def _refuse() -> NoReturn:
    raise DeviceUnavailable("Torch not compiled with CUDA enabled", hint='tensors live on "cpu"')


def is_available() -> bool:
    """Whether a GPU can be used: False."""
    return False


def is_initialized() -> bool:
    """Whether the driver was started: False."""
    return False


def is_bf16_supported(including_emulation: bool = True) -> bool:
    """Whether the current device computes in bfloat16."""
    return False


def is_tf32_supported() -> bool:
    """Whether the current device computes in tf32."""
    return False


def device_count() -> int:
    """How many GPUs there are: 0."""
    return 0


@guarded
def init() -> None:
    """Start the driver; raises DeviceUnavailable."""
    _refuse()


@guarded
def current_device() -> int:
    """The number of the current device; raises DeviceUnavailable."""
    _refuse()


@guarded
def set_device(device: object) -> None:
    """Choose the current device; a negative number chooses none."""
    if not isinstance(device, int) or device >= 0:
        _refuse()


class device:
    """A context in which a device is the current one; entering it raises unless the index is negative."""

    def __init__(self, device: object) -> None:
        self.idx = device

    @guarded
    def __enter__(self) -> None:
        set_device(self.idx)

    def __exit__(self, *error: object) -> None:
        return None


class device_of(device):
    """A context of a tensor's device: of a tensor on the CPU it changes nothing."""

    def __init__(self, obj: Tensor) -> None:
        super().__init__(-1)


@guarded
def synchronize(device: object = None) -> None:
    """Wait for the device; raises DeviceUnavailable."""
    _refuse()


@guarded
def get_device_name(device: object = None) -> str:
    """The device's name; raises DeviceUnavailable."""
    _refuse()


@guarded
def get_device_properties(device: object = None) -> Any:
    """What the device can do; raises DeviceUnavailable."""
    _refuse()


@guarded
def get_device_capability(device: object = None) -> tuple[int, int]:
    """The device's major and minor version; raises DeviceUnavailable."""
    _refuse()


@guarded
def can_device_access_peer(device: object, peer_device: object) -> bool:
    """Whether devices reach each other's memory; raises DeviceUnavailable."""
    _refuse()


def get_arch_list() -> list[str]:
    """The architectures that code is there for: none."""
    return []


# Random numbers


def manual_seed(seed: int) -> None:
    """Seed the current device; without one it does nothing."""


def manual_seed_all(seed: int) -> None:
    """Seed all devices; without one it does nothing."""


def seed() -> None:
    """Seed the current device by chance; without one it does nothing."""


def seed_all() -> None:
    """Seed all devices by chance; without one it does nothing."""


@guarded
def initial_seed() -> int:
    """The current device's seed; raises DeviceUnavailable."""
    _refuse()


@guarded
def get_rng_state(device: object = "cuda") -> Tensor:
    """The state of a device's generator; raises DeviceUnavailable."""
    _refuse()


def get_rng_state_all() -> list[Tensor]:
    """The states of the generators of all devices."""
    return []


@guarded
def set_rng_state(new_state: Tensor, device: object = "cuda") -> None:
    """Set the state of a device's generator; raises DeviceUnavailable."""
    _refuse()


@guarded
def set_rng_state_all(new_states: Iterable[Tensor]) -> None:
    """Set the states of the generators of all devices; raises DeviceUnavailable where states are given."""
    for _ in new_states:
        _refuse()


# Memory


def empty_cache() -> None:
    """Give unused memory back; without a device it does nothing."""


def memory_allocated(device: object = None) -> int:
    """Bytes that tensors take: 0."""
    return 0


def max_memory_allocated(device: object = None) -> int:
    """The most bytes that tensors took: 0."""
    return 0


def memory_reserved(device: object = None) -> int:
    """Bytes that the allocator holds: 0."""
    return 0


def max_memory_reserved(device: object = None) -> int:
    """The most bytes that the allocator held: 0."""
    return 0


def memory_stats(device: object = None) -> dict[str, int]:
    """Figures of the allocator: none."""
    return {}


def reset_peak_memory_stats(device: object = None) -> None:
    """Forget the greatest figures; without a device there are none."""


def reset_max_memory_allocated(device: object = None) -> None:
    """Forget the greatest figures; without a device there are none."""


@guarded
def mem_get_info(device: object = None) -> tuple[int, int]:
    """Free and total bytes of the device; raises DeviceUnavailable."""
    _refuse()


@guarded
def ipc_collect() -> None:
    """Collect memory shared with other processes; raises DeviceUnavailable."""
    _refuse()


# Streams


class Stream:
    """A queue of work; there is none without a device."""

    @guarded
    def __init__(self, *args: object, **kwargs: object) -> None:
        raise ArgumentError("torch.cuda.Stream requires CUDA support", hint="ask graphc.cuda.is_available() first")


class Event:
    """A mark in a stream; there is none without a device."""

    @guarded
    def __init__(self, *args: object, **kwargs: object) -> None:
        raise ArgumentError("Tried to instantiate dummy base class Event", hint="ask graphc.cuda.is_available() first")


@guarded
def current_stream(device: object = None) -> Stream:
    """The stream in force; raises DeviceUnavailable."""
    _refuse()


@guarded
def default_stream(device: object = None) -> Stream:
    """The device's first stream; raises DeviceUnavailable."""
    _refuse()


@contextlib.contextmanager
def stream(stream: Stream | None) -> Iterator[None]:
    """A context in which work goes to a stream; None changes nothing."""
    yield


__all__ = [
    "Event",
    "OutOfMemoryError",
    "Stream",
    "amp",
    "can_device_access_peer",
    "current_device",
    "current_stream",
    "default_generators",
    "default_stream",
    "device",
    "device_count",
    "device_of",
    "empty_cache",
    "get_arch_list",
    "get_device_capability",
    "get_device_name",
    "get_device_properties",
    "get_rng_state",
    "get_rng_state_all",
    "has_half",
    "has_magma",
    "init",
    "initial_seed",
    "ipc_collect",
    "is_available",
    "is_bf16_supported",
    "is_initialized",
    "is_tf32_supported",
    "manual_seed",
    "manual_seed_all",
    "max_memory_allocated",
    "max_memory_reserved",
    "mem_get_info",
    "memory_allocated",
    "memory_reserved",
    "memory_stats",
    "reset_max_memory_allocated",
    "reset_peak_memory_stats",
    "seed",
    "seed_all",
    "set_device",
    "set_rng_state",
    "set_rng_state_all",
    "stream",
    "synchronize",
]
