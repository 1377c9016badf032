"""Contractions in machine code: the bits that `graphc.kernel.ir` promises, at every edge of tiles and blocks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from graphc.codegen.microkernel import choose_tile
from graphc.ir.dtype import DType, bf16, f16, f32, f64, i8, i16, i32, i64, u8, u32
from graphc.runtime.target import TARGETS, Target, named_target, native_target
from tests.codegen.contraction import K, M, N, Native, exact_product, matmul, random, run_matmul

needs_fma = pytest.mark.skipif(not native_target().has_fma, reason="without fma products are rounded before the sum")


def edges(target: Target) -> list[tuple[int, int, int]]:
    """Sizes around a tile's rows and columns, and around the depth block."""
    tile = choose_tile(target, "float", M, N)
    rows = (1, tile.rows - 1, tile.rows, tile.rows + 1, 3 * tile.rows)
    columns = (1, tile.lanes - 1, tile.lanes, tile.columns - 1, tile.columns, tile.columns + 1, 2 * tile.columns + 3)
    cases = [(m, n, 5) for m in rows for n in columns]
    cases += [(3, 20, k) for k in (0, 1, 2, 15, 16, 17, 255, 256, 257, 300, 600)]
    cases += [(0, 5, 7), (5, 0, 7), (0, 0, 0), (tile.rows + 1, tile.columns + 1, 513)]
    # Enough work for several threads, in tiles that do not come out even.
    return cases + [(tile.rows * 7 + 1, tile.columns + 1, 300), (tile.rows + 1, tile.columns * 5 + 2, 290)]


@needs_fma
@pytest.mark.parametrize("right_transposed", [False, True])
@pytest.mark.parametrize("left_transposed", [False, True])
def test_bits_follow_the_rule_at_every_edge(left_transposed: bool, right_transposed: bool) -> None:
    kernel = matmul(M, N, K, left_transposed=left_transposed, right_transposed=right_transposed)
    native, generator = Native(kernel), np.random.default_rng(1)
    for m, n, k in edges(native.target):
        a, b = random(generator, (m, k), f32), random(generator, (k, n), f32)
        expected = exact_product(a, b, np.float32)
        for threads in (1, 2, 3):
            got = run_matmul(
                native,
                a.T if left_transposed else a,
                b.T if right_transposed else b,
                {"M": m, "N": n, "K": k},
                (m, n),
                threads,
            )
            np.testing.assert_array_equal(got, expected, err_msg=f"{m}x{n}x{k}, {threads} threads")


KNOWN = [(1, 1, 1), (1, 300, 300), (300, 1, 40), (40, 3, 270), (64, 10, 100), (5, 47, 257), (9, 100, 16), (200, 96, 20)]


@needs_fma
@pytest.mark.parametrize("columns", [1, 5])
def test_bits_follow_the_rule_for_few_columns_and_any_rows(columns: int) -> None:
    native, generator = Native(matmul(M, columns, K)), np.random.default_rng(6)
    for m, k in [(0, 3), (1, 1), (15, 20), (130, 260), (700, 300)]:
        a, b = random(generator, (m, k), f32), random(generator, (k, columns), f32)
        for threads in (1, 3):
            got = run_matmul(native, a, b, {"M": m, "K": k}, (m, columns), threads)
            np.testing.assert_array_equal(got, exact_product(a, b, np.float32))


@needs_fma
@pytest.mark.parametrize("right_transposed", [False, True])
@pytest.mark.parametrize("m, n, k", KNOWN)
def test_bits_follow_the_rule_where_sizes_are_known(m: int, n: int, k: int, right_transposed: bool) -> None:
    generator = np.random.default_rng(2)
    a, b = random(generator, (m, k), f32), random(generator, (k, n), f32)
    native = Native(matmul(m, n, k, right_transposed=right_transposed))
    expected = exact_product(a, b, np.float32)
    for threads in (1, 4):
        got = run_matmul(native, a, b.T if right_transposed else b, {}, (m, n), threads)
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize(
    "element, accumulator",
    [(f64, f64), (f16, f32), (bf16, f32), (i8, i8), (i16, i16), (i32, i32), (i64, i64), (u8, u8), (u32, u32)],
    ids=str,
)
@pytest.mark.parametrize("right_transposed", [False, True])
def test_dtypes_sum_exactly_or_wrap(element: DType, accumulator: DType, right_transposed: bool) -> None:
    if accumulator.is_floating_point and not native_target().has_fma:
        pytest.skip("without fma products are rounded before the sum")
    generator = np.random.default_rng(3)
    a, b = random(generator, (11, 270), element), random(generator, (270, 37), element)
    native = Native(matmul(11, 37, 270, element, accumulator, right_transposed=right_transposed))
    got = run_matmul(native, a, b.T if right_transposed else b, {}, (11, 37), threads=2)
    np.testing.assert_array_equal(got, exact_product(a, b, accumulator.numpy))


