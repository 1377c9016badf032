"""What programs set about the process beside threads and precision: some of it has a meaning in PyTorch alone.

In: settings. Out: what was set. graphc runs operations one after the other, each on all threads, so the number of
threads between operations changes nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from graphc.ir.errors import ArgumentError


class _Process:
    """What was set."""

    def __init__(self) -> None:
        self.interop_threads: int | None = None
        self.warns_always = False


_process = _Process()


def set_num_interop_threads(threads: int) -> None:
    """Say how many operations may run at a time; once only, as in PyTorch."""
    if not isinstance(threads, int) or isinstance(threads, bool):
        raise ArgumentError(f"set_num_interop_threads expects an int, but got {type(threads).__name__}")
    if threads <= 0:
        raise ArgumentError("set_num_interop_threads expects a positive integer")
    if _process.interop_threads is not None:
        raise ArgumentError(
            "Error: cannot set number of interop threads after parallel work has started or set_num_interop_threads "
            "called"
        )
    _process.interop_threads = threads


def get_num_interop_threads() -> int:
    """What was set, or the number of CPUs."""
    return _process.interop_threads or os.cpu_count() or 1


def set_flush_denormal(mode: bool) -> bool:
    """Ask for tiny numbers to become zero; False says that this isn't supported."""
    return False


def set_warn_always(b: bool, /) -> None:
    """Ask for warnings to come at every call, which Python's filters of warnings decide here."""
    _process.warns_always = b


def is_warn_always_enabled() -> bool:
    """What was asked for."""
    return _process.warns_always


def compiled_with_cxx11_abi() -> bool:
    """Whether C++ extensions would have the newer ABI; there is no C++ here. True, as in PyTorch."""
    return True


def is_vulkan_available() -> bool:
    """Whether Vulkan devices can be used: False."""
    return False


FUNCTIONS: dict[str, Callable[..., object]] = {
    "compiled_with_cxx11_abi": compiled_with_cxx11_abi,
    "get_num_interop_threads": get_num_interop_threads,
    "is_vulkan_available": is_vulkan_available,
    "is_warn_always_enabled": is_warn_always_enabled,
    "set_flush_denormal": set_flush_denormal,
    "set_num_interop_threads": set_num_interop_threads,
    "set_warn_always": set_warn_always,
}
