"""Memory for arenas and large results: 64-byte aligned, on huge pages, and used again rather than given back.

A large fresh array costs more in page faults than in arithmetic. In: a number of bytes. Out: a `Block`, whose memory
returns to the store when the last reference to it goes (an array made by `empty` holds one).

    block = allocate(1 << 20)
    result = empty((1024, 1024), np.dtype("float32"))
"""

from __future__ import annotations

import contextlib
import ctypes
import math
import mmap
import os
import sys
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from graphc.ir.errors import MemoryExceeded

ALIGNMENT = 64
HUGE_PAGE = 2 << 20
LARGE = 2 * HUGE_PAGE  # blocks from here on are mapped by themselves, on huge pages
WORTH_KEEPING = 1 << 20  # `empty` leaves smaller arrays to numpy, whose allocator is quick for them
KEPT_BYTES = 1 << 30  # most that the store holds back for later


@dataclass(frozen=True, slots=True)
class BufferStats:
    """Bytes in use and held back, the most that was in use at once, and how often memory was new or used again."""

    in_use: int
    kept: int
    peak: int
    fresh: int
    reused: int


class Block:
    """Memory at `address`, of at least the size asked for."""

    __slots__ = ("__weakref__", "_memory", "_store", "address", "capacity", "nbytes")

    def __init__(self, store: BufferStore, memory: object, address: int, capacity: int, nbytes: int) -> None:
        self._store = store
        self._memory = memory
        self.address = address
        self.capacity = capacity
        self.nbytes = nbytes

    @property
    def __array_interface__(self) -> dict[str, Any]:
        """The bytes as numpy sees them; the array made from this holds the block."""
        return {"version": 3, "shape": (self.nbytes,), "typestr": "|u1", "data": (self.address, False)}

    def __del__(self) -> None:
        self._store.take_back(self._memory, self.address, self.capacity)


class BufferStore:
    """Blocks, and those that came back: at most `limit` bytes, the sizes used longest ago are freed first."""

    def __init__(self, limit: int = KEPT_BYTES) -> None:
        self.limit = limit
        self._lock = threading.Lock()
        # A block may come back at any moment, even while this thread is in `allocate` (the garbage collector runs
        # there too). So coming back is an append, and whoever holds the lock next puts things in order.
        self._returned: deque[tuple[object, int, int]] = deque()
        self._kept_blocks: dict[int, list[tuple[object, int]]] = {}  # by capacity, that of the last return at the end
        self._in_use = self._kept = self._peak = self._fresh = self._reused = 0

    def allocate(self, nbytes: int) -> Block:
        """A block of `nbytes` or more, whatever it contains; raises MemoryExceeded where there is no such room."""
        assert nbytes >= 0
        capacity = capacity_of(nbytes)
        with self._lock:
            self._settle()
            blocks = self._kept_blocks.get(capacity)
            found = blocks.pop() if blocks else None
            if found is not None:
                self._kept -= capacity
                self._reused += 1
            else:
                found = self._new_memory(nbytes, capacity)
                self._fresh += 1
            self._in_use += capacity
            self._peak = max(self._peak, self._in_use)
        return Block(self, *found, capacity, nbytes)

    def take_back(self, memory: object, address: int, capacity: int) -> None:
        """What a block calls when the last reference to it goes."""
        self._returned.append((memory, address, capacity))
        if self._lock.acquire(blocking=False):
            try:
                self._settle()
            finally:
                self._lock.release()

    def release(self) -> None:
        """Give what is held back to the system."""
        with self._lock:
            self._settle()
            self._kept_blocks.clear()
            self._kept = 0

    def stats(self) -> BufferStats:
        with self._lock:
            self._settle()
            return BufferStats(self._in_use, self._kept, self._peak, self._fresh, self._reused)

    def reset_after_fork(self) -> None:
        """Drop a lock that a thread of the parent may have held."""
        self._lock = threading.Lock()

    def _new_memory(self, nbytes: int, capacity: int) -> tuple[object, int]:
        """Memory from the system, if need be after giving back what is held."""
        try:
            return _system_memory(capacity)
        except (OSError, ValueError, OverflowError, MemoryError):
            self._kept_blocks.clear()
            self._kept = 0
        try:
            return _system_memory(capacity)
        except (OSError, ValueError, OverflowError, MemoryError):
            raise MemoryExceeded(
                f"there is no memory for {nbytes} bytes ({nbytes / 2**30:.1f} GiB)",
                hint="use smaller sizes, or free what is no longer needed",
            ) from None

    def _settle(self) -> None:
        """Sort in what came back, and free what exceeds the limit. The lock is held."""
        while self._returned:
            memory, address, capacity = self._returned.popleft()
            self._in_use -= capacity
            self._kept += capacity
            blocks = self._kept_blocks.pop(capacity, [])
            blocks.append((memory, address))
            self._kept_blocks[capacity] = blocks
        while self._kept > self.limit:
            capacity, blocks = next(iter(self._kept_blocks.items()))
            if blocks:
                blocks.pop(0)
                self._kept -= capacity
            if not blocks:
                del self._kept_blocks[capacity]


def capacity_of(nbytes: int) -> int:
    """Bytes of the block for a request: one of eight sizes per power of two, so that nearly equal ones share blocks."""
    step = max(ALIGNMENT, 1 << max(0, nbytes.bit_length() - 4))
    if nbytes >= LARGE:
        step = max(step, HUGE_PAGE)
    return max(ALIGNMENT, -(-nbytes // step) * step)


def _system_memory(capacity: int) -> tuple[object, int]:
    """What keeps fresh memory alive, and its aligned address."""
    if capacity < LARGE:
        small = np.empty(capacity + ALIGNMENT, np.uint8)
        return small, _round_up(small.ctypes.data, ALIGNMENT)
    if sys.platform == "win32":
        mapped = mmap.mmap(-1, capacity + HUGE_PAGE)
    else:  # private: a forked child gets its own copy
        mapped = mmap.mmap(-1, capacity + HUGE_PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with contextlib.suppress(OSError):  # a kernel without huge pages: slower, and as right
            mapped.madvise(mmap.MADV_HUGEPAGE)
    anchor = ctypes.c_char.from_buffer(mapped)  # holds the mapping
    return anchor, _round_up(ctypes.addressof(anchor), HUGE_PAGE)


def _round_up(address: int, alignment: int) -> int:
    return -(-address // alignment) * alignment


_store = BufferStore()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_store.reset_after_fork)


def allocate(nbytes: int) -> Block:
    """A block from the store of this process; raises MemoryExceeded, a MemoryError, where there is no such room."""
    return _store.allocate(nbytes)


def empty(shape: Sequence[int], dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    """An array like numpy.empty's; a large one lies in a block of the store."""
    nbytes = math.prod(shape) * dtype.itemsize
    if nbytes < WORTH_KEEPING:
        try:
            return np.empty(shape, dtype)
        except (ValueError, MemoryError):  # numpy multiplies the sizes that are not zero
            raise MemoryExceeded(f"there is no array of sizes {tuple(shape)}: their product overflows") from None
    return np.asarray(allocate(nbytes)).view(dtype).reshape(shape)


def release_buffers() -> None:
    """Give the memory that the store holds back to the system."""
    _store.release()


def buffer_stats() -> BufferStats:
    """The state of the store of this process."""
    return _store.stats()
