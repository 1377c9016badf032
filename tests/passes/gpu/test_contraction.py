"""Contractions on a GPU's common cores: the bits of the rule, whatever the sizes, dtypes and tiles are."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import graphc as g
import graphc.nn.functional as nn
from graphc.ir.dtype import DType, f32, f64, i8, i32, i64, u16
from graphc.kernel.gpu import GpuTarget, grid_of
from graphc.passes.gpu.contraction_plan import LONG_TILES, TILES, Tile
from graphc.passes.gpu.contraction_tiles import write_tiles
from tests.codegen.contraction import K, M, N, exact_product, random
from tests.gpu.harness import assert_same_bits, check_same_bits, schedule_graph
from tests.passes.gpu.contractions import calls_of, problem_of, product, run_kernels, run_product

TARGET = GpuTarget(80)
ALL_TILES = [(f32, tile) for tile in (*TILES.wide, *TILES.narrow, *TILES.flat)] + [
    (f64, tile) for tile in (*LONG_TILES.wide, *LONG_TILES.narrow, *LONG_TILES.flat)
]


def check(calls_for: DType, shape: tuple[int, int, int], transposed: str = "", target: GpuTarget = TARGET) -> int:
    """A product of known sizes has the bits of the rule; how many calls it takes."""
    rows, columns, depth = shape
    generator = np.random.default_rng(0)
    a, b = random(generator, (rows, depth), calls_for), random(generator, (depth, columns), calls_for)
    calls = calls_of(product(*shape, calls_for, transposed), target)
    assert_same_bits([run_product(calls, a, b, transposed)], [exact_product(a, b, calls_for.numpy)])
    return len(calls)


@pytest.mark.parametrize("transposed", ["", "ab"])
@pytest.mark.parametrize(
    "shape",
    [
        (1, 1, 1),
        (3, 17, 5),
        (17, 65, 129),
        (65, 300, 33),
        (1, 300, 130),
        (5, 70, 257),
        (7, 65, 64),
        (300, 3, 64),
        (129, 1, 257),
        (64, 64, 64),
        (130, 129, 20),
    ],
)
def test_products_have_the_bits_of_the_rule(shape: tuple[int, int, int], transposed: str) -> None:
    assert check(f32, shape, transposed) == 1


@pytest.mark.parametrize("dtype", [f64, i8, u16, i32, i64])
def test_every_dtype_has_the_bits_of_the_rule(dtype: DType) -> None:
    check(dtype, (40, 37, 21))
    check(dtype, (3, 70, 21), "b")


@pytest.mark.parametrize(
    ("dtype", "tile"), ALL_TILES, ids=[f"{dtype.short}-{t.rows}x{t.columns}" for dtype, t in ALL_TILES]
)
def test_every_tile_has_the_bits_of_the_rule(dtype: DType, tile: Tile) -> None:
    generator = np.random.default_rng(0)
    rows, columns, depth = tile.rows + 3, tile.columns + 1, 2 * tile.steps + 5
    a, b = random(generator, (rows, depth), dtype), random(generator, (depth, columns), dtype)
    kernel = write_tiles(problem_of(product(M, N, K, dtype)), tile, None)
    found = run_kernels([kernel], a, b, M=rows, N=columns, K=depth)
    assert_same_bits([found], [exact_product(a, b, dtype.numpy)])


@pytest.mark.parametrize("sizes", [(0, 5, 3), (5, 0, 3), (5, 3, 0), (1, 1, 1), (33, 20, 300)])
def test_sizes_known_late_may_be_anything(sizes: tuple[int, int, int]) -> None:
    rows, columns, depth = sizes
    generator = np.random.default_rng(0)
    a, b = random(generator, (rows, depth), f32), random(generator, (depth, columns), f32)
    found = run_product(calls_of(product(M, N, K), TARGET), a, b, M=rows, N=columns, K=depth)
    assert_same_bits([found], [exact_product(a, b, np.float32)])


@pytest.mark.parametrize(("depth", "calls"), [(511, 1), (512, 2), (600, 2)])
def test_few_long_sums_are_computed_in_chunks(depth: int, calls: int) -> None:
    assert check(f32, (10, 9, depth), "a") == calls
    assert check(f32, (2, 9, depth), "b") == calls


@pytest.mark.parametrize("depth", [0, 1, 256, 700])
def test_chunks_of_a_depth_known_late(depth: int) -> None:
    generator = np.random.default_rng(0)
    a, b = random(generator, (20, depth), f32), random(generator, (depth, 17), f32)
    calls = calls_of(product(20, 17, K, f32, "a"), TARGET)
    assert len(calls) == 2
    found = run_product(calls, a, b, "a", K=depth)
    assert_same_bits([found], [exact_product(a, b, np.float32)])


def test_many_sums_are_not_computed_in_chunks() -> None:
    assert len(calls_of(product(4096, 4096, 4096), TARGET)) == 1


@pytest.mark.parametrize("depth", [5, 300, 600])
def test_nothing_is_added_beyond_the_depth(depth: int) -> None:
    """Neither 0 * inf, which is nan, nor 0, which would make 0 of -0."""
    a, b = np.full((3, depth), -1e-30, np.float32), np.full((depth, 20), 1e-30, np.float32)
    b[:, 1:3] = np.inf
    a[2, -1] = np.nan
    found = run_product(calls_of(product(3, 20, depth), TARGET), a, b)
    assert np.signbit(found[0, 0])
    assert found[0, 0] == 0
    assert_same_bits([found], [exact_product(a, b, np.float32)])


@pytest.mark.parametrize("sizes", [(64, 64, 64), (65, 300, 33), (1, 4096, 64), (4096, 4096, 4096)])
def test_blocks_cover_the_result(sizes: tuple[int, int, int]) -> None:
    (call,) = calls_of(product(*sizes), TARGET)
    grid = grid_of(call.kernel)
    assert grid is not None
    assert isinstance(grid.blocks, int)
    assert 1 <= grid.blocks <= 2 * sizes[0] * sizes[1] / grid.threads + 1


@pytest.mark.parametrize(("rows", "columns"), [(290, 300), (256, 290), (16 * 17, 9 * 32)])
@pytest.mark.parametrize("is_known", [True, False])
def test_bands_of_tiles_cover_the_result(rows: int, columns: int, is_known: bool) -> None:
    generator = np.random.default_rng(0)
    a, b = random(generator, (rows, 3), f32), random(generator, (3, columns), f32)
    kernel = product(rows, columns, 3) if is_known else product(M, N, 3)
    found = run_kernels([write_tiles(problem_of(kernel), TILES.wide[-1], None)], a, b, M=rows, N=columns)
    assert_same_bits([found], [exact_product(a, b, np.float32)])


GRAPHS: dict[str, tuple[Callable[..., object], tuple[str, ...]]] = {
    "bias and relu": (lambda x, w, b: nn.relu(nn.linear(x, w, b)), ("f32[n,40]", "f32[70,40]", "f32[70]")),
    "residual": (lambda x, w, r: (r + x @ w).tanh(), ("f32[33,20]", "f32[20,40]", "f32[33,40]")),
    "several results": (lambda x, w: ((x @ w).exp(), (x @ w) * 2), ("f32[17,9]", "f32[9,65]")),
    "fused factors": (lambda x, w: (x * 2 + 1) @ w.abs(), ("f32[33,9]", "f32[9,40]")),
    "batch": (lambda x, w: x @ w, ("f32[3,17,20]", "f32[3,20,33]")),
    "batch known late": (lambda x, w: x @ w, ("f32[b,n,k]", "f32[b,k,m]")),
    "permuted": (lambda x, w: (x.permute(1, 0, 2) @ w).permute(2, 0, 1), ("f32[17,3,20]", "f32[3,20,33]")),
    "outer product": (lambda x, y: x[:, None] @ y[None, :], ("f32[33]", "f32[40]")),
    "complex": (lambda x, w: x @ w, ("c64[17,20]", "c64[20,33]")),
    "convolution": (
        lambda x, w, b: nn.relu(nn.conv2d(x, w, b, padding=1)),
        ("f32[n,5,9,9]", "f32[20,5,3,3]", "f32[20]"),
    ),
    "strides": (lambda x, w: nn.conv2d(x, w, stride=2, padding=2, dilation=2), ("f32[2,3,17,17]", "f32[8,3,3,3]")),
    "groups": (lambda x, w: nn.conv2d(x, w, groups=2), ("f32[2,4,8,8]", "f32[6,2,3,3]")),
    "gradients of a convolution": (
        g.grad(lambda x, w: (nn.conv2d(x, w, padding=1, stride=2) ** 2).sum(), argnums=(0, 1)),
        ("f32[3,6,12,12]", "f32[8,6,3,3]"),
    ),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_graphs_have_the_bits_of_the_cpu(name: str) -> None:
    function, types = GRAPHS[name]
    graph = g.symbolic_trace(function, *types)
    assert "contraction" in schedule_graph(graph).policies.values()
    sizes = {"n": 3, "b": 2, "k": 20, "m": 33}
    generator = np.random.default_rng(0)
    arrays = []
    for node in graph.inputs:
        shape = tuple(size if isinstance(size, int) else sizes[str(size)] for size in node.shape)
        array = generator.normal(size=shape) + (
            1j * generator.normal(size=shape) if node.tensor.dtype.is_complex else 0
        )
        arrays.append(array.astype(node.tensor.dtype.numpy))
    check_same_bits(graph, arrays)


def test_a_check_in_a_fused_factor_is_reported() -> None:
    graph = g.symbolic_trace(lambda table, i, w: table[i] @ w, "f32[5,20]", "i64[17]", "f32[20,33]")
    generator = np.random.default_rng(0)
    table, w = random(generator, (5, 20), f32), random(generator, (20, 33), f32)
    check_same_bits(graph, [table, np.arange(17) % 5, w])
    with pytest.raises(g.GraphcError, match="out of bounds"):
        check_same_bits(graph, [table, np.arange(17), w])
