"""How many threads a parallel region may use: what programs set, before there is a pool and after.

In: a number. Out: the same, and word of it to the pool once that runs. Nothing here needs the compiler, so that
`import graphc` doesn't load it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from graphc.ir.errors import ArgumentError
from graphc.ir.settings import settings
from graphc.runtime.cpu import available_cpus
from graphc.runtime.lock import LOCK

MAX_THREADS: Final = 1024

_threads: int | None = None  # None: not chosen yet
_tell: list[Callable[[int], None]] = []


def get_num_threads() -> int:
    """How many threads a parallel region may use, the caller among them."""
    global _threads
    if _threads is None:
        _threads = min(settings().num_threads or available_cpus(), MAX_THREADS)
    return _threads


def set_num_threads(count: int) -> None:
    """Let parallel regions that start from now on use `count` threads. Results do not depend on it."""
    global _threads
    if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= MAX_THREADS:
        raise ArgumentError(f"set_num_threads takes a whole number from 1 to {MAX_THREADS}, not {count!r}")
    with LOCK:
        _threads = count
        for tell in _tell:
            tell(count)


def follow_threads(tell: Callable[[int], None]) -> None:
    """Call it with the number of threads, now and when that changes."""
    with LOCK:
        tell(get_num_threads())
        _tell.append(tell)
