"""Arenas that launchers share: memory that a program writes to while it runs, and nobody reads afterwards.

In: a number of bytes. Out: an `Arena`, memory and a word that says whether a call uses it. Programs of about one size
have one arena, however many there are: a call that finds it in use gets memory of its own, the slow way.

    arena = shared_arena(1 << 20)
"""

from __future__ import annotations

import ctypes
import os
import threading
import weakref

from graphc.runtime.buffer import Block, allocate, capacity_of


class Arena:
    """Memory at `address`; the word at `flag_at` holds the address while no call uses it, else 0."""

    __slots__ = ("__weakref__", "_block", "_flag", "address", "flag_at")

    def __init__(self, block: Block | None) -> None:
        self._block = block
        self.address = 0 if block is None else block.address
        self._flag = ctypes.c_int64(self.address)
        self.flag_at = ctypes.addressof(self._flag)

    def free(self) -> None:
        """Let the next call have it."""
        self._flag.value = self.address


_arenas: weakref.WeakValueDictionary[int, Arena] = weakref.WeakValueDictionary()
_none = Arena(None)
_lock = threading.Lock()


def shared_arena(nbytes: int) -> Arena:
    """The arena of programs that need about so many bytes; it goes with the last reference to it."""
    if not nbytes:
        return _none
    capacity = capacity_of(nbytes)
    with _lock:
        found = _arenas.get(capacity)
        if found is None:
            found = _arenas[capacity] = Arena(allocate(nbytes))
        return found


def _reset_after_fork() -> None:
    """In a child no call of the parent's threads goes on."""
    global _lock
    _lock = threading.Lock()
    for each in list(_arenas.values()):
        each.free()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_after_fork)
