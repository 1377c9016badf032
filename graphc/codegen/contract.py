"""Contractions: packed panels, the micro-kernel over tiles, the epilogue over each finished tile.

In: a `Contract` statement. Out: code of the current function, which runs on every thread of the pool where the
statement is parallel. The loops are those of BLIS (Van Zee and van de Geijn: BLIS, 2015), with depth blocks inside
blocks of rows and columns, so that partial totals are bounded scratch and each result is written once:

    for a block of columns, of rows
        for a depth block                     CONTRACT_BLOCK products: the totals of blocks are added in order
            pack the right side's strips      (where there is one part of rows: each in its turn)
            for a part of the rows            as much of the left side as the second-level cache holds
                pack the left side's strips
                for a strip, for a tile       the micro-kernel; after the last depth block the epilogue

A side that is memory with strides is read where it lies if that is no slower. What is computed does not depend on any
of these choices, on the sizes of blocks or the number of threads: an element's products are summed in one order.

Scratch comes from the thread's workspace (`e.workspace`), of which a kernel needs
`graphc.codegen.contract_plan.workspace_bytes`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from graphc.codegen.arithmetic import (
    address,
    compare,
    divide,
    divide_up,
    extend,
    greatest,
    is_known,
    least,
    minus,
    plus,
    round_up,
    times,
)
from graphc.codegen.body import emit_body
from graphc.codegen.contract_plan import FEW_ROWS, Plan, plan_contract, turned
from graphc.codegen.contract_share import THREAD_WORK, Range, blocks, share
from graphc.codegen.emitter import Emitter, VectorContext, vector_type
from graphc.codegen.index import index
from graphc.codegen.lanes import fits_lanes
from graphc.codegen.microkernel import Tile, define_tile
from graphc.codegen.packing import (
    StridedAccess,
    Strip,
    copy_runs,
    first_lanes,
    pack_across,
    pack_along,
    runs_along,
    transpose_runs,
)
from graphc.kernel.ir import CONTRACT_BLOCK, Contract


def emit_contract(e: Emitter, statement: Contract) -> None:
    """Emit the statement."""
    assert e.context is None, "a contraction is no part of vector code"
    with e.scope():
        statement = turned(statement, e.target)
        _Contraction(e, statement, plan_contract(statement, e.target)).emit()


@dataclass(frozen=True, slots=True)
class _Depth:
    """A depth block."""

    start: str
    stop: str
    room: str
    """Its size, rounded up as packed strips are."""
    is_first: str
    is_last: str
    keeps: str
    """1 where totals are kept for further blocks; 0 where one tile's scratch serves all."""


@dataclass(frozen=True, slots=True)
class _Strips:
    """Strips of one width in a block: `count` of them from column `first`."""

    tile: Tile
    first: str
    count: str
    packed: str
    """Pointer to the first packed strip."""
    totals: str
    """Pointer to the totals of the first strip."""
    is_edge: bool


