"""Arithmetic rules of `simplify`: every one keeps all bits, for nan, infinity and signed zero too.

Level: tensor graph, one node. In: an elementwise node. Out: an equal one that is cheaper, or None. What IEEE 754 makes
inexact is absent on purpose: `x + 0.0` turns -0.0 into 0.0, `x * 0.0` keeps nan, `x - x` is nan at infinity. (The
sign and payload of a nan are no part of a value: IEEE 754 leaves them open.) Complex products are formulas of several
roundings, so rules about products look at real operands only.

    mul(x, 1) -> x      sub(x, 0.0) -> x      add(x, neg(y)) -> sub(x, y)      cast(cast(x, f32), f64) -> cast(x, f64)
"""

from __future__ import annotations

import math

import numpy as np

from graphc.ir.dtype import DType, Kind, f16, f64
from graphc.ir.graph import Node
from graphc.ops import build
from graphc.ops import elementwise as ew
from graphc.passes.match import holds_all_of, is_splat, splat
from graphc.passes.rewrite import RuleSet

ALGEBRA = RuleSet()


def _kind(node: Node) -> Kind:
    return node.tensor.dtype.kind


def _is(node: Node, name: str) -> bool:
    return node.op.name == name


@ALGEBRA.rule("add")
def simplify_add(node: Node) -> Node | None:
    """x + zero (the zero that changes nothing), x + -y."""
    for x, y in (node.inputs, node.inputs[::-1]):
        if is_splat(y, -0.0 if _kind(y) >= Kind.FLOAT else 0):
            return x
        if _is(y, "neg"):
            return ew.sub(x, y.inputs[0])
    return None


@ALGEBRA.rule("sub")
def simplify_sub(node: Node) -> Node | None:
    """x - 0, 0 - x, x - -y, integer x - x."""
    x, y = node.inputs
    if is_splat(y, 0.0 if _kind(y) >= Kind.FLOAT else 0):
        return x
    if _is(y, "neg"):
        return ew.add(x, y.inputs[0])
    if is_splat(x, -0.0 if _kind(x) >= Kind.FLOAT else 0):
        return ew.neg(y)
    if x is y and _kind(x) is Kind.INT:
        return build.zeros_like(node)
    return None


@ALGEBRA.rule("mul")
def simplify_mul(node: Node) -> Node | None:
    """x * 1, x * -1, integer x * 0, -x * -y."""
    if _kind(node) is Kind.COMPLEX:
        return None
    for x, y in (node.inputs, node.inputs[::-1]):
        if is_splat(y, 1):
            return x
        if is_splat(y, -1):
            return ew.neg(x)
        if _kind(y) <= Kind.INT and is_splat(y, 0):
            return y
    a, b = node.inputs
    if _is(a, "neg") and _is(b, "neg"):
        return ew.mul(a.inputs[0], b.inputs[0])
    return None


@ALGEBRA.rule("div")
def simplify_div(node: Node) -> Node | None:
    """x / 1, x / -1, -x / -y, division by a power of two, whose reciprocal is exact."""
    if _kind(node) is Kind.COMPLEX:
        return None
    x, y = node.inputs
    if is_splat(y, 1):
        return x
    if is_splat(y, -1):
        return ew.neg(x)
    if _is(x, "neg") and _is(y, "neg"):
        return ew.div(x.inputs[0], y.inputs[0])
    value = splat(y)
    if value is not None and _has_exact_reciprocal(float(value), y.tensor.dtype):
        return ew.mul(x, build.full_like(y, 1.0 / float(value)))
    return None


@ALGEBRA.rule("floor_divide", "remainder", "fmod")
def simplify_integer_division(node: Node) -> Node | None:
    """Integer division by 1, and what it leaves."""
    x, y = node.inputs
    if _kind(node) is Kind.INT and is_splat(y, 1):
        return x if _is(node, "floor_divide") else build.zeros_like(node)
    return None


@ALGEBRA.rule("pow")
def simplify_pow(node: Node) -> Node | None:
    """x ** 1 and x ** 0, which IEEE 754 fixes even for nan."""
    if _kind(node) is Kind.COMPLEX:
        return None
    x, y = node.inputs
    if is_splat(y, 1):
        return x
    if splat(y) is not None and bool(splat(y) == 0):
        return build.ones_like(node)
    return None


@ALGEBRA.rule("neg", "logical_not", "bitwise_not", "conj")
def drop_involution(node: Node) -> Node | None:
    """An op that undoes itself."""
    (x,) = node.inputs
    return x.inputs[0] if x.op is node.op else None


@ALGEBRA.rule("abs")
def simplify_abs(node: Node) -> Node | None:
    """|-x|, ||x||, |x| of what has no sign."""
    (x,) = node.inputs
    dtype = x.tensor.dtype
    if dtype.kind <= Kind.INT and not dtype.signed:
        return x
    if _is(x, "abs"):
        return x
    if _is(x, "neg"):
        return ew.abs_(x.inputs[0])
    return None


