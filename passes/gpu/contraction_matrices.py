"""Contractions on the tensor cores of a GPU: bf16 and f16, and f32 rounded to tf32 where that is asked for.

In: a `Problem` whose factors the tensor cores multiply, and a `MatrixTile`. Out: a kernel. Each warp of a block has a
part of the results, 16 x 8 matrices, in registers (`contraction_fragment`). The factors are multiplied warp by warp
(`contraction_warps`), or on Hopper's GPUs by 4 warps together (`contraction_warpgroups`). Beyond the depth there are
zeros. The sums are rounded in the machine's own order: close to the CPU's, not their bits.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from graphc.ir.dim import bounds
from graphc.ir.dtype import DType, bf16, bool_, f16, f32, u32
from graphc.kernel.gpu import GpuTarget
from graphc.kernel.ir import (
    Apply,
    Buffer,
    Contract,
    Kernel,
    Literal,
    Panel,
    Space,
    Store,
    Value,
)
from graphc.passes.gpu.contraction_block import Chunk, Spot, chunks_of, write_blocks
from graphc.passes.gpu.contraction_cost import cost_of
from graphc.passes.gpu.contraction_fragment import Arithmetic, MatrixTile
from graphc.passes.gpu.contraction_plan import (
    ACCESS_BYTES,
    FULL,
    Axis,
    Problem,
    count_blocks,
    find_access,
    fitting_tile,
    likely,
    may_split,
    should_split,
)
from graphc.passes.gpu.contraction_stage import MATRIX, Factor, Layout, MatrixLayout, Staging
from graphc.passes.gpu.contraction_warpgroups import Groups
from graphc.passes.gpu.contraction_warps import Warps

LEAST: Final = 16
"""Rows, columns and depth from which on tensor cores have more to do than zeros."""
MOST_STAGES: Final = 4
"""Tiles of a factor in shared memory at once, where copies run in the background."""
MOST_GROUP_STAGES: Final = 8
"""The same for groups of 4 warps, which multiply a small tile in less time than memory takes for several."""
ELEMENT_BYTES: Final = 2
"""Of what groups of 4 warps multiply."""
BUSY_THREADS: Final = 256
"""Threads that keep a multiprocessor's tensor cores busy: smaller blocks shall fit more than once."""
GROUP_THREADS: Final = 512
"""The same of groups of 4 warps, of which others multiply while one waits for its tiles."""
SMALL_RESULTS: Final = 64 * 128
"""Results of a block whose products of 64 along the depth take little time."""
DEEP_BYTES: Final = 256
"""Bytes along the depth of a tile of a factor for such a block."""
MOST_RESULTS: Final = 128 * 256
"""Results of a block, whose registers leave no room for another one."""
RESERVED_BYTES: Final = 1024
"""Shared memory that the system takes of each block."""
QUIET_NAN: Final = 0x7FC00000
TF32_HALF: Final = 0x1000
"""Half of what the last bit that tf32 keeps is worth."""
TF32_MASK: Final = 0xFFFFE000


COPIED_TILES: Final = (
    MatrixTile(128, 256, 2, 4),
    MatrixTile(128, 128, 2, 2),
    MatrixTile(64, 128, 2, 2),
    MatrixTile(128, 64, 2, 2),
    MatrixTile(64, 64, 2, 2),
    MatrixTile(32, 32, 2, 2),
)
"""From the one that reads least memory to the one that gives most blocks."""
COMPUTED_TILES: Final = (MatrixTile(128, 128, 2, 4), *COPIED_TILES[2:])
"""For factors that go through registers, which leaves fewer of them for results."""
COPIED_GROUP_TILES: Final = (
    MatrixTile(128, 256, 2, 1, by_groups=True, depth_bytes=128),
    MatrixTile(128, 128, 2, 1, by_groups=True, depth_bytes=128),
    MatrixTile(64, 128, 1, 1, by_groups=True, depth_bytes=128),
    MatrixTile(128, 64, 2, 1, by_groups=True, depth_bytes=128),
    MatrixTile(64, 64, 1, 1, by_groups=True, depth_bytes=128),
)
"""For groups of 4 warps; problems that are too small for all of them are for warps."""
COMPUTED_GROUP_TILES: Final = tuple(replace(tile, depth_bytes=64) for tile in COPIED_GROUP_TILES[1:])


