"""Elements placed and added by computed indices, under PyTorch's names.

Updates of one element are applied in order, so results are the same on every run. Where an extreme is kept (amax, amin)
those that tie share the gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np

from graphc.ir.dtype import DType, Kind, bool_, i32, i64, u8
from graphc.ir.errors import ArgumentError, DimensionError, DTypeError, ShapeError
from graphc.ir.graph import Node
from graphc.ops import along, build, indexing, reduction
from graphc.ops import elementwise as ew
from graphc.ops.check import INTEGER, equal_sizes, takes
from graphc.ops.composite.arithmetic import mul
from graphc.ops.composite.indexing import check_index_dtype, flat_place, sizes_text, within
from graphc.ops.composite.operand import (
    Operand,
    broadcast_shape,
    in_dtype,
    in_dtype_exactly,
    is_weak,
    normal_dim,
    refuse_kinds,
    widened,
)
from graphc.ops.composite.ordering import lined
from graphc.ops.composite.shapes import cut
from graphc.ops.composite.subscript import merged, pick
from graphc.ops.function import function

Put: TypeAlias = "Callable[[Node, Node, str], Node]"
"""(operand, updates, mode) -> the operand with the updates at their places."""


# Combined at places


def combined_into(put: Put, x: Node, updates: Node, mode: str) -> Node:
    """Put with a mode, in a dtype in which it can be computed: halves in float32, bools as numbers."""
    dtype = x.tensor.dtype
    if mode == "set":
        return put(x, updates, mode)
    if dtype is bool_:
        mode = {"add": "max", "mul": "min"}.get(mode, mode)
        return ew.cast(put(build.cast_to(x, u8), build.cast_to(updates, u8), mode), dtype=bool_)
    if mode in ("add", "mul"):
        return build.cast_to(put(widened(x), widened(updates), mode), dtype)
    return put(x, updates, mode)


def _neutral(dtype: DType, reduce: str) -> float | int | bool:
    """What leaves every element as it is."""
    if reduce in ("sum", "mean"):
        return 0
    if reduce == "prod":
        return 1
    if dtype is bool_:
        return reduce == "amin"
    if dtype.is_integer:
        limits = np.iinfo(dtype.numpy.name)
        return int(limits.min if reduce == "amax" else limits.max)
    return -np.inf if reduce == "amax" else np.inf


MODES = {"sum": "add", "prod": "mul", "mean": "add", "amax": "max", "amin": "min"}


def _reduced_into(name: str, put: Put, x: Node, updates: Node, reduce: str, include_self: bool) -> Node:
    dtype = x.tensor.dtype
    if reduce in ("amax", "amin"):
        refuse_kinds(name, x, Kind.COMPLEX)
    if reduce == "mean":
        refuse_kinds(f"{name}_mean", x, Kind.BOOL)
    wide, values = (widened(x), widened(updates)) if dtype.kind >= Kind.FLOAT else (x, updates)
    if not include_self:
        wide = put(wide, build.full_like(values, _neutral(dtype, reduce)), "set")
    total = combined_into(put, wide, values, MODES[reduce])
    if reduce == "mean":
        ones, number = build.constant(1, i64, x.shape), build.constant(1, i64, updates.shape)
        if not include_self:
            ones = put(ones, build.zeros_like(number), "set")
        count = put(ones, number, "add")
        count = ew.maximum(count, build.ones_like(count))
        if total.tensor.dtype.is_integer:
            total = ew.floor_divide(total, build.cast_to(count, total.tensor.dtype))
        else:
            total = ew.div(total, build.cast_to(count, total.tensor.dtype))
    return build.cast_to(total, dtype)


# An index for each place


def _fits_inside(index: Node, x: Node, axis: int, src: Node | None) -> None:
    """The index has no more rows than the input, but along the dimension it indexes, and than the source."""

    def exceeds(other: Node, skipped: int | None) -> bool:
        pairs = enumerate(zip(index.shape, other.shape))
        return any(isinstance(a, int) and isinstance(b, int) and a > b for d, (a, b) in pairs if d != skipped)

    if exceeds(x, axis) or (src is not None and exceeds(src, None)):
        beyond = "" if src is None else f" and to be no larger size than src {sizes_text(src)}"
        raise ShapeError(
            f"Expected index {sizes_text(index)} to be no larger than self {sizes_text(x)} "
            f"apart from dimension {axis}{beyond}",
            hint="an index has at most the sizes of the tensors it goes with",
        )


def _scattered(name: str, input: Node, dim: int, index: Node, src: Operand) -> tuple[Put, Node, Node] | None:
    """(put, operand, updates), or None where the index is empty."""
    axis = normal_dim(name, dim, len(input.shape))
    check_index_dtype(f"{name}()", index)
    if isinstance(src, Node) and not is_weak(src) and src.tensor.dtype is not input.tensor.dtype:
        raise DTypeError("scatter(): Expected self.dtype to be equal to src.dtype", hint="convert one of them")
    if index.tensor.size == 0:
        return None
    x, places = lined(input), lined(index)
    if len(places.shape) != len(x.shape):
        raise ShapeError(
            "Index tensor must have the same number of dimensions as self tensor", hint="unsqueeze or expand it"
        )
    if isinstance(src, Node) and not is_weak(src):
        values = lined(src)
        if len(values.shape) != len(places.shape):
            raise ShapeError(
                "Index tensor must have the same number of dimensions as src tensor", hint="unsqueeze or expand it"
            )
        _fits_inside(places, x, axis, values)
        for a, size in enumerate(places.shape):
            values = cut(values, a, 0, size) if values.shape[a] != size else values
    else:
        _fits_inside(places, x, axis, None)
        number = in_dtype_exactly(name, src, input.tensor.dtype)
        values = build.broadcast_to(number, places.shape)

    def put(x: Node, updates: Node, mode: str) -> Node:
        return along.put_along(x, places, updates, axis=axis, mode=mode)

    return put, x, values


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
    """The input with elements along `dim` replaced: out[index[i][j]][j] = src[i][j] for dim 0; of several the last.

    With reduce="add" or "multiply" they are combined.
    """
    if (src is None) == (value is None):
        raise ArgumentError("scatter: give either src or value", hint="src is a tensor or a number, value a number")
    modes = {None: "set", "add": "add", "multiply": "mul"}
    if reduce not in modes:
        raise ArgumentError("reduce argument must be either add or multiply.", hint=f"it is {reduce!r}")
    given = src if src is not None else value
    assert given is not None
    found = _scattered("scatter", input, dim, index, given)
    if found is None:
        return input
    return build.reshape_to(combined_into(*found, modes[reduce]), input.shape)


@function(method=True)
def scatter_add(input: Node, dim: int, index: Node, src: Node) -> Node:
    """The input with elements along `dim` added to: out[index[i][j]][j] += src[i][j] for dim 0."""
    found = _scattered("scatter_add", input, dim, index, src)
    return input if found is None else build.reshape_to(combined_into(*found, "add"), input.shape)


@function(method=True)
def scatter_reduce(input: Node, dim: int, index: Node, src: Node, reduce: str, *, include_self: bool = True) -> Node:
    """`scatter_add` with another way to combine: sum, prod, mean, amax or amin; the input's own element may count."""
    if reduce not in MODES:
        raise ArgumentError(
            f"reduce argument must be either sum, prod, mean, amax or amin, got {reduce}", hint="use one of these"
        )
    found = _scattered("scatter_reduce", input, dim, index, src)
    if found is None:
        return input
    name = "scatter_gather_tensor_cpu_reduce"
    return build.reshape_to(_reduced_into(name, *found, reduce, include_self), input.shape)


