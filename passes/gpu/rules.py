"""Which ops have lowering rules of their own on a GPU.

In: a group with an anchor. Out: its kernels, most with a grid already, or None where those for any machine do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeAlias

from graphc.ir.graph import Node
from graphc.ir.op import Op
from graphc.kernel.gpu import GpuTarget

if TYPE_CHECKING:
    from graphc.passes.lower import GroupLowering, KernelCall

Rule: TypeAlias = "Callable[[GroupLowering, Node, GpuTarget], list[KernelCall] | None]"

RULES: Final[dict[Op, Rule]] = {}


def lower_for_gpu(group: GroupLowering, anchor: Node, target: GpuTarget) -> list[KernelCall] | None:
    """The kernels of a group by the rule of its anchor; None if there is none, or it has nothing better to offer."""
    rule = RULES.get(anchor.op)
    return None if rule is None else rule(group, anchor, target)
