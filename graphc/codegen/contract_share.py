"""How a contraction's rows and columns are divided: among threads, and into blocks.

In: sizes as registers or constants. Out: ranges, which begin at multiples of a tile's rows or columns.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from graphc.codegen.arithmetic import divide, divide_up, greatest, least, minus, plus, round_up, times
from graphc.codegen.emitter import Emitter, Module
from graphc.codegen.microkernel import Tile
from graphc.ir.dim import Size, is_at_most

THREAD_WORK: Final = 1 << 17
"""Products that are worth a thread."""


@dataclass(frozen=True, slots=True)
class Range:
    """Sizes from `start`, below `stop`."""

    start: str
    stop: str


@contextmanager
def blocks(e: Emitter, whole: Range, most: int, unit: int, extent: Size) -> Iterator[Range]:
    """Code for each of the blocks of about equal size, at most `most`, that a range is cut into at multiples of
    `unit`; `extent` bounds the range's size."""
    if is_at_most(extent, most):
        yield whole
        return
    size = minus(e, whole.stop, whole.start)
    count = divide_up(e, size, most)
    step = round_up(e, divide_up(e, size, greatest(e, count, 1)), unit)
    with e.loop("0", count) as i:
        start = plus(e, whole.start, times(e, i, step))
        yield Range(least(e, start, whole.stop), least(e, plus(e, start, step), whole.stop))


def share(e: Emitter, tile: Tile, rows: str, columns: str, products: str) -> tuple[Range, Range]:
    """This thread's part of so many rows and columns: the threads form a grid, which divides them by whole tiles."""
    threads = least(e, e.threads, plus(e, divide(e, products, THREAD_WORK), 1))
    row_tiles, column_tiles = divide_up(e, rows, tile.rows), divide_up(e, columns, tile.columns)
    function = _define_grid(e.module)
    grid_rows = e.emit(
        f"call i64 @{function}(i64 {threads}, i64 {row_tiles}, i64 {column_tiles}, i64 {tile.rows}, i64 {tile.columns})"
    )
    grid_columns = divide(e, threads, grid_rows)
    row = e.emit(f"urem i64 {e.thread}, {grid_rows}")
    column = divide(e, e.thread, grid_rows)  # from grid_columns on for threads without work: an empty range
    return (
        _part(e, row, grid_rows, row_tiles, tile.rows, rows),
        _part(e, column, grid_columns, column_tiles, tile.columns, columns),
    )


def _part(e: Emitter, part: str, parts: str, tiles: str, unit: int, extent: str) -> Range:
    size = times(e, divide_up(e, tiles, parts), unit)
    start = least(e, times(e, part, size), extent)
    return Range(start, least(e, plus(e, start, size), extent))


def _define_grid(module: Module) -> str:
    """The name of a function (threads, row tiles, column tiles, rows of a tile, columns of a tile) that gives how many
    rows a grid of threads should have: the divisor of `threads` for which a thread has least to do."""
    name = "contract_grid"
    if not module.has_function(name):
        module.add_function(_GRID, name)
    return name


# Besides its products, a thread packs or moves its rows and columns, a column at the price of some 40 products.
_GRID = """
define internal i64 @contract_grid(i64 %threads, i64 %row_tiles, i64 %column_tiles, i64 %rows, i64 %columns) noinline {
entry:
  br label %loop
loop:
  %d = phi i64 [ 1, %entry ], [ %d_next, %next ]
  %best = phi i64 [ 1, %entry ], [ %best_next, %next ]
  %least = phi i64 [ 9223372036854775807, %entry ], [ %least_next, %next ]
  %rest = urem i64 %threads, %d
  %divides = icmp eq i64 %rest, 0
  br i1 %divides, label %try, label %next
try:
  %other = udiv i64 %threads, %d
  %r0 = add i64 %row_tiles, %d
  %r1 = sub i64 %r0, 1
  %r2 = udiv i64 %r1, %d
  %r = mul i64 %r2, %rows
  %c0 = add i64 %column_tiles, %other
  %c1 = sub i64 %c0, 1
  %c2 = udiv i64 %c1, %other
  %c = mul i64 %c2, %columns
  %rc = mul i64 %r, %c
  %pack_r = mul i64 %r, 16
  %pack_c = mul i64 %c, 40
  %pack = add i64 %pack_r, %pack_c
  %cost = add i64 %rc, %pack
  %is_less = icmp slt i64 %cost, %least
  %best_try = select i1 %is_less, i64 %d, i64 %best
  %least_try = select i1 %is_less, i64 %cost, i64 %least
  br label %next
next:
  %best_next = phi i64 [ %best, %loop ], [ %best_try, %try ]
  %least_next = phi i64 [ %least, %loop ], [ %least_try, %try ]
  %d_next = add i64 %d, 1
  %more = icmp ule i64 %d_next, %threads
  br i1 %more, label %loop, label %done
done:
  ret i64 %best_next
}"""
