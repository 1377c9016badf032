"""Runs the statements of a kernel in numpy, many iterations at a time, exactly as `graphc.kernel.ir` says.

Level: below `graphc.kernel.interpret`, which binds a kernel's buffers. In: a kernel, views of its buffers, sizes. Out:
changed buffers, and the codes of checks that failed.

The iterations of a loop that promises independence run at once: each of its symbols is an array with an axis of its
own in front of those of the loops around, and every value broadcasts against these. Statement after statement is then
one numpy operation. What iterations read and write is noted (`graphc.kernel.track`), so a promise that isn't kept is
an error. A serial loop is tried the same way, and run in turn where its iterations turn out to depend on each other.

Blocks and threads of a GPU are such loops, of which the threads of a block are never split; shared memory is scratch
of a block. Threads run in step, each statement is done by all of them before the next one: what a barrier is missing
for is found as a race, not as a wrong number.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from graphc.ir.dim import Size, Symbol, bounds, symbols
from graphc.ir.dtype import DType
from graphc.ir.host import parse_parameters, run_host
from graphc.ir.type import TensorType
from graphc.kernel.access import Dependence, Nest
from graphc.kernel.fault import KernelFault, OutOfBounds, UnwrittenRead
from graphc.kernel.fold import ArgFold, Fold
from graphc.kernel.index import Index
from graphc.kernel.ir import (
    CONTRACT_BLOCK,
    LANES,
    Allocate,
    Apply,
    Barrier,
    Bind,
    Buffer,
    Check,
    Choose,
    CommitCopies,
    Contract,
    CopyAsync,
    FenceShared,
    HostArray,
    HostCall,
    If,
    Kernel,
    Load,
    LoadMatrix,
    Loop,
    LoopKind,
    MultiplyMatrices,
    MultiplyShared,
    Panel,
    Position,
    Reduce,
    Shuffle,
    Space,
    Statement,
    Store,
    WaitCopies,
    WaitProducts,
    statements_in,
)
from graphc.kernel.products import Products
from graphc.kernel.scalar import evaluate
from graphc.kernel.track import Flags, Level, View

Array: TypeAlias = npt.NDArray[Any]

MOST_LANES: Final = 1 << 17
"""Iterations that run at once: enough to hide Python's part, few enough for the caches."""
ENOUGH_LANES: Final = 1 << 12
"""Iterations at once beyond which more hide no more of Python's part: noting what they touch would take longer."""
MOST_TILE: Final = 512
"""Rows and columns of a contraction that run at once."""


