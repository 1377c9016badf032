"""Memory of the host that devices read and write by themselves: where it is, and keeping it while they do.

In: addresses. Out: whether they are pinned; copies that the host does not wait for hold their arrays until they are
done.
"""

from __future__ import annotations

import os
import threading
from bisect import bisect_right, insort
from collections import deque

from graphc.runtime.cuda.event import Event
from graphc.runtime.cuda.stream import Stream


class Stretches:
    """Stretches of memory, none of which overlap."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stretches: list[tuple[int, int]] = []
        """First address and the one behind the last, in order."""

    def add(self, start: int, nbytes: int) -> None:
        """One more."""
        with self._lock:
            insort(self._stretches, (start, start + nbytes))

    def remove(self, start: int) -> None:
        """One less."""
        with self._lock:
            number = bisect_right(self._stretches, (start, 0))
            if number < len(self._stretches) and self._stretches[number][0] == start:
                del self._stretches[number]

    def __contains__(self, address: int) -> bool:
        stretches = self._stretches
        if not stretches:
            return False
        with self._lock:
            number = bisect_right(stretches, address, key=_start_of) - 1
            return number >= 0 and address < stretches[number][1]


def _start_of(stretch: tuple[int, int]) -> int:
    return stretch[0]


_in_flight: deque[tuple[Event, object]] = deque()
_lock = threading.RLock()


def keep_until_done(thing: object, stream: Stream) -> None:
    """Hold on to what the stream's work so far uses."""
    done = []  # these go where nobody waits for the lock: what goes may do anything
    with _lock:  # else of two threads that see the first one done, one would drop the second
        while _in_flight and _in_flight[0][0].is_done():
            done.append(_in_flight.popleft())
    event = Event()
    event.record(stream)
    _in_flight.append((event, thing))


def _reset_after_fork() -> None:
    global _lock
    _lock = threading.RLock()
    _in_flight.clear()  # the parent has them


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_after_fork)
