"""Graphs as text: one node a line, types shown, the user's line as a comment.

In: a graph. Out: text that is the same on every run and that `parse_graph` reads back.

    graph softmax(%x: f32[n,1000], %w: f32[1000,10]) where n in 1..4096 {
      %0 = dot(%x, %w) {batch=((),()), contract=((1),(0))} : f32[n,10]   # train.py:12
      return %0
    }

Names: inputs go by their own name, in quotes where it isn't a plain one, and `%x@1` is the second input called x; other
nodes are numbered. Attributes that have the op's default value are left out; see `attribute_text` for the others. The
body of a fused node is a graph in its attribute, numbered anew; it sees the sizes of the graph around it.
A size whose bounds are not stated has none, provided that an input's shape names it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping

from graphc.ir.attribute import Array, Attribute, exact
from graphc.ir.dense import array_text
from graphc.ir.dim import MAX_SIZE, Dim, Quotient, Remainder, Size, Symbol, symbols
from graphc.ir.dtype import DType
from graphc.ir.graph import INPUT, Graph, Node
from graphc.ir.location import Location
from graphc.ir.scan import declare, quote, word
from graphc.ir.type import TensorType

WIDTH = 120
"""A head longer than this has its inputs on lines of their own."""


def print_graph(graph: Graph, *, locations: bool = True) -> str:
    """The text of a graph, with the lines of the user's code unless `locations` is false."""
    return _graph_text(graph, "", _declarations(graph), locations) + "\n"


def node_text(node: Node, names: Mapping[Node, str]) -> str:
    """The line of a node, the bodies in it cut short; `names` are those of `name_nodes`."""
    return _node_text(node, names, "", None)


def name_nodes(graph: Graph) -> dict[Node, str]:
    """How the text calls each node: inputs by their name, others by a number."""
    names: dict[Node, str] = {}
    count: dict[str, int] = {}
    for node in graph.inputs:
        name = str(node.attribute("name"))
        number = count.get(name, 0)
        count[name] = number + 1
        names[node] = f"%{word(name)}" + (f"@{number}" if number else "")
    others = (node for node in graph.nodes if node not in names)
    names.update((node, f"%{i}") for i, node in enumerate(others))
    return names


def attribute_text(value: Attribute) -> str:
    """An attribute's value: `none`, `true`, `7`, `1.5`, `inf`, `"text"`, `f32`, `n + 1`, `(1,2)`, `dense<i64[2]: 3 4>`.

    Parentheses make a tuple: `(1)` has one element, `()` none. A tensor type's names are the short ones.
    """
    return _attribute_text(value, "", None)


def symbols_of(graph: Graph) -> tuple[Symbol, ...]:
    """Every symbol in the graph's types and attributes, also in bodies: those of the inputs' shapes first."""
    found: dict[Symbol, None] = dict.fromkeys(graph.sizes)
    seen: set[Size] = set()
    pending = [graph]
    while pending:
        for node in pending.pop().nodes:
            for value in _parts(_sizes_of(node)):
                if isinstance(value, Graph):
                    pending.append(value)
                elif isinstance(value, Dim) and value not in seen:
                    seen.add(value)
                    found.update(dict.fromkeys(symbols(value)))
    return tuple(found)


def _sizes_of(node: Node) -> Iterator[Attribute]:
    if isinstance(node.type, TensorType):
        yield node.type.shape
    else:
        for element in node.type.elements:
            yield element.shape
    for _, value in node.attributes:
        yield value


def _parts(values: Iterable[Attribute]) -> Iterator[Attribute]:
    """The values that aren't tuples, from inside the tuples."""
    pending = list(values)[::-1]
    while pending:
        value = pending.pop()
        if isinstance(value, tuple):
            pending.extend(reversed(value))
        else:
            yield value


def _declarations(graph: Graph) -> str:
    shown = [s for s in symbols_of(graph) if s not in graph.sizes or (s.lower, s.upper) != (0, MAX_SIZE)]
    return " where " + ", ".join(declare(s.name, s.lower, s.upper) for s in shown) if shown else ""


def _graph_text(graph: Graph, indent: str, declarations: str, locations: bool) -> str:
    names = name_nodes(graph)
    inner = indent + "  "
    inputs = [f"{names[node]}: {node.type}" for node in graph.inputs]
    head = f"graph {word(graph.name)}({', '.join(inputs)}){declarations} {{"
    if len(indent) + len(head) <= WIDTH:
        lines = [head]
    else:
        lines = [f"graph {word(graph.name)}("]
        for text, node in zip(inputs, graph.inputs):
            lines.append(f"{inner}{text},{_comment(node.location, locations)}")
        lines.append(f"{indent}){declarations} {{")
    for node in graph.nodes:
        if node.op is not INPUT:
            lines.append(_node_text(node, names, inner, locations))
    lines.append(f"{inner}return {', '.join(names[node] for node in graph.outputs)}".rstrip())
    lines.append(indent + "}")
    return "\n".join(lines)


def _node_text(node: Node, names: Mapping[Node, str], indent: str, locations: bool | None) -> str:
    operands = ", ".join(names.get(operand, "%?") for operand in node.inputs)
    defaults = dict(node.op.defaults)
    shown = [
        f"{word(name)}={_attribute_text(value, indent, locations)}"
        for name, value in node.attributes
        if name not in defaults or exact(value) != exact(defaults[name])
    ]
    attributes = f" {{{', '.join(shown)}}}" if shown else ""
    head = f"{indent}{names.get(node, '%?')} = {word(node.op.name)}({operands}){attributes} : {node.type}"
    return head + _comment(node.location, bool(locations))


def _comment(location: Location | None, locations: bool) -> str:
    if location is None or not locations:
        return ""
    name = os.path.basename(location.file)
    is_plain = name.isprintable() and "#" not in name and name.strip() == name != ""
    return f"   # {name}:{location.line}" if is_plain else ""


def _attribute_text(value: Attribute, indent: str, locations: bool | None) -> str:
    """`locations` is None where bodies are cut short."""
    match value:
        case None:
            return "none"
        case bool():
            return "true" if value else "false"
        case int() | float():
            return repr(value)
        case str():
            return quote(value)
        case DType():
            return value.short
        case Dim():
            return _bare(value)
        case Array():
            return f"dense<{array_text(value)}>"
        case tuple():
            return f"({','.join(_attribute_text(each, indent, locations) for each in value)})"
        case Graph():
            if locations is None:
                return f"graph {word(value.name)}(...)"
            return _graph_text(value, indent, "", locations)


def _bare(size: Dim) -> str:
    """A size without the parentheses around the whole, which would make it a tuple."""
    if len(size.terms) == 1:
        factors, coefficient = size.terms[0]
        if coefficient == 1 and len(factors) == 1 and isinstance(factors[0], Quotient | Remainder):
            return str(size)[1:-1]
    return str(size)
