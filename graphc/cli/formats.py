"""A graph for other programs: Graphviz's dot and JSON."""

from __future__ import annotations

import json

from graphc.ir.graph import INPUT, Graph, Node
from graphc.ir.text import attribute_text, name_nodes, print_graph


def graph_text(graph: Graph, form: str) -> str:
    """The graph as `text` (which parses back), `dot` or `json`."""
    match form:
        case "dot":
            return dot_text(graph)
        case "json":
            return json.dumps(json_value(graph), indent=1)
        case _:
            return print_graph(graph)


def dot_text(graph: Graph) -> str:
    """The graph for Graphviz: a box per node, an arrow per use."""
    names = name_nodes(graph)
    lines = [f"digraph {_quoted(graph.name)} {{", '  node [shape=box, fontname="monospace"]']
    for node in graph.nodes:
        style = ", style=filled, fillcolor=lightgrey" if node.op is INPUT else ""
        lines.append(f"  {_quoted(names[node])} [label={_quoted(_label(node, names[node]))}{style}]")
    for node in graph.nodes:
        lines.extend(f"  {_quoted(names[operand])} -> {_quoted(names[node])}" for operand in node.inputs)
    for index, node in enumerate(graph.outputs):
        lines.append(f"  {_quoted(f'result {index}')} [shape=ellipse]")
        lines.append(f"  {_quoted(names[node])} -> {_quoted(f'result {index}')}")
    return "\n".join([*lines, "}"])


def json_value(graph: Graph) -> dict[str, object]:
    """The graph as plain data: sizes with bounds, inputs, nodes in order, outputs."""
    names = name_nodes(graph)
    return {
        "name": graph.name,
        "sizes": [{"name": s.name, "lower": s.lower, "upper": str(s.upper)} for s in graph.sizes],
        "inputs": [names[node] for node in graph.inputs],
        "nodes": [_json_node(node, names[node], [names[operand] for operand in node.inputs]) for node in graph.nodes],
        "outputs": [names[node] for node in graph.outputs],
    }


def _json_node(node: Node, name: str, operands: list[str]) -> dict[str, object]:
    attributes: dict[str, object] = {
        key: json_value(value) if isinstance(value, Graph) else attribute_text(value)
        for key, value in node.attributes
        if node.op is not INPUT
    }
    location = None if node.location is None else {"file": node.location.file, "line": node.location.line}
    return {
        "name": name,
        "op": node.op.name,
        "inputs": operands,
        "attributes": attributes,
        "type": str(node.type),
        "location": location,
    }


def _label(node: Node, name: str) -> str:
    if node.op is INPUT:
        return f"{name}\n{node.type}"
    body = next((value for _, value in node.attributes if isinstance(value, Graph)), None)
    title = f"{name} = {node.op.name}"
    if body is not None:
        title += f" {body.name}\n" + " ".join(each.op.name for each in body.nodes if each.op is not INPUT)
    return f"{title}\n{node.type}" + (f"\n{node.location}" if node.location is not None else "")


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
