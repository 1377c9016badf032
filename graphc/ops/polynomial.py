"""Ops of orthogonal polynomials, whose degrees are operands: by their recurrences of three terms.

Level: tensor graph. In: x and the degree n, of one shape and real float dtype; the fraction of n is dropped. Out: the
same type; 0 for a negative degree. As in PyTorch they have no gradient, and Chebyshev's are trigonometric functions
for |x| < 1 and n from `_FROM` on. (Abramowitz and Stegun, 22.3 and 22.7.)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

from graphc.ir.dtype import f64, i64
from graphc.ir.lowering import Builder, Scalar
from graphc.ir.op import Op
from graphc.kernel.formula.number import Number, choose
from graphc.ops.special_pair import PairRule, of_pair

Step: TypeAlias = Callable[[Number, Number, Number, Number], Number]
"""The polynomial of degree k + 1 from x, k and those of degrees k and k - 1."""
Form: TypeAlias = Callable[[Number, Number], Number]
"""A value from x and n."""


def _recurrence(
    first: Callable[[Number], Number],
    step: Step,
    *,
    known: Callable[[Number, Number], Number] | None = None,
    form: Form | None = None,
    limit: float = math.inf,
) -> PairRule:
    """`first` is the polynomial of degree 1. Where `known` holds, `form` gives the value; beyond `limit` it is nan."""

    def rule(b: Builder, x: Number, degree: Number) -> Number:
        n = degree.apply("trunc")
        steps = n - 1.0
        if known is not None:
            steps = choose(known(x, n), 0.0, steps)
        if limit < math.inf:
            steps = choose(n > limit, 0.0, steps)

        def advance(k: Scalar, state: tuple[Scalar, ...]) -> tuple[Scalar, ...]:
            before, now = (Number(b, each) for each in state)
            return now.scalar, step(x, Number(b, k).cast(f64) + 1.0, now, before).scalar

        _, last = b.iterate(steps.cast(i64).scalar, (x.constant(1.0).scalar, first(x).scalar), advance)
        value = Number(b, last)
        if known is not None and form is not None:
            value = choose(known(x, n), form(x, n), value)
        if limit < math.inf:
            value = choose(n > limit, math.nan, value)
        return choose(n < 0.0, 0.0, choose(n.equals(0.0), 1.0, value))

    return rule


def _is_even(n: Number) -> Number:
    half = n * 0.5
    return half.apply("floor").equals(half)


def _signed(is_plain: Number, value: Number) -> Number:
    return choose(is_plain, value, -value)


_FROM = 9.0
"""The least degree at which Chebyshev's polynomials are computed by angles."""


def _chebyshev(first: Callable[[Number], Number], at_edges: Form, by_angle: Form, least: float = _FROM) -> PairRule:
    """`at_edges` holds at 1 and -1; `by_angle` takes the angle whose cosine is x."""

    def is_edge(x: Number) -> Number:
        return abs(x).equals(1.0)

    return _recurrence(
        first,
        lambda x, k, now, before: (x + x) * now - before,
        known=lambda x, n: is_edge(x) | ((n >= least) & (abs(x) < 1.0)),
        form=lambda x, n: choose(is_edge(x), at_edges(x, n), by_angle(x.apply("acos"), n)),
    )


def _edges_t(x: Number, n: Number) -> Number:
    return _signed((x > 0.0) | _is_even(n), n.constant(1.0))


def _edges_u(x: Number, n: Number) -> Number:
    return _signed((x > 0.0) | _is_even(n), n + 1.0)


def _edges_v(x: Number, n: Number) -> Number:
    return choose(x > 0.0, 1.0, _signed(_is_even(n), n + n + 1.0))


def _edges_w(x: Number, n: Number) -> Number:
    return choose(x > 0.0, n + n + 1.0, _signed(_is_even(n), n.constant(1.0)))


_T = _chebyshev(lambda x: x, _edges_t, lambda a, n: (n * a).apply("cos"), 7.0)
_U = _chebyshev(lambda x: x + x, _edges_u, lambda a, n: ((n + 1.0) * a).apply("sin") / a.apply("sin"))
_V = _chebyshev(lambda x: x + x - 1.0, _edges_v, lambda a, n: ((n + 0.5) * a).apply("cos") / (a * 0.5).apply("cos"))
_W = _chebyshev(lambda x: x + x + 1.0, _edges_w, lambda a, n: ((n + 0.5) * a).apply("sin") / (a * 0.5).apply("sin"))


def _shifted(rule: PairRule) -> PairRule:
    return lambda b, x, n: rule(b, x + x - 1.0, n)


chebyshev_polynomial_t: Op = of_pair("chebyshev_polynomial_t", "Chebyshev polynomial of the first kind", _T)
chebyshev_polynomial_u: Op = of_pair("chebyshev_polynomial_u", "Chebyshev polynomial of the second kind", _U)
chebyshev_polynomial_v: Op = of_pair("chebyshev_polynomial_v", "Chebyshev polynomial of the third kind", _V)
chebyshev_polynomial_w: Op = of_pair("chebyshev_polynomial_w", "Chebyshev polynomial of the fourth kind", _W)
shifted_chebyshev_polynomial_t: Op = of_pair("shifted_chebyshev_polynomial_t", "T of 2 x - 1", _shifted(_T))
shifted_chebyshev_polynomial_u: Op = of_pair("shifted_chebyshev_polynomial_u", "U of 2 x - 1", _shifted(_U))
shifted_chebyshev_polynomial_v: Op = of_pair("shifted_chebyshev_polynomial_v", "V of 2 x - 1", _shifted(_V))
shifted_chebyshev_polynomial_w: Op = of_pair("shifted_chebyshev_polynomial_w", "W of 2 x - 1", _shifted(_W))

_MOST_HERMITE = 512.0
"""Beyond this degree PyTorch gives nan."""

hermite_polynomial_h: Op = of_pair(
    "hermite_polynomial_h",
    "the physicists' Hermite polynomial",
    _recurrence(lambda x: x + x, lambda x, k, now, before: (x + x) * now - (k + k) * before, limit=_MOST_HERMITE),
)
hermite_polynomial_he: Op = of_pair(
    "hermite_polynomial_he",
    "the probabilists' Hermite polynomial",
    _recurrence(lambda x: x, lambda x, k, now, before: x * now - k * before, limit=_MOST_HERMITE),
)
laguerre_polynomial_l: Op = of_pair(
    "laguerre_polynomial_l",
    "Laguerre polynomial",
    _recurrence(lambda x: 1.0 - x, lambda x, k, now, before: ((k + k + 1.0 - x) * now - k * before) / (k + 1.0)),
)
legendre_polynomial_p: Op = of_pair(
    "legendre_polynomial_p",
    "Legendre polynomial",
    _recurrence(
        lambda x: x,
        lambda x, k, now, before: ((k + k + 1.0) * x * now - k * before) / (k + 1.0),
        known=lambda x, n: abs(x).equals(1.0),
        form=_edges_t,
    ),
)
