"""Functions of one operand, element by element: rounding, powers, logarithms, angles, and tests of single elements."""

from __future__ import annotations

import math
from collections.abc import Callable

from graphc.ir.dtype import Kind, bool_
from graphc.ir.errors import DTypeError, UnsupportedDType
from graphc.ir.graph import Node
from graphc.ir.op import Op
from graphc.ops import build
from graphc.ops import elementwise as ew
from graphc.ops.composite import complex_functions as of_complex
from graphc.ops.composite.arithmetic import refuse_complex
from graphc.ops.composite.operand import Operand, as_tensor, floating, in_dtype_exactly, largest, refuse_kinds, widened
from graphc.ops.function import function

Unary = Callable[[Operand], Node]


def _enter(name: str, summary: str, names: tuple[str, ...], formula: Callable[[Node], Node]) -> Unary:
    def build_node(input: Operand) -> Node:
        return formula(as_tensor(input))

    build_node.__name__ = build_node.__qualname__ = name
    build_node.__doc__ = summary
    return function(method=True, names=names)(build_node)


# Signs


@function(method=True, names=("negative",))
def neg(input: Operand) -> Node:
    """-input."""
    x = as_tensor(input)
    if x.tensor.dtype is bool_:
        raise DTypeError(
            "Negation, the `-` operator, on a bool tensor is not supported. If you are trying to invert a mask, use "
            "the `~` or `logical_not()` operator instead.",
            hint="or convert it, e.g. x.to('int64')",
        )
    return ew.neg(x)


@function(method=True)
def positive(input: Node) -> Node:
    """The tensor itself; not for bools."""
    if input.tensor.dtype is bool_:
        raise DTypeError("The `+` operator, on a bool tensor is not supported.", hint="convert it: x.to('int64')")
    return input


@function(method=True, names=("absolute",))
def abs_(input: Operand) -> Node:
    """|input|; for complex numbers the modulus."""
    x = as_tensor(input)
    refuse_kinds("abs_cpu", x, Kind.BOOL)
    return ew.abs_(x)


@function(method=True)
def sign(input: Operand) -> Node:
    """-1, 0 or 1; of nan 0."""
    x = as_tensor(input)
    if x.tensor.dtype.is_complex:
        raise UnsupportedDType(
            "Unlike NumPy, torch.sign is not intended to support complex numbers. Please use torch.sgn instead.",
            hint="x.sgn() has modulus 1 and the angle of x",
        )
    return x if x.tensor.dtype is bool_ else ew.sign(x)


@function(method=True)
def sgn(input: Operand) -> Node:
    """`sign`; of complex numbers x / |x|, and 0 at 0."""
    x = as_tensor(input)
    if not x.tensor.dtype.is_complex:
        return sign(x)
    size = ew.abs_(x)
    is_zero = ew.eq(size, build.zeros_like(size))
    safe = ew.select(is_zero, build.ones_like(size), size)
    parts = (ew.div(part, safe) for part in (ew.real(x), ew.imag(x)))
    return ew.complex_(*(ew.select(is_zero, build.zeros_like(size), part) for part in parts))


@function(method=True)
def signbit(input: Node) -> Node:
    """Whether the element has a minus sign, also that of -0.0."""
    dtype = input.tensor.dtype
    if dtype.is_complex:
        raise UnsupportedDType("signbit is not implemented for complex tensors.", hint="look at a part of it")
    if dtype is bool_:
        return build.zeros_like(input)
    if not dtype.is_floating_point:
        return ew.lt(input, build.zeros_like(input))
    return ew.lt(ew.copysign(build.ones_like(input), input), build.zeros_like(input))


# Rounding


def _rounding(op: Op, summary: str, names: tuple[str, ...] = ()) -> Unary:
    def formula(x: Node) -> Node:
        refuse_complex(op.name, x)
        refuse_kinds(f"{op.name}_vml_cpu", x, Kind.BOOL)
        return op(x) if x.tensor.dtype.is_floating_point else x

    return _enter(op.name, summary, names, formula)


floor = _rounding(ew.floor, "The next whole number below.")
ceil = _rounding(ew.ceil, "The next whole number above.")
trunc = _rounding(ew.trunc, "The fraction dropped.", ("fix",))


@function(method=True)
def round(input: Node, *, decimals: int = 0) -> Node:
    """The nearest number with so many decimals, the even one of two."""
    if decimals == 0:
        refuse_kinds("round_vml_cpu", input, Kind.BOOL, Kind.COMPLEX)
        return ew.round_(input) if input.tensor.dtype.is_floating_point else input
    refuse_kinds("round_cpu", input, Kind.BOOL, Kind.INT, Kind.COMPLEX)
    x = widened(input)
    power = build.full_like(x, 10.0 ** abs(decimals))
    if decimals > 0:
        rounded = ew.div(ew.round_(ew.mul(x, power)), power)
    else:
        rounded = ew.mul(ew.round_(ew.div(x, power)), power)
    return build.cast_to(rounded, input.tensor.dtype)


@function(method=True)
def frac(input: Node) -> Node:
    """What `trunc` drops."""
    refuse_kinds("frac_cpu", input, Kind.BOOL, Kind.INT, Kind.COMPLEX)
    return ew.sub(input, ew.trunc(input))


# Powers, logarithms and angles


def _of_floats(
    op: Op, summary: str, names: tuple[str, ...] = (), *, of_complex: Callable[[Node], Node] | None = None
) -> Unary:
    """Integers become floats; complex numbers go through the op, or through a formula of their own."""

    def formula(x: Node) -> Node:
        if not x.tensor.dtype.is_complex:
            return op(floating(x))
        return op(x) if of_complex is None else of_complex(x)

    return _enter(op.name, summary, names, formula)


