"""Contractions on tensor cores: right up to the rounding of sums, for every tile, layout and way of loading."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import graphc as g
import graphc.nn.functional as nn
from graphc.ir.dtype import DType, bf16, f16, f32
from graphc.kernel.gpu import GpuTarget
from graphc.kernel.interpret import run_program
from graphc.kernel.ir import CopyAsync, Kernel, MultiplyMatrices, statements_in
from graphc.passes.gpu.contraction_fragment import MatrixTile
from graphc.passes.gpu.contraction_matrices import (
    COMPUTED_TILES,
    COPIED_TILES,
    arithmetic_of,
    write_matrices,
)
from tests.codegen.contraction import K, M, N, random
from tests.gpu.harness import assert_same_bits, cpu_program, gpu_program
from tests.passes.gpu.contractions import calls_of, problem_of, product, run_kernels, run_product

TARGET = GpuTarget(80, allow_tf32=True)
TILES = tuple(dict.fromkeys((*COPIED_TILES, *COMPUTED_TILES)))
Array = npt.NDArray[Any]


def has(kernel: Kernel, kind: type) -> bool:
    return any(isinstance(statement, kind) for statement in statements_in(kernel.body))


def matrices(tile: MatrixTile, kernel: Kernel) -> Kernel:
    """The kernel on tensor cores with this tile."""
    problem = problem_of(kernel)
    arithmetic = arithmetic_of(problem.contract, TARGET)
    assert arithmetic is not None
    return write_matrices(problem, arithmetic, tile, None, TARGET)


def check_close(found: Array, a: Array, b: Array, dtype: DType) -> None:
    """Within what rounding the factors, the sum and the result can change."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    tolerance = {bf16: 2**-8, f16: 2**-11, f32: 2**-10}[dtype] + 2**-20
    assert (np.abs(found.astype(np.float64) - a @ b) <= tolerance * (np.abs(a) @ np.abs(b))).all()


CASES = [(tile, bf16) for tile in TILES] + [(tile, dtype) for tile in TILES[-2:] for dtype in (f16, f32)]


@pytest.mark.parametrize(
    ("tile", "dtype"), CASES, ids=[f"{t.rows}x{t.columns}-{t.down}x{t.across}-{dtype.short}" for t, dtype in CASES]
)
@pytest.mark.parametrize(("is_even", "transposed"), [(True, ""), (True, "ab"), (False, "")])
def test_every_tile_is_right(tile: MatrixTile, dtype: DType, is_even: bool, transposed: str) -> None:
    shape = (tile.rows - 16, tile.columns - 8, 72) if is_even else (tile.rows - 5, tile.columns + 1, 39)
    generator = np.random.default_rng(0)
    a, b = random(generator, (shape[0], shape[2]), dtype), random(generator, (shape[2], shape[1]), dtype)
    kernel = matrices(tile, product(*shape, dtype, transposed))
    assert has(kernel, CopyAsync) is (is_even and dtype is not f32)
    check_close(run_kernels([kernel], a, b, transposed), a, b, dtype)


@pytest.mark.parametrize("sizes", [(0, 5, 3), (5, 3, 0), (1, 1, 1), (70, 65, 100)])
def test_sizes_known_late_may_be_anything(sizes: tuple[int, int, int]) -> None:
    generator = np.random.default_rng(0)
    a, b = random(generator, (sizes[0], sizes[2]), bf16), random(generator, (sizes[2], sizes[1]), bf16)
    calls = calls_of(product(M, N, K, bf16), TARGET)
    assert has(calls[0].kernel, MultiplyMatrices)
    check_close(run_product(calls, a, b, **dict(zip("MNK", sizes))), a, b, bf16)


@pytest.mark.parametrize("depth", [64, 36, 34, 33])
def test_narrower_runs_are_copied_as_wide_as_they_are(depth: int) -> None:
    kernel = matrices(COPIED_TILES[-1], product(32, 32, depth, bf16, "b"))
    counts = {s.count for s in statements_in(kernel.body) if isinstance(s, CopyAsync)}
    assert counts == {64: {8}, 36: {4}, 34: {2}, 33: set()}[depth]
    generator = np.random.default_rng(0)
    a, b = random(generator, (32, depth), bf16), random(generator, (depth, 32), bf16)
    check_close(run_kernels([kernel], a, b, "b"), a, b, bf16)


def test_few_long_sums_are_computed_in_chunks() -> None:
    generator = np.random.default_rng(0)
    a, b = random(generator, (20, 2100), bf16), random(generator, (2100, 30), bf16)
    calls = calls_of(product(20, 30, 2100, bf16), TARGET)
    assert len(calls) == 2
    check_close(run_product(calls, a, b), a, b, bf16)


