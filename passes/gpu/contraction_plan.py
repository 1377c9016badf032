"""What is known of a contraction before its kernel is written: its parts, its tiles, and how its factors are loaded.

In: a kernel of `lower_contraction`. Out: a `Problem` and its `Tile`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias, TypeVar

from graphc.ir.dim import Size, Symbol, bounds, evaluate, linear, product, quotient, remainder, substitute, symbols
from graphc.kernel.gpu import WARP
from graphc.kernel.ir import (
    Contract,
    Kernel,
    Load,
    Loop,
    LoopKind,
    Panel,
    Reduce,
    Statement,
    statements_in,
)

ACCESS_BYTES: Final = 16
"""What a thread reads or writes at once at most."""
SECTOR_BYTES: Final = 32
"""What memory gives at least."""
WORD_BYTES: Final = 4
"""What a register holds."""
FULL: Final = 132
"""Blocks that keep a large GPU busy."""
UNKNOWN: Final = 1024
"""What a symbol of which little is known is taken for."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A contraction with what stands around it."""

    kernel: Kernel
    before: tuple[Statement, ...]
    """In front of everything, the same for all blocks."""
    around: Loop | None
    """The loop over batch dimensions; its body ends with the contraction."""
    inside: tuple[Statement, ...]
    """What that loop has in front of the contraction."""
    contract: Contract

    @property
    def batch(self) -> Size:
        """How many contractions there are."""
        return 1 if self.around is None else self.around.extent


