"""Ops that move elements without computing: reshape, permute, broadcast, slice, pad, flip, concat, window; and fold.

Level: tensor graph. In: one operand (concat: several) and attributes with sizes that may be symbolic. Out: its elements
in another order or number. Lowering maps indices, so a chain of these costs nothing. `fold` is the transpose of
`window` and the one that adds.

    slice_(x, start=(0, 2), stop=(n, 8), step=(1, 2))      # x[:, 2:8:2]
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from graphc.ir.dim import Size, is_at_most, maximum, product
from graphc.ir.dtype import bf16, bool_, f16, f32, i64
from graphc.ir.errors import ArgumentError, ShapeError
from graphc.ir.graph import Node
from graphc.ir.lowering import Builder, Operand, Scalar
from graphc.ir.op import Flags, Op, register
from graphc.ir.type import Shape, TensorType
from graphc.ops import build, check, elementwise, reduction
from graphc.ops.check import shape_text
from graphc.ops.indices import all_of, in_range, reshaped_indices
from graphc.ops.numerics import NumpyArray

Sizes: TypeAlias = "tuple[Size, ...]"
Indices: TypeAlias = "tuple[Size, ...]"


# Reshape


def _reshape_type(x: TensorType, *, shape: Shape) -> TensorType:
    check.sizes_at_least_zero("reshape", shape)
    old, new = x.size, product(shape)
    if old == new:
        return x.with_shape(shape)
    what = f"reshape: {shape_text(x.shape)} has {old} elements and {shape_text(shape)} has {new}"
    if check.can_be_equal(old, new):
        raise ShapeError(
            f"{what}, which are not known to be equal", hint="write the new sizes in terms of the old ones"
        )
    raise ShapeError(what, hint="choose sizes whose product is the same")


reshape: Op = register(
    Op(
        "reshape",
        "the same elements in row-major order with another shape",
        type_rule=_reshape_type,
        reference=lambda out, x, *, shape: x.reshape(shape),
        vjp=lambda ct, out, x, *, shape: (reshape(ct, shape=x.shape),),
        lower=lambda b, out, i, x, *, shape: x(reshaped_indices(i, x.type.shape, shape)),
        flags=Flags.MOVEMENT,
    )
)

# Permute


def _permute_type(x: TensorType, *, axes: tuple[int, ...]) -> TensorType:
    check.distinct_axes("permute", x, axes)
    check.one_per_axis("permute", "axes", x.rank, axes)
    return x.with_shape(tuple(x.shape[axis] for axis in axes))


def inverse_order(axes: tuple[int, ...]) -> tuple[int, ...]:
    """The permutation that undoes `axes`."""
    return tuple(axes.index(axis) for axis in range(len(axes)))


def _permute_lower(b: Builder, out: TensorType, i: Indices, x: Operand, *, axes: tuple[int, ...]) -> Scalar:
    return x(tuple(i[axes.index(axis)] for axis in range(len(axes))))


permute: Op = register(
    Op(
        "permute",
        "axes in another order: axis k of the result is axis axes[k] of the operand",
        type_rule=_permute_type,
        reference=lambda out, x, *, axes: np.transpose(x, axes),
        vjp=lambda ct, out, x, *, axes: (permute(ct, axes=inverse_order(axes)),),
        lower=_permute_lower,
        flags=Flags.MOVEMENT,
    )
)

# Broadcast


def _broadcast_type(x: TensorType, *, shape: Shape) -> TensorType:
    check.sizes_at_least_zero("broadcast", shape)
    if len(shape) != x.rank:
        raise ShapeError(
            f"broadcast: {shape_text(x.shape)} has {x.rank} axes and {shape_text(shape)} has {len(shape)}",
            hint="add axes of size 1 with a reshape first",
        )
    for axis, (old, new) in enumerate(zip(x.shape, shape)):
        if old != 1 and old != new:
            undecided = " is not known to be" if check.can_be_equal(old, new) else " is neither 1 nor"
            raise ShapeError(
                f"broadcast: from {shape_text(x.shape)} to {shape_text(shape)}: "
                f"the size {old} of axis {axis}{undecided} {new}",
                hint="only axes of size 1 repeat",
            )
    return x.with_shape(shape)


def _broadcast_lower(b: Builder, out: TensorType, i: Indices, x: Operand, *, shape: Shape) -> Scalar:
    return x(tuple(0 if size == 1 else index for index, size in zip(i, x.type.shape)))


broadcast: Op = register(
    Op(
        "broadcast",
        "axes of size 1 repeated",
        type_rule=_broadcast_type,
        reference=lambda out, x, *, shape: np.broadcast_to(x, shape),
        vjp=lambda ct, out, x, *, shape: (build.sum_to(ct, x.shape),),
        lower=_broadcast_lower,
        flags=Flags.MOVEMENT,
    )
)

# Slice


def _slice_type(x: TensorType, *, start: Sizes, stop: Sizes, step: Sizes) -> TensorType:
    check.one_per_axis("slice", "start, stop or step", x.rank, start, stop, step)
    shape: list[Size] = []
    for axis, (size, first, last, by) in enumerate(zip(x.shape, start, stop, step)):
        where = f"of axis {axis}"
        check.at_least("slice", f"the step {where}", by, 1, "take steps of 1 or more; to go backwards use flip")
        check.at_least("slice", f"the start {where}", first, 0, f"the axis begins at 0 and ends at {size}")
        check.at_most("slice", f"the start {where}", first, last, "start at or before the stop")
        check.at_most("slice", f"the stop {where}", last, size, f"the axis begins at 0 and ends at {size}")
        shape.append((last - first + by - 1) // by)
    return x.with_shape(tuple(shape))


def _slice_vjp(ct: Node, out: Node, x: Node, *, start: Sizes, stop: Sizes, step: Sizes) -> tuple[Node]:
    interior = tuple(by - 1 for by in step)
    spans = (dilated_size(size, gap) for size, gap in zip(out.shape, interior))
    high = tuple(size - first - span for size, first, span in zip(x.shape, start, spans))
    return (pad(ct, build.zero(ct.tensor.dtype), low=start, high=high, interior=interior),)


slice_: Op = register(
    Op(
        "slice",
        "every step-th element from start to before stop, for each axis",
        type_rule=_slice_type,
        reference=lambda out, x, *, start, stop, step: x[tuple(map(slice, start, stop, step))],
        vjp=_slice_vjp,
        lower=lambda b, out, i, x, *, start, stop, step: x(tuple(f + k * s for f, k, s in zip(start, i, step))),
        flags=Flags.MOVEMENT,
    )
)

# Pad


def dilated_size(size: Size, interior: Size) -> Size:
    """The size of an axis with `interior` elements put between its own."""
    return size if interior == 0 else maximum(0, size + (size - 1) * interior)


def _pad_type(x: TensorType, value: TensorType, *, low: Sizes, high: Sizes, interior: Sizes) -> TensorType:
    check.scalar_operand("pad", "the value", value)
    check.equal_dtypes("pad", x, value)
    check.one_per_axis("pad", "low, high or interior", x.rank, low, high, interior)
    shape: list[Size] = []
    for axis, (size, before, after, gap) in enumerate(zip(x.shape, low, high, interior)):
        where = f"of axis {axis}"
        check.at_least("pad", f"the interior {where}", gap, 0, "put 0 or more elements between two")
        result = before + dilated_size(size, gap) + after
        check.at_least("pad", f"the padded size {where}", result, 0, f"cut off no more than the {size} there are")
        shape.append(result)
    return x.with_shape(tuple(shape))


def _pad_reference(
    out: TensorType,
    x: NumpyArray,
    value: NumpyArray,
    *,
    low: tuple[int, ...],
    high: tuple[int, ...],
    interior: tuple[int, ...],
) -> NumpyArray:
    dilated = [max(0, n + (n - 1) * gap) for n, gap in zip(x.shape, interior)]
    result = np.full([a + n + c for a, n, c in zip(low, dilated, high)], value, dtype=x.dtype)
    spread = np.full(dilated, value, dtype=x.dtype)
    spread[tuple(slice(None, None, gap + 1) for gap in interior)] = x
    inside = [(max(0, -a), n - max(0, -c)) for a, n, c in zip(low, dilated, high)]
    if all(first < last for first, last in inside):
        kept = spread[tuple(slice(first, last) for first, last in inside)]
        result[tuple(slice(max(0, a), max(0, a) + n) for a, n in zip(low, kept.shape))] = kept
    return result


def _pad_vjp(
    ct: Node, out: Node, x: Node, value: Node, *, low: Sizes, high: Sizes, interior: Sizes
) -> tuple[Node, Node]:
    # Undo the padding so far that each element has its gap behind it: then sizes divide, whatever they are.
    spans = tuple(size * (gap + 1) for size, gap in zip(x.shape, interior))
    zero = build.zero(ct.tensor.dtype)
    cut = pad(
        ct,
        zero,
        low=tuple(-before for before in low),
        high=tuple(span - (size - before) for span, size, before in zip(spans, out.shape, low)),
        interior=(0,) * len(spans),
    )
    step = tuple(gap + 1 for gap in interior)
    inside = slice_(cut, start=(0,) * len(spans), stop=spans, step=step) if any(by != 1 for by in step) else cut
    false, true = build.full(False, x.tensor.with_dtype(bool_)), build.constant(True, bool_)
    is_padding = pad(false, true, low=low, high=high, interior=interior)
    outside = elementwise.select(is_padding, ct, build.zeros_like(ct))
    return inside, reduction.sum_(outside, axes=tuple(range(len(spans))))


def _pad_lower(
    b: Builder, out: TensorType, i: Indices, x: Operand, value: Operand, *, low: Sizes, high: Sizes, interior: Sizes
) -> Scalar:
    tests: list[Scalar] = []
    source: list[Size] = []
    for index, size, before, after, gap in zip(i, x.type.shape, low, high, interior):
        at = index - before
        span = dilated_size(size, gap)
        test = in_range(b, at, None if is_at_most(before, 0) else 0, None if is_at_most(after, 0) else span)
        tests += [] if test is None else [test]
        if gap != 0:
            tests.append(b.apply("eq", b.index(at % (gap + 1), i64), b.constant(0, i64)))
            at = at // (gap + 1)
        source.append(at)
    inside = all_of(b, tests)
    return x(tuple(source)) if inside is None else b.guard(inside, lambda: x(tuple(source)), value(()))


pad: Op = register(
    Op(
        "pad",
        "a value put before, behind and between the elements; a negative low or high cuts off",
        type_rule=_pad_type,
        reference=_pad_reference,
        vjp=_pad_vjp,
        lower=_pad_lower,
        flags=Flags.MOVEMENT,
    )
)

# Flip


def _flip_type(x: TensorType, *, axes: tuple[int, ...]) -> TensorType:
    check.distinct_axes("flip", x, axes, is_sorted=True)
    return x


def _flip_lower(b: Builder, out: TensorType, i: Indices, x: Operand, *, axes: tuple[int, ...]) -> Scalar:
    return x(tuple(out.shape[a] - 1 - index if a in axes else index for a, index in enumerate(i)))


flip: Op = register(
    Op(
        "flip",
        "the elements along some axes in reverse order",
        type_rule=_flip_type,
        reference=lambda out, x, *, axes: np.flip(x, axes),
        vjp=lambda ct, out, x, *, axes: (flip(ct, axes=axes),),
        lower=_flip_lower,
        flags=Flags.MOVEMENT,
    )
)

# Concat


def _concat_type(*operands: TensorType, axis: int) -> TensorType:
    if not operands:
        raise ArgumentError("concat: nothing to put together", hint="give at least one operand")
    check.equal_dtypes("concat", *operands)
    first = operands[0]
    check.axis_in_range("concat", first, axis)
    total: Size = first.shape[axis]
    for other in operands[1:]:
        if other.rank != first.rank:
            check.equal_shapes("concat", first, other)
        for k, (a, c) in enumerate(zip(first.shape, other.shape)):
            if k != axis:
                check.equal_sizes("concat", f"the sizes of axis {k}", a, c)
        total = total + other.shape[axis]
    return first.with_shape((*first.shape[:axis], total, *first.shape[axis + 1 :]))


def _offsets(sizes: list[Size]) -> list[Size]:
    offsets: list[Size] = [0]
    for size in sizes:
        offsets.append(offsets[-1] + size)
    return offsets


def _concat_vjp(ct: Node, out: Node, *operands: Node, axis: int) -> tuple[Node, ...]:
    offsets = _offsets([x.shape[axis] for x in operands])
    rank = len(ct.shape)
    return tuple(
        slice_(
            ct,
            start=tuple(offsets[k] if a == axis else 0 for a in range(rank)),
            stop=tuple(offsets[k + 1] if a == axis else ct.shape[a] for a in range(rank)),
            step=(1,) * rank,
        )
        for k in range(len(operands))
    )


def _concat_lower(b: Builder, out: TensorType, i: Indices, *operands: Operand, axis: int) -> Scalar:
    parts = [x for x in operands if x.type.shape[axis] != 0]
    offsets = _offsets([x.type.shape[axis] for x in parts])

    def element(x: Operand, offset: Size) -> Scalar:
        return x((*i[:axis], i[axis] - offset, *i[axis + 1 :]))

    if not parts:
        return b.constant(0, out.dtype)
    if len(parts) == 1:
        return element(parts[0], 0)
    result = b.constant(0, out.dtype)
    for k, x in enumerate(parts):
        is_first, is_last = k == 0, k == len(parts) - 1
        test = in_range(b, i[axis], None if is_first else offsets[k], None if is_last else offsets[k + 1])
        assert test is not None
        result = b.guard(test, _later(element, x, offsets[k]), result)
    return result


def _later(element: Callable[[Operand, Size], Scalar], x: Operand, offset: Size) -> Callable[[], Scalar]:
    return lambda: element(x, offset)


concat: Op = register(
    Op(
        "concat",
        "operands one after another along an axis",
        type_rule=_concat_type,
        reference=lambda out, *xs, axis: np.concatenate(xs, axis),
        vjp=_concat_vjp,
        lower=_concat_lower,
        flags=Flags.MOVEMENT,
    )
)

# Window and fold


def window_count(extent: Size, size: Size, stride: Size, dilation: Size) -> Size:
    """How many windows of `size` elements, `dilation` apart, begin every `stride` elements of an axis."""
    return (extent - dilation * (size - 1) - 1) // stride + 1


def _check_windows(op: str, rank: int, axes: tuple[int, ...], size: Sizes, stride: Sizes, dilation: Sizes) -> None:
    check.one_per_axis(op, "size, stride or dilation", len(axes), size, stride, dilation)
    for axis, *values in zip(axes, size, stride, dilation):
        for name, value in zip(("size", "stride", "dilation"), values):
            check.at_least(op, f"the {name} of the window along axis {axis}", value, 1, "give 1 or more")


def _window_type(x: TensorType, *, axes: tuple[int, ...], size: Sizes, stride: Sizes, dilation: Sizes) -> TensorType:
    check.distinct_axes("window", x, axes)
    _check_windows("window", x.rank, axes, size, stride, dilation)
    shape = list(x.shape)
    for axis, k, by, gap in zip(axes, size, stride, dilation):
        count = window_count(shape[axis], k, by, gap)
        what = f"the number of windows of {k} elements, {gap} apart, in the {shape[axis]} of axis {axis}"
        shape[axis] = check.at_least("window", what, count, 0, "pad the axis or take a smaller window")
    return x.with_shape((*shape, *size))


def _window_reference(
    out: TensorType,
    x: NumpyArray,
    *,
    axes: tuple[int, ...],
    size: tuple[int, ...],
    stride: tuple[int, ...],
    dilation: tuple[int, ...],
) -> NumpyArray:
    shape, strides = list(x.shape), list(x.strides)
    for axis, k, by, gap in zip(axes, size, stride, dilation):
        shape[axis] = (x.shape[axis] - gap * (k - 1) - 1) // by + 1
        strides[axis] = x.strides[axis] * by
    steps = [x.strides[axis] * gap for axis, gap in zip(axes, dilation)]
    return np.array(np.lib.stride_tricks.as_strided(x, (*shape, *size), (*strides, *steps), writeable=False))


def _window_vjp(
    ct: Node, out: Node, x: Node, *, axes: tuple[int, ...], size: Sizes, stride: Sizes, dilation: Sizes
) -> tuple[Node]:
    extent = tuple(x.shape[axis] for axis in axes)
    return (fold(ct, axes=axes, size=size, stride=stride, dilation=dilation, extent=extent),)


def _window_lower(
    b: Builder,
    out: TensorType,
    i: Indices,
    x: Operand,
    *,
    axes: tuple[int, ...],
    size: Sizes,
    stride: Sizes,
    dilation: Sizes,
) -> Scalar:
    rank = x.type.rank
    source = list(i[:rank])
    for axis, by, gap, k in zip(axes, stride, dilation, i[rank:]):
        source[axis] = source[axis] * by + k * gap
    return x(tuple(source))


window: Op = register(
    Op(
        "window",
        "sliding windows: axes of counts in place, axes of the windows' sizes at the end",
        type_rule=_window_type,
        reference=_window_reference,
        vjp=_window_vjp,
        lower=_window_lower,
        flags=Flags.MOVEMENT,
    )
)


def _fold_type(
    x: TensorType, *, axes: tuple[int, ...], size: Sizes, stride: Sizes, dilation: Sizes, extent: Sizes
) -> TensorType:
    check.takes("fold", x, check.NUMBER)
    rank = x.rank - len(axes)
    if rank < 0 or tuple(x.shape[rank:]) != tuple(size):
        raise ShapeError(
            f"fold: the shape {shape_text(x.shape)} doesn't end in the windows' sizes {shape_text(size)}",
            hint="give it what window gives: the windows' elements are the last axes",
        )
    check.distinct_axes("fold", x.with_shape(x.shape[:rank]), axes)
    _check_windows("fold", rank, axes, size, stride, dilation)
    check.one_per_axis("fold", "extent", len(axes), extent)
    shape = list(x.shape[:rank])
    for axis, k, by, gap, total in zip(axes, size, stride, dilation, extent):
        count = window_count(total, k, by, gap)
        check.equal_sizes(
            "fold", f"the numbers of windows along axis {axis}, given and in {total},", shape[axis], count
        )
        shape[axis] = total
    return x.with_shape(tuple(shape))


def _fold_reference(
    out: TensorType,
    x: NumpyArray,
    *,
    axes: tuple[int, ...],
    size: tuple[int, ...],
    stride: tuple[int, ...],
    dilation: tuple[int, ...],
    extent: tuple[int, ...],
) -> NumpyArray:
    rank = x.ndim - len(axes)
    shape = list(x.shape[:rank])
    for axis, total in zip(axes, extent):
        shape[axis] = total
    result = np.zeros(shape, np.float32 if out.dtype in (f16, bf16) else x.dtype)
    with np.errstate(all="ignore"):
        for offset in np.ndindex(*size):
            taken = (..., *offset)
            where = [slice(None)] * rank
            for axis, k, by, gap in zip(axes, offset, stride, dilation):
                where[axis] = slice(k * gap, k * gap + (x.shape[axis] - 1) * by + 1 if x.shape[axis] else k * gap, by)
            result[tuple(where)] += x[taken]
        return result.astype(out.dtype.numpy, copy=False)


def _fold_vjp(
    ct: Node, out: Node, x: Node, *, axes: tuple[int, ...], size: Sizes, stride: Sizes, dilation: Sizes, extent: Sizes
) -> tuple[Node]:
    return (window(ct, axes=axes, size=size, stride=stride, dilation=dilation),)


def _fold_lower(
    b: Builder,
    out: TensorType,
    i: Indices,
    x: Operand,
    *,
    axes: tuple[int, ...],
    size: Sizes,
    stride: Sizes,
    dilation: Sizes,
    extent: Sizes,
) -> Scalar:
    wide = f32 if out.dtype in (f16, bf16) else out.dtype
    counts = x.type.shape

    def element(offsets: Indices) -> Scalar:
        tests: list[Scalar] = []
        source = list(i)
        for axis, k, by, gap in zip(axes, offsets, stride, dilation):
            at = i[axis] - k * gap
            test = in_range(b, at, 0, counts[axis] * by)
            tests += [] if test is None else [test]
            if by != 1:
                tests.append(b.apply("eq", b.index(at % by, i64), b.constant(0, i64)))
            source[axis] = at // by
        inside = all_of(b, tests)
        zero = b.constant(0, wide)
        if inside is None:
            return b.cast(x((*source, *offsets)), wide)
        return b.guard(inside, lambda: b.cast(x((*source, *offsets)), wide), zero)

    def over(offsets: Indices) -> Scalar:
        if len(offsets) == len(size):
            return element(offsets)
        return b.reduce("sum", size[len(offsets)], lambda k: over((*offsets, k)))

    return b.cast(over(()), out.dtype)


fold: Op = register(
    Op(
        "fold",
        "the transpose of window: adds the windows' elements back where they come from",
        type_rule=_fold_type,
        reference=_fold_reference,
        vjp=_fold_vjp,
        lower=_fold_lower,
        flags=Flags.EXPENSIVE,
    )
)
