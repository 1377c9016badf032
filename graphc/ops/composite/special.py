"""Smaller functions of elements and rows: products added, logarithms of sums, angles, comparisons, differences."""

from __future__ import annotations

import math

from graphc.ir.dim import Size
from graphc.ir.dtype import Kind, bf16, bool_, f16, f32, f64
from graphc.ir.errors import ArgumentError, ShapeError
from graphc.ir.graph import Node
from graphc.ops import build, reduction
from graphc.ops import elementwise as ew
from graphc.ops.check import COMPLEX, REAL, equal_dtypes, shape_text, takes
from graphc.ops.composite.arithmetic import add, clamp, div, mul, sub
from graphc.ops.composite.operand import Operand, as_tensor, combined, detached, floating, normal_dim
from graphc.ops.composite.reductions import all_
from graphc.ops.composite.shapes import cat, cut
from graphc.ops.function import function


@function(method=True)
def addcmul(input: Node, tensor1: Node, tensor2: Node, *, value: Operand = 1) -> Node:
    """input + value * tensor1 * tensor2."""
    product = mul(tensor1, tensor2)
    return add(input, product if _is_one(value) else mul(product, value))


@function(method=True)
def addcdiv(input: Node, tensor1: Node, tensor2: Node, *, value: Operand = 1) -> Node:
    """input + value * tensor1 / tensor2."""
    quotient = div(tensor1, tensor2)
    return add(input, quotient if _is_one(value) else mul(quotient, value))


def _is_one(value: Operand) -> bool:
    return not isinstance(value, Node) and value == 1


@function(method=True)
def rsub(input: Node, other: Operand, *, alpha: Operand = 1) -> Node:
    """other - alpha * input."""
    return sub(other, input, alpha=alpha)


@function(method=True)
def hypot(input: Node, other: Node) -> Node:
    """sqrt(input^2 + other^2), without overflow on the way."""
    x, y = (ew.abs_(each) for each in combined("hypot", input, other, to_float=True))
    # The larger one is taken out; where it is 0, infinite or nan there is nothing to scale by.
    most = detached(ew.maximum(x, y))
    is_plain = ew.bitwise_and(ew.is_finite(most), ew.gt(most, build.zeros_like(most)))
    scale = ew.select(is_plain, most, build.ones_like(most))
    a, b = ew.div(x, scale), ew.div(y, scale)
    length = ew.mul(scale, _root(ew.add(ew.mul(a, a), ew.mul(b, b))))
    infinite = ew.bitwise_or(ew.is_inf(x), ew.is_inf(y))
    return ew.select(infinite, build.full_like(length, math.inf), length)


def _root(x: Node) -> Node:
    """The square root with a gradient of 0 at 0."""
    is_zero = ew.eq(x, build.zeros_like(x))
    return ew.select(is_zero, build.zeros_like(x), ew.sqrt(ew.select(is_zero, build.ones_like(x), x)))


@function(method=True)
def logaddexp(input: Node, other: Node) -> Node:
    """log(exp(input) + exp(other)), without overflow."""
    x, y = combined("logaddexp", input, other, to_float=True)
    return _log_of_sum(x, y, 1.0)


@function(method=True)
def logaddexp2(input: Node, other: Node) -> Node:
    """log2(2^input + 2^other), without overflow."""
    x, y = combined("logaddexp2", input, other, to_float=True)
    return _log_of_sum(x, y, math.log(2.0))


def _log_of_sum(x: Node, y: Node, unit: float) -> Node:
    """The larger, plus the logarithm of what the smaller adds; `unit` is the logarithm of the base."""
    is_same = ew.bitwise_and(ew.eq(x, y), ew.is_inf(x))  # two equal infinities have no difference
    distance = ew.abs_(ew.sub(x, ew.select(is_same, build.zeros_like(y), y)))
    extra = ew.log1p(ew.exp(ew.neg(distance) if unit == 1 else mul(distance, -unit)))
    return ew.add(ew.maximum(x, y), extra if unit == 1 else div(extra, unit))