# Whole parts along a dimension


def vector_of(name: str, index: Node) -> Node:
    """The index as a vector; raises DimensionError for one of more dimensions."""
    if len(index.shape) > 1:
        raise DimensionError(
            f"{name}: Index is supposed to be a vector, but got dim: {len(index.shape)} with type: "
            f"{index.tensor.dtype.scalar} and size: {sizes_text(index)}",
            hint="flatten it, or index with brackets",
        )
    return lined(index)


def _lined_up(vector: Node, axis: int, rank: int) -> Node:
    return build.reshape_to(vector, tuple(vector.shape[0] if a == axis else 1 for a in range(rank)))


def _parts(name: str, input: Node, dim: int, index: Node, source: Node) -> tuple[Put, Node, Node]:
    """(put, operand, updates) for parts along a dimension."""
    axis = normal_dim(name, dim, len(input.shape))
    vector = vector_of(f"{name}_()", index)
    prefix = "index_copy_(): " if name == "index_copy" else ""
    x, updates = lined(input), lined(source)
    if source.tensor.dtype is not input.tensor.dtype:
        raise DTypeError(
            f"{name}_(): self ({input.tensor.dtype.scalar}) and source ({source.tensor.dtype.scalar}) "
            "must have the same scalar type"
            if name != "index_copy"
            else f"{name}_(): self and source expected to have the same dtype, but got (self) "
            f"{input.tensor.dtype.scalar} and (source) {source.tensor.dtype.scalar}",
            hint="convert one of them",
        )
    if name == "index_copy" and input.shape and source.shape and len(input.shape) != len(source.shape):
        raise DimensionError(
            f"{name}_(): When source and destination are not scalars, their dimensionality must match. Source "
            f"dimensionality ({len(source.shape)}), destination dimensionality ({len(input.shape)})",
            hint="unsqueeze one of them",
        )
    given = updates.shape[axis] if axis < len(updates.shape) else 1
    if isinstance(given, int) and isinstance(vector.shape[0], int) and given != vector.shape[0]:
        if name == "index_copy":
            raise DimensionError(
                f"{name}_(): Number of indices ({vector.shape[0]}) should be equal to source.size(dim) ({given})",
                hint="give an index for each part",
            )
        raise ShapeError(
            f"{name}_(): Number of indices ({vector.shape[0]}) should be equal to source.size(dim): ({given}), "
            f"for dim: {axis}",
            hint="give an index for each part",
        )
    wanted = tuple(vector.shape[0] if a == axis else size for a, size in enumerate(x.shape))
    known = all(isinstance(size, int) for size in (*wanted, *updates.shape))
    if name != "index_copy" and not input.shape and source.shape:
        known, wanted = True, ()
    if len(updates.shape) != len(wanted) or (known and updates.shape != wanted):
        raise ShapeError(
            "source tensor shape must match self tensor shape, excluding the specified dimension. "
            f"Got self.shape = {sizes_text(input)} source.shape = {sizes_text(source)}",
            hint="all but the dimension that is indexed agree",
        )
    for a, (size, other) in enumerate(zip(updates.shape, wanted, strict=True)):
        equal_sizes(name, f"the size of dimension {a} of the source and what it goes to", size, other)

    def put(x: Node, updates: Node, mode: str) -> Node:
        # The index is the same in all other dimensions: repeated there it costs nothing.
        message = f"{prefix}index {{}} is out of bounds for dimension {axis} with size {x.shape[axis]}"
        named = within(build.cast_to(vector, i64), 0, x.shape[axis], message)
        places = build.broadcast_to(_lined_up(named, axis, len(x.shape)), updates.shape)
        return along.put_along(x, places, updates, axis=axis, mode=mode)

    return put, x, updates


