"""Attention by multiply-add in float32: one kernel for products, softmax and epilogue.

In: a group that is an attention. Out: a kernel with a grid. As `attention_matrices`, but each thread computes a few
scores of some queries, and for the second product weights go through shared memory. Scores are summed feature by
feature in order, as a contraction does it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, cast

from graphc.ir.dim import Size, quotient
from graphc.ir.dtype import f32
from graphc.kernel.gpu import STATIC_SHARED_BYTES
from graphc.kernel.ir import Buffer, LoopKind, Operand, Space
from graphc.passes.gpu.attention import Attention
from graphc.passes.gpu.attention_parts import Softmax, Tiles, less
from graphc.passes.gpu.statements import barrier

if TYPE_CHECKING:
    from graphc.kernel.builder import KernelBuilder
    from graphc.passes.lower import GroupLowering

KEYS: Final = 32
ACROSS: Final = 16
"""Threads that share a query, and queries that a step of a block's threads takes."""
THREADS: Final = ACROSS * ACROSS
EACH: Final = KEYS // ACROSS
"""Scores of a query that a thread computes."""


def write_with_fma(group: GroupLowering, found: Attention) -> None:
    """The whole kernel."""
    b = group.builder
    depth, features = _sizes(found)
    queries = _queries(depth, features)
    tiles = Tiles(group, found, (queries, KEYS))
    factors = tiles.queries_of(found.score_dot.inputs[0], depth), tiles.keys_of(found.score_dot.inputs[1], depth)
    values = tiles.values_of(found.value_dot.inputs[1], features)
    rows, columns = queries // ACROSS, features // ACROSS
    blocks = quotient(tiles.queries + (queries - 1), queries)
    with b.loop(tiles.outer * blocks, LoopKind.BLOCK) as block:
        # Rows lie one element further apart than they are long: what a column holds is in banks of its own.
        held = b.allocate(f32, queries * (depth + 1), Space.SHARED)
        tile = b.allocate(f32, KEYS * (max(depth, features) + 1), Space.SHARED)
        weights = b.allocate(f32, queries * (KEYS + 1), Space.SHARED)
        with b.loop(THREADS, LoopKind.THREAD) as thread:
            batch, first = tiles.batch_of(block // blocks), block % blocks * queries
            lane, group_row = thread % ACROSS, thread // ACROSS * rows
            _load(b, held, queries, depth, thread, lambda q, d: factors[0].element(batch, first + q, d))
            softmax = Softmax(b, rows, ACROSS)
            total, scores = b.allocate(f32, rows * columns), b.allocate(f32, rows * EACH)
            _clear(b, total, rows * columns)
            with b.loop(tiles.steps(first), LoopKind.SERIAL) as step:
                start = step * KEYS
                barrier(b)
                _load(b, tile, KEYS, depth, thread, lambda k, d: factors[1].element(batch, start + k, d))
                barrier(b)
                _clear(b, scores, rows * EACH)
                with b.loop(depth, LoopKind.SERIAL) as d:
                    left = [b.load_again(held, (group_row + row) * (depth + 1) + d) for row in range(rows)]
                    right = [b.load_again(tile, (lane + ACROSS * j) * (depth + 1) + d) for j in range(EACH)]
                    _accumulate(b, scores, left, right)
                for row in range(rows):
                    for j in range(EACH):
                        raw = b.load_again(scores, row * EACH + j)
                        score = tiles.score(batch, first + group_row + row, start + lane + ACROSS * j, raw)
                        b.store(scores, row * EACH + j, score)
                    factor = softmax.step(row, scores, EACH, _places(row))
                    for j in range(columns):
                        scaled = b.apply("mul", b.load_again(total, row * columns + j), factor)
                        b.store(total, row * columns + j, scaled)
                    for j in range(EACH):
                        place = (group_row + row) * (KEYS + 1) + lane + ACROSS * j
                        b.store(weights, place, b.load_again(scores, row * EACH + j))
                barrier(b)
                _load(b, tile, KEYS, features, thread, lambda k, e: values.element(batch, start + k, e))
                barrier(b)
                with b.loop(KEYS, LoopKind.SERIAL) as k:
                    left = [b.load_again(weights, (group_row + row) * (KEYS + 1) + k) for row in range(rows)]
                    right = [b.load_again(tile, k * (features + 1) + lane + ACROSS * j) for j in range(columns)]
                    _accumulate(b, total, left, right)
            softmax.finish()
            for row in range(rows):
                for j in range(columns):
                    x = softmax.result(row, b.load_again(total, row * columns + j), found.is_masked)
                    tiles.write(batch, first + group_row + row, lane + ACROSS * j, x)


def _sizes(found: Attention) -> tuple[int, int]:
    """Features of a query, and of a value with what fills up."""
    dot = found.score_dot
    contract = cast("tuple[tuple[int, ...], tuple[int, ...]]", dot.attribute("contract"))
    width = cast("int", found.value_dot.shape[-1])
    return cast("int", dot.inputs[0].shape[contract[0][0]]), -(-width // ACROSS) * ACROSS


def _queries(depth: int, features: int) -> int:
    """Queries of a block: as many as shared memory has room for."""
    queries = 4 * ACROSS
    while queries > ACROSS:
        elements = queries * (depth + 1) + KEYS * (max(depth, features) + 1) + queries * (KEYS + 1)
        if elements * f32.itemsize <= STATIC_SHARED_BYTES:
            break
        queries //= 2
    return queries


def _places(row: int) -> Callable[[Size], Size]:
    return lambda k: row * EACH + k


def _clear(b: KernelBuilder, buffer: Buffer, count: int) -> None:
    for i in range(count):
        b.store(buffer, i, b.constant(0.0, f32))


def _load(
    b: KernelBuilder, tile: Buffer, rows: int, width: int, thread: Size, element: Callable[[Size, Size], Operand]
) -> None:
    """Fill a tile; neighbouring threads take neighbouring elements, of which there may be none for the last ones."""
    with b.loop(-(-rows * width // THREADS), LoopKind.SERIAL) as step:
        place = step * THREADS + thread
        row, column = place // width, place % width
        is_inside = None if rows * width % THREADS == 0 else less(b, row, rows)
        b.store(tile, row * (width + 1) + column, b.cast(element(row, column), f32), is_inside)


def _accumulate(b: KernelBuilder, total: Buffer, left: Sequence[Operand], right: Sequence[Operand]) -> None:
    for i, x in enumerate(left):
        for j, y in enumerate(right):
            place = i * len(right) + j
            b.store(total, place, b.apply("fma", x, y, b.load_again(total, place)))
