"""Diagonals and triangles: taken from matrices, made into matrices, and what is on one side of them set to 0."""

from __future__ import annotations

from graphc.ir.dim import Size
from graphc.ir.dtype import bool_, i64
from graphc.ir.errors import ArgumentError, ShapeError
from graphc.ir.graph import Node
from graphc.ops import build, creation, movement, reduction
from graphc.ops import elementwise as ew
from graphc.ops.composite.operand import normal_dim, refuse_kinds
from graphc.ops.composite.shapes import cut, known, list_text
from graphc.ops.function import function


def _two_axes(name: str, dim1: int, dim2: int, rank: int) -> tuple[int, int]:
    a, b = normal_dim(name, dim1, rank), normal_dim(name, dim2, rank)
    if a == b:
        raise ArgumentError(
            f"diagonal dimensions cannot be identical {dim1}, {dim2}", hint="name two dimensions of the tensor"
        )
    return a, b


def _extent(rows: Size, columns: Size, offset: int) -> Size:
    """How many elements a diagonal has."""
    if rows == columns and not offset:
        return rows
    tall, wide = known("diagonal", rows), known("diagonal", columns)
    return max(0, min(tall + min(offset, 0), wide - max(offset, 0)))


@function(method=True, names=("diagonal_copy",))
def diagonal(input: Node, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Node:
    """The elements on a diagonal of two dimensions, as the last dimension."""
    rank = len(input.shape)
    a, b = _two_axes("diagonal", dim1, dim2, rank)
    order = tuple(axis for axis in range(rank) if axis not in (a, b))
    x = build.permute_to(input, (*order, a, b))
    rows, columns = x.shape[-2], x.shape[-1]
    count = _extent(rows, columns, offset)
    flat = build.reshape_to(x, (*x.shape[:-2], rows * columns))
    axis = len(flat.shape) - 1
    if count == 0:
        return cut(flat, axis, 0, 0)
    first = max(offset, 0) - min(offset, 0) * columns
    return cut(flat, axis, first, first + (count - 1) * (columns + 1) + 1, columns + 1)


@function(method=True)
def diagonal_scatter(input: Node, src: Node, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Node:
    """The tensor with `src` in place of its diagonal."""
    rank = len(input.shape)
    a, b = _two_axes("diagonal_scatter", dim1, dim2, rank)
    part = diagonal(input, offset, dim1, dim2)
    if src.shape != part.shape:
        raise ShapeError(
            f"expected src to have a size equal to the slice of self. src size = {list_text(src.shape)}, slice size = "
            f"{list_text(part.shape)}",
            hint="the source has the shape of what it replaces",
        )
    order = (*(axis for axis in range(rank) if axis not in (a, b)), a, b)
    x = build.permute_to(input, order)
    put = _placed(build.cast_to(src, input.tensor.dtype), offset, x.shape[-2], x.shape[-1])
    result = ew.select(_is_on(x.shape, offset), put, x)
    return build.permute_to(result, tuple(order.index(axis) for axis in range(rank)))


def _is_on(shape: tuple[Size, ...], offset: int) -> Node:
    """Where the diagonal of the last two dimensions is."""
    row, column = (creation.iota(shape=shape, axis=axis, dtype=i64) for axis in (len(shape) - 2, len(shape) - 1))
    return ew.eq(ew.add(row, build.full_like(row, offset)), column)


def _placed(values: Node, offset: int, rows: Size, columns: Size) -> Node:
    """The last dimension repeated so that in its row each element is also on the diagonal."""
    rank = len(values.shape)
    low = max(-offset, 0)
    edges = [0] * (rank - 1)
    lined = movement.pad(
        values,
        build.zero(values.tensor.dtype),
        low=(*edges, low),
        high=(*edges, rows - low - values.shape[-1]),
        interior=(0,) * rank,
    )
    return build.repeat_along(lined, (rank,), (*values.shape[:-1], rows, columns))


@function(method=True)
def diag_embed(input: Node, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Node:
    """Matrices with the last dimension of the tensor on a diagonal, and 0 elsewhere."""
    rank = len(input.shape) + 1
    a, b = _two_axes("diag_embed", dim1, dim2, rank)
    size = input.shape[-1] + abs(offset)
    filled = _placed(input, offset, size, size)
    matrices = ew.select(_is_on(filled.shape, offset), filled, build.zeros_like(filled))
    rest = iter(range(rank - 2))
    placed = {a: rank - 2, b: rank - 1}
    return build.permute_to(matrices, tuple(placed[axis] if axis in placed else next(rest) for axis in range(rank)))


@function(method=True)
def diag(input: Node, diagonal: int = 0) -> Node:
    """The diagonal of a matrix; of a vector the matrix that has it as its diagonal, and 0 elsewhere."""
    rank = len(input.shape)
    if rank == 1:
        return diag_embed(input, diagonal)
    if rank != 2:
        raise ShapeError(
            f"diag(): Supports 1D or 2D tensors. Got {rank}D", hint="use diagonal or diag_embed for batches"
        )
    return _part(input, diagonal)


_part = diagonal


@function(method=True)
def diagflat(input: Node, offset: int = 0) -> Node:
    """The matrix that has all elements on its diagonal, and 0 elsewhere."""
    return diag_embed(build.reshape_to(input, (input.tensor.size,)), offset)


@function(method=True)
def trace(input: Node) -> Node:
    """The sum of the elements on the diagonal of a matrix; of integers and bools an int64."""
    if len(input.shape) != 2:
        raise ShapeError(
            f"trace: expected a matrix, but got tensor with dim {len(input.shape)}", hint="sum x.diagonal(...)"
        )
    refuse_kinds("trace", input, bool_.kind)
    found = _part(input)
    return reduction.sum_(build.cast_to(found, i64) if input.tensor.dtype.is_integer else found, axes=(0,))


def _triangle(name: str, x: Node, diagonal: int, is_lower: bool) -> Node:
    if len(x.shape) < 2:
        raise ShapeError(f"{name}: input tensor must have at least 2 dimensions", hint="unsqueeze it first")
    rank = len(x.shape)
    row, column = (creation.iota(shape=x.shape, axis=axis, dtype=i64) for axis in (rank - 2, rank - 1))
    offset = ew.sub(column, row)
    limit = build.full_like(offset, diagonal)
    return ew.select((ew.le if is_lower else ew.ge)(offset, limit), x, build.zeros_like(x))


@function(method=True)
def tril(input: Node, diagonal: int = 0) -> Node:
    """Matrices with 0 above a diagonal."""
    return _triangle("tril", input, diagonal, True)


@function(method=True)
def triu(input: Node, diagonal: int = 0) -> Node:
    """Matrices with 0 below a diagonal."""
    return _triangle("triu", input, diagonal, False)
