"""Complex arithmetic and functions over pairs of real scalars.

In: a builder, an op's name and operands as pairs (real part, imaginary part). Out: a pair, or one scalar where the
result is real (`abs`) or a bool (`eq`). But for products no intermediate value overflows or underflows where the
result does not. Infinite, undefined and zero parts give what C's Annex G says.

    complex_apply(b, "mul", (a, b), (c, d))    # (a c - b d, a d + b c)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from graphc.ir.dtype import f32, f64
from graphc.ir.lowering import Scalar
from graphc.kernel.formula.exponential import expm1_reduced, reduce_exponential, scale_by_halves
from graphc.kernel.formula.number import Arithmetic, Number, at_least, at_most, choose, fma

Complex: TypeAlias = "tuple[Number, Number]"

_INF: Final = float("inf")
_SQUARE_RANGE: Final = {f32: (2.0**-50, 2.0**62), f64: (2.0**-450, 2.0**510)}
"""Numbers whose squares neither overflow nor lose bits."""
_SQUARE_SCALE: Final = {f32: (100, 66), f64: (600, 514)}
"""Powers of two that bring lesser numbers up, and greater ones down, into that range."""
_EXP_LIMIT: Final = {f32: 160.0, f64: 1400.0}
"""exp of this times the least positive number is beyond the range; so is its reciprocal times the greatest."""
_COSH_STEP: Final = {f32: 80.0, f64: 700.0}
_TANH_ONE: Final = {f32: 11.0, f64: 22.0}


def complex_apply(b: Arithmetic, op: str, *operands: tuple[Scalar, Scalar]) -> tuple[Scalar, Scalar] | Scalar:
    """The op on complex numbers given by their parts."""
    result = _RULES[op](*((Number(b, real), Number(b, imaginary)) for real, imaginary in operands))
    if isinstance(result, Number):
        return result.scalar
    return result[0].scalar, result[1].scalar


def _add(x: Complex, y: Complex) -> Complex:
    return x[0] + y[0], x[1] + y[1]


def _sub(x: Complex, y: Complex) -> Complex:
    return x[0] - y[0], x[1] - y[1]


def _neg(x: Complex) -> Complex:
    return -x[0], -x[1]


def _mul(x: Complex, y: Complex) -> Complex:
    # Without fma, so that the factors may change places.
    return x[0] * y[0] - x[1] * y[1], x[0] * y[1] + x[1] * y[0]


def _div(x: Complex, y: Complex) -> Complex:
    """Smith's way: numerator and denominator are divided by the greater part of the divisor."""
    x_parts, _, x_back = _moderate(x)
    y_parts, y_factor, _ = _moderate(y)
    is_real = abs(y[0]) >= abs(y[1])
    greater, lesser = choose(is_real, y_parts[0], y_parts[1]), choose(is_real, y_parts[1], y_parts[0])
    first, second = choose(is_real, x_parts[0], x_parts[1]), choose(is_real, x_parts[1], x_parts[0])
    ratio = choose(greater.equals(0.0), 0.0, lesser / greater)
    denominator = fma(lesser, ratio, greater)
    cross = fma(-first, ratio, second)
    back = y_factor * x_back
    real, imaginary = fma(second, ratio, first), choose(is_real, cross, -cross)
    return real / denominator * back, imaginary / denominator * back


def _moderate(x: Complex) -> tuple[Complex, Number, Number]:
    """The parts times a power of two that keeps sums finite and products above the subnormal range; it; its inverse."""
    form = x[0].format
    is_high = (abs(x[0]) >= 2.0 ** (form.bias - 1)) | (abs(x[1]) >= 2.0 ** (form.bias - 1))
    least = 2.0 ** (form.fraction + 2) * form.least_normal
    is_low = (abs(x[0]) < least) & (abs(x[1]) < least)
    up = 2.0 ** (form.fraction + 2)
    constant = x[0].constant
    factor = choose(is_high, constant(0.25), choose(is_low, constant(up), 1.0))
    back = choose(is_high, constant(4.0), choose(is_low, constant(1.0 / up), 1.0))
    return (x[0] * factor, x[1] * factor), factor, back


def _reciprocal(x: Complex) -> Complex:
    return _div((x[0].constant(1.0), x[0].constant(0.0)), x)


def _eq(x: Complex, y: Complex) -> Number:
    return x[0].equals(y[0]) & x[1].equals(y[1])


def _ne(x: Complex, y: Complex) -> Number:
    return x[0].differs(y[0]) | x[1].differs(y[1])


def _is_nan(x: Complex) -> Number:
    return x[0].differs(x[0]) | x[1].differs(x[1])


def _is_inf(x: Complex) -> Number:
    return abs(x[0]).equals(_INF) | abs(x[1]).equals(_INF)


