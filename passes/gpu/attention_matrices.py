"""Attention on the tensor cores: one kernel for products, softmax and epilogue.

In: a group that is an attention, with queries, keys and values in bfloat16 or float16. Out: a kernel with a grid.

A block takes `QUERIES` queries, each of its warps 16 of them, and goes over the keys `KEYS` at a time. Greatest score
and sum so far are kept for every query, and what is summed is scaled down where the greatest one grows: no scores go
through memory (M. Milakov and N. Gimelshein, Online normalizer calculation for softmax, 2018; T. Dao et al.,
FlashAttention, 2022). Sums are float32; weights are rounded to the dtype of the values for their product.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

from graphc.ir.dim import Size, quotient
from graphc.ir.dtype import DType, bf16, f16, f32, i64, u16, u32
from graphc.ir.graph import Node
from graphc.kernel.gpu import WARP, GpuTarget
from graphc.kernel.ir import Buffer, LoopKind, Operand, Space, Value
from graphc.ops import elementwise as ew
from graphc.passes.gpu.attention import Attention
from graphc.passes.gpu.attention_exponential import exponential
from graphc.passes.gpu.attention_parts import Factor, Indices, RunningSoftmax, Tiles
from graphc.passes.gpu.statements import (
    barrier,
    commit_copies,
    copy_async,
    load_matrices,
    multiply_matrices,
    real,
    wait_copies,
)
from graphc.passes.match import is_finite_splat, splat

if TYPE_CHECKING:
    from graphc.kernel.builder import KernelBuilder
    from graphc.passes.lower import GroupLowering

QUERIES: Final = 64
KEYS: Final = 64
THREADS: Final = 128
PART: Final = 16
"""Rows of a warp's matrices, and their depth."""
RUN: Final = 8
"""Elements that are copied at once: 16 bytes."""
GAP: Final = 8
"""Elements between rows of a tile: the eight rows of a matrix then lie in banks of their own."""


@dataclass(frozen=True, slots=True)
class Factors:
    """Queries, keys and values as they are in memory, and what scores are multiplied with."""

    queries: Node
    keys: Node
    values: Node
    scale: float

    @property
    def dtype(self) -> DType:
        """Of all three."""
        return self.queries.tensor.dtype


def find_factors(found: Attention, target: GpuTarget) -> Factors | None:
    """The factors, if the tensor cores can multiply them."""
    queries, scale = unscaled(found.score_dot.inputs[0])
    keys, other = unscaled(found.score_dot.inputs[1])
    values, factor = unscaled(found.value_dot.inputs[1])
    dtypes = {each.tensor.dtype for each in (queries, keys, values)}
    if factor != 1.0 or len(dtypes) > 1 or not dtypes <= {f16, bf16}:
        return None
    if dtypes == {bf16} and not target.has_bf16_matrices:
        return None
    return Factors(queries, keys, values, scale * other)


def unscaled(node: Node) -> tuple[Node, float]:
    """The 16-bit floats that a node's elements are, but for a factor."""
    scale = 1.0
    while node.tensor.dtype is f32:
        if node.op is ew.mul and is_finite_splat(node.inputs[1]):
            scale *= float(cast("float", splat(node.inputs[1])))
        elif node.op is not ew.cast:
            break
        node = node.inputs[0]
    return node, scale


