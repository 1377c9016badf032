"""Where elements lie: views of arrays with the strides that PyTorch gives them.

Level: numpy arrays, below tensors. In: an array and what a view asks for, or a graph that only renames elements. Out:
an array over the same memory. `positions` says which elements of an array a view of it holds.

    follow(graph, array)       # the outputs of a graph of reshapes, permutes, slices ... as views
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.lib import stride_tricks

from graphc.eager.tensor import AnyArray
from graphc.ir.errors import ArgumentError
from graphc.ir.graph import INPUT, Graph, Node


class Unviewable(Exception):
    """No strides give the result."""


def as_strided(array: AnyArray, shape: Sequence[int], strides: Sequence[int]) -> AnyArray:
    """The memory from the array's first element on, with this shape and these strides in bytes; nothing is checked."""
    kind = array.dtype
    if kind.kind == "f" and kind.itemsize == 1:  # numpy has no text for the floats of eight bits, which it needs here
        bytewise: AnyArray = stride_tricks.as_strided(array.view(np.uint8), shape, strides, subok=True)
        return bytewise.view(kind)
    found: AnyArray = stride_tricks.as_strided(array, shape, strides, subok=True)
    return found


def address_of(array: AnyArray) -> int:
    """Where the first element is."""
    address: int = array.__array_interface__["data"][0]
    return address


def strided(array: AnyArray, shape: Sequence[int], strides: Sequence[int]) -> AnyArray:
    """The memory from the array's first element on, with this shape and these strides in bytes."""
    found: AnyArray
    if type(array) is np.ndarray and array.flags.c_contiguous and array.size and array.dtype.kind != "V":
        try:
            found = np.ndarray(tuple(shape), array.dtype, array, 0, tuple(strides))
        except (ValueError, TypeError):  # beyond the array's own elements, or no sizes
            pass
        else:
            return found
    found = as_strided(array, shape, strides)
    return found


def as_real(array: AnyArray) -> AnyArray:
    """Complex numbers as pairs of real ones along a last dimension of 2."""
    unit = array.itemsize // 2
    return as_strided(array.real, (*array.shape, 2), (*array.strides, unit))


