"""Bessel functions of order 0 and 1, of the first and second kind.

Computed in float64 for every dtype. Up to 5 they are polynomials in x^2 (of the first kind with the zero in there as a
factor, of the second kind beside a logarithm), from there on two slowly varying factors times the sine and cosine of
x (Abramowitz and Stegun, 9.2.5 and 9.2.6). The polynomials interpolate at Chebyshev's nodes; their relative errors are
below 2^-56.
"""

from __future__ import annotations

import math
from typing import Final

from graphc.kernel.formula.number import Number, choose, double_formula, fma, on_interval, polynomial

_EDGE: Final = 5.0
_ZERO_SQUARED: Final = ((5.783185962946784, 4.123247343506204e-16), (14.681970642123893, -9.858177825793294e-17))
"""The squares of the first zeros of J0 and J1, as a float and what it lacks."""
_J0_SMALL: Final = (
    -0.05728080421634534, 0.07436630462755323, -0.03277786210789048, 0.0073758943041960226,
    -0.001013405346985002, 9.414473580694953e-05, -6.3193186183226215e-06, 3.211562353433063e-07,
    -1.2795360168830179e-08, 4.105688303721103e-10, -1.0840781056083564e-11, 2.399602248240359e-13,
    -4.50857521753263e-15,
)  # fmt: skip
_J1_SMALL: Final = (
    -0.01587595431164548, 0.013090777521810029, -0.004240225993395723, 0.0007552540432951287,
    -8.592956232067133e-05, 6.814683895176615e-06, -3.991381172349741e-07, 1.799515992541992e-08,
    -6.443125533665431e-10, 1.8773810470060388e-11, -4.5448929803664786e-13, 9.268689637917528e-15,
)  # fmt: skip
"""P with J0(x) = (x^2 - z^2) P, J1(x) = x (x^2 - z^2) P, over x^2 from 0 to 25."""
_Y0_SMALL: Final = (
    0.4837248578102995, -0.4326558222855125, -0.47057636552972876, 0.38851639956570944,
    -0.11151682184328655, 0.01763534538933876, -0.0018028096665503853, 0.0001299462909208217,
    -6.985504374077061e-06, 2.9142206889637085e-07, -9.7209552080454e-09, 2.6539975248625817e-10,
    -6.04993694723965e-12, 1.166603953074689e-13,
)  # fmt: skip
_Y1_SMALL: Final = (
    0.13974939033568806, 0.09108650838448443, -0.16312020358118715, 0.06634695354779145,
    -0.013433433740818165, 0.0016688031328605528, -0.00014141835794484212, 8.733098315276175e-06,
    -4.1137780795312436e-07, 1.528888444673751e-08, -4.6013010745475043e-10, 1.1462847037754036e-11,
    -2.397782341669183e-13,
)  # fmt: skip
"""R with Y0(x) = 2/pi log(x) J0(x) + R and Y1(x) = 2/pi (log(x) J1(x) - 1/x) + x R."""
_J0_P: Final = (
    0.9986347659091991, -0.0013274931272004003, 3.4917305812543486e-05, -2.459963321484891e-06,
    2.9759005474711905e-07, -5.08643230838394e-08, 1.1058787126508455e-08, -2.8705436149232575e-09,
    8.537333898998171e-10, -2.851794579729694e-10, 1.0446084050144923e-10, -3.538662922896775e-11,
    1.2588002430248645e-11, -1.3637307914439566e-11, 8.357591428468508e-12, 3.4153115425728757e-12,
    -2.839578668874351e-12, -2.235391154912044e-12, 1.434214448471767e-12,
)  # fmt: skip
_J0_Q: Final = (
    -0.12361496352611864, 0.0013142139729102479, -6.338715442546601e-05, 6.23911316965569e-06,
    -9.409875176808848e-07, 1.8870297801035574e-07, -4.6398035440396124e-08, 1.3296573119800334e-08,
    -4.293806343863444e-09, 1.5282843631161893e-09, -5.894142390813651e-10, 2.3404733612832233e-10,
    -9.684728180684168e-11, 6.525876729744335e-11, -4.033194093953663e-11, -1.6056475557805105e-11,
    1.954313210860854e-11, 2.9761039229451444e-11, -2.4654455175366355e-11, -1.4357398193254568e-11,
    1.1781243865909694e-11, 4.365436075773392e-12, -3.238776838868129e-12,
)  # fmt: skip
_J1_P: Final = (
    1.0022906462560661, 0.002241463213917191, -4.5782806531265707e-05, 2.9786211051441743e-06,
    -3.4667186514153773e-07, 5.7916678422140156e-08, -1.2403215219140042e-08, 3.1849577586739448e-09,
    -9.395751413733448e-10, 3.117737074105936e-10, -1.1357643207946474e-10, 3.8451893184433864e-11,
    -1.3682028558855845e-11, 1.4551592853265447e-11, -8.878743173627242e-12, -3.590673840084351e-12,
    2.988136888593514e-12, 2.368522528186767e-12, -1.5168118526117827e-12,
)  # fmt: skip
_J1_Q: Final = (
    0.3730474331740802, -0.0018648496218413126, 7.898094177943239e-05, -7.369927947805624e-06,
    1.0798853942089243e-06, -2.126674090283508e-07, 5.1641422798019427e-08, -1.4664229261320404e-08,
    4.704141826870427e-09, -1.66417113065496e-09, 6.296749654365246e-10, -2.5293791309652793e-10,
    1.310461430846368e-10, -6.962061096201793e-11, -6.892050473630676e-12, 1.66450960692122e-11,
    3.922339737260088e-11, -3.1287029494773605e-11, -1.8540816446843297e-11, 1.5067476218656063e-11,
    6.349391905539522e-12, -4.588976369752451e-12,
)  # fmt: skip
"""P and Q, over (5/x)^2 from 0 to 1: sqrt(pi x / 2) J = P cos(a) - Q/x sin(a), for Y P sin(a) + Q/x cos(a)."""


