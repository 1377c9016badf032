"""Small kernels that don't depend on each other share a launch: fewer launches, the same bits, no more memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import graphc as g
from graphc.ir.graph import Graph
from graphc.kernel.gpu import GpuTarget, grid_of
from graphc.kernel.interpret import run_kernel, run_program
from graphc.kernel.ir import Choose, Kernel, statements_in
from graphc.kernel.program import ConstantData, Input, Output, Program
from graphc.passes.gpu.joint_kernel import PARAMETERS
from tests.codegen.gpu.assembler import TARGETS, compiled
from tests.codegen.gpu.threads import run_threads
from tests.gpu.harness import TARGET, assert_same_bits, cpu_program, gpu_program, schedule_graph
from tests.structured_graphs import structured_arguments


def adam(p: Any, grad: Any, m: Any, v: Any) -> tuple[Any, ...]:
    m = m + 0.1 * (grad - m)
    v = 0.999 * v + 0.001 * grad * grad
    return p - 0.01 * m / (v.sqrt() + 1e-8), m, v


def updates(*shapes: str) -> Graph:
    """A step of Adam for parameters of these shapes, whose gradients are given."""

    def step(*arrays: Any) -> tuple[Any, ...]:
        return tuple(x for i in range(0, len(arrays), 4) for x in adam(*arrays[i : i + 4]))

    return g.symbolic_trace(step, *[f"f32[{shape}]" for shape in shapes for _ in range(4)])


def in_place(graph: Graph) -> dict[int, int]:
    """Each parameter and state is written where it was."""
    return {i: i // 3 * 4 + (0, 2, 3)[i % 3] for i in range(len(graph.outputs))}


def choices(kernel: Kernel) -> list[int]:
    """How many rows the choices in a kernel have."""
    return [len(s.choices) for s in statements_in(kernel.body) if isinstance(s, Choose)]


def check(graph: Graph, launches: int, sizes: dict[str, int] | None = None) -> Program:
    """The program has so many launches, takes no more memory than without joint kernels, and gives the CPU's bits."""
    program = gpu_program(graph)
    assert len(program.launches) == launches, [launch.kernel.name for launch in program.launches]
    assert program.peak_bytes <= schedule_graph(graph).program.peak_bytes
    arrays = structured_arguments(graph, seed=0, sizes=sizes or {})
    assert_same_bits(run_program(program, arrays), run_program(cpu_program(graph), arrays))
    return program


def test_updates_of_parameters_of_all_sizes_are_one_kernel_of_one_code() -> None:
    program = check(updates("32,48", "48", "16,16", "7", "3,5", "2000"), 1)
    (kernel,) = program.kernels
    # One code for sizes that 16 divides, whose accesses are wide, and one for others.
    assert sorted(choices(kernel)) == [2, 4]
    grid = grid_of(kernel)
    assert grid is not None
    assert grid.blocks == 2 + 1 + 1 + 1 + 1 + 2  # 1024 elements each


def test_what_is_written_in_place_stays_so() -> None:
    graph = updates("32,48", "48", "7", "48")
    program = gpu_program(graph, donated=in_place(graph))
    assert dict(program.in_place) == in_place(graph)
    assert program.arena_bytes == 0
    (launch,) = program.launches
    arrays = [np.ascontiguousarray(x) for x in structured_arguments(graph, seed=0)]
    expected = run_program(cpu_program(graph), arrays)
    held = [m.value.value if isinstance(m, ConstantData) else arrays[m.position] for m in launch.memories]  # type: ignore[union-attr]  # all are inputs
    run_kernel(launch.kernel, held)
    assert_same_bits([arrays[place] for place in in_place(graph).values()], expected)


def test_an_operand_that_all_updates_read_is_one_parameter() -> None:
    def step(scale: Any, *arrays: Any) -> tuple[Any, ...]:
        return tuple(x * scale for x in arrays)

    graph = g.symbolic_trace(step, "f32[]", "f32[32]", "f32[64]", "f32[96]")
    (kernel,) = check(graph, 1).kernels
    assert choices(kernel) == [3]
    assert len(kernel.buffers) == 1 + 3 * 2 + 1


def test_a_chain_of_levels_is_a_launch_for_each() -> None:
    def step(*arrays: Any) -> tuple[Any, ...]:
        total = g.stack([x.square().sum() for x in arrays]).sum()
        return tuple(x / total for x in arrays)

    program = check(g.symbolic_trace(step, *["f32[40,8]"] * 5), 3)
    assert choices(program.launches[-1].kernel) == [5]


def test_different_kernels_run_side_by_side() -> None:
    def step(a: Any, b: Any, c: Any) -> tuple[Any, ...]:
        return a.sum(0), b.sum(0), c + 1, (a * 2).amax(0)

    graph = g.symbolic_trace(step, "f32[300,40]", "f32[300,24]", "f32[40,70]")
    assert len(set(schedule_graph(graph).policies.values())) > 1
    (kernel,) = check(graph, 1).kernels
    grid = grid_of(kernel)
    assert grid is not None
    assert grid.shared_bytes > 0


