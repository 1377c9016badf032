"""Ranges and marks that NVIDIA's tools show beside kernels (`nsys profile --trace=cuda,nvtx`).

They go through NVIDIA's library (nvToolsExt, of CUDA's toolkit up to 12) or its Python package `nvtx`, where either is
installed; else each call raises an error. `graphc.profiler.record_function` names ranges without any of that.
"""

from __future__ import annotations

import ctypes
import functools
import importlib
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from graphc.eager.guard import guarded
from graphc.ir.errors import ArgumentError

__all__ = ["mark", "range", "range_end", "range_pop", "range_push", "range_start"]

NAMES = ("nvToolsExt64_1.dll",) if sys.platform == "win32" else ("libnvToolsExt.so.1", "libnvToolsExt.so")


class _Tools(Protocol):
    """What ranges and marks are told to."""

    def push(self, text: str) -> int:
        """Open a range inside those of this thread; how many it is in."""

    def pop(self) -> int:
        """Close the innermost one; how many it was in."""

    def start(self, text: str) -> Any:
        """Open a range that another thread may close."""

    def end(self, range_id: Any) -> None:
        """Close it."""

    def mark(self, text: str) -> None:
        """Something happens."""


class _Library:
    """The library's functions."""

    def __init__(self, library: Any) -> None:
        self._library = library
        library.nvtxRangeStartA.restype = ctypes.c_uint64
        library.nvtxRangeEnd.argtypes = (ctypes.c_uint64,)

    def push(self, text: str) -> int:
        return int(self._library.nvtxRangePushA(text.encode()))

    def pop(self) -> int:
        return int(self._library.nvtxRangePop())

    def start(self, text: str) -> int:
        return int(self._library.nvtxRangeStartA(text.encode()))

    def end(self, range_id: int) -> None:
        self._library.nvtxRangeEnd(range_id)

    def mark(self, text: str) -> None:
        self._library.nvtxMarkA(text.encode())


class _Package(threading.local):
    """The package, which doesn't count how deep ranges are in each other."""

    def __init__(self, package: Any) -> None:
        self._package = package
        self._depth = 0

    def push(self, text: str) -> int:
        self._package.push_range(text)
        self._depth += 1
        return self._depth - 1

    def pop(self) -> int:
        self._package.pop_range()
        self._depth -= 1
        return self._depth

    def start(self, text: str) -> Any:
        return self._package.start_range(text)

    def end(self, range_id: Any) -> None:
        self._package.end_range(range_id)

    def mark(self, text: str) -> None:
        self._package.mark(text)


@functools.cache
def _found() -> _Tools | None:
    for name in NAMES:
        try:
            return _Library(ctypes.CDLL(name))
        except OSError:
            continue
    try:
        return _Package(importlib.import_module("nvtx"))
    except ImportError:
        return None


def _tools() -> _Tools:
    found = _found()
    if found is None:
        raise ArgumentError(
            "NVTX functions not installed. Are you sure you have a CUDA build?",
            hint="pip install nvtx, or the toolkit's libnvToolsExt; graphc.profiler.record_function does without",
        )
    return found


@guarded
def range_push(msg: str) -> int:
    """Open a range inside those of this thread; returns how many it is in. Raises ArgumentError without NVTX."""
    return _tools().push(msg)


@guarded
def range_pop() -> int:
    """Close the innermost range of this thread; returns how many it was in."""
    return _tools().pop()


@guarded
def range_start(msg: str) -> Any:
    """Open a range that any thread may close by what this returns."""
    return _tools().start(msg)


@guarded
def range_end(range_id: Any) -> None:
    """Close a range that `range_start` has opened."""
    _tools().end(range_id)


@guarded
def mark(msg: str) -> None:
    """Say that something happens."""
    _tools().mark(msg)


@contextmanager
def range(msg: str, *args: object, **kwargs: object) -> Iterator[None]:
    """A range as a context or decorator; other arguments are put into the text by its `format`."""
    range_push(msg.format(*args, **kwargs))
    try:
        yield
    finally:
        range_pop()
