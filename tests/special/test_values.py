"""Special functions in native float64 code against mpmath, and their float32 forms against those of float64."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import mpmath as mp
import numpy as np
import numpy.typing as npt
import pytest

import graphc
from graphc import special
from graphc.ops.function import functions

Values = npt.NDArray[Any]
COUNT = 24
"""Points per interval."""


@dataclass(frozen=True)
class Sampled:
    """A function of the table, the truth, and where the two are compared."""

    name: str
    truth: Callable[..., Any]
    intervals: tuple[tuple[float, float], ...]
    zeros: tuple[float, ...] = ()
    """Where the function is 0: next to these only the distance counts."""


def _log_gamma(x: Any) -> Any:
    return mp.log(abs(mp.gamma(x)))


def _quantile(p: Any) -> Any:
    """By Newton's iteration on the logarithm, which is nearly a parabola."""
    start = -mp.sqrt(-2 * mp.log(p)) if p < 0.1 else mp.sqrt(2) * mp.erfinv(2 * p - 1)
    return mp.findroot(lambda x: mp.log(mp.ncdf(x)) - mp.log(p), start)


UNARY = (
    Sampled("special.gammaln", _log_gamma, ((1e-3, 3), (0.999, 1.001), (1.999, 2.001), (3, 200), (-1.9, -0.01))),
    Sampled("special.digamma", mp.digamma, ((1e-3, 1.3), (1.6, 9), (9, 1e5), (-1.4, -1.05)), (1.4616321449683623,)),
    Sampled("special.erfinv", mp.erfinv, ((-0.99, 0.99), (1 - 1e-9, 1 - 1e-15), (1e-9, 1e-6))),
    Sampled("special.ndtri", _quantile, ((1e-300, 1e-290), (1e-9, 1e-6), (0.01, 0.45), (0.55, 0.99))),
    Sampled("special.erfcx", lambda x: mp.exp(x * x) * mp.erfc(x), ((-20, 0), (0, 4), (4, 24), (24, 30))),
    Sampled("special.log_ndtr", lambda x: mp.log(mp.ncdf(x)), ((-60, -1), (-1, 1), (1, 6))),
    Sampled("special.ndtr", mp.ncdf, ((-30, -1), (-1, 1), (1, 6))),
    Sampled("special.entr", lambda x: -x * mp.log(x), ((0.1, 0.9), (1.1, 30))),
    Sampled("special.i0", lambda x: mp.besseli(0, x), ((-8, 8), (8, 600))),
    Sampled("special.i1", lambda x: mp.besseli(1, x), ((-8, 8), (8, 600))),
    Sampled("special.i0e", lambda x: mp.besseli(0, x) * mp.exp(-abs(x)), ((-8, 8), (-9e3, -8))),
    Sampled("special.i1e", lambda x: mp.besseli(1, x) * mp.exp(-abs(x)), ((-8, 8), (-9e3, -8))),
    Sampled("special.bessel_j0", lambda x: mp.besselj(0, x), ((-5, 5), (6, 8), (1e3, 1e4)), (2.404825557695773,)),
    Sampled("special.bessel_j1", lambda x: mp.besselj(1, x), ((-3, 3), (5, 6.5), (1e3, 1e4))),
    Sampled("special.bessel_y0", lambda x: mp.bessely(0, x), ((1e-9, 0.8), (1, 3.8), (5, 6.5), (1e3, 1e4))),
    Sampled("special.bessel_y1", lambda x: mp.bessely(1, x), ((1e-9, 2), (2.5, 5), (6, 8), (1e3, 1e4))),
    Sampled("special.modified_bessel_i0", lambda x: mp.besseli(0, x), ((-8, 8),)),
    Sampled("special.modified_bessel_i1", lambda x: mp.besseli(1, x), ((-8, 8),)),
    Sampled("special.modified_bessel_k0", lambda x: mp.besselk(0, x), ((1e-9, 2), (2, 600))),
    Sampled("special.modified_bessel_k1", lambda x: mp.besselk(1, x), ((1e-9, 2), (2, 600))),
    Sampled("special.scaled_modified_bessel_k0", lambda x: mp.besselk(0, x) * mp.exp(x), ((1e-9, 2), (2, 900))),
    Sampled("special.scaled_modified_bessel_k1", lambda x: mp.besselk(1, x) * mp.exp(x), ((1e-9, 2), (2, 900))),
    Sampled("special.airy_ai", mp.airyai, ((-60, -4), (-4, -1), (-1, 1.5), (1.5, 60)), (-2.338107410459767,)),
    Sampled("special.spherical_bessel_j0", mp.sinc, ((-1e-3, 1e-3), (-3, 3), (3.3, 6))),
)  # fmt: skip


def _degree(n: Any) -> int:
    return int(n)


def _by_angle(x: Any, n: Any, kind: str) -> Any:
    """Chebyshev's polynomials of the third and fourth kind."""
    angle = mp.acos(x)
    if kind == "v":
        return mp.re(mp.cos((n + 0.5) * angle) / mp.cos(angle / 2))
    return mp.re(mp.sin((n + 0.5) * angle) / mp.sin(angle / 2))


