"""The micro-kernel: a tile of totals held in registers while it sums the products of one depth block.

In: a tile's shape and the target. Out: the text of an LLVM function

    tile(i64 depth, ptr left, ptr offsets, i64 left_step, ptr right, i64 right_step, ptr totals, i1 first)

which computes, for every row r and column c of the tile, the sum over k = 0 .. depth - 1, in order, of left(r, k) times
right(k, c), by fused multiply-add from 0 (multiply and add for integers and where the machine can't fuse). It stores
the sums into `totals`, or adds them to what is there unless `first`. Steps are bytes from one k to the next:

    left(r, k)   at left + offset(r) + k * left_step;  `offsets` holds one i64 per row, not read by a packed tile
    right(k, c)  at right + c * size + k * right_step
    totals       rows * columns elements in order of rows, aligned to 64

The offsets are a table, and not a stride, for two reasons: rows past the end can repeat the last one, and LLVM's
strength reduction would turn a stride into a chain of additions longer than the multiplications of a narrow tile.

>>> from graphc.runtime.target import named_target
>>> choose_tile(named_target("x86-64-v4"), "float", 1024, 1024)
Tile(rows=6, vectors=4, lanes=16, scalar='float', packed_left=False, is_single=False)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from graphc.codegen.emitter import Module, type_suffix, vector_type
from graphc.codegen.target import Target
from graphc.ir.dim import Size, bounds

SCALAR_BYTES: Final = {"float": 4, "double": 8, "i8": 1, "i16": 2, "i32": 4, "i64": 8}
"""Bytes of the types that contractions accumulate in."""

_MOST_ROWS: Final = 8
"""Each row takes an address register; eight leave room for the other addresses."""
_MOST_VECTORS: Final = 8


@dataclass(frozen=True, slots=True)
class Tile:
    """A register tile: `rows` by `vectors` vectors of `lanes` elements of an LLVM type."""

    rows: int
    vectors: int
    lanes: int
    scalar: str
    packed_left: bool = False
    """Whether the left elements of one k lie side by side."""
    is_single: bool = False
    """Whether there is one depth block only, so that nothing is added to totals; `first` is ignored."""

    @property
    def columns(self) -> int:
        """Elements in a row."""
        return self.vectors * self.lanes

    @property
    def size(self) -> int:
        """Bytes of an element."""
        return SCALAR_BYTES[self.scalar]

    @property
    def bytes(self) -> int:
        """Bytes of the tile's totals."""
        return self.rows * self.columns * self.size

    @property
    def name(self) -> str:
        """The function's name."""
        kind = ("packed" if self.packed_left else "rows") + ("_single" if self.is_single else "")
        return f"tile_{type_suffix(self.scalar, 1)}_{self.rows}x{self.columns}_{kind}"

    @property
    def is_float(self) -> bool:
        """Whether products may be fused with sums."""
        return self.scalar in ("float", "double")


def lanes_of(target: Target, scalar: str) -> int:
    """Elements in a vector register."""
    return target.vector_bits // (8 * SCALAR_BYTES[scalar])


def choose_tile(target: Target, scalar: str, rows: Size, columns: Size) -> Tile:
    """The tile of least cost for a contraction of that size; sizes not known count as large.

    The cost of one k for a tile is, in cycles, what takes longest: two multiplications and two loads can begin in one
    cycle, a sum waits four cycles for the one before it, and the right side has to come from the second-level cache.
    """
    lanes = lanes_of(target, scalar)
    best: tuple[float, Tile] | None = None
    for tile_rows in range(1, _MOST_ROWS + 1):
        for vectors in range(1, _MOST_VECTORS + 1):
            if registers(target, scalar, tile_rows, vectors) > target.vector_registers:
                break
            tile = Tile(tile_rows, vectors, lanes, scalar)
            cost = _cost(tile, rows, columns)
            if best is None or cost < best[0] * 0.999:
                best = cost, tile
    assert best is not None, f"{scalar} has no tile on this target"
    return best[1]


