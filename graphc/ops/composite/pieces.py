"""Tensors cut into several, into windows, and put back: split and its kin, unfold, as_strided, the `_scatter` forms."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from graphc.ir.attribute import Array
from graphc.ir.dim import Size, quotient
from graphc.ir.dtype import i64
from graphc.ir.errors import ArgumentError, DimensionError, ShapeError, TraceError
from graphc.ir.graph import Node
from graphc.ops import build, creation, indexing, movement
from graphc.ops import elementwise as ew
from graphc.ops.composite.operand import normal_dim
from graphc.ops.composite.shapes import (
    checked_position,
    cut,
    known,
    list_text,
    selected,
    sizes_from,
)
from graphc.ops.function import function


def _axis(name: str, input: Node, dim: int) -> int:
    if not input.shape:
        raise ShapeError(f"{name} expects at least a 1-dimensional tensor", hint="unsqueeze it first")
    return normal_dim(name, dim, len(input.shape))


@function(method=True, names=("unsafe_split",))
def split(input: Node, split_size_or_sections: int | Sequence[int], dim: int = 0) -> tuple[Node, ...]:
    """Parts of a size along `dim`, the last may be smaller; or parts of the sizes listed."""
    if not isinstance(split_size_or_sections, int):
        return split_with_sizes(input, split_size_or_sections, dim)
    axis, part = _axis("split", input, dim), split_size_or_sections
    size = known("split", input.shape[axis])
    if part < 0:
        raise ArgumentError(
            f"split expects split_size be non-negative, but got split_size={part}", hint="use 1 or more"
        )
    if part == 0 and size:
        raise ArgumentError(
            f"split_size can only be 0 if dimension size is 0, but got dimension size of {size}", hint="use 1 or more"
        )
    starts = range(0, max(size, 1), max(part, 1))
    return tuple(cut(input, axis, start, min(start + part, size)) for start in starts)


@function(method=True, names=("unsafe_split_with_sizes",))
def split_with_sizes(input: Node, split_sizes: Sequence[Size], dim: int = 0) -> tuple[Node, ...]:
    """Parts of the sizes listed along `dim`."""
    axis = _axis("split", input, dim)
    sizes = sizes_from("split_with_sizes", (tuple(split_sizes),))
    size = input.shape[axis]
    if any(isinstance(part, int) and part < 0 for part in sizes):
        raise ArgumentError(
            "split_with_sizes expects split_sizes have only non-negative entries, but got "
            f"split_sizes={list_text(sizes)}",
            hint="sizes are 0 or more",
        )
    ends: list[Size] = [0]
    for part in sizes:
        ends.append(ends[-1] + part)
    if ends[-1] != size:
        raise ShapeError(
            f"split_with_sizes expects split_sizes to sum exactly to {size} (input tensor's size at dimension {axis}), "
            f"but got split_sizes={list_text(sizes)}",
            hint="the sizes add up to that of the dimension",
        )
    return tuple(cut(input, axis, end, end + part) for end, part in zip(ends[:-1], sizes, strict=True))


@function(method=True, names=("unsafe_chunk",))
def chunk(input: Node, chunks: int, dim: int = 0) -> tuple[Node, ...]:
    """About so many parts along `dim`, all but the last of one size."""
    axis = _axis("chunk", input, dim)
    if chunks <= 0:
        raise ArgumentError(f"chunk expects `chunks` to be greater than 0, got: {chunks}", hint="use 1 or more")
    total = known("chunk", input.shape[axis])
    if total == 0:
        return (input,) * chunks
    return split(input, -(-total // chunks), axis)


@function(method=True)
def tensor_split(input: Node, indices_or_sections: int | Sequence[int] | Node, dim: int = 0) -> tuple[Node, ...]:
    """So many parts along `dim`, the first ones larger by one; or parts that end where the indices say."""
    if not input.shape:
        raise ShapeError(
            "tensor_split expected at least a 1-dimensional tensor, but got a tensor with 0 dims",
            hint="unsqueeze it first",
        )
    axis = normal_dim("tensor_split", dim, len(input.shape))
    size = known("tensor_split", input.shape[axis])
    given = _given_now("tensor_split", indices_or_sections)
    if isinstance(given, int):
        if given <= 0:
            raise ArgumentError(f"number of sections must be larger than 0, got {given}", hint="use 1 or more")
        ends = [(size // given) * i + min(i, size % given) for i in range(1, given)]
    else:
        ends = list(given)
    bounds = [slice(start, stop).indices(size) for start, stop in zip([0, *ends], [*ends, size], strict=True)]
    return tuple(cut(input, axis, start, max(start, stop)) for start, stop, _ in bounds)


def _given_now(name: str, value: int | Sequence[int] | Node) -> int | Sequence[int]:
    """Numbers that a tensor of constants holds."""
    if not isinstance(value, Node):
        return value
    if value.op is not creation.constant:
        raise TraceError(
            f"{name}: where to split is computed, and a graph's shapes are fixed", hint="pass ints or a list of them"
        )
    if value.tensor.dtype.name != "int64":
        raise ArgumentError(
            "tensor_split expected tensor_indices_or_sections to have dtype of long, but got "
            f"{value.tensor.dtype.scalar}",
            hint="convert it first",
        )
    array = value.attribute("value")
    assert isinstance(array, Array)
    return int(array.value) if not array.value.shape else [int(each) for each in array.value]


def _split_along(name: str, input: Node, given: int | Sequence[int], axis: int, least: int) -> tuple[Node, ...]:
    if len(input.shape) < least:
        raise ShapeError(
            f"torch.{name} requires a tensor with at least {least} dimension, but got a tensor with {len(input.shape)} "
            "dimensions!",
            hint="unsqueeze it first",
        )
    if isinstance(given, int):
        size = known(name, input.shape[axis])
        if given <= 0 or size % given:
            raise ArgumentError(
                f"torch.{name} attempted to split along dimension {axis}, but the size of the dimension {size} is not "
                f"divisible by the split_size {given}!",
                hint="use tensor_split for parts of different sizes",
            )
    return tensor_split(input, given, axis)


@function(method=True)
def hsplit(input: Node, indices_or_sections: int | Sequence[int]) -> tuple[Node, ...]:
    """Parts along dimension 1, of vectors along dimension 0."""
    return _split_along("hsplit", input, indices_or_sections, 0 if len(input.shape) == 1 else 1, 1)


@function(method=True)
def vsplit(input: Node, indices_or_sections: int | Sequence[int]) -> tuple[Node, ...]:
    """Parts along dimension 0."""
    return _split_along("vsplit", input, indices_or_sections, 0, 2)


@function(method=True)
def dsplit(input: Node, indices_or_sections: int | Sequence[int]) -> tuple[Node, ...]:
    """Parts along dimension 2."""
    return _split_along("dsplit", input, indices_or_sections, 2, 3)


@function(method=True)
def unbind(input: Node, dim: int = 0) -> tuple[Node, ...]:
    """Every part along `dim`, which is dropped."""
    if not input.shape:
        raise DimensionError("Dimension specified as 0 but tensor has no dimensions", hint="unsqueeze it first")
    axis = normal_dim("unbind", dim, len(input.shape))
    return tuple(selected(input, axis, i) for i in range(known("unbind", input.shape[axis])))


# Windows


@function(method=True, free=False)
def unfold(input: Node, dimension: int, size: int, step: int) -> Node:
    """All windows of `size` elements along a dimension, one every `step` elements; they are the last dimension."""
    axis = normal_dim("unfold", dimension, len(input.shape))
    extent = input.shape[axis] if input.shape else 1
    if size < 0:
        raise ArgumentError(f"size is {size} but must be >= 0", hint="use 0 or more")
    if isinstance(extent, int) and size > extent:
        raise ArgumentError(
            f"maximum size for tensor at dimension {axis} is {extent} but size is {size}", hint="use smaller windows"
        )
    if step <= 0:
        raise ArgumentError(f"step is {step} but must be > 0", hint="use 1 or more")
    if not input.shape:
        return build.reshape_to(input, (1,)) if size else cut(build.reshape_to(input, (1,)), 0, 0, 0)
    if size == 0:
        count = quotient(extent, step) + 1
        return build.constant(0, input.tensor.dtype, (*input.shape[:axis], count, *input.shape[axis + 1 :], 0))
    return movement.window(input, axes=(axis,), size=(size,), stride=(step,), dilation=(1,))


def _positions(input: Node, size: Sequence[int], stride: Sequence[int], storage_offset: int | None) -> Node:
    """Row-major positions of the elements that sizes and strides choose."""
    total = known("as_strided", input.tensor.size)
    if len(size) != len(stride):
        raise ArgumentError("mismatch in length of strides and shape", hint="give a stride for each size")
    if any(each < 0 for each in stride):
        raise ArgumentError(
            f"as_strided: Negative strides are not supported at the moment, got strides: {list_text(tuple(stride))}",
            hint="use flip",
        )
    offset = storage_offset or 0
    if offset < 0:
        raise ArgumentError(f"Tensor: invalid storage offset {offset}", hint="offsets count from 0")
    width = input.tensor.dtype.itemsize
    end = 0 if 0 in size else offset + 1 + sum((n - 1) * by for n, by in zip(size, stride, strict=True))
    if end > total:
        raise ShapeError(
            f"setStorage: sizes {list_text(tuple(size))}, strides {list_text(tuple(stride))}, storage offset {offset}, "
            f"and itemsize {width} requiring a storage size of {end * width} are out of bounds for storage of size "
            f"{total * width}",
            hint="choose sizes and strides that stay within the elements",
        )
    places = np.full(tuple(size), offset, np.int64)
    for axis, by in enumerate(stride):
        steps = (np.arange(size[axis]) * by).reshape((-1,) + (1,) * (len(size) - axis - 1))
        places += steps
    return creation.constant(value=Array(places))


@function(method=True, names=("as_strided_copy",))
def as_strided(input: Node, size: Sequence[int], stride: Sequence[int], storage_offset: int | None = None) -> Node:
    """Elements chosen by sizes and strides over the flattened tensor, starting at `storage_offset`."""
    places = _positions(input, size, stride, storage_offset)
    if places.tensor.size == 0:
        return build.constant(0, input.tensor.dtype, places.shape)
    return indexing.gather(build.reshape_to(input, (input.tensor.size,)), places, axis=0)


# Parts replaced


def _source(src: Node, part: Node) -> Node:
    if src.shape != part.shape:
        raise ShapeError(
            f"expected src to have a size equal to the slice of self. src size = {list_text(src.shape)}, slice size = "
            f"{list_text(part.shape)}",
            hint="the source has the shape of what it replaces",
        )
    return build.cast_to(src, part.tensor.dtype)


@function(method=True)
def select_scatter(input: Node, src: Node, dim: int, index: int) -> Node:
    """The tensor with `src` in place of its part at one position along `dim`."""
    if not input.shape:
        raise DimensionError("select() cannot be applied to a 0-dim tensor.", hint="unsqueeze it first")
    axis = normal_dim("select_scatter", dim, len(input.shape))
    place = checked_position(input, axis, index)
    value = _source(src, selected(input, axis, place))
    return replaced(input, build.insert_axes(value, (axis,)), axis, place, 1)


@function(method=True)
def slice_scatter(
    input: Node, src: Node, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1
) -> Node:
    """The tensor with `src` in place of the elements start, start + step ... below end along `dim`."""
    axis = normal_dim("slice_scatter", dim, len(input.shape))
    if step <= 0:
        raise ArgumentError("slice step must be positive", hint="use 1 or more")
    first, last, _ = slice(start, end).indices(known("slice_scatter", input.shape[axis]))
    last = max(first, last)
    return replaced(input, _source(src, cut(input, axis, first, last, step)), axis, first, step)


def replaced(input: Node, value: Node, axis: int, first: Size, step: int) -> Node:
    """The tensor with `value` at the positions first, first + step ... along an axis."""
    count = value.shape[axis]
    if count == 0:
        return input
    index = creation.iota(shape=(count,), axis=0, dtype=i64)
    offset = build.broadcast_to(build.size_of(first, i64), (count,))
    places = ew.add(ew.mul(index, build.full_like(index, step)), offset)
    return indexing.scatter(input, places, value, axis=axis, mode="set")


@function(method=True)
def as_strided_scatter(
    input: Node, src: Node, size: Sequence[int], stride: Sequence[int], storage_offset: int | None = None
) -> Node:
    """The tensor with `src` in place of what `as_strided` with these arguments chooses."""
    places = _positions(input, size, stride, storage_offset)
    value = _source(src, build.constant(0, input.tensor.dtype, places.shape))
    if places.tensor.size == 0:
        return input
    flat = build.reshape_to(input, (input.tensor.size,))
    updated = indexing.scatter(flat, places, value, axis=0, mode="set")
    return build.reshape_to(updated, input.shape)
