"""Symbolic sizes and the numbers they stand for in one call.

In: a graph and the shapes of its arguments. Out: a number for every symbol, or an error in the caller's terms; and the
graph with these numbers put in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from graphc.ir.attribute import Attribute
from graphc.ir.dim import MAX_SIZE, Dim, Size, Symbol, bounds, evaluate, linear, symbols
from graphc.ir.errors import ArgumentError, DTypeError, ShapeError
from graphc.ir.graph import Graph, Node
from graphc.ir.type import TensorType, TupleType, Type


def bind_sizes(graph: Graph, shapes: Sequence[Sequence[int]]) -> dict[str, int]:
    """The value of every symbol in the inputs' shapes; raises ShapeError if the shapes don't fit the inputs."""
    if len(shapes) != len(graph.inputs):
        raise _wrong_count(graph, len(shapes))
    values: dict[str, int] = {}
    origin: dict[str, _Axis] = {}
    unsolved: list[_Axis] = []
    for node, shape in zip(graph.inputs, shapes):
        if len(shape) != node.tensor.rank:
            raise ShapeError(
                f"argument {_name(node)} has {_count(len(shape), 'dimension')}, shape {tuple(shape)}; "
                f"its type {node.type} has {node.tensor.rank}",
                hint=f"reshape it, or compile for an input of {_count(len(shape), 'dimension')}",
            )
        for i, (size, given) in enumerate(zip(node.shape, shape)):
            axis = _Axis(node, i, size, int(given))
            if isinstance(size, int):
                axis.check(values, origin)
            else:
                unsolved.append(axis)
    unsolved.sort(key=lambda axis: not axis.is_plain)  # errors are clearest when sizes come from plain dimensions
    while unsolved:  # each round solves what has one unknown, and checks what has none
        remaining = [axis for axis in unsolved if not axis.solve(values, origin)]
        if len(remaining) == len(unsolved):
            names = [s.name for s in remaining[0].unknown(values)]
            raise ShapeError(
                f"the size {' and '.join(names)} can't be found: "
                f"{remaining[0].place} gives {remaining[0].size} = {remaining[0].given}",
                hint=f"give the size {names[0]} a dimension of its own in one of the arguments",
            )
        unsolved = remaining
    return values


def check_arguments(graph: Graph, arrays: Sequence[object]) -> dict[str, int]:
    """Check the arrays' number, dtypes, ranks and sizes; returns the value of every symbol."""
    if len(arrays) != len(graph.inputs):
        raise _wrong_count(graph, len(arrays))
    shapes: list[tuple[int, ...]] = []
    for node, array in zip(graph.inputs, arrays):
        if not isinstance(array, np.ndarray | np.generic):
            raise ArgumentError(
                f"argument {_name(node)} is of type {type(array).__name__}, expected an array {node.type}",
                hint="numpy.asarray makes one",
            )
        expected = node.tensor.dtype
        if array.dtype != expected.numpy and array.dtype.newbyteorder("=") != expected.numpy:
            raise DTypeError(
                f"argument {_name(node)} has dtype {array.dtype}, expected {expected.name} ({node.type})",
                hint=f"convert it: {_name(node)}.astype({expected.name!r})",
            )
        shapes.append(array.shape)
    return bind_sizes(graph, shapes)


def fix_sizes(graph: Graph, values: Mapping[str, int]) -> Graph:
    """The graph with numbers for symbols in all types and attributes; the same object if nothing changes."""
    fix = _Fix(values)
    new: dict[Node, Node] = {}
    for node in graph.nodes:
        type = fix.type(node)
        attributes = tuple((name, fix.attribute(value, node)) for name, value in node.attributes)
        operands = tuple(new[operand] for operand in node.inputs)
        is_same = type == node.type and operands == node.inputs
        if is_same and all(now[1] is before[1] for now, before in zip(attributes, node.attributes)):
            new[node] = node
        else:
            new[node] = Node(node.op, operands, attributes, type, node.location)
    outputs = tuple(new[node] for node in graph.outputs)
    inputs = tuple(new[node] for node in graph.inputs)
    same = inputs == graph.inputs and outputs == graph.outputs
    return graph if same else Graph(graph.name, inputs, outputs)


