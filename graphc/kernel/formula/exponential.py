"""exp, exp2, expm1, sigmoid, and the reduced exponential that other formulas are built from.

Cody and Waite's reduction: x = n log(2) + r with whole n and |r| <= log(2) / 2, where n log(2) is taken off in two
steps, log(2) being the sum of two constants. exp(r) - 1 is a polynomial (minimax in relative error, by Remez' exchange,
the coefficients rounded one after another and the rest refitted); 2^n is put in through the exponent's bits.
"""

from __future__ import annotations

from typing import Final

from graphc.ir.dtype import f32, f64
from graphc.kernel.formula.number import Number, at_least, at_most, choose, fma, formula, polynomial

_LOG2_E: Final = 1.4426950408889634
_LOG_2: Final = {f32: (0.693145751953125, 1.428606765330187e-06), f64: (0.6931471805598903, 5.497923018708371e-14)}
"""log(2) as high part, with few enough bits that n times it is exact, and low part."""

_EXPM1: Final = {
    f32: (
        0.5,
        0.1666666567325592,
        0.04166646674275398,
        0.008333643898367882,
        0.0013935054885223508,
        0.00019663003331515938,
    ),
    f64: (
        0.5,
        0.16666666666666677,
        0.041666666666666644,
        0.008333333333321275,
        0.0013888888888902093,
        0.00019841269887402974,
        2.480158728834066e-05,
        2.7557242578869133e-06,
        2.7557301986844675e-07,
        2.5109711202316164e-08,
        2.09077395252731e-09,
    ),
}
"""q with exp(r) = 1 + r + r^2 q(r): relative error of exp(r) - 1 below 2^-31 and 2^-61."""

_EXP2: Final = {
    f32: (
        0.6931471824645996,
        0.24022647738456726,
        0.055503588169813156,
        0.009618482552468777,
        0.001339132315479219,
        0.0001533674803795293,
    ),
    f64: (
        0.6931471805599453,
        0.2402265069591011,
        0.05550410866482174,
        0.009618129107600543,
        0.0013333558146538707,
        0.0001540353045033709,
        1.525273364298351e-05,
        1.3215438198462969e-06,
        1.0178155707249672e-07,
        7.073341460214387e-09,
        4.43959500134525e-10,
    ),
}
"""q with 2^r = 1 + r q(r) for |r| <= 1/2: relative error of 2^r below 2^-28 and 2^-57."""

_EXP_RANGE: Final = {f32: (-104.0, 89.0), f64: (-746.0, 710.0)}
"""Beyond these exp is 0, and infinite."""
_EXP2_RANGE: Final = {f32: (-151.0, 129.0), f64: (-1076.0, 1025.0)}
_EXPM1_LEAST: Final = {f32: -18.0, f64: -38.0}
"""Below this expm1 is -1."""
_EXPM1_LINEAR: Final = {f32: 2.0**-25, f64: 2.0**-54}
"""Below this expm1(x) is x."""


def reduce_exponential(x: Number) -> tuple[Number, Number]:
    """Whole n and r with x = n log(2) + r and |r| <= log(2) / 2, for |x| up to 2^10."""
    magic = x.format.magic
    n = fma(x, _LOG2_E, magic) - magic
    high, low = _LOG_2[x.dtype]
    return n, fma(n, -low, fma(n, -high, x))


def expm1_reduced(r: Number) -> Number:
    """exp(r) - 1 for |r| <= log(2) / 2, right to the last bits also near 0."""
    return fma(r * r, polynomial(r, _EXPM1[r.dtype]), r)


def minus_expm1(x: Number) -> Number:
    """exp(x) - 1 - x, right to the last bits also near 0."""
    near = x * x * polynomial(x, _EXPM1[x.dtype])
    return choose(abs(x) < 0.34, near, x.apply("expm1") - x)


def power_of_two(n: Number) -> Number:
    """2^n for whole n between the least and the greatest exponent of a normal number."""
    form = n.format
    return (((n + form.magic).bits << form.fraction) + form.one).bitcast(form.dtype)


def scale_by_halves(x: Number, n: Number) -> Number:
    """x * 2^n for a whole number n, |n| <= 252 (2044 in float64).

    The factor comes in two halves, so that neither leaves the range of normal numbers.
    """
    form = x.format
    exponent = (n + form.magic).bits << form.fraction
    half = (exponent >> 1) & -(1 << form.fraction)
    first, second = ((part + form.one).bitcast(form.dtype) for part in (half, exponent - half))
    return x * first * second


@formula
def ldexp(x: Number, n: Number) -> Number:
    """`scale_by_halves` where the first half rounds nothing (1/16 <= |x| <= 2, or an exact result).

    There it has the bits of the instruction that some targets have instead.
    """
    return scale_by_halves(x, n)


def scale(x: Number, n: Number) -> Number:
    """`ldexp` as an op."""
    return x.apply("ldexp", n)


def exp_scaled(x: Number, shift: float = 0.0) -> Number:
    """exp(x) * 2^shift for a number within the range of exp (or nan)."""
    n, r = reduce_exponential(x)
    return scale(expm1_reduced(r) + 1.0, n + shift if shift else n)


@formula
def exp(x: Number) -> Number:
    """e^x."""
    low, high = _EXP_RANGE[x.dtype]
    return exp_scaled(at_least(at_most(x, high), low))


def exp2_reduced(r: Number) -> Number:
    """2^r for |r| <= 1/2."""
    return fma(r, polynomial(r, _EXP2[r.dtype]), 1.0)


@formula
def exp2(x: Number) -> Number:
    """2^x."""
    low, high = _EXP2_RANGE[x.dtype]
    x = at_least(at_most(x, high), low)
    magic = x.format.magic
    n = (x + magic) - magic
    return scale(exp2_reduced(x - n), n)


def expm1_parts(x: Number) -> tuple[Number, Number]:
    """s = 2^(n - 1) and p = exp(r) - 1, so that expm1(x) = 2 (s p + (s - 1/2))."""
    n, r = reduce_exponential(x)
    return power_of_two(n - 1.0), expm1_reduced(r)


@formula
def expm1(x: Number) -> Number:
    """e^x - 1, right to the last bits also near 0."""
    _, high = _EXP_RANGE[x.dtype]
    s, p = expm1_parts(at_least(at_most(x, high), _EXPM1_LEAST[x.dtype]))
    large = fma(s, p, s - 0.5)
    return choose(abs(x) < _EXPM1_LINEAR[x.dtype], x, large + large)


@formula
def sigmoid(x: Number) -> Number:
    """1 / (1 + e^-x), from e^-|x|, which can't overflow."""
    low, _ = _EXP_RANGE[x.dtype]
    decay = exp_scaled(at_least(-abs(x), low))
    above = choose(x < 0.0, decay, 1.0)
    y = above / (decay + 1.0)
    # What y (1 + decay) lacks of the numerator takes out the rounding of the denominator; above - y is exact.
    return y + fma(-y, decay, above - y)
