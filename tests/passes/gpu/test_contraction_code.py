"""The kernels of contractions: every barrier and wait is needed, and what the assembler makes of them is lean."""

from __future__ import annotations

import re

import numpy as np
import pytest

from graphc.ir.dtype import DType, bf16, f16, f32, f64
from graphc.kernel.gpu import GpuTarget
from graphc.kernel.interpret import KernelFault
from graphc.kernel.ir import Kernel
from graphc.kernel.parse import parse_kernel
from graphc.kernel.text import print_kernel
from graphc.passes.gpu.contraction_fragment import MatrixTile
from graphc.passes.gpu.contraction_matrices import (
    COMPUTED_TILES,
    COPIED_TILES,
    arithmetic_of,
    write_matrices,
)
from graphc.passes.gpu.contraction_plan import LONG_TILES, TILES, Tile
from graphc.passes.gpu.contraction_tiles import write_tiles
from tests.codegen.contraction import random
from tests.codegen.gpu.assembler import TARGETS, compiled
from tests.codegen.gpu.threads import run_threads
from tests.gpu.harness import assert_same_bits
from tests.passes.gpu.contractions import check_lean, problem_of, product, run_kernels

TARGET = GpuTarget(80, allow_tf32=True)


def tiles(tile: Tile, shape: tuple[int, int, int], dtype: DType = f32, transposed: str = "") -> Kernel:
    return write_tiles(problem_of(product(*shape, dtype, transposed)), tile, None)


def matrices(
    tile: MatrixTile, shape: tuple[int, int, int], dtype: DType, transposed: str = "", target: GpuTarget = TARGET
) -> Kernel:
    problem = problem_of(product(*shape, dtype, transposed))
    arithmetic = arithmetic_of(problem.contract, TARGET)
    assert arithmetic is not None
    return write_matrices(problem, arithmetic, tile, None, target)


SMALL: dict[str, tuple[Kernel, tuple[int, int, int], DType]] = {
    "tiles": (tiles(TILES.wide[-1], (20, 40, 70)), (20, 40, 70), f32),
    "narrow tiles": (tiles(TILES.narrow[0], (1, 70, 70)), (1, 70, 70), f32),
    "copied matrices": (matrices(COPIED_TILES[-1], (32, 40, 168), bf16), (32, 40, 168), bf16),
    "matrices through registers": (matrices(COPIED_TILES[-1], (32, 33, 135), f16), (32, 33, 135), f16),
    "tf32": (matrices(COPIED_TILES[-1], (32, 40, 72), f32), (32, 40, 72), f32),
}
"""Kernels, each with more than one tile along every axis."""


@pytest.mark.parametrize("name", SMALL)
def test_every_barrier_wait_and_commit_is_needed(name: str) -> None:
    kernel, (rows, columns, depth), dtype = SMALL[name]
    text = print_kernel(kernel)
    generator = np.random.default_rng(0)
    a, b = random(generator, (rows, depth), dtype), random(generator, (depth, columns), dtype)
    run_kernels([parse_kernel(text)], a, b)
    found = list(re.finditer(r"\n *(barrier|wait_copies 1|commit_copies)(?=\n)", text))
    assert {match[1] for match in found} >= {"barrier"}
    for match in found:
        faulty = parse_kernel(text[: match.start()] + text[match.end() :])
        with pytest.raises(KernelFault):
            run_kernels([faulty], a, b)


BLOCK = matrices(COPIED_TILES[-1], (20, 24, 40), bf16), (20, 24, 40), bf16


@pytest.mark.parametrize("case", [SMALL["tiles"], SMALL["narrow tiles"], BLOCK], ids=["tiles", "narrow", "matrices"])
def test_generated_code_does_what_the_kernel_says(case: tuple[Kernel, tuple[int, int, int], DType]) -> None:
    kernel, (rows, columns, depth), dtype = case
    generator = np.random.default_rng(0)
    a, b = random(generator, (rows, depth), dtype), random(generator, (depth, columns), dtype)
    c = np.zeros((rows, columns), dtype.numpy)
    assert run_threads(kernel, {"a": a.reshape(-1), "b": b.reshape(-1), "c": c.reshape(-1)}, target=TARGET) == 0
    assert_same_bits([c], [run_kernels([kernel], a, b)])


SQUARE, ODD = (2048, 2048, 2048), (2001, 2003, 2005)


def large_kernels(target: GpuTarget) -> dict[str, Kernel]:
    """The most demanding kernels, and on one target some of each kind."""
    kernels = {"large": tiles(TILES.wide[0], SQUARE)}
    if target.has_bf16_matrices:
        kernels["copied"] = matrices(COPIED_TILES[0], SQUARE, bf16, "b", target)
    if target == TARGETS[1]:
        kernels["double"] = tiles(LONG_TILES.wide[0], SQUARE, f64)
        kernels["middle"] = tiles(TILES.wide[3], ODD, transposed="ab")
        kernels["row"] = tiles(TILES.narrow[0], (1, 2048, 2048), transposed="b")
        kernels["half"] = matrices(COPIED_TILES[1], SQUARE, f16, "a")
        kernels["computed"] = matrices(COMPUTED_TILES[0], ODD, bf16)
        kernels["tf32"] = matrices(COPIED_TILES[1], SQUARE, f32)
    return kernels


INSTRUCTIONS = {
    # A tile has 8 steps of 8 x 8 products, for which 2 x 8 numbers are read, 4 at once.
    "large": {r"fma\.rn\.f32": 512, r"ld\.shared\.v4": 32, r"ld\.global\.nc": 2, r"st\.global\.v4": 16},
    "double": {r"fma\.rn\.f64": 128, r"ld\.shared\.v2\.b64": 32, r"ld\.global\.nc": 2, r"st\.global\.v2\.b64": 8},
    "middle": {r"ld\.shared\.v4": 34},  # two more: the loop over the last steps
    "row": {r"ld\.global\.nc\.v4": 8},
    # 2 steps of 4 x 8 products of matrices, and 16 bytes a copy.
    "copied": {r"mma\.sync": 64, r"ldmatrix": 16, r"cp\.async\.cg": 6, r"st\.global\.b32": 64},
    "half": {r"mma\.sync": 64, r"ldmatrix": 16, r"cp\.async\.cg": 8, r"st\.global\.b32": 64},
    "computed": {r"mma\.sync": 32, r"ldmatrix": 12, r"cp\.async": 0, r"st\.shared\.v4": 4},
    "tf32": {r"mma\.sync": 64, r"ld\.global\.nc\.v4": 8, r"st\.shared\.v4": 8},
}
"""How often instructions stand in the code of each kernel."""
RESIDENT = {"large": 1, "double": 2, "middle": 2, "row": 8, "copied": 1, "half": 2, "computed": 1, "tf32": 2}
"""How many blocks a multiprocessor of 65536 registers has room for."""


@pytest.mark.parametrize("target", TARGETS, ids=str)
def test_large_kernels_are_lean(target: GpuTarget) -> None:
    kernels = large_kernels(target)
    ptx, usages = compiled(kernels, target)
    entries = {part[: part.index("(")]: part for part in ptx.split(".entry ")[1:]}
    for name, kernel in kernels.items():
        grid = check_lean(name, kernel, entries[name], usages[name], INSTRUCTIONS[name], RESIDENT[name])
        assert grid.shared_bytes <= target.most_shared_bytes
