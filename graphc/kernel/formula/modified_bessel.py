"""Modified Bessel functions of order 0 and 1, plain and with their exponential taken out.

Computed in float64 for every dtype. I is a polynomial in x^2 up to 8, and beyond it e^x / sqrt(x) times one in 1/x;
K is a polynomial in x^2 beside log(x/2) I up to 2, and beyond it e^-x / sqrt(x) times one in 1/x (Abramowitz and
Stegun, 9.6 to 9.8). The polynomials interpolate at Chebyshev's nodes; their relative errors are below 2^-56.
"""

from __future__ import annotations

from typing import Final

from graphc.kernel.formula.number import Number, choose, double_formula, fma, on_interval, polynomial

_I_EDGE: Final = 8.0
_K_EDGE: Final = 2.0
_I0_SMALL: Final = (
    1.0, 0.25, 0.015625000000000007, 0.00043402777777777445,
    6.78168402777882e-06, 6.781684027758072e-08, 4.709502797313533e-10, 2.402807547397442e-12,
    9.385967122738159e-15, 2.896902786535184e-17, 7.24227907083928e-20, 1.4962821580600773e-22,
    2.598786220717598e-25, 3.8293884542786716e-28, 5.032875772398412e-31, 4.600650617496926e-34,
    8.489079967240371e-37,
)  # fmt: skip
_I1_SMALL: Final = (
    0.5, 0.06250000000000001, 0.0026041666666666574, 5.425347222222714e-05,
    6.781684027764253e-07, 5.6514033567062535e-09, 3.3639305668839624e-11, 1.5017547368904685e-13,
    5.21442511666455e-16, 1.4484555512565449e-18, 3.2918255700128937e-21, 6.2370262972245455e-24,
    9.956903092564813e-27, 1.408977785612294e-29, 1.380579477192139e-32, 2.717003032172177e-35,
)  # fmt: skip
"""P with I0(x) = P(x^2) and I1(x) = x P(x^2) up to 8."""
_I0_LARGE: Final = (
    0.4021765094450081, 0.0033605519836678614, 0.0001362160743919305, 1.1143033790932038e-05,
    1.4838475658279249e-06, 2.9735985885673923e-07, 8.872219737904054e-08, 3.9325843345529525e-08,
    2.1548377974791585e-08, 7.554691881248773e-09, -6.74765795610745e-09, -1.3408917540089601e-08,
    -5.404771567580237e-09, 7.552583062123025e-09, 7.430464650326109e-09, -3.5059665308787215e-09,
    -5.953569438266e-09, 1.5200816953917471e-09, 3.6379546359022984e-09, -5.715843864198003e-10,
    -1.6189806836254808e-09, 1.5279202694962887e-10, 4.577087631646711e-10, -2.0260604287381363e-11,
    -6.067631570608219e-11,
)  # fmt: skip
_I1_LARGE: Final = (
    0.38939845902587233, -0.009749577193235737, -0.00021923576383388928, -1.5038547200567216e-05,
    -1.8349101326980946e-06, -3.483855761044295e-07, -1.0001288294864884e-07, -4.3129177291783496e-08,
    -2.3373928208142625e-08, -8.427766093735148e-09, 6.734464815301512e-09, 1.4034238782067042e-08,
    5.974437608040561e-09, -7.642394134363197e-09, -7.888351507862804e-09, 3.426234149007176e-09,
    6.242741219787623e-09, -1.438725053303415e-09, -3.794670896209595e-09, 5.295625441156483e-10,
    1.6848984479713606e-09, -1.4011625179751664e-10, -4.75881883870712e-10, 1.851511882882021e-11,
    6.305965197155564e-11,
)  # fmt: skip
"""P with I(x) = e^x / sqrt(x) P, over 8/x from 0 to 1."""
_K_I0: Final = (
    1.0, 0.25, 0.015624999999999938, 0.00043402777777797714,
    6.781684027454118e-06, 6.781684057951957e-08, 4.709501085333947e-10, 2.4028675998327848e-12,
    9.373256627857504e-15, 3.045258253029478e-17,
)  # fmt: skip
_K_I1: Final = (
    0.5, 0.062499999999999875, 0.0026041666666674823, 5.425347222013042e-05,
    6.781684054641843e-07, 5.65140141938011e-09, 3.3640125537492935e-11, 1.4997356688648755e-13,
    5.481499174386538e-16,
)  # fmt: skip
"""P with I0(x) = P(x^2) and I1(x) = x P(x^2) up to 2."""
_K0_SMALL: Final = (
    -0.30362077291575545, 0.3404973210133806, 0.07177701034240509, 0.005053392643196092,
    0.0001828055582791554, 4.054506619949891e-06, 6.093361894172114e-08, 6.623013272794453e-10,
    5.452564662772586e-12, 3.518631515854722e-14,
)  # fmt: skip
_K1_SMALL: Final = (
    0.8850882877295894, -0.3322409552403131, -0.2438385288677433, -0.02785423521977184,
    -0.001383168846618116, -3.891869064371633e-05, -7.081133691517408e-07, -9.032127501740678e-09,
    -8.533634168575142e-11, -6.214271617329577e-13,
)  # fmt: skip
"""P with K0(x) = P - log(x/2) I0(x) and K1(x) = P / x + log(x/2) I1(x), over x^2 from 0 to 4."""
_K0_LARGE: Final = (
    1.2185953385133905, -0.03107146182488952, 0.0030328918102753206, -0.0004797690567662314,
    9.95605474202942e-05, -2.4735204561466906e-05, 7.002245645755651e-06, -2.191177788015528e-06,
    7.427801232190096e-07, -2.6890662472901614e-07, 1.02954317593912e-07, -4.133923052104385e-08,
    1.7047535884249698e-08, -7.286380907337665e-09, 3.808399859919043e-09, -1.9309444875845705e-09,
    4.757544705776374e-11, 1.7887095838476482e-10, 8.133913205464114e-10, -5.541051446065683e-10,
    -3.119936129682105e-10, 2.213758097591008e-10, 1.0926983537268735e-10, -6.910453875670571e-11,
)  # fmt: skip
_K1_LARGE: Final = (
    1.363151890371342, 0.10334973775386523, -0.005566729880074588, 0.0007357241549081501,
    -0.00013959021956272223, 3.284386555825453e-05, -8.961207387750025e-06, 2.730041433569803e-06,
    -9.067087633371393e-07, 3.2298119177151824e-07, -1.2203186351938403e-07, 4.8461952200091865e-08,
    -1.9817577141591116e-08, 8.40938756536177e-09, -4.331939985658629e-09, 2.1757782025837176e-09,
    -8.336227195991456e-11, -1.7982138496175016e-10, -8.908596710923906e-10, 6.042482293782838e-10,
    3.3867804167808003e-10, -2.399376595899464e-10, -1.1931668393112158e-10, 7.52479548635394e-11,
)  # fmt: skip
"""P with K(x) = e^-x / sqrt(x) P, over 2/x from 0 to 1."""


