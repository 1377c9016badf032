"""What is decided about a contraction before its code is written: tiles, blocks, what is packed, and the scratch.

In: a `Contract` statement and a target. Out: a `Plan`. Nothing of it changes a result, and nothing depends on sizes
that are known only when the code runs: the blocks are bounded, and so is the scratch.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from graphc.codegen.emitter import register_type
from graphc.codegen.microkernel import SCALAR_BYTES, Tile, choose_tile, edge_vectors, lanes_of
from graphc.codegen.packing import StridedAccess, strided_access
from graphc.codegen.target import Target
from graphc.ir.dim import bounds, is_at_most
from graphc.kernel.ir import CONTRACT_BLOCK, Contract, Kernel, Statement, nested_bodies

COLUMN_BLOCK_BYTES: Final = 4096
"""Bytes of a row of the packed right side: with a depth block, a megabyte."""
ROW_PART: Final = 504
"""Rows of the left side that stay in the second-level cache; a multiple of most tiles' rows."""
ROW_BLOCK: Final = 3 * ROW_PART
"""Rows whose partial totals are kept."""
FEW_ROWS: Final = 128
"""Up to so many rows the right side is not packed where it can be read in place: each element is used too few times."""
FEW_COLUMNS: Final = 64
"""The same for the left side, where its elements do not lie in the order in which they are used."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The choices for one contraction: tiles, blocks, and where the parts of the workspace begin."""

    tile: Tile
    edge: Tile | None
    """The tile for columns that full ones leave."""
    left: StridedAccess | None
    """The left side in memory; it is packed where `tile.packed_left` says so."""
    right: StridedAccess | None
    row_block: int
    row_part: int
    column_block: int
    packs_in_turn: bool
    """Whether a strip of the right side is packed just before it is used: there is only one part of rows to use it."""
    right_offset: int
    totals_offset: int
    square_offset: int
    bytes: int

    @property
    def can_read_right(self) -> bool:
        """Whether the micro-kernel can read the right side where it lies."""
        return self.right is not None and self.right.across == 1


def turned(statement: Contract, target: Target) -> Contract:
    """The statement, or where its columns fill no more than half a vector its transpose, if it has rows enough.

    To transpose the left side on its way then costs less than idle lanes, and products of either order are equal.
    """
    rows, columns = statement.rows, statement.columns
    lanes = lanes_of(target, register_type(statement.acc.dtype))
    if not isinstance(columns, int) or columns > lanes // 2 or is_at_most(rows, lanes - 1):
        return statement
    return replace(
        statement,
        m=statement.n,
        n=statement.m,
        rows=columns,
        columns=rows,
        left=statement.right,
        right=statement.left,
    )


def plan_contract(statement: Contract, target: Target) -> Plan:
    """The plan for a statement that is `turned`; it depends on the statement and the target alone."""
    scalar = register_type(statement.acc.dtype)
    assert scalar in SCALAR_BYTES, f"contractions do not sum {statement.acc.dtype}"
    rows, columns = statement.rows, statement.columns
    tile = choose_tile(target, scalar, rows, columns)
    left = strided_access(statement.left, statement.m, statement.k, statement.acc.dtype)
    right = strided_access(statement.right, statement.n, statement.k, statement.acc.dtype)
    has_blocks = not is_at_most(statement.depth, CONTRACT_BLOCK)
    packed_left = left is None or (left.along != 1 and not is_at_most(columns, FEW_COLUMNS))
    tile = replace(tile, packed_left=packed_left, is_single=not has_blocks)
    vectors = edge_vectors(tile, columns)
    edge = replace(tile, vectors=vectors) if vectors else None
    most_rows, most_columns = bounds(rows)[1], bounds(columns)[1]
    depth = _up(min(bounds(statement.depth)[1], CONTRACT_BLOCK), tile.lanes)
    column_block = min(COLUMN_BLOCK_BYTES // tile.size // tile.columns * tile.columns, _up(most_columns, tile.columns))
    row_block = min(_up(ROW_BLOCK, tile.rows), _up(most_rows, tile.rows))
    row_part = min(_up(ROW_PART, tile.rows), row_block)
    # Edge strips may round up to one more vector than the columns have; packing across writes a vector too far.
    width = column_block + tile.lanes
    packs_in_turn = is_at_most(rows, row_part)
    left_bytes = _up(row_part * depth * tile.size + 64, 64) if tile.packed_left else 0
    right_bytes = _up((tile.columns if packs_in_turn else width) * depth * tile.size, 64)
    totals_bytes = row_block * width * tile.size if has_blocks else tile.bytes
    square_bytes = tile.lanes * tile.lanes * tile.size
    return Plan(
        tile,
        edge,
        left,
        right,
        row_block,
        row_part,
        column_block,
        packs_in_turn,
        right_offset=left_bytes,
        totals_offset=left_bytes + right_bytes,
        square_offset=left_bytes + right_bytes + _up(totals_bytes, 64),
        bytes=left_bytes + right_bytes + _up(totals_bytes, 64) + _up(square_bytes, 64),
    )


def _up(size: int, unit: int) -> int:
    return -(-size // unit) * unit


def workspace_bytes(kernel: Kernel, target: Target) -> int:
    """Scratch that each thread which runs the kernel needs, aligned to 64 bytes; whatever the sizes turn out to be."""
    most = 0
    pending: list[Statement] = list(kernel.body)
    while pending:
        statement = pending.pop()
        if isinstance(statement, Contract):
            most = max(most, plan_contract(turned(statement, target), target).bytes)
        for body in nested_bodies(statement):
            pending += body
    return most