def test_factors_are_rounded_to_the_nearest_tf32() -> None:
    bits = np.array(
        [0x3F800000, 0x3F800FFF, 0x3F801000, 0x3F801FFF, 0xBF801000, 0xBF800FFF, 0x7F7FFFFF, 0x7F800000, 0x7FFFFFFF]
        + [0x7F800001, 0x80000000, 0x3F803000, 0x00800001, 0xFF800000, 0x3FFFF000, 0x3FFFEFFF],
        np.uint32,
    )
    expected = np.array(
        [0x3F800000, 0x3F800000, 0x3F802000, 0x3F802000, 0xBF802000, 0xBF800000, 0x7F800000, 0x7F800000, 0x7FC00000]
        + [0x7FC00000, 0x00000000, 0x3F804000, 0x00800000, 0xFF800000, 0x40000000, 0x3FFFE000],
        np.uint32,
    )
    left, right = np.diag(bits.view(np.float32)), np.ones((16, 16), np.float32)
    found = run_kernels([matrices(COPIED_TILES[-1], product(16, 16, 16))], left, right)
    assert_same_bits([found], [np.repeat(expected.view(np.float32)[:, None], 16, axis=1)])


FUNCTIONS: dict[str, tuple[Callable[..., object], tuple[str, ...]]] = {
    "bias and relu": (lambda x, w, b: nn.relu(nn.linear(x, w, b)), ("{}[40,48]", "{}[72,48]", "{}[72]")),
    "batch": (lambda x, w: x @ w, ("{}[3,17,20]", "{}[3,20,34]")),
    "fused factors": (lambda x, w: (x * 2 + 1) @ w.abs(), ("{}[33,24]", "{}[24,40]")),
    "several results": (lambda x, w: ((x @ w).exp(), (x @ w) * 2), ("{}[17,24]", "{}[24,65]")),
    "convolution": (lambda x, w: nn.conv2d(x, w, padding=1), ("{}[2,5,9,9]", "{}[20,5,3,3]")),
    "gradients of a convolution": (
        g.grad(lambda x, w: (nn.conv2d(x, w, padding=1) * 0.1).sum(), argnums=(0, 1)),
        ("{}[3,16,8,8]", "{}[20,16,3,3]"),
    ),
}


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("dtype", ["bf16", "f32"])
def test_graphs_are_close_to_the_cpu(name: str, dtype: str) -> None:
    function, types = FUNCTIONS[name]
    graph = g.symbolic_trace(function, *[each.format(dtype) for each in types])
    program = gpu_program(graph, TARGET)
    assert any(has(kernel, MultiplyMatrices) for kernel in program.kernels)
    generator = np.random.default_rng(0)
    arrays = [generator.normal(size=node.shape).astype(node.tensor.dtype.numpy) for node in graph.inputs]
    for found, expected in zip(run_program(program, arrays), run_program(cpu_program(graph), arrays), strict=True):
        np.testing.assert_allclose(found.astype(np.float64), expected.astype(np.float64), rtol=0.02, atol=0.05)


@pytest.mark.parametrize("dtype", ["bf16", "f32"])
@pytest.mark.parametrize("groups", [1, 2])
def test_convolutions_of_many_channels_take_the_taps_outside(dtype: str, groups: int) -> None:
    graph = g.symbolic_trace(
        g.grad(lambda x, w: (nn.conv2d(x, w, padding=1, groups=groups) ** 2).sum(), argnums=(0, 1)),
        f"{dtype}[n,{32 * groups},9,7]",
        f"{dtype}[{16 * groups},32,3,3]",
    )
    generator = np.random.default_rng(0)
    x = generator.normal(size=(2, 32 * groups, 9, 7)) / 8
    arrays = [x, generator.normal(size=(16 * groups, 32, 3, 3)) / 8]
    arrays = [array.astype(node.tensor.dtype.numpy) for array, node in zip(arrays, graph.inputs)]
    program = gpu_program(graph, TARGET)
    filters = [buffer for kernel in program.kernels for buffer in kernel.writes if buffer.name == "filter"]
    # The gradient has 16 channels, a tile's depth in tf32; the filters of groups are not the same for all windows.
    assert len(filters) == (0 if groups > 1 else 2 if dtype == "f32" else 1)
    for found, expected in zip(run_program(program, arrays), run_program(cpu_program(graph), arrays), strict=True):
        np.testing.assert_allclose(found.astype(np.float64), expected.astype(np.float64), rtol=0.03, atol=0.1)


@pytest.mark.parametrize(
    ("target", "kernel", "expected"),
    [
        (GpuTarget(90), product(64, 64, 64, bf16), True),
        (GpuTarget(75), product(64, 64, 64, bf16), False),
        (GpuTarget(75), product(64, 64, 64, f16), True),
        (GpuTarget(90), product(64, 64, 64, f32), False),
        (GpuTarget(90, allow_tf32=True), product(64, 64, 64, f32), True),
        (GpuTarget(75, allow_tf32=True), product(64, 64, 64, f32), False),
        (GpuTarget(90), product(8, 64, 64, bf16), False),
        (GpuTarget(90), product(64, 1, 64, bf16), False),
        (GpuTarget(90), product(64, 64, 4, bf16), False),
    ],
)
def test_tensor_cores_are_used_where_they_are_allowed_and_pay(
    target: GpuTarget, kernel: Kernel, expected: bool
) -> None:
    (call,) = calls_of(kernel, target)
    assert has(call.kernel, MultiplyMatrices) is expected


def test_sums_that_are_asked_for_in_float32_are_not_rounded_by_tensor_cores() -> None:
    graph = g.symbolic_trace(lambda x, w: x.float() @ w.float(), "bf16[32,64]", "bf16[64,32]")
    assert not any(has(kernel, MultiplyMatrices) for kernel in gpu_program(graph, GpuTarget(90)).kernels)
