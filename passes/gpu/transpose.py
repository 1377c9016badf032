"""Transposed elements on a GPU: tiles go through shared memory, so that both sides touch neighbours.

In: a nest over elements in which a result's neighbours are read from places far apart, while the neighbours of what is
read lie along another loop. Out: a grid whose blocks take tiles of 32 by 32 along those two loops. The threads of a
warp read along the one and, when all of the tile is there, go on along the other.

    parallel i < 1000 { parallel j < 800 { y[800*i + j] = x[i + 1000*j] } }
    block { shared tile[32*33];  x[...i + t % 32...] -> tile;  barrier;  tile -> y[...j + t % 32...] }
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Final

from graphc.ir.dim import (
    Quotient,
    Remainder,
    Size,
    Symbol,
    bounds,
    is_at_most,
    linear,
    product,
    quotient,
    remainder,
    substitute,
)
from graphc.ir.polynomial import terms_of
from graphc.kernel.gpu import STATIC_SHARED_BYTES, GpuTarget
from graphc.kernel.ir import (
    Allocate,
    Apply,
    Bind,
    Buffer,
    Check,
    Load,
    LoopKind,
    Operand,
    Position,
    Space,
    Statement,
    Store,
)
from graphc.ops.indices import split_index
from graphc.passes.gpu.build import Nest, find_nest, finish
from graphc.passes.gpu.writer import Copier, Names, Writer
from graphc.passes.lower import KernelCall

SIDE: Final = 32
"""Rows and columns of a tile: a warp's threads, neighbours on either side."""
THREADS: Final = 256
SHORT: Final = 8
"""Elements along a side that fill no tile: caches see to so few."""
SMALL: Final = 1 << 13
"""Elements that caches hold."""
NEAR: Final = (1, 2, 3, 4)
"""Places between elements that still share what memory is read in."""


def schedule_transpose(call: KernelCall, target: GpuTarget) -> tuple[KernelCall, ...] | None:
    """A kernel that reads along one loop and writes along another; None for another one."""
    nest = find_nest(call.kernel)
    if nest is None or len(nest.loops) < 2 or is_at_most(nest.count, SMALL):
        return None
    code = [s for each in nest.between for s in each]
    if not all(isinstance(s, Apply | Position | Bind | Load | Store | Check) for s in code):
        return None
    if any(isinstance(s, Store) for each in nest.between[:-1] for s in each):
        return None
    names = Names(call.kernel)
    axes = _Axes.of(nest, names)
    across = axes.find_across()
    if across is None:
        return None
    crossing = axes.crossing(across)
    tiles = {
        load: Buffer(f"tile{i}", load.buffer.dtype, SIDE * _pitch(load.buffer), Space.SHARED)
        for i, load in enumerate(crossing)
    }
    size = sum(tile.size * tile.dtype.itemsize for tile in tiles.values() if isinstance(tile.size, int))
    slices = {load: _slice(load, code) for load in crossing}
    if size > STATIC_SHARED_BYTES or any(each is None for each in slices.values()):
        return None
    writer = Writer(names, list(nest.hoisted))
    _write(writer, nest, axes, across, tiles, {load: each for load, each in slices.items() if each is not None})
    return (finish(call, tuple(writer.statements)),)


