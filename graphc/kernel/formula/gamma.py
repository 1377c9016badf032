"""The logarithm of the gamma function, and its first two derivatives digamma and trigamma.

Computed in float64 for every dtype. From `FAR` on they are Stirling's series; below, the recurrence from x to x + 1
leads there (digamma, trigamma), or to the interval from 3/2 to 5/2 (lgamma, so that its zeros at 1 and 2 keep their
last bits); below 0 the reflection leads to positive numbers (Abramowitz and Stegun, 6.1 to 6.4).
"""

from __future__ import annotations

import math
from typing import Final

from graphc.kernel.formula.number import Number, at_most, choose, double_formula, fma, polynomial

_INF: Final = float("inf")
FAR: Final = 8.0
"""Where Stirling's series begin to be right to the last bits."""
_LAST_SHIFT: Final = 7
"""The recurrence takes as many steps below `FAR`, and one more."""
NEAR_TWO: Final = (
    0.42278433509846713, -0.050158650837176966, 0.00824125015528839, -0.0015480240241709283,
    0.0003124150728086002, -6.587908856955386e-05, 1.4302764256832122e-05, -3.169588975938308e-06,
    7.130970293621273e-07, -1.6229545709362817e-07, 3.7272066709849786e-08, -8.623138738014243e-09,
    2.011113823139402e-09, -4.707445038570993e-10, 1.0674693605190995e-10, -2.50500703795846e-11,
    7.992083559273627e-12, -1.927209520143327e-12,
)  # fmt: skip
"""P with lgamma(2 + t) = t (1 + t) P(2 t) for |t| <= 1/2: relative error below 2^-56."""
STIRLING: Final = tuple(
    b / (2 * k * (2 * k - 1))
    for k, b in enumerate((1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510), 1)
)
"""Bernoulli numbers B(2k) / (2k (2k - 1)): lgamma(x) = (x - 1/2) (log(x) - 1) + constant + P(1 / x^2) / x."""
BERNOULLI: Final = (
    1 / 6,
    -1 / 30,
    1 / 42,
    -1 / 30,
    5 / 66,
    -691 / 2730,
    7 / 6,
    -3617 / 510,
    43867 / 798,
    -174611 / 330,
)
_DIGAMMA: Final = tuple(b / (2 * k) for k, b in enumerate(BERNOULLI[:9], 1))
_SIN_PI: Final = (
    3.141592653589793, -5.167712780049969, 2.5501640398773007, -0.599264529318946,
    0.08214588657312355, -0.007370430506093225, 0.00046629981702308817, -2.1903499125519212e-05,
    7.697847275590284e-07,
)  # fmt: skip
"""P with sin(pi r) = r P(r^2) for |r| <= 1/2: relative error below 2^-57."""
_COS_PI: Final = (
    1.0, -0.9348022005446793, 0.3195033242380492, -0.05724947190231329,
    0.006332742747862939, -0.00047592037539986393, 2.589262197352217e-05, -1.0666851701021383e-06,
    3.347893997767547e-08,
)  # fmt: skip
"""P with cos(pi r) = (1 - 4 r^2) P(r^2) for |r| <= 1/2: relative error below 2^-57."""


def sin_pi(r: Number) -> Number:
    """sin(pi r) for |r| <= 1/2."""
    return r * polynomial(r * r, _SIN_PI)


def _cos_pi(r: Number) -> Number:
    return fma(r, -2.0, 1.0) * fma(r, 2.0, 1.0) * polynomial(r * r, _COS_PI)


def distance_to_whole(x: Number) -> Number:
    """x without the whole number nearest to it; nan for infinities."""
    return x - x.apply("round")


def positive_lgamma(x: Number) -> Number:
    """log(gamma(x)) for x > -1/2, of gamma's modulus where it is negative."""
    n = at_most(abs(x.apply("round")), FAR)
    t = x - n
    product = choose(n.equals(0.0), abs(fma(x, x, x)), x)
    above = x.constant(1.0)
    for k in range(2, _LAST_SHIFT + 1):
        above = above * choose(n > float(k), t + float(k), 1.0)
    is_below, is_far = n < 1.5, x >= FAR
    logarithm = choose(is_far, x, choose(is_below, product, above)).apply("log")
    near = fma(fma(t, t, t), polynomial(t + t, NEAR_TWO), choose(is_below, -logarithm, logarithm))
    inverse = 1.0 / x
    rest = fma(polynomial(inverse * inverse, STIRLING), inverse, 0.5 * math.log(2 * math.pi) - 0.5)
    return choose(is_far, fma(x - 0.5, logarithm - 1.0, rest), near)


@double_formula
def lgamma(x: Number) -> Number:
    """log |gamma(x)|."""
    is_reflected = x < -0.5
    size = choose(is_reflected, -x, x)
    y = positive_lgamma(size)
    reflected = (math.pi / (size * abs(sin_pi(distance_to_whole(size))))).apply("log") - y
    y = choose(is_reflected, reflected, y)
    return choose(abs(x).equals(_INF), _INF, y)


@double_formula
def digamma(x: Number) -> Number:
    """The derivative of lgamma; nan at negative whole numbers, infinite at 0 with the sign of -x."""
    is_reflected = x < 0.0
    y = choose(is_reflected, 1.0 - x, x)
    is_near = y < FAR
    # 1 / y + ... + 1 / (y + 7) as one fraction
    numerator, denominator = y.constant(1.0), y
    for k in range(1, _LAST_SHIFT + 1):
        factor = y + float(k)
        numerator = fma(numerator, factor, denominator)
        denominator = denominator * factor
    z = choose(is_near, y + (_LAST_SHIFT + 1.0), y)
    inverse = 1.0 / z
    square = inverse * inverse
    series = z.apply("log") - fma(square, polynomial(square, _DIGAMMA), inverse * 0.5)
    result = choose(is_near, series - numerator / denominator, series)
    r = distance_to_whole(x)
    reflected = result - math.pi * _cos_pi(r) / sin_pi(r)
    return choose(is_reflected, choose(r.equals(0.0), float("nan"), reflected), result)


@double_formula
def trigamma(x: Number) -> Number:
    """The derivative of digamma; inf at 0 and negative whole numbers."""
    is_reflected = x < 0.0
    y = choose(is_reflected, 1.0 - x, x)
    is_near = y < FAR
    numerator, denominator = y.constant(1.0), y * y
    for k in range(1, _LAST_SHIFT + 1):
        factor = y + float(k)
        factor = factor * factor
        numerator = fma(numerator, factor, denominator)
        denominator = denominator * factor
    z = choose(is_near, y + (_LAST_SHIFT + 1.0), y)
    inverse = 1.0 / z
    square = inverse * inverse
    series = inverse * fma(square, polynomial(square, BERNOULLI), fma(inverse, 0.5, 1.0))
    result = choose(is_near, series + numerator / denominator, series)
    root = math.pi / sin_pi(distance_to_whole(x))
    return choose(is_reflected, fma(root, root, -result), result)
