"""Tensors joined, repeated, reversed and rolled, under PyTorch's names."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from graphc.ir.attribute import Array
from graphc.ir.dim import Size, product
from graphc.ir.errors import ArgumentError, DimensionError, ShapeError, TraceError, UnsupportedDType
from graphc.ir.graph import Node
from graphc.ops import build, creation, indexing, movement
from graphc.ops.composite.operand import normal_dim, normal_dims
from graphc.ops.composite.shapes import (
    Sizes,
    cat,
    check_tensors,
    cut,
    list_text,
    listed,
    required,
    sizes_from,
    transpose,
)
from graphc.ops.function import function

# Stacks


def _joined(name: str, tensors: Sequence[Node], rank: int, axis: int) -> Node:
    given = check_tensors(name, tensors)
    if not given:
        raise ArgumentError(f"{name} expects a non-empty TensorList", hint="give at least one")
    parts = [at_least(x, rank) for x in given]
    return cat(parts, min(axis, len(parts[0].shape) - 1))


@function()
def hstack(tensors: Sequence[Node]) -> Node:
    """Joined along dimension 1, vectors along dimension 0."""
    return _joined("hstack", tensors, 1, 1)


@function(names=("row_stack",))
def vstack(tensors: Sequence[Node]) -> Node:
    """Joined along dimension 0, vectors as rows."""
    return _joined("vstack", tensors, 2, 0)


@function()
def dstack(tensors: Sequence[Node]) -> Node:
    """Joined along dimension 2."""
    return _joined("dstack", tensors, 3, 2)


@function()
def column_stack(tensors: Sequence[Node]) -> Node:
    """Joined along dimension 1, vectors as columns."""
    given = check_tensors("column_stack", tensors)
    if not given:
        raise ArgumentError("column_stack expects a non-empty TensorList", hint="give at least one")
    return cat([x if len(x.shape) > 1 else build.reshape_to(x, (x.tensor.size, 1)) for x in given], 1)


def at_least(x: Node, rank: int) -> Node:
    """With dimensions of size 1 added as numpy adds them: in front, but the third behind."""
    shape = x.shape
    if len(shape) < rank:
        shape = shape or (1,)
        shape = (1, *shape) if len(shape) == 1 and rank > 1 else shape
        shape = (*shape, 1) if len(shape) == 2 and rank > 2 else shape
    return build.reshape_to(x, shape)


def _all_at_least(tensors: tuple[Node | Sequence[Node], ...], rank: int) -> Node | tuple[Node, ...]:
    if len(tensors) == 1 and isinstance(tensors[0], Node):
        return at_least(tensors[0], rank)
    return tuple(at_least(x, rank) for x in listed(tensors))


@function()
def atleast_1d(*tensors: Node | Sequence[Node]) -> Node | tuple[Node, ...]:
    """With at least one dimension; of several tensors a tuple."""
    return _all_at_least(tensors, 1)


@function()
def atleast_2d(*tensors: Node | Sequence[Node]) -> Node | tuple[Node, ...]:
    """With at least two dimensions; of several tensors a tuple."""
    return _all_at_least(tensors, 2)


@function()
def atleast_3d(*tensors: Node | Sequence[Node]) -> Node | tuple[Node, ...]:
    """With at least three dimensions; of several tensors a tuple."""
    return _all_at_least(tensors, 3)


# Copies


@function(method=True, free=False)
def repeat(input: Node, *repeats: Sizes) -> Node:
    """Copies laid side by side, so many along each dimension; leading dimensions are added."""
    return _repeated(input, required("repeat", "repeats", repeats))


def _repeated(input: Node, counts: tuple[Size, ...]) -> Node:
    lead = len(counts) - len(input.shape)
    if lead < 0:
        raise ShapeError(
            "Number of dimensions of repeat dims can not be smaller than number of dimensions of tensor",
            hint="give a count for every dimension, or use tile",
        )
    shape = ((1,) * lead) + input.shape
    final = tuple(count * size for count, size in zip(counts, shape, strict=True))
    negative = next((size for size in final if isinstance(size, int) and size < 0), None)
    if negative is not None:
        raise ShapeError(
            f"Trying to create tensor with negative dimension {negative}: {list_text(final)}",
            hint="counts are 0 or more",
        )
    paired = tuple(size for size in shape for size in (1, size))
    spread = tuple(each for count, size in zip(counts, shape, strict=True) for each in (count, size))
    return build.reshape_to(build.broadcast_to(build.reshape_to(input, paired), spread), final)


@function(method=True)
def tile(input: Node, *dims: Sizes) -> Node:
    """Like `repeat`, with counts of 1 in front where there are fewer than dimensions."""
    counts = sizes_from("tile", dims)
    return _repeated(input, ((1,) * (len(input.shape) - len(counts))) + counts)


@function(method=True)
def repeat_interleave(
    input: Node, repeats: int | Node | None = None, dim: int | None = None, *, output_size: Size | None = None
) -> Node:
    """Each element, or each part along `dim`, several times in a row; each so often as `repeats` says.

    With one tensor alone, each position as often as its element says. Counts that are computed need `output_size`.
    """
    if repeats is None:
        counts = _counts(input)
        places = np.repeat(np.arange(len(counts)), counts)
        return creation.constant(value=Array(places.astype(np.int64)))
    x = input if dim is not None else build.reshape_to(input, (input.tensor.size,))
    axis = 0 if dim is None else normal_dim("repeat_interleave", dim, len(x.shape))
    x = x if x.shape else build.reshape_to(x, (1,))
    size = x.shape[axis]
    if isinstance(repeats, Node) and repeats.tensor.size != 1:
        if len(repeats.shape) > 1:
            raise ShapeError("repeats must be 0-dim or 1-dim tensor", hint="flatten it")
        if repeats.shape[0] != size:
            raise ShapeError(
                "repeats must have the same size as input along dim, but got repeats.size(0) = "
                f"{repeats.shape[0]} and input.size({axis}) = {size}",
                hint="give a count for each part",
            )
        counts = _counts(repeats)
        _check_output(sum(counts), output_size)
        if not sum(counts):
            return cut(x, axis, 0, 0)
        places = np.repeat(np.arange(len(counts)), counts)
        return indexing.gather(x, creation.constant(value=Array(places.astype(np.int64))), axis=axis)
    count: Size = _counts(repeats)[0] if isinstance(repeats, Node) else repeats
    if isinstance(count, int) and count < 0:
        raise ArgumentError("Repeats must be non-negative", hint="use 0 or more")
    _check_output(size * count, output_size)
    spread = build.repeat_along(x, (axis + 1,), (*x.shape[: axis + 1], count, *x.shape[axis + 1 :]))
    return build.reshape_to(spread, (*x.shape[:axis], size * count, *x.shape[axis + 1 :]))


def _check_output(expected: Size, output_size: Size | None) -> None:
    if output_size is not None and output_size != expected:
        raise ArgumentError(
            f"repeat_interleave: Invalid output_size, expected {expected} but got {output_size}",
            hint="leave output_size out, or give the sum of the counts",
        )


def _counts(repeats: Node) -> list[int]:
    """The numbers in a constant tensor of counts."""
    dtype = repeats.tensor.dtype
    if dtype.name not in ("int32", "int64"):
        raise UnsupportedDType(
            f"\"repeat_interleave_cpu\" not implemented for '{dtype.scalar}'", hint="counts are int64 or int32"
        )
    if len(repeats.shape) > 1:
        raise ShapeError("repeat_interleave only accept 1D vector as repeat", hint="flatten it")
    if repeats.op is not creation.constant:
        raise TraceError(
            "repeat_interleave: how often is known only when it is computed, and a graph's shapes are fixed",
            hint="pass an int or a numpy array of counts",
        )
    array = repeats.attribute("value")
    assert isinstance(array, Array)
    counts = [int(each) for each in array.value.reshape(-1)]
    if any(count < 0 for count in counts):
        raise ArgumentError("repeats can not be negative", hint="use 0 or more")
    return counts


# Order along dimensions


@function(method=True)
def flip(input: Node, *dims: int | Sequence[int]) -> Node:
    """The elements in reverse order along some dimensions."""
    axes = required("flip", "dims", dims)
    named = normal_dims("flip", [a for a in axes if isinstance(a, int)], len(input.shape))
    return movement.flip(input, axes=named) if named else input


@function(method=True)
def fliplr(input: Node) -> Node:
    """Columns (dimension 1) in reverse order."""
    if len(input.shape) < 2:
        raise ShapeError("Input must be >= 2-d.", hint="use flip")
    return movement.flip(input, axes=(1,))


@function(method=True)
def flipud(input: Node) -> Node:
    """Rows (dimension 0) in reverse order."""
    if not input.shape:
        raise ShapeError("Input must be >= 1-d.", hint="unsqueeze it first")
    return movement.flip(input, axes=(0,))


@function(method=True)
def rot90(input: Node, k: int = 1, dims: Sequence[int] = (0, 1)) -> Node:
    """Turned `k` times by 90 degrees in the plane of two dimensions, from the first towards the second."""
    if len(dims) != 2:
        raise ArgumentError(
            f"expected total rotation dims == 2, but got dims = {len(dims)}", hint="name the two dimensions of a plane"
        )
    rank = len(input.shape)
    if rank < 2:
        raise ShapeError(f"expected total dims >= 2, but got total dims = {rank}", hint="unsqueeze it first")
    a, b = (normal_dim("rot90", d, rank) for d in dims)
    if a == b:
        raise ArgumentError(
            f"expected rotation dims to be different, but got dim0 = {dims[0]} and dim1 = {dims[1]}",
            hint="name the two dimensions of a plane",
        )
    match k % 4:
        case 1:
            return transpose(movement.flip(input, axes=(b,)), a, b)
        case 2:
            return movement.flip(input, axes=tuple(sorted((a, b))))
        case 3:
            return transpose(movement.flip(input, axes=(a,)), a, b)
        case _:
            return input


@function(method=True)
def roll(input: Node, shifts: int | Sequence[int], dims: int | Sequence[int] | None = None) -> Node:
    """The elements moved along, those that leave at the end coming back at the start."""
    moves = (shifts,) if isinstance(shifts, int) else tuple(shifts)
    axes = () if dims is None else (dims,) if isinstance(dims, int) else tuple(dims)
    if not moves:
        raise ArgumentError("`shifts` required", hint="say by how many elements")
    if not axes and len(moves) == 1:
        flat = build.reshape_to(input, (product(input.shape),))
        return build.reshape_to(_rolled(flat, moves[0], 0), input.shape)
    if len(axes) != len(moves):
        raise ArgumentError(
            f"shifts and dimensions must align. shifts: {len(moves)}, dims:{len(axes)}", hint="give one shift for each"
        )
    for shift, dim in zip(moves, axes, strict=True):
        if not input.shape:
            raise DimensionError(
                f"Dimension specified as {dim} but tensor has no dimensions", hint="unsqueeze it first"
            )
        input = _rolled(input, shift, normal_dim("roll", dim, len(input.shape)))
    return input


def _rolled(x: Node, shift: int, axis: int) -> Node:
    size = x.shape[axis]
    if size in (0, 1):
        return x
    if not isinstance(size, int) and shift != 0:
        raise ShapeError(
            f"roll: by {shift} along the symbolic size {size}", hint="gather at (positions - shift) % size"
        )
    first = -shift % size if isinstance(size, int) else 0
    return x if first == 0 else cat([cut(x, axis, first, size), cut(x, axis, 0, first)], axis)
