"""Arithmetic, comparison and logic, element by element, with broadcasting and PyTorch's result dtypes."""

from __future__ import annotations

from collections.abc import Callable

from graphc.ir.dtype import Kind, bool_
from graphc.ir.errors import ArgumentError
from graphc.ir.graph import Node
from graphc.ir.op import Op
from graphc.ops import build
from graphc.ops import elementwise as ew
from graphc.ops.composite.operand import Operand, as_tensor, broadcast, combined, floating
from graphc.ops.function import function


@function(method=True)
def add(input: Operand, other: Operand, *, alpha: Operand = 1) -> Node:
    """input + alpha * other. Of bools: or."""
    if alpha != 1:
        other = mul(other, alpha)
    x, y = combined("add", input, other)
    return ew.bitwise_or(x, y) if x.tensor.dtype is bool_ else ew.add(x, y)


@function(method=True, names=("subtract",))
def sub(input: Operand, other: Operand, *, alpha: Operand = 1) -> Node:
    """input - alpha * other."""
    if alpha != 1:
        other = mul(other, alpha)
    x, y = combined("sub", input, other)
    return ew.sub(x, y)


@function(method=True, names=("multiply",))
def mul(input: Operand, other: Operand) -> Node:
    """input * other. Of bools: and."""
    x, y = combined("mul", input, other)
    return ew.bitwise_and(x, y) if x.tensor.dtype is bool_ else ew.mul(x, y)


@function(method=True, names=("divide", "true_divide"))
def div(input: Operand, other: Operand, *, rounding_mode: str | None = None) -> Node:
    """input / other, integers as floats; `rounding_mode` "floor" or "trunc" rounds the quotient and keeps integers."""
    match rounding_mode:
        case None:
            x, y = combined("div", input, other, to_float=True)
            return ew.div(x, y)
        case "floor":
            return floor_divide(input, other)
        case "trunc":
            x, y = combined("div", input, other)
            if x.tensor.dtype.is_floating_point:
                return ew.trunc(ew.div(x, y))
            return ew.floor_divide(ew.sub(x, ew.fmod(x, y)), y)
        case _:
            raise ArgumentError(f"div: rounding_mode={rounding_mode!r}", hint='use None, "floor" or "trunc"')


@function(method=True)
def floor_divide(input: Operand, other: Operand) -> Node:
    """The quotient rounded down; 0 where an integer divisor is 0."""
    x, y = combined("floor_divide", input, other)
    return ew.floor_divide(x, y)


@function(method=True)
def remainder(input: Operand, other: Operand) -> Node:
    """input - other * floor(input / other): the sign of the divisor, as Python's %."""
    x, y = combined("remainder", input, other)
    return ew.remainder(x, y)


@function(method=True)
def fmod(input: Operand, other: Operand) -> Node:
    """input - other * trunc(input / other): the sign of the dividend."""
    x, y = combined("fmod", input, other)
    return ew.fmod(x, y)


@function(method=True)
def pow(input: Operand, exponent: Operand) -> Node:
    """input to the power of exponent. Small whole exponents are multiplications, 0.5 and -0.5 square roots."""
    if isinstance(input, Node) and isinstance(exponent, int | float) and not isinstance(exponent, bool):
        x = build.cast_to(input, combined("pow", input, exponent)[0].tensor.dtype)
        short = _short_power(x, exponent)
        if short is not None:
            return short
    if isinstance(exponent, int) and exponent < 0 and as_tensor(input).tensor.dtype.is_integer:
        raise ArgumentError(
            "pow: an integer to a negative power is no integer", hint="convert the base first, e.g. x.to('float32')"
        )
    x, y = combined("pow", input, exponent)
    return ew.pow_(x, y)


def _short_power(x: Node, exponent: int | float) -> Node | None:
    if exponent in (1, 2, 3):
        power = x
        for _ in range(int(exponent) - 1):
            power = ew.mul(power, x)
        return power
    if x.tensor.dtype.kind < Kind.FLOAT:
        return None
    if exponent == 0.5:
        return ew.sqrt(x)
    if exponent == -1:
        return ew.reciprocal(x)
    return None


@function(method=True)
def square(input: Node) -> Node:
    """input * input."""
    return ew.mul(input, input)


@function(method=True, names=("arctan2",))
def atan2(input: Operand, other: Operand) -> Node:
    """The angle of the point (other, input), from -pi to pi."""
    x, y = combined("atan2", input, other, to_float=True)
    return ew.atan2(x, y)