@function(method=True)
def index_add(input: Node, dim: int, index: Node, source: Node, *, alpha: Operand = 1) -> Node:
    """The input with alpha * source added to the parts along `dim` that a vector numbers."""
    if index.tensor.dtype not in (i32, i64):
        raise DTypeError(
            f"index_add_(): Expected dtype int32/int64 for index but got: {index.tensor.dtype.scalar}",
            hint="convert it first, e.g. index.to('int64')",
        )
    put, x, updates = _parts("index_add", input, dim, index, source)
    if isinstance(alpha, Node) or alpha != 1:
        updates = build.cast_to(mul(updates, alpha), input.tensor.dtype)
    return build.reshape_to(combined_into(put, x, updates, "add"), input.shape)


@function(method=True)
def index_reduce(input: Node, dim: int, index: Node, source: Node, reduce: str, *, include_self: bool = True) -> Node:
    """`index_add` with another way to combine: prod, mean, amax or amin; the input's own part may count."""
    if reduce not in ("prod", "mean", "amax", "amin"):
        raise ArgumentError(
            f"index_reduce(): Expected reduce to be one of prod, mean, amax or amin but got {reduce}.",
            hint="for sums there is index_add",
        )
    check_index_dtype("index_reduce()", index)
    put, x, updates = _parts("index_reduce", input, dim, index, source)
    return build.reshape_to(_reduced_into("index_reduce", put, x, updates, reduce, include_self), input.shape)


