"""Sums of products: matmul and its kin, with any axes contracted and any axes in common.

Level: tensor graph. In: two operands, the axes that are summed over, and the axes that both go along. Out: the common
axes, then the left operand's other axes, then the right one's.

    dot(x, w, contract=((1,), (0,)), batch=((), ()))      # [n, k] and [k, m] -> [n, m]
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np

from graphc.ir.errors import ArgumentError
from graphc.ir.graph import Node
from graphc.ir.op import Flags, Op, register
from graphc.ir.type import TensorType
from graphc.ops import build, check
from graphc.ops.movement import inverse_order
from graphc.ops.numerics import NumpyArray, widely

AxisPairs: TypeAlias = "tuple[tuple[int, ...], tuple[int, ...]]"


def free_axes(rank: int, contract: tuple[int, ...], batch: tuple[int, ...]) -> tuple[int, ...]:
    """The axes of an operand that are neither summed over nor in common."""
    return tuple(axis for axis in range(rank) if axis not in contract and axis not in batch)


def _dot_type(x: TensorType, w: TensorType, *, contract: AxisPairs, batch: AxisPairs) -> TensorType:
    dtype = check.equal_dtypes("dot", x, w)
    check.takes("dot", x, check.NUMBER)
    for name, pair in (("contract", contract), ("batch", batch)):
        if len(pair[0]) != len(pair[1]):
            raise ArgumentError(
                f"dot: {name} names {len(pair[0])} axes of the left operand and {len(pair[1])} of the right",
                hint="name them in pairs",
            )
    for operand, k in ((x, 0), (w, 1)):
        check.distinct_axes("dot", operand, contract[k] + batch[k])
    for a, c in zip(*contract):
        check.equal_sizes("dot", "the contracted sizes", x.shape[a], w.shape[c])
    for a, c in zip(*batch):
        check.equal_sizes("dot", "the batch sizes", x.shape[a], w.shape[c])
    common = tuple(x.shape[axis] for axis in batch[0])
    rows = tuple(x.shape[axis] for axis in free_axes(x.rank, contract[0], batch[0]))
    columns = tuple(w.shape[axis] for axis in free_axes(w.rank, contract[1], batch[1]))
    return TensorType(common + rows + columns, dtype)


def _dot_compute(x: NumpyArray, w: NumpyArray, contract: AxisPairs, batch: AxisPairs) -> NumpyArray:
    rows, columns = free_axes(x.ndim, contract[0], batch[0]), free_axes(w.ndim, contract[1], batch[1])
    left = np.transpose(x, batch[0] + rows + contract[0])
    right = np.transpose(w, batch[1] + contract[1] + columns)
    shape = left.shape[: len(batch[0]) + len(rows)] + right.shape[len(batch[1]) + len(contract[1]) :]
    common = left.shape[: len(batch[0])]
    count = int(np.prod(common, dtype=np.int64))
    depth = int(np.prod([x.shape[axis] for axis in contract[0]], dtype=np.int64))
    height = int(np.prod([x.shape[axis] for axis in rows], dtype=np.int64))
    width = int(np.prod([w.shape[axis] for axis in columns], dtype=np.int64))
    result: NumpyArray = np.matmul(left.reshape(count, height, depth), right.reshape(count, depth, width))
    return result.reshape(shape)


def _dot_vjp(ct: Node, out: Node, x: Node, w: Node, *, contract: AxisPairs, batch: AxisPairs) -> tuple[Node, Node]:
    common = tuple(range(len(batch[0])))
    rows, columns = (free_axes(len(v.shape), contract[k], batch[k]) for k, v in enumerate((x, w)))
    ct_rows = tuple(range(len(common), len(common) + len(rows)))
    ct_columns = tuple(range(len(common) + len(rows), len(ct.shape)))
    by_x = dot(ct, build.conj_of(w), contract=(ct_columns, columns), batch=(common, batch[1]))
    by_w = dot(ct, build.conj_of(x), contract=(ct_rows, rows), batch=(common, batch[0]))
    # What is left of the other operand are its contracted axes, in its own order: find the partner of each.
    partners_of_w = tuple(contract[0][contract[1].index(axis)] for axis in sorted(contract[1]))
    partners_of_x = tuple(contract[1][contract[0].index(axis)] for axis in sorted(contract[0]))
    return (
        build.permute_to(by_x, inverse_order(batch[0] + rows + partners_of_w)),
        build.permute_to(by_w, inverse_order(batch[1] + columns + partners_of_x)),
    )


dot: Op = register(
    Op(
        "dot",
        "the sum of products over contracted axes; float16 and bfloat16 accumulate in float32",
        type_rule=_dot_type,
        reference=widely(_dot_compute),
        vjp=_dot_vjp,
        flags=Flags.OPAQUE | Flags.CONTRACTION,
        defaults=(("batch", ((), ())),),
    )
)