@dataclass(frozen=True, slots=True)
class Tile:
    """What a block computes: rows x columns of the result, `steps` products of each between two barriers.

    A thread has `height` x `width` of the results.
    """

    rows: int
    columns: int
    height: int
    width: int
    steps: int

    @property
    def across(self) -> int:
        """Threads side by side along the columns."""
        return self.columns // self.width

    @property
    def threads(self) -> int:
        """Threads of the block."""
        return self.across * (self.rows // self.height)


class Block(Protocol):
    """What tiles have in common."""

    @property
    def rows(self) -> int: ...

    @property
    def columns(self) -> int: ...


AnyTile = TypeVar("AnyTile", bound=Block)


@dataclass(frozen=True, slots=True)
class Tiles:
    """The tiles to choose from, for accumulators of some width."""

    wide: tuple[Tile, ...]
    """From the one that reads least memory to the one that gives most blocks."""
    narrow: tuple[Tile, ...]
    """For results of a few rows: what counts is to read the other factor once, and from many blocks."""

    @property
    def flat(self) -> tuple[Tile, ...]:
        """The narrow ones for results of a few columns."""
        return tuple(Tile(t.columns, t.rows, t.width, t.height, t.steps) for t in self.narrow)


TILES: Final = Tiles(
    (
        Tile(128, 128, 8, 8, 8),
        Tile(64, 128, 4, 8, 8),
        Tile(128, 64, 8, 4, 8),
        Tile(64, 64, 4, 4, 16),
        Tile(32, 32, 2, 4, 16),
        Tile(16, 32, 2, 2, 16),
    ),
    (Tile(1, 64, 1, 1, 32), Tile(4, 64, 4, 1, 32), Tile(8, 64, 8, 1, 16)),
)
LONG_TILES: Final = Tiles(
    (Tile(64, 64, 4, 4, 8), Tile(32, 32, 2, 2, 8), Tile(16, 32, 2, 2, 8)),
    (Tile(1, 64, 1, 1, 16), Tile(4, 64, 4, 1, 16), Tile(8, 64, 4, 1, 8)),
)
"""For accumulators of 8 bytes, each of which takes two registers."""


def find_contraction(kernel: Kernel) -> Problem | None:
    """The kernel's contraction, if it is what the kernel ends with."""
    if not kernel.body:
        return None
    last = kernel.body[-1]
    before = kernel.body[:-1]
    around: Loop | None = None
    inside: tuple[Statement, ...] = ()
    if isinstance(last, Loop) and last.kind is LoopKind.PARALLEL and last.body:
        around, inside, last = last, last.body[:-1], last.body[-1]
    if not isinstance(last, Contract):
        return None
    problem = Problem(kernel, before, around, inside, last)
    others = (*before, *inside)
    return None if any(isinstance(s, Contract | Loop) for s in statements_in(others)) else problem


def choose_tile(problem: Problem, chunks: int) -> Tile:
    """The tile for a problem whose depth is summed in so many chunks at once."""
    contract = problem.contract
    tiles = TILES if contract.acc.dtype.itemsize <= WORD_BYTES else LONG_TILES
    for extent, narrow in ((contract.rows, tiles.narrow), (contract.columns, tiles.flat)):
        for tile in narrow:
            if bounds(extent)[1] <= min(tile.rows, tile.columns):
                return tile
    return fitting_tile(problem, tiles.wide, chunks)


def fitting_tile(problem: Problem, tiles: Sequence[AnyTile], chunks: int) -> AnyTile:
    """The first of the tiles that gives enough blocks and isn't mostly beyond the result; the last one if none does."""
    height, width = likely(problem.contract.rows), likely(problem.contract.columns)
    for tile in tiles[:-1]:
        is_filled = 2 * height > tile.rows and 2 * width > tile.columns
        if is_filled and chunks * count_blocks(problem, tile) >= FULL:
            return tile
    return tiles[-1]


def should_split(problem: Problem, tile: Block, steps: int) -> bool:
    """Whether chunks of the depth are better summed apart: there are few results, each a long sum."""
    return may_split(problem, steps) and count_blocks(problem, tile) < FULL


def may_split(problem: Problem, steps: int) -> bool:
    """Whether there are such chunks, and their sums fewer than the elements of the factors that are read for them."""
    (_, rows), (_, columns) = (bounds(size) for size in (problem.contract.rows, problem.contract.columns))
    has_few = 2 * rows * columns <= steps * (rows + columns)
    return has_few and likely(problem.contract.depth) >= 2 * steps


def count_blocks(problem: Problem, tile: Block) -> int:
    """Blocks that the result takes, as far as is known."""
    rows, columns = likely(problem.contract.rows), likely(problem.contract.columns)
    return likely(problem.batch) * -(-rows // tile.rows) * -(-columns // tile.columns)


def likely(size: Size) -> int:
    """A number for a size of which only bounds are known."""
    low, high = bounds(size)
    if low == high:
        return low
    guesses = {}
    for symbol in symbols(size):
        least, most = bounds(symbol.size)
        guesses[symbol.name] = max(least, min(most, UNKNOWN))
    return max(low, min(high, evaluate(size, guesses)))


Axis: TypeAlias = "tuple[Symbol, Size]"
"""A symbol of the contraction and its extent."""


@dataclass(frozen=True, slots=True)
class Access:
    """How a panel's elements lie in memory.

    `runs_along_depth` says that neighbours along the depth are neighbours in memory, rather than those along the rows
    or columns; `width` how many of them one load can take at once, and `is_plain` that the panel is nothing but a load
    (perhaps of a narrower dtype than asked for).
    """

    runs_along_depth: bool
    width: int
    is_plain: bool


def find_access(kernel: Kernel, panel: Panel, cross: Axis, depth: Axis, most: int) -> Access:
    """How a panel over (cross, depth) is best read; `most` is the greatest width of interest."""
    loads = [s for s in statements_in(panel.body) if isinstance(s, Load)]
    along_depth = sum(_sectors(kernel, load, *depth) for load in loads)
    along_cross = sum(_sectors(kernel, load, *cross) for load in loads)
    runs_along_depth = along_depth < along_cross
    direction = depth if runs_along_depth else cross
    width = most
    while width > 1 and not (_is_vector(panel.body, loads, *direction, width)):
        width //= 2
    is_plain = len(panel.body) == 1 and len(loads) == 1 and loads[0].predicate is None
    return Access(runs_along_depth, width, is_plain and panel.element is loads[0].out)


def _sectors(kernel: Kernel, load: Load, symbol: Symbol, extent: Size) -> int:
    """Sectors of memory that a warp touches whose threads read neighbours along the symbol, as far as can be told."""
    count = max(1, min(WARP, likely(extent)))
    start = {s.name: likely(s.size) if s in kernel.sizes else 0 for s in symbols(load.index)}
    places = [evaluate(load.index, {**start, symbol.name: i}) * load.buffer.dtype.itemsize for i in range(count)]
    return len({place // SECTOR_BYTES for place in places}) * WARP // count


def _is_vector(body: tuple[Statement, ...], loads: list[Load], symbol: Symbol, extent: Size, width: int) -> bool:
    """Whether `width` elements along the symbol, from a multiple of it on, are loaded at once."""
    if remainder(extent, width) != 0 or any(isinstance(s, Reduce) for s in body):
        return False
    whole = Symbol("whole", 0, quotient(extent, width) - 1).size * width
    is_found = False
    for load in loads:
        parts = linear(load.index, symbol.name)
        if load.predicate is not None or parts is None or parts[1] not in (0, 1):
            return False
        if parts[1] == 1:
            is_found = True
            start = substitute(load.index, {symbol.name: whole})
            if width * load.buffer.dtype.itemsize > ACCESS_BYTES or remainder(start, width) != 0:
                return False
    return is_found


def count_of(problem: Problem) -> Size:
    """How many results there are."""
    return product((problem.batch, problem.contract.rows, problem.contract.columns))
