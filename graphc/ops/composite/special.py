"""Smaller functions of elements and rows: products added, logarithms of sums, angles, comparisons, differences."""

from __future__ import annotations

import math

from graphc.ir.dtype import bf16, f16, f32, f64
from graphc.ir.graph import Node
from graphc.ops import build
from graphc.ops import elementwise as ew
from graphc.ops.composite.arithmetic import clamp, div, mul
from graphc.ops.composite.operand import Operand, combined, detached, floating
from graphc.ops.function import function


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


_LARGEST = {f16: 65504.0, bf16: 3.3895313892515355e38, f32: 3.4028234663852886e38, f64: 1.7976931348623157e308}
"""The largest finite number of each dtype."""
