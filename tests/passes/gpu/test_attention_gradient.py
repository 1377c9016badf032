"""Attention with its gradients on a GPU: no kernel keeps what there is for each query and key."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphc
from graphc.frontend.stages import gpu_kernels, make_program, pipeline_of
from graphc.ir.graph import Graph
from graphc.ir.interpret import evaluate_graph
from graphc.ir.verify import verify
from graphc.kernel.gpu import GpuTarget, grid_of, parse_target
from graphc.kernel.interpret import KernelFault, run_kernel, run_program
from graphc.kernel.ir import Kernel
from graphc.kernel.program import Program
from graphc.kernel.scalar import ArrayBuilder, ArrayScalar
from graphc.nn import functional as F
from graphc.passes.autodiff import differentiate
from graphc.passes.default import grouped_for_gpu
from graphc.passes.gpu.attention_exponential import exponential
from graphc.passes.partition import partition
from tests.codegen.gpu.assembler import compiled
from tests.codegen.gpu.threads import aligned, run_threads
from tests.gpu.harness import TARGET, assert_same_bits
from tests.passes.gpu.faults import without_each_barrier
from tests.passes.gpu.test_attention import Array, arrays, causal, grouped, has_matrices, shapes

Function = Callable[..., object]

BOUNDS = {"f32": 2e-6, "f16": 2e-3, "bf16": 1.2e-2}
"""Of the greatest element of each result. Products of 16-bit factors are exact in float32, and sums are float32; what
is rounded are weights and slopes, by 2**-11 or 2**-8 each, and the result: some three roundings add up."""
FORWARD, ROWS, BY_QUERY, BY_KEY = "attention", "sum_reshape", "attention_by_query", "attention_by_key"


def attend(*tensors: graphc.Tensor) -> object:
    return F.scaled_dot_product_attention(*tensors)


def dropped(q: graphc.Tensor, k: graphc.Tensor, v: graphc.Tensor) -> object:
    return F.dropout(F.softmax(q @ k.mT * 0.25, -1), 0.25, key=7) @ v


def by_sums(q: graphc.Tensor, k: graphc.Tensor, v: graphc.Tensor) -> object:
    weights = F.softmax(graphc.einsum("bthd,bshd->bhts", q, k) * 0.2, -1)
    return graphc.einsum("bhts,bshd->bthd", weights, v)


def written_out(q: graphc.Tensor, k: graphc.Tensor, v: graphc.Tensor, bias: graphc.Tensor) -> object:
    return F.softmax(q @ k.mT * 0.3 + bias, -1) @ v


def capped(q: graphc.Tensor, k: graphc.Tensor, v: graphc.Tensor) -> object:
    return F.softmax(graphc.tanh(q @ k.mT * 0.1) * 3, -1) @ v


def of_powers(q: graphc.Tensor, k: graphc.Tensor, v: graphc.Tensor, shift: graphc.Tensor) -> object:
    return F.softmax(graphc.exp(q @ k.mT - shift), -1) @ v


def with_gradients(function: Function, specs: list[str]) -> Graph:
    """Results, and gradients by queries, keys and values."""
    return differentiate(graphc.symbolic_trace(function, *specs), [0, 1, 2])


def program_of(graph: Graph, target: GpuTarget = TARGET) -> Program:
    """The graph's program for a GPU; all groups on the way are valid."""
    fused = pipeline_of("strict", None, target).run(graph)
    verify(fused)
    return make_program(fused, target=target)


def names(program: Program) -> list[str]:
    return [launch.kernel.name for launch in program.launches]


def check_close(found: tuple[Array, ...], expected: tuple[Array, ...], bound: float) -> None:
    for each, wanted in zip(found, expected, strict=True):
        assert each.dtype == wanted.dtype
        a, b = each.astype(np.float64), wanted.astype(np.float64)
        assert np.array_equal(np.isnan(a), np.isnan(b))
        greatest = max(1.0, float(np.nanmax(np.abs(b), initial=0.0)))
        assert np.nanmax(np.abs(a - b), initial=0.0) <= bound * greatest, np.nanmax(np.abs(a - b)) / greatest


def check(
    function: Function, specs: list[str], given: list[Array] | None = None, target: GpuTarget = TARGET
) -> Program:
    """Forward, rows and two kernels of gradients, which give what the graph gives, but for rounding."""
    graph = with_gradients(function, specs)
    given = arrays([*specs, f"{specs[0].split('[')[0]}[{','.join(map(str, graph.outputs[0].shape))}]"])
    return check_on(graph, given, BOUNDS[specs[0].split("[")[0]], target)


