"""How the threads of a block bring a tile of one factor of a contraction into shared memory.

In: a panel, and what of it the block needs. Out: statements that load the elements of a tile into registers, and
statements that store them, later, into shared memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from graphc.ir.dim import Size, quotient, remainder
from graphc.ir.dtype import DType
from graphc.kernel.builder import literal
from graphc.kernel.gpu import WARP
from graphc.kernel.ir import Buffer, CopyAsync, Load, LoopKind, Operand, Panel, Value
from graphc.passes.gpu.contraction_plan import ACCESS_BYTES, Axis
from graphc.passes.gpu.writer import Copier, Writer

MATRIX: Final = 8
"""Rows of the matrices that tensor cores take from shared memory, and elements of a row."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the element at (cross, depth) of a tile lies; `stride` is from one row of it to the next."""

    is_depth_major: bool
    stride: int

    def index(self, cross: Size, depth: Size) -> Size:
        """The element's index."""
        return depth * self.stride + cross if self.is_depth_major else cross * self.stride + depth

    def size(self, cross: int, steps: int) -> int:
        """Elements of a tile, with what lies between rows."""
        return self.stride * (steps if self.is_depth_major else cross)


@dataclass(frozen=True, slots=True)
class MatrixLayout:
    """The same where elements lie in matrices of 8 x 8, one after another, as `MultiplyShared` takes them.

    A matrix's rows are of neighbours along the depth, or, if `is_depth_major`, across it. Along the other axis one
    matrix follows the other; `length` elements that axis has in all.
    """

    is_depth_major: bool
    length: int

    @property
    def along_depth(self) -> int:
        """Elements from a matrix to the next one along the depth."""
        return MATRIX * (MATRIX if self.is_depth_major else self.length)

    @property
    def across(self) -> int:
        """Elements from a matrix to the next one across the depth."""
        return MATRIX * (self.length if self.is_depth_major else MATRIX)

    def index(self, cross: Size, depth: Size) -> Size:
        """The element's index."""
        inside, other = (cross, depth) if self.is_depth_major else (depth, cross)
        return MATRIX * self.length * quotient(inside, MATRIX) + MATRIX * other + remainder(inside, MATRIX)

    def size(self, cross: int, steps: int) -> int:
        """Elements of a tile."""
        return cross * steps


