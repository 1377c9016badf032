"""Results in the memory order of the operands, as elementwise operations give them.

In: a plan and arrays that aren't all C-contiguous. Out: the outputs. An elementwise operation on transposed matrices
gives a transposed matrix: it runs on the operands as they lie in memory, and its result gets the same order of axes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from graphc.eager.plan import Plan
from graphc.eager.tensor import AnyArray


def run_in_layout(plan: Plan, arrays: Sequence[AnyArray]) -> tuple[AnyArray, ...]:
    """The plan's outputs, laid out as PyTorch does."""
    if plan.is_elementwise:
        order = _order(arrays, plan.graph.outputs[0].shape)
        if order is not None:
            outputs = plan.run(arrays)
            return tuple(_in_order(each, order) for each in outputs)
    return plan.run(arrays)


def _order(arrays: Sequence[AnyArray], shape: Sequence[object]) -> tuple[int, ...] | None:
    """The axes of the result from the slowest to the fastest in memory; None where that is the usual order."""
    rank = len(shape)
    if rank < 2 or all(array.flags.c_contiguous for array in arrays if array.ndim == rank):
        return None
    operands = [array for array in arrays if array.ndim]
    # Insertion sort with comparisons that may be undecided, from the fastest axis: the first operand whose strides
    # differ decides, and sizes decide between equal ones.
    order = list(range(rank - 1, -1, -1))
    for i in range(1, rank):
        current = i
        for j in range(i - 1, -1, -1):
            decision = _compare(operands, order[j], order[current], rank)
            if decision > 0:
                order[j], order[current] = order[current], order[j]
                current = j
            elif decision < 0:
                break
    found = tuple(reversed(order))
    return None if found == tuple(range(rank)) else found


def _compare(operands: Sequence[AnyArray], a: int, b: int, rank: int) -> int:
    """1 if axis a must be slower than b, -1 if it is right as it is, 0 if no operand decides."""
    for array in operands:
        missing = rank - array.ndim
        stride = [
            0 if axis < missing or array.shape[axis - missing] == 1 else array.strides[axis - missing]
            for axis in (a, b)
        ]
        if stride[0] == 0 or stride[1] == 0:
            continue
        if stride[0] != stride[1]:
            return 1 if stride[0] > stride[1] else -1
        if array.shape[a - missing] > array.shape[b - missing]:
            return 1
    return 0


def _in_order(array: AnyArray, order: tuple[int, ...]) -> AnyArray:
    """The same values with memory in this order of axes."""
    inverse = np.argsort(order)
    return np.ascontiguousarray(array.transpose(order)).transpose(inverse)
