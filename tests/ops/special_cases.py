"""Cases of the special functions' ops; their values are judged in tests/special, against mpmath."""

from __future__ import annotations

import numpy as np

from graphc.ir.dtype import f64
from graphc.ir.op import Op
from graphc.ops import polynomial
from graphc.ops import special as sp
from graphc.ops import special_pair as pair
from tests.ops.case import FLOATS, INTEGERS, Case, draw, special

INSIDE = (sp.erfinv, sp.ndtri)
"""Ops whose operands are between 0 and 1."""
DIFFERENTIABLE = (
    sp.lgamma, sp.digamma, sp.trigamma, sp.erfinv, sp.erfcx, sp.ndtri, sp.log_ndtr, sp.i0, sp.i0e, sp.i1, sp.i1e,
)  # fmt: skip
CONSTANT = (
    sp.airy_ai, sp.bessel_j0, sp.bessel_j1, sp.bessel_y0, sp.bessel_y1, sp.modified_bessel_k0, sp.modified_bessel_k1,
    sp.scaled_modified_bessel_k0, sp.scaled_modified_bessel_k1,
)  # fmt: skip


def _unary() -> list[Case]:
    found: list[Case] = []
    for op in (*DIFFERENTIABLE, *CONSTANT):
        low, high = (0.05, 0.95) if op in INSIDE else (0.3, 2.2)
        found.append(Case(op, (draw((2, 3), f64, low, high),), gradient=op in DIFFERENTIABLE))
        found.extend(Case(op, (special(kind),), label="special") for kind in FLOATS)
    return found


def _pairs() -> list[Case]:
    a, x = np.array([0.5, 2.5, 9.0, 0.3]), np.array([0.7, 1.5, 12.0, 2.0])
    s, q = np.array([2.0, 3.5, 1.25, 3.0]), np.array([0.4, 1.5, 7.0, -1.75])
    found = [Case(op, (a, x)) for op in (pair.lower_gamma, pair.upper_gamma)]
    found += [Case(op, (a.astype(np.float32), x.astype(np.float32))) for op in (pair.lower_gamma, pair.upper_gamma)]
    return [*found, Case(pair.zeta, (s, q)), Case(pair.zeta, (s.astype(np.float32), q.astype(np.float32)))]


POLYNOMIALS = tuple(value for value in vars(polynomial).values() if isinstance(value, Op))


def _polynomials() -> list[Case]:
    x, n = (a.ravel() for a in np.meshgrid([-1.5, -1.0, -0.3, 0.0, 0.6, 1.0, 2.0], [-1.0, 0.0, 1.0, 2.7, 5.0, 12.0]))
    small = x.astype(np.float32), n.astype(np.float32)
    return [Case(op, arrays) for op in POLYNOMIALS for arrays in ((x, n), small)]


def _divisors() -> list[Case]:
    random = np.random.default_rng(2)
    found = []
    for kind in INTEGERS:
        limits = np.iinfo(kind.numpy.name)
        x, y = (random.integers(limits.min, limits.max, 40, kind.numpy, endpoint=True) for _ in range(2))
        x[:4], y[:6] = (0, 0, 12, 34), (0, 5, 18, 55, 0, 1)
        found.append(Case(sp.gcd, (x, y), expected=np.gcd, exact=True))
    return found


SPECIAL: tuple[Case, ...] = (
    *_unary(),
    *_pairs(),
    *_polynomials(),
    *_divisors(),
    Case(sp.without_gradient, (draw((3,)),), {"message": "none"}, expected=lambda x: x, exact=True),
)
