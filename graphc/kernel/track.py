"""The memory of an interpreted kernel: elements, which of them hold a value, and which iterations touched them.

Level: below `graphc.kernel.interpret`. In: the accesses of many iterations at once, as arrays of positions. Out: the
loop in which they are a race, if they are one: an iteration writes what another one reads or writes.

Iterations are told apart by stamps. Entering a loop whose iterations run at once reserves a range of numbers that no
loop had before; each iteration of it, in each iteration of the loops around that run at once, has one of them, and one
more means "several iterations". A cell remembers the stamps of its last writer and of its readers; those below the
range are of loops that ended. Cells are the units in which all buffers of a memory can be addressed, so that buffers
may overlap in it.
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


@dataclass(frozen=True, slots=True, eq=False)
class Level:
    """The iterations of one loop that run at once, nested in those of the levels around it."""

    name: str
    """The loop's symbol."""
    first: int
    """The lowest stamp of this entry into the loop."""
    several: int
    """The stamp that stands for more than one iteration."""
    stamps: Integers | int
    """Of each iteration; its axes are the last ones of the iteration space."""
    is_promised: bool
    """Whether the loop promises that its iterations don't depend on each other; if not, it is only tried."""


@dataclass(slots=True, eq=False)
class _Cells:
    """Last writer and reader of each cell, by stamp."""

    writer: Integers
    reader: Integers


@dataclass(slots=True, eq=False)
class Memory:
    """Cells that one or more buffers share. Without `is_tracked` nothing writes them, so nothing has to be known."""

    cells: int
    is_tracked: bool
    levels_around: int = 0
    """How many levels each have a copy of their own, at addresses of its own."""
    tables: list[_Cells] = field(default_factory=list)

    def table(self, depth: int) -> _Cells:
        """What is remembered of the level at this depth."""
        while len(self.tables) <= depth:
            self.tables.append(_Cells(np.zeros(self.cells, np.int64), np.zeros(self.cells, np.int64)))
        return self.tables[depth]


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

    def note_read(self, positions: Integers, levels: Sequence[Level], lanes: Lanes) -> Level | None:
        """Note that lanes read the elements at these positions; the level that this is a race in, if it is one."""
        if not self.memory.is_tracked:
            return None
        cells = self._cells(positions)
        for depth in range(self.memory.levels_around, len(levels)):
            level = levels[depth]
            stamps = self._stamps(level, lanes)
            table = self.memory.table(depth)
            writer = table.writer[cells]
            if ((writer >= level.first) & (writer != stamps)).any():
                return level
            reader = table.reader[cells]
            stamps = np.where((reader >= level.first) & (reader != stamps), level.several, stamps)
            table.reader[cells] = stamps
            mixed = table.reader[cells] != stamps
            if mixed.any():
                table.reader[cells[mixed]] = level.several
        return None

    def note_write(self, positions: Integers, levels: Sequence[Level], lanes: Lanes) -> Level | None:
        """Note that lanes write the elements at these positions; the level that this is a race in, if it is one."""
        cells = self._cells(positions)
        for depth in range(self.memory.levels_around, len(levels)):
            level = levels[depth]
            stamps = self._stamps(level, lanes)
            table = self.memory.table(depth)
            writer, reader = table.writer[cells], table.reader[cells]
            if (((writer >= level.first) & (writer != stamps)) | ((reader >= level.first) & (reader != stamps))).any():
                return level
            table.writer[cells] = stamps
            if (table.writer[cells] != stamps).any():
                return level
        if self.written is not None:
            self.written[positions] = True
        return None

    def _cells(self, positions: Integers) -> Integers:
        cells = self.first_cell + positions * self.cells_each
        if self.cells_each > 1:
            cells = (cells[:, None] + np.arange(self.cells_each)).reshape(-1)
        return cells

    def _stamps(self, level: Level, lanes: Lanes) -> Integers:
        stamps = lanes.select(level.stamps)
        return np.repeat(stamps, self.cells_each) if self.cells_each > 1 else stamps


@dataclass(frozen=True, slots=True, eq=False)
class Lanes:
    """The lanes that take part in an access: all of a shape, or those of a mask of that shape."""

    shape: tuple[int, ...]
    mask: Flags | None

    def select(self, values: Array | int) -> Array:
        """The values of these lanes, one after the other."""
        whole = np.broadcast_to(values, self.shape)
        return whole.reshape(-1) if self.mask is None else whole[self.mask]