X = (-2.3, 2.3)
DEGREES = (-1.0, 0.0, 1.0, 2.0, 3.9, 6.0, 8.0, 9.0, 14.0, 40.0)


@dataclass(frozen=True)
class Polynomial:
    """A family, the truth from x and the whole degree, and where to try it."""

    name: str
    truth: Callable[[Any, int], Any]
    interval: tuple[float, float] = X


POLYNOMIALS = (
    Polynomial("chebyshev_polynomial_t", lambda x, n: mp.chebyt(n, x)),
    Polynomial("chebyshev_polynomial_u", lambda x, n: mp.chebyu(n, x)),
    Polynomial("chebyshev_polynomial_v", lambda x, n: _by_angle(x, n, "v")),
    Polynomial("chebyshev_polynomial_w", lambda x, n: _by_angle(x, n, "w")),
    Polynomial("shifted_chebyshev_polynomial_t", lambda x, n: mp.chebyt(n, 2 * x - 1)),
    Polynomial("shifted_chebyshev_polynomial_u", lambda x, n: mp.chebyu(n, 2 * x - 1)),
    Polynomial("shifted_chebyshev_polynomial_v", lambda x, n: _by_angle(2 * x - 1, n, "v")),
    Polynomial("shifted_chebyshev_polynomial_w", lambda x, n: _by_angle(2 * x - 1, n, "w")),
    Polynomial("hermite_polynomial_h", lambda x, n: mp.hermite(n, x)),
    Polynomial("hermite_polynomial_he", lambda x, n: mp.hermite(n, x / mp.sqrt(2)) / mp.mpf(2) ** (mp.mpf(n) / 2)),
    Polynomial("laguerre_polynomial_l", lambda x, n: mp.laguerre(n, 0, x), (-3, 10)),
    Polynomial("legendre_polynomial_p", lambda x, n: mp.legendre(n, x)),
)


def native(name: str, *operands: Values) -> Values:
    """The function's result by native code."""
    build = functions()[name].build
    assert build is not None
    namespace, _, short = name.rpartition(".")
    function = getattr(special if namespace else graphc, short)
    result: Values = graphc.compile(lambda *x: function(*x))(*operands)
    return result


def exactly(truth: Callable[..., Any], *operands: Values) -> list[Any]:
    with mp.workdps(40):
        return [+truth(*map(mp.mpf, each)) for each in zip(*(x.tolist() for x in operands))]


def check(got: Values, want: list[Any], limit: float, scale: Values | float, *operands: Values) -> None:
    """Relative errors within the limit; `scale` is what a value counts as at least."""
    with mp.workdps(40):
        error = np.array([float(abs(mp.mpf(float(g)) - w)) for g, w in zip(got, want)])
        size = np.array([float(abs(w)) for w in want])
    relative = error / np.maximum(size, scale)
    worst = int(np.argmax(relative))
    at = [float(x[worst]) for x in operands]
    assert relative[worst] <= limit, f"at {at}: {got[worst]}, off by {relative[worst]:.1e}"


def sample(intervals: tuple[tuple[float, float], ...], zeros: tuple[float, ...]) -> Values:
    random = np.random.default_rng(17)
    points = np.concatenate([random.uniform(low, high, COUNT) for low, high in intervals])
    near = np.array([zero * (1 + step) for zero in zeros for step in (-1e-3, 1e-6)])
    return np.concatenate([points, near])


@pytest.mark.parametrize("case", UNARY, ids=lambda case: case.name)
def test_values_are_right_to_the_last_digits(case: Sampled) -> None:
    x = sample(case.intervals, case.zeros)
    got = native(case.name, x)
    least = np.where([any(abs(v - zero) < 0.1 * abs(zero) for zero in case.zeros) for v in x], 0.1, 0.0)
    check(got, exactly(case.truth, x), 1e-13, least, x)


@pytest.mark.parametrize("case", UNARY, ids=lambda case: case.name)
def test_float32_is_float64_rounded(case: Sampled) -> None:
    x = sample(case.intervals, ()).astype(np.float32)
    got = native(case.name, x)
    assert got.dtype == np.float32
    with np.errstate(all="ignore"):
        want = native(case.name, x.astype(np.float64)).astype(np.float32)
    # ndtr and entr are products of float32 functions.
    np.testing.assert_allclose(got, want, rtol=1e-6 if case.name in ("special.ndtr", "special.entr") else 1.2e-7)


@pytest.mark.parametrize("case", POLYNOMIALS, ids=lambda case: case.name)
def test_polynomials_are_right_for_degrees_in_a_tensor(case: Polynomial) -> None:
    points = np.random.default_rng(19).uniform(*case.interval, 12)
    x, n = (a.ravel() for a in np.meshgrid(points, np.array(DEGREES)))

    def truth(x: Any, n: Any) -> Any:
        degree = int(n) if n >= 0 else -1
        return mp.mpf(0) if degree < 0 else case.truth(x, degree)

    got = native(f"special.{case.name}", x, n)
    # Errors of a sum whose terms cancel are relative to the terms: to the values around.
    check(got, exactly(truth, x, n), 2e-11, 1e-2, x, n)


