"""Memory of devices: taken from the driver in large pieces, cut, used again in the order of a stream.

In: a number of bytes, a device, the stream of those who use it first. Out: a `Block`, whose memory returns when the
last reference to it goes, and is given out again at once to who works on the same stream: what the stream does with it
later comes after what it did before. A stream beside that one that uses a block says so with `record_stream`.

Sizes are rounded up to `ROUND`. Small requests are cut from pieces of 2 MiB, larger ones from pieces of 20 MiB or of
their own size; what comes back is joined with its neighbours. Blocks know the user's line that asked for them.

    block = allocate(1 << 20, device=0)
    block.address
"""

from __future__ import annotations

import ctypes
import gc
import os
import sys
import threading
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import FrameType
from typing import Final, TypeAlias

from graphc.ir.errors import ArgumentError, MemoryExceeded
from graphc.ir.location import Location, is_own
from graphc.runtime.cuda.capture import UNDER_WAY, capture_of, is_held
from graphc.runtime.cuda.driver import Driver
from graphc.runtime.cuda.select import driver
from graphc.runtime.cuda.stream import current_stream

ROUND: Final = 512
"""Bytes of which every block is a multiple."""
SMALL: Final = 1 << 20
"""Requests up to here share pieces."""
SMALL_PIECE: Final = 2 << 20
LARGE_PIECE: Final = 20 << 20
OWN_PIECE: Final = 10 << 20
"""Requests from here on get a piece of their own."""
PIECE_ROUND: Final = 2 << 20

Place: TypeAlias = "tuple[str, int] | None"
"""File and line."""
Lane: TypeAlias = "int | tuple[int, int]"
"""Who is given memory again: a stream, or a stream for CUDA graphs of one private memory."""


@dataclass(slots=True, eq=False)
class Piece:
    """Memory that the driver gave in one call."""

    address: int
    nbytes: int
    stream: int
    is_small: bool
    buffer: memoryview
    """All of it as an object that arrays can be made over; nobody may read or write it."""
    lane: Lane = 0
    first: Chunk | None = None


@dataclass(slots=True, eq=False)
class Chunk:
    """A stretch of a piece: in use, or free."""

    piece: Piece
    address: int
    nbytes: int
    previous: Chunk | None = None
    next: Chunk | None = None
    state: str = "inactive"
    """"active_allocated": in use; "active_pending_free": given back, but other streams still use it; "hot": free, and
    not joined with its neighbours; "inactive": free."""
    requested: int = 0
    place: Place = None

    def __lt__(self, other: Chunk) -> bool:
        return (self.nbytes, self.address) < (other.nbytes, other.address)


class Block:
    """Memory of a device at `address`, of at least `nbytes`."""

    __slots__ = ("__weakref__", "_chunk", "_pool", "_streams", "address", "device", "nbytes")

    def __init__(self, pool: Pool, chunk: Chunk, nbytes: int) -> None:
        self._pool = pool
        self._chunk = chunk
        self._streams: tuple[int, ...] = ()
        self.address = chunk.address
        self.nbytes = nbytes
        self.device = pool.device

    @property
    def capacity(self) -> int:
        """Bytes that there are."""
        return self._chunk.nbytes

    @property
    def buffer(self) -> memoryview:
        """What arrays over the memory are made of; it starts at `start`."""
        return self._chunk.piece.buffer

    @property
    def start(self) -> int:
        """Address of the buffer's first byte."""
        return self._chunk.piece.address

    def record_stream(self, stream: int) -> None:
        """Let the memory wait, once it is given back, for what the stream has to do by then."""
        if stream != self._chunk.piece.stream and stream not in self._streams:
            self._streams += (stream,)

    def __del__(self) -> None:
        self._pool.take_back(self._chunk, self._streams)


