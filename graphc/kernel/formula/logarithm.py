"""log and its kin.

x = 2^e m with m between sqrt(1/2) and sqrt(2), from the bits. log(m) for m = 1 + f is a polynomial in f in float32; in
float64 it is f - s (f - R) with s = f / (2 + f) and R = log((1 + s) / (1 - s)) / s - 2, a polynomial in s^2. The
coefficients are minimax in relative error (Remez).
"""

from __future__ import annotations

from typing import Final

from graphc.ir.dtype import f32, f64
from graphc.kernel.formula.number import Number, choose, fma, formula, polynomial

_LOG_2: Final = {f32: (0.693145751953125, 1.428606765330187e-06), f64: (0.6931471805598903, 5.497923018708371e-14)}
_LOG10_2: Final = {f32: (0.301025390625, 4.605039066518657e-06), f64: (0.30102999566395283, 2.8363394551044964e-14)}
"""Constants as a high part, with few enough bits that an exponent times it is exact, and a low part."""
_LOG2_E: Final = (1.4426950408889634, 2.0355273740931033e-17)
_LOG10_E: Final = (0.4342944819032518, 1.098319650216765e-17)
"""Constants as a float64 and what it lacks."""
_ROOT_HALF_BITS: Final = {f32: 0x3F3504F3, f64: 0x3FE6A09E667F3BCD}
_CUBIC: Final = (
    0.3333333134651184,
    -0.250008225440979,
    0.20001260936260223,
    -0.1662331521511078,
    0.1420109122991562,
    -0.13160137832164764,
    0.12765341997146606,
    -0.07638148218393326,
)
"""P with log(1 + f) = f - f^2 / 2 + f^3 P(f): relative error below 2^-27."""
_ATANH: Final = (
    0.6666666666666734,
    0.39999999999416574,
    0.28571428742048843,
    0.22222198602550464,
    0.18183562996257416,
    0.15314080841028282,
    0.14795675621931642,
)
"""P with log((1 + s) / (1 - s)) = 2 s + s^3 P(s^2): relative error below 2^-59."""

_LOG2: Final = (
    1.4426950216293335,
    -0.7213473320007324,
    0.4808982014656067,
    -0.360697865486145,
    0.2885684669177792,
    -0.23959337174892426,
    0.2046121209859848,
    -0.19129399955272675,
    0.18595819175243378,
    -0.10888948291540146,
)
_LOG10: Final = (
    0.4342944920063019,
    -0.21714718639850616,
    0.14476478099822998,
    -0.10858073830604553,
    0.0868678018450737,
    -0.07212770730257034,
    0.06159254163503647,
    -0.05755609646439552,
    0.0560007244348526,
    -0.032906465232372284,
)
"""P with log2(1 + f), log10(1 + f) = f P(f) in float32: relative error below 2^-27."""
_LOG1P_LINEAR: Final = {f32: 2.0**-25, f64: 2.0**-54}
"""Below this log1p(x) is x."""


def split_exponent(x: Number) -> tuple[Number, Number]:
    """e and m with x = 2^e m, m between sqrt(1/2) and sqrt(2), for positive x, subnormal ones included."""
    form = x.format
    is_small = x < form.least_normal
    up = float(form.fraction + 2)
    bits = choose(is_small, x * 2.0**up, x).bits
    exponent = (bits - _ROOT_HALF_BITS[x.dtype]) >> form.fraction
    m = (bits - (exponent << form.fraction)).bitcast(form.dtype)
    # As a float without a conversion, which 64-bit integers have in few instruction sets.
    e = (exponent + form.magic_bits).bitcast(form.dtype) - choose(is_small, x.constant(form.magic + up), form.magic)
    return e, m


def log1p_reduced(f: Number, f_low: Number | None = None) -> Number:
    """log(1 + f + f_low) for 1 + f between sqrt(1/2) and sqrt(2); f_low is what rounding left out of f, if anything."""
    if f.dtype is f32:
        square = f * f
        factor = fma(f, polynomial(f, _CUBIC), -0.5)
        return fma(square, factor, f) if f_low is None else f + fma(square, factor, f_low)
    s = f / (f + 2.0)
    z = s * s
    half_square = f * f * 0.5
    rest = half_square - s * fma(z, polynomial(z, _ATANH), half_square)
    return f - (rest if f_low is None else rest - f_low)


def logarithm_or_special(x: Number, y: Number) -> Number:
    """y where x is positive and finite; -inf at 0, nan below, inf at inf, nan at nan."""
    finite = choose(x.equals(float("inf")), x, y)
    return choose(x > 0.0, finite, choose(x.equals(0.0), x.constant(float("-inf")), float("nan")))


@formula
def log(x: Number) -> Number:
    """Natural logarithm."""
    e, m = split_exponent(x)
    high, low = _LOG_2[x.dtype]
    return logarithm_or_special(x, fma(e, high, fma(e, low, log1p_reduced(m - 1.0))))


@formula
def log2(x: Number) -> Number:
    """Logarithm to base 2."""
    e, m = split_exponent(x)
    return logarithm_or_special(x, e + _scaled_log1p(m - 1.0, _LOG2, _LOG2_E))


@formula
def log10(x: Number) -> Number:
    """Logarithm to base 10."""
    e, m = split_exponent(x)
    high, low = _LOG10_2[x.dtype]
    return logarithm_or_special(x, fma(e, high, fma(e, low, _scaled_log1p(m - 1.0, _LOG10, _LOG10_E))))


def _scaled_log1p(f: Number, coefficients: tuple[float, ...], factor: tuple[float, float]) -> Number:
    """log(1 + f) in another base."""
    if f.dtype is f32:
        return fma(f, coefficients[0], f * f * polynomial(f, coefficients[1:]))
    y = log1p_reduced(f)
    return fma(y, factor[0], y * factor[1])


def log1p_twofold(x: Number, x_low: Number | None) -> Number:
    """log(1 + x + x_low) where x is positive or not too small; x_low is what rounding left out of x, if anything.

    The fraction f with 1 + x = 2^e (1 + f) is made from x itself, not from the rounded sum.
    """
    form = x.format
    total = x + 1.0
    exponent = (total.bits - _ROOT_HALF_BITS[x.dtype]) >> form.fraction
    down = (form.one - (exponent << form.fraction)).bitcast(form.dtype)
    m = (total.bits - (exponent << form.fraction)).bitcast(form.dtype)
    is_moderate = x < 2.0 ** (form.fraction + 3)
    f = choose(is_moderate, fma(down, x, down - 1.0), m - 1.0)
    f_low = None if x_low is None else choose(is_moderate, down * x_low, 0.0)
    e = (exponent + form.magic_bits).bitcast(form.dtype) - form.magic
    high, low = _LOG_2[x.dtype]
    return logarithm_or_special(total, fma(e, high, fma(e, low, log1p_reduced(f, f_low))))


@formula
def log1p(x: Number) -> Number:
    """log(1 + x)."""
    return choose(abs(x) < _LOG1P_LINEAR[x.dtype], x, log1p_twofold(x, None))


def minus_log1p(x: Number) -> Number:
    """x - log(1 + x) for float64 x >= -1, right to the last bits also near 0."""
    s = x / (x + 2.0)
    near = fma(x, s, -(s * s * s) * polynomial(s * s, _ATANH))
    return choose(abs(x) < 0.25, near, x - x.apply("log1p"))
