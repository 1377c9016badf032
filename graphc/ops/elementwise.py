"""Ops on single elements: element i of the result depends on element i of each operand.

Level: tensor graph. In: operands of one shape, and of one dtype but where a record says otherwise. Out: that shape.
Gradients follow PyTorch's conventions: the gradient of a complex value is dL/dRe + i dL/dIm, so slopes are conjugated.

    add(x, mul(y, y))
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from graphc.ir.dim import Size
from graphc.ir.dtype import DType, Kind, bool_, complex_of, f32, f64, real_of
from graphc.ir.errors import DTypeError
from graphc.ir.graph import Node
from graphc.ir.lowering import Builder, LoweringRule, Operand, Scalar
from graphc.ir.op import Flags, Op, register
from graphc.ir.type import TensorType
from graphc.ops import build, check, numerics
from graphc.ops.numerics import NumpyArray, NumpyFunction, exactly, widely

Slope: TypeAlias = "Callable[[Node, Node], Node]"
"""From the result and the operand, the derivative."""
BinaryRule: TypeAlias = "Callable[[Node, Node, Node, Node], tuple[Node | None, Node | None]]"
"""From the cotangent, the result and the operands, a cotangent each."""


def _lower_apply(name: str) -> Callable[..., Scalar]:
    def lower(b: Builder, out: TensorType, i: tuple[Size, ...], *operands: Operand) -> Scalar:
        return b.apply(name, *(x(i) for x in operands))

    return lower


def _unary(
    name: str,
    summary: str,
    reference: NumpyFunction,
    *,
    takes: tuple[Kind, ...] = check.FLOAT,
    gives: Callable[[DType], DType] = lambda d: d,
    times: Slope | None = None,
    over: Slope | None = None,
    vjp: Callable[[Node, Node, Node], Node] | None = None,
    lower: LoweringRule | None = None,
    flags: Flags = Flags.NONE,
) -> Op:
    """An op of one operand, with the cotangent `ct * times`, `ct / over`, or whatever `vjp` says, or none."""

    def type_rule(x: TensorType) -> TensorType:
        return x.with_dtype(gives(check.takes(name, x, takes)))

    def rule(ct: Node, out: Node, x: Node) -> tuple[Node]:
        if times is not None:
            return (mul(ct, build.conj_of(times(out, x))),)
        if over is not None:
            return (div(ct, build.conj_of(over(out, x))),)
        assert vjp is not None
        return (vjp(ct, out, x),)

    has_gradient = times is not None or over is not None or vjp is not None
    return register(
        Op(
            name,
            summary,
            type_rule=type_rule,
            reference=reference,
            vjp=rule if has_gradient else None,
            lower=lower or _lower_apply(name),
            flags=Flags.ELEMENTWISE | flags,
        )
    )


def _binary(
    name: str,
    summary: str,
    reference: NumpyFunction,
    *,
    takes: tuple[Kind, ...] = check.NUMBER,
    gives: Callable[[DType], DType] = lambda d: d,
    vjp: BinaryRule | None = None,
    lower: LoweringRule | None = None,
    is_mixed: bool = False,
    flags: Flags = Flags.NONE,
) -> Op:
    """An op of two operands of one shape, and of one dtype unless `is_mixed`: then the first one's dtype counts."""

    def type_rule(x: TensorType, y: TensorType) -> TensorType:
        dtype = x.dtype if is_mixed else check.equal_dtypes(name, x, y)
        check.takes(name, x, takes)
        check.takes(name, y, takes)
        return TensorType(check.equal_shapes(name, x, y), gives(dtype))

    return register(
        Op(
            name,
            summary,
            type_rule=type_rule,
            reference=reference,
            vjp=vjp,
            lower=lower or _lower_apply(name),
            flags=Flags.ELEMENTWISE | flags,
        )
    )


_EXPENSIVE = Flags.EXPENSIVE
_COMMUTATIVE = Flags.COMMUTATIVE