@pytest.mark.parametrize("order", [0, 1, 2, 3, 7])
def test_polygamma(order: int) -> None:
    x = sample(((0.05, 1.2), (1.7, 9), (9, 300), (-3.9, -3.2), (-0.9, -0.1)), ())
    got = graphc.compile(lambda x: special.polygamma(order, x))(x)

    def truth(x: Any) -> Any:
        # Below 0 by the recurrence, since mpmath has polygamma for positive numbers only.
        shift = max(0, math.ceil(-float(x)) + 1)
        terms = [(-1) ** order * mp.factorial(order) / (x + k) ** (order + 1) for k in range(shift)]
        return mp.polygamma(order, x + shift) - mp.fsum(terms)

    check(got, exactly(truth, x), 1e-12, 0.1 * (-((-1.0) ** order) * x < 0), x)


def test_zeta_of_two_operands() -> None:
    s, q = (a.ravel() for a in np.meshgrid([1.001, 1.5, 2.0, 3.0, 10.0, 60.0], [1e-3, 0.3, 1.0, 2.5, 8.0, 90.0]))
    check(native("special.zeta", s, q), exactly(mp.zeta, s, q), 2e-13, 0.0, s, q)


def test_zeta_below_zero_sums_all_terms() -> None:
    s, q = (a.ravel() for a in np.meshgrid([2.0, 3.0, 4.0], [-0.3, -2.5, -7.75]))

    def truth(s: Any, q: Any) -> Any:
        return mp.fsum((q + k) ** -int(s) for k in range(12)) + mp.zeta(s, q + 12)

    check(native("special.zeta", s, q), exactly(truth, s, q), 1e-13, 0.1, s, q)


AT = (
    (1e-9, 1e-12),
    (0.01, 0.5),
    (0.3, 1e-5),
    (0.7, 0.9),
    (0.5, 1.1),
    (1e-6, 3.0),
    (0.9, 20.0),
    (1.5, 0.01),
    (3.0, 2.9),
)
AT += ((3.0, 3.1), (10.0, 4.0), (10.0, 30.0), (50.0, 49.0), (120.0, 121.0), (400.0, 380.0), (400.0, 500.0))  # type: ignore[assignment]


@pytest.mark.parametrize(("name", "is_lower"), [("special.gammainc", True), ("special.gammaincc", False)])
def test_incomplete_gamma_functions(name: str, is_lower: bool) -> None:
    a, x = (np.array(each) for each in zip(*AT))

    def truth(a: Any, x: Any) -> Any:
        return mp.gammainc(a, 0, x, regularized=True) if is_lower else mp.gammainc(a, x, mp.inf, regularized=True)

    check(native(name, a, x), exactly(truth, a, x), 1e-12, 0.0, a, x)


def test_incomplete_gamma_functions_of_large_operands() -> None:
    a, x = np.array([1e6, 1e6, 1e9]), np.array([1e6, 1.001e6, 1e9])
    # By quadrature of the density with 40 digits.
    want = [0.50013298076087259, 0.84134478636834029, 0.50000420522087006]
    np.testing.assert_allclose(native("special.gammainc", a, x), want, rtol=1e-11)


@pytest.mark.parametrize("p", [1, 3])
def test_multigammaln(p: int) -> None:
    x = sample(((1.1, 3), (3, 40)), ())
    got = graphc.compile(lambda x: graphc.mvlgamma(x, p))(x)

    def truth(x: Any) -> Any:
        return mp.fsum(mp.loggamma(x - mp.mpf(k) / 2) for k in range(p)) + p * (p - 1) / mp.mpf(4) * mp.log(mp.pi)

    check(got, exactly(truth, x), 1e-13, 0.5, x)


def test_xlogy_and_xlog1py() -> None:
    x, y = np.random.default_rng(23).uniform(0.1, 5, (2, 20))
    check(native("special.xlogy", x, y), exactly(lambda x, y: x * mp.log(y), x, y), 1e-14, 0.1, x, y)
    check(native("special.xlog1py", x, y), exactly(lambda x, y: x * mp.log1p(y), x, y), 1e-14, 0.0, x, y)


def test_every_function_is_compared_or_is_one_of_another_module() -> None:
    compared = {case.name for case in UNARY} | {f"special.{case.name}" for case in POLYNOMIALS}
    compared |= {
        f"special.{n}" for n in ("polygamma", "zeta", "gammainc", "gammaincc", "multigammaln", "xlogy", "xlog1py")
    }
    builds = {functions()[name].build for name in compared}
    others = {
        "erf",
        "erfc",
        "exp2",
        "expit",
        "expm1",
        "log1p",
        "log_softmax",
        "logit",
        "logsumexp",
        "round",
        "sinc",
        "softmax",
    }
    missing = {
        name
        for name, entry in functions().items()
        if name.startswith("special.") and entry.build not in builds and name.removeprefix("special.") not in others
    }
    assert missing == set()
