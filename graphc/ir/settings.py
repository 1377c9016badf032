"""The settings of graphc: one prefix, one table, read from the environment once.

Level: below everything, so that every level may ask. In: variables named `GRAPHC_` and the field's name in capitals.
Out: one frozen `Settings`. A value that does not parse is an error that names the variable and what it takes.

>>> read({"GRAPHC_NUM_THREADS": "4"}).num_threads
4
"""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace

from graphc.ir.errors import ArgumentError, nearest

PREFIX = "GRAPHC_"


def _meaning(text: str) -> dict[str, str]:
    return {"meaning": text}


@dataclass(frozen=True, slots=True)
class Settings:
    """The table: a setting's variable is the prefix and the field's name in capitals."""

    cache_dir: str = field(default="", metadata=_meaning("folder of compiled code; empty: the platform's cache folder"))
    cache_bytes: int = field(default=1 << 30, metadata=_meaning("most bytes in the folder of compiled code; 0: none"))
    cpu: str = field(default="native", metadata=_meaning("CPU to generate code for: native, x86-64, x86-64-v3, ..."))
    gpu: str = field(
        default="native", metadata=_meaning("GPU to generate code for: native, or an older one such as sm_80")
    )
    num_threads: int = field(default=0, metadata=_meaning("threads of the pool; 0: the CPUs this process may use"))
    dump: str = field(default="", metadata=_meaning("folder in which each stage leaves a numbered file; empty: none"))
    backward: str = field(
        default="background",
        metadata=_meaning("when the backward pass of eager tensors is compiled: background, now, or eager (never)"),
    )
    cuda_driver: str = field(
        default="auto",
        metadata=_meaning(
            "how GPUs are reached: auto, ctypes, bindings, none, or emulator (kernels interpreted, no GPU)"
        ),
    )
    verify: bool = field(default=False, metadata=_meaning("run the verifier after every pass"))
    traceback: bool = field(default=False, metadata=_meaning("show graphc's own frames in the traceback of an error"))


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table, for `graphc doctor` and the documentation."""

    variable: str
    default: str | int | bool
    meaning: str


def table() -> tuple[Row, ...]:
    """The rows of the table, in order."""
    defaults = Settings()
    return tuple(
        Row(PREFIX + f.name.upper(), getattr(defaults, f.name), f.metadata["meaning"]) for f in fields(Settings)
    )


def read(environment: Mapping[str, str]) -> Settings:
    """Parse the settings that `environment` holds; a name that only looks like a setting gives a warning."""
    values: dict[str, str | int | bool] = {}
    rows = table()
    for row in rows:
        text = environment.get(row.variable)
        if text is not None and text.strip() != "":
            values[row.variable[len(PREFIX) :].lower()] = _parse(row, text.strip())
    known = [row.variable for row in rows]
    for variable in environment:
        if variable.startswith(PREFIX) and variable not in known:
            names = [each[len(PREFIX) :] for each in known]
            close = nearest(variable[len(PREFIX) :], names)
            advice = f"; there are {', '.join(known)}" if close is None else f"; did you mean {PREFIX}{close}?"
            warnings.warn(f"{variable} is no setting of graphc{advice}", stacklevel=2)
    return Settings(**values)  # type: ignore[arg-type]  # _parse returns the type of each field's default


def _parse(row: Row, text: str) -> str | int | bool:
    """The value that `text` means for `row`."""
    match row.default:
        case bool():
            if text.lower() in ("1", "true", "yes", "on"):
                return True
            if text.lower() in ("0", "false", "no", "off"):
                return False
            raise ArgumentError(f"{row.variable} is {text!r}", hint="it takes 1 or 0")
        case int():
            if not text.isascii() or not text.isdigit():
                raise ArgumentError(f"{row.variable} is {text!r}", hint="it takes a whole number of zero or more")
            return int(text)
        case _:
            return text


_LOCK = threading.Lock()
_current: Settings | None = None


def settings() -> Settings:
    """The settings in force: the environment's, read at the first call."""
    global _current
    if _current is None:
        with _LOCK:
            if _current is None:
                _current = read(os.environ)
    return _current


@contextmanager
def override(**changes: str | int | bool) -> Iterator[Settings]:
    """Put other values in force for a `with` block, in the whole process (tests and the command line use it)."""
    global _current
    before = settings()
    _current = replace(before, **changes)  # type: ignore[arg-type]  # the caller names fields with their types
    try:
        yield _current
    finally:
        _current = before
