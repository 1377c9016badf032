"""interpolate: tensors made larger or smaller between their elements."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from graphc.ir.attribute import Array
from graphc.ir.errors import ArgumentError, ShapeError
from graphc.ir.graph import Node
from graphc.ops import build, creation, indexing
from graphc.ops import elementwise as ew
from graphc.ops.check import shape_text
from graphc.ops.composite.operand import only_floats, widened
from graphc.ops.composite.pooling import adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d
from graphc.ops.function import function

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
