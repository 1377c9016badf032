"""Functions of how floats are made: exponents, neighbours, and steps; and common divisors of integers."""

from __future__ import annotations

from graphc.ir.dtype import DType, Kind, bf16, f16, f32, f64, i16, i32, i64
from graphc.ir.errors import DTypeError
from graphc.ir.graph import Node
from graphc.ops import build, return_types, special
from graphc.ops import elementwise as ew
from graphc.ops.composite.operand import broadcast, combined, floating, refuse_kinds, result_dtype, widened
from graphc.ops.control import with_gradient
from graphc.ops.function import function

Nodes = tuple[Node, ...]

_BITS: dict[DType, DType] = {f16: i16, bf16: i16, f32: i32, f64: i64}
"""The integers of each float's width."""
_FRACTION = {f32: (23, 127), f64: (52, 1023)}
"""Fraction bits and exponent bias."""


@function(method=True)
def heaviside(input: Node, values: Node) -> Node:
    """0 below 0, 1 above, and `values` at 0."""
    for each in (input, values):
        if each.tensor.dtype.is_complex:
            raise DTypeError("heaviside is not yet implemented for complex tensors.", hint="look at a part of them")
    if input.tensor.dtype is not values.tensor.dtype:
        raise DTypeError(
            "heaviside is not yet implemented for tensors with different dtypes.", hint="convert one of them"
        )
    x, at_zero = broadcast("heaviside", input, values)
    if x.tensor.dtype.is_floating_point:
        message = "derivative for aten::heaviside is not implemented"
        x, at_zero = (special.without_gradient(each, message=message) for each in (x, at_zero))
    zero = build.zeros_like(x)
    is_above = build.cast_to(ew.gt(x, zero) if x.tensor.dtype.kind is not Kind.BOOL else x, x.tensor.dtype)
    return ew.select(ew.eq(x, zero), at_zero, is_above)


@function(method=True)
def nextafter(input: Node, other: Node) -> Node:
    """The float next to `input` in the direction of `other`."""
    x, y = combined("nextafter", input, other)
    refuse_kinds("nextafter_cpu", x, Kind.BOOL, Kind.INT, Kind.COMPLEX)
    dtype = x.tensor.dtype
    bits = ew.bitcast(x, dtype=_BITS[dtype])
    zero, one = build.zeros_like(x), build.ones_like(bits)
    # Of floats of one sign, the bits count away from zero.
    grows = ew.eq(ew.lt(x, y), ew.gt(x, zero))
    step = ew.bitcast(ew.add(bits, ew.select(grows, one, ew.neg(one))), dtype=dtype)
    least = ew.copysign(ew.bitcast(one, dtype=dtype), y)
    value = ew.select(ew.eq(x, y), y, ew.select(ew.eq(x, zero), least, step))
    value = ew.select(ew.bitwise_or(ew.is_nan(x), ew.is_nan(y)), ew.add(x, y), value)

    def gradient(cts: Nodes, results: Nodes, operands: Nodes) -> Nodes:
        nothing = build.zeros_like(cts[0])
        return ew.select(ew.eq(*operands), nothing, cts[0]), nothing

    return with_gradient((value,), (x, y), gradient)[0]


@function(method=True)
def frexp(input: Node) -> return_types.frexp:
    """A mantissa of 1/2 to 1, or 0, and an int32 exponent, with input = mantissa * 2^exponent."""
    if not input.tensor.dtype.is_floating_point:
        raise DTypeError("torch.frexp() only supports floating-point dtypes", hint="convert it first: x.float()")
    mantissa, exponent = _parts(input)

    def gradient(cts: Nodes, results: Nodes, operands: Nodes) -> Nodes:
        power = ew.exp2(build.cast_to(_parts(operands[0])[1], widened(operands[0]).tensor.dtype))
        return (build.cast_to(ew.div(widened(cts[0]), power), operands[0].tensor.dtype),)

    return return_types.frexp(with_gradient((mantissa,), (input,), gradient)[0], exponent)


def _parts(x: Node) -> tuple[Node, Node]:
    wide = ew.detach(widened(x))
    dtype = wide.tensor.dtype
    fraction, bias = _FRACTION[dtype]
    tiny = ew.lt(ew.abs_(wide), build.full_like(wide, 2.0 ** (1 - bias)))
    up = fraction + 2
    bits = ew.bitcast(ew.select(tiny, build.scaled(wide, 2.0**up), wide), dtype=_BITS[dtype])

    def whole(value: int) -> Node:
        return build.full_like(bits, value)

    stored = ew.bitwise_and(ew.shift_right(bits, whole(fraction)), whole(2 * bias + 1))
    exponent = ew.sub(stored, ew.select(tiny, whole(bias - 1 + up), whole(bias - 1)))
    rest = ew.bitwise_and(bits, whole(~((2 * bias + 1) << fraction)))
    mantissa = ew.bitcast(ew.bitwise_or(rest, whole((bias - 1) << fraction)), dtype=dtype)
    has_none = ew.bitwise_or(ew.eq(wide, build.zeros_like(wide)), ew.logical_not(ew.is_finite(wide)))
    mantissa = ew.select(has_none, wide, mantissa)
    exponent = ew.select(has_none, whole(0), exponent)
    return build.cast_to(mantissa, x.tensor.dtype), build.cast_to(exponent, i32)


@function(method=True)
def ldexp(input: Node, other: Node) -> Node:
    """input * 2^other. Integers become floats."""
    common = floating(input).tensor.dtype
    if other.tensor.dtype.kind >= Kind.FLOAT:
        common = result_dtype(floating(input), other)
    x, exponent = broadcast("ldexp", build.cast_to(input, common), build.cast_to(other, common))
    if common.is_complex:
        return ew.mul(x, ew.pow_(build.full_like(x, 2.0), exponent))
    wide, exponent = widened(x), widened(exponent)
    # In two factors, neither of which overflows where the result does not.
    half = ew.floor(build.scaled(exponent, 0.5))
    for part in (half, ew.sub(exponent, half)):
        wide = ew.mul(wide, ew.exp2(part))
    return build.cast_to(wide, common)


@function(method=True)
def gcd(input: Node, other: Node) -> Node:
    """The greatest common divisor; that of 0 and 0 is 0."""
    x, y = combined("gcd", input, other)
    refuse_kinds("gcd_cpu", x, Kind.BOOL, Kind.FLOAT, Kind.COMPLEX)
    return special.gcd(x, y)


@function(method=True)
def lcm(input: Node, other: Node) -> Node:
    """The least common multiple; 0 where one is 0."""
    x, y = combined("lcm", input, other)
    refuse_kinds("lcm_cpu", x, Kind.BOOL, Kind.FLOAT, Kind.COMPLEX)
    # An integer divided by 0 gives 0.
    return ew.abs_(ew.mul(ew.floor_divide(x, special.gcd(x, y)), y))
