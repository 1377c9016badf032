"""The factorisation L D L^T of symmetric or Hermitian matrices in numpy, and systems solved by it.

Level: below the host functions of `graphc.ops.composite.linalg_ldl`. In: arrays `[*batch, n, n]`, of which the lower
triangle counts. Out: L below the diagonal and the blocks of D, of one or two rows, on it; pivots from 1, negative and
twice the same for blocks of two. The pivots are those of J. R. Bunch and L. Kaufman, Some stable methods for
calculating inertia and solving symmetric linear systems (1977), in the form in which LAPACK writes them.
"""

from __future__ import annotations

import math

import numpy as np

from graphc.ops.lapack import Integers, Matrix

_ALPHA = (1 + math.sqrt(17)) / 8
"""The share of the largest element below that a pivot must have, which bounds growth best."""


def factor(a: Matrix, is_hermitian: bool) -> tuple[Matrix, Integers, Integers]:
    """The compact factors, the pivots `[*batch, n]`, and for each matrix 0 or the number of its first zero block."""
    factors = np.tril(a)
    pivots = np.empty(a.shape[:-1], np.int32)
    info = np.zeros(a.shape[:-2], np.int32)
    for index in np.ndindex(a.shape[:-2]):
        info[index] = _factor_one(factors[index], pivots[index], is_hermitian and np.iscomplexobj(a))
    return factors, pivots, info


def _size(x: Matrix) -> Matrix:
    """How large elements are; of complex ones |re| + |im|, as in LAPACK."""
    return np.abs(x.real) + np.abs(x.imag) if np.iscomplexobj(x) else np.abs(x)


def _factor_one(a: Matrix, pivots: Integers, is_hermitian: bool) -> int:
    n = len(a)
    if is_hermitian:
        np.fill_diagonal(a, a.diagonal().real)
    k = info = 0
    while k < n:
        rows, pivot = _pivot(a, k)
        if not rows:  # a column of zeros is left as it is
            info = info or k + 1
            rows = 1
        else:
            _exchange(a, k + rows - 1, pivot, is_hermitian)
            if rows == 2:
                a[[k + 1, pivot], k] = a[[pivot, k + 1], k]
            _eliminate(a, k, rows, is_hermitian)
        pivots[k : k + rows] = pivot + 1 if rows == 1 else -(pivot + 1)
        k += rows
    return info


def _pivot(a: Matrix, k: int) -> tuple[int, int]:
    """How many rows the next block has, 0 if nothing is left of the column, and the row that it is exchanged with."""
    own = float(_size(a[k, k]))
    below = _size(a[k + 1 :, k])
    largest = float(below.max(initial=0))
    if max(own, largest) == 0:
        return 0, k
    if own >= _ALPHA * largest:
        return 1, k
    row = k + 1 + int(below.argmax())
    in_row = max(float(_size(a[row, k:row]).max()), float(_size(a[row + 1 :, row]).max(initial=0)))
    if own >= _ALPHA * largest * (largest / in_row):
        return 1, k
    return (1 if _size(a[row, row]) >= _ALPHA * in_row else 2), row


def _exchange(a: Matrix, first: int, second: int, is_hermitian: bool) -> None:
    """Rows and columns exchanged in what is left, of which only the lower triangle is there."""
    if first == second:
        return
    a[second + 1 :, [first, second]] = a[second + 1 :, [second, first]]
    column, row = a[first + 1 : second, first].copy(), a[second, first + 1 : second].copy()
    a[first + 1 : second, first], a[second, first + 1 : second] = (
        (row.conj(), column.conj()) if is_hermitian else (row, column)
    )
    a[first, first], a[second, second] = a[second, second], a[first, first]
    if is_hermitian:
        a[second, first] = a[second, first].conj()


def _eliminate(a: Matrix, k: int, rows: int, is_hermitian: bool) -> None:
    """Divide the block's columns by it, and take their product from the rest."""
    columns = a[k + rows :, k : k + rows].copy()
    weights = _divided(a[k : k + rows, k : k + rows], columns.T, is_hermitian, transposed=True).T
    rest = a[k + rows :, k + rows :]
    rest -= np.tril(columns @ (weights.conj() if is_hermitian else weights).T)
    if is_hermitian:
        np.fill_diagonal(rest, rest.diagonal().real)
    a[k + rows :, k : k + rows] = weights


def _divided(block: Matrix, b: Matrix, is_hermitian: bool, transposed: bool = False) -> Matrix:
    """The inverse of a block of D, or of its transpose, times rows; scaled by what is not on the diagonal."""
    if len(block) == 1:
        return np.asarray(b / block[0, 0])
    left = block[1, 0]
    right = left.conj() if is_hermitian else left
    if transposed:
        left, right = right, left
    first, last = block[0, 0] / left, block[1, 1] / right
    below = first * last - 1
    upper, lower = b[0] / right, b[1] / left
    return np.stack([(last * b[0] / left - lower) / below, (first * b[1] / right - upper) / below])


def solve(factors: Matrix, pivots: Integers, b: Matrix, is_hermitian: bool) -> Matrix:
    """X with A X = B by the factors of A, for stacks `[*batch, n, m]` of the same batch."""
    x = np.array(b)
    for index in np.ndindex(b.shape[:-2]):
        _solve_one(factors[index], pivots[index], x[index], is_hermitian and np.iscomplexobj(b))
    return x


def _solve_one(a: Matrix, pivots: Integers, x: Matrix, is_hermitian: bool) -> None:
    blocks: list[tuple[int, int, int]] = []
    k = 0
    while k < len(a):
        rows = 1 if pivots[k] > 0 else 2
        blocks.append((k, k + rows, abs(int(pivots[k])) - 1))
        k += rows
    for start, stop, pivot in blocks:
        x[[stop - 1, pivot]] = x[[pivot, stop - 1]]
        x[stop:] -= a[stop:, start:stop] @ x[start:stop]
        x[start:stop] = _divided(a[start:stop, start:stop], x[start:stop], is_hermitian)
    for start, stop, pivot in reversed(blocks):
        columns = a[stop:, start:stop]
        x[start:stop] -= (columns.conj() if is_hermitian else columns).T @ x[stop:]
        x[[stop - 1, pivot]] = x[[pivot, stop - 1]]
