"""Long rows on a GPU, kept in shared memory: the bits of the CPU, each element read once, and what a block may have."""

from __future__ import annotations

from math import prod

import numpy as np
import pytest

import graphc as g
from graphc.ir.dim import evaluate, symbols
from graphc.ir.graph import Graph
from graphc.kernel.fault import KernelFault
from graphc.kernel.gpu import GpuTarget, Grid, grid_of
from graphc.kernel.interpret import run_program
from graphc.kernel.ir import Kernel, Load, Loop, LoopKind, Reduce, Space, Statement, nested_bodies, statements_in
from graphc.kernel.program import Program
from tests.codegen.gpu.assembler import compiled
from tests.gpu.harness import Array, assert_same_bits, cpu_program
from tests.passes.gpu.faults import without_each_barrier
from tests.passes.gpu.reductions import Function, program_of
from tests.structured_graphs import structured_arguments

H100, A100, GEFORCE = GpuTarget(90), GpuTarget(80), GpuTarget(120)


def softmax(x: g.Tensor) -> g.Tensor:
    return x.softmax(1)


def layer_norm(x: g.Tensor) -> g.Tensor:
    return g.layer_norm(x, x.shape[1:])


PROGRAMS: dict[str, tuple[GpuTarget, Function, tuple[str, ...]]] = {
    "softmax": (H100, softmax, ("f32[4,16391]",)),
    "softmax of rows at multiples of 16 bytes": (H100, softmax, ("f32[4,16448]",)),
    "softmax of bf16": (H100, softmax, ("bf16[4,16391]",)),
    "log_softmax": (H100, lambda x: x.log_softmax(1), ("f32[4,16999]",)),
    "layer norm of bf16": (H100, layer_norm, ("bf16[4,20001]",)),
    "layer norm with weights": (
        A100,
        lambda x, w, b: g.layer_norm(x, 17001, w, b),
        ("f32[4,17001]", "f32[17001]", "f32[17001]"),
    ),
    "rms norm": (GEFORCE, lambda x, w: g.rms_norm(x, 17001, w), ("f32[4,17001]", "f32[17001]")),
    "gradient of softmax": (H100, g.grad(lambda x: x.softmax(1).square().sum()), ("f32[4,17001]",)),
    "cross entropy": (H100, g.grad(g.cross_entropy), ("f32[4,17001]", "i64[4]")),
    "rows too long": (GEFORCE, softmax, ("f32[4,33001]",)),
    "the only row": (H100, lambda x: (x - x.amax()).exp() / x.sum(), ("f32[20003]",)),
    "shorter rows that begin anywhere": (H100, softmax, ("f32[5,5001]",)),
    "much shorter ones": (H100, lambda x: x.log_softmax(1), ("bf16[9,517]",)),
}

SYMBOLIC: dict[str, tuple[Function, str]] = {
    "softmax": (softmax, "f32[n,m]"),
    "layer norm of bf16": (layer_norm, "bf16[n,m]"),
    "product": (lambda x: x.prod(1), "bf16[n,m]"),
    "argmax": (lambda x: x.argmax(1), "f32[n,m]"),
}


def arguments(graph: Graph, **sizes: int) -> list[Array]:
    """Integers of 64 bits are indices."""
    return [abs(x) if x.dtype == np.int64 else x for x in structured_arguments(graph, seed=1, sizes=sizes)]


def check(target: GpuTarget, function: Function, *specs: str, **sizes: int) -> None:
    graph = g.symbolic_trace(function, *specs)
    arrays = arguments(graph, **sizes)
    found = run_program(program_of(function, *specs, target=target), arrays)
    assert_same_bits(found, run_program(cpu_program(graph), arrays))


@pytest.mark.parametrize("name", PROGRAMS)
def test_rows_on_the_chip_keep_every_bit(name: str) -> None:
    target, function, specs = PROGRAMS[name]
    check(target, function, *specs)


@pytest.mark.parametrize("name", SYMBOLIC)
def test_rows_of_unknown_length_keep_every_bit(name: str) -> None:
    function, spec = SYMBOLIC[name]
    for n, m in ((5, 3), (3, 130), (2, 1025), (1, 9001), (0, 5), (3, 0)):
        check(H100, function, spec, n=n, m=m)
    check(GEFORCE, function, spec, n=1, m=33001)


@pytest.mark.parametrize("name", ["softmax", "cross entropy", "rows too long"])
def test_each_barrier_is_needed(name: str) -> None:
    target, function, specs = PROGRAMS[name]
    program = program_of(function, *specs, target=target)
    arrays = arguments(g.symbolic_trace(function, *specs))
    found = [_is_faulty(faulty, arrays) for faulty in without_each_barrier(program)]
    assert len(found) > 3
    assert all(found)


def _is_faulty(program: Program, arrays: list[Array]) -> bool:
    try:
        run_program(program, arrays)
    except KernelFault:
        return True
    return False


def grids_of(function: Function, *specs: str, target: GpuTarget) -> list[Grid]:
    grids = (grid_of(launch.kernel) for launch in program_of(function, *specs, target=target).launches)
    return [grid for grid in grids if grid is not None]