# Arithmetic

neg: Op = _unary("neg", "-x", exactly(np.negative), takes=check.NUMBER, vjp=lambda ct, out, x: neg(ct))


def _abs_vjp(ct: Node, out: Node, x: Node) -> Node:
    if not x.tensor.dtype.is_complex:
        return mul(ct, sign(x))
    # The direction x / |x|, and 0 at 0: a 1 in place of |x| there keeps higher orders free of 0 / 0.
    length = select(eq(out, build.zeros_like(out)), build.ones_like(out), out)
    factor = div(ct, length)
    return complex_(mul(factor, real(x)), mul(factor, imag(x)))


abs_: Op = _unary("abs", "|x|; real for complex x", exactly(np.abs), takes=check.NUMBER, gives=real_of, vjp=_abs_vjp)


def _sign_lower(b: Builder, out: TensorType, i: tuple[Size, ...], x: Operand) -> Scalar:
    value, zero = x(i), b.constant(0, out.dtype)
    below = b.select(b.apply("lt", value, zero), b.constant(-1, out.dtype), zero) if out.dtype.signed else zero
    return b.select(b.apply("gt", value, zero), b.constant(1, out.dtype), below)


sign: Op = _unary(
    "sign", "-1, 0 or 1; 0 for nan, as in PyTorch", exactly(numerics.sign), takes=check.REAL, lower=_sign_lower
)

add: Op = _binary("add", "x + y", exactly(np.add), vjp=lambda ct, out, x, y: (ct, ct), flags=_COMMUTATIVE)
sub: Op = _binary("sub", "x - y", exactly(np.subtract), vjp=lambda ct, out, x, y: (ct, neg(ct)))
mul: Op = _binary(
    "mul",
    "x * y",
    exactly(np.multiply),
    vjp=lambda ct, out, x, y: (mul(ct, build.conj_of(y)), mul(ct, build.conj_of(x))),
    flags=_COMMUTATIVE,
)


def _div_vjp(ct: Node, out: Node, x: Node, y: Node) -> tuple[Node, Node]:
    by_x = div(ct, build.conj_of(y))
    return by_x, neg(mul(by_x, build.conj_of(out)))


div: Op = _binary("div", "x / y of floats", exactly(np.divide), takes=check.FLOATING, vjp=_div_vjp)
floor_divide: Op = _binary(
    "floor_divide",
    "x / y rounded down; 0 where an integer is divided by zero",
    exactly(np.floor_divide),
    takes=check.REAL,
    flags=_EXPENSIVE,
)
remainder: Op = _binary(
    "remainder",
    "x - y * floor(x / y): has the sign of y; 0 where an integer is divided by zero",
    exactly(np.remainder),
    takes=check.REAL,
    vjp=lambda ct, out, x, y: (ct, neg(mul(ct, floor_divide(x, y)))),
    flags=_EXPENSIVE,
)


def _fmod_lower(b: Builder, out: TensorType, i: tuple[Size, ...], x: Operand, y: Operand) -> Scalar:
    return b.apply("remainder_truncated" if out.dtype.is_integer else "fmod", x(i), y(i))


fmod: Op = _binary(
    "fmod",
    "x - y * trunc(x / y): has the sign of x; 0 where an integer is divided by zero",
    exactly(np.fmod),
    takes=check.REAL,
    vjp=lambda ct, out, x, y: (ct, neg(mul(ct, trunc(div(x, y))))),
    lower=_fmod_lower,
    flags=_EXPENSIVE,
)
reciprocal: Op = _unary(
    "reciprocal",
    "1 / x",
    exactly(np.reciprocal),
    takes=check.FLOATING,
    times=lambda out, x: neg(mul(out, out)),
)


