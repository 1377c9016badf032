"""The one lock under which this process talks to LLVM, compiles, loads, and changes what the runtime shares.

llvmlite serialises its calls anyway. A fork waits for this lock too: otherwise the child would find llvmlite's own
lock taken, by a thread that the child does not have.
"""

from __future__ import annotations

import os
import threading


class ForkSafeLock:
    """A lock that its holder may take again, and that lets a thread which waits go next.

    A plain lock may be had over and over by the thread that just let go of it: a fork would wait until a thread that
    compiles many kernels has done them all.
    """

    def __init__(self) -> None:
        self._turnstile = threading.Lock()
        self._lock = threading.Lock()
        self._owner: int | None = None
        self._depth = 0

    def acquire(self) -> None:
        me = threading.get_ident()
        if self._owner != me:
            with self._turnstile:
                self._lock.acquire()
            self._owner = me
        self._depth += 1

    def release(self) -> None:
        self._depth -= 1
        if self._depth == 0:
            self._owner = None
            self._lock.release()

    def release_in_child(self) -> None:
        """Release after a fork, where whoever waited for their turn does not exist."""
        self._turnstile = threading.Lock()
        self.release()

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(self, *exception: object) -> None:
        self.release()


LOCK = ForkSafeLock()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=LOCK.acquire, after_in_parent=LOCK.release, after_in_child=LOCK.release_in_child)
