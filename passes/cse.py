"""Merge nodes that compute the same value: same op, same operands, same attributes.

Level: tensor graph to tensor graph. Operands of commutative ops may stand in either order. The merged node is the first
of them, with its location.

    %0 = exp(%x)
    %1 = exp(%x)            becomes     %0 = exp(%x)
    %2 = add(%0, %1)                    %1 = add(%0, %0)
"""

from __future__ import annotations

from graphc.ir.graph import Graph
from graphc.passes.pipeline import register
from graphc.passes.rewrite import rewrite


@register("cse")
def merge_common_subexpressions(graph: Graph) -> Graph:
    """Merge nodes that compute the same value."""
    return rewrite(graph)
