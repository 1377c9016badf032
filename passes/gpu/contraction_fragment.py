"""What the warps of a block have of a contraction's results on tensor cores, and how its factors come to them.

In: a place in the problem, and the tile of a block. Out: statements that load tiles of both factors, and that finish
the results: each thread has pairs of neighbours in a row, as the tensor cores leave them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from graphc.ir.dim import Size, quotient, remainder
from graphc.ir.dtype import DType, f32
from graphc.kernel.builder import literal
from graphc.kernel.gpu import WARP
from graphc.kernel.ir import Buffer, CommitCopies, LoopKind
from graphc.passes.gpu.contraction_block import Spot
from graphc.passes.gpu.contraction_stage import Factor, Stager
from graphc.passes.gpu.writer import Writer

HEIGHT: Final = 16
"""Rows of a matrix that a warp multiplies."""
WIDTH: Final = 8
"""Columns of a matrix that is multiplied."""
GROUP: Final = 4
"""Warps that multiply together what is in shared memory."""


@dataclass(frozen=True, slots=True)
class MatrixTile:
    """What a block computes: rows x columns of the result by `down` x `across` warps, or groups of 4 warps."""

    rows: int
    columns: int
    down: int
    across: int
    by_groups: bool = False
    depth_bytes: int = 64
    """Bytes along the depth of a tile of a factor."""

    @property
    def threads(self) -> int:
        """Threads of the block."""
        return WARP * (GROUP if self.by_groups else 1) * self.down * self.across


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """What the tensor cores multiply: its name in `MultiplyMatrices`, and the dtype it has in shared memory."""

    name: str
    dtype: DType

    @property
    def depth(self) -> int:
        """Of the matrices that are multiplied."""
        return 32 // self.dtype.itemsize


class Fragment:
    """A thread's part of a block's results: `counts` matrices of 16 x 8, down and across, of its warp.

    Of each it has 4 elements: 2 neighbours in a row, and the same 8 rows below.
    """

    def __init__(
        self,
        spot: Spot,
        tile: MatrixTile,
        arithmetic: Arithmetic,
        factors: tuple[Factor, Factor],
        shared: tuple[Buffer, ...],
        stages: int,
    ) -> None:
        self.spot, self.tile, self.arithmetic = spot, tile, arithmetic
        self.factors, self.shared, self.stages = factors, shared, stages
        self.writer: Writer = spot.writer
        self.lane = remainder(spot.thread, WARP)
        warps = GROUP if tile.by_groups else 1
        number = quotient(spot.thread, WARP * warps)
        height, width = tile.rows // tile.down, tile.columns // tile.across
        self.part = quotient(number, tile.across) * height, remainder(number, tile.across) * width
        """Row and column of the tile at which the part of the warp, or group of warps, begins."""
        self.starts = self.part[0] + HEIGHT * remainder(quotient(spot.thread, WARP), warps), self.part[1]
        """The same of the warp's first matrix."""
        self.apart = HEIGHT * warps
        """Rows from one matrix to the next one down."""
        self.counts = height // self.apart, width // WIDTH
        registers = self.writer.registers
        self.stagers = spot.stagers(factors, shared)
        self.has_copies = any(factor.staging.is_copied for factor in factors)
        self.steps = factors[0].staging.steps
        self.count = quotient(spot.depth + self.steps - 1, self.steps)
        """Tiles along the depth."""
        self.sums = registers("sums", f32, 4 * self.counts[0] * self.counts[1])
        with self.writer.loop("i", 4 * self.counts[0] * self.counts[1], LoopKind.UNROLLED) as i:
            self.writer.store(self.sums, i, literal(0, f32))

    def load(self, number: Size) -> None:
        """Begin to load the tiles of this number."""
        for stager in self.stagers:
            stager.load(self.spot.first + number * self.steps, self.place(stager, number))

    def store(self, number: Size) -> None:
        """Store what of these tiles went through registers."""
        for stager in self.stagers:
            stager.store(self.place(stager, number))

    def commit(self) -> None:
        """End a group of copies."""
        if self.has_copies:
            self.writer.add(CommitCopies())

    def place(self, stager: Stager, number: Size) -> Size:
        """Where in shared memory the tile of this number is."""
        return remainder(number, self.stages) * stager.factor.size

    def finish(self) -> None:
        """The epilogue: pairs of neighbours in a row."""
        w, spot = self.writer, self.spot
        row, column = quotient(self.lane, 4), 2 * remainder(self.lane, 4)
        width = spot.result_width(2)
        with w.loop("i", self.counts[0], LoopKind.UNROLLED) as i, w.loop("h", 2, LoopKind.UNROLLED) as h:
            m = self.starts[0] + self.apart * i + 8 * h + row
            with (
                w.when(spot.row_holds(m)),
                w.loop("j", self.counts[1], LoopKind.UNROLLED) as j,
                w.loop("u", 2 // width, LoopKind.UNROLLED) as u,
            ):
                n = self.starts[1] + WIDTH * j + column + width * u
                with w.when(spot.column_holds(n)), w.loop("v", width, LoopKind.VECTOR) as v:
                    at = 4 * (i * self.counts[1] + j) + 2 * h + width * u + v
                    spot.finish(m, n + v, w.load(self.sums, at))