def _pow_vjp(ct: Node, out: Node, x: Node, y: Node) -> tuple[Node, Node]:
    # Where the slope is a limit (0 * 0**-1, 0 * log 0), a base of 1 gives that limit, in all orders.
    zero, one = build.zeros_like(x), build.ones_like(x)
    is_zero = eq(x, zero)
    base = select(bitwise_and(is_zero, eq(y, zero)), one, x)
    by_x = mul(y, pow_(base, sub(y, one)))
    growth = real(y) if y.tensor.dtype.is_complex else y
    vanishes = bitwise_and(is_zero, ge(growth, build.zeros_like(growth)))
    by_y = mul(out, log(select(vanishes, one, x)))
    return mul(ct, build.conj_of(by_x)), mul(ct, build.conj_of(by_y))


pow_: Op = _binary(
    "pow",
    "x to the y; integers wrap, and give 0 for negative y but where x is 1 or -1",
    widely(numerics.power),
    vjp=_pow_vjp,
    flags=_EXPENSIVE,
)


def _extreme_vjp(loses: Callable[[Node, Node], Node]) -> BinaryRule:
    def vjp(ct: Node, out: Node, x: Node, y: Node) -> tuple[Node, Node]:
        nothing = build.zeros_like(ct)
        shared = select(eq(x, y), build.scaled(ct, 0.5), ct)
        return select(loses(x, y), nothing, shared), select(loses(y, x), nothing, shared)

    return vjp


maximum: Op = _binary(
    "maximum",
    "the greater; nan wins, 0 is above -0; ties share the gradient",
    exactly(numerics.maximum),
    takes=check.REAL,
    vjp=_extreme_vjp(lambda x, y: lt(x, y)),
    flags=_COMMUTATIVE,
)
minimum: Op = _binary(
    "minimum",
    "the lesser; nan wins, -0 is below 0; ties share the gradient",
    exactly(numerics.minimum),
    takes=check.REAL,
    vjp=_extreme_vjp(lambda x, y: gt(x, y)),
    flags=_COMMUTATIVE,
)
copysign: Op = _binary(
    "copysign",
    "|x| with the sign of y",
    exactly(np.copysign),
    takes=check.FLOAT,
    vjp=lambda ct, out, x, y: (mul(ct, mul(sign(x), copysign(build.ones_like(y), y))), None),
)

# Rounding

floor: Op = _unary("floor", "the next integer below", exactly(np.floor))
ceil: Op = _unary("ceil", "the next integer above", exactly(np.ceil))
round_: Op = _unary("round", "the nearest integer, the even one of two", exactly(np.rint))
trunc: Op = _unary("trunc", "the fraction dropped", exactly(np.trunc))

# Powers and logarithms


def _shifted(x: Node, amount: float) -> Node:
    return add(x, build.full_like(x, amount))


sqrt: Op = _unary(
    "sqrt", "square root", exactly(np.sqrt), takes=check.FLOATING, over=lambda out, x: build.scaled(out, 2.0)
)
rsqrt: Op = _unary(
    "rsqrt",
    "1 / sqrt(x)",
    widely(lambda x: 1.0 / np.sqrt(x)),
    takes=check.FLOATING,
    times=lambda out, x: build.scaled(mul(out, mul(out, out)), -0.5),
)
cbrt: Op = _unary(
    "cbrt",
    "cube root, also of negative x",
    widely(np.cbrt),
    over=lambda out, x: build.scaled(mul(out, out), 3.0),
    flags=_EXPENSIVE,
)
exp: Op = _unary("exp", "e to the x", widely(np.exp), takes=check.FLOATING, times=lambda out, x: out, flags=_EXPENSIVE)
exp2: Op = _unary(
    "exp2", "2 to the x", widely(np.exp2), times=lambda out, x: build.scaled(out, math.log(2)), flags=_EXPENSIVE
)
expm1: Op = _unary("expm1", "exp(x) - 1", widely(np.expm1), times=lambda out, x: _shifted(out, 1.0), flags=_EXPENSIVE)
log: Op = _unary(
    "log", "natural logarithm", widely(np.log), takes=check.FLOATING, over=lambda out, x: x, flags=_EXPENSIVE
)
log2: Op = _unary(
    "log2", "logarithm to base 2", widely(np.log2), over=lambda out, x: build.scaled(x, math.log(2)), flags=_EXPENSIVE
)
log10: Op = _unary(
    "log10",
    "logarithm to base 10",
    widely(np.log10),
    over=lambda out, x: build.scaled(x, math.log(10)),
    flags=_EXPENSIVE,
)
log1p: Op = _unary("log1p", "log(1 + x)", widely(np.log1p), over=lambda out, x: _shifted(x, 1.0), flags=_EXPENSIVE)

