"""Gradients of attention by multiply-add in float32: one kernel for products, weights and sums over queries or keys.

In: a group that is a gradient of attention. Out: a kernel with a grid, whose blocks have rows of the results. Each goes
over all other rows tile by tile, computes what there is for each query and key, and adds it to its sums: no sum is
shared among blocks, so their order is always the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from graphc.ir.dim import quotient
from graphc.ir.dtype import f32
from graphc.kernel.gpu import GpuTarget
from graphc.kernel.ir import Buffer, LoopKind, Space
from graphc.passes.gpu.attention_fma import ACROSS, RUN, THREADS, clear, fill, multiply_rows, sum_rows
from graphc.passes.gpu.attention_gradient import Gradient
from graphc.passes.gpu.attention_gradient_parts import GradientTiles
from graphc.passes.gpu.attention_parts import Factor
from graphc.passes.gpu.statements import barrier

if TYPE_CHECKING:
    from graphc.passes.lower import GroupLowering

TILES: Final = ((64, 64), (64, 32), (32, 32), (16, 16))
"""Own rows of a block and other rows that it takes at once, the best ones first."""
MOST_SUMS: Final = 64
"""Sums that a thread keeps in registers, beside as many products at most."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The sizes of tiles."""

    own: int
    others: int
    depths: tuple[int, ...]
    """Features of each product, with what fills up the threads."""
    widths: tuple[int, ...]
    """Features of each sum, likewise."""
    streams: int
    """Features of all tiles of others together."""

    @property
    def rows(self) -> int:
        """Own rows of a thread."""
        return self.own // ACROSS

    @property
    def each(self) -> int:
        """Products that a thread computes of each of them."""
        return self.others // ACROSS

    @property
    def nbytes(self) -> int:
        """Shared memory of a block."""
        held = sum(self.own * (depth + RUN) for depth in self.depths)
        tiles = self.others * self.streams
        weighted = len(self.widths) * self.own * (self.others + RUN)
        return (held + tiles + weighted) * f32.itemsize

    @property
    def has_registers(self) -> bool:
        """Whether a thread can keep what it computes."""
        sums = self.rows * sum(self.widths) // ACROSS
        return sums <= MOST_SUMS and self.rows * self.each * len(self.depths) <= MOST_SUMS // 2


def write_gradient_with_fma(group: GroupLowering, found: Gradient, target: GpuTarget) -> None:
    """The whole kernel."""
    b, plan = group.builder, _plan_tiles(group, found, target)
    tiles = GradientTiles(group, found, (plan.own, plan.others))
    held = [tiles.own_factor(i, tiles.own_side(i)[0], depth) for i, depth in enumerate(plan.depths)]
    others = [tiles.other_factor(i, tiles.other_side(i)[0], depth) for i, depth in enumerate(plan.depths)]
    summed = [tiles.summed_factor(i, tiles.summed_side(i)[0], width) for i, width in enumerate(plan.widths)]
    blocks = quotient(tiles.own + (plan.own - 1), plan.own)
    with b.loop(tiles.outer * blocks, LoopKind.BLOCK) as block:
        own = [b.allocate(f32, plan.own * (depth + RUN), Space.SHARED) for depth in plan.depths]
        streams: dict[Factor, Buffer] = {}
        for factor in (*others, *summed):
            if factor not in streams:
                streams[factor] = b.allocate(f32, plan.others * (factor.tile[1] + RUN), Space.SHARED)
        weights = [b.allocate(f32, plan.own * (plan.others + RUN), Space.SHARED) for _ in summed]
        with b.loop(THREADS, LoopKind.THREAD) as thread:
            batch, first = tiles.batch_of(block // blocks), block % blocks * plan.own
            lane, first_row = thread % ACROSS, thread // ACROSS * plan.rows
            for buffer, factor in zip(own, held, strict=True):
                fill(b, buffer, factor, batch, first, thread)
            totals = [b.allocate(f32, plan.rows * (width // ACROSS)) for width in plan.widths]
            products = [b.allocate(f32, plan.rows * plan.each) for _ in held]
            for total in totals:
                clear(b, total)
            rows = range(plan.rows)
            values = [{} if found.is_by_key else tiles.row_values(batch, first + first_row + row) for row in rows]
            first_step = tiles.first_of(first)
            with b.loop(tiles.end_of(first) - first_step, LoopKind.SERIAL) as step:
                start = (first_step + step) * plan.others
                barrier(b)  # what the sums read is free
                for factor, buffer in streams.items():
                    fill(b, buffer, factor, batch, start, thread)
                barrier(b)
                for i, depth in enumerate(plan.depths):
                    clear(b, products[i])
                    left, right = (own[i], first_row, plan.rows), (streams[others[i]], lane, plan.each)
                    multiply_rows(b, products[i], left, right, depth, depth + RUN)
                for j in range(plan.each):
                    other = start + lane + ACROSS * j
                    here = tiles.row_values(batch, other) if found.is_by_key else {}
                    for row in rows:
                        raw = [b.load_again(each, row * plan.each + j) for each in products]
                        given = here if found.is_by_key else values[row]
                        for buffer, x in zip(
                            weights, tiles.weighted(batch, first + first_row + row, other, raw, given), strict=True
                        ):
                            b.store(buffer, (first_row + row) * (plan.others + RUN) + lane + ACROSS * j, x)
                barrier(b)
                for i, width in enumerate(plan.widths):
                    left, right = (weights[i], first_row, plan.rows), (streams[summed[i]], lane, width // ACROSS)
                    sum_rows(b, totals[i], left, right, plan.others, width + RUN)
            for i, width in enumerate(plan.widths):
                for row in rows:
                    for j in range(width // ACROSS):
                        x = b.load_again(totals[i], row * (width // ACROSS) + j)
                        tiles.write(i, batch, first + first_row + row, lane + ACROSS * j, width, x)


def _plan_tiles(group: GroupLowering, found: Gradient, target: GpuTarget) -> Plan:
    """Tiles of which two blocks fit into a multiprocessor's memory, and a thread's part into its registers.

    One block with larger tiles is better than two with the smallest ones, which are mostly read.
    """
    tiles = GradientTiles(group, found, (1, 1))
    depths = tuple(_rounded(tiles.depth(i)) for i in range(len(found.products)))
    widths = tuple(_rounded(tiles.width(i)) for i in range(len(found.sums)))
    others = [tiles.other_factor(i, tiles.other_side(i)[0], depth) for i, depth in enumerate(depths)]
    summed = [tiles.summed_factor(i, tiles.summed_side(i)[0], width) for i, width in enumerate(widths)]
    streams = sum(factor.tile[1] + RUN for factor in dict.fromkeys((*others, *summed)))
    plans = [plan for tile in TILES if (plan := Plan(*tile, depths, widths, streams)).has_registers]
    for blocks in (2, 1):
        for plan in plans:
            if blocks * plan.nbytes <= target.most_shared_bytes and (blocks == 1 or plan.each > 1):
                return plan
    return Plan(*TILES[-1], depths, widths, streams)


def _rounded(size: int) -> int:
    return -(-size // ACROSS) * ACROSS
