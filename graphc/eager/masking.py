"""Writing where a mask holds, on a GPU: `x[mask] = value`, without a list of the places.

In: a tensor of a GPU, a mask over its leading dimensions, and a value. Out: the tensor, whose memory is written. Each
element is chosen from the tensor and the value by itself. A value for each true element is found by the running count
of the mask; only then the host has to know how many there are, since as many values must be given.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

from graphc.eager import choosing
from graphc.eager.geometry import overlaps_itself
from graphc.eager.inplace import check_overlap, check_writable, entered, type_of
from graphc.eager.mode import MODE
from graphc.eager.placement import copy_into, gpu_of
from graphc.eager.plan import Plan
from graphc.eager.program import Recipe
from graphc.eager.record import record
from graphc.eager.tensor import AnyArray, Tensor, wrap_shared
from graphc.ir.graph import Graph, Node, make_input
from graphc.ir.type import TensorType
from graphc.ops import build, indexing
from graphc.ops import elementwise as ew


def put_where(self: Tensor, mask: AnyArray, values: Tensor) -> bool:
    """Write the values where the mask holds; whether that was done.

    It is not where the value doesn't fit, which is for the general way to report, nor for what that alone can write:
    tensors that repeat elements.
    """
    target, source = self._array, values._array
    rank = mask.ndim
    if mask.shape != target.shape[:rank] or source.dtype != target.dtype or overlaps_itself(target):
        return False
    if not rank or not mask.size or gpu_of(mask) != gpu_of(target) or gpu_of(source) != gpu_of(target):
        return False
    rest = target.shape[rank:]
    has_one_each = source.ndim == len(rest) + 1 and source.shape[0] != 1
    if source.ndim > len(rest) + 1:
        return False
    if any(given not in (1, size) for given, size in zip(reversed(source.shape), reversed(rest))):
        return False
    counts: tuple[AnyArray, ...] = ()
    if has_one_each:
        counts = (choosing.running_count(mask),)
        if not source.shape[0] or choosing.end_of(counts[0]) != source.shape[0]:
            return False
    needs = self.requires_grad or values.requires_grad
    check_writable(self, needs, overlapping=True)
    if values._storage is self._storage:
        check_overlap(target, source, is_elementwise=False)
    arrays = [target, source, mask, *counts]
    plan = _plan(*(type_of(each) for each in arrays))
    (written,) = plan.run(arrays)
    copy_into(target, written)
    result = wrap_shared(target, self._storage)
    if MODE.grad and needs:
        record(plan, [self, values, mask, *counts], [result], shown=2)
    entered(self, result)
    return True


@functools.lru_cache(maxsize=512)
def _plan(*types: TensorType) -> Plan:
    def build_graph(types: Sequence[TensorType]) -> Graph:
        names = ("x", "values", "mask", "counts")
        x, values, mask, *counts = given = [make_input(name, type) for name, type in zip(names, types)]
        return Graph("put_where", tuple(given), (_written(x, values, mask, *counts),))

    # Places come from the mask itself, so each has a value.
    recipe = Recipe(("put_where", *(each.dtype for each in types)), types, build_graph)
    return Plan(build_graph(types), "IndexPutBackward0", recipe, is_sure=True)


def _written(x: Node, values: Node, mask: Node, counts: Node | None = None) -> Node:
    rank = len(mask.shape)
    if counts is not None:
        place = build.reshape_to(ew.sub(counts, build.ones_like(counts)), mask.shape)
        place = ew.select(mask, place, build.zeros_like(place))
        rest = x.shape[rank:]
        values = indexing.gather(build.broadcast_to(values, (values.shape[0], *rest)), place, axis=0)
    elif len(values.shape) > len(x.shape) - rank:
        values = build.reshape_to(values, values.shape[1:])
    is_chosen = build.repeat_along(mask, tuple(range(rank, len(x.shape))), x.shape)
    return ew.select(is_chosen, build.broadcast_to(values, x.shape), x)
