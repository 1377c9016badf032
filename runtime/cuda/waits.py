"""Whether the host may wait for a device where a program does not say so, as reading a number does.

In: how such waits are taken, which a program sets. Out: nothing, a warning or an error at each of them.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from graphc.ir.errors import ArgumentError

MODES: Final = ("default", "warn", "error")
_TEXT: Final = "called a synchronizing CUDA operation"
_mode = [0]


class _Thread(threading.local):
    is_own = False
    """Whether graphc waits for its own sake."""


_thread = _Thread()


def mode() -> int:
    """How waits are taken, by number in `MODES`."""
    return _mode[0]


def set_mode(number: int) -> None:
    """Take waits so from now on."""
    _mode[0] = number


def tell_wait() -> None:
    """The host is about to wait; raises ArgumentError, a RuntimeError, where that is an error."""
    if _thread.is_own:
        return
    if _mode[0] == 1:
        warnings.warn(_TEXT, stacklevel=2)
    elif _mode[0] == 2:
        raise ArgumentError(_TEXT, hint='graphc.cuda.set_sync_debug_mode("default") allows it')


@contextmanager
def untold() -> Iterator[None]:
    """Waits inside are graphc's own, and nobody is told of them."""
    _thread.is_own = True
    try:
        yield
    finally:
        _thread.is_own = False
