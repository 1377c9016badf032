"""tanh, from the reduced exponential."""

from __future__ import annotations

from typing import Final

from graphc.ir.dtype import f32, f64
from graphc.kernel.formula.exponential import expm1_reduced, power_of_two, reduce_exponential
from graphc.kernel.formula.number import Number, at_most, fma, formula

_TANH_ONE: Final = {f32: 9.1, f64: 19.1}
"""From here on tanh is 1."""


@formula
def tanh(x: Number) -> Number:
    """(e^2x - 1) / (e^2x + 1); numerator and denominator from one polynomial, so no cancellation near 0."""
    y = at_most(abs(x), _TANH_ONE[x.dtype])
    n, r = reduce_exponential(y + y)
    s, p = power_of_two(n), expm1_reduced(r)
    above = fma(s, p, s - 1.0)
    return (above / (above + 2.0)).copysign(x)
