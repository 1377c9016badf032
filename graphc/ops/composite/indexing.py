"""Elements chosen by computed indices, and masked, under PyTorch's names.

An index counts from 0; one that names no element is reported by the run.
"""

from __future__ import annotations

from graphc.ir.dim import Size
from graphc.ir.dtype import bool_, i32, i64
from graphc.ir.errors import ArgumentError, DimensionError, DTypeError, ShapeError
from graphc.ir.graph import Node
from graphc.ops import along, build, creation, indexing, requirement
from graphc.ops import elementwise as ew
from graphc.ops.check import INTEGER, takes
from graphc.ops.composite.operand import (
    Operand,
    broadcast,
    broadcast_shape,
    c_name,
    in_dtype,
    in_dtype_exactly,
    is_weak,
    normal_dim,
)
from graphc.ops.composite.ordering import lined
from graphc.ops.function import function


def sizes_text(x: Node) -> str:
    """The shape as PyTorch's errors print it."""
    return f"[{', '.join(map(str, x.shape))}]"


def check_index_dtype(name: str, index: Node, long_only: bool = False) -> None:
    """Raise DTypeError, in PyTorch's words, for an index of other numbers."""
    dtype = index.tensor.dtype
    if dtype is i64 or (dtype is i32 and not long_only):
        return
    raise DTypeError(
        f"{name}: Expected a long tensor for index, but got {dtype.scalar}"
        if long_only
        else f"{name}: Expected dtype int32/int64 for index",
        hint="convert it first, e.g. index.to('int64')",
    )


@function(method=True)
def gather(input: Node, dim: int, index: Node, *, sparse_grad: bool = False) -> Node:
    """Elements along `dim` at the positions in `index`: out[i][j] = input[index[i][j]][j] for dim 0."""
    axis = normal_dim("gather", dim, len(input.shape))
    if index.tensor.size == 0:
        return build.constant(0, input.tensor.dtype, index.shape)
    check_index_dtype("gather()", index)
    x, places = lined(input), lined(index)
    if len(places.shape) != len(x.shape):
        raise ShapeError(
            "Index tensor must have the same number of dimensions as input tensor", hint="unsqueeze or expand it"
        )
    for a, (size, limit) in enumerate(zip(places.shape, x.shape, strict=True)):
        if a != axis and isinstance(size, int) and isinstance(limit, int) and size > limit:
            raise ShapeError(
                f"Size does not match at dimension {a} expected index {sizes_text(index)} to be no larger than self "
                f"{sizes_text(input)} apart from dimension {axis}",
                hint="an index has at most the sizes of the tensor",
            )
    return build.reshape_to(along.take_along(x, places, axis=axis), index.shape)


@function(method=True)
def take_along_dim(input: Node, indices: Node, dim: int | None = None) -> Node:
    """`gather` with the other dimensions broadcast, and negative indices; without `dim`, from the flattened tensor."""
    if indices.tensor.dtype is not i64:
        raise DTypeError(
            f"torch.take_along_dim(): dtype of indices should be Long but got {indices.tensor.dtype.scalar}",
            hint="convert them first, e.g. indices.to('int64')",
        )
    if dim is None:
        flat, places = (build.reshape_to(x, (x.tensor.size,)) for x in (input, indices))
        return gather(flat, 0, _counted(places, flat.shape[0]))
    if len(input.shape) != len(indices.shape):
        raise ShapeError(
            "torch.take_along_dim(): input and indices should have the same number of dimensions, but got "
            f"{len(input.shape)} dimensions for input, and {len(indices.shape)} dimensions for indices",
            hint="unsqueeze one of them",
        )
    axis = normal_dim("take_along_dim", dim, len(input.shape))
    others = (tuple(1 if a == axis else size for a, size in enumerate(x.shape)) for x in (input, indices))
    shape = broadcast_shape("take_along_dim", *others)
    x, index = (
        build.broadcast_to(each, tuple(each.shape[a] if a == axis else size for a, size in enumerate(shape)))
        for each in (input, indices)
    )
    return gather(x, axis, _counted(index, x.shape[axis]) if x.shape else index)


def _counted(index: Node, size: Size) -> Node:
    """Indices counted from 0, where those below 0 are counted from the end."""
    extent = build.broadcast_to(build.size_of(size, i64), index.shape)
    return ew.select(ew.lt(index, build.zeros_like(index)), ew.add(index, extent), index)


