"""Long rows that a block keeps in its shared memory, and where a row's elements lie in memory.

In: a `RowNest`. Out: the same rows, of which what several loops and reductions read is copied into shared memory first,
in the dtype that it has in memory; and what a row keeps anyway lies there, too, in the place of what is not wanted any
more. Reductions that `lower` has cut into blocks stay so where that changes bits.

What it saves. A softmax that reads a row of 50257 float32 three times and writes it once moves 804 kB a row. The rows
that a GPU works on at once (132 multiprocessors, 8 blocks each: 212 MB) are more than its second cache holds (50 MB):
all of that comes from memory. With the row in shared memory it moves 402 kB, all that a copy moves; shared memory
gives 128 bytes a cycle where memory gives a multiprocessor some 20, and the cache itself not twice that. What it costs:
a row of more than half the shared memory leaves a multiprocessor one block, which can't read a row while it computes
another one. So rows that fit twice are kept in narrow dtypes, even if an exponential is computed a second time, and a
block has as many threads as room for 1024 to 1536 on a multiprocessor asks for. Of rows that don't fit, each part is
read again from memory; to keep only a part of them would leave the slowest way to the rest.

    m = max x[row, k]      copy x[row, k] to kept[k];  m = max kept[k];  kept[k] = exp(kept[k] - m)
    e[k] = exp(x[row, k] - m);  y[row, k] = e[k] / sum e[k]              y[row, k] = kept[k] / sum kept[k]
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from graphc.ir.dim import Size, Symbol, bounds, linear, symbols
from graphc.ir.polynomial import Least
from graphc.kernel.ir import (
    BLOCK,
    Allocate,
    Buffer,
    Load,
    Loop,
    LoopKind,
    Reduce,
    Space,
    Statement,
    Store,
    Value,
    statements_in,
)
from graphc.passes.gpu.reduction_tree import Combiner
from graphc.passes.gpu.row_nest import RowNest, scratch_of, without_scratch
from graphc.passes.gpu.writer import Copier, Names, Writer

WIDEST: Final = 16
"""Elements that one access may have: a row begins less than that behind the beginning of its place in shared memory."""

Part: TypeAlias = "tuple[Buffer, Size | None]"
"""What is kept of a row: memory from some index on; what the row keeps anyway (None)."""


# Reductions in blocks


def length_of(reduce: Reduce) -> Size | None:
    """The elements of a reduction that is cut into blocks, and of which nothing else is made; None for another one."""
    (inner, *others) = reduce.body or (None,)
    if others or not isinstance(inner, Reduce) or inner.out is not reduce.element or inner.combiner != reduce.combiner:
        return None
    return _uncut(inner.extent, reduce.symbol)


def _uncut(extent: Size, block: Symbol) -> Size | None:
    """N where the extent is that of a block of N elements: the lesser of `BLOCK` and what is left."""
    if isinstance(extent, int) or len(extent.terms) != 1:
        return None
    monomial, coefficient = extent.terms[0]
    if coefficient != 1 or len(monomial) != 1 or not isinstance(monomial[0], Least):
        return None
    rest = [x for x in monomial[0].operands if x != BLOCK]
    if len(rest) != 1 or len(monomial[0].operands) != 2:
        return None
    length = rest[0] + BLOCK * block.size
    return None if block.name in _names(length) else length


def in_one(nest: RowNest, *, is_short: bool) -> RowNest:
    """The rows with reductions in one that may be combined in any order; with all, if rows are no longer than a block.

    One block's tree over the only block's result changes nothing.
    """
    body = []
    for statement in nest.body:
        if isinstance(statement, Reduce) and length_of(statement) is not None:
            if is_short or Combiner.of(statement, 1).is_free:
                statement = _flat(nest.names, statement) or statement
        body.append(statement)
    return replace(nest, body=tuple(body))


def _flat(names: Names, reduce: Reduce) -> Reduce | None:
    length, (inner,) = length_of(reduce), reduce.body
    assert isinstance(inner, Reduce)
    assert length is not None
    symbol = names.symbol(reduce.symbol.name, length - 1)
    copier = Copier(Writer(names), sizes={inner.symbol.name: symbol.size - BLOCK * reduce.symbol.size})
    copier.copy(inner.body)
    if any(reduce.symbol.name in _names(size) for s in copier.writer.statements for size in _sizes(s)):
        return None
    body = tuple(copier.writer.statements)
    return replace(reduce, symbol=symbol, extent=length, body=body, element=copier.operand(inner.element))


def _sizes(statement: Statement) -> tuple[Size, ...]:
    return tuple(getattr(statement, name) for name in ("index", "extent") if hasattr(statement, name))


def _names(size: Size) -> frozenset[str]:
    return frozenset(each.name for each in symbols(size))


# What lies along a row


@dataclass(frozen=True, slots=True)
class Along:
    """A loop or reduction over all elements of a row: `symbol` is the element's number, or `BLOCK * outer + symbol`."""

    length: Size
    symbol: Symbol
    outer: Symbol | None
    body: tuple[Statement, ...]

    def base_of(self, index: Size) -> Size | None:
        """Where the row begins, if the index is so far from there as the element's number says."""
        parts = linear(index, self.symbol.name)
        if parts is None or parts[1] != 1:
            return None
        base = parts[0] if self.outer is None else parts[0] - BLOCK * self.outer.size
        return None if self.outer is not None and self.outer.name in _names(base) else base


