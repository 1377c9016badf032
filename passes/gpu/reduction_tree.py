"""The fixed tree of a reduction, cut up among the threads that work on it.

In: a combiner, and who holds which of the 64 accumulators. Out: statements that give the bits that `Reduce` gives (see
`graphc.kernel.ir`).

A team of `lanes` neighbouring threads of a warp holds the accumulators so that neighbours hold neighbours: accumulator
`width * (lanes * group + lane) + place` is in thread `lane`, of its groups in `group`, and there at `place`. Halving
the accumulators then first pairs groups, then threads (by shuffles), and at last places.

    64 accumulators, 16 lanes, width 4:  lane 3 holds those of the elements 12..15, 76..79, 140..143, ...
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

from graphc.ir.dim import Size, bounds, is_at_least
from graphc.ir.dtype import DType, i32, i64
from graphc.kernel.fold import COMBINERS, identity
from graphc.kernel.ir import LANES, Buffer, Literal, LoopKind, Operand, Reduce
from graphc.passes.gpu.writer import Writer

Parts: TypeAlias = "tuple[Operand, ...]"
"""An accumulator's value; of argmax and argmin the extreme and its place."""

_INT32_PLACES: Final = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Combiner:
    """What a reduction combines, and how places are counted where it wants one."""

    name: str
    dtype: DType
    place_dtype: DType = i64

    @classmethod
    def of(cls, reduce: Reduce, extent: Size) -> Combiner:
        """The combiner of a reduction over so many elements."""
        is_narrow = bounds(extent)[1] < _INT32_PLACES and is_at_least(extent, 1)
        return cls(reduce.combiner, reduce.element.dtype, i32 if is_narrow else i64)

    @property
    def is_arg(self) -> bool:
        """Whether the place of the extreme is wanted."""
        return self.name.startswith("arg")

    @property
    def is_free(self) -> bool:
        """Whether any order gives the same bits: sums and products round, unless they are of integers."""
        return self.name not in ("sum", "prod") or not self.dtype.is_floating_point

    @property
    def dtypes(self) -> tuple[DType, ...]:
        """Of an accumulator's parts."""
        return (self.dtype, self.place_dtype) if self.is_arg else (self.dtype,)

    def identity(self) -> Parts:
        """What an accumulator holds first; no place is further than that of argmax's."""
        kind = self.name.removeprefix("arg")
        value = identity(kind, self.dtype)
        element = Literal(float(value) if self.dtype.is_floating_point else value, self.dtype)
        if self.dtype.name == "bool":
            element = Literal(bool(value), self.dtype)
        return (element, Literal(2 ** (self.place_dtype.bits - 1) - 1, self.place_dtype)) if self.is_arg else (element,)

    def element(self, writer: Writer, element: Operand, index: Size) -> Parts:
        """An element as an accumulator of its own."""
        return (element, writer.position(index, self.place_dtype)) if self.is_arg else (element,)

    def combine(self, writer: Writer, own: Parts, other: Parts) -> Parts:
        """What an accumulator holds that has taken in another one."""
        if self.is_arg:
            return self.select(writer, self._is_better(writer, own, other), other, own)
        return (writer.apply(COMBINERS[self.name], own[0], other[0]),)

    def select(self, writer: Writer, condition: Operand | None, a: Parts, b: Parts) -> Parts:
        """`a` where the condition holds or there is none, else `b`."""
        if condition is None:
            return a
        return tuple(writer.apply("select", condition, x, y) for x, y in zip(a, b))

    def result(self, writer: Writer, parts: Parts) -> Operand:
        """The reduction's value."""
        if not self.is_arg:
            return parts[0]
        return parts[1] if self.place_dtype is i64 else writer.apply("cast", parts[1], dtype=i64)

    def _is_better(self, writer: Writer, own: Parts, other: Parts) -> Operand:
        """Whether the other one is more extreme; among equals, and among nans, the first one is."""
        wins: Operand = writer.apply("gt" if self.name == "argmax" else "lt", other[0], own[0])
        ties: Operand = writer.apply("eq", other[0], own[0])
        if self.dtype.is_floating_point:
            own_nan, other_nan = writer.apply("ne", own[0], own[0]), writer.apply("ne", other[0], other[0])
            both = writer.apply("bitwise_and", own_nan, other_nan)
            wins = writer.apply("bitwise_or", wins, writer.apply("bitwise_xor", other_nan, both))
            ties = writer.apply("bitwise_or", ties, both)
        is_earlier = writer.apply("lt", other[1], own[1])
        return writer.apply("bitwise_or", wins, writer.apply("bitwise_and", ties, is_earlier))


