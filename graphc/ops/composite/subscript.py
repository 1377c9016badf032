"""`x[...]`: ints, slices, None, Ellipsis, masks and index tensors, with PyTorch's rules.

In: a tensor and what stands in the brackets. Ints, slices and None come first and give a view; index tensors then pick
elements of it. Those are broadcast together; their dimensions come where the indexed ones were if these are neighbours,
else in front. As in PyTorch, and unlike numpy, an int is no index tensor and doesn't move dimensions to the front.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from graphc.ir.attribute import Array
from graphc.ir.dim import Dim, Size, bounds, is_at_least, maximum, minimum, product
from graphc.ir.dtype import bool_, i64
from graphc.ir.errors import ArgumentError, DTypeError, ShapeError, TraceError, describe
from graphc.ir.graph import Node
from graphc.ops import build, creation, indexing, movement, requirement
from graphc.ops import elementwise as ew
from graphc.ops.check import shape_text
from graphc.ops.composite.operand import broadcast
from graphc.ops.function import function


@dataclass(frozen=True, slots=True)
class Picked:
    """A view of a tensor, and index tensors for some of its dimensions."""

    view: Node
    indices: tuple[tuple[int, Node], ...]
    """(dimension, index tensor), by dimension."""


@function(method=True, free=False)
def __getitem__(input: Node, index: object) -> Node:
    """The elements that ints, slices, None, ... and index tensors choose."""
    picked = split_index(input, index)
    return pick(picked.view, picked.indices)


@function(method=True, free=False)
def __setitem__(input: Node, index: object, value: object) -> None:
    """Refused: a graph's values never change."""
    raise TraceError(
        "a traced tensor can't be written to: a graph's values never change",
        hint="build a new one, e.g. with graphc.where, index_copy, index_add or scatter",
    )


def pick(x: Node, indices: tuple[tuple[int, Node], ...]) -> Node:
    """The elements at index tensors."""
    if not indices:
        return x
    if len(indices) == 1:
        ((axis, index),) = indices
        return indexing.gather(x, index, axis=axis)
    x, position, axis = merged(x, indices)
    return indexing.gather(x, position, axis=axis)


def merged(x: Node, indices: tuple[tuple[int, Node], ...]) -> tuple[Node, Node, int]:
    """The tensor with its indexed dimensions made one, positions along it, and which dimension it is."""
    axes = tuple(axis for axis, _ in indices)
    entries = broadcast("index", *(build.cast_to(each, i64) for _, each in indices))
    where = axes[0]
    if axes != tuple(range(axes[0], axes[-1] + 1)):
        x = build.permute_to(x, axes + tuple(a for a in range(len(x.shape)) if a not in axes))
        where = 0
    sizes = x.shape[where : where + len(axes)]
    total = product(sizes)
    position = flat_position(entries, sizes, axes)
    return build.reshape_to(x, (*x.shape[:where], total, *x.shape[where + len(axes) :])), position, where


def flat_position(entries: tuple[Node, ...], sizes: tuple[Size, ...], axes: tuple[int, ...]) -> Node:
    """Row-major positions of elements at these indices, for each of which the run checks that it names one."""
    flat = build.zeros_like(entries[0])
    for axis, entry, size in zip(axes, entries, sizes, strict=True):
        extent = build.broadcast_to(build.size_of(size, i64), entry.shape)
        is_valid = ew.bitwise_and(ew.ge(entry, ew.neg(extent)), ew.lt(entry, extent))
        message = f"index {{}} is out of bounds for dimension {axis} with size {size}"
        checked = requirement.require(entry, is_valid, message=message)
        counted = ew.select(ew.lt(checked, build.zeros_like(entry)), ew.add(checked, extent), checked)
        flat = ew.add(ew.mul(flat, extent), counted)
    return flat


# From what stands in the brackets to a view and index tensors


def split_index(x: Node, index: object) -> Picked:
    """Apply what is known now; keep the index tensors."""
    items = _without_ellipsis(x, [_item(each) for each in (index if isinstance(index, tuple) else (index,))])
    rank = len(x.shape)
    start: list[Size] = [0] * rank
    stop: list[Size] = list(x.shape)
    step: list[Size] = [1] * rank
    shape: list[Size] = []
    tensors: list[tuple[int, Node]] = []
    axis = 0
    for item in items:
        match item:
            case None:
                shape.append(1)
                continue
            case Node() if item.tensor.dtype is bool_:
                for each in _known_mask(x, item, axis):
                    tensors.append((len(shape), each))
                    shape.append(x.shape[axis])
                    axis += 1
                continue
            case Node():
                tensors.append((len(shape), item))
                shape.append(x.shape[axis])
            case slice():
                start[axis], stop[axis], step[axis], size = _slice(item, axis, x.shape[axis])
                shape.append(size)
            case _:
                start[axis] = _position(item, axis, x)
                stop[axis] = start[axis] + 1
        axis += 1
    view = x
    if any(first != 0 or by != 1 for first, by in zip(start, step, strict=True)) or tuple(stop) != x.shape:
        view = movement.slice_(x, start=tuple(start), stop=tuple(stop), step=tuple(step))
    return Picked(build.reshape_to(view, tuple(shape)), tuple(tensors))


