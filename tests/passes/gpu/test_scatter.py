"""Updates on a GPU: those of one place in order, whether a thread goes through all of them or they are sorted first."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from graphc.ir.errors import IndexOutOfRange
from graphc.ir.graph import Graph
from graphc.kernel.gpu import grid_of
from graphc.passes.gpu.scatter import FEW_UPDATES
from tests.gpu.harness import check_same_bits, gpu_program, on_gpu
from tests.passes.text import graph_of

MODES = ("set", "add", "mul", "max", "min")
MANY = FEW_UPDATES + 100


def scatter_of(op: str, types: tuple[str, str, str], options: str) -> Graph:
    """A graph of one scatter."""
    x, index, updates = types
    head = f"%x: {x}, %i: {index}, %u: {updates}"
    return graph_of(f"graph f({head}) {{\n  %0 = {op}(%x, %i, %u) {{{options}}} : {x}\n  return %0\n}}\n")


def floats(*shape: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.random.default_rng(shape[0]).standard_normal(shape).astype(np.float32)


def places(below: int, *shape: int, start: int = 0) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    return np.random.default_rng(shape[0]).integers(start, below, shape)


@pytest.mark.parametrize("mode", MODES)
def test_sorted_updates_have_the_bits_of_going_in_order(mode: str) -> None:
    graph = scatter_of("scatter", ("f32[10,3]", f"i64[{MANY}]", f"f32[{MANY},3]"), f'axis=0, mode="{mode}"')
    assert len(gpu_program(graph).launches) == 3
    check_same_bits(graph, [floats(10, 3), places(10, MANY, start=-10), floats(MANY, 3)])


@pytest.mark.parametrize("mode", ["set", "add"])
def test_complex_numbers_between_other_axes(mode: str) -> None:
    types = ("c64[2,10,2]", "i32[30,30]", "c64[2,30,30,2]")
    x, u = (floats(*shape).astype(np.complex64) * (1 + 2j) for shape in ((2, 10, 2), (2, 30, 30, 2)))
    index = places(10, 30, 30).astype(np.int32)
    check_same_bits(scatter_of("scatter", types, f'axis=1, mode="{mode}"'), [x, index, u])


def test_extremes_of_16_bits() -> None:
    graph = scatter_of("scatter", ("bf16[7]", f"i64[{MANY}]", f"bf16[{MANY}]"), 'axis=0, mode="max"')
    x, u = (floats(count).astype(ml_dtypes.bfloat16) for count in (7, MANY))
    u[5] = np.nan
    check_same_bits(graph, [x, places(7, MANY), u])


@pytest.mark.parametrize("mode", MODES)
def test_places_of_their_own_along_an_axis(mode: str) -> None:
    graph = scatter_of("put_along", ("f32[5,9]", f"i64[{MANY},6]", f"f32[{MANY},6]"), f'axis=0, mode="{mode}"')
    check_same_bits(graph, [floats(5, 9), places(5, MANY, 6), floats(MANY, 6)])


def test_runs_of_updates_are_merged() -> None:
    graph = scatter_of("scatter", ("f32[40]", "i64[2100]", "f32[2100]"), 'axis=0, mode="add"')
    assert len(gpu_program(graph).launches) == 4
    check_same_bits(graph, [floats(40), places(40, 2100), floats(2100)])


@pytest.mark.parametrize("number", [0, 1, 700])
def test_a_number_of_updates_known_late(number: int) -> None:
    graph = scatter_of("scatter", ("i64[9]", "i64[n]", "i64[n]"), 'axis=0, mode="add"')
    index = np.random.default_rng(0).integers(0, 9, number)
    check_same_bits(graph, [np.zeros(9, np.int64), index, np.ones(number, np.int64)])


def test_few_updates_and_many_places_are_not_sorted() -> None:
    few = scatter_of("scatter", ("f32[10,3]", "i64[50]", "f32[50,3]"), 'axis=0, mode="add"')
    many = scatter_of("scatter", ("f32[3,70000]", "i64[600]", "f32[600,70000]"), 'axis=0, mode="add"')
    for graph in (few, many):
        assert all(grid_of(launch.kernel) is not None for launch in gpu_program(graph).launches)
        assert len(gpu_program(graph).launches) == 2
    check_same_bits(few, [floats(10, 3), places(10, 50), floats(50, 3)])


@pytest.mark.parametrize("op", ["scatter", "put_along"])
def test_a_place_that_is_none_is_reported(op: str) -> None:
    graph = scatter_of(op, ("f32[5]", f"i64[{MANY}]", f"f32[{MANY}]"), 'axis=0, mode="add"')
    index = places(5, MANY)
    index[300] = 5
    with pytest.raises(IndexOutOfRange, match=f"{op}: an index is out of range for axis of size 5"):
        on_gpu(graph, [floats(5), index, floats(MANY)])