def _real_only(op: Op, summary: str) -> Unary:
    def formula(x: Node) -> Node:
        refuse_kinds(f"{op.name}_vml_cpu", x, Kind.COMPLEX)
        return op(floating(x))

    return _enter(op.name, summary, (), formula)


sqrt = _of_floats(ew.sqrt, "The square root.")
rsqrt = _of_floats(ew.rsqrt, "1 / sqrt(input).")
reciprocal = _of_floats(ew.reciprocal, "1 / input.")
exp = _of_floats(ew.exp, "e to the input.")
exp2 = _of_floats(ew.exp2, "2 to the input.", of_complex=of_complex.exp2)
expm1 = _of_floats(ew.expm1, "exp(input) - 1, exact near 0.", of_complex=of_complex.expm1)
log = _of_floats(ew.log, "The natural logarithm.")
log2 = _of_floats(ew.log2, "The logarithm to base 2.", of_complex=of_complex.log2)
log10 = _of_floats(ew.log10, "The logarithm to base 10.", of_complex=of_complex.log10)
log1p = _of_floats(ew.log1p, "log(1 + input), exact near 0.", of_complex=of_complex.log1p)
sin = _of_floats(ew.sin, "The sine.")
cos = _of_floats(ew.cos, "The cosine.")
tan = _of_floats(ew.tan, "The tangent.")
asin = _of_floats(ew.asin, "The arc sine.", ("arcsin",), of_complex=of_complex.asin)
acos = _of_floats(ew.acos, "The arc cosine.", ("arccos",), of_complex=of_complex.acos)
atan = _of_floats(ew.atan, "The arc tangent.", ("arctan",), of_complex=of_complex.atan)
sinh = _of_floats(ew.sinh, "The hyperbolic sine.")
cosh = _of_floats(ew.cosh, "The hyperbolic cosine.")
tanh = _of_floats(ew.tanh, "The hyperbolic tangent.")
asinh = _of_floats(ew.asinh, "The inverse hyperbolic sine.", ("arcsinh",), of_complex=of_complex.asinh)
acosh = _of_floats(ew.acosh, "The inverse hyperbolic cosine.", ("arccosh",), of_complex=of_complex.acosh)
atanh = _of_floats(ew.atanh, "The inverse hyperbolic tangent.", ("arctanh",), of_complex=of_complex.atanh)
erf = _real_only(ew.erf, "The error function.")
erfc = _real_only(ew.erfc, "1 - erf(input).")
sigmoid = _of_floats(ew.sigmoid, "1 / (1 + exp(-input)).", of_complex=of_complex.sigmoid)


# Tests


def _test(name: str, op: Op, summary: str, of_integers: bool) -> Unary:
    def formula(x: Node) -> Node:
        if x.tensor.dtype.is_differentiable:
            return op(x)
        return build.constant(of_integers, bool_, x.shape)

    return _enter(name, summary, (), formula)


isnan = _test("isnan", ew.is_nan, "Whether each element is nan.", False)
isinf = _test("isinf", ew.is_inf, "Whether each element is infinite.", False)
isfinite = _test("isfinite", ew.is_finite, "Whether each element is a finite number.", True)


@function(method=True)
def isreal(input: Node) -> Node:
    """Whether each element has no imaginary part."""
    if not input.tensor.dtype.is_complex:
        return build.constant(True, bool_, input.shape)
    part = ew.imag(input)
    return ew.eq(part, build.zeros_like(part))


def _infinity(name: str, value: float, summary: str) -> Callable[[Node], Node]:
    def build_node(input: Node) -> Node:
        if input.tensor.dtype.is_complex:
            raise DTypeError(f"{name} does not support complex inputs.", hint="look at a part of it")
        if not input.tensor.dtype.is_floating_point:
            return build.constant(False, bool_, input.shape)
        return ew.eq(input, build.full_like(input, value))

    build_node.__name__ = build_node.__qualname__ = name
    build_node.__doc__ = summary
    return function(method=True)(build_node)


isposinf = _infinity("isposinf", math.inf, "Whether the element is inf.")
isneginf = _infinity("isneginf", -math.inf, "Whether the element is -inf.")


@function(method=True)
def nan_to_num(input: Node, nan: float | None = None, posinf: float | None = None, neginf: float | None = None) -> Node:
    """nan as 0, infinities as the largest and least numbers, unless others are given; in both parts of a complex."""
    dtype = input.tensor.dtype
    if dtype.kind < Kind.FLOAT:
        return input
    if dtype.is_complex:
        return ew.complex_(*(nan_to_num(part, nan, posinf, neginf) for part in (ew.real(input), ew.imag(input))))
    most = largest(dtype)
    result = ew.select(ew.is_nan(input), _number(input, 0.0 if nan is None else nan), input)
    for found, given, default in ((isposinf(input), posinf, most), (isneginf(input), neginf, -most)):
        result = ew.select(found, _number(input, default if given is None else given), result)
    return result


def _number(x: Node, value: float) -> Node:
    return build.broadcast_to(in_dtype_exactly("nan_to_num", value, x.tensor.dtype), x.shape)


# Complex numbers


@function(method=True)
def conj(input: Operand) -> Node:
    """The complex conjugate; real tensors as they are."""
    return build.conj_of(as_tensor(input))


@function(method=True)
def conj_physical(input: Node) -> Node:
    """The complex conjugate; real tensors as they are."""
    return build.conj_of(input)


@function(method=True)
def resolve_conj(input: Node) -> Node:
    """The tensor itself: no tensor waits to be conjugated."""
    return input


@function(method=True)
def resolve_neg(input: Node) -> Node:
    """The tensor itself: no tensor waits to be negated."""
    return input
