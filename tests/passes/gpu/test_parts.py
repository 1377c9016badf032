"""Several nests in one kernel: one grid for those over elements, a kernel each for others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import graphc as g
from tests.gpu.harness import check_same_bits, schedule_graph
from tests.structured_graphs import structured_arguments

JOINED: dict[str, tuple[Callable[..., Any], list[str], list[str]]] = {
    # what, the function, its arguments, the policies of its kernels
    "short parts share a grid": (lambda *x: g.cat(x), [f"f32[{100 * i + 2}]" for i in range(9)], ["parts"]),
    "parts of any length have kernels": (
        lambda *x: g.cat(x),
        [f"f32[{i}*n]" for i in range(1, 10)],
        ["elementwise"] * 9,
    ),
    "rows of parts have kernels": (
        lambda *x: g.cat(x, 1),
        [f"f32[3,{i + 2},7]" for i in range(9)],
        ["elementwise"] * 9,
    ),
}


@pytest.mark.parametrize("name", JOINED)
def test_joined_parts_keep_every_bit(name: str) -> None:
    function, specs, policies = JOINED[name]
    graph = g.symbolic_trace(function, *specs)
    assert list(schedule_graph(graph).policies.values()) == policies
    for n in (1, 77):
        check_same_bits(graph, structured_arguments(graph, seed=n, sizes={"n": n}))