def arithmetic_of(contract: Contract, target: GpuTarget) -> Arithmetic | None:
    """How the tensor cores compute the contraction; None if they should not."""
    sizes = contract.rows, contract.columns, contract.depth
    if contract.acc.dtype is not f32 or any(bounds(size)[1] < LEAST for size in sizes):
        return None
    left, right = (_before_cast(panel) for panel in (contract.left, contract.right))
    if left is not None and right is not None and left.dtype is right.dtype and _is_cast_to(contract, left.dtype):
        is_known = left.dtype is f16 or target.has_bf16_matrices
        return Arithmetic(left.dtype.short, left.dtype) if is_known else None
    is_allowed = target.allow_tf32 and target.has_bf16_matrices
    if is_allowed and contract.left.element.dtype is contract.right.element.dtype is f32:
        return Arithmetic("tf32", u32)
    return None


def _before_cast(panel: Panel) -> Value | None:
    """The element as it was before it was cast to float32, if it had only 16 bits."""
    last = panel.body[-1] if panel.body else None
    if not isinstance(last, Apply) or last.op != "cast" or last.out is not panel.element:
        return None
    (operand,) = last.operands
    return operand if isinstance(operand, Value) and operand.dtype in (f16, bf16) else None


def _is_cast_to(contract: Contract, dtype: DType) -> bool:
    """Whether the sums are rounded to the dtype: if not, more than its precision is asked for."""
    for statement in contract.epilogue:
        if isinstance(statement, Store) and statement.operand is contract.acc:
            return False
        if isinstance(statement, Apply) and contract.acc in statement.operands:
            if statement.op != "cast" or statement.out.dtype is not dtype:
                return False
    return True


def choose_matrix_tile(problem: Problem, arithmetic: Arithmetic, chunks: int, target: GpuTarget) -> MatrixTile:
    """The tile for a problem whose depth is summed in so many chunks at once."""
    if arithmetic.dtype is u32:
        return fitting_tile(problem, COPIED_TILES[1:], chunks)  # a tile has half as many elements: registers suffice
    is_copied = all(factor.staging.is_copied for factor in _factors(problem, COPIED_TILES[-1], arithmetic))
    tiles: tuple[MatrixTile, ...] = COPIED_TILES if is_copied else COMPUTED_TILES
    if target.has_warpgroups and target.allow_warpgroups:
        tiles = (*(COPIED_GROUP_TILES if is_copied else COMPUTED_GROUP_TILES), tiles[-1])
        return _deep(problem, min(tiles, key=lambda tile: cost_of(problem, tile, chunks)), chunks)
    return fitting_tile(problem, tiles, chunks)


def _deep(problem: Problem, tile: MatrixTile, chunks: int) -> MatrixTile:
    """The tile, with more of the depth at once where a small one is alone: what is done once for each takes as long.

    Waiting for copies and for the other threads takes some 200 clocks; 64 x 64 sums of 64 products take 128.
    """
    is_small = tile.by_groups and tile.rows * tile.columns <= SMALL_RESULTS
    is_alone = chunks * count_blocks(problem, tile) <= FULL
    is_long = likely(problem.contract.depth) * ELEMENT_BYTES >= 2 * chunks * DEEP_BYTES
    is_copied = tile.depth_bytes == COPIED_GROUP_TILES[0].depth_bytes
    return replace(tile, depth_bytes=DEEP_BYTES) if is_small and is_alone and is_long and is_copied else tile


def should_split_matrices(problem: Problem, whole: MatrixTile, part: MatrixTile, steps: int, chunks: int) -> bool:
    """Whether chunks of the depth are better summed apart, by blocks of other tiles than those of all of it."""
    if not whole.by_groups and not part.by_groups:
        return should_split(problem, whole, steps)
    return may_split(problem, steps) and cost_of(problem, part, chunks) < cost_of(problem, whole, 1)


def write_matrices(
    problem: Problem, arithmetic: Arithmetic, tile: MatrixTile, chunk: Chunk | None, target: GpuTarget
) -> Kernel:
    """The kernel."""
    left, right = _factors(problem, tile, arithmetic)
    is_copied = left.staging.is_copied or right.staging.is_copied
    chunks = 1 if chunk is None else likely(chunks_of(problem, chunk.steps))
    bytes_each = (left.size + right.size) * arithmetic.dtype.itemsize
    stages = _count_stages(problem, tile, bytes_each, chunks, target) if is_copied else 2
    shared = tuple(
        Buffer(name, arithmetic.dtype, stages * factor.size, Space.SHARED)
        for name, factor in (("left", left), ("right", right))
    )

    def body(spot: Spot) -> None:
        kind = Groups if tile.by_groups else Warps
        kind(spot, tile, arithmetic, (left, right), shared, stages).write()

    return write_blocks(problem, (tile.rows, tile.columns), tile.threads, shared, body, chunk)