def shifted(array: AnyArray, offset: int, shape: Sequence[int], strides: Sequence[int]) -> AnyArray:
    """As `strided`, from `offset` bytes behind the first element on, which may be just behind the last one."""
    if not offset:
        return as_strided(array, shape, strides)
    unit = array.itemsize
    assert offset % unit == 0
    reach = as_strided(array, (abs(offset) // unit + 1,), (unit if offset > 0 else -unit,))
    return as_strided(reach[-1:], shape, strides)


def extent_of(array: AnyArray) -> int:
    """Bytes from the first element to the end of the last."""
    if not array.size:
        return 0
    reach: int = sum((n - 1) * step for n, step in zip(array.shape, array.strides))
    return reach + array.itemsize


def is_dense(array: AnyArray) -> bool:
    """Whether the elements fill their stretch of memory, each place once, in any order of dimensions."""
    expected = array.itemsize
    for step, size in sorted((step, n) for step, n in zip(array.strides, array.shape) if n != 1):
        if step != expected:
            return False
        expected *= size
    return True


def overlaps_itself(array: AnyArray) -> bool:
    """Whether a dimension repeats elements: what `expand` makes."""
    return (
        bool(array.size)
        and 0 in array.strides
        and any(step == 0 and n > 1 for step, n in zip(array.strides, array.shape))
    )


def positions(base: AnyArray, part: AnyArray) -> AnyArray:
    """Row-major numbers, in the base, of the elements of a view of it: int64, of the view's shape.

    Where one of the two is complex and the other real, elements are counted as real numbers, and the complex one has a
    last dimension of 2.
    """
    if base.dtype.kind == "c" and part.dtype.kind != "c":
        base = as_real(base)
    elif part.dtype.kind == "c" and base.dtype.kind != "c":
        part = as_real(part)
    places = _places(part) + (address_of(part) - address_of(base)) // part.itemsize
    if base.flags.c_contiguous:
        return places
    own = _places(base).reshape(-1)
    numbers = np.full(int(own.max(initial=-1)) + 1, -1, np.int64)
    numbers[own] = np.arange(own.size)
    if places.size and (places.min() < 0 or places.max() >= numbers.size or (found := numbers[places]).min() < 0):
        raise ArgumentError(
            "a view of elements that its base doesn't hold has no gradient", hint="clone the base first"
        )
    return found if places.size else places


def _places(array: AnyArray) -> AnyArray:
    """How many elements behind the first each element lies in memory."""
    result = np.zeros(array.shape, np.int64)
    for axis, (size, step) in enumerate(zip(array.shape, array.strides)):
        line = np.arange(size, dtype=np.int64) * (step // array.itemsize)
        result += line.reshape((size,) + (1,) * (array.ndim - axis - 1))
    return result


# Views that a graph describes


def can_move(graph: Graph) -> bool:
    """Whether the graph only renames elements of its inputs, and joins them."""
    names = {node.op.name for node in graph.nodes if node.op is not INPUT}
    return names <= _MOVEMENT and (len(graph.inputs) == 1 or "concat" in names)


def moved(graph: Graph, arrays: Sequence[AnyArray]) -> list[AnyArray]:
    """The outputs of such a graph, as new arrays."""
    values: dict[Node, AnyArray] = dict(zip(graph.inputs, arrays))
    for node in graph.nodes:
        if node in values:
            continue
        operands = [values[operand] for operand in node.inputs]
        if node.op.name == "concat":
            axis = node.attribute("axis")
            assert isinstance(axis, int)
            values[node] = np.concatenate(operands, axis)
        else:
            values[node] = _RULES[node.op.name](*operands, **node.keywords)
    return [np.array(values[node], order="C") for node in graph.outputs]


def follow(graph: Graph, array: AnyArray, keeps_axes: bool = False) -> list[AnyArray]:
    """The outputs of a graph that only renames elements of its first input, as views of an array.

    `keeps_axes`: its reshapes only insert or drop dimensions of size 1, and the others keep their strides.
    """
    rules = _AXIS_RULES if keeps_axes else _RULES
    if not array.size and not any(array.strides):
        array = as_strided(array, array.shape, row_major(array.shape, array.itemsize))
    values: dict[Node, AnyArray] = {}
    for node in graph.nodes:
        if node.op is INPUT:
            if not values:
                values[node] = array
            continue
        rule = rules.get(node.op.name)
        if rule is None:
            raise Unviewable
        values[node] = rule(values[node.inputs[0]], **node.keywords)
    return [values[node] if node.op is not INPUT else array[...] for node in graph.outputs]


def reshaped(x: AnyArray, shape: Sequence[int]) -> AnyArray:
    """The elements in row-major order under another shape."""
    if x.flags.c_contiguous and x.size:
        return x.reshape(shape)
    strides = strides_of_view(x.shape, x.strides, shape, x.itemsize)
    if strides is None:
        raise Unviewable
    return as_strided(x, shape, strides)


def strides_of_view(
    shape: Sequence[int], strides: Sequence[int], wanted: Sequence[int], itemsize: int
) -> tuple[int, ...] | None:
    """The strides with which memory of this shape and these strides has the wanted shape; None if there are none.

    Axes that follow each other in memory are one piece; each piece must be covered by whole axes of the wanted shape.
    """
    if math.prod(shape) == 0:
        if tuple(shape) == tuple(wanted):
            return tuple(strides)
        return row_major(wanted, itemsize)
    result = [0] * len(wanted)
    at = len(wanted) - 1
    piece, elements, wanted_elements = strides[-1] if strides else itemsize, 1, 1
    for axis in range(len(shape) - 1, -1, -1):
        elements *= shape[axis]
        ends = axis == 0 or (shape[axis - 1] != 1 and strides[axis - 1] != elements * piece)
        if not ends:
            continue
        while at >= 0 and (wanted_elements < elements or wanted[at] == 1):
            result[at] = wanted_elements * piece
            wanted_elements *= wanted[at]
            at -= 1
        if wanted_elements != elements:
            return None
        if axis > 0:
            piece, elements, wanted_elements = strides[axis - 1], 1, 1
    if not shape:
        return (itemsize,) * len(wanted)
    return tuple(result) if at == -1 else None


def row_major(shape: Sequence[int], itemsize: int) -> tuple[int, ...]:
    """The strides of a contiguous array; a dimension of size 0 counts as one of size 1."""
    result, step = [], itemsize
    for size in reversed(shape):
        result.append(step)
        step *= max(size, 1)
    return tuple(reversed(result))


def in_order(order: Sequence[int], shape: Sequence[int], itemsize: int) -> tuple[int, ...]:
    """The strides without gaps of dimensions in this order, from the slowest to the fastest."""
    found = dict(zip(order, row_major([shape[axis] for axis in order], itemsize)))
    return tuple(found[axis] for axis in range(len(shape)))


def _with_axes(x: AnyArray, shape: Sequence[int]) -> AnyArray:
    """A shape that differs by dimensions of size 1 only."""
    sizes, strides = list(x.shape), list(x.strides)
    axis = 0
    while axis < len(shape) or axis < len(sizes):
        if axis < len(sizes) and axis < len(shape) and sizes[axis] == shape[axis]:
            axis += 1
        elif axis < len(sizes) and sizes[axis] == 1:
            del sizes[axis], strides[axis]
        elif axis < len(shape) and shape[axis] == 1:
            step = sizes[axis] * strides[axis] if axis < len(sizes) else x.itemsize
            sizes.insert(axis, 1)
            strides.insert(axis, step)
            axis += 1
        else:
            return reshaped(x, shape)
    return strided(x, sizes, strides)


def expanded(x: AnyArray, shape: Sequence[int]) -> AnyArray:
    """Broadcast: dimensions of size 1 repeat, and leading ones are added."""
    missing = len(shape) - x.ndim
    strides: list[int] = []
    for axis in range(len(shape) - 1, -1, -1):
        if axis >= missing:
            strides.insert(0, x.strides[axis - missing] if x.shape[axis - missing] == shape[axis] else 0)
        elif shape[axis] != 1:
            strides.insert(0, 0)
        else:
            strides.insert(0, shape[axis + 1] * strides[0] if strides else x.itemsize)
    return strided(x, shape, strides)


def sliced(x: AnyArray, start: Sequence[int], stop: Sequence[int], step: Sequence[int]) -> AnyArray:
    """Every step-th element from start to stop along each dimension."""
    found = x[tuple(slice(*each) for each in zip(start, stop, step))]
    if found.size:
        return found
    # numpy begins an empty part anywhere; where PyTorch begins it shows in its storage_offset.
    offset = sum(a * b for a, b in zip(start, x.strides))
    return shifted(x, offset, found.shape, [a * b for a, b in zip(x.strides, step)])


def diagonal_of(x: AnyArray, offset: int, first: int, second: int) -> AnyArray:
    """The elements on a diagonal of two dimensions, as the last dimension."""
    rows, columns = x.shape[first], x.shape[second]
    count = max(0, min(rows + min(offset, 0), columns - max(offset, 0)))
    if count:
        keys = [slice(None)] * x.ndim
        keys[first], keys[second] = slice(max(-offset, 0), None), slice(max(offset, 0), None)
        x = x[tuple(keys)]
    others = [axis for axis in range(x.ndim) if axis not in (first, second)]
    step = x.strides[first] + x.strides[second]
    return as_strided(x, [*(x.shape[a] for a in others), count], [*(x.strides[a] for a in others), step])


def _window(
    x: AnyArray, axes: Sequence[int], size: Sequence[int], stride: Sequence[int], dilation: Sequence[int]
) -> AnyArray:
    shape, strides = list(x.shape), list(x.strides)
    for axis, k, s, d in zip(axes, size, stride, dilation):
        shape[axis] = (x.shape[axis] - d * (k - 1) - 1) // s + 1
        strides[axis] = x.strides[axis] * s
        shape.append(k)
        strides.append(x.strides[axis] * d)
    return as_strided(x, shape, strides)


def _permuted(x: AnyArray, axes: Sequence[int]) -> AnyArray:
    found: AnyArray = x.transpose(tuple(axes))
    return found


_RULES: dict[str, Callable[..., Any]] = {
    "reshape": reshaped,
    "permute": _permuted,
    "broadcast": expanded,
    "slice": sliced,
    "window": _window,
}
_AXIS_RULES: dict[str, Callable[..., Any]] = {**_RULES, "reshape": _with_axes}
_MOVEMENT = frozenset((*_RULES, "concat"))
