"""From a Python function to a graph: run it once on symbolic tensors.

In: a function and the types of its tensor arguments. Out: a `TracedGraph`, which also knows how arguments and results
are nested.

    graph = symbolic_trace(lambda x, w: x @ w, "f32[n,784]", "f32[784,10]")
    print(graph)
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from graphc.frontend.tensor import SymbolicTensor, to_node
from graphc.frontend.tree import LEAF, Structure, flatten
from graphc.ir.boundary import hide_internal_frames
from graphc.ir.errors import ArgumentError
from graphc.ir.graph import Graph, Node, make_input
from graphc.ir.location import Location
from graphc.ir.spec import parse_specs
from graphc.ir.type import TensorType
from graphc.ir.verify import verify


@dataclass(frozen=True, eq=False, repr=False)
class TracedGraph(Graph):
    """A graph that came from a Python function: it takes arguments and gives results in the function's containers."""

    arguments: Structure | None = None
    """A tuple of what the function's positional arguments hold."""
    results: Structure | None = None


@hide_internal_frames
def symbolic_trace(function: Callable[..., object], *specs: object) -> TracedGraph:
    """The graph of a function, from the types of its arguments.

    A spec is a text like `"f32[64,1000]"` (names are symbolic sizes: `"f32[n,10]"`, with bounds
    `"f32[n,10] where n in 1..64"`), an array whose dtype and shape are taken, or a list, tuple or dict of specs. Other
    values are passed to the function as they are. Raises ParseError for a malformed spec, and whatever the function
    raises.

    >>> import graphc
    >>> graph = graphc.symbolic_trace(lambda x: (x * 2).sum(dim=1), "f32[n,3]")
    >>> graph.outputs[0].type
    TensorType(shape=(n,), dtype=float32)
    """
    leaves, structure = flatten(specs)
    texts = [leaf for leaf in leaves if isinstance(leaf, str)]
    types = iter(parse_specs(texts))
    given: list[object] = [next(types) if isinstance(leaf, str) else _type_of(leaf) for leaf in leaves]
    return trace(function, given, structure, argument_names(function, structure))


def trace(
    function: Callable[..., object], leaves: Sequence[object], structure: Structure, names: Sequence[str]
) -> TracedGraph:
    """Run the function on new inputs; leaves that are no types are passed along as they are."""
    where = _definition(function)
    inputs: list[Node] = []
    arguments: list[object] = []
    for leaf, name in zip(leaves, names, strict=True):
        if isinstance(leaf, TensorType):
            inputs.append(make_input(name, leaf, where))
            arguments.append(SymbolicTensor(inputs[-1]))
        else:
            arguments.append(leaf)
    filled = structure.fill(arguments)
    assert isinstance(filled, tuple), "arguments are a tuple"
    returned, results = flatten(function(*filled))
    outputs = tuple(_output(function, value, path) for value, path in zip(returned, results.paths("result")))
    graph = TracedGraph(_name(function), tuple(inputs), outputs, structure, results)
    verify(graph)
    return graph


def argument_names(function: Callable[..., object], structure: Structure) -> tuple[str, ...]:
    """A name per leaf: the parameter's, with the way to the leaf behind it."""
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        parameters = []
    names: list[str] = []
    for i, entry in enumerate(structure.entries):
        if i < len(parameters) and parameters[i].kind is not inspect.Parameter.VAR_POSITIONAL:
            name = parameters[i].name
        elif parameters and parameters[-1].kind is inspect.Parameter.VAR_POSITIONAL:
            name = f"{parameters[-1].name}_{i - len(parameters) + 1}"
        else:
            name = f"argument_{i}"
        names.extend(entry.paths(name))
    return tuple(names)


def structures(graph: Graph) -> tuple[Structure, Structure]:
    """How a graph nests arguments and results; for one that was no function: a tuple of inputs, and the outputs."""
    if isinstance(graph, TracedGraph) and graph.arguments is not None and graph.results is not None:
        return graph.arguments, graph.results
    count = len(graph.inputs)
    arguments = Structure(tuple, tuple(range(count)), (LEAF,) * count, count)
    if len(graph.outputs) == 1:
        return arguments, LEAF
    count = len(graph.outputs)
    return arguments, Structure(tuple, tuple(range(count)), (LEAF,) * count, count)


def _type_of(leaf: object) -> object:
    node = getattr(leaf, "node", None)
    if isinstance(node, Node):
        return node.tensor
    if hasattr(leaf, "__array_interface__"):
        return to_node(leaf).tensor
    return leaf


def _output(function: Callable[..., object], value: object, path: str) -> Node:
    if value is None:
        raise ArgumentError(
            f"{_name(function)} returns None at {path}",
            location=_definition(function),
            hint="return tensors: did you forget a return statement?",
        )
    try:
        return to_node(value)
    except ArgumentError:
        raise ArgumentError(
            f"{_name(function)} returns a {type(value).__name__} at {path}",
            location=_definition(function),
            hint="return tensors, numbers or arrays, in lists, tuples or dicts",
        ) from None


def _definition(function: Callable[..., object]) -> Location | None:
    code = getattr(inspect.unwrap(function), "__code__", None)
    return None if code is None else Location(code.co_filename, code.co_firstlineno, code.co_name)


def _name(function: Callable[..., object]) -> str:
    name = str(getattr(function, "__name__", type(function).__name__))
    return name if name.isidentifier() else "function"
