"""Where every buffer lives: one arena, its size known before the run.

In: lowered and scheduled kernels. Out: a `Program`. A temporary takes a piece of the arena from the launch that writes
it to the last that reads it. Pieces are reused, and a result may take the place of an operand that dies in the same
launch where the kernel reads each element no later than it writes it there (in place). With symbolic sizes pieces are
reused where the sizes are provably enough. An output may take the memory of an input that the caller gives away for it,
if nothing reads the input after the output is written.
"""

from __future__ import annotations

import bisect
import heapq
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import cast

from graphc.ir.attribute import Array
from graphc.ir.dim import Size, is_at_most, quotient
from graphc.ir.graph import INPUT, Node
from graphc.kernel.gpu import grid_of
from graphc.kernel.ir import (
    Apply,
    Buffer,
    Choose,
    Contract,
    CopyAsync,
    HostCall,
    If,
    Kernel,
    Load,
    Loop,
    Operand,
    Reduce,
    Statement,
    Store,
    nested_bodies,
)
from graphc.kernel.program import ConstantData, Input, Launch, Memory, Output, Program, Temporary
from graphc.passes.lower import KernelCall, Lowered, Source

NO_DONATIONS: Mapping[int, int] = {}
ALIGNMENT = 64
"""Bytes: a cache line, and the widest vector."""


@dataclass(slots=True, eq=False)
class Place:
    """Bytes that are taken from launch `start` to launch `end`, by one value or by several in turn."""

    size: Size
    start: int
    end: int
    offset: Size = 0


def plan_memory(lowered: Lowered, donated: Mapping[int, int] = NO_DONATIONS) -> Program:
    """Give every buffer its memory. `donated` maps outputs to inputs whose memory they may take."""
    graph = lowered.graph
    in_place = _donations(lowered, donated)
    memories: dict[Source, Memory] = {}
    inputs = tuple(Input(i, node.tensor) for i, node in enumerate(graph.inputs))
    memories.update(zip(graph.inputs, inputs, strict=True))
    kept = [i for i in range(len(graph.outputs)) if i not in in_place]
    outputs = tuple(Output(position, graph.outputs[i].tensor) for position, i in enumerate(kept))
    memories.update(zip((lowered.outputs[i] for i in kept), outputs, strict=True))
    memories.update((lowered.outputs[i], inputs[place]) for i, place in in_place.items())
    constants: dict[Array, ConstantData] = {}
    for call in lowered.calls:
        for source in call.sources:
            if isinstance(source, Node) and source.op is not INPUT:
                value = cast("Array", source.attribute("value"))
                memories[source] = constants.setdefault(value, ConstantData(value))
    places = _places(lowered, memories)
    arena_bytes = assign_offsets(dict.fromkeys(places.values()))
    launches = []
    for call in lowered.calls:
        for buffer, source in zip(call.kernel.buffers, call.sources, strict=True):
            if source not in memories:
                memories[source] = Temporary(places[source].offset, places[source].size, buffer.dtype)
        sizes: tuple[Size, ...] = tuple(each.size for each in call.kernel.sizes)
        launches.append(Launch(call.kernel, tuple(memories[s] for s in call.sources), sizes, call.location))
    return Program(
        graph.name,
        inputs,
        outputs,
        tuple(constants.values()),
        graph.sizes,
        tuple(launches),
        arena_bytes,
        lowered.checks,
        tuple(in_place.items()),
    )


def _donations(lowered: Lowered, wanted: Mapping[int, int]) -> dict[int, int]:
    """The outputs that can take the memory of the input given away for them."""
    found: dict[int, int] = {}
    if not wanted:
        return found
    last_read = {source: time for time, call in enumerate(lowered.calls) for source in call.sources}
    first_use: dict[Source, tuple[int, KernelCall, Buffer]] = {}
    for time, call in enumerate(lowered.calls):
        for buffer, source in zip(call.kernel.buffers, call.sources, strict=True):
            first_use.setdefault(source, (time, call, buffer))
    times_given = Counter(lowered.outputs)
    for output, place in wanted.items():
        source, given = lowered.outputs[output], lowered.graph.inputs[place]
        if times_given[source] > 1 or given in lowered.outputs or isinstance(source, Node):
            continue
        if given.type != lowered.graph.outputs[output].type or place in found.values():
            continue
        if source not in first_use:
            continue
        time, call, buffer = first_use[source]
        last = last_read.get(given, -1)
        if last < time or (last == time and _can_run_in_place(call, given, buffer)):
            found[output] = place
    return found


