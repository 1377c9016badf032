"""Linear systems, inverses and determinants.

Level: tensor graph. In: stacks of square matrices and right-hand sides. Out: solutions. The gradients are those of
M. B. Giles, An extended collection of matrix derivative results (2008), section 2.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np

from graphc.ir.dtype import i32, real_of
from graphc.ir.graph import Node
from graphc.ir.host import HostFunction, register_host
from graphc.ir.type import TensorType
from graphc.ops import build, lapack, linalg_types
from graphc.ops import elementwise as ew
from graphc.ops.composite.contraction import matmul
from graphc.ops.composite.linalg_factor import lu_factors, solve_with_factors
from graphc.ops.composite.linalg_matrix import (
    batched,
    check_same_dtype,
    check_square,
    column,
    diagonal_matrix,
    diagonal_of,
    failed,
    like,
    mH,
    mT,
    smallest_step,
)
from graphc.ops.composite.linalg_triangular import check_system, incompatible
from graphc.ops.function import function
from graphc.ops.host import call
from graphc.ops.lapack import Integers, Matrix

Cotangents: TypeAlias = "tuple[Node | None, ...]"
Nodes: TypeAlias = "tuple[Node, ...]"

# Systems


def _solve_run(results: tuple[TensorType, ...], a: Matrix, b: Matrix, *, name: str) -> tuple[Matrix, Integers]:
    x, info = lapack.solve(a, b)
    if name and info.any():
        raise failed(name, info, "The solver failed because the input matrix is singular.")
    return x, info


def _solve_vjp(cotangents: Cotangents, outputs: Nodes, a: Node, b: Node, *, name: str) -> Cotangents:
    ct, x = cotangents[0], outputs[0]
    if ct is None:
        return None, None
    by_b = solved(mH(a), ct)
    return ew.neg(matmul(by_b, mH(x))), by_b


register_host(HostFunction("linalg.solve", _solve_run, _solve_vjp))


def _solution(a: Node, b: Node, name: str) -> tuple[Node, Node]:
    x, info = call("linalg.solve", (a, b), (b.tensor, TensorType(a.shape[:-2], i32)), name=name)
    return x, info


def solved(a: Node, b: Node) -> Node:
    """X with A X = B for stacks of the same batch."""
    return _solution(a, b, "torch.linalg.solve")[0]


def _is_vector(a: Node, b: Node) -> bool:
    """Whether b is a batch of vectors rather than of matrices: as PyTorch decides."""
    return len(b.shape) == 1 or (len(a.shape) - 1 == len(b.shape) and a.shape[:-1] == b.shape)


def _solved_from(a: Node, b: Node, left: bool, name: str, error: str) -> linalg_types.linalg_solve_ex:
    check_square(name, a, "lu_cpu")
    check_same_dtype(name, a, b)
    is_vector = _is_vector(a, b)
    right = column(b) if is_vector else b
    if not is_vector and len(b.shape) < 2:
        raise incompatible(name, a, column(b), left)
    check_system(name, a, right, left or is_vector)
    if is_vector and not left:
        raise incompatible(name, a, right, left)
    matrix, right = batched(name, a, right)
    if left:
        x, info = _solution(matrix, right, error)
    else:
        found, info = _solution(mT(matrix), mT(right), error)
        x = mT(found)
    return linalg_types.linalg_solve_ex(build.reshape_to(x, x.shape[:-1]) if is_vector else x, info)


@function(namespace="linalg")
def solve(A: Node, B: Node, *, left: bool = True) -> Node:
    """X with A X = B, or X A = B unless `left`. Raises LinAlgError from the run for a singular A."""
    return _solved_from(A, B, left, "linalg.solve", "torch.linalg.solve").result


@function(namespace="linalg")
def solve_ex(A: Node, B: Node, *, left: bool = True, check_errors: bool = False) -> linalg_types.linalg_solve_ex:
    """`solve`, and for each matrix 0 or the number of the zero on U's diagonal for which it is singular."""
    return _solved_from(A, B, left, "linalg.solve", "torch.linalg.solve_ex" if check_errors else "")


# Inverses


def _inv_run(results: tuple[TensorType, ...], a: Matrix, *, name: str) -> tuple[Matrix, Integers]:
    eye = np.broadcast_to(np.eye(a.shape[-1], dtype=a.dtype), a.shape)
    x, info = lapack.solve(a, eye)
    if name and info.any():
        raise failed(
            name,
            info,
            "The diagonal element {info} is zero, the inversion could not be completed because the input matrix is "
            "singular.",
        )
    return x, info


def _inv_vjp(cotangents: Cotangents, outputs: Nodes, a: Node, *, name: str) -> Cotangents:
    ct, x = cotangents[0], outputs[0]
    return (None,) if ct is None else (ew.neg(matmul(mH(x), matmul(ct, mH(x)))),)


register_host(HostFunction("linalg.inv", _inv_run, _inv_vjp))


def inverted(a: Node, name: str) -> linalg_types.linalg_inv_ex:
    """The inverse of checked matrices, and info."""
    return linalg_types.linalg_inv_ex(*call("linalg.inv", (a,), (a.tensor, TensorType(a.shape[:-2], i32)), name=name))


