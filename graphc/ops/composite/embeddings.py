"""Rows of a table by their numbers: embedding, and embedding_bag that sums up bags of them, under PyTorch's names."""

from __future__ import annotations

import warnings

from graphc.ir.dim import Size
from graphc.ir.dtype import i32, i64
from graphc.ir.errors import ArgumentError, DTypeError, ShapeError, UnsupportedDType
from graphc.ir.graph import Node
from graphc.ops import build, creation, indexing, ordering, requirement
from graphc.ops import elementwise as ew
from graphc.ops.composite.arithmetic import clamp, div, mul
from graphc.ops.composite.contraction import sizes_text
from graphc.ops.composite.histogram import counts
from graphc.ops.composite.indexing import within
from graphc.ops.composite.operand import detached, widened
from graphc.ops.composite.scatter import index_add, index_reduce
from graphc.ops.composite.shapes import cat, cut
from graphc.ops.control import with_gradient
from graphc.ops.function import function


def check_indices(name: str, indices: Node) -> None:
    """Raise DTypeError, in PyTorch's words, for numbers of rows that are not int32 or int64."""
    dtype = indices.tensor.dtype
    if dtype not in (i32, i64):
        raise DTypeError(
            "Expected tensor for argument #1 'indices' to have one of the following scalar types: Long, Int; but got "
            f"torch.{dtype.scalar}Tensor instead (while checking arguments for {name})",
            hint="convert it first, e.g. indices.to('int64')",
        )


def rows_of(weight: Node, place: Node, scale_grad_by_freq: bool) -> Node:
    """Rows by their numbers; the gradient of a row may be divided by how often it is taken."""
    rows = indexing.gather(weight, place, axis=0)
    if not scale_grad_by_freq:
        return rows
    size = weight.shape[0]

    def gradient(cts: tuple[Node, ...], results: tuple[Node, ...], operands: tuple[Node, ...]) -> tuple[Node]:
        flat = build.reshape_to(place, (place.tensor.size,))
        often = indexing.gather(counts(flat, size), place, axis=0)
        shared = div(cts[0], build.insert_axes(build.cast_to(often, cts[0].tensor.dtype), (len(place.shape),)))
        updates = build.reshape_to(shared, (flat.shape[0], *weight.shape[1:]))
        return (indexing.scatter(build.zeros_like(weight), flat, updates, axis=0, mode="add"),)

    return with_gradient((rows,), (weight,), gradient)[0]


@function()
def embedding(
    weight: Node, indices: Node, padding_idx: int = -1, scale_grad_by_freq: bool = False, sparse: bool = False
) -> Node:
    """The rows of `weight` with these numbers; no gradient flows to the row `padding_idx`, if it is 0 or more."""
    if len(weight.shape) != 2:
        raise ShapeError("'weight' must be 2-D", hint="embedding: it has a row for each number")
    check_indices("embedding", indices)
    place = within(build.cast_to(indices, i64), 0, weight.shape[0], "index out of range in self")
    rows = rows_of(weight, place, scale_grad_by_freq)
    if padding_idx < 0:
        return rows
    is_padding = ew.eq(place, build.full_like(place, padding_idx))
    return ew.select(build.repeat_along(is_padding, (len(place.shape),), rows.shape), detached(rows), rows)


def padding_row(padding_idx: int | None, size: Size, message: str) -> int:
    """The number of the row, -1 for none; negative numbers count from the end."""
    if padding_idx is None:
        return -1
    if not isinstance(size, int):
        if padding_idx < 0:
            raise ArgumentError("embedding: padding_idx counts from the end of a symbolic size", hint="count from 0")
        return padding_idx
    if not -size <= padding_idx < size:
        raise ArgumentError(message, hint=f"the table has {size} rows")
    return padding_idx % size


# Bags of rows


