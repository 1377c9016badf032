"""What the zeta and incomplete gamma functions are made of, beside the sums that `graphc/ops/special.py` writes.

Computed in float64 for every dtype. zeta(s, q) is a sum of few powers and the rest by Euler and Maclaurin. With
D = x^a e^-x / gamma(a), the upper incomplete gamma function, from x = a on, is D times the integral of
(1 + w)^(a - 1) e^(-x w) over positive w, and the lower one, up to there, D times that of e^(-a v + x (1 - e^-v)) over
positive v. Both decay at a known rate, so that w or v = exp(t - exp(-t)) over that rate leaves the trapezoid rule few
points (Takahasi and Mori: Double exponential formulas for numerical integration, 1974).
"""

from __future__ import annotations

import math
from typing import Final

from graphc.kernel.formula.exponential import minus_expm1
from graphc.kernel.formula.gamma import BERNOULLI, FAR, NEAR_TWO, STIRLING, positive_lgamma
from graphc.kernel.formula.logarithm import minus_log1p
from graphc.kernel.formula.number import Number, choose, double_formula, fma, polynomial

_INF: Final = float("inf")
_NAN: Final = float("nan")
_ZETA: Final = tuple(b / math.factorial(2 * k) for k, b in enumerate((*BERNOULLI, 854513 / 138, -236364091 / 2730), 1))
"""Bernoulli numbers B(2k) / (2k)!."""
_SERIES_LENGTH: Final = 18
"""Terms of the lower function's power series that count up to x = 1."""


@double_formula
def zeta_rest(s: Number, a: Number) -> Number:
    """The sum of (a + k)^-s over k = 0, 1, ... for a >= 8."""
    inverse = 1.0 / a
    square = inverse * inverse
    total = s.constant(_ZETA[-1])
    for k in range(len(_ZETA) - 1, 0, -1):
        growth = (s + (2.0 * k - 1.0)) * (s + 2.0 * k) * square
        total = fma(total, growth, _ZETA[k - 1])
    total = fma(total, s * inverse, a / (s - 1.0) + 0.5)
    power = a.apply("pow", -s)
    return choose(power.equals(0.0) & (a < _INF), 0.0, power * total)


def _density(a: Number, x: Number) -> Number:
    """x^a e^-x / gamma(a) for positive a and x; for a large a by Stirling's series, without cancellation."""
    direct = fma(a, x.apply("log"), -x) - positive_lgamma(a)
    inverse = 1.0 / a
    distance = minus_log1p((x - a) * inverse)
    far = fma(a, -distance, -(polynomial(inverse * inverse, STIRLING) * inverse))
    root = choose(a < FAR, 1.0, (a * (0.5 / math.pi)).sqrt)
    return root * choose(a < FAR, direct, far).apply("exp")


@double_formula
def gamma_integrand(a: Number, x: Number, t: Number) -> Number:
    """The integrand of the upper function where x >= a, else that of the lower one, times dw/dt or dv/dt."""
    is_upper = x >= a
    rate = abs(x - a)
    decay = (-t).apply("exp")
    w = (t - decay).apply("exp") / (rate + x.sqrt)
    upper = fma(-w, rate + 1.0, (1.0 - a) * minus_log1p(w))
    lower = fma(-w, rate, -(x * minus_expm1(-w)))
    return w * (decay + 1.0) * choose(is_upper, upper, lower).apply("exp")


def _both(a: Number, x: Number, integral: Number) -> tuple[Number, Number]:
    """The lower and the upper function, with PyTorch's values at the edges."""
    part = _density(a, x) * integral
    is_upper = x >= a
    lower, upper = choose(is_upper, 1.0 - part, part), choose(is_upper, part, 1.0 - part)

    # Up to a = 1 and x = 1 the power series: x^a / gamma(a + 1) (1 + a sum of (-x)^n / (n! (a + n))).
    total = x.constant(0.0)
    for n in range(_SERIES_LENGTH, 0, -1):
        total = fma(total, x, (-1.0) ** n / math.factorial(n) / (a + float(n)))
    total = total * x * a
    is_small = a < 0.5
    t = choose(is_small, a, a - 1.0)
    growth = fma(t, t, t) * polynomial(t + t, NEAR_TWO) - choose(is_small, a.apply("log1p"), 0.0)
    exponent = fma(a, x.apply("log"), -growth)
    power = exponent.apply("exp")
    is_corner = (x <= 1.0) & (a <= 1.0)
    lower = choose(is_corner, fma(power, total, power), lower)
    upper = choose(is_corner, -fma(power, total, exponent.apply("expm1")), upper)

    def at_edges(value: Number, least: float, greatest: float) -> Number:
        value = choose(x.equals(_INF) | a.equals(0.0), greatest, value)
        value = choose(x.equals(0.0) | a.equals(_INF), least, value)
        is_undefined = (x.equals(0.0) & a.equals(0.0)) | (x.equals(_INF) & a.equals(_INF)) | (x < 0.0) | (a < 0.0)
        return choose(is_undefined, _NAN, value)

    return at_edges(lower, 0.0, 1.0), at_edges(upper, 1.0, 0.0)


@double_formula
def lower_gamma(a: Number, x: Number, integral: Number) -> Number:
    """The regularized lower incomplete gamma function, given the integral."""
    return _both(a, x, integral)[0]


@double_formula
def upper_gamma(a: Number, x: Number, integral: Number) -> Number:
    """The regularized upper incomplete gamma function, given the integral."""
    return _both(a, x, integral)[1]