def edge_vectors(tile: Tile, columns: Size) -> int:
    """Vectors of the tile for the columns that full tiles leave; 0 where they leave none, 1 where it is not known."""
    if not isinstance(columns, int):
        return 1
    return -(-(columns % tile.columns) // tile.lanes)


def registers(target: Target, scalar: str, rows: int, vectors: int) -> int:
    """Vector registers that a tile needs: totals, a row of the right side, one of the left, and for products."""
    is_float = scalar in ("float", "double")
    if is_float:
        # A broadcast that is used once, or can be an operand of the multiplication, still takes a register elsewhere.
        temporaries = 1 if target.has_fma else 2
    else:
        native = scalar == "i16" or (scalar == "i32" and (target.has_avx2 or target.arch == "aarch64"))
        temporaries = 3 if native else 4 if scalar == "i64" and target.has_avx512 else 8
    return rows * vectors + vectors + temporaries


_TYPICAL: Final = 1000
"""What a size that is not known is taken for."""
_TWO_KINDS: Final = 1.04
"""What a second kind of tile, for the columns that full ones leave, may cost: its code has to be compiled."""


def _cost(tile: Tile, rows: Size, columns: Size) -> float:
    m = rows if isinstance(rows, int) else min(bounds(rows)[1], _TYPICAL)
    n = columns if isinstance(columns, int) else min(bounds(columns)[1], _TYPICAL)
    full, rest = divmod(n, tile.columns)
    vector_bytes = tile.lanes * tile.size
    per_row_of_tiles = full * _cycles(tile.rows, tile.vectors, vector_bytes)
    if rest:
        vectors = edge_vectors(tile, columns)
        per_row_of_tiles += -(-rest // (vectors * tile.lanes)) * _cycles(tile.rows, vectors, vector_bytes)
    return -(-m // tile.rows) * per_row_of_tiles * (_TWO_KINDS if full and rest else 1.0)


def _cycles(rows: int, vectors: int, vector_bytes: int) -> float:
    multiplications = rows * vectors / 2
    loads = (rows + vectors) / 2
    # A strip of the right side overflows the first-level cache and comes from the second, some 24 bytes a cycle.
    transfer = vectors * vector_bytes / 24
    # The last addend is what a tile costs besides, spread over a depth block: its stores, and its epilogue's start.
    return max(multiplications, loads, transfer, 4.0) + 0.5


def define_tile(module: Module, tile: Tile) -> str:
    """The name of the tile's function, which is added to the module unless it is there."""
    if module.has_function(tile.name):
        return tile.name
    vector = vector_type(tile.scalar, tile.lanes)
    if tile.is_float and module.target.has_fma:
        module.declare(f"{vector} @llvm.fma.{type_suffix(tile.scalar, tile.lanes)}({vector}, {vector}, {vector})")
    module.add_function(tile_text(tile, module.target), tile.name)
    return tile.name


def tile_text(tile: Tile, target: Target) -> str:
    """The function."""
    vector, size = vector_type(tile.scalar, tile.lanes), tile.size
    cells = [(row, v) for row in range(tile.rows) for v in range(tile.vectors)]
    lines = [
        f"define internal void @{tile.name}(i64 %depth, ptr noalias readonly %left, ptr noalias readonly %offsets, "
        f"i64 %left_step, ptr noalias readonly %right, i64 %right_step, ptr noalias %totals, i1 %first) "
        f"noinline {target.function_attributes} {{",
        "entry:",
    ]
    offsets = [str(row * size) for row in range(tile.rows)]
    if not tile.packed_left:
        for row in range(tile.rows):
            offsets[row] = f"%offset{row}"
            lines += [
                f"%slot{row} = getelementptr i64, ptr %offsets, i64 {row}",
                f"%offset{row} = load i64, ptr %slot{row}, align 8",
            ]
    lines += ["%any = icmp sgt i64 %depth, 0", "br i1 %any, label %loop, label %sums", "loop:"]
    lines += [
        "%k = phi i64 [ 0, %entry ], [ %k_next, %loop ]",
        "%l = phi ptr [ %left, %entry ], [ %l_next, %loop ]",
        "%r = phi ptr [ %right, %entry ], [ %r_next, %loop ]",
    ]
    lines += [f"%c{i}_{v} = phi {vector} [ zeroinitializer, %entry ], [ %n{i}_{v}, %loop ]" for i, v in cells]
    for v in range(tile.vectors):
        lines += [
            f"%rp{v} = getelementptr i8, ptr %r, i64 {v * tile.lanes * size}",
            f"%r{v} = load {vector}, ptr %rp{v}, align {size}",
        ]
    for row in range(tile.rows):
        lines += [
            f"%lp{row} = getelementptr i8, ptr %l, i64 {offsets[row]}",
            f"%ls{row} = load {tile.scalar}, ptr %lp{row}, align {size}",
            f"%li{row} = insertelement {vector} poison, {tile.scalar} %ls{row}, i64 0",
            f"%l{row} = shufflevector {vector} %li{row}, {vector} poison, <{tile.lanes} x i32> zeroinitializer",
        ]
        for v in range(tile.vectors):
            lines += _accumulate(tile, target, vector, f"%l{row}", f"%r{v}", f"{row}_{v}")
    lines += [
        "%l_next = getelementptr i8, ptr %l, i64 %left_step",
        "%r_next = getelementptr i8, ptr %r, i64 %right_step",
        "%k_next = add nuw nsw i64 %k, 1",
        "%more = icmp slt i64 %k_next, %depth",
        "br i1 %more, label %loop, label %sums",
        "sums:",
    ]
    lines += [f"%s{i}_{v} = phi {vector} [ zeroinitializer, %entry ], [ %n{i}_{v}, %loop ]" for i, v in cells]
    for i, v in cells:
        lines.append(f"%p{i}_{v} = getelementptr i8, ptr %totals, i64 {(i * tile.vectors + v) * tile.lanes * size}")
    align = tile.lanes * size
    stores = [f"store {vector} %s{i}_{v}, ptr %p{i}_{v}, align {align}" for i, v in cells]
    if tile.is_single:
        return "\n".join((*lines, *stores, "ret void", "}"))
    lines += ["br i1 %first, label %set, label %add", "set:", *stores, "ret void", "add:"]
    plus = "fadd" if tile.is_float else "add"
    for i, v in cells:
        lines += [
            f"%o{i}_{v} = load {vector}, ptr %p{i}_{v}, align {align}",
            f"%t{i}_{v} = {plus} {vector} %o{i}_{v}, %s{i}_{v}",
            f"store {vector} %t{i}_{v}, ptr %p{i}_{v}, align {align}",
        ]
    lines += ["ret void", "}"]
    return "\n".join(lines)


def _accumulate(tile: Tile, target: Target, vector: str, left: str, right: str, cell: str) -> list[str]:
    if tile.is_float and target.has_fma:
        function = f"@llvm.fma.{type_suffix(tile.scalar, tile.lanes)}"
        return [f"%n{cell} = call {vector} {function}({vector} {left}, {vector} {right}, {vector} %c{cell})"]
    times, plus = ("fmul", "fadd") if tile.is_float else ("mul", "add")
    return [
        f"%m{cell} = {times} {vector} {left}, {right}",
        f"%n{cell} = {plus} {vector} %m{cell}, %c{cell}",
    ]
