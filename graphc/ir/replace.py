"""Graphs with some of their nodes replaced.

Level: tensor graph. In: a graph, or nodes, and what stands in for nodes below them. Out: the same computation on other
operands; what uses none of the replaced nodes stays the same object. Nothing recurses over the graph.

    (y,) = inline(graph, (x,))      # the graph called on nodes
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from graphc.ir.graph import Graph, Node, make, topological_order
from graphc.ir.location import using


def with_outputs(graph: Graph, outputs: tuple[Node, ...]) -> Graph:
    """The graph with other outputs; the same object if they are the same."""
    return graph if outputs == graph.outputs else Graph(graph.name, graph.inputs, outputs)


def with_inputs(node: Node, inputs: tuple[Node, ...]) -> Node:
    """The node applied to other operands; the same object if they are the same. Its type is derived anew if need be."""
    if inputs == node.inputs:
        return node
    if all(new.type == old.type for new, old in zip(inputs, node.inputs)):
        return Node(node.op, inputs, node.attributes, node.type, node.location)
    with using(node.location):
        return make(node.op, inputs, node.keywords)


def replace_nodes(outputs: Iterable[Node], replacements: Mapping[Node, Node]) -> tuple[Node, ...]:
    """The outputs with some of the nodes below them replaced; nodes that use none of those stay as they are."""
    wanted = tuple(outputs)
    new = dict(replacements)
    for node in topological_order(wanted, first=replacements):
        if node not in new:
            new[node] = with_inputs(node, tuple(new[operand] for operand in node.inputs))
    return tuple(new[node] for node in wanted)


def inline(graph: Graph, arguments: Sequence[Node]) -> tuple[Node, ...]:
    """The graph's outputs with its inputs replaced: the graph called on nodes."""
    assert len(arguments) == len(graph.inputs), f"{graph.name} takes {len(graph.inputs)} arguments"
    return replace_nodes(graph.outputs, dict(zip(graph.inputs, arguments)))
