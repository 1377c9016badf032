"""The judge: a graph evaluated node by node with numpy, by the reference in each op's record.

In: a graph and arrays for its inputs. Out: an array for each output, of exactly the type's dtype and shape. Slow and
plain on purpose: what passes and compiled code give is compared with this. Results may share memory with arguments.

    (y,) = evaluate_graph(graph, [x, w])
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from graphc.ir.errors import GraphcError
from graphc.ir.graph import Graph, Node
from graphc.ir.sizes import check_arguments, fix_sizes
from graphc.ir.text import name_nodes, node_text
from graphc.ir.type import TensorType


def evaluate_graph(
    graph: Graph, arrays: Sequence[object], sizes: Mapping[str, int] | None = None
) -> tuple[npt.NDArray[np.generic], ...]:
    """The values of the outputs. `sizes` gives symbols that no input's shape tells, as the body of a node may have."""
    concrete = fix_sizes(graph, {**(sizes or {}), **check_arguments(graph, arrays)})
    uses = _count_uses(concrete)
    values: dict[Node, object] = {}
    with np.errstate(all="ignore"):
        for node, array in zip(concrete.inputs, arrays):
            values[node] = np.asarray(array, dtype=node.tensor.dtype.numpy)
        for node in concrete.nodes:
            if node not in values:
                values[node] = _run(concrete, node, values)
            for operand in node.inputs:
                uses[operand] -= 1
                if not uses[operand]:
                    del values[operand]
    results = [values[node] for node in concrete.outputs]
    assert all(isinstance(result, np.ndarray) for result in results), "outputs are tensors"
    return tuple(result for result in results if isinstance(result, np.ndarray))


def _count_uses(graph: Graph) -> dict[Node, int]:
    """How often each node's value is read; an output is read once more, after the end."""
    uses = dict.fromkeys(graph.nodes, 0)
    for node in graph.nodes:
        for operand in node.inputs:
            uses[operand] += 1
    for node in graph.outputs:
        uses[node] += 1
    return uses


def _run(graph: Graph, node: Node, values: Mapping[Node, object]) -> object:
    try:
        result = node.op.reference(node.type, *(values[operand] for operand in node.inputs), **node.keywords)
    except GraphcError as error:
        if error.location is None:
            error.location = node.location
        raise
    if isinstance(node.type, TensorType):
        return _checked(graph, node, result, node.type)
    assert isinstance(result, tuple), f"the reference of {node.op.name} gives no tuple"
    assert len(result) == len(node.type.elements), f"the reference of {node.op.name} gives {len(result)} results"
    return tuple(_checked(graph, node, each, type) for each, type in zip(result, node.type.elements))


def _checked(graph: Graph, node: Node, result: object, type: TensorType) -> npt.NDArray[np.generic]:
    array = np.asarray(result)  # numpy's functions give scalars for 0-d arrays
    if array.dtype != type.dtype.numpy or array.shape != type.shape:
        raise AssertionError(
            f"the reference of {node.op.name} gives {array.dtype} {array.shape}, not {type}\n"
            f"  in {node_text(node, name_nodes(graph))}"
        )
    return array