@ALGEBRA.rule("floor", "ceil", "round", "trunc")
def simplify_rounding(node: Node) -> Node | None:
    """Rounding of what is whole already."""
    (x,) = node.inputs
    is_whole = x.op.name in ("floor", "ceil", "round", "trunc") or _kind(x) <= Kind.INT
    return x if is_whole and x.type == node.type else None


@ALGEBRA.rule("real", "imag")
def simplify_part(node: Node) -> Node | None:
    """A part of a number made of parts."""
    (x,) = node.inputs
    return x.inputs[1 if _is(node, "imag") else 0] if _is(x, "complex") else None


@ALGEBRA.rule("complex")
def simplify_complex(node: Node) -> Node | None:
    """A number taken apart and put together."""
    re, im = node.inputs
    return re.inputs[0] if _is(re, "real") and _is(im, "imag") and re.inputs == im.inputs else None


@ALGEBRA.rule("maximum", "minimum", "bitwise_and", "bitwise_or")
def drop_idempotent(node: Node) -> Node | None:
    """x with itself."""
    x, y = node.inputs
    return x if x is y else None


@ALGEBRA.rule("bitwise_and", "bitwise_or", "bitwise_xor")
def simplify_bits(node: Node) -> Node | None:
    """All bits clear or all bits set on one side; x ^ x."""
    ones = 1 if _kind(node) is Kind.BOOL else None
    for x, y in (node.inputs, node.inputs[::-1]):
        value = splat(y)
        if value is None:
            continue
        is_zero = bool(value == 0)
        is_ones = bool(value == ones) if ones is not None else bool(~np.asarray(value) == 0)
        match node.op.name:
            case "bitwise_and" if is_zero or is_ones:
                return y if is_zero else x
            case "bitwise_or" if is_zero or is_ones:
                return x if is_zero else y
            case "bitwise_xor" if is_zero:
                return x
            case "bitwise_xor" if is_ones:
                return ew.bitwise_not(x)
            case _:
                pass
    if _is(node, "bitwise_xor") and node.inputs[0] is node.inputs[1]:
        return build.zeros_like(node)
    return None


@ALGEBRA.rule("shift_left", "shift_right")
def simplify_shift(node: Node) -> Node | None:
    """A shift by nothing."""
    x, y = node.inputs
    return x if is_splat(y, 0) else None


@ALGEBRA.rule("eq", "ne", "le", "lt", "ge", "gt")
def simplify_comparison(node: Node) -> Node | None:
    """x with itself, where there is no nan."""
    x, y = node.inputs
    if x is not y or _kind(x) > Kind.INT:
        return None
    return build.full_like(node, node.op.name in ("eq", "le", "ge"))


@ALGEBRA.rule("require")
def simplify_require(node: Node) -> Node | None:
    """A condition that holds."""
    x, condition = node.inputs
    return x if is_splat(condition, True) else None


@ALGEBRA.rule("select")
def simplify_select(node: Node) -> Node | None:
    """Both sides the same, a known or negated condition, a condition asked twice."""
    condition, a, b = node.inputs
    if a is b:
        return a
    value = splat(condition)
    if value is not None:
        return a if bool(value) else b
    if _is(condition, "logical_not"):
        return ew.select(condition.inputs[0], b, a)
    if _is(a, "select") and a.inputs[0] is condition:
        return ew.select(condition, a.inputs[1], b)
    if _is(b, "select") and b.inputs[0] is condition:
        return ew.select(condition, a, b.inputs[2])
    return None


@ALGEBRA.rule("cast")
def simplify_cast(node: Node) -> Node | None:
    """A cast to the same dtype, and one after a cast that lost nothing."""
    (x,) = node.inputs
    target = node.tensor.dtype
    if x.tensor.dtype is target:
        return x
    if not _is(x, "cast"):
        return None
    (source,) = x.inputs
    first, middle = source.tensor.dtype, x.tensor.dtype
    if not holds_all_of(middle, first):
        return None
    # Out of its range an integer wraps on its way to a narrower one, and saturates or worse when it comes as a float.
    if (
        first.kind is Kind.INT
        and middle.kind > Kind.INT
        and target.kind is Kind.INT
        and not holds_all_of(target, first)
    ):
        return None
    return source if first is target else ew.cast(source, dtype=target)


@ALGEBRA.rule("bitcast")
def simplify_bitcast(node: Node) -> Node | None:
    """A bitcast to the same dtype, and one after another."""
    (x,) = node.inputs
    if x.type == node.type:
        return x
    if not _is(x, "bitcast"):
        return None
    (source,) = x.inputs
    return source if source.type == node.type else ew.bitcast(source, dtype=node.tensor.dtype)


def _has_exact_reciprocal(value: float, of: DType) -> bool:
    """Whether it is a power of two whose reciprocal is a normal number of the dtype."""
    if value == 0 or not math.isfinite(value) or abs(math.frexp(value)[0]) != 0.5:
        return False
    reciprocal = 1.0 / value
    limits = np.finfo(np.float64) if of is f64 else np.finfo(np.float32)
    smallest = 2.0**-14 if of is f16 else float(limits.tiny)
    largest = 65504.0 if of is f16 else float(limits.max)
    return smallest <= abs(reciprocal) <= largest and abs(value) >= smallest
