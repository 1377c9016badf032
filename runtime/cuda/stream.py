"""Streams: queues of work on a device, and the one in force.

In: a device. Out: `Stream` objects. Each thread has a current stream per device, at first the default one, whose handle
is 0. Streams are never destroyed: memory may still be waiting for their work. A device has `MOST` of each priority,
which are handed out in turn.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from graphc.runtime.cuda import checks
from graphc.runtime.cuda.device import check_device
from graphc.runtime.cuda.driver import Driver
from graphc.runtime.cuda.select import driver

MOST: Final = 32
"""Streams that a device has of each priority."""


@dataclass(frozen=True, slots=True)
class Stream:
    """A queue of work: what is put in is done in order."""

    device: int
    handle: int = 0
    priority: int = field(default=0, compare=False)

    def synchronize(self) -> None:
        """Wait for its work, and raise what failed in it."""
        driver().activate(self.device)
        driver().synchronize_stream(self.handle)
        checks.raise_failed(self.device, (self.handle,))

    def is_idle(self) -> bool:
        """Whether its work is done."""
        driver().activate(self.device)
        return driver().is_stream_idle(self.handle)


class _Thread(threading.local):
    def __init__(self) -> None:
        self.streams: dict[int, Stream] = {}


_thread = _Thread()
_defaults: dict[int, Stream] = {}
_lock = threading.Lock()
_made: dict[tuple[Driver, int, int], list[Stream]] = {}
_turns: dict[tuple[Driver, int, int], Iterator[int]] = {}


def default_stream(device: int) -> Stream:
    """The stream that work goes to where no other is chosen."""
    found = _defaults.get(device)
    return _defaults.setdefault(device, Stream(device)) if found is None else found


def current_stream(device: int) -> Stream:
    """The calling thread's stream of a device."""
    return _thread.streams.get(device) or default_stream(device)


def set_stream(stream: Stream) -> None:
    """Let the calling thread's work for the stream's device go to it."""
    if stream.handle == 0:
        _thread.streams.pop(stream.device, None)
    else:
        _thread.streams[stream.device] = stream


@contextmanager
def using_stream(stream: Stream) -> Iterator[None]:
    """Let work go to a stream inside the block."""
    before = current_stream(stream.device)
    set_stream(stream)
    try:
        yield
    finally:
        set_stream(before)


def new_stream(device: int, priority: int = 0) -> Stream:
    """A stream that does not wait for the default one; -1 goes before 0 where both have work."""
    check_device(device)
    found = driver()
    key = (found, device, priority)
    with _lock:
        made = _made.setdefault(key, [])
        number = next(_turns.setdefault(key, itertools.cycle(range(MOST))))
        if number == len(made):
            found.activate(device)
            made.append(Stream(device, found.create_stream(priority), priority))
        return made[number]