def _is_finite(x: Complex) -> Number:
    return (abs(x[0]) < _INF) & (abs(x[1]) < _INF)


def _ordered_scaled(x: Complex) -> tuple[Number, Number, Number]:
    """|real| and |imaginary|, the greater first, times a power of two that makes squaring safe; and its exponent."""
    a, b = abs(x[0]), abs(x[1])
    # Comparisons with nan fail, so one of the two is nan afterwards.
    greater, lesser = choose(a < b, b, a), choose(a < b, a, b)
    low, high = _SQUARE_RANGE[a.dtype]
    up, down = _SQUARE_SCALE[a.dtype]
    is_low, is_high = greater < low, greater > high
    factor = choose(is_low, a.constant(2.0**up), choose(is_high, a.constant(2.0**-down), 1.0))
    exponent = choose(is_low, a.constant(float(up)), choose(is_high, a.constant(float(-down)), 0.0))
    return greater * factor, lesser * factor, exponent


def _abs(x: Complex) -> Number:
    greater, lesser, exponent = _ordered_scaled(x)
    length = fma(greater, greater, lesser * lesser).sqrt
    up, down = _SQUARE_SCALE[length.dtype]
    back = choose(exponent > 0.0, length.constant(2.0**-up), choose(exponent < 0.0, length.constant(2.0**down), 1.0))
    return choose(_is_inf(x), _INF, length * back)