def test_parameters_are_as_many_as_every_driver_takes() -> None:
    program = gpu_program(updates(*["3"] * 75))
    assert len(program.launches) == 2
    assert all(len(kernel.buffers) <= PARAMETERS for kernel in program.kernels)


def test_what_a_product_needs_runs_before_it_and_others_wait() -> None:
    def step(a: Any, b: Any, p: Any, q: Any) -> tuple[Any, ...]:
        first = (a * 2) @ b
        p = p + 1
        return (first * 3) @ b, p, q + 1

    graph = g.symbolic_trace(step, "f32[64,64]", "f32[64,64]", "f32[32]", "f32[48]")
    names = [launch.kernel.name for launch in gpu_program(graph).launches]
    assert len(names) == len(schedule_graph(graph).program.launches) - 1
    assert names[-1] == "add_x2"


def test_memory_does_not_grow_for_fewer_launches() -> None:
    # All the products together would be 20 times what one takes; what reads a product must not wait for the others.
    def step(*arrays: Any) -> tuple[Any, ...]:
        return tuple((x @ x).sum(1).exp() for x in arrays)

    graph = g.symbolic_trace(step, *["f32[128,128]"] * 20)
    program, alone = gpu_program(graph), schedule_graph(graph).program
    assert isinstance(alone.peak_bytes, int)
    assert isinstance(program.peak_bytes, int)
    assert program.peak_bytes <= alone.peak_bytes + (64 << 10)
    assert len(program.launches) == len(alone.launches)


def test_what_reads_a_parameter_runs_before_it_is_overwritten() -> None:
    def step(p: Any, q: Any) -> tuple[Any, ...]:
        return p + 1, q + 1, (p * q).sum(1)

    graph = g.symbolic_trace(step, "f32[4,48]", "f32[4,48]")
    program = gpu_program(graph, donated={0: 0, 1: 1})
    assert dict(program.in_place) == {0: 0, 1: 1}
    assert len(program.launches) == 2


@pytest.mark.parametrize("target", TARGETS[1:], ids=str)
def test_ptxas_takes_joint_kernels_and_spills_nothing(target: GpuTarget) -> None:
    graph = updates("32,48", "48", "16,16", "7", "3,5", "2000")
    _, usages = compiled({kernel.name: kernel for kernel in gpu_program(graph, target).kernels}, target)
    for usage in usages.values():
        assert (usage.spilled_bytes, usage.stack_bytes) == (0, 0)
        assert usage.registers <= 64


def test_their_code_gives_the_bits_of_the_interpreter() -> None:
    graph = updates("32", "48", "7")
    (launch,) = gpu_program(graph).launches
    arrays = structured_arguments(graph, seed=0)
    results = run_program(cpu_program(graph), arrays)
    held = {
        buffer.name: memory.value.value.copy()
        if isinstance(memory, ConstantData)
        else arrays[memory.position]
        if isinstance(memory, Input)
        else np.zeros_like(results[memory.position])  # type: ignore[union-attr]  # no temporaries
        for buffer, memory in zip(launch.kernel.buffers, launch.memories)
    }
    assert run_threads(launch.kernel, held, target=TARGET) == 0
    outputs = {
        memory.position: held[buffer.name]
        for buffer, memory in zip(launch.kernel.buffers, launch.memories)
        if isinstance(memory, Output)
    }
    assert_same_bits([outputs[place] for place in range(len(results))], results)


def test_what_is_computed_from_sums_is_written_in_place() -> None:
    def step(bias: Any, moment: Any, grad: Any) -> tuple[Any, ...]:
        moment = 0.9 * moment + grad.sum(0)
        return bias - 0.1 * moment, moment

    for shape in ("300,40", "40,300", "6000,24"):
        graph = g.symbolic_trace(step, *[f"f32[{shape.split(',')[1]}]"] * 2, f"f32[{shape}]")
        assert dict(gpu_program(graph, donated={0: 0, 1: 1}).in_place) == {0: 0, 1: 1}, shape


def test_what_overwrites_an_input_waits_for_those_that_read_it() -> None:
    def step(count: Any, x: Any) -> tuple[Any, ...]:
        return count + 1, (x * (count + 1)) @ x

    graph = g.symbolic_trace(step, "f32[]", "f32[32,32]")
    assert dict(gpu_program(graph, donated={0: 0}).in_place) == {0: 0}


def test_parts_of_a_whole_are_written_at_once() -> None:
    graph = g.symbolic_trace(
        lambda *x: g.cat(x), *[f"f32[{48 + 16 * i}]" for i in range(12)], "f32[33008]", "f32[40000]"
    )
    program = check(graph, 1)
    assert sum(choices(program.kernels[0])) == 14
    both = g.symbolic_trace(lambda *x: g.cat(x).sum(), *["f32[3000]"] * 9, "f32[40001]", "f32[7]")
    check(both, len(schedule_graph(g.symbolic_trace(lambda x: x.sum(), "f32[67008]")).program.launches) + 1)