@dataclass(slots=True)
class Tally:
    """How many things there are, of how many bytes, the most there were at once, and all that came and went."""

    count: int = 0
    nbytes: int = 0
    most: int = 0
    most_bytes: int = 0
    come: int = 0
    come_bytes: int = 0
    gone: int = 0
    gone_bytes: int = 0

    def add(self, nbytes: int) -> None:
        """One more."""
        self.come += 1
        self.come_bytes += nbytes
        self.count += 1
        self.nbytes += nbytes
        if self.count > self.most:
            self.most = self.count
        if self.nbytes > self.most_bytes:
            self.most_bytes = self.nbytes

    def remove(self, nbytes: int) -> None:
        """One less."""
        self.count -= 1
        self.nbytes -= nbytes
        self.gone += 1
        self.gone_bytes += nbytes


@dataclass(slots=True)
class Tallies:
    """What is counted, of small requests, of large ones, and of all."""

    allocated: Tally = field(default_factory=Tally)
    """Blocks that somebody has."""
    requested: Tally = field(default_factory=Tally)
    """The same, with the bytes that were asked for."""
    active: Tally = field(default_factory=Tally)
    """Blocks that somebody has or that a stream still uses."""
    reserved: Tally = field(default_factory=Tally)
    """Pieces that the driver gave."""
    inactive_split: Tally = field(default_factory=Tally)
    """Free parts of pieces of which another part is not."""


@dataclass(frozen=True, slots=True)
class Holder:
    """What a line of the user's holds."""

    file: str
    line: int
    nbytes: int
    blocks: int

    def __str__(self) -> str:
        where = Location(self.file, self.line).describe() if self.file else "unknown lines"
        return f"{size_text(self.nbytes)} in {self.blocks} block{'s' * (self.blocks != 1)} from {where}"