class Machine(Products):
    """The state of a run."""

    def __init__(self, kernel: Kernel, views: Mapping[Buffer, View], sizes: Mapping[str, int]) -> None:
        super().__init__(kernel, views, sizes)
        self.begin_threads()
        self.codes: list[int] = []
        self.in_turn_only: set[int] = set()
        """Serial loops, by identity, whose iterations depend on each other."""
        self.accesses: dict[int, tuple[tuple[Buffer, ...], tuple[Buffer, ...]]] = {}
        self.scratch: dict[int, tuple[Buffer, ...]] = {}
        """Of a body, by its identity: the buffers that it allocates."""

    def run(self) -> list[int]:
        """Run the kernel; the codes of the checks that failed, each once, in order of failing."""
        with np.errstate(all="ignore"):
            self.body(self.kernel.body, Nest((), None, ()))
        return list(dict.fromkeys(self.codes))

    def body(self, statements: tuple[Statement, ...], nest: Nest) -> None:
        """The statements of a body, one after the other, each for all iterations."""
        for statement in statements:
            self.statement(statement, nest)

    def statement(self, statement: Statement, nest: Nest) -> None:
        """One statement for all iterations."""
        match statement:
            case Apply(out, op, operands):
                self.values[out] = evaluate(op, out.dtype, *map(self.operand, operands))
            case Position(out, index):
                self.values[out] = evaluate("cast", out.dtype, np.asarray(self.index(index), np.int64))
            case Bind(symbol, extent, operand):
                self.symbols[symbol.name] = _clamped(self.operand(operand), self.index(extent))
            case Load():
                self.values[statement.out] = self.load(statement, nest)
            case Store():
                self.store(statement, nest)
            case Loop():
                self.loop(statement, nest)
            case Reduce():
                self.values[statement.out] = self.reduce(statement, nest)
            case Contract():
                self.contract(statement, nest)
            case Allocate(buffer):
                self.allocate(buffer, nest)
            case If(predicate, body):
                active = nest.active(self.operand(predicate))
                if active is None or active.any():
                    self.body(body, nest.within(self.operand(predicate)))
            case Choose():
                self.choose(statement, nest)
            case Check(predicate, code):
                failed = nest.active(~self.operand(predicate))
                if failed is None or failed.any():
                    self.codes.append(code)
            case HostCall():
                self.host_call(statement)
            case Barrier():
                self.barrier(statement, nest)
            case Shuffle():
                self.values[statement.out] = self.shuffle(statement, nest)
            case CopyAsync():
                self.copy_async(statement, nest)
            case CommitCopies():
                self.commit_copies(nest)
            case WaitCopies(pending):
                self.wait_copies(pending, nest)
            case LoadMatrix():
                self.load_matrix(statement, nest)
            case MultiplyMatrices():
                self.multiply_matrices(statement, nest)
            case MultiplyShared():
                self.multiply_shared(statement, nest)
            case WaitProducts():
                self.wait_products(statement, nest)
            case FenceShared():
                self.fence_shared(nest)

    def choose(self, statement: Choose, nest: Nest) -> None:
        """The body for each of the rows that are asked for."""
        number = np.broadcast_to(self.operand(statement.operand), nest.shape)
        wanted = number if nest.mask is None else number[np.broadcast_to(nest.mask, nest.shape)]
        for row in np.unique(wanted):
            if not 0 <= row < len(statement.choices):
                raise OutOfBounds(f"{self.told(statement)} takes row {row} of {len(statement.choices)}")
            self.views.update((b, self.views[each]) for b, each in zip(statement.buffers, statement.choices[row]))
            self.body(statement.body, nest.within(number == row))

    def host_call(self, statement: HostCall) -> None:
        """Whole arrays through Python; what it raises is the run's own error."""
        arrays = [self.host_array(statement, array) for array in statement.operands]
        types = [self.host_type(array) for array in statement.results]
        results = run_host(statement.function, parse_parameters(statement.parameters), types, arrays)
        for array, result in zip(statement.results, results):
            view = self.views[array.buffer]
            assert isinstance(view.size, int), "a call of the host stands outside of loops"
            view.data[: view.size] = np.ascontiguousarray(result).reshape(-1).view(array.buffer.dtype.numpy)
            if view.written is not None:
                view.written[: view.size] = True

    def host_type(self, array: HostArray) -> TensorType:
        """The type with its sizes as numbers."""
        return array.type.with_shape(tuple(int(self.index(size)) for size in array.type.shape))

    def host_array(self, statement: HostCall, array: HostArray) -> Array:
        """A buffer as an array, which must be written in whole."""
        view = self.views[array.buffer]
        assert isinstance(view.size, int), "a call of the host stands outside of loops"
        if view.written is not None and not view.written[: view.size].all():
            raise UnwrittenRead(
                f"{self.told(statement)} reads elements of {array.buffer.name} that nothing has written"
            )
        shape = self.host_type(array).shape
        data = view.data[: view.size]
        return (data.view(array.type.dtype.numpy) if array.type.dtype.is_complex else data).reshape(shape)

    # Loops

    def loop(self, statement: Loop, nest: Nest) -> None:
        """The body for each iteration: at once, or for serial loops in turn."""
        extent = self.index(statement.extent)
        most = _most(extent, nest)
        if statement.kind is LoopKind.THREAD:
            self.at_once(statement, extent, most, nest, is_promised=True)
            self.end_threads()
        elif statement.kind not in (LoopKind.SERIAL, LoopKind.UNROLLED):
            self.at_once(statement, extent, most, nest, is_promised=True)
        elif not self.try_at_once(statement, extent, most, nest):
            for k in range(most):
                self.symbols[statement.symbol.name] = k
                inner = nest if isinstance(extent, int) else nest.within(k < extent)
                if inner.mask is None or inner.mask.any():
                    self.body(statement.body, inner)

    def at_once(self, statement: Loop, extent: Index, most: int, nest: Nest, *, is_promised: bool) -> None:
        """The iterations of a loop, many at a time."""
        is_thread = statement.kind is LoopKind.THREAD
        step = most if is_thread else max(1, MOST_LANES // (nest.count * self.weight(statement.body)))
        for _, inner in self.spread(
            statement.symbol, extent, most, nest, step, is_promised=is_promised, is_thread=is_thread
        ):
            self.body(statement.body, inner)

    def spread(
        self,
        symbol: Symbol,
        extent: Index,
        most: int,
        nest: Nest,
        step: int,
        *,
        is_promised: bool,
        is_thread: bool = False,
    ) -> Iterator[tuple[int, Nest]]:
        """The nest with an axis more, for `step` iterations at a time, and where these begin; sets the symbol."""
        first = self.reserve(nest.count * most + 1)
        for start in range(0, most, step):
            end = min(most, start + step)
            k = np.arange(start, end).reshape(-1, *[1] * len(nest.shape))
            self.symbols[symbol.name] = k
            numbers = nest.numbers * most + k
            level = Level(symbol.name, most, first, first + nest.count * most, first + numbers, is_promised, is_thread)
            inner = Nest((end - start, *nest.shape), nest.mask, (*nest.levels, level))
            yield start, inner if isinstance(extent, int) else inner.within(k < extent)

    def weight(self, body: tuple[Statement, ...]) -> int:
        """How much more room an iteration takes than an element: it may have scratch, or be a block of threads."""
        scratch = self.scratch.get(id(body))
        if scratch is None:
            scratch = self.scratch[id(body)] = tuple(s.buffer for s in statements_in(body) if isinstance(s, Allocate))
        last = body[-1] if body else None
        threads = last.extent if isinstance(last, Loop) and last.kind is LoopKind.THREAD else 1
        assert isinstance(threads, int), "a block has a fixed number of threads"
        total = threads
        for buffer in scratch:
            is_known = all(isinstance(self.symbols.get(s.name), int) for s in symbols(buffer.size))
            size = int(self.index(buffer.size) if is_known else bounds(buffer.size)[1])
            total += size * (1 if buffer.space is Space.SHARED else threads) // 8
        return total

    def try_at_once(self, statement: Loop, extent: Index, most: int, nest: Nest) -> bool:
        """Run a serial loop at once; False, with everything as it was, if its iterations depend on each other."""
        if most <= 1 or id(statement) in self.in_turn_only:
            return False
        if nest.count > ENOUGH_LANES or 2 * nest.count * self.weight(statement.body) > MOST_LANES:
            return False
        if id(statement) not in self.accesses:
            if _goes_in_turn(statement):
                self.in_turn_only.add(id(statement))
                return False
            self.accesses[id(statement)] = _accesses(statement)
        stored, loaded = self.accesses[id(statement)]
        shared = {self.views[b].memory for b in stored if b in self.views}
        shared &= {self.views[b].memory for b in loaded if b in self.views}
        kept: list[tuple[View, Array, Flags | None]] = []
        if shared:
            views = [self.views[b] for b in stored if b in self.views]
            if sum(len(v.data) for v in views) > 4 * most * nest.count + 4096:
                return False  # keeping what it writes would take longer than the loop
            kept = [(v, v.data.copy(), None if v.written is None else v.written.copy()) for v in views]
        failed, first = len(self.codes), self.stamp
        try:
            self.at_once(statement, extent, most, nest, is_promised=False)
        except Dependence as dependence:
            if dependence.level.first != first:
                raise
        except KernelFault:
            pass  # in turn it may be right; if not, it comes again
        else:
            return True
        # Where nothing is shared, what was written is written again: the stores don't depend on each other.
        for view, data, written in kept:
            view.data[...] = data
            if written is not None and view.written is not None:
                view.written[...] = written
        del self.codes[failed:]
        self.in_turn_only.add(id(statement))
        return False

    def reduce(self, statement: Reduce, nest: Nest) -> Array:
        """The value of the fixed tree over the elements."""
        extent = self.index(statement.extent)
        most = _most(extent, nest)
        kind = ArgFold if statement.combiner.startswith("arg") else Fold
        fold = kind(statement.combiner, statement.element.dtype, nest.shape)
        # Steps that hold whole rows of accumulators, or of which a row holds a whole number.
        step = max(1, MOST_LANES // (nest.count * self.weight(statement.body)))
        step = step // LANES * LANES if step >= LANES else 1 << (step.bit_length() - 1)
        for start, inner in self.spread(statement.symbol, extent, most, nest, step, is_promised=True):
            self.body(statement.body, inner)
            elements = np.broadcast_to(self.operand(statement.element), inner.shape)
            valid = None
            if not isinstance(extent, int):
                valid = np.broadcast_to(self.symbols[statement.symbol.name] < extent, inner.shape)
            fold.take(start, elements, valid)
        return fold.result()

    # Contractions

    def contract(self, statement: Contract, nest: Nest) -> None:
        """The sums of products, a tile of rows and columns at a time, and the epilogue on each tile."""
        rows, columns = self.index(statement.rows), self.index(statement.columns)
        most_rows, most_columns = _most(rows, nest), _most(columns, nest)
        first = self.reserve(nest.count * most_rows * most_columns + 1)
        name = f"{statement.m.name}, {statement.n.name}"
        height = max(1, min(MOST_TILE, MOST_LANES // nest.count))
        width = max(1, min(MOST_TILE, 2 * MOST_LANES // (nest.count * min(height, max(1, most_rows)))))
        for row in range(0, most_rows, height):
            for column in range(0, most_columns, width):
                m = _along(nest, 0, row, min(most_rows, row + height))
                n = _along(nest, 1, column, min(most_columns, column + width))
                self.symbols[statement.m.name], self.symbols[statement.n.name] = m, n
                stamps = first + (nest.numbers * most_rows + m) * most_columns + n
                level = Level(name, 0, first, self.stamp - 1, stamps, is_promised=True)
                tile = Nest((len(n), len(m), *nest.shape), nest.mask, (*nest.levels, level))
                if not isinstance(rows, int) or not isinstance(columns, int):
                    tile = tile.within((m < rows) & (n < columns))
                self.values[statement.acc] = self.sums(statement, tile, nest)
                self.body(statement.epilogue, tile)

    def sums(self, statement: Contract, tile: Nest, nest: Nest) -> Array:
        """The accumulators of a tile: blocks of `CONTRACT_BLOCK` products, added in order."""
        dtype = statement.acc.dtype
        extent = self.index(statement.depth)
        depth = _most(extent, nest)
        zeros = np.zeros(tile.shape, dtype.numpy)
        total = zeros
        step = max(1, min(CONTRACT_BLOCK, MOST_LANES // (nest.count * max(tile.shape[:2]))))
        for block in range(0, depth, CONTRACT_BLOCK):
            end = min(depth, block + CONTRACT_BLOCK)
            block_total = zeros
            for start in range(block, end, step):
                k = _along(nest, 2, start, min(end, start + step))
                self.symbols[statement.k.name] = k
                inner = self.readers(tile, (len(k), 1, tile.shape[1]), nest)
                left = self.panel(statement.left, inner, statement, (statement.m, statement.rows))
                inner = self.readers(tile, (len(k), tile.shape[0], 1), nest)
                right = self.panel(statement.right, inner, statement, (statement.n, statement.columns))
                for a, b, each in zip(left, right, k):
                    new = _multiply_add(dtype, a, b, block_total)
                    block_total = new if isinstance(extent, int) else np.where(each < extent, new, block_total)
            new = block_total if block == 0 else evaluate("add", dtype, total, block_total)
            total = new if isinstance(extent, int) else np.where(block < extent, new, total)
        return total

    def readers(self, tile: Nest, axes: tuple[int, int, int], nest: Nest) -> Nest:
        """The nest of a side's elements [k, column or 1, row or 1, ...]: each is read for a whole row or column."""
        level = tile.levels[-1]
        is_single = level.several - level.first == 1
        readers = replace(level, stamps=level.first if is_single else level.several)
        return Nest((*axes, *nest.shape), nest.mask, (*nest.levels, readers))

    def panel(self, panel: Panel, nest: Nest, statement: Contract, across: tuple[Symbol, Size]) -> Array:
        """One side's elements in the accumulator's dtype."""
        for symbol, extent in ((statement.k, statement.depth), across):
            limit = self.index(extent)
            if not isinstance(limit, int):
                nest = nest.within(self.symbols[symbol.name] < limit)
        self.body(panel.body, nest)
        return evaluate("cast", statement.acc.dtype, np.broadcast_to(self.operand(panel.element), nest.shape))


def _along(nest: Nest, axis: int, start: int, end: int) -> Array:
    """The numbers from start on, along an axis in front of the nest's; axis 0 is the one next to them."""
    return np.arange(start, end).reshape(-1, *[1] * (axis + len(nest.shape)))


def _most(extent: Index, nest: Nest) -> int:
    """The greatest extent among the active iterations."""
    if isinstance(extent, int):
        return max(0, extent)
    active = nest.lanes(nest.mask).select(extent)
    return max(0, int(active.max())) if len(active) else 0


def _clamped(operand: Array, extent: Index) -> Index:
    """An integer as an index below the extent."""
    last = np.maximum(np.asarray(extent) - 1, 0)
    if operand.dtype == np.uint64:
        operand = np.minimum(operand, np.uint64(np.iinfo(np.int64).max))
    index = np.clip(operand.astype(np.int64), 0, last)
    return index if index.ndim else int(index)


def _multiply_add(dtype: DType, a: Array, b: Array, c: Array) -> Array:
    """A step of a contraction: fused for floats."""
    if dtype.is_floating_point:
        return evaluate("fma", dtype, a, b, c)
    return evaluate("add", dtype, c, evaluate("mul", dtype, a, b))


_TOGETHER: Final = (
    Barrier, Shuffle, CopyAsync, CommitCopies, WaitCopies, LoadMatrix, MultiplyMatrices, MultiplyShared, WaitProducts,
    FenceShared,
)  # fmt: skip


def _goes_in_turn(loop: Loop) -> bool:
    """Whether a serial loop is known to depend on its order: each iteration writes the same elements, or threads meet.

    It may also be that few iterations write anything; in turn is right in any case.
    """
    varying = {loop.symbol.name}
    scratch: set[Buffer] = set()
    stores: list[Store] = []
    for statement in statements_in(loop.body):
        match statement:
            case Bind(symbol=symbol):
                varying.add(symbol.name)
            case Allocate(buffer):
                scratch.add(buffer)
            case Store():
                stores.append(statement)
            case _ if isinstance(statement, (*_TOGETHER, Choose)):
                return True
            case _:
                pass
    outer = (s for s in stores if s.buffer not in scratch)
    return any(varying.isdisjoint(symbol.name for symbol in symbols(s.index)) for s in outer)


def _accesses(loop: Loop) -> tuple[tuple[Buffer, ...], tuple[Buffer, ...]]:
    """The buffers that a loop stores to and loads from, but for its own scratch."""
    stored: dict[Buffer, None] = {}
    loaded: dict[Buffer, None] = {}
    own: set[Buffer] = set()
    for statement in statements_in(loop.body):
        match statement:
            case Store(buffer=buffer):
                stored[buffer] = None
            case Load(buffer=buffer):
                loaded[buffer] = None
            case Allocate(buffer):
                own.add(buffer)
            case _:
                pass
    return tuple(b for b in stored if b not in own), tuple(b for b in loaded if b not in own)
