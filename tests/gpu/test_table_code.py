"""The code of kernels of the op table and of the examples: ptxas takes it, and no memory stands in for registers."""

from __future__ import annotations

from functools import cache

import pytest

from graphc.kernel.gpu import grid_of, parse_target
from graphc.kernel.ir import Kernel
from graphc.kernel.text import kernel_key
from tests.codegen.gpu.assembler import compiled
from tests.gpu.harness import schedule_graph
from tests.gpu.table import OPS, example_graphs, op_cases
from tests.ops.cases import CASES

WITHOUT_SPILLS = ("elementwise", "transpose", "parts", "rows", "columns")


@cache
def kernels() -> dict[str, tuple[Kernel, str, str]]:
    """Kernels that differ, by name, with their policy and the case they are of; those of sm_80 run on later GPUs."""
    graphs = [(case.id, case.graph()) for op in OPS for case in op_cases(op, by_width=False)]
    found: dict[str, tuple[Kernel, str, str]] = {}
    for name, graph in (*graphs, *example_graphs()):
        for kernel, policy in schedule_graph(graph).policies.items():
            if grid_of(kernel) is not None:
                found.setdefault(kernel_key(kernel), (kernel, policy, name))
    return {f"k{i}": each for i, each in enumerate(found.values())}


@cache
def others() -> dict[str, Kernel]:
    """Kernels of the whole op table, all its dtypes and sizes, that aren't among those."""
    known = {kernel_key(kernel) for kernel, _, _ in kernels().values()}
    found: dict[str, Kernel] = {}
    for case in CASES:
        if case.label != "refused":
            for kernel in schedule_graph(case.graph()).policies:
                key = kernel_key(kernel)
                if key not in known and grid_of(kernel) is not None:
                    found.setdefault(key, kernel)
    return {f"k{i}": each for i, each in enumerate(found.values())}


@pytest.mark.parametrize("name", ["sm_80", "sm_90", "sm_120"])
def test_ptxas_takes_every_other_kernel_of_the_op_table(name: str) -> None:
    _, usages = compiled(others(), parse_target(name), level=0)
    assert usages.keys() == others().keys()
    assert len(usages) > 1000


@pytest.mark.parametrize("name", ["sm_80", "sm_90", "sm_120"])
def test_ptxas_takes_every_kernel_and_spills_no_register(name: str) -> None:
    _, usages = compiled({key: kernel for key, (kernel, _, _) in kernels().items()}, parse_target(name))
    assert usages.keys() == kernels().keys()
    spilled = {
        f"{case}, by {policy}": usages[key]
        for key, (_, policy, case) in kernels().items()
        if policy in WITHOUT_SPILLS and usages[key].spilled_bytes
    }
    assert spilled == {}
