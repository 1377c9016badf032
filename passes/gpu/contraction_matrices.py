"""Contractions on the tensor cores of a GPU: bf16 and f16, and f32 rounded to tf32 where that is asked for.

In: a `Problem` whose factors the tensor cores multiply, and a `MatrixTile`. Out: a kernel. Each warp of a block has a
part of the results, 16 x 8 matrices, in registers. Tiles of the factors go to shared memory several steps ahead, in the
background where they are copied as they are:

    serial s { begin to load tiles s;  multiply tiles s - stages + 1;  store those tiles s that went through registers;
               wait for tiles s - stages + 2;  barrier }

Beyond the depth there are zeros. The sums are rounded in the machine's own order: close to the CPU's, not their bits.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from graphc.ir.dim import Size, bounds, quotient, remainder
from graphc.ir.dtype import DType, bf16, bool_, f16, f32, u32
from graphc.kernel.builder import literal
from graphc.kernel.gpu import WARP, GpuTarget
from graphc.kernel.ir import (
    Apply,
    Buffer,
    CommitCopies,
    Contract,
    Kernel,
    Literal,
    LoadMatrix,
    LoopKind,
    MultiplyMatrices,
    Operand,
    Panel,
    Space,
    Store,
    Value,
    WaitCopies,
)
from graphc.passes.gpu.contraction_block import Chunk, Spot, is_below, write_blocks
from graphc.passes.gpu.contraction_plan import ACCESS_BYTES, Axis, Problem, find_access, fitting_tile
from graphc.passes.gpu.contraction_stage import Factor, Layout, Stager, Staging
from graphc.passes.gpu.writer import Writer

LEAST: Final = 16
"""Rows, columns and depth from which on tensor cores have more to do than zeros."""
MOST_STAGES: Final = 4
"""Tiles of a factor in shared memory at once, where copies run in the background."""
BUSY_WARPS: Final = 8
"""Warps that keep a multiprocessor's tensor cores busy: smaller blocks shall fit more than once."""
RESERVED_BYTES: Final = 1024
"""Shared memory that the system takes of each block."""
HEIGHT: Final = 16
"""Rows of a matrix that is multiplied."""
WIDTH: Final = 8
"""Columns of a matrix that is multiplied."""
QUIET_NAN: Final = 0x7FC00000
TF32_HALF: Final = 0x1000
"""Half of what the last bit that tf32 keeps is worth."""
TF32_MASK: Final = 0xFFFFE000


@dataclass(frozen=True, slots=True)
class MatrixTile:
    """What a block computes: rows x columns of the result by `down` x `across` warps."""

    rows: int
    columns: int
    down: int
    across: int

    @property
    def threads(self) -> int:
        """Threads of the block."""
        return WARP * self.down * self.across


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


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """What the tensor cores multiply: its name in `MultiplyMatrices`, and the dtype it has in shared memory."""

    name: str
    dtype: DType

    @property
    def depth(self) -> int:
        """Of the matrices that are multiplied."""
        return 32 // self.dtype.itemsize

    @property
    def steps(self) -> int:
        """Elements along the depth of a tile: 64 bytes."""
        return 64 // self.dtype.itemsize


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


def choose_matrix_tile(problem: Problem, arithmetic: Arithmetic, chunks: int) -> MatrixTile:
    """The tile for a problem whose depth is summed in so many chunks at once."""
    if arithmetic.dtype is u32:
        return fitting_tile(problem, COPIED_TILES[1:], chunks)  # a tile has half as many elements: registers suffice
    is_copied = all(factor.staging.is_copied for factor in _factors(problem, COPIED_TILES[-1], arithmetic))
    return fitting_tile(problem, COPIED_TILES if is_copied else COMPUTED_TILES, chunks)


def write_matrices(
    problem: Problem, arithmetic: Arithmetic, tile: MatrixTile, chunk: Chunk | None, target: GpuTarget
) -> Kernel:
    """The kernel."""
    left, right = _factors(problem, tile, arithmetic)
    is_copied = left.staging.is_copied or right.staging.is_copied
    stages = _count_stages(tile, (left.size + right.size) * arithmetic.dtype.itemsize, target) if is_copied else 2
    shared = tuple(
        Buffer(name, arithmetic.dtype, stages * factor.size, Space.SHARED)
        for name, factor in (("left", left), ("right", right))
    )

    def body(spot: Spot) -> None:
        _Warp(spot, tile, arithmetic, (left, right), shared, stages).write()

    return write_blocks(problem, (tile.rows, tile.columns), tile.threads, shared, body, chunk)


