"""log and its kin.

x = 2^e m with m between sqrt(1/2) and sqrt(2), from the bits. log(m) for m = 1 + f is a polynomial in f in float32; in
float64 it is f - s (f - R) with s = f / (2 + f) and R = log((1 + s) / (1 - s)) / s - 2, a polynomial in s^2. The
coefficients are minimax in relative error (Remez).
"""

from __future__ import annotations

from typing import Final

from graphc.ir.dtype import f32, f64
from graphc.kernel.formula.number import Number, choose, fma, formula, polynomial

_LOG_2: Final = {
    f32: (0.693145751953125, 1.42860682030941723e-06),
    f64: (0.693147180369123816490, 1.90821492927058770002e-10),
}
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


def log1p_reduced(f: Number) -> Number:
    """log(1 + f) for 1 + f between sqrt(1/2) and sqrt(2)."""
    if f.dtype is f32:
        square = f * f
        return fma(square, fma(f, polynomial(f, _CUBIC), -0.5), f)
    s = f / (f + 2.0)
    z = s * s
    half_square = f * f * 0.5
    return f - (half_square - s * fma(z, polynomial(z, _ATANH), half_square))


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
