"""How a kernel's loops run on a GPU: a call to calls, the same values.

In: the call of a kernel of `lower`, whose independent loops are all PARALLEL. Out: calls of kernels with a grid (see
`graphc.kernel.gpu`), several where a part needs the results of all blocks of another one. What has parts that are
better done one after the other is cut into these first. Each policy takes the kernels that it knows how to run well,
and the last one everything.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from graphc.kernel.gpu import GpuTarget, grid_of
from graphc.kernel.ir import HostCall
from graphc.passes.gpu.columns import schedule_columns
from graphc.passes.gpu.contraction import schedule_contraction
from graphc.passes.gpu.elementwise import schedule_elementwise
from graphc.passes.gpu.fallback import schedule_fallback
from graphc.passes.gpu.parts import schedule_parts
from graphc.passes.gpu.rows import schedule_rows
from graphc.passes.gpu.stages import in_stages
from graphc.passes.gpu.transpose import schedule_transpose
from graphc.passes.gpu.uniform import split_uniform
from graphc.passes.lower import KernelCall

Policy: TypeAlias = "Callable[[KernelCall, GpuTarget], tuple[KernelCall, ...] | None]"

POLICIES: Final[tuple[tuple[str, Policy], ...]] = (
    ("contraction", schedule_contraction),  # products of matrices and convolutions: tiles in shared memory
    ("rows", schedule_rows),  # reductions along rows: a team of threads each
    ("columns", schedule_columns),  # reductions down columns: neighbouring columns share a block
    ("transpose", schedule_transpose),  # elements that are read along one axis and written along another
    ("elementwise", schedule_elementwise),  # nests over elements: what is left is mostly that
    ("parts", schedule_parts),  # several such nests
    ("fallback", schedule_fallback),  # each independent iteration a thread: takes everything
)


def schedule_gpu(call: KernelCall, target: GpuTarget) -> tuple[KernelCall, ...]:
    """The GPU's policy."""
    return tuple(each for _, each in scheduled_by(call, target))


def scheduled_by(call: KernelCall, target: GpuTarget) -> tuple[tuple[str, KernelCall], ...]:
    """The calls, each with the policy that made it."""
    return tuple(each for stage in stages_of(call, target) for each in _by_policy(stage, target))


def stages_of(call: KernelCall, target: GpuTarget) -> tuple[KernelCall, ...]:
    """What is done one after the other, as calls that are yet to be scheduled."""
    if is_scheduled(call):
        return (call,)
    stages = split_uniform(call) or in_stages(call, target)
    return (call,) if stages is None else tuple(each for stage in stages for each in stages_of(stage, target))


def is_scheduled(call: KernelCall) -> bool:
    """Whether there is nothing to decide: a rule for GPUs wrote its grid, or it is the host's."""
    return grid_of(call.kernel) is not None or any(isinstance(s, HostCall) for s in call.kernel.body)


def _by_policy(call: KernelCall, target: GpuTarget) -> tuple[tuple[str, KernelCall], ...]:
    if is_scheduled(call):
        return (("as it is", call),)
    for name, policy in POLICIES:
        calls = policy(call, target)
        if calls is not None:
            return tuple((name, each) for each in calls)
    raise AssertionError("the last policy takes everything")
