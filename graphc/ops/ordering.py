"""Ops that order elements along an axis, and find places in what is ordered.

Level: tensor graph. In: integers to sort, or a sorted sequence and values to look for. Out: positions as int64; the
elements themselves follow by gathering. Floats are sorted by integers that order like them (`composite/ordering.py`).

    argsort(keys, axis=1)                   # [n, 10] -> [n, 10]
    search(ordered, x, right=False)         # [10] and [n] -> [n]
"""

from __future__ import annotations

import numpy as np

from graphc.ir.dtype import i64
from graphc.ir.errors import ShapeError
from graphc.ir.op import Flags, Op, register
from graphc.ir.type import TensorType
from graphc.ops import check
from graphc.ops.numerics import NumpyArray, exactly


def _argsort_type(x: TensorType, *, axis: int) -> TensorType:
    check.takes("argsort", x, check.INTEGER)
    check.axis_in_range("argsort", x, axis)
    return x.with_dtype(i64)


argsort: Op = register(
    Op(
        "argsort",
        "the positions of integers along an axis in rising order; equal ones keep their order",
        type_rule=_argsort_type,
        reference=exactly(lambda x, axis: np.argsort(x, axis=axis, kind="stable")),
        flags=Flags.OPAQUE,
    )
)


def _search_type(ordered: TensorType, x: TensorType, *, right: bool) -> TensorType:
    check.takes("search", x, check.REAL)
    check.equal_dtypes("search", ordered, x)
    if ordered.rank not in (1, x.rank) or ordered.rank == 0:
        raise ShapeError(
            f"search: a sequence of shape {check.shape_text(ordered.shape)} for values of {check.shape_text(x.shape)}",
            hint="the sequence is a vector, or has the leading axes of the values",
        )
    for axis, (a, c) in enumerate(zip(ordered.shape[:-1], x.shape)):
        check.equal_sizes("search", f"the sizes of axis {axis}, of the sequence and of the values,", a, c)
    return x.with_dtype(i64)


def _search_reference(out: TensorType, ordered: NumpyArray, x: NumpyArray, *, right: bool) -> NumpyArray:
    # By halves as kernels do it, so that a sequence that isn't in order gives the same.
    extent = ordered.shape[-1]
    rows = np.broadcast_to(ordered, (*x.shape[:-1], extent)) if x.ndim else ordered
    low, high = np.zeros(x.shape, np.int64), np.full(x.shape, extent, np.int64)
    for _ in range(extent.bit_length()):
        middle = low + (high - low) // 2
        found = np.minimum(middle, extent - 1)
        element = np.take_along_axis(rows, found, -1) if x.ndim else rows[found]
        is_behind = ~(element > x) if right else ~(element >= x)
        is_open = low < high
        low, high = np.where(is_open & is_behind, middle + 1, low), np.where(is_open & ~is_behind, middle, high)
    return low


search: Op = register(
    Op(
        "search",
        "how many elements of a sorted sequence are less than each value, or with `right` not greater",
        type_rule=_search_type,
        reference=_search_reference,
        flags=Flags.OPAQUE,
    )
)