@dataclass(frozen=True, slots=True)
class _Axis:
    """One equation: the size that an input's type states, and the number that its argument has."""

    node: Node
    index: int
    size: Size
    given: int

    @property
    def place(self) -> str:
        """In the caller's terms."""
        return f"dimension {self.index} of argument {_name(self.node)}"

    @property
    def is_plain(self) -> bool:
        """Whether the size is a symbol by itself."""
        return [str(self.size)] == [s.name for s in symbols(self.size)]

    def unknown(self, values: Mapping[str, int]) -> list[Symbol]:
        return [s for s in symbols(self.size) if s.name not in values]

    def solve(self, values: dict[str, int], origin: dict[str, _Axis]) -> bool:
        """Find the one unknown, or check where there is none; False where there are more or it isn't linear."""
        unknown = self.unknown(values)
        if not unknown:
            self.check(values, origin)
            return True
        if len(unknown) > 1:
            return False
        parts = linear(self.size, unknown[0].name)
        if parts is None:
            return False
        rest, slope = (self._evaluate(part, values) for part in parts)
        if slope == 0:
            return False
        value, left = divmod(self.given - rest, slope)
        name = unknown[0].name
        if left:
            raise ShapeError(
                f"{self.place} is {self.given}, which is {self.size} for no whole {name}",
                hint=f"pass a size that is {self.size}, or compile for an input whose size has a name of its own",
            )
        least, most = unknown[0].lower, bounds(unknown[0].upper)[1]
        if not least <= value <= most:
            so = f", so {name} is {value}" if isinstance(self.size, Dim) and value != self.given else ""
            allowed = f"at least {least}" if most == MAX_SIZE else f"within {least}..{most}"
            raise ShapeError(
                f"{self.place} is {self.given}{so}; {name} is {allowed}",
                hint=f"pass an array within these bounds, or compile with wider ones for {name}",
            )
        values[name] = value
        origin[name] = self
        return True

    def check(self, values: Mapping[str, int], origin: Mapping[str, _Axis]) -> None:
        """Raise if the argument's size isn't the stated one, whose symbols are all known."""
        expected = self._evaluate(self.size, values)
        if expected == self.given:
            return
        names = symbols(self.size)
        if isinstance(self.size, Dim):
            because = " and ".join(f"{s.name} is {values[s.name]} by {origin[s.name].place}" for s in names)
            stated = f"{expected}" if self.is_plain else f"{self.size} = {expected}"
            raise ShapeError(
                f"{self.place} is {self.given}, expected {stated}, as {because}",
                hint="pass arrays whose sizes agree, or compile with different names for sizes that needn't",
            )
        raise ShapeError(
            f"{self.place} is {self.given}, expected {expected} (its type is {self.node.type})",
            hint="pass an array of that size, or compile for an input whose size has a name, e.g. 'f32[n]'",
        )

    def _evaluate(self, size: Size, values: Mapping[str, int]) -> int:
        try:
            return evaluate(size, values)
        except ZeroDivisionError:
            raise ShapeError(f"argument {_name(self.node)}: the size {self.size} divides by zero") from None


class _Fix:
    """Puts numbers into types and attributes; types are shared by many nodes, so each is done once."""

    def __init__(self, values: Mapping[str, int]) -> None:
        self._values = values
        self._types: dict[Type, Type] = {}

    def type(self, node: Node) -> Type:
        found = self._types.get(node.type)
        if found is None:
            match node.type:
                case TensorType():
                    found = self._tensor(node.type, node)
                case TupleType(elements=elements):
                    found = TupleType(tuple(self._tensor(each, node) for each in elements))
            found = node.type if found == node.type else found
            self._types[node.type] = found
        return found

    def _tensor(self, type: TensorType, node: Node) -> TensorType:
        shape = tuple(self._size(size, node) for size in type.shape)
        for size, fixed in zip(type.shape, shape):
            if isinstance(fixed, int) and fixed < 0:
                raise ShapeError(
                    f"{node.op.name}: the size {size} is {fixed} for {self._shown(size)}", location=node.location
                )
        return type.with_shape(shape)

    def _size(self, size: Size, node: Node) -> Size:
        if isinstance(size, int) or any(s.name not in self._values for s in symbols(size)):
            return size
        try:
            return evaluate(size, self._values)
        except ZeroDivisionError:
            text = f"{node.op.name}: the size {size} divides by zero for {self._shown(size)}"
            raise ShapeError(text, location=node.location) from None

    def _shown(self, size: Size) -> str:
        return ", ".join(f"{s.name} = {self._values[s.name]}" for s in symbols(size))

    def attribute(self, value: Attribute, node: Node) -> Attribute:
        match value:
            case Dim():
                return self._size(value, node)
            case tuple():
                fixed = tuple(self.attribute(each, node) for each in value)
                return value if all(a is b for a, b in zip(fixed, value)) else fixed
            case Graph():
                return fix_sizes(value, self._values)
            case _:
                return value


def _name(node: Node) -> str:
    return str(node.attribute("name"))


def _wrong_count(graph: Graph, given: int) -> ArgumentError:
    return ArgumentError(
        f"{graph.name} takes {_count(len(graph.inputs), 'argument')}, {given} given",
        hint=f"they are {', '.join(map(_name, graph.inputs)) or 'none'}",
    )


def _count(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")
