"""Airy's function Ai.

Computed in float64 for every dtype: polynomials from -4 to -1 and from there to 3/2; beyond, with z = 2/3 |x|^(3/2),
e^-z x^(-1/4) times a polynomial in 1/z, and below two slowly varying factors times the sine and cosine of z
(Abramowitz and Stegun, 10.4.59 and 10.4.60). The polynomials interpolate at Chebyshev's nodes; their relative errors
are below 2^-56.
"""

from __future__ import annotations

import math
from typing import Final

from graphc.kernel.formula.number import Number, choose, double_formula, fma, on_interval, polynomial, two_product

_FAR: Final = -4.0
_NEAR: Final = -1.0
_LARGE: Final = 1.5
_ZERO_FROM: Final = 110.0
_ZERO: Final = (-2.338107410459767, -3.912260409818305e-17)
"""The first zero, as a float and what it lacks."""
_BELOW: Final = (
    0.6938246402257434, 0.13872073456359446, -0.6660783631129523, 0.11552081241547106,
    0.21603847029135453, -0.09583243708188004, -0.020455229678234484, 0.02274158268165824,
    -0.002837217779484731, -0.0022086674765425807, 0.0008425347241983379, 2.3081284307136195e-05,
    -7.843591014915166e-05, 1.4871911575670836e-05, 2.4940700960171765e-06, -1.4535568125894794e-06,
    1.3225639853571137e-07, 5.4439475825006515e-08, -1.6536649950554917e-08, 3.591360819562096e-10,
    6.683570118893211e-10, -1.2366897645462015e-10, -8.316858866200984e-12, 4.820917074358161e-12,
)  # fmt: skip
_MIDDLE: Final = (
    0.2911639543485452, -0.31132764000612145, 0.05686795983370025, 0.07451120649326903,
    -0.04882064583974352, 0.007008808704320594, 0.004215304513374374, -0.0022051192381217907,
    0.0002738514789813659, 0.00010238391504588619, -4.666555837721414e-05, 5.226000873080392e-06,
    1.3768162717171554e-06, -5.711722348088316e-07, 5.9039096763496746e-08, 1.1747767578370846e-08,
    -4.553857923715716e-09, 4.3687374719297833e-10, 7.046501953402109e-11, -2.3795239282625966e-11,
    1.7727330985915568e-12,
)  # fmt: skip
"""P with Ai(x) = (x - zero) P from -4 to -1, and Ai(x) = P from -1 to 3/2."""
_DECAY: Final = (
    0.27537336163429443, -0.005759567852506477, 0.0007444201165920709, -0.00015501383464895153,
    4.154711908936427e-05, -1.3098301397362892e-05, 4.634793501031528e-06, -1.7898002527094603e-06,
    7.405826627036259e-07, -3.2414609231128007e-07, 1.4868308618004652e-07, -7.126951677258688e-08,
    3.5444673797879753e-08, -1.683459511336942e-08, 8.049302751080339e-09, -8.22281023573842e-09,
    6.3941053507004215e-09, 5.254122120110263e-09, -6.290155776980676e-09, -1.0570330641730502e-08,
    1.0242591887729332e-08, 1.0102844122271859e-08, -9.479717663935705e-09, -6.9934957583451805e-09,
    6.172477799093367e-09, 2.7827636269335057e-09, -2.35111742316506e-09, -5.426121688940333e-10,
    4.3396301277120434e-10,
)  # fmt: skip
"""P with Ai(x) = e^-z x^(-1/4) P, over 1/z as far as from 3/2."""
_P: Final = (
    0.999363720981151, -0.0006209941418019416, 1.4258707704202032e-05, -9.054529720196242e-07,
    1.0042141850557856e-07, -1.5925134157474398e-08, 3.2415457394751385e-09, -7.938135001056149e-10,
    2.2418198239897425e-10, -6.96436403087975e-11, 2.3609157642375446e-11, -1.1002442862433134e-11,
    5.0070505381947506e-12, 2.2103630245487495e-13, -4.907191544829305e-13, -1.0992152516140823e-12,
    6.271597555609459e-13,
)  # fmt: skip
_Q: Final = (
    0.0688085741766544, -0.0006071316848869219, 2.6011127080243395e-05, -2.324700729319807e-06,
    3.229739057938273e-07, -6.030170025661018e-08, 1.3918092556485584e-08, -3.768506628105655e-09,
    1.1561114150371971e-09, -3.921690349540306e-10, 1.4335348115394474e-10, -5.590228776762144e-11,
    2.635734010744306e-11, -1.2959144555012647e-11, 4.3752218111755556e-13, 1.592375085926939e-12,
    5.80847734002789e-12, -4.422458945136172e-12, -2.5742724427964806e-12, 2.0437733531467584e-12,
    9.283456439366503e-13, -6.49243616428232e-13,
)  # fmt: skip
"""P and Q with Ai(-x) = (cos(z - pi/4) P + sin(z - pi/4) Q / z) x^(-1/4) / sqrt(pi), over 1/z^2 as far as from -4."""


def _two_thirds_power(x: Number, root: Number) -> tuple[Number, Number]:
    """2/3 x^(3/2) as a rounded value and what it lacks, of which the exponential and the angle are made."""
    product, low = two_product(x, root)
    low = fma(x, fma(-root, root, x) / (root + root), low)
    twice = product + product
    z = twice / 3.0
    return z, fma(low, 2.0, fma(z, -3.0, twice)) * (1.0 / 3.0)


@double_formula
def airy_ai(x: Number) -> Number:
    """Ai; nan at infinities, as in PyTorch."""
    high, low = _ZERO
    below = ((x - high) - low) * polynomial(on_interval(x, _FAR, _NEAR), _BELOW)
    middle = polynomial(on_interval(x, _NEAR, _LARGE), _MIDDLE)
    size = abs(x)
    root = size.sqrt
    z, z_low = _two_thirds_power(size, root)
    inverse, fourth_root = 1.0 / z, root.sqrt
    decay = polynomial(on_interval(inverse * (_LARGE**1.5 * 2.0 / 3.0), 0.0, 1.0), _DECAY)
    small = (-z).apply("exp")
    large = choose(x > _ZERO_FROM, 0.0, fma(small, -z_low, small) * decay / fourth_root)
    t = on_interval(inverse * inverse * (4.0 / 9.0 * (-_FAR) ** 3), 0.0, 1.0)
    sine, cosine = z.apply("sin"), z.apply("cos")
    sine, cosine = fma(cosine, z_low, sine), fma(sine, -z_low, cosine)
    wave = fma(cosine + sine, polynomial(t, _P), (sine - cosine) * polynomial(t, _Q) * inverse)
    wave = wave / (fourth_root * math.sqrt(2.0 * math.pi))
    value = choose(x < _FAR, wave, choose(x < _NEAR, below, choose(x < _LARGE, middle, large)))
    return choose(size.equals(float("inf")), float("nan"), value)
