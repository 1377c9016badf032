"""erf: an odd polynomial up to 1, beyond it 1 - e^Q(|x|) with Q = log(erfc), a polynomial too (both by Remez)."""

from __future__ import annotations

from typing import Final

from graphc.ir.dtype import f32, f64
from graphc.kernel.formula.exponential import expm1_reduced, power_of_two, reduce_exponential
from graphc.kernel.formula.number import Number, at_most, choose, fma, formula, polynomial

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


@formula
def erf(x: Number) -> Number:
    """Error function."""
    magnitude = abs(x)
    small = fma(x, polynomial(x * x, _ERF_SMALL[x.dtype]), x)
    n, r = reduce_exponential(polynomial(at_most(magnitude, _ERF_ONE[x.dtype]), _ERF_LARGE[x.dtype]))
    s = power_of_two(n)
    large = (1.0 - fma(s, expm1_reduced(r), s)).copysign(x)
    return choose(magnitude < 1.0, small, large)
