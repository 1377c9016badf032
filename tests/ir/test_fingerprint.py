"""The structural hash: the same for graphs that compute the same way, another for each part that differs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from graphc.ir import fingerprint as fingerprint_module
from graphc.ir.attribute import Array, Attribute
from graphc.ir.dim import Size, symbol
from graphc.ir.dtype import DType, f32, f64
from graphc.ir.fingerprint import fingerprint
from graphc.ir.graph import FUSED, Graph, Node, make_input
from graphc.ir.location import Location, using
from graphc.ir.op import Op
from graphc.ir.text import print_graph
from graphc.ir.type import TensorType
from graphc.ops import creation, elementwise, movement, reduction

n = symbol("n", 1, 64)


def build(
    *,
    name: str = "step",
    first: str = "x",
    size: Size = n,
    dtype: DType = f32,
    op: Op = elementwise.exp,
    axes: tuple[int, ...] = (0,),
    constant: float = 1.5,
    shape: tuple[int, ...] = (1, 4),
    swap_inputs: bool = False,
    swap_operands: bool = False,
    swap_outputs: bool = False,
    share: bool = True,
    fuse: bool = False,
    body_op: Op = elementwise.sin,
    extra_input: bool = False,
    line: int = 1,
) -> Graph:
    with using(Location("train.py", line)):
        x, y = make_input(first, TensorType((size, 4), dtype)), make_input("y", TensorType((size, 4), dtype))
        c = creation.constant(value=Array(np.full(shape, constant, dtype.numpy)))
        a = op(elementwise.add(x, movement.broadcast(movement.reshape(c, shape=(1, 4)), shape=x.shape)))
        b = a if share else op(a.inputs[0])
        if fuse:
            inner = make_input("inner", a.tensor)
            b = FUSED(b, body=Graph("body", (inner,), (body_op(inner),)))
        d = elementwise.sub(b, y) if swap_operands else elementwise.sub(y, b)
        outputs = (reduction.sum_(d, axes=axes), a)
        inputs = (y, x) if swap_inputs else (x, y)
        if extra_input:
            inputs = (*inputs, make_input("unused", x.tensor))
        return Graph(name, inputs, outputs[::-1] if swap_outputs else outputs)


def test_it_is_the_same_for_the_same_structure() -> None:
    assert fingerprint(build()) == fingerprint(build())
    assert len(fingerprint(build())) == 64


def test_it_does_not_depend_on_locations_or_the_graph_s_name() -> None:
    assert fingerprint(build(line=7, name="other")) == fingerprint(build())


CHANGES: tuple[dict[str, object], ...] = (
    {"first": "z"},
    {"size": 3},
    {"size": symbol("m", 1, 64)},
    {"size": symbol("n", 0, 64)},
    {"size": symbol("n", 1, 63)},
    {"size": symbol("n", 1)},
    {"size": 2 * n},
    {"dtype": f64},
    {"op": elementwise.log},
    {"axes": (1,)},
    {"axes": (0, 1)},
    {"constant": 1.25},
    {"constant": 0.0},
    {"constant": -0.0},
    {"constant": float("nan")},
    {"shape": (4, 1)},
    {"swap_inputs": True},
    {"swap_operands": True},
    {"swap_outputs": True},
    {"share": False},
    {"extra_input": True},
    {"fuse": True},
    {"fuse": True, "body_op": elementwise.cos},
)


def test_each_part_changes_it() -> None:
    changed = [fingerprint(build(**change)) for change in CHANGES]  # type: ignore[arg-type]  # a table of keywords
    assert len({fingerprint(build()), *changed}) == 1 + len(CHANGES)


DIFFERENT_ATTRIBUTES: tuple[Attribute, ...] = (
    None,
    "none",
    False,
    0,
    0.0,
    -0.0,
    "0",
    (),
    ((),),
    (0,),
    (0, 0),
    ((0,), 0),
    (0, (0,)),
    "0,0",
    "a",
    "a=b",
    ("a", "b"),
    ("a,b",),
    f32,
    "f32",
    symbol("f32"),
    n,
    "n",
    Array(np.zeros(2)),
    Array(np.zeros(3)),
    Array(np.zeros(2, np.float32)),
)


def test_attributes_that_differ_change_it(probe: Op) -> None:
    def graph(value: Attribute) -> Graph:
        return Graph("g", (), (probe(value=value),))

    assert len({fingerprint(graph(value)) for value in DIFFERENT_ATTRIBUTES}) == len(DIFFERENT_ATTRIBUTES)


def test_the_names_of_attributes_count(probe: Op) -> None:
    assert fingerprint(Graph("g", (), (probe(a=1, b=2),))) != fingerprint(Graph("g", (), (probe(a=2, b=1),)))
    assert fingerprint(Graph("g", (), (probe(a=1),))) != fingerprint(Graph("g", (), (probe(b=1),)))


def test_nodes_that_no_output_needs_do_not_count() -> None:
    graph = build()
    elementwise.neg(graph.inputs[0])
    assert fingerprint(graph) == fingerprint(build())


def test_it_is_computed_once_for_a_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = build(fuse=True)
    first = fingerprint(graph)
    monkeypatch.setattr(fingerprint_module, "_hash", lambda graph: "computed anew")
    assert fingerprint(graph) == first
    assert fingerprint(build()) == "computed anew"


@pytest.mark.parametrize("seed", range(30))
def test_random_graphs_have_the_hash_of_their_text(seed: int, random_graph: Callable[[int], Graph]) -> None:
    assert fingerprint(random_graph(seed)) == fingerprint(random_graph(seed))
    graph, other = random_graph(seed), random_graph(seed + 1)
    same_text = print_graph(replace(graph, name=""), locations=False) == print_graph(
        replace(other, name=""), locations=False
    )
    assert (fingerprint(graph) == fingerprint(other)) == same_text


def test_it_is_the_same_in_another_process() -> None:
    code = (
        "import sys, graphc.ops\n"
        "from graphc.ir.fingerprint import fingerprint\n"
        "from graphc.ir.parse import parse_graph\n"
        "print(fingerprint(parse_graph(sys.stdin.read())))"
    )
    graph = build(fuse=True)
    run = subprocess.run(
        [sys.executable, "-c", code],
        input=print_graph(graph),
        env={**os.environ, "PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.strip() == fingerprint(graph)


def test_bodies_in_bodies_in_long_chains_do_not_recurse() -> None:
    a = make_input("a", TensorType((4,), f32))
    value: Node = a
    for _ in range(3000):
        value = elementwise.neg(value)
    body = Graph("body", (a,), (value,))
    for _ in range(2000):
        body = Graph("body", (a,), (FUSED(a, body=body),))
    assert fingerprint(body) != fingerprint(Graph("body", (a,), (a,)))