@pytest.mark.parametrize("name", ["x86-64", "x86-64-v3", "x86-64-v4", "native"])
def test_narrower_machines_give_the_same_bits(name: str) -> None:
    target = named_target(name)
    if not target.runs_here:
        pytest.skip(f"this machine runs no code for {name}")
    generator = np.random.default_rng(4)
    for transposed in (False, True):
        native = Native(matmul(M, N, K, right_transposed=transposed), target)
        for m, n, k in [(1, 1, 1), (7, 50, 300), (13, 9, 33), (4, 3, 257)]:
            a, b = random(generator, (m, k), f32), random(generator, (k, n), f32)
            got = run_matmul(native, a, b.T if transposed else b, {"M": m, "N": n, "K": k}, (m, n))
            if target.has_fma:
                np.testing.assert_array_equal(got, exact_product(a, b, np.float32))
            else:
                np.testing.assert_allclose(got, a.astype(np.float64) @ b, rtol=1e-5, atol=1e-4)


FOR_EVERY_MACHINE = """
import sys
from graphc.codegen.cpu import emit_kernel
from graphc.ir.dtype import bf16, f16, f32, f64, i8, i16, i32, i64
from graphc.runtime.engine import compile_object, object_symbols
from graphc.runtime.target import named_target
from tests.codegen.contraction import K, M, N, matmul

target = named_target(sys.argv[1])
called = set()
wide = [(d, d) for d in (f32, f64, i8, i16, i32, i64)]
for element, accumulator in (*wide, (f16, f32), (bf16, f32)):
    for rows, columns in ((M, N), (M, 1), (1, N), (5, 7)) if element is f32 else ((M, N),):
        for is_transposed in (False, True):
            kernel = matmul(rows, columns, K, element, accumulator, is_transposed, is_transposed)
            defined, undefined = object_symbols(compile_object(emit_kernel(kernel, target, "kernel"), target))
            assert "kernel" in defined
            called |= set(undefined)
print(*sorted(called))
"""


@pytest.mark.parametrize("name", TARGETS)
def test_code_is_made_for_every_machine_and_calls_nothing(name: str) -> None:
    command = [sys.executable, "-c", FOR_EVERY_MACHINE, name]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.split()) <= {"memcpy", "memset", "memmove"}


def test_blocks_of_rows_and_columns_join() -> None:
    generator = np.random.default_rng(5)
    native = Native(matmul(M, N, K))
    for m, n, k in [(1700, 70, 260), (9, 2500, 300), (600, 1100, 20)]:
        a, b = (generator.integers(-8, 9, shape).astype(np.float32) for shape in ((m, k), (k, n)))
        for threads in (1, 3):
            got = run_matmul(native, a, b, {"M": m, "N": n, "K": k}, (m, n), threads)
            np.testing.assert_array_equal(got, a @ b)  # whole numbers: every order of sums is exact


def test_special_values_are_not_spread() -> None:
    a, b = np.ones((9, 20), np.float32), np.ones((20, 50), np.float32)
    a[2, 3], b[4, 7], a[5, 6] = np.nan, np.inf, -np.inf
    got = run_matmul(Native(matmul(9, 50, 20)), a, b, {}, (9, 50))
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(got, a @ b)


def test_a_sum_of_nothing_is_zero_and_negative_zero_survives() -> None:
    tiny = np.full((2, 1), 1e-30, np.float32)
    got = run_matmul(Native(matmul(2, 2, 1)), -tiny, tiny.reshape(1, 2), {}, (2, 2))
    assert np.signbit(got).all()
    assert (got == 0).all()