def _count_stages(problem: Problem, tile: MatrixTile, bytes_each: int, chunks: int, target: GpuTarget) -> int:
    """How many tiles of both factors fit into shared memory, with as many blocks as keep a multiprocessor busy.

    Of groups of warps no more blocks than there are: one that is alone has to bring its tiles long before.
    """
    blocks, most = max(1, BUSY_THREADS // tile.threads), MOST_STAGES
    if tile.by_groups:
        room = 1 if tile.rows * tile.columns >= MOST_RESULTS else GROUP_THREADS // tile.threads
        blocks = max(1, min(room, -(-chunks * count_blocks(problem, tile) // FULL)))
        along = -(-likely(problem.contract.depth) * ELEMENT_BYTES // (chunks * tile.depth_bytes))
        most = min(MOST_GROUP_STAGES, along + 1)
    own = target.most_shared_bytes // blocks - RESERVED_BYTES
    return max(2, min(most, own // bytes_each))


def _factors(problem: Problem, tile: MatrixTile, arithmetic: Arithmetic) -> tuple[Factor, Factor]:
    contract = problem.contract
    return (
        _factor(problem, contract.left, (contract.m, contract.rows), tile.rows, tile, arithmetic),
        _factor(problem, contract.right, (contract.n, contract.columns), tile.columns, tile, arithmetic),
    )


def _factor(problem: Problem, panel: Panel, cross: Axis, size: int, tile: MatrixTile, arithmetic: Arithmetic) -> Factor:
    contract, dtype = problem.contract, arithmetic.dtype
    panel = _rounded(panel) if dtype is u32 else Panel(panel.body[:-1], _narrow(panel))
    depth = contract.k, contract.depth
    steps, most = tile.depth_bytes // dtype.itemsize, ACCESS_BYTES // dtype.itemsize
    access = find_access(problem.kernel, panel, cross, depth, most)
    along = access.runs_along_depth
    is_vector = access.width > 1
    # What is computed element by element is stored along the depth, 16 bytes at once.
    groups_along = along or not is_vector
    group = access.width if is_vector else most
    is_copied = is_vector and access.is_plain and group * dtype.itemsize >= 4
    # 8 threads side by side store a matrix, unless they read neighbours one by one.
    aside = MATRIX if tile.by_groups and (is_vector or along) else 1
    staging = Staging(tile.threads, size, steps, group, groups_along, along, is_vector, is_copied, aside)
    layout: Layout | MatrixLayout
    if tile.by_groups:
        layout = MatrixLayout(not groups_along, size if groups_along else steps)
    # Rows of shared memory begin at other banks each, for matrices (16 bytes a row) and for single elements.
    elif groups_along:
        layout = Layout(is_depth_major=False, stride=steps + ACCESS_BYTES // dtype.itemsize)
    else:
        layout = Layout(is_depth_major=True, stride=size + 8)
    return Factor(panel, cross, depth, staging, layout, dtype, fills_zeros=True)


def _narrow(panel: Panel) -> Value:
    element = _before_cast(panel)
    assert element is not None, "an element of 16 bits, cast"
    return element


def _rounded(panel: Panel) -> Panel:
    """The panel's elements as bits, rounded to tf32: to the nearest, halves away from 0."""
    x = panel.element
    bits, sum_, kept, out = (Value(name, u32) for name in ("bits", "sum", "kept", "tf32"))
    is_nan = Value("is_nan", bool_)
    more = (
        Apply(bits, "bitcast", (x,)),
        Apply(sum_, "add", (bits, Literal(TF32_HALF, u32))),
        Apply(kept, "bitwise_and", (sum_, Literal(TF32_MASK, u32))),
        Apply(is_nan, "ne", (x, x)),
        Apply(out, "select", (is_nan, Literal(QUIET_NAN, u32), kept)),
    )
    return replace(panel, body=(*panel.body, *more), element=out)
