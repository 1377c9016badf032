"""Tensors of given contents under PyTorch's names: constants, ranges, grids.

Sizes may be symbolic. Ranges of floats are computed in float64 and rounded once, so that no error adds up.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeAlias

from graphc.ir.dim import Dim, Size
from graphc.ir.dtype import DType, f64, get_default_dtype, i64
from graphc.ir.dtype import dtype as to_dtype
from graphc.ir.errors import ArgumentError, ShapeError
from graphc.ir.graph import Node
from graphc.ir.type import Shape
from graphc.ops import build, creation
from graphc.ops import elementwise as ew
from graphc.ops.check import shape_text
from graphc.ops.composite.operand import Number, in_dtype, number_dtype, result_dtype
from graphc.ops.composite.shapes import cat, sizes_from
from graphc.ops.function import function

Sizes: TypeAlias = "Size | Sequence[Size]"


def _dtype(dtype: DType | str | None, default: DType) -> DType:
    return default if dtype is None else to_dtype(dtype)


@function()
def full(size: Sequence[Size], fill_value: Number | Node, *, dtype: DType | str | None = None) -> Node:
    """One number everywhere; its dtype is the number's unless given."""
    default = fill_value.tensor.dtype if isinstance(fill_value, Node) else number_dtype(fill_value)
    value = in_dtype("full", fill_value, _dtype(dtype, default))
    if value.shape:
        raise ShapeError(f"full: a fill_value of shape {shape_text(value.shape)}", hint="give a single number")
    return build.broadcast_to(value, sizes_from("full", (tuple(size),)))


@function()
def zeros(*size: Sizes, dtype: DType | str | None = None) -> Node:
    """0 everywhere."""
    return build.constant(0, _dtype(dtype, get_default_dtype()), sizes_from("zeros", size))


@function()
def ones(*size: Sizes, dtype: DType | str | None = None) -> Node:
    """1 everywhere."""
    return build.constant(1, _dtype(dtype, get_default_dtype()), sizes_from("ones", size))


@function()
def empty(*size: Sizes, dtype: DType | str | None = None) -> Node:
    """0 everywhere: a graph has no memory with whatever was in it."""
    return build.constant(0, _dtype(dtype, get_default_dtype()), sizes_from("empty", size))


@function()
def full_like(input: Node, fill_value: Number | Node, *, dtype: DType | str | None = None) -> Node:
    """One number everywhere, in the shape and dtype of a tensor."""
    return full(input.shape, fill_value, dtype=_dtype(dtype, input.tensor.dtype))


@function()
def zeros_like(input: Node, *, dtype: DType | str | None = None) -> Node:
    """0 everywhere, in the shape and dtype of a tensor."""
    return build.constant(0, _dtype(dtype, input.tensor.dtype), input.shape)


@function()
def ones_like(input: Node, *, dtype: DType | str | None = None) -> Node:
    """1 everywhere, in the shape and dtype of a tensor."""
    return build.constant(1, _dtype(dtype, input.tensor.dtype), input.shape)


@function()
def empty_like(input: Node, *, dtype: DType | str | None = None) -> Node:
    """0 everywhere, in the shape and dtype of a tensor."""
    return zeros_like(input, dtype=dtype)


def _new(name: str, value: int) -> None:
    def method(input: Node, *size: Sizes, dtype: DType | str | None = None) -> Node:
        return build.constant(value, _dtype(dtype, input.tensor.dtype), sizes_from(name, size))

    method.__name__ = method.__qualname__ = name
    method.__doc__ = f"{value} everywhere, in the dtype of this tensor."
    function(method=True, free=False)(method)


_new("new_zeros", 0)
_new("new_ones", 1)


@function(method=True, free=False)
def new_full(input: Node, size: Sequence[Size], fill_value: Number | Node, *, dtype: DType | str | None = None) -> Node:
    """One number everywhere, in the dtype of this tensor."""
    return full(size, fill_value, dtype=_dtype(dtype, input.tensor.dtype))


