"""Running a plan on tensors: compute, wrap, and record a node if gradients will be asked for.

In: a plan and the tensors of a call (numbers that became inputs are arrays). Out: new tensors.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import TypeAlias

from graphc.eager.mode import MODE
from graphc.eager.node import Edge, GradNode, PlanNode, SavedValue, accumulator_of, edge_of, node_type
from graphc.eager.placement import copy_of
from graphc.eager.plan import Plan
from graphc.eager.tensor import AnyArray, AutogradMeta, Tensor, wrap
from graphc.eager.watch import WATCHING, constant, copied, watcher

Source: TypeAlias = "Tensor | AnyArray"


def apply(plan: Plan, sources: Sequence[Source]) -> list[Tensor]:
    """The results of a plan on these inputs, recorded."""
    if WATCHING:
        see(sources)
    arrays = [each._array if isinstance(each, Tensor) else each for each in sources]
    results = [wrap(array) for array in plan.run(arrays)]
    record(plan, sources, results)
    return results


def see(sources: Sequence[object]) -> None:
    """Tell who watches which tensors are about to be read or written."""
    found = watcher()
    if found is not None:
        for each in sources:
            if isinstance(each, Tensor):
                found.seen(each)


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
        edge = None
        if isinstance(source, Tensor):
            meta = source._meta
            if meta is not None:
                if meta.view is not None:
                    edge = edge_of(source)
                elif meta.requires_grad:
                    at = meta.node
                    edge = (accumulator_of(source), 0) if at is None else (at, meta.index)
        edges.append(edge)
        needed.append(edge is not None)
    differentiable = plan.differentiable
    if True not in needed or True not in differentiable:
        return None
    if WATCHING:
        for source in sources:
            if not isinstance(source, Tensor):
                constant(source)  # a number, or where elements lie
    backward = plan.backward(tuple(needed))
    saved: list[SavedValue] = []
    # The objects of a record are made without calls of their classes: that is what costs most here.
    node = _new(backward.node_type if name is None else node_type(name))
    _start_node(node, backward, tuple(edges if shown is None else edges[:shown]), saved, len(results))
    reference: weakref.ref[GradNode] | None = None
    for is_input, index in backward.places:
        value = _new(SavedValue)
        if not is_input:
            reference = reference or weakref.ref(node)
            result = results[index]
            _start_value(value, result._array, result._storage, None, differentiable[index], reference, index)
        else:
            source, edge = sources[index], edges[index]
            if not isinstance(source, Tensor):
                _start_value(value, source, None, None, False)
            elif index == overwrites:
                kept = copy_of(source._array)
                if WATCHING:
                    copied(kept, source._array)
                _start_value(value, kept, None, edge, edge is not None)
            else:
                _start_value(value, source._array, source._storage, edge, edge is not None)
        saved.append(value)
    for index, result in enumerate(results):
        if differentiable[index]:
            meta = result._meta
            if meta is None:
                meta = result._meta = _new(AutogradMeta)
                _start_meta(meta, True, node, index)
            else:
                meta.requires_grad, meta.node, meta.index = True, node, index
    return node


_new = object.__new__
_start_node, _start_value, _start_meta = PlanNode.__init__, SavedValue.__init__, AutogradMeta.__init__
