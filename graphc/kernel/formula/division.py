"""fmod, remainder and floor_divide of floats and integers; the float ones are exact for operands of any size.

The remainder of x and y is x less a whole multiple of y, taken off piece by piece so that no piece is rounded: x has
few enough bits beside those of the quotient so far. float32 runs long division in float64, 51 quotient bits a step. In
float64, with x = a 2^d and y = b for whole a and b, 2^d modulo b comes from repeated squaring; products are kept as
unevaluated sums of two floats and reduced modulo b.
"""

from __future__ import annotations

from typing import Final

from graphc.ir.dtype import f32, f64
from graphc.kernel.formula.exponential import scale
from graphc.kernel.formula.number import FORMATS, Number, choose, fma, formula, two_product

_INF: Final = float("inf")
_LONG_DIVISION_STEPS: Final = 6
"""The quotient of two float32 is below 2^277."""


def _take_off(x: Number, y: Number, inverse: Number) -> Number:
    """x less the multiple of y nearest to it, nearly; nothing is rounded as long as that multiple has 2^51 at most."""
    return fma(-(x * inverse).apply("round"), y, x)


def _remainder_32(x: Number, y: Number) -> Number:
    """Remainder of positive numbers, in float64."""
    x, y = x.cast(f64), y.cast(f64)
    inverse = 1.0 / y
    for _ in range(_LONG_DIVISION_STEPS):
        x = _take_off(x, y, inverse)
    return choose(x < 0.0, x + y, x).cast(f32)


def _whole(x: Number) -> tuple[Number, Number]:
    """A whole number m from 2^52 on, below 2^53, and e with x = m 2^e."""
    form = FORMATS[f64]
    is_small = x < form.least_normal
    bits = choose(is_small, x * 2.0**54, x).bits
    m = (bits & ((1 << form.fraction) - 1)) | ((form.bias + form.fraction) << form.fraction)
    e = (bits >> form.fraction) - choose(
        is_small, bits.constant(form.bias + form.fraction + 54), form.bias + form.fraction
    )
    return m.bitcast(f64), e


def _multiply_modulo(x: Number, y: Number, b: Number, inverse: Number) -> Number:
    """x y modulo b for whole numbers of at most b / 2 in magnitude, which the result is as well."""
    product, low = two_product(x, y)
    rest = _take_off(_take_off(product, b, inverse), b, inverse)
    return _take_off(rest + low, b, inverse)


def _remainder_64(x: Number, y: Number) -> Number:
    """Remainder of positive numbers."""
    form = FORMATS[f64]
    (a, a_exponent), (b, b_exponent) = _whole(x), _whole(y)
    inverse = 1.0 / b
    d = a_exponent - b_exponent
    # The last five bits of d are put in at once, the next one too; squares of 2^64 give the others.
    first = ((d & 31) + form.bias) << form.fraction
    rest = _take_off(_take_off(a, b, inverse) * first.bitcast(f64), b, inverse)
    rest = choose((d & 32).differs(0), _take_off(rest * 2.0**32, b, inverse), rest)
    power = _take_off(a.constant(2.0**64), b, inverse)
    for bit in range(6, 12):
        rest = choose((d & (1 << bit)).differs(0), _multiply_modulo(rest, power, b, inverse), rest)
        power = _multiply_modulo(power, power, b, inverse)
    rest = choose(rest < 0.0, rest + b, rest)
    exponent = (b_exponent + form.magic_bits).bitcast(f64) - form.magic
    return choose(x < y, x, scale(rest, exponent))


def _exact_remainder(x: Number, y: Number) -> Number:
    """x - trunc(x / y) y, with the sign of x."""
    size, divisor = abs(x), abs(y)
    rest = _remainder_32(size, divisor) if x.dtype is f32 else _remainder_64(size, divisor)
    # The remainder by inf is x; there is none by 0, of inf, and of nan.
    rest = choose(divisor.equals(_INF), size, rest)
    is_defined = (size < _INF) & (divisor > 0.0)
    return choose(is_defined, rest, float("nan")).copysign(x)


@formula
def fmod(x: Number, y: Number) -> Number:
    """x - trunc(x / y) y, with the sign of x."""
    return _exact_remainder(x, y)


def _differ_in_sign(x: Number, y: Number) -> Number:
    return (x < 0.0) ^ (y < 0.0)


@formula
def remainder(x: Number, y: Number) -> Number:
    """x - floor(x / y) y, with the sign of y; 0 where an integer is divided by 0."""
    if x.dtype.is_floating_point:
        rest = _exact_remainder(x, y)
        moved = choose(_differ_in_sign(rest, y), rest + y, rest)
        return choose(rest.equals(0.0), rest.constant(0.0).copysign(y), moved)
    rest = x.apply("remainder_truncated", y)
    if not x.dtype.signed:
        return rest
    return choose(rest.differs(0) & ((rest ^ y) < 0), rest + y, rest)


@formula
def floor_divide(x: Number, y: Number) -> Number:
    """floor(x / y), found through the exact remainder as Python does; 0 where an integer is divided by 0."""
    if not x.dtype.is_floating_point:
        quotient = x.apply("divide_truncated", y)
        if not x.dtype.signed:
            return quotient
        is_inexact = (x - quotient * y).differs(0) & y.differs(0)
        return choose(is_inexact & ((x ^ y) < 0), quotient - 1, quotient)
    rest = _exact_remainder(x, y)
    quotient = (x - rest) / y
    quotient = choose(rest.differs(0.0) & _differ_in_sign(rest, y), quotient - 1.0, quotient)
    whole = quotient.apply("floor")
    whole = choose(quotient - whole > 0.5, whole + 1.0, whole)
    ratio = x / y
    whole = choose(quotient.equals(0.0), whole.constant(0.0).copysign(ratio), whole)
    return choose(y.equals(0.0), ratio, whole)
