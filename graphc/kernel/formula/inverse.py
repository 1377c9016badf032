"""asin, acos, atan and atan2: odd polynomials (minimax in relative error, by Remez) on a reduced argument.

asin(x) beyond 1/2 is pi/2 - 2 asin(sqrt((1 - x) / 2)); atan(x) beyond 1 is pi/2 - atan(1 / x).
"""

from __future__ import annotations

from typing import Final

from graphc.ir.dtype import f32, f64
from graphc.kernel.formula.number import Number, choose, fast_two_sum, fma, formula, polynomial

_HALF_PI: Final = {
    f32: (1.5707963705062866, -4.371138828673793e-08),
    f64: (1.5707963267948966, 6.123233995736766e-17),
}
"""pi/2 as a float and what it lacks."""
_ASIN: Final = {
    f32: (
        0.16666659712791443,
        0.07500521838665009,
        0.04451359063386917,
        0.031834542751312256,
        0.014343371614813805,
        0.037641335278749466,
    ),
    f64: (
        0.16666666666665375,
        0.07500000000345537,
        0.04464285682099569,
        0.03038195944797031,
        0.022371750433535845,
        0.01735982167364998,
        0.013884062091422468,
        0.012177034621870121,
        0.006493626015056332,
        0.019623699612009222,
        -0.01637629520637789,
        0.03201807669237067,
    ),
}
"""P with asin(s) = s + s^3 P(s^2) up to 1/2: relative error below 2^-31 and 2^-55."""
_ATAN: Final = {
    f32: (
        -0.33333298563957214,
        0.1999852955341339,
        -0.14264015853405,
        0.10950881242752075,
        -0.08399315923452377,
        0.05788183584809303,
        -0.03109789453446865,
        0.010869523510336876,
        -0.0017831078730523586,
    ),
    f64: (
        -0.3333333333333307,
        0.19999999999951748,
        -0.14285714282567924,
        0.11111111006138688,
        -0.09090906977197388,
        0.07692279441684105,
        -0.06666400164441773,
        0.058805014915328545,
        -0.05253389607413425,
        0.04721850698508804,
        -0.04217867470646854,
        0.036613864840825135,
        -0.029857555037519967,
        0.0219259683886061,
        -0.013843417452850088,
        0.0071549732054660645,
        -0.0028630406635763925,
        0.0008234349257194327,
        -0.00015042070977331706,
        1.3047878393701724e-05,
    ),
}
"""P with atan(t) = t + t^3 P(t^2) up to 1: relative error below 2^-28 and 2^-57."""


def _asin_reduced(size: Number) -> tuple[Number, Number, Number]:
    """Whether the size is beyond 1/2, s = size or sqrt((1 - size) / 2), and asin(s) - s."""
    is_large = size > 0.5
    square = choose(is_large, fma(size, -0.5, 0.5), size * size)
    s = choose(is_large, square.sqrt, size)
    return is_large, s, s * square * polynomial(square, _ASIN[s.dtype])


@formula
def asin(x: Number) -> Number:
    """Arc sine: s + rest, or pi/2 - 2 (s + rest)."""
    high, low = _HALF_PI[x.dtype]
    is_large, s, rest = _asin_reduced(abs(x))
    difference, difference_low = fast_two_sum(x.constant(high), -(s + s))
    large = difference - (fma(rest, 2.0, -low) - difference_low)
    return choose(is_large, large, s + rest).copysign(x)


@formula
def acos(x: Number) -> Number:
    """Arc cosine: 2 y or pi - 2 y beyond 1/2, else pi/2 - asin(x)."""
    high, low = _HALF_PI[x.dtype]
    is_large, s, rest = _asin_reduced(abs(x))
    y = s + rest
    is_negative = x < 0.0
    end_high, end_low = (
        choose(is_negative, x.constant(2.0 * high), 0.0),
        choose(is_negative, x.constant(2.0 * low), 0.0),
    )
    change = choose(is_large, (y + y).copysign(x), (-y).copysign(-x))
    return choose(is_large, end_high, high) + (change + choose(is_large, end_low, low))


def _atan_reduced(t: Number) -> Number:
    """Arc tangent of a number between 0 and 1."""
    square = t * t
    return fma(square * t, polynomial(square, _ATAN[t.dtype]), t)


@formula
def atan(x: Number) -> Number:
    """Arc tangent."""
    high, low = _HALF_PI[x.dtype]
    size = abs(x)
    is_large = size > 1.0
    y = _atan_reduced(choose(is_large, 1.0 / size, size))
    return choose(is_large, high - (y - low), y).copysign(x)


@formula
def atan2(y: Number, x: Number) -> Number:
    """Angle of the point (x, y): atan(y / x) in the right quadrant, -pi to pi."""
    high, low = _HALF_PI[x.dtype]
    is_steep, is_left = abs(y) > abs(x), x.bits < 0
    greater, lesser = choose(is_steep, abs(y), abs(x)), choose(is_steep, abs(x), abs(y))
    ratio = choose(lesser.equals(0.0), 0.0, choose(lesser.equals(float("inf")), 1.0, lesser / greater))
    angle = _atan_reduced(ratio)
    # angle, pi/2 - angle, pi - angle or pi/2 + angle
    change = choose(is_steep ^ is_left, -angle, angle)
    end_high, end_low = choose(is_left, x.constant(2.0 * high), 0.0), choose(is_left, x.constant(2.0 * low), 0.0)
    turned = choose(is_steep, high, end_high) + (change + choose(is_steep, low, end_low))
    return choose(x.differs(x) | y.differs(y), float("nan"), turned.copysign(y))
