"""Ops that leave values as they are and say something about the graph: a gradient of one's own, an order.

Level: tensor graph. `custom_vjp` gives its first operands and holds a graph that computes the gradient by the others;
`barrier` gives its first operand once the others are there, and is equal to no other node. Both are gone before kernels
are made (`passes/decompose`, `passes/fuse`), so fusion sees through them.

    y = with_gradient((exp(x),), (x,), lambda cts, ys, xs: (mul(cts[0], ys[0]),))      # reads the result, not x
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from graphc.ir.errors import ArgumentError
from graphc.ir.graph import GET, INPUT, Graph, Node, make_input, topological_order
from graphc.ir.op import Flags, Op, register
from graphc.ir.replace import inline, replace_nodes
from graphc.ir.type import TensorType, TupleType, Type
from graphc.ops import build
from graphc.ops.numerics import NumpyArray

Nodes: TypeAlias = "tuple[Node, ...]"
GradientRule: TypeAlias = Callable[[Nodes, Nodes, Nodes], "Sequence[Node | None]"]
"""(cotangents of the results that can have one, results, operands) -> a cotangent per operand, or None."""


def _custom_vjp_type(*operands: TensorType, results: int, wrt: tuple[int, ...], backward: Graph) -> Type:
    given, others = operands[:results], operands[results:]
    if not 0 < results <= len(operands):
        raise ArgumentError(
            f"custom_vjp: {results} results of {len(operands)} operands", hint="the first operands are the results"
        )
    expected = (*_with_cotangents(given), *operands)
    taken = tuple(node.type for node in backward.inputs)
    if taken != expected:
        raise ArgumentError(
            f"custom_vjp: the backward graph takes {_types(taken)}, not {_types(expected)}",
            hint="it takes a cotangent for each result of floats, the results and the operands",
        )
    if wrt != tuple(sorted(set(wrt))) or any(not 0 <= i < len(others) for i in wrt):
        raise ArgumentError(f"custom_vjp: wrt={wrt} of {len(others)} operands", hint="number operands in order")
    wanted, found = tuple(others[i] for i in wrt), tuple(node.type for node in backward.outputs)
    if found != wanted:
        raise ArgumentError(
            f"custom_vjp: the backward graph gives {_types(found)} for operands {_types(wanted)}",
            hint="a gradient has the type of the operand",
        )
    return given[0] if results == 1 else TupleType(given)


def _with_cotangents(results: Sequence[TensorType]) -> tuple[TensorType, ...]:
    return tuple(each for each in results if each.dtype.is_differentiable)


def _types(types: Sequence[Type]) -> str:
    return f"({', '.join(map(str, types))})"


def _custom_vjp_reference(
    out: Type, *operands: NumpyArray, results: int, wrt: tuple[int, ...], backward: Graph
) -> NumpyArray | tuple[NumpyArray, ...]:
    return operands[0] if results == 1 else operands[:results]


def _custom_vjp_gradient(
    ct: Node | tuple[Node | None, ...],
    out: Node | Nodes,
    *operands: Node,
    results: int,
    wrt: tuple[int, ...],
    backward: Graph,
) -> tuple[Node | None, ...]:
    """The backward graph reads the results of this node, so that a gradient of the gradient is of the same kind."""
    values = (out,) if isinstance(out, Node) else out
    given = ct if isinstance(ct, tuple) else (ct,)
    cotangents = [
        build.zeros_like(value) if each is None else each
        for each, value in zip(given, values, strict=True)
        if value.tensor.dtype.is_differentiable
    ]
    found = dict(zip(wrt, inline(backward, (*cotangents, *values, *operands[results:])), strict=True))
    return (*(None for _ in values), *(found.get(i) for i in range(len(operands) - results)))


custom_vjp: Op = register(
    Op(
        "custom_vjp",
        "its first operands; the gradient by the others is what the graph `backward` computes",
        type_rule=_custom_vjp_type,
        reference=_custom_vjp_reference,
        vjp=_custom_vjp_gradient,
        flags=Flags.STRUCTURAL,
    )
)

barrier: Op = register(
    Op(
        "barrier",
        "its first operand, computed after the others; what is computed from it is not merged with anything else",
        type_rule=lambda x, *after: x,
        reference=lambda out, x, *after: x,
        vjp=lambda ct, out, x, *after: (ct, *(None for _ in after)),
        flags=Flags.STRUCTURAL,
    )
)


def with_gradient(results: Sequence[Node], operands: Sequence[Node], rule: GradientRule) -> tuple[Node, ...]:
    """The results, with what `rule` builds as their gradient by `operands`; it may read all three that it is given.

    Inputs of the graph around that the rule reads besides are operands without gradient. No gradient flows from the
    results to what they were made of by other ways. Eager tensors keep for the gradient just
    what the rule reads.
    """
    values, others = tuple(results), tuple(operands)
    cotangents = tuple(
        make_input(f"ct_{i}", node.tensor) for i, node in enumerate(values) if node.tensor.dtype.is_differentiable
    )
    inner = tuple(make_input(f"result_{i}", node.tensor) for i, node in enumerate(values))
    outer = tuple(make_input(f"operand_{i}", node.tensor) for i, node in enumerate(others))
    gradients = tuple(rule(cotangents, inner, outer))
    assert len(gradients) == len(others), "one gradient per operand, or None"
    wrt = tuple(i for i, each in enumerate(gradients) if each is not None)
    found = tuple(gradient for gradient in gradients if gradient is not None)
    own = {*cotangents, *inner, *outer}
    foreign = tuple(node for node in topological_order(found) if node.op is INPUT and node not in own)
    added = tuple(make_input(f"outer_{i}", node.tensor) for i, node in enumerate(foreign))
    others += foreign
    backward = Graph(
        "backward", (*cotangents, *inner, *outer, *added), replace_nodes(found, dict(zip(foreign, added, strict=True)))
    )
    node = custom_vjp(*values, *others, results=len(values), wrt=wrt, backward=backward)
    return (node,) if len(values) == 1 else tuple(GET(node, index=i) for i in range(len(values)))
