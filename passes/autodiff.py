"""Reverse-mode differentiation over the graph.

Level: tensor graph to tensor graph. In: a graph, and which of its inputs to differentiate by. Out: one joint graph that
computes the outputs and the gradients. It is made of the same ops, so it can be differentiated again, to any order.
`vjp` does the same on nodes, for who builds graphs.

A cotangent of a value is the derivative of the final scalar by that value; for complex values it is
dL/dRe + i dL/dIm, as in PyTorch. Cotangents that reach a value from several users are added in one fixed order, from
the last user to the first. Nodes of the backward part have the location of the forward node they belong to. The rule of
an op with several results gets tuples of results and of cotangents, with None for those that nothing reached.

    f(x) = exp(x)      becomes, by `differentiate(f, (0,))`:      f(x, ct_0) = exp(x), mul(ct_0, exp(x))
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from graphc.ir.errors import DTypeError, GraphcError, ShapeError
from graphc.ir.graph import FUSED, GET, Graph, Node, make_input, topological_order
from graphc.ir.location import using
from graphc.ir.type import TupleType
from graphc.ops import build
from graphc.passes.accumulate import accumulate
from graphc.passes.rewrite import inline_fused


def vjp(outputs: Sequence[Node], inputs: Sequence[Node], cotangents: Sequence[Node | None]) -> tuple[Node | None, ...]:
    """The cotangents of `inputs` that the cotangents of `outputs` lead to; None where an input has no influence.

    Inputs may be any nodes, also inner ones. A cotangent of None stands for zero.
    """
    assert len(outputs) == len(cotangents), "one cotangent per output"
    order = topological_order(outputs)
    active = _between(order, inputs)
    reached: dict[Node, list[Node]] = {}
    for output, cotangent in zip(outputs, cotangents):
        if cotangent is not None and output in active:
            assert cotangent.type == output.type, f"cotangent {cotangent.type} of an output {output.type}"
            reached.setdefault(output, []).append(cotangent)
    results = _results(order)
    arrived: dict[Node, list[Node]] = {}  # the cotangents of the results of nodes that give several
    wanted = dict.fromkeys(inputs)
    total: dict[Node, Node] = {}
    for node in reversed(order):
        if node not in reached and node not in results:
            continue
        rule = node.op.vjp if any(operand in active for operand in node.inputs) else None
        with using(node.location):
            if node in results:
                several = results[node]
                cts = tuple(accumulate(arrived[each]) if each in arrived else None for each in several)
                if rule is None or all(ct is None for ct in cts):
                    continue
                contributions = rule(cts, several, *node.inputs, **node.keywords)
            else:
                ct = accumulate(reached.pop(node))
                if node in wanted:
                    total[node] = ct
                if node.op is GET:
                    arrived.setdefault(results[node.inputs[0]][_index(node)], []).append(ct)
                if rule is None:
                    continue
                contributions = rule(ct, node, *node.inputs, **node.keywords)
        for operand, contribution in zip(node.inputs, contributions):
            if contribution is not None and operand in active:
                assert contribution.type == operand.type, (
                    f"the gradient of {node.op.name} gives {contribution.type} for an operand {operand.type}"
                )
                reached.setdefault(operand, []).append(contribution)
    return tuple(total.get(node) for node in inputs)


def differentiate(graph: Graph, wrt: Sequence[int] | None = None, *, seed: bool = False) -> Graph:
    """The joint graph: the outputs, then the gradients by the inputs numbered in `wrt`, or by all that can have one.

    With `seed` the first output must be a real scalar and the gradients are its own; other outputs are passed along.
    Otherwise each differentiable output has a cotangent, which becomes an input after the graph's own.
    An input without influence has a gradient of zeros. Raises DTypeError for an input of integers.
    """
    if any(node.op is FUSED for node in graph.nodes):
        graph = inline_fused(graph)
    chosen = _chosen(graph, wrt)
    if seed:
        cotangents = _seeds(graph)
        added: tuple[Node, ...] = ()
    else:
        cotangents = _cotangent_inputs(graph)
        added = tuple(each for each in cotangents if each is not None)
    gradients = vjp(graph.outputs, chosen, cotangents)
    filled = tuple(
        build.zeros_like(node) if gradient is None else gradient for node, gradient in zip(chosen, gradients)
    )
    return Graph(f"{graph.name}_grad", graph.inputs + added, graph.outputs + filled)


def _between(order: tuple[Node, ...], inputs: Iterable[Node]) -> set[Node]:
    """The nodes that depend on one of the inputs through differentiable values and ops; the inputs count."""
    active = set(inputs)
    for node in order:
        if node in active or (node.op.vjp is None and node.op is not GET):
            continue
        if isinstance(node.type, TupleType) or node.type.dtype.is_differentiable:
            if any(operand in active for operand in node.inputs):
                active.add(node)
    return active


def _results(order: Iterable[Node]) -> dict[Node, tuple[Node, ...]]:
    """The results of each node that gives several."""
    found: dict[Node, dict[int, Node]] = {}
    for node in order:
        if isinstance(node.type, TupleType):
            found[node] = {}
        elif node.op is GET:
            found[node.inputs[0]].setdefault(_index(node), node)
    return {
        node: tuple(gets[i] if i in gets else GET(node, index=i) for i in range(len(node.type.elements)))
        for node, gets in found.items()
        if isinstance(node.type, TupleType)
    }


def _index(node: Node) -> int:
    index = node.attribute("index")
    assert isinstance(index, int)
    return index


def _chosen(graph: Graph, wrt: Sequence[int] | None) -> tuple[Node, ...]:
    if wrt is None:
        return tuple(node for node in graph.inputs if node.tensor.dtype.is_differentiable)
    chosen = tuple(graph.inputs[index] for index in wrt)
    for node in chosen:
        dtype = node.tensor.dtype
        if not dtype.is_differentiable:
            raise DTypeError(
                f"grad: the argument {node.attribute('name')!r} has dtype {dtype.name}, and a gradient needs floats",
                location=node.location,
                hint="differentiate by another argument, or convert this one, e.g. x.to('float32')",
            )
    return chosen


def _seeds(graph: Graph) -> tuple[Node | None, ...]:
    output = graph.outputs[0]
    if output.shape != ():
        raise ShapeError(
            f"grad: the result has the type {output.type}, and a gradient starts from a scalar",
            location=output.location,
            hint="reduce the result first, e.g. with .sum() or .mean(), or use vjp and give a cotangent",
        )
    if not output.tensor.dtype.is_floating_point:
        raise DTypeError(
            f"grad: the result has dtype {output.tensor.dtype.name}, and a gradient starts from a real number",
            location=output.location,
            hint="return a float, e.g. the .real or .abs() of a complex result",
        )
    return (build.ones_like(output), *(None for _ in graph.outputs[1:]))


def _cotangent_inputs(graph: Graph) -> tuple[Node | None, ...]:
    taken = {node.attribute("name") for node in graph.inputs}
    found: list[Node | None] = []
    for index, output in enumerate(graph.outputs):
        if not output.tensor.dtype.is_differentiable:
            found.append(None)
            continue
        name = f"ct_{index}"
        while name in taken:
            name += "_"
        found.append(make_input(name, output.tensor, output.location))
    if found and all(each is None for each in found):
        raise GraphcError(
            "vjp: no result is of floats, so there is nothing to differentiate",
            location=graph.outputs[0].location,
            hint="return a float or complex value",
        )
    return tuple(found)
