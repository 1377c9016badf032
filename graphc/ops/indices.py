"""Index arithmetic of lowering rules: flat positions and back, and reshapes axis group by axis group.

Level: index expressions (`graphc.ir.dim`). In: shapes and indices, symbolic or not. Out: indices.

>>> axis_groups((6, 5), (2, 3, 5))
(((0,), (0, 1)), ((1,), (2,)))
"""

from __future__ import annotations

from typing import TypeAlias

from graphc.ir.dim import Size, product
from graphc.ir.dtype import i64
from graphc.ir.lowering import Builder, Scalar
from graphc.ir.type import Shape

Group: TypeAlias = "tuple[tuple[int, ...], tuple[int, ...]]"


def linear_index(indices: tuple[Size, ...], shape: Shape) -> Size:
    """The row-major position of the element at `indices`."""
    position: Size = 0
    for index, size in zip(indices, shape):
        position = position * size + index
    return position


def split_index(position: Size, shape: Shape) -> tuple[Size, ...]:
    """The indices of the element at a row-major position below the number of elements."""
    indices: list[Size] = []
    for axis, size in enumerate(shape):
        inner = product(shape[axis + 1 :])
        whole = position // inner if inner != 0 else 0
        indices.append(0 if size in (0, 1) else whole if axis == 0 else whole % size)
    return tuple(indices)


def axis_groups(old: Shape, new: Shape) -> tuple[Group, ...] | None:
    """The finest groups of axes between which elements keep their row-major order: axes of `old`, and of `new`.

    Axes of size 1 are in no group. None if the two don't hold the same number of elements.
    """
    if 0 in old and 0 in new:
        return ((_wide_axes(old, 0, len(old)), _wide_axes(new, 0, len(new))),)
    groups: list[Group] = []
    ends = {count: axis for axis, count in _counts(new)}
    first, new_first = 0, 0
    for axis, count in _counts(old):
        new_axis = ends.get(count)
        if new_axis is not None and new_axis > new_first:
            groups.append((_wide_axes(old, first, axis), _wide_axes(new, new_first, new_axis)))
            first, new_first = axis, new_axis
    rest, new_rest = _wide_axes(old, first, len(old)), _wide_axes(new, new_first, len(new))
    return None if rest or new_rest else tuple(groups)


def reshaped_indices(indices: tuple[Size, ...], old: Shape, new: Shape) -> tuple[Size, ...]:
    """Where in `old` the element at `indices` of `new` is."""
    found: list[Size] = [0] * len(old)
    if 0 in old:  # there is no element to ask for
        return tuple(found)
    groups = axis_groups(old, new)
    assert groups is not None, "a reshape keeps the number of elements"
    for old_axes, new_axes in groups:
        position = linear_index(tuple(indices[a] for a in new_axes), tuple(new[a] for a in new_axes))
        parts = split_index(position, tuple(old[a] for a in old_axes))
        for axis, part in zip(old_axes, parts):
            found[axis] = part
    return tuple(found)


def in_range(b: Builder, index: Size, low: Size | None, high: Size | None) -> Scalar | None:
    """Whether low <= index < high as a bool; a bound of None holds anyway. None if both are."""
    tests = []
    if low is not None:
        tests.append(b.apply("ge", b.index(index - low, i64), b.constant(0, i64)))
    if high is not None:
        tests.append(b.apply("lt", b.index(index - high, i64), b.constant(0, i64)))
    return all_of(b, tests)


def all_of(b: Builder, tests: list[Scalar]) -> Scalar | None:
    """Whether all of the bools hold; None if there are none."""
    if not tests:
        return None
    result = tests[0]
    for test in tests[1:]:
        result = b.apply("bitwise_and", result, test)
    return result


def _counts(shape: Shape) -> list[tuple[int, Size]]:
    """After each axis that isn't of size 1: the number of axes so far and of elements they span."""
    counts: list[tuple[int, Size]] = []
    count: Size = 1
    for axis, size in enumerate(shape):
        if size != 1:
            count = count * size
            counts.append((axis + 1, count))
    return counts


def _wide_axes(shape: Shape, start: int, end: int) -> tuple[int, ...]:
    return tuple(axis for axis in range(start, end) if shape[axis] != 1)
