"""Factorisations of stacks of matrices in numpy, where numpy's own functions don't give what is needed.

Level: below the host functions of `graphc.ops.composite.linalg_*`. In: arrays `[*batch, m, n]` of float32, float64,
complex64 or complex128. Out: arrays of the same dtype. Failures are counted as LAPACK does, in an `info` for each
matrix: 0, or the number (from 1) of the column where it came to light. Nothing here raises for its numbers.
"""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Matrix: TypeAlias = npt.NDArray[Any]
Integers: TypeAlias = npt.NDArray[np.integer[Any]]

_BLOCK = 48
"""Columns that are worked on one by one before the rest is updated by one matrix product."""


def hermitian(x: Matrix) -> Matrix:
    """The conjugate transpose of each matrix."""
    return np.asarray(np.swapaxes(x, -1, -2).conj())


def lu_factor(a: Matrix) -> tuple[Matrix, Integers, Integers]:
    """L below the diagonal and U above in one array, pivots from 1 `[*batch, k]`, and info: partial pivoting by rows.

    Golub and Van Loan, Matrix Computations, 4th edition, algorithm 3.4.1, in blocks of columns.
    """
    *batch, m, n = a.shape
    k = min(m, n)
    x = a.reshape(math.prod(batch), m, n).copy()
    pivots = np.empty((len(x), k), np.int32)
    every = np.arange(len(x))
    for start in range(0, k, _BLOCK):
        stop = min(start + _BLOCK, k)
        for j in range(start, stop):
            column = x[:, j:, j]
            # The size of a complex number is |re| + |im| here, as in LAPACK.
            size = np.abs(column.real) + np.abs(column.imag) if np.iscomplexobj(x) else np.abs(column)
            best = j + np.argmax(size, axis=1)
            pivots[:, j] = best + 1
            if (best != j).any():
                x[every, j], x[every, best] = x[every, best], x[every, j]
            pivot = x[:, j, j]
            x[:, j + 1 :, j] /= np.where(pivot == 0, 1, pivot)[:, None]
            x[:, j + 1 :, j + 1 : stop] -= x[:, j + 1 :, j, None] * x[:, None, j, j + 1 : stop]
        if stop < n:
            corner = x[:, start:stop, start:stop]
            x[:, start:stop, stop:] = solve_triangular(corner, x[:, start:stop, stop:], is_upper=False, is_unit=True)
            x[:, stop:, stop:] -= x[:, stop:, start:stop] @ x[:, start:stop, stop:]
    diagonal = np.diagonal(x, axis1=1, axis2=2)
    info = first_true(diagonal == 0)
    return x.reshape(a.shape), pivots.reshape(*batch, k), info.reshape(batch)


def first_true(flags: npt.NDArray[np.bool_]) -> Integers:
    """The number from 1 of the first that is true along the last axis; 0 where none is."""
    if not flags.shape[-1]:
        return np.zeros(flags.shape[:-1], np.int32)
    return np.where(flags.any(axis=-1), np.argmax(flags, axis=-1) + 1, 0).astype(np.int32)


def permutation(pivots: Integers, rows: int) -> Integers:
    """The order of rows `[*batch, rows]` that the swaps of a factorisation lead to."""
    *batch, k = pivots.shape
    flat = pivots.reshape(math.prod(batch), k)
    order = np.tile(np.arange(rows), (len(flat), 1))
    every = np.arange(len(flat))
    for j in range(k):
        other = flat[:, j] - 1
        order[every, j], order[every, other] = order[every, other], order[every, j]
    return order.reshape(*batch, rows)


def solve_triangular(a: Matrix, b: Matrix, *, is_upper: bool, is_unit: bool) -> Matrix:
    """X with A X = B by substitution; what lies across the diagonal of A isn't read, nor the diagonal if `is_unit`."""
    n = a.shape[-1]
    x: Matrix = b.copy()
    blocks = [(start, min(start + _BLOCK, n)) for start in range(0, n, _BLOCK)]
    for start, stop in reversed(blocks) if is_upper else blocks:
        for i in range(stop - 1, start - 1, -1) if is_upper else range(start, stop):
            known = slice(i + 1, stop) if is_upper else slice(start, i)
            row = x[..., i : i + 1, :]
            if known.start < known.stop:
                row = row - a[..., i : i + 1, known] @ x[..., known, :]
            x[..., i : i + 1, :] = row if is_unit else row / a[..., i : i + 1, i : i + 1]
        rest = slice(0, start) if is_upper else slice(stop, n)
        if rest.start < rest.stop:
            x[..., rest, :] -= a[..., rest, start:stop] @ x[..., start:stop, :]
    return x