@function(method=True)
def index_copy(input: Node, dim: int, index: Node, source: Node) -> Node:
    """The input with the parts along `dim` that a vector numbers replaced by those of the source."""
    check_index_dtype("index_copy_()", index, long_only=True)
    put, x, updates = _parts("index_copy", input, dim, index, source)
    return build.reshape_to(put(x, updates, "set"), input.shape)


@function(method=True)
def index_fill(input: Node, dim: int, index: Node, value: Operand) -> Node:
    """The input with the parts along `dim` that a vector numbers filled with a value; indices may be negative."""
    axis = normal_dim("index_fill", dim, len(input.shape))
    if index.tensor.dtype is not i64:
        raise DimensionError("index_fill_(): Expected dtype int64 for index.", hint="convert it first")
    if isinstance(value, Node) and value.shape:
        raise ShapeError(
            "index_fill_ only supports a 0-dimensional value tensor, but got tensor with "
            f"{len(value.shape)} dimension(s).",
            hint="use index_copy for several",
        )
    vector, x = vector_of("index_fill_()", index), lined(input)
    shape = tuple(vector.shape[0] if a == axis else size for a, size in enumerate(x.shape))
    number = int(value.real) if not isinstance(value, Node) and input.tensor.dtype.is_integer else value
    filled = build.broadcast_to(in_dtype_exactly("index_fill", number, input.tensor.dtype), shape)
    return build.reshape_to(indexing.scatter(x, vector, filled, axis=axis, mode="set"), input.shape)


# At places of the flattened tensor, or of several dimensions


@function(method=True)
def put(input: Node, index: Node, source: Node, accumulate: bool = False) -> Node:
    """The input with elements of the flattened tensor replaced by those of the source, or added to."""
    check_index_dtype("put_()", index, long_only=True)
    if source.tensor.dtype is not input.tensor.dtype:
        raise DTypeError(
            "put_(): self and source expected to have the same dtype, but got self.dtype = "
            f"{input.tensor.dtype.scalar} and source.dtype = {source.tensor.dtype.scalar}",
            hint="convert one of them",
        )
    count, given = index.tensor.size, source.tensor.size
    if isinstance(count, int) and isinstance(given, int) and count != given:
        raise DimensionError(
            "put_(): Expected source and index to have the same number of elements, but got source.numel() = "
            f"{given}, index.numel() = {count}",
            hint="give an element for each index",
        )
    flat, places = (build.reshape_to(x, (x.tensor.size,)) for x in (input, index))
    places = flat_place(places, flat.shape[0])
    updates = build.reshape_to(source, places.shape)

    def at(x: Node, updates: Node, mode: str) -> Node:
        return indexing.scatter(x, places, updates, axis=0, mode=mode)

    return build.reshape_to(combined_into(at, flat, updates, "add" if accumulate else "set"), input.shape)


@function(method=True)
def index_put(input: Node, indices: Sequence[Node], values: Operand, accumulate: bool = False) -> Node:
    """The input with the elements at index tensors, one for each leading dimension, replaced or added to."""
    if not indices:
        raise ArgumentError("index_put: no index tensors", hint="give one for each leading dimension that is indexed")
    if len(indices) > len(input.shape):
        raise DimensionError(
            f"too many indices for tensor of dimension {len(input.shape)} (got {len(indices)})",
            hint="give one for each leading dimension that is indexed",
        )
    if isinstance(values, Node) and not is_weak(values) and values.tensor.dtype is not input.tensor.dtype:
        raise DTypeError(
            "Index put requires the source and destination dtypes match, got "
            f"{input.tensor.dtype.scalar} for the destination and {values.tensor.dtype.scalar} for the source.",
            hint="convert one of them",
        )
    if len(indices) == 1 and indices[0].tensor.dtype is bool_:
        return _put_where(input, indices[0], in_dtype("index_put", values, input.tensor.dtype), accumulate)
    for index in indices:
        takes("index_put", index.tensor, INTEGER, "an index")
    chosen = tuple(enumerate(indices))
    flat, position, axis = merged(input, chosen)
    updates = in_dtype("index_put", values, input.tensor.dtype)
    shape = pick(input, chosen).shape
    if all(isinstance(size, int) for size in (*updates.shape, *shape)) and not _broadcasts(updates.shape, shape):
        raise ShapeError(
            f"shape mismatch: value tensor of shape {sizes_text(updates)} cannot be broadcast to indexing result "
            f"of shape [{', '.join(map(str, shape))}]",
            hint="the values have the shape of what is indexed, or repeat to it",
        )
    updates = build.broadcast_to(updates, shape)

    def at(x: Node, updates: Node, mode: str) -> Node:
        return indexing.scatter(x, position, updates, axis=axis, mode=mode)

    return build.reshape_to(combined_into(at, flat, updates, "add" if accumulate else "set"), input.shape)


