"""sin, cos and tan: polynomials (minimax, by Remez) on the reduced angle, chosen and signed by its quadrant."""

from __future__ import annotations

from typing import Final

from graphc.ir.dtype import f32, f64
from graphc.kernel.formula.angle import reduce_angle, reduce_angle_twofold
from graphc.kernel.formula.number import Number, choose, fast_two_sum, fma, formula, polynomial

_SIN: Final = {
    f32: (-0.16666652262210846, 0.00833201315253973, -0.00019495432206895202),
    f64: (
        -0.16666666666666616,
        0.008333333333318317,
        -0.00019841269826506572,
        2.7557312543656127e-06,
        -2.505057836579484e-08,
        1.5886400646262677e-10,
    ),
}
"""P with sin(r) = r + r^3 P(r^2): relative error below 2^-27 and 2^-57 for |r| <= pi/4."""
_COS: Final = {
    f32: (0.04166664183139801, -0.0013887126697227359, 2.441144170006737e-05),
    f64: (
        0.04166666666666656,
        -0.0013888888888867411,
        2.4801587285341247e-05,
        -2.7557313171173304e-07,
        2.0875564793362916e-09,
        -1.135155011664972e-11,
    ),
}
"""P with cos(r) = 1 - r^2 / 2 + r^4 P(r^2): relative error below 2^-32 and 2^-63."""
_TAN: Final = (
    0.3333336114883423,
    0.13332268595695496,
    0.05410478636622429,
    0.021050360053777695,
    0.011435861699283123,
    -0.0006687428685836494,
    0.0047485921531915665,
)
"""P with tan(r) = r + r^3 P(r^2) in float32: relative error below 2^-28."""


def _sin_reduced(r: Number) -> Number:
    square = r * r
    return fma(square * r, polynomial(square, _SIN[r.dtype]), r)


def _cos_reduced(r: Number) -> Number:
    square = r * r
    return fma(square, fma(square, polynomial(square, _COS[r.dtype]), -0.5), 1.0)


def _signed(y: Number, quadrant: Number) -> Number:
    """y negated where the second bit of the quadrant is set."""
    form = y.format
    sign = (quadrant << (form.dtype.bits - 2)) & -(1 << (form.dtype.bits - 1))
    return (y.bits ^ sign).bitcast(form.dtype)


@formula
def sin(x: Number) -> Number:
    """Sine."""
    quadrant, r = reduce_angle(x)
    is_odd = (quadrant & 1).differs(0)
    y = _signed(choose(is_odd, _cos_reduced(r), _sin_reduced(r)), quadrant)
    return choose(x.equals(0.0), x, y)


@formula
def cos(x: Number) -> Number:
    """Cosine."""
    quadrant, r = reduce_angle(x)
    is_odd = (quadrant & 1).differs(0)
    # Negative in the second and third quadrant, where sine is so in the third and fourth.
    return _signed(choose(is_odd, _sin_reduced(r), _cos_reduced(r)), quadrant + 1)


@formula
def tan(x: Number) -> Number:
    """Tangent."""
    quadrant, r, r_low = reduce_angle_twofold(x)
    is_odd = (quadrant & 1).differs(0)
    if x.dtype is f32:
        square = r * r
        y, y_low = fast_two_sum(r, fma(square * r, polynomial(square, _TAN), r_low))
        inverse = -1.0 / y
        error = fma(inverse, y_low, fma(inverse, y, 1.0))
        y = choose(is_odd, fma(inverse, error, inverse), y)
    else:
        sine, cosine = _sin_reduced(r), _cos_reduced(r)
        y = choose(is_odd, -cosine, sine) / choose(is_odd, sine, cosine)
    return choose(x.equals(0.0), x, y)
