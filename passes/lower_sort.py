"""Kernels that sort along an axis and look up places in what is sorted.

In: a group whose anchor is `argsort` or `search`. Out: a loop over rows. Sorting merges runs of 1, 2, 4 ... elements
from bottom to top, between two halves of scratch memory (D. E. Knuth, The Art of Computer Programming 3, 5.2.4): equal
elements keep their order. Looking up halves what is left.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from graphc.ir.dim import Size, is_at_most, product
from graphc.ir.dtype import DType, i64
from graphc.ir.graph import Node
from graphc.ir.lowering import Scalar
from graphc.kernel.builder import KernelBuilder
from graphc.kernel.ir import Buffer, LoopKind
from graphc.ops.indices import linear_index, split_index

if TYPE_CHECKING:
    from graphc.passes.lower import GroupLowering

STACK_LIMIT = 1024
"""Elements of a row that is sorted on the stack."""
INDEX_BITS = 62
"""No axis has more elements than this many bits count."""


def lower_argsort(group: GroupLowering, anchor: Node) -> None:
    """Keys and positions are merged side by side; the positions are the result."""
    b, x, shape = group.builder, anchor.inputs[0], anchor.shape
    axis = cast("int", anchor.attribute("axis"))
    extent = shape[axis]
    others = tuple(a for a in range(len(shape)) if a != axis)
    sizes = tuple(shape[a] for a in others)
    passes = bit_count(b, extent - 1)
    with b.loop(product(sizes)) as row:
        at = dict(zip(others, split_index(row, sizes), strict=True))
        keys = _halves(group, x.tensor.dtype, extent, product(sizes))
        order = _halves(group, i64, extent, product(sizes))
        start = 0 if is_at_most(extent, STACK_LIMIT) else row * 2 * extent
        with b.loop(extent, LoopKind.SERIAL) as k:
            b.store(keys, start + k, group.read(x, tuple(k if a == axis else at[a] for a in range(len(shape)))))
            b.store(order, start + k, b.index(k, i64))
        if passes != 0:
            pointers = b.allocate(i64, 2)
            for which in range(2):  # the first merge reads them before it writes them, and doesn't use what it reads
                b.store(pointers, which, b.constant(0, i64))
            with b.loop(passes, LoopKind.SERIAL) as number:
                half = number % 2 * extent
                _merge(b, keys, order, pointers, extent, number, start + half, start + extent - half)
        with b.loop(extent, LoopKind.SERIAL) as k:
            indices = tuple(k if a == axis else at[a] for a in range(len(shape)))
            place = b.load_again(order, start + passes % 2 * extent + k)
            b.store(group.results[0], linear_index(indices, shape), place)


def _halves(group: GroupLowering, dtype: DType, extent: Size, rows: Size) -> Buffer:
    """Scratch for the elements of a row twice: on the stack if it is short, else memory for all rows."""
    if is_at_most(extent, STACK_LIMIT):
        return group.builder.allocate(dtype, 2 * extent)
    return group.scratch(dtype, 2 * extent * rows)


def _merge(
    b: KernelBuilder, keys: Buffer, order: Buffer, pointers: Buffer, extent: Size, number: Size, source: Size, to: Size
) -> None:
    """Merge neighbouring runs of 2**number elements; `pointers` are where the two runs have come to."""
    one, size = b.constant(1, i64), b.index(extent, i64)
    width = b.apply("shift_left", one, b.index(number, i64))
    span = b.apply("add", width, width)
    with b.loop(extent, LoopKind.SERIAL) as k:
        position = b.index(k, i64)
        first = b.apply("bitwise_and", position, b.apply("neg", span))
        middle = b.apply("minimum", b.apply("add", first, width), size)
        end = b.apply("minimum", b.apply("add", first, span), size)
        is_first = b.apply("eq", position, first)
        left = b.select(is_first, first, b.load_again(pointers, 0))
        right = b.select(is_first, middle, b.load_again(pointers, 1))
        left_key, right_key = (b.load_again(keys, source + b.position(each, extent)) for each in (left, right))
        # The left run's element goes first where both are equal.
        is_left_over = b.apply("ge", left, middle)
        is_less = b.apply("bitwise_or", is_left_over, b.apply("lt", right_key, left_key))
        takes_right = b.apply("bitwise_and", b.apply("lt", right, end), is_less)
        chosen = b.position(b.select(takes_right, right, left), extent)
        b.store(keys, to + k, b.select(takes_right, right_key, left_key))
        b.store(order, to + k, b.load_again(order, source + chosen))
        step = b.cast(takes_right, i64)
        b.store(pointers, 0, b.apply("sub", b.apply("add", left, one), step))
        b.store(pointers, 1, b.apply("add", right, step))


def lower_search(group: GroupLowering, anchor: Node) -> None:
    """Each value by itself: the first place whose element is not less than it, or greater if `right`."""
    b = group.builder
    ordered, x = anchor.inputs
    extent, shape = ordered.shape[-1], x.shape
    compare = "gt" if anchor.attribute("right") else "ge"
    one = b.constant(1, i64)
    steps = bit_count(b, extent)
    with b.loop(product(shape)) as position:
        indices = split_index(position, shape)
        lead = indices[:-1] if len(ordered.shape) > 1 else ()
        value = group.read(x, indices)
        ends = b.allocate(i64, 2)
        b.store(ends, 0, b.constant(0, i64))
        b.store(ends, 1, b.index(extent, i64))
        with b.loop(steps, LoopKind.SERIAL):
            low, high = b.load_again(ends, 0), b.load_again(ends, 1)
            middle = b.apply("add", low, b.apply("shift_right", b.apply("sub", high, low), one))
            element = group.read(ordered, (*lead, b.position(middle, extent)))
            is_behind = b.apply("bitwise_not", b.apply(compare, element, value))
            is_open = b.apply("lt", low, high)
            rises = b.apply("bitwise_and", is_open, is_behind)
            b.store(ends, 0, b.select(rises, b.apply("add", middle, one), low))
            b.store(ends, 1, b.select(b.apply("bitwise_and", is_open, b.apply("bitwise_not", is_behind)), middle, high))
        b.store(group.results[0], position, b.load_again(ends, 0))


def bit_count(b: KernelBuilder, size: Size) -> Size:
    """How many bits the size has; of a symbolic one, computed when the kernel runs."""
    if isinstance(size, int):
        return max(size, 0).bit_length()
    number, one = b.index(size, i64), b.constant(1, i64)

    def is_needed(k: Size) -> Scalar:
        return b.cast(b.apply("ge", number, b.apply("shift_left", one, b.index(k, i64))), i64)

    return b.position(b.reduce("sum", INDEX_BITS, is_needed), INDEX_BITS + 1)
