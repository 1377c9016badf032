"""erf and erfc.

erf is an odd polynomial up to 1, beyond it 1 - e^Q(|x|) with Q = log(erfc), a polynomial too. erfc(x) for positive x is
e^(-x^2) G(t) / (x + k) with t = (x - k) / (x + k), which maps all positive x to a bounded range (Shepherd, Laframboise:
Chebyshev approximation of (1 + 2 x) exp(x^2) erfc(x), 1981). The polynomials are minimax by Remez' exchange.
"""

from __future__ import annotations

import math
from typing import Final

from graphc.ir.dtype import f32, f64
from graphc.kernel.formula.exponential import expm1_reduced, power_of_two, reduce_exponential, scale
from graphc.kernel.formula.number import Number, at_most, choose, fast_two_sum, fma, formula, polynomial, two_product

_ERF_ONE: Final = {f32: 4.0, f64: 6.0}
"""From here on erf is 1."""
_ERF_SMALL: Final = {
    f32: (
        0.12837916612625122,
        -0.3761262595653534,
        0.11283578723669052,
        -0.026853347197175026,
        0.005187162198126316,
        -0.0007997853099368513,
        7.806903158780187e-05,
    ),
    f64: (
        0.12837916709551256,
        -0.37612638903183454,
        0.11283791670942439,
        -0.026866170642898493,
        0.005223977604680773,
        -0.0008548325870162839,
        0.00012055292016422389,
        -1.492468534688805e-05,
        1.6446828241138235e-06,
        -1.6204171753568137e-07,
        1.3702362410534649e-08,
        -7.764398652204812e-10,
    ),
}
"""P with erf(x) = x + x P(x^2) up to 1: relative error below 2^-29 and 2^-56."""
_ERF_LARGE: Final = {
    f32: (
        -0.00034162882366217673,
        -1.1270887851715088,
        -0.6381454467773438,
        -0.103106290102005,
        0.021837884560227394,
        -0.0029476271010935307,
        0.00018637777247931808,
    ),
    f64: (
        -1.796446138307727e-07,
        -1.1283773290121124,
        -0.6366284901329551,
        -0.10274724848513622,
        0.01907814736852872,
        0.00028050152861379087,
        -0.0017690158082604884,
        0.0006411864975814408,
        -4.483238250582621e-05,
        -7.03609429875821e-05,
        4.5034764716326615e-05,
        -1.6512989737799977e-05,
        4.326772705432283e-06,
        -8.505155736491034e-07,
        1.2569534674767445e-07,
        -1.3625558655646046e-08,
        1.0256069628420787e-09,
        -4.7955644803900765e-11,
        1.0495111187861062e-12,
    ),
}
"""Q with erf(x) = 1 - e^Q(x) from 1 on: error below 2^-29 and 2^-59."""

_CENTER: Final = 4.0
"""k in t = (x - k) / (x + k)."""
_ERFC_ZERO: Final = {f32: 10.2, f64: 27.4}
"""From here on erfc is 0."""
_ERFC: Final = {
    f32: (
        1.0959956645965576,
        -0.9765487313270569,
        0.7732083797454834,
        -0.5408534407615662,
        0.3308566212654114,
        -0.17401792109012604,
        0.07634606212377548,
        -0.02633439190685749,
        0.006255353335291147,
        -0.0003018459246959537,
        -0.0007184114656411111,
    ),
    f64: (
        1.095995661000491,
        -0.9765487290808821,
        0.7732087022652552,
        -0.5408538313132325,
        0.3308515878770807,
        -0.1740109372401476,
        0.07638151492767593,
        -0.02637005333278796,
        0.006112055470838395,
        -0.0002809589764092996,
        -0.00045505160916749747,
        0.0001768136647939409,
        -3.638972613680597e-06,
        -1.886460792124448e-05,
        4.702606006438004e-06,
        1.4339990975814262e-06,
        -8.563201634193829e-07,
        -9.082655123423489e-08,
        1.2981939845570083e-07,
        1.3898411791996485e-08,
        -1.501330879228403e-08,
        -4.53605356098249e-09,
        -4.0317459565331305e-10,
    ),
}
"""G with erfc(x) = e^(-x^2) G(t) / (x + k): relative error below 2^-27 and 2^-53."""
_ERFC_SLOPE: Final = {
    f32: (-0.9983336329460144, 1.1730408668518066, -1.351467251777649, 3.4367311000823975),
    f64: (-0.9144834280014038, 1.1326193809509277, -2.2702550888061523, 2.599199056625366),
}
"""The derivative of G, to a few bits: it only weighs the rounding of t."""


@formula
def erf(x: Number) -> Number:
    """Error function."""
    magnitude = abs(x)
    small = fma(x, polynomial(x * x, _ERF_SMALL[x.dtype]), x)
    n, r = reduce_exponential(polynomial(at_most(magnitude, _ERF_ONE[x.dtype]), _ERF_LARGE[x.dtype]))
    s = power_of_two(n)
    large = (1.0 - fma(s, expm1_reduced(r), s)).copysign(x)
    return choose(magnitude < 1.0, small, large)


@formula
def erfc(x: Number) -> Number:
    """1 - erf(x), right to the last bits also where it is small."""
    size = at_most(abs(x), _ERFC_ZERO[x.dtype])
    total = size + _CENTER
    total_low = size - (total - _CENTER)
    inverse = 1.0 / total
    inverse_error = fma(-inverse, total_low, fma(-inverse, total, 1.0))
    part = inverse * (2.0 * _CENTER)
    t, t_low = fast_two_sum(x.constant(1.0), -part)
    t_low = fma(-part, inverse_error, t_low)
    # The last two steps of Horner's rule, and the slope times the rounding of t, twofold.
    constant, first = (x.constant(c) for c in _ERFC[x.dtype][:2])
    tail = polynomial(t, _ERFC[x.dtype][2:])
    inner = fma(t, tail, first)
    inner_low = fma(t, tail, first - inner)
    g = fma(t, inner, constant)
    g_low = fma(t, inner_low, fma(t, inner, constant - g))
    g_low = fma(t_low, polynomial(t, _ERFC_SLOPE[x.dtype]), g_low)
    square, square_low = two_product(size, size)
    n, r = reduce_exponential(-square)
    p = expm1_reduced(r - square_low)
    # (g + g_low) (1 + p) (1 + inverse_error)
    p = p + fma(p, inverse_error, inverse_error)
    product, product_low = fast_two_sum(g, fma(g, p, fma(g_low, p, g_low)))
    y = scale(fma(product, inverse, product_low * inverse), n)
    return choose(x < 0.0, 2.0 - y, y)


_ASYMPTOTIC: Final = (-0.5, 0.75, -1.875, 6.5625, -29.53125, 162.421875, -1055.7421875)
"""P with e^(x^2) erfc(x) = (1 + P(1 / x^2) / x^2) / (x sqrt(pi)) from 25 on: the product of odd numbers over (-2)^k."""
_ASYMPTOTIC_FROM: Final = 25.0


def scaled_erfc(x: Number) -> Number:
    """e^(x^2) erfc(x) for float64 x >= 0."""
    inverse = 1.0 / (x + _CENTER)
    near = polynomial((x - _CENTER) * inverse, _ERFC[x.dtype]) * inverse
    inverse = 1.0 / x
    square = inverse * inverse
    far = fma(square, polynomial(square, _ASYMPTOTIC), 1.0) * inverse * (1.0 / math.sqrt(math.pi))
    return choose(x < _ASYMPTOTIC_FROM, near, far)
