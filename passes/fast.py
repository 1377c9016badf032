"""Rules of `simplify` under numerics="fast": right for real numbers, not for every bit.

Level: tensor graph, one node. In: a node. Out: one that is cheaper and equal up to rounding; nan, infinity and the sign
of zero may get lost where a rule says so.

    div(x, 3.0) -> mul(x, 1/3)      add(add(x, 1.0), 2.0) -> add(x, 3.0)      pow(x, 2.0) -> mul(x, x)
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from graphc.ir.dim import product
from graphc.ir.dtype import Kind
from graphc.ir.graph import Node
from graphc.ir.op import Op
from graphc.ops import build, reduction
from graphc.ops import elementwise as ew
from graphc.passes.match import axes_of, is_finite_splat, is_one, is_splat, splat
from graphc.passes.rewrite import RuleSet

FAST = RuleSet()


@FAST.rule("add", "sub")
def drop_any_zero(node: Node) -> Node | None:
    """x + 0 and x - 0 with a zero of either sign; loses the sign of zero."""
    x, y = node.inputs
    if is_splat(y, 0.0) or is_splat(y, -0.0):
        return x
    if is_splat(x, 0.0) or is_splat(x, -0.0):
        return y if node.op is ew.add else ew.neg(y)
    return None


@FAST.rule("sub", "div")
def cancel_equal_operands(node: Node) -> Node | None:
    """x - x and x / x; loses nan."""
    x, y = node.inputs
    if x is not y:
        return None
    return build.zeros_like(node) if node.op is ew.sub else build.ones_like(node)


@FAST.rule("mul", "div")
def multiply_zero(node: Node) -> Node | None:
    """x * 0 and 0 / x; loses nan."""
    x, y = node.inputs
    is_zero = is_splat(x, 0.0) or (node.op is ew.mul and is_splat(y, 0.0))
    return build.zeros_like(node) if is_zero else None


@FAST.rule("div")
def divide_by_constant(node: Node) -> Node | None:
    """x / c as x * (1 / c): one more rounding."""
    x, y = node.inputs
    value = splat(y)
    if value is None or not is_finite_splat(y):
        return None
    reciprocal = 1 / value.item()
    return ew.mul(x, build.full_like(y, reciprocal)) if _is_normal(y, reciprocal) else None


@FAST.rule("div")
def divide_by_root(node: Node) -> Node | None:
    """x / sqrt(y) as x * rsqrt(y)."""
    x, y = node.inputs
    return ew.mul(x, ew.rsqrt(y.inputs[0])) if y.op is ew.sqrt else None


@FAST.rule("add")
def add_constants_first(node: Node) -> Node | None:
    """(x + c) + d as x + (c + d)."""
    return _join_constants(node, ew.add, lambda c, d: c + d)


@FAST.rule("mul")
def multiply_constants_first(node: Node) -> Node | None:
    """(x * c) * d as x * (c * d)."""
    return _join_constants(node, ew.mul, lambda c, d: c * d)


def _join_constants(node: Node, op: Op, combine: Callable[[complex, complex], complex]) -> Node | None:
    if node.tensor.dtype.kind < Kind.FLOAT:
        return None
    for inner, outer in (node.inputs, node.inputs[::-1]):
        c = splat(outer)
        if c is None or inner.op is not op:
            continue
        for x, known in (inner.inputs, inner.inputs[::-1]):
            d = splat(known)
            if d is not None and splat(x) is None:
                value = combine(d.item(), c.item())
                return op(x, build.full_like(outer, value)) if _is_normal(outer, value) or value == 0 else None
    return None


@FAST.rule("pow")
def expand_power(node: Node) -> Node | None:
    """Powers with exponents of few multiplications."""
    x, y = node.inputs
    exponent = splat(y)
    if exponent is None or node.tensor.dtype.kind is not Kind.FLOAT:
        return None
    match float(exponent):
        case 2.0:
            return ew.mul(x, x)
        case 3.0:
            return ew.mul(ew.mul(x, x), x)
        case 4.0:
            square = ew.mul(x, x)
            return ew.mul(square, square)
        case 0.5:
            return ew.sqrt(x)
        case -0.5:
            return ew.rsqrt(x)
        case -1.0:
            return ew.reciprocal(x)
        case _:
            return None


@FAST.rule("exp", "log")
def cancel_inverse(node: Node) -> Node | None:
    """log(exp(x)) and exp(log(x)); the latter loses nan below zero."""
    (x,) = node.inputs
    inverse = ew.log if node.op is ew.exp else ew.exp
    return x.inputs[0] if x.op is inverse and node.tensor.dtype.kind is Kind.FLOAT else None


@FAST.rule("neg")
def negate_difference(node: Node) -> Node | None:
    """-(x - y) as y - x; loses the sign of zero."""
    (x,) = node.inputs
    return ew.sub(*x.inputs[::-1]) if x.op is ew.sub else None


@FAST.rule("sum")
def sum_before_broadcast(node: Node) -> Node | None:
    """The sum of n equal elements as n times the element; a sum over axes of size 1 as the element."""
    (x,) = node.inputs
    axes = axes_of(node)
    if axes and all(is_one(x.shape[axis]) for axis in axes) and x.tensor.dtype is node.tensor.dtype:
        return build.reshape_to(x, node.shape)
    if x.op.name != "broadcast" or node.tensor.dtype.kind < Kind.FLOAT:
        return None
    (source,) = x.inputs
    repeated = [axis for axis in axes if is_one(source.shape[axis]) and not is_one(x.shape[axis])]
    if not repeated:
        return None
    shape = tuple(1 if axis in repeated else size for axis, size in enumerate(x.shape))
    one_of_each = reduction.sum_(build.broadcast_to(source, shape), axes=axes)
    count = build.size_of(product(x.shape[axis] for axis in repeated), build.real_dtype(node))
    factor = build.broadcast_to(build.to_complex(count) if node.tensor.dtype.is_complex else count, node.shape)
    return ew.mul(one_of_each, factor)


def _is_normal(like: Node, value: complex) -> bool:
    """Whether the dtype of `like` holds the value as a normal number."""
    with np.errstate(over="ignore", under="ignore"):
        rounded = abs(complex(np.asarray(value).astype(like.tensor.dtype.numpy)))
    return np.isfinite(rounded) and rounded > (1e-4 if like.tensor.dtype.bits == 16 else 1e-37)
