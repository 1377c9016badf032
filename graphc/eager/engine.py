"""The backward pass: cotangents from the roots of the tape to its leaves.

In: nodes and cotangents of their results. Out: gradients, added to the leaves' `grad` or given back for the tensors
asked for. Nodes run from the youngest to the oldest, so that all users of a value come before what computed it.
"""

from __future__ import annotations

import itertools
import operator
import threading
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from graphc.eager.compiled import PROGRAMS, key_of
from graphc.eager.dispatch import function_of
from graphc.eager.geometry import is_dense
from graphc.eager.hooks import call_post_hooks, call_pre_hooks, call_tensor_hooks
from graphc.eager.memory import new_array
from graphc.eager.mode import MODE
from graphc.eager.node import AccumulateGrad, AutogradError, Edge, GradNode
from graphc.eager.placement import copy_into, copy_of, gpu_of, on
from graphc.eager.tensor import AnyArray, Tensor, meta_of, wrap
from graphc.eager.transfer import transfer
from graphc.eager.watch import WATCHING, copied, overwritten_by_sum, see_gradient

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
    before = MODE.pass_number, MODE.pass_nodes, MODE.pass_has_inputs
    MODE.pass_number, MODE.pass_nodes = next(_passes), order if needed is None else needed
    MODE.pass_has_inputs = inputs is not None
    try:
        if create_graph or WATCHING or not _run_compiled(order, roots, wanted, captured, keep_graph, accumulate):
            _run_nodes(order, roots, wanted, captured, needed, keep_graph, create_graph, accumulate)
    finally:
        MODE.pass_number, MODE.pass_nodes, MODE.pass_has_inputs = before
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
    before = MODE.asked, MODE.grad
    try:  # rather than `with set_grad_enabled`, as an interrupt must not leave it behind: see `unrecorded`
        MODE.asked, MODE.grad = create_graph, create_graph and not MODE.inference
        for (node, index), cotangent in roots:
            _add(pending, node, index, shared(cotangent))
        for node in order:
            cotangents = pending.pop(node, None)
            if cotangents is None or (needed is not None and node not in needed):
                continue
            _run_node(node, cotangents, pending, wanted, captured, needed, create_graph, accumulate)
            if not keep_graph:
                node.release()
    finally:
        MODE.asked, MODE.grad = before


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
                meta = meta_of(tensor)
                meta.grad = gradient if meta.grad is None else add(meta.grad, gradient)
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
    if needed is not None:
        # What is asked for is the gradient before the tensor's hooks where the pass goes on from there, as in PyTorch.
        goes_on = any(edge is not None and edge[0] in needed for edge in node.edges)
        _capture(node, cotangents, wanted, captured, goes_on)
        if not goes_on:
            _see(node, cotangents, create_graph)
            _capture(node, cotangents, wanted, captured, True)
            return
    if node.tensor_hooks or node.retained:
        _see(node, cotangents, create_graph)
    if node.pre_hooks:
        cotangents = list(call_pre_hooks(node.pre_hooks, cotangents))
    try:
        gradients: Sequence[Tensor | None] = node.run(cotangents, create_graph)
    except Exception:
        if MODE.anomaly:
            _tell_forward(node)
        raise
    if node.post_hooks:
        gradients = call_post_hooks(node.post_hooks, gradients, cotangents, node.shown)
    if MODE.anomaly and MODE.check_nan:
        _check_nan(node, gradients)
    for edge, gradient in zip(node.edges, gradients):
        if edge is None:
            continue
        if gradient is not None:
            _add(pending, *edge, gradient)
        elif edge[0] not in pending:  # it runs all the same: a function in Python may make zeros of what is missing
            pending[edge[0]] = [None] * edge[0].outputs


def _capture(
    node: GradNode,
    cotangents: Sequence[Tensor | None],
    wanted: Mapping[Edge, None],
    captured: dict[Edge, Tensor],
    is_now: bool,
) -> None:
    for index, gradient in enumerate(cotangents):
        if is_now and gradient is not None and (node, index) in wanted:
            captured[node, index] = gradient


def _see(node: GradNode, cotangents: list[Tensor | None], create_graph: bool) -> None:
    """Show the gradients of a node's results to the hooks of the tensors, then keep those that are to be kept."""
    if node.tensor_hooks:
        for index, hooks in node.tensor_hooks.items():
            gradient = cotangents[index]
            if gradient is not None:
                cotangents[index] = call_tensor_hooks(hooks, gradient)
    if node.retained:
        for index, reference in node.retained.items():
            tensor, gradient = reference(), cotangents[index]
            if tensor is not None and gradient is not None:
                meta = meta_of(tensor)
                total = gradient if meta.grad is None else add(meta.grad, gradient)
                meta.grad = total if create_graph else _keep(shared(total) if total is gradient else total)


