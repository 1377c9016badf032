"""The verifier: whether a graph keeps the rules of its level.

In: a graph, as a trace or a pass left it. Out: nothing, or a VerifyError that shows the node and the user's line. The
rules: every op is registered; a node's type is the one that its op's type rule gives; every input node is one of the
graph's inputs, and listed once; attributes are of the known kinds, sorted and named once; sizes are not negative; each
symbol occurs in an input's shape, under one range of numbers. The same holds for bodies, which may use the symbols of
the graph around them. Reads nothing but the graph, and doesn't recurse.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NoReturn

from graphc.ir.attribute import Array, Attribute
from graphc.ir.dim import Dim, Size, Symbol, symbols
from graphc.ir.dtype import DType
from graphc.ir.errors import GraphcError, VerifyError
from graphc.ir.graph import INPUT, Graph, Node
from graphc.ir.op import find_op
from graphc.ir.scan import MAX_INTEGER, MAX_NESTING, is_symbol_name
from graphc.ir.text import name_nodes, node_text
from graphc.ir.type import TensorType, problem_of


def verify(graph: Graph) -> None:
    """Raise VerifyError where the graph breaks a rule."""
    pending: list[tuple[Graph, Mapping[str, Symbol] | None, int]] = [(graph, None, 0)]
    verified: set[tuple[int, int]] = set()
    while pending:
        current, known, depth = pending.pop()
        if depth > MAX_NESTING:
            raise VerifyError(f"graph {graph.name}: bodies nest deeper than {MAX_NESTING} levels")
        check = _Check(current, known)
        check.run()
        for body in check.bodies:
            if (id(body), id(check.symbols)) not in verified:  # several nodes may share a body
                verified.add((id(body), id(check.symbols)))
                pending.append((body, check.symbols, depth + 1))


class _Check:
    """The check of one graph, without its bodies."""

    def __init__(self, graph: Graph, known: Mapping[str, Symbol] | None) -> None:
        self.graph = graph
        self.bodies: dict[Graph, None] = {}
        self.symbols: Mapping[str, Symbol] = known if known is not None else self._declared()
        self._checked: set[Size] = set()

    def run(self) -> None:
        """Check every node, then the outputs."""
        inputs = set(self.graph.inputs)
        if len(inputs) != len(self.graph.inputs):
            twice = next(node for i, node in enumerate(self.graph.inputs) if node in self.graph.inputs[:i])
            self._fail(twice, "the node is listed as an input twice")
        for node in self.graph.inputs:
            if node.op is not INPUT:
                self._fail(node, f"{node.op.name} is listed as an input")
        for node in self.graph.nodes:
            self._check_attributes(node)
            if node.op is INPUT:
                if node not in inputs:
                    self._fail(node, "the input is none of the graph's inputs")
                others = [each for each in node.attributes if each[0] != "name"]
                # An eager call's number is marked: the dtypes of tensors count for more than its own.
                if (
                    node.inputs
                    or others not in ([], [("weak", True)])
                    or not isinstance(node.keywords.get("name"), str)
                ):
                    self._fail(node, "an input has a name, and no operands")
                if not isinstance(node.type, TensorType):
                    self._fail(node, f"the type of an input is that of a tensor, not {node.type}")
            else:
                self._check_type_rule(node)
            self._check_type(node)
        for node in self.graph.outputs:
            if not isinstance(node.type, TensorType):
                self._fail(node, f"only tensors are returned, not {node.type}")

    def _declared(self) -> dict[str, Symbol]:
        declared: dict[str, Symbol] = {}
        for node in self.graph.inputs:
            for size in node.type.shape if isinstance(node.type, TensorType) else ():
                for found in symbols(size) if isinstance(size, Dim) else ():
                    if not is_symbol_name(found.name):
                        self._fail(node, f"a size can't be called {found.name!r}")
                    if not isinstance(found.upper, int) or not 0 <= found.lower <= found.upper:
                        self._fail(node, f"the size {found.name} has the bounds {found.lower}..{found.upper}")
                    if declared.setdefault(found.name, found) != found:
                        self._fail(node, f"the size {found.name} has two ranges")
        return declared

    def _check_type_rule(self, node: Node) -> None:
        op = node.op
        try:
            registered = find_op(op.name)
        except KeyError:
            self._fail(node, f"there is no op {op.name!r}")
        if registered is not op:
            self._fail(node, f"the op {op.name!r} is not the one registered under this name")
        try:
            derived = op.type_rule(*(operand.type for operand in node.inputs), **node.keywords)
        except Exception as error:  # the operands and attributes may be anything
            reason = error.message if isinstance(error, GraphcError) else str(error) or type(error).__name__
            raise self._error(node, f"the type rule of {op.name} refuses its operands: {reason}") from error
        if derived != node.type:
            self._fail(node, f"the type rule of {op.name} gives {derived}, the node has {node.type}")

    def _check_type(self, node: Node) -> None:
        problem = problem_of(node.type)
        if problem is not None:
            self._fail(node, problem)
        for tensor in (node.type,) if isinstance(node.type, TensorType) else node.type.elements:
            for size in tensor.shape:
                if isinstance(size, Dim):
                    self._check_size(node, size)

    def _check_size(self, node: Node, size: Dim) -> None:
        if size in self._checked:
            return
        for found in symbols(size):
            known = self.symbols.get(found.name)
            if known != found:
                why = "has two ranges" if known is not None else "is in no input's shape"
                self._fail(node, f"the size {found.name} in {size} {why}")
        self._checked.add(size)

    def _check_attributes(self, node: Node) -> None:
        names = [name for name, _ in node.attributes]
        if names != sorted(set(names)):
            self._fail(node, f"attributes are sorted and named once: {', '.join(names)}")
        pending: list[tuple[Attribute, int]] = [(value, 0) for _, value in node.attributes]
        while pending:
            value, depth = pending.pop()
            match value:
                case tuple():
                    if depth >= MAX_NESTING:
                        self._fail(node, f"an attribute nests deeper than {MAX_NESTING} levels")
                    pending.extend((each, depth + 1) for each in value)
                case Dim():
                    self._check_size(node, value)
                case Graph():
                    self.bodies[value] = None
                case int():
                    if type(value) not in (int, bool) or abs(value) >= MAX_INTEGER:
                        self._fail(node, f"{value!r} is no attribute")
                case float() | str():
                    if type(value) not in (float, str):  # such as numpy.float64, which prints otherwise
                        self._fail(node, f"{value!r} of {type(value).__name__} is no attribute")
                case None | DType() | Array():
                    pass
                case _:
                    self._fail(node, f"{value!r} of {type(value).__name__} is no attribute")

    def _fail(self, node: Node, message: str) -> NoReturn:
        raise self._error(node, message)

    def _error(self, node: Node, message: str) -> VerifyError:
        try:
            shown = node_text(node, name_nodes(self.graph))
        except Exception:  # what is broken may be what the printer needs
            shown = f"%? = {node.op.name}(...)"
        return VerifyError(f"graph {self.graph.name}: {message}\n  in {shown}", location=node.location)
