"""The one lock under which this process talks to LLVM, compiles, loads, and changes what the runtime shares.

llvmlite serialises its calls anyway. A fork waits for this lock too: otherwise the child would find llvmlite's own
lock taken, by a thread that the child does not have.
"""

from __future__ import annotations

import os
import threading
from typing import Final


class _Turn:
    """A `with` block's first item: it lets a fork that waits for the lock go first."""

    def __init__(self) -> None:
        self.turnstile = threading.Lock()

    def __enter__(self) -> None:
        if not LOCK._is_owned():  # type: ignore[attr-defined]  # as threading.Condition asks it
            with self.turnstile:
                pass

    def __exit__(self, *exception: object) -> None:
        """Nothing: it is all done at the beginning."""


LOCK: Final = threading.RLock()
"""Taken and given back by C code alone: an interrupt (Ctrl-C) that comes at any of our own instructions leaves it as it
should be."""
TURN: Final = _Turn()
"""`with TURN, LOCK:` where one thread may take the lock over and over, as for many kernels in a row: otherwise it would
have it again before a fork in another thread gets it."""


def _before_fork() -> None:
    with TURN.turnstile:
        LOCK.acquire()


def _after_in_child() -> None:
    """Whoever waited for their turn does not exist here."""
    TURN.turnstile = threading.Lock()
    LOCK.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=LOCK.release, after_in_child=_after_in_child)
