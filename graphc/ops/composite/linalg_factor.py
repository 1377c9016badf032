"""Factorisations into triangular and orthogonal parts: Cholesky, LU and QR.

Level: tensor graph. In: stacks of matrices `[*batch, m, n]`. Out: named tuples of factors. The numbers are those of
numpy's LAPACK and of `graphc.ops.lapack`. The gradients are formulas over ops, so they have gradients themselves:

- Cholesky: I. Murray, Differentiation of the Cholesky decomposition (2016), equation 8;
- LU and QR: derived as in M. Seeger et al., Auto-differentiating linear algebra (2017), for matrices of full rank.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np

from graphc.ir.dim import Size
from graphc.ir.dtype import i32, i64
from graphc.ir.errors import ArgumentError, DTypeError, ShapeError
from graphc.ir.graph import Node
from graphc.ir.host import HostFunction, register_host, sizes_of
from graphc.ir.type import TensorType
from graphc.ops import build, creation, lapack, linalg_types
from graphc.ops import elementwise as ew
from graphc.ops.composite.contraction import matmul
from graphc.ops.composite.linalg_matrix import (
    batched,
    check_floats,
    check_matrix,
    check_same_dtype,
    check_square,
    failed,
    first_columns,
    first_rows,
    least,
    like,
    lower,
    mH,
    mT,
    on_diagonal,
    part,
    plus,
    product,
    skew,
    upper,
)
from graphc.ops.composite.linalg_triangular import check_system, solve_by, solve_from_right
from graphc.ops.composite.shapes import cat
from graphc.ops.function import function
from graphc.ops.host import call, refused_gradients
from graphc.ops.lapack import Integers, Matrix

Cotangents: TypeAlias = "tuple[Node | None, ...]"
Nodes: TypeAlias = "tuple[Node, ...]"

# Cholesky


def _cholesky_run(results: tuple[TensorType, ...], a: Matrix, *, upper: bool, name: str) -> tuple[Matrix, Integers]:
    factor, info = lapack.cholesky(lapack.hermitian(a) if upper else a)
    if name and info.any():
        raise failed(
            name,
            info,
            "The factorization could not be completed because the input is not positive-definite "
            "(the leading minor of order {info} is not positive-definite).",
        )
    return lapack.hermitian(factor) if upper else factor, info


def _cholesky_vjp(cotangents: Cotangents, outputs: Nodes, a: Node, *, upper: bool, name: str) -> Cotangents:
    ct, factor = cotangents[0], outputs[0]
    if ct is None:
        return (None,)
    if upper:
        ct, factor = mH(ct), mH(factor)
    inner = lower(matmul(mH(factor), ct))
    inner = build.scaled(ew.add(inner, mH(lower(inner, -1))), 0.5)
    return (solve_from_right(factor, solve_by(mH(factor), inner, True), False),)


register_host(HostFunction("linalg.cholesky", _cholesky_run, _cholesky_vjp))


def _factorised(a: Node, is_upper: bool, name: str) -> linalg_types.linalg_cholesky_ex:
    """`name` is that of the function in errors; without one a matrix that isn't positive-definite is no error."""
    info = TensorType(a.shape[:-2], i32)
    found = call("linalg.cholesky", (a,), (a.tensor, info), upper=is_upper, name=name)
    return linalg_types.linalg_cholesky_ex(*found)


@function(namespace="linalg")
def cholesky(input: Node, *, upper: bool = False) -> Node:
    """L with A = L L^H, lower triangular, or with `upper` U with A = U^H U. Raises LinAlgError from the run."""
    return _factorised(check_square("linalg.cholesky", input, "cholesky_cpu"), upper, "linalg.cholesky").L


@function(namespace="linalg")
def cholesky_ex(input: Node, *, upper: bool = False, check_errors: bool = False) -> linalg_types.linalg_cholesky_ex:
    """`cholesky`, and for each matrix 0 or the order of the leading minor that isn't positive-definite."""
    return _factorised(
        check_square("linalg.cholesky", input, "cholesky_cpu"), upper, "linalg.cholesky_ex" if check_errors else ""
    )


