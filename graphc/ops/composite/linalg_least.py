"""What SVD solves: ranks, pseudo-inverses and least squares.

Level: tensor graph. In: stacks of matrices of any shape. Out: ranks, pseudo-inverses, solutions. Singular values count
as zero up to max(atol, rtol times the largest). The gradient of the pseudo-inverse is that of G. Golub and V. Pereyra,
The differentiation of pseudo-inverses and nonlinear least squares problems whose variables separate (1973), equation
4.12, which holds where the rank doesn't change.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np

from graphc.ir.dim import Size, maximum
from graphc.ir.dtype import f32, f64, i64, real_of
from graphc.ir.errors import ArgumentError, DTypeError, ShapeError
from graphc.ir.graph import Node
from graphc.ir.host import HostFunction, register_host, sizes_of
from graphc.ir.type import TensorType
from graphc.ops import build, linalg_types, reduction
from graphc.ops import elementwise as ew
from graphc.ops.composite.contraction import matmul, sizes_text
from graphc.ops.composite.linalg_matrix import (
    batched,
    check_matrix,
    check_square,
    column,
    least,
    like,
    lower,
    mH,
    plus,
    product,
    smallest_step,
)
from graphc.ops.composite.linalg_spectral import hermitian_values, singular_values
from graphc.ops.composite.operand import Operand, as_tensor, broadcast_shape
from graphc.ops.composite.shapes import cut
from graphc.ops.function import function
from graphc.ops.host import call
from graphc.ops.lapack import Matrix, hermitian

Cotangents: TypeAlias = "tuple[Node | None, ...]"
Nodes: TypeAlias = "tuple[Node, ...]"

# Tolerances


def _epsilon(a: Node) -> float:
    return smallest_step(a.tensor.dtype)


def _tolerances(name: str, a: Node, atol: Operand | None, rtol: Operand | None) -> tuple[Node, Node]:
    """Both as tensors of the real dtype, each with a shape of its own; `rtol` is 0 by default where `atol` is given."""
    real = real_of(a.tensor.dtype)
    absolute = _tolerance(name, "atol", 0.0 if atol is None else atol, a)
    if rtol is not None:
        return absolute, _tolerance(name, "rtol", rtol, a)
    largest = build.size_of(maximum(*a.shape[-2:]), real)
    usual = build.scaled(largest, _epsilon(a))
    if atol is None:
        return absolute, usual
    spread = build.broadcast_to(usual, absolute.shape)
    is_given = ew.gt(absolute, build.zeros_like(absolute))
    return absolute, ew.select(is_given, build.zeros_like(absolute), spread)


def _tolerance(name: str, which: str, value: Operand, a: Node) -> Node:
    node = as_tensor(value)
    if node.tensor.dtype.is_complex:
        raise DTypeError(
            f"{name}: {which} tensor of complex type is not supported. Got {node.tensor.dtype.scalar}",
            hint="give a real number",
        )
    return build.cast_to(node, real_of(a.tensor.dtype))


def _takes_floats(x: Node) -> None:
    if real_of(x.tensor.dtype) not in (f32, f64):
        raise DTypeError(
            "This function doesn't handle types other than float and double",
            hint="convert it first, e.g. x.to('float32')",
        )


# Ranks


@function(namespace="linalg")
def matrix_rank(
    A: Node,
    tol: Operand | None = None,
    hermitian: bool = False,
    *,
    atol: Operand | None = None,
    rtol: Operand | None = None,
) -> Node:
    """How many singular values (eigenvalues in absolute value, if `hermitian`) are above the tolerance, as int64."""
    check_matrix("linalg.matrix_rank", A, takes="all")
    _takes_floats(A)
    absolute, relative = _tolerances(
        "linalg.matrix_rank", A, atol if tol is None else tol, rtol if tol is None else 0.0
    )
    batch = broadcast_shape("linalg.matrix_rank", A.shape[:-2], absolute.shape, relative.shape)
    if hermitian:
        values = ew.abs_(hermitian_values(check_square("linalg.matrix_rank", A)))
    else:
        values = singular_values(A)
    last = (len(values.shape) - 1,)
    if values.shape[-1] == 0:
        return build.full(0, TensorType(batch, i64))
    most = build.broadcast_to(reduction.max_(values, axes=last), batch)
    limit = ew.maximum(build.broadcast_to(absolute, batch), ew.mul(build.broadcast_to(relative, batch), most))
    shape = (*batch, values.shape[-1])
    is_above = ew.gt(build.broadcast_to(values, shape), build.broadcast_to(column(limit), shape))
    return reduction.sum_(is_above, axes=(len(shape) - 1,))


# Pseudo-inverses


def _pinv_run(results: tuple[TensorType, ...], a: Matrix, atol: Matrix, rtol: Matrix, *, is_hermitian: bool) -> Matrix:
    if a.size == 0:
        return np.zeros(sizes_of(results[0]), a.dtype)
    if is_hermitian:
        values, vectors = np.linalg.eigh(a)
        u, s, vh = vectors, values, hermitian(vectors)
    else:
        u, s, vh = np.linalg.svd(a, full_matrices=False)
    sizes = np.abs(s)
    limit = np.maximum(atol, rtol * sizes.max(axis=-1))[..., None]
    inverse = np.where(sizes > limit, 1 / np.where(sizes > limit, s, 1), 0).astype(s.dtype)
    return np.asarray(hermitian(vh) @ (inverse[..., None] * hermitian(u)))


def _pinv_vjp(cotangents: Cotangents, outputs: Nodes, a: Node, *tolerances: Node, is_hermitian: bool) -> Cotangents:
    (ct,), (x,) = cotangents, outputs
    assert ct is not None
    whole = ew.add(lower(a), mH(lower(a, -1))) if is_hermitian else a
    found = pinv_gradient(ct, x, whole)
    if is_hermitian:
        found = build.scaled(ew.add(found, mH(found)), 0.5)
    return found, None, None


def pinv_gradient(ct: Node, x: Node, a: Node) -> Node:
    """The cotangent of A for that of its pseudo-inverse X."""
    xh, back = mH(x), mH(ct)
    inner = ew.neg(product(xh, ct, xh))
    beside = matmul(matmul(back, x), xh)
    beside = ew.sub(beside, matmul(a, matmul(x, beside)))
    below = matmul(xh, matmul(x, back))
    below = ew.sub(below, matmul(matmul(below, x), a))
    total = plus(inner, beside, below)
    assert total is not None
    return total


register_host(HostFunction("linalg.pinv", _pinv_run, _pinv_vjp))


def pseudo_inverse(a: Node, atol: Node, rtol: Node, is_hermitian: bool = False) -> Node:
    """The pseudo-inverse of checked matrices, up to these tolerances."""
    batch = broadcast_shape("linalg.pinv", a.shape[:-2], atol.shape, rtol.shape)
    m, n = a.shape[-2:]
    matrices = build.broadcast_to(a, (*batch, m, n))
    limits = (build.broadcast_to(each, batch) for each in (atol, rtol))
    return call("linalg.pinv", (matrices, *limits), (like(a, (*batch, n, m)),), is_hermitian=is_hermitian)[0]


@function(namespace="linalg")
def pinv(
    A: Node,
    rcond: Operand | None = None,
    hermitian: bool = False,
    *,
    atol: Operand | None = None,
    rtol: Operand | None = None,
) -> Node:
    """The pseudo-inverse of Moore and Penrose; `rcond` is another name of `rtol`."""
    if len(A.shape) < 2 or real_of(A.tensor.dtype) not in (f32, f64):
        raise DTypeError(
            f"linalg.pinv({A.tensor.dtype.scalar}{{{sizes_text(A.shape)}}}): expected a tensor with 2 or more "
            "dimensions of float, double, cfloat or cdouble types",
            hint="convert it first, e.g. x.to('float32')",
        )
    if hermitian:
        check_square("linalg.pinv", A)
    tolerances = _tolerances("linalg.pinv", A, atol, rtol if rcond is None else rcond)
    return pseudo_inverse(A, *tolerances, is_hermitian=hermitian)


@function(method=True)
def pinverse(input: Node, rcond: float = 1e-15) -> Node:
    """`linalg.pinv` with another default tolerance."""
    return pinv(input, rcond)


# Least squares


def _lstsq_run(results: tuple[TensorType, ...], a: Matrix, b: Matrix, *, rcond: float) -> tuple[Matrix, Matrix, Matrix]:
    solution, rank, values = (np.zeros(sizes_of(type), type.dtype.numpy) for type in results)
    if a.size:
        for index in np.ndindex(a.shape[:-2]):
            solution[index], _, rank[index], values[index] = np.linalg.lstsq(a[index], b[index], rcond=rcond)
    return solution, rank, values


def _lstsq_vjp(cotangents: Cotangents, outputs: Nodes, a: Node, b: Node, *, rcond: float) -> Cotangents:
    ct = cotangents[0]
    if ct is None:
        return None, None
    real = real_of(a.tensor.dtype)
    inverse = pseudo_inverse(a, build.zero(real), build.constant(rcond, real))
    return pinv_gradient(matmul(ct, mH(b)), inverse, a), matmul(mH(inverse), ct)


register_host(HostFunction("linalg.lstsq", _lstsq_run, _lstsq_vjp))

_DRIVERS = ("gels", "gelsy", "gelsd", "gelss")


@function(namespace="linalg")
def lstsq(input: Node, b: Node, rcond: float | None = None, *, driver: str | None = None) -> linalg_types.linalg_lstsq:
    """X for which |A X - B| is least, and where several are, the shortest.

    What comes with it goes by `driver`, as in PyTorch: the sums of squares that remain (gels, gelsd, gelss, for more
    rows than columns), the rank (all but gels), the singular values (gelsd, gelss); what is absent is empty. One method
    serves all of them. The sums are given for matrices that lack full rank too.
    """
    name = "torch.linalg.lstsq"
    if len(input.shape) < 2:
        raise ShapeError(f"{name}: input must have at least 2 dimensions.", hint="unsqueeze it first")
    if not b.shape:
        raise ShapeError(f"{name}: other must have at least 1 dimension.", hint="unsqueeze it first")
    _takes_floats(input)
    if input.tensor.dtype is not b.tensor.dtype:
        raise DTypeError(
            f"{name}: Expected input and other to have the same dtype, but got input's dtype "
            f"{input.tensor.dtype.scalar} and other's dtype {b.tensor.dtype.scalar}",
            hint="convert one of them first",
        )
    if driver is not None and driver not in _DRIVERS:
        raise ArgumentError(
            f"{name}: parameter `driver` should be one of (gels, gelsy, gelsd, gelss)", hint="leave it out"
        )
    fewer = len(input.shape) - len(b.shape)
    if fewer not in (0, 1):
        raise ShapeError(
            f"{name}: input.dim() must be greater or equal to other.dim() and (input.dim() - other.dim()) <= 1",
            hint="repeat the smaller one, e.g. with expand()",
        )
    is_vector = fewer == 1
    right = column(b) if is_vector else b
    rows: tuple[Size, Size] = (input.shape[-2], right.shape[-2])
    if rows[0] != rows[1]:
        which = "size(-1)" if is_vector else "size(-2)"
        raise ShapeError(f"{name}: input.size(-2) should match other.{which}", hint="both have one row per equation")
    return _least_squares(input, right, is_vector, rcond, driver or "gelsy")


def _least_squares(a: Node, b: Node, is_vector: bool, rcond: float | None, driver: str) -> linalg_types.linalg_lstsq:
    matrices, right = batched("torch.linalg.lstsq", a, b)
    batch, (m, n) = matrices.shape[:-2], matrices.shape[-2:]
    real = real_of(a.tensor.dtype)
    limit = rcond
    if limit is None:
        if not isinstance(m, int) or not isinstance(n, int):
            raise ShapeError("torch.linalg.lstsq: the sizes of A are symbols", hint="give rcond a number")
        limit = _epsilon(a) * max(m, n)
    types = (
        like(right, (*batch, n, right.shape[-1])),
        TensorType(batch, i64),
        TensorType((*batch, least(m, n)), real),
    )
    solution, rank, values = call("linalg.lstsq", (matrices, right), types, rcond=float(limit))
    for axis, (own, size) in enumerate(zip(a.shape[:-2], batch)):
        if own == 1 and size not in (0, 1):  # one matrix for several right sides: what is said of it, once
            rank, values = cut(rank, axis, 0, 1), cut(values, axis, 0, 1)
    empty = build.full(0, TensorType((0,), real))
    residuals = empty
    if driver != "gelsy" and isinstance(m, int) and isinstance(n, int) and m > n:
        apart = ew.abs_(ew.sub(matmul(matrices, solution), right))
        residuals = reduction.sum_(ew.mul(apart, apart), axes=(len(batch),))
    return linalg_types.linalg_lstsq(
        build.reshape_to(solution, solution.shape[:-1]) if is_vector else solution,
        residuals,
        build.full(0, TensorType((0,), i64)) if driver == "gels" else rank,
        ew.detach(values if driver in ("gelsd", "gelss") else empty),
    )
