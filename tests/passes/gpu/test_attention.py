"""Attention on a GPU: which graphs become one kernel, what it computes, and what it takes of the machine."""

from __future__ import annotations

from collections.abc import Callable

import ml_dtypes
import numpy as np
import numpy.typing as npt
import pytest

import graphc
from graphc.frontend.stages import gpu_kernels, make_program, pipeline_of
from graphc.ir.dtype import f32, i64
from graphc.ir.graph import Graph
from graphc.ir.interpret import evaluate_graph
from graphc.ir.verify import verify
from graphc.kernel.gpu import GpuTarget, parse_target
from graphc.kernel.interpret import KernelFault, run_program
from graphc.kernel.ir import Apply, Kernel, Loop, LoopKind, MultiplyMatrices, statements_in
from graphc.kernel.program import Program
from graphc.nn import functional as F
from tests.codegen.gpu.assembler import compiled
from tests.gpu.harness import TARGET
from tests.passes.gpu.faults import without_each_barrier

Array = npt.NDArray[np.generic]
Function = Callable[..., object]

DTYPES = {"f32": np.dtype(np.float32), "f64": np.dtype(np.float64), "f16": np.dtype(np.float16)}
DTYPES |= {"bf16": np.dtype(ml_dtypes.bfloat16), "bool": np.dtype(np.bool_)}
BOUNDS = {"f32": 1e-5, "f16": 4e-3, "bf16": 3e-2}


def causal(q: object, k: object, v: object) -> object:
    return F.scaled_dot_product_attention(q, k, v, is_causal=True)


def grouped(q: object, k: object, v: object) -> object:
    return F.scaled_dot_product_attention(q, k, v, enable_gqa=True)


def written_out(q: graphc.Tensor, k: graphc.Tensor, v: graphc.Tensor, bias: graphc.Tensor) -> object:
    return F.softmax(q @ k.mT * 0.3 + bias, -1) @ v * 2 + 1


def shapes(dtype: str, lead: str, queries: int, keys: int, depth: int, width: int) -> list[str]:
    """The specs of queries, keys and values."""
    return [f"{dtype}[{lead}{rows},{size}]" for rows, size in ((queries, depth), (keys, depth), (keys, width))]


def arrays(specs: list[str]) -> list[Array]:
    rng = np.random.default_rng(0)
    found: list[Array] = []
    for spec in specs:
        name, dims = spec.removesuffix("]").split("[")
        x = rng.standard_normal([int(size) for size in dims.split(",")])
        found.append(x > 0 if name == "bool" else x.astype(DTYPES[name]))
    return found


def program_of(graph: Graph, target: GpuTarget = TARGET) -> Program:
    """The graph's program for a GPU."""
    return make_program(fused_graph(graph, target), target=target)


def fused_graph(graph: Graph, target: GpuTarget = TARGET) -> Graph:
    """The graph after the passes for a GPU."""
    return pipeline_of("strict", None, target).run(graph)


def has_matrices(kernel: Kernel) -> bool:
    """Whether it computes with tensor cores."""
    return any(isinstance(each, MultiplyMatrices) for each in statements_in(kernel.body))


def check_close(function: Function, specs: list[str], given: list[Array], target: GpuTarget = TARGET) -> Array:
    """One kernel, which gives what the graph gives, but for rounding; the result."""
    graph = graphc.symbolic_trace(function, *specs)
    program = program_of(graph, target)
    assert len(program.launches) == 1
    (found,) = run_program(program, given)
    (expected,) = evaluate_graph(graph, given)
    assert found.dtype == expected.dtype
    bound = BOUNDS[specs[0].split("[")[0]]
    a, b = found.astype(np.float64), expected.astype(np.float64)
    assert np.allclose(a, b, rtol=bound, atol=bound, equal_nan=True), np.nanmax(np.abs(a - b))
    return found


