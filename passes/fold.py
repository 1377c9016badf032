"""Compute at compile time what depends on constants alone.

Level: tensor graph to tensor graph. In: nodes whose operands are all constants. Out: constants, computed by the op's
reference. By default only ops fold whose result is the same bits however it is computed: what IEEE 754 rounds exactly,
integers, and moved elements. With numerics="fast" the rest folds too (exp of a constant, a sum of constants).

    add(constant 1.0, constant 2.0) -> constant 3.0
    exp(broadcast(constant 0.0)) -> broadcast(exp(constant 0.0)), whose operand then folds if "fast" is asked for
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from graphc.ir.attribute import Array
from graphc.ir.dtype import Kind
from graphc.ir.errors import GraphcError
from graphc.ir.graph import Graph, Node
from graphc.ir.op import Flags
from graphc.ir.type import TensorType
from graphc.ops import build, creation
from graphc.passes.match import constant_array, splat, static_shape
from graphc.passes.pipeline import register
from graphc.passes.rewrite import RuleSet, rewrite

Values: TypeAlias = "npt.NDArray[np.generic]"


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_EXACT_REAL = _names("""
    neg abs sign floor ceil round trunc sqrt reciprocal add sub mul div fmod maximum minimum copysign
    eq ne lt le gt ge is_nan is_inf is_finite select cast bitcast real imag conj complex
    max min any all argmax argmin scatter gather take_along put_along dynamic_slice dynamic_update require
""")
"""Exact for real operands; for complex ones those that only move or compare parts."""
_EXACT_COMPLEX = _names("""
    neg add sub eq ne select real imag conj complex cast gather take_along dynamic_slice dynamic_update
""")
_NEVER = frozenset(("constant", "iota", "broadcast", "size", "input"))
"""What is cheaper as it is than as an array in memory."""


@register("fold")
def fold_constants(graph: Graph, *, limit: int = 65536, numerics: Literal["strict", "fast"] = "strict") -> Graph:
    """Compute what depends on constants alone, where the result has at most `limit` bytes."""
    rules = RuleSet()

    @rules.rule("*")
    def fold(node: Node) -> Node | None:
        if node.op.name in _NEVER or node.op.has(Flags.STRUCTURAL | Flags.HOST) or not node.inputs:
            return None
        if not isinstance(node.type, TensorType) or not (numerics == "fast" or is_exact(node)):
            return None
        return (_fold_element(node) if node.op.has(Flags.ELEMENTWISE) else None) or _fold_whole(node, limit)

    @rules.rule("size")
    def fold_size(node: Node) -> Node | None:
        value = node.attribute("value")
        return build.constant(value, node.tensor.dtype) if isinstance(value, int) else None

    return rewrite(graph, rules)


def is_exact(node: Node) -> bool:
    """Whether every right way to compute the node gives the same bits."""
    kinds = {operand.tensor.dtype.kind for operand in node.inputs} | {node.tensor.dtype.kind}
    if node.op.has(Flags.MOVEMENT) and node.op.name != "fold":
        return True
    if node.op.name in ("scatter", "put_along") and node.attribute("mode") in ("add", "mul") and max(kinds) > Kind.INT:
        return False
    if max(kinds) is Kind.COMPLEX:
        return node.op.name in _EXACT_COMPLEX
    return (max(kinds) <= Kind.INT and not node.op.has(Flags.EXPENSIVE)) or node.op.name in _EXACT_REAL


def _fold_element(node: Node) -> Node | None:
    """Where every operand is one repeated constant: one element of the result, repeated."""
    values = [splat(operand) for operand in node.inputs]
    if any(value is None for value in values):
        return None
    types = [operand.tensor.with_shape(()) for operand in node.inputs]
    out = node.op.type_rule(*types, **node.keywords)
    result = _evaluate(node, out, [np.asarray(value) for value in values])
    return None if result is None else build.constant(result.reshape(-1)[0], node.tensor.dtype, node.shape)


def _fold_whole(node: Node, limit: int) -> Node | None:
    arrays = [constant_array(operand) for operand in node.inputs]
    shape = static_shape(node.shape)
    if shape is None or any(array is None for array in arrays):
        return None
    if int(np.prod(shape, dtype=object)) * node.tensor.dtype.itemsize > limit:
        return None
    result = _evaluate(node, node.type, [array for array in arrays if array is not None])
    return None if result is None else creation.constant(value=Array(result))


def _evaluate(node: Node, out: object, arrays: list[Values]) -> Values | None:
    try:
        result = node.op.reference(out, *arrays, **node.keywords)
    except GraphcError:  # an index out of range is an error of the run, if it gets there
        return None
    return np.asarray(result)
