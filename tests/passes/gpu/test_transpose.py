"""Transposed elements on a GPU: which kernels go through tiles, and that every element arrives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import graphc as g
from graphc.ir.dim import evaluate, symbols
from graphc.kernel.ir import Load, Loop, LoopKind, Space, Store, statements_in
from tests.gpu.harness import check_same_bits, schedule_graph
from tests.structured_graphs import structured_arguments

Case = tuple[Callable[..., Any], tuple[str, ...]]

MOVED: dict[str, Case] = {
    "matrix": (lambda x: x.T * 2, ("f32[130,97]",)),
    "matrix of whole tiles": (lambda x: x.T * 2, ("f32[128,96]",)),
    "matrix of any size": (lambda x: x.T * 2, ("f32[n,m]",)),
    "matrix of doubles": (lambda x: x.T * 2, ("f64[130,97]",)),
    "matrix of bytes": (lambda x: x.T + 1, ("u8[130,97]",)),
    "complex matrix": (lambda x: x.T * 2, ("c64[130,97]",)),
    "beside one that is not transposed": (lambda x, y, z: x.T * y + z, ("f32[130,97]", "f32[97,130]", "f32[130]")),
    "both transposed": (lambda x, y: x.T + y.T, ("f32[130,97]", "bf16[130,97]")),
    "matrices": (lambda x: x.transpose(1, 2).exp(), ("f32[3,70,80]",)),
    "channels first": (lambda x: x.permute(0, 3, 1, 2) + 1, ("f32[3,9,11,40]",)),
    "channels last": (lambda x: x.permute(0, 2, 3, 1) + 1, ("f32[3,40,9,11]",)),
    "channels last of any size": (lambda x: x.permute(0, 2, 3, 1) + 1, ("f32[n,40,m,11]",)),
    "heads": (lambda x: x.reshape(3, 20, 4, 50).permute(0, 2, 3, 1) * 2, ("f32[3,20,200]",)),
    "with a border": (lambda x: g.nn.functional.pad(x, (1, 2, 3, 4)).T, ("f32[90,91]",)),
    "part of a matrix": (lambda x: x[3:, 5:].T * 2, ("f32[130,97]",)),
    "reversed": (lambda x: x.flip(0).T * 2, ("f32[130,97]",)),
}
LEFT: dict[str, Case] = {
    "few elements": (lambda x: x.T * 2, ("f32[30,40]",)),
    "few columns": (lambda x: x.T * 2, ("f32[5000,4]",)),
    "rows stay rows": (lambda x: x.transpose(0, 1) * 2, ("f32[30,40,50]",)),
}


@pytest.mark.parametrize("name", MOVED)
def test_every_element_arrives(name: str) -> None:
    graph = g.symbolic_trace(MOVED[name][0], *MOVED[name][1])
    assert list(schedule_graph(graph).policies.values()) == ["transpose"]
    for n, m in ((33, 65), (1, 1), (64, 31)) if graph.sizes else ((0, 0),):
        check_same_bits(graph, structured_arguments(graph, seed=n, sizes={"n": n, "m": m}))


@pytest.mark.parametrize("name", LEFT)
def test_what_needs_no_tiles_has_none(name: str) -> None:
    graph = g.symbolic_trace(LEFT[name][0], *LEFT[name][1])
    assert list(schedule_graph(graph).policies.values()) == ["elementwise"]


@pytest.mark.parametrize("name", MOVED)
def test_threads_side_by_side_touch_neighbours(name: str) -> None:
    graph = g.symbolic_trace(MOVED[name][0], *MOVED[name][1])
    ((kernel, _),) = schedule_graph(graph).policies.items()
    thread = next(s for s in statements_in(kernel.body) if isinstance(s, Loop) and s.kind is LoopKind.THREAD)
    parts = 2 if any(node.tensor.dtype.is_complex for node in graph.inputs) else 1
    for statement in statements_in(thread.body):
        if isinstance(statement, Load | Store) and statement.buffer.space is Space.GLOBAL:
            others = {**dict.fromkeys((each.name for each in symbols(statement.index)), 0), "n": 70, "m": 70}
            here, next_ = (evaluate(statement.index, {**others, thread.symbol.name: t}) for t in (5, 6))
            assert next_ - here in (0, parts)
