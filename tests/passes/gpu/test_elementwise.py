"""Nests over elements on a GPU: every layout keeps every bit, and those that allow it have accesses of 16 bytes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

import graphc as g
from graphc.frontend.executable import optimize
from graphc.ir.dim import evaluate, symbol
from graphc.ir.dtype import f32
from graphc.ir.graph import Graph, make_input
from graphc.ir.type import TensorType
from graphc.kernel.gpu import grid_of
from graphc.kernel.interpret import run_kernel
from graphc.kernel.ir import Kernel, Load, Loop, LoopKind, Store, statements_in
from graphc.kernel.parse import parse_kernel
from graphc.ops.elementwise import neg
from graphc.passes.gpu import elementwise
from graphc.passes.gpu.build import MOST_BLOCKS, find_nest, grid
from graphc.passes.gpu.elementwise import run_width
from graphc.passes.gpu.schedule import scheduled_by
from graphc.passes.lower import KernelCall, Lowered, Result, lower
from graphc.passes.memory import plan_memory
from tests.gpu.harness import TARGET, check_same_bits, gpu_program, schedule_graph
from tests.structured_graphs import structured_arguments

Layout = tuple[str, Callable[..., Any], tuple[str, ...], int]

LAYOUTS: tuple[Layout, ...] = (
    # what, the function, its arguments, the elements of a run
    ("one run of memory", lambda x, y: x + y, ("f32[n]", "f32[n]"), 4),
    ("elements of 1, 4 and 8 bytes", lambda a, b, c: (a.double() + b.double()) * c, ("u8[n]", "f32[n]", "f64[n]"), 2),
    ("elements of 2 bytes", lambda a, b: a * b, ("bf16[n]", "bf16[n]"), 8),
    ("bytes", g.maximum, ("u8[n]", "u8[n]"), 16),
    ("bytes, a formula of many steps", lambda a: a.float().sin().to(g.int8), ("i8[n]",), 2),
    ("complex", lambda a, b: a * b, ("c64[n]", "c64[n]"), 1),
    ("reversed", lambda x: x.flip(0) + x, ("f32[n]",), 4),
    ("shifted", lambda x: x[3:] * 2, ("f32[n + 3]",), 1),
    ("one value for all", lambda x, y: x * y, ("f32[n]", "f32[]"), 4),
    ("one value for each row", lambda x, y: x * y, ("f32[n,m]", "f32[n,1]"), 1),
    ("one value for each row of 24", lambda x, y: x * y, ("f32[n,24]", "f32[n,1]"), 4),
    ("one row of 24 for all", lambda x, y: x * y, ("f32[n,24]", "f32[24]"), 4),
    ("one row of 37 for all", lambda x, y: x * y, ("f32[n,37]", "f32[37]"), 1),
    ("one row of 131 for all", lambda x, y: x * y, ("f32[n,131]", "f32[131]"), 1),
    ("one row of 4 m for all", lambda x, y: x * y, ("f32[n,4*m]", "f32[4*m]"), 4),
    ("rows of 16 out of 20, shifted", lambda x: -x[:, 2:18], ("f32[n,20]",), 1),
    ("rows of 16 out of 20", lambda x: -x[:, 4:], ("f32[n,20]",), 4),
    ("rows with a border", lambda x: g.nn.functional.pad(x, (1, 1)), ("f32[n,m]",), 1),
    ("windows", lambda x: g.max_pool2d(x, 2), ("f32[n,1,6,6]",), 1),
    ("rows by index", lambda x, i: x[i], ("f32[9,8]", "i64[n]"), 4),
    ("all columns but one", lambda x: x[:, 1:], ("f32[n,m + 1]",), 1),
)
SIZES = [(1, 1), (3, 2), (7, 130), (256, 5), (1023, 3), (1024, 1), (2500, 1)]


def graph_of(layout: Layout) -> Graph:
    return g.symbolic_trace(layout[1], *layout[2])


def scheduled(graph: Graph) -> Kernel:
    ((kernel, policy),) = schedule_graph(graph).policies.items()
    assert policy == "elementwise"
    return kernel


@pytest.mark.parametrize("is_large", [False, True], ids=["one run", "several runs"])
@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout[0])
def test_layouts_keep_every_bit(layout: Layout, is_large: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elementwise, "LARGE", 0 if is_large else 1 << 70)
    if not is_large:  # then few blocks, whose threads go on from run to run
        monkeypatch.setattr(elementwise, "grid", partial(grid, most_blocks=2))
    graph = graph_of(layout)
    scheduled(graph)
    for n, m in SIZES:
        check_same_bits(graph, structured_arguments(graph, seed=n, sizes={"n": n, "m": m}))


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout[0])
def test_runs_are_as_wide_as_memory_allows(layout: Layout) -> None:
    (call,) = lower(optimize(graph_of(layout))).calls
    nest = find_nest(call.kernel)
    assert nest is not None
    assert run_width(nest) == layout[3]


def test_no_iteration_is_no_block() -> None:
    graph = g.symbolic_trace(lambda x: x * 2, "f32[n]")
    grid_ = grid_of(scheduled(graph))
    assert grid_ is not None
    assert [evaluate(grid_.blocks, {"n": n}) for n in (0, 1, 2048, 2049, 1 << 40)] == [0, 1, 1, 2, MOST_BLOCKS]


def test_several_runs_are_loaded_before_one_is_stored() -> None:
    kernel = scheduled(g.symbolic_trace(lambda x, y: x + y, "f32[4194304]", "f32[4194304]"))
    (run,) = (s for s in statements_in(kernel.body) if isinstance(s, Loop) and s.kind is LoopKind.VECTOR)
    assert run.extent == 4
    kinds = [type(s) for s in run.body if isinstance(s, Load | Store)]
    assert kinds == [Load] * 4 + [Store] * 2


def test_a_loop_inside_and_a_value_of_the_row_are_one_nest() -> None:
    """What is computed in front of the inner loop is computed by each of its threads, but stored by one of them."""
    kernel = parse_kernel("""
        kernel rows {
          size n
          read x: f32[n]
          write y: f32[n]
          write z: f32[8*n]
          parallel i < n {
            %x: f32 = load x[i]
            %t: f32 = mul %x, 2.0:f32
            store y[i] = %t
            parallel j < 8 {
              store z[8*i + j] = %t
            }
          }
        }""")
    ((policy, call),) = scheduled_by(KernelCall(kernel, kernel.buffers, None), TARGET)  # type: ignore[arg-type]  # any
    assert policy == "elementwise"
    x = np.arange(5, dtype=np.float32)
    y, z = np.zeros(5, np.float32), np.zeros(40, np.float32)
    assert run_kernel(call.kernel, {"x": x, "y": y, "z": z}, {"n": 5}) == []
    np.testing.assert_array_equal(y, 2 * x)
    np.testing.assert_array_equal(z, np.repeat(2 * x, 8))


@pytest.mark.parametrize("size", ["5000", "4194304", "n", "n,100"])
def test_a_result_takes_the_place_of_an_operand(size: str) -> None:
    graph = g.symbolic_trace(lambda x, y: x * y + 1, f"f32[{size}]", f"f32[{size}]")
    assert gpu_program(graph, donated={0: 1}).in_place == ((0, 1),)


@pytest.mark.parametrize("size", ["5000", "4194304", "n"])
def test_a_result_takes_no_place_that_is_still_read(size: str) -> None:
    graph = g.symbolic_trace(lambda x: x + x.flip(0), f"f32[{size}]")
    assert gpu_program(graph, donated={0: 0}).in_place == ()


@pytest.mark.parametrize(("threads", "in_place"), [("b", ()), ("32*b + t", ((0, 0),))], ids=["all", "one"])
def test_a_result_takes_no_place_that_other_threads_read(threads: str, in_place: tuple[tuple[int, int], ...]) -> None:
    """Where all threads of a row read an element that one of them writes, another one may be late."""
    kernel = parse_kernel(f"""
        kernel rows {{
          size n
          read x: f32[32*n]
          write y: f32[32*n]
          block b < n {{
            thread t < 32 {{
              %x: f32 = load x[{threads}]
              %at: i64 = position t
              %first: bool = eq %at, 0:i64
              store y[{threads}] = %x {"where %first" if threads == "b" else ""}
            }}
          }}
        }}""")
    x = make_input("x", TensorType((symbol("n") * 32,), f32))
    y = Result(x, 0)
    lowered = Lowered(Graph("rows", (x,), (neg(x),)), (KernelCall(kernel, (x, y), None),), (y,), ())
    assert plan_memory(lowered, {0: 0}).in_place == in_place
