"""Scheduling: what each step does to a kernel's text, which steps the CPU policy takes, and that values stay."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from graphc.frontend.executable import make_program, optimize
from graphc.ir.parse import parse_graph
from graphc.kernel.interpret import run_program
from graphc.kernel.ir import Kernel, Loop
from graphc.kernel.parse import parse_kernel
from graphc.kernel.text import print_kernel
from graphc.kernel.verify import verify_kernel
from graphc.passes.lower import lower
from graphc.passes.memory import plan_memory
from graphc.passes.schedule import schedule, split, tile
from tests.structured_graphs import structured_arguments, structured_graph

COPY = """
kernel copy {
  read x: f32[1000]
  write y: f32[1000]
  parallel i < 1000 {
    %v: f32 = load x[i]
    store y[i] = %v
  }
}
"""


def transpose(rows: int, columns: int) -> str:
    return f"""
    kernel transpose {{
      read x: f32[{rows * columns}]
      write y: f32[{rows * columns}]
      parallel i < {rows} {{
        parallel j < {columns} {{
          %v: f32 = load x[i + {rows}*j]
          store y[{columns}*i + j] = %v
        }}
      }}
    }}
    """


def outermost(kernel: Kernel) -> Loop:
    (loop,) = kernel.body
    assert isinstance(loop, Loop)
    return loop


def text(kernel: Kernel, loop: Loop | None = None) -> list[str]:
    """The kernel's lines, its loop replaced."""
    changed = kernel if loop is None else replace(kernel, body=(loop,))
    verify_kernel(changed)
    return [line.strip() for line in print_kernel(changed).strip().splitlines()]


def test_split_keeps_a_rest_of_fewer_iterations() -> None:
    kernel = parse_kernel(COPY)
    found = text(kernel, split(outermost(kernel), 64)[0])
    assert found[3:7] == [
        "parallel io < 16 {",
        "parallel ii < min(-64*io + 1000, 64) {",
        "%v: f32 = load x[ii + 64*io]",
        "store y[ii + 64*io] = %v",
    ]


def test_split_by_a_divisor_has_no_rest() -> None:
    kernel = parse_kernel(COPY)
    assert text(kernel, split(outermost(kernel), 100)[0])[3:5] == ["parallel io < 10 {", "parallel ii < 100 {"]


def test_tiles_put_both_loops_over_blocks_outside() -> None:
    kernel = parse_kernel(transpose(100, 80))
    outer = outermost(kernel)
    (inner,) = outer.body
    assert isinstance(inner, Loop)
    found = text(kernel, tile(outer, inner, 20, 40))
    assert found[3:9] == [
        "parallel io < 5 {",
        "parallel jo < 2 {",
        "parallel ii < 20 {",
        "parallel ji < 40 {",
        "%v: f32 = load x[ii + 20*io + 100*ji + 4000*jo]",
        "store y[80*ii + 1600*io + ji + 40*jo] = %v",
    ]


def test_transposed_copies_run_in_tiles() -> None:
    kernel = schedule(parse_kernel(transpose(1000, 1280)))
    assert [line.split(" <")[0] for line in text(kernel) if line.endswith("{")][1:] == [
        "parallel io",
        "serial jo",
        "serial ii",
        "vector ji",
    ]


def test_small_transposed_copies_stay_one_nest() -> None:
    kernel = schedule(parse_kernel(transpose(20, 30)))
    assert [line.split(" <")[0] for line in text(kernel) if line.endswith("{")][1:] == ["parallel i", "vector j"]


def test_a_short_loop_is_one_vector_loop() -> None:
    assert text(schedule(parse_kernel(COPY)))[3] == "vector i < 1000 {"


@pytest.mark.parametrize("shape", ["(300,200)", "(n,200)", "(300,n)"])
def test_tiles_keep_every_element(shape: str) -> None:
    source = ",".join(reversed(shape[1:-1].split(",")))
    graph = parse_graph(f"""
        graph f(%x: f32[{source}]) {{
          %0 = permute(%x) {{axes=(1,0)}} : f32[{shape[1:-1]}]
          return %0
        }}""")
    program = make_program(optimize(graph))
    for size in (1, 63, 130) if "n" in shape else (1,):
        (x,) = structured_arguments(graph, seed=0, sizes={"n": size})
        np.testing.assert_array_equal(run_program(program, [x])[0], x.T)


@pytest.mark.parametrize("seed", range(100, 130))
def test_scheduled_kernels_are_valid_and_keep_every_bit(seed: int) -> None:
    graph = structured_graph(seed, nodes=12, symbolic=seed % 3 == 0)
    lowered = lower(optimize(graph))
    plain = plan_memory(lowered)
    scheduled = plan_memory(replace(lowered, calls=tuple(replace(c, kernel=schedule(c.kernel)) for c in lowered.calls)))
    for launch in scheduled.launches:
        verify_kernel(launch.kernel)
    arrays = structured_arguments(graph, seed=seed)
    for a, b in zip(run_program(plain, arrays), run_program(scheduled, arrays), strict=True):
        assert a.tobytes() == b.tobytes()
