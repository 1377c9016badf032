"""Long reductions of few results, for all of a GPU: kernels one after the other.

In: the call of a kernel whose rows (or columns) are so few and so long that one team each would leave most of the GPU
idle: `lower` reduces them in blocks. Out: for each such reduction a kernel that reduces the blocks of all rows, and one
that combines them and does what follows, up to the next one; and a kernel for long loops along the rows. Between them
are blocks' results, and results of reductions, in memory; scalar code is done again where it is wanted. The bits are
the same: the blocks are the fixed tree's own.

    m = reduce max of reduce max x[row, ...];  s = reduce sum of reduce sum exp(x[row, ...] - m);  y[row] = s / m
    1. partial[row, r] = reduce max x[row, r, ...]       2. m[row] = reduce max partial[row, r]
    3. partial[row, r] = reduce sum exp(x[...] - m[row])   4. s = reduce sum partial[row, r];  y[row] = s / m[row]
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Final

from graphc.ir.dim import Size, bounds
from graphc.kernel.gpu import GpuTarget
from graphc.kernel.ir import (
    BLOCK,
    Buffer,
    Check,
    Load,
    Loop,
    LoopKind,
    Reduce,
    Statement,
    Store,
    Value,
    statements_in,
)
from graphc.passes.gpu.build import finish
from graphc.passes.gpu.row_memory import along
from graphc.passes.gpu.row_nest import RowNest, find_rows, inner_reductions, scratch_of, without_scratch
from graphc.passes.gpu.rows import computes_scratch_simply, depends_on_row, keeps_rows, runs_down_columns
from graphc.passes.gpu.slice import needed_by
from graphc.passes.lower import KernelCall, Scratch

FEW_ROWS: Final = 128
"""Rows that are cut into their blocks: so many teams leave some of a GPU idle."""
VERY_LONG_ROW: Final = 8 * BLOCK
"""Elements of a row from which on another launch takes little of the time that it needs."""
FEW_LONG_ROWS: Final = 512
"""Such rows that are cut: by a block each, some multiprocessors would have another row than the others to do."""
FEW_COLUMNS: Final = 1024
"""The same for columns, of which a block has several."""
LONG_LOOP: Final = 1 << 15
"""Iterations of a loop along a row that one team should not have for itself."""


def in_stages(call: KernelCall, target: GpuTarget) -> tuple[KernelCall, ...] | None:
    """The stages' calls, yet to be scheduled; None where the kernel is better left as it is."""
    nest = find_rows(call.kernel)
    if nest is None or not computes_scratch_simply(nest) or depends_on_row(nest):
        return None
    are_columns = runs_down_columns(nest)
    shortest = min((bounds(way.length)[0] for s in nest.body if (way := along(s)) is not None), default=0)
    few_rows = FEW_ROWS if shortest < VERY_LONG_ROW else FEW_LONG_ROWS
    if bounds(nest.rows)[1] > (FEW_COLUMNS if are_columns else few_rows):
        return None
    if not are_columns and keeps_rows(nest, target):
        # One block does such a row in about ten microseconds, which are as many launches as it would take stages.
        return None
    nest = without_scratch(nest, scratch_of(nest.body) or {})
    if not any(_is_long(statement) for statement in nest.body):
        return None
    return _Stages(call, nest, are_columns).calls()


def _is_long(statement: Statement) -> bool:
    """Whether there are several blocks to reduce, or many iterations to do."""
    if isinstance(statement, Reduce):
        longest = max((bounds(each.extent)[1] for each in inner_reductions(statement)), default=0)
        return isinstance(statement.element, Value) and bounds(statement.extent)[1] * longest > BLOCK
    return isinstance(statement, Loop) and bounds(statement.extent)[1] >= LONG_LOOP


