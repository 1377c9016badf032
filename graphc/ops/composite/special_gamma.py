"""The gamma function's kin: logarithms, derivatives, the incomplete functions, and Hurwitz' zeta function."""

from __future__ import annotations

import math

from graphc.ir.dtype import Kind, f16, f32
from graphc.ir.errors import ArgumentError, SignatureError, UnsupportedDType
from graphc.ir.graph import Node
from graphc.ops import build, creation, reduction, special, special_pair
from graphc.ops import elementwise as ew
from graphc.ops.composite.operand import Operand, combined
from graphc.ops.composite.special_operand import real, real_pair
from graphc.ops.function import function


@function(method=True, names=("special.gammaln",))
def lgamma(input: Operand) -> Node:
    """log |gamma(input)|."""
    return special.lgamma(real("lgamma_vml_cpu", input))


@function(method=True, names=("special.digamma", "special.psi"))
def digamma(input: Operand) -> Node:
    """The derivative of lgamma."""
    return special.digamma(real("digamma", input))


@function(method=True, names=("special.polygamma",))
def polygamma(n: int | Node, input: Node | int) -> Node:
    """The n-th derivative of digamma: (-1)^(n + 1) n! zeta(n + 1, input). As a method x.polygamma(n)."""
    order, x = (n, input) if isinstance(input, Node) else (input, n)
    if not isinstance(order, int):
        kind = "Tensor" if isinstance(order, Node) else type(order).__name__
        raise SignatureError(f"polygamma(): argument 'n' must be int, not {kind}", hint="n counts derivatives")
    if order < 0:
        raise ArgumentError("polygamma(n, x) does not support negative n.", hint="use 0 or more")
    if order == 0:
        return digamma(x)
    if order == 1:
        return special.trigamma(real("trigamma", x))
    y = real("polygamma", x)
    # In float16, n! would soon be infinite where its product with zeta is not.
    wide = build.cast_to(y, f32) if y.tensor.dtype is f16 else y
    factor = math.exp(math.lgamma(order + 1.0)) if order > 20 else float(math.factorial(order))
    value = special_pair.zeta(build.full_like(wide, order + 1.0), wide)
    return build.cast_to(build.scaled(value, factor if order % 2 else -factor), y.tensor.dtype)


@function(method=True, names=("special.multigammaln",))
def mvlgamma(input: Operand, p: int) -> Node:
    """The logarithm of the gamma function of p dimensions: sum of lgamma(input - i / 2) for i < p, and a constant."""
    if p < 1:
        raise ArgumentError("p has to be greater than or equal to 1", hint="p is the number of dimensions")
    x = real("mvlgamma", input)
    terms = build.broadcast_to(build.insert_axes(x, (len(x.shape),)), (*x.shape, p))
    steps = build.broadcast_to(_steps(x, p), terms.shape)
    total = reduction.sum_(special.lgamma(ew.sub(terms, steps)), axes=(len(x.shape),))
    return ew.add(total, build.full_like(total, p * (p - 1) / 4.0 * math.log(math.pi)))


def _steps(like: Node, count: int) -> Node:
    """0, 1/2, 1, ..."""
    from_zero = creation.iota(shape=(count,), axis=0, dtype=like.tensor.dtype)
    return build.scaled(from_zero, 0.5)


@function(method=True, names=("special.gammainc",))
def igamma(input: Node, other: Node) -> Node:
    """The regularized lower incomplete gamma function of `input` at `other`; differentiable by `other`."""
    a, x = _incomplete("igamma", input, other)
    return special_pair.lower_gamma(a, x)


@function(method=True, names=("special.gammaincc",))
def igammac(input: Node, other: Node) -> Node:
    """The regularized upper incomplete gamma function of `input` at `other`; differentiable by `other`."""
    a, x = _incomplete("igammac", input, other)
    return special_pair.upper_gamma(a, x)


def _incomplete(name: str, input: Node, other: Node) -> tuple[Node, Node]:
    a, x = combined(name, input, other)
    if a.tensor.dtype.kind is not Kind.FLOAT:
        raise UnsupportedDType(
            f"\"{name}_cpu\" not implemented for '{a.tensor.dtype.scalar}'", hint="convert both, e.g. x.float()"
        )
    return special.without_gradient(a, message=f"the derivative for '{name}: input' is not implemented."), x


@function(namespace="special")
def zeta(input: Operand, other: Operand) -> Node:
    """Hurwitz' zeta function: the sum of (other + k)^-input over k = 0, 1, ...; differentiable by `other`."""
    s, q = real_pair("zeta", "zeta_cpu", input, other, halves=False)
    return special_pair.zeta(special.without_gradient(s, message="the derivative for 'zeta' is not implemented."), q)
