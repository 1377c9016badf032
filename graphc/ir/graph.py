"""The tensor graph: nodes, graphs, and their order.

Pure dataflow: a node is an op applied to nodes, a graph names inputs and outputs. Nothing here changes once made:
passes build new nodes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from graphc.ir.attribute import Attribute
from graphc.ir.boundary import hide_internal_frames
from graphc.ir.dim import Symbol, symbols
from graphc.ir.errors import GraphcError
from graphc.ir.location import Location, current_location
from graphc.ir.op import Flags, Op, register
from graphc.ir.type import Shape, TensorType, TupleType, Type


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """One value: an op, what it is applied to, its attributes, its type, and the user's line. Equal only to itself."""

    op: Op
    inputs: tuple[Node, ...]
    attributes: tuple[tuple[str, Attribute], ...]
    """Sorted by name."""
    type: Type
    location: Location | None = field(default=None)

    @property
    def tensor(self) -> TensorType:
        """Its type, where it is a tensor; most nodes are."""
        assert isinstance(self.type, TensorType), f"{self.op.name} gives a tuple"
        return self.type

    @property
    def shape(self) -> Shape:
        """Shape of the tensor."""
        return self.tensor.shape

    def attribute(self, name: str) -> Attribute:
        """The attribute of this name; KeyError if the op has none."""
        for key, value in self.attributes:
            if key == name:
                return value
        raise KeyError(name)

    @property
    def keywords(self) -> dict[str, Attribute]:
        """The attributes as keyword arguments for the op's rules."""
        return dict(self.attributes)

    def __repr__(self) -> str:
        return f"<{self.op.name}: {self.type}>"


def make(
    op: Op, inputs: tuple[Node, ...], attributes: Mapping[str, Attribute], location: Location | None = None
) -> Node:
    """A node whose type follows from the op's rule; without a location it gets that of the user's code."""
    where = location or current_location()
    given = {**dict(op.defaults), **attributes}
    try:
        result = op.type_rule(*(node.type for node in inputs), **given)
    except GraphcError as error:
        if error.location is None:
            error.location = where
        raise
    return Node(op, inputs, tuple(sorted(given.items())), result, where)


@dataclass(frozen=True, eq=False)
class Graph:
    """A function: named inputs, and outputs computed from them."""

    name: str
    inputs: tuple[Node, ...]
    outputs: tuple[Node, ...]

    @cached_property
    def nodes(self) -> tuple[Node, ...]:
        """Every node that an output needs, and every input, each after its operands; inputs first."""
        return topological_order(self.outputs, self.inputs)

    @cached_property
    def users(self) -> dict[Node, tuple[Node, ...]]:
        """The nodes that read each node, in order, one entry a use; outputs are no users."""
        users: dict[Node, list[Node]] = {node: [] for node in self.nodes}
        for node in self.nodes:
            for operand in node.inputs:
                users[operand].append(node)
        return {node: tuple(each) for node, each in users.items()}

    @cached_property
    def sizes(self) -> tuple[Symbol, ...]:
        """The symbols in the inputs' shapes, in order of appearance: the graph's hidden size arguments."""
        found: dict[Symbol, None] = {}
        for node in self.inputs:
            for size in node.shape:
                found.update(dict.fromkeys(symbols(size)))
        return tuple(found)

    @hide_internal_frames
    def compile(self, target: str = "cpu", **options: object) -> Callable[..., object]:
        """Native code for the graph: an `Executable`, called on numpy arrays. Options as in `graphc.compile`."""
        assert _compilers, "graphc.frontend.executable is not imported"
        return _compilers[-1](self, target, **options)

    def __str__(self) -> str:
        # The printer is built over this module.
        from graphc.ir.text import print_graph

        return print_graph(self)

    def __repr__(self) -> str:
        return f"<graph {self.name}: {len(self.inputs)} inputs, {len(self.nodes)} nodes, {len(self.outputs)} outputs>"

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes)


_compilers: list[Callable[..., Callable[..., object]]] = []


def set_compiler(compiler: Callable[..., Callable[..., object]]) -> None:
    """Say what `Graph.compile` calls: the levels above this one can't be imported from here."""
    _compilers[:] = [compiler]


def topological_order(outputs: Iterable[Node], first: Iterable[Node] = ()) -> tuple[Node, ...]:
    """The nodes below `outputs`, each after its operands; those in `first` lead. Depth first, without recursion."""
    order: dict[Node, None] = dict.fromkeys(first)
    for output in outputs:
        pending: list[tuple[Node, bool]] = [(output, False)]
        while pending:
            node, is_ready = pending.pop()
            if node in order:
                continue
            if is_ready:
                order[node] = None
                continue
            pending.append((node, True))
            pending.extend((operand, False) for operand in reversed(node.inputs) if operand not in order)
    return tuple(order)


def _no_type_rule(*operands: Type, **attributes: Attribute) -> Type:
    raise AssertionError("an input's type is given, not derived")


def _no_reference(out: Type, *arrays: object, **attributes: Attribute) -> object:
    raise AssertionError("the interpreter binds inputs itself")


INPUT = register(
    Op(
        "input",
        "an argument of the graph",
        type_rule=_no_type_rule,
        reference=_no_reference,
        flags=Flags.STRUCTURAL,
    )
)


def make_input(name: str, type: TensorType, location: Location | None = None) -> Node:
    """An input node. Its type isn't an attribute: it is the node's own."""
    return Node(INPUT, (), (("name", name),), type, location or current_location())


def _get_type(values: Type, *, index: int) -> Type:
    assert isinstance(values, TupleType), "get takes from a tuple"
    return values.elements[index]


def _get_reference(out: Type, values: tuple[object, ...], *, index: int) -> object:
    return values[index]


GET = register(Op("get", "one of the results of a structural op", _get_type, _get_reference, flags=Flags.STRUCTURAL))


def _fused_type(*operands: Type, body: Graph, outer: tuple[int, ...] | None, row: int | None = None) -> Type:
    assert tuple(operands) == tuple(node.type for node in body.inputs), "operands of fused don't match its body"
    if len(body.outputs) == 1:
        return body.outputs[0].type
    return TupleType(tuple(node.tensor for node in body.outputs))


def _fused_reference(
    out: Type, *arrays: object, body: Graph, outer: tuple[int, ...] | None, row: int | None = None
) -> object:
    # The interpreter is built over this module.
    from graphc.ir.interpret import evaluate_graph

    results = evaluate_graph(body, arrays)
    return results[0] if len(results) == 1 else results


FUSED = register(
    Op(
        "fused",
        "a group of nodes that one kernel computes; its body is a graph",
        _fused_type,
        _fused_reference,
        flags=Flags.STRUCTURAL,
        # Dimensions of the first output that are looped over first, in front of the body's reductions; and the most
        # elements of a row inside them that a kernel may keep (None: what a CPU keeps).
        defaults=(("outer", None), ("row", None)),
    )
)
