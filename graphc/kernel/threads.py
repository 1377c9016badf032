"""The statements of kernels for a GPU: what the threads of a block or a warp do together, and copies under way.

Level: below `graphc.kernel.machine`, which runs a block's threads in step. In: a statement, and the threads [threads,
blocks] of which some come to it. Out: its effect, or the fault that it is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from graphc.kernel.access import Access, Array, Nest
from graphc.kernel.fault import AlignmentFault, DivergenceFault, OutOfBounds
from graphc.kernel.gpu import WARP
from graphc.kernel.index import Index
from graphc.kernel.ir import Barrier, CopyAsync, LoadMatrix, MultiplyMatrices, Shuffle, Statement
from graphc.kernel.track import Flags, Integers, Lanes, View
from graphc.kernel.warp import matrix_positions, multiply_matrices, shuffled


@dataclass(frozen=True, slots=True, eq=False)
class _Copy:
    """One `CopyAsync` of some threads, under way."""

    statement: CopyAsync
    destination: View
    source: View
    threads: Integers
    """Their numbers among all that run at once."""
    groups: Integers
    """How many groups each had committed before."""
    targets: Integers
    """[threads, count]: positions in the destination."""
    origins: Integers
    """[threads, count]: positions in the source."""
    reads: Flags
    """Which of the threads read the source; the others bring zeros."""
    data: Array
    """[threads, count]"""

    def of(self, chosen: Flags) -> _Copy:
        """The part of some of the threads."""
        if chosen.all():
            return self
        return replace(
            self,
            threads=self.threads[chosen],
            groups=self.groups[chosen],
            targets=self.targets[chosen],
            origins=self.origins[chosen],
            reads=self.reads[chosen],
            data=self.data[chosen],
        )


class Threads(Access):
    """The threads that run at once."""

    copies: list[_Copy]
    committed: Index

    def begin_threads(self) -> None:
        """Threads begin: no copy is under way."""
        self.copies = []
        self.committed = 0

    def end_threads(self) -> None:
        """Threads end; copies that nobody waited for are over, too."""
        for copy in self.copies:
            self.release(copy)
        self.begin_threads()

    def together(self, statement: Statement, nest: Nest, size: int, what: str = "warp") -> None:
        """A fault unless all or none of each `size` threads side by side come to the statement."""
        mask = nest.mask
        if mask is None or mask.ndim < len(nest.shape) or len(mask) == 1:
            return
        whole = np.asarray(np.broadcast_to(mask, nest.shape))
        groups = whole.reshape(-1, size, *nest.shape[1:])
        torn = np.asarray(groups.any(axis=1) & ~groups.all(axis=1))
        if not torn.any():
            return
        group = np.broadcast_to(torn[:, None], groups.shape).reshape(nest.shape)
        here, missing = nest.lanes(group & whole), nest.lanes(group & ~whole)
        symbol = nest.levels[-1].name
        absent = missing.select(self.symbols[symbol])[0]
        raise DivergenceFault(
            f"{self.told(statement)} takes all threads of a {what}, and only some come to it: one is"
            f"{self.place(here, 0, nest.levels)}, {symbol} = {absent} is missing"
        )

    def barrier(self, statement: Barrier, nest: Nest) -> None:
        """The threads of the blocks that come here get new stamps."""
        self.together(statement, nest, nest.shape[0], "block")
        where: Flags | None = None
        if nest.mask is not None:
            where = np.broadcast_to(nest.mask, nest.shape)[:1]
        level = nest.levels[-1]
        level.renew(self.reserve(nest.count + 1), None if where is None or where.all() else where)

    def shuffle(self, statement: Shuffle, nest: Nest) -> Array:
        """What other threads of the warps have."""
        self.together(statement, nest, WARP)
        lane, values = self.operand(statement.lane), self.operand(statement.operand)
        wrong = nest.active((lane < 0) | (lane >= WARP))
        if wrong is not None and wrong.any():
            lanes = nest.lanes(wrong)
            number = lanes.select(lane)[0]
            place = self.place(lanes, 0, nest.levels)
            raise OutOfBounds(f"{self.told(statement)} names thread {number} of the {WARP} of a warp{place}")
        return shuffled(np.broadcast_to(values, nest.shape), statement.mode, lane)

    def multiply_matrices(self, statement: MultiplyMatrices, nest: Nest) -> None:
        """The products of the warps' matrices."""
        self.together(statement, nest, WARP)
        left, right, addend = (
            [np.broadcast_to(self.operand(x), nest.shape) for x in part]
            for part in (statement.left, statement.right, statement.addend)
        )
        products = multiply_matrices(left, right, addend, statement.dtype)
        self.values.update(zip(statement.outs, products))

    def load_matrix(self, statement: LoadMatrix, nest: Nest) -> None:
        """What each thread of the warps gets of matrices in shared memory."""
        self.together(statement, nest, WARP)
        view, count = self.views[statement.buffer], len(statement.outs)
        lane = np.arange(nest.shape[0]).reshape(-1, *[1] * (len(nest.shape) - 1)) % WARP
        active = nest.active(lane < 8 * count)
        index = self.in_range(statement, statement.index, view, active, nest, 8)
        self.aligned(statement, np.asarray(index) * view.data.itemsize, 16, active, nest)
        rows = np.broadcast_to(index + np.asarray(view.start), nest.shape)
        positions = matrix_positions(rows, count, is_transposed=statement.is_transposed)
        lanes = Lanes(nest.shape, nest.lanes(nest.mask).mask, 2 * count)
        chosen = positions if lanes.mask is None else positions[lanes.mask]
        self.note_read(view, chosen.reshape(-1), lanes, statement, nest.levels)
        halves = view.data.take(positions, mode="clip").view(np.uint16).astype(np.uint32)
        for number, out in enumerate(statement.outs):
            self.values[out] = halves[..., number, 0] | halves[..., number, 1] << np.uint32(16)

    def aligned(self, statement: Statement, addresses: Array, size: int, active: Flags | None, nest: Nest) -> None:
        """A fault unless the addresses of all active threads are multiples of so many bytes."""
        wrong = np.asarray(addresses % size != 0)
        if not wrong.any():
            return
        lanes = nest.lanes(wrong if active is None else wrong & active)
        if len(lanes.select(0)):
            place = self.place(lanes, 0, nest.levels)
            raise AlignmentFault(f"{self.told(statement)} takes addresses that are multiples of {size} bytes{place}")

    # Copies

    def copy_async(self, statement: CopyAsync, nest: Nest) -> None:
        """Copies begin: what they touch is noted, and what they read is fetched."""
        destination, source = self.views[statement.destination], self.views[statement.source]
        count = statement.count
        predicate = None if statement.predicate is None else self.operand(statement.predicate)
        reading = nest.active(predicate)
        index = self.in_range(statement, statement.index, destination, nest.mask, nest, count)
        origin = self.in_range(statement, statement.source_index, source, reading, nest, count)
        itemsize = destination.data.itemsize
        self.aligned(statement, np.asarray(index) * itemsize, count * itemsize, nest.mask, nest)
        base = int(source.data.__array_interface__["data"][0])
        self.aligned(statement, base + np.asarray(origin) * itemsize, count * itemsize, reading, nest)
        lanes = nest.lanes(nest.mask)
        threads = lanes.select(nest.numbers)
        reads = lanes.select(True if predicate is None else predicate)
        targets = _neighbours(lanes.select(index + destination.start), count)
        origins = _neighbours(lanes.select(origin + source.start), count)
        data = np.zeros(targets.shape, destination.data.dtype)
        data[reads] = source.data[origins[reads]].view(data.dtype)
        copy = _Copy(
            statement, destination, source, threads, lanes.select(self.committed), targets, origins, reads, data
        )
        self.touch(copy, nest)
        destination.note_copy(targets.reshape(-1), 1, is_source=False)
        if source.memory.is_tracked:
            source.note_copy(origins[reads].reshape(-1), 1, is_source=True)
        self.copies.append(copy)

    def commit_copies(self, nest: Nest) -> None:
        """The copies of the threads that come here since their last commit are a group."""
        committed = self.committed + 1
        self.committed = committed if nest.mask is None else np.where(nest.mask, committed, self.committed)

    def wait_copies(self, pending: int, nest: Nest) -> None:
        """The groups but the last ones of the threads that come here arrive."""
        here = np.broadcast_to(True if nest.mask is None else nest.mask, nest.shape).reshape(-1)
        finished = np.broadcast_to(self.committed - pending, nest.shape).reshape(-1)
        under_way: list[_Copy] = []
        for copy in self.copies:
            arrives = here[copy.threads] & (copy.groups < finished[copy.threads])
            if arrives.any():
                self.arrive(copy.of(arrives), nest)
            if not arrives.all():
                under_way.append(copy.of(~arrives))
        self.copies = under_way

    def arrive(self, copy: _Copy, nest: Nest) -> None:
        """What was copied is there: as if each thread wrote it now."""
        self.release(copy)
        self.touch(copy, nest)
        self.put(copy.destination, copy.targets.reshape(-1), copy.data.reshape(-1))

    def release(self, copy: _Copy) -> None:
        """The memory that a copy touches may be touched again."""
        copy.destination.note_copy(copy.targets.reshape(-1), -1, is_source=False)
        if copy.source.memory.is_tracked:
            copy.source.note_copy(copy.origins[copy.reads].reshape(-1), -1, is_source=True)

    def touch(self, copy: _Copy, nest: Nest) -> None:
        """Note what a copy reads and writes, by its threads."""
        count = copy.statement.count
        readers = _lanes_of(copy.threads[copy.reads], nest, count)
        self.note_read(copy.source, copy.origins[copy.reads].reshape(-1), readers, copy.statement, nest.levels)
        writers = _lanes_of(copy.threads, nest, count)
        self.note_write(copy.destination, copy.targets.reshape(-1), writers, copy.statement, nest.levels)


def _neighbours(positions: Integers, count: int) -> Integers:
    """[..., count]: the positions from each on."""
    return positions[:, None] + np.arange(count)


def _lanes_of(threads: Integers, nest: Nest, times: int) -> Lanes:
    """The threads of these numbers, which ascend."""
    if len(threads) == nest.count:
        return Lanes(nest.shape, None, times)
    mask = np.zeros(nest.count, np.bool_)
    mask[threads] = True
    return Lanes(nest.shape, mask.reshape(nest.shape), times)
