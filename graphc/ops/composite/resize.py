"""pad and interpolate: tensors made larger or smaller at their edges and between their elements.

graphc.pad(x, (1, 1), mode="reflect")      # one mirrored element on both sides of the last dimension
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from graphc.ir.attribute import Array
from graphc.ir.dim import Size
from graphc.ir.errors import ArgumentError, ShapeError
from graphc.ir.graph import Node
from graphc.ops import build, creation, indexing, movement
from graphc.ops import elementwise as ew
from graphc.ops.check import shape_text
from graphc.ops.composite.operand import Operand, in_dtype, only_floats, widened
from graphc.ops.composite.pooling import adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d
from graphc.ops.composite.shapes import cat, cut
from graphc.ops.function import function


@function()
def pad(input: Node, pad: Sequence[Size], mode: str = "constant", value: Operand | None = None) -> Node:
    """Elements put before and behind, listed in pairs from the last dimension on; negative numbers cut off.

    Modes: "constant" puts `value` (0), "reflect" mirrors at the edge element, "replicate" repeats it, "circular" goes
    on at the other end.
    """
    edges = tuple(pad)
    if len(edges) % 2 or len(edges) > 2 * len(input.shape):
        raise ArgumentError(
            f"pad: {len(edges)} edges for {len(input.shape)} dimensions", hint="give two for each padded dimension"
        )
    pairs = [(edges[k], edges[k + 1]) for k in range(0, len(edges), 2)]
    if mode == "constant":
        fill = in_dtype("pad", 0 if value is None else value, input.tensor.dtype)
        low, high = [0] * len(input.shape), [0] * len(input.shape)
        low_sizes: list[Size] = [*low]
        high_sizes: list[Size] = [*high]
        for k, (before, behind) in enumerate(pairs):
            low_sizes[-1 - k], high_sizes[-1 - k] = before, behind
        if all(size == 0 for size in edges):
            return input
        return movement.pad(input, fill, low=tuple(low_sizes), high=tuple(high_sizes), interior=(0,) * len(input.shape))
    if mode not in _CONTINUED:
        raise ArgumentError(f"pad: mode={mode!r}", hint='use "constant", "reflect", "replicate" or "circular"')
    if value is not None:
        raise ArgumentError(f"pad: a value with mode={mode!r}", hint='only mode="constant" takes one')
    result = input
    for k, (before, behind) in enumerate(pairs):
        result = _continued(mode, result, len(input.shape) - 1 - k, before, behind)
    return result


def _continued(mode: str, x: Node, axis: int, before: Size, behind: Size) -> Node:
    if not isinstance(before, int) or not isinstance(behind, int):
        raise ArgumentError(f"pad: symbolic edges with mode={mode!r}", hint="give ints")
    cut_low, cut_high = max(0, -before), max(0, -behind)
    if cut_low or cut_high:
        x = cut(x, axis, cut_low, x.shape[axis] - cut_high)
        before, behind = max(0, before), max(0, behind)
    size = x.shape[axis]
    most = {"reflect": size - 1, "circular": size, "replicate": None}[mode]
    if isinstance(most, int) and max(before, behind) > most:
        raise ShapeError(
            f"pad: {max(before, behind)} elements can't be put beside the {size} of dimension {axis} of"
            f" {shape_text(x.shape)} with mode={mode!r}",
            hint=f"at most {most} can; pad several times for more",
        )
    if size == 0:
        raise ShapeError(f"pad: dimension {axis} of {shape_text(x.shape)} is empty", hint='use mode="constant"')
    first, last = _CONTINUED[mode](x, axis, before, behind)
    parts = [part for part, count in ((first, before), (x, 1), (last, behind)) if count]
    return parts[0] if len(parts) == 1 else cat(parts, axis)


def _reflected(x: Node, axis: int, before: int, behind: int) -> tuple[Node, Node]:
    size = x.shape[axis]
    first = movement.flip(cut(x, axis, 1, 1 + before), axes=(axis,))
    return first, movement.flip(cut(x, axis, size - 1 - behind, size - 1), axes=(axis,))


def _replicated(x: Node, axis: int, before: int, behind: int) -> tuple[Node, Node]:
    size = x.shape[axis]

    def repeated(edge: Node, count: int) -> Node:
        return build.broadcast_to(edge, (*x.shape[:axis], count, *x.shape[axis + 1 :]))

    return repeated(cut(x, axis, 0, 1), before), repeated(cut(x, axis, size - 1, size), behind)


def _wrapped(x: Node, axis: int, before: int, behind: int) -> tuple[Node, Node]:
    size = x.shape[axis]
    return cut(x, axis, size - before, size), cut(x, axis, 0, behind)


_CONTINUED: dict[str, Callable[[Node, int, int, int], tuple[Node, Node]]] = {
    "reflect": _reflected,
    "replicate": _replicated,
    "circular": _wrapped,
}


# Interpolation


@function()
def interpolate(
    input: Node,
    size: int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
) -> Node:
    """`[n, channels, ...]` resized to `size`, or by a factor: "nearest", "nearest-exact", "linear", "bilinear",
    "trilinear" or "area"."""
    rank = len(input.shape) - 2
    if rank not in (1, 2, 3):
        raise ShapeError(
            f"interpolate: an input of shape {shape_text(input.shape)}",
            hint="it is [n, channels, ...] with 1 to 3 spatial dimensions",
        )
    linear = {1: "linear", 2: "bilinear", 3: "trilinear"}[rank]
    if mode not in ("nearest", "nearest-exact", "area", linear):
        raise ArgumentError(
            f"interpolate: mode={mode!r} for {rank} spatial dimensions",
            hint=f'use "nearest", "nearest-exact", "area" or "{linear}"',
        )
    if align_corners and mode != linear:
        raise ArgumentError(f"interpolate: align_corners with mode={mode!r}", hint=f'only "{linear}" has corners')
    sizes, scales = _target(input, rank, size, scale_factor, bool(recompute_scale_factor))
    if mode == "area":
        pool = {1: adaptive_avg_pool1d, 2: adaptive_avg_pool2d, 3: adaptive_avg_pool3d}[rank]
        result = pool(input, sizes)
        assert isinstance(result, Node)
        return result
    if mode == linear:
        x = widened(only_floats("interpolate", input))
        for k, (count, scale) in enumerate(zip(sizes, scales, strict=True)):
            x = _blended(x, 2 + k, count, scale, bool(align_corners))
        return build.cast_to(x, input.tensor.dtype)
    shift = 0.5 if mode == "nearest-exact" else 0.0
    for k, (count, scale) in enumerate(zip(sizes, scales, strict=True)):
        known = _known(input, 2 + k)
        place = np.floor((np.arange(count) + shift) * scale).astype(np.int64)
        input = _taken(input, 2 + k, np.minimum(place, known - 1))
    return input


def _known(x: Node, axis: int) -> int:
    size = x.shape[axis]
    if not isinstance(size, int):
        raise ShapeError(
            f"interpolate: the size {size} of dimension {axis} is symbolic",
            hint="fix the sizes that are resized where the shape is declared",
        )
    return size


def _target(
    x: Node, rank: int, size: int | Sequence[int] | None, factor: float | Sequence[float] | None, recompute: bool
) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """The sizes, and for each how far apart in the input two neighbours of the result are."""
    if (size is None) == (factor is None):
        raise ArgumentError("interpolate: give either size or scale_factor", hint="give exactly one of them")
    sizes_in = [_known(x, 2 + k) for k in range(rank)]
    if size is not None:
        sizes = (size,) * rank if isinstance(size, int) else tuple(size)
        if len(sizes) != rank or any(n < 1 for n in sizes):
            raise ArgumentError(f"interpolate: size={size!r}", hint=f"give one size or {rank}, each at least 1")
        return sizes, tuple(n / m for n, m in zip(sizes_in, sizes, strict=True))
    assert factor is not None
    factors = (float(factor),) * rank if isinstance(factor, int | float) else tuple(map(float, factor))
    if len(factors) != rank or any(f <= 0 for f in factors):
        raise ArgumentError(f"interpolate: scale_factor={factor!r}", hint=f"give one factor or {rank}, each above 0")
    sizes = tuple(math.floor(n * f) for n, f in zip(sizes_in, factors, strict=True))
    if any(n < 1 for n in sizes):
        raise ShapeError(
            f"interpolate: scale_factor={factor!r} leaves nothing of {shape_text(x.shape)}", hint="use a larger factor"
        )
    if recompute:
        return sizes, tuple(n / m for n, m in zip(sizes_in, sizes, strict=True))
    return sizes, tuple(1.0 / f for f in factors)


def _taken(x: Node, axis: int, place: npt.NDArray[np.int64]) -> Node:
    if place.size == x.shape[axis] and np.array_equal(place, np.arange(place.size)):
        return x
    return indexing.gather(x, creation.constant(value=Array(place)), axis=axis)


def _blended(x: Node, axis: int, count: int, scale: float, align_corners: bool) -> Node:
    """Between the two elements that each place lies between."""
    size = _known(x, axis)
    if count == size:
        return x
    if align_corners:
        place = np.arange(count) * ((size - 1) / (count - 1) if count > 1 else 0.0)
    else:
        place = np.maximum((np.arange(count) + 0.5) * scale - 0.5, 0.0)
    left = np.minimum(np.floor(place).astype(np.int64), size - 1)
    right = np.minimum(left + 1, size - 1)
    share = (place - left).astype(x.tensor.dtype.numpy).reshape((-1,) + (1,) * (len(x.shape) - axis - 1))
    a, b = _taken(x, axis, left), _taken(x, axis, right)
    weight = build.broadcast_to(creation.constant(value=Array(share)), a.shape)
    rest = ew.sub(build.ones_like(weight), weight)
    return ew.add(ew.mul(a, rest), ew.mul(b, weight))