# Ranges


@function()
def arange(
    start: float | Size, end: float | Size | None = None, step: float | Size = 1, *, dtype: DType | str | None = None
) -> Node:
    """start, start + step, ... before end; arange(end) begins at 0."""
    first, last = (0, start) if end is None else (start, end)
    if not isinstance(step, Dim) and step == 0:
        raise ArgumentError("arange: the step is 0", hint="use another number")
    if any(isinstance(x, float) for x in (first, last, step)):
        if any(isinstance(x, Dim) for x in (first, last, step)):
            raise ArgumentError("arange: a float beside a symbolic size", hint="use ints, then multiply")
        low, high, by = float(_plain(first)), float(_plain(last)), float(_plain(step))
        count: Size = max(0, math.ceil((high - low) / by))
        return _line(count, low, by, _dtype(dtype, get_default_dtype()))
    low_size, high_size, by_size = (x for x in (first, last, step) if not isinstance(x, float))
    if isinstance(by_size, Dim):
        raise ArgumentError(f"arange: the step is the symbolic size {by_size}", hint="use an int, then multiply")
    span = high_size - low_size
    count = (span + by_size - 1) // by_size if by_size > 0 else (-span - by_size - 1) // -by_size
    if isinstance(count, int):
        count = max(count, 0)
    target = _dtype(dtype, i64)
    if not target.is_integer and not target.is_floating_point:
        raise ArgumentError(f"arange: no range of {target.name}", hint="use integers or floats")
    position = creation.iota(shape=(count,), axis=0, dtype=i64)
    if by_size != 1:
        position = ew.mul(position, build.full_like(position, by_size))
    if low_size != 0:
        position = ew.add(position, build.broadcast_to(build.size_of(low_size, i64), position.shape))
    return build.cast_to(position, target)


def _plain(x: float | Size) -> float:
    assert not isinstance(x, Dim)
    return x


def _line(count: Size, first: float, step: float, dtype: DType) -> Node:
    """first + i * step."""
    position = creation.iota(shape=(count,), axis=0, dtype=f64)
    line = ew.add(ew.mul(position, build.full_like(position, step)), build.full_like(position, first))
    return build.cast_to(line, dtype)


