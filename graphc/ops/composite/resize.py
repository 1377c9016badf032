"""interpolate: images made larger or smaller between their elements, under PyTorch's names.

Sizes are known when a graph is built, so that places and weights are constants. A dimension is resized at a time.

    graphc.nn.functional.interpolate(x, scale_factor=2.0, mode="bilinear")
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from graphc.ir.attribute import Array
from graphc.ir.dtype import Kind, f32, u8
from graphc.ir.errors import ArgumentError, ShapeError, SignatureError, UnsupportedDType
from graphc.ir.graph import Node
from graphc.ops import build, contraction, creation, indexing
from graphc.ops import elementwise as ew
from graphc.ops.composite.arithmetic import add, clamp, mul, sub
from graphc.ops.composite.contraction import sizes_text
from graphc.ops.composite.operand import refuse_kinds, widened
from graphc.ops.composite.pooling import adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d
from graphc.ops.function import function

Values: TypeAlias = npt.NDArray[Any]
Filter: TypeAlias = Callable[[Values], Values]

_MODES = "nearest | linear | bilinear | bicubic | trilinear | lanczos | area | nearest-exact"
_RANKS = {"linear": 1, "bilinear": 2, "trilinear": 3}


@function()
def interpolate(
    input: Node,
    size: int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Node:
    """`[n, channels, ...]` resized to `size`, or by a factor.

    Modes: "nearest", "nearest-exact", "area", "linear" (of images "bilinear", of volumes "trilinear"), and of images
    "bicubic" and "lanczos". `antialias` averages over all that an element of a smaller image covers.
    """
    rank = len(input.shape) - 2
    if mode in ("nearest", "nearest-exact", "area") and align_corners is not None:
        raise ArgumentError(
            "align_corners option can only be set with the interpolating modes: linear | bilinear | bicubic | "
            "trilinear",
            hint="leave it out",
        )
    sizes, scales = _target(input, rank, size, scale_factor, recompute_scale_factor)
    if antialias and not (mode in ("bilinear", "bicubic", "lanczos") and rank == 2):
        raise ArgumentError(
            "Anti-alias option is restricted to bilinear, bicubic, and lanczos modes and requires a 4-D tensor as "
            "input",
            hint="leave it out",
        )
    _check_mode(mode, rank)
    if mode == "lanczos" and (align_corners or not antialias):
        raise ArgumentError(
            "Lanczos mode does not support align_corners=True"
            if align_corners
            else "Lanczos mode requires antialias=True",
            hint='or use "bicubic"',
        )
    if mode == "area":
        pool = {1: adaptive_avg_pool1d, 2: adaptive_avg_pool2d, 3: adaptive_avg_pool3d}[rank]
        result = pool(input, sizes)
        assert isinstance(result, Node)
        return result
    _check_sizes(input, sizes, mode)
    if mode in ("nearest", "nearest-exact"):
        return _nearest(input, sizes, scales, 0.5 if mode == "nearest-exact" else 0.0)
    return _smooth(input, sizes, scales, mode, bool(align_corners), antialias)


@function(namespace="nn.functional")
def upsample(
    input: Node,
    size: int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
) -> Node:
    """The old name of `interpolate`."""
    return interpolate(input, size, scale_factor, mode, align_corners)


@function(namespace="nn.functional")
def upsample_nearest(
    input: Node, size: int | Sequence[int] | None = None, scale_factor: float | Sequence[float] | None = None
) -> Node:
    """An old name of `interpolate` with the nearest element."""
    return interpolate(input, size, scale_factor, "nearest")


@function(namespace="nn.functional")
def upsample_bilinear(
    input: Node, size: int | Sequence[int] | None = None, scale_factor: float | Sequence[float] | None = None
) -> Node:
    """An old name of bilinear `interpolate` with aligned corners."""
    return interpolate(input, size, scale_factor, "bilinear", True)


# What is asked for


def _check_mode(mode: str, rank: int) -> None:
    known = mode in ("nearest", "nearest-exact", "area") or _RANKS.get(mode) == rank
    if 1 <= rank <= 3 and (known or (mode in ("bicubic", "lanczos") and rank == 2)):
        return
    if 1 <= rank <= 3 and mode in _RANKS:
        raise UnsupportedDType(
            f"Got {rank + 2}D input, but {mode} mode needs {_RANKS[mode] + 2}D input",
            hint="the input is [n, channels, ...]",
        )
    raise UnsupportedDType(
        f"Input Error: Only 3D, 4D and 5D input Tensors supported (got {rank + 2}D) for the modes: {_MODES} (got "
        f"{mode})",
        hint="the input is [n, channels, ...] with 1 to 3 spatial dimensions",
    )


def _known(x: Node, axis: int) -> int:
    size = x.shape[axis]
    if not isinstance(size, int):
        raise ShapeError(
            f"interpolate: the size {size} of dimension {axis} is symbolic",
            hint="fix the sizes that are resized where the shape is declared",
        )
    return size


def _target(
    x: Node,
    rank: int,
    size: int | Sequence[int] | None,
    factor: float | Sequence[float] | None,
    recompute: bool | None,
) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """The sizes, and for each how far apart in the input two neighbours of the result are."""
    if size is not None and factor is not None:
        raise ArgumentError("only one of size or scale_factor should be defined", hint="interpolate: give one of them")
    if size is None and factor is None:
        raise ArgumentError("either size or scale_factor should be defined", hint="interpolate: give one of them")
    sizes_in = [_known(x, 2 + k) for k in range(rank)]
    if size is not None:
        if recompute:
            raise ArgumentError(
                "recompute_scale_factor is not meaningful with an explicit size.", hint="interpolate: leave it out"
            )
        sizes = _sizes(sizes_in, rank, size)
        return sizes, tuple(n / m if m else 0.0 for n, m in zip(sizes_in, sizes, strict=True))
    assert factor is not None
    factors = _factors(sizes_in, rank, factor)
    sizes = tuple(math.floor(n * f) for n, f in zip(sizes_in, factors, strict=True))
    if recompute:
        return sizes, tuple(n / m if m else 0.0 for n, m in zip(sizes_in, sizes, strict=True))
    return sizes, tuple(1.0 / f if f else 0.0 for f in factors)


def _sizes(sizes_in: list[int], rank: int, size: int | Sequence[int]) -> tuple[int, ...]:
    if not isinstance(size, list | tuple):
        size = (size,) * rank  # type: ignore[assignment]  # whatever it is
    assert isinstance(size, list | tuple)
    if len(size) != rank:
        raise ArgumentError(
            "Input and output must have the same number of spatial dimensions, but got input with spatial dimensions "
            f"of {sizes_in} and output size of {size}. Please provide input tensor in (N, C, d1, d2, ...,dK) format "
            "and output size in (o1, o2, ...,oK) format.",
            hint="give one size, or one for each",
        )
    if not all(isinstance(n, int) for n in size):
        raise SignatureError(
            "expected size to be one of int or Tuple[int] or Tuple[int, int] or Tuple[int, int, int], but got size "
            f"with types {[type(n) for n in size]}",
            hint="sizes are ints",
        )
    return tuple(size)


def _factors(sizes_in: list[int], rank: int, factor: float | Sequence[float]) -> tuple[float, ...]:
    if isinstance(factor, int | float):
        return (float(factor),) * rank
    if len(factor) != rank:
        raise ArgumentError(
            "Input and scale_factor must have the same number of spatial dimensions, but got input with spatial "
            f"dimensions of {sizes_in} and scale_factor of shape {factor}. Please provide input tensor in (N, C, d1, "
            "d2, ...,dK) format and scale_factor in (s1, s2, ...,sK) format.",
            hint="give one factor, or one for each",
        )
    return tuple(map(float, factor))


def _check_sizes(x: Node, sizes: tuple[int, ...], mode: str) -> None:
    sizes_in = x.shape[2:]
    if min(sizes) <= 0 or any(isinstance(n, int) and n <= 0 for n in sizes_in):
        names = "DHW"[3 - len(sizes) :]
        before, behind = (", ".join(f"{a}: {n}" for a, n in zip(names, each)) for each in (sizes_in, sizes))
        raise ShapeError(
            f"Input and output sizes should be greater than 0, but got input ({before}) output ({behind})",
            hint="interpolate: use a larger factor",
        )
    if 0 in x.shape[1:2]:
        raise ShapeError(
            f"Non-empty {len(x.shape)}D data tensor expected but got a tensor with sizes {sizes_text(x.shape)}",
            hint="only the batch may be empty",
        )
    if x.tensor.dtype is u8 and mode not in ("linear", "trilinear"):
        return
    kernel = "compute_indices_weights_" + (
        "nearest" if "nearest" in mode else "cubic" if mode == "bicubic" else "linear"
    )
    if len(sizes) == 2 and mode != "bicubic":
        kernel = f"upsample_{'nearest' if 'nearest' in mode else 'bilinear'}2d_channels_last"
    refuse_kinds(kernel, x, Kind.BOOL, Kind.INT, Kind.COMPLEX)


# Elements as they are


def _nearest(x: Node, sizes: tuple[int, ...], scales: tuple[float, ...], shift: float) -> Node:
    for k, (count, scale) in enumerate(zip(sizes, scales, strict=True)):
        known = _known(x, 2 + k)
        # In float32 as in PyTorch: which element is nearest depends on the rounding.
        place = np.floor((np.arange(count, dtype=np.float32) + np.float32(shift)) * np.float32(scale)).astype(np.int64)
        x = _taken(x, 2 + k, np.minimum(place, known - 1))
    return x


def _taken(x: Node, axis: int, place: npt.NDArray[np.int64]) -> Node:
    if place.size == x.shape[axis] and np.array_equal(place, np.arange(place.size)):
        return x
    return indexing.gather(x, creation.constant(value=Array(place)), axis=axis)


# Weighted means of elements


def _smooth(
    input: Node, sizes: tuple[int, ...], scales: tuple[float, ...], mode: str, align_corners: bool, antialias: bool
) -> Node:
    dtype = input.tensor.dtype
    x = build.cast_to(input, f32) if dtype is u8 else widened(input)
    # Bytes are rounded after each dimension, the last one first.
    order = range(len(sizes) - 1, -1, -1) if dtype is u8 else range(len(sizes))
    for k in order:
        axis, count, scale = 2 + k, sizes[k], scales[k]
        size = _known(x, axis)
        if align_corners:
            scale = (size - 1) / (count - 1) if count > 1 else 0.0
        if antialias:
            x = _filtered(x, axis, _covered(mode, size, count, scale))
        elif mode == "bicubic":
            x = _cubic(x, axis, count, scale, align_corners)
        elif count != size:
            x = _linear(x, axis, count, scale, align_corners)
        if dtype is u8:
            x = clamp(ew.floor(add(x, 0.5)), 0.0, 255.0)
    return build.cast_to(x, dtype)


def _places(count: int, scale: float, align_corners: bool) -> Values:
    """Where in the input each element of the result lies."""
    index = np.arange(count)
    return index * scale if align_corners else (index + 0.5) * scale - 0.5


def _linear(x: Node, axis: int, count: int, scale: float, align_corners: bool) -> Node:
    """Between the two elements that each place lies between."""
    size = _known(x, axis)
    place = np.maximum(_places(count, scale, align_corners), 0.0)
    left = np.minimum(np.floor(place).astype(np.int64), size - 1)
    right = np.minimum(left + 1, size - 1)
    share = np.clip(place - left, 0.0, 1.0)
    return ew.add(_shared(x, axis, left, 1.0 - share), _shared(x, axis, right, share))


def _cubic(x: Node, axis: int, count: int, scale: float, align_corners: bool) -> Node:
    """By the cubic convolution of the four elements around each place, with the slope -0.75."""
    size = _known(x, axis)
    place = _places(count, scale, align_corners)
    first = np.floor(place).astype(np.int64)
    share = place - first
    parts = [_shared(x, axis, np.clip(first + k, 0, size - 1), _keys(np.abs(share - k), -0.75)) for k in range(-1, 3)]
    return ew.add(ew.add(parts[0], parts[1]), ew.add(parts[2], parts[3]))


def _shared(x: Node, axis: int, place: npt.NDArray[np.int64], share: Values) -> Node:
    """The elements at these places times their shares."""
    taken = _taken(x, axis, place)
    weight = share.astype(x.tensor.dtype.numpy).reshape((-1,) + (1,) * (len(x.shape) - axis - 1))
    return mul(taken, creation.constant(value=Array(weight)))


def _keys(distance: Values, slope: float) -> Values:
    """Keys' cubic (1981) of distances: 1 at 0, 0 at 1 and from 2 on."""
    d = distance
    near = ((slope + 2) * d - (slope + 3)) * d * d + 1
    far = (((d - 5) * d + 8) * d - 4) * slope
    return np.where(d <= 1, near, np.where(d < 2, far, 0.0))