def _first_kind(x: Number, order: int, is_scaled: bool) -> Number:
    size = abs(x)
    small = polynomial(size * size, _I1_SMALL if order else _I0_SMALL)
    large = polynomial(on_interval(_I_EDGE / size, 0.0, 1.0), _I1_LARGE if order else _I0_LARGE) / size.sqrt
    if is_scaled:
        small = small * (-size).apply("exp")
    else:
        large = large * size.apply("exp")
    y = choose(size <= _I_EDGE, size * small if order else small, large)
    return choose(x < 0.0, -y, y) if order else y


def _second_kind(x: Number, order: int, is_scaled: bool) -> Number:
    y = x * x
    logarithm = (x * 0.5).apply("log")
    t = on_interval(y, 0.0, _K_EDGE**2)
    if order:
        small = fma(logarithm * x, polynomial(y, _K_I1), polynomial(t, _K1_SMALL) / x)
    else:
        small = fma(-logarithm, polynomial(y, _K_I0), polynomial(t, _K0_SMALL))
    large = polynomial(on_interval(_K_EDGE / x, 0.0, 1.0), _K1_LARGE if order else _K0_LARGE) / x.sqrt
    if is_scaled:
        small = small * x.apply("exp")
    else:
        large = large * (-x).apply("exp")
    value = choose(x <= _K_EDGE, small, large)
    return choose(x.equals(0.0), float("inf"), choose(x < 0.0, float("nan"), value))


@double_formula
def i0(x: Number) -> Number:
    """I of order 0; nan at infinities, as in PyTorch."""
    return _first_kind(x, 0, False)


@double_formula
def i0e(x: Number) -> Number:
    """e^-|x| I0(x)."""
    return _first_kind(x, 0, True)


@double_formula
def i1(x: Number) -> Number:
    """I of order 1; nan at infinities, as in PyTorch."""
    return _first_kind(x, 1, False)


@double_formula
def i1e(x: Number) -> Number:
    """e^-|x| I1(x)."""
    return _first_kind(x, 1, True)


@double_formula
def modified_bessel_k0(x: Number) -> Number:
    """K of order 0; inf at 0, nan below."""
    return _second_kind(x, 0, False)


@double_formula
def modified_bessel_k1(x: Number) -> Number:
    """K of order 1; inf at 0, nan below."""
    return _second_kind(x, 1, False)


@double_formula
def scaled_modified_bessel_k0(x: Number) -> Number:
    """e^x K0(x)."""
    return _second_kind(x, 0, True)


@double_formula
def scaled_modified_bessel_k1(x: Number) -> Number:
    """e^x K1(x)."""
    return _second_kind(x, 1, True)