def _binary(
    op: Op, summary: str, names: tuple[str, ...] = (), *, name: str | None = None
) -> Callable[[Operand, Operand], Node]:
    def build_node(input: Operand, other: Operand) -> Node:
        x, y = combined(op.name, input, other)
        return op(x, y)

    build_node.__name__ = build_node.__qualname__ = name or op.name
    build_node.__doc__ = summary
    return function(method=True, names=names)(build_node)


maximum = _binary(ew.maximum, "The larger of each pair; nan where one is nan.")
minimum = _binary(ew.minimum, "The smaller of each pair; nan where one is nan.")
copysign = _binary(ew.copysign, "The size of `input` with the sign of `other`.")
eq = _binary(ew.eq, "input == other.")
ne = _binary(ew.ne, "input != other.", ("not_equal",))
lt = _binary(ew.lt, "input < other.", ("less",))
le = _binary(ew.le, "input <= other.", ("less_equal",))
gt = _binary(ew.gt, "input > other.", ("greater",))
ge = _binary(ew.ge, "input >= other.", ("greater_equal",))
bitwise_and = _binary(ew.bitwise_and, "input & other.")
bitwise_or = _binary(ew.bitwise_or, "input | other.")
bitwise_xor = _binary(ew.bitwise_xor, "input ^ other.")
bitwise_left_shift = _binary(ew.shift_left, "input << other.", name="bitwise_left_shift")
bitwise_right_shift = _binary(ew.shift_right, "input >> other, with the sign kept.", name="bitwise_right_shift")


def _unary(
    op: Op, summary: str, names: tuple[str, ...] = (), *, name: str | None = None, to_float: bool = False
) -> Callable[[Operand], Node]:
    def build_node(input: Operand) -> Node:
        return op(floating(input) if to_float else as_tensor(input))

    build_node.__name__ = build_node.__qualname__ = name or op.name
    build_node.__doc__ = summary
    return function(method=True, names=names)(build_node)


neg = _unary(ew.neg, "-input.", ("negative",))
abs_ = _unary(ew.abs_, "|input|; for complex numbers the modulus.", ("absolute",))
sign = _unary(ew.sign, "-1, 0 or 1; of nan 0.")
floor = _unary(ew.floor, "The next whole number below.")
ceil = _unary(ew.ceil, "The next whole number above.")
trunc = _unary(ew.trunc, "The fraction dropped.", ("fix",))
isnan = _unary(ew.is_nan, "Whether each element is nan.", name="isnan")
isinf = _unary(ew.is_inf, "Whether each element is infinite.", name="isinf")
isfinite = _unary(ew.is_finite, "Whether each element is a finite number.", name="isfinite")
bitwise_not = _unary(ew.bitwise_not, "~input; of bools: not.")
conj = _unary(ew.conj, "The complex conjugate.")
sqrt = _unary(ew.sqrt, "The square root.", to_float=True)
rsqrt = _unary(ew.rsqrt, "1 / sqrt(input).", to_float=True)
reciprocal = _unary(ew.reciprocal, "1 / input.", to_float=True)
exp = _unary(ew.exp, "e to the input.", to_float=True)
exp2 = _unary(ew.exp2, "2 to the input.", to_float=True)
expm1 = _unary(ew.expm1, "exp(input) - 1, exact near 0.", to_float=True)
log = _unary(ew.log, "The natural logarithm.", to_float=True)
log2 = _unary(ew.log2, "The logarithm to base 2.", to_float=True)
log10 = _unary(ew.log10, "The logarithm to base 10.", to_float=True)
log1p = _unary(ew.log1p, "log(1 + input), exact near 0.", to_float=True)
sin = _unary(ew.sin, "The sine.", to_float=True)
cos = _unary(ew.cos, "The cosine.", to_float=True)
tan = _unary(ew.tan, "The tangent.", to_float=True)
asin = _unary(ew.asin, "The arc sine.", ("arcsin",), to_float=True)
acos = _unary(ew.acos, "The arc cosine.", ("arccos",), to_float=True)
atan = _unary(ew.atan, "The arc tangent.", ("arctan",), to_float=True)
sinh = _unary(ew.sinh, "The hyperbolic sine.", to_float=True)
cosh = _unary(ew.cosh, "The hyperbolic cosine.", to_float=True)
tanh = _unary(ew.tanh, "The hyperbolic tangent.", to_float=True)
asinh = _unary(ew.asinh, "The inverse hyperbolic sine.", ("arcsinh",), to_float=True)
acosh = _unary(ew.acosh, "The inverse hyperbolic cosine.", ("arccosh",), to_float=True)
atanh = _unary(ew.atanh, "The inverse hyperbolic tangent.", ("arctanh",), to_float=True)
erf = _unary(ew.erf, "The error function.", to_float=True)
erfc = _unary(ew.erfc, "1 - erf(input).", to_float=True)
sigmoid = _unary(ew.sigmoid, "1 / (1 + exp(-input)).", to_float=True)