# Angles


def _one_minus_square(x: Node) -> Node:
    return sub(build.ones_like(x), mul(x, x))


def _one_plus_square(x: Node) -> Node:
    return _shifted(mul(x, x), 1.0)


sin: Op = _unary("sin", "sine", widely(np.sin), takes=check.FLOATING, times=lambda out, x: cos(x), flags=_EXPENSIVE)
cos: Op = _unary(
    "cos", "cosine", widely(np.cos), takes=check.FLOATING, times=lambda out, x: neg(sin(x)), flags=_EXPENSIVE
)
tan: Op = _unary(
    "tan", "tangent", widely(np.tan), takes=check.FLOATING, times=lambda out, x: _one_plus_square(out), flags=_EXPENSIVE
)
asin: Op = _unary(
    "asin", "arc sine", widely(np.arcsin), times=lambda out, x: rsqrt(_one_minus_square(x)), flags=_EXPENSIVE
)
acos: Op = _unary(
    "acos", "arc cosine", widely(np.arccos), times=lambda out, x: neg(rsqrt(_one_minus_square(x))), flags=_EXPENSIVE
)
atan: Op = _unary("atan", "arc tangent", widely(np.arctan), over=lambda out, x: _one_plus_square(x), flags=_EXPENSIVE)


def _atan2_vjp(ct: Node, out: Node, y: Node, x: Node) -> tuple[Node, Node]:
    # 0 at the origin, as in PyTorch.
    size = add(mul(x, x), mul(y, y))
    is_zero = eq(size, build.zeros_like(size))
    scaled = select(is_zero, build.zeros_like(size), div(ct, select(is_zero, build.ones_like(size), size)))
    return mul(scaled, x), neg(mul(scaled, y))


atan2: Op = _binary(
    "atan2",
    "the angle of the point (y, x)",
    widely(np.arctan2),
    takes=check.FLOAT,
    vjp=_atan2_vjp,
    flags=_EXPENSIVE,
)

# Hyperbolic functions, and the error function

sinh: Op = _unary(
    "sinh", "hyperbolic sine", widely(np.sinh), takes=check.FLOATING, times=lambda out, x: cosh(x), flags=_EXPENSIVE
)
cosh: Op = _unary(
    "cosh", "hyperbolic cosine", widely(np.cosh), takes=check.FLOATING, times=lambda out, x: sinh(x), flags=_EXPENSIVE
)
tanh: Op = _unary(
    "tanh",
    "hyperbolic tangent",
    widely(np.tanh),
    takes=check.FLOATING,
    times=lambda out, x: _one_minus_square(out),
    flags=_EXPENSIVE,
)
asinh: Op = _unary(
    "asinh",
    "inverse hyperbolic sine",
    widely(np.arcsinh),
    times=lambda out, x: rsqrt(_one_plus_square(x)),
    flags=_EXPENSIVE,
)
acosh: Op = _unary(
    "acosh",
    "inverse hyperbolic cosine",
    widely(np.arccosh),
    times=lambda out, x: rsqrt(_shifted(mul(x, x), -1.0)),
    flags=_EXPENSIVE,
)
atanh: Op = _unary(
    "atanh",
    "inverse hyperbolic tangent",
    widely(np.arctanh),
    over=lambda out, x: _one_minus_square(x),
    flags=_EXPENSIVE,
)


