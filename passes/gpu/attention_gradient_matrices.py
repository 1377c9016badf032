"""Gradients of attention on the tensor cores: one kernel for products, weights and sums over queries or keys.

In: a group that is a gradient of attention, all operands of its products in bfloat16 or float16. Out: a kernel with a
grid. As `attention_gradient_fma`, but each warp has 16 own rows, and what its products give is, thread by thread, the
left factor of its sums: nothing goes through memory in between (T. Dao, FlashAttention-2, 2023). While a tile of others
is multiplied the next one is on its way. Sums are float32; what they multiply is rounded to the operands' dtype.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from graphc.ir.dim import Size, quotient
from graphc.ir.dtype import DType, bf16, f16, f32, i64, u32
from graphc.ir.graph import Node
from graphc.kernel.gpu import WARP, GpuTarget
from graphc.kernel.ir import Buffer, LoopKind, Operand, Space, Value
from graphc.passes.gpu.attention_exponential import exponential
from graphc.passes.gpu.attention_gradient import Gradient
from graphc.passes.gpu.attention_gradient_parts import GradientTiles
from graphc.passes.gpu.attention_matrices import (
    GAP,
    PART,
    THREADS,
    clear,
    fill,
    load_rows,
    multiply_keys,
    multiply_values,
    pack,
    unscaled,
)
from graphc.passes.gpu.attention_parts import Factor
from graphc.passes.gpu.statements import barrier, commit_copies, real, wait_copies

if TYPE_CHECKING:
    from graphc.kernel.builder import KernelBuilder
    from graphc.passes.lower import GroupLowering

OWN: Final = 64
"""Own rows of a block, 16 for each warp."""
OTHERS: Final = ((64, 64), (128, 32))
"""Up to so many features, rows of a tile: a thread keeps products and sums in registers."""
STEP: Final = 32
"""Features are filled up to multiples of this: then each thread has as many runs of a tile to copy."""


@dataclass(frozen=True, slots=True)
class GradientFactors:
    """The operands as they are in memory, and what products and sums are multiplied with."""

    own: tuple[Node, ...]
    others: tuple[Node, ...]
    summed: tuple[Node, ...]
    product_scales: tuple[float, ...]
    sum_scales: tuple[float, ...]

    @property
    def dtype(self) -> DType:
        """Of all of them."""
        return self.own[0].tensor.dtype


def find_gradient_factors(group: GroupLowering, found: Gradient, target: GpuTarget) -> GradientFactors | None:
    """The factors, if the tensor cores can multiply them."""
    tiles = GradientTiles(group, found, (OWN, OWN))
    own = [unscaled(tiles.own_side(i)[0]) for i in range(len(found.products))]
    others = [unscaled(tiles.other_side(i)[0]) for i in range(len(found.products))]
    summed = [unscaled(tiles.summed_side(i)[0]) for i in range(len(found.sums))]
    dtypes = {node.tensor.dtype for node, _ in (*own, *others, *summed)}
    if len(dtypes) > 1 or not dtypes <= {f16, bf16} or (dtypes == {bf16} and not target.has_bf16_matrices):
        return None
    nodes = [tuple(node for node, _ in each) for each in (own, others, summed)]
    scales = tuple(a * b for (_, a), (_, b) in zip(own, others, strict=True))
    factors = GradientFactors(nodes[0], nodes[1], nodes[2], scales, tuple(scale for _, scale in summed))
    tiles, held, streams = _tiles(group, found, factors)
    elements = sum(map(_size, held)) + 2 * sum(map(_size, {*streams[0], *streams[1]}))
    return factors if elements * factors.dtype.itemsize <= target.most_shared_bytes else None


def _tiles(
    group: GroupLowering, found: Gradient, factors: GradientFactors
) -> tuple[GradientTiles, list[Factor], tuple[list[Factor], list[Factor]]]:
    """The tiles, the own rows of each product, and what each product and sum goes over."""
    shapes = GradientTiles(group, found, (OWN, OWN))
    depths = [_rounded(shapes.depth(i)) for i in range(len(found.products))]
    widths = [_rounded(shapes.width(i)) for i in range(len(found.sums))]
    count = next(rows for features, rows in OTHERS if max(*depths, *widths) <= features)
    tiles = GradientTiles(group, found, (OWN, count), exponential)
    held = [tiles.own_factor(i, factors.own[i], depth) for i, depth in enumerate(depths)]
    others = [tiles.other_factor(i, factors.others[i], depth, True) for i, depth in enumerate(depths)]
    summed = [tiles.summed_factor(i, factors.summed[i], width, True) for i, width in enumerate(widths)]
    return tiles, held, (others, summed)


def write_gradient_with_matrices(group: GroupLowering, found: Gradient, factors: GradientFactors) -> None:
    """The whole kernel."""
    b, dtype = group.builder, factors.dtype
    tiles, held, (others, summed) = _tiles(group, found, factors)
    count = tiles.tile[1]
    depths, widths = ([factor.tile[1] for factor in each] for each in (others, summed))
    blocks = quotient(tiles.own + (OWN - 1), OWN)
    with b.loop(tiles.outer * blocks, LoopKind.BLOCK) as block:
        own = [b.allocate(dtype, OWN * (depth + GAP), Space.SHARED) for depth in depths]
        streams: dict[Factor, Buffer] = {}
        for factor in (*others, *summed):
            if factor not in streams:
                streams[factor] = b.allocate(dtype, 2 * _size(factor), Space.SHARED)
        with b.loop(THREADS, LoopKind.THREAD) as thread:
            batch, first = tiles.batch_of(block // blocks), block % blocks * OWN
            lane, warp = thread % WARP, thread // WARP
            own_rows = [first + warp * PART + lane // 4 + row * 8 for row in range(2)]
            first_step = tiles.first_of(first)
            for buffer, factor in zip(own, held, strict=True):
                fill(b, buffer, factor, batch, first, thread)
            for factor, buffer in streams.items():
                fill(b, buffer, factor, batch, first_step * count, thread)
            commit_copies(b)
            totals = [b.allocate(f32, width // 8 * 4) for width in widths]
            for total in totals:
                clear(b, total)
            products = [b.allocate(f32, count // 8 * 4) for _ in depths]
            weighted = [b.allocate(f32, count // 8 * 4) for _ in widths]
            packed = [b.allocate(u32, count // 4) for _ in widths]
            values = [{} if found.is_by_key else tiles.row_values(batch, row) for row in own_rows]
            with b.loop(tiles.end_of(first) - first_step, LoopKind.SERIAL) as step:
                start = (first_step + step) * count
                wait_copies(b, 0)
                barrier(b)  # this tile is there, and the one before it read
                for factor, buffer in streams.items():
                    at = (step + 1) % 2 * _size(factor)
                    fill(b, buffer, factor, batch, start + count, thread, at)
                commit_copies(b)
                for i, depth in enumerate(depths):
                    clear(b, products[i])

                    def left(part: Size, i: int = i, depth: int = depth) -> tuple[Value, ...]:
                        return load_rows(b, own[i], warp * PART, depth, part, lane)

                    at = step % 2 * _size(others[i])
                    multiply_keys(b, products[i], left, streams[others[i]], count, depth, lane, dtype, at)
                # A number of its own, or each product's would be kept in a register throughout the loop.
                first_other = b.position(b.index(start + lane % 4 * 2, i64), tiles.others + 2 * count)
                with b.loop(count // 8, LoopKind.UNROLLED) as part, b.loop(2, LoopKind.UNROLLED) as column:
                    other = first_other + part * 8 + column
                    here = tiles.row_values(batch, other) if found.is_by_key else {}
                    for row, own_row in enumerate(own_rows):
                        place = part * 4 + row * 2 + column
                        raw = [
                            _scaled(b, b.load_again(each, place), scale)
                            for each, scale in zip(products, factors.product_scales, strict=True)
                        ]
                        given = here if found.is_by_key else values[row]
                        for buffer, x in zip(weighted, tiles.weighted(batch, own_row, other, raw, given), strict=True):
                            b.store(buffer, place, x)
                for i, width in enumerate(widths):
                    pack(b, packed[i], weighted[i], dtype)
                    at = step % 2 * _size(summed[i])
                    multiply_values(b, totals[i], packed[i], streams[summed[i]], count, width, lane, dtype, at)
            wait_copies(b, 0)
            for i, width in enumerate(widths):
                with b.loop(width // 8, LoopKind.UNROLLED) as part:
                    for row, own_row in enumerate(own_rows):
                        with b.loop(2, LoopKind.VECTOR) as column:
                            x = b.load_again(totals[i], part * 4 + row * 2 + column)
                            feature = part * 8 + lane % 4 * 2 + column
                            tiles.write(i, batch, own_row, feature, width, _scaled(b, x, factors.sum_scales[i]))


def _size(factor: Factor) -> int:
    """Elements of a tile."""
    rows, width = factor.tile
    return rows * (width + GAP)


def _rounded(size: int) -> int:
    return -(-size // STEP) * STEP


def _scaled(b: KernelBuilder, x: Operand, scale: float) -> Operand:
    return x if scale == 1.0 else real(b.apply("mul", x, b.constant(scale, f32)))