@function(method=True)
def cholesky_(input: Node, upper: bool = False) -> Node:
    """`linalg.cholesky` with another way to ask for the upper factor."""
    return _factorised(check_square("cholesky", input, "cholesky_cpu", takes="kernels"), upper, "cholesky").L


# LU


def _lu_run(results: tuple[TensorType, ...], a: Matrix, *, name: str) -> tuple[Matrix, Integers, Integers]:
    factors, pivots, info = lapack.lu_factor(a)
    if name and info.any():
        error = failed(
            name,
            info,
            "U[{info},{info}] is zero and using it on lu_solve would result in a division by zero. If you still want "
            "to perform the factorization, consider calling linalg.lu(A, pivot) or linalg.lu_factor_ex(A, pivot)",
        )
        raise error
    return factors, pivots, info


def _lu_vjp(cotangents: Cotangents, outputs: Nodes, a: Node, *, name: str) -> Cotangents:
    """By the compact factors. With X = L1^-1 A1 U1^-1 of the leading square, dL = L tril(dX) and dU = triu(dX) U."""
    ct, (factors, pivots, _) = cotangents[0], outputs
    if ct is None:
        return (None,)
    m, n = a.shape[-2:]
    k = least(m, n)
    corner, ct_corner = (first_columns(first_rows(x, k), k) for x in (factors, ct))
    left, right = unit_lower(corner), upper(corner)
    below = matmul(mH(left), lower(ct_corner, -1))
    above = matmul(upper(ct_corner), mH(right))
    rank = len(a.shape)
    wide = part(first_rows(factors, k), rank - 1, k, n), part(first_rows(ct, k), rank - 1, k, n)
    tall = part(first_columns(factors, k), rank - 2, k, m), part(first_columns(ct, k), rank - 2, k, m)
    if k != n:
        below = ew.sub(below, matmul(wide[1], mH(wide[0])))
    if k != m:
        above = ew.sub(above, matmul(mH(tall[0]), tall[1]))
    inner = ew.add(lower(below, -1), upper(above))
    by_a = solve_from_right(mH(right), solve_by(mH(left), inner, True, True), False)
    if k != n:
        by_a = cat((by_a, solve_by(mH(left), wide[1], True, True)), -1)
    if k != m:
        by_a = cat((by_a, _tall_rows(right, tall[1], by_a, k)), -2)
    return (matmul(permutation_matrix(pivots, by_a), by_a),)


def _tall_rows(right: Node, ct: Node, above: Node, k: Size) -> Node:
    rows = solve_from_right(mH(right), ct, False)
    n = above.shape[-1]
    if n == k:
        return rows
    return cat((rows, build.full(0, like(rows, (*rows.shape[:-1], n - k)))), -1)


register_host(HostFunction("linalg.lu_factor", _lu_run, _lu_vjp))
register_host(
    HostFunction(
        "linalg.permutation",
        lambda results, pivots: lapack.permutation(pivots, int(results[0].shape[-1])).astype(np.int64),
    )
)


def lu_factors(a: Node, name: str = "") -> tuple[Node, Node, Node]:
    """Compact factors, pivots from 1, and info; singular matrices are errors of `name`, if one is given."""
    k = least(*a.shape[-2:])
    types = (a.tensor, TensorType((*a.shape[:-2], k), i32), TensorType(a.shape[:-2], i32))
    factors, pivots, info = call("linalg.lu_factor", (a,), types, name=name)
    return factors, pivots, info


def unit_lower(x: Node) -> Node:
    """Ones on the diagonal, 0 above."""
    return on_diagonal(lower(x, -1), build.ones_like(x))


def permutation_of(pivots: Node, rows: Size) -> Node:
    """Which row of A each row of L U is, `[*batch, rows]`."""
    return call("linalg.permutation", (pivots,), (TensorType((*pivots.shape[:-1], rows), i64),))[0]


