"""Drop what no output needs: results that nothing takes from a fused node, and its operands that its body ignores.

Level: tensor graph to tensor graph. A graph holds only what its outputs reach, so plain nodes that are dead never
appear in one. What is left are the bodies of fused nodes: outputs that nobody reads and inputs that nothing uses.

    %0 = fused(%x, %y) {body={a, b -> exp(a), neg(b)}}      becomes     %0 = fused(%x) {body={a -> exp(a)}}
    %1 = get(%0) {index=0}
"""

from __future__ import annotations

from graphc.ir.graph import FUSED, GET, Graph, Node
from graphc.ir.location import using
from graphc.ir.replace import with_inputs, with_outputs
from graphc.passes.pipeline import register


@register("dce")
def drop_dead_code(graph: Graph) -> Graph:
    """Drop results and operands of fused nodes that nothing needs."""
    if not any(node.op is FUSED for node in graph.nodes):
        return graph
    kept = {node: _kept_results(graph, node) for node in graph.nodes if node.op is FUSED}
    new: dict[Node, Node] = {}
    for node in graph.nodes:
        inputs = tuple(new[operand] for operand in node.inputs)
        if node.op is FUSED:
            new[node] = _prune(node, inputs, kept[node])
        elif node.op is GET and node.inputs[0] in kept:
            new[node] = _take(node, inputs[0], kept[node.inputs[0]])
        else:
            new[node] = with_inputs(node, inputs)
    return with_outputs(graph, tuple(new[output] for output in graph.outputs))


def _kept_results(graph: Graph, node: Node) -> tuple[int, ...]:
    """Which results of a fused node are read, in order; all of them where the tuple itself is passed on."""
    body = node.attribute("body")
    assert isinstance(body, Graph)
    read: set[int] = set()
    for user in graph.users[node]:
        if user.op is not GET:
            return tuple(range(len(body.outputs)))
        index = user.attribute("index")
        assert isinstance(index, int)
        read.add(index)
    if node in graph.outputs or len(body.outputs) == 1:
        return tuple(range(len(body.outputs)))
    shapes = [body.outputs[index].shape for index in sorted(read)]
    if shapes and shapes[0] != body.outputs[0].shape and len(set(shapes)) > 1:
        read.add(0)  # the first output gives the loops: one of other shape can't stand in for it
    return tuple(sorted(read))


def _prune(node: Node, inputs: tuple[Node, ...], kept: tuple[int, ...]) -> Node:
    body = node.attribute("body")
    assert isinstance(body, Graph)
    outputs = tuple(body.outputs[index] for index in kept)
    smaller = drop_dead_code(with_outputs(body, outputs))
    reached = {operand for each in smaller.nodes for operand in each.inputs} | set(smaller.outputs)
    used = [position for position, each in enumerate(smaller.inputs) if each in reached]
    if smaller is body and len(used) == len(body.inputs):
        return with_inputs(node, inputs)
    pruned = Graph(body.name, tuple(smaller.inputs[position] for position in used), smaller.outputs)
    with using(node.location):
        outer = node.attribute("outer")
        if outer is not None and pruned.outputs[0].shape != body.outputs[0].shape:
            outer = tuple(
                range(len(pruned.outputs[0].shape))
            )  # of the outputs, what isn't of the domain is of its rows
        return FUSED(*(inputs[position] for position in used), body=pruned, outer=outer)


def _take(node: Node, source: Node, kept: tuple[int, ...]) -> Node:
    index = node.attribute("index")
    assert isinstance(index, int)
    if len(kept) == 1:
        return source
    place = kept.index(index)
    if place == index:
        return with_inputs(node, (source,))
    with using(node.location):
        return GET(source, index=place)