def _places(lowered: Lowered, memories: Mapping[Source, Memory]) -> dict[Source, Place]:
    """A place for every source that has no memory yet; several share one where a kernel can run in place."""
    last_use = {source: time for time, call in enumerate(lowered.calls) for source in call.sources}
    places: dict[Source, Place] = {}
    for time, call in enumerate(lowered.calls):
        dying = [s for s in dict.fromkeys(call.sources) if s in places and last_use[s] == time]
        for buffer, source in zip(call.kernel.buffers, call.sources, strict=True):
            if source in memories or source in places:
                continue
            size = _bytes(buffer)
            for other in dying:
                if places[other].size == size and _can_run_in_place(call, other, buffer):
                    dying.remove(other)
                    places[source] = places[other]
                    places[source].end = last_use[source]
                    break
            else:
                places[source] = Place(size, time, last_use[source])
    return places


def assign_offsets(places: Iterable[Place]) -> Size:
    """Give each place its offset, best fit in order of time; returns the bytes of the arena."""
    arena = _Arena()
    slots: list[list[Place]] = []
    running: list[tuple[int, int, Place]] = []
    for count, place in enumerate(sorted(places, key=lambda p: p.start)):
        while running and running[0][0] < place.start:
            arena.release(heapq.heappop(running)[2])
        if isinstance(place.size, int):
            place.offset = arena.allocate(place.size)
            heapq.heappush(running, (place.end, count, place))
        else:
            slot = next((s for s in slots if s[-1].end < place.start and is_at_most(place.size, s[0].size)), None)
            if slot is None:
                slots.append([place])
            else:
                slot.append(place)
    end: Size = arena.end
    for slot in slots:  # behind the static part, whose end is known by now
        for place in slot:
            place.offset = end
        end = end + slot[0].size
    return end


def _bytes(buffer: Buffer) -> Size:
    return quotient(buffer.size * buffer.dtype.itemsize + (ALIGNMENT - 1), ALIGNMENT) * ALIGNMENT


def _can_run_in_place(call: KernelCall, source: Source, target: Buffer) -> bool:
    """Whether every access to both is to the same element of the same iteration, the loads in front of the store."""
    operands = [b for b, s in zip(call.kernel.buffers, call.sources, strict=True) if s == source]
    if any(b.dtype is not target.dtype for b in operands):
        return False
    if grid_of(call.kernel) is not None:
        rows = _rows(call.kernel)
        names = [rows.get(b, _Row(None, 0, b)) for b in (*operands, target)]
        if any((each.choice, each.number) != (names[-1].choice, names[-1].number) for each in names):
            return False  # other blocks may read what these write
        return _keeps_elements(call.kernel, [each.name for each in names[:-1]], names[-1].name)
    indices: set[Size] = set()
    bodies: set[int] = set()
    stored = False
    pending: list[tuple[Statement, ...]] = [call.kernel.body]
    while pending:
        body = pending.pop()
        for statement in body:
            if isinstance(statement, Contract | HostCall | CopyAsync):
                return False
            if isinstance(statement, Load) and statement.buffer in operands:
                if stored:
                    return False
                indices.add(statement.index)
                bodies.add(id(body))
            elif isinstance(statement, Store) and statement.buffer is target:
                stored = True
                indices.add(statement.index)
                bodies.add(id(body))
            elif isinstance(statement, Load) and statement.buffer is target:
                return False
            if isinstance(statement, Loop | Reduce) and stored:
                return False
            pending.extend(nested_bodies(statement))
    return len(indices) == 1 and len(bodies) == 1


