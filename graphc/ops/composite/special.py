"""Smaller functions of elements: lengths, logarithms of sums, sinc, degrees, logit."""

from __future__ import annotations

import math

from graphc.ir.dtype import Kind
from graphc.ir.errors import DTypeError
from graphc.ir.graph import Node
from graphc.ops import build
from graphc.ops import elementwise as ew
from graphc.ops.composite import complex_functions as of_complex
from graphc.ops.composite.operand import Operand, as_tensor, combined, floating, refuse_kinds, widened
from graphc.ops.composite.special_operand import real
from graphc.ops.control import with_gradient
from graphc.ops.function import function

Nodes = tuple[Node, ...]


@function(method=True)
def hypot(input: Node, other: Node) -> Node:
    """sqrt(input^2 + other^2), without overflow on the way; inf where one is infinite."""
    x, y = combined("hypot", input, other)
    refuse_kinds("hypot_cpu", x, Kind.BOOL, Kind.INT, Kind.COMPLEX)
    a, b = ew.abs_(widened(x)), ew.abs_(widened(y))
    # The larger one is taken out; where it is 0, infinite or nan there is nothing to scale by.
    most = ew.maximum(a, b)
    is_plain = ew.bitwise_and(ew.is_finite(most), ew.gt(most, build.zeros_like(most)))
    scale = ew.select(is_plain, most, build.ones_like(most))
    a, b = ew.div(a, scale), ew.div(b, scale)
    length = ew.mul(scale, ew.sqrt(ew.add(ew.mul(a, a), ew.mul(b, b))))
    infinite = ew.bitwise_or(ew.is_inf(x), ew.is_inf(y))
    value = build.cast_to(ew.select(infinite, build.full_like(length, math.inf), length), x.tensor.dtype)

    def gradient(cts: Nodes, results: Nodes, operands: Nodes) -> Nodes:
        return tuple(ew.mul(cts[0], ew.div(each, results[0])) for each in operands)

    return with_gradient((value,), (x, y), gradient)[0]


@function(method=True)
def logaddexp(input: Node, other: Node) -> Node:
    """log(exp(input) + exp(other)), without overflow."""
    x, y = combined("logaddexp", input, other)
    refuse_kinds("logaddexp_cpu", x, Kind.BOOL, Kind.INT)
    if not x.tensor.dtype.is_complex:
        return _log_of_sum(x, y, 1.0)
    is_less = ew.lt(ew.real(x), ew.real(y))
    least, most = ew.select(is_less, x, y), ew.select(is_less, y, x)
    return ew.add(most, of_complex.log1p(ew.exp(ew.sub(least, most))))


@function(method=True)
def logaddexp2(input: Node, other: Node) -> Node:
    """log2(2^input + 2^other), without overflow."""
    x, y = combined("logaddexp2", input, other)
    refuse_kinds("logaddexp2_cpu", x, Kind.BOOL, Kind.INT, Kind.COMPLEX)
    return _log_of_sum(x, y, math.log(2.0))


def _log_of_sum(x: Node, y: Node, unit: float) -> Node:
    """The larger, plus the logarithm of what the smaller adds; `unit` is the logarithm of the base."""
    a, b = widened(x), widened(y)
    is_same = ew.bitwise_and(ew.eq(a, b), ew.is_inf(a))  # two equal infinities have no difference
    distance = ew.abs_(ew.sub(a, ew.select(is_same, build.zeros_like(b), b)))
    extra = ew.log1p(ew.exp(build.scaled(distance, -unit)))
    value = build.cast_to(ew.add(ew.maximum(a, b), build.scaled(extra, 1.0 / unit)), x.tensor.dtype)

    def gradient(cts: Nodes, results: Nodes, operands: Nodes) -> Nodes:
        first, second = operands
        apart = ew.sub(first, second)
        shares = (ew.sigmoid(build.scaled(each, unit)) for each in (apart, ew.neg(apart)))
        return tuple(ew.mul(cts[0], share) for share in shares)

    return with_gradient((value,), (x, y), gradient)[0]


@function(method=True)
def sinc(input: Operand) -> Node:
    """sin(pi x) / (pi x), and 1 at 0."""
    given = floating(input)
    x = build.scaled(widened(given), math.pi)
    is_zero = ew.eq(x, build.zeros_like(x))
    safe = ew.select(is_zero, build.ones_like(x), x)
    return build.cast_to(ew.select(is_zero, build.ones_like(x), ew.div(ew.sin(safe), safe)), given.tensor.dtype)


@function(method=True)
def deg2rad(input: Operand) -> Node:
    """Degrees as radians."""
    return _converted("deg2rad", input, math.pi / 180.0)


@function(method=True)
def rad2deg(input: Operand) -> Node:
    """Radians as degrees."""
    return _converted("rad2deg", input, 180.0 / math.pi)


def _converted(name: str, input: Operand, factor: float) -> Node:
    given = as_tensor(input)
    if given.tensor.dtype.is_complex:
        raise DTypeError(f"{name} is not supported for complex tensors.", hint="an angle is real")
    x = floating(given)
    return build.cast_to(build.scaled(widened(x), factor), x.tensor.dtype)


@function(method=True)
def logit(input: Operand, eps: float | None = None) -> Node:
    """log(x / (1 - x)), with x first moved to between eps and 1 - eps if eps is given and not negative."""
    x = real("logit_cpu", input)
    low = None if eps is None or eps < 0 else eps
    y = x
    if low is not None:
        least, most = build.full_like(x, low), build.full_like(x, 1.0 - low)
        y = ew.select(ew.lt(x, least), least, ew.select(ew.gt(x, most), most, x))
    value = ew.log(ew.div(y, ew.sub(build.ones_like(y), y)))

    def gradient(cts: Nodes, results: Nodes, operands: Nodes) -> Nodes:
        a = operands[0]
        edge, outside = (0.0, math.nan) if low is None else (low, 0.0)
        slope = ew.div(cts[0], ew.mul(a, ew.sub(build.ones_like(a), a)))
        is_inside = ew.bitwise_and(ew.ge(a, build.full_like(a, edge)), ew.le(a, build.full_like(a, 1.0 - edge)))
        return (ew.select(is_inside, slope, build.full_like(a, outside)),)

    return with_gradient((value,), (x,), gradient)[0]
