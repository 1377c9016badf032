"""Which driver there is: the one that the setting `cuda_driver` names, or the first that works.

In: the setting. Out: the driver, found once for each value of the setting. Without a driver or a GPU, DeviceUnavailable
says in PyTorch's words that there is none, and in its hint what is missing.

    driver().device_count()
"""

from __future__ import annotations

import importlib.util
import os
import threading
from typing import Final

from graphc.ir.errors import ArgumentError, DeviceUnavailable
from graphc.ir.settings import settings
from graphc.runtime.cuda.driver import CudaError, Driver

OLDEST: Final = 12000
"""The oldest CUDA version that a driver may have, as it counts them: 12.0."""
ABSENT: Final = "Torch not compiled with CUDA enabled"
CHOICES: Final = 'GRAPHC_CUDA_DRIVER is "auto", "ctypes", "bindings", "none" or "emulator"'

_lock = threading.Lock()
_drivers: dict[str, Driver] = {}
_missing: dict[str, str] = {}
"""For choices that gave no driver, why."""
_is_child = False


def driver() -> Driver:
    """The driver in force; raises DeviceUnavailable where there is none, or no GPU."""
    choice = settings().cuda_driver
    found = _drivers.get(choice)
    if found is None or _is_child:
        found = _find(choice)
    return found


def what_is_missing() -> str | None:
    """Why there is no driver; None where there is one."""
    try:
        driver()
    except DeviceUnavailable as error:
        return error.hint or error.message
    return None


def is_started() -> bool:
    """Whether the driver in force was asked for before, and found."""
    return settings().cuda_driver in _drivers


def _find(choice: str) -> Driver:
    with _lock:
        if _is_child and choice in _drivers and not choice.startswith("emulator"):
            raise DeviceUnavailable(
                "Cannot re-initialize CUDA in forked subprocess. To use CUDA with multiprocessing, you must use the "
                "'spawn' start method",
                hint="the parent had started the driver, which a forked process cannot use",
            )
        if choice not in _drivers and choice not in _missing:
            try:
                _drivers[choice] = _start(choice)
            except DeviceUnavailable as error:
                _missing[choice] = error.hint or error.message
        if choice in _missing:
            raise DeviceUnavailable(ABSENT, hint=_missing[choice])
        return _drivers[choice]


def _start(choice: str) -> Driver:
    """The driver that a choice stands for; raises DeviceUnavailable with what is missing."""
    kind, _, options = choice.partition(":")
    if kind == "emulator":
        from graphc.runtime.cuda.emulator import Emulator, parse_options  # late: few processes need it

        return Emulator(parse_options(options))
    if options or kind not in ("auto", "ctypes", "bindings", "none"):
        raise ArgumentError(f"there is no CUDA driver {choice!r}", hint=CHOICES)
    if kind == "none":
        raise _nothing("the setting GRAPHC_CUDA_DRIVER=none turns GPUs off")
    # Late, for both: a process without a GPU need not know how one is called.
    if kind == "bindings" or (kind == "auto" and importlib.util.find_spec("cuda") is not None):
        from graphc.runtime.cuda.bindings import load_bindings

        try:
            return _usable(load_bindings())
        except DeviceUnavailable:
            if kind == "bindings":
                raise
    from graphc.runtime.cuda.library import load_library

    return _usable(load_library())


def _usable(found: Driver) -> Driver:
    """The driver, if it is new enough and has a GPU."""
    version = found.version()
    if version < OLDEST:
        raise _nothing(
            f"the NVIDIA driver has CUDA {version // 1000}.{version % 1000 // 10}, and graphc needs "
            f"{OLDEST // 1000}.{OLDEST % 1000 // 10} or newer: update it (to 525 or newer, on Windows 528)"
        )
    try:
        count = found.device_count()
    except CudaError as error:
        raise _nothing(f"the NVIDIA driver does not start: {error.message}") from None
    if count == 0:
        raise _nothing("the NVIDIA driver finds no GPU (CUDA_VISIBLE_DEVICES may hide it)")
    return found


def _nothing(reason: str) -> DeviceUnavailable:
    return DeviceUnavailable(ABSENT, hint=f"{reason}; `graphc doctor` shows what was found")


def _note_fork() -> None:
    global _is_child, _lock
    _is_child = True
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_note_fork)