def _keeps_elements(kernel: Kernel, operands: list[Buffer], target: Buffer) -> bool:
    """The same of a kernel for a GPU, whose threads take several elements at once, or one after the other at an end.

    Each body reads only elements that it stores itself, where the same predicate holds, all before the first store; and
    of two such bodies one runs where a condition holds, the other where it fails.
    """
    conditions: list[dict[Operand, bool]] = []
    opposites: dict[Operand, Operand] = {}
    pending: list[tuple[tuple[Statement, ...], dict[Operand, bool]]] = [(kernel.body, {})]
    while pending:
        body, under = pending.pop()
        loaded: set[tuple[Size, Operand | None]] = set()
        stored: set[tuple[Size, Operand | None]] = set()
        for statement in body:
            inside = under
            match statement:
                case Load(buffer=buffer) if buffer is target:
                    return False
                case Load(buffer=buffer, index=index, predicate=predicate) if buffer in operands:
                    if stored:
                        return False
                    loaded.add((index, predicate))
                case Store(buffer=buffer, index=index, predicate=predicate) if buffer is target:
                    stored.add((index, predicate))
                case CopyAsync(source=buffer) if buffer in operands:
                    return False
                case Apply(out, "bitwise_not", (operand,)):
                    opposites[out] = operand
                case Choose(buffers=names) if target not in names:
                    if _touches(statement.body, {*operands, target}):
                        return False
                    continue
                case If(condition):
                    known = opposites.get(condition, condition)
                    inside = {**under, known: known is condition}
            pending.extend((nested, inside) for nested in nested_bodies(statement))
        if not loaded <= stored:
            return False
        if stored:
            if not all(any(under.get(p, holds) != holds for p, holds in other.items()) for other in conditions):
                return False
            conditions.append(under)
    return True


@dataclass(frozen=True, slots=True)
class _Row:
    """Where a parameter stands in a choice of the kernel's, if in one."""

    choice: Choose | None
    number: int
    """Of the row."""
    name: Buffer
    """What stands for it in the body."""


@lru_cache(maxsize=4)
def _rows(kernel: Kernel) -> Mapping[Buffer, _Row]:
    """The parameters of the kernel that are chosen by number."""
    found: dict[Buffer, _Row] = {}
    pending: list[tuple[Statement, ...]] = [kernel.body]
    while pending:
        for statement in pending.pop():
            if isinstance(statement, Choose):
                for number, row in enumerate(statement.choices):
                    found.update((b, _Row(statement, number, name)) for b, name in zip(row, statement.buffers))
            pending.extend(nested_bodies(statement))
    return found


def _touches(body: tuple[Statement, ...], buffers: set[Buffer]) -> bool:
    pending = [body]
    while pending:
        for statement in pending.pop():
            if isinstance(statement, Load | Store) and statement.buffer in buffers:
                return True
            pending.extend(nested_bodies(statement))
    return False


@dataclass(slots=True)
class _Arena:
    """The static part: gaps split and merge."""

    free: list[tuple[int, int]] = field(default_factory=list)
    """(offset, size), by offset; no two touch."""
    end: int = 0

    def allocate(self, size: int) -> int:
        best = min((gap for gap in self.free if gap[1] >= size), key=lambda gap: gap[1], default=None)
        if best is None:
            is_last_free = bool(self.free) and sum(self.free[-1]) == self.end
            start = self.free.pop()[0] if is_last_free else self.end
            self.end = start + size
            return start
        self.free.remove(best)
        if best[1] > size:
            bisect.insort(self.free, (best[0] + size, best[1] - size))
        return best[0]

    def release(self, place: Place) -> None:
        assert isinstance(place.offset, int)
        assert isinstance(place.size, int)
        start, end = place.offset, place.offset + place.size
        i = bisect.bisect(self.free, (start, 0))
        if i < len(self.free) and self.free[i][0] == end:
            end += self.free.pop(i)[1]
        if i > 0 and sum(self.free[i - 1]) == start:
            start = self.free.pop(i - 1)[0]
        if end > start:
            bisect.insort(self.free, (start, end - start))
