"""Results that PyTorch lays out in an order of their own: of LAPACK, Fourier transforms, rotations, and nonzero."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import graphc

ROWS, COLUMNS = (4, 1), (1, 4)


def matrix(*shape: int) -> graphc.Tensor:
    values = np.random.default_rng(3).standard_normal(shape)
    return graphc.from_numpy(values)


A, S, B, V = matrix(4, 4), matrix(4, 4), matrix(4, 3), matrix(2, 5, 3)
S = S @ S.mT + 4 * graphc.eye(4, dtype=graphc.float64)
TALL = matrix(5, 3)
LU, PIVOTS = graphc.linalg.lu_factor(A)

CASES: list[tuple[str, Callable[[], object], tuple[tuple[int, ...], ...]]] = [
    ("cholesky", lambda: graphc.linalg.cholesky(S), (COLUMNS,)),
    ("upper cholesky", lambda: graphc.cholesky(S, True), (COLUMNS,)),
    ("cholesky_inverse", lambda: graphc.cholesky_inverse(S), (COLUMNS,)),
    ("inverse", lambda: A.inverse(), (COLUMNS,)),
    ("stack of inverses", lambda: graphc.linalg.inv(A.expand(2, 4, 4)), ((16, 1, 4),)),
    ("negative power", lambda: graphc.linalg.matrix_power(A, -1), (COLUMNS,)),
    ("qr", lambda: graphc.linalg.qr(A), (COLUMNS, COLUMNS)),
    ("svd", lambda: graphc.linalg.svd(A), (COLUMNS, (1,), COLUMNS)),
    ("old svd", lambda: graphc.svd(A), (COLUMNS, (1,), ROWS)),
    ("eigh", lambda: graphc.linalg.eigh(S), ((1,), COLUMNS)),
    ("lu", lambda: graphc.linalg.lu(A), (ROWS, ROWS, ROWS)),
    ("lu_factor", lambda: graphc.linalg.lu_factor(TALL), ((1, 5), (1,))),
    ("solve", lambda: graphc.linalg.solve(A, B), (COLUMNS,)),
    ("solve from the right", lambda: graphc.linalg.solve(A, B.mT, left=False), (ROWS,)),
    ("triangular from the right", lambda: graphc.linalg.solve_triangular(A, B.mT, upper=True, left=False), ((1, 3),)),
    ("lu_solve", lambda: graphc.linalg.lu_solve(LU, PIVOTS, B), (COLUMNS,)),
    ("lu_solve from the right", lambda: graphc.linalg.lu_solve(LU, PIVOTS, B.mT, left=False), (ROWS,)),
    ("pinv", lambda: graphc.linalg.pinv(A), (ROWS,)),
    ("lstsq keeps the rows of the right side", lambda: graphc.linalg.lstsq(TALL, matrix(5, 2)).solution, ((1, 5),)),
    ("tensorinv", lambda: graphc.linalg.tensorinv(matrix(2, 2, 4), ind=2), ((1, 8, 4),)),
    ("householder_product", lambda: graphc.linalg.householder_product(TALL, TALL[0]), ((1, 5),)),
    ("fft of a middle dimension", lambda: graphc.fft.fft(V, dim=1), ((15, 1, 5),)),
    ("fft of the first dimension", lambda: graphc.fft.fft(V, dim=0), ((1, 6, 2),)),
    ("fft of two dimensions", lambda: graphc.fft.fftn(V, dim=(0, 2)), ((3, 6, 1),)),
    ("rfft ends with the last that is named", lambda: graphc.fft.rfftn(V, dim=(2, 1)), ((9, 1, 3),)),
    ("irfft", lambda: graphc.fft.irfftn(V, dim=(1, 2)), ((20, 4, 1),)),
    ("ihfft transforms the last dimension first", lambda: graphc.fft.ihfft2(V), ((10, 1, 5),)),
    ("fft of a transposed tensor", lambda: graphc.fft.fft(V.mT, dim=-1), ((15, 5, 1),)),
    ("rot90", lambda: V.rot90(1, (1, 2)), ((15, 1, 3),)),
    ("rot90 twice", lambda: V.mT.rot90(2, (1, 2)), ((15, 1, 3),)),
    ("nonzero", lambda: (V > -9).nonzero(), ((1, 30),)),
]


@pytest.mark.parametrize(("name", "run", "strides"), CASES, ids=[case[0] for case in CASES])
def test_strides_are_those_of_pytorch(
    name: str, run: Callable[[], object], strides: tuple[tuple[int, ...], ...]
) -> None:
    found = run()
    results = found if isinstance(found, tuple) else (found,)
    assert tuple(each.stride() for each in results) == strides


def test_elements_stay_where_they_are_at_other_strides() -> None:
    values = V.numpy()
    np.testing.assert_allclose(graphc.fft.fft(V, dim=1).numpy(), np.fft.fft(values, axis=1))
    np.testing.assert_allclose(graphc.fft.irfftn(V, dim=(1, 2)).numpy(), np.fft.irfftn(values, axes=(1, 2)), atol=1e-12)
    np.testing.assert_allclose((A @ graphc.linalg.solve(A, B)).numpy(), B.numpy(), atol=1e-10)
    np.testing.assert_array_equal(V.rot90(1, (1, 2)).numpy(), np.rot90(values, 1, (1, 2)))
