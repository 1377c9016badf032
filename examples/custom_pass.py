"""Add a pass of your own to the compiler, and see it work.

    python examples/custom_pass.py

The pass replaces x / c, for a constant c that is a power of two, by x * (1 / c): exact, and quicker.
"""

from __future__ import annotations

import numpy as np

import graphc
from graphc.ir.graph import Graph, Node
from graphc.ops import build, creation, movement
from graphc.ops import elementwise as ew
from graphc.passes import register
from graphc.passes.rewrite import RuleSet, rewrite


def constant_of(node: Node) -> float | None:
    """The number that a constant holds in every element."""
    while node.op in (movement.broadcast, movement.reshape):
        node = node.inputs[0]
    if node.op is creation.constant and node.tensor.size == 1:
        return float(node.attribute("value").value.item())
    return None


rules = RuleSet()


@rules.rule("div")
def multiply_by_inverse(node: Node) -> Node | None:
    """x / c becomes x * (1 / c) where 1 / c is exact."""
    divisor = constant_of(node.inputs[1])
    if divisor is None or abs(np.frexp(divisor)[0]) != 0.5:
        return None
    return ew.mul(node.inputs[0], build.full_like(node, 1 / divisor))


@register("multiply_by_inverse")
def run(graph: Graph) -> Graph:
    """Replace division by a power of two by multiplication."""
    return rewrite(graph, rules)


def halve(x):
    """What the pass works on."""
    return graphc.tanh(x / 4) / 3


def main():
    """Print the graph before and after, and check that no bit has changed."""
    graph = graphc.symbolic_trace(halve, "f32[8]")
    print(graph)
    print(run(graph))
    values = np.linspace(-3, 3, 8, dtype=np.float32)
    plain = graph.compile()(values)
    changed = graph.compile(passes="multiply_by_inverse,fold,fuse")(values)
    assert plain.tobytes() == changed.tobytes()
    print("same bits:", changed)
    return changed


if __name__ == "__main__":
    main()