def check_on(graph: Graph, given: list[Array], bound: float, target: GpuTarget = TARGET) -> Program:
    program = program_of(graph, target)
    assert names(program) == [FORWARD, ROWS, BY_QUERY, BY_KEY]
    check_close(run_program(program, given), evaluate_graph(graph, given), bound)
    return program


SIZES = [
    (attend, "", (20, 70, 48, 32)),
    (attend, "2,", (17, 33, 40, 24)),  # sizes that fill no tile, values narrower than keys
    (causal, "1,", (70, 70, 16, 16)),
    (causal, "", (20, 100, 16, 16)),  # more keys than queries: some blocks have nothing to go over
    (causal, "", (100, 20, 16, 16)),
]
LARGE = [
    (attend, "1,1,", (10, 40, 128, 128)),
    (attend, "2,", (64, 64, 32, 32)),  # sizes that fill all tiles
    (causal, "", (70, 70, 64, 64)),
]


@pytest.mark.parametrize(
    "dtype, function, lead, sizes", [*(("f32", *each) for each in SIZES), *(("bf16", *each) for each in SIZES + LARGE)]
)
def test_gradients_are_those_of_the_graph(
    dtype: str, function: Function, lead: str, sizes: tuple[int, int, int, int]
) -> None:
    program = check(function, shapes(dtype, lead, *sizes))
    assert all(has_matrices(kernel) is (dtype != "f32") for kernel in program.kernels if FORWARD in kernel.name)


def test_single_features() -> None:
    check(attend, shapes("f32", "", 10, 12, 1, 1))


def test_half_precision() -> None:
    check(causal, shapes("f16", "2,", 40, 40, 16, 16))


@pytest.mark.parametrize("dtype", ["f32", "bf16"])
def test_masks_and_biases_are_part_of_it(dtype: str) -> None:
    specs = shapes(dtype, "1,2,", 20, 40, 16, 16)
    check(attend, [*specs, "bool[20,40]"])
    check(attend, [*specs, f"{dtype}[1,1,1,40]"])
    check(written_out, [*specs, f"{dtype}[2,20,1]"])


@pytest.mark.parametrize("dtype", ["f32", "bf16"])
def test_scores_may_be_any_function_of_products(dtype: str) -> None:
    specs = shapes(dtype, "", 20, 40, 16, 16)
    check(capped, specs)


def test_scores_may_be_exponentials_less_something_by_query() -> None:
    specs = [*shapes("f32", "", 20, 40, 16, 16), "f32[20,1]"]
    given = arrays([*specs, "f32[20,16]"])
    given[0] *= np.float32(0.1)
    check_on(with_gradients(of_powers, specs), given, 4 * BOUNDS["f32"])


def test_the_short_exponential() -> None:
    x = np.concatenate([np.linspace(-87, 0.3, 100_000), -np.geomspace(1e-9, 80, 10_000)]).astype(np.float32)
    found, exact = exponential_of(x).astype(np.float64), np.exp(x.astype(np.float64))
    assert np.abs(found / exact - 1).max() < 2.0**-18
    special = exponential_of(np.array([0.0, -0.0, -np.inf, -90.0, -1e30, np.nan], np.float32))
    assert np.array_equal(special, np.array([1, 1, 0, 0, 0, np.nan], np.float32), equal_nan=True)


def exponential_of(x: Array) -> Array:
    builder: Any = ArrayBuilder()
    found: Any = exponential(builder, ArrayScalar.of(x))  # type: ignore[arg-type]  # many scalars at once
    return np.asarray(found.array)


@pytest.mark.parametrize("dtype", ["f32", "bf16"])
def test_random_bits_are_computed_again(dtype: str) -> None:
    check(dropped, shapes(dtype, "2,", 40, 40, 16, 16))


@pytest.mark.parametrize("dtype", ["f32", "bf16"])
def test_heads_may_stand_behind_the_length_and_share_keys(dtype: str) -> None:
    check(by_sums, [f"{dtype}[2,20,3,16]"] * 3)
    graph = with_gradients(grouped, [f"{dtype}[1,4,20,16]", f"{dtype}[1,2,20,16]", f"{dtype}[1,2,20,16]"])
    program, given = program_of(graph), arrays([f"{dtype}[1,{heads},20,16]" for heads in (4, 2, 2, 4)])
    assert names(program)[:4] == [FORWARD, ROWS, BY_QUERY, BY_KEY]
    check_close(run_program(program, given), evaluate_graph(graph, given), BOUNDS[dtype])


