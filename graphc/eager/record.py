"""Running a plan on tensors: compute, wrap, and record a node if gradients will be asked for.

In: a plan and the tensors of a call (numbers that became inputs are arrays). Out: new tensors.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

from graphc.eager.mode import MODE
from graphc.eager.node import Edge, PlanNode, SavedValue, edge_of, node_type
from graphc.eager.plan import Plan
from graphc.eager.tensor import AnyArray, AutogradMeta, Tensor, wrap

Source: TypeAlias = "Tensor | AnyArray"


def apply(plan: Plan, sources: Sequence[Source]) -> list[Tensor]:
    """The results of a plan on these inputs, recorded."""
    arrays = [each._array if isinstance(each, Tensor) else each for each in sources]
    results = [wrap(array) for array in plan.run(arrays)]
    record(plan, sources, results)
    return results


def record(
    plan: Plan,
    sources: Sequence[Source],
    results: Sequence[Tensor],
    name: str | None = None,
    overwrites: int | None = None,
    shown: int | None = None,
) -> PlanNode | None:
    """Make the node of a call that gave `results`, if any input needs a gradient and one flows.

    `overwrites` numbers the input that is about to be written to: what the gradient reads of it is copied. `shown`:
    how many of the inputs are operands of the function; the rest are where elements lie, and have no edge.
    """
    if not MODE.grad:
        return None
    edges: list[Edge | None] = []
    needed: list[bool] = []
    for source in sources:
        meta = source._meta if isinstance(source, Tensor) else None
        if meta is None or not (meta.requires_grad or source.requires_grad):  # type: ignore[union-attr]  # see meta
            edges.append(None)
            needed.append(False)
            continue
        needed.append(True)
        is_plain = meta.node is not None and meta.view is None
        edges.append((meta.node, meta.index) if is_plain else edge_of(source))  # type: ignore[arg-type]  # see is_plain
    if True not in needed or True not in plan.differentiable:
        return None
    needs = tuple(needed)
    backward = plan.backward(needs)
    kind = node_type(name or plan.name)
    saved: list[SavedValue] = []
    node = kind(backward, tuple(edges[:shown]), saved, len(results))
    for each in backward.saved:
        if each.source == "input":
            saved.append(_of_input(sources[each.index], edges[each.index], each.index == overwrites))
        else:
            result = results[each.index]
            is_needed = plan.differentiable[each.index]
            saved.append(SavedValue(result._array, result._storage, None, is_needed, weakref.ref(node), each.index))
    for index, result in enumerate(results):
        if plan.differentiable[index]:
            if result._meta is None:
                result._meta = AutogradMeta(True, node, index)
            else:
                result._meta.requires_grad, result._meta.node, result._meta.index = True, node, index
    return node


def _of_input(source: Source, edge: object, is_overwritten: bool) -> SavedValue:
    if not isinstance(source, Tensor):
        return SavedValue(source, None, None, False)
    if is_overwritten:
        return SavedValue(np.array(source._array), None, edge, source.requires_grad)  # type: ignore[arg-type]
    return SavedValue(source._array, source._storage, edge, source.requires_grad)  # type: ignore[arg-type]