def along(statement: Statement) -> Along | None:
    """How the statement goes along the row; None for other statements."""
    match statement:
        case Loop(symbol, extent, _, body):
            return Along(extent, symbol, None, body)
        case Reduce(symbol=symbol, extent=extent, body=body):
            length = length_of(statement)
            if length is None:
                return Along(extent, symbol, None, body)
            (inner,) = body
            assert isinstance(inner, Reduce)
            return Along(length, inner.symbol, symbol, inner.body)
        case _:
            return None


def row_length(nest: RowNest) -> Size | None:
    """The number of elements of a row, if all loops and reductions along it go over all of them."""
    lengths = {each.length for statement in nest.body if (each := along(statement)) is not None}
    return lengths.pop() if len(lengths) == 1 else None


def row_base(nest: RowNest) -> Size | None:
    """Where a row begins in most of the memory that it alone reads and writes; None where it has none in one piece."""
    weights: dict[Size, int] = {}
    known = {nest.symbol.name, *(size.name for size in nest.kernel.sizes)}
    for statement in nest.body:
        way = along(statement)
        for each in () if way is None else way.body:
            if isinstance(each, Load | Store) and each.buffer.space is Space.GLOBAL:
                assert way is not None
                base = way.base_of(each.index)
                if base is not None and _names(base) <= known and (nest.rows == 1 or nest.symbol.name in _names(base)):
                    weights[base] = weights.get(base, 0) + each.buffer.dtype.itemsize
    return max(weights, key=lambda base: weights[base], default=None)


# Rows in shared memory


@dataclass(frozen=True, slots=True)
class Kept:
    """Rows of which a team keeps some in shared memory."""

    nest: RowNest
    shift: Symbol
    """How far behind the beginning of its place there a row begins."""
    slots: tuple[Buffer, ...]
    """The places of one team."""

    @property
    def nbytes(self) -> int:
        """What the places of a team take."""
        return sum(bounds(slot.size)[1] * slot.dtype.itemsize for slot in self.slots)


