"""Elements chosen, placed and added by computed indices, under PyTorch's names.

An index counts from 0, or from -1 backwards; one that names no element is reported by the run. Where several updates
go to one element they are applied in order, so results are the same on every run.
"""

from __future__ import annotations

from collections.abc import Sequence

from graphc.ir.dim import Size
from graphc.ir.dtype import bool_, i64
from graphc.ir.errors import ArgumentError, DTypeError, ShapeError
from graphc.ir.graph import Node
from graphc.ir.type import Shape
from graphc.ops import build, creation, indexing, movement, reduction
from graphc.ops import elementwise as ew
from graphc.ops.check import INTEGER, equal_sizes, shape_text, takes
from graphc.ops.composite.arithmetic import mul
from graphc.ops.composite.operand import Operand, broadcast, broadcast_shape, detached, in_dtype, normal_dim, widened
from graphc.ops.composite.reductions import flat_positions, take_along
from graphc.ops.composite.shapes import cat, cut
from graphc.ops.composite.shapes import diagonal as part_on_diagonal
from graphc.ops.composite.subscript import merged, pick
from graphc.ops.function import function


def _indexed(name: str, input: Node, dim: int, index: Node) -> int:
    """The dimension, after a look at an index that has as many dimensions as the input."""
    takes(name, index.tensor, INTEGER, "the index")
    axis = normal_dim(name, dim, len(input.shape))
    if len(index.shape) != len(input.shape):
        raise ShapeError(
            f"{name}: an index of shape {shape_text(index.shape)} for an input of {shape_text(input.shape)}",
            hint="both have the same number of dimensions; index_select takes an index of one",
        )
    return axis


def _fits_inside(name: str, index: Node, what: str, shape: Shape, skipped: int | None) -> None:
    """The index has no more rows than there are, but along the dimension that it indexes."""
    for axis, (a, b) in enumerate(zip(index.shape, shape, strict=True)):
        if axis != skipped and isinstance(a, int) and isinstance(b, int) and a > b:
            raise ShapeError(
                f"{name}: the size {a} of dimension {axis} of the index is more than the {b} of {what}",
                hint="an index has at most the sizes of the tensors it goes with",
            )


@function(method=True)
def gather(input: Node, dim: int, index: Node) -> Node:
    """Elements along `dim` at the positions in `index`: out[i][j] = input[index[i][j]][j] for dim 0."""
    axis = _indexed("gather", input, dim, index)
    _fits_inside("gather", index, "the input", input.shape, axis)
    return take_along(input, index, axis)


@function(method=True)
def take_along_dim(input: Node, indices: Node, dim: int | None = None) -> Node:
    """`gather` with the other dimensions broadcast; without `dim`, from the flattened tensor."""
    if dim is None:
        return take(input, build.reshape_to(indices, (indices.tensor.size,)))
    axis = _indexed("take_along_dim", input, dim, indices)
    others = (tuple(1 if a == axis else size for a, size in enumerate(x.shape)) for x in (input, indices))
    shape = broadcast_shape("take_along_dim", *others)
    x, index = (
        build.broadcast_to(each, tuple(each.shape[a] if a == axis else size for a, size in enumerate(shape)))
        for each in (input, indices)
    )
    return take_along(x, index, axis)


@function(method=True)
def take(input: Node, index: Node) -> Node:
    """Elements of the flattened tensor."""
    takes("take", index.tensor, INTEGER, "the index")
    return indexing.gather(build.reshape_to(input, (input.tensor.size,)), index, axis=0)


@function(method=True)
def index_select(input: Node, dim: int, index: Node) -> Node:
    """The parts along `dim` at the positions in a vector."""
    axis = normal_dim("index_select", dim, len(input.shape))
    _vector("index_select", index)
    return indexing.gather(input, build.reshape_to(index, (index.tensor.size,)), axis=axis) if input.shape else input


def _vector(name: str, index: Node) -> None:
    takes(name, index.tensor, INTEGER, "the index")
    if len(index.shape) > 1:
        raise ShapeError(
            f"{name}: the index must be a vector, not of shape {shape_text(index.shape)}",
            hint="flatten it, or index with brackets",
        )


