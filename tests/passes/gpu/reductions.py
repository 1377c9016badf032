"""What the tests of reductions on a GPU have in common."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np

import graphc as g
from graphc.frontend.stages import pipeline_of
from graphc.ir.dtype import f32
from graphc.kernel.gpu import GpuTarget
from graphc.kernel.ir import Kernel, Load, Loop, Reduce, Space, Statement, nested_bodies
from graphc.kernel.program import Program
from graphc.kernel.verify import verify_kernel
from graphc.passes.gpu.schedule import scheduled_by
from graphc.passes.lower import lower
from graphc.passes.memory import plan_memory
from tests.codegen.corpus import random_array
from tests.gpu.harness import check_same_bits, schedule_graph
from tests.structured_graphs import structured_arguments

Function: TypeAlias = "Callable[..., Any]"

OVER_AXIS: dict[str, Callable[[int], Function]] = {
    "sum": lambda axis: lambda x: x.sum(axis),
    "prod": lambda axis: lambda x: x.prod(axis),
    "max": lambda axis: lambda x: x.amax(axis),
    "min": lambda axis: lambda x: x.amin(axis),
    "argmax": lambda axis: lambda x: x.argmax(axis),
    "argmin": lambda axis: lambda x: x.argmin(axis),
    "any": lambda axis: lambda x: x.any(axis),
    "all": lambda axis: lambda x: x.all(axis),
}
"""A combiner's function, by the axis that it reduces."""

NUMBERS = ("f32", "f64", "bf16", "f16", "i64", "i8", "u8")
COMBINERS: tuple[tuple[str, str], ...] = (
    *((name, dtype) for name in ("sum", "max", "argmax") for dtype in NUMBERS),
    *((name, dtype) for name in ("prod", "min", "argmin") for dtype in ("f32", "bf16", "i64")),
    *((name, "bool") for name in ("any", "all", "max", "min")),
)
"""Each combiner, with dtypes of all widths and kinds."""


def check(function: Function, *specs: str, policy: str | None = None, **sizes: int) -> None:
    """The function's kernels give the bits of those for a CPU; all of them are made by this policy."""
    graph = g.symbolic_trace(function, *specs)
    if policy is not None:
        assert set(schedule_graph(graph).policies.values()) == {policy}
    arrays = structured_arguments(graph, seed=1, sizes=sizes)
    # Integers of 64 bits are indices where the programs have them.
    check_same_bits(graph, [abs(x) if x.dtype == np.int64 and len(arrays) > 1 else x for x in arrays])


def check_extremes(axis: int) -> None:
    """Ties, nans and zeros of both signs are what they are on a CPU; a sum of only -0 is 0."""
    random = np.random.default_rng(3)
    for shape in ((300, 40), (40, 300)):
        values = random_array(f32, 12000, random).reshape(shape)
        values[random.random(shape) < 0.3] = -0.0
        values[:, :2], values[:2] = -0.0, -0.0
        for combiner in ("max", "min", "argmax", "argmin", "sum"):
            check_same_bits(g.symbolic_trace(OVER_AXIS[combiner](axis), f"f32[{shape[0]},{shape[1]}]"), [values])


def program_of(function: Function, *specs: str, target: GpuTarget) -> Program:
    """The program for a GPU, whose kernels keep rows of any length."""
    lowered = lower(pipeline_of("strict", None, target).run(g.symbolic_trace(function, *specs)), target)
    calls = tuple(call for each in lowered.calls for _, call in scheduled_by(each, target))
    for call in calls:
        verify_kernel(call.kernel, is_scheduled=True)
    return plan_memory(replace(lowered, calls=calls), {})


def kernels_of(function: Function, *specs: str) -> tuple[Kernel, ...]:
    """The kernels for a GPU."""
    return tuple(schedule_graph(g.symbolic_trace(function, *specs)).policies)


def kernel_of(function: Function, *specs: str) -> Kernel:
    """The only kernel."""
    (kernel,) = kernels_of(function, *specs)
    return kernel


def global_loads(kernel: Kernel, buffer: str) -> int:
    """How many elements all threads load from a buffer."""
    total = 0
    pending: list[tuple[tuple[Statement, ...], int]] = [(kernel.body, 1)]
    while pending:
        body, times = pending.pop()
        for statement in body:
            if isinstance(statement, Load) and statement.buffer.space is Space.GLOBAL:
                total += times * (statement.buffer.name == buffer)
            if isinstance(statement, Loop | Reduce):
                assert isinstance(statement.extent, int)
                pending.append((statement.body, times * statement.extent))
            else:
                pending += ((nested, times) for nested in nested_bodies(statement))
    return total
