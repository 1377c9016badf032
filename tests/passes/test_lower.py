"""Lowering and scheduling: the loops that graphs become, and that they compute what the graph says."""

import numpy as np
import pytest

from graphc.frontend.executable import Executable, make_program, optimize
from graphc.ir.interpret import evaluate_graph
from graphc.ir.parse import parse_graph
from graphc.kernel.interpret import run_program
from graphc.kernel.ir import Allocate, Contract, Kernel, Loop, LoopKind, Reduce, Statement, nested_bodies
from graphc.kernel.program import Program
from graphc.kernel.text import print_kernel
from graphc.kernel.verify import verify_kernel
from graphc.passes.access import ROW_LIMIT
from graphc.passes.instrument import random_arguments
from graphc.passes.schedule import CHUNK
from tests.passes.test_fuse import SOFTMAX
from tests.random_graphs import random_graph


def kernels(text: str) -> list[Kernel]:
    return [launch.kernel for launch in program(text).launches]


def program(text: str) -> Program:
    return make_program(optimize(parse_graph(text)))


def statements(kernel: Kernel) -> list[Statement]:
    found: list[Statement] = []
    pending = [kernel.body]
    while pending:
        body = pending.pop()
        found.extend(body)
        for statement in body:
            pending.extend(nested_bodies(statement))
    return found


def loops(kernel: Kernel) -> list[tuple[str, str]]:
    """(kind, extent) of each loop, outer ones first."""
    return [(s.kind.value, str(s.extent)) for s in statements(kernel) if isinstance(s, Loop)]


def test_elementwise_work_is_one_loop_over_all_elements() -> None:
    (kernel,) = kernels("graph f(%x: f32[7,5,3]) {\n  %0 = exp(%x) : f32[7,5,3]\n  return %0\n}")
    assert loops(kernel) == [("vector", "105")]