@function(method=True)
def logical_not(input: Operand) -> Node:
    """Whether each element is 0."""
    return ew.logical_not(truth(input))


def truth(x: Operand) -> Node:
    """Whether each element is not 0."""
    return build.cast_to(as_tensor(x), bool_)


def _logical(name: str, op: Op, summary: str) -> Callable[[Operand, Operand], Node]:
    def build_node(input: Operand, other: Operand) -> Node:
        x, y = combined(name, truth(input), truth(other))
        return op(x, y)

    build_node.__name__ = build_node.__qualname__ = name
    build_node.__doc__ = summary
    return function(method=True)(build_node)


logical_and = _logical("logical_and", ew.bitwise_and, "Whether both are not 0.")
logical_or = _logical("logical_or", ew.bitwise_or, "Whether at least one is not 0.")
logical_xor = _logical("logical_xor", ew.bitwise_xor, "Whether exactly one is not 0.")


@function(method=True)
def round(input: Node, *, decimals: int = 0) -> Node:
    """The nearest number with so many decimals, the even one of two."""
    if decimals == 0 or not input.tensor.dtype.is_floating_point:
        return ew.round_(input)
    power = 10.0 ** abs(decimals)
    if decimals > 0:
        return div(ew.round_(mul(input, power)), power)
    return mul(ew.round_(div(input, power)), power)


@function(method=True, names=("clip",))
def clamp(input: Node, min: Operand | None = None, max: Operand | None = None) -> Node:
    """The elements moved between `min` and `max`; nan stays."""
    if min is None and max is None:
        raise ArgumentError("clamp: neither min nor max is given", hint="give at least one of them")
    result = input
    if min is not None:
        result = _bounded(result, min, ew.lt)
    if max is not None:
        result = _bounded(result, max, ew.gt)
    return result


def _bounded(x: Node, bound: Operand, is_beyond: Op) -> Node:
    """x, or the bound where x is beyond it; the gradient at the bound is that of x. A bound of nan wins."""
    x, limit = combined("clamp", x, bound)
    chosen = is_beyond(x, limit)
    if isinstance(bound, Node) and limit.tensor.dtype.is_floating_point:
        chosen = ew.bitwise_or(chosen, ew.is_nan(limit))
    return ew.select(chosen, limit, x)


@function(method=False)
def where(condition: Node, input: Operand, other: Operand) -> Node:
    """`input` where the condition is not 0, else `other`."""
    x, y = combined("where", input, other)
    chosen, x, y = broadcast("where", truth(condition), x, y)
    return ew.select(chosen, x, y)


@function(method=True)
def lerp(input: Node, end: Operand, weight: Operand) -> Node:
    """input + weight * (end - input)."""
    return add(input, mul(weight, sub(end, input)))


@function(method=True)
def float_power(input: Operand, exponent: Operand) -> Node:
    """The power computed in floats."""
    return pow(floating(input), exponent)


def _operator(name: str, build_node: Callable[[Operand, Operand], Node]) -> None:
    def forward(input: Operand, other: Operand) -> Node:
        return build_node(input, other)

    def reflected(input: Operand, other: Operand) -> Node:
        return build_node(other, input)

    for prefix, each in (("", forward), ("r", reflected)):
        each.__name__ = each.__qualname__ = f"__{prefix}{name}__"
        each.__doc__ = f"The operator form of {build_node.__name__}."
        function(method=True, free=False)(each)


for _name, _build in (
    ("add", add),
    ("sub", sub),
    ("mul", mul),
    ("truediv", div),
    ("floordiv", floor_divide),
    ("mod", remainder),
    ("pow", pow),
    ("and", bitwise_and),
    ("or", bitwise_or),
    ("xor", bitwise_xor),
    ("lshift", bitwise_left_shift),
    ("rshift", bitwise_right_shift),
):
    _operator(_name, _build)


def _alias(name: str, build_node: Callable[..., Node]) -> None:
    def method(*operands: Operand) -> Node:
        return build_node(*operands)

    method.__name__ = method.__qualname__ = name
    method.__doc__ = f"The operator form of {build_node.__name__}."
    function(method=True, free=False)(method)


for _name, _made in (
    ("__eq__", eq),
    ("__ne__", ne),
    ("__lt__", lt),
    ("__le__", le),
    ("__gt__", gt),
    ("__ge__", ge),
    ("__neg__", neg),
    ("__abs__", abs_),
    ("__invert__", bitwise_not),
):
    _alias(_name, _made)


@function(method=True, free=False)
def __pos__(input: Node) -> Node:
    """The tensor itself."""
    return input
