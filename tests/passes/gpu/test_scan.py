"""Scans on a GPU: blocks for rows, three kernels for long ones, and the same bits wherever the order allows it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from graphc.ir.graph import Graph
from graphc.ir.interpret import evaluate_graph
from graphc.kernel.gpu import grid_of
from graphc.kernel.interpret import KernelFault, run_program
from graphc.kernel.program import Program
from tests.gpu.harness import assert_same_bits, check_same_bits, cpu_program, gpu_program, on_gpu
from tests.passes.gpu.faults import without_each_barrier
from tests.passes.text import graph_of

DTYPES = {"f32": np.float32, "f64": np.float64, "i64": np.int64, "i32": np.int32, "u8": np.uint8, "c64": np.complex64}
POSITIONS = ("cumargmax", "cumargmin")


def scan_of(op: str, dtype: str, shape: str, options: str) -> Graph:
    """A graph of one scan."""
    type_, operands = f"{dtype}[{shape}]", "%x, %x" if op == "recurrence" else "%x"
    out = f"i64[{shape}]" if op in POSITIONS else type_
    return graph_of(f"graph f(%x: {type_}) {{\n  %0 = {op}({operands}) {{{options}}} : {out}\n  return %0\n}}\n")


def elements(dtype: str, *shape: int) -> npt.NDArray[np.generic]:
    rng = np.random.default_rng(len(shape) + shape[-1])
    if dtype in ("f32", "f64"):
        return rng.standard_normal(shape).astype(DTYPES[dtype])
    if dtype == "c64":
        return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(np.complex64)
    return rng.integers(0, 9, shape).astype(DTYPES[dtype])


def check_exact(graph: Graph, *arrays: npt.NDArray[np.generic]) -> None:
    """The program for a GPU gives what the ops' references give."""
    assert_same_bits(on_gpu(graph, arrays), evaluate_graph(graph, arrays))


def grids(program: Program) -> list[tuple[str, int]]:
    """Blocks and threads of each kernel."""
    found = [grid_of(launch.kernel) for launch in program.launches]
    return [(str(grid.blocks), grid.threads) for grid in found if grid is not None]


@pytest.mark.parametrize(
    "op, dtype, shape, options",
    [
        ("cumsum", "i64", "5,50", "axis=1"),  # a warp for each row
        ("cumsum", "i64", "3,1025", "axis=1, reverse=true"),  # two tiles
        ("cumsum", "i64", "40000", "axis=0, reverse=true"),  # three kernels
        ("cumsum", "i64", "300,2", "axis=0"),
        ("recurrence", "i64", "2,700", "axis=1"),
        ("cumargmax", "u8", "3,300", "axis=1"),
        ("cumargmin", "i32", "2,17000", "axis=1"),
        ("cumsum", "i64", "3,100,33", "axis=1, reverse=true"),  # rows side by side
        ("cumargmax", "u8", "65,40", "axis=0"),
    ],
)
def test_integers_and_extremes_are_exact(op: str, dtype: str, shape: str, options: str) -> None:
    check_exact(scan_of(op, dtype, shape, options), elements(dtype, *map(int, shape.split(","))))


@pytest.mark.parametrize(
    "op, shape, options",
    [
        ("recurrence", "2,100", "axis=1"),  # a thread for each row, too
        ("recurrence", "100,60", "axis=0, reverse=true"),
        ("cumsum", "9,20", "axis=1"),  # a thread for each row
        ("cumsum", "40,4096", "axis=0"),  # rows side by side, many of them
    ],
)
def test_what_goes_in_order_has_the_bits_of_the_cpu(op: str, shape: str, options: str) -> None:
    check_same_bits(scan_of(op, "f32", shape, options), [elements("f32", *map(int, shape.split(",")))])


@pytest.mark.parametrize(
    "op, dtype, shape, options, bound",
    [
        ("cumsum", "f32", "3,1100", "axis=1", 1e-4),
        ("cumsum", "f32", "2,33000", "axis=1, reverse=true", 1e-3),
        ("cumsum", "f64", "2,300,2", "axis=1", 1e-12),
        ("cumsum", "c64", "700", "axis=0", 1e-4),
        ("cumsum", "c64", "70,40", "axis=0", 1e-5),
        ("logcumsumexp", "f32", "3,400", "axis=1", 1e-5),
        ("logcumsumexp", "f64", "33", "axis=0", 1e-14),
    ],
)
def test_sums_of_floats_differ_by_rounding_alone(op: str, dtype: str, shape: str, options: str, bound: float) -> None:
    graph, x = scan_of(op, dtype, shape, options), elements(dtype, *map(int, shape.split(",")))
    (found,), (expected,) = on_gpu(graph, [x]), evaluate_graph(graph, [x])
    assert np.allclose(found, expected, rtol=bound, atol=bound)


