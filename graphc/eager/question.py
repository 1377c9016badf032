"""Questions about elements whose answer Python needs: may these be probabilities?

In: a condition as a function of nodes, and tensors. Out: whether it holds for all elements. One program computes the
answer where the tensors are, and a single byte of it is read.

    holds(lambda p: elementwise.le(p, build.ones_like(p)), x)
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

from graphc.eager.plan import Plan
from graphc.eager.program import Recipe
from graphc.eager.tensor import Tensor
from graphc.ir.dtype import dtype as to_dtype
from graphc.ir.graph import Graph, Node, make_input
from graphc.ir.type import TensorType
from graphc.ops import build, elementwise, reduction

Condition = Callable[..., Node]
"""From nodes to bools of any shape. It is a function of a module: each has programs of its own."""


def holds(condition: Condition, *tensors: Tensor) -> bool:
    """Whether the condition is true everywhere; waits for the tensors' device."""
    arrays = [each._array for each in tensors]
    plan = _plan(condition, tuple(TensorType(each.shape, to_dtype(each.dtype)) for each in arrays))
    return bool(plan.run(arrays)[0])


def is_none_negative(x: Node) -> Node:
    """The condition that no element is below 0; nan isn't."""
    return elementwise.bitwise_not(elementwise.lt(x, build.zeros_like(x)))


@functools.lru_cache(maxsize=512)
def _plan(condition: Condition, types: tuple[TensorType, ...]) -> Plan:
    def build_graph(types: Sequence[TensorType]) -> Graph:
        given = [make_input(f"x{place}", type) for place, type in enumerate(types)]
        met = condition(*given)
        return Graph("holds", tuple(given), (reduction.all_(met, axes=tuple(range(len(met.shape)))),))

    return Plan(build_graph(types), "", Recipe(("holds", condition), types, build_graph))
