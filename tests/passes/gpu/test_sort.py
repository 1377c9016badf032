"""Sorting on a GPU: runs in shared memory, merged between kernels; the one stable order, whatever way it is found."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from graphc.ir.graph import Graph
from graphc.ir.interpret import evaluate_graph
from graphc.kernel.interpret import KernelFault, run_program
from tests.gpu.harness import assert_same_bits, check_same_bits, gpu_program, on_gpu
from tests.passes.gpu.faults import without_each_barrier
from tests.passes.text import graph_of

DTYPES = {"i64": np.int64, "i32": np.int32, "u8": np.uint8, "u64": np.uint64, "i16": np.int16}


def sort_of(dtype: str, shape: str, axis: int) -> Graph:
    """A graph of one sort."""
    line = f"%0 = argsort(%x) {{axis={axis}}} : i64[{shape}]"
    return graph_of(f"graph f(%x: {dtype}[{shape}]) {{\n  {line}\n  return %0\n}}\n")


def check_exact(graph: Graph, *arrays: npt.NDArray[np.generic]) -> None:
    """The program for a GPU gives what the ops' references give."""
    assert_same_bits(on_gpu(graph, arrays), evaluate_graph(graph, arrays))


@pytest.mark.parametrize(
    "dtype, shape, axis",
    [
        ("i64", "2,1", 1),
        ("i32", "7,10", 1),  # several rows in a block, the last one not full
        ("u8", "3,70,5", 1),
        ("i16", "1,512", 1),
        ("u64", "2,1000", 1),
        ("i64", "2048", 0),
        ("i32", "2049", 0),  # one merge
        ("u8", "2,4500,2", 1),  # two merges, of runs of different lengths
    ],
)
def test_the_order_is_the_stable_one(dtype: str, shape: str, axis: int) -> None:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 100, [int(size) for size in shape.split(",")]).astype(DTYPES[dtype])
    check_exact(sort_of(dtype, shape, axis), x)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_greatest_integers_stand_before_what_fills_up(dtype: str) -> None:
    limits = np.iinfo(DTYPES[dtype])
    x = np.random.default_rng(0).choice(np.array([limits.min, limits.max, 1], DTYPES[dtype]), (3, 90))
    check_exact(sort_of(dtype, "3,90", 1), x)


@pytest.mark.parametrize("number", [0, 1, 300, 5000])
def test_rows_of_a_size_known_late(number: int) -> None:
    x = np.random.default_rng(0).integers(0, 50, (2, number)).astype(np.int32)
    head = "graph f(%x: i32[2,n]) where n in 0..9000"
    check_exact(graph_of(f"{head} {{\n  %0 = argsort(%x) {{axis=1}} : i64[2,n]\n  return %0\n}}\n"), x)


def test_a_size_without_bounds_takes_no_more_kernels_than_memory_allows_runs() -> None:
    assert len(gpu_program(sort_of("i32", "n", 0)).launches) == 23


def test_what_is_sorted_may_be_computed() -> None:
    graph = graph_of("""
    graph f(%x: i32[4,300]) {
      %0 = neg(%x) : i32[4,300]
      %1 = permute(%0) {axes=(1,0)} : i32[300,4]
      %2 = argsort(%1) {axis=0} : i64[300,4]
      return %2
    }
    """)
    assert len(gpu_program(graph).launches) == 1
    check_exact(graph, np.random.default_rng(0).integers(0, 50, (4, 300)).astype(np.int32))


def test_values_are_looked_up_as_on_the_cpu() -> None:
    graph = graph_of("""
    graph f(%s: f32[1000], %x: f32[3,70]) {
      %0 = search(%s, %x) {right=true} : i64[3,70]
      return %0
    }
    """)
    rng = np.random.default_rng(0)
    check_same_bits(graph, [np.sort(rng.standard_normal(1000)).astype("f4"), rng.standard_normal((3, 70)).astype("f4")])


def test_no_barrier_is_there_for_nothing() -> None:
    program = gpu_program(sort_of("i32", "700", 0))
    broken = list(without_each_barrier(program))
    assert len(broken) == 2
    for each in broken:
        with pytest.raises(KernelFault):
            run_program(each, [np.arange(700, dtype=np.int32)[::-1].copy()])
