"""Updates at places that are computed, in parallel and yet in order.

In: a group whose anchor is `scatter` or `put_along`. Out: kernels, most with a grid, or None where a thread for each of
the independent places, which goes through all updates in order, does as well: there are many such places, or few
updates.

Else the updates are sorted by where they go to, those of one place in their order, and a thread for each place that is
updated at all applies its updates, which now stand side by side: the same bits as by going through them in order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias, cast

from graphc.ir.dim import Size, is_at_least, is_at_most, product, quotient
from graphc.ir.dtype import i32, i64
from graphc.ir.graph import Node
from graphc.ir.lowering import Scalar
from graphc.kernel.builder import AnyScalar, KernelBuilder, Pair
from graphc.kernel.gpu import GpuTarget
from graphc.kernel.ir import Buffer, LoopKind, Operand
from graphc.ops import indexing
from graphc.ops.indices import linear_index, split_index
from graphc.passes.gpu.sort import Rows, sort_rows
from graphc.passes.gpu.statements import both, real
from graphc.passes.lower_scatter import COMBINERS
from graphc.passes.lower_sort import INDEX_BITS, bit_count

if TYPE_CHECKING:
    from graphc.passes.lower import GroupLowering, KernelCall

FEW_UPDATES: Final = 512
"""Updates that a thread goes through in less time than sorting takes."""
MANY_PLACES: Final = 1 << 16
"""Places that keep a GPU busy with a thread each."""
THREADS: Final = 256

Indices: TypeAlias = "tuple[Size, ...]"


@dataclass(frozen=True, slots=True)
class Updates:
    """The updates: `rows` lists of `count` places, each applied at `others` places side by side."""

    group: GroupLowering
    anchor: Node

    @property
    def is_shared(self) -> bool:
        """Whether there is one list of places for all that stands beside the axis."""
        return self.anchor.op is indexing.scatter

    @property
    def axis(self) -> int:
        """Along which places are given."""
        return cast("int", self.anchor.attribute("axis"))

    @property
    def extent(self) -> Size:
        """Places along the axis."""
        return self.anchor.shape[self.axis]

    @property
    def count(self) -> Size:
        """Updates of a list."""
        shape = self.anchor.inputs[1].shape
        return product(shape) if self.is_shared else shape[self.axis]

    @property
    def beside(self) -> tuple[Size, ...]:
        """Sizes of the axes beside the one that places are given along."""
        shape = self.anchor.shape if self.is_shared else self.anchor.inputs[1].shape
        return (*shape[: self.axis], *shape[self.axis + 1 :])

    @property
    def rows(self) -> Size:
        """Lists of places."""
        return 1 if self.is_shared else product(self.beside)

    @property
    def others(self) -> Size:
        """Places for each entry of a list."""
        return product(self.beside) if self.is_shared else 1

    def key(self, row: Size, number: Size) -> Scalar:
        """The place of an update; reported, and the extent, where there is no such place."""
        group, b, index = self.group, self.group.builder, self.anchor.inputs[1]
        at = split_index(number, index.shape) if self.is_shared else self._along(row, number)
        place = b.cast(group.read(index, at), i64)
        zero, extent = b.constant(0, i64), b.index(self.extent, i64)
        if self.is_shared:
            place = b.select(b.apply("lt", place, zero), b.apply("add", place, extent), place)
        is_inside = b.apply("bitwise_and", b.apply("ge", place, zero), b.apply("lt", place, extent))
        b.check(is_inside, group.site(self.anchor))
        return b.select(is_inside, place, extent)

    def update(self, row: Size, other: Size, number: Size) -> Scalar:
        """An update's value."""
        updates = self.anchor.inputs[2]
        if not self.is_shared:
            return self.group.read(updates, self._along(row, number))
        around = split_index(other, self.beside)
        at = split_index(number, self.anchor.inputs[1].shape)
        return self.group.read(updates, (*around[: self.axis], *at, *around[self.axis :]))

    def target(self, row: Size, other: Size, place: Size) -> Size:
        """Where in the result an update goes to."""
        around = split_index(other if self.is_shared else row, self.beside)
        return linear_index((*around[: self.axis], place, *around[self.axis :]), self.anchor.shape)

    def _along(self, row: Size, number: Size) -> Indices:
        around = split_index(row, self.beside)
        return (*around[: self.axis], number, *around[self.axis :])