class Pool:
    """The memory of one device."""

    def __init__(self, found: Driver, device: int) -> None:
        self.device = device
        self._driver = found
        self._lock = threading.Lock()
        # Blocks may come back at any moment, even while this thread is in `allocate` (the garbage collector runs there
        # too). So coming back is an append, and whoever holds the lock next puts things in order.
        self._returned: deque[tuple[Chunk, tuple[int, ...]]] = deque()
        self._waiting: deque[tuple[Chunk, list[int]]] = deque()
        """Chunks given back that other streams use until the events."""
        self._pieces: dict[int, Piece] = {}
        self._free: dict[tuple[Lane, bool], list[Chunk]] = {}
        """By lane and whether they are small; sorted by size."""
        self._hot: dict[tuple[Lane, int], list[Chunk]] = {}
        """Free chunks that are not joined with their neighbours, by lane and size: most are soon asked for again."""
        self.tallies = {"all": Tallies(), "small_pool": Tallies(), "large_pool": Tallies()}
        self.retries = 0
        self.failures = 0
        self.limit: int | None = None
        """The most bytes to take from the driver."""

    def allocate(self, nbytes: int, stream: int, private: int = 0) -> Block:
        """A block; raises MemoryExceeded, which says who holds what, where there is no room.

        `private` is the number of a memory whose blocks nobody else is given; 0: all are given them.
        """
        lane: Lane = (stream, private) if private else stream
        size = max(ROUND, -(-nbytes // ROUND) * ROUND)
        place = _user_place()
        with self._lock:
            self._settle()
            hot = self._hot.get((lane, size))
            chunk = hot.pop() if hot else self._found(size, lane)
            if chunk is not None:
                self._give(chunk, size, nbytes, place)
        if chunk is None:
            gc.collect()  # arrays in cycles are still held; what goes may itself ask for memory, so without the lock
            with self._lock:
                chunk = self._found_at_last(size, lane)
                if chunk is None:
                    raise self._exceeded(nbytes)
                self._give(chunk, size, nbytes, place)
        return Block(self, chunk, nbytes)

    def take_back(self, chunk: Chunk, streams: tuple[int, ...]) -> None:
        """What a block calls when the last reference to it goes."""
        self._returned.append((chunk, streams))

    def release(self) -> None:
        """Give what nobody uses back to the driver."""
        with self._lock:
            self._settle(wait=True)
            self._join_hot()
            self._release()

    def settle(self) -> None:
        """Put what came back in order, for who looks at the tallies."""
        with self._lock:
            self._settle()
            self._join_hot()

    def reset_peaks(self) -> None:
        """Let the greatest numbers start from what there is now."""
        for tally in self._all_tallies():
            tally.most, tally.most_bytes = tally.count, tally.nbytes

    def reset_totals(self) -> None:
        """Let the numbers of all that came and went start from 0."""
        for tally in self._all_tallies():
            tally.come = tally.come_bytes = tally.gone = tally.gone_bytes = 0
        self.retries = self.failures = 0

    def pieces(self) -> list[tuple[Piece, list[Chunk]]]:
        """All memory, by address, with the chunks it is cut into."""
        with self._lock:
            self._settle()
            self._join_hot()
            return [(piece, list(_chunks(piece))) for _, piece in sorted(self._pieces.items())]

    def holders(self) -> list[Holder]:
        """Who holds what, the most first."""
        with self._lock:
            self._settle()
            return self._holders()

    def reset_after_fork(self) -> None:
        """Drop a lock that a thread of the parent may have held."""
        self._lock = threading.Lock()

    # ---- with the lock held

    def _settle(self, wait: bool = False) -> None:
        """Sort in what came back; `wait` for streams that still use some of it."""
        is_noting = bool(UNDER_WAY)
        put_off: list[tuple[Chunk, tuple[int, ...]]] = []
        while self._returned:
            chunk, streams = self._returned.popleft()
            if streams and is_noting:  # an event would be noted, and nobody could ask for it
                put_off.append((chunk, streams))
                continue
            for tallies in self._tallies_of(chunk.piece):
                tallies.allocated.remove(chunk.nbytes)
                tallies.requested.remove(chunk.requested)
            if streams:
                chunk.state = "active_pending_free"
                self._driver.activate(self.device)
                events = []
                for stream in streams:
                    events.append(self._driver.create_event(False))
                    self._driver.record_event(events[-1], stream)
                self._waiting.append((chunk, events))
            else:
                self._give_up(chunk)
        self._returned.extend(put_off)
        while self._waiting and not is_noting:
            chunk, events = self._waiting[0]
            self._driver.activate(self.device)
            if wait:
                for event in events:
                    self._driver.synchronize_event(event)
            elif not all(self._driver.is_event_done(event) for event in events):
                break
            self._waiting.popleft()
            for event in events:
                self._driver.destroy_event(event)
            self._give_up(chunk)

    def _give(self, chunk: Chunk, size: int, nbytes: int, place: Place) -> None:
        """Let somebody have a chunk who asked for so many bytes at that line."""
        if chunk.nbytes != size:
            self._cut(chunk, size)
        chunk.state, chunk.requested, chunk.place = "active_allocated", nbytes, place
        for tallies in self._tallies_of(chunk.piece):
            tallies.allocated.add(chunk.nbytes)
            tallies.requested.add(nbytes)
            tallies.active.add(chunk.nbytes)

    def _give_up(self, chunk: Chunk) -> None:
        """Let a chunk be used again."""
        for tallies in self._tallies_of(chunk.piece):
            tallies.active.remove(chunk.nbytes)
        chunk.state, chunk.place, chunk.requested = "hot", None, 0
        self._hot.setdefault((chunk.piece.lane, chunk.nbytes), []).append(chunk)

    def _join_hot(self) -> None:
        """Join what came back with its neighbours."""
        for chunks in self._hot.values():
            for chunk in chunks:
                self._put(chunk)
        self._hot.clear()

    def _put(self, chunk: Chunk) -> None:
        """Make a chunk free, joined with free neighbours."""
        chunk.state = "inactive"
        for neighbour in (chunk.previous, chunk.next):
            if neighbour is not None and neighbour.state == "inactive":
                self._take(neighbour)
                if neighbour is chunk.previous:
                    neighbour, chunk = chunk, neighbour
                chunk.nbytes += neighbour.nbytes
                chunk.next = neighbour.next
                if chunk.next is not None:
                    chunk.next.previous = chunk
        insort(self._free.setdefault((chunk.piece.lane, chunk.piece.is_small), []), chunk)
        if chunk.nbytes != chunk.piece.nbytes:
            for tallies in self._tallies_of(chunk.piece):
                tallies.inactive_split.add(chunk.nbytes)

    def _take(self, chunk: Chunk) -> None:
        """Remove a chunk from the free ones."""
        chunks = self._free[chunk.piece.lane, chunk.piece.is_small]
        del chunks[bisect_left(chunks, chunk)]
        if chunk.nbytes != chunk.piece.nbytes:
            for tallies in self._tallies_of(chunk.piece):
                tallies.inactive_split.remove(chunk.nbytes)

    def _found(self, size: int, lane: Lane) -> Chunk | None:
        """A chunk of at least this size that is free already, else a new one."""
        chunk = self._fitting(size, lane)
        if chunk is None and self._hot:
            self._join_hot()
            chunk = self._fitting(size, lane)
        return self._fresh(size, lane) if chunk is None else chunk

    def _found_at_last(self, size: int, lane: Lane) -> Chunk | None:
        """A chunk once other streams are done with theirs and what is free is given back; None: there is no room."""
        self.retries += 1
        self._settle(wait=not UNDER_WAY)
        self._join_hot()
        chunk = self._fitting(size, lane)
        if chunk is None:
            self._release()
            chunk = self._fresh(size, lane)
        if chunk is None:
            self.failures += 1
        return chunk

    def _fitting(self, size: int, lane: Lane) -> Chunk | None:
        """The smallest free chunk of at least this size, taken."""
        chunks = self._free.get((lane, size <= SMALL))
        if not chunks:
            return None
        number = bisect_left(chunks, size, key=_nbytes_of)
        if number == len(chunks):
            return None
        chunk = chunks[number]
        self._take(chunk)
        return chunk

    def _fresh(self, size: int, lane: Lane) -> Chunk | None:
        """A chunk that is a whole new piece; None where the driver has no more."""
        if size <= SMALL:
            nbytes = SMALL_PIECE
        elif size < OWN_PIECE:
            nbytes = LARGE_PIECE
        else:
            nbytes = -(-size // PIECE_ROUND) * PIECE_ROUND
        if self.limit is not None and self.tallies["all"].reserved.nbytes + nbytes > self.limit:
            return None
        self._driver.activate(self.device)
        try:
            address = self._driver.allocate(nbytes)
        except MemoryExceeded:
            return None
        buffer = memoryview((ctypes.c_char * nbytes).from_address(address))
        stream = lane if isinstance(lane, int) else lane[0]
        piece = Piece(address, nbytes, stream, size <= SMALL, buffer, lane)
        piece.first = Chunk(piece, address, nbytes)
        self._pieces[address] = piece
        for tallies in self._tallies_of(piece):
            tallies.reserved.add(nbytes)
        return piece.first

    def _cut(self, chunk: Chunk, size: int) -> None:
        """Leave a chunk its size, and make what is beyond it another one, where that is worth it."""
        rest = chunk.nbytes - size
        if rest < (ROUND if chunk.piece.is_small else SMALL + 1):
            return
        other = Chunk(chunk.piece, chunk.address + size, rest, chunk, chunk.next)
        if other.next is not None:
            other.next.previous = other
        chunk.next, chunk.nbytes = other, size
        insort(self._free.setdefault((chunk.piece.lane, chunk.piece.is_small), []), other)
        for tallies in self._tallies_of(chunk.piece):
            tallies.inactive_split.add(rest)

    def _release(self) -> None:
        """Give whole pieces that are free back to the driver; those that CUDA graphs use are not, but look so."""
        if UNDER_WAY:  # there is no waiting
            return
        free = [
            piece
            for piece in self._pieces.values()
            if piece.first is not None
            and _is_whole(piece.first)
            and (isinstance(piece.lane, int) or not is_held(piece.lane[1]))
        ]
        if not free:
            return
        self._driver.activate(self.device)
        self._driver.synchronize()  # streams may still work on what their users have let go
        for piece in free:
            assert piece.first is not None
            self._take(piece.first)
            del self._pieces[piece.address]
            self._driver.free(piece.address)
            for tallies in self._tallies_of(piece):
                tallies.reserved.remove(piece.nbytes)

    def _holders(self) -> list[Holder]:
        held: dict[tuple[str, int], list[int]] = {}
        for piece in self._pieces.values():
            for chunk in _chunks(piece):
                if chunk.state.startswith("active"):
                    entry = held.setdefault(chunk.place or ("", 0), [0, 0])
                    entry[0] += chunk.nbytes
                    entry[1] += 1
        found = [Holder(file, line, nbytes, blocks) for (file, line), (nbytes, blocks) in held.items()]
        return sorted(found, key=lambda holder: (-holder.nbytes, holder.file, holder.line))

    def _exceeded(self, nbytes: int) -> MemoryExceeded:
        self._driver.activate(self.device)
        free, total = self._driver.memory_info()
        tallies = self.tallies["all"]
        allocated = tallies.allocated.nbytes
        cap = f" {size_text(self.limit)} allowed;" if self.limit is not None else ""
        held = [f"    {holder}" for holder in self._holders()[:8]]
        return MemoryExceeded(
            f"CUDA out of memory. Tried to allocate {size_text(nbytes)}. GPU {self.device} has a total capacity of "
            f"{size_text(total)} of which {size_text(free)} is free.{cap} {size_text(allocated)} is allocated by "
            f"tensors, and {size_text(tallies.reserved.nbytes - allocated)} is reserved but unallocated.",
            hint="\n".join(["what is held, the most first:", *held]) if held else "use smaller sizes",
        )

    def _tallies_of(self, piece: Piece) -> tuple[Tallies, Tallies]:
        return self.tallies["all"], self.tallies["small_pool" if piece.is_small else "large_pool"]

    def _all_tallies(self) -> list[Tally]:
        self.settle()
        return [getattr(each, name) for each in self.tallies.values() for name in Tallies.__slots__]


def _is_whole(chunk: Chunk) -> bool:
    """Whether a chunk is free, and all of its piece."""
    return chunk.state == "inactive" and chunk.nbytes == chunk.piece.nbytes


def _nbytes_of(chunk: Chunk) -> int:
    return chunk.nbytes


def _chunks(piece: Piece) -> Iterator[Chunk]:
    chunk = piece.first
    while chunk is not None:
        yield chunk
        chunk = chunk.next


_lock = threading.Lock()
_pools: dict[tuple[Driver, int], Pool] = {}


def pool(device: int) -> Pool:
    """The memory of a device; raises DeviceUnavailable where there is no driver."""
    found = driver()
    known = _pools.get((found, device))
    if known is None:
        with _lock:
            known = _pools.setdefault((found, device), Pool(found, device))
    return known


def allocate(nbytes: int, device: int, stream: int | None = None) -> Block:
    """Memory of a device for work on a stream, the current one if not given.

    Raises MemoryExceeded, with PyTorch's first line and the lines that hold most, where there is no room.
    """
    if nbytes < 0:
        raise ArgumentError(f"memory of {nbytes} bytes is asked for", hint="sizes are zero or more")
    handle = current_stream(device).handle if stream is None else stream
    capture = capture_of(handle) if UNDER_WAY else None
    return pool(device).allocate(nbytes, handle, 0 if capture is None else capture.pool)


def empty_cache() -> None:
    """Give memory that nobody uses back to the driver, on all devices of the driver in force."""
    found = driver()
    for (owner, _), each in list(_pools.items()):
        if owner is found:
            each.release()


def size_text(nbytes: int) -> str:
    """A number of bytes as PyTorch writes it: `20.00 MiB`."""
    for unit, name in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if nbytes >= unit:
            return f"{nbytes / unit:.2f} {name}"
    return f"{nbytes} bytes"


_own_files: dict[str, bool] = {}


def _user_place() -> Place:
    """The innermost line outside graphc. Files are looked at once each: this runs for every allocation."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        file = frame.f_code.co_filename
        own = _own_files.get(file)
        if own is None:
            own = _own_files[file] = is_own(frame) or file.startswith("<frozen ")
        if not own:
            return file, frame.f_lineno
        frame = frame.f_back
    return None


def _reset_after_fork() -> None:
    global _lock
    _lock = threading.Lock()
    for each in _pools.values():
        each.reset_after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_after_fork)