def permutation_matrix(pivots: Node, like_: Node) -> Node:
    """P with A = P L U, of the dtype and for the rows of another stack."""
    rows = like_.shape[-2]
    order = permutation_of(pivots, rows)
    shape = (*order.shape, rows)
    here = creation.iota(shape=shape, axis=len(shape) - 2, dtype=i64)
    there = build.broadcast_to(build.reshape_to(order, (*order.shape[:-1], 1, rows)), shape)
    return build.cast_to(ew.eq(here, there), like_.tensor.dtype)


def _pivoted(name: str, pivot: bool) -> None:
    if not pivot:
        raise ArgumentError(
            f"{name}: LU without pivoting is not implemented on the CPU", hint="leave pivot as it is, True"
        )


def _lu_input(a: Node) -> Node:
    if len(a.shape) < 2:
        raise ShapeError(
            f"torch.lu_factor: Expected tensor with 2 or more dimensions. Got size: {list(a.shape)} instead",
            hint="unsqueeze it first",
        )
    return check_floats("torch.lu_factor", a, "lu_cpu", takes="kernels")


@function(namespace="linalg")
def lu_factor(A: Node, *, pivot: bool = True) -> linalg_types.linalg_lu_factor:
    """P, L and U of A = P L U in compact form, for `lu_solve`. Raises LinAlgError from the run if U is singular."""
    _pivoted("linalg.lu_factor", pivot)
    return linalg_types.linalg_lu_factor(*lu_factors(_lu_input(A), "torch.linalg.lu_factor")[:2])


@function(namespace="linalg")
def lu_factor_ex(A: Node, *, pivot: bool = True, check_errors: bool = False) -> linalg_types.linalg_lu_factor_ex:
    """`lu_factor`, and for each matrix 0 or the number of the first zero on U's diagonal."""
    _pivoted("linalg.lu_factor", pivot)
    return linalg_types.linalg_lu_factor_ex(
        *lu_factors(_lu_input(A), "torch.linalg.lu_factor_ex" if check_errors else "")
    )


@function(method=True)
def lu_(A: Node, pivot: bool = True, get_infos: bool = False) -> tuple[Node, ...]:
    """Compact factors and pivots as of `linalg.lu_factor`, also of singular matrices; with `get_infos` info too."""
    found = tuple(lu_factor_ex(A, pivot=pivot))
    return found if get_infos else found[:2]


@function(namespace="linalg")
def lu(A: Node, *, pivot: bool = True) -> linalg_types.linalg_lu:
    """P, L and U with A = P L U: a permutation, a lower triangle with ones on its diagonal, an upper triangle."""
    _pivoted("linalg.lu_factor", pivot)
    factors, pivots, _ = lu_factors(check_matrix("linalg.lu", A, "lu_cpu", takes="kernels"))
    return linalg_types.linalg_lu(*_unpacked(factors, pivots))


def _unpacked(factors: Node, pivots: Node) -> tuple[Node, Node, Node]:
    k = least(*factors.shape[-2:])
    left, right = unit_lower(first_columns(factors, k)), upper(first_rows(factors, k))
    return ew.detach(permutation_matrix(pivots, factors)), left, right


@function()
def lu_unpack(
    LU_data: Node, LU_pivots: Node, unpack_data: bool = True, unpack_pivots: bool = True
) -> linalg_types.lu_unpack:
    """P, L and U from the compact form; empty where not asked for."""
    if unpack_pivots and LU_pivots.tensor.dtype is not i32:
        raise DTypeError(
            "torch.lu_unpack: LU_pivots is expected to be a contiguous tensor of torch.int32 dtype.\n"
            "Note: this function is intended to be used with the output produced by torch.linalg.lu_factor",
            hint="pass what lu_factor gave",
        )
    parts = _unpacked(check_matrix("lu_unpack", LU_data, takes="all"), LU_pivots)
    wanted = (unpack_pivots, unpack_data, unpack_data)
    return linalg_types.lu_unpack(*(x if keep else build.full(0, like(x, (0,))) for x, keep in zip(parts, wanted)))