def lower_scatter(group: GroupLowering, anchor: Node, target: GpuTarget) -> list[KernelCall] | None:
    """The kernels: the operand into the result, the sort, the updates."""
    updates = Updates(group, anchor)
    if is_at_most(updates.count, FEW_UPDATES) or is_at_least(product(updates.beside), MANY_PLACES):
        return None
    calls = [group.copy(anchor.inputs[0])]
    size = updates.rows * updates.count
    places = group.scratch(i64, size)
    order = group.scratch(i32 if is_at_most(updates.count, (1 << 31) - 1) else i64, size)

    def write(row: Size, number: Size, key: Operand, position: Operand, inside: Operand) -> None:
        b, here = group.builder, row * updates.count + number
        b.store(places, here, key, inside)
        b.store(order, here, b.cast(position, order.dtype), inside)

    group.restart()
    calls += sort_rows(Rows(group, updates.rows, updates.count, i64, updates.key, write))
    group.restart()
    _apply(updates, places, order)
    return [*calls, group.finish()]


def _apply(updates: Updates, places: Buffer, order: Buffer) -> None:
    """A thread for each update and each of the places beside: the first update of a place applies all of them."""
    group, b, count = updates.group, updates.group.builder, updates.count
    pieces = updates.rows * count * updates.others
    combine = COMBINERS[cast("str", updates.anchor.attribute("mode"))]
    result, dtype = group.results[0], updates.anchor.tensor.dtype
    blocks = quotient(pieces + (THREADS - 1), THREADS)
    with b.loop(blocks, LoopKind.BLOCK) as block, b.loop(THREADS, LoopKind.THREAD) as thread:
        piece = block * THREADS + thread
        row, number, other = split_index(piece, (updates.rows, count, updates.others))
        here = row * count + number
        is_inside = real(b.apply("lt", b.index(piece, i64), b.index(pieces, i64)))
        place = b.load_again(places, here, is_inside)
        follows = both(b, is_inside, b.apply("gt", b.index(number, i64), b.constant(0, i64)))
        before = b.load_again(places, here - 1, follows)
        is_same = both(b, follows, b.apply("eq", before, place))
        is_place = b.apply("lt", place, b.index(updates.extent, i64))
        is_first = both(b, both(b, is_inside, is_place), b.apply("bitwise_not", is_same))
        end = _end_of_run(b, places, row * count, number, count, place, is_first)
        target = updates.target(row, other, b.position(place, updates.extent))

        def update(at: Size) -> Scalar:
            from_ = b.position(b.load_again(order, row * count + at, is_first), count)
            return b.guard(is_first, lambda: updates.update(row, other, from_), b.constant(0, dtype))

        if combine is None:
            last = b.position(b.apply("sub", end, b.constant(1, i64)), count)
            b.store(result, target, update(last), is_first)
            return
        total = b.allocate(result.dtype, 2 if dtype.is_complex else 1)
        b.store(total, 0, _element(b, result, target, dtype.is_complex, is_first))
        length = b.apply("sub", end, b.index(number, i64))
        many = b.position(b.select(is_first, length, b.constant(0, i64)), count + 1)
        with b.loop(many, LoopKind.SERIAL) as step:
            b.store(total, 0, b.apply(combine, _element(b, total, 0, dtype.is_complex), update(number + step)))
        b.store(result, target, _element(b, total, 0, dtype.is_complex), is_first)


def _end_of_run(
    b: KernelBuilder, places: Buffer, start: Size, number: Size, count: Size, place: Operand, wanted: Operand
) -> AnyScalar:
    """Where the updates of the place end that begin with this one, by halves."""
    one = b.constant(1, i64)
    ends = b.allocate(i64, 2)
    b.store(ends, 0, b.apply("add", b.index(number, i64), one))
    b.store(ends, 1, b.index(count, i64))
    steps = b.select(wanted, b.index(bit_count(b, count), i64), b.constant(0, i64))
    with b.loop(b.position(steps, INDEX_BITS + 1), LoopKind.SERIAL):
        low, high = b.load_again(ends, 0), b.load_again(ends, 1)
        is_open = both(b, wanted, b.apply("lt", low, high))
        middle = b.apply("add", low, b.apply("shift_right", b.apply("sub", high, low), one))
        there = b.load_again(places, start + b.position(middle, count), is_open)
        rises = both(b, is_open, b.apply("eq", there, place))
        falls = both(b, is_open, b.apply("ne", there, place))
        b.store(ends, 0, b.select(rises, b.apply("add", middle, one), low))
        b.store(ends, 1, b.select(falls, middle, high))
    return b.load_again(ends, 0)


def _element(
    b: KernelBuilder, buffer: Buffer, index: Size, is_complex: bool, predicate: Operand | None = None
) -> AnyScalar:
    """An element as it is now."""
    if is_complex:
        return Pair(b.load_again(buffer, 2 * index, predicate), b.load_again(buffer, 2 * index + 1, predicate))
    return b.load_again(buffer, index, predicate)
