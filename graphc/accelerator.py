"""graphc.accelerator: whichever device computes beside the CPU: the GPUs, or none.

>>> is_available() == (device_count() > 0)
True
"""

from __future__ import annotations

import importlib
import warnings
from collections import OrderedDict
from contextlib import suppress
from types import ModuleType
from typing import Any, Final

from graphc import cuda
from graphc.eager.device import device as Device
from graphc.eager.guard import guarded
from graphc.ir.dtype import DTYPES
from graphc.ir.errors import ArgumentError

__all__ = [
    "Graph",
    "current_accelerator",
    "current_device_idx",
    "current_device_index",
    "current_stream",
    "device_count",
    "device_index",
    "empty_cache",
    "empty_host_cache",
    "get_device_capability",
    "get_device_module",
    "get_memory_info",
    "is_available",
    "max_memory_allocated",
    "max_memory_reserved",
    "memory_allocated",
    "memory_reserved",
    "memory_stats",
    "reset_accumulated_memory_stats",
    "reset_peak_memory_stats",
    "set_device_idx",
    "set_device_index",
    "set_stream",
    "synchronize",
]

_GPU: Final = Device("cuda")
AcceleratorError = cuda.CudaError
Stream = cuda.Stream


class Event(cuda.Event):
    """A mark in a stream of the accelerator, which is on the device of the stream where it is first recorded."""

    def __init__(
        self,
        device: object = None,
        *,
        enable_timing: bool = False,
        blocking: bool = False,
        interprocess: bool = False,
    ) -> None:
        if device is not None and Device(device).type != "cuda":
            raise ArgumentError(f"there are no events of {device}", hint="events are of GPUs")
        super().__init__(enable_timing, blocking, interprocess)


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


def current_device_idx() -> int:
    """The same, by its older name."""
    warnings.warn("Use `current_device_index` instead.", FutureWarning, stacklevel=2)
    return current_device_index()


class device_index:
    """A context in which a device of this number is the current one; None changes nothing."""

    def __init__(self, device: int | None, /) -> None:
        self.idx = device
        self.prev_idx = -1

    @guarded
    def __enter__(self) -> None:
        if self.idx is not None:
            _require()
            self.prev_idx = cuda.current_device()
            cuda.set_device(self.idx)

    def __exit__(self, *error: object) -> None:
        if self.idx is not None:
            cuda.set_device(self.prev_idx)


def set_device_idx(device: object, /) -> None:
    """`set_device_index`, by its older name."""
    warnings.warn("Use `set_device_index` instead.", FutureWarning, stacklevel=2)
    set_device_index(device)


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


@guarded
def max_memory_reserved(device_index: object = None, /) -> int:
    """Most bytes that were held for tensors."""
    _require()
    return cuda.max_memory_reserved(device_index)


@guarded
def memory_stats(device_index: object = None, /) -> OrderedDict[str, Any]:
    """All figures of the allocator, by name."""
    _require()
    return cuda.memory_stats(device_index)


@guarded
def reset_peak_memory_stats(device_index: object = None, /) -> None:
    """Let the greatest figures start from what they are now."""
    _require()
    cuda.reset_peak_memory_stats(device_index)


@guarded
def reset_accumulated_memory_stats(device_index: object = None, /) -> None:
    """Let what adds up start from 0."""
    _require()
    cuda.reset_accumulated_memory_stats(device_index)


@guarded
def get_memory_info(device_index: object = None, /) -> tuple[int, int]:
    """Free and total bytes of the device, whoever uses them."""
    _require()
    return cuda.mem_get_info(device_index)


@guarded
def empty_host_cache() -> None:
    """Give pinned memory that nobody uses back, which happens by itself."""
    _require()


@guarded
def get_device_capability(device: object = None, /) -> dict[str, Any]:
    """The dtypes that the device computes with."""
    _require()
    cuda.get_device_capability(device)  # raises for a device that is not there
    return {"supported_dtypes": set(DTYPES)}


class Graph:
    """What the accelerator is given inside its context, to be done again by `replay`: a `graphc.cuda.CUDAGraph`."""

    @guarded
    def __init__(
        self,
        keep_graph: bool = False,
        *,
        pool: tuple[int, int] | None = None,
        capture_error_mode: str = "default",
    ) -> None:
        _require()
        self._graph = cuda.CUDAGraph(keep_graph)
        mode = "global" if capture_error_mode == "default" else capture_error_mode
        self._options: dict[str, Any] = {"pool": pool, "capture_error_mode": mode}

    def capture_begin(self) -> None:
        """Let the current stream note what it gets."""
        self._graph.capture_begin(**self._options)

    def capture_end(self) -> None:
        """Make what it has noted ready to be replayed."""
        self._graph.capture_end()

    def replay(self) -> None:
        """Do it, in the current stream."""
        self._graph.replay()

    def reset(self) -> None:
        """Drop it."""
        self._graph.reset()

    def pool(self) -> tuple[int, int]:
        """The private memory, for another graph."""
        return self._graph.pool()

    def __enter__(self) -> Graph:
        self.capture_begin()
        return self

    def __exit__(self, *error: object) -> None:
        if error[0] is None:
            self.capture_end()
            return
        with suppress(cuda.CudaError):  # what is wrong is what was raised inside
            self.capture_end()
        self.reset()


def get_device_module(device: Device | str | None = None) -> ModuleType:
    """The namespace of a device's type: `graphc.cpu`, `graphc.cuda`. Without an argument: that in use."""
    kind = ("cuda" if is_available() else "cpu") if device is None else Device(device).type
    if kind not in ("cpu", "cuda", "mps", "xpu"):
        raise ArgumentError(
            f"Invalid device string '{device}', unable to find the related module.", hint='such as "cpu" or "cuda"'
        )
    return importlib.import_module(f"graphc.{kind}")