def cubic_shares(share: Node, slope: float) -> tuple[Node, Node, Node, Node]:
    """The weights in Keys' cubic of the four elements around a place, which lies `share` behind the second."""

    def near(d: Node) -> Node:
        return add(mul(mul(sub(mul(d, slope + 2), slope + 3), d), d), 1.0)

    def far(d: Node) -> Node:
        return mul(sub(mul(add(mul(sub(d, 5.0), d), 8.0), d), 4.0), slope)

    rest = sub(1.0, share)
    return far(add(share, 1.0)), near(share), near(rest), far(add(rest, 1.0))


def _filtered(x: Node, axis: int, weights: Values) -> Node:
    """The dimension multiplied by a matrix of weights, `[count, size]`."""
    matrix = creation.constant(value=Array(weights.astype(x.tensor.dtype.numpy)))
    product = contraction.dot(x, matrix, contract=((axis,), (1,)))
    last = len(x.shape) - 1
    return build.permute_to(product, (*range(axis), last, *range(axis, last)))


_FILTERS: dict[str, tuple[int, Filter]] = {
    "bilinear": (2, lambda d: np.maximum(1.0 - d, 0.0)),
    "bicubic": (4, lambda d: _keys(d, -0.5)),
    "lanczos": (6, lambda d: np.where(d < 3, np.sinc(d) * np.sinc(d / 3), 0.0)),
}
"""For antialiasing: the width of each filter, and its values by the distance."""


def _covered(mode: str, size: int, count: int, scale: float) -> Values:
    """The share of each element of the input in each of the result, where the filter is as wide as these lie apart."""
    width, weigh = _FILTERS[mode]
    stretch = max(scale, 1.0)
    support = width * 0.5 * stretch
    weights = np.zeros((count, size))
    for i in range(count):
        center = scale * (i + 0.5)
        first = max(int(center - support + 0.5), 0)
        last = min(int(center + support + 0.5), size)
        found = weigh(np.abs((np.arange(first, last) - center + 0.5) / stretch))
        weights[i, first:last] = found / found.sum()
    return weights
