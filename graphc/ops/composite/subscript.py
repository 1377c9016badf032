"""`x[...]`: ints, slices, None, Ellipsis, masks and index tensors, with PyTorch's rules.

In: a tensor and what stands in the brackets. Ints, slices and None come first and give a view; index tensors then pick
elements of it. Those are broadcast together; their dimensions come where the indexed ones were if these are neighbours,
else in front. As in PyTorch, and unlike numpy, an int is no index tensor and doesn't move dimensions to the front.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from graphc.ir.attribute import Array
from graphc.ir.dim import Dim, Size, bounds, is_at_least, maximum, minimum, product
from graphc.ir.dtype import bool_, i32, i64, u8
from graphc.ir.errors import ArgumentError, DTypeError, IndexOutOfRange, ShapeError, SignatureError, TraceError
from graphc.ir.graph import Node
from graphc.ir.type import Shape
from graphc.ops import build, creation, indexing, movement, requirement
from graphc.ops import elementwise as ew
from graphc.ops.composite.operand import Operand, broadcast_shape, in_dtype, is_number
from graphc.ops.composite.shapes import expanded, list_text, stack
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


@function(free=False)
def _with_item(input: Node, index: object, value: Operand, accumulate: bool = False) -> Node:
    """The tensor with a value, repeated as needed, in place of the elements chosen, or added to them."""
    picked = split_index(input, index)
    positions = build.reshape_to(creation.iota(shape=(input.tensor.size,), axis=0, dtype=i64), input.shape)
    places = split_index(positions, index)
    chosen = pick(places.view, places.indices)
    updates = _updates(input, value, chosen.shape, is_indexed=bool(picked.indices))
    if chosen.tensor.size == 0:
        return input
    flat = build.reshape_to(input, (input.tensor.size,))
    mode = "add" if accumulate else "set"
    return build.reshape_to(indexing.scatter(flat, chosen, updates, axis=0, mode=mode), input.shape)


def _updates(input: Node, value: Operand, shape: Shape, *, is_indexed: bool) -> Node:
    """The value in the dtype of the tensor, repeated to the shape of what it replaces."""
    dtype = input.tensor.dtype
    if not isinstance(value, Node | bool | int | float | complex):
        raise SignatureError(
            f"can't assign a {type(value).__name__} to a torch.{dtype.scalar}Tensor", hint="make a tensor of it"
        )
    if is_indexed and isinstance(value, Node) and not is_number(value) and value.tensor.dtype is not dtype:
        raise DTypeError(
            "Index put requires the source and destination dtypes match, got "
            f"{dtype.scalar} for the destination and {value.tensor.dtype.scalar} for the source.",
            hint="convert the value first",
        )
    update = build.cast_to(in_dtype("index_put", value, dtype), dtype)
    while len(update.shape) > len(shape) and update.shape[0] == 1:
        update = build.reshape_to(update, update.shape[1:])
    if not is_indexed:
        return expanded(update, shape)
    lead = len(shape) - len(update.shape)
    fits = lead >= 0 and all(size in (1, wanted) for size, wanted in zip(update.shape, shape[lead:], strict=True))
    if not fits:
        raise ShapeError(
            f"shape mismatch: value tensor of shape {list_text(update.shape)} cannot be broadcast to indexing result "
            f"of shape {list_text(shape)}",
            hint="the value has the shape of what is indexed, or repeats to it",
        )
    return build.broadcast_to(update, shape)


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
    for number, (axis, index) in enumerate(indices):
        if x.shape[axis] == 0 and 0 not in index.shape:
            raise IndexOutOfRange(
                "index is out of bounds for dimension with size 0", hint="a dimension of no elements takes no index"
            )
        _check_known(index, number, x.shape[axis])
    if len(indices) == 1:
        ((axis, index),) = indices
        return indexing.gather(x, required_index(build.cast_to(index, i64), x.shape[axis], 0), axis=axis)
    x, position, axis = merged(x, indices)
    return indexing.gather(x, position, axis=axis)


def _check_known(index: Node, number: int, size: Size) -> None:
    """Raise IndexOutOfRange for entries that are known to name no element; the run checks the others.

    As in PyTorch, whose indexed dimensions are in front at this point, the dimension named counts index tensors alone.
    """
    if index.op is not creation.constant or not isinstance(size, int):
        return
    value = index.attribute("value")
    assert isinstance(value, Array)
    wrong = value.value[(value.value < -size) | (value.value >= size)]
    if wrong.size:
        raise IndexOutOfRange(
            f"index {wrong[0]} is out of bounds for dimension {number} with size {size}",
            hint="indices count from 0, or from -1 backwards",
        )


def merged(x: Node, indices: tuple[tuple[int, Node], ...]) -> tuple[Node, Node, int]:
    """The tensor with its indexed dimensions made one, positions along it, and which dimension it is."""
    axes = tuple(axis for axis, _ in indices)
    entries = _broadcast([build.cast_to(each, i64) for _, each in indices])
    where = axes[0]
    if axes != tuple(range(axes[0], axes[-1] + 1)):
        x = build.permute_to(x, axes + tuple(a for a in range(len(x.shape)) if a not in axes))
        where = 0
    sizes = x.shape[where : where + len(axes)]
    total = product(sizes)
    position = flat_position(entries, sizes, tuple(range(len(axes))))
    return build.reshape_to(x, (*x.shape[:where], total, *x.shape[where + len(axes) :])), position, where


def _broadcast(entries: list[Node]) -> tuple[Node, ...]:
    shapes = [each.shape for each in entries]
    try:
        shape = broadcast_shape("index", *shapes)
    except ShapeError:
        if not all(isinstance(size, int) for shape in shapes for size in shape):
            raise
        raise IndexOutOfRange(
            "shape mismatch: indexing tensors could not be broadcast together with shapes "
            + ", ".join(map(list_text, shapes)),
            hint="index tensors have the same shape, or repeat to it",
        ) from None
    return tuple(build.broadcast_to(each, shape) for each in entries)


def required_index(entry: Node, size: Size, number: int) -> Node:
    """Indices, each of which the run checks to name an element, counted from either end."""
    if entry.op is creation.constant and isinstance(size, int):
        return entry  # it has been looked at
    extent = build.broadcast_to(build.size_of(size, i64), entry.shape)
    is_valid = ew.bitwise_and(ew.ge(entry, ew.neg(extent)), ew.lt(entry, extent))
    message = f"index {{}} is out of bounds for dimension {number} with size {size}"
    return requirement.require(entry, is_valid, message=message)


def flat_position(entries: tuple[Node, ...], sizes: tuple[Size, ...], axes: tuple[int, ...]) -> Node:
    """Row-major positions of elements at these indices, for each of which the run checks that it names one."""
    flat = build.zeros_like(entries[0])
    for axis, entry, size in zip(axes, entries, sizes, strict=True):
        extent = build.broadcast_to(build.size_of(size, i64), entry.shape)
        checked = required_index(entry, size, axis)
        counted = ew.select(ew.lt(checked, build.zeros_like(entry)), ew.add(checked, extent), checked)
        flat = ew.add(ew.mul(flat, extent), counted)
    return flat


# From what stands in the brackets to a view and index tensors


def split_index(x: Node, index: object) -> Picked:
    """Apply what is known now; keep the index tensors."""
    items = _without_ellipsis(x, [_item(each) for each in _listed(index)], is_alone=not isinstance(index, tuple))
    rank = len(x.shape)
    start: list[Size] = [0] * rank
    stop: list[Size] = list(x.shape)
    step: list[Size] = [1] * rank
    shape: list[Size] = []
    tensors: list[tuple[int, Node]] = []
    dropped: list[tuple[int, Node]] = []
    axis = 0
    for item in items:
        match item:
            case None:
                shape.append(1)
                continue
            case bool():
                tensors.append((len(shape), creation.constant(value=Array(np.zeros(1 if item else 0, np.int64)))))
                shape.append(1)
                continue
            case Node() if _is_mask(item):
                tensors.extend(enumerate(_known_mask(x, item, axis), len(shape)))
                shape += x.shape[axis : axis + len(item.shape)]
                axis += len(item.shape)
                continue
            case Node():
                (tensors if item.shape else dropped).append((len(shape), item))
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
    view = build.reshape_to(view, tuple(shape))
    for place, index_node in reversed(dropped):  # as an int would, a 0-d tensor takes one element and its dimension
        view = indexing.gather(view, index_node, axis=place)
    before = [place for place, _ in dropped]
    return Picked(view, tuple((place - sum(each < place for each in before), index) for place, index in tensors))


def _listed(index: object) -> tuple[object, ...]:
    """The entries of an index. As in PyTorch, a short list that holds more than numbers stands for a tuple."""
    if isinstance(index, tuple):
        return index
    if isinstance(index, list) and len(index) < 32:
        if any(each is None or each is Ellipsis or isinstance(each, Node | list | tuple | slice) for each in index):
            return tuple(index)
    return (index,)


def _is_mask(item: Node) -> bool:
    return item.tensor.dtype in (bool_, u8)


def _item(given: object) -> object:
    """One entry of the index; lists of numbers become index tensors."""
    match given:
        case None | slice() | int() | Dim():
            return given
        case np.bool_():
            return bool(given)
        case Node():
            if given.tensor.dtype not in (bool_, u8, i32, i64):
                raise IndexOutOfRange(
                    "tensors used as indices must be long, int, byte or bool tensors",
                    hint="convert it first, e.g. i.to('int64')",
                )
            return bool(_value(given)) if _is_mask(given) and not given.shape else given
        case _ if given is Ellipsis:
            return given
        case Sequence() if not isinstance(given, str):
            return _constant(given)
        case str():
            raise SignatureError("new(): invalid data type 'str'", hint="use ints, slices, None, ... or tensors")
        case _:
            raise IndexOutOfRange(
                "only integers, slices (`:`), ellipsis (`...`), None and long or byte Variables are valid indices (got "
                f"{type(given).__name__})",
                hint="convert it to an int or a tensor of integers",
            )


def _constant(given: Sequence[object]) -> Node:
    if any(isinstance(each, Node) for each in given):
        nodes = [each if isinstance(each, Node) else _constant([each]) for each in given]
        return stack([build.cast_to(build.reshape_to(each, each.shape), i64) for each in nodes])
    try:
        array = np.array(given)
    except ValueError:
        array = np.array(None)
    if not array.size:
        array = array.astype(np.int64)
    if array.dtype.kind not in "bif":
        raise SignatureError(
            f"the list {list(given)} in the brackets holds no integers", hint="index by ints or by a tensor of integers"
        )
    return creation.constant(value=Array(array.astype(np.bool_ if array.dtype.kind == "b" else np.int64)))


def _without_ellipsis(x: Node, items: list[object], *, is_alone: bool) -> list[object]:
    """An entry for each dimension, and None for new ones."""
    used = sum(_dimensions(item) for item in items)
    rank = len(x.shape)
    if used > rank:
        raise IndexOutOfRange(
            _too_many(items[0] if is_alone else None, rank), hint="use fewer indices, or None for a new dimension"
        )
    rest: list[object] = [slice(None)] * (rank - used)
    dots = [i for i, item in enumerate(items) if item is Ellipsis]
    place = dots[0] if dots else len(items)
    # A second ... stands for no dimensions.
    return [*items[:place], *rest, *(item for item in items[place:] if item is not Ellipsis)]


def _too_many(item: object, rank: int) -> str:
    if isinstance(item, slice):
        return "slice() cannot be applied to a 0-dim tensor."
    if isinstance(item, int) and not rank:
        return (
            "invalid index of a 0-dim tensor. Use `tensor.item()` in Python or `tensor.item<T>()` in C++ to convert a "
            "0-dim tensor to a number"
        )
    return f"too many indices for tensor of dimension {rank}"


def _dimensions(item: object) -> int:
    """How many dimensions an entry takes."""
    if item is None or item is Ellipsis or isinstance(item, bool):
        return 0
    if isinstance(item, Node) and _is_mask(item):
        return len(item.shape)
    return 1


def _value(mask: Node) -> npt.NDArray[np.generic]:
    """What a mask holds, which must be known."""
    if mask.op is not creation.constant:
        raise TraceError(
            "index: how many elements a mask chooses is known only when it is computed, and a graph's shapes are fixed",
            hint="keep the shape: graphc.where(mask, x, 0), x.masked_fill(~mask, 0), or sums of products with the mask",
        )
    value = mask.attribute("value")
    assert isinstance(value, Array)
    return value.value


def _known_mask(x: Node, mask: Node, axis: int) -> list[Node]:
    """Index tensors of the true elements of a mask that is a constant: how many there are is known."""
    chosen = _value(mask)
    for offset, size in enumerate(mask.shape):
        if x.shape[axis + offset] != size:
            raise IndexOutOfRange(
                f"The shape of the mask {list_text(mask.shape)} at index {offset} does not match the shape of the "
                f"indexed tensor {list_text(x.shape)} at index {axis + offset}",
                hint="a mask has the sizes of the dimensions it chooses from",
            )
    return [creation.constant(value=Array(each)) for each in np.nonzero(chosen)]


def _position(given: object, axis: int, x: Node) -> Size:
    """An int as a position from the front."""
    assert isinstance(given, int | Dim)
    size = x.shape[axis]
    place = given + size if _is_negative(given) else given
    if bounds(place)[1] < 0 or bounds(size - 1 - place)[1] < 0:
        raise IndexOutOfRange(
            f"index {given} is out of bounds for dimension {axis} with size {size}",
            hint="indices count from 0, or from -1 backwards",
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
            raise SignatureError(
                "slice indices must be integers or None or have an __index__ method",
                hint="use ints or sizes of tensors",
            )
    step: Size = 1 if item.step is None else item.step
    if bounds(step)[0] < 1:
        raise ArgumentError(
            "slice step cannot be zero" if step == 0 else "step must be greater than zero",
            hint="steps are 1 or more; to go backwards use flip",
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