def write_with_matrices(group: GroupLowering, found: Attention, factors: Factors) -> None:
    """The whole kernel. While a tile of keys is multiplied, that of values is on its way, and the other way round."""
    b = group.builder
    tiles = Tiles(group, found, (QUERIES, KEYS))
    depth, width = rounded(tiles.depth), rounded(tiles.width)
    dtype = factors.dtype
    queries = tiles.queries_of(factors.queries, depth)
    keys = tiles.keys_of(factors.keys, depth, is_read_ahead=True)
    values = tiles.values_of(factors.values, width)
    blocks = quotient(tiles.queries + (QUERIES - 1), QUERIES)
    with b.loop(tiles.outer * blocks, LoopKind.BLOCK) as block:
        key_tile = b.allocate(dtype, KEYS * (depth + GAP), Space.SHARED)
        value_tile = b.allocate(dtype, KEYS * (width + GAP), Space.SHARED)
        with b.loop(THREADS, LoopKind.THREAD) as thread:
            batch, first = tiles.batch_of(block // blocks), block % blocks * QUERIES
            lane, warp = thread % WARP, thread // WARP

            def query_of(row: Size) -> Size:
                return first + warp * PART + lane // 4 + row * 8

            fill(b, key_tile, queries, batch, first, thread)
            commit_copies(b)
            wait_copies(b, 0)
            barrier(b)
            held = b.allocate(u32, depth // PART * 4)
            with b.loop(depth // PART, LoopKind.UNROLLED) as step:
                for i, out in enumerate(load_rows(b, key_tile, warp * PART, depth, step, lane)):
                    b.store(held, step * 4 + i, out)
            barrier(b)
            fill(b, key_tile, keys, batch, 0, thread)
            commit_copies(b)
            softmax = RunningSoftmax(b, 2, 4, exponential)
            total = b.allocate(f32, width // 8 * 4)
            clear(b, total)
            scores, weights = b.allocate(f32, KEYS // 8 * 4), b.allocate(u32, KEYS // 4)
            with b.loop(tiles.steps(first), LoopKind.SERIAL) as step:
                start = step * KEYS
                wait_copies(b, 0)
                barrier(b)  # the keys are there, and the values before them read
                fill(b, value_tile, values, batch, start, thread)
                commit_copies(b)
                clear(b, scores)
                multiply_keys(b, scores, lambda step: loaded(b, held, step * 4), key_tile, KEYS, depth, lane, dtype)
                barrier(b)  # the keys are read
                fill(b, key_tile, keys, batch, start + KEYS, thread)
                commit_copies(b)
                # A number of its own, or each score's would be kept in a register throughout the loop.
                first_key = b.position(b.index(start + lane % 4 * 2, i64), tiles.keys + KEYS)
                with b.loop(KEYS // 8, LoopKind.UNROLLED) as part, b.loop(4, LoopKind.UNROLLED) as each:
                    key = first_key + part * 8 + each % 2
                    raw = b.load_again(scores, part * 4 + each)
                    scaled = real(b.apply("mul", raw, b.constant(factors.scale, f32)))
                    b.store(scores, part * 4 + each, tiles.score(batch, query_of(each // 2), key, scaled))
                for row in range(2):
                    _weigh(b, softmax, scores, total, row, width)
                if found.has_noise:
                    with b.loop(KEYS // 8, LoopKind.UNROLLED) as part, b.loop(4, LoopKind.UNROLLED) as each:
                        key, raw = first_key + part * 8 + each % 2, b.load_again(scores, part * 4 + each)
                        b.store(scores, part * 4 + each, tiles.weight(batch, query_of(each // 2), key, raw))
                pack(b, weights, scores, dtype)
                wait_copies(b, 1)
                barrier(b)  # the values are there
                multiply_values(b, total, weights, value_tile, KEYS, width, lane, dtype)
            wait_copies(b, 0)
            softmax.finish()
            for row in range(2) if found.statistics else ():
                tiles.write_statistics(batch, query_of(row), lane % 4, softmax.statistics(row, found.is_masked))
            with b.loop(width // 8, LoopKind.UNROLLED) as part:
                for row in range(2):
                    with b.loop(2, LoopKind.VECTOR) as column:
                        x = b.load_again(total, part * 4 + row * 2 + column)
                        feature = part * 8 + lane % 4 * 2 + column
                        result = softmax.result(row, x, found.is_masked)
                        tiles.write(batch, query_of(row), feature, width, result)


def rounded(size: int) -> int:
    """Features with what fills up a step of a product."""
    return (size + (PART - 1)) // PART * PART


def clear(b: KernelBuilder, buffer: Buffer) -> None:
    """Set all elements to 0."""
    with b.loop(cast("int", buffer.size), LoopKind.UNROLLED) as i:
        b.store(buffer, i, b.constant(0.0, f32))


def fill(
    b: KernelBuilder, tile: Buffer, factor: Factor, batch: Indices, start: Size, thread: Size, at: Size = 0
) -> None:
    """Fill a tile from row `start` on, in the background where rows are copied as they are; `at`: where it begins."""
    rows, width = factor.tile
    assert rows * width % (RUN * THREADS) == 0, "each thread has as many runs"
    if factor.has_runs(RUN):
        with b.loop(rows * width // RUN // THREADS, LoopKind.UNROLLED) as step:
            place = step * THREADS + thread
            row, feature = place // (width // RUN), place % (width // RUN) * RUN
            source, index, is_there = factor.place(batch, start + row, feature)
            copy_async(b, tile, at + row * (width + GAP) + feature, source, index, RUN, is_there)
    else:
        with b.loop(rows * width // THREADS, LoopKind.SERIAL) as step:
            place = step * THREADS + thread
            row, feature = place // width, place % width
            b.store(tile, at + row * (width + GAP) + feature, factor.element(batch, start + row, feature))


def multiply_keys(
    b: KernelBuilder,
    scores: Buffer,
    left: Callable[[Size], tuple[Value, ...]],
    keys: Buffer,
    count: int,
    depth: int,
    lane: Size,
    dtype: DType,
    at: Size = 0,
) -> None:
    """Add products of a warp's rows and `count` rows of a tile to scores; `left` gives the former's parts of a step."""
    with b.loop(depth // PART, LoopKind.UNROLLED) as step:
        lefts = left(step)
        with b.loop(count // 16, LoopKind.UNROLLED) as pair:
            row = pair * 16 + lane // 16 * 8 + lane % 8
            right = load_matrices(b, 4, keys, at + row * (depth + GAP) + step * PART + lane // 8 % 2 * 8)
            for side in range(2):
                accumulate(b, scores, (2 * pair + side) * 4, lefts, right[2 * side : 2 * side + 2], dtype)


def multiply_values(
    b: KernelBuilder,
    total: Buffer,
    weights: Buffer,
    values: Buffer,
    count: int,
    width: int,
    lane: Size,
    dtype: DType,
    at: Size = 0,
) -> None:
    """Add `count` rows of a tile, each times a weight of its own, to sums."""
    with b.loop(count // PART, LoopKind.UNROLLED) as step:
        left = loaded(b, weights, step * 4)
        with b.loop(width // 16, LoopKind.UNROLLED) as pair:
            row = step * PART + lane % 16
            index = at + row * (width + GAP) + pair * 16 + lane // 16 * 8
            right = load_matrices(b, 4, values, index, is_transposed=True)
            for side in range(2):
                accumulate(b, total, (2 * pair + side) * 4, left, right[2 * side : 2 * side + 2], dtype)


def load_rows(b: KernelBuilder, tile: Buffer, row: Size, depth: int, step: Size, lane: Size) -> tuple[Value, ...]:
    """A warp's parts of 16 rows of a tile, from `row` on, for a step of a product."""
    return load_matrices(b, 4, tile, (row + lane % 16) * (depth + GAP) + step * PART + lane // 16 * 8)


def pack(b: KernelBuilder, weights: Buffer, scores: Buffer, dtype: DType) -> None:
    """Weights in 16 bits: those of 16 keys are, thread by thread, the left factor of the second product already."""
    with b.loop(cast("int", weights.size), LoopKind.UNROLLED) as i:
        halves = [b.cast(b.load_again(scores, 2 * i + side), dtype) for side in range(2)]
        bits = [b.cast(b.apply("bitcast", half, dtype=u16), u32) for half in halves]
        high = b.apply("shift_left", bits[1], b.constant(16, u32))
        b.store(weights, i, b.apply("bitwise_or", bits[0], high))


def _weigh(b: KernelBuilder, softmax: RunningSoftmax, scores: Buffer, total: Buffer, row: int, width: int) -> None:
    """Scores of a row become weights, and what is summed so far is scaled to the greatest score now."""
    count = KEYS // 8 * 2

    def place(k: Size) -> Size:
        return k // 2 * 4 + row * 2 + k % 2

    factor = softmax.step(row, scores, count, place)
    with b.loop(width // 8 * 2, LoopKind.UNROLLED) as k:
        b.store(total, place(k), b.apply("mul", b.load_again(total, place(k)), factor))


def loaded(b: KernelBuilder, buffer: Buffer, start: Size, count: int = 4) -> tuple[Value, ...]:
    """Neighbours of a thread's own buffer."""
    return tuple([b.load_again(buffer, start + i) for i in range(count)])


def accumulate(
    b: KernelBuilder, total: Buffer, start: Size, left: tuple[Operand, ...], right: tuple[Value, ...], dtype: DType
) -> None:
    """Add a product of the warp's matrices to four neighbours of a thread's own buffer."""
    for i, out in enumerate(multiply_matrices(b, left, right, loaded(b, total, start), dtype.short)):
        b.store(total, start + i, out)
