"""CUDA graphs that a program makes: what a stream gets is noted instead of done, and done again at each replay.

In: a stream, and a number of private memory. Out: a `Capture` while the stream notes, then a `Graph`. What is allocated
meanwhile lies in memory that nobody else is given, so its addresses stay what they are. A graph keeps alive whatever
its launches need, draws new random numbers for each replay, and expects what its kernels check.

    capture = begin(stream, new_pool())
    ...                       # launches in the stream
    graph = end(capture)
    graph.replay(other_stream)

One capture is under way at a time in a process.
"""

from __future__ import annotations

import itertools
import sys
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, Protocol

from graphc.ir.errors import ArgumentError, GraphcError, MissingFeature
from graphc.runtime.cuda import checks
from graphc.runtime.cuda.device import activated
from graphc.runtime.cuda.driver import CudaError, Driver
from graphc.runtime.cuda.select import driver
from graphc.runtime.cuda.stream import Stream, current_stream, new_stream, using_stream

UNDER_WAY: Final[list[Capture]] = []
"""The capture under way, if there is one: what is done often looks here first."""
_pools = itertools.count(1)
_held: Counter[int] = Counter()
"""Of private memory, the captures and graphs that it is for."""
_dead: deque[tuple[Driver, int, int]] = deque()
"""Graphs that nobody has any more; they are destroyed when another one is made."""


def new_pool() -> int:
    """A number that no other private memory has."""
    return next(_pools)


def is_held(pool: int) -> bool:
    """Whether graphs may still use private memory of this number."""
    return _held[pool] > 0


class Word(Protocol):
    """8 bytes of a device's memory."""

    @property
    def address(self) -> int:
        """Where they are."""

    def record_stream(self, stream: int) -> None:
        """Let the memory wait, once it is given back, for what the stream has to do by then."""


class Capture:
    """What a stream notes, and what that needs."""

    def __init__(self, found: Driver, stream: Stream, pool: int) -> None:
        self.driver = found
        self.stream = stream
        self.pool = pool
        self.kept: dict[int, object] = {}
        self.expected: dict[checks.Status, Callable[[int], GraphcError]] = {}
        self.draws: list[tuple[Callable[[], int], Word]] = []
        _held[pool] += 1

    def keep(self, thing: object) -> None:
        """Let a thing live as long as the graph."""
        self.kept[id(thing)] = thing

    def expect(self, status: checks.Status, describe: Callable[[int], GraphcError]) -> None:
        """Each replay may write the word."""
        self.expected[status] = describe

    def draw(self, next_key: Callable[[], int], word: Word) -> None:
        """Each replay starts by writing a new key there; the numbers are those that it would draw without a graph."""
        self.draws.append((next_key, word))


def begin(stream: Stream, pool: int) -> Capture:
    """Let a stream note what it gets. Raises MissingFeature while another one does."""
    if UNDER_WAY:
        raise MissingFeature("another CUDA graph is being captured", hint="capture one after the other")
    found = driver()
    found.activate(stream.device)
    destroy_dead(found, stream.device)
    capture = Capture(found, stream, pool)
    UNDER_WAY.append(capture)
    try:
        found.begin_capture(stream.handle)
    except BaseException:
        _leave(capture)
        raise
    return capture


def end(capture: Capture) -> Graph:
    """The graph; raises CudaError where something was done that no graph can hold."""
    try:
        capture.driver.activate(capture.stream.device)
        handle = capture.driver.end_capture(capture.stream.handle)
    except BaseException:
        _leave(capture)
        raise
    UNDER_WAY.remove(capture)
    return Graph(capture, handle)


def _leave(capture: Capture) -> None:
    UNDER_WAY.remove(capture)
    _held[capture.pool] -= 1


def capture_of(stream: int) -> Capture | None:
    """The capture that notes what a stream gets: it has begun there, or the stream waits for one where it has."""
    for capture in UNDER_WAY:
        if capture.driver is driver():
            if stream == capture.stream.handle:
                return capture
            with activated(capture.driver, capture.stream.device):  # the thread may have none yet
                if is_capturing(stream):
                    return capture
    return None


def is_capturing(stream: int) -> bool:
    """Whether what a stream of the current device gets is noted, by whomever."""
    return stream != 0 and driver().is_stream_capturing(stream)


@contextmanager
def aside(device: int | None) -> Iterator[None]:
    """Do what is inside at once, in another stream, where the current one is capturing; None: no device's."""
    if not UNDER_WAY or device is None or capture_of(current_stream(device).handle) is None:
        yield
        return
    stream = new_stream(device)
    while is_capturing(stream.handle):
        stream = new_stream(device)
    with using_stream(stream):
        yield
        stream.synchronize()


class Graph:
    """What was noted, to be done again and again. It goes with this object, or by `close`."""

    def __init__(self, capture: Capture, handle: int) -> None:
        self.handle = handle
        self._capture: Capture | None = capture

    def replay(self, stream: Stream) -> None:
        """Do it in a stream of its device."""
        capture = self._capture
        if capture is None:
            raise ArgumentError("the CUDA graph was reset", hint="capture it again")
        if capture.stream.device != stream.device:
            raise ArgumentError(
                f"a CUDA graph of device {capture.stream.device} is replayed in a stream of device {stream.device}",
                hint="make its device the current one",
            )
        found = capture.driver
        found.activate(stream.device)
        for next_key, word in capture.draws:
            key = next_key()
            found.fill(word.address, key & 0xFFFFFFFF, 4, 1, stream.handle)
            found.fill(word.address + 4, key >> 32, 4, 1, stream.handle)
            word.record_stream(stream.handle)
        for status, describe in capture.expected.items():
            status.expect(describe, stream.handle)
        found.launch_graph(self.handle, stream.handle)

    def close(self) -> None:
        """Give the graph back, once its launches are done; its private memory is for others then."""
        capture, self._capture = self._capture, None
        if capture is not None:
            # Wherever this happens another stream may be capturing, or another device's context be current: later.
            _dead.append((capture.driver, capture.stream.device, self.handle))
            _held[capture.pool] -= 1

    def __del__(self) -> None:
        if not sys.is_finalizing():
            self.close()


def destroy_dead(found: Driver, device: int) -> None:
    """Give back the graphs that nobody has, and make a device the current one again."""
    while _dead:
        owner, its_device, graph = _dead.popleft()
        try:
            owner.activate(its_device)
            owner.destroy_graph(graph)
        except CudaError:  # a kernel's fault comes out of every call there is after it
            continue
    found.activate(device)
