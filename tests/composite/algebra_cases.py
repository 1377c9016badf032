"""Cases of distances, statistics, grids, windows, and of what is left of arithmetic."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

import graphc as g
from tests.composite.case import Case, draw, whole

_NAN = np.array([0.0, 1.0, np.nan, -2.0, np.nan, np.inf])
_OTHER = np.array([1.0, np.nan, 2.0, -3.0, np.nan, -np.inf])


def _distances(x: Any, y: Any, power: float) -> Any:
    size = np.abs(x[..., :, None, :] - y[..., None, :, :])
    return size.max(-1) if power == np.inf else (size != 0).sum(-1) * 1.0 if power == 0 else _rooted(size, power)


def _rooted(size: Any, power: float) -> Any:
    return (size**power).sum(-1) ** (1 / power)


def _trapezoids(y: Any, x: Any) -> Any:
    return np.cumsum((y[..., 1:] + y[..., :-1]) * np.diff(x) / 2, axis=-1)


def _parts(z: Any) -> Any:
    return np.where(z == 0, 0, z / np.where(z == 0, 1, np.abs(z)))


def cases() -> Iterator[Case]:
    """All of them."""
    yield from _elements()
    yield from _vectors()
    yield from _samples()
    yield from _tables()


def _elements() -> Iterator[Case]:
    for name in ("fmax", "fmin"):
        yield Case(name, getattr(g, name), getattr(np, name), (_NAN, _OTHER))
        yield Case(name, getattr(g, name), getattr(np, name), (draw(4), draw(3, 1)), gradient=True)
        yield Case(name, getattr(g, name), getattr(np, name), (whole(4), whole(4)))
    yield Case("clamp_min", lambda x: g.clamp_min(x, 0.5), lambda x: np.maximum(x, 0.5), (draw(9),), gradient=True)
    yield Case("clamp_max", lambda x: g.clamp_max(x, 0.5), lambda x: np.minimum(x, 0.5), (draw(9),), gradient=True)
    yield Case("clamp_min", g.clamp_min, np.maximum, (whole(4), whole(4)))
    for name in ("positive", "conj_physical", "resolve_conj", "resolve_neg"):
        yield Case(name, getattr(g, name), np.positive, (draw(3),), exact=True)
    z = draw(4) + 1j * draw(4)
    yield Case("conj_physical", g.conj_physical, np.conj, (z,), exact=True)
    yield Case("sgn", g.sgn, _parts, (np.append(z, 0),))
    yield Case("sgn", g.sgn, np.sign, (draw(4),))
    yield Case("isreal", g.isreal, np.isreal, (np.array([1 + 0j, 1j, 2 - 1j]),))
    yield Case("isreal", g.isreal, np.isreal, (draw(3),))
    for name in ("asin", "acos", "atan", "asinh", "acosh", "atanh", "log1p", "expm1", "log2", "log10", "exp2"):
        numpy_name = name.replace("a", "arc", 1) if name.startswith("a") else name
        formula = {"exp2": lambda z: 2**z}.get(name) or getattr(np, numpy_name)
        yield Case(name, getattr(g, name), formula, (z,))
    yield Case("sigmoid", g.sigmoid, lambda z: 1 / (1 + np.exp(-z)), (z,))
    yield Case("isin", g.isin, np.isin, (whole(3, 4), whole(5)))
    yield Case("isin", lambda x: g.isin(x, 3, invert=True), lambda x: x != 3, (whole(3, 4),))
    yield Case(
        "sum_to_size",
        lambda x: x.sum_to_size(3, 1),
        lambda x: x.sum((0, 2))[:, None],
        (draw(2, 3, 4),),
        gradient=True,
    )
    yield Case("prod", lambda z: g.prod(z, 0), lambda z: np.prod(z, 0), (draw(3, 2) + 1j * draw(3, 2),))
    yield Case("fill", lambda x: g.fill(x, 2.5), lambda x: np.full_like(x, 2.5), (draw(3),), exact=True)
    yield Case("fill", lambda x: x.fill(-9), lambda x: np.full_like(x, 247), (whole(3, low=0).astype(np.uint8),))
    yield Case("add", lambda x: x + 300, lambda x: x + np.uint8(44), (whole(3, low=0).astype(np.uint8),), exact=True)
    yield Case("scalar_tensor", lambda x: g.scalar_tensor(3) * x, lambda x: 3 * x, (draw(2),))
    yield Case("new_empty", lambda x: x.new_empty(2, 3) * 0, lambda x: np.zeros((2, 3)), (draw(2),))


def _vectors() -> Iterator[Case]:
    for p in (0.0, 1.0, 1.5, 2.0, 3.0, np.inf):
        x, y = draw(2, 3, 4), draw(5, 4)
        yield Case(
            "cdist",
            lambda x, y, p=p: g.cdist(x, y, p),
            lambda x, y, p=p: _distances(x, y, p),
            (x, y),
            gradient=p >= 2,
        )
        rows = list(zip(*itertools.combinations(range(5), 2), strict=True))
        yield Case(
            "pdist",
            lambda y, p=p: g.pdist(y, p),
            lambda y, p=p, rows=rows: _distances(y, y, p)[rows[0], rows[1]],
            (y,),
            gradient=p >= 2,
        )
    yield Case(
        "dist", lambda x, y: g.dist(x, y, 3), lambda x, y: _rooted(np.abs(x - y).ravel(), 3), (draw(3), draw(2, 3))
    )
    yield Case("frobenius_norm", lambda x: g.frobenius_norm(x, 1), lambda x: np.linalg.norm(x, axis=1), (draw(3, 4),))
    yield Case(
        "nuclear_norm",
        g.nuclear_norm,
        lambda x: np.linalg.norm(x, "nuc", axis=(-2, -1)),
        (draw(2, 3, 4),),
        gradient=True,
    )
    yield Case("norm", lambda x: x.norm("nuc"), lambda x: np.linalg.norm(x, "nuc"), (draw(3, 4),), gradient=True)
    yield Case(
        "renorm",
        lambda x: g.renorm(x, 2, 0, 1.5),
        lambda x: x * np.minimum(1, 1.5 / (np.linalg.norm(x, axis=1, keepdims=True) + 1e-7)),
        (np.array([[3.0, 4.0], [0.1, 0.2]]),),
        gradient=True,
    )
    yield Case("cross", g.cross, np.cross, (draw(4, 3), draw(4, 3)), gradient=True)
    yield Case("cross", lambda x, y: g.cross(x, y, 0), lambda x, y: np.cross(x, y, axis=0), (whole(3, 2), whole(3, 2)))
    for p in (-1.0, 0.5, 1.0, 1.5, 2.0, 4.0, np.inf, -np.inf):
        yield Case(
            "norm",
            lambda x, p=p: x.norm(p, dim=1),
            lambda x, p=p: np.linalg.norm(x, p, axis=1),
            (draw(3, 4, low=0.5) * np.array([1, -1, 1, -1]),),
            gradient=True,
        )
    yield Case(
        "addbmm",
        lambda x, a, b: g.addbmm(x, a, b, beta=0.5, alpha=2),
        lambda x, a, b: 0.5 * x + 2 * (a @ b).sum(0),
        (draw(2, 4), draw(3, 2, 5), draw(3, 5, 4)),
        gradient=True,
    )
    chain = draw(2, 9), draw(9, 3), draw(3, 5)
    yield Case("chain_matmul", g.chain_matmul, lambda a, b, c: a @ b @ c, chain, gradient=True)
    yield Case(
        "einsum",
        lambda a, b: g.einsum(a, [0, 1], b, [1, 2], [2, 0]),
        lambda a, b: (a @ b).T,
        (draw(2, 3), draw(3, 4)),
        gradient=True,
    )


def _samples() -> Iterator[Case]:
    y, x = draw(2, 5), np.array([0.0, 1.0, 3.0, 4.0, 8.0])
    yield Case("cumulative_trapezoid", g.cumulative_trapezoid, _trapezoids, (y, x), gradient=True)
    for order in (1, 2):
        yield Case(
            "gradient",
            lambda y, order=order: g.gradient(y, spacing=2.0, edge_order=order),
            lambda y, order=order: tuple(np.gradient(y, 2.0, edge_order=order)),
            (draw(4, 5),),
            gradient=True,
        )
        yield Case(
            "gradient",
            lambda y, x, order=order: g.gradient(y, spacing=(x,), dim=(1,), edge_order=order),
            lambda y, x, order=order: np.gradient(y, x, axis=1, edge_order=order),
            (y, x),
        )
    yield Case("cov", g.cov, np.cov, (draw(3, 6),), gradient=True)
    counts, weights = np.array([1, 2, 1, 3]), np.array([0.5, 1.0, 2.0, 0.25])
    yield Case(
        "cov",
        lambda x, f, a: g.cov(x, correction=0, fweights=f, aweights=a),
        lambda x, f, a: np.cov(x, ddof=0, fweights=f, aweights=a),
        (draw(2, 4), counts, weights),
    )
    yield Case("cov", g.cov, np.cov, (draw(2, 4) + 1j * draw(2, 4),))
    yield Case("corrcoef", g.corrcoef, np.corrcoef, (draw(3, 6),), gradient=True)


def _tables() -> Iterator[Case]:
    one = np.array([1.0])
    windows = {
        "hann_window": np.hanning,
        "hamming_window": np.hamming,
        "blackman_window": np.blackman,
        "bartlett_window": np.bartlett,
        "kaiser_window": lambda n: np.kaiser(n, 12.0),
    }
    for name, formula in windows.items():
        function = getattr(g, name)
        yield Case(
            name,
            lambda x, f=function: x * f(9, dtype="float64"),
            lambda x, f=formula: x * f(10)[:9],
            (one,),
        )
        yield Case(name, lambda x, f=function: x * f(9, False, dtype="float64"), lambda x, f=formula: x * f(9), (one,))
    for name in ("tril_indices", "triu_indices"):
        ours, theirs = getattr(g, name), getattr(np, name)
        for offset in (-1, 0, 2):
            yield Case(
                name,
                lambda x, f=ours, k=offset: x + f(3, 4, k),
                lambda x, f=theirs, k=offset: x + np.stack(f(3, k, 4)),
                (np.array([5]),),
            )
    yield Case(
        "cartesian_prod",
        g.cartesian_prod,
        lambda x, y: np.array([*itertools.product(x, y)]),
        (draw(3), draw(2)),
        gradient=True,
    )
    for replaced, choose in ((False, itertools.combinations), (True, itertools.combinations_with_replacement)):
        yield Case(
            "combinations",
            lambda x, r=replaced: g.combinations(x, 2, r),
            lambda x, f=choose: np.array([*f(x, 2)]),
            (draw(4),),
            gradient=True,
        )
    yield Case("range", lambda x: x * g.range(1, 4, 0.5), lambda x: x * np.arange(1, 4.5, 0.5), (one,))
    yield Case(
        "linspace", lambda x: g.linspace(x[0], 3.0, 5, dtype=x.dtype), lambda x: np.linspace(x[0], 3, 5), (draw(1),)
    )