@function(namespace="linalg", names=("inverse",), method=True)
def inv(A: Node) -> Node:
    """The inverse. Raises LinAlgError from the run for a singular matrix."""
    return inverted(check_square("linalg.inv", A), "linalg.inv").inverse


@function(namespace="linalg")
def inv_ex(A: Node, *, check_errors: bool = False) -> linalg_types.linalg_inv_ex:
    """The inverse, and for each matrix 0 or the number of the zero on U's diagonal for which it is singular."""
    return inverted(check_square("linalg.inv", A), "linalg.inv_ex" if check_errors else "")


# Determinants


def _det_parts(a: Matrix) -> tuple[Matrix, Matrix]:
    """The diagonal of U, and the sign of the permutation."""
    factors, pivots, _ = lapack.lu_factor(a)
    swaps = (pivots != np.arange(1, a.shape[-1] + 1)).sum(axis=-1)
    return np.diagonal(factors, axis1=-2, axis2=-1), np.where(swaps % 2, -1, 1).astype(a.dtype)


def _det_run(results: tuple[TensorType, ...], a: Matrix) -> Matrix:
    diagonal, sign = _det_parts(a)
    return np.asarray(sign * np.prod(diagonal, axis=-1))


def _det_vjp(cotangents: Cotangents, outputs: Nodes, a: Node) -> Cotangents:
    """conj(det) A^-H; a zero on the diagonal of U is replaced by the smallest step, as PyTorch does."""
    (ct,), (det,) = cotangents, outputs
    assert ct is not None
    return (_by_factors(a, ew.mul(ct, build.conj_of(det))),)


def _by_factors(a: Node, weight: Node) -> Node:
    """weight A^-H, by factors of A that are kept from being singular."""
    factors, pivots, _ = lu_factors(a)
    diagonal = diagonal_of(factors)
    step = build.full_like(diagonal, smallest_step(a.tensor.dtype))
    shift = ew.select(ew.eq(diagonal, build.zeros_like(diagonal)), step, build.zeros_like(diagonal))
    right = diagonal_matrix(build.broadcast_to(column(weight), diagonal.shape))
    return solve_with_factors(ew.add(factors, diagonal_matrix(shift)), pivots, right, adjoint=True)


def _slogdet_run(results: tuple[TensorType, ...], a: Matrix) -> tuple[Matrix, Matrix]:
    diagonal, sign = _det_parts(a)
    size = np.abs(diagonal)
    direction = diagonal / np.where(size == 0, 1, size)
    return np.asarray(sign * np.prod(direction, axis=-1)), np.asarray(np.log(size).sum(axis=-1))


def _slogdet_vjp(cotangents: Cotangents, outputs: Nodes, a: Node) -> Cotangents:
    """d log det = tr(A^-1 dA): its real part is d logabsdet, its imaginary part turns the sign."""
    (ct_sign, ct_log), (sign, _) = cotangents, outputs
    weight = None if ct_log is None else build.cast_to(ct_log, a.tensor.dtype)
    if ct_sign is not None and a.tensor.dtype.is_complex:
        turn = ew.imag(ew.mul(build.conj_of(ct_sign), sign))
        turned = ew.complex_(build.zeros_like(turn), ew.neg(turn))
        weight = turned if weight is None else ew.add(weight, turned)
    if weight is None:
        return (None,)
    right = diagonal_matrix(build.broadcast_to(column(weight), a.shape[:-1]))
    return (solved(mH(a), right),)


register_host(HostFunction("linalg.det", _det_run, _det_vjp))
register_host(HostFunction("linalg.slogdet", _slogdet_run, _slogdet_vjp))


@function(namespace="linalg", names=("det",), method=True)
def det(A: Node) -> Node:
    """The determinant."""
    check_square("linalg.det", A, "lu_cpu")
    return call("linalg.det", (A,), (like(A, A.shape[:-2]),))[0]


@function(namespace="linalg")
def slogdet(A: Node) -> linalg_types.linalg_slogdet:
    """The determinant's sign (of absolute value one, or 0) and the logarithm of its absolute value."""
    check_square("linalg.slogdet", A)
    return _sign_and_log(A)


@function(method=True)
def slogdet_(input: Node) -> linalg_types.slogdet:
    """`linalg.slogdet`."""
    return linalg_types.slogdet(*slogdet(input))


def _sign_and_log(a: Node) -> linalg_types.linalg_slogdet:
    batch = a.shape[:-2]
    return linalg_types.linalg_slogdet(
        *call("linalg.slogdet", (a,), (like(a, batch), like(a, batch, real_of(a.tensor.dtype))))
    )


@function(method=True)
def logdet(input: Node) -> Node:
    """The logarithm of the determinant: nan where that is negative."""
    sign, logarithm = _sign_and_log(check_square("logdet", input))
    if input.tensor.dtype.is_complex:
        return ew.add(ew.log(sign), build.to_complex(logarithm))
    return ew.select(ew.eq(sign, build.full_like(sign, -1)), build.full_like(logarithm, float("nan")), logarithm)