def solve_with_factors(factors: Node, pivots: Node, b: Node, *, adjoint: bool = False) -> Node:
    """X with A X = B, or A^H X = B, from the compact factors of A; all have the same batch."""
    left, right, swap = unit_lower(factors), upper(factors), permutation_matrix(pivots, factors)
    if adjoint:
        return matmul(swap, solve_by(mH(left), solve_by(mH(right), b, False), True, True))
    return solve_by(right, solve_by(left, matmul(mT(swap), b), False, True), True)


@function(namespace="linalg")
def lu_solve(LU: Node, pivots: Node, B: Node, *, left: bool = True, adjoint: bool = False) -> Node:
    """X with A X = B (X A = B unless `left`, A^H in place of A if `adjoint`) from what `lu_factor` gave."""
    check_square("torch.linalg.lu_solve", LU, "linalg.lu_solve_cpu", "LU")
    check_same_dtype("linalg.lu_solve", LU, B, "LU and B")
    if pivots.tensor.dtype is not i32:
        raise DTypeError(
            "linalg.lu_solve: pivots should be a Tensor of scalar type torch.int32", hint="pass what lu_factor gave"
        )
    check_system("linalg.lu_solve", LU, B, left)
    rows = build.reshape_to(pivots, (*pivots.shape, 1))
    factors, right, swaps = batched("linalg.lu_solve", LU, B if left else mH(B), rows)
    swaps = build.reshape_to(swaps, swaps.shape[:-1])
    if left:
        return solve_with_factors(factors, swaps, right, adjoint=adjoint)
    return mH(solve_with_factors(factors, swaps, right, adjoint=not adjoint))


@function(method=True)
def lu_solve_(input: Node, LU_data: Node, LU_pivots: Node) -> Node:
    """`linalg.lu_solve` with the right-hand side in front."""
    return lu_solve(LU_data, LU_pivots, input)


# QR


def _qr_run(results: tuple[TensorType, ...], a: Matrix, *, mode: Literal["reduced", "complete", "r"]) -> object:
    if a.size == 0:  # numpy leaves the rest of a complete Q undefined
        q_shape, r_shape = map(sizes_of, results)
        q = np.zeros(q_shape, a.dtype)
        count = min(q_shape[-2:])
        q[..., range(count), range(count)] = 1
        return q, np.zeros(r_shape, a.dtype)
    if mode == "r":
        return np.linalg.qr(a, "r")
    q, r = np.linalg.qr(a, mode)
    return q, r


def _qr_vjp(cotangents: Cotangents, outputs: Nodes, a: Node, *, mode: str) -> Cotangents:
    m, n = a.shape[-2:]
    if mode == "r":
        return refused_gradients(
            "The derivative of linalg.qr depends on Q, which is not computed when mode='r'. Please use "
            "linalg.qr(A, mode='reduced') if you are going to differentiate through linalg.qr.",
            (a,),
        )
    k = least(m, n)
    if mode == "complete" and k != m:
        return refused_gradients(
            "The QR decomposition is not differentiable when mode='complete' and nrows > ncols.", (a,)
        )
    (ct_q, ct_r), (q, r) = cotangents, outputs
    if ct_q is None and ct_r is None:
        return (None,)
    inner = plus(None if ct_r is None else matmul(ct_r, mH(r)), None if ct_q is None else ew.neg(matmul(mH(q), ct_q)))
    assert inner is not None
    if k == n:  # as many rows as columns, or more
        twice = upper(inner)
        both = ew.add(twice, mH(twice))
        symmetric = on_diagonal(both, _half_real(both))
        total = plus(ct_q, matmul(q, symmetric))
        assert total is not None
        return (solve_from_right(mH(r), total, False),)
    inner = lower(skew(ew.neg(inner)))
    inner = on_diagonal(inner, build.scaled(inner, 0.5))
    square = first_columns(r, k)
    found = solve_from_right(mH(square), inner, False)
    found = cat((found, build.full(0, like(found, (*found.shape[:-1], n - k)))), -1)
    total = plus(ct_r, found)
    assert total is not None
    return (matmul(q, total),)


