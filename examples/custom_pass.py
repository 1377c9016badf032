"""Add a pass of your own to the compiler, and see it work.

    python examples/custom_pass.py

The pass replaces x / c, for a constant c that is a power of two, by x * (1 / c): exact, and quicker.
"""

from __future__ import annotations

import numpy as np

import graphc
from graphc.ir.graph import Graph, Node
from graphc.ops import build
from graphc.ops import elementwise as ew
from graphc.passes import register
from graphc.passes.match import splat
from graphc.passes.rewrite import RuleSet, rewrite

rules = RuleSet()


@rules.rule("div")
def multiply_by_inverse(node: Node) -> Node | None:
    """x / c becomes x * (1 / c) where 1 / c is exact."""
    dividend, divisor = node.inputs
    value = splat(divisor)  # the constant that all its elements are, if there is one
    if value is None or node.tensor.dtype.is_complex:
        return None
    mantissa, exponent = np.frexp(value)
    if abs(mantissa) != 0.5 or abs(exponent) > 10:  # 1 / c shall be in the range of every dtype
        return None
    return ew.mul(dividend, build.full_like(node, 1 / float(value)))


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
    print("before:", graph, "after:", run(graph), sep="\n")
    values = np.linspace(-3, 3, 8, dtype=np.float32)
    plain = graph.compile()(values)
    changed = graph.compile(passes="multiply_by_inverse,fold,fuse")(values)
    assert plain.tobytes() == changed.tobytes()
    print("same bits:", changed)


if __name__ == "__main__":
    main()
