"""The inverse of the error function, and functions of the normal distribution.

Computed in float64 for every dtype. erfinv(x) = x E(w) with w = -log(1 - x^2), which for the quantile of a small
probability p is -log(4 p (1 - p)) without loss (compare Giles: Approximating the erfinv function, 2010). E is a
polynomial in w up to 5, then polynomials in 1/sqrt(w) up to the least probability there is.
"""

from __future__ import annotations

import math
from typing import Final

from graphc.kernel.formula.error_function import scaled_erfc
from graphc.kernel.formula.number import Number, at_least, choose, double_formula, fma, on_interval, polynomial

_INF: Final = float("inf")
_SMALL: Final = 5.0
_MIDDLE: Final = 25.0
_LEAST_ROOT: Final = 28.0
"""Beyond sqrt(w) for the least positive probability."""
_E_SMALL: Final = (
    1.501409351110792, 0.6166006918604175, -0.026108235777397546, -0.019573561059547235,
    0.00852540095093571, -0.00048789839832821423, -0.0008341356436274527, 0.00029219068516379794,
    2.0472417318135177e-05, -4.143207161087569e-05, 8.652724308992296e-06, 2.851653340750412e-06,
    -1.8538776245567707e-06, 1.358328533200264e-07, 1.9955253577447374e-07, -7.089712161469048e-08,
    -6.723947932139946e-09, 1.1039320695967966e-08, -1.9762731377249387e-09, -9.755337189136466e-10,
    4.4154081401624544e-10, 3.858161126784112e-11, -3.8266700213012684e-11,
)  # fmt: skip
"""E over w from 0 to 5."""
_E_MIDDLE: Final = (
    0.9460221944687155, -0.0218429510157582, 0.003440208616823641, 0.0018050834953776006,
    0.0007928423158644802, 0.0001792931796203853, -0.00027334391791505327, -9.42099304551453e-05,
    9.726462280987595e-05, 2.4054103971826165e-05, -3.851743319025517e-05, 1.2716906053775422e-06,
    1.2547456991724035e-05, -4.829834221986436e-06, -2.119808850369857e-06, 2.442254274842e-06,
    -5.040434352361683e-07, -4.922507532875081e-07, 4.413921575542416e-07, -1.0672240986593672e-07,
    -9.978402321055513e-08, 1.0178868140745896e-07, -1.1303775757852398e-08, -2.8724615348939984e-08,
    1.0673794824978637e-08, 3.202022206975458e-09, -1.7379110794093921e-09,
)  # fmt: skip
_E_LARGE: Final = (
    0.9859388830308825, -0.01479404926488724, -0.001816972346784352, 0.000765818198366056,
    -0.0001397083924345528, 3.6770685788706295e-05, -1.3180614965078334e-05, 5.30494368898884e-06,
    -2.309960485974651e-06, 1.0723822191069916e-06, -5.234821699220309e-07, 2.656156873614074e-07,
    -1.3625312073506547e-07, 7.167182454634507e-08, -4.8221029550988816e-08, 3.0508762342327044e-08,
    4.723102208027896e-09, -9.423605652476894e-09, -3.247688334776988e-08, 2.7687758671554794e-08,
    2.9525199345209636e-08, -2.518849403627799e-08, -2.2992884882812372e-08, 1.8239780869232175e-08,
    9.610224814561888e-09, -7.332700839115019e-09, -2.114841963513033e-09, 1.523719496859683e-09,
)  # fmt: skip
"""P with E = sqrt(w) P, over 1/sqrt(w) up to w = 25, and from there to 28^2."""


def _quotient(w: Number) -> Number:
    """erfinv(x) / x for w = -log(1 - x^2)."""
    small = polynomial(on_interval(w, 0.0, _SMALL), _E_SMALL)
    root = at_least(w, _SMALL).sqrt
    inverse = 1.0 / root
    middle = polynomial(on_interval(inverse, 1.0 / math.sqrt(_MIDDLE), 1.0 / math.sqrt(_SMALL)), _E_MIDDLE)
    large = polynomial(on_interval(inverse, 1.0 / _LEAST_ROOT, 1.0 / math.sqrt(_MIDDLE)), _E_LARGE)
    return choose(w <= _SMALL, small, root * choose(w <= _MIDDLE, middle, large))


@double_formula
def erfinv(x: Number) -> Number:
    """The number whose error function is x; infinite at 1 and -1, nan beyond."""
    size = abs(x)
    w = -((1.0 - size) * (1.0 + size)).apply("log")
    return choose(size.equals(1.0), x * _INF, x * _quotient(w))


@double_formula
def ndtri(p: Number) -> Number:
    """The quantile of the standard normal distribution; -inf at 0, inf at 1, nan outside."""
    w = -(4.0 * p * (1.0 - p)).apply("log")
    x = (p - 0.5) * (2.0 * math.sqrt(2.0)) * _quotient(w)
    return choose(p.equals(0.0), -_INF, choose(p.equals(1.0), _INF, x))


@double_formula
def erfcx(x: Number) -> Number:
    """e^(x^2) erfc(x)."""
    size = abs(x)
    y = scaled_erfc(size)
    square = x * x
    below = square.apply("exp")
    below = choose(below.equals(_INF), _INF, fma(below, fma(x, x, -square), below))
    return choose(x < 0.0, fma(below, 2.0, -y), y)


@double_formula
def log_ndtr(x: Number) -> Number:
    """The logarithm of the standard normal distribution function."""
    scaled = x * math.sqrt(0.5)
    tail = scaled_erfc(abs(scaled))
    below = fma(x * x, -0.5, (tail * 0.5).apply("log"))
    above = (tail * (scaled * -scaled).apply("exp") * -0.5).apply("log1p")
    middle = ((-scaled).apply("erfc") * 0.5).apply("log")
    value = choose(x < -1.0, below, choose(x < 1.0, middle, above))
    return choose(abs(x).equals(_INF), choose(x < 0.0, x, -0.0), value)