@pytest.mark.parametrize("dtype", ["f32", "bf16"])
def test_queries_without_keys(dtype: str) -> None:
    specs = [*shapes(dtype, "", 20, 70, 16, 16), "bool[20,70]"]
    given = arrays([*specs, f"{dtype}[20,16]"])
    given[3][3] = False
    graph = with_gradients(attend, specs)
    check_on(graph, given, BOUNDS[dtype])
    assert not run_program(program_of(graph), given)[1].astype(np.float32)[3].any()
    specs[3], given[3] = f"{dtype}[20,1]", np.zeros((20, 1), given[0].dtype)
    given[3][5] = -np.inf
    check_on(with_gradients(written_out, specs), given, BOUNDS[dtype])


def test_large_scores_lose_nothing() -> None:
    specs = [*shapes("f32", "", 20, 40, 16, 16), "f32[20,40]"]
    given = arrays([*specs, "f32[20,16]"])
    given[3] = np.where(given[3] > 0, np.float32(0), np.float32(-3e38))
    given[3][4] = -3e38  # no key counts, but none is left out either
    check_on(with_gradients(attend, specs), given, BOUNDS["f32"])


def test_older_gpus_multiply_without_tensor_cores() -> None:
    check(causal, shapes("bf16", "", 20, 20, 16, 16), target=parse_target("sm_75"))


def test_sizes_known_late() -> None:
    graph = with_gradients(causal, ["bf16[b,2,n,16]"] * 3)
    program = program_of(graph)
    for number in (1, 64, 65):
        given = arrays([f"bf16[2,2,{number},16]"] * 4)
        check_close(run_program(program, given), evaluate_graph(graph, given), BOUNDS["bf16"])


@pytest.mark.parametrize("dtype", ["f32", "bf16"])
@pytest.mark.parametrize("function", [attend, capped])
def test_gradients_alone_compute_the_forward_pass_again_and_have_the_same_bits(dtype: str, function: Function) -> None:
    specs = shapes(dtype, "2,", 20, 30, 16, 16)
    graph = with_gradients(function, specs)
    alone = Graph("backward", graph.inputs, graph.outputs[1:])
    given = arrays([*specs, f"{dtype}[2,20,16]"])
    assert names(program_of(alone)) == [FORWARD, ROWS, BY_QUERY, BY_KEY]
    assert_same_bits(run_program(program_of(alone), given), run_program(program_of(graph), given)[1:])


def layers(x: graphc.Tensor, w: graphc.Tensor) -> object:
    for _ in range(2):
        q, k, v = ((x @ w).reshape(2, 24, 3, 2, 8).permute(2, 0, 3, 1, 4)[i] for i in range(3))
        x = x + causal(q, k, v).transpose(1, 2).reshape(2, 24, 16)
    return x


def test_layers_follow_each_other() -> None:
    graph = differentiate(graphc.symbolic_trace(layers, "f32[2,24,16]", "f32[16,48]"))
    program, given = program_of(graph), arrays(["f32[2,24,16]", "f32[16,48]", "f32[2,24,16]"])
    given[1] *= np.float32(0.3)
    assert [names(program).count(name) for name in (FORWARD, BY_QUERY, BY_KEY)] == [2, 2, 2]
    check_close(run_program(program, given), evaluate_graph(graph, given), 4 * BOUNDS["f32"])


@pytest.mark.parametrize("dtype", ["f32", "bf16"])
def test_what_two_programs_share_is_two_numbers_for_each_query(dtype: str) -> None:
    specs = shapes(dtype, "2,", 40, 70, 16, 16)
    graph = with_gradients(causal, specs)
    assert partition(graph, 3, 1).saved_bytes > 2 * 40 * 70
    parts = partition(grouped_for_gpu(graph), 3, 1)
    assert parts.saved_bytes == 2 * 40 * 2 * 4
    forward, backward = (program_of(each) for each in (parts.forward, parts.backward))
    assert (names(forward), names(backward)) == ([FORWARD], [ROWS, BY_QUERY, BY_KEY])
    given = arrays([*specs, f"{dtype}[2,40,16]"])
    results = run_program(forward, given[:3])
    saved = [(given if each.source == "argument" else results)[each.index] for each in parts.saved]
    gradients = run_program(backward, [*saved, given[3]])
    check_close((results[0], *gradients), evaluate_graph(graph, given), BOUNDS[dtype])


