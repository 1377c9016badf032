"""Reductions down columns on a GPU: the bits of the CPU, whole runs of memory, and enough blocks."""

from __future__ import annotations

import pytest

import graphc as g
from graphc.ir.dim import evaluate
from graphc.kernel.gpu import grid_of
from tests.codegen.gpu.assembler import compiled
from tests.gpu.harness import TARGET
from tests.passes.gpu.reductions import (
    COMBINERS,
    OVER_AXIS,
    Function,
    check,
    check_extremes,
    global_loads,
    kernel_of,
    kernels_of,
)

LENGTHS = (2, 5, 16, 31, 32, 33, 63, 64, 65, 100, 1000, 20000)

PROGRAMS: dict[str, tuple[Function, tuple[str, ...]]] = {
    "the middle one of three axes": (lambda x: x.sum(1), ("f32[3,100,49]",)),
    "two axes in front": (lambda x: x.sum((0, 1)), ("f32[5,70,33]",)),
    "softmax": (lambda x: x.softmax(0), ("f32[100,33]",)),
    "variance": (lambda x: x.var(0), ("f32[100,33]",)),
    "batch norm of features": (lambda x: g.batch_norm(x, None, None, training=True), ("f32[100,33]",)),
    "gradient of a bias": (
        g.grad(lambda b, x: (x + b).sin().sum(), argnums=0),
        ("f32[40]", "f32[300,40]"),
    ),
    "logsumexp": (lambda x: x.logsumexp(1), ("f32[3,70,40]",)),
    "complex": (lambda x: x.sum(0), ("c64[100,33]",)),
    "several results": (lambda x: (x.sum(0), x.square().sum(0)), ("f32[100,33]",)),
    "symbolic size": (lambda x: x.sum(0), ("f32[n,m]",)),
    "symbolic middle": (lambda x: x.amax(1), ("f32[3,n,m]",)),
}


@pytest.mark.parametrize("length", LENGTHS)
def test_columns_of_any_length_keep_every_bit(length: int) -> None:
    check(OVER_AXIS["sum"](0), f"f32[{length},37]", policy="columns")
    check(OVER_AXIS["argmin"](0), f"f32[{length},37]", policy="columns")


@pytest.mark.parametrize(("combiner", "dtype"), COMBINERS)
def test_combiners_keep_every_bit(combiner: str, dtype: str) -> None:
    for length in (10, 200):
        check(OVER_AXIS[combiner](0), f"{dtype}[{length},40]", policy="columns")


def test_ties_nans_and_zeros_keep_every_bit() -> None:
    check_extremes(0)


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_keep_every_bit(name: str) -> None:
    function, specs = PROGRAMS[name]
    for n, m in ((70, 40), (17000, 3)) if any("n" in each for each in specs) else ((1, 1),):
        check(function, *specs, n=n, m=m)


def test_each_element_is_read_once() -> None:
    assert global_loads(kernel_of(lambda x: x.sum(0), "f32[1024,512]"), "p0") == 1024 * 512


@pytest.mark.parametrize(("rows", "columns", "blocks"), [(8192, 1 << 20, 1 << 15), (8192, 1024, 128), (16, 65536, 512)])
def test_few_columns_are_cut_finer(rows: int, columns: int, blocks: int) -> None:
    grid = grid_of(kernel_of(lambda x: x.sum(0), f"f32[{rows},{columns}]"))
    assert grid is not None
    assert grid.blocks == blocks


def test_columns_of_symbolic_length_are_cut_as_finely_as_a_run_asks() -> None:
    def blocks(rows: int, columns: int) -> list[int]:
        kernels = kernels_of(lambda x: x.sum(0), "f32[n,m]")
        grids = [grid for grid in map(grid_of, kernels) if grid is not None]
        return [evaluate(grid.blocks, {"n": rows, "m": columns}) for grid in grids]

    assert blocks(8192, 1024) == [0, 128]
    assert blocks(100, 1024) == [32, 0]
    assert blocks(8192, 1 << 20) == [1 << 15, 0]
    assert blocks(0, 64) == [2, 0]


def test_no_registers_are_spilled() -> None:
    kernels = {
        f"kernel_{number}_{part}": kernel
        for number, (function, specs) in enumerate(PROGRAMS.values())
        for part, kernel in enumerate(kernels_of(function, *specs))
    }
    _, usages = compiled(kernels, TARGET)
    assert {name: usage.spilled_bytes for name, usage in usages.items() if usage.spilled_bytes} == {}
    assert {name: usage.stack_bytes for name, usage in usages.items() if usage.stack_bytes} == {}