def _between(name: str, start: float, end: float, steps: int) -> Node:
    """Evenly spaced numbers in float64, counted from the nearer end so that both ends are exact."""
    if steps < 0:
        raise ArgumentError(f"{name}: {steps} steps", hint="use 0 or more")
    position = creation.iota(shape=(steps,), axis=0, dtype=f64)
    if steps < 2:
        return build.full_like(position, start)
    step = build.full_like(position, (end - start) / (steps - 1))
    left = ew.add(build.full_like(position, start), ew.mul(position, step))
    rest = ew.sub(build.full_like(position, steps - 1), position)
    right = ew.sub(build.full_like(position, end), ew.mul(rest, step))
    return ew.select(ew.lt(position, build.full_like(position, steps // 2)), left, right)


@function()
def linspace(start: float, end: float, steps: int, *, dtype: DType | str | None = None) -> Node:
    """`steps` evenly spaced numbers from start to end."""
    return build.cast_to(_between("linspace", start, end, steps), _dtype(dtype, get_default_dtype()))


@function()
def logspace(start: float, end: float, steps: int, base: float = 10.0, *, dtype: DType | str | None = None) -> Node:
    """base to the power of `steps` evenly spaced numbers from start to end."""
    exponent = _between("logspace", start, end, steps)
    return build.cast_to(ew.pow_(build.full_like(exponent, base), exponent), _dtype(dtype, get_default_dtype()))


@function()
def eye(n: Size, m: Size | None = None, *, dtype: DType | str | None = None) -> Node:
    """1 on the diagonal, 0 elsewhere."""
    shape: Shape = (n, n if m is None else m)
    row, column = (creation.iota(shape=shape, axis=axis, dtype=i64) for axis in (0, 1))
    return build.cast_to(ew.eq(row, column), _dtype(dtype, get_default_dtype()))


# Grids and joins


@function()
def meshgrid(*tensors: Node | Sequence[Node], indexing: str = "ij") -> tuple[Node, ...]:
    """Each vector repeated along the dimensions of the others; "xy" exchanges the first two dimensions."""
    given = [x for each in tensors for x in ([each] if isinstance(each, Node) else each)]
    if indexing not in ("ij", "xy"):
        raise ArgumentError(f"meshgrid: indexing={indexing!r}", hint='use "ij" or "xy"')
    for x in given:
        if len(x.shape) > 1:
            raise ShapeError(f"meshgrid: takes vectors, not the shape {shape_text(x.shape)}", hint="flatten it first")
    shape = tuple(x.tensor.size for x in given)
    rank = len(shape)
    grids = tuple(
        build.broadcast_to(build.reshape_to(x, (1,) * axis + (size,) + (1,) * (rank - axis - 1)), shape)
        for axis, (x, size) in enumerate(zip(given, shape, strict=True))
    )
    if indexing == "xy" and rank > 1:
        return tuple(build.permute_to(x, (1, 0, *range(2, rank))) for x in grids)
    return grids


@function()
def hstack(tensors: Sequence[Node]) -> Node:
    """Joined along dimension 1, vectors along dimension 0."""
    parts = [_at_least(x, 1) for x in tensors]
    return cat(parts, 0 if parts and len(parts[0].shape) == 1 else 1)


@function(names=("row_stack",))
def vstack(tensors: Sequence[Node]) -> Node:
    """Joined along dimension 0, vectors as rows."""
    return cat([_at_least(x, 2) for x in tensors], 0)


@function()
def dstack(tensors: Sequence[Node]) -> Node:
    """Joined along dimension 2."""
    return cat([_at_least(x, 3) for x in tensors], 2)


@function()
def column_stack(tensors: Sequence[Node]) -> Node:
    """Joined along dimension 1, vectors as columns."""
    return cat([x if len(x.shape) > 1 else build.reshape_to(x, (x.tensor.size, 1)) for x in tensors], 1)


def _at_least(x: Node, rank: int) -> Node:
    """With dimensions of size 1 added as numpy adds them: in front, but the third behind."""
    shape = x.shape
    if len(shape) < rank:
        shape = shape or (1,)
        shape = (1, *shape) if len(shape) == 1 and rank > 1 else shape
        shape = (*shape, 1) if len(shape) == 2 and rank > 2 else shape
    return build.reshape_to(x, shape)


@function()
def atleast_1d(input: Node) -> Node:
    """With at least one dimension."""
    return _at_least(input, 1)


@function()
def atleast_2d(input: Node) -> Node:
    """With at least two dimensions."""
    return _at_least(input, 2)


@function()
def atleast_3d(input: Node) -> Node:
    """With at least three dimensions."""
    return _at_least(input, 3)


@function()
def block_diag(*tensors: Node) -> Node:
    """The tensors as blocks on the diagonal of a matrix, 0 elsewhere."""
    if not tensors:
        raise ArgumentError("block_diag: no tensors are given", hint="give at least one")
    common = result_dtype(*tensors)
    blocks = [_at_least(build.cast_to(x, common), 2) for x in tensors]
    if any(len(x.shape) > 2 for x in blocks):
        raise ShapeError(
            "block_diag: takes tensors of at most 2 dimensions", hint="join higher ones with cat and zeros"
        )
    rows: list[Node] = []
    for i, x in enumerate(blocks):
        row = [
            x if k == i else build.constant(0, common, (x.shape[0], other.shape[1])) for k, other in enumerate(blocks)
        ]
        rows.append(cat(row, 1))
    return cat(rows, 0)
