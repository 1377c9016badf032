"""Linear recurrences of floats along an axis: y[t] = a[t] y[t - 1] + b[t].

In: a group whose anchor is `recurrence`. Out: ordinary kernels, whose parallel loops a policy turns into grids.

Many or short rows are gone along in order, with the bits of the CPU. Others are cut into chunks, a thread for each.
What a chunk does to the y in front of it is y -> A y + B: one kernel finds A and B of all chunks, a second one goes
from chunk to chunk, and a third goes along all chunks, each from its own start. As A, B and what leads to them may
leave the range of floats where no y does, the greatest of them are kept: a chunk whose y these don't bound is gone
along in order by the second kernel. So only the starts of chunks differ from what the CPU computes, by rounding; which
chunks there are depends on the row's extent alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from graphc.ir.dim import Size, is_at_least, is_at_most, minimum, quotient
from graphc.ir.dtype import DType, f32, f64, i64
from graphc.ir.graph import Node
from graphc.kernel.builder import AnyScalar, KernelBuilder
from graphc.kernel.gpu import GpuTarget
from graphc.kernel.ir import Buffer, LoopKind, Operand
from graphc.passes.gpu.scan import MANY_ROWS, Along, lower_scan, write_in_order
from graphc.passes.gpu.statements import both, real
from graphc.passes.gpu.states import Monoid, State

if TYPE_CHECKING:
    from graphc.passes.lower import GroupLowering, KernelCall

SHORT: Final = 256
"""Elements of a row that one thread goes along."""
USUAL_CHUNK: Final = 512
"""Elements of a chunk of rows whose extent is not known."""
LIMITS: Final = {f32: 1e38, f64: 1e307}
"""What bounds all numbers of a chunk that is trusted."""


def lower_recurrence(group: GroupLowering, anchor: Node, target: GpuTarget) -> list[KernelCall]:
    """The kernels of a recurrence."""
    dtype = anchor.tensor.dtype
    if dtype.is_integer:
        return lower_scan(group, anchor, target)
    along = Along(group, anchor)
    if dtype not in LIMITS or is_at_most(along.extent, SHORT) or is_at_least(along.rows, MANY_ROWS):
        in_order = Monoid((dtype,), (0.0,), _step)
        write_in_order(group.builder, in_order, along.rows, along.extent, along.element, along.write)
        return [group.finish()]
    chunks = _chunks_of(along)
    calls: list[KernelCall] = []
    for write in (chunks.write_sums, chunks.write_starts, chunks.write_elements):
        if calls:
            group.restart()
        write()
        calls.append(group.finish())
    return calls


def _step(b: KernelBuilder, before: State, element: State) -> State:
    """The next y, of (a, b)."""
    return (b.apply("add", b.apply("mul", element[0], before[0]), element[1]),)


def _chunks_of(along: Along) -> Chunks:
    extent = along.extent
    length = 1 << math.isqrt(extent).bit_length() if isinstance(extent, int) else USUAL_CHUNK
    count = along.rows * quotient(extent + (length - 1), length)
    sums = tuple([along.group.scratch(f64, count) for _ in range(4)])
    return Chunks(along, length, sums, along.group.scratch(along.anchor.tensor.dtype, count))


@dataclass(frozen=True, slots=True)
class Chunks:
    """Rows in chunks of `length`, and the memory between kernels."""

    along: Along
    length: int
    sums: tuple[Buffer, ...]
    """A and B of each chunk, and the greatest magnitudes on the way to them."""
    starts: Buffer
    """The y in front of each chunk."""

    @property
    def count(self) -> Size:
        """Chunks of a row."""
        return quotient(self.along.extent + (self.length - 1), self.length)

    @property
    def builder(self) -> KernelBuilder:
        """Of the kernel that is being written."""
        return self.along.group.builder

    @property
    def dtype(self) -> DType:
        """Of elements."""
        return self.along.anchor.tensor.dtype

    def write_sums(self) -> None:
        """What each chunk does to the y in front of it."""
        b = self.builder
        with b.loop(self.along.rows * self.count) as chunk:
            state = [b.allocate(f64, 1) for _ in range(4)]
            for buffer, start in zip(state, (1.0, 0.0, 1.0, 0.0), strict=True):
                b.store(buffer, 0, b.constant(start, f64))
            with b.loop(self._length_of(chunk), LoopKind.SERIAL) as k:
                factor, addend = (b.cast(x, f64) for x in self._element(chunk, k))
                product, total, most, greatest = (b.load_again(buffer, 0) for buffer in state)
                product_ = b.apply("mul", factor, product)
                total_ = b.apply("add", b.apply("mul", factor, total), addend)
                b.store(state[0], 0, product_)
                b.store(state[1], 0, total_)
                b.store(state[2], 0, b.apply("maximum", most, b.apply("abs", product_)))
                b.store(state[3], 0, b.apply("maximum", greatest, b.apply("abs", total_)))
            for buffer, x in zip(self.sums, state, strict=True):
                b.store(buffer, chunk, b.load_again(x, 0))

    def write_starts(self) -> None:
        """From chunk to chunk."""
        b = self.builder
        with b.loop(self.along.rows) as row:
            y = b.allocate(self.dtype, 1)
            b.store(y, 0, b.constant(0.0, self.dtype))
            with b.loop(self.count, LoopKind.SERIAL) as number:
                chunk = row * self.count + number
                before = b.load_again(y, 0)
                b.store(self.starts, chunk, before)
                product, total, most, greatest = (b.load(buffer, chunk) for buffer in self.sums)
                wide = b.cast(before, f64)
                bound = b.apply("add", b.apply("mul", most, b.apply("abs", wide)), greatest)
                is_bounded = b.apply("lt", bound, b.constant(LIMITS[self.dtype], f64))
                # What the last chunk leads to is of no use, and it may be shorter.
                is_used = b.apply("lt", b.index(number, i64), b.index(self.count - 1, i64))
                in_order = both(b, is_used, b.apply("bitwise_not", is_bounded))
                zero, length = b.constant(0, i64), b.constant(self.length, i64)
                steps = b.position(b.select(in_order, length, zero), self.length + 1)
                with b.loop(steps, LoopKind.SERIAL) as k:
                    b.store(y, 0, self._next(y, chunk, k))
                sum_ = b.cast(b.apply("add", b.apply("mul", product, wide), total), self.dtype)
                b.store(y, 0, b.select(in_order, b.load_again(y, 0), sum_))

    def write_elements(self) -> None:
        """Each chunk from its start."""
        b = self.builder
        with b.loop(self.along.rows * self.count) as chunk:
            y = b.allocate(self.dtype, 1)
            b.store(y, 0, b.load(self.starts, chunk))
            with b.loop(self._length_of(chunk), LoopKind.SERIAL) as k:
                result = self._next(y, chunk, k)
                b.store(y, 0, result)
                self.along.write(chunk // self.count, chunk % self.count * self.length + k, (result,), None)

    def _next(self, y: Buffer, chunk: Size, k: Size) -> Operand:
        b = self.builder
        factor, addend = self._element(chunk, k)
        return real(b.apply("add", b.apply("mul", factor, b.load_again(y, 0)), addend))

    def _element(self, chunk: Size, k: Size) -> tuple[AnyScalar, AnyScalar]:
        """Factor and addend; the first factor of a row, of which there is no use, is 0."""
        b = self.builder
        row, number = chunk // self.count, chunk % self.count * self.length + k
        factor, addend = self.along.element(row, number)
        is_first = b.apply("eq", b.index(number, i64), b.constant(0, i64))
        return b.select(is_first, b.constant(0.0, self.dtype), factor), addend

    def _length_of(self, chunk: Size) -> Size:
        return minimum(self.length, self.along.extent - chunk % self.count * self.length)