@function(namespace="nn.functional")
def embedding_bag(
    input: Node,
    weight: Node,
    offsets: Node | None = None,
    max_norm: float | None = None,
    norm_type: float = 2,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    sparse: bool = False,
    per_sample_weights: Node | None = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Node:
    """The sum, mean or max of the rows of each bag: a row of `[n, size]` numbers, or a vector cut at `offsets`.

    An empty bag gives 0, and the row `padding_idx` counts for nothing. `max_norm` has no influence here.
    """
    if weight.tensor.dtype in (i32, i64) and input.tensor.dtype.is_floating_point:
        warnings.warn(
            "Argument order of nn.functional.embedding_bag was changed. Usage `embedding_bag(weight, input, ...)` is "
            "deprecated, and should now be `embedding_bag(input, weight, ...)`.",
            UserWarning,
            stacklevel=2,
        )
        input, weight = weight, input
    _check_bags(input, offsets, mode, scale_grad_by_freq, per_sample_weights)
    check_indices("embedding_bag", input)
    _check_table(weight, per_sample_weights)
    size = weight.shape[0]
    padding = padding_row(
        padding_idx,
        size,
        f"padding_idx must be within the number of embeddings, -{size} through {size - 1}, but got {padding_idx}",
    )
    message = f"Index of input takes value {{}} which is not in the valid range [0, {size})"
    place = within(build.cast_to(input, i64), 0, size, message)
    rows = widened(rows_of(weight, place, scale_grad_by_freq))
    if per_sample_weights is not None:
        rows = mul(rows, build.insert_axes(build.cast_to(per_sample_weights, rows.tensor.dtype), (len(input.shape),)))
    is_kept = None if padding < 0 else ew.ne(place, build.full_like(place, padding))
    if len(input.shape) == 2:
        bags = input.shape[0]
        number = creation.iota(shape=input.shape, axis=0, dtype=i64)
    else:
        assert offsets is not None
        bags, number = _bags(offsets, input.shape[0], include_last_offset)
    result = _gathered(mode, rows, number, is_kept, bags)
    return build.cast_to(result, weight.tensor.dtype)


def _gathered(mode: str, rows: Node, number: Node, is_kept: Node | None, bags: Size) -> Node:
    """Rows combined by the numbers of their bags; those that don't count go to one bag more, which is dropped."""
    width = rows.shape[-1]
    flat = build.reshape_to(rows, (number.tensor.size, width))
    where = build.reshape_to(number, (number.tensor.size,))
    if is_kept is not None:
        beyond = build.broadcast_to(build.size_of(bags, i64), where.shape)
        where = ew.select(build.reshape_to(is_kept, where.shape), where, beyond)
    empty = build.constant(0, rows.tensor.dtype, (bags + 1, width))
    if mode == "max":
        found = index_reduce(empty, 0, where, flat, "amax", include_self=False)
        return cut(found, 0, 0, bags)
    total = cut(index_add(empty, 0, where, flat), 0, 0, bags)
    if mode == "sum":
        return total
    ones = build.constant(1, total.tensor.dtype, where.shape)
    count = cut(index_add(build.constant(0, total.tensor.dtype, (bags + 1,)), 0, where, ones), 0, 0, bags)
    return div(total, build.insert_axes(clamp(count, min=1.0), (1,)))


def _bags(offsets: Node, length: Size, include_last_offset: bool) -> tuple[Size, Node]:
    """How many bags there are, and for each element of a vector the number of its bag."""
    starts = build.cast_to(offsets, i64)
    message = (
        "offsets[0] has to be 0, i.e., the first sequence in the mini-batch has to start from position 0. However, got "
        "{}"
    )
    if starts.shape[0] != 0:
        first = cut(starts, 0, 0, 1)
        first = requirement.require(first, ew.eq(first, build.zeros_like(first)), message=message)
        starts = cat((first, cut(starts, 0, 1, starts.shape[0])), 0)
        message = f"offsets[-1] can not be greater than input's length {length} but got offsets[-1] of {{}}"
        limit = build.broadcast_to(build.size_of(length, i64), starts.shape)
        starts = requirement.require(starts, ew.le(starts, limit), message=message)
    if include_last_offset:
        starts = cut(starts, 0, 0, starts.shape[0] - 1)
    place = creation.iota(shape=(length,), axis=0, dtype=i64)
    number = ordering.search(starts, place, right=True)
    return starts.shape[0], ew.sub(number, build.ones_like(number))


def _check_bags(
    input: Node, offsets: Node | None, mode: str, scale_grad_by_freq: bool, per_sample_weights: Node | None
) -> None:
    if per_sample_weights is not None and per_sample_weights.shape != input.shape:
        raise ShapeError(
            f"embedding_bag: If per_sample_weights (torch.Size({sizes_text(per_sample_weights.shape)})) is not None, "
            f"then it must have the same shape as the input (torch.Size({sizes_text(input.shape)}))",
            hint="give a weight for each number",
        )
    if len(input.shape) not in (1, 2):
        raise ShapeError(
            f"input has to be 1D or 2D Tensor, but got Tensor of dimension {len(input.shape)}",
            hint="embedding_bag: bags are rows, or parts of a vector",
        )
    if len(input.shape) == 2 and offsets is not None:
        raise ArgumentError(
            "if input is 2D, then offsets has to be None, as input is treated is a mini-batch of fixed length "
            "sequences. However, found offsets of type <class 'torch.Tensor'>",
            hint="flatten the input",
        )
    if len(input.shape) == 1 and offsets is None:
        raise ArgumentError("offsets has to be a 1D Tensor but got None", hint="say where each bag begins")
    if offsets is not None and len(offsets.shape) != 1:
        raise ShapeError("offsets has to be a 1D Tensor", hint="flatten it")
    if mode not in ("sum", "mean", "max"):
        raise ArgumentError("mode has to be one of sum, mean or max", hint="embedding_bag: use one of these")
    if mode == "max" and scale_grad_by_freq:
        raise ArgumentError(
            "max mode does not support scaling the gradient by the frequency", hint='use "sum" or "mean"'
        )
    if per_sample_weights is not None and mode != "sum":
        raise UnsupportedDType(
            "embedding_bag: per_sample_weights was not None. per_sample_weights is only supported for mode='sum' (got "
            f"mode='{mode}'). Please open a feature request on GitHub.",
            hint='use mode="sum"',
        )


def _check_table(weight: Node, per_sample_weights: Node | None) -> None:
    dtype = weight.tensor.dtype
    if not dtype.is_floating_point:
        raise DTypeError(
            "Expected tensor for argument #1 'weight' to have one of the following scalar types: Half, BFloat16, "
            f"Float, Double; but got torch.{dtype.scalar}Tensor instead (while checking arguments for embedding_bag)",
            hint="convert the table",
        )
    if per_sample_weights is not None and per_sample_weights.tensor.dtype is not dtype:
        raise DTypeError(
            "Expected tensor for argument #1 'weight' to have the same type as tensor for argument #1 "
            f"'per_sample_weights'; but type torch.{dtype.scalar}Tensor does not equal "
            f"torch.{per_sample_weights.tensor.dtype.scalar}Tensor (while checking arguments for embedding_bag)",
            hint="convert the weights",
        )