@dataclass(frozen=True, slots=True)
class Staging:
    """Which elements of a tile, `cross` x `steps`, a thread takes care of.

    A thread has groups of `group` elements, along the depth or across it; neighbouring threads have groups that are
    neighbours along the depth or across it; or, if `aside` is more than 1, so many threads have neighbours along the
    other of these axes, and groups of so many threads are neighbours as told.
    """

    threads: int
    cross: int
    steps: int
    group: int
    groups_along_depth: bool
    neighbours_along_depth: bool
    is_vector: bool
    """Whether a group is loaded at once."""
    is_copied: bool
    """Whether it goes to shared memory in the background, without registers."""
    aside: int = 1

    @property
    def groups(self) -> int:
        """Groups of the tile."""
        return self.cross * self.steps // self.group

    @property
    def each(self) -> int:
        """Groups of a thread, at most."""
        return -(-self.groups // self.threads)

    def place(self, thread: Size, number: Size) -> tuple[Size, Size]:
        """(cross, depth) in the tile of the first element of a thread's group."""
        across = self.group if not self.groups_along_depth else 1
        along = self.group if self.groups_along_depth else 1
        inner = self.steps // along if self.neighbours_along_depth else self.cross // across
        # Warps side by side are further along the other axis: a thread's groups have that place in common.
        lanes = min(inner, max(WARP // self.aside, self.threads * inner // self.groups))
        row, thread = remainder(thread, self.aside), quotient(thread, self.aside)
        first = remainder(thread, lanes) + lanes * remainder(number, inner // lanes)
        second = quotient(thread, lanes) + self.threads // self.aside // lanes * quotient(number, inner // lanes)
        second = self.aside * second + row
        cross, depth = (second, first) if self.neighbours_along_depth else (first, second)
        return cross * across, depth * along


@dataclass(frozen=True, slots=True)
class Factor:
    """One factor of a block: where its elements come from, and where they go."""

    panel: Panel
    cross: Axis
    """The rows' or columns' symbol and extent."""
    depth: Axis
    staging: Staging
    layout: Layout | MatrixLayout
    dtype: DType
    """Of the elements in shared memory."""
    fills_zeros: bool
    """Whether there shall be zeros beyond the depth; if not, anything may be there."""

    @property
    def is_whole_across(self) -> bool:
        """Whether no tile reaches beyond the rows or columns."""
        return remainder(self.cross[1], self.staging.cross) == 0

    @property
    def is_whole_along(self) -> bool:
        """Whether no tile reaches beyond the depth."""
        return remainder(self.depth[1], self.staging.steps) == 0

    @property
    def size(self) -> int:
        """Elements of a tile in shared memory."""
        return self.layout.size(self.staging.cross, self.staging.steps)


@dataclass(slots=True)
class Stager:
    """Writes what a thread does for a factor."""

    writer: Writer
    factor: Factor
    thread: Size
    start: Size
    """Row or column at which the block's tiles begin."""
    sizes: Mapping[str, Size]
    """What stands for the symbols around the contraction."""
    values: Mapping[Value, Operand]
    shared: Buffer
    kept: Buffer | None
    """The thread's elements between load and store; none where they are copied."""

    def load(self, first: Size, place: Size) -> None:
        """Load the tile that begins at `first` along the depth; copies go to index `place` of shared memory."""
        w, staging = self.writer, self.factor.staging
        with w.loop("j", staging.each, LoopKind.UNROLLED) as j:
            cross, depth = staging.place(self.thread, j)
            with w.when(self._has(j)):
                if staging.is_copied:
                    self._copy(cross, depth, first, place)
                elif staging.is_vector:
                    step = staging.group
                    at = self._within(cross, depth, first, step)
                    with w.loop("v", step, LoopKind.VECTOR) as v:
                        self._keep(j, v, *self._moved(at, v), first + depth)
                else:
                    with w.loop("v", staging.group, LoopKind.UNROLLED) as v:
                        here = self._moved((cross, depth), v)
                        at = self._within(*here, first, 1)
                        self._keep(j, v, *at, first + here[1])

    def store(self, place: Size) -> None:
        """Store what was loaded to index `place` of shared memory."""
        w, staging, layout = self.writer, self.factor.staging, self.factor.layout
        if self.kept is None:
            return
        is_run = layout.is_depth_major is not staging.groups_along_depth
        width = min(staging.group, ACCESS_BYTES // self.factor.dtype.itemsize) if is_run else 1
        runs = staging.group // width
        with (
            w.loop("j", staging.each, LoopKind.UNROLLED) as j,
            w.when(self._has(j)),
            w.loop("u", runs, LoopKind.UNROLLED) as u,
            w.loop("v", width, LoopKind.VECTOR) as v,
        ):
            offset = width * u + v
            at = self._moved(staging.place(self.thread, j), offset)
            w.store(self.shared, place + layout.index(*at), w.load(self.kept, staging.group * j + offset))

    def _has(self, number: Size) -> Operand | None:
        """Whether the thread has a group of this number."""
        staging = self.factor.staging
        if staging.groups % staging.threads == 0:
            return None
        return self.writer.is_below(self.thread + staging.threads * number, staging.groups)

    def _moved(self, at: tuple[Size, Size], by: Size) -> tuple[Size, Size]:
        """(cross, depth) so many elements further in a group."""
        return (at[0], at[1] + by) if self.factor.staging.groups_along_depth else (at[0] + by, at[1])

    def _within(self, cross: Size, depth: Size, first: Size, step: int) -> tuple[Size, Size]:
        """Where in the factor an element of the tile is, or `step` of them; the last ones for those beyond."""
        factor = self.factor
        along = factor.staging.groups_along_depth
        row, k = self.start + cross, first + depth
        if not factor.is_whole_across:
            row = self._clamped("c", row, factor.cross[1], 1 if along else step)
        if not factor.is_whole_along:
            k = self._clamped("d", k, factor.depth[1], step if along else 1)
        return row, k

    def _clamped(self, hint: str, index: Size, extent: Size, step: int) -> Size:
        """The index, a multiple of `step`, or the last such one below the extent."""
        w = self.writer
        return w.bind(hint, quotient(extent, step), w.position(quotient(index, step))) * step

    def _keep(self, number: Size, offset: Size, row: Size, k: Size, asked: Size) -> None:
        """Compute an element and keep it in a register."""
        w, factor = self.writer, self.factor
        assert self.kept is not None
        copier = Copier(w, dict(self.values), {**self.sizes, factor.cross[0].name: row, factor.depth[0].name: k})
        copier.copy(factor.panel.body)
        x = copier.operand(factor.panel.element)
        if x.dtype is not factor.dtype:
            x = w.apply("cast", x, dtype=factor.dtype)
        if factor.fills_zeros and not factor.is_whole_along:
            x = w.apply("select", w.is_below(asked, factor.depth[1]), x, literal(0, factor.dtype))
        w.store(self.kept, factor.staging.group * number + offset, x)

    def _copy(self, cross: Size, depth: Size, first: Size, place: Size) -> None:
        """Copy a group in the background; zeros beyond the depth."""
        w, factor = self.writer, self.factor
        (load,) = factor.panel.body
        assert isinstance(load, Load)
        predicate = None if factor.is_whole_along else w.is_below(first + depth, factor.depth[1])
        row, k = self._within(cross, depth, first, factor.staging.group)
        names = {**self.sizes, factor.cross[0].name: row, factor.depth[0].name: k}
        source = Copier(w, dict(self.values), names).size(load.index)
        index = place + factor.layout.index(cross, depth)
        w.add(CopyAsync(self.shared, index, load.buffer, source, factor.staging.group, predicate))
