"""What an interpreted kernel computes with and touches: operands, indices, elements of buffers.

Level: below `graphc.kernel.machine`, which runs statements. In: loads and stores of many iterations at once. Out: their
elements, or the fault that one of them is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from graphc.ir.dim import Size, symbols
from graphc.kernel.fault import CopyFault, KernelFault, OutOfBounds, RaceFault, UnwrittenRead
from graphc.kernel.index import Index, index_function
from graphc.kernel.ir import Buffer, Kernel, Load, Operand, Statement, Store, Value
from graphc.kernel.text import statement_text
from graphc.kernel.track import Flags, Integers, Lanes, Level, Memory, Race, View

Array: TypeAlias = npt.NDArray[Any]


class Dependence(Exception):
    """The iterations of a serial loop that was tried at once depend on each other."""

    def __init__(self, level: Level) -> None:
        self.level = level


@dataclass(frozen=True, slots=True, eq=False)
class Nest:
    """The iterations that run at once: an axis per loop, the innermost first."""

    shape: tuple[int, ...]
    mask: Flags | None
    """Which of them are active; None: all."""
    levels: tuple[Level, ...]

    @property
    def count(self) -> int:
        """How many there are."""
        return prod(self.shape)

    @property
    def numbers(self) -> Index:
        """The number of each, from 0."""
        return np.arange(self.count).reshape(self.shape) if self.shape else 0

    def within(self, condition: Array | bool | None) -> Nest:
        """Those of them for which the condition holds."""
        if condition is None or condition is True:
            return self
        mask = np.asarray(condition) if self.mask is None else self.mask & condition
        return Nest(self.shape, mask, self.levels)

    def active(self, predicate: Array | None) -> Flags | None:
        """Which iterations take part where the predicate holds; None: all."""
        if predicate is None:
            return self.mask
        return predicate if self.mask is None else self.mask & predicate

    def lanes(self, active: Flags | None) -> Lanes:
        """The active ones, for selecting from arrays."""
        return Lanes(self.shape, None if active is None else np.broadcast_to(active, self.shape))


class Access:
    """The values, symbols and memory of a run."""

    def __init__(self, kernel: Kernel, views: Mapping[Buffer, View], sizes: Mapping[str, int]) -> None:
        self.kernel = kernel
        self.views = dict(views)
        self.symbols: dict[str, Index] = dict(sizes)
        self.values: dict[Value, Array] = {}
        self.literals: dict[int, Array] = {}
        """By identity: literals of nans that differ in their bits are equal."""
        self.stamp = 1

    def reserve(self, count: int) -> int:
        """The first of so many stamps that nobody has."""
        self.stamp += count
        return self.stamp - count

    def operand(self, operand: Operand) -> Array:
        """The numbers of an operand, which broadcast over the nest."""
        if isinstance(operand, Value):
            return self.values[operand]
        number = self.literals.get(id(operand))
        if number is None:
            number = self.literals[id(operand)] = np.asarray(operand.value).astype(operand.dtype.numpy)
        return number

    def index(self, size: Size) -> Index:
        """The value of an expression."""
        return size if isinstance(size, int) else index_function(size)(self.symbols)

    def load(self, statement: Load, nest: Nest) -> Array:
        """The elements; 0 where the predicate fails."""
        view = self.views[statement.buffer]
        predicate = None if statement.predicate is None else self.operand(statement.predicate)
        active = nest.active(predicate)
        if not nest.shape:
            return self.load_one(statement, view, active is None or bool(active), nest)
        index = self.in_range(statement, statement.index, view, active, nest)
        if len(view.data) == 0:
            return np.zeros((), view.data.dtype)
        if view.memory.is_tracked or view.written is not None:
            lanes = nest.lanes(active)
            self.note_read(view, lanes.select(index + view.start), lanes, statement, nest.levels)
        value = view.data[index + view.start]
        return np.asarray(value if predicate is None else np.where(predicate, value, np.zeros((), value.dtype)))

    def store(self, statement: Store, nest: Nest) -> None:
        """Write the elements where the predicate holds."""
        view = self.views[statement.buffer]
        active = nest.active(None if statement.predicate is None else self.operand(statement.predicate))
        if not nest.shape and (active is None or active):
            position = self.in_range(statement, statement.index, view, None, nest) + view.start
            view.data[position] = self.operand(statement.operand)
            if view.written is not None:
                view.written[position] = True
            return
        index = self.in_range(statement, statement.index, view, active, nest)
        lanes = nest.lanes(active)
        positions = lanes.select(index + view.start)
        self.note_write(view, positions, lanes, statement, nest.levels)
        self.put(view, positions, lanes.select(self.operand(statement.operand)))

    def load_one(self, statement: Load, view: View, is_active: bool, nest: Nest) -> Array:
        """The element outside of all that runs at once: nothing can race."""
        if not is_active:
            return np.zeros((), view.data.dtype)
        position = self.in_range(statement, statement.index, view, None, nest) + view.start
        if view.written is not None and not view.written[position].all():
            raise self.unwritten(statement, nest.lanes(None), 0, nest.levels)
        return np.asarray(view.data[position])

    def put(self, view: View, positions: Integers, values: Array) -> None:
        """Write elements, which hold a value from here on."""
        view.data[positions] = values
        if view.written is not None:
            view.written[positions] = True

    def in_range(
        self, statement: Statement, size: Size, view: View, active: Flags | None, nest: Nest, count: int = 1
    ) -> Index:
        """The index of the first of `count` elements; an error if an active iteration's are not all elements.

        It is 0 where an inactive iteration's are not.
        """
        index = self.index(size)
        if isinstance(index, int) and isinstance(view.size, int) and 0 <= index <= view.size - count:
            return index
        beyond = np.asarray((index < 0) | (index > view.size - count))
        if not beyond.any():
            return index
        wrong = beyond if active is None else beyond & active
        if wrong.any():
            lanes = nest.lanes(wrong)
            place = self.place(lanes, 0, nest.levels, size)
            element, limit = lanes.select(index)[0], lanes.select(view.size)[0]
            if element >= 0:
                element += count - 1
            raise OutOfBounds(f"{self.told(statement)} names element {element} of {limit}{place}")
        return np.where(beyond, 0, index)

    def allocate(self, buffer: Buffer, nest: Nest) -> None:
        """Scratch: each iteration has its own."""
        size = self.index(buffer.size)
        most = max(0, int(np.max(size)))
        total = most * nest.count
        memory = Memory(total, is_tracked=True, levels_around=len(nest.levels))
        written = np.zeros((total, 1), np.bool_)
        self.views[buffer] = View(
            np.zeros(total, buffer.dtype.numpy), size, memory, nest.numbers * most, written=written
        )

    # Faults

    def note_read(
        self, view: View, positions: Integers, lanes: Lanes, statement: Statement, levels: Sequence[Level]
    ) -> None:
        """Note that lanes read elements; raises what is wrong with it."""
        if not len(positions):
            return
        copied = view.find_copied(positions, is_source=False)
        if copied is not None:
            place = self.place(lanes, copied, levels)
            raise CopyFault(f"{self.told(statement)} reads an element that something under way will write{place}")
        unwritten = view.find_unwritten(positions)
        if unwritten is not None:
            raise self.unwritten(statement, lanes, unwritten, levels)
        self.judge(view.note_read(positions, levels, lanes), lanes, statement, levels, is_write=False)

    def note_write(
        self, view: View, positions: Integers, lanes: Lanes, statement: Statement, levels: Sequence[Level]
    ) -> None:
        """Note that lanes write elements; raises what is wrong with it."""
        if not len(positions):
            return
        for is_source, does in ((False, "will write"), (True, "reads")):
            copied = view.find_copied(positions, is_source=is_source)
            if copied is not None:
                place = self.place(lanes, copied, levels)
                raise CopyFault(f"{self.told(statement)} writes an element that something under way {does}{place}")
        self.judge(view.note_write(positions, levels, lanes), lanes, statement, levels, is_write=True)

    def judge(
        self, race: Race | None, lanes: Lanes, statement: Statement, levels: Sequence[Level], *, is_write: bool
    ) -> None:
        """Raise what it means that iterations of a level depend on each other."""
        if race is None:
            return
        level = race.level
        if not level.is_promised:
            raise Dependence(level)
        verb, other = ("writes", "reads or writes") if is_write else ("reads", "writes")
        found = f"{verb} an element that another iteration of {level.name} {other}"
        found += " with no barrier between" if level.is_thread else ""
        which = "" if race.other is None else f"; the other one is {level.name} = {race.other}"
        raise RaceFault(f"{self.told(statement)} {found}{self.place(lanes, race.lane, levels)}{which}")

    def unwritten(self, statement: Statement, lanes: Lanes, number: int, levels: Sequence[Level]) -> KernelFault:
        """The error that one of the lanes reads what nothing has written."""
        index = statement.index if isinstance(statement, Load) else 0
        place = self.place(lanes, number, levels, index)
        return UnwrittenRead(f"{self.told(statement)} reads an element that nothing has written{place}")

    def told(self, statement: Statement) -> str:
        """The statement, for messages."""
        return f"kernel {self.kernel.name}: `{statement_text(self.kernel, statement)}`"

    def place(self, lanes: Lanes, number: int, levels: Sequence[Level], index: Size = 0) -> str:
        """The values of an index's symbols, and of the loops', in one of the lanes, for messages."""
        names = [symbol.name for symbol in symbols(index)]
        names += [level.name for level in levels if level.extent and level.name not in names]
        values = [f"{name} = {lanes.select(self.symbols[name])[number]}" for name in names]
        return f" at {', '.join(values)}" if values else ""