def _put_where(x: Node, mask: Node, values: Node, accumulate: bool) -> Node:
    """Values for the parts of x where a mask over its leading dimensions is true: the same for all, or one for each."""
    rank = len(mask.shape)
    rest = x.shape[rank:]
    if mask.shape != x.shape[:rank]:
        axis = next((a for a in range(rank) if a >= len(x.shape) or mask.shape[a] != x.shape[a]), 0)
        raise DimensionError(
            f"The shape of the mask {sizes_text(mask)} at index {axis} does not match the shape of the indexed tensor "
            f"{sizes_text(x)} at index {axis}",
            hint="a mask has the leading dimensions of what it indexes",
        )
    if len(values.shape) <= len(rest) or values.shape[0] == 1:
        same = (
            build.reshape_to(values, values.shape[-len(rest) :] if rest else ())
            if len(values.shape) > len(rest)
            else values
        )
        chosen_values = build.broadcast_to(same, x.shape)
    else:
        number = reduction.cumsum(build.cast_to(build.reshape_to(mask, (mask.tensor.size,)), i64), axis=0)
        place = build.reshape_to(ew.sub(number, build.ones_like(number)), mask.shape)
        place = ew.select(mask, place, build.zeros_like(place))
        parts = build.broadcast_to(values, (values.shape[0], *rest))
        message = f"shape mismatch: value tensor of shape {sizes_text(values)} cannot be broadcast to indexing result"
        chosen_values = indexing.gather(parts, within(place, 0, values.shape[0], message), axis=0)
    is_chosen = build.repeat_along(mask, tuple(range(rank, len(x.shape))), x.shape)
    if accumulate:
        chosen_values = (ew.bitwise_or if x.tensor.dtype is bool_ else ew.add)(x, chosen_values)
    return ew.select(is_chosen, chosen_values, x)


def _broadcasts(source: tuple[object, ...], target: tuple[object, ...]) -> bool:
    ends = zip(reversed(source), reversed(target))
    return len(source) <= len(target) and all(a in (1, b) for a, b in ends)


@function(method=True)
def masked_scatter(input: Node, mask: Node, source: Node) -> Node:
    """The input with the elements where the mask is true replaced by those of the source, in order."""
    if mask.tensor.dtype is not bool_:
        raise DTypeError(
            f"masked_scatter_ only supports boolean masks, but got mask with dtype {mask.tensor.dtype.scalar}",
            hint="compare, or convert it first",
        )
    if source.tensor.dtype is not input.tensor.dtype:
        raise DTypeError(
            "masked_scatter: expected self and source to have same dtypes but got"
            f"{input.tensor.dtype.scalar} and {source.tensor.dtype.scalar}",
            hint="convert one of them",
        )
    shape = broadcast_shape("masked_scatter", input.shape, mask.shape)
    x, chosen = build.broadcast_to(input, shape), build.broadcast_to(mask, shape)
    if x.tensor.size == 0:
        return x
    flags = build.reshape_to(chosen, (chosen.tensor.size,))
    number = reduction.cumsum(build.cast_to(flags, i64), axis=0)
    place = ew.select(flags, ew.sub(number, build.ones_like(number)), build.zeros_like(number))
    elements = build.reshape_to(source, (source.tensor.size,))
    if elements.shape[0] == 0:  # nothing may be taken, yet where nothing is wanted that is fine
        elements = build.constant(0, input.tensor.dtype, (1,))
        place = ew.select(flags, build.ones_like(place), place)
    place = within(place, 0, elements.shape[0], "Number of elements of source < number of ones in mask")
    taken = build.reshape_to(indexing.gather(elements, place, axis=0), shape)
    return ew.select(chosen, taken, x)
