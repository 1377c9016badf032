"""The memory of an interpreted kernel: elements, which of them hold a value, and which iterations touched them.

Level: below `graphc.kernel.interpret`. In: the accesses of many iterations at once, as arrays of positions. Out: the
loop in which they are a race, if they are one: an iteration writes what another one reads or writes.

Iterations are told apart by stamps. Entering a loop whose iterations run at once reserves a range of numbers that no
loop had before; each iteration of it, in each iteration of the loops around that run at once, has one of them, and one
more means "several iterations". A cell remembers the stamps of its last writer and of its readers; those below the
range are of loops that ended. At a barrier the threads of a block get new stamps, as if a new loop began. Cells are the
units in which all buffers of a memory can be addressed, so that buffers may overlap in it.

A copy that is under way marks its cells: those that it will write, and those that it reads. So does a product.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Integers: TypeAlias = npt.NDArray[np.int64]
Flags: TypeAlias = npt.NDArray[np.bool_]
Array: TypeAlias = npt.NDArray[Any]


@dataclass(slots=True, eq=False)
class Level:
    """The iterations of one loop that run at once, nested in those of the levels around it.

    Where only some blocks came to a barrier, `first` and `several` are arrays, with the axes of `stamps`.
    """

    name: str
    """The loop's symbol."""
    extent: int
    """Iterations of the loop in each iteration around it; 0 for a level of several loops."""
    first: int | Integers
    """The lowest stamp of this entry into the loop."""
    several: int | Integers
    """The stamp that stands for more than one iteration."""
    stamps: Integers | int
    """Of each iteration; its axes are the last ones of the iteration space."""
    is_promised: bool
    """Whether the loop promises that its iterations don't depend on each other; if not, it is only tried."""
    is_thread: bool = False
    """Whether iterations are the threads of blocks, which may wait for each other."""
    of_all: dict[tuple[tuple[int, ...], int], Integers] = field(init=False, default_factory=dict)
    """The stamps of all lanes of a shape that stand so many times: most accesses ask for them."""

    @property
    def lowest(self) -> int:
        """The lowest stamp of any iteration."""
        return self.first if isinstance(self.first, int) else int(self.first.min())

    def renew(self, first: int, where: Flags | None) -> None:
        """Give the iterations new stamps from `first` on; only some of them, if told where."""
        self.of_all = {}
        stamps, several = self.stamps - self.first + first, self.several - self.first + first
        if where is None:
            self.first = first
            self.several = several if isinstance(several, int) else int(several.max())
            self.stamps = stamps
        else:
            self.first = np.where(where, first, self.first)
            self.several = np.where(where, several, self.several)
            self.stamps = np.where(where, stamps, self.stamps)


@dataclass(frozen=True, slots=True)
class Race:
    """Two iterations of a level that depend on each other."""

    level: Level
    lane: int
    """The number among the lanes of the access that was found to be one."""
    other: int | None
    """The iteration of the loop that the other one is, if it is one that can be told."""


@dataclass(slots=True, eq=False)
class _Cells:
    """Last writer and reader of each cell, by stamp; and the greatest stamp that each table holds."""

    writer: Integers
    reader: Integers
    last_writer: int = 0
    last_reader: int = 0


@dataclass(slots=True, eq=False)
class Memory:
    """Cells that one or more buffers share. Without `is_tracked` nothing writes them, so nothing has to be known."""

    cells: int
    is_tracked: bool
    levels_around: int = 0
    """How many levels each have a copy of their own, at addresses of its own."""
    tables: list[_Cells] = field(default_factory=list)
    arriving: Integers | None = None
    """Of each cell, how many copies that are under way will write it; None where none ever did."""
    leaving: Integers | None = None
    """Of each cell, how many copies that are under way read it."""
    unfenced: Integers | None = None
    """Of each cell, one more than the number of the thread that wrote it and has not shown it to tensor cores; or 0."""

    def table(self, depth: int) -> _Cells:
        """What is remembered of the level at this depth, within those that have a copy of their own."""
        inner = depth - self.levels_around
        while len(self.tables) <= inner:
            self.tables.append(_Cells(np.zeros(self.cells, np.int64), np.zeros(self.cells, np.int64)))
        return self.tables[inner]


