"""sinh, cosh and tanh from the reduced exponential, and their inverses from log1p."""

from __future__ import annotations

from typing import Final

from graphc.ir.dtype import f32, f64
from graphc.kernel.formula.exponential import exp_scaled, expm1_reduced, power_of_two, reduce_exponential
from graphc.kernel.formula.logarithm import log1p_twofold
from graphc.kernel.formula.number import Number, at_most, choose, fast_two_sum, fma, formula, polynomial

_TANH_ONE: Final = {f32: 9.1, f64: 19.1}
"""From here on tanh is 1."""


_TANH: Final = (
    -0.33333298563957214,
    0.13331936299800873,
    -0.05378471687436104,
    0.02079862542450428,
    -0.005897966679185629,
)
"""P with tanh(x) = x + x^3 P(x^2) in float32: relative error below 2^-28 for |x| <= 0.6."""

_SINH: Final = {
    f32: (0.1666666716337204, 0.00833331048488617, 0.00019842895562760532, 2.7822134143207222e-06),
    f64: (
        0.16666666666666669,
        0.008333333333332912,
        0.0001984126984159339,
        2.755731910677178e-06,
        2.505213099493803e-08,
        1.605665957210546e-10,
        7.776584537849416e-13,
    ),
}
"""P with sinh(x) = x + x^3 P(x^2) up to 1: relative error below 2^-31 and 2^-61."""
_ENDLESS: Final = {f32: 90.0, f64: 711.0}
"""From here on sinh and cosh are infinite."""
_LARGE: Final = {f32: 2.0**28, f64: 2.0**57}
"""From here on asinh(x) and acosh(x) are log(x) + log(2), and log(x) is log1p(x)."""
_LOG_2: Final = 0.6931471805599453


def _half_exp(x: Number) -> Number:
    """e^|x| / 2, which is finite wherever cosh is."""
    return exp_scaled(at_most(abs(x), _ENDLESS[x.dtype]), -1.0)


@formula
def sinh(x: Number) -> Number:
    """(e^x - e^-x) / 2; a polynomial below 1."""
    half = _half_exp(x)
    square = x * x
    small = fma(square * x, polynomial(square, _SINH[x.dtype]), x)
    return choose(abs(x) < 1.0, small, (half - 0.25 / half).copysign(x))


@formula
def cosh(x: Number) -> Number:
    """(e^x + e^-x) / 2."""
    half = _half_exp(x)
    return half + 0.25 / half


@formula
def tanh(x: Number) -> Number:
    """1 - 2 / (e^2x + 1), in float32 with a polynomial for small x; in float64 (e^2x - 1) / (e^2x + 1)."""
    y = at_most(abs(x), _TANH_ONE[x.dtype])
    n, r = reduce_exponential(y + y)
    s, p = power_of_two(n), expm1_reduced(r)
    if x.dtype is f64:
        above = fma(s, p, s - 1.0)  # e^2x - 1 from its own polynomial: nothing cancels near 0
        return (above / (above + 2.0)).copysign(x)
    large = 1.0 - 2.0 / fma(s, p, s + 1.0)
    square = y * y
    small = fma(square * y, polynomial(square, _TANH), y)
    return choose(y < 0.6, small, large).copysign(x)


@formula
def asinh(x: Number) -> Number:
    """log(|x| + sqrt(x^2 + 1)) with the sign of x, as log1p(|x| + x^2 / (1 + sqrt(x^2 + 1)))."""
    size = abs(x)
    is_large = size >= _LARGE[x.dtype]
    argument, low = fast_two_sum(size, size * size / (fma(size, size, 1.0).sqrt + 1.0))
    return _log1p_or_log_twice(is_large, size, argument, low).copysign(x)


@formula
def acosh(x: Number) -> Number:
    """log(x + sqrt(x^2 - 1)), as log1p(t + sqrt(t^2 + 2 t)) with t = x - 1."""
    t = x - 1.0
    is_large = x >= _LARGE[x.dtype]
    argument, low = fast_two_sum(fma(t, t, t + t).sqrt, t)
    return choose(x < 1.0, float("nan"), _log1p_or_log_twice(is_large, x, argument, low))


@formula
def atanh(x: Number) -> Number:
    """log((1 + x) / (1 - x)) / 2, as log1p(2 |x| / (1 - |x|)) / 2 with the sign of x."""
    size = abs(x)
    double = size + size
    ratio = 1.0 / (1.0 - size)
    # For small x the rounding of the quotient counts less this way.
    near, near_low = fast_two_sum(double, double * size * ratio)
    is_near = size < 0.5
    return (log1p_twofold(choose(is_near, near, double * ratio), choose(is_near, near_low, 0.0)) * 0.5).copysign(x)


def _log1p_or_log_twice(is_large: Number, x: Number, argument: Number, low: Number) -> Number:
    """log(2 x) for large x, else log(1 + argument + low)."""
    y = log1p_twofold(choose(is_large, x, argument), choose(is_large, 0.0, low))
    return y + choose(is_large, x.constant(_LOG_2), 0.0)