def _sqrt(x: Complex) -> Complex:
    """The root with a real part of 0 or more, from t = sqrt((|a| + |x|) / 2) and b / 2t."""
    a, b = x
    form = a.format
    is_low = (abs(a) < 2.0 * form.least_normal) & (abs(b) < 2.0 * form.least_normal)
    is_high = (abs(a) > 2.0 ** (form.bias - 2)) | (abs(b) > 2.0 ** (form.bias - 2))
    steps = form.fraction // 2 * 2 + 4
    factor = choose(is_low, a.constant(2.0**steps), choose(is_high, a.constant(2.0**-4), 1.0))
    back = choose(is_low, a.constant(2.0 ** (-steps // 2)), choose(is_high, a.constant(4.0), 1.0))
    scaled = (a * factor, b * factor)
    t = ((abs(scaled[0]) + _abs(scaled)) * 0.5).sqrt
    other = abs(scaled[1]) / (t + t) * back
    t = t * back
    is_positive = a >= 0.0
    is_zero = a.equals(0.0) & b.equals(0.0)
    real = choose(is_zero, 0.0, choose(is_positive, t, other))
    imaginary = choose(is_zero, 0.0, choose(is_positive, other, t))
    # Infinite parts: b infinite wins over everything; a infinite leaves 0, or nan, in the other part.
    b_is_inf, a_is_inf = abs(b).equals(_INF), abs(a).equals(_INF)
    rest = choose(b.differs(b), b, 0.0)
    real = choose(a_is_inf, choose(is_positive, a, rest), real)
    imaginary = choose(a_is_inf, choose(is_positive, rest, a), imaginary)
    real = choose(b_is_inf, _INF, real)
    imaginary = choose(b_is_inf, b, imaginary)
    return real, imaginary.copysign(b)


def _exp(x: Complex) -> Complex:
    a, b = x
    limit = _EXP_LIMIT[a.dtype]
    n, r = reduce_exponential(at_least(at_most(a, limit), -limit))
    size = expm1_reduced(r) + 1.0
    real, imaginary = (scale_by_halves(size * b.apply(name), n) for name in ("cos", "sin"))
    is_real = b.equals(0.0)
    is_vanishing = a.equals(-_INF)
    is_endless = a.equals(_INF) & ~_is_finite((b, b))
    real = choose(is_vanishing & ~_is_finite((b, b)), 0.0, choose(is_endless, _INF, real))
    return real, choose(is_real, b, choose(is_vanishing & ~_is_finite((b, b)), 0.0, imaginary))


def _log(x: Complex) -> Complex:
    """log of the length, near 1 from its distance to 1; and the angle."""
    greater, lesser, exponent = _ordered_scaled(x)
    general = fma(greater, greater, lesser * lesser).apply("log") * 0.5 - exponent * 0.6931471805599453
    distance = fma(greater - 1.0, greater + 1.0, lesser * lesser)
    is_near = exponent.equals(0.0) & (abs(distance) < 0.5)
    length = choose(is_near, distance.apply("log1p") * 0.5, general)
    return choose(_is_inf(x), _INF, length), x[1].apply("atan2", x[0])


def _cosh_sinh(x: Number) -> tuple[Number, Number, Number]:
    """cosh(x) / f, sinh(x) / f and f, which is beyond 1 only where they alone could overflow."""
    step = _COSH_STEP[x.dtype]
    magnitude = at_most(abs(x), step)
    beyond = choose(abs(x) > step, abs(x) - step, 0.0)
    return magnitude.apply("cosh"), magnitude.apply("sinh").copysign(x), beyond.apply("exp")


def _product(size: Number, angle: Number, factor: Number) -> Number:
    """size * angle * factor; 0 where one of the first two is, even beside an infinite or undefined one."""
    is_zero = angle.equals(0.0) | size.equals(0.0)
    one = angle.constant(1.0)
    return choose(is_zero, one.copysign(size) * one.copysign(angle) * 0.0, size * angle * factor)


def _sinh(x: Complex) -> Complex:
    cosh, sinh, factor = _cosh_sinh(x[0])
    sin, cos = x[1].apply("sin"), x[1].apply("cos")
    return _endless(x, sinh, _product(sinh, cos, factor)), _product(cosh, sin, factor)


def _cosh(x: Complex) -> Complex:
    cosh, sinh, factor = _cosh_sinh(x[0])
    sin, cos = x[1].apply("sin"), x[1].apply("cos")
    return _endless(x, cosh, _product(cosh, cos, factor)), _product(sinh, sin, factor)


def _endless(x: Complex, size: Number, real: Number) -> Number:
    """The real part, but infinite for an infinite real part beside an angle that is none."""
    return choose(abs(x[0]).equals(_INF) & ~(abs(x[1]) < _INF), x[0].constant(_INF).copysign(size), real)


def _tanh(x: Complex) -> Complex:
    """Kahan's form, which keeps its bits near the poles; far from the imaginary axis the limit."""
    a, b = x
    limit = _TANH_ONE[a.dtype]
    sinh = at_least(at_most(a, limit), -limit).apply("sinh")
    t = b.apply("tan")
    slope = fma(t, t, 1.0)
    denominator = fma(slope * sinh, sinh, 1.0)
    real = slope * fma(sinh, sinh, 1.0).sqrt * sinh / denominator
    is_far = abs(a) > limit
    decay = (abs(a) * -2.0).apply("exp")
    wave = b.apply("sin") * b.apply("cos") * 4.0
    far = choose(abs(a).equals(_INF), decay.copysign(wave), wave * decay)
    real = choose(is_far, a.constant(1.0).copysign(a), choose(a.equals(0.0), a, real))
    return real, choose(is_far, far, choose(b.equals(0.0), b, t / denominator))


def _turned(rule: Callable[[Complex], Complex]) -> Callable[[Complex], Complex]:
    """f(x) = -i g(i x): sin from sinh, tan from tanh."""

    def turn(x: Complex) -> Complex:
        real, imaginary = rule((-x[1], x[0]))
        return imaginary, -real

    return turn


def _cos(x: Complex) -> Complex:
    return _cosh((-x[1], x[0]))


def _rsqrt(x: Complex) -> Complex:
    return _reciprocal(_sqrt(x))


def _pow(x: Complex, y: Complex) -> Complex:
    """e^(y log(x)), single precision computed in double, since exp makes much of small errors.

    0^0 is 1, 0 to a positive power 0; 0 to another power is undefined.
    """
    if x[0].dtype is f32:
        real, imaginary = _pow((x[0].cast(f64), x[1].cast(f64)), (y[0].cast(f64), y[1].cast(f64)))
        return real.cast(f32), imaginary.cast(f32)
    length, angle = _log(x)
    is_real = y[1].equals(0.0)
    whole = _mul(y, (length, angle))
    # A real exponent does not bring in 0 times an infinite length.
    real, imaginary = _exp((choose(is_real, y[0] * length, whole[0]), choose(is_real, y[0] * angle, whole[1])))
    is_zero = x[0].equals(0.0) & x[1].equals(0.0)
    of_zero = choose(is_real & (y[0] > 0.0), x[0].constant(0.0), float("nan"))
    real, imaginary = choose(is_zero, of_zero, real), choose(is_zero, of_zero, imaginary)
    is_one = is_real & y[0].equals(0.0)
    return choose(is_one, 1.0, real), choose(is_one, 0.0, imaginary)


_RULES: Final[dict[str, Callable[..., Complex | Number]]] = {
    "add": _add,
    "sub": _sub,
    "neg": _neg,
    "mul": _mul,
    "div": _div,
    "pow": _pow,
    "reciprocal": _reciprocal,
    "eq": _eq,
    "ne": _ne,
    "is_nan": _is_nan,
    "is_inf": _is_inf,
    "is_finite": _is_finite,
    "abs": _abs,
    "sqrt": _sqrt,
    "rsqrt": _rsqrt,
    "exp": _exp,
    "log": _log,
    "sin": _turned(_sinh),
    "cos": _cos,
    "tan": _turned(_tanh),
    "sinh": _sinh,
    "cosh": _cosh,
    "tanh": _tanh,
}
