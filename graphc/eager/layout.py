"""Results in the memory order of the operands, as elementwise operations give them.

In: a plan and arrays that aren't all C-contiguous. Out: the outputs. An elementwise operation on transposed matrices
gives a transposed matrix: it runs on the operands as they lie in memory, and its result gets the same order of axes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from graphc.eager.geometry import as_strided, in_order, is_dense, row_major
from graphc.eager.placement import copy_into, empty, gpu_of
from graphc.eager.plan import Plan
from graphc.eager.result_layout import laid_out
from graphc.eager.tensor import AnyArray
from graphc.eager.watch import WATCHING, copied

_KEEPING = frozenset(
    "flip fliplr flipud sort msort argsort put diagonal_scatter select_scatter slice_scatter as_strided_scatter".split()
)
"""Functions that move elements, and give the result the memory order of the tensor."""
_ELEMENTWISE = frozenset("logaddexp logaddexp2 hypot nextafter xlogy logit conj_physical polar".split())
"""Elementwise functions whose graph has operations of other kinds."""
_ROW_MAJOR = frozenset(("masked_fill", "masked_scatter", "tril", "triu", "roll"))
"""Functions whose graph is elementwise, but whose result is always in row-major order."""


def run_in_layout(plan: Plan, arrays: Sequence[AnyArray]) -> tuple[AnyArray, ...]:
    """The plan's outputs, laid out as PyTorch does."""
    outputs = plan.run(arrays)
    name = plan.graph.name
    if not outputs:  # the function gives plain values
        return outputs
    if plan.layouts:
        strides = [None if layout is None else layout(arrays) for layout in plan.layouts]
        return tuple([laid_out(array, each) for array, each in zip(outputs, strides)])
    if name in _KEEPING:
        operands = arrays[:1]
    elif name in ("cat", "concat", "concatenate"):
        last = len(outputs[0].shape)
        if last not in (4, 5) or not all(_is_channels_last(array) for array in arrays):
            return outputs
        operands = arrays
    elif (plan.is_elementwise or name in _ELEMENTWISE) and name not in _ROW_MAJOR:
        operands = arrays
    else:
        return outputs
    shape = outputs[0].shape
    if len(shape) < 2 or all(array.flags.c_contiguous for array in operands if array.ndim == len(shape)):
        return outputs
    return tuple([_laid_out(each, operands) for each in outputs])


def _is_channels_last(array: AnyArray) -> bool:
    return not array.flags.c_contiguous and np.moveaxis(array, 1, -1).flags.c_contiguous


def _laid_out(array: AnyArray, operands: Sequence[AnyArray]) -> AnyArray:
    """The same values in memory as an elementwise operation on the operands leaves them."""
    strides = result_strides(operands, array.shape, array.itemsize)
    if strides == array.strides:
        return array
    result = as_strided(empty((array.size,), array.dtype, gpu_of(array)), array.shape, strides)
    copy_into(result, array)
    if WATCHING:
        copied(result, array)
    return result


def result_strides(operands: Sequence[AnyArray], shape: Sequence[int], itemsize: int) -> tuple[int, ...]:
    """The strides, in bytes, of the result of an elementwise operation.

    Operands of one shape and the same strides, without gaps, hand these on. Else dimensions are sorted: the first
    operand that tells two of them apart says which is faster.
    """
    if all(array.shape == tuple(shape) for array in operands):
        if all(array.flags.c_contiguous for array in operands):
            return row_major(shape, itemsize)
        for last in range(4, 6):
            if len(shape) == last and all(np.moveaxis(array, 1, -1).flags.c_contiguous for array in operands):
                return in_order((0, *range(2, last), 1), shape, itemsize)
        first = operands[0]
        if is_dense(first) and all(
            [step // array.itemsize for step in array.strides] == [step // first.itemsize for step in first.strides]
            for array in operands
        ):
            return tuple(step // first.itemsize * itemsize for step in first.strides)
    return dense_strides(operands, shape, itemsize)


def dense_strides(operands: Sequence[AnyArray], shape: Sequence[int], itemsize: int) -> tuple[int, ...]:
    """Strides in bytes, without gaps, in the order of the operands' dimensions."""
    return in_order(memory_order(operands, shape), shape, itemsize)


def memory_order(operands: Sequence[AnyArray], shape: Sequence[int]) -> tuple[int, ...]:
    """The axes from the slowest to the fastest in memory."""
    rank = len(shape)
    known = [_steps(array, shape) for array in operands if array.ndim]
    # Insertion sort with comparisons that may be undecided, from the fastest axis.
    order = list(range(rank - 1, -1, -1))
    for i in range(1, rank):
        current = i
        for j in range(i - 1, -1, -1):
            decision = _compare(known, shape, order[j], order[current])
            if decision > 0:
                order[j], order[current] = order[current], order[j]
                current = j
            elif decision < 0:
                break
    return tuple(reversed(order))


def _steps(array: AnyArray, shape: Sequence[int]) -> list[int]:
    """The operand's strides along the axes of the result: 0 where it repeats."""
    missing = len(shape) - array.ndim
    own = [
        0 if size == 1 and wanted != 1 else step
        for size, wanted, step in zip(array.shape, shape[missing:], array.strides)
    ]
    return [0] * missing + own


def _compare(known: Sequence[Sequence[int]], shape: Sequence[int], a: int, b: int) -> int:
    """1 if axis a must be slower than b, -1 if it is right as it is, 0 if no operand decides."""
    for steps in known:
        first, second = steps[a], steps[b]
        if first == 0 or second == 0:
            continue
        if first != second:
            return 1 if first > second else -1
        if shape[a] > shape[b]:
            return 1
    return 0