@dataclass(slots=True)
class _Contraction:
    """Writes the code of one contraction."""

    e: Emitter
    statement: Contract
    plan: Plan
    offsets: str = ""
    """Table of the left rows' offsets, twice: for whole tiles, then for the last one."""
    read_in_place: str = "false"
    """Whether full strips of the right side are read where they lie."""

    def emit(self) -> None:
        """The whole."""
        e, statement = self.e, self.statement
        rows, columns, depth = (index(e, size) for size in (statement.rows, statement.columns, statement.depth))
        whole = Range("0", rows), Range("0", columns)
        if not statement.parallel:
            self._part_of_thread(*whole, depth)
            return
        work = times(e, times(e, rows, columns), greatest(e, depth, 1))
        if is_known(work) and int(work) < THREAD_WORK:
            with e.branch(compare(e, "eq", e.thread, 0)):
                self._part_of_thread(*whole, depth)
            return
        self._part_of_thread(*share(e, self.plan.tile, rows, columns, work), depth)

    def _part_of_thread(self, rows: Range, columns: Range, depth: str) -> None:
        """The rows and columns that a thread computes."""
        e, plan, statement = self.e, self.plan, self.statement
        row_count = minus(e, rows.stop, rows.start)
        if plan.can_read_right:
            self.read_in_place = compare(e, "sle", row_count, FEW_ROWS)
        if not plan.tile.packed_left:
            self._make_offsets(row_count)
        with (
            blocks(e, columns, plan.column_block, plan.tile.columns, statement.columns) as columns_here,
            blocks(e, rows, plan.row_block, plan.tile.rows, statement.rows) as rows_here,
        ):
            self._block(rows_here, columns_here, depth)

    def _make_offsets(self, row_count: str) -> None:
        """Fill the tables of row offsets. In the last tile, rows past the end repeat the last row."""
        e, plan, tile = self.e, self.plan, self.plan.tile
        assert plan.left is not None
        self.offsets = e.allocate_stack("i64", str(2 * tile.rows))
        step = times(e, index(e, plan.left.across), tile.size)
        left_over = minus(e, row_count, times(e, divide(e, row_count, tile.rows), tile.rows))
        last = minus(e, left_over, 1)
        for row in range(tile.rows):
            for table, position in ((0, str(row)), (1, least(e, str(row), last))):
                slot = address(e, self.offsets, 8 * (table * tile.rows + row))
                e.line(f"store i64 {times(e, step, position)}, ptr {slot}, align 8")

    def _block(self, rows: Range, columns: Range, depth: str) -> None:
        """The totals of a block of rows and columns, and their epilogue."""
        e = self.e
        count = greatest(e, divide_up(e, depth, CONTRACT_BLOCK), 1)
        with e.loop("0", count, known_nonempty=True) as block:
            is_single = count == "1"
            start = "0" if is_single else times(e, block, CONTRACT_BLOCK)
            stop = depth if is_single else least(e, plus(e, start, CONTRACT_BLOCK), depth)
            here = _Depth(
                start,
                stop,
                room=round_up(e, minus(e, stop, start), self.plan.tile.lanes),
                is_first="true" if is_single else compare(e, "eq", block, "0"),
                is_last="true" if is_single else compare(e, "eq", block, minus(e, count, 1)),
                keeps=extend(e, compare(e, "sgt", count, 1)),
            )
            strips = self._strips(rows, columns, here)
            if not self.plan.packs_in_turn:
                for kind in strips:
                    self._pack_right(kind, columns, here)
            part = self.plan.row_part
            with blocks(e, rows, part, self.plan.tile.rows, self.statement.rows) as rows_here:
                if self.plan.tile.packed_left:
                    self._pack_left(rows_here, here)
                for kind in strips:
                    self._strip_loops(kind, rows, rows_here, columns, here)

    def _strips(self, rows: Range, columns: Range, depth: _Depth) -> list[_Strips]:
        """The full strips of a block, then those of its edge."""
        e, plan = self.e, self.plan
        width = minus(e, columns.stop, columns.start)
        count = divide(e, width, plan.tile.columns)
        packed = address(e, e.workspace, plan.right_offset)
        totals = address(e, e.workspace, plan.totals_offset)
        full = _Strips(plan.tile, columns.start, count, packed, totals, is_edge=False)
        kinds = [] if count == "0" else [full]
        if plan.edge is not None:
            covered = times(e, count, plan.tile.columns)
            if not plan.packs_in_turn:
                packed = address(e, packed, times(e, times(e, covered, depth.room), plan.tile.size))
            tiles = times(e, count, divide_up(e, minus(e, rows.stop, rows.start), plan.tile.rows))
            totals = address(e, totals, times(e, times(e, depth.keeps, tiles), plan.tile.bytes))
            edges = divide_up(e, minus(e, width, covered), plan.edge.columns)
            kinds.append(_Strips(plan.edge, plus(e, columns.start, covered), edges, packed, totals, is_edge=True))
        return kinds

    # Packing

    def _pack_right(self, strips: _Strips, columns: Range, depth: _Depth) -> None:
        """Pack all of the strips."""
        e, count = self.e, strips.count
        if not strips.is_edge and self.read_in_place == "true":
            return
        if not strips.is_edge and self.read_in_place != "false":
            count = e.emit(f"select i1 {self.read_in_place}, i64 0, i64 {count}")
        with e.loop("0", count) as s:
            self._pack_right_strip(self._right_strip(strips, s, columns, depth), is_full=not strips.is_edge)

    def _pack_in_turn(self, strips: _Strips, s: str, columns: Range, depth: _Depth) -> None:
        """Pack one of the strips, just before it is used."""
        if strips.is_edge or self.read_in_place == "false":
            self._pack_right_strip(self._right_strip(strips, s, columns, depth), is_full=not strips.is_edge)
        elif self.read_in_place != "true":
            with self.e.branch(self.e.emit(f"xor i1 {self.read_in_place}, true")):
                self._pack_right_strip(self._right_strip(strips, s, columns, depth), is_full=True)

    def _right_strip(self, strips: _Strips, s: str, columns: Range, depth: _Depth) -> Strip:
        e, statement, tile = self.e, self.statement, strips.tile
        first = plus(e, strips.first, times(e, s, tile.columns))
        return Strip(
            statement.right,
            statement.n,
            statement.k,
            tile.scalar,
            first,
            valid=minus(e, columns.stop, first) if strips.is_edge else str(tile.columns),
            width=tile.columns,
            start=depth.start,
            stop=depth.stop,
            target=self._packed_strip(strips, s, depth),
        )

    def _packed_strip(self, strips: _Strips, s: str, depth: _Depth) -> str:
        """Where a strip lies once it is packed."""
        if self.plan.packs_in_turn:
            return strips.packed
        size = times(self.e, depth.room, strips.tile.columns * strips.tile.size)
        return address(self.e, strips.packed, times(self.e, s, size))

    def _pack_right_strip(self, strip: Strip, is_full: bool) -> None:
        e, lanes, right = self.e, self.plan.tile.lanes, self.plan.right
        if right is not None and right.across == 1 and is_full:
            step = times(e, index(e, right.along), strip.size)
            copy_runs(e, self._place(right, strip.first, strip.start), step, strip, lanes)
            return
        if runs_along(strip.panel, strip.across, strip.along) and fits_lanes(strip.panel.body, strip.along.name):
            if right is not None and right.along == 1 and is_full:
                step = times(e, index(e, right.across), strip.size)
                source = self._place(right, strip.first, strip.start)
                done = transpose_runs(e, source, step, strip, lanes)
                strip = replace(
                    strip,
                    start=done,
                    target=address(e, strip.target, times(e, minus(e, done, strip.start), strip.width * strip.size)),
                )
            pack_along(e, strip, lanes, self._square())
            return
        pack_across(e, strip, lanes if fits_lanes(strip.panel.body, strip.across.name) else 1)

    def _pack_left(self, rows: Range, depth: _Depth) -> None:
        e, statement, tile = self.e, self.statement, self.plan.tile
        count = divide_up(e, minus(e, rows.stop, rows.start), tile.rows)
        with e.loop("0", count) as s:
            first = plus(e, rows.start, times(e, s, tile.rows))
            strip = Strip(
                statement.left,
                statement.m,
                statement.k,
                tile.scalar,
                first,
                valid=minus(e, rows.stop, first),
                width=tile.rows,
                start=depth.start,
                stop=depth.stop,
                target=address(e, e.workspace, self._left_bytes(s, depth)),
            )
            body = statement.left.body
            if runs_along(statement.left, statement.m, statement.k) and fits_lanes(body, statement.k.name):
                pack_along(e, strip, tile.lanes, self._square())
            else:
                lanes = 1 << (tile.rows - 1).bit_length()
                pack_across(e, strip, lanes if fits_lanes(body, statement.m.name) else 1)

    def _left_bytes(self, strip: str, depth: _Depth) -> str:
        return times(self.e, times(self.e, strip, depth.room), self.plan.tile.rows * self.plan.tile.size)

    def _square(self) -> str:
        return address(self.e, self.e.workspace, self.plan.square_offset)

    def _place(self, access: StridedAccess, across: str, along: str) -> str:
        """Pointer to an element of a side that lies in memory."""
        e, size = self.e, self.plan.tile.size
        position = plus(e, index(e, access.start), times(e, index(e, access.across), across))
        position = plus(e, position, times(e, index(e, access.along), along))
        return address(e, e.buffers[access.buffer].name, times(e, position, size))

    # Tiles

    def _strip_loops(self, strips: _Strips, all_rows: Range, rows: Range, columns: Range, depth: _Depth) -> None:
        """The micro-kernel over the tiles of some rows in the strips; after the last depth block, the epilogue."""
        e, tile = self.e, strips.tile
        function = define_tile(e.module, tile)
        tiles = divide_up(e, minus(e, rows.stop, rows.start), tile.rows)
        size = minus(e, depth.stop, depth.start)
        with e.loop("0", strips.count) as s:
            first = plus(e, strips.first, times(e, s, tile.columns))
            if self.plan.packs_in_turn:
                self._pack_in_turn(strips, s, columns, depth)
            right = self._packed_strip(strips, s, depth)
            right_step = str(tile.columns * tile.size)
            if not strips.is_edge and self.read_in_place != "false":
                access = self.plan.right
                assert access is not None
                there = self._place(access, first, depth.start)
                right = e.emit(f"select i1 {self.read_in_place}, ptr {there}, ptr {right}")
                along = times(e, index(e, access.along), tile.size)
                right_step = e.emit(f"select i1 {self.read_in_place}, i64 {along}, i64 {right_step}")
            step = times(e, depth.keeps, tile.bytes)
            before = divide(e, minus(e, rows.start, all_rows.start), tile.rows)
            before = plus(e, before, times(e, s, divide_up(e, minus(e, all_rows.stop, all_rows.start), tile.rows)))
            totals_base = address(e, strips.totals, times(e, before, step))
            with e.loop("0", tiles) as t:
                row = plus(e, rows.start, times(e, t, tile.rows))
                left, offsets, left_step = self._left(t, row, rows, depth)
                totals = address(e, totals_base, times(e, t, step))
                e.line(
                    f"call void @{function}(i64 {size}, ptr {left}, ptr {offsets}, i64 {left_step}, "
                    f"ptr {right}, i64 {right_step}, ptr {totals}, i1 {depth.is_first})"
                )
                with e.branch(depth.is_last):
                    self._epilogue(strips, totals, row, least(e, minus(e, rows.stop, row), tile.rows), first, columns)

    def _left(self, tile_number: str, row: str, rows: Range, depth: _Depth) -> tuple[str, str, str]:
        """Pointer to the left side's first element, table of offsets and step, for the tile that begins at `row`."""
        e, tile, access = self.e, self.plan.tile, self.plan.left
        if tile.packed_left:
            left = address(e, e.workspace, self._left_bytes(tile_number, depth))
            return left, "null", str(tile.rows * tile.size)
        assert access is not None
        is_whole = compare(e, "sge", minus(e, rows.stop, row), tile.rows)
        last_table = address(e, self.offsets, 8 * tile.rows)
        offsets = e.emit(f"select i1 {is_whole}, ptr {self.offsets}, ptr {last_table}")
        return self._place(access, row, depth.start), offsets, times(e, index(e, access.along), tile.size)

    def _epilogue(self, strips: _Strips, totals: str, row: str, row_count: str, column: str, columns: Range) -> None:
        """The epilogue for the elements of a tile that exist, in vectors along n."""
        e, statement, tile = self.e, self.statement, strips.tile
        # A contraction with one column, say, stores without regard to n.
        lanes = tile.lanes if fits_lanes(statement.epilogue, statement.n.name) else 1
        vector = vector_type(tile.scalar, lanes)
        valid = minus(e, columns.stop, column) if strips.is_edge else str(tile.columns)
        count = str(tile.columns // lanes)
        if strips.is_edge:
            count = least(e, divide_up(e, valid, lanes), count)
        context = None
        with e.loop("0", row_count, known_nonempty=True) as r:
            e.bind(statement.m, plus(e, row, r))
            line = address(e, totals, times(e, r, tile.columns * tile.size))
            with e.loop("0", count, known_nonempty=True) as v:
                offset = times(e, v, lanes)
                if lanes > 1:
                    mask = first_lanes(e, minus(e, valid, offset), lanes) if strips.is_edge else None
                    context = VectorContext(statement.n, lanes, mask)
                e.bind(statement.n, plus(e, column, offset), varying=lanes > 1)
                at = address(e, line, times(e, offset, tile.size))
                total = e.emit(f"load {vector}, ptr {at}, align {lanes * tile.size}")
                e.set_value(statement.acc, total, lanes)
                with e.vectorized(context):
                    emit_body(e, statement.epilogue)
