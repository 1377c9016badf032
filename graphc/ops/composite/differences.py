"""Differences and integrals of samples along a dimension: diff, gradient, trapezoid and the running trapezoid."""

from __future__ import annotations

from collections.abc import Sequence

from graphc.ir.dim import Size
from graphc.ir.dtype import bool_
from graphc.ir.errors import ArgumentError, DimensionError, ShapeError
from graphc.ir.graph import Node
from graphc.ops import build, reduction
from graphc.ops import elementwise as ew
from graphc.ops.composite.arithmetic import add, div, mul, sub
from graphc.ops.composite.cumulative import cumsum
from graphc.ops.composite.operand import Operand, normal_dim, normal_dims
from graphc.ops.composite.shapes import cat, cut
from graphc.ops.function import function


@function(method=True)
def diff(input: Node, n: int = 1, dim: int = -1, prepend: Node | None = None, append: Node | None = None) -> Node:
    """Differences of neighbours along `dim`, n times."""
    if not input.shape:
        raise ShapeError("diff expects input to be at least one-dimensional", hint="unsqueeze it first")
    axis = normal_dim("diff", dim, len(input.shape))
    for each in (prepend, append):
        _check_end(input, each, axis)
    if n < 0:
        raise ArgumentError(f"order must be non-negative but got {n}", hint="diff: use 0 or more")
    if n == 0:
        return input
    parts = [x for x in (prepend, input, append) if x is not None]
    x = parts[0] if len(parts) == 1 else cat(parts, axis)
    extent = x.shape[axis]
    for _ in range(min(n, extent) if isinstance(extent, int) else n):
        size = x.shape[axis]
        first, second = cut(x, axis, 0, size - 1), cut(x, axis, 1, size)
        x = ew.ne(first, second) if x.tensor.dtype is bool_ else ew.sub(second, first)
    return x


def _check_end(x: Node, end: Node | None, axis: int) -> None:
    if end is None:
        return
    if len(end.shape) != len(x.shape):
        raise ShapeError(
            "diff expects prepend or append to be the same dimension as input", hint="unsqueeze it, or expand it"
        )
    for k, (mine, its) in enumerate(zip(x.shape, end.shape, strict=True)):
        if k != axis and mine != its:
            raise ShapeError(
                f"diff expects the shape of tensor to prepend or append to match that of input except along the "
                f"differencing dimension; input.size({k}) = {mine}, but got tensor.size({k}) = {its}",
                hint="expand it to the sizes of the input",
            )


@function(names=("trapz",))
def trapezoid(y: Node, x: Node | None = None, *, dx: Operand = 1, dim: int = -1) -> Node:
    """The integral along `dim` by the trapezoid rule, of samples at x or dx apart."""
    areas = _areas("trapezoid", y, x, dx, dim)
    if areas is None:
        axis = dim % len(y.shape)
        return build.constant(0, y.tensor.dtype, tuple(size for a, size in enumerate(y.shape) if a != axis))
    return build.cast_to(reduction.sum_(areas, axes=(normal_dim("trapezoid", dim, len(y.shape)),)), areas.tensor.dtype)


@function()
def cumulative_trapezoid(y: Node, x: Node | None = None, *, dx: Operand = 1, dim: int = -1) -> Node:
    """The integrals from the first sample to each of the others, by the trapezoid rule."""
    areas = _areas("cumulative_trapezoid", y, x, dx, dim)
    if areas is None:
        return y
    return cumsum(areas, dim)


def _areas(name: str, y: Node, x: Node | None, dx: Operand, dim: int) -> Node | None:
    """What lies between each sample and the next; None where there are no samples."""
    if not y.shape:
        raise DimensionError(
            f"Dimension specified as {dim} but tensor has no dimensions", hint=f"{name}: unsqueeze it first"
        )
    axis = normal_dim(name, dim, len(y.shape))
    size = y.shape[axis]
    if size == 0:
        return None
    pairs = add(cut(y, axis, 1, size), cut(y, axis, 0, size - 1))
    widths: Operand = dx if x is None else _widths(name, x, y, axis, size)
    return div(mul(pairs, widths), 2.0)


def _widths(name: str, x: Node, y: Node, axis: int, size: Size) -> Node:
    place = x
    if len(place.shape) == 1:
        if place.shape[0] != size:
            raise ShapeError(
                f"{name}: There must be one `x` value for each sample point", hint="give one place for each sample"
            )
        place = build.reshape_to(place, (place.shape[0], *(1,) * (len(y.shape) - axis - 1)))
    elif len(place.shape) < len(y.shape):
        place = build.reshape_to(place, (1,) * (len(y.shape) - len(place.shape)) + place.shape)
    along = len(place.shape) - (len(y.shape) - axis)
    if along < 0 or place.shape[along] != size:
        raise ShapeError(
            f"{name}: There must be one `x` value for each sample point", hint="give one place for each sample"
        )
    return sub(cut(place, along, 1, size), cut(place, along, 0, size - 1))