@function()
def embedding(input: Node, weight: Node, padding_idx: int | None = None) -> Node:
    """The rows of `weight` that `input` numbers; no gradient flows to the row `padding_idx`."""
    takes("embedding", input.tensor, INTEGER, "the numbers of rows")
    if len(weight.shape) != 2:
        raise ShapeError(
            f"embedding: the weight must be a matrix, not of shape {shape_text(weight.shape)}",
            hint="it has a row for each number: [numbers, features]",
        )
    rows = indexing.gather(weight, input, axis=0)
    if padding_idx is None:
        return rows
    size = weight.shape[0]
    padding = build.cast_to(build.size_of(padding_idx + size if padding_idx < 0 else padding_idx, i64), i64)
    is_padding = ew.eq(build.cast_to(input, i64), build.broadcast_to(padding, input.shape))
    return ew.select(build.repeat_along(is_padding, (len(input.shape),), rows.shape), detached(rows), rows)


def checked_class(name: str, target: Node, classes: Size) -> Node:
    """The numbers of classes, which the run checks: below 0 or from `classes` on there are none."""
    takes(name, target.tensor, INTEGER, "numbers of classes")
    index = build.cast_to(target, i64)
    limit = build.broadcast_to(build.size_of(classes, i64), index.shape)
    beyond = ew.select(ew.lt(index, build.zeros_like(index)), limit, index)
    # The number itself is what a table of all numbers holds at its place, and looking there is what checks.
    return indexing.gather(creation.iota(shape=(classes,), axis=0, dtype=i64), beyond, axis=0)


@function(method=False)
def one_hot(tensor: Node, num_classes: int = -1) -> Node:
    """For each number a row of 0 with a 1 at its place."""
    if num_classes == -1:
        raise ArgumentError(
            "one_hot: the number of classes is not given, and the greatest number is not known yet",
            hint="pass num_classes",
        )
    index = checked_class("one_hot", tensor, num_classes)
    shape = (*index.shape, num_classes)
    place = creation.iota(shape=shape, axis=len(index.shape), dtype=i64)
    return build.cast_to(ew.eq(build.repeat_along(index, (len(index.shape),), shape), place), i64)


# Replaced and added


def _updates(name: str, input: Node, value: Node) -> Node:
    if value.tensor.dtype is not input.tensor.dtype:
        raise DTypeError(
            f"{name}: values of {value.tensor.dtype.name} for an input of {input.tensor.dtype.name}",
            hint=f"convert them first, e.g. x.to({input.tensor.dtype.name!r})",
        )
    return value


def _added(name: str, x: Node, index: Node, updates: Node, axis: int) -> Node:
    """x with updates added, halves in float32 and small integers in int64."""
    dtype = x.tensor.dtype
    if dtype is bool_:
        raise DTypeError(f"{name}: bools can't be added up", hint="convert them first, e.g. x.to('int64')")
    if dtype.is_integer:
        wide, values = build.cast_to(x, i64), build.cast_to(updates, i64)
    else:
        wide, values = widened(x), widened(updates)
    return build.cast_to(indexing.scatter(wide, index, values, axis=axis, mode="add"), dtype)


def _scattered(name: str, input: Node, dim: int, index: Node, src: Operand, reduce: str | None) -> Node:
    axis = _indexed(name, input, dim, index)
    _fits_inside(name, index, "the input", input.shape, axis)
    if isinstance(src, Node) and (src.shape or input.shape == ()):
        if len(src.shape) != len(index.shape):
            raise ShapeError(
                f"{name}: src has shape {shape_text(src.shape)}, the index {shape_text(index.shape)}",
                hint="src has as many dimensions as the index",
            )
        _fits_inside(name, index, "src", src.shape, None)
        values = _updates(name, input, src)
        for a, size in enumerate(index.shape):
            values = cut(values, a, 0, size) if values.shape[a] != size else values
    else:
        values = build.broadcast_to(in_dtype(name, src, input.tensor.dtype), index.shape)
    if not input.shape:
        return input if reduce is None and not index.tensor.size else _single(input, values, reduce)
    flat = build.reshape_to(input, (input.tensor.size,))
    position = build.reshape_to(flat_positions(input, index, axis), (index.tensor.size,))
    values = build.reshape_to(values, (index.tensor.size,))
    if reduce == "add":
        result = _added(name, flat, position, values, 0)
    else:
        result = indexing.scatter(flat, position, values, axis=0, mode="set")
    return build.reshape_to(result, input.shape)


