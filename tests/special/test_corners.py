"""Special functions at zeros, poles, infinities and nan: literal values, those of PyTorch."""

from __future__ import annotations

import math

import numpy as np
import pytest

import graphc
from graphc import special
from graphc.ops.function import functions

INF, NAN = math.inf, math.nan
AT = [0.0, -0.0, 1.0, -1.0, -2.0, INF, -INF, NAN]

UNARY: dict[str, list[float]] = {
    "gammaln": [INF, INF, 0.0, INF, INF, INF, INF, NAN],
    "digamma": [-INF, INF, -0.5772156649015329, NAN, NAN, INF, NAN, NAN],
    "erfinv": [0.0, -0.0, INF, -INF, NAN, NAN, NAN, NAN],
    "ndtri": [-INF, -INF, INF, NAN, NAN, NAN, NAN, NAN],
    "erfcx": [1.0, 1.0, 0.427583576155807, 5.00898008076228, 108.940904389978, 0.0, INF, NAN],
    "log_ndtr": [-math.log(2), -math.log(2), -0.172753779023449, -1.84102164500926, -3.78318433368203, -0.0, -INF, NAN],
    "ndtr": [0.5, 0.5, 0.841344746068543, 0.158655253931457, 0.0227501319481792, 1.0, 0.0, NAN],
    "entr": [0.0, 0.0, -0.0, -INF, -INF, -INF, -INF, NAN],
    "i0": [1.0, 1.0, 1.26606587775201, 1.26606587775201, 2.27958530233607, NAN, NAN, NAN],
    "i0e": [1.0, 1.0, 0.465759607593640, 0.465759607593640, 0.308508322553671, 0.0, 0.0, NAN],
    "i1": [0.0, 0.0, 0.565159103992485, -0.565159103992485, -1.59063685463733, NAN, NAN, NAN],
    "i1e": [0.0, 0.0, 0.207910415349708, -0.207910415349708, -0.215269289248938, 0.0, -0.0, NAN],
    "bessel_j0": [1.0, 1.0, 0.765197686557967, 0.765197686557967, 0.223890779141236, NAN, NAN, NAN],
    "bessel_j1": [0.0, -0.0, 0.440050585744934, -0.440050585744934, -0.576724807756873, NAN, NAN, NAN],
    "bessel_y0": [-INF, -INF, 0.0882569642156769, NAN, NAN, NAN, NAN, NAN],
    "bessel_y1": [-INF, -INF, -0.781212821300289, NAN, NAN, NAN, NAN, NAN],
    "modified_bessel_k0": [INF, INF, 0.421024438240708, NAN, NAN, 0.0, NAN, NAN],
    "modified_bessel_k1": [INF, INF, 0.601907230197235, NAN, NAN, 0.0, NAN, NAN],
    "scaled_modified_bessel_k0": [INF, INF, 1.14446307980689, NAN, NAN, 0.0, NAN, NAN],
    "scaled_modified_bessel_k1": [INF, INF, 1.63615348626326, NAN, NAN, 0.0, NAN, NAN],
    "airy_ai": [0.355028053887817] * 2 + [0.135292416312881, 0.535560883292352, 0.227407428201686, NAN, NAN, NAN],
    "spherical_bessel_j0": [1.0, 1.0, 0.841470984807897, 0.841470984807897, 0.454648713412841, 0.0, 0.0, NAN],
    "logit": [-INF, -INF, INF, NAN, NAN, NAN, NAN, NAN],
}


@pytest.mark.parametrize("name", UNARY)
def test_unary_functions_at_corners(name: str) -> None:
    got = graphc.compile(lambda x: getattr(special, name)(x))(np.array(AT))
    want = np.array(UNARY[name])
    np.testing.assert_allclose(got, want, rtol=1e-12, err_msg=name)
    zeros = want == 0
    np.testing.assert_array_equal(np.signbit(got[zeros]), np.signbit(want[zeros]), err_msg=name)