def _count_stages(tile: MatrixTile, bytes_each: int, target: GpuTarget) -> int:
    """How many tiles of both factors fit into shared memory, with as many blocks as are needed for `BUSY_WARPS`."""
    blocks = max(1, BUSY_WARPS // (tile.down * tile.across))
    own = target.most_shared_bytes // blocks - RESERVED_BYTES
    return max(2, min(MOST_STAGES, own // bytes_each))


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
    steps, most = arithmetic.steps, ACCESS_BYTES // dtype.itemsize
    access = find_access(problem.kernel, panel, cross, depth, most)
    along = access.runs_along_depth
    is_vector = access.width > 1
    # What is computed element by element is stored along the depth, 16 bytes at once.
    groups_along = along or not is_vector
    group = access.width if is_vector else most
    is_copied = is_vector and access.is_plain and group * dtype.itemsize >= 4
    staging = Staging(tile.threads, size, steps, group, groups_along, along, is_vector, is_copied)
    # Rows of shared memory begin at other banks each, for matrices (16 bytes a row) and for single elements.
    if groups_along:
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


class _Warp:
    """What a thread does, as one of a warp."""

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
        warp = quotient(spot.thread, WARP)
        self.lane = remainder(spot.thread, WARP)
        height, width = tile.rows // tile.down, tile.columns // tile.across
        self.starts = quotient(warp, tile.across) * height, remainder(warp, tile.across) * width
        """Row and column of the tile at which the warp's part begins."""
        self.counts = height // HEIGHT, width // WIDTH
        """Matrices of the warp's part, down and across."""
        self.has_copies = any(factor.staging.is_copied for factor in factors)
        registers = self.writer.registers
        self.stagers = [
            Stager(
                self.writer,
                factor,
                spot.thread,
                start,
                spot.sizes,
                spot.values,
                buffer,
                None
                if factor.staging.is_copied
                else registers(f"next_{buffer.name}", buffer.dtype, factor.staging.each * factor.staging.group),
            )
            for factor, start, buffer in zip(factors, (spot.row, spot.column), shared)
        ]
        self.left = registers("a", u32, 4 * self.counts[0])
        self.right = registers("b", u32, 2 * self.counts[1])
        self.sums = registers("sums", f32, 4 * self.counts[0] * self.counts[1])

    def write(self) -> None:
        """All of it."""
        w, steps, lag = self.writer, self.arithmetic.steps, self.stages - 1
        count = quotient(self.spot.depth + steps - 1, steps)
        with w.loop("i", 4 * self.counts[0] * self.counts[1], LoopKind.UNROLLED) as i:
            w.store(self.sums, i, literal(0, f32))
        with w.loop("s", count + lag, LoopKind.SERIAL) as s:
            has_more = self._holds(s, count)
            with w.when(has_more):
                for stager in self.stagers:
                    stager.load(self.spot.first + s * steps, self._place(stager, s))
            if self.has_copies:
                w.add(CommitCopies())
            with w.when(self._holds(lag - 1, s)):
                self._multiply(s - lag)
            with w.when(has_more):
                for stager in self.stagers:
                    stager.store(self._place(stager, s))
            if self.has_copies:
                w.add(WaitCopies(lag - 1))
            w.barrier()
        self._finish()

    def _holds(self, index: Size, extent: Size) -> Operand | None:
        """Whether the index is below the extent; None: always."""
        found = is_below(self.writer, index, extent)
        return None if isinstance(found, bool) else found

    def _place(self, stager: Stager, number: Size) -> Size:
        return remainder(number, self.stages) * stager.factor.size

    def _multiply(self, number: Size) -> None:
        """Add the products of a tile."""
        w, depth = self.writer, self.arithmetic.depth
        places = [self._place(stager, number) for stager in self.stagers]
        load = self._load_elements if self.arithmetic.dtype is u32 else self._load_matrices
        with w.loop("k", self.arithmetic.steps // depth, LoopKind.UNROLLED) as k:
            load(places, k * depth)
            with (
                w.loop("i", self.counts[0], LoopKind.UNROLLED) as i,
                w.loop("j", self.counts[1], LoopKind.UNROLLED) as j,
            ):
                at = 4 * (i * self.counts[1] + j)
                left = tuple([w.load(self.left, 4 * i + e) for e in range(4)])
                right = tuple([w.load(self.right, 2 * j + e) for e in range(2)])
                addend = tuple([w.load(self.sums, at + e) for e in range(4)])
                outs = tuple([Value("sum", f32) for _ in range(4)])
                w.add(MultiplyMatrices(outs, left, right, addend, self.arithmetic.name))
                for e, out in enumerate(outs):
                    w.store(self.sums, at + e, out)

    def _load_matrices(self, places: list[Size], k: Size) -> None:
        """The parts of both factors: four 8 x 8 matrices at once."""
        w, lane = self.writer, self.lane
        low, middle, high = remainder(lane, 8), remainder(quotient(lane, 8), 2), quotient(lane, 16)
        with w.loop("i", self.counts[0], LoopKind.UNROLLED) as i:
            # Matrices in order: rows 0 to 7 and 8 to 15, then both further along the depth.
            row = self.starts[0] + HEIGHT * i
            if self.factors[0].layout.is_depth_major:
                at = row + 8 * middle, k + low + 8 * high
            else:
                at = row + low + 8 * middle, k + 8 * high
            self._load_four(0, places[0], at, self.left, 4 * i)
        with w.loop("j", self.counts[1] // 2, LoopKind.UNROLLED) as j:
            # Matrices in order: columns 0 to 7, the same further along the depth, then columns 8 to 15.
            column = self.starts[1] + 2 * WIDTH * j
            if self.factors[1].layout.is_depth_major:
                at = column + 8 * high, k + low + 8 * middle
            else:
                at = column + low + 8 * high, k + 8 * middle
            self._load_four(1, places[1], at, self.right, 4 * j)

    def _load_four(self, side: int, place: Size, at: tuple[Size, Size], part: Buffer, first: Size) -> None:
        w, layout = self.writer, self.factors[side].layout
        outs = tuple([Value("part", u32) for _ in range(4)])
        w.add(LoadMatrix(outs, self.shared[side], place + layout.index(*at), layout.is_depth_major))
        for e, out in enumerate(outs):
            w.store(part, first + e, out)

    def _load_elements(self, places: list[Size], k: Size) -> None:
        """The parts of both factors, element by element."""
        w = self.writer
        row, column = quotient(self.lane, 4), remainder(self.lane, 4)
        with w.loop("i", self.counts[0], LoopKind.UNROLLED) as i:
            for e in range(4):
                at = self.starts[0] + HEIGHT * i + row + 8 * (e % 2), k + column + 4 * (e // 2)
                w.store(self.left, 4 * i + e, w.load(self.shared[0], places[0] + self.factors[0].layout.index(*at)))
        with w.loop("j", self.counts[1], LoopKind.UNROLLED) as j:
            for e in range(2):
                at = self.starts[1] + WIDTH * j + row, k + column + 4 * e
                w.store(self.right, 2 * j + e, w.load(self.shared[1], places[1] + self.factors[1].layout.index(*at)))

    def _finish(self) -> None:
        """The epilogue: pairs of neighbours in a row."""
        w, spot = self.writer, self.spot
        row, column = quotient(self.lane, 4), 2 * remainder(self.lane, 4)
        width = spot.result_width(2)
        with w.loop("i", self.counts[0], LoopKind.UNROLLED) as i, w.loop("h", 2, LoopKind.UNROLLED) as h:
            m = self.starts[0] + HEIGHT * i + 8 * h + row
            with (
                w.when(spot.row_holds(m)),
                w.loop("j", self.counts[1], LoopKind.UNROLLED) as j,
                w.loop("u", 2 // width, LoopKind.UNROLLED) as u,
            ):
                n = self.starts[1] + WIDTH * j + column + width * u
                with w.when(spot.column_holds(n)), w.loop("v", width, LoopKind.VECTOR) as v:
                    at = 4 * (i * self.counts[1] + j) + 2 * h + width * u + v
                    spot.finish(m, n + v, w.load(self.sums, at))
