"""Graphs as programs for a GPU, and what the kernel interpreter gives for them: for all tests of kernels for GPUs.

program = gpu_program(graph)
check_same_bits(graph, arrays)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from graphc.frontend.executable import make_program, optimize
from graphc.ir.graph import Graph
from graphc.kernel.gpu import GpuTarget
from graphc.kernel.interpret import run_program
from graphc.kernel.ir import Kernel
from graphc.kernel.program import Program
from graphc.kernel.verify import verify_kernel
from graphc.passes.gpu.join import plan_launches
from graphc.passes.gpu.schedule import scheduled_by
from graphc.passes.lower import KernelCall, lower
from graphc.passes.memory import NO_DONATIONS, plan_memory

Array = npt.NDArray[Any]

TARGET = GpuTarget(80)


@dataclass(frozen=True)
class Scheduled:
    """A graph's program for a GPU, and which policy made each of its kernels."""

    program: Program
    policies: dict[Kernel, str]


def schedule_graph(graph: Graph, target: GpuTarget = TARGET, donated: Mapping[int, int] = NO_DONATIONS) -> Scheduled:
    """The graph optimized, lowered and scheduled; all its kernels are valid."""
    lowered = lower(optimize(graph), target)
    calls: list[KernelCall] = []
    policies: dict[Kernel, str] = {}
    for call in lowered.calls:
        for policy, each in scheduled_by(call, target):
            calls.append(each)
            policies[each.kernel] = policy
    for kernel in policies:
        verify_kernel(kernel, is_scheduled=True)
    return Scheduled(plan_memory(replace(lowered, calls=tuple(calls)), donated), policies)


def gpu_program(graph: Graph, target: GpuTarget = TARGET, donated: Mapping[int, int] = NO_DONATIONS) -> Program:
    """The graph's program for a GPU as users get it: in few launches. All its kernels are valid."""
    program = plan_launches(lower(optimize(graph), target), target, donated)
    for kernel in program.kernels:
        verify_kernel(kernel, is_scheduled=True)
    return program


def cpu_program(graph: Graph) -> Program:
    """The graph's program for the CPU."""
    return make_program(optimize(graph))


def on_gpu(graph: Graph, arrays: Sequence[Array], target: GpuTarget = TARGET) -> tuple[Array, ...]:
    """What the program for a GPU gives, by the interpreter: blocks, threads, shared memory and all."""
    return run_program(gpu_program(graph, target), arrays)


def check_same_bits(graph: Graph, arrays: Sequence[Array], target: GpuTarget = TARGET) -> None:
    """A GPU gives the bits that the CPU gives."""
    found = on_gpu(graph, arrays, target)
    expected = run_program(cpu_program(graph), arrays)
    assert_same_bits(found, expected)


def assert_same_bits(found: Sequence[Array], expected: Sequence[Array]) -> None:
    """All arrays have the same dtypes, shapes and bits; any nan is like any other, as numpy gives them any bits."""
    for a, b in zip(found, expected, strict=True):
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        if a.tobytes() != b.tobytes():
            is_same = (a == b) | ((a != a) & (b != b))
            assert is_same.all(), f"{np.count_nonzero(~is_same)} of {a.size} elements differ:\n{a}\n{b}"
            for x, y in zip(_parts(a), _parts(b), strict=True):
                differs = (np.signbit(x) != np.signbit(y)) & (x == x)
                assert not differs.any(), f"{np.count_nonzero(differs)} of {a.size} zeros have another sign"


def _parts(array: Array) -> tuple[Array, ...]:
    return (array.real, array.imag) if array.dtype.kind == "c" else (array,)