PAIRS: tuple[tuple[str, tuple[tuple[float, float, float], ...]], ...] = (
    ("zeta", ((1, 2, INF), (0.5, 2, NAN), (2, 0, INF), (2, -3, INF), (2.5, -0.5, NAN), (2, INF, NAN), (NAN, 2, NAN))),
    ("zeta", ((2, 1, math.pi**2 / 6), (3, -0.5, 7 * 1.2020569031595942 - 8.0), (600, 0.3, INF), (50, 1e8, 0.0))),
    ("gammainc", ((0, 0, NAN), (0, 1, 1), (1, 0, 0), (-1, 1, NAN), (1, -1, NAN), (INF, 2, 0), (2, INF, 1))),
    ("gammainc", ((INF, INF, NAN), (NAN, 1, NAN))),
    ("gammaincc", ((0, 0, NAN), (0, 1, 0), (1, 0, 1), (-1, 1, NAN), (1, -1, NAN), (INF, 2, 1), (2, INF, 0))),
    ("xlogy", ((0, 0, 0), (0, -1, 0), (0, INF, 0), (0, NAN, NAN), (1, 0, -INF), (2, -1, NAN), (NAN, 1, NAN))),
    ("xlog1py", ((0, -1, 0), (0, -2, 0), (0, INF, 0), (0, NAN, NAN), (1, -1, -INF), (2, -3, NAN))),
    ("chebyshev_polynomial_t", ((-1, 7, -1), (1, 7, 1), (0.5, -1, 0), (NAN, 0, 1), (NAN, 3, NAN), (2, 2.9, 7))),
    ("chebyshev_polynomial_u", ((-1, 3, -4), (1, 3, 4), (-1, 4, 5), (0.0, 12, 1.0))),
    ("chebyshev_polynomial_v", ((-1, 3, -7), (1, 3, 1), (-1, 4, 9))),
    ("chebyshev_polynomial_w", ((-1, 3, -1), (1, 3, 7), (-1, 4, 1))),
    ("shifted_chebyshev_polynomial_t", ((0, 7, -1), (1, 7, 1))),
    ("hermite_polynomial_h", ((1, 3, -4), (1, 513, NAN), (1, -2, 0), (0, 0, 1))),
    ("hermite_polynomial_he", ((1, 3, -2), (1, 513, NAN))),
    ("laguerre_polynomial_l", ((0, 9, 1), (1, 2, -0.5))),
    ("legendre_polynomial_p", ((-1, 3, -1), (1, 300, 1), (0, 2, -0.5))),
)  # fmt: skip


@pytest.mark.parametrize(("name", "rows"), PAIRS, ids=[name for name, _ in PAIRS])
def test_functions_of_pairs_at_corners(name: str, rows: tuple[tuple[float, float, float], ...]) -> None:
    x, y, want = (np.array(column, np.float64) for column in zip(*rows))
    got = graphc.compile(lambda x, y: getattr(special, name)(x, y))(x, y)
    np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-15)


def test_common_divisors_and_multiples() -> None:
    fibonacci = 4660046610375530309, 7540113804746346429  # neighbours need the most divisions
    x = np.array([12, -18, 0, 0, 7, 2**40 * 9, fibonacci[0]])
    y = np.array([18, 12, 5, 0, -21, 2**35 * 6, fibonacci[1]])
    gcd, lcm = graphc.compile(lambda x, y: (graphc.gcd(x, y), graphc.lcm(x[:5], y[:5])))(x, y)
    np.testing.assert_array_equal(gcd, np.gcd(x, y))
    np.testing.assert_array_equal(lcm, [36, 36, 0, 0, 21])


def test_mantissas_and_exponents() -> None:
    x = np.array([1.0, 0.0, -0.0, INF, -3.5, NAN, 1e-310, 5e-324])
    mantissa, exponent = graphc.compile(lambda x: tuple(graphc.frexp(x)))(x)
    want, powers = np.frexp(x)
    np.testing.assert_array_equal(mantissa, want)
    np.testing.assert_array_equal(exponent, powers)
    assert exponent.dtype == np.int32
    half = graphc.compile(lambda x: tuple(graphc.frexp(x)))(x.astype(np.float16))
    np.testing.assert_array_equal(half[0][:6], np.array([0.5, 0, 0, INF, -0.875, NAN], np.float16))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_neighbours_of_floats(dtype: type[np.floating]) -> None:
    values = np.array([0.0, -0.0, 1.0, -1.0, 1e-40, INF, -INF, NAN, 3.0], dtype)
    x, y = (a.ravel() for a in np.meshgrid(values, values))
    got = graphc.compile(lambda x, y: graphc.nextafter(x, y))(x, y)
    np.testing.assert_array_equal(got, np.nextafter(x, y))
    np.testing.assert_array_equal(np.signbit(got[~np.isnan(got)]), np.signbit(np.nextafter(x, y)[~np.isnan(got)]))


def test_powers_of_two_reach_subnormals_and_do_not_overflow_early() -> None:
    x, n = np.array([1.0, 3.0, 1e-300, 1.0]), np.array([2, -3, 1900, -1074])
    got = graphc.compile(lambda x, n: graphc.ldexp(x, n))(x, n)
    np.testing.assert_array_equal(got, np.ldexp(x, n))


def test_steps() -> None:
    x = np.array([-1.0, 0.0, -0.0, 2.0, NAN], np.float32)
    got = graphc.compile(lambda x, v: graphc.heaviside(x, v))(x, np.float32([5.0]))
    np.testing.assert_array_equal(got, [0, 5, 5, 1, 0])


def test_degrees_by_row_run_in_one_kernel_with_what_surrounds_them() -> None:
    x, n = np.random.default_rng(3).uniform(-1, 1, (5, 7)), np.arange(5.0)[:, None]
    got = graphc.compile(lambda x, n: (special.legendre_polynomial_p(x * 0.5, n) + 1.0).sum(dim=1))(x, n)
    want = [np.polynomial.legendre.Legendre.basis(k)(row * 0.5).sum() + 7.0 for k, row in enumerate(x)]
    np.testing.assert_allclose(got, want, rtol=1e-13)


def test_aliases_are_the_same_functions() -> None:
    table = functions()
    for one, other in (("special.psi", "digamma"), ("special.gammaln", "lgamma"), ("special.gammainc", "igamma")):
        assert table[one].build is table[other].build
