"""Drop nodes that leave values as they are and told passes something that has been done by now.

Level: tensor graph to tensor graph. `detach` and `custom_vjp` speak to gradients. `barrier` keeps what is computed
twice from being merged; who drops it must merge no nodes afterwards, and this function merges none.

    %1 = custom_vjp(%0, %x) {backward=..., results=1, wrt=(0)}      becomes      %1 = sin(%0)
    %2 = sin(%1)
"""

from __future__ import annotations

from graphc.ir.graph import GET, Graph, Node
from graphc.ir.replace import with_inputs, with_outputs
from graphc.ops import control
from graphc.ops import elementwise as ew


def drop_annotations(graph: Graph, *, barriers: bool = False) -> Graph:
    """The graph with operands in place of `detach` and `custom_vjp`, and of `barrier` if asked."""
    dropped = {ew.detach, control.custom_vjp} | ({control.barrier} if barriers else set())
    if not any(node.op in dropped for node in graph.nodes):
        return graph
    new: dict[Node, Node] = {}
    for node in graph.nodes:
        index = 0
        holder = node
        if node.op is GET and node.inputs[0].op in dropped:
            (holder,) = node.inputs
            taken = node.attribute("index")
            assert isinstance(taken, int)
            index = taken
        if holder.op in dropped:
            new[node] = new[holder.inputs[index]]
        else:
            new[node] = with_inputs(node, tuple(new[operand] for operand in node.inputs))
    return with_outputs(graph, tuple(new[output] for output in graph.outputs))