@function(method=True)
def sinc(input: Operand) -> Node:
    """sin(pi x) / (pi x), and 1 at 0."""
    x = mul(floating(input), math.pi)
    is_zero = ew.eq(x, build.zeros_like(x))
    safe = ew.select(is_zero, build.ones_like(x), x)
    return ew.select(is_zero, build.ones_like(x), ew.div(ew.sin(safe), safe))


@function(method=True)
def frac(input: Node) -> Node:
    """What `trunc` drops."""
    return ew.sub(input, ew.trunc(input))


@function(method=True)
def deg2rad(input: Operand) -> Node:
    """Degrees as radians."""
    return mul(floating(input), math.pi / 180.0)


@function(method=True)
def rad2deg(input: Operand) -> Node:
    """Radians as degrees."""
    return mul(floating(input), 180.0 / math.pi)


@function(method=True)
def logit(input: Operand, eps: float | None = None) -> Node:
    """log(x / (1 - x)), with x first moved to between eps and 1 - eps."""
    x = floating(input)
    if eps is not None:
        x = clamp(x, eps, 1.0 - eps)
    return ew.log(ew.div(x, ew.sub(build.ones_like(x), x)))


@function(method=True)
def signbit(input: Node) -> Node:
    """Whether the element has a minus sign, also that of -0.0."""
    takes("signbit", input.tensor, REAL)
    if not input.tensor.dtype.is_floating_point:
        return ew.lt(input, build.zeros_like(input))
    return ew.lt(ew.copysign(build.ones_like(input), input), build.zeros_like(input))


@function(method=True)
def isposinf(input: Node) -> Node:
    """Whether the element is inf."""
    x = floating(input)
    return ew.eq(x, build.full_like(x, math.inf))


@function(method=True)
def isneginf(input: Node) -> Node:
    """Whether the element is -inf."""
    x = floating(input)
    return ew.eq(x, build.full_like(x, -math.inf))


_LARGEST = {f16: 65504.0, bf16: 3.3895313892515355e38, f32: 3.4028234663852886e38, f64: 1.7976931348623157e308}
"""The largest finite number of each dtype."""


@function(method=True)
def nan_to_num(input: Node, nan: float | None = None, posinf: float | None = None, neginf: float | None = None) -> Node:
    """nan as 0, infinities as the largest and least numbers, unless others are given."""
    if not input.tensor.dtype.is_floating_point:
        return input
    largest = _LARGEST[input.tensor.dtype]
    result = ew.select(ew.is_nan(input), build.full_like(input, 0.0 if nan is None else nan), input)
    for found, given, default in (
        (isposinf(input), posinf, largest),
        (isneginf(input), neginf, -largest),
    ):
        result = ew.select(found, build.full_like(input, default if given is None else given), result)
    return result


