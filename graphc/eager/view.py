"""Views: tensors that share another one's memory, and what happens to their history when it is written to.

Level: between a plan's graph and numpy's strides. A function of the table gives a view where its graph only renames
elements (reshape, permute, broadcast, slice, window); such a graph is followed on strides, and nothing is computed. In
place of a view that was recorded, `refresh` makes its history again after a write to its base; `rebase` enters such a
write into the history of the base.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from graphc.eager.dispatch import _filled, function_of
from graphc.eager.follow import Unviewable, follow
from graphc.eager.mode import MODE, enable_grad
from graphc.eager.node import GradNode, PlanNode
from graphc.eager.plan import Plan
from graphc.eager.record import record
from graphc.eager.tensor import AnyArray, AutogradMeta, Replay, Tensor, ViewInfo, meta_of, wrap_shared
from graphc.ir.dtype import dtype as to_dtype
from graphc.ir.errors import ArgumentError
from graphc.ir.graph import Graph, Node, make_input
from graphc.ir.replace import inline
from graphc.ir.type import TensorType
from graphc.ops import build
from graphc.ops import elementwise as ew

VIEWS = frozenset(
    "view transpose t permute expand expand_as narrow select squeeze unsqueeze unfold split chunk unbind tensor_split "
    "hsplit vsplit dsplit split_with_sizes movedim moveaxis swapaxes swapdims unflatten T mT H mH adjoint view_as "
    "broadcast_to broadcast_tensors atleast_1d atleast_2d atleast_3d diagonal".split()
)
"""Functions whose result always shares memory with the tensor."""
MAYBE_VIEWS = frozenset("reshape flatten ravel reshape_as".split())
"""Functions whose result shares memory where strides allow it."""
_MULTIPLE = frozenset("split chunk unbind tensor_split hsplit vsplit dsplit split_with_sizes".split())


def view_function(name: str) -> Callable[..., object]:
    """The eager form of a table entry that gives views."""
    function = function_of(name)
    may_copy = name in MAYBE_VIEWS
    is_multiple = name in _MULTIPLE

    def view(*args: object, **kwargs: object) -> object:
        call, sources = function.plan_for(args, kwargs)
        base = sources[0]
        assert isinstance(base, Tensor)
        try:
            arrays = follow(call.plan.graph, base._array)
        except Unviewable:
            if may_copy:
                return function(*args, **kwargs)
            raise ArgumentError(
                "view size is not compatible with input tensor's size and stride (at least one dimension spans across "
                "two contiguous subspaces). Use .reshape(...) instead."
            ) from None
        results = [make_view(base, array, call.plan, index, is_multiple) for index, array in enumerate(arrays)]
        if base.requires_grad:
            record(call.plan, sources, results)
        return _filled(call, results)

    return view


def make_view(base: Tensor, array: AnyArray, plan: Plan, index: int = 0, is_multiple: bool = False) -> Tensor:
    """A view of a tensor with this array, which the plan's output describes; not recorded yet."""

    return share(base, array, Step(plan, index), is_multiple)


@dataclass(frozen=True, slots=True)
class Step:
    """One step from the base to a view: an output of a plan that only renames elements."""

    plan: Plan
    index: int

    def __call__(self, tensor: Tensor) -> Tensor:
        """The view of another such tensor, recorded."""
        outputs = follow(self.plan.graph, tensor._array)
        results = [wrap_shared(each, tensor._storage) for each in outputs]
        record(self.plan, [tensor], results)
        return results[self.index]


def share(base: Tensor, array: AnyArray, replay: Replay, is_multiple: bool = False) -> Tensor:
    """A view of a tensor; `replay` makes it again from another such tensor, recorded."""
    storage = base._storage
    if storage.owner is None:
        storage.owner = base._array
    result = wrap_shared(array, storage)
    meta = result._meta = AutogradMeta()
    below = None if base._meta is None else base._meta.view
    if below is None:
        meta.view = ViewInfo(base, (replay,), storage.version, is_multiple)
    else:
        meta.view = ViewInfo(below.base, (*below.replay, replay), storage.version, is_multiple or below.is_multiple)
    if MODE.inference:
        meta.is_inference = True
    return result