def _half_real(x: Node) -> Node:
    """Half of the real part, in the dtype of x."""
    if not x.tensor.dtype.is_complex:
        return build.scaled(x, 0.5)
    return build.to_complex(build.scaled(ew.real(x), 0.5))


register_host(HostFunction("linalg.qr", _qr_run, _qr_vjp))


@function(namespace="linalg")
def qr(A: Node, mode: str = "reduced") -> linalg_types.linalg_qr:
    """Q with orthonormal columns and R upper triangular with A = Q R; `mode` is reduced, complete, or r for R alone."""
    check_matrix("linalg.qr", A, "geqrf_cpu")
    if mode not in ("reduced", "complete", "r"):
        raise ArgumentError(
            f"qr received unrecognized mode '{mode}' but expected one of 'reduced' (default), 'r', or 'complete'",
            hint="give one of them",
        )
    batch, (m, n) = A.shape[:-2], A.shape[-2:]
    k = m if mode == "complete" else least(m, n)
    r_type = like(A, (*batch, k, n))
    if mode == "r":
        (r,) = call("linalg.qr", (A,), (r_type,), mode=mode)
        return linalg_types.linalg_qr(build.full(0, like(A, (0,))), r)
    return linalg_types.linalg_qr(*call("linalg.qr", (A,), (like(A, (*batch, m, k)), r_type), mode=mode))


@function(method=True)
def qr_(input: Node, some: bool = True) -> linalg_types.qr:
    """`linalg.qr`, reduced if `some`, else complete."""
    return linalg_types.qr(*qr(input, "reduced" if some else "complete"))


def _geqrf_run(results: tuple[TensorType, ...], a: Matrix) -> tuple[Matrix, Matrix]:
    if a.size == 0:
        return a.copy(), np.zeros(sizes_of(results[1]), a.dtype)
    h, tau = np.linalg.qr(a, "raw")
    return np.swapaxes(h, -1, -2), tau


register_host(HostFunction("geqrf", _geqrf_run))


@function(method=True)
def geqrf(input: Node) -> linalg_types.geqrf:
    """R above the diagonal, and below it the vectors of the Householder reflections that make Q; and their factors."""
    check_matrix("torch.geqrf", input, "geqrf_cpu", takes="kernels")
    k = least(*input.shape[-2:])
    return linalg_types.geqrf(*call("geqrf", (input,), (input.tensor, like(input, (*input.shape[:-2], k)))))


@function(namespace="linalg", names=("orgqr",), method=True)
def householder_product(input: Node, tau: Node) -> Node:
    """The first n columns of H_1 ... H_k with H_i = I - tau_i v_i v_i^H; v_i is below the diagonal of column i."""
    name = "torch.linalg.householder_product"
    if len(input.shape) < 2:
        raise ShapeError(f"{name}: input must have at least 2 dimensions.", hint="unsqueeze it first")
    check_floats(name, input, "orgqr_cpu", takes="kernels")
    m, n = input.shape[-2:]
    k = tau.shape[-1]
    if not isinstance(n, int) or not isinstance(k, int):
        raise ShapeError(f"{name}: the number of columns is the symbol {n}", hint="give that dimension a number")
    if isinstance(m, int) and m < n:
        raise ShapeError(
            f"{name}: input.shape[-2] must be greater than or equal to input.shape[-1]", hint="pass what geqrf gave"
        )
    if n < k:
        raise ShapeError(
            f"{name}: input.shape[-1] must be greater than or equal to tau.shape[-1]", hint="pass what geqrf gave"
        )
    vectors = unit_lower(input)
    result = on_diagonal(build.zeros_like(input), build.ones_like(input))
    rank = len(input.shape)
    for i in reversed(range(k)):
        vector = part(vectors, rank - 1, i, i + 1)
        factor = build.reshape_to(part(tau, rank - 2, i, i + 1), (*tau.shape[:-1], 1, 1))
        move = product(vector, matmul(mH(vector), result))
        result = ew.sub(result, ew.mul(move, build.broadcast_to(factor, move.shape)))
    return result