@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize(
    "function, lead, sizes",
    [
        (F.scaled_dot_product_attention, "2,", (70, 90, 64, 64)),
        (F.scaled_dot_product_attention, "", (33, 130, 40, 24)),  # sizes that fill no tile
        (F.scaled_dot_product_attention, "1,1,", (10, 70, 128, 128)),
        (causal, "1,2,", (100, 100, 32, 32)),
        (causal, "1,", (70, 140, 16, 16)),  # more keys than queries
        (F.scaled_dot_product_attention, "2,", (64, 128, 16, 16)),  # sizes that fill all tiles
    ],
)
def test_one_kernel_gives_what_four_give(
    dtype: str, function: Function, lead: str, sizes: tuple[int, int, int, int]
) -> None:
    specs = shapes(dtype, lead, *sizes)
    check_close(function, specs, arrays(specs))


@pytest.mark.parametrize("dtype", BOUNDS)
def test_masks_biases_and_what_follows_are_part_of_it(dtype: str) -> None:
    specs = shapes(dtype, "2,3,", 20, 70, 16, 16)
    check_close(F.scaled_dot_product_attention, [*specs, "bool[20,70]"], arrays([*specs, "bool[20,70]"]))
    check_close(F.scaled_dot_product_attention, [*specs, f"{dtype}[2,1,1,70]"], arrays([*specs, f"{dtype}[2,1,1,70]"]))
    check_close(written_out, [*specs, f"{dtype}[3,20,1]"], arrays([*specs, f"{dtype}[3,20,1]"]))


@pytest.mark.parametrize("dtype", ["f32", "bf16"])
def test_heads_may_stand_behind_the_length_and_share_keys(dtype: str) -> None:
    def behind(q: graphc.Tensor, k: graphc.Tensor, v: graphc.Tensor) -> object:
        return causal(*(each.transpose(1, 2) for each in (q, k, v)))

    specs = [f"{dtype}[2,70,3,16]"] * 3
    check_close(behind, specs, arrays(specs))
    specs = [f"{dtype}[1,4,20,16]", f"{dtype}[1,2,20,16]", f"{dtype}[1,2,20,16]"]
    check_close(grouped, specs, arrays(specs))


@pytest.mark.parametrize("dtype", ["f32", "bf16"])
def test_queries_without_keys(dtype: str) -> None:
    specs = [*shapes(dtype, "", 20, 70, 16, 16), "bool[20,70]"]
    given = arrays(specs)
    given[3][3] = False
    assert not check_close(F.scaled_dot_product_attention, specs, given).astype(np.float32)[3].any()
    specs[3], given[3] = f"{dtype}[20,1]", np.zeros((20, 1), DTYPES[dtype])
    given[3][5] = -np.inf
    assert np.isnan(check_close(written_out, specs, given).astype(np.float32)[5]).all()


def lower_triangle(q: graphc.Tensor, k: graphc.Tensor, v: graphc.Tensor) -> object:
    mask = graphc.tril(graphc.ones(100, 100)).view(1, 100, 100)
    return F.softmax((q @ k.mT).masked_fill(mask == 0, -float("inf")), -1) @ v


def first_keys(q: graphc.Tensor, k: graphc.Tensor, v: graphc.Tensor) -> object:
    return F.softmax((q @ k.mT).masked_fill(graphc.arange(100) > 60, -float("inf")), -1) @ v


def extents(program: Program) -> str:
    """How many tiles of keys the kernel goes over."""
    (found,) = (
        each.extent
        for each in statements_in(program.kernels[0].body)
        if isinstance(each, Loop) and any(isinstance(inner, MultiplyMatrices) for inner in statements_in(each.body))
        if each.kind is LoopKind.SERIAL
    )
    return str(found)


@pytest.mark.parametrize("function, skips", [(causal, True), (lower_triangle, True), (first_keys, False)])
def test_tiles_of_keys_behind_all_queries_are_left_out(function: Function, skips: bool) -> None:
    specs = shapes("bf16", "1,", 100, 100, 16, 16)
    check_close(function, specs, arrays(specs))
    program = program_of(graphc.symbolic_trace(function, *specs))
    assert (extents(program) != "2") is skips