def _single(input: Node, value: Node, reduce: str | None) -> Node:
    return ew.add(input, value) if reduce == "add" else value


@function(method=True)
def scatter(
    input: Node,
    dim: int,
    index: Node,
    src: Operand | None = None,
    *,
    value: Operand | None = None,
    reduce: str | None = None,
) -> Node:
    """The input with elements along `dim` replaced: out[index[i][j]][j] = src[i][j] for dim 0; of several the last."""
    if (src is None) == (value is None):
        raise ArgumentError("scatter: give either src or value", hint="src is a tensor or a number, value a number")
    if reduce not in (None, "add"):
        raise ArgumentError(f"scatter: reduce={reduce!r}", hint='use None or "add"')
    given = src if src is not None else value
    assert given is not None
    return _scattered("scatter", input, dim, index, given, reduce)


@function(method=True)
def scatter_add(input: Node, dim: int, index: Node, src: Node) -> Node:
    """The input with elements along `dim` added to: out[index[i][j]][j] += src[i][j] for dim 0."""
    return _scattered("scatter_add", input, dim, index, src, "add")


def _parts(name: str, input: Node, dim: int, index: Node, source: Node) -> tuple[int, Node]:
    axis = normal_dim(name, dim, len(input.shape))
    _vector(name, index)
    _updates(name, input, source)
    vector = build.reshape_to(index, (index.tensor.size,))
    if len(source.shape) != len(input.shape):
        raise ShapeError(
            f"{name}: source has shape {shape_text(source.shape)}, the input {shape_text(input.shape)}",
            hint="both have the same number of dimensions",
        )
    for a, (given, size) in enumerate(zip(source.shape, input.shape, strict=True)):
        expected = vector.shape[0] if a == axis else size
        equal_sizes(name, f"the size of dimension {a} of the source and what it goes to", given, expected)
    return axis, vector


@function(method=True)
def index_add(input: Node, dim: int, index: Node, source: Node, *, alpha: Operand = 1) -> Node:
    """The input with alpha * source added to the parts along `dim` that a vector numbers."""
    axis, vector = _parts("index_add", input, dim, index, source)
    updates = source if not isinstance(alpha, Node) and alpha == 1 else mul(source, alpha)
    return _added("index_add", input, vector, updates, axis)


@function(method=True)
def index_copy(input: Node, dim: int, index: Node, source: Node) -> Node:
    """The input with the parts along `dim` that a vector numbers replaced by those of the source."""
    axis, vector = _parts("index_copy", input, dim, index, source)
    return indexing.scatter(input, vector, source, axis=axis, mode="set")


@function(method=True)
def index_fill(input: Node, dim: int, index: Node, value: Operand) -> Node:
    """The input with the parts along `dim` that a vector numbers filled with a value."""
    axis = normal_dim("index_fill", dim, len(input.shape))
    _vector("index_fill", index)
    vector = build.reshape_to(index, (index.tensor.size,))
    shape = tuple(vector.shape[0] if a == axis else size for a, size in enumerate(input.shape))
    filled = build.broadcast_to(in_dtype("index_fill", value, input.tensor.dtype), shape)
    return indexing.scatter(input, vector, filled, axis=axis, mode="set")


@function(method=True)
def index_put(input: Node, indices: Sequence[Node], values: Operand, accumulate: bool = False) -> Node:
    """The input with the elements at index tensors, one for each leading dimension, replaced or added to."""
    if not indices or len(indices) > len(input.shape):
        raise ArgumentError(
            f"index_put: {len(indices)} index tensors for {len(input.shape)} dimensions",
            hint="give one for each leading dimension that is indexed",
        )
    for index in indices:
        takes("index_put", index.tensor, INTEGER, "an index")
    chosen = tuple(enumerate(indices))
    flat, position, axis = merged(input, chosen)
    updates = in_dtype("index_put", values, input.tensor.dtype)
    updates = build.broadcast_to(updates, pick(input, chosen).shape)
    if accumulate:
        result = _added("index_put", flat, position, updates, axis)
    else:
        result = indexing.scatter(flat, position, updates, axis=axis, mode="set")
    return build.reshape_to(result, input.shape)