def _pitch(buffer: Buffer) -> int:
    """Elements from one row of a tile to the next: an odd number of words, so that a column lies in all the banks."""
    return SIDE + max(1, 4 // buffer.dtype.itemsize)


@dataclass(slots=True)
class _Axes:
    """The loops of a nest, taken apart where an index divides by what they run over, and joined where none does."""

    extents: dict[Symbol, Size]
    """Of the axes, from the outermost to the innermost."""
    places: dict[str, Size]
    """What the symbols of the nest's loops are, by name."""
    indices: list[Size]
    """All index expressions, in symbols of axes."""
    loads: dict[Load, Size] = field(default_factory=dict)
    """Loads with a place that no other value decides."""

    @classmethod
    def of(cls, nest: Nest, names: Names) -> _Axes:
        """The axes of a nest."""
        code = [s for each in nest.between for s in each]
        indices = [s.index for s in code if isinstance(s, Load | Store | Position)]
        indices += [s.extent for s in code if isinstance(s, Bind)]
        symbols = {loop.symbol: loop.extent for loop in nest.loops}
        axes = cls(symbols, {s.name: s.size for s in symbols}, indices)
        axes._take_apart(names)
        axes._join(names)
        bound = {s.symbol.name for s in code if isinstance(s, Bind)}
        for load in code:
            if isinstance(load, Load) and all(linear(load.index, name) == (load.index, 0) for name in bound):
                axes.loads[load] = substitute(load.index, axes.places)
        return axes

    def find_across(self) -> Symbol | None:
        """The axis along which most elements are read that lie far apart along the innermost axis."""
        *others, innermost = self.extents
        if bounds(self.extents[innermost])[1] <= SHORT:
            return None
        best = max(others, key=self._gain, default=None)
        return best if best is not None and self._gain(best) > 0 else None

    def _gain(self, axis: Symbol) -> int:
        is_long = bounds(self.extents[axis])[1] > SHORT
        return sum(load.buffer.dtype.itemsize for load in self.crossing(axis)) if is_long else 0

    def crossing(self, axis: Symbol) -> list[Load]:
        """The loads of elements that are near each other along the axis, and far apart along the innermost one."""
        innermost = list(self.extents)[-1]
        found = []
        for load, index in self.loads.items():
            near, far = linear(index, axis.name), linear(index, innermost.name)
            if near is not None and far is not None and near[1] in NEAR and far[1] not in (0, *NEAR):
                found.append(load)
        return found

    def _replace(self, old: list[Symbol], new: dict[Symbol, Size], values: dict[str, Size]) -> None:
        extents: dict[Symbol, Size] = {}
        for symbol, extent in self.extents.items():
            if symbol is old[0]:
                extents.update(new)
            elif symbol not in old:
                extents[symbol] = extent
        self.extents = extents
        self.places = {name: substitute(place, values) for name, place in self.places.items()}
        self.indices = [substitute(index, values) for index in self.indices]

    def _take_apart(self, names: Names) -> None:
        """Split each axis by what it is divided by, the least first."""
        pending = list(self.extents)
        while pending:
            symbol = pending.pop()
            extent = self.extents[symbol]
            divisors = {d for index in self.indices for d in _divisors(index, symbol)}
            fitting = [d for d in divisors if remainder(extent, d) == 0 and d not in (1, extent)]
            divisor = next((d for d in fitting if all(is_at_most(d, other) for other in fitting)), None)
            if divisor is None:
                continue
            outer = names.symbol(symbol.name, quotient(extent, divisor) - 1)
            inner = names.symbol(symbol.name, divisor - 1)
            self._replace(
                [symbol],
                {outer: quotient(extent, divisor), inner: divisor},
                {symbol.name: outer.size * divisor + inner.size},
            )
            pending += [outer, inner]

    def _join(self, names: Names) -> None:
        """Make one axis of two that lie one inside the other in every index."""
        position = len(self.extents) - 2
        while position >= 0:
            outer, inner = list(self.extents)[position : position + 2]
            extent = self.extents[inner]
            if all(_runs_on(index, outer, inner, extent) for index in self.indices):
                joined = names.symbol(inner.name, self.extents[outer] * extent - 1)
                self._replace(
                    [outer, inner],
                    {joined: self.extents[outer] * extent},
                    {outer.name: 0, inner.name: joined.size},
                )
            position -= 1


def _divisors(size: Size, symbol: Symbol) -> Iterator[Size]:
    """What the symbol itself is divided by in an expression."""
    pending = [size]
    while pending:
        for monomial, _ in terms_of(pending.pop()):
            for atom in monomial:
                if isinstance(atom, Quotient | Remainder):
                    if atom.dividend == symbol.size:
                        yield atom.divisor
                    pending.append(atom.dividend)


def _runs_on(index: Size, outer: Symbol, inner: Symbol, extent: Size) -> bool:
    """Whether a step of the outer axis is as far as all steps of the inner one."""
    parts = linear(index, inner.name)
    rest = None if parts is None else linear(parts[0], outer.name)
    if parts is None or rest is None:
        return False
    return linear(parts[1], outer.name) == (parts[1], 0) and rest[1] == parts[1] * extent


def _slice(load: Load, code: list[Statement]) -> list[Statement] | None:
    """The code of the load's predicate, if that is made of positions alone."""
    wanted: set[Operand | None] = {load.predicate}
    found: list[Statement] = []
    for statement in reversed(code[: code.index(load)]):
        if isinstance(statement, Apply | Position) and statement.out in wanted:
            found.append(statement)
            wanted.update(statement.operands if isinstance(statement, Apply) else ())
        elif isinstance(statement, Load) and statement.out in wanted:
            return None
    return found[::-1]


def _write(
    writer: Writer,
    nest: Nest,
    axes: _Axes,
    across: Symbol,
    tiles: dict[Load, Buffer],
    slices: dict[Load, list[Statement]],
) -> None:
    along = list(axes.extents)[-1]
    rest = [symbol for symbol in axes.extents if symbol not in (along, across)]
    height, width = axes.extents[across], axes.extents[along]
    counts = (
        *(axes.extents[symbol] for symbol in rest),
        quotient(height + (SIDE - 1), SIDE),
        quotient(width + (SIDE - 1), SIDE),
    )
    is_whole = remainder(height, SIDE) == 0 and remainder(width, SIDE) == 0
    moved = {load: Buffer("moved", load.buffer.dtype, 1, Space.LOCAL) for load in tiles}
    body = replace(nest, between=tuple(tuple(_moved(s, moved) for s in each) for each in nest.between))

    with writer.loop("b", product(counts), LoopKind.BLOCK) as block:
        for tile in tiles.values():
            writer.add(Allocate(tile))
        *outer, row, column = split_index(block, counts)
        values = {symbol.name: place for symbol, place in zip(rest, outer, strict=True)}

        def indices(down: Size, right: Size) -> tuple[Size, ...]:
            here = {**values, across.name: row * SIDE + down, along.name: column * SIDE + right}
            return tuple(substitute(axes.places[loop.symbol.name], here) for loop in nest.loops)

        def is_inside(down: Size, right: Size) -> Operand | None:
            if is_whole:
                return None
            return writer.both(
                writer.is_below(row * SIDE + down, height), writer.is_below(column * SIDE + right, width)
            )

        with writer.loop("t", THREADS, LoopKind.THREAD) as thread:
            lane, warp = remainder(thread, SIDE), quotient(thread, SIDE)
            steps = [warp + step for step in range(0, SIDE, THREADS // SIDE)]
            loaded = []
            for step in steps:
                here = is_inside(lane, step)
                places = zip((loop.symbol.name for loop in nest.loops), indices(lane, step), strict=True)
                copier = Copier(writer, sizes=dict(places))
                for load, tile in tiles.items():
                    copier.copy(slices[load])
                    wanted = None if load.predicate is None else copier.operand(load.predicate)
                    value = writer.load(load.buffer, copier.size(load.index), writer.both(here, wanted))
                    loaded.append((tile, step * _pitch(tile) + lane, value))
            for tile, index, value in loaded:
                writer.store(tile, index, value)
            writer.barrier()
            for step in steps:
                with writer.when(is_inside(step, lane)):
                    places_of = {moved[load]: (tile, lane * _pitch(tile) + step) for load, tile in tiles.items()}
                    body.write(Copier(writer, places=places_of), indices(step, lane))


def _moved(statement: Statement, moved: dict[Load, Buffer]) -> Statement:
    if isinstance(statement, Load) and statement in moved:
        return replace(statement, buffer=moved[statement], index=0)
    return statement