def refresh(tensor: Tensor) -> None:
    """Bring the history of a view up to date with that of its base."""
    meta = tensor._meta
    if meta is None or meta.view is None:
        return
    view, version = meta.view, tensor._storage.version
    if view.version == version:
        return
    base = view.base
    if base.requires_grad:
        with enable_grad():
            current = base
            for step in view.replay:
                current = step(current)
        fresh = meta_of(current)
        meta.requires_grad, meta.node, meta.index = fresh.requires_grad, fresh.node, fresh.index
    view.version = version


def rebase(tensor: Tensor, written: Tensor) -> None:
    """Enter into the tape that `tensor` holds the values of `written` from now on.

    `written` was computed and its values have been copied. If the tensor is a view, its base has a new history too.
    """
    meta, source = meta_of(tensor), written._meta
    if meta.view is None:
        if source is not None and source.requires_grad:
            meta.requires_grad, meta.node, meta.index = True, source.node, source.index
            _adopt(source.node, source.index, tensor)
        elif MODE.grad:
            meta.requires_grad, meta.node, meta.index = False, None, 0
        return
    view = meta.view
    base = view.base
    if (source is not None and source.requires_grad) or base.requires_grad:
        plan = _scatter_plan(base, view.replay, written)
        fresh = wrap_shared(base._array, base._storage)
        node = record(plan, [base, written], [fresh], name="CopySlices")
        base_meta = meta_of(base)
        if node is not None:
            base_meta.requires_grad, base_meta.node, base_meta.index = True, node, 0
            view.version = -1  # the next look at it makes its history from that of the base
            refresh(tensor)


def _adopt(node: GradNode | None, index: int, tensor: Tensor) -> None:
    """Let what the node has saved of its result be the memory that the values were copied to."""
    if isinstance(node, PlanNode):
        for each in node.saved:
            if each.owner is not None and each.owner[1] == index:
                each.array, each.storage, each.version = tensor._array, tensor._storage, tensor._storage.version


MOST_PLANS = 1024
_scatter_plans: dict[tuple[object, ...], Plan] = {}


def _scatter_plan(base: Tensor, replay: Sequence[Replay], written: Tensor) -> Plan:
    """base with the values of a view replaced: what a write to the view makes of its base."""
    chain = _chain(base, replay)
    steps = tuple((plan.number, index) for plan, index in chain)
    key = (base._array.shape, base._array.dtype, written._array.shape, written._array.dtype, steps)
    found = _scatter_plans.get(key)
    if found is None:
        if len(_scatter_plans) >= MOST_PLANS:
            _scatter_plans.clear()
        found = _scatter_plans[key] = _make_scatter_plan(base, chain, written)
    return found


def _make_scatter_plan(base: Tensor, chain: Sequence[tuple[Plan, int]], written: Tensor) -> Plan:
    from graphc.passes.autodiff import vjp  # late: importing graphc must be quick, and it needs no gradients

    dtype = to_dtype(base._array.dtype)
    whole = make_input("base", TensorType(base._array.shape, dtype))
    value = make_input("value", TensorType(written._array.shape, to_dtype(written._array.dtype)))
    part: Node = whole
    for plan, index in chain:
        part = inline(plan.graph, [part])[index]
    (placed,) = vjp([part], [whole], [build.cast_to(value, dtype)])
    (ones,) = vjp([part], [whole], [build.ones_like(part)])
    assert placed is not None
    assert ones is not None
    is_written = ew.ne(ones, build.zeros_like(ones))
    return Plan(Graph("copy_slices", (whole, value), (ew.select(is_written, placed, whole),)), "CopySlices")


def _chain(base: Tensor, replay: Sequence[Replay]) -> list[tuple[Plan, int]]:
    """The plans of the steps of a view, and which output each takes."""
    if all(isinstance(step, Step) for step in replay):
        return [(step.plan, step.index) for step in replay if isinstance(step, Step)]
    found: list[tuple[Plan, int]] = []
    current = wrap_shared(base._array, base._storage)
    current._meta = AutogradMeta(True)
    with enable_grad():
        for step in replay:
            current = step(current)
            meta = current._meta
            assert meta is not None
            assert isinstance(meta.node, PlanNode)
            found.append((meta.node.backward.plan, meta.index))
    return found