@function(method=False)
def gradient(
    input: Node,
    *,
    spacing: float | Node | Sequence[float | Node] | None = None,
    dim: int | Sequence[int] | None = None,
    edge_order: int = 1,
) -> tuple[Node, ...]:
    """Slopes along each dimension by second-order central differences, and one-sided ones at both ends.

    `spacing` is the distance of samples, or the places of the samples, for all dimensions or for each.
    """
    if dim is None and isinstance(spacing, Sequence):
        dims: tuple[int, ...] = tuple(range(len(spacing)))
    else:
        dims = normal_dims(
            "gradient", None if dim is None else (dim if isinstance(dim, int) else tuple(dim)), len(input.shape)
        )
        if isinstance(dim, Sequence):
            dims = tuple(normal_dim("gradient", each, len(input.shape)) for each in dim)
    spaces = tuple(spacing) if isinstance(spacing, Sequence) else (1.0 if spacing is None else spacing,) * len(dims)
    _check_gradient(input, dims, spaces, isinstance(spacing, Sequence), dim is not None, edge_order)
    return tuple(_slopes(input, axis, space, edge_order) for axis, space in zip(dims, spaces, strict=True))


def _check_gradient(
    x: Node, dims: tuple[int, ...], spaces: tuple[float | Node, ...], is_listed: bool, is_chosen: bool, edge_order: int
) -> None:
    if edge_order not in (1, 2):
        raise ArgumentError("torch.gradient only supports edge_order=1 and edge_order=2.", hint="use 1 or 2")
    if is_listed and len(spaces) != len(dims):
        if is_chosen:
            raise ArgumentError(
                "torch.gradient expected spacing to be unspecified, a scalar or it's spacing and dim arguments to have "
                f"the same length, but got a spacing argument of length {len(spaces)} and a dim argument of length "
                f"{len(dims)}.",
                hint="give one for each dimension",
            )
        raise ArgumentError(
            "torch.gradient expected spacing to be unspecified, a scalar or a list of length equal to 'self.dim() = "
            f"{len(x.shape)}', but got a list of length {len(spaces)}",
            hint="give one for each dimension",
        )
    for axis in dims:
        size = x.shape[axis]
        if isinstance(size, int) and size < edge_order + 1:
            raise ShapeError(
                "torch.gradient expected each dimension size to be at least edge_order+1", hint="use more samples"
            )
    for axis, space in zip(dims, spaces, strict=True):
        if isinstance(space, Node) and space.shape and space.shape[0] != x.shape[axis]:
            raise ShapeError(
                "torch.gradient expected each element of `coords` to have the same length as the corresponding "
                "dimension",
                hint="give one place for each sample",
            )


def _slopes(x: Node, axis: int, space: float | Node, edge_order: int) -> Node:
    size = x.shape[axis]
    if isinstance(space, Node) and len(space.shape) == 1:
        return _slopes_of_places(x, axis, space, edge_order)

    def at(start: Size, stop: Size) -> Node:
        return cut(x, axis, start, stop)

    def over(difference: Node, steps: float) -> Node:
        return div(difference, mul(space, steps) if isinstance(space, Node) else space * steps)

    middle = over(sub(at(2, size), at(0, size - 2)), 2.0)
    if edge_order == 1:
        first, last = over(sub(at(1, 2), at(0, 1)), 1.0), over(sub(at(size - 1, size), at(size - 2, size - 1)), 1.0)
    else:
        first = over(sub(sub(mul(at(1, 2), 4.0), mul(at(0, 1), 3.0)), at(2, 3)), 2.0)
        last = over(
            add(sub(mul(at(size - 1, size), 3.0), mul(at(size - 2, size - 1), 4.0)), at(size - 3, size - 2)),
            2.0,
        )
    return cat([first, middle, last], axis)


def _slopes_of_places(x: Node, axis: int, places: Node, edge_order: int) -> Node:
    size = x.shape[axis]
    lined_up = build.reshape_to(places, (size, *(1,) * (len(x.shape) - axis - 1)))

    def at(start: Size, stop: Size) -> Node:
        return cut(x, axis, start, stop)

    def place(start: Size, stop: Size) -> Node:
        return cut(lined_up, 0, start, stop)

    before = sub(place(1, size - 1), place(0, size - 2))
    after = sub(place(2, size), place(1, size - 1))
    both = add(before, after)
    middle = add(
        add(
            mul(at(0, size - 2), div(mul(after, -1.0), mul(before, both))),
            mul(at(1, size - 1), div(sub(after, before), mul(before, after))),
        ),
        mul(at(2, size), div(before, mul(after, both))),
    )
    if edge_order == 1:
        first = div(sub(at(1, 2), at(0, 1)), sub(place(1, 2), place(0, 1)))
        last = div(
            sub(at(size - 1, size), at(size - 2, size - 1)), sub(place(size - 1, size), place(size - 2, size - 1))
        )
    else:
        near, far = sub(place(1, 2), place(0, 1)), sub(place(2, 3), place(1, 2))
        first = _edge(at(0, 1), at(1, 2), at(2, 3), near, far, 1.0)
        near = sub(place(size - 1, size), place(size - 2, size - 1))
        far = sub(place(size - 2, size - 1), place(size - 3, size - 2))
        last = _edge(at(size - 1, size), at(size - 2, size - 1), at(size - 3, size - 2), near, far, -1.0)
    return cat([first, middle, last], axis)


def _edge(end: Node, second: Node, third: Node, near: Node, far: Node, sign: float) -> Node:
    """The slope at an end of the parabola through it and its two neighbours, which are `near` and then `far` away."""
    both = add(near, far)
    slope = sub(
        add(mul(end, div(mul(add(near, both), -1.0), mul(near, both))), mul(second, div(both, mul(near, far)))),
        mul(third, div(near, mul(far, both))),
    )
    return mul(slope, sign)