def keep_row(nest: RowNest, longest: int) -> Kept | None:
    """The rows, of `longest` elements at most, with what is wanted several times in shared memory.

    None where nothing is, or where a row keeps something that can't lie there.
    """
    length = row_length(nest)
    if length is None:
        return None
    scratch = scratch_of(nest.body) or {}
    if any(each.producer.extent != length or not _is_in_reach(nest.body, buffer) for buffer, each in scratch.items()):
        return None
    lives: dict[Part, list[int]] = {key: found for key, found in _loads(nest).items() if len(found) > 1}
    lives.update(((buffer, None), numbers) for buffer, numbers in _uses(nest.body, scratch).items())
    if not lives:
        return None
    shift = nest.names.symbol("shift", WIDEST - 1)
    places = _places(lives, (longest + WIDEST - 1 + WIDEST - 1) // WIDEST * WIDEST)
    body: list[Statement] = []
    for number, statement in enumerate(nest.body):
        for (buffer, base), numbers in lives.items():
            if base is not None and numbers[0] == number:
                symbol, out = nest.names.symbol("i", length - 1), Value(buffer.name, buffer.dtype)
                store = Store(places[buffer, base], shift.size + symbol.size, out)
                load = Load(out, buffer, base + symbol.size)
                body.append(Loop(symbol, length, LoopKind.PARALLEL, (load, store)))
        if not (isinstance(statement, Allocate) and statement.buffer in scratch):
            body.append(_in_place(statement, places, shift.size))
    return Kept(replace(nest, body=tuple(body)), shift, tuple(dict.fromkeys(places.values())))


def recomputed(nest: RowNest) -> RowNest:
    """The rows without memory of their own."""
    return without_scratch(nest, scratch_of(nest.body) or {})


def _is_in_reach(body: tuple[Statement, ...], buffer: Buffer) -> bool:
    """Whether scratch is only touched along the row, at the element's own place."""
    inside = 0
    for statement in body:
        way = along(statement)
        for each in () if way is None else way.body:
            if isinstance(each, Load | Store) and each.buffer is buffer:
                assert way is not None
                if way.base_of(each.index) != 0:
                    return False
                inside += 1
    return inside == sum(isinstance(s, Load | Store) and s.buffer is buffer for s in statements_in(body))


def _uses(body: tuple[Statement, ...], buffers: Iterable[Buffer]) -> dict[Buffer, list[int]]:
    """The numbers of the statements that touch each buffer."""
    found: dict[Buffer, list[int]] = {}
    for number, statement in enumerate(body):
        touched = {s.buffer: None for s in statements_in((statement,)) if isinstance(s, Load | Store)}
        for buffer in touched:
            if buffer in buffers:
                found.setdefault(buffer, []).append(number)
    return found


def _loads(nest: RowNest) -> dict[Part, list[int]]:
    """Where each part of memory that is a row's own is read along it: from where on, and by which statements."""
    found: dict[Part, list[int]] = {}
    known = {nest.symbol.name, *(size.name for size in nest.kernel.sizes)}
    for number, statement in enumerate(nest.body):
        way = along(statement)
        for each in () if way is None else way.body:
            if not isinstance(each, Load) or each.predicate is not None or each.buffer in nest.kernel.writes:
                continue
            assert way is not None
            base = way.base_of(each.index) if each.buffer.space is Space.GLOBAL else None
            if base is None or not _names(base) <= known or not (nest.rows == 1 or nest.symbol.name in _names(base)):
                continue
            numbers = found.setdefault((each.buffer, base), [])
            if number not in numbers:
                numbers.append(number)
    return found


def _places(lives: dict[Part, list[int]], size: int) -> dict[Part, Buffer]:
    """A place for each, in that of another one of its dtype that nothing wants any more."""
    places: dict[Part, Buffer] = {}
    ends: dict[Buffer, int] = {}
    for (buffer, base), numbers in sorted(lives.items(), key=lambda item: item[1][0]):
        # A loop may write an element in the place of the one that it reads for it; a copy comes in front of its reader.
        last = numbers[0] if base is None else numbers[0] - 1
        free = [place for place, end in ends.items() if end <= last and place.dtype is buffer.dtype]
        place = free[0] if free else Buffer(f"row{len(ends)}", buffer.dtype, size, Space.SHARED)
        places[buffer, base] = place
        ends[place] = numbers[-1]
    return places


def _in_place(statement: Statement, places: dict[Part, Buffer], shift: Size) -> Statement:
    """The statement with what is kept read and written there."""
    way = along(statement)
    if way is None:
        return statement
    assert isinstance(statement, Loop | Reduce)

    def moved(each: Statement) -> Statement:
        if not isinstance(each, Load | Store):
            return each
        base = way.base_of(each.index)
        key = (each.buffer, None if each.buffer.space is Space.LOCAL else base)
        if base is None or key not in places:
            return each
        return replace(each, buffer=places[key], index=shift + each.index - base)

    body = tuple(map(moved, way.body))
    if way.outer is None:
        return replace(statement, body=body)
    (inner,) = statement.body
    assert isinstance(inner, Reduce)
    return replace(statement, body=(replace(inner, body=body),))
