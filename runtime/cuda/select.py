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
_lost: dict[str, Driver] = {}
"""Drivers that a parent of this process had started: CUDA does not work on both sides of a fork."""


def driver() -> Driver:
    """The driver in force; raises DeviceUnavailable where there is none, or no GPU."""
    choice = settings().cuda_driver
    found = _drivers.get(choice)
    return _find(choice) if found is None else found


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


def is_lost(found: Driver) -> bool:
    """Whether the driver was started by a parent of this process: nothing of it is here to be used, or given back."""
    return found in _lost.values()


def _find(choice: str) -> Driver:
    with _lock:
        if choice in _lost:
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

        wanted = parse_options(options)
        if wanted.is_late:
            from graphc.runtime.cuda.late import LateEmulator  # late, likewise

            return LateEmulator(wanted)
        return Emulator(wanted)
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
    try:
        version = found.version()
        if version < OLDEST:
            raise _nothing(
                f"the NVIDIA driver has CUDA {version // 1000}.{version % 1000 // 10}, and graphc needs "
                f"{OLDEST // 1000}.{OLDEST % 1000 // 10} or newer: update it (to 525 or newer, on Windows 528)"
            )
        count = found.device_count()
    except CudaError as error:
        reason = f"{error.message}: {error.hint}" if error.hint else error.message
        raise _nothing(f"the NVIDIA driver does not start: {reason}") from None
    if count == 0:
        raise _nothing("the NVIDIA driver finds no GPU (CUDA_VISIBLE_DEVICES may hide it)")
    return found


def _nothing(reason: str) -> DeviceUnavailable:
    return DeviceUnavailable(ABSENT, hint=f"{reason}; `graphc doctor` shows what was found")


def _note_fork() -> None:
    global _lock
    _lock = threading.Lock()
    for choice in [choice for choice in _drivers if not choice.startswith("emulator")]:
        _lost[choice] = _drivers.pop(choice)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_note_fork)