@function(method=True)
def masked_fill(input: Node, mask: Node, value: Operand) -> Node:
    """The input with `value` where the mask is true."""
    takes("masked_fill", mask.tensor, (bool_.kind,), "the mask")
    chosen, x, filled = broadcast("masked_fill", mask, input, in_dtype("masked_fill", value, input.tensor.dtype))
    return ew.select(chosen, filled, x)


@function(method=True)
def roll(input: Node, shifts: int | Sequence[int], dims: int | Sequence[int] | None = None) -> Node:
    """The elements moved along, those that leave at the end coming back at the start."""
    moves = (shifts,) if isinstance(shifts, int) else tuple(shifts)
    if dims is None:
        if len(moves) != 1:
            raise ArgumentError(f"roll: {len(moves)} shifts without dims", hint="give a dimension for each shift")
        return build.reshape_to(_rolled(build.reshape_to(input, (input.tensor.size,)), moves[0], 0), input.shape)
    axes = (dims,) if isinstance(dims, int) else tuple(dims)
    if len(axes) != len(moves):
        raise ArgumentError(f"roll: {len(moves)} shifts for {len(axes)} dimensions", hint="give one for each")
    for shift, dim in zip(moves, axes, strict=True):
        input = _rolled(input, shift, normal_dim("roll", dim, len(input.shape)))
    return input


def _rolled(x: Node, shift: int, axis: int) -> Node:
    size = x.shape[axis] if x.shape else 1
    if size in (0, 1):
        return x
    if not isinstance(size, int) and shift != 0:
        raise ShapeError(
            f"roll: by {shift} along the symbolic size {size}", hint="gather at (positions - shift) % size"
        )
    first = -shift % size if isinstance(size, int) else 0
    return x if first == 0 else cat([cut(x, axis, first, size), cut(x, axis, 0, first)], axis)


# Triangles and diagonals


def _triangle(name: str, x: Node, diagonal: int, is_lower: bool) -> Node:
    if len(x.shape) < 2:
        raise ShapeError(f"{name}: takes matrices, not the shape {shape_text(x.shape)}", hint="unsqueeze it first")
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


@function(method=True)
def trace(input: Node) -> Node:
    """The sum of the elements on the diagonal of a matrix; of integers and bools an int64."""
    if len(input.shape) != 2:
        raise ShapeError(f"trace: takes a matrix, not the shape {shape_text(input.shape)}", hint="sum x.diagonal()")
    return reduction.sum_(part_on_diagonal(input), axes=(0,))


@function(method=True)
def diag(input: Node, diagonal: int = 0) -> Node:
    """The diagonal of a matrix; of a vector the matrix that has it as its diagonal, and 0 elsewhere."""
    if len(input.shape) == 2:
        return part_on_diagonal(input, diagonal)
    if len(input.shape) != 1:
        raise ShapeError(
            f"diag: takes a vector or a matrix, not the shape {shape_text(input.shape)}", hint="use diagonal"
        )
    size = input.shape[0] + abs(diagonal)
    low = max(-diagonal, 0)
    lined = movement.pad(input, build.zero(input.tensor.dtype), low=(low,), high=(abs(diagonal) - low,), interior=(0,))
    column = build.repeat_along(lined, (1,), (size, size))
    row, place = (creation.iota(shape=column.shape, axis=axis, dtype=i64) for axis in (0, 1))
    is_on = ew.eq(ew.add(row, build.full_like(row, diagonal)), place)
    return ew.select(is_on, column, build.zeros_like(column))


@function()
def fliplr(input: Node) -> Node:
    """Columns (dimension 1) in reverse order."""
    if len(input.shape) < 2:
        raise ShapeError(f"fliplr: the shape {shape_text(input.shape)} has no columns", hint="use flip")
    return movement.flip(input, axes=(1,))


@function()
def flipud(input: Node) -> Node:
    """Rows (dimension 0) in reverse order."""
    if not input.shape:
        raise ShapeError("flipud: a 0-d tensor has no rows", hint="unsqueeze it first")
    return movement.flip(input, axes=(0,))