def _bell(x: Node, factor: float) -> Node:
    return build.scaled(exp(neg(mul(x, x))), factor * 2.0 / math.sqrt(math.pi))


erf: Op = _unary("erf", "error function", widely(numerics.erf), times=lambda out, x: _bell(x, 1.0), flags=_EXPENSIVE)
erfc: Op = _unary("erfc", "1 - erf(x)", widely(numerics.erfc), times=lambda out, x: _bell(x, -1.0), flags=_EXPENSIVE)
sigmoid: Op = _unary(
    "sigmoid",
    "1 / (1 + exp(-x))",
    widely(numerics.sigmoid),
    times=lambda out, x: mul(out, sub(build.ones_like(out), out)),
    flags=_EXPENSIVE,
)

# Comparisons and tests


def _to_bool(dtype: DType) -> DType:
    return bool_


eq: Op = _binary("eq", "x == y", exactly(np.equal), takes=check.ANY, gives=_to_bool, flags=_COMMUTATIVE)
ne: Op = _binary("ne", "x != y", exactly(np.not_equal), takes=check.ANY, gives=_to_bool, flags=_COMMUTATIVE)
lt: Op = _binary("lt", "x < y", exactly(np.less), takes=check.ORDERED, gives=_to_bool)
le: Op = _binary("le", "x <= y", exactly(np.less_equal), takes=check.ORDERED, gives=_to_bool)
gt: Op = _binary("gt", "x > y", exactly(np.greater), takes=check.ORDERED, gives=_to_bool)
ge: Op = _binary("ge", "x >= y", exactly(np.greater_equal), takes=check.ORDERED, gives=_to_bool)
is_nan: Op = _unary("is_nan", "whether x is nan", exactly(np.isnan), takes=check.FLOATING, gives=_to_bool)
is_inf: Op = _unary("is_inf", "whether x is inf or -inf", exactly(np.isinf), takes=check.FLOATING, gives=_to_bool)
is_finite: Op = _unary(
    "is_finite", "whether x is neither nan nor infinite", exactly(np.isfinite), takes=check.FLOATING, gives=_to_bool
)

# Logic and bits

logical_not: Op = _unary("logical_not", "not x", exactly(np.logical_not), takes=check.BOOL)
bitwise_not: Op = _unary("bitwise_not", "~x", exactly(np.invert), takes=check.BITS)
bitwise_and: Op = _binary("bitwise_and", "x & y", exactly(np.bitwise_and), takes=check.BITS, flags=_COMMUTATIVE)
bitwise_or: Op = _binary("bitwise_or", "x | y", exactly(np.bitwise_or), takes=check.BITS, flags=_COMMUTATIVE)
bitwise_xor: Op = _binary("bitwise_xor", "x ^ y", exactly(np.bitwise_xor), takes=check.BITS, flags=_COMMUTATIVE)
shift_left: Op = _binary(
    "shift_left",
    "x << y; a distance outside 0..bits-1 moves all bits out",
    exactly(numerics.shift_left),
    takes=check.INTEGER,
    is_mixed=True,
)
shift_right: Op = _binary(
    "shift_right",
    "x >> y, keeping the sign; a distance outside 0..bits-1 moves all bits out",
    exactly(numerics.shift_right),
    takes=check.INTEGER,
    is_mixed=True,
)

detach: Op = _unary(
    "detach",
    "x, which a gradient takes for a constant",
    exactly(np.copy),
    takes=check.ANY,
    lower=lambda b, out, i, x: x(i),
)

# Complex numbers

