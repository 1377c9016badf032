"""Orthogonal polynomials of an operand, by degrees that are an operand too. As in PyTorch without gradients."""

from __future__ import annotations

from collections.abc import Callable

from graphc.ir.graph import Node
from graphc.ir.op import Op
from graphc.ops import elementwise as ew
from graphc.ops import polynomial
from graphc.ops.composite.operand import Operand
from graphc.ops.composite.special_operand import real_pair
from graphc.ops.function import function


def _enter(op: Op) -> Callable[[Operand, Operand], Node]:
    def build_node(input: Operand, n: Operand) -> Node:
        return ew.detach(op(*real_pair(op.name, f"{op.name}_cpu", input, n, halves=False)))

    build_node.__name__ = build_node.__qualname__ = op.name
    build_node.__doc__ = f"{op.summary[0].upper()}{op.summary[1:]}, of degree n; 0 where n is negative."
    return function(namespace="special")(build_node)


chebyshev_polynomial_t = _enter(polynomial.chebyshev_polynomial_t)
chebyshev_polynomial_u = _enter(polynomial.chebyshev_polynomial_u)
chebyshev_polynomial_v = _enter(polynomial.chebyshev_polynomial_v)
chebyshev_polynomial_w = _enter(polynomial.chebyshev_polynomial_w)
shifted_chebyshev_polynomial_t = _enter(polynomial.shifted_chebyshev_polynomial_t)
shifted_chebyshev_polynomial_u = _enter(polynomial.shifted_chebyshev_polynomial_u)
shifted_chebyshev_polynomial_v = _enter(polynomial.shifted_chebyshev_polynomial_v)
shifted_chebyshev_polynomial_w = _enter(polynomial.shifted_chebyshev_polynomial_w)
hermite_polynomial_h = _enter(polynomial.hermite_polynomial_h)
hermite_polynomial_he = _enter(polynomial.hermite_polynomial_he)
laguerre_polynomial_l = _enter(polynomial.laguerre_polynomial_l)
legendre_polynomial_p = _enter(polynomial.legendre_polynomial_p)
