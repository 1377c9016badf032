"""The kernels of the rules for GPUs, as ptxas sees them."""

from __future__ import annotations

import pytest

from graphc.kernel.gpu import GpuTarget
from graphc.kernel.ir import Kernel
from tests.codegen.gpu.assembler import TARGETS, compiled
from tests.gpu.harness import gpu_program
from tests.passes.text import graph_of

GRAPHS = [
    ("f32[5,1000]", "%0 = cumsum(%a) {axis=1} : f32[5,1000]"),
    ("c64[100000]", "%0 = cumsum(%a) {axis=0, reverse=true} : c64[100000]"),
    ("f64[1000,40]", "%0 = logcumsumexp(%a) {axis=0} : f64[1000,40]"),
    ("f32[2,n]", "%0 = cumargmax(%a) {axis=1} : i64[2,n]"),
    ("f32[2,n]", "%0 = recurrence(%a, %a) {axis=1} : f32[2,n]"),
    ("i64[5,1000]", "%0 = argsort(%a) {axis=1} : i64[5,1000]"),
    ("u8[n]", "%0 = argsort(%a) {axis=0} : i64[n]"),
    ("f32[n], %i: i64[m], %u: f32[m]", '%0 = scatter(%a, %i, %u) {axis=0, mode="add"} : f32[n]'),
    ("f32[9,n], %i: i64[m,n], %u: f32[m,n]", '%0 = put_along(%a, %i, %u) {axis=0, mode="max"} : f32[9,n]'),
]


@pytest.mark.parametrize("target", TARGETS[1::2], ids=str)
def test_ptxas_takes_them_without_a_spill(target: GpuTarget) -> None:
    kernels: dict[str, Kernel] = {}
    for head, line in GRAPHS:
        program = gpu_program(graph_of(f"graph f(%a: {head}) {{\n  {line}\n  return %0\n}}\n"), target)
        # Further merges are as the first ones.
        kernels |= {f"kernel_{len(kernels) + i}": kernel for i, kernel in enumerate(program.kernels[:4])}
    _, usages = compiled(kernels, target)
    assert usages.keys() == kernels.keys()
    for name, usage in usages.items():
        assert usage.spilled_bytes == 0, kernels[name].name