real: Op = _unary(
    "real",
    "real part",
    exactly(np.real),
    takes=check.COMPLEX,
    gives=real_of,
    vjp=lambda ct, out, x: complex_(ct, build.zeros_like(ct)),
)
imag: Op = _unary(
    "imag",
    "imaginary part",
    exactly(np.imag),
    takes=check.COMPLEX,
    gives=real_of,
    vjp=lambda ct, out, x: complex_(build.zeros_like(ct), ct),
)
conj: Op = _unary(
    "conj", "complex conjugate", exactly(np.conjugate), takes=check.COMPLEX, vjp=lambda ct, out, x: conj(ct)
)


def _complex_type(re: TensorType, im: TensorType) -> TensorType:
    dtype = check.equal_dtypes("complex", re, im)
    if dtype not in (f32, f64):
        raise DTypeError(f"complex: no complex dtype has parts of {dtype.name}", hint="give float32 or float64 parts")
    return TensorType(check.equal_shapes("complex", re, im), complex_of(dtype))


complex_: Op = register(
    Op(
        "complex",
        "re + i im",
        type_rule=_complex_type,
        reference=exactly(numerics.make_complex),
        vjp=lambda ct, out, re, im: (real(ct), imag(ct)),
        lower=_lower_apply("complex"),
        flags=Flags.ELEMENTWISE,
    )
)

# Choice and conversion


def _select_type(condition: TensorType, x: TensorType, y: TensorType) -> TensorType:
    check.takes("select", condition, check.BOOL, "the condition")
    return TensorType(check.equal_shapes("select", condition, x, y), check.equal_dtypes("select", x, y))


def _select_reference(out: TensorType, condition: NumpyArray, x: NumpyArray, y: NumpyArray) -> NumpyArray:
    return np.where(condition, x, y)


def _select_vjp(ct: Node, out: Node, condition: Node, x: Node, y: Node) -> tuple[None, Node, Node]:
    nothing = build.zeros_like(ct)
    return None, select(condition, ct, nothing), select(condition, nothing, ct)


select: Op = register(
    Op(
        "select",
        "x where the condition holds, else y",
        type_rule=_select_type,
        reference=_select_reference,
        vjp=_select_vjp,
        lower=lambda b, out, i, condition, x, y: b.select(condition(i), x(i), y(i)),
        flags=Flags.ELEMENTWISE,
    )
)


def _cast_vjp(ct: Node, out: Node, x: Node, *, dtype: DType) -> tuple[Node | None]:
    if not x.tensor.dtype.is_differentiable:
        return (None,)
    if dtype.is_complex and not x.tensor.dtype.is_complex:
        return (build.cast_to(real(ct), x.tensor.dtype),)
    return (cast(ct, dtype=x.tensor.dtype),)


cast: Op = register(
    Op(
        "cast",
        "the values in another dtype, as PyTorch converts them",
        type_rule=lambda x, *, dtype: x.with_dtype(dtype),
        reference=lambda out, x, *, dtype: numerics.convert(x, dtype),
        vjp=_cast_vjp,
        lower=lambda b, out, i, x, *, dtype: b.cast(x(i), dtype),
        flags=Flags.ELEMENTWISE,
    )
)


def _bitcast_type(x: TensorType, *, dtype: DType) -> TensorType:
    for each in (x.dtype, dtype):
        if each.is_complex or each is bool_:
            raise DTypeError(f"bitcast: {each.name} has no single word of bits", hint="use integers and real floats")
    if x.dtype.bits != dtype.bits:
        raise DTypeError(
            f"bitcast: {x.dtype.name} has {x.dtype.bits} bits and {dtype.name} has {dtype.bits}",
            hint="choose a dtype of the same width, or convert the values with a cast",
        )
    return x.with_dtype(dtype)


bitcast: Op = register(
    Op(
        "bitcast",
        "the bits taken for another dtype of the same width",
        type_rule=_bitcast_type,
        reference=lambda out, x, *, dtype: x.view(dtype.numpy),
        lower=lambda b, out, i, x, *, dtype: b.apply("bitcast", x(i), dtype=dtype),
        flags=Flags.ELEMENTWISE,
    )
)
