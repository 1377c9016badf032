"""Images sampled at given places: grid_sample, and affine_grid that makes such places.

Places are (x, y) or (x, y, z) from -1 to 1 over the input's width, height and depth: its edges, or with `align_corners`
the centers of its outermost elements.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Sequence

import numpy as np

from graphc.ir.attribute import Array
from graphc.ir.dim import Size, product
from graphc.ir.dtype import Kind, i64
from graphc.ir.errors import ArgumentError, DTypeError, ShapeError, UnsupportedDType
from graphc.ir.graph import Node
from graphc.ops import along, build, creation
from graphc.ops import elementwise as ew
from graphc.ops.composite.arithmetic import add, clamp, mul, remainder, sub
from graphc.ops.composite.contraction import bmm, sizes_text
from graphc.ops.composite.operand import detached, refuse_kinds, widened
from graphc.ops.composite.resize import cubic_shares
from graphc.ops.composite.shapes import cut
from graphc.ops.composite.unary import abs_
from graphc.ops.function import function

_MODES = ("bilinear", "nearest", "bicubic")
_PADDINGS = ("zeros", "border", "reflection")


def _aligned(align_corners: bool | None) -> bool:
    if align_corners is None:
        warnings.warn(
            "Default grid_sample and affine_grid behavior has changed to align_corners=False since 1.3.0. Please "
            "specify align_corners=True if the old behavior is desired. See the documentation of grid_sample for "
            "details.",
            UserWarning,
            stacklevel=3,
        )
    return bool(align_corners)


@function(namespace="nn.functional")
def grid_sample(
    input: Node, grid: Node, mode: str = "bilinear", padding_mode: str = "zeros", align_corners: bool | None = None
) -> Node:
    """`[n, channels, ...]` sampled at `[n, out..., 2 or 3]`: `[n, channels, out...]`.

    Modes: "bilinear" (of a volume trilinear), "nearest", "bicubic" (images only). Outside there are "zeros", the
    "border", or the "reflection" at it.
    """
    if mode not in _MODES:
        raise ArgumentError(
            f"nn.functional.grid_sample(): expected mode to be 'bilinear', 'nearest' or 'bicubic', but got: '{mode}'",
            hint="use one of these",
        )
    if padding_mode not in _PADDINGS:
        raise ArgumentError(
            "nn.functional.grid_sample(): expected padding_mode to be 'zeros', 'border', or 'reflection', but got: "
            f"'{padding_mode}'",
            hint="use one of these",
        )
    is_aligned = _aligned(align_corners)
    _check(input, grid, mode)
    rank = len(input.shape) - 2
    x, places = widened(input), widened(grid)
    sizes = input.shape[2:]
    axes = [
        _Axis(build.reshape_to(part, part.shape[:-1]), size, padding_mode, is_aligned)
        for part, size in zip(_parts(places, rank), sizes, strict=True)
    ]
    choices: list[list[tuple[Node, Node | None]]]
    match mode:
        case "nearest":
            choices = [[(ew.round_(axis.inside()), None)] for axis in axes]
        case "bilinear":
            choices = [_linear(axis.inside()) for axis in axes]
        case _:
            choices = [_cubic(axis.place) for axis in axes]
    flat = build.reshape_to(x, (*x.shape[:2], product(sizes)))
    total: Node | None = None
    for chosen in itertools.product(*choices):
        taken = _taken(flat, axes, sizes, [place for place, _ in chosen], mode == "bicubic")
        for _, share in chosen:
            if share is not None:
                taken = mul(taken, build.insert_axes(share, (1,)))
        total = taken if total is None else ew.add(total, taken)
    assert total is not None
    return build.cast_to(total, input.tensor.dtype)


def _parts(grid: Node, rank: int) -> list[Node]:
    """The coordinates in the order of the input's dimensions: the grid has them from the last on."""
    last = len(grid.shape) - 1
    return [cut(grid, last, at, at + 1) for at in reversed(range(rank))]


class _Axis:
    """The places along one dimension of the input, as positions of elements."""

    def __init__(self, coordinate: Node, size: Size, padding_mode: str, is_aligned: bool) -> None:
        self.size = size
        self.padding_mode = padding_mode
        self.is_aligned = is_aligned
        self.extent = build.size_of(size, coordinate.tensor.dtype)
        if is_aligned:
            self.place = mul(mul(add(coordinate, 1.0), sub(self.extent, 1.0)), 0.5)
        else:
            self.place = mul(sub(mul(add(coordinate, 1.0), self.extent), 1.0), 0.5)

    def inside(self, place: Node | None = None) -> Node:
        """Positions moved into the input, unless there are zeros outside it."""
        found = self.place if place is None else place
        if self.padding_mode == "reflection":
            found = self._reflected(found)
        return found if self.padding_mode == "zeros" else clamp(found, 0.0, sub(self.extent, 1.0))

    def _reflected(self, place: Node) -> Node:
        """Mirrored at both ends, as often as it takes."""
        low = 0.0 if self.is_aligned else -0.5
        span = sub(self.extent, 1.0) if self.is_aligned else self.extent
        if self.is_aligned and self.size == 1:
            return build.zeros_like(place)
        distance = abs_(sub(place, low))
        beyond = remainder(distance, mul(span, 2.0))
        limit = build.broadcast_to(span, beyond.shape)
        return add(ew.select(ew.gt(beyond, limit), sub(mul(limit, 2.0), beyond), beyond), low)


def _linear(place: Node) -> list[tuple[Node, Node | None]]:
    first = detached(ew.floor(place))
    share = sub(place, first)
    return [(first, sub(1.0, share)), (add(first, 1.0), share)]


