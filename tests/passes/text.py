"""Helpers of the pass tests: graphs from text, and text-to-text comparison."""

from __future__ import annotations

from collections.abc import Callable

from graphc.ir.graph import Graph
from graphc.ir.parse import parse_graph
from graphc.ir.text import print_graph
from graphc.ir.verify import verify


def graph_of(text: str) -> Graph:
    """The graph of a text, checked."""
    graph = parse_graph(text)
    verify(graph)
    return graph


def body(head: str, lines: str) -> Graph:
    """The graph with this head, `%x: f32[4]`, and these lines, the last of which returns."""
    return graph_of("graph f(" + head + ") {\n" + lines + "\n}\n")


def assert_becomes(function: Callable[[Graph], Graph], before: str, after: str) -> None:
    """The function takes the first graph to the second, leaves the second as it is, and gives a valid graph."""
    start = graph_of(before)
    result = function(start)
    verify(result)
    expected = graph_of(after)
    assert print_graph(result, locations=False) == print_graph(expected, locations=False)
    assert function(result) is result, "a second run changes the graph again"


def assert_stays(function: Callable[[Graph], Graph], text: str) -> None:
    """The function gives back the very graph that it is given."""
    graph = graph_of(text)
    assert function(graph) is graph