@function(method=True)
def take(input: Node, index: Node) -> Node:
    """Elements of the flattened tensor; indices may be negative."""
    check_index_dtype("take()", index, long_only=True)
    if index.tensor.size == 0:
        return build.constant(0, input.tensor.dtype, index.shape)
    flat = build.reshape_to(input, (input.tensor.size,))
    return indexing.gather(flat, flat_place(index, flat.shape[0]), axis=0)


def flat_place(index: Node, size: Size) -> Node:
    """Positions in a flattened tensor, which may be negative; what they don't name the run reports in its own words."""
    message = f"out of range: tried to access index {{}} on a tensor of {size} elements."
    return within(build.cast_to(index, i64), -size, size, message)


def within(x: Node, low: Size, high: Size, message: str) -> Node:
    """The integers x, for which the run checks that low <= x < high."""
    first, end = (build.broadcast_to(build.size_of(each, x.tensor.dtype), x.shape) for each in (low, high))
    return requirement.require(x, ew.bitwise_and(ew.ge(x, first), ew.lt(x, end)), message=message)


@function(method=True)
def index_select(input: Node, dim: int, index: Node) -> Node:
    """The parts along `dim` at the positions in a vector."""
    axis = normal_dim("index_select", dim, len(input.shape))
    if len(index.shape) > 1:
        raise DimensionError("index_select(): Index is supposed to be a vector", hint="flatten it")
    if index.tensor.dtype not in (i32, i64):
        raise DTypeError("index_select(): Expected dtype int32 or int64 for index", hint="convert it first")
    x, vector = lined(input), lined(index)
    if not input.shape and vector.shape != (1,):
        raise ShapeError(
            f"index_select(): Index to scalar can have only 1 value, got {vector.tensor.size} value(s)",
            hint="expand the tensor first",
        )
    # PyTorch takes no negative index here.
    place = within(build.cast_to(vector, i64), 0, x.shape[axis], "index out of range in self")
    found = indexing.gather(x, place, axis=axis)
    return found if input.shape else build.reshape_to(found, ())


def checked_class(name: str, target: Node, classes: Size, message: str = "Target {} is out of bounds.") -> Node:
    """The numbers of classes, which the run checks: below 0 or from `classes` on there are none."""
    takes(name, target.tensor, INTEGER, "numbers of classes")
    return within(build.cast_to(target, i64), 0, classes, message)


@function(method=False)
def one_hot(tensor: Node, num_classes: int = -1) -> Node:
    """For each number a row of 0 with a 1 at its place."""
    if tensor.tensor.dtype is not i64:
        raise DTypeError("one_hot is only applicable to index tensor of type LongTensor.", hint="convert it first")
    if tensor.tensor.size == 0 and num_classes <= 0:
        raise ArgumentError("Can not infer total number of classes from empty tensor.", hint="pass num_classes")
    if num_classes == -1:
        raise ArgumentError(
            "one_hot: the number of classes is not given, and the greatest number is not known yet",
            hint="pass num_classes",
        )
    index = checked_class("one_hot", tensor, num_classes, "Class values must be smaller than num_classes.")
    shape = (*index.shape, num_classes)
    place = creation.iota(shape=shape, axis=len(index.shape), dtype=i64)
    return build.cast_to(ew.eq(build.repeat_along(index, (len(index.shape),), shape), place), i64)


@function(method=True)
def masked_fill(input: Node, mask: Node, value: Operand) -> Node:
    """The input with `value` where the mask is true."""
    if mask.tensor.dtype is not bool_:
        raise DTypeError(
            f"masked_fill_ only supports boolean masks, but got mask with dtype {c_name(mask.tensor.dtype)}",
            hint="compare, or convert it first",
        )
    if isinstance(value, Node) and value.shape:
        raise ShapeError(
            "masked_fill_ only supports a 0-dimensional value tensor, but got tensor with "
            f"{len(value.shape)} dimension(s).",
            hint="use where for several",
        )
    to_dtype = in_dtype if isinstance(value, Node) and not is_weak(value) else in_dtype_exactly
    chosen, x, filled = broadcast("masked_fill", mask, input, to_dtype("masked_fill", value, input.tensor.dtype))
    return ew.select(chosen, filled, x)
