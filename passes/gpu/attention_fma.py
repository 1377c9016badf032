"""Attention by multiply-add in float32: one kernel for products, softmax and epilogue.

In: a group that is an attention. Out: a kernel with a grid. As `attention_matrices`, but each thread computes a few
scores of some queries, and for the second product weights go through shared memory. Scores are summed feature by
feature in order, as a contraction does it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias, cast

from graphc.ir.dim import Size, quotient
from graphc.ir.dtype import f32
from graphc.kernel.gpu import GpuTarget
from graphc.kernel.ir import Buffer, LoopKind, Space, Value
from graphc.passes.gpu.attention import Attention
from graphc.passes.gpu.attention_parts import Factor, Indices, RunningSoftmax, Tiles, exact_exponential, less
from graphc.passes.gpu.statements import barrier

if TYPE_CHECKING:
    from graphc.kernel.builder import KernelBuilder
    from graphc.passes.lower import GroupLowering

ACROSS: Final = 16
"""Threads that share a query, and queries that a step of a block's threads takes."""
THREADS: Final = ACROSS * ACROSS
RUN: Final = 4
"""Elements that a thread takes from shared memory at once: 16 bytes."""
TILES: Final = ((64, 64), (64, 32), (32, 32), (16, 16))
"""Queries and keys of a block's tiles, the best ones first."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The sizes of tiles. Rows lie a run further apart than they are long: so do the banks that a column is in."""

    queries: int
    keys: int
    depth: int
    """Features of a query, with what fills up a run."""
    features: int
    """Features of a value, with what fills up the threads."""

    @property
    def rows(self) -> int:
        """Queries of a thread."""
        return self.queries // ACROSS

    @property
    def each(self) -> int:
        """Scores that a thread computes of each of its queries."""
        return self.keys // ACROSS

    @property
    def columns(self) -> int:
        """Features that a thread sums for each of its queries."""
        return self.features // ACROSS

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Elements of the tile of queries, of that of keys and then of values, and of that of weights."""
        longest = max(self.depth, self.features)
        return (
            self.queries * (self.depth + RUN),
            self.keys * (longest + RUN),
            self.queries * (self.keys + RUN),
        )


def plan_tiles(found: Attention, target: GpuTarget) -> Plan:
    """Tiles of which two blocks fit into a multiprocessor's memory."""
    dot = found.score_dot
    contract = cast("tuple[tuple[int, ...], tuple[int, ...]]", dot.attribute("contract"))
    depth = cast("int", dot.inputs[0].shape[contract[0][0]])
    width = cast("int", found.value_dot.shape[-1])
    plans = [Plan(*tile, -(-depth // RUN) * RUN, -(-width // ACROSS) * ACROSS) for tile in TILES]
    fitting = (plan for plan in plans if 2 * sum(plan.sizes) * f32.itemsize <= target.most_shared_bytes)
    return next(fitting, plans[-1])


def write_with_fma(group: GroupLowering, found: Attention, target: GpuTarget) -> None:
    """The whole kernel."""
    b, plan = group.builder, plan_tiles(found, target)
    queries, keys, depth, features = plan.queries, plan.keys, plan.depth, plan.features
    tiles = Tiles(group, found, (queries, keys))
    given_queries = tiles.queries_of(found.score_dot.inputs[0], depth)
    given_keys = tiles.keys_of(found.score_dot.inputs[1], depth)
    given_values = tiles.values_of(found.value_dot.inputs[1], features)
    blocks = quotient(tiles.queries + (queries - 1), queries)
    with b.loop(tiles.outer * blocks, LoopKind.BLOCK) as block:
        held, tile, weights = (b.allocate(f32, size, Space.SHARED) for size in plan.sizes)
        with b.loop(THREADS, LoopKind.THREAD) as thread:
            batch, first = tiles.batch_of(block // blocks), block % blocks * queries
            lane, first_row = thread % ACROSS, thread // ACROSS * plan.rows
            fill(b, held, given_queries, batch, first, thread)
            softmax = RunningSoftmax(b, plan.rows, ACROSS, exact_exponential)
            total, scores = b.allocate(f32, plan.rows * plan.columns), b.allocate(f32, plan.rows * plan.each)
            clear(b, total)
            with b.loop(tiles.steps(first), LoopKind.SERIAL) as step:
                start = step * keys
                barrier(b)
                fill(b, tile, given_keys, batch, start, thread)
                barrier(b)
                clear(b, scores)
                multiply_rows(b, scores, (held, first_row, plan.rows), (tile, lane, plan.each), depth, depth + RUN)
                for row in range(plan.rows):
                    for j in range(plan.each):
                        raw = b.load_again(scores, row * plan.each + j)
                        score = tiles.score(batch, first + first_row + row, start + lane + ACROSS * j, raw)
                        b.store(scores, row * plan.each + j, score)
                    factor = softmax.step(row, scores, plan.each, _places(row * plan.each))
                    for place in range(row * plan.columns, (row + 1) * plan.columns):
                        b.store(total, place, b.apply("mul", b.load_again(total, place), factor))
                    for j in range(plan.each):
                        place_ = (first_row + row) * (keys + RUN) + lane + ACROSS * j
                        weight = b.load_again(scores, row * plan.each + j)
                        query, key = first + first_row + row, start + lane + ACROSS * j
                        b.store(weights, place_, tiles.weight(batch, query, key, weight))
                barrier(b)
                fill(b, tile, given_values, batch, start, thread)
                barrier(b)
                sum_rows(b, total, (weights, first_row, plan.rows), (tile, lane, plan.columns), keys, features + RUN)
            softmax.finish()
            for row in range(plan.rows):
                if found.statistics:
                    statistics = softmax.statistics(row, found.is_masked)
                    tiles.write_statistics(batch, first + first_row + row, lane, statistics)
                for j in range(plan.columns):
                    x = softmax.result(row, b.load_again(total, row * plan.columns + j), found.is_masked)
                    tiles.write(batch, first + first_row + row, lane + ACROSS * j, features, x)


def _places(start: int) -> Callable[[Size], Size]:
    return lambda k: start + k


Part: TypeAlias = "tuple[Buffer, Size, int]"
"""What a thread takes of a tile: the tile, its first row or column, and how many."""


def multiply_rows(b: KernelBuilder, scores: Buffer, left: Part, right: Part, depth: int, stride: int) -> None:
    """Add products of rows of two tiles to a thread's scores: neighbours of one tile, every so many of the other."""
    (own, first, rows), (other, lane, count) = left, right
    with b.loop(depth // RUN, LoopKind.SERIAL) as run:
        at = run * RUN
        lefts = _runs(b, own, [(first + row) * stride + at for row in range(rows)])
        rights = _runs(b, other, [(lane + ACROSS * j) * stride + at for j in range(count)])
        with b.loop(RUN, LoopKind.UNROLLED) as k:
            _accumulate(b, scores, _each(b, lefts, k), _each(b, rights, k))


def sum_rows(b: KernelBuilder, total: Buffer, left: Part, right: Part, depth: int, stride: int) -> None:
    """Add the rows of a tile, each times a weight of its own, to a thread's sums: every so many column."""
    (weights, first, rows), (tile, lane, columns) = left, right
    with b.loop(depth // RUN, LoopKind.SERIAL) as run:
        at = run * RUN
        lefts = _runs(b, weights, [(first + row) * (depth + RUN) + at for row in range(rows)])
        with b.loop(RUN, LoopKind.UNROLLED) as k:
            start = (at + k) * stride + lane
            values = [b.load_again(tile, start + ACROSS * j) for j in range(columns)]
            _accumulate(b, total, _each(b, lefts, k), values)


def clear(b: KernelBuilder, buffer: Buffer) -> None:
    """Set all elements to 0."""
    for i in range(cast("int", buffer.size)):
        b.store(buffer, i, b.constant(0.0, f32))


def fill(b: KernelBuilder, tile: Buffer, factor: Factor, batch: Indices, start: Size, thread: Size) -> None:
    """Fill a tile from row `start` on; neighbouring threads take neighbouring elements."""
    rows, width = factor.tile
    with b.loop(-(-rows * width // THREADS), LoopKind.SERIAL) as step:
        place = step * THREADS + thread
        row, column = place // width, place % width
        is_inside = None if rows * width % THREADS == 0 else less(b, row, rows)
        b.store(tile, row * (width + RUN) + column, b.cast(factor.element(batch, start + row, column), f32), is_inside)


def _runs(b: KernelBuilder, source: Buffer, starts: list[Size]) -> Buffer:
    """A run of neighbours from each of these places, in registers."""
    runs = b.allocate(f32, len(starts) * RUN)
    for i, start in enumerate(starts):
        with b.loop(RUN, LoopKind.VECTOR) as k:
            b.store(runs, i * RUN + k, b.load_again(source, start + k))
    return runs


def _each(b: KernelBuilder, runs: Buffer, number: Size) -> list[Value]:
    """The element of this number of each run."""
    return [b.load_again(runs, i * RUN + number) for i in range(cast("int", runs.size) // RUN)]


def _accumulate(b: KernelBuilder, total: Buffer, left: list[Value], right: list[Value]) -> None:
    for i, x in enumerate(left):
        for j, y in enumerate(right):
            place = i * len(right) + j
            b.store(total, place, b.apply("fma", x, y, b.load_again(total, place)))
