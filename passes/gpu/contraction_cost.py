"""How long a contraction takes on Hopper's tensor cores, roughly: what the choice of tiles and chunks goes by.

In: a `Problem`, a tile, and how many chunks the depth is summed in. Out: a number to compare with others.

It counts products of a multiprocessor, which does 2048 of 16-bit factors in a clock. Blocks beyond one for each
multiprocessor wait, or take half the time each: both cost the same. Beside its products a block brings its factors,
some 40 bytes a clock from the second-level cache; the two overlap only in part, so their times are added.
"""

from __future__ import annotations

from typing import Final

from graphc.passes.gpu.contraction_fragment import MatrixTile
from graphc.passes.gpu.contraction_plan import FULL, Problem, count_blocks, count_of, likely

SIDE: Final = 100
"""Products in the time that an element of a factor takes: 2 bytes."""
WARPS: Final = 2
"""How much longer products take warp by warp."""
PARTIAL: Final = 7
"""Products in the time that a partial sum takes, written and read by all multiprocessors together."""
LAUNCH: Final = 6_000_000
"""Products in the time from one kernel to the next, 2 microseconds."""


def cost_of(problem: Problem, tile: MatrixTile, chunks: int) -> int:
    """The time in products of a multiprocessor."""
    waves = -(-chunks * count_blocks(problem, tile) // FULL)
    depth = -(-likely(problem.contract.depth) // chunks)
    products = tile.rows * tile.columns * (1 if tile.by_groups else WARPS) + SIDE * (tile.rows + tile.columns)
    total = waves * depth * products
    return total if chunks == 1 else total + chunks * PARTIAL * likely(count_of(problem)) + LAUNCH
