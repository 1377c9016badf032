"""From a Python function to a graph: run it once on symbolic tensors.

In: a function and the types of its tensor arguments. Out: a `TracedGraph`, which also knows how arguments and results
are nested.

    graph = symbolic_trace(lambda x, w: x @ w, "f32[n,784]", "f32[784,10]")
    print(graph)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from graphc.frontend.scope import Scope
from graphc.frontend.signature import Call, Signature, apply
from graphc.frontend.size import SymbolicSize
from graphc.frontend.tensor import SymbolicTensor, to_node
from graphc.frontend.tree import LEAF, OPEN, Structure, flatten, sequence
from graphc.ir.boundary import hide_internal_frames
from graphc.ir.errors import ArgumentError, TraceError, describe
from graphc.ir.graph import INPUT, Graph, Node, make_input
from graphc.ir.spec import parse_specs
from graphc.ir.type import TensorType
from graphc.ir.verify import verify


@dataclass(frozen=True, eq=False, repr=False)
class TracedGraph(Graph):
    """A graph that came from a Python function: it takes arguments and gives results in the function's containers."""

    arguments: Structure | None = None
    """A tuple of what each argument holds; what became no input is fixed."""
    parameters: tuple[str, ...] = ()
    """The arguments' names."""
    results: Structure | None = None


@hide_internal_frames
def symbolic_trace(function: Callable[..., object], *specs: object) -> TracedGraph:
    """The graph of a function, from the types of its arguments.

    A spec is a text like `"f32[64,1000]"` (names are symbolic sizes: `"f32[n,10]"`, with bounds
    `"f32[n,10] where n in 1..64"`), an array or symbolic tensor whose dtype and shape are taken, or a list, tuple or
    dict of specs. Other values are passed to the function as they are. Raises ParseError for a malformed spec, and
    whatever the function raises.

    >>> import graphc
    >>> graph = graphc.symbolic_trace(lambda x: (x * 2).sum(dim=1), "f32[n,3]")
    >>> graph.outputs[0].type
    TensorType(shape=(n,), dtype=torch.float32)
    """
    if not callable(function):
        raise ArgumentError(
            f"symbolic_trace: {describe(function)} is no function",
            hint='pass a function and a spec for each argument, e.g. symbolic_trace(f, "f32[64,10]")',
        )
    leaves, structure = flatten(specs)
    texts = [leaf for leaf in leaves if isinstance(leaf, str)]
    types = iter(parse_specs(texts))
    given = [next(types) if isinstance(leaf, str) else _type_of(leaf) for leaf in leaves]
    return trace(function, Signature(function), Call(specs), structure, given)


def trace(
    function: Callable[..., object], signature: Signature, call: Call, structure: Structure, leaves: Sequence[object]
) -> TracedGraph:
    """Run the function on new inputs. `leaves` are those of the call: types become inputs, others are passed along."""
    signature.check(call)
    names = signature.leaf_names(call, structure)
    with Scope(signature.name):
        inputs: list[Node] = []
        arguments: list[object] = []
        for leaf, name in zip(leaves, names, strict=True):
            if isinstance(leaf, TensorType):
                inputs.append(make_input(name, leaf, signature.location))
                arguments.append(SymbolicTensor(inputs[-1]))
            else:
                arguments.append(leaf)
        returned = run(function, signature, call, structure, arguments)
        outputs, results = outputs_of(returned, signature)
    graph = TracedGraph(
        signature.name,
        tuple(inputs),
        outputs,
        structure.fixed([OPEN if isinstance(leaf, TensorType) else leaf for leaf in leaves]),
        signature.parameters(call),
        results,
    )
    _check_inputs(graph)
    verify(graph)
    return graph


def run(
    function: Callable[..., object], signature: Signature, call: Call, structure: Structure, leaves: Sequence[object]
) -> object:
    """Call the function with these leaves in its arguments' containers; raises TraceError if it changes those.

    It gets containers of its own, so whoever called would never see such a change.
    """
    filled = structure.fill(leaves)
    assert isinstance(filled, tuple), "arguments are a tuple"
    returned = apply(function, filled, call.keywords)
    now, structure_now = flatten(filled)
    if structure_now == structure and all(a is b for a, b in zip(now, leaves, strict=True)):
        return returned
    changes = zip(signature.parameters(call), structure.entries, structure_now.entries)
    found = [text for name, old, new in changes if (text := old.difference(new, name)) is not None]
    if not found:
        names = signature.leaf_names(call, structure)
        found = [f"{name} is another value" for name, a, b in zip(names, leaves, now) if a is not b]
    raise TraceError(
        f"{signature.name} changes a container that it was given: {found[0]} after the call",
        location=signature.location,
        hint="build a new container and return it; the one that the caller holds would stay as it is",
    )


def outputs_of(returned: object, signature: Signature) -> tuple[tuple[Node, ...], Structure]:
    """The nodes that a function returned, and how they are nested; None and strings inside containers are kept."""
    leaves, structure = flatten(returned)
    if structure.kind is None and returned is None:
        raise ArgumentError(
            f"{signature.name} returns None",
            location=signature.location,
            hint="return tensors: did you forget a return statement?",
        )
    nodes: list[Node] = []
    kept: list[object] = []
    for leaf, path in zip(leaves, structure.paths("result")):
        is_static = structure.kind is not None and (leaf is None or isinstance(leaf, str))
        kept.append(leaf if is_static else OPEN)
        if not is_static:
            nodes.append(_output(leaf, path, signature))
    return tuple(nodes), structure.fixed(kept)


def structures(graph: Graph) -> tuple[Structure, Structure, tuple[str, ...]]:
    """How a graph nests arguments and results, and the arguments' names.

    A graph that came from no function takes its inputs one by one, and gives its output or a tuple of them.
    """
    if isinstance(graph, TracedGraph) and graph.arguments is not None and graph.results is not None:
        return graph.arguments, graph.results, graph.parameters
    results = LEAF if len(graph.outputs) == 1 else sequence(LEAF for _ in graph.outputs)
    return sequence(LEAF for _ in graph.inputs), results, tuple(str(n.attribute("name")) for n in graph.inputs)


def _type_of(leaf: object) -> object:
    if isinstance(leaf, SymbolicTensor):
        return leaf.type
    if hasattr(leaf, "__array_interface__"):
        return to_node(leaf).tensor
    return leaf


def _output(value: object, path: str, signature: Signature) -> Node:
    if (
        isinstance(value, SymbolicTensor | SymbolicSize)
        or hasattr(value, "dtype")
        or isinstance(value, int | float | complex)
    ):
        return to_node(value)
    if hasattr(value, "__next__"):
        hint = "a generator would run after the trace is over: return a list or tuple"
    else:
        hint = "return tensors, numbers or arrays, in lists, tuples or dicts"
    raise ArgumentError(
        f"{signature.name} returns {describe(value)}" + (f" at {path}" if path != "result" else ""),
        location=signature.location,
        hint=hint,
    )


def _check_inputs(graph: TracedGraph) -> None:
    """Raise TraceError if the graph needs a tensor from elsewhere."""
    known = set(graph.inputs)
    foreign = next((node for node in graph.nodes if node.op is INPUT and node not in known), None)
    if foreign is None:
        return
    user = next((node for node in graph.nodes if foreign in node.inputs), None)
    made = foreign.location.describe() if foreign.location is not None else "an unknown place"
    raise TraceError(
        f"{graph.name} uses {foreign.attribute('name')} : {foreign.type}, which is no argument of it; "
        f"it was made at {made}",
        location=user.location if user is not None else None,
        hint="pass it as an argument: a traced function computes with its own arguments and with arrays",
    )
