"""How exact products of float32 numbers must be: the one state behind all of PyTorch's switches for it.

Level: below everything. In: what a program sets, for all products, for those of a library, or for one kind of them.
Out: whether code for a GPU may round factors to tf32 (10 bits of fraction), which its tensor cores multiply.

A setting that is "none" is that of the next larger group. Code for the CPU computes with all bits in any case.

>>> tf32_is_asked_for("cuda.matmul")
False
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from graphc.ir.errors import ArgumentError

LEVELS: Final[Mapping[str, str]] = {"highest": "ieee", "high": "tf32", "medium": "bf16"}
"""The levels of `set_float32_matmul_precision`, and the setting that each means where there is that precision."""
_ALLOWED: Final[Mapping[str, tuple[str, ...]]] = {
    "generic": ("none", "ieee", "tf32", "bf16"),
    "cuda": ("none", "ieee", "tf32"),
    "mkldnn": ("none", "ieee", "tf32", "bf16"),
}
_DEFAULTS: Final[Mapping[str, str]] = {"cuda.conv": "tf32", "cuda.rnn": "tf32"}
"""What PyTorch shows where nothing is set. Convolutions compute with all bits here until tf32 is asked for."""

_settings: dict[str, str] = {}
_level = "highest"
_callbacks: list[Callable[[], None]] = []


def precision_of(group: str) -> str:
    """The setting in force for "generic" (all products), "cuda", "cuda.matmul", "cuda.conv", "mkldnn.matmul" and so on.

    It is "ieee" (all bits), "tf32", "bf16", or "none" where nothing was set.
    """
    found = _asked(group)
    return _DEFAULTS.get(group, "none") if found == "none" else found


def set_precision(group: str, precision: str) -> None:
    """Set it; "none" leaves it to the larger group. Raises ArgumentError for a precision that there is not."""
    backend = group.partition(".")[0]
    if precision not in _ALLOWED["generic"]:
        raise ArgumentError(f"Unknown precision: {precision}", hint=f"there are {', '.join(_ALLOWED[backend])}")
    if precision not in _ALLOWED[backend]:
        raise ArgumentError(
            f"backend '{backend}' does not support precision '{precision}'",
            hint=f"it has {', '.join(_ALLOWED[backend])}",
        )
    if _settings.get(group, "none") != precision:
        _settings[group] = precision
        for callback in _callbacks:
            callback()


def tf32_is_asked_for(group: str) -> bool:
    """Whether factors of these products may be rounded to tf32 because the program said so."""
    return _asked(group) == "tf32"


def matmul_level() -> str:
    """The level of products of matrices on GPUs: "highest", "high" or "medium"."""
    if not tf32_is_asked_for("cuda.matmul"):
        return "highest"
    return "high" if _level == "highest" else _level


def set_matmul_level(level: str) -> None:
    """Set the level of products of matrices, a key of `LEVELS`, for all libraries."""
    global _level
    _level = level
    precision = LEVELS[level]
    set_precision("mkldnn.matmul", precision)
    set_precision("cuda.matmul", "tf32" if precision == "bf16" else precision)  # the nearest that it has


@contextmanager
def precision_kept() -> Iterator[None]:
    """What is set in this block is undone at its end."""
    global _level
    settings, level = dict(_settings), _level
    try:
        yield
    finally:
        _level = level
        for group in _settings.keys() | settings.keys():
            set_precision(group, settings.get(group, "none"))


def when_precision_changes(callback: Callable[[], None]) -> None:
    """Call this whenever a setting changes: programs that were made under another one no longer serve."""
    _callbacks.append(callback)


def _asked(group: str) -> str:
    """What was set for the group or the next larger one."""
    for name in (group, group.partition(".")[0], "generic"):
        found = _settings.get(name, "none")
        if found != "none":
            return found
    return "none"