def test_long_loops_are_split_into_chunks_for_threads() -> None:
    (kernel,) = kernels("graph f(%x: f32[100000]) {\n  %0 = neg(%x) : f32[100000]\n  return %0\n}")
    assert [kind for kind, _ in loops(kernel)] == ["parallel", "vector"]
    assert loops(kernel)[0][1] == str(-(-100000 // CHUNK))


def test_a_repeated_row_keeps_its_own_loop_without_division() -> None:
    (kernel,) = kernels("""
    graph f(%x: f32[8,9,10], %b: f32[10]) {
      %0 = reshape(%b) {shape=(1,1,10)} : f32[1,1,10]
      %1 = broadcast(%0) {shape=(8,9,10)} : f32[8,9,10]
      %2 = add(%x, %1) : f32[8,9,10]
      return %2
    }""")
    assert loops(kernel) == [("parallel", "72"), ("vector", "10")]
    assert "//" not in print_kernel(kernel)


def test_softmax_reads_its_row_and_keeps_the_exponentials() -> None:
    (kernel,) = kernels(SOFTMAX)
    assert loops(kernel)[0] == ("parallel", "64")
    assert [s.combiner for s in statements(kernel) if isinstance(s, Reduce)] == ["max", "sum"]
    assert sum(isinstance(s, Allocate) for s in statements(kernel)) == 1
    assert print_kernel(kernel).count("= exp ") == 1


def test_exponentials_of_rows_too_long_for_the_cache_go_through_memory() -> None:
    found = kernels(SOFTMAX.replace("1000", str(ROW_LIMIT + 1)))
    assert not any(isinstance(s, Allocate) for kernel in found for s in statements(kernel))
    assert sum(print_kernel(kernel).count("= exp ") for kernel in found) == 1


def test_column_sums_run_down_many_columns_at_once() -> None:
    (kernel,) = kernels("graph f(%x: f32[100,1000]) {\n  %0 = sum(%x) {axes=(0)} : f32[1000]\n  return %0\n}")
    assert [kind for kind, _ in loops(kernel)] == ["parallel", "vector"]


def test_row_sums_run_along_the_row() -> None:
    (kernel,) = kernels("graph f(%x: f32[100,1000]) {\n  %0 = sum(%x) {axes=(1)} : f32[100]\n  return %0\n}")
    assert loops(kernel) == [("parallel", "100")]


def test_a_sum_over_the_middle_keeps_neighbours_in_the_inner_loop() -> None:
    (kernel,) = kernels("graph f(%x: f32[6,50,40]) {\n  %0 = sum(%x) {axes=(1)} : f32[6,40]\n  return %0\n}")
    assert loops(kernel) == [("parallel", "6"), ("vector", "40")]


def test_a_long_total_takes_two_kernels_the_first_of_them_parallel() -> None:
    first, second = kernels("graph f(%x: f32[100000]) {\n  %0 = sum(%x) {axes=(0)} : f32[]\n  return %0\n}")
    assert loops(first) == [("parallel", "7")]
    assert loops(second) == []


def test_a_contraction_stores_through_its_epilogue() -> None:
    (kernel,) = kernels("""
    graph f(%x: f32[8,16], %w: f32[4,16]) {
      %0 = permute(%w) {axes=(1,0)} : f32[16,4]
      %1 = dot(%x, %0) {contract=((1),(0))} : f32[8,4]
      %2 = tanh(%1) : f32[8,4]
      return %2
    }""")
    (contract,) = kernel.body
    assert isinstance(contract, Contract)
    assert (contract.rows, contract.columns, contract.depth) == (8, 4, 16)
    assert [type(s).__name__ for s in contract.epilogue] == ["Apply", "Store"]


def test_the_innermost_dimension_of_the_result_gives_the_columns() -> None:
    (kernel,) = kernels("""
    graph f(%x: f32[8,16], %w: f32[16,4]) {
      %0 = dot(%x, %w) {contract=((1),(0))} : f32[8,4]
      %1 = permute(%0) {axes=(1,0)} : f32[4,8]
      %2 = neg(%1) : f32[4,8]
      return %2
    }""")
    (contract,) = kernel.body
    assert isinstance(contract, Contract)
    assert (contract.rows, contract.columns) == (4, 8)


def test_batches_of_contractions_share_threads() -> None:
    (kernel,) = kernels("""
    graph f(%x: f32[6,8,16], %w: f32[6,16,4]) {
      %0 = dot(%x, %w) {batch=((0),(0)), contract=((2),(1))} : f32[6,8,4]
      return %0
    }""")
    (loop,) = kernel.body
    assert isinstance(loop, Loop)
    assert (loop.kind, loop.extent) == (LoopKind.PARALLEL, 6)


def test_empty_results_launch_nothing() -> None:
    assert kernels("graph f(%x: f32[0,3]) {\n  %0 = exp(%x) : f32[0,3]\n  return %0\n}") == []


@pytest.mark.parametrize("name", ["i1", "i1o", "i1i", "m1", "n2", "k3", "r2", "g1"])
def test_sizes_may_be_called_like_loops(name: str) -> None:
    text = """
    graph f(%x: f32[SIZE,3], %i: i64[SIZE]) {
      %0 = exp(%x) : f32[SIZE,3]
      %1 = sum(%0) {axes=(0)} : f32[3]
      %2 = dot(%x, %0) {contract=((0),(0))} : f32[3,3]
      %3 = gather(%0, %i) {axis=0} : f32[SIZE,3]
      return %0, %1, %2, %3
    }""".replace("SIZE", name)
    graph = parse_graph(text)
    arrays = [np.random.default_rng(0).standard_normal((5000, 3)).astype(np.float32), np.arange(5000)[::-1].copy()]
    results = Executable.build(graph)(*arrays)
    assert isinstance(results, tuple)
    for actual, expected in zip(results, evaluate_graph(graph, arrays), strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-3)


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize("limit", [1, 64])
def test_kernels_of_random_graphs_are_valid_and_compute_the_graph(seed: int, limit: int) -> None:
    graph = random_graph(seed, nodes=25, symbolic=seed % 3 == 0, smooth=True)
    made = make_program(optimize(graph, passes=f"simplify,decompose,fuse{{limit={limit}}}"))
    for launch in made.launches:
        verify_kernel(launch.kernel)
    arrays = random_arguments(graph, seed=seed)
    for actual, expected in zip(run_program(made, arrays), evaluate_graph(graph, arrays), strict=True):
        tolerance = 1e-4 if expected.dtype == np.float32 else 1e-9
        scale = np.max(np.abs(expected), initial=1)
        np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=tolerance * scale)
