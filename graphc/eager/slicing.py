"""The history of a part of a tensor that starts anywhere: one plan for all starts.

In: a tensor, and a view of it by ranges along its dimensions. Out: the view's node. Where the ranges start is an input
of the plan, so that a loop over `x[i]` needs one; how long they are and their steps are part of it.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np

from graphc.eager.plan import Plan
from graphc.eager.record import record
from graphc.eager.tensor import Tensor
from graphc.ir.dtype import dtype as to_dtype
from graphc.ir.dtype import i64
from graphc.ir.graph import Graph, make_input
from graphc.ir.type import Shape, TensorType
from graphc.ops import build, indexing, movement


def record_slice(
    base: Tensor, view: Tensor, starts: Sequence[int], spans: Sequence[int], steps: Sequence[int], name: str
) -> None:
    """Enter into the tape that the view holds `spans` elements from `starts` on, every `steps`-th of them.

    The view's shape may have fewer or more dimensions of size 1.
    """
    array = base._array
    whole = TensorType(array.shape, to_dtype(array.dtype))
    plan = _plan(whole, tuple(spans), tuple(steps), view._array.shape)
    firsts = [np.array(start) for start, span, size in zip(starts, spans, array.shape) if span != size]
    record(plan, [base, *firsts], [view], name=name, shown=1)


@functools.lru_cache(maxsize=512)
def _plan(whole: TensorType, spans: Shape, steps: tuple[int, ...], shape: Shape) -> Plan:
    x = make_input("x", whole)
    inputs = [x]
    starts = []
    for axis, (span, size) in enumerate(zip(spans, whole.shape)):
        if span == size:
            starts.append(build.constant(0, i64))
        else:
            starts.append(make_input(f"start_{axis}", TensorType((), i64)))
            inputs.append(starts[-1])
    part = indexing.dynamic_slice(x, *starts, sizes=spans) if len(inputs) > 1 else x
    if any(step != 1 for step in steps):
        zeros = (0,) * len(spans)
        part = movement.slice_(part, start=zeros, stop=spans, step=steps)
    return Plan(Graph("slice", tuple(inputs), (build.reshape_to(part, shape),)), "SliceBackward0")
