"""Settings that programs make about repeatable results and precision.

In: modes. Out: what was set. Results here are always repeatable, so asking for that changes nothing; the precision of
products is kept in `graphc/ir/precision.py`, where code for GPUs looks.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable
from typing import Final

from graphc.ir.errors import ArgumentError, SignatureError
from graphc.ir.precision import LEVELS, matmul_level, set_matmul_level

_MODES: Final = ("default", "warn", "error")


class _Settings:
    """What the process has set."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.mode = 0


_settings = _Settings()


def use_deterministic_algorithms(mode: bool, *, warn_only: bool = False) -> None:
    """Ask for repeatable results, which all operations give."""
    set_deterministic_debug_mode(0 if not mode else 1 if warn_only else 2)


def are_deterministic_algorithms_enabled() -> bool:
    """Whether repeatable results were asked for."""
    return _settings.mode > 0


def is_deterministic_algorithms_warn_only_enabled() -> bool:
    """Whether an operation without repeatable results should only warn."""
    return _settings.mode == 1


def set_deterministic_debug_mode(debug_mode: int | str) -> None:
    """Ask for repeatable results by mode: "default" (0), "warn" (1) or "error" (2)."""
    if not isinstance(debug_mode, int | str):
        raise SignatureError(f"debug_mode must be str or int, but got {type(debug_mode)}")
    if isinstance(debug_mode, str):
        if debug_mode not in _MODES:
            raise ArgumentError(
                f"invalid value of debug_mode, expected one of `default`, `warn`, `error`, but got {debug_mode}"
            )
        debug_mode = _MODES.index(debug_mode)
    if not 0 <= debug_mode <= 2:
        raise ArgumentError(f"invalid value of debug_mode, expected 0, 1, or 2, but got {debug_mode}")
    with _settings.lock:
        _settings.mode = debug_mode


def get_deterministic_debug_mode() -> int:
    """The number of the mode that was set."""
    return _settings.mode


def set_float32_matmul_precision(precision: str) -> None:
    """Say how exact products of float32 matrices must be: "highest" (all bits), "high" or "medium".

    Code for the CPU has the highest precision in any case; code for GPUs rounds factors to tf32 below it. Warns of
    another word, and raises ArgumentError (a RuntimeError) for no word.
    """
    if not isinstance(precision, str):
        raise ArgumentError(
            f"set_float32_matmul_precision expects a str, but got {type(precision).__name__}", hint='such as "high"'
        )
    if precision not in LEVELS:
        warnings.warn(
            f"{precision} is not one of 'highest', 'high', or 'medium'; the current"
            "setFloat32MatmulPrecision call has no effect.",
            stacklevel=3,
        )
        return
    set_matmul_level(precision)


def get_float32_matmul_precision() -> str:
    """The precision of products of float32 matrices that is in force on GPUs."""
    return matmul_level()


FUNCTIONS: dict[str, Callable[..., object]] = {
    "are_deterministic_algorithms_enabled": are_deterministic_algorithms_enabled,
    "get_deterministic_debug_mode": get_deterministic_debug_mode,
    "get_float32_matmul_precision": get_float32_matmul_precision,
    "is_deterministic_algorithms_warn_only_enabled": is_deterministic_algorithms_warn_only_enabled,
    "set_deterministic_debug_mode": set_deterministic_debug_mode,
    "set_float32_matmul_precision": set_float32_matmul_precision,
    "use_deterministic_algorithms": use_deterministic_algorithms,
}