def _small_j(x: Number, order: int) -> Number:
    """J by its polynomial."""
    y = x * x
    high, low = _ZERO_SQUARED[order]
    value = ((y - high) - low) * polynomial(on_interval(y, 0.0, _EDGE**2), _J1_SMALL if order else _J0_SMALL)
    return x * value if order else value


def _waves(x: Number, order: int) -> tuple[Number, Number]:
    """J and Y of a large x; the angle is x - pi/4, or x - 3 pi/4 for order 1."""
    inverse = 1.0 / x
    t = on_interval((inverse * _EDGE) * (inverse * _EDGE), 0.0, 1.0)
    p = polynomial(t, _J1_P if order else _J0_P)
    q = polynomial(t, _J1_Q if order else _J0_Q) * inverse
    sine, cosine = x.apply("sin"), x.apply("cos")
    total, difference = sine + cosine, sine - cosine
    scale = 1.0 / (x * math.pi).sqrt
    if order:
        return scale * fma(p, difference, q * total), scale * fma(q, difference, -(p * total))
    return scale * fma(p, total, -(q * difference)), scale * fma(p, difference, q * total)


def _first_kind(x: Number, order: int) -> Number:
    size = abs(x)
    y = choose(size <= _EDGE, _small_j(size, order), _waves(size, order)[0])
    return y * x.constant(1.0).copysign(x) if order else y


def _second_kind(x: Number, order: int) -> Number:
    regular = polynomial(on_interval(x * x, 0.0, _EDGE**2), _Y1_SMALL if order else _Y0_SMALL)
    product = x.apply("log") * _small_j(x, order)
    small = fma(product - 1.0 / x, 2.0 / math.pi, x * regular) if order else fma(product, 2.0 / math.pi, regular)
    y = choose(x <= _EDGE, small, _waves(x, order)[1])
    return choose(x.equals(0.0), float("-inf"), choose(x < 0.0, float("nan"), y))


@double_formula
def bessel_j0(x: Number) -> Number:
    """J of order 0; nan at infinities."""
    return _first_kind(x, 0)


@double_formula
def bessel_j1(x: Number) -> Number:
    """J of order 1; nan at infinities."""
    return _first_kind(x, 1)


@double_formula
def bessel_y0(x: Number) -> Number:
    """Y of order 0; -inf at 0, nan below and at inf."""
    return _second_kind(x, 0)


@double_formula
def bessel_y1(x: Number) -> Number:
    """Y of order 1; -inf at 0, nan below and at inf."""
    return _second_kind(x, 1)