@dataclass(slots=True, eq=False)
class View:
    """A buffer in a memory."""

    data: Array
    """Its elements, flat; all copies of it one after the other."""
    size: int | Integers
    """Elements that an index may name."""
    memory: Memory
    start: int | Integers = 0
    """Position of each iteration's copy in `data`."""
    first_cell: int = 0
    cells_each: int = 1
    written: Flags | None = None
    """[elements, parts]: which bytes or elements hold a value; None where all do."""

    def find_unwritten(self, positions: Integers) -> int | None:
        """The number of the first of these positions whose element nothing has written; None if there is none."""
        if self.written is None:
            return None
        holds = self.written[positions].all(axis=1)
        return None if holds.all() else int(np.argmin(holds))

    def note_read(self, positions: Integers, levels: Sequence[Level], lanes: Lanes) -> Race | None:
        """Note that lanes read the elements at these positions; the race that this is, if it is one."""
        memory = self.memory
        if not memory.is_tracked or memory.levels_around == len(levels):
            return None
        cells = self._cells(positions)
        for depth in range(memory.levels_around, len(levels)):
            level = levels[depth]
            stamps, first = self._stamps(level, lanes), self._of_lanes(level.first, lanes)
            several = self._of_lanes(level.several, lanes)
            table, lowest = memory.table(depth), level.lowest
            if table.last_writer >= lowest:
                writer = table.writer[cells]
                wrong = (writer >= first) & (writer != stamps)
                if wrong.any():
                    return self._race(level, wrong, writer)
            if table.last_reader >= lowest:
                reader = table.reader[cells]
                stamps = np.where((reader >= first) & (reader != stamps), several, stamps)
            table.reader[cells] = stamps
            table.last_reader = max(table.last_reader, int(np.max(level.several)))
            mixed = table.reader[cells] != stamps
            if mixed.any():
                table.reader[cells[mixed]] = several if isinstance(several, int) else several[mixed]
        return None

    def note_write(self, positions: Integers, levels: Sequence[Level], lanes: Lanes) -> Race | None:
        """Note that lanes write the elements at these positions; the race that this is, if it is one."""
        memory = self.memory
        if memory.levels_around == len(levels):
            return None
        cells = self._cells(positions)
        for depth in range(memory.levels_around, len(levels)):
            level = levels[depth]
            stamps, first = self._stamps(level, lanes), self._of_lanes(level.first, lanes)
            table, lowest = memory.table(depth), level.lowest
            for last, before in ((table.last_writer, table.writer), (table.last_reader, table.reader)):
                if last >= lowest:
                    found = before[cells]
                    wrong = (found >= first) & (found != stamps)
                    if wrong.any():
                        return self._race(level, wrong, found)
            table.writer[cells] = stamps
            table.last_writer = max(table.last_writer, int(np.max(level.several)))
            found = table.writer[cells]
            wrong = found != stamps
            if wrong.any():
                return self._race(level, wrong, found)
        return None

    def note_copy(self, positions: Integers, change: int, *, is_source: bool) -> None:
        """Note that a copy into the elements at these positions, or out of them, begins (1) or ends (-1)."""
        memory = self.memory
        counts = memory.leaving if is_source else memory.arriving
        if counts is None:
            counts = np.zeros(memory.cells, np.int64)
            if is_source:
                memory.leaving = counts
            else:
                memory.arriving = counts
        cells = self._cells(positions)
        if is_source:
            np.add.at(counts, cells, change)
        else:
            counts[cells] += change  # two copies into the same element are a race

    def find_copied(self, positions: Integers, *, is_source: bool) -> int | None:
        """The number of the first of these positions whose element a copy under way reads or will write, if any."""
        counts = self.memory.leaving if is_source else self.memory.arriving
        if counts is None:
            return None
        copied = counts[self._cells(positions)] > 0
        return int(np.argmax(copied)) // self.cells_each if copied.any() else None

    def _race(self, level: Level, wrong: Flags, others: Integers) -> Race:
        place = int(np.argmax(wrong))
        other: int | None = None
        if isinstance(level.first, int) and level.extent and int(others[place]) != level.several:
            other = (int(others[place]) - level.first) % level.extent
        return Race(level, place // self.cells_each, other)

    def _cells(self, positions: Integers) -> Integers:
        if self.cells_each == 1:
            return positions + self.first_cell if self.first_cell else positions
        cells = self.first_cell + positions * self.cells_each
        return (cells[:, None] + np.arange(self.cells_each)).reshape(-1)

    def _stamps(self, level: Level, lanes: Lanes) -> Any:
        """The stamp of each lane, for each cell."""
        if lanes.mask is not None:
            return self._of_lanes(level.stamps, lanes)
        key = (lanes.shape, lanes.times * self.cells_each)
        known = level.of_all.get(key)
        if known is None:
            known = level.of_all[key] = self._of_lanes(level.stamps, lanes)
        return known

    def _of_lanes(self, stamps: Integers | int, lanes: Lanes) -> Any:
        """Stamps of the lanes, one for each cell; one number where they all have the same."""
        if isinstance(stamps, int):
            return stamps
        selected = lanes.select(stamps)
        return np.repeat(selected, self.cells_each) if self.cells_each > 1 else selected


@dataclass(frozen=True, slots=True, eq=False)
class Lanes:
    """The lanes that take part in an access: all of a shape, or those of a mask of that shape.

    Each stands `times` times, one after the other, where it touches so many elements.
    """

    shape: tuple[int, ...]
    mask: Flags | None
    times: int = 1

    def select(self, values: Array | int) -> Array:
        """The values of these lanes, one after the other."""
        whole = np.broadcast_to(values, self.shape)
        selected = whole.reshape(-1) if self.mask is None else whole[self.mask]
        return selected if self.times == 1 else np.repeat(selected, self.times)
