"""Contractions on Hopper's tensor cores, 4 warps at once: right for every tile and layout, and lean."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import graphc as g
from graphc.ir.dtype import DType, bf16, f16, f32
from graphc.kernel.gpu import GpuTarget, grid_of
from graphc.kernel.interpret import KernelFault, run_program
from graphc.kernel.ir import CopyAsync, FenceShared, Kernel, MultiplyMatrices, MultiplyShared, statements_in
from graphc.kernel.parse import parse_kernel
from graphc.kernel.text import print_kernel
from graphc.passes.gpu.contraction_fragment import MatrixTile
from graphc.passes.gpu.contraction_matrices import (
    COMPUTED_GROUP_TILES,
    COPIED_GROUP_TILES,
    arithmetic_of,
    write_matrices,
)
from tests.codegen.contraction import K, M, N, random
from tests.codegen.gpu.assembler import compiled
from tests.codegen.gpu.threads import run_threads
from tests.gpu.harness import cpu_program, gpu_program
from tests.passes.gpu.contractions import calls_of, check_lean, problem_of, product, run_kernels, run_product
from tests.passes.gpu.test_contraction_matrices import FUNCTIONS, check_close, has

Array = npt.NDArray[Any]

TARGET = GpuTarget(90)
WITHOUT = GpuTarget(90, allow_warpgroups=False)
SMALLEST = COPIED_GROUP_TILES[-1]


def groups(tile: MatrixTile, kernel: Kernel) -> Kernel:
    """The kernel with this tile."""
    problem = problem_of(kernel)
    arithmetic = arithmetic_of(problem.contract, TARGET)
    assert arithmetic is not None
    return write_matrices(problem, arithmetic, tile, None, TARGET)


def factors(shape: tuple[int, int, int], dtype: DType) -> tuple[Array, Array]:
    generator = np.random.default_rng(0)
    return random(generator, (shape[0], shape[2]), dtype), random(generator, (shape[2], shape[1]), dtype)


CASES = [
    *((tile, bf16, transposed) for tile in (*COPIED_GROUP_TILES, *COMPUTED_GROUP_TILES) for transposed in ("", "ab")),
    *((tile, f16, transposed) for tile in COPIED_GROUP_TILES[-2:] for transposed in ("a", "b")),
]


@pytest.mark.parametrize(("tile", "dtype", "transposed"), CASES, ids=range(len(CASES)))
def test_every_tile_is_right(tile: MatrixTile, dtype: DType, transposed: str) -> None:
    for shape in ((tile.rows - 16, tile.columns - 8, 136), (tile.rows - 5, tile.columns + 1, 139)):
        a, b = factors(shape, dtype)
        kernel = groups(tile, product(*shape, dtype, transposed))
        assert has(kernel, MultiplyShared)
        assert has(kernel, CopyAsync) is (shape[0] % 8 == 0)
        check_close(run_kernels([kernel], a, b, transposed), a, b, dtype)


@pytest.mark.parametrize(("depth", "at_once"), [(1024, 128), (256, 128), (192, 64), (40, 64)])
def test_small_tiles_that_are_alone_are_deep(depth: int, at_once: int) -> None:
    (call,) = calls_of(product(500, 512, depth, bf16), TARGET)
    assert [s.depth for s in statements_in(call.kernel.body) if isinstance(s, MultiplyShared)] == [at_once]
    tile = replace(SMALLEST, depth_bytes=2 * at_once)
    a, b = factors((60, 72, depth), bf16)
    check_close(run_kernels([groups(tile, product(60, 72, depth, bf16))], a, b), a, b, bf16)


@pytest.mark.parametrize("depth", [64, 36, 34, 33])
def test_narrower_runs_are_copied_as_wide_as_they_are(depth: int) -> None:
    kernel = groups(SMALLEST, product(64, 64, depth, bf16, "b"))
    counts = {s.count for s in statements_in(kernel.body) if isinstance(s, CopyAsync)}
    assert counts == {64: {8}, 36: {4}, 34: {2}, 33: set()}[depth]
    a, b = factors((64, 64, depth), bf16)
    check_close(run_kernels([kernel], a, b, "b"), a, b, bf16)


@pytest.mark.parametrize("sizes", [(0, 5, 3), (5, 3, 0), (1, 1, 1), (70, 65, 100)])
def test_sizes_known_late_may_be_anything(sizes: tuple[int, int, int]) -> None:
    a, b = factors(sizes, bf16)
    calls = calls_of(product(M, N, K, bf16), TARGET)
    assert has(calls[0].kernel, MultiplyShared)
    check_close(run_product(calls, a, b, **dict(zip("MNK", sizes))), a, b, bf16)


def test_few_long_sums_are_computed_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = calls_of(product(512, 512, 65536, bf16), TARGET)
    assert [has(call.kernel, MultiplyShared) for call in calls] == [True, False]
    # The same for sums that are short enough to compute here.
    monkeypatch.setattr("graphc.passes.gpu.contraction.MATRIX_CHUNK", 128)
    monkeypatch.setattr("graphc.passes.gpu.contraction_cost.LAUNCH", 0)
    a, b = factors((40, 256, 1100), bf16)
    calls = calls_of(product(40, 256, 1100, bf16), TARGET)
    assert [has(call.kernel, MultiplyShared) for call in calls] == [True, False]
    check_close(run_product(calls, a, b), a, b, bf16)


@pytest.mark.parametrize(
    ("target", "shape", "expected"),
    [
        (TARGET, (4096, 4096, 4096), (128, 256)),
        (TARGET, (2048, 2048, 2048), (128, 256)),
        (TARGET, (1024, 1024, 1024), (64, 128)),
        (TARGET, (256, 256, 1024), None),
        (TARGET, (2048, 64, 512), None),
        (TARGET, (16384, 64, 512), (128, 64)),
        (TARGET, (8192, 768, 768), (128, 128)),
        (TARGET, (40, 4096, 64), (64, 64)),
        (WITHOUT, (4096, 4096, 4096), None),
        (GpuTarget(80), (4096, 4096, 4096), None),
        (GpuTarget(100), (4096, 4096, 4096), None),
        (GpuTarget(120), (4096, 4096, 4096), None),
    ],
)
def test_they_are_used_where_they_are_and_pay(
    target: GpuTarget, shape: tuple[int, int, int], expected: tuple[int, int] | None
) -> None:
    (call,) = calls_of(product(*shape, bf16), target)
    found = [s for s in statements_in(call.kernel.body) if isinstance(s, MultiplyShared)]
    assert has(call.kernel, MultiplyMatrices) is (expected is None)
    grid = grid_of(call.kernel)
    assert grid is not None
    if expected is not None:
        assert [s.columns for s in found] == [expected[1]]
        assert grid.threads == 2 * expected[0]
        assert grid.blocks == -(-shape[0] // expected[0]) * -(-shape[1] // expected[1])
    else:
        assert found == []


@pytest.mark.parametrize("name", FUNCTIONS)
def test_graphs_are_close_to_the_cpu(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Small graphs take a tile of large ones.
    monkeypatch.setattr("graphc.passes.gpu.contraction_matrices.cost_of", lambda problem, tile, _: -tile.rows)
    function, types = FUNCTIONS[name]
    graph = g.symbolic_trace(function, *[each.format("bf16") for each in types])
    program = gpu_program(graph, TARGET)
    assert any(has(kernel, MultiplyShared) for kernel in program.kernels)
    generator = np.random.default_rng(0)
    arrays = [generator.normal(size=node.shape).astype(node.tensor.dtype.numpy) for node in graph.inputs]
    for found, expected in zip(run_program(program, arrays), run_program(cpu_program(graph), arrays), strict=True):
        np.testing.assert_allclose(found.astype(np.float64), expected.astype(np.float64), rtol=0.02, atol=0.05)


SMALL = {
    "copied": (groups(SMALLEST, product(64, 72, 904, bf16)), (64, 72, 904), bf16),
    "through registers": (groups(SMALLEST, product(64, 65, 203, f16)), (64, 65, 203), f16),
}


@pytest.mark.parametrize("name", SMALL)
def test_every_barrier_fence_and_wait_is_needed(name: str) -> None:
    kernel, shape, dtype = SMALL[name]
    text = print_kernel(kernel)
    a, b = factors(shape, dtype)
    run_kernels([parse_kernel(text)], a, b)
    found = list(re.finditer(r"\n *(barrier|fence_shared|wait_copies \d|commit_copies|wait_products.*)(?=\n)", text))
    assert {match[1].split()[0] for match in found} >= {"barrier", "fence_shared", "wait_products"}
    for match in found:
        faulty = parse_kernel(text[: match.start()] + text[match.end() :])
        with pytest.raises(KernelFault):
            run_kernels([faulty], a, b)


def test_generated_code_does_what_the_kernel_says() -> None:
    shape = (20, 24, 200)
    for transposed in ("", "ab"):
        kernel = groups(SMALLEST, product(*shape, bf16, transposed))
        a, b = factors(shape, bf16)
        c = np.zeros(shape[:2], bf16.numpy)
        stored = [np.ascontiguousarray(x.T if name in transposed else x) for name, x in (("a", a), ("b", b))]
        arrays = {"a": stored[0].reshape(-1), "b": stored[1].reshape(-1), "c": c.reshape(-1)}
        assert run_threads(kernel, arrays, target=TARGET) == 0
        check_close(c, a, b, bf16)


SQUARE, ODD = (2048, 2048, 2048), (2001, 2003, 2005)
LARGE = {
    "wide": groups(COPIED_GROUP_TILES[0], product(*SQUARE, bf16)),
    "wide_turned": groups(COPIED_GROUP_TILES[0], product(*SQUARE, f16, "ab")),
    "ragged": groups(COPIED_GROUP_TILES[0], product(2008, 2008, 2008, bf16, "b")),
    "square": groups(COPIED_GROUP_TILES[1], product(*SQUARE, bf16)),
    "small": groups(SMALLEST, product(*SQUARE, bf16)),
    "computed": groups(COMPUTED_GROUP_TILES[0], product(*ODD, bf16)),
}
INSTRUCTIONS = {
    # 4 steps of 16 products along the depth; tiles are copied in front of the loop and in it.
    "wide": {r"wgmma\.mma_async": 4, r"cp\.async\.cg": 36, r"st\.global\.b32": 64, "m64n256k16": 4},
    "wide_turned": {r"wgmma\.mma_async": 4, r"cp\.async\.cg": 36, r"1, 1, 1, 1, 0;": 4},
    "ragged": {r"wgmma\.mma_async": 4, r"cp\.async\.cg": 36},
    "square": {r"wgmma\.mma_async": 4, r"cp\.async\.cg": 24, "m64n128k16": 4},
    "small": {r"wgmma\.mma_async": 4, r"cp\.async\.cg": 24, "m64n64k16": 4},
    "computed": {r"wgmma\.mma_async": 2, r"cp\.async": 0, r"st\.shared\.v4": 8},
}
"""How often instructions stand in the code of each kernel."""
RESIDENT = {"wide": 1, "wide_turned": 1, "ragged": 1, "square": 2, "small": 4, "computed": 2}
"""How many blocks a multiprocessor of 65536 registers and the target's shared memory has room for."""


def test_large_kernels_are_lean_and_their_products_never_wait_for_the_assembler() -> None:
    ptx, usages = compiled(LARGE, TARGET)
    assert ".target sm_90a" in ptx
    entries = {part[: part.index("(")]: part for part in ptx.split(".entry ")[1:]}
    for name, kernel in LARGE.items():
        grid = check_lean(name, kernel, entries[name], usages[name], INSTRUCTIONS[name], RESIDENT[name])
        assert TARGET.most_shared_bytes // grid.shared_bytes >= RESIDENT[name], name
        fences = sum(isinstance(s, FenceShared) for s in statements_in(kernel.body))
        assert fences == entries[name].count("fence.proxy.async.shared::cta;") == 1


def test_float32_stays_as_it_is() -> None:
    (call,) = calls_of(product(4096, 4096, 4096, f32), GpuTarget(90, allow_tf32=True))
    assert has(call.kernel, MultiplyMatrices)
    assert not has(call.kernel, MultiplyShared)
