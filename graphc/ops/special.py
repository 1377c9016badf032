"""Ops of the special functions: one record for each formula of `graphc/kernel/formula` that has no shorter name.

Level: tensor graph. In: real floats. Out: the same dtype. What an op computes is its formula, so that the reference
evaluates the formula on arrays. PyTorch gives no gradient to Bessel functions, but those of I0 and I1, and to Ai.

    lgamma(x)        # its gradient is ct * digamma(x), whose is ct * trigamma(x), whose is ct * polygamma(x){n=2} ...
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from graphc.ir.dim import Size
from graphc.ir.graph import Node
from graphc.ir.lowering import Builder, Operand, Scalar
from graphc.ir.op import Flags, Op, register
from graphc.ir.type import TensorType
from graphc.kernel.scalar import evaluate
from graphc.ops import build, check, special_pair
from graphc.ops import elementwise as ew
from graphc.ops.host import refused_gradients
from graphc.ops.numerics import NumpyArray, exactly


def _formula(name: str, summary: str, slope: Callable[[Node, Node], Node] | None = None) -> Op:
    """An op of one operand that is a scalar op of the same name; `slope` makes the derivative of result and operand."""

    def reference(out: TensorType, x: NumpyArray) -> NumpyArray:
        return evaluate(name, out.dtype, x).reshape(x.shape)

    def lower(b: Builder, out: TensorType, i: tuple[Size, ...], x: Operand) -> Scalar:
        return b.apply(name, x(i))

    def vjp(ct: Node, out: Node, x: Node) -> tuple[Node]:
        assert slope is not None
        return (ew.mul(ct, slope(out, x)),)

    return register(
        Op(
            name,
            summary,
            type_rule=lambda x: x.with_dtype(check.takes(name, x, check.FLOAT)),
            reference=reference,
            vjp=None if slope is None else vjp,
            lower=lower,
            flags=Flags.ELEMENTWISE | Flags.EXPENSIVE,
        )
    )


def _times(x: Node, factor: float) -> Node:
    return build.scaled(x, factor)


lgamma: Op = _formula("lgamma", "log |gamma(x)|", lambda out, x: digamma(x))
digamma: Op = _formula("digamma", "the derivative of lgamma", lambda out, x: trigamma(x))
trigamma: Op = _formula(
    "trigamma", "the derivative of digamma", lambda out, x: _times(special_pair.zeta(_full(x, 3.0), x), -2.0)
)


def _full(x: Node, value: float) -> Node:
    return build.full_like(x, value)


erfinv: Op = _formula(
    "erfinv",
    "the inverse of erf",
    lambda out, x: _times(ew.exp(ew.mul(out, out)), math.sqrt(math.pi) / 2),
)
erfcx: Op = _formula(
    "erfcx",
    "exp(x^2) erfc(x)",
    lambda out, x: ew.sub(_times(ew.mul(x, out), 2.0), _full(x, 2.0 / math.sqrt(math.pi))),
)
ndtri: Op = _formula(
    "ndtri",
    "the quantile of the standard normal distribution",
    lambda out, x: _times(ew.exp(_times(ew.mul(out, out), 0.5)), math.sqrt(2 * math.pi)),
)
log_ndtr: Op = _formula(
    "log_ndtr",
    "the logarithm of the standard normal distribution function",
    lambda out, x: ew.div(_full(x, math.sqrt(2.0 / math.pi)), erfcx(_times(x, -math.sqrt(0.5)))),
)


def _less_over(first: Node, second: Node, x: Node) -> Node:
    """first - second / x, where at 0 the quotient is half of first."""
    is_zero = ew.eq(x, build.zeros_like(x))
    quotient = ew.div(second, ew.select(is_zero, build.ones_like(x), x))
    return ew.sub(first, ew.select(is_zero, _times(first, 0.5), quotient))


i0: Op = _formula("i0", "modified Bessel function I0", lambda out, x: i1(x))
i1: Op = _formula("i1", "modified Bessel function I1", lambda out, x: _less_over(i0(x), out, x))
i0e: Op = _formula("i0e", "exp(-|x|) I0(x)", lambda out, x: ew.sub(i1e(x), ew.mul(ew.sign(x), out)))
i1e: Op = _formula("i1e", "exp(-|x|) I1(x)", lambda out, x: ew.sub(_less_over(i0e(x), out, x), ew.mul(ew.sign(x), out)))
bessel_j0: Op = _formula("bessel_j0", "Bessel function J0")
bessel_j1: Op = _formula("bessel_j1", "Bessel function J1")
bessel_y0: Op = _formula("bessel_y0", "Bessel function Y0")
bessel_y1: Op = _formula("bessel_y1", "Bessel function Y1")
modified_bessel_k0: Op = _formula("modified_bessel_k0", "modified Bessel function K0")
modified_bessel_k1: Op = _formula("modified_bessel_k1", "modified Bessel function K1")
scaled_modified_bessel_k0: Op = _formula("scaled_modified_bessel_k0", "exp(x) K0(x)")
scaled_modified_bessel_k1: Op = _formula("scaled_modified_bessel_k1", "exp(x) K1(x)")
airy_ai: Op = _formula("airy_ai", "Airy's function Ai")

without_gradient: Op = register(
    Op(
        "without_gradient",
        "x, by which PyTorch has no derivative: a run that needs one ends in the error `message`",
        type_rule=lambda x, *, message: x,
        reference=lambda out, x, *, message: x.copy(),
        vjp=lambda ct, out, x, *, message: refused_gradients(message, (x,)),
        lower=lambda b, out, i, x, *, message: x(i),
        flags=Flags.ELEMENTWISE,
    )
)


def _gcd_type(x: TensorType, y: TensorType) -> TensorType:
    check.takes("gcd", x, check.INTEGER)
    return TensorType(check.equal_shapes("gcd", x, y), check.equal_dtypes("gcd", x, y))


gcd: Op = register(
    Op(
        "gcd",
        "greatest common divisor",
        type_rule=_gcd_type,
        reference=exactly(np.gcd),
        lower=lambda b, out, i, x, y: b.apply("gcd", x(i), y(i)),
        flags=Flags.ELEMENTWISE | Flags.EXPENSIVE | Flags.COMMUTATIVE,
    )
)