def test_each_run_takes_one_of_the_plans() -> None:
    grids = grids_of(softmax, "f32[n,m]", target=H100)

    def blocks(rows: int, length: int) -> list[int]:
        return [evaluate(grid.blocks, {"n": rows, "m": length}) for grid in grids]

    assert blocks(4096, 64) == [1024, 0, 0, 0]
    assert blocks(4096, 1024) == [1024, 0, 0, 0]
    assert blocks(4096, 1025) == [0, 4096, 0, 0]
    assert blocks(4096, 8193) == [0, 0, 4096, 0]
    assert blocks(4096, 50257) == [0, 0, 4096, 0]
    assert blocks(4096, 100000) == [0, 0, 0, 4096]
    assert blocks(4096, 0) == [1024, 0, 0, 0]


SHAPES: tuple[tuple[str, Function, str, int, int, int, int], ...] = (
    # what, the function, its argument, and then: kernels; how often they read an element; the widest access, elements;
    # threads of the kernel that reads most
    ("few very long rows", lambda x: x.sum(1), "f32[100,1000000]", 2, 1, 4, 1587200),
    ("some very long rows", lambda x: x.sum(1), "f32[300,1000000]", 2, 1, 4, 4761600),
    ("one very long row", lambda x: x.sum(1), "f32[1,50000000]", 2, 1, 4, 781312),
    ("very many very short rows", lambda x: x.sum(1), "f32[10000000,3]", 1, 1, 1, 2097152),
    ("very many short rows", lambda x: x.sum(1), "bf16[1000000,64]", 1, 1, 8, 8000000),
    ("many rows", lambda x: x.sum(1), "f32[4096,4096]", 1, 1, 4, 65536),
    ("rows of a vocabulary", lambda x: x.sum(1), "f32[2000,50257]", 1, 1, 4, 512000),
    ("softmax of a vocabulary", softmax, "f32[4096,50257]", 1, 1, 4, 4194304),
    ("softmax of few such rows", softmax, "f32[8,50257]", 1, 1, 4, 8192),
    ("softmax of a vocabulary, bf16", softmax, "bf16[4096,50257]", 1, 1, 8, 2097152),
    ("softmax of rows that no block can keep", softmax, "bf16[512,128256]", 1, 3, 8, 131072),
    ("softmax of attention", softmax, "f32[65536,1000]", 1, 1, 2, 2097152),
    ("layer norm of features", layer_norm, "f32[8192,4096]", 1, 1, 4, 2097152),
    ("layer norm of features, bf16", layer_norm, "bf16[16384,768]", 1, 1, 2, 524288),
)


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape[0])
def test_rows_of_all_shapes_have_enough_threads_that_read_no_more_than_they_need(
    shape: tuple[str, Function, str, int, int, int, int],
) -> None:
    _, function, spec, count, reads, widest, threads = shape
    graph = g.symbolic_trace(function, spec)
    kernels = [launch.kernel for launch in program_of(function, spec, target=H100).launches]
    elements = prod(graph.inputs[0].tensor.shape)
    assert len(kernels) == count
    # What the ends of rows read in vain is little.
    assert round(sum(loads_of(kernel) for kernel in kernels) / elements - 0.1) == reads
    assert max(max(_widths(kernel)) for kernel in kernels) == widest
    grid = grid_of(max(kernels, key=loads_of))
    assert grid is not None
    assert grid.blocks * grid.threads == threads


def _widths(kernel: Kernel) -> list[int]:
    loops = (s for s in statements_in(kernel.body) if isinstance(s, Loop) and s.kind is LoopKind.VECTOR)
    return [1, *(loop.extent for loop in loops if isinstance(loop.extent, int))]


def loads_of(kernel: Kernel) -> int:
    """How many elements all threads load from memory, where the lengths of loops are known or depend on others'."""
    total = 0
    pending: list[tuple[tuple[Statement, ...], int, dict[str, int]]] = [(kernel.body, 1, {})]
    while pending:
        body, times, values = pending.pop()
        for statement in body:
            total += times * (isinstance(statement, Load) and statement.buffer.space is Space.GLOBAL)
            if not isinstance(statement, Loop | Reduce):
                pending += ((nested, times, values) for nested in nested_bodies(statement))
                continue
            name, extent = statement.symbol.name, max(0, evaluate(statement.extent, values))
            inner = (s for s in statements_in(statement.body) if isinstance(s, Loop | Reduce))
            if any(name == symbol.name for each in inner for symbol in symbols(each.extent)) and extent < 100:
                pending += ((statement.body, times, {**values, name: value}) for value in range(extent))
            elif extent:
                pending.append((statement.body, times * extent, {**values, name: 0}))
    return total


VOCABULARY: dict[GpuTarget, list[tuple[Function, tuple[str, ...]]]] = {
    A100: [(softmax, ("bf16[64,50257]",)), PROGRAMS["layer norm with weights"][1:]],
    H100: [(layer_norm, ("f32[n,m]",)), (softmax, ("bf16[64,50257]",))],
    GEFORCE: [PROGRAMS["cross entropy"][1:], PROGRAMS["rms norm"][1:]],
}


@pytest.mark.parametrize("target", VOCABULARY, ids=str)
def test_no_block_has_more_shared_memory_than_there_is_and_nothing_is_spilled(target: GpuTarget) -> None:
    kernels = {
        f"kernel_{number}_{part}": launch.kernel
        for number, (function, specs) in enumerate(VOCABULARY[target])
        for part, launch in enumerate(program_of(function, *specs, target=target).launches)
    }
    for kernel in kernels.values():
        grid = grid_of(kernel)
        assert grid is not None
        assert grid.shared_bytes <= target.most_shared_bytes
    _, usages = compiled(kernels, target)
    assert {name: usage for name, usage in usages.items() if usage.spilled_bytes or usage.stack_bytes} == {}