def test_sizes_known_late() -> None:
    graph = graphc.symbolic_trace(causal, *["bf16[b,2,n,16]"] * 3)
    program = program_of(graph)
    casts = [each for each in statements_in(program.kernels[0].body) if isinstance(each, Apply) and each.op == "cast"]
    assert not any(each.operands[0].dtype is i64 and each.out.dtype is f32 for each in casts)
    for number in (1, 64, 65):
        given = arrays([f"bf16[2,2,{number},16]"] * 3)
        found, expected = (
            each[0].astype(np.float32) for each in (run_program(program, given), evaluate_graph(graph, given))
        )
        assert np.allclose(found, expected, rtol=BOUNDS["bf16"], atol=BOUNDS["bf16"])


def test_tensor_cores_multiply_what_is_16_bits_wide() -> None:
    halves, floats = (shapes(dtype, "", 20, 20, 16, 16) for dtype in ("bf16", "f32"))
    graph = graphc.symbolic_trace(F.scaled_dot_product_attention, *halves)
    assert has_matrices(program_of(graph).kernels[0])
    old = parse_target("sm_75")
    assert not has_matrices(program_of(graph, old).kernels[0])
    check_close(F.scaled_dot_product_attention, halves, arrays(halves), old)
    assert not has_matrices(program_of(graphc.symbolic_trace(causal, *floats)).kernels[0])


def weights_too(q: graphc.Tensor, k: graphc.Tensor, v: graphc.Tensor) -> object:
    weights = F.softmax(q @ k.mT, -1)
    return weights @ v, weights


def other_axis(q: graphc.Tensor, k: graphc.Tensor, v: graphc.Tensor) -> object:
    return F.softmax(q @ k.mT, -2) @ v


def shifted(q: graphc.Tensor, k: graphc.Tensor, v: graphc.Tensor) -> object:
    return (F.softmax(q @ k.mT, -1) + 2) @ v


@pytest.mark.parametrize(
    "function, specs",
    [
        (weights_too, shapes("f32", "", 20, 20, 16, 16)),
        (other_axis, shapes("f32", "", 20, 20, 16, 16)),
        (shifted, shapes("f32", "", 20, 20, 16, 16)),
        (F.scaled_dot_product_attention, shapes("f64", "", 20, 20, 16, 16)),
        (F.scaled_dot_product_attention, shapes("f32", "", 20, 20, 160, 16)),
    ],
)
def test_what_is_no_attention_stays(function: Function, specs: list[str]) -> None:
    graph = graphc.symbolic_trace(function, *specs)
    program, given = program_of(graph), arrays(specs)
    assert "attention" not in [kernel.name for kernel in program.kernels]
    for found, expected in zip(run_program(program, given), evaluate_graph(graph, given)):
        assert np.allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_one_attention_may_read_another() -> None:
    def layers(x: graphc.Tensor) -> object:
        for _ in range(3):
            x = causal(x, x, x) + x
        return x

    graph = graphc.symbolic_trace(layers, "f32[20,16]")
    fused = fused_graph(graph)
    verify(fused)
    assert [node.op.name for node in fused.nodes] == ["input", *["fused"] * 3]
    (x,) = arrays(["f32[20,16]"])
    (found,), (expected,) = evaluate_graph(fused, [x]), evaluate_graph(graph, [x])
    assert np.allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("dtype, barriers", [("f32", 4), ("bf16", 5)])
def test_no_barrier_is_there_for_nothing(dtype: str, barriers: int) -> None:
    specs = shapes(dtype, "", 20, 80, 16, 16)
    broken = list(without_each_barrier(program_of(graphc.symbolic_trace(F.scaled_dot_product_attention, *specs))))
    assert len(broken) == barriers
    for each in broken:
        with pytest.raises(KernelFault):
            run_program(each, arrays(specs))


@pytest.mark.parametrize("name", ["sm_80", "sm_90", "sm_120"])
def test_registers_hold_all_that_a_thread_has(name: str) -> None:
    target = parse_target(name)
    kernels: dict[str, Kernel] = {}
    for dtype in ("f32", "bf16"):
        for size in (64, 128):
            graph = graphc.symbolic_trace(causal, *[f"{dtype}[b,8,n,{size}]"] * 3)
            kernels[f"attention_{dtype}_{size}"] = next(iter(gpu_kernels(program_of(graph, target)).values()))
    _, usages = compiled(kernels, target)
    for kernel, usage in usages.items():
        assert usage.spilled_bytes == usage.stack_bytes == 0, kernel