@pytest.mark.parametrize("extent", [100, 1500, 20000])
def test_a_row_has_the_same_bits_wherever_it_stands(extent: int) -> None:
    x = elements("f32", 5, extent)
    (together,) = on_gpu(scan_of("cumsum", "f32", f"5,{extent}", "axis=1"), [x])
    (alone,) = on_gpu(scan_of("cumsum", "f32", f"1,{extent}", "axis=1"), [x[3:4]])
    assert_same_bits([together[3:4]], [alone])


@pytest.mark.parametrize("shape, options", [("3,1000", "axis=1"), ("700,3", "axis=0, reverse=true"), ("n", "axis=0")])
@pytest.mark.parametrize("dtype, bound", [("f32", 1e-4), ("f64", 1e-12)])
def test_recurrences_of_floats_differ_by_rounding_alone(dtype: str, bound: float, shape: str, options: str) -> None:
    graph = scan_of("recurrence", dtype, shape, options)
    assert len(gpu_program(graph).launches) == 3
    x = elements(dtype, *map(int, shape.replace("n", "1100").split(",")))
    (found,), (expected,) = on_gpu(graph, [x]), evaluate_graph(graph, [x])
    assert np.allclose(found, expected, rtol=bound, atol=bound)


@pytest.mark.parametrize(
    "factors, addends",
    [
        ([0, 1e30], [0]),  # 0 times a product that is too great
        ([1e-30, 1e-30, 1e30, 1e30], [1]),
        ([1, np.inf], [0]),
        ([1, np.nan], [0]),
        ([2, 0.5], [3e38]),  # beyond the range for a while
        ([0.9], [1]),
        ([-1.5], [0]),
    ],
)
def test_chunks_whose_products_leave_the_range_go_in_order(factors: list[float], addends: list[float]) -> None:
    graph = graph_of("""
    graph f(%a: f32[1,600], %b: f32[1,600]) {
      %0 = recurrence(%a, %b) {axis=1, reverse=false} : f32[1,600]
      return %0
    }
    """)
    a, b = (np.resize(np.float32(each), (1, 600)) for each in (factors, addends))
    a[0, 0] = np.inf  # of no use
    (found,), (expected,) = on_gpu(graph, [a, b]), run_program(cpu_program(graph), [a, b])
    assert np.allclose(found, expected, rtol=1e-4, equal_nan=True)


def test_a_long_row_takes_three_kernels_over_many_blocks() -> None:
    assert grids(gpu_program(scan_of("cumsum", "f32", "1000000", "axis=0"))) == [("62", 256), ("1", 128), ("62", 256)]
    assert grids(gpu_program(scan_of("cumsum", "f32", "5000,16384", "axis=1"))) == [("5000", 256)]


@pytest.mark.parametrize("number", [0, 1, 200, 1030, 17000])
def test_rows_of_a_size_known_late(number: int) -> None:
    x = elements("i64", 2, max(number, 1))[:, :number]
    check_exact(scan_of("cumsum", "i64", "2,n", "axis=1"), np.ascontiguousarray(x))


def test_nans_and_infinities_go_on() -> None:
    x = np.ones((3, 900), np.float32)
    x[0, 500], x[1, 300], x[1, 600], x[2, 7] = np.nan, np.inf, -np.inf, -np.inf
    for op in ("cumsum", "logcumsumexp"):
        graph = scan_of(op, "f32", "3,900", "axis=1")
        (found,), (expected,) = on_gpu(graph, [x]), evaluate_graph(graph, [x])
        assert np.allclose(found, expected, rtol=1e-5, equal_nan=True)
    for op in POSITIONS:
        check_exact(scan_of(op, "f32", "3,900", "axis=1"), x)
    nothing = np.full((1, 100), -np.inf, np.float32)
    for op in ("logcumsumexp", *POSITIONS):
        check_exact(scan_of(op, "f32", "1,100", "axis=1"), nothing)


def test_what_is_scanned_may_be_computed() -> None:
    graph = graph_of("""
    graph f(%x: f32[4,300], %i: i64[300]) {
      %0 = gather(%x, %i) {axis=1} : f32[4,300]
      %1 = neg(%0) : f32[4,300]
      %2 = cumargmax(%1) {axis=1} : i64[4,300]
      return %2
    }
    """)
    assert len(grids(gpu_program(graph))) == 1
    check_exact(graph, elements("f32", 4, 300), np.random.default_rng(0).integers(-300, 300, 300))


def test_no_barrier_is_there_for_nothing() -> None:
    program = gpu_program(scan_of("cumsum", "i64", "2,1100", "axis=1"))
    broken = list(without_each_barrier(program))
    assert len(broken) == 2
    for each in broken:
        with pytest.raises(KernelFault):
            run_program(each, [elements("i64", 2, 1100)])
