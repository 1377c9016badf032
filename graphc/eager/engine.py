"""The backward pass: cotangents from the roots of the tape to its leaves.

In: nodes and cotangents of their results. Out: gradients, added to the leaves' `grad` or given back for the tensors
asked for. Nodes run from the youngest to the oldest, so that all users of a value come before what computed it.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from graphc.eager.compiled import PROGRAMS, key_of
from graphc.eager.dispatch import function_of
from graphc.eager.mode import MODE, set_grad_enabled
from graphc.eager.node import AccumulateGrad, AutogradError, Edge, GradNode
from graphc.eager.tensor import Tensor, meta_of, wrap

_accumulating = threading.Lock()
_passes = itertools.count(1)


def run_backward(
    roots: Sequence[tuple[Edge, Tensor]],
    inputs: Sequence[Edge] | None = None,
    *,
    keep_graph: bool = False,
    create_graph: bool = False,
    accumulate: bool = True,
) -> list[Tensor | None]:
    """Carry the cotangents of the roots back.

    Without `inputs` every leaf's gradient is accumulated. With them the gradients of these places are given back (with
    `accumulate` they are added to the `grad` of those that are leaves), and no other leaf changes.
    """
    order = _order(node for (node, _), _ in roots)
    needed = None if inputs is None else _leading_to(order, inputs)
    captured: dict[Edge, Tensor] = {}
    wanted = {} if inputs is None else dict.fromkeys(inputs)
    before = MODE.pass_number, MODE.pass_nodes
    MODE.pass_number, MODE.pass_nodes = next(_passes), order
    try:
        if create_graph or not _run_compiled(order, roots, wanted, captured, keep_graph, accumulate):
            _run_nodes(order, roots, wanted, captured, needed, keep_graph, create_graph, accumulate)
    finally:
        MODE.pass_number, MODE.pass_nodes = before
    return [] if inputs is None else [captured.get(edge) for edge in inputs]


def _run_nodes(
    order: Sequence[GradNode],
    roots: Sequence[tuple[Edge, Tensor]],
    wanted: Mapping[Edge, None],
    captured: dict[Edge, Tensor],
    needed: set[GradNode] | None,
    keep_graph: bool,
    create_graph: bool,
    accumulate: bool,
) -> None:
    pending: dict[GradNode, list[Tensor | None]] = {}
    with set_grad_enabled(create_graph):
        for (node, index), cotangent in roots:
            _add(pending, node, index, shared(cotangent))
        for node in order:
            cotangents = pending.pop(node, None)
            if cotangents is None or (needed is not None and node not in needed):
                continue
            _run_node(node, cotangents, pending, wanted, captured, needed, create_graph, accumulate)
            if not keep_graph:
                node.release()


def _run_compiled(
    order: Sequence[GradNode],
    roots: Sequence[tuple[Edge, Tensor]],
    wanted: Mapping[Edge, None],
    captured: dict[Edge, Tensor],
    keep_graph: bool,
    accumulate: bool,
) -> bool:
    """Run the program of this structure, if there is one: see `graphc/eager/compiled.py`."""
    places = tuple(wanted)
    key = key_of(order, roots, places)
    program = None if key is None else PROGRAMS.find(key, order, roots, places)
    if program is None:
        return False
    gradients = program.run(order, roots)
    for place, array in zip(program.gives, gradients):
        node, gradient = order[place.position], wrap(array)
        if isinstance(node, AccumulateGrad):
            _accumulate(node, gradient, wanted, captured, False, accumulate)
            continue
        if node.retained is not None and place.index in node.retained:
            tensor = node.retained[place.index]()
            if tensor is not None:
                meta_of(tensor).grad = gradient
        if (node, place.index) in wanted:
            captured[node, place.index] = gradient
    if not keep_graph:
        for node in order:
            node.release()
    return True


def _run_node(
    node: GradNode,
    cotangents: list[Tensor | None],
    pending: dict[GradNode, list[Tensor | None]],
    wanted: Mapping[Edge, None],
    captured: dict[Edge, Tensor],
    needed: set[GradNode] | None,
    create_graph: bool,
    accumulate: bool,
) -> None:
    if isinstance(node, AccumulateGrad):
        if cotangents[0] is None:
            return
        _accumulate(node, cotangents[0], wanted, captured, create_graph, accumulate)
        return
    if node.tensor_hooks:
        for index, hooks in node.tensor_hooks.items():
            gradient = cotangents[index]
            if gradient is not None:
                cotangents[index] = _through(hooks, gradient)
    if node.retained:
        for index, reference in node.retained.items():
            tensor, gradient = reference(), cotangents[index]
            if tensor is not None and gradient is not None:
                meta_of(tensor).grad = gradient if create_graph else _keep(shared(gradient))
    if node.pre_hooks:
        cotangents = list(_through_node(node.pre_hooks, tuple(cotangents)))
    for index, gradient in enumerate(cotangents):
        if (node, index) in wanted and gradient is not None:
            captured[node, index] = gradient
    if wanted and needed is not None and not any(edge is not None and edge[0] in needed for edge in node.edges):
        return
    try:
        gradients: Sequence[Tensor | None] = node.run(cotangents, create_graph)
    except Exception:
        if MODE.anomaly:
            _tell_forward(node)
        raise
    if node.post_hooks:
        for hook in [*node.post_hooks.values()]:
            replaced = hook(tuple(gradients), tuple(cotangents))
            if replaced is not None:
                gradients = replaced if isinstance(replaced, tuple | list) else (replaced,)
    if MODE.anomaly and MODE.check_nan:
        _check_nan(node, gradients)
    for edge, gradient in zip(node.edges, gradients):
        if edge is None:
            continue
        if gradient is not None:
            _add(pending, *edge, gradient)
        elif edge[0] not in pending:  # it runs all the same: a function in Python may make zeros of what is missing
            pending[edge[0]] = [None] * edge[0].outputs


def _accumulate(
    node: AccumulateGrad,
    gradient: Tensor,
    wanted: Mapping[Edge, None],
    captured: dict[Edge, Tensor],
    create_graph: bool,
    accumulate: bool,
) -> None:
    """What arrives at a leaf: its hooks see it, then it is added up or given back."""
    gradient = _through(meta_of(node.variable).hooks, gradient)
    if node.pre_hooks:
        replaced = _through_node(node.pre_hooks, (gradient,))[0]
        assert replaced is not None
        gradient = replaced
    if (node, 0) in wanted:
        captured[node, 0] = gradient
    if accumulate and (not wanted or (node, 0) in wanted):
        accumulate_grad(node.variable, gradient, create_graph)
        if node.post_hooks:
            for hook in [*node.post_hooks.values()]:
                hook((), (gradient,))


def _add(pending: dict[GradNode, list[Tensor | None]], node: GradNode, index: int, gradient: Tensor) -> None:
    slots = pending.get(node)
    if slots is None:
        slots = pending[node] = [None] * node.outputs
    present = slots[index]
    slots[index] = gradient if present is None else add(present, gradient)


def add(a: Tensor, b: Tensor) -> Tensor:
    """The sum of two gradients."""
    result = function_of("add")(a, b)
    assert isinstance(result, Tensor)
    return result


def _order(roots: Iterable[GradNode]) -> list[GradNode]:
    """All nodes that the roots lead to, each before those that its edges lead to; leaves last."""
    found = dict.fromkeys(roots)
    stack = list(found)
    while stack:
        for edge in stack.pop().edges:
            if edge is not None and edge[0] not in found:
                found[edge[0]] = None
                stack.append(edge[0])
    return sorted(found, key=_rank, reverse=True)


def _rank(node: GradNode) -> tuple[bool, int]:
    return not isinstance(node, AccumulateGrad), node.sequence


def _leading_to(order: Sequence[GradNode], inputs: Sequence[Edge]) -> set[GradNode]:
    """The nodes from which gradients reach one of the inputs, and the inputs' own."""
    needed = {node for node, _ in inputs}
    for node in reversed(order):
        if any(edge is not None and edge[0] in needed for edge in node.edges):
            needed.add(node)
    return needed


