"""Singular values and eigenvalues.

Level: tensor graph. In: stacks of matrices `[*batch, m, n]`. Out: named tuples of values and vectors, as numpy's LAPACK
gives them. The gradients are formulas over ops, for values that differ from each other: those of M. B. Giles, An
extended collection of matrix derivative results (2008), section 3, in the complex form of J. Townsend, Differentiating
the singular value decomposition (2016), and C. Boeddeker et al., arXiv:1701.00392 (2017), sections 4.2 and 4.4.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np

from graphc.ir.dtype import Kind, complex_of, real_of
from graphc.ir.errors import ArgumentError, DTypeError
from graphc.ir.graph import Node
from graphc.ir.host import HostFunction, register_host, sizes_of
from graphc.ir.type import TensorType
from graphc.ops import build, linalg_types
from graphc.ops import elementwise as ew
from graphc.ops.composite.contraction import matmul
from graphc.ops.composite.linalg_matrix import (
    check_floats,
    check_matrix,
    check_square,
    column,
    diagonal_matrix,
    diagonal_of,
    failed,
    first_columns,
    first_rows,
    least,
    like,
    mH,
    on_diagonal,
    over,
    plus,
    product,
    row,
    skew,
    times,
)
from graphc.ops.composite.linalg_solve import solved
from graphc.ops.function import function
from graphc.ops.host import call
from graphc.ops.lapack import Matrix

Cotangents: TypeAlias = "tuple[Node | None, ...]"
Nodes: TypeAlias = "tuple[Node, ...]"
Triangle: TypeAlias = Literal["L", "U"]


def _differences(values: Node) -> Node:
    """values[j] - values[i] at row i, column j, and 1 on the diagonal."""
    shape = (*values.shape, values.shape[-1])
    across, down = (build.broadcast_to(x, shape) for x in (row(values), column(values)))
    found = ew.sub(across, down)
    return on_diagonal(found, build.ones_like(found))


# Singular values


def _svd_run(results: tuple[TensorType, ...], a: Matrix, *, full: bool, name: str) -> tuple[Matrix, ...]:
    _refuse_nonfinite(name, a)
    if a.size == 0:
        u, s, vh = (np.zeros(sizes_of(type), type.dtype.numpy) for type in results)
        for each in (u, vh):
            count = min(each.shape[-2:])
            each[..., range(count), range(count)] = 1
        return u, s, vh
    try:
        u, s, vh = np.linalg.svd(a, full_matrices=full)
    except np.linalg.LinAlgError:
        raise failed(name, np.ones((), np.int32), "The algorithm failed to converge.") from None
    return u, s, vh


def _refuse_nonfinite(name: str, a: Matrix) -> None:
    bad = ~np.isfinite(a).all(axis=(-2, -1))
    if bad.any():
        reason = "The algorithm failed to converge because the input matrix contained non-finite values."
        raise failed(name, np.asarray(bad).astype(np.int32), reason)


def _svd_vjp(cotangents: Cotangents, outputs: Nodes, a: Node, *, full: bool, name: str) -> Cotangents:
    """With P = U^H dA V: dS is the real diagonal of P, and dU, dV follow from P where the values differ."""
    m, n = a.shape[-2:]
    k = least(m, n)
    ct_u, ct_s, ct_vh = cotangents
    u, s, vh = first_columns(outputs[0], k), outputs[1], first_rows(outputs[2], k)
    ct_u = None if ct_u is None else first_columns(ct_u, k)
    ct_vh = None if ct_vh is None else first_rows(ct_vh, k)
    if ct_u is None and ct_vh is None:
        return (None,) if ct_s is None else (matmul(times(u, row(ct_s)), vh),)
    squares = _differences(ew.mul(s, s))
    inner = None if ct_s is None else build.cast_to(diagonal_matrix(ct_s), a.tensor.dtype)
    beside_u = beside_v = None
    if ct_u is not None:
        turned = skew(matmul(mH(u), ct_u))
        inner = plus(inner, times(over(turned, squares), row(s)))
        if a.tensor.dtype.is_complex:
            # The phases that a vector of U and one of V share are free; this is the part that is not.
            phases = over(turned, row(build.scaled(s, 2.0)))
            inner = plus(inner, on_diagonal(build.zeros_like(phases), phases))
        if m != k:
            scaled = over(ct_u, row(s))
            beside_u = matmul(ew.sub(scaled, product(u, mH(u), scaled)), vh)
    if ct_vh is not None:
        turned = skew(matmul(vh, mH(ct_vh)))
        inner = plus(inner, times(over(turned, squares), column(s)))
        if n != k:
            scaled = over(ct_vh, column(s))
            beside_v = matmul(u, ew.sub(scaled, product(scaled, mH(vh), vh)))
    assert inner is not None
    return (plus(product(u, inner, vh), beside_u, beside_v),)


def _svdvals_run(results: tuple[TensorType, ...], a: Matrix, *, name: str) -> Matrix:
    _refuse_nonfinite(name, a)
    if a.size == 0:
        return np.zeros(sizes_of(results[0]), a.real.dtype)
    return np.asarray(np.linalg.svd(a, compute_uv=False))


def _svdvals_vjp(cotangents: Cotangents, outputs: Nodes, a: Node, *, name: str) -> Cotangents:
    (ct,) = cotangents
    assert ct is not None
    u, _, vh = factors_of(a, name=name)
    return (matmul(times(u, row(ct)), vh),)


register_host(HostFunction("linalg.svd", _svd_run, _svd_vjp))
register_host(HostFunction("linalg.svdvals", _svdvals_run, _svdvals_vjp))


def factors_of(a: Node, full: bool = False, name: str = "linalg.svd") -> tuple[Node, Node, Node]:
    """U, S and V^H of checked matrices."""
    batch, (m, n) = a.shape[:-2], a.shape[-2:]
    k = least(m, n)
    types = (
        like(a, (*batch, m, m if full else k)),
        like(a, (*batch, k), real_of(a.tensor.dtype)),
        like(a, (*batch, n if full else k, n)),
    )
    u, s, vh = call("linalg.svd", (a,), types, full=full, name=name)
    return u, s, vh


def singular_values(a: Node, name: str = "linalg.svd") -> Node:
    """The singular values of checked matrices, the largest first."""
    shape = (*a.shape[:-2], least(*a.shape[-2:]))
    return call("linalg.svdvals", (a,), (like(a, shape, real_of(a.tensor.dtype)),), name=name)[0]


@function(namespace="linalg")
def svd(A: Node, full_matrices: bool = True, *, driver: str | None = None) -> linalg_types.linalg_svd:
    """U, S and V^H with A = U diag(S) V^H, S falling; U and V^H square, or reduced unless `full_matrices`."""
    check_matrix("linalg.svd", A, "linalg_svd_cpu")
    _refuse_driver(driver)
    return linalg_types.linalg_svd(*factors_of(A, full_matrices))


@function(namespace="linalg")
def svdvals(A: Node, *, driver: str | None = None) -> Node:
    """The singular values, the largest first."""
    check_matrix("linalg.svd", A, "linalg_svd_cpu")
    _refuse_driver(driver)
    return singular_values(A)


def _refuse_driver(driver: str | None) -> None:
    if driver is not None:
        raise ArgumentError(
            "torch.linalg.svd: keyword argument `driver=` is only supported on CUDA inputs with cuSOLVER backend.",
            hint="leave it out",
        )


@function(method=True)
def svd_(input: Node, some: bool = True, compute_uv: bool = True) -> linalg_types.svd:
    """U, S and V with A = U diag(S) V^H, reduced if `some`; zeros for U and V unless `compute_uv`."""
    check_matrix("linalg.svd", input, "linalg_svd_cpu")
    if not compute_uv:
        (m, n), batch = input.shape[-2:], input.shape[:-2]
        zeros = (build.full(0, like(input, (*batch, size, size))) for size in (m, n))
        return linalg_types.svd(next(zeros), singular_values(input), next(zeros))
    u, s, vh = factors_of(input, not some)
    return linalg_types.svd(u, s, mH(vh))


# Hermitian matrices


def _eigh_run(results: tuple[TensorType, ...], a: Matrix, *, uplo: Triangle, name: str) -> tuple[Matrix, Matrix]:
    try:
        values, vectors = np.linalg.eigh(a, uplo)
    except np.linalg.LinAlgError:
        raise failed(name, np.ones((), np.int32), _NO_CONVERGENCE) from None
    return values, vectors


_NO_CONVERGENCE = (
    "The algorithm failed to converge because the input matrix is ill-conditioned or has too many repeated "
    "eigenvalues (error code: {info})."
)


def _eigh_vjp(cotangents: Cotangents, outputs: Nodes, a: Node, *, uplo: str, name: str) -> Cotangents:
    (ct_values, ct_vectors), (values, vectors) = cotangents, outputs
    if ct_vectors is None:
        if ct_values is None:
            return (None,)
        return (matmul(times(vectors, row(ct_values)), mH(vectors)),)
    inner = over(matmul(mH(vectors), ct_vectors), _differences(values))
    diagonal = (
        build.zeros_like(inner)
        if ct_values is None
        else build.broadcast_to(build.cast_to(row(ct_values), a.tensor.dtype), inner.shape)
    )
    return (product(vectors, on_diagonal(inner, diagonal), mH(vectors)),)


def _eigvalsh_run(results: tuple[TensorType, ...], a: Matrix, *, uplo: Triangle, name: str) -> Matrix:
    try:
        return np.asarray(np.linalg.eigvalsh(a, uplo))
    except np.linalg.LinAlgError:
        raise failed(name, np.ones((), np.int32), _NO_CONVERGENCE) from None


def _eigvalsh_vjp(cotangents: Cotangents, outputs: Nodes, a: Node, *, uplo: str, name: str) -> Cotangents:
    (ct,) = cotangents
    assert ct is not None
    _, vectors = hermitian_pairs(a, uplo, name)
    return (matmul(times(vectors, row(ct)), mH(vectors)),)


register_host(HostFunction("linalg.eigh", _eigh_run, _eigh_vjp))
register_host(HostFunction("linalg.eigvalsh", _eigvalsh_run, _eigvalsh_vjp))


def hermitian_pairs(a: Node, uplo: str = "L", name: str = "linalg.eigh") -> tuple[Node, Node]:
    """Eigenvalues, rising, and eigenvectors of checked matrices."""
    types = (like(a, a.shape[:-1], real_of(a.tensor.dtype)), a.tensor)
    values, vectors = call("linalg.eigh", (a,), types, uplo=uplo, name=name)
    return values, vectors


def hermitian_values(a: Node, uplo: str = "L", name: str = "linalg.eigh") -> Node:
    """Eigenvalues, rising, of checked matrices."""
    return call("linalg.eigvalsh", (a,), (like(a, a.shape[:-1], real_of(a.tensor.dtype)),), uplo=uplo, name=name)[0]


def _triangle(uplo: object) -> str:
    if not isinstance(uplo, str) or uplo.upper() not in ("L", "U"):
        raise ArgumentError(f"Expected UPLO argument to be 'L' or 'U', but got {uplo}", hint="name a triangle")
    return uplo.upper()


@function(namespace="linalg")
def eigh(input: Node, UPLO: str = "L") -> linalg_types.linalg_eigh:
    """Eigenvalues, rising, and orthonormal eigenvectors of Hermitian matrices, of which one triangle is read."""
    check_square("linalg.eigh", input, "linalg_eigh_cpu", takes="kernels")
    return linalg_types.linalg_eigh(*hermitian_pairs(input, _triangle(UPLO)))


@function(namespace="linalg")
def eigvalsh(input: Node, UPLO: str = "L") -> Node:
    """Eigenvalues, rising, of Hermitian matrices, of which one triangle is read."""
    check_square("linalg.eigvalsh", input, "linalg_eigh_cpu", takes="kernels")
    return hermitian_values(input, _triangle(UPLO), "linalg.eigvalsh")


# Any matrices


def _eig_run(results: tuple[TensorType, ...], a: Matrix) -> tuple[Matrix, Matrix]:
    values, vectors = np.linalg.eig(_finite("torch.linalg.eig", a))
    wide = results[0].dtype.numpy
    return values.astype(wide), vectors.astype(wide)


def _finite(name: str, a: Matrix) -> Matrix:
    if not np.isfinite(a).all():
        raise ArgumentError(f"{name}: input tensor should not contain infs or NaNs.", hint="look where they come from")
    return a


def _eig_vjp(cotangents: Cotangents, outputs: Nodes, a: Node) -> Cotangents:
    (ct_values, ct_vectors), (values, vectors) = cotangents, outputs
    if ct_values is None and ct_vectors is None:
        return (None,)
    if ct_vectors is None:
        assert ct_values is not None
        inner = diagonal_matrix(ct_values)
    else:
        turned = matmul(mH(vectors), ct_vectors)
        # Vectors have length one: what would change their lengths is taken off.
        lengths = build.to_complex(ew.real(diagonal_of(turned)))
        gram = matmul(mH(vectors), vectors)
        turned = ew.sub(turned, times(gram, row(lengths)))
        inner = ew.div(turned, _differences(ew.conj(values)))
        diagonal = build.zeros_like(values) if ct_values is None else ct_values
        inner = on_diagonal(inner, build.broadcast_to(row(diagonal), inner.shape))
    found = solved(mH(vectors), matmul(inner, mH(vectors)))
    return (found if a.tensor.dtype.is_complex else ew.real(found),)


def _eigvals_run(results: tuple[TensorType, ...], a: Matrix) -> Matrix:
    return np.asarray(np.linalg.eigvals(_finite("torch.linalg.eigvals", a)).astype(results[0].dtype.numpy))


def _eigvals_vjp(cotangents: Cotangents, outputs: Nodes, a: Node) -> Cotangents:
    (ct,) = cotangents
    assert ct is not None
    pairs = _pairs(a)
    return _eig_vjp((ct, None), pairs, a)


register_host(HostFunction("linalg.eig", _eig_run, _eig_vjp))
register_host(HostFunction("linalg.eigvals", _eigvals_run, _eigvals_vjp))


def _pairs(a: Node) -> tuple[Node, Node]:
    wide = complex_of(a.tensor.dtype)
    values, vectors = call("linalg.eig", (a,), (like(a, a.shape[:-1], wide), like(a, a.shape, wide)))
    return values, vectors


def _for_eig(name: str, a: Node) -> Node:
    check_square(name, a, takes="all")
    if a.tensor.dtype.kind < Kind.FLOAT:
        raise DTypeError(
            f"Unknown Complex ScalarType for {a.tensor.dtype.scalar}", hint="convert it first, e.g. x.to('float32')"
        )
    return check_floats(name, a, "linalg_eig_out_cpu")


@function(namespace="linalg")
def eig(input: Node) -> linalg_types.linalg_eig:
    """Eigenvalues and eigenvectors of length one, complex; in no order."""
    return linalg_types.linalg_eig(*_pairs(_for_eig("linalg.eig", input)))


@function(namespace="linalg")
def eigvals(input: Node) -> Node:
    """Eigenvalues, complex, in no order."""
    _for_eig("linalg.eigvals", input)
    return call("linalg.eigvals", (input,), (like(input, input.shape[:-1], complex_of(input.tensor.dtype)),))[0]
