"""Cases of linear algebra: random matrices, and numpy's word or a property for what must come of them.

Gradients are those of quantities that a decomposition determines: signs and phases of vectors it does not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import graphc as g
from graphc import linalg as la
from tests.composite.case import Case, Values

_RANDOM = np.random.default_rng(20261120)


def matrix(*shape: int) -> Values:
    """Random matrices, far from singular if square."""
    x = _RANDOM.uniform(-1, 1, shape)
    rows, columns = shape[-2:]
    return x + 2 * np.eye(rows, columns)


def positive(*shape: int) -> Values:
    """Random symmetric positive-definite matrices."""
    x = _RANDOM.uniform(-1, 1, shape)
    return x @ np.swapaxes(x, -1, -2) + np.eye(shape[-1])


def of_parts(build: Callable[..., Any], count: int = 1) -> Callable[..., Any]:
    """A function of real matrices in pairs, which are the parts of complex ones, that gives parts of results."""

    def parts(*arrays: Any) -> Any:
        whole = [g.complex(re, im) for re, im in zip(arrays[:count], arrays[count:], strict=True)]
        found = build(*whole)
        results = found if isinstance(found, tuple) else (found,)
        return tuple(
            part
            for x in results
            for part in ((x.real, x.imag) if isinstance(x, np.ndarray | np.generic) else (g.real(x), g.imag(x)))
        )

    return parts


def numpy_of_parts(build: Callable[..., Any], count: int = 1) -> Callable[..., Any]:
    """The same for numpy."""

    def parts(*arrays: Values) -> Any:
        found = build(*[re + 1j * im for re, im in zip(arrays[:count], arrays[count:], strict=True)])
        results = found if isinstance(found, tuple) else (found,)
        return tuple(part for x in results for part in (np.real(x), np.imag(x)))

    return parts


def both(
    name: str, build: Callable[..., Any], expected: Callable[..., Any], *arrays: Values, gradient: bool = True
) -> Iterator[Case]:
    """The case on real matrices, and on complex ones."""
    yield Case(name, build, expected, arrays, gradient=gradient)
    imaginary = tuple(_RANDOM.uniform(-0.5, 0.5, a.shape) for a in arrays)
    yield Case(
        f"{name}-complex",
        of_parts(build, len(arrays)),
        numpy_of_parts(expected, len(arrays)),
        arrays + imaginary,
        gradient=gradient,
    )


def hermitian(x: Any) -> Any:
    """x x^H + 1, for tensors and arrays."""
    if isinstance(x, np.ndarray):
        return x @ np.swapaxes(x, -1, -2).conj() + np.eye(x.shape[-2])
    return x @ x.mT.conj() + g.eye(x.shape[-2], dtype=x.dtype)


def _lower(x: Values) -> Values:
    return np.tril(x)


def _factorisations() -> Iterator[Case]:
    for shape in ((3, 3), (2, 3, 3), (0, 0), (1, 1)):
        yield from both(
            "cholesky", lambda x: la.cholesky(hermitian(x)), lambda x: np.linalg.cholesky(hermitian(x)), matrix(*shape)
        )
    yield from both(
        "cholesky-upper",
        lambda x: la.cholesky(hermitian(x), upper=True),
        lambda x: np.linalg.cholesky(hermitian(x)).conj().T,
        matrix(3, 3),
    )
    for shape in ((3, 3), (4, 2), (2, 4), (2, 3, 3), (0, 3)):
        x = matrix(*shape)

        def rebuilt(x: Any) -> Any:
            p, l, u = la.lu(x)
            return p @ l @ u, g.triu(l, 1), g.tril(u, -1)

        def wanted(x: Values) -> Any:
            k = min(x.shape[-2:])
            return x, np.zeros_like(x[..., :k]), np.zeros_like(x[..., :k, :])

        yield from both("lu", rebuilt, wanted, x)
        yield Case("lu_factor", lambda x: la.lu_factor(x).LU, _lu_by_rows, (x,), gradient=x.size > 0)
    for shape in ((3, 3), (4, 2), (2, 4), (2, 3, 2), (0, 3), (3, 0)):
        x = matrix(*shape)
        yield from both("qr", lambda x: tuple(la.qr(x)), lambda x: tuple(np.linalg.qr(x)), x, gradient=x.size > 0)
    yield Case(
        "qr-complete",
        lambda x: tuple(la.qr(x, "complete")),
        lambda x: tuple(np.linalg.qr(x, "complete")),
        (matrix(4, 2),),
    )
    yield Case("qr-r", lambda x: la.qr(x, "r").R, lambda x: np.linalg.qr(x, "r"), (matrix(4, 2),))
    for shape in ((4, 3), (3, 3), (2, 4, 3)):

        def product(x: Any) -> Any:
            return la.householder_product(*g.geqrf(x))

        x = matrix(*shape)
        yield from both("householder_product", product, lambda x: np.linalg.qr(x)[0], x, gradient=False)


def _lu_by_rows(x: Values) -> Values:
    """Gaussian elimination of one matrix after another, row by row."""
    result = x.copy()
    for index in np.ndindex(x.shape[:-2]):
        a = result[index]
        for j in range(min(a.shape)):
            best = j + int(np.argmax(np.abs(a[j:, j])))
            a[[j, best]] = a[[best, j]]
            for i in range(j + 1, a.shape[0]):
                a[i, j] /= a[j, j]
                a[i, j + 1 :] -= a[i, j] * a[j, j + 1 :]
    return result


def _spectral() -> Iterator[Case]:
    for shape in ((3, 3), (4, 2), (2, 4), (2, 3, 2), (0, 3)):
        x = matrix(*shape)
        many = x.size > 0

        def reduced(x: Any) -> Any:
            u, s, vh = la.svd(x, full_matrices=False)
            return u @ (s.sin().to(u.dtype).unsqueeze(-1) * vh), (u.abs() ** 2).to(u.dtype), (vh.abs() ** 3).to(u.dtype)

        def reduced_by_numpy(x: Values) -> Any:
            u, s, vh = np.linalg.svd(x, full_matrices=False)
            return u @ (np.sin(s)[..., None] * vh), np.abs(u) ** 2 + 0 * u, np.abs(vh) ** 3 + 0 * u.flat[:1].sum()

        yield from both("svd", reduced, reduced_by_numpy, x, gradient=many)
        yield Case("svd-full", lambda x: g.matmul(*_joined(la.svd(x))), lambda x: x, (x,))
        yield Case("svdvals", la.svdvals, lambda x: np.linalg.svd(x, compute_uv=False), (x,), gradient=many)
    for shape in ((3, 3), (2, 3, 3)):

        def pairs(x: Any) -> Any:
            values, vectors = la.eigh(hermitian(x))
            return (vectors * values.sqrt().to(vectors.dtype).unsqueeze(-2)) @ vectors.mT.conj(), (
                vectors.abs() ** 2
            ).to(vectors.dtype)

        def pairs_by_numpy(x: Values) -> Any:
            values, vectors = np.linalg.eigh(hermitian(x))
            root = (vectors * np.sqrt(values)[..., None, :]) @ np.swapaxes(vectors, -1, -2).conj()
            return root, np.abs(vectors) ** 2 + 0 * vectors

        yield from both("eigh", pairs, pairs_by_numpy, matrix(*shape))
        yield Case(
            "eigvalsh",
            lambda x: la.eigvalsh(hermitian(x)),
            lambda x: np.linalg.eigvalsh(hermitian(x)),
            (matrix(*shape),),
            gradient=True,
        )

        def general(x: Any) -> Any:
            values, vectors = la.eig(x)
            rebuilt = (vectors * values.exp().unsqueeze(-2)) @ la.inv(vectors)
            return rebuilt.real, (vectors.abs() ** 2).sum(-2)

        yield Case(
            "eig", general, lambda x: (_exp_by_series(x), np.ones(x.shape[:-1])), (matrix(*shape),), gradient=True
        )
        yield Case(
            "eigvals",
            lambda x: (la.eigvals(x) ** 3).sum(-1).real,
            lambda x: np.trace(x @ x @ x, axis1=-2, axis2=-1),
            (matrix(*shape),),
            gradient=True,
        )


def _joined(svd: Any) -> tuple[Any, Any]:
    """U and diag(S) V^H of a full decomposition."""
    u, s, vh = svd
    k = s.shape[-1]
    return u[..., :k], s.unsqueeze(-1) * vh[..., :k, :]


def _exp_by_series(x: Values) -> Values:
    total, term = np.zeros_like(x), np.zeros_like(x) + np.eye(x.shape[-1])
    for k in range(1, 60):
        total = total + term
        term = term @ x / k
    return total


def _solutions() -> Iterator[Case]:
    for a, b in (((3, 3), (3, 2)), ((2, 3, 3), (3, 2)), ((3, 3), (2, 3, 1)), ((0, 0), (0, 2)), ((2, 3, 3), (2, 3, 4))):
        yield from both("solve", la.solve, np.linalg.solve, matrix(*a), matrix(*b))
    yield Case("solve-vector", la.solve, np.linalg.solve, (matrix(3, 3), np.array([1.0, 2.0, 3.0])), gradient=True)
    yield Case(
        "solve-vectors",
        la.solve,
        lambda a, b: np.linalg.solve(a, b[..., None])[..., 0],
        (matrix(2, 3, 3), matrix(2, 3)),
        gradient=True,
    )
    yield Case(
        "solve-right",
        lambda a, b: la.solve(a, b, left=False),
        lambda a, b: b @ np.linalg.inv(a),
        (matrix(3, 3), matrix(2, 3)),
        gradient=True,
    )
    for upper in (False, True):
        for unit in (False, True):

            def masked(a: Values, upper: bool = upper, unit: bool = unit) -> Values:
                a = np.triu(a) if upper else np.tril(a)
                return a - np.eye(a.shape[-1]) * a + np.eye(a.shape[-1]) if unit else a

            yield from both(
                f"solve_triangular-{upper}-{unit}",
                lambda a, b, upper=upper, unit=unit: la.solve_triangular(a, b, upper=upper, unitriangular=unit),
                lambda a, b, masked=masked: np.linalg.solve(masked(a), b),
                matrix(3, 3), matrix(2, 3, 2),
            )  # fmt: skip
            yield Case(
                f"solve_triangular-right-{upper}-{unit}",
                lambda a, b, u=upper, n=unit: la.solve_triangular(a, b, upper=u, left=False, unitriangular=n),
                lambda a, b, masked=masked: b @ np.linalg.inv(masked(a)),
                (matrix(3, 3), matrix(2, 3)),
                gradient=True,
            )
    yield Case(
        "solve_triangular-blocks",
        lambda a, b: la.solve_triangular(a, b, upper=True),
        lambda a, b: np.linalg.solve(np.triu(a), b),
        (matrix(100, 100) + 8 * np.eye(100), matrix(100, 2)),
    )
    yield Case(
        "solve_triangular-blocks-lower",
        lambda a, b: la.solve_triangular(a, b, upper=False),
        lambda a, b: np.linalg.solve(np.tril(a), b),
        (matrix(100, 100) + 8 * np.eye(100), matrix(100, 2)),
    )
    for shape in ((3, 3), (2, 3, 3), (0, 0)):
        yield from both("inv", la.inv, np.linalg.inv, matrix(*shape))
        yield from both("det", la.det, np.linalg.det, matrix(*shape))
        yield Case(
            "slogdet",
            lambda x: tuple(la.slogdet(x)),
            lambda x: tuple(np.linalg.slogdet(x)),
            (-matrix(*shape),),
            gradient=True,
        )
        yield Case(
            "logdet",
            lambda x: g.logdet(hermitian(x)),
            lambda x: np.linalg.slogdet(hermitian(x))[1],
            (matrix(*shape),),
            gradient=True,
        )

    def phase(x: Any) -> Any:
        sign, log = la.slogdet(x)
        return sign * log.to(sign.dtype)

    def phase_by_numpy(x: Values) -> Any:
        sign, log = np.linalg.slogdet(x)
        return sign * log

    yield Case(
        "slogdet-complex",
        of_parts(phase),
        numpy_of_parts(phase_by_numpy),
        (matrix(3, 3), 0.3 * matrix(3, 3)),
        gradient=True,
    )
    yield Case("det-blocks", la.det, np.linalg.det, (matrix(130, 130) / 6,))
    for adjoint in (False, True):
        for left in (False, True):

            def by_factors(a: Any, b: Any, adjoint: bool = adjoint, left: bool = left) -> Any:
                return la.lu_solve(*la.lu_factor(a), b, left=left, adjoint=adjoint)

            def by_inverse(a: Values, b: Values, adjoint: bool = adjoint, left: bool = left) -> Values:
                inverse = np.linalg.inv(a.conj().T if adjoint else a)
                return inverse @ b if left else b @ inverse

            yield from both(
                f"lu_solve-{adjoint}-{left}",
                by_factors,
                by_inverse,
                matrix(3, 3),
                matrix(3, 2) if left else matrix(2, 3),
            )
    for upper in (False, True):
        yield Case(
            f"cholesky_solve-{upper}",
            lambda b, a, u=upper: g.cholesky_solve(b, la.cholesky(hermitian(a), upper=u), upper=u),
            lambda b, a: np.linalg.solve(hermitian(a), b),
            (matrix(3, 2), matrix(3, 3)),
            gradient=True,
        )
        yield Case(
            f"cholesky_inverse-{upper}",
            lambda a, u=upper: g.cholesky_inverse(la.cholesky(hermitian(a), upper=u), upper=u),
            lambda a: np.linalg.inv(hermitian(a)),
            (matrix(3, 3),),
            gradient=True,
        )
    for shape in ((4, 2), (2, 4), (3, 3), (2, 3, 2), (0, 2)):
        yield from both("pinv", la.pinv, np.linalg.pinv, matrix(*shape), gradient=0 not in shape)
    rank_one = np.outer([1.0, 2.0, 3.0], [1.0, -1.0])
    yield Case("pinv-rank", la.pinv, np.linalg.pinv, (rank_one,))
    yield Case(
        "pinv-hermitian",
        lambda x: la.pinv(hermitian(x), hermitian=True),
        lambda x: np.linalg.pinv(hermitian(x)),
        (matrix(3, 3),),
        gradient=True,
    )
    for a, b in (((4, 2), (4, 3)), ((2, 4), (2, 3)), ((3, 3), (3, 1))):
        yield from both(
            "lstsq",
            lambda a, b: la.lstsq(a, b).solution,
            lambda a, b: np.linalg.lstsq(a, b, rcond=None)[0],
            matrix(*a),
            matrix(*b),
        )
    yield Case(
        "lstsq-residuals",
        lambda a, b: tuple(la.lstsq(a, b, driver="gelsd")),
        lambda a, b: tuple(np.linalg.lstsq(a, b, rcond=None)),
        (matrix(4, 2), matrix(4, 3)),
    )
    yield Case(
        "matrix_rank", la.matrix_rank, np.linalg.matrix_rank, (np.stack([rank_one[:2], np.eye(2), np.zeros((2, 2))]),)
    )


def _products() -> Iterator[Case]:
    for power in (-2, -1, 0, 1, 2, 5):
        yield Case(
            f"matrix_power-{power}",
            lambda x, n=power: la.matrix_power(x, n),
            lambda x, n=power: np.linalg.matrix_power(x, n),
            (matrix(2, 3, 3),),
            gradient=power != 0,
        )
    for shape in ((3, 3), (2, 3, 3), (0, 0)):
        yield from both("matrix_exp", la.matrix_exp, _exp_by_series, matrix(*shape))
    yield Case(
        "matrix_exp-large",
        lambda x: la.matrix_exp(x),
        lambda x: np.diag(np.exp(np.diag(x))),
        (np.diag([-30.0, 0.1, 20.0]),),
    )
    chain = (matrix(2, 3), matrix(3, 4), matrix(4, 1), matrix(1, 5))
    yield Case("multi_dot", lambda *x: la.multi_dot(list(x)), lambda *x: np.linalg.multi_dot(x), chain, gradient=True)
    yield Case(
        "multi_dot-vectors",
        lambda *x: la.multi_dot(list(x)),
        lambda *x: np.linalg.multi_dot(x),
        (matrix(2, 2)[0], matrix(2, 3), matrix(3, 3)[0]),
        gradient=True,
    )
    x, y = matrix(2, 3), matrix(2, 3)
    yield from both("vecdot", la.vecdot, lambda x, y: (x.conj() * y).sum(-1), x, y)
    yield Case("cross", la.cross, np.cross, (x, y), gradient=True)
    yield Case(
        "diagonal",
        lambda x: la.diagonal(x, offset=1),
        lambda x: np.diagonal(x, 1, -2, -1),
        (matrix(2, 3, 4),),
        gradient=True,
    )
    yield Case("vander", la.vander, lambda x: np.stack([x**k for k in range(3)], -1), (x,), gradient=True)
    yield Case("root-vander", lambda x: g.vander(x, 4), lambda x: np.vander(x, 4), (x[0],), gradient=True)
    yield Case("tensorinv", la.tensorinv, np.linalg.tensorinv, (matrix(6, 6).reshape(2, 3, 6),), gradient=True)
    yield Case(
        "tensorsolve",
        la.tensorsolve,
        np.linalg.tensorsolve,
        (matrix(6, 6).reshape(2, 3, 6), matrix(2, 3)),
        gradient=True,
    )
    for left in (False, True):
        for transpose in (False, True):

            def moved(a: Any, b: Any, left: bool = left, transpose: bool = transpose) -> Any:
                return g.ormqr(*g.geqrf(a), b, left, transpose)

            def moved_by_numpy(a: Values, b: Values, left: bool = left, transpose: bool = transpose) -> Values:
                q = np.linalg.qr(a, "complete")[0]
                q = q.T if transpose else q
                return q @ b if left else b @ q

            yield Case(f"ormqr-{left}-{transpose}", moved, moved_by_numpy, (matrix(3, 2), matrix(3, 3)))


def _norms() -> Iterator[Case]:
    x = matrix(2, 3, 3)
    for order in ("fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf):
        yield from both(
            f"matrix_norm-{order}",
            lambda x, order=order: _as(x, la.matrix_norm(x, order)),
            lambda x, order=order: np.linalg.norm(x, order, axis=(-2, -1)) + 0 * x[..., 0, 0],
            x,
        )
        yield Case(
            f"matrix_norm-keepdim-{order}",
            lambda x, order=order: la.matrix_norm(x, order, (2, 0), True),
            lambda x, order=order: np.linalg.norm(x, order, axis=(2, 0), keepdims=True),
            (x,),
        )
        yield Case(
            f"cond-{order}",
            lambda x, order=order: la.cond(x, order),
            lambda x, order=order: np.linalg.cond(x, order),
            (x,),
            gradient=order not in (1, -1, np.inf, -np.inf),
        )
    for order in (0, 1, 2, 3, 0.5, np.inf, -np.inf):
        yield Case(
            f"vector_norm-{order}",
            lambda x, order=order: la.vector_norm(x, order, dim=1),
            lambda x, order=order: np.linalg.norm(x, order, axis=1),
            (x,),
            gradient=order != 0,
        )
    yield Case("norm", la.norm, lambda x: np.linalg.norm(x.reshape(-1)), (x,), gradient=True)
    yield Case("norm-matrix", lambda x: la.norm(x, 2), lambda x: np.linalg.norm(x, 2), (x[0],), gradient=True)
    yield Case("norm-vector", lambda x: la.norm(x, 3, 1), lambda x: np.linalg.norm(x, 3, 1), (x[0],), gradient=True)


def _as(like: Any, x: Any) -> Any:
    return x.to(like.dtype)


CASES: tuple[Case, ...] = (*_factorisations(), *_spectral(), *_solutions(), *_products(), *_norms())