@dataclass(slots=True)
class _Stages:
    """The stages so far."""

    call: KernelCall
    nest: RowNest
    are_columns: bool
    made: list[KernelCall] = field(default_factory=list)
    scratch: dict[Buffer, Scratch] = field(default_factory=dict)
    saved: dict[Value, Buffer] = field(default_factory=dict)
    """Results of reductions of earlier stages, one for each row."""
    history: list[Statement] = field(default_factory=list)
    """What rows have done, in order."""
    stage: list[Statement] = field(default_factory=list)
    """Of that, what no kernel does yet."""

    def calls(self) -> tuple[KernelCall, ...]:
        """All of them."""
        body = self.nest.body
        for number, statement in enumerate(body):
            if not _is_long(statement):
                self._then(statement)
            elif isinstance(statement, Reduce):
                self._end_stage_for((statement,), body[number:])
                self._then(self._in_blocks(statement))
            else:
                self._end_stage_for((statement,), body[number:])
                self._finish((*self._needed_by((statement,), self.history), statement))
        if any(isinstance(s, Store | Check) for s in statements_in(self.stage)):
            self._end_stage(())
        return tuple(self.made)

    def _then(self, statement: Statement) -> None:
        self.history.append(statement)
        self.stage.append(statement)

    def _in_blocks(self, reduce: Reduce) -> Reduce:
        """Add the kernel that reduces the blocks; the reduction of its results."""
        nest, element = self.nest, reduce.element
        assert isinstance(element, Value), "a reduction of reductions has their results as elements"
        at, row = reduce.symbol.size, self._row
        partial = self._memory("partial", element, nest.rows * reduce.extent)
        index = at * nest.rows + row if self.are_columns else row * reduce.extent + at
        needed = self._needed_by((reduce,), self.history)
        body = (*needed, *reduce.body, Store(partial, index, element))
        outer = Loop(reduce.symbol, reduce.extent, LoopKind.PARALLEL, body)
        if self.are_columns:  # neighbouring columns stay neighbouring iterations
            inner = Loop(nest.symbol, nest.rows, LoopKind.PARALLEL, body)
            self.made.append(self._made((replace(outer, body=(inner,)),)))
        else:
            self._finish((outer,))
        out = Value(element.name, element.dtype)
        return replace(reduce, body=(Load(out, partial, index),), element=out)

    def _end_stage_for(self, next_: tuple[Statement, ...], rest: tuple[Statement, ...]) -> None:
        """Make the stage's kernel if what follows needs a result of its reductions."""
        wanted = {s.out for s in self._reductions_needed_by(next_)}
        is_needed = any(isinstance(s, Reduce) and s.out in wanted for s in self.stage)
        is_loop = any(isinstance(s, Loop) for s in next_) and any(isinstance(s, Reduce | Store) for s in self.stage)
        if is_needed or is_loop:
            self._end_stage(rest)

    def _end_stage(self, rest: tuple[Statement, ...]) -> None:
        """Make the stage's kernel, which saves the results of reductions that the rest needs."""
        wanted = {s.out for s in self._reductions_needed_by(rest)}
        stage = tuple(self.stage)
        before = self.history[: len(self.history) - len(stage)]
        stores: list[Statement] = []
        body = (*self._needed_by(stage, before), *stage)
        for statement in stage:
            if isinstance(statement, Reduce) and statement.out in wanted:
                self.saved[statement.out] = self._memory("saved", statement.out, self.nest.rows)
                stores.append(Store(self.saved[statement.out], self._row, statement.out))
        self._finish((*body, *stores))
        self.stage.clear()

    def _reductions_needed_by(self, statements: Iterable[Statement]) -> list[Reduce]:
        return [s for s in needed_by(statements, self.history) if isinstance(s, Reduce)]

    def _needed_by(self, statements: Iterable[Statement], before: list[Statement]) -> tuple[Statement, ...]:
        """The scalar code that the statements need of what was before, reading what was saved."""
        needed = needed_by(statements, before, frozenset(self.saved))
        return tuple(Load(s.out, self.saved[s.out], self._row) if isinstance(s, Reduce) else s for s in needed)

    @property
    def _row(self) -> Size:
        return 0 if self.nest.rows == 1 else self.nest.symbol.size

    def _memory(self, hint: str, value: Value, size: Size) -> Buffer:
        buffer = Buffer(f"{hint}{len(self.scratch)}", value.dtype, size)
        self.scratch[buffer] = Scratch(size, value.dtype)
        return buffer

    def _finish(self, body: tuple[Statement, ...]) -> None:
        """Add a kernel that does this for each row."""
        rows = Loop(self.nest.symbol, self.nest.rows, LoopKind.PARALLEL, body)
        self.made.append(self._made(body if self.nest.rows == 1 else (rows,)))

    def _made(self, body: tuple[Statement, ...]) -> KernelCall:
        return finish(self.call, (*self.nest.prefix, *body), self.scratch)
