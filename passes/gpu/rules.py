"""Which ops have lowering rules of their own on a GPU.

In: a group with an anchor. Out: its kernels, most with a grid already, or None where those for any machine do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeAlias

from graphc.ir.graph import Node
from graphc.ir.op import Op
from graphc.kernel.gpu import GpuTarget
from graphc.ops import along, contraction, indexing, ordering, reduction, scan
from graphc.passes.gpu.attention import find_attention
from graphc.passes.gpu.attention_fma import write_with_fma
from graphc.passes.gpu.attention_gradient import find_gradient
from graphc.passes.gpu.attention_gradient_fma import write_gradient_with_fma
from graphc.passes.gpu.attention_gradient_matrices import find_gradient_factors, write_gradient_with_matrices
from graphc.passes.gpu.attention_matrices import find_factors, write_with_matrices
from graphc.passes.gpu.recurrence import lower_recurrence
from graphc.passes.gpu.scan import lower_scan
from graphc.passes.gpu.scatter import lower_scatter
from graphc.passes.gpu.sort import lower_argsort

if TYPE_CHECKING:
    from graphc.passes.lower import GroupLowering, KernelCall

Rule: TypeAlias = "Callable[[GroupLowering, Node, GpuTarget], list[KernelCall] | None]"


def _lower_attention(group: GroupLowering, anchor: Node, target: GpuTarget) -> list[KernelCall] | None:
    found, gradient = find_attention(group.body), find_gradient(group.body)
    if found is not None:
        factors = find_factors(found, target)
        if factors is None:
            write_with_fma(group, found, target)
        else:
            write_with_matrices(group, found, factors)
    elif gradient is not None:
        scaled = find_gradient_factors(group, gradient, target)
        if scaled is None:
            write_gradient_with_fma(group, gradient, target)
        else:
            write_gradient_with_matrices(group, gradient, scaled)
    else:
        return None
    return [group.finish()]


RULES: Final[dict[Op, Rule]] = {
    reduction.cumsum: lower_scan,
    scan.cumargmax: lower_scan,
    scan.cumargmin: lower_scan,
    scan.logcumsumexp: lower_scan,
    scan.recurrence: lower_recurrence,
    ordering.argsort: lower_argsort,
    indexing.scatter: lower_scatter,
    along.put_along: lower_scatter,
    contraction.dot: _lower_attention,
}


def lower_for_gpu(group: GroupLowering, anchor: Node, target: GpuTarget) -> list[KernelCall] | None:
    """The kernels of a group by the rule of its anchor; None if there is none, or it has nothing better to offer."""
    rule = RULES.get(anchor.op)
    return None if rule is None else rule(group, anchor, target)
