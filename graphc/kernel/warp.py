"""What the 32 threads of a warp do together, for many warps at once: shuffles and products of matrices.

Level: below `graphc.kernel.machine`. In: values [threads, ...] of the threads of blocks, where the axes behind are
those of the blocks. Out: values of the same shape. Threads 32 w to 32 w + 31 are warp w.

>>> shuffled(np.arange(64), "xor", np.asarray(1))[:6]
array([1, 0, 3, 2, 5, 4])
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from graphc.kernel.gpu import WARP

Array: TypeAlias = npt.NDArray[Any]
Integers: TypeAlias = npt.NDArray[np.int64]

DEPTHS: Final = {"bf16": 16, "f16": 16, "tf32": 8}
"""Depth of a product by the dtype of its factors."""
_TF32_BITS: Final = np.uint32(0xFFFFE000)
"""Sign, exponent and the 10 leading bits of the fraction."""


def shuffled(values: Array, mode: str, lane: Array) -> Array:
    """What each thread gets of another one of its warp, as `Shuffle` says; `lane` is a number or [threads, ...]."""
    warps = values.reshape(-1, WARP, *values.shape[1:])
    own = np.arange(WARP)
    if lane.ndim:
        own = own.reshape(WARP, *[1] * (values.ndim - 1))
        lane = np.broadcast_to(lane, values.shape).reshape(warps.shape)
    lane = lane.astype(np.int64)
    if mode == "xor":
        source = own ^ lane
    elif mode == "index":
        source = lane + 0 * own
    else:
        source = own - lane if mode == "up" else own + lane
        source = np.where((source < 0) | (source >= WARP), own, source)
    source = np.clip(source, 0, WARP - 1)  # what inactive threads give names none
    taken = warps[:, source] if source.ndim == 1 else np.take_along_axis(warps, source, axis=1)
    return taken.reshape(values.shape)


def matrix_positions(rows: Integers, count: int, *, is_transposed: bool) -> Integers:
    """The elements that each thread gets of `count` matrices [threads, ..., count, 2]; `rows` [threads, ...]."""
    lane = np.arange(WARP)
    starts = rows.reshape(-1, WARP, *rows.shape[1:])
    parts = []
    for matrix in range(count):
        for half in range(2):
            pair = 2 * (lane % 4) + half
            row, column = (pair, lane // 4) if is_transposed else (lane // 4, pair)
            own = starts[:, 8 * matrix + row] + column.reshape(WARP, *[1] * (rows.ndim - 1))
            parts.append(own.reshape(rows.shape))
    return np.stack(parts, axis=-1).reshape(*rows.shape, count, 2)


def multiply_matrices(
    left: Sequence[Array], right: Sequence[Array], addend: Sequence[Array], dtype: str
) -> list[Array]:
    """The four elements of the sum that each thread gets, as `MultiplyMatrices` says.

    Products of such factors are exact in float64, in which they are summed; the sum is rounded to float32. Tensor cores
    sum in another order and to fewer bits, so tests against a machine need a tolerance.
    """
    layout, shape = _layout(dtype), addend[0].shape
    a = _matrix([_factors(x, dtype) for x in left], layout.left, (16, layout.depth))
    b = _matrix([_factors(x, dtype) for x in right], layout.right, (layout.depth, 8))
    c = _matrix([x.astype(np.float64)[None] for x in addend], layout.sums, (16, 8))
    total = (np.matmul(a, b) + c).astype(np.float32)
    rows, columns = layout.sums
    behind = shape[1:]
    parts = []
    for part in range(4):
        own = total[:, rows[part, 0], columns[part, 0]]  # [warps * behind, lane]
        own = own.reshape(shape[0] // WARP, *behind, WARP)
        parts.append(np.moveaxis(own, -1, 1).reshape(shape))
    return parts


@dataclass(frozen=True, slots=True)
class _Layout:
    """Row and column of each element, [operand, part of it, lane], in the matrices of a product."""

    depth: int
    left: tuple[Integers, Integers]
    right: tuple[Integers, Integers]
    sums: tuple[Integers, Integers]


@lru_cache
def _layout(dtype: str) -> _Layout:
    lane = np.arange(WARP)
    row, column = lane // 4, lane % 4
    below, zero = np.array([0, 8, 0, 8]).reshape(4, 1, 1), np.zeros((1, 1, 1), np.int64)
    if DEPTHS[dtype] == 16:
        pair = 2 * column + np.arange(2).reshape(2, 1)
        along = pair + np.array([0, 0, 8, 8]).reshape(4, 1, 1)
        right = pair + np.array([0, 8]).reshape(2, 1, 1)
    else:
        along = column + np.array([0, 0, 4, 4]).reshape(4, 1, 1)
        right = column + np.array([0, 4]).reshape(2, 1, 1)
    sums = 2 * column + np.array([0, 1, 0, 1]).reshape(4, 1, 1)
    return _Layout(
        DEPTHS[dtype],
        (row + below + 0 * along, along),
        (right, row + 0 * right),
        (row + np.array([0, 0, 8, 8]).reshape(4, 1, 1) + zero, sums),
    )


def _factors(bits: Array, dtype: str) -> Array:
    """The factors that a u32 holds, [part, threads, ...] in float64."""
    if dtype == "f16":
        halves = np.stack([bits & np.uint32(0xFFFF), bits >> np.uint32(16)])
        return np.asarray(halves.astype(np.uint16).view(np.float16), np.float64)
    if dtype == "bf16":
        single = np.stack([bits << np.uint32(16), bits & np.uint32(0xFFFF0000)])
    else:
        single = np.asarray(bits & _TF32_BITS)[None]
    return np.asarray(single.view(np.float32), np.float64)


def _matrix(parts: Sequence[Array], places: tuple[Integers, Integers], size: tuple[int, int]) -> Array:
    """Matrices [warps * blocks, rows, columns] of the elements that threads hold."""
    held = np.stack(parts)  # [operand, part, threads, ...]
    count, each, threads = held.shape[:3]
    held = held.reshape(count, each, threads // WARP, WARP, -1)
    held = np.moveaxis(held, 3, 2).reshape(count, each, WARP, -1)
    matrix = np.empty((*size, held.shape[-1]))
    matrix[places] = held
    return np.moveaxis(matrix, -1, 0)
