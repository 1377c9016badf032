"""The structural hash of a graph: what caches of passes and of compiled code go by.

In: a graph. Out: SHA-256 as hex digits. It depends on the inputs' names, order and types, on the ops, operands,
attributes (arrays by their bits, bodies by their own fingerprint) and types of all nodes, on which nodes are shared, on
the bounds of symbols, and on the outputs. It does not depend on the graph's name, on locations, on which objects the
nodes are, or on nodes that no output needs.
"""

from __future__ import annotations

import hashlib
from typing import Final

from graphc.ir.attribute import Array, Attribute
from graphc.ir.dim import Dim, Symbol, symbols
from graphc.ir.dtype import DType
from graphc.ir.graph import Graph, Node
from graphc.ir.text import attribute_text
from graphc.ir.type import TensorType, Type

_VERSION: Final = "graph 1"


def fingerprint(graph: Graph) -> str:
    """The hash; computed once for a graph object."""
    pending = [graph]
    while pending:  # bodies first, without recursion
        current = pending[-1]
        if _known(current) is not None:
            pending.pop()
            continue
        missing = [body for body in _bodies(current) if _known(body) is None]
        if missing:
            pending.extend(missing)
            continue
        vars(current)["_fingerprint"] = _hash(current)
        pending.pop()
    result = _known(graph)
    assert result is not None
    return result


def _known(graph: Graph) -> str | None:
    found = vars(graph).get("_fingerprint")
    return found if isinstance(found, str) else None


def _bodies(graph: Graph) -> list[Graph]:
    found: dict[Graph, None] = {}
    pending: list[Attribute] = [value for node in graph.nodes for _, value in node.attributes]
    while pending:
        value = pending.pop()
        if isinstance(value, Graph):
            found[value] = None
        elif isinstance(value, tuple):
            pending.extend(value)
    return list(found)


def _hash(graph: Graph) -> str:
    numbers: dict[Node, int] = {}
    found: dict[Symbol, None] = {}
    types: dict[Type, str] = {}
    lines = [_VERSION, f"{len(graph.inputs)} inputs"]
    for node in graph.nodes:
        numbers[node] = len(numbers)
        operands = ",".join(str(numbers[operand]) for operand in node.inputs)
        attributes = ",".join(f"{name!a}={_text(value, found)}" for name, value in node.attributes)
        if node.type not in types:
            types[node.type] = str(node.type)
            for tensor in (node.type,) if isinstance(node.type, TensorType) else node.type.elements:
                for size in tensor.shape:
                    found.update(dict.fromkeys(symbols(size)))
        lines.append(f"{node.op.name!a}({operands}){{{attributes}}}:{types[node.type]}")
    lines.append("return " + ",".join(str(numbers[node]) for node in graph.outputs))
    lines += [f"{s.name!a} {s.lower} {s.upper}" for s in found]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _text(value: Attribute, found: dict[Symbol, None]) -> str:
    """A text that differs for any two attributes that differ; the symbols in it are added to `found`."""
    match value:
        case Array():
            return f"<{value.digest.hex()}>"
        case Graph():
            return f"<{_known(value)}>"
        case tuple():
            return f"({','.join(_text(each, found) for each in value)})"
        case Dim():
            found.update(dict.fromkeys(symbols(value)))
            return str(value)
        case DType():
            return f"dtype {value.name}"  # a symbol may have the dtype's short name
        case _:
            return attribute_text(value)
