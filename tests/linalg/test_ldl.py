"""linalg.ldl_factor and ldl_solve: the pivots of Bunch and Kaufman, and factors that give the matrix back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import graphc as g
from graphc import linalg as la
from graphc.ir.errors import LinAlgError


def symmetric(n: int, seed: int, *, is_complex: bool = False, is_hermitian: bool = False) -> Any:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, n)) + (1j * rng.standard_normal((n, n)) if is_complex else 0)
    if seed % 2:
        x[np.arange(n), np.arange(n)] = 0  # pivots of one row alone don't do
    return x + (x.conj() if is_hermitian else x).T


def rebuilt(factors: Any, pivots: Any, is_hermitian: bool) -> Any:
    """P L D L^T P^T, exchange by exchange from the last."""
    n = len(factors)
    blocks, k = [], 0
    while k < n:
        rows = 1 if pivots[k] > 0 else 2
        blocks.append((k, rows))
        k += rows
    x = np.zeros_like(factors)
    for k, rows in reversed(blocks):
        d = factors[k : k + rows, k : k + rows].copy()
        if rows == 2:
            d[0, 1] = d[1, 0].conj() if is_hermitian else d[1, 0]
        left = np.zeros((n, rows), factors.dtype)
        left[k : k + rows] = np.eye(rows)
        left[k + rows :] = factors[k + rows :, k : k + rows]
        x += left @ d @ (left.conj() if is_hermitian else left).T
        a, b = k + rows - 1, abs(pivots[k]) - 1
        x[[a, b]] = x[[b, a]]
        x[:, [a, b]] = x[:, [b, a]]
    return x


@pytest.mark.parametrize("n", [1, 2, 3, 7, 20])
@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(("is_complex", "is_hermitian"), [(False, False), (True, False), (True, True)])
def test_factors_give_the_matrix_and_solve_systems(n: int, seed: int, is_complex: bool, is_hermitian: bool) -> None:
    if n == 1 and seed:
        pytest.skip("the matrix is 0")
    a = symmetric(n, seed, is_complex=is_complex, is_hermitian=is_hermitian)
    factors, pivots = la.ldl_factor(g.tensor(a), hermitian=is_hermitian)
    np.testing.assert_allclose(rebuilt(factors.numpy(), pivots.numpy(), is_hermitian), a, rtol=1e-9, atol=1e-9)
    b = np.random.default_rng(n).standard_normal((2, n, 3)).astype(a.dtype)
    x = la.ldl_solve(factors, pivots, g.tensor(b), hermitian=is_hermitian)
    np.testing.assert_allclose(a @ x.numpy(), b, rtol=1e-7, atol=1e-8)


def test_small_matrices_in_full() -> None:
    factors, pivots, info = la.ldl_factor_ex(g.tensor([[0.0, 1.0, 2.0], [1.0, 0.0, 3.0], [2.0, 3.0, 0.0]]))
    assert factors.tolist() == [[0.0, 0.0, 0.0], [2.0, 0.0, 0.0], [1.5, 0.5, -3.0]]
    assert (pivots.tolist(), pivots.dtype, info.item()) == ([-3, -3, 3], g.int32, 0)
    assert factors.stride() == (1, 3)
    assert la.ldl_factor(g.tensor([[4.0, 9.0], [1.0, 3.0]])).LD.tolist() == [[4.0, 0.0], [0.25, 2.75]]
    assert la.ldl_factor_ex(g.zeros(2, 2)).info.item() == 1
    with pytest.raises(LinAlgError, match="Unknown error code: 1"):
        la.ldl_factor(g.zeros(2, 2))


def test_refusals() -> None:
    eye, pivots = g.eye(2), g.tensor([1, 2])
    with pytest.raises(RuntimeError, match="A must be batches of square matrices, but they are 2 by 3 matrices"):
        la.ldl_factor(g.ones(2, 3))
    with pytest.raises(TypeError, match=r"Expected pivots to be integers\. Got Float"):
        la.ldl_solve(eye, pivots.float(), g.ones(2, 1))
    with pytest.raises(RuntimeError, match=r"but got pivots with shape \[1\] instead"):
        la.ldl_solve(eye, pivots[:1], g.ones(2, 1))
    with pytest.raises(RuntimeError, match="each A matrix is 2 by 2 but each b matrix is 3 by 1"):
        la.ldl_solve(eye, pivots, g.ones(3, 1))
    with pytest.raises(RuntimeError, match="found b of type Double and A of type Float instead"):
        la.ldl_solve(eye, pivots, g.ones(2, 1).double())
