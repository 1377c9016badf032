"""Ops of special functions of two operands: Hurwitz' zeta function and the incomplete gamma functions.

Level: tensor graph. In: two operands of one shape and real float dtype. Out: the same type. The rules are written over
float64 numbers of a builder, with its sums and loops, and run on arrays as well: that is their reference.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias, cast

import numpy as np

from graphc.ir.dim import Size
from graphc.ir.dtype import DType, f64, i64
from graphc.ir.graph import Node
from graphc.ir.lowering import Builder, Scalar, Step
from graphc.ir.op import Flags, Op, register
from graphc.ir.type import TensorType
from graphc.kernel.formula.number import Number, choose, fma
from graphc.kernel.scalar import ArrayBuilder, ArrayScalar
from graphc.ops import build, check, special
from graphc.ops import elementwise as ew
from graphc.ops.numerics import NumpyArray, rounded, widen

PairRule: TypeAlias = Callable[[Builder, Number, Number], Number]
"""The result from two float64 numbers."""


class ArrayRules(ArrayBuilder):
    """Runs lowering rules on whole arrays."""

    def index(self, size: Size, dtype: DType) -> ArrayScalar:
        """An index expression as a number."""
        assert isinstance(size, int), "arrays are counted with numbers"
        return self.constant(size, dtype)

    def reduce(self, combiner: str, extent: Size, element: Callable[[Size], Scalar]) -> ArrayScalar:
        """`element(k)` for k in 0..extent, added in order."""
        assert combiner == "sum", "rules of special functions only add"
        assert isinstance(extent, int), "their sums have a fixed length"
        total = cast("ArrayScalar", element(0))
        for k in range(1, extent):
            total = self.apply("add", total, element(k))
        return total

    def iterate(self, count: Scalar, start: tuple[Scalar, ...], step: Step) -> tuple[Scalar, ...]:
        """The state after `count` steps, element by element."""
        state, counts = start, cast("ArrayScalar", count).array
        for k in range(max(int(counts.max(initial=0)), 0)):
            goes_on = self.apply("gt", count, self.constant(k, i64))
            new = step(self.constant(k, i64), state)
            state = tuple(self.select(goes_on, after, before) for after, before in zip(new, state, strict=True))
        return state


def of_pair(name: str, summary: str, rule: PairRule, by_second: Callable[[Node, Node, Node], Node] | None = None) -> Op:
    """An op of two operands by a rule; `by_second` makes the second one's cotangent of that of the result."""

    def run(b: Builder, x: Scalar, y: Scalar) -> Scalar:
        return rule(b, Number(b, b.cast(x, f64)), Number(b, b.cast(y, f64))).scalar

    def type_rule(x: TensorType, y: TensorType) -> TensorType:
        check.takes(name, x, check.FLOAT)
        return TensorType(check.equal_shapes(name, x, y), check.equal_dtypes(name, x, y))

    def reference(out: TensorType, x: NumpyArray, y: NumpyArray) -> NumpyArray:
        operands = (ArrayScalar.of(widen(each)) for each in (x, y))
        with np.errstate(all="ignore"):
            result = run(cast("Builder", ArrayRules()), *operands)
        return rounded(cast("ArrayScalar", result).array, out.dtype).reshape(x.shape)

    def vjp(ct: Node, out: Node, x: Node, y: Node) -> tuple[Node, Node]:
        # Nobody has the first derivative; who asks for it finds the error that the operand of the table's function is.
        assert by_second is not None
        return build.full_like(ct, math.nan), by_second(ct, x, y)

    return register(
        Op(
            name,
            summary,
            type_rule=type_rule,
            reference=reference,
            vjp=None if by_second is None else vjp,
            lower=lambda b, out, i, x, y: b.cast(run(b, x(i), y(i)), out.dtype),
            flags=Flags.ELEMENTWISE | Flags.EXPENSIVE,
        )
    )


_TERMS = 8
"""Powers that zeta adds before the rest comes by Euler and Maclaurin."""


def _zeta(b: Builder, s: Number, q: Number) -> Number:
    """With f = q - floor(q), a q below 0 leads to zeta(s, f) + (-1)^s (zeta(s, 1 - f) - zeta(s, 1 - q))."""
    whole = q.apply("floor")
    fraction, is_below = q - whole, q < 0.0
    half = s * 0.5
    sign = choose(half.apply("floor").equals(half), s.constant(1.0), -1.0)
    starts = choose(is_below, fraction, q), 1.0 - fraction, 1.0 - q
    factors = s.constant(1.0), sign, -sign

    def advance(part: Scalar, state: tuple[Scalar, ...]) -> tuple[Scalar, ...]:
        number = Number(b, part)

        def chosen(three: tuple[Number, Number, Number]) -> Number:
            return choose(number.equals(0), three[0], choose(number.equals(1), three[1], three[2]))

        a, factor = chosen(starts), chosen(factors)
        powers = Number(b, b.reduce("sum", _TERMS, lambda k: (a + Number(b, b.index(k, f64))).apply("pow", -s).scalar))
        rest = s.apply("zeta_rest", a + float(_TERMS))
        return (fma(factor, powers + rest, Number(b, state[0])).scalar,)

    parts = choose(is_below, s.constant(3, i64), s.constant(1, i64))
    total = Number(b, b.iterate(parts.scalar, (s.constant(0.0).scalar,), advance)[0])
    total = choose(is_below & s.differs(s.apply("floor")), math.nan, total)
    total = choose((q <= 0.0) & q.equals(whole), math.inf, total)
    return choose(s.equals(1.0), math.inf, choose(s < 1.0, math.nan, total))


zeta: Op = of_pair(
    "zeta",
    "the sum of (q + k)^-s over k = 0, 1, ...",
    _zeta,
    lambda ct, s, q: ew.mul(ct, ew.neg(ew.mul(s, zeta(ew.add(s, build.ones_like(s)), q)))),
)

_POINTS = 64
_FIRST, _LAST = -3.6, 4.4
"""Where the trapezoid rule begins and ends: relative error below 2^-49, measured for a up to 10^4."""


def _incomplete(name: str, summary: str, sign: float) -> Op:
    """The formula of the same name completes the integral."""
    step = (_LAST - _FIRST) / (_POINTS - 1)

    def rule(b: Builder, a: Number, x: Number) -> Number:
        def term(k: Size) -> Scalar:
            t = fma(Number(b, b.index(k, f64)), step, _FIRST)
            return a.apply("gamma_integrand", x, t).scalar

        return a.apply(name, x, Number(b, b.reduce("sum", _POINTS, term)) * step)

    def density(a: Node, x: Node) -> Node:
        power = ew.mul(ew.sub(a, build.ones_like(a)), ew.log(x))
        return ew.exp(ew.sub(ew.sub(power, x), special.lgamma(a)))

    return of_pair(name, summary, rule, lambda ct, a, x: build.scaled(ew.mul(ct, density(a, x)), sign))


lower_gamma: Op = _incomplete("lower_gamma", "regularized lower incomplete gamma function", 1.0)
upper_gamma: Op = _incomplete("upper_gamma", "regularized upper incomplete gamma function", -1.0)