def _item(given: object) -> object:
    """One entry of the index; lists of numbers become index tensors."""
    match given:
        case bool() | np.bool_():
            raise ArgumentError(
                f"index: a plain {given} in the brackets", hint="use None for a new dimension, or a comparison's result"
            )
        case None | slice() | int() | Dim():
            return given
        case Node():
            kind = given.tensor.dtype
            if kind is not bool_ and not kind.is_integer:
                raise DTypeError(
                    f"index: a tensor of {kind.name} can't index", hint="convert it first, e.g. i.to('int64')"
                )
            return given
        case _ if given is Ellipsis:
            return given
        case Sequence() if not isinstance(given, str):
            return _constant(given)
        case _:
            raise ArgumentError(
                f"index: {describe(given)} in the brackets",
                hint="use ints, slices, None, ... or tensors of integers",
            )


def _constant(given: Sequence[object]) -> Node:
    try:
        array = np.array(given)
    except ValueError:
        array = np.array(None)
    if not array.size:
        array = array.astype(np.int64)
    if array.dtype.kind not in "bi":
        raise ArgumentError(
            f"index: the list {list(given)} holds no integers", hint="index by ints or by a tensor of integers"
        )
    return creation.constant(value=Array(array.astype(np.bool_ if array.dtype.kind == "b" else np.int64)))


def _without_ellipsis(x: Node, items: list[object]) -> list[object]:
    """An entry for each dimension, and None for new ones."""
    used = sum(_dimensions(item) for item in items)
    if used > len(x.shape):
        raise ShapeError(
            f"index: {used} indices for the {len(x.shape)} dimensions of {shape_text(x.shape)}",
            hint="use fewer indices, or None where a new dimension is meant",
        )
    rest: list[object] = [slice(None)] * (len(x.shape) - used)
    dots = [i for i, item in enumerate(items) if item is Ellipsis]
    if len(dots) > 1:
        raise ArgumentError("index: ... stands twice in the brackets", hint="use it once, and : for single dimensions")
    place = dots[0] if dots else len(items)
    return [*items[:place], *rest, *items[place + 1 :]]


def _dimensions(item: object) -> int:
    """How many dimensions an entry takes."""
    if item is None or item is Ellipsis:
        return 0
    if isinstance(item, Node) and item.tensor.dtype is bool_:
        return len(item.shape)
    return 1


def _known_mask(x: Node, mask: Node, axis: int) -> list[Node]:
    """Index tensors of the true elements of a mask that is a constant: how many there are is known."""
    if mask.op is not creation.constant:
        raise TraceError(
            "index: how many elements a mask chooses is known only when it is computed, and a graph's shapes are fixed",
            hint="keep the shape: graphc.where(mask, x, 0), x.masked_fill(~mask, 0), or sums of products with the mask",
        )
    if not mask.shape:
        raise ShapeError("index: a mask without dimensions", hint="use graphc.where")
    chosen = x.shape[axis : axis + len(mask.shape)]
    if mask.shape != chosen:
        raise ShapeError(
            f"index: a mask of shape {shape_text(mask.shape)} for dimensions of {shape_text(chosen)}",
            hint="a mask has the sizes of the dimensions it chooses from",
        )
    value = mask.attribute("value")
    assert isinstance(value, Array)
    return [creation.constant(value=Array(each)) for each in np.nonzero(value.value)]


def _position(given: object, axis: int, x: Node) -> Size:
    """An int as a position from the front."""
    assert isinstance(given, int | Dim)
    size = x.shape[axis]
    place = given + size if _is_negative(given) else given
    if bounds(place)[1] < 0 or bounds(size - 1 - place)[1] < 0:
        raise ArgumentError(
            f"index: {given} names no element of dimension {axis} of {shape_text(x.shape)}",
            hint=f"it has {size} elements, counted from 0, or from -1 backwards",
        )
    return place


def _is_negative(size: Size) -> bool:
    """Whether a position counts from the end."""
    if is_at_least(size, 0):
        return False
    if bounds(size)[1] < 0:
        return True
    raise ShapeError(
        f"index: whether {size} counts from the front or from the end is not known",
        hint="give the named sizes bounds that decide it where the shapes are declared",
    )


def _slice(item: slice, axis: int, size: Size) -> tuple[Size, Size, Size, Size]:
    """Start, stop and step within the dimension, as Python moves them there, and the number of elements."""
    for end in (item.start, item.stop, item.step):
        if isinstance(end, Node):
            raise TraceError(
                "index: the ends of a slice are computed, and a graph's shapes are fixed",
                hint="gather a range: x[start + graphc.arange(length)]",
            )
        if end is not None and (not isinstance(end, int | Dim) or isinstance(end, bool)):
            raise ArgumentError(f"index: {end!r} in a slice", hint="use ints or sizes of tensors")
    step: Size = 1 if item.step is None else item.step
    if bounds(step)[0] < 1:
        raise ArgumentError(
            f"index: a step of {step} in dimension {axis}", hint="steps are 1 or more; to go backwards use flip"
        )
    start: Size = 0
    if item.start is not None:
        # At most the size, written as what is left: x[1:] and x[:-1] then have sizes that look equal.
        start = maximum(0, item.start + size) if _is_negative(item.start) else size - maximum(0, size - item.start)
    stop = size
    if item.stop is not None:
        stop = maximum(0, item.stop + size) if _is_negative(item.stop) else minimum(item.stop, size)
    stop = maximum(start, stop)
    return start, stop, step, (stop - start + step - 1) // step
