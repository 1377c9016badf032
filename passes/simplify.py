"""Replace nodes by equal ones that cost less, until none can be.

Level: tensor graph to tensor graph. The rules stand in `algebra` (arithmetic), `views` (moved elements, reductions) and
`fast`. Unless numerics="fast" is asked for, every rule keeps every bit, so a compiled function agrees with one that
runs op by op.

    %0 = permute(%x) {axes=(1,0)}
    %1 = permute(%0) {axes=(1,0)}      becomes     return %x
    %2 = mul(%1, 1.0)
"""

from __future__ import annotations

from typing import Literal

from graphc.ir.graph import Graph
from graphc.passes.algebra import ALGEBRA
from graphc.passes.fast import FAST
from graphc.passes.pipeline import register
from graphc.passes.rewrite import RuleSet, rewrite
from graphc.passes.views import VIEWS

STRICT_RULES = RuleSet(ALGEBRA, VIEWS)
FAST_RULES = RuleSet(ALGEBRA, VIEWS, FAST)


@register("simplify")
def simplify(graph: Graph, *, numerics: Literal["strict", "fast"] = "strict") -> Graph:
    """Replace nodes by equal ones that cost less; numerics=fast also allows what is equal up to rounding."""
    return rewrite(graph, FAST_RULES if numerics == "fast" else STRICT_RULES)
