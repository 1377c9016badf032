"""Ops on sizes that are not known while the graph is built: types, gradients' types, and lowering for several sizes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from graphc.ir.dim import Size, evaluate, symbol
from graphc.ir.dtype import f32, f64, i64
from graphc.ir.graph import Graph, Node, make_input
from graphc.ir.interpret import evaluate_graph
from graphc.ir.type import TensorType
from graphc.ops import build
from graphc.ops import contraction as ct
from graphc.ops import creation as cr
from graphc.ops import elementwise as ew
from graphc.ops import indexing as ix
from graphc.ops import movement as mv
from graphc.ops import reduction as rd
from graphc.ops.indices import axis_groups, reshaped_indices
from graphc.passes.autodiff import differentiate
from tests.ops.element import CheckFailed, compute

N, M = symbol("n", 0, 100), symbol("m", 1, 100)
WHERE = make_input("where", TensorType((3,), i64))


def _pad(x: Node, low: Any, high: Any, interior: Any) -> Node:
    return mv.pad(x, build.zero(f64), low=low, high=high, interior=interior)


# (shape, node, its shape as text)
SHAPES: tuple[tuple[tuple[Size, ...], Callable[[Node], Node], str], ...] = (
    ((N, 4), lambda x: mv.reshape(x, shape=(4 * N,)), "[4*n]"),
    ((N, 4), lambda x: mv.reshape(x, shape=(N, 2, 2)), "[n,2,2]"),
    ((N, 4, M), lambda x: mv.reshape(x, shape=(4 * N, M)), "[4*n,m]"),
    ((6, N), lambda x: mv.reshape(x, shape=(N, 3, 2)), "[n,3,2]"),
    ((N, 4), lambda x: mv.permute(x, axes=(1, 0)), "[4,n]"),
    ((1, M), lambda x: mv.broadcast(x, shape=(N, M)), "[n,m]"),
    ((N,), lambda x: mv.slice_(x, start=(0,), stop=(N,), step=(3,)), "[((n + 2) // 3)]"),
    ((N + 2,), lambda x: mv.slice_(x, start=(1,), stop=(N + 1,), step=(1,)), "[n]"),
    ((N,), lambda x: _pad(x, (1,), (2,), (0,)), "[n + 3]"),
    ((M,), lambda x: _pad(x, (-1,), (0,), (0,)), "[m - 1]"),
    ((M,), lambda x: _pad(x, (0,), (1,), (1,)), "[2*m]"),
    ((N,), lambda x: _pad(x, (1,), (0,), (2,)), None),
    ((N, 2), lambda x: mv.flip(x, axes=(0,)), "[n,2]"),
    ((N, 2), lambda x: mv.concat(x, x, x, axis=0), "[3*n,2]"),
    ((N + 2,), lambda x: mv.window(x, axes=(0,), size=(3,), stride=(1,), dilation=(1,)), "[n,3]"),
    ((M,), lambda x: mv.window(x, axes=(0,), size=(1,), stride=(2,), dilation=(1,)), "[((m + 1) // 2),1]"),
    ((N, 3), lambda x: mv.fold(x, axes=(0,), size=(3,), stride=(1,), dilation=(1,), extent=(N + 2,)), "[n + 2]"),
    ((N, M), lambda x: rd.sum_(x, axes=(0,)), "[m]"),
    ((M, 2, M), lambda x: rd.sum_(x, axes=(0, 1)), "[m]"),
    ((M, 2), lambda x: rd.max_(x, axes=(0,)), "[2]"),
    ((M, 3), lambda x: rd.prod(x, axes=(0,)), "[3]"),
    ((N, 2), lambda x: rd.cumsum(x, axis=0), "[n,2]"),
    ((N, M), lambda x: ct.dot(x, x, contract=((1,), (1,))), "[n,n]"),
    ((N, M), lambda x: ct.dot(x, x, contract=((), ()), batch=((0,), (0,))), "[n,m,m]"),
)
WITHOUT_RULE = ("cumsum", "dot")


def _of(shape: tuple[Size, ...], build_node: Callable[[Node], Node]) -> tuple[Node, Node]:
    x = make_input("x", TensorType(shape, f64))
    return x, build_node(x)


@pytest.mark.parametrize("shape, build_node, expected", SHAPES)
def test_types_and_types_of_gradients(shape: Any, build_node: Callable[[Node], Node], expected: str | None) -> None:
    x, out = _of(shape, build_node)
    if expected is not None:
        assert str(out.tensor) == "f64" + expected
    loss = Graph("f", (x,), (rd.sum_(ew.mul(out, out), axes=tuple(range(len(out.shape)))),))
    gradient = differentiate(loss, seed=True).outputs[1]
    assert gradient.type == x.type
    square = rd.sum_(ew.mul(gradient, gradient), axes=tuple(range(len(x.shape))))
    assert differentiate(Graph("g", (x,), (square,)), seed=True).outputs[1].type == x.type


@pytest.mark.parametrize("shape, build_node, expected", SHAPES)
@pytest.mark.parametrize("n, m", ((5, 4), (1, 1), (0, 3), (8, 2)))
def test_lowering_rules_fit_every_size(shape: Any, build_node: Any, expected: Any, n: int, m: int) -> None:
    x, out = _of(shape, build_node)
    if out.op.name in WITHOUT_RULE:
        return
    sizes = {"n": n, "m": m}
    concrete = tuple(evaluate(size, sizes) for size in shape)
    array = np.random.default_rng(1).uniform(-1, 1, concrete)
    operands = tuple(array if operand is x else np.zeros(()) for operand in out.inputs)  # pads have a value
    (wanted,) = evaluate_graph(Graph("f", (x,), (out,)), (array,), sizes)
    np.testing.assert_allclose(compute(out, operands, sizes), wanted, rtol=1e-12, atol=1e-15)


def test_reshape_that_splits_and_merges_axes_needs_no_division() -> None:
    i, j, k, batch = (symbol(name, 0, size - 1) for name, size in (("i", N), ("j", 4), ("k", M), ("b", N)))
    assert reshaped_indices((i, j, k), (N, 4 * M), (N, 4, M)) == (i, j * M + k)
    assert reshaped_indices((i, j, k), (N, 1, 4, M), (N, 4, M)) == (i, 0, j, k)
    assert reshaped_indices((batch, 0, k), (N, M), (N, 1, M)) == (batch, k)
    row = symbol("r", 0, 4 * N - 1)
    assert reshaped_indices((row, k), (N, 4, M), (4 * N, M)) == (row // 4, row % 4, k)


def test_axes_of_a_reshape_fall_into_the_finest_groups() -> None:
    assert axis_groups((6, 5), (2, 3, 5)) == (((0,), (0, 1)), ((1,), (2,)))
    assert axis_groups((N, 4, M), (4 * N, M)) == (((0, 1), (0,)), ((2,), (1,)))
    assert axis_groups((N, M), (M, N)) == (((0, 1), (0, 1)),)
    assert axis_groups((1, N, 1), (N,)) == (((1,), (0,)),)
    assert axis_groups((N,), (M,)) is None
    assert axis_groups((), ()) == ()


def test_size_is_a_number_at_run_time() -> None:
    x = make_input("x", TensorType((N,), f32))
    mean = ew.div(rd.sum_(x, axes=(0,)), cr.size(value=N, dtype=f32))
    assert evaluate_graph(Graph("mean", (x,), (mean,)), (np.arange(5, dtype=np.float32),))[0] == 2.0
    assert compute(cr.size(value=2 * N + 1, dtype=i64), (), {"n": 5}) == 11


def test_gather_reads_nothing_of_an_axis_that_turns_out_empty() -> None:
    x = make_input("x", TensorType((N, 2), f64))
    out = ix.gather(x, WHERE, axis=0)
    with pytest.raises(CheckFailed):
        compute(out, (np.zeros((0, 2)), np.zeros(3, np.int64)), {"n": 0})