def _accumulate(
    node: AccumulateGrad,
    gradient: Tensor,
    wanted: Mapping[Edge, None],
    captured: dict[Edge, Tensor],
    create_graph: bool,
    accumulate: bool,
) -> None:
    """What arrives at a leaf: its hooks see it, then it is added up or given back."""
    gradient = call_tensor_hooks(meta_of(node.variable).hooks, gradient)
    if not accumulate:
        if (node, 0) in wanted:
            captured[node, 0] = gradient
        return
    if wanted and (node, 0) not in wanted:
        return
    if node.pre_hooks:
        replaced = call_pre_hooks(node.pre_hooks, (gradient,))[0]
        assert replaced is not None
        gradient = replaced
    accumulate_grad(node.variable, gradient, create_graph)
    if node.post_hooks:
        call_post_hooks(node.post_hooks, (), (gradient,), ())


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
    leaves: dict[GradNode, None] = {}
    stack = list(found)
    for node in stack:
        if type(node) is AccumulateGrad:
            leaves[node] = None
            del found[node]
    while stack:
        for edge in stack.pop().edges:
            if edge is None:
                continue
            node = edge[0]
            if type(node) is AccumulateGrad:
                leaves[node] = None
            elif node not in found:
                found[node] = None
                stack.append(node)
    return [*sorted(found, key=_SEQUENCE, reverse=True), *sorted(leaves, key=_SEQUENCE, reverse=True)]


_SEQUENCE = operator.attrgetter("sequence")


def _leading_to(order: Sequence[GradNode], inputs: Sequence[Edge]) -> set[GradNode]:
    """The nodes from which gradients reach one of the inputs, and the inputs' own."""
    needed = {node for node, _ in inputs}
    for node in reversed(order):
        if any(edge is not None and edge[0] in needed for edge in node.edges):
            needed.add(node)
    return needed


def accumulate_grad(leaf: Tensor, gradient: Tensor, create_graph: bool) -> None:
    """Add to a leaf's `grad`, then call what waits for that."""
    meta = meta_of(leaf)
    if gpu_of(gradient._array) != gpu_of(leaf._array):  # a number of the CPU among tensors of a GPU
        gradient = transfer(gradient, gpu_of(leaf._array))
    if WATCHING:
        see_gradient(leaf)
    with _accumulating:
        present = meta.grad
        if present is None:
            is_seen = meta.hooks is not None
            found = gradient if create_graph else _keep(shared(gradient) if is_seen else gradient)
            if found._array.strides != leaf._array.strides and not create_graph:
                found = _laid_out(found, leaf._array)
            meta.grad = found
        elif create_graph:
            meta.grad = add(present, gradient)
        else:
            if WATCHING:
                overwritten_by_sum(present._array, gradient._array)
            _add_to(present._array, gradient._array)
            present._storage.version += 1
    if meta.post_hooks:
        for hook in [*meta.post_hooks.values()]:
            hook(leaf)


def _add_to(total: AnyArray, gradient: AnyArray) -> None:
    if type(total) is np.ndarray:
        np.add(total, gradient, out=total, casting="unsafe")
    else:
        copy_into(total, add(wrap(total), wrap(gradient))._array)


def _laid_out(gradient: Tensor, leaf: AnyArray) -> Tensor:
    """The gradient in the memory order of its leaf if that has no gaps, else in rows: what optimizers are quick on."""
    if leaf.flags.c_contiguous and gradient._array.flags.c_contiguous:
        return gradient
    array = new_array(leaf.shape, leaf.dtype, leaf.strides if is_dense(leaf) else None, gpu_of(leaf))
    copy_into(array, gradient._array)
    if WATCHING:
        copied(array, gradient._array)
    return wrap(array)


def _keep(gradient: Tensor) -> Tensor:
    """The gradient as what a `grad` may hold: memory that nobody else has."""
    if gradient._storage.owner is None and gradient._meta is None:
        return gradient
    array = copy_of(gradient._array)
    if WATCHING:
        copied(array, gradient._array)
    return wrap(array)


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
        if (
            gradient is not None
            and gradient.dtype.is_differentiable
            and bool(np.isnan(on(gradient._array, None)).any())
        ):
            _tell_forward(node)
            raise AutogradError(f"Function '{node.name()}' returned nan values in its {index}th output.")
