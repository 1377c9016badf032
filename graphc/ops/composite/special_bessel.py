"""Bessel functions of order 0 and 1, plain, modified and spherical, and Airy's Ai.

As in PyTorch, only `i0`, `i0e`, `i1` and `i1e` have gradients.
"""

from __future__ import annotations

from collections.abc import Callable

from graphc.ir.dtype import f64
from graphc.ir.graph import Node
from graphc.ir.op import Op
from graphc.ops import build, special
from graphc.ops import elementwise as ew
from graphc.ops.composite.operand import Operand
from graphc.ops.composite.special_operand import real
from graphc.ops.function import function


@function(method=True, names=("special.i0",))
def i0(input: Operand) -> Node:
    """Modified Bessel function of the first kind, order 0."""
    return special.i0(real("i0_vml_cpu", input))


@function(namespace="special")
def i0e(input: Operand) -> Node:
    """exp(-|input|) i0(input)."""
    return special.i0e(real("i0e_cpu", input))


@function(namespace="special")
def i1(input: Operand) -> Node:
    """Modified Bessel function of the first kind, order 1."""
    return special.i1(real("i1_cpu", input))


@function(namespace="special")
def i1e(input: Operand) -> Node:
    """exp(-|input|) i1(input)."""
    return special.i1e(real("i1e_cpu", input))


def _without_gradient(name: str, op: Op, summary: str) -> Callable[[Operand], Node]:
    def build_node(input: Operand) -> Node:
        return ew.detach(op(real(f"{name}_cpu", input, halves=False)))

    build_node.__name__ = build_node.__qualname__ = name
    build_node.__doc__ = summary
    return function(namespace="special")(build_node)


airy_ai = _without_gradient("airy_ai", special.airy_ai, "Airy's function Ai.")
bessel_j0 = _without_gradient("bessel_j0", special.bessel_j0, "Bessel function of the first kind, order 0.")
bessel_j1 = _without_gradient("bessel_j1", special.bessel_j1, "Bessel function of the first kind, order 1.")
bessel_y0 = _without_gradient("bessel_y0", special.bessel_y0, "Bessel function of the second kind, order 0.")
bessel_y1 = _without_gradient("bessel_y1", special.bessel_y1, "Bessel function of the second kind, order 1.")
modified_bessel_i0 = _without_gradient(
    "modified_bessel_i0", special.i0, "Modified Bessel function of the first kind, order 0."
)
modified_bessel_i1 = _without_gradient(
    "modified_bessel_i1", special.i1, "Modified Bessel function of the first kind, order 1."
)
modified_bessel_k0 = _without_gradient(
    "modified_bessel_k0", special.modified_bessel_k0, "Modified Bessel function of the second kind, order 0."
)
modified_bessel_k1 = _without_gradient(
    "modified_bessel_k1", special.modified_bessel_k1, "Modified Bessel function of the second kind, order 1."
)
scaled_modified_bessel_k0 = _without_gradient(
    "scaled_modified_bessel_k0", special.scaled_modified_bessel_k0, "exp(input) modified_bessel_k0(input)."
)
scaled_modified_bessel_k1 = _without_gradient(
    "scaled_modified_bessel_k1", special.scaled_modified_bessel_k1, "exp(input) modified_bessel_k1(input)."
)


@function(namespace="special")
def spherical_bessel_j0(input: Operand) -> Node:
    """sin(input) / input, 1 at 0 and 0 at infinities."""
    given = real("spherical_bessel_j0_cpu", input, halves=False)
    x = build.cast_to(given, f64)
    zero = build.zeros_like(x)
    y = ew.select(ew.eq(x, zero), build.ones_like(x), ew.select(ew.is_inf(x), zero, ew.div(ew.sin(x), x)))
    return ew.detach(build.cast_to(y, given.tensor.dtype))
