"""Pooling under PyTorch's names: windows of the input reduced to one element each.

Where several elements of a window are the greatest they share the gradient evenly.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from graphc.ir.attribute import Array
from graphc.ir.dim import Size, minimum
from graphc.ir.dtype import DType, i64
from graphc.ir.errors import ArgumentError, ShapeError
from graphc.ir.graph import Node
from graphc.ops import build, creation, indexing, reduction
from graphc.ops import elementwise as ew
from graphc.ops.check import REAL, takes
from graphc.ops.composite.arithmetic import div, mul, pow
from graphc.ops.composite.convolution import Ints, batched, fits, padded, per_axis, unbatched, windows
from graphc.ops.composite.operand import only_floats, widened
from graphc.ops.function import function
from graphc.ops.return_types import ValuesAndIndices


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
    name: str, x: Node, rank: int, kernel_size: Ints, stride: Ints | None, padding: Ints, dilation: Ints, ceil: bool
) -> Windows:
    size = per_axis(name, "kernel_size", kernel_size, rank, 1)
    steps = size if stride is None or stride == () else per_axis(name, "stride", stride, rank, 1)
    edge = per_axis(name, "padding", padding, rank, 0)
    gaps = per_axis(name, "dilation", dilation, rank, 1)
    for k, p in zip(size, edge, strict=True):
        if 2 * p > k:
            raise ArgumentError(
                f"{name}: padding={padding!r} with kernel_size={kernel_size!r}", hint="pad at most half a window"
            )
    spans = tuple(gap * (k - 1) + 1 for k, gap in zip(size, gaps, strict=True))
    fits(name, x, edge, edge, spans)
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
    return Windows(size, steps, edge, gaps, tuple(counts), tuple(behind))


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
    ) -> Node | ValuesAndIndices:
        x = batched(name, input, rank)
        takes(name, x.tensor, REAL)
        place = _windows(name, x, rank, kernel_size, stride, padding, dilation, ceil_mode)
        view = place.of(x, _lowest(x.tensor.dtype))
        values = unbatched(reduction.max_(view, axes=_window_axes(view, rank)), x, input)
        if not return_indices:
            return values
        return ValuesAndIndices(values, unbatched(_positions(x, view, place, rank), x, input))

    return _entered(build_node, name, "The greatest element of each window; with `return_indices` also where it is.")


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
        x = batched(name, input, rank)
        wide = widened(only_floats(name, x))
        place = _windows(name, x, rank, kernel_size, stride, padding, 1, ceil_mode)
        view = place.of(wide)
        total = reduction.sum_(view, axes=_window_axes(view, rank))
        if divisor_override is not None:
            if divisor_override == 0:
                raise ArgumentError(f"{name}: divisor_override is 0", hint="use another number")
            result = div(total, float(divisor_override))
        elif ceil_mode or (not count_include_pad and any(place.padding)):
            result = ew.div(total, _counts(total, x, place, count_include_pad))
        else:
            result = div(total, float(place.elements))
        return unbatched(build.cast_to(result, x.tensor.dtype), x, input)

    return _entered(build_node, name, "The mean of each window.")


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
        wide = widened(only_floats(name, x))
        if norm_type == 0:
            raise ArgumentError(f"{name}: norm_type is 0", hint="use another number")
        place = _windows(name, x, rank, kernel_size, stride, 0, 1, ceil_mode)
        view = place.of(pow(wide, norm_type))
        total = reduction.sum_(view, axes=_window_axes(view, rank))
        return unbatched(build.cast_to(pow(total, 1.0 / norm_type), x.tensor.dtype), x, input)

    return _entered(build_node, name, "The p-norm of each window, without absolute values: (sum x^p)^(1/p).")


# Adaptive: so many windows, whatever their size


def _adaptive(kind: str, rank: int) -> Callable[..., object]:
    name = f"adaptive_{kind}_pool{rank}d"

    def build_node(input: Node, output_size: int | Sequence[int | None] | None) -> Node:
        x = batched(name, input, rank)
        takes(name, x.tensor, REAL)
        if kind == "avg":
            only_floats(name, x)
        given = (output_size,) * rank if output_size is None or isinstance(output_size, int) else tuple(output_size)
        if len(given) != rank or any(n is not None and (isinstance(n, bool) or n < 1) for n in given):
            raise ArgumentError(
                f"{name}: output_size={output_size!r}", hint=f"give one size or {rank}, or None to keep"
            )
        result = widened(x) if kind == "avg" else x
        for k, wanted in enumerate(given):
            if wanted is not None:
                result = _cells(name, kind, result, 2 + k, wanted)
        return unbatched(build.cast_to(result, x.tensor.dtype), x, input)

    return _entered(
        build_node, name, f"The {'mean' if kind == 'avg' else 'greatest element'} of each of `output_size` cells."
    )


def _cells(name: str, kind: str, x: Node, axis: int, count: int) -> Node:
    """One dimension reduced to `count` cells; cells of a rectangle are those of its sides."""
    size = x.shape[axis]
    if size == count:
        return x
    whole = size // count
    if whole * count == size:
        parts = build.reshape_to(x, (*x.shape[:axis], count, whole, *x.shape[axis + 1 :]))
        return _reduce(kind, parts, axis + 1, build.size_of(whole, x.tensor.dtype) if kind == "avg" else None)
    if not isinstance(size, int):
        raise ShapeError(
            f"{name}: whether {count} cells divide the symbolic size {size} is not known",
            hint=f"write the size as a multiple where the shape is declared, e.g. {count}*n",
        )
    first = np.arange(count) * size // count
    last = -(-(np.arange(1, count + 1) * size) // count)
    longest = int((last - first).max())
    place = first[:, None] + np.arange(longest)
    inside = creation.constant(value=Array(place < last[:, None]))
    index = creation.constant(value=Array(np.minimum(place, size - 1).astype(np.int64)))
    cells = indexing.gather(x, index, axis=axis)
    rest = (1,) * (len(x.shape) - axis - 1)
    is_inside = build.broadcast_to(build.reshape_to(inside, (count, longest, *rest)), cells.shape)
    outside = build.zero(x.tensor.dtype) if kind == "avg" else _lowest(x.tensor.dtype)
    kept = ew.select(is_inside, cells, build.broadcast_to(outside, cells.shape))
    lengths = creation.constant(value=Array((last - first).astype(x.tensor.dtype.numpy).reshape(count, *rest)))
    return _reduce(kind, kept, axis + 1, lengths if kind == "avg" else None)


def _reduce(kind: str, x: Node, axis: int, lengths: Node | None) -> Node:
    if lengths is None:
        return reduction.max_(x, axes=(axis,))
    total = reduction.sum_(x, axes=(axis,))
    return ew.div(total, build.broadcast_to(lengths, total.shape))


def _entered(build_node: Callable[..., object], name: str, summary: str) -> Callable[..., object]:
    build_node.__name__ = build_node.__qualname__ = name
    build_node.__doc__ = summary
    return function()(build_node)


max_pool1d, max_pool2d, max_pool3d = (_max_pool(rank) for rank in (1, 2, 3))
avg_pool1d, avg_pool2d, avg_pool3d = (_avg_pool(rank) for rank in (1, 2, 3))
lp_pool1d, lp_pool2d, lp_pool3d = (_lp_pool(rank) for rank in (1, 2, 3))
adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d = (_adaptive("avg", rank) for rank in (1, 2, 3))
adaptive_max_pool1d, adaptive_max_pool2d, adaptive_max_pool3d = (_adaptive("max", rank) for rank in (1, 2, 3))
