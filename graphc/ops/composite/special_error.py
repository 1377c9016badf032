"""The error function's kin, the normal distribution, and products with logarithms."""

from __future__ import annotations

import math

from graphc.ir.dtype import f64
from graphc.ir.graph import Node
from graphc.ir.op import Op
from graphc.ops import build, special
from graphc.ops import elementwise as ew
from graphc.ops.composite.operand import Operand
from graphc.ops.composite.special_operand import real, real_pair
from graphc.ops.control import with_gradient
from graphc.ops.function import function


@function(method=True, names=("special.erfinv",))
def erfinv(input: Operand) -> Node:
    """The inverse of the error function; infinite at 1 and -1, nan beyond."""
    return special.erfinv(real("erfinv_vml_cpu", input))


@function(namespace="special")
def erfcx(input: Operand) -> Node:
    """exp(input^2) erfc(input)."""
    return special.erfcx(real("erfcx_cpu", input, halves=False))


@function(namespace="special")
def ndtr(input: Operand) -> Node:
    """The standard normal distribution function."""
    x = real("erf_vml_cpu", input)
    # The error of a float32 product would be one of the exponent, x^2 times as large.
    wide = build.cast_to(x, f64)
    return build.cast_to(build.scaled(ew.erfc(build.scaled(wide, -math.sqrt(0.5))), 0.5), x.tensor.dtype)


@function(namespace="special")
def ndtri(input: Operand) -> Node:
    """The quantile of the standard normal distribution."""
    return special.ndtri(real("ndtri_cpu", input, halves=False))


@function(namespace="special")
def log_ndtr(input: Operand) -> Node:
    """The logarithm of the standard normal distribution function."""
    return special.log_ndtr(real("log_ndtr_cpu", input, halves=False))


@function(namespace="special")
def entr(input: Operand) -> Node:
    """-input * log(input); 0 at 0 and -inf below."""
    x = real("entr_cpu", input)
    zero = build.zeros_like(x)
    inside = ew.select(ew.eq(x, zero), zero, ew.mul(ew.neg(x), ew.log(x)))
    value = ew.select(ew.lt(x, zero), build.full_like(x, -math.inf), inside)

    def gradient(cts: tuple[Node, ...], results: tuple[Node, ...], operands: tuple[Node, ...]) -> tuple[Node]:
        slope = ew.add(build.ones_like(operands[0]), ew.log(operands[0]))
        return (ew.neg(ew.mul(cts[0], slope)),)

    return with_gradient((value,), (x,), gradient)[0]


@function(method=True, names=("special.xlogy",))
def xlogy(input: Operand, other: Operand) -> Node:
    """input * log(other); 0 where input is 0 and other no nan."""
    x, y = real_pair("xlogy", "xlogy_cpu", input, other)
    return _product(x, y, 0.0, ew.log)


@function(namespace="special")
def xlog1py(input: Operand, other: Operand) -> Node:
    """input * log(1 + other); 0 where input is 0 and other no nan."""
    x, y = real_pair("xlog1py", "xlog1py_cpu", input, other)
    return _product(x, y, 1.0, ew.log1p)


def _product(x: Node, y: Node, offset: float, logarithm: Op) -> Node:
    """x log(y + offset); its gradient by x is 0 where x is 0 and the logarithm has no value, as in PyTorch."""
    zero = build.zeros_like(x)
    is_plain = ew.bitwise_and(ew.eq(x, zero), ew.logical_not(ew.is_nan(y)))
    value = ew.select(is_plain, zero, ew.mul(x, logarithm(y)))

    def gradient(cts: tuple[Node, ...], results: tuple[Node, ...], operands: tuple[Node, ...]) -> tuple[Node, ...]:
        ct, (a, b) = cts[0], operands
        nothing = build.zeros_like(a)
        vanishes = ew.bitwise_and(ew.eq(a, nothing), ew.le(b, build.full_like(b, -offset)))
        by_x = ew.select(vanishes, nothing, ew.mul(ct, logarithm(b)))
        return by_x, ew.mul(ct, ew.div(a, ew.add(b, build.full_like(b, offset)) if offset else b))

    return with_gradient((value,), (x, y), gradient)[0]
