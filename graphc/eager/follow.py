"""Graphs that only rename elements, followed on strides: views without a copy.

In: a graph of reshape, permute, broadcast, slice and window over one input, and an array. Out: numpy views of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from numpy.lib.stride_tricks import as_strided

from graphc.eager.tensor import AnyArray
from graphc.ir.graph import INPUT, Graph, Node


class Unviewable(Exception):
    """No strides give the result."""


def can_follow(graph: Graph) -> bool:
    """Whether the graph only renames elements of its one input."""
    return len(graph.inputs) == 1 and all(node.op is INPUT or node.op.name in _RULES for node in graph.nodes)


def follow(graph: Graph, array: AnyArray) -> list[AnyArray]:
    """The outputs of a graph that only renames elements of its first input, as views of an array."""
    values: dict[Node, AnyArray] = {}
    for node in graph.nodes:
        if node.op is INPUT:
            if not values:
                values[node] = array
            continue
        rule = _RULES.get(node.op.name)
        if rule is None:
            raise Unviewable
        values[node] = rule(values[node.inputs[0]], **node.keywords)
    return [values[node] if node.op is not INPUT else array[...] for node in graph.outputs]


def _reshape(x: AnyArray, shape: Sequence[int]) -> AnyArray:
    if x.flags.c_contiguous:
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
        result, step = [], itemsize
        for size in reversed(wanted):
            result.append(step)
            step *= max(size, 1)
        return tuple(reversed(result))
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


def _broadcast(x: AnyArray, shape: Sequence[int]) -> AnyArray:
    strides = [0 if n != m else stride for n, m, stride in zip(x.shape, shape, x.strides)]
    return as_strided(x, shape, strides)


def _slice(x: AnyArray, start: Sequence[int], stop: Sequence[int], step: Sequence[int]) -> AnyArray:
    return x[tuple(slice(*each) for each in zip(start, stop, step))]


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


_RULES: dict[str, Callable[..., Any]] = {
    "reshape": _reshape,
    "permute": lambda x, axes: x.transpose(axes),
    "broadcast": _broadcast,
    "slice": _slice,
    "window": _window,
}