def test_a_graph_without_attention_is_cut_as_ever() -> None:
    graph = with_gradients(weights_too, shapes("f32", "", 20, 30, 16, 16))
    assert grouped_for_gpu(graph) is graph


@pytest.mark.parametrize("dtype", ["f32", "bf16"])
def test_nothing_is_kept_for_each_query_and_key(dtype: str) -> None:
    graph = with_gradients(causal, [f"{dtype}[1,2,1024,64]"] * 3)
    program = program_of(graph)
    held = sum(node.tensor.size * node.tensor.dtype.itemsize for node in graph.inputs + graph.outputs)
    assert program.peak_bytes <= held + 3 * 2 * 1024 * 4 + 1024, "two statistics and a mean for each query"


def bias_too(q: graphc.Tensor, k: graphc.Tensor, v: graphc.Tensor, bias: graphc.Tensor) -> object:
    return F.scaled_dot_product_attention(q, k, v, bias)


def weights_too(q: graphc.Tensor, k: graphc.Tensor, v: graphc.Tensor) -> object:
    weights = F.softmax(q @ k.mT, -1)
    return weights @ v, weights


@pytest.mark.parametrize(
    "function, specs",
    [
        (bias_too, [*shapes("f32", "", 20, 30, 16, 16), "f32[20,30]"]),  # its gradient is one for each query and key
        (weights_too, shapes("f32", "", 20, 30, 16, 16)),
        (attend, shapes("f32", "", 4, 30, 16, 16)),
    ],
)
def test_what_is_read_by_others_is_kept(function: Function, specs: list[str]) -> None:
    graph = differentiate(graphc.symbolic_trace(function, *specs))
    program = program_of(graph)
    assert FORWARD not in names(program)
    given = arrays([f"f32[{','.join(map(str, node.shape))}]" for node in graph.inputs])
    check_close(run_program(program, given), evaluate_graph(graph, given), 1e-5)


@pytest.mark.parametrize("dtype, barriers", [("f32", 4 + 6), ("bf16", 5 + 2)])
def test_no_barrier_is_there_for_nothing(dtype: str, barriers: int) -> None:
    specs = shapes(dtype, "", 66, 66, 8, 8)
    graph = with_gradients(attend, specs)
    given = arrays([*specs, f"{dtype}[66,8]"])
    broken = list(without_each_barrier(program_of(graph)))
    assert len(broken) == barriers
    for each in broken:
        with pytest.raises(KernelFault):
            run_program(each, given)


@pytest.mark.parametrize("name", ["sm_75", "sm_80", "sm_86", "sm_90"])
@pytest.mark.parametrize("dtype", ["f32", "f16"])
def test_blocks_have_the_shared_memory_that_they_use(name: str, dtype: str) -> None:
    target = parse_target(name)
    for depth, width in ((64, 64), (128, 128), (128, 64)):
        program = program_of(with_gradients(attend, shapes(dtype, "8,", 1024, 1024, depth, width)), target)
        for kernel in program.kernels:
            grid = grid_of(kernel)
            assert grid is not None
            assert grid.shared_bytes <= target.most_shared_bytes


@pytest.mark.parametrize("name", ["sm_80", "sm_90", "sm_120"])
def test_registers_hold_all_that_a_thread_has(name: str) -> None:
    target = parse_target(name)
    kernels: dict[str, Kernel] = {}
    for dtype in ("f32", "bf16"):
        for size in (64, 128):
            program = program_of(with_gradients(causal, [f"{dtype}[4,8,1024,{size}]"] * 3), target)
            found = gpu_kernels(program).items()
            kernels |= {f"{key}_{dtype}_{size}": kernel for key, kernel in found if kernel.name in (BY_QUERY, BY_KEY)}
    assert len(kernels) == 8
    _, usages = compiled(kernels, target)
    for kernel, usage in usages.items():
        assert usage.spilled_bytes == usage.stack_bytes == 0, kernel


def test_generated_code_does_what_a_kernel_says() -> None:
    program = program_of(with_gradients(causal, shapes("bf16", "", 10, 12, 16, 16)))
    (kernel,) = (each for each in program.kernels if each.name == BY_KEY)
    generator = np.random.default_rng(0)
    given = [generator.standard_normal(int(str(each.size))).astype(each.dtype.numpy) for each in kernel.buffers]
    expected = [array.copy() for array in given]
    run_kernel(kernel, expected, {})
    found = {buffer.name: aligned(array) for buffer, array in zip(kernel.buffers, given, strict=True)}
    assert run_threads(kernel, found, target=TARGET) == 0
    assert_same_bits(list(found.values()), expected)
