"""pow and the roots cbrt, rsqrt and reciprocal.

pow(x, y) = 2^(y log2(x)) with log2(x) and its product with y as unevaluated sums of two floats, because an error of the
exponent is one of the result, up to a thousand times as large. log2(m) = c (s + s^3/3 + ...), s = (m - 1) / (m + 1),
where the first two terms are computed twofold. Special cases are those of C99.
"""

from __future__ import annotations

from typing import Final

from graphc.ir.dtype import f32, f64
from graphc.kernel.formula.exponential import exp2_reduced, power_of_two, scale
from graphc.kernel.formula.logarithm import split_exponent
from graphc.kernel.formula.number import (
    Number,
    at_least,
    at_most,
    choose,
    fast_two_sum,
    fma,
    formula,
    polynomial,
    two_product,
)

_INF: Final = float("inf")
_CUBE_ROOT: Final = {
    f32: (1.5581549406051636, -0.7672284841537476, 0.20967161655426025),
    f64: (1.730710506439209, -1.2857335805892944, 0.7133415937423706, -0.15853986144065857),
}
"""First guess of m^(-1/3) for m between sqrt(1/2) and sqrt(2): relative error below 2^-9 and 2^-11."""
_ROOT_OF_2: Final = 1.2599210498948732
_ROOT_OF_HALF: Final = 0.7937005259840998

_LINEAR: Final = {f32: (2.885390043258667, 3.851926067000022e-08), f64: (2.8853900817779268, 4.0710547481862066e-17)}
_CUBIC: Final = {f32: (0.9617967009544373, -7.028461812552678e-09), f64: (0.9617966939259756, 5.0577616648125907e-17)}
"""2 / log(2) and a third of it, as a float and what it lacks."""
_QUINTIC: Final = {
    f32: (0.5770801901817322, 0.4118499159812927, 0.337820827960968),
    f64: (
        0.5770780163555851,
        0.4121985831113457,
        0.32059889791278007,
        0.2623081986591255,
        0.22195227022284073,
        0.19240132957052616,
        0.16845132381534642,
        0.17281922227743543,
    ),
}
"""P with log2((1 + s) / (1 - s)) = linear s + cubic s^3 + s^5 P(s^2): relative error below 2^-36 and 2^-73."""
_EXPONENT_RANGE: Final = {f32: (-160.0, 130.0), f64: (-1090.0, 1030.0)}
"""Beyond these powers of two all is 0, or infinite."""


@formula
def reciprocal(x: Number) -> Number:
    """1 / x."""
    return 1.0 / x


@formula
def rsqrt(x: Number) -> Number:
    """1 / sqrt(x)."""
    return 1.0 / x.sqrt


@formula
def cbrt(x: Number) -> Number:
    """Cube root, by one step of Halley's iteration for z^(-1/3) and one of Newton's for z^(1/3)."""
    size = abs(x)
    e, m = split_exponent(size)
    magic = x.format.magic
    third = fma(e, 1.0 / 3.0, magic) - magic
    rest = fma(third, -3.0, e)
    z = m * choose(rest > 0.0, x.constant(2.0), choose(rest < 0.0, x.constant(0.5), 1.0))
    turn = choose(rest > 0.0, x.constant(_ROOT_OF_HALF), choose(rest < 0.0, x.constant(_ROOT_OF_2), 1.0))
    inverse = polynomial(m, _CUBE_ROOT[x.dtype]) * turn
    error = fma(-(z * inverse), inverse * inverse, 1.0)
    inverse = fma(inverse * error, fma(error, 2.0 / 9.0, 1.0 / 3.0), inverse)
    square = inverse * inverse
    root = z * square
    root_square, low = two_product(root, root)
    lacking = fma(-low, root, fma(-root_square, root, z))
    root = fma(lacking, square * (1.0 / 3.0), root)
    is_ordinary = (size > 0.0) & (size < _INF)
    return choose(is_ordinary, (root * power_of_two(third)).copysign(x), x)


def _log2_twofold(x: Number) -> tuple[Number, Number]:
    """log2 of a positive number as a rounded value and what it lacks."""
    e, m = split_exponent(x)
    f, total = m - 1.0, m + 1.0
    total_low = m - (total - 1.0)
    inverse = 1.0 / total
    s = f * inverse
    s_low = fma(-s, total_low, fma(-s, total, f)) * inverse
    z, z_low = two_product(s, s)
    z_low = fma(s + s, s_low, z_low)
    cubic, cubic_low = fast_two_sum(x.constant(_CUBIC[x.dtype][0]), z * polynomial(z, _QUINTIC[x.dtype]))
    cubic_low = cubic_low + _CUBIC[x.dtype][1]
    term, term_low = two_product(z, cubic)
    term_low = fma(z, cubic_low, fma(z_low, cubic, term_low))
    factor, factor_low = fast_two_sum(x.constant(_LINEAR[x.dtype][0]), term)
    factor_low = factor_low + (term_low + _LINEAR[x.dtype][1])
    y, y_low = two_product(s, factor)
    y_low = fma(s, factor_low, fma(s_low, factor, y_low))
    high, low = fast_two_sum(e, y)
    return fast_two_sum(high, low + y_low)


def _float_power(x: Number, y: Number) -> Number:
    """x^y."""
    size = abs(x)
    high, low = _log2_twofold(size)
    is_ordinary = (size > 0.0) & (size < _INF)
    high = choose(is_ordinary, high, choose(size.equals(0.0), x.constant(-_INF), size))
    is_unit = size.equals(1.0)
    exponent = choose(is_unit, 0.0, y * high)
    least, greatest = _EXPONENT_RANGE[x.dtype]
    is_inside = (exponent > least) & (exponent < greatest) & ~is_unit
    exponent_low = choose(is_inside, fma(y, low, fma(y, high, -exponent)), 0.0)
    exponent = at_least(at_most(exponent, greatest), least)
    magic = x.format.magic
    n = (exponent + magic) - magic
    result = scale(exp2_reduced((exponent - n) + exponent_low), n)

    half = y * 0.5
    is_whole = y.apply("trunc").equals(y)
    is_odd = is_whole & half.apply("trunc").differs(half)
    result = choose((x.bits < 0) & is_odd, -result, result)
    is_undefined = ((x < 0.0) & (size < _INF) & ~is_whole) | x.differs(x) | y.differs(y)
    result = choose(is_undefined, float("nan"), result)
    return choose(y.equals(0.0) | x.equals(1.0), 1.0, result)


def _whole_power(x: Number, y: Number) -> Number:
    """x^y modulo 2^bits by repeated squaring; for negative y 0, but for x = 1 and x = -1."""
    result, power, rest = x.constant(1), x, y
    # The last bit of a signed exponent is its sign.
    for bit in range(x.dtype.bits - x.dtype.signed):
        if bit:
            power, rest = power * power, rest >> 1
        result = choose((rest & 1).differs(0), result * power, result)
    if not x.dtype.signed:
        return result
    unit = choose(x.equals(1), x.constant(1), choose(x.equals(-1), 1 - ((y & 1) << 1), 0))
    return choose(y < 0, unit, result)


@formula
def pow(x: Number, y: Number) -> Number:
    """x^y."""
    return _float_power(x, y) if x.dtype.is_floating_point else _whole_power(x, y)