def _cubic(place: Node) -> list[tuple[Node, Node | None]]:
    first = detached(ew.floor(place))
    shares = cubic_shares(sub(place, first), -0.75)
    return [(add(first, float(k - 1)), share) for k, share in enumerate(shares)]


def _taken(flat: Node, axes: Sequence[_Axis], sizes: Sequence[Size], places: Sequence[Node], moves: bool) -> Node:
    """The elements at whole positions, `[n, channels, out...]`; 0 where there is none."""
    index: Node | None = None
    is_inside: Node | None = None
    for axis, size, place in zip(axes, sizes, places, strict=True):
        at = detached(axis.inside(place) if moves else place)
        last = build.broadcast_to(sub(axis.extent, 1.0), at.shape)
        fits = ew.bitwise_and(ew.ge(at, build.zeros_like(at)), ew.le(at, last))
        is_inside = fits if is_inside is None else ew.bitwise_and(is_inside, fits)
        at = ew.select(fits, at, build.zeros_like(at))
        number = build.cast_to(at, i64)
        extent = build.broadcast_to(build.size_of(size, i64), number.shape)
        index = number if index is None else ew.add(ew.mul(index, extent), number)
    assert index is not None
    assert is_inside is not None
    n, channels, _ = flat.shape
    out = index.shape[1:]
    lined = build.reshape_to(index, (n, product(out)))
    values = along.take_along(flat, build.repeat_along(lined, (1,), (n, channels, product(out))), axis=2)
    values = build.reshape_to(values, (n, channels, *out))
    return ew.select(build.repeat_along(is_inside, (1,), values.shape), values, build.zeros_like(values))


def _check(input: Node, grid: Node, mode: str) -> None:
    shapes = f"input with sizes {sizes_text(input.shape)} and grid with sizes {sizes_text(grid.shape)}"
    if input.shape[:1] != grid.shape[:1]:
        raise ShapeError(
            f"grid_sampler(): expected grid and input to have same batch size, but got {shapes}",
            hint="give a grid for each input, or expand one",
        )
    rank = len(input.shape) - 2
    if grid.shape[-1:] != (rank,):
        raise ShapeError(
            f"grid_sampler(): expected grid to have size {rank} in last dimension, but got grid with sizes "
            f"{sizes_text(grid.shape)}",
            hint="it holds x and y, or x, y and z",
        )
    for axis in range(2, len(input.shape)):
        if input.shape[axis] == 0:
            raise ShapeError(
                "grid_sampler(): expected input to have non-empty spatial dimensions, but input has sizes "
                f"{sizes_text(input.shape)} with dimension {axis} being empty",
                hint="nothing can be sampled there",
            )
    if rank not in (2, 3) or len(grid.shape) != len(input.shape):
        raise ShapeError(
            f"grid_sampler(): expected 4D or 5D input and grid with same number of dimensions, but got {shapes}",
            hint="the input is [n, channels, height, width], or with depth in front of height",
        )
    if rank == 3 and mode == "bicubic":
        raise ArgumentError("grid_sampler(): bicubic interpolation only supports 4D input", hint='use "bilinear"')
    if grid.tensor.dtype is not input.tensor.dtype:
        raise DTypeError(
            f"expected scalar type {input.tensor.dtype.scalar} but found {grid.tensor.dtype.scalar}",
            hint="convert one of them",
        )
    refuse_kinds(f"grid_sampler_{rank}d_cpu_kernel_impl", input, Kind.BOOL, Kind.INT, Kind.COMPLEX)


@function(namespace="nn.functional")
def affine_grid(theta: Node, size: Sequence[int], align_corners: bool | None = None) -> Node:
    """The places that affine maps `[n, 2, 3]` (`[n, 3, 4]`) take an image (volume) of `size` to, for grid_sample."""
    if not theta.tensor.dtype.is_floating_point:
        raise DTypeError(
            f"Expected theta to have floating point type, but got torch.{theta.tensor.dtype.name}", hint="convert it"
        )
    wanted = tuple(size)
    if len(wanted) not in (4, 5):
        raise UnsupportedDType(
            "affine_grid only supports 4D and 5D sizes, for 2D and 3D affine transforms, respectively. Got size "
            f"{list(wanted) if isinstance(size, list) else size}.",
            hint="give [n, channels, height, width]",
        )
    rank = len(wanted) - 2
    if len(theta.shape) != 3 or theta.shape[1:] != (rank, rank + 1):
        raise ShapeError(
            f"Expected a batch of {rank}D affine matrices of shape Nx{rank}x{rank + 1} for size "
            f"{list(wanted)}. Got torch.Size({sizes_text(theta.shape)}).",
            hint="one matrix for each image",
        )
    is_aligned = _aligned(align_corners)
    if min(wanted) <= 0:
        raise ArgumentError(f"Expected non-zero, positive output size. Got {list(wanted)}", hint="use 1 or more")
    n, spatial = wanted[0], wanted[2:]
    columns: list[np.ndarray] = []
    for k in range(rank):
        axis = rank - 1 - k
        count = spatial[axis]
        line = np.linspace(-1, 1, count) if count > 1 else np.zeros(1)
        if not is_aligned:
            line = line * (count - 1) / count
        columns.append(np.broadcast_to(line.reshape([-1 if a == axis else 1 for a in range(rank)]), spatial))
    columns.append(np.ones(spatial))
    base = np.stack(columns, -1).reshape(1, -1, rank + 1).astype(theta.tensor.dtype.numpy)
    points = build.broadcast_to(creation.constant(value=Array(base)), (n, *base.shape[1:]))
    moved = bmm(points, build.permute_to(theta, (0, 2, 1)))
    return build.reshape_to(moved, (n, *spatial, rank))