def _through(hooks: Mapping[int, Callable[..., object]] | None, gradient: Tensor) -> Tensor:
    """What the hooks of a tensor make of its gradient."""
    if not hooks:
        return gradient
    for hook in [*hooks.values()]:
        replaced = hook(gradient)
        if replaced is None:
            continue
        if not isinstance(replaced, Tensor):
            raise TypeError(f"hook must return None or a Tensor, got {type(replaced).__name__}")
        gradient = replaced
    return gradient


def _through_node(
    hooks: Mapping[int, Callable[..., object]], gradients: tuple[Tensor | None, ...]
) -> tuple[Tensor | None, ...]:
    """What the pre-hooks of a node make of the gradients of its results."""
    for hook in [*hooks.values()]:
        replaced: Any = hook(gradients)
        if replaced is not None:
            gradients = tuple(replaced) if isinstance(replaced, tuple | list) else (replaced,)
    return gradients


def accumulate_grad(leaf: Tensor, gradient: Tensor, create_graph: bool) -> None:
    """Add to a leaf's `grad`, then call what waits for that."""
    meta = meta_of(leaf)
    with _accumulating:
        present = meta.grad
        if present is None:
            is_seen = meta.hooks is not None
            meta.grad = gradient if create_graph else _keep(shared(gradient) if is_seen else gradient)
        elif create_graph:
            meta.grad = add(present, gradient)
        else:
            np.add(present._array, gradient._array, out=present._array, casting="unsafe")
            present._storage.version += 1
    if meta.post_hooks:
        for hook in [*meta.post_hooks.values()]:
            hook(leaf)


def _keep(gradient: Tensor) -> Tensor:
    """The gradient as what a `grad` may hold: memory that nobody else has."""
    return gradient if gradient._storage.owner is None and gradient._meta is None else wrap(np.array(gradient._array))


def shared(tensor: Tensor) -> Tensor:
    """The tensor's values as a gradient, marked as memory that somebody else has too."""
    storage = tensor._storage
    if storage.owner is None:
        storage.owner = tensor._array
    return tensor


def _tell_forward(node: GradNode) -> None:
    from graphc.eager.anomaly import tell  # late: it is needed while anomalies are looked for

    tell(node)


def _check_nan(node: GradNode, gradients: Sequence[Tensor | None]) -> None:
    for index, gradient in enumerate(gradients):
        if gradient is not None and gradient.dtype.is_differentiable and bool(np.isnan(gradient._array).any()):
            _tell_forward(node)
            raise AutogradError(f"Function '{node.name()}' returned nan values in its {index}th output.")