@function(method=True)
def isclose(input: Node, other: Node, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> Node:
    """Whether |input - other| <= atol + rtol * |other|."""
    equal_dtypes("isclose", input.tensor, other.tensor)
    x, y = combined("isclose", input, other)
    same = ew.eq(x, y)
    if x.tensor.dtype.kind < Kind.FLOAT:
        x, y = floating(x), floating(y)
    near = ew.le(ew.abs_(ew.sub(x, y)), add(mul(ew.abs_(y), rtol), atol))
    near = ew.bitwise_and(near, ew.bitwise_and(ew.is_finite(x), ew.is_finite(y)))
    result = ew.bitwise_or(same, near)
    return ew.bitwise_or(result, ew.bitwise_and(ew.is_nan(x), ew.is_nan(y))) if equal_nan else result


@function(method=True)
def allclose(input: Node, other: Node, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> Node:
    """Whether all elements are close (`isclose`), as a 0-d bool."""
    return all_(isclose(input, other, rtol, atol, equal_nan))


@function(method=True)
def equal(input: Node, other: Node) -> Node:
    """Whether shapes and elements are equal, as a 0-d bool."""
    if input.shape != other.shape:
        return build.constant(False, bool_)
    return all_(ew.eq(*combined("equal", input, other)))


@function(method=True)
def diff(input: Node, n: int = 1, dim: int = -1, prepend: Node | None = None, append: Node | None = None) -> Node:
    """Differences of neighbours along `dim`, n times."""
    if n < 0:
        raise ArgumentError(f"diff: n={n}", hint="use 0 or more")
    if not input.shape:
        raise ShapeError("diff: a 0-d tensor has no neighbours", hint="unsqueeze it first")
    axis = normal_dim("diff", dim, len(input.shape))
    parts = [x for x in (prepend, input, append) if x is not None]
    x = parts[0] if len(parts) == 1 else cat(parts, axis)
    for _ in range(n):
        size = x.shape[axis]
        first, second = cut(x, axis, 0, size - 1), cut(x, axis, 1, size)
        x = ew.ne(first, second) if x.tensor.dtype is bool_ else ew.sub(second, first)
    return x


@function(names=("trapz",))
def trapezoid(y: Node, x: Node | None = None, *, dx: Operand = 1, dim: int = -1) -> Node:
    """The integral along `dim` by the trapezoid rule, of samples at x or dx apart."""
    values = floating(y)
    axis = normal_dim("trapezoid", dim, len(values.shape))
    if not values.shape:
        raise ShapeError("trapezoid: a 0-d tensor has nothing to integrate", hint="unsqueeze it first")
    size = values.shape[axis]
    pairs = add(cut(values, axis, 1, size), cut(values, axis, 0, size - 1))
    if x is None:
        return mul(mul(_total(pairs, axis), dx), 0.5)
    return mul(_total(mul(pairs, _widths(x, values, axis, size)), axis), 0.5)


def _widths(x: Node, values: Node, axis: int, size: Size) -> Node:
    place = build.cast_to(x, values.tensor.dtype)
    if len(place.shape) == 1:
        place = build.reshape_to(place, (place.shape[0], *(1,) * (len(values.shape) - axis - 1)))
    along = len(place.shape) - (len(values.shape) - axis)
    if along < 0 or place.shape[along] != size:
        raise ShapeError(
            f"trapezoid: places of shape {shape_text(x.shape)} for {size} samples",
            hint="give one place for each sample",
        )
    return sub(cut(place, along, 1, size), cut(place, along, 0, size - 1))


def _total(x: Node, axis: int) -> Node:
    return reduction.sum_(x, axes=(axis,))


# Complex numbers


@function()
def complex_(real: Node, imag: Node) -> Node:
    """real + i * imag."""
    return ew.complex_(*combined("complex", real, imag))


@function()
def polar(abs: Node, angle: Node) -> Node:
    """The complex number of a modulus and an angle."""
    r, phi = combined("polar", abs, angle)
    return ew.complex_(ew.mul(r, ew.cos(phi)), ew.mul(r, ew.sin(phi)))


@function(method=True)
def angle(input: Operand) -> Node:
    """The angle of a complex number, from -pi to pi; of a real one 0, or pi below 0."""
    x = as_tensor(input)
    if x.tensor.dtype.is_complex:
        return ew.atan2(ew.imag(x), ew.real(x))
    real = floating(x)
    zero = build.zeros_like(real)
    turned = ew.select(ew.lt(real, zero), build.full_like(real, math.pi), zero)
    return ew.select(ew.is_nan(real), real, turned)


@function()
def view_as_real(input: Node) -> Node:
    """The parts of complex numbers as a last dimension of 2."""
    takes("view_as_real", input.tensor, COMPLEX)
    rank = len(input.shape)
    return cat([build.insert_axes(part, (rank,)) for part in (ew.real(input), ew.imag(input))], rank)


@function()
def view_as_complex(input: Node) -> Node:
    """The last dimension, of 2, as the parts of complex numbers."""
    if not input.shape or input.shape[-1] != 2:
        raise ShapeError(
            "view_as_complex: the last dimension must have 2 elements, real and imaginary",
            hint="stack the parts along the last dimension, or use graphc.complex",
        )
    axis = len(input.shape) - 1
    first, second = (build.reshape_to(cut(input, axis, k, k + 1), input.shape[:-1]) for k in (0, 1))
    return ew.complex_(first, second)