@dataclass(frozen=True, slots=True)
class Layout:
    """How a team holds the accumulators: `lanes` threads, in each of them groups of `width` neighbours."""

    lanes: int
    width: int

    @property
    def most_groups(self) -> int:
        """Groups of a thread where all accumulators are in use."""
        return LANES // (self.lanes * self.width)

    def groups(self, extent: Size) -> int:
        """Groups that a reduction of so many elements needs: the accumulators beyond hold the identity."""
        return max(1, min(self.most_groups, -(-bounds(extent)[1] // (self.lanes * self.width))))


class Accumulators:
    """The accumulators of one thread, in registers."""

    def __init__(self, writer: Writer, combiner: Combiner, layout: Layout, groups: int) -> None:
        self.writer, self.combiner, self.layout, self.groups = writer, combiner, layout, groups
        count = groups * layout.width
        self.buffers: tuple[Buffer, ...] = tuple(
            writer.registers(hint, dtype, count) for hint, dtype in zip(("held", "place"), combiner.dtypes)
        )
        for buffer, value in zip(self.buffers, combiner.identity()):
            with writer.loop("a", count, LoopKind.UNROLLED) as place:
                writer.store(buffer, place, value)

    def take(self, place: Size, element: Parts, predicate: Operand | None = None) -> None:
        """Accumulator `place` of this thread takes in an element where the predicate holds."""
        own = self.parts(place)
        new = self.combiner.combine(self.writer, own, element)
        for buffer, value in zip(self.buffers, self.combiner.select(self.writer, predicate, new, own)):
            self.writer.store(buffer, place, value)

    def parts(self, place: Size) -> Parts:
        """An accumulator's value."""
        return tuple(self.writer.load(buffer, place) for buffer in self.buffers)

    def all_parts(self) -> list[Parts]:
        """The values of all that this thread holds."""
        return [self.parts(place) for place in range(self.groups * self.layout.width)]

    def total(self) -> Parts:
        """The tree's value, in all threads of the team, all of which come here."""
        return tree(self.writer, self.combiner, self.layout, self.all_parts())


def tree(writer: Writer, combiner: Combiner, layout: Layout, held: list[Parts]) -> Parts:
    """The tree over what each thread of a team holds: its groups one after the other, the missing ones identities."""
    held = within_thread(writer, combiner, layout, held)
    return halved(writer, combiner, [lanes_total(writer, combiner, layout.lanes, parts) for parts in held])


def lanes_total(writer: Writer, combiner: Combiner, lanes: int, parts: Parts) -> Parts:
    """The levels of the tree that pair so many neighbouring threads of a warp."""
    lane = lanes // 2
    while lane:
        other = tuple(writer.shuffle(part, lane) for part in parts)
        parts = combiner.combine(writer, parts, other)
        lane //= 2
    return parts


def within_thread(writer: Writer, combiner: Combiner, layout: Layout, held: list[Parts]) -> list[Parts]:
    """The first levels of the tree, which pair accumulators of one thread; `layout.width` of them are left."""
    half = layout.most_groups // 2
    while half:
        beyond = half * layout.width
        held = [
            combiner.combine(writer, own, held[place + beyond]) if place + beyond < len(held) else own
            for place, own in enumerate(held[:beyond])
        ]
        half //= 2
    return held


def halved(writer: Writer, combiner: Combiner, held: list[Parts]) -> Parts:
    """The last levels of the tree: the first half takes in the second one until there is one left."""
    while len(held) > 1:
        half = len(held) // 2
        held = [combiner.combine(writer, own, other) for own, other in zip(held, held[half:])]
    return held[0]
