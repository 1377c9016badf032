"""Pooling under PyTorch's names: windows of the input reduced to one element each.

Where several elements of a window are the greatest, the gradient flows to the first of them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from graphc.ir.attribute import Array
from graphc.ir.dim import Size, minimum
from graphc.ir.dtype import DType, Kind, i64
from graphc.ir.errors import ArgumentError, ShapeError
from graphc.ir.graph import Node
from graphc.ops import along, build, creation, indexing, movement, reduction
from graphc.ops import elementwise as ew
from graphc.ops.composite.arithmetic import mul, pow
from graphc.ops.composite.contraction import sizes_text
from graphc.ops.composite.convolution import batched, padded, unbatched, windows
from graphc.ops.composite.operand import refuse_kinds, widened
from graphc.ops.composite.window_check import (
    Ints,
    check_pool,
    check_pool_counts,
    check_pool_not_empty,
    check_pool_rank,
    pool_numbers,
)
from graphc.ops.control import with_gradient
from graphc.ops.function import function


@dataclass(frozen=True, slots=True)
class Windows:
    """Where windows lie: everything per spatial dimension."""

    size: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    count: tuple[Size, ...]
    behind: tuple[Size, ...]
    """Padding behind, so that as many windows fit; with `ceil_mode` more or less than in front."""

    def of(self, x: Node, fill: Node | None = None) -> Node:
        """The windows of a tensor; padding has the value `fill`, or 0."""
        return windows(padded(x, self.padding, self.behind, fill), self.size, self.stride, self.dilation)

    @property
    def elements(self) -> int:
        """Elements of a window."""
        total = 1
        for k in self.size:
            total *= k
        return total


def _windows(
    name: str,
    input: Node,
    rank: int,
    kernel_size: Ints,
    stride: Ints | None,
    padding: Ints,
    dilation: Ints,
    ceil: bool,
) -> Windows:
    x = batched(name, input, rank)
    size = pool_numbers(name, "kernel_size", kernel_size, rank)
    is_omitted = stride is None or (not isinstance(stride, int) and len(stride) == 0)
    steps = size if is_omitted or stride is None else pool_numbers(name, "stride", stride, rank)
    edge = pool_numbers(name, "padding", padding, rank)
    gaps = pool_numbers(name, "dilation", dilation, rank)
    check_pool(name, rank, size, steps, edge, gaps)
    check_pool_not_empty(name, input, rank)
    spans = tuple(gap * (k - 1) + 1 for k, gap in zip(size, gaps, strict=True))
    counts: list[Size] = []
    behind: list[Size] = []
    for n, span, step, p in zip(x.shape[2:], spans, steps, edge, strict=True):
        room = n + 2 * p - span
        if ceil:
            # One window more may begin in the input or the padding before it, but not in the padding behind.
            counts.append(minimum((room + step - 1) // step, (n + p - 1) // step) + 1)
            behind.append((counts[-1] - 1) * step + span - n - p)
        else:
            counts.append(room // step + 1)
            behind.append(p)
    check_pool_counts(name, x, size, counts)
    return Windows(size, steps, edge, gaps, tuple(counts), tuple(behind))


def _pooled(name: str, input: Node, rank: int) -> Node:
    """The input as [n, channels, ...]."""
    check_pool_rank(name, input, rank)
    return batched(name, input, rank)


def _window_axes(x: Node, rank: int) -> tuple[int, ...]:
    return tuple(range(len(x.shape) - rank, len(x.shape)))


def _lowest(dtype: DType) -> Node:
    """What every element is at least."""
    if dtype.is_integer:
        return build.constant(np.iinfo(dtype.numpy.name).min, dtype)
    return build.constant(-np.inf, dtype)


# Greatest element


def _max_pool(rank: int) -> Callable[..., object]:
    name = f"max_pool{rank}d"

    def build_node(
        input: Node,
        kernel_size: Ints,
        stride: Ints | None = None,
        padding: Ints = 0,
        dilation: Ints = 1,
        ceil_mode: bool = False,
        return_indices: bool = False,
    ) -> Node | tuple[Node, Node]:
        x = _pooled(name, input, rank)
        if rank == 1 and not return_indices:
            refuse_kinds("max_pool1d_impl", x, *_NO_FLOAT)
        refuse_kinds(f"max_pool{max(rank, 2)}d", x, Kind.BOOL, Kind.COMPLEX)
        place = _windows(name, input, rank, kernel_size, stride, padding, dilation, ceil_mode)
        view = place.of(x, _lowest(x.tensor.dtype))
        found = reduction.max_(view, axes=_window_axes(view, rank))
        if x.tensor.dtype.is_differentiable:
            found = with_gradient((found,), (x,), functools.partial(_max_pool_gradient, place, rank))[0]
        values = unbatched(found, x, input)
        if not return_indices:
            return values
        return values, unbatched(_positions(x, view, place, rank), x, input)

    return _entered(build_node, name, "The greatest element of each window; with `return_indices` also where it is.")


def _max_pool_gradient(
    place: Windows, rank: int, cts: tuple[Node, ...], results: tuple[Node, ...], operands: tuple[Node, ...]
) -> tuple[Node]:
    """The cotangents put back to the first greatest element of each window, and added up there."""
    x = operands[0]
    view = place.of(x, _lowest(x.tensor.dtype))
    lead = view.shape[: len(view.shape) - rank]
    shape = (*lead, place.elements)
    best = reduction.argmax(build.reshape_to(view, shape), axis=len(lead))
    is_best = ew.eq(
        build.repeat_along(best, (len(lead),), shape), creation.iota(shape=shape, axis=len(lead), dtype=i64)
    )
    spread = build.repeat_along(cts[0], (len(lead),), shape)
    parts = build.reshape_to(ew.select(is_best, spread, build.zeros_like(spread)), view.shape)
    extent = tuple(n + p + q for n, p, q in zip(x.shape[2:], place.padding, place.behind, strict=True))
    folded = movement.fold(
        parts,
        axes=tuple(range(2, 2 + rank)),
        size=place.size,
        stride=place.stride,
        dilation=place.dilation,
        extent=extent,
    )
    return (padded(folded, tuple(-p for p in place.padding), tuple(-q for q in place.behind)),)


def _positions(x: Node, view: Node, place: Windows, rank: int) -> Node:
    """The row-major position in the input's spatial dimensions of each window's greatest element."""
    lead = view.shape[: len(view.shape) - rank]
    best = reduction.argmax(build.reshape_to(view, (*lead, place.elements)), axis=len(lead))
    flat = build.zeros_like(best)
    inner = place.elements
    for k in range(rank):
        inner //= place.size[k]
        offset = ew.remainder(ew.floor_divide(best, build.full_like(best, inner)), build.full_like(best, place.size[k]))
        start = creation.iota(shape=best.shape, axis=2 + k, dtype=i64)
        at = ew.add(mul(start, place.stride[k]), mul(offset, place.dilation[k]))
        at = ew.sub(at, build.full_like(at, place.padding[k]))
        extent = build.broadcast_to(build.size_of(x.shape[2 + k], i64), flat.shape)
        flat = ew.add(ew.mul(flat, extent), at)
    return flat


# Mean


def _avg_pool(rank: int) -> Callable[..., object]:
    name = f"avg_pool{rank}d"

    def build_node(
        input: Node,
        kernel_size: Ints,
        stride: Ints | None = None,
        padding: Ints = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> Node:
        x = _pooled(name, input, rank)
        refuse_kinds("avg_pool3d_out_frame" if rank == 3 else "avg_pool2d", x, Kind.BOOL, Kind.COMPLEX)
        wide = widened(x)
        place = _windows(name, input, rank, kernel_size, stride, padding, 1, ceil_mode)
        view = place.of(wide)
        total = reduction.sum_(view, axes=_window_axes(view, rank))
        if divisor_override is not None:
            if divisor_override == 0:
                raise ArgumentError("divisor must be not zero", hint=f"{name}: use another number")
            count = build.full_like(total, divisor_override)
        elif ceil_mode or (not count_include_pad and any(place.padding)):
            count = _counts(total, x, place, count_include_pad)
        else:
            count = build.full_like(total, place.elements)
        result = ew.div(total, count) if total.tensor.dtype.is_floating_point else _whole(total, count)
        return unbatched(build.cast_to(result, x.tensor.dtype), x, input)

    return _entered(build_node, name, "The mean of each window.")


def _whole(x: Node, divisor: Node) -> Node:
    """The quotient without its fraction."""
    return ew.floor_divide(ew.sub(x, ew.fmod(x, divisor)), divisor)


def _counts(total: Node, x: Node, place: Windows, count_include_pad: bool) -> Node:
    """How many elements each window counts: those of the input, with or without its padding."""
    count = build.full(1, total.tensor.with_dtype(i64))
    for k, (size, step, edge) in enumerate(zip(place.size, place.stride, place.padding, strict=True)):
        start = creation.iota(shape=total.shape, axis=2 + k, dtype=i64)
        first = ew.sub(mul(start, step), build.full_like(start, edge))
        last = ew.add(first, build.full_like(first, size))
        extent = x.shape[2 + k]
        end = extent + edge if count_include_pad else extent
        last = ew.minimum(last, build.broadcast_to(build.size_of(end, i64), last.shape))
        if not count_include_pad:
            first = ew.maximum(first, build.zeros_like(first))
        count = ew.mul(count, ew.sub(last, first))
    return build.cast_to(count, total.tensor.dtype)


def _lp_pool(rank: int) -> Callable[..., object]:
    name = f"lp_pool{rank}d"

    def build_node(
        input: Node, norm_type: float, kernel_size: Ints, stride: Ints | None = None, ceil_mode: bool = False
    ) -> Node:
        x = batched(name, input, rank)
        refuse_kinds(name, x, *_NO_FLOAT)
        wide = widened(x)
        if norm_type == 0:
            raise ArgumentError(f"{name}: norm_type is 0", hint="use another number")
        place = _windows(name, input, rank, kernel_size, stride, 0, 1, ceil_mode)
        view = place.of(pow(wide, norm_type))
        total = reduction.sum_(view, axes=_window_axes(view, rank))
        if ceil_mode:  # windows that reach over the end stand for whole ones
            total = mul(ew.div(total, _counts(total, x, place, True)), float(place.elements))
        return unbatched(build.cast_to(pow(total, 1.0 / norm_type), x.tensor.dtype), x, input)

    return _entered(build_node, name, "The p-norm of each window, without absolute values: (sum x^p)^(1/p).")


# Adaptive: so many windows, whatever their size


def _adaptive_avg(rank: int) -> Callable[..., object]:
    name = f"adaptive_avg_pool{rank}d"

    def build_node(input: Node, output_size: int | Sequence[int | None] | None) -> Node:
        _check_adaptive_rank(name, input, rank, output_size)
        x = batched(name, input, rank)
        refuse_kinds("adaptive_avg_pool3d_cpu" if rank == 3 else "adaptive_avg_pool2d", x, *_NO_FLOAT)
        result = widened(x)
        for axis, wanted in enumerate(_output_size(name, x, rank, output_size, input), start=2):
            result = _mean_of_cells(name, result, axis, wanted)
        return unbatched(build.cast_to(result, x.tensor.dtype), x, input)

    return _entered(build_node, name, "The mean of each of `output_size` cells.")


def _adaptive_max(rank: int) -> Callable[..., object]:
    name = f"adaptive_max_pool{rank}d"

    def build_node(
        input: Node, output_size: int | Sequence[int | None] | None, return_indices: bool = False
    ) -> Node | tuple[Node, Node]:
        _check_adaptive_rank(name, input, rank, output_size)
        x = batched(name, input, rank)
        refuse_kinds("adaptive_max_pool3d_cpu" if rank == 3 else "adaptive_max_pool2d", x, *_NO_FLOAT)
        sizes = _output_size(name, x, rank, output_size, input)
        values, index = x, _row_major(x, rank)
        # The last dimension first: of equal elements the first one in row-major order is found.
        for axis in range(len(sizes) + 1, 1, -1):
            values, index = _greatest_of_cells(name, values, index, axis, sizes[axis - 2])
        if return_indices:
            return unbatched(values, x, input), unbatched(index, x, input)
        return unbatched(values, x, input)

    return _entered(build_node, name, "The greatest element of each of `output_size` cells, and on demand where it is.")


def _check_adaptive_rank(name: str, input: Node, rank: int, output_size: int | Sequence[int | None] | None) -> None:
    count = len(input.shape)
    if rank == 1 and count not in (2, 3):
        raise ShapeError(
            f"Expected 2 to 3 dimensions, but got {count}-dimensional tensor for argument #1 'self' (while checking "
            f"arguments for {name})",
            hint="the input is [n, channels, length], or that without n",
        )
    if isinstance(output_size, Sequence) and count <= len(output_size):
        raise ShapeError(f"Input dimension should be at least {rank + 1}", hint=f"{name}: [n, channels, ...]")
    if count not in (rank + 1, rank + 2):
        got = "got: " if "max" in name else "got "
        raise ShapeError(
            f"{name}(): Expected {rank + 1}D or {rank + 2}D tensor, but {got}{sizes_text(input.shape)}",
            hint="the input is [n, channels, ...], or that without n",
        )


_NO_FLOAT = (Kind.BOOL, Kind.INT, Kind.COMPLEX)


def _output_size(
    name: str, x: Node, rank: int, output_size: int | Sequence[int | None] | None, input: Node
) -> tuple[Size, ...]:
    """The numbers of cells, where None stands for as many as there are elements."""
    given = (output_size,) * rank if output_size is None or isinstance(output_size, int) else tuple(output_size)
    if len(given) != rank:
        if rank == 1:
            message = f"{name}() argument 'output_size' should contain one int (got {len(given)})"
        elif "max" in name:
            message = f"{name}(): internal error: output_size.size() must be {rank}"
        else:
            message = f"{name}: output_size must be {rank}"
        raise ArgumentError(message, hint="give one size for each spatial dimension, or a single one")
    if any(n is not None and n < 0 for n in given):
        shown = (1, *given) if rank == 1 else given
        if "max" in name:
            sizes = sizes_text((*x.shape[:2], *(n for n in shown if n is not None)))
            raise ArgumentError(
                f"Trying to create tensor with negative dimension {min(n for n in given if n is not None)}: {sizes}",
                hint="use 0 or more",
            )
        brackets = "{" + ", ".join(map(str, shown)) + "}"
        raise ArgumentError(
            f"adaptive_{name.split('_')[1]}_pool{max(rank, 2)}d: elements of output_size must be greater than or equal "
            f"to 0 but received {brackets}",
            hint="use 0 or more, or None to keep a size",
        )
    for axis in range(2, 2 + rank):
        if x.shape[axis] == 0:
            place = axis - len(x.shape) + len(input.shape)
            raise ShapeError(
                f"{name}(): Expected input to have non-zero size for non-batch dimensions, but input has sizes "
                f"{sizes_text(input.shape)} with dimension {place} being empty",
                hint="an empty dimension has no cells",
            )
    return tuple(x.shape[2 + k] if n is None else n for k, n in enumerate(given))


def _row_major(x: Node, rank: int) -> Node:
    """For each element its position in the spatial dimensions."""
    found = build.full(0, x.tensor.with_dtype(i64))
    for axis in range(2, 2 + rank):
        extent = build.broadcast_to(build.size_of(x.shape[axis], i64), x.shape)
        found = ew.add(ew.mul(found, extent), creation.iota(shape=x.shape, axis=axis, dtype=i64))
    return found


@dataclass(frozen=True, slots=True)
class _Cells:
    """How a dimension is cut into cells that may overlap: places of their elements, `[count, longest]`."""

    place: npt.NDArray[np.int64]
    length: npt.NDArray[np.int64]

    def of(self, x: Node, axis: int) -> Node:
        """The dimension as two, of cells and of their elements; short cells repeat their last element."""
        return indexing.gather(x, creation.constant(value=Array(self.place)), axis=axis)


def _cells(name: str, size: Size, count: Size) -> _Cells:
    if not isinstance(size, int) or not isinstance(count, int):
        raise ShapeError(
            f"{name}: whether {count} cells divide the symbolic size {size} is not known",
            hint=f"write the size as a multiple where the shape is declared, e.g. {count}*n",
        )
    first = np.arange(count) * size // count
    last = -(-(np.arange(1, count + 1) * size) // count)
    longest = int((last - first).max(initial=1))
    place = np.minimum(first[:, None] + np.arange(longest), last[:, None] - 1)
    return _Cells(place.astype(np.int64), (last - first).astype(np.int64))


def _divided(x: Node, axis: int, count: Size) -> Node | None:
    """The dimension as cells and their elements, where cells divide it."""
    size = x.shape[axis]
    if count == 0:
        return None
    whole = size // count
    if whole * count != size:
        return None
    return build.reshape_to(x, (*x.shape[:axis], count, whole, *x.shape[axis + 1 :]))


def _mean_of_cells(name: str, x: Node, axis: int, count: Size) -> Node:
    """One dimension reduced to the means of `count` cells; cells of a rectangle are those of its sides."""
    if x.shape[axis] == count:
        return x
    parts = _divided(x, axis, count)
    if parts is not None:
        total = reduction.sum_(parts, axes=(axis + 1,))
        return ew.div(total, build.broadcast_to(build.size_of(parts.shape[axis + 1], x.tensor.dtype), total.shape))
    cells = _cells(name, x.shape[axis], count)
    rest = (1,) * (len(x.shape) - axis - 1)
    inside = np.arange(cells.place.shape[1]) < cells.length[:, None]
    share = np.where(inside, 1.0 / cells.length[:, None], 0.0).astype(x.tensor.dtype.numpy)
    found = cells.of(x, axis)
    weight = creation.constant(value=Array(share.reshape(*share.shape, *rest)))
    kept = ew.select(
        build.broadcast_to(creation.constant(value=Array(inside.reshape(*inside.shape, *rest))), found.shape),
        found,
        build.zeros_like(found),
    )
    return reduction.sum_(ew.mul(kept, build.broadcast_to(weight, found.shape)), axes=(axis + 1,))


def _greatest_of_cells(name: str, x: Node, index: Node, axis: int, count: Size) -> tuple[Node, Node]:
    """One dimension reduced to the greatest elements of `count` cells, and where they were."""
    if x.shape[axis] == count:
        return x, index
    parts, places = _divided(x, axis, count), _divided(index, axis, count)
    if parts is None or places is None:
        cells = _cells(name, x.shape[axis], count)
        parts, places = cells.of(x, axis), cells.of(index, axis)
    best = build.insert_axes(reduction.argmax(parts, axis=axis + 1), (axis + 1,))
    shape = (*best.shape[: axis + 1], *best.shape[axis + 2 :])
    values, where = (build.reshape_to(along.take_along(each, best, axis=axis + 1), shape) for each in (parts, places))
    return values, where


def _entered(build_node: Callable[..., object], name: str, summary: str) -> Callable[..., object]:
    build_node.__name__ = build_node.__qualname__ = name
    build_node.__doc__ = summary
    return function()(build_node)


max_pool1d, max_pool2d, max_pool3d = (_max_pool(rank) for rank in (1, 2, 3))
avg_pool1d, avg_pool2d, avg_pool3d = (_avg_pool(rank) for rank in (1, 2, 3))
lp_pool1d, lp_pool2d, lp_pool3d = (_lp_pool(rank) for rank in (1, 2, 3))
adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d = (_adaptive_avg(rank) for rank in (1, 2, 3))
adaptive_max_pool1d, adaptive_max_pool2d, adaptive_max_pool3d = (_adaptive_max(rank) for rank in (1, 2, 3))