def cholesky(a: Matrix) -> tuple[Matrix, Integers]:
    """L with A = L L^H from the lower triangle of A, and info."""
    *batch, n, _ = a.shape
    try:
        return np.linalg.cholesky(a), np.zeros(batch, np.int32)
    except np.linalg.LinAlgError:
        pass
    flat = a.reshape(math.prod(batch), n, n)
    factors, info = np.empty_like(flat), np.zeros(len(flat), np.int32)
    for i, matrix in enumerate(flat):
        try:
            factors[i] = np.linalg.cholesky(matrix)
        except np.linalg.LinAlgError:
            factors[i], info[i] = _failing_cholesky(matrix)
    return factors.reshape(a.shape), info.reshape(batch)


def _failing_cholesky(a: Matrix) -> tuple[Matrix, int]:
    """Column by column up to the one that fails; what follows stays as it was."""
    x = np.tril(a)
    for j in range(len(x)):
        rest = x[j, j].real - np.sum(np.abs(x[j, :j]) ** 2)
        x[j, j] = rest
        if not rest > 0:
            return x, j + 1
        x[j, j] = np.sqrt(rest)
        x[j + 1 :, j] = (x[j + 1 :, j] - x[j + 1 :, :j] @ x[j, :j].conj()) / x[j, j]
    return x, len(x)  # a matrix on the brink, which numpy's order of additions refused


def solve(a: Matrix, b: Matrix) -> tuple[Matrix, Integers]:
    """X with A X = B, and info; a matrix that is singular gives what substitution with its factors gives."""
    *batch, _, _ = a.shape
    try:
        return np.linalg.solve(a, b), np.zeros(batch, np.int32)
    except np.linalg.LinAlgError:
        factors, pivots, info = lu_factor(a)
        return lu_solve(factors, pivots, b), info


def lu_solve(factors: Matrix, pivots: Integers, b: Matrix) -> Matrix:
    """X with A X = B from the factors of A."""
    order = permutation(pivots, b.shape[-2])
    moved = np.take_along_axis(b, order[..., None], axis=-2)
    below = solve_triangular(factors, moved, is_upper=False, is_unit=True)
    return solve_triangular(factors, below, is_upper=True, is_unit=False)


def matrix_exp(a: Matrix) -> Matrix:
    """exp(A) by scaling, a Padé approximant of degree 13 (of lower degree for small norms), and squaring.

    N. J. Higham, The scaling and squaring method for the matrix exponential revisited, SIAM J. Matrix Anal. Appl. 26
    (2005), algorithm 2.3. float32 is computed in float64 and rounded once.
    """
    n = a.shape[-1]
    wide = np.complex128 if np.iscomplexobj(a) else np.float64
    flat = a.reshape(math.prod(a.shape[:-2]), n, n).astype(wide)
    result = np.empty_like(flat)
    for i, matrix in enumerate(flat):
        result[i] = _single_exp(matrix)
    return result.reshape(a.shape).astype(a.dtype)


_DEGREES = ((3, 1.495585217958292e-2), (5, 2.539398330063230e-1), (7, 9.504178996162932e-1), (9, 2.097847961257068))
_LIMIT = 5.371920351148152


def _single_exp(a: Matrix) -> Matrix:
    norm = float(np.abs(a).sum(axis=0).max(initial=0.0))
    if not np.isfinite(norm):
        return np.full_like(a, np.nan)
    for degree, limit in _DEGREES:
        if norm <= limit:
            return _pade(a, degree)
    squarings = max(0, int(np.ceil(np.log2(norm / _LIMIT))))
    result = _pade(a / 2.0**squarings, 13)
    for _ in range(squarings):
        result = result @ result
    return result


def _pade(a: Matrix, degree: int) -> Matrix:
    """The diagonal Padé approximant of exp at A: numerator and denominator share even and odd parts."""
    coefficients = [1.0]
    for j in range(1, degree + 1):
        coefficients.append(coefficients[-1] * (degree - j + 1) / (j * (2 * degree - j + 1)))
    identity = np.eye(len(a), dtype=a.dtype)
    square = a @ a
    power, even, odd = identity, coefficients[0] * identity, coefficients[1] * identity
    for j in range(2, degree, 2):
        power = power @ square
        even = even + coefficients[j] * power
        odd = odd + coefficients[j + 1] * power
    odd = a @ odd
    return np.asarray(np.linalg.solve(even - odd, even + odd))
