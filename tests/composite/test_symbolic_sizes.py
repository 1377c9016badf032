"""Functions on sizes that are not known while the graph is built: types, and values for several sizes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphc as g
from graphc.ir.dim import evaluate
from graphc.ir.interpret import evaluate_graph
from graphc.ir.type import TensorType
from tests.composite.case import assert_close, interpret

CASES: tuple[tuple[str, Callable[..., Any], tuple[str, ...], str], ...] = (
    ("softmax", lambda x: x.softmax(1), ("f64[n,m]",), "f64[n,m]"),
    ("mean", lambda x: x.mean(0), ("f64[n,m]",), "f64[m]"),
    ("layer_norm", lambda x, w: g.layer_norm(x, x.shape[1:], w), ("f64[n,m]", "f64[m]"), "f64[n,m]"),
    ("group_norm", lambda x: g.group_norm(x, 2), ("f64[n,4,m]",), "f64[n,4,m]"),
    ("batch_norm", lambda x: g.batch_norm(x, None, None, training=True), ("f64[n,3,m]",), "f64[n,3,m]"),
    ("matmul", g.matmul, ("f64[k,n,m]", "f64[m,3]"), "f64[k,n,3]"),
    ("matmul-batches", g.matmul, ("f64[k,1,n,m]", "f64[k,2,m,n]"), "f64[k,2,n,n]"),
    ("linear", g.linear, ("f64[k,n,3]", "f64[m,3]", "f64[m]"), "f64[k,n,m]"),
    ("einsum", lambda x, y: g.einsum("bij,bkj->bik", x, y), ("f64[k,n,3]", "f64[k,m,3]"), "f64[k,n,m]"),
    ("einsum-diagonal", lambda x: g.einsum("ii->i", x), ("f64[n,n]",), "f64[n]"),
    ("kron", g.kron, ("f64[n,2]", "f64[m,3]"), "f64[m*n,6]"),
    ("cross_entropy", g.cross_entropy, ("f64[n,m]", "i64[n]"), "f64[]"),
    ("mse_loss", g.mse_loss, ("f64[n,m]", "f64[n,m]"), "f64[]"),
    ("slice-ends", lambda x: x[1:] - x[:-1], ("f64[n]",), "f64[max(0, n - 1)]"),
    ("slice-known", lambda x: x[1:] - x[:-1], ("f64[n] where n in 1..64",), "f64[n - 1]"),
    ("slice-long", lambda x: x[3:], ("f64[n]",), "f64[max(0, n - 3)]"),
    ("slice-first", lambda x: x[:2], ("f64[n]",), "f64[min(2, n)]"),
    ("slice-step", lambda x: x[::2], ("f64[n]",), "f64[((n + 1) // 2)]"),
    ("slice-half", lambda x: x[: x.shape[0] // 2], ("f64[n]",), None),
    ("last", lambda x: x[-1], ("f64[n,m] where n in 1..64",), "f64[m]"),
    ("index", lambda x, i: x[:, i], ("f64[3,n]", "i64[m]"), "f64[3,m]"),
    ("index-two", lambda x, i: x[i, i], ("f64[n,n]", "i64[m]"), "f64[m]"),
    ("gather", lambda x, i: x.gather(1, i), ("f64[n,m]", "i64[n,2]"), "f64[n,2]"),
    ("scatter_add", lambda x, i, s: x.scatter_add(0, i, s), ("f64[n]", "i64[m]", "f64[m]"), "f64[n]"),
    ("embedding", g.embedding, ("f64[m,3]", "i64[k,n]"), "f64[k,n,3]"),
    ("diagonal", lambda x: x.diagonal(dim1=1, dim2=2), ("f64[m,n,n]",), "f64[m,n]"),
    ("trace", g.trace, ("f64[n,n]",), "f64[]"),
    ("tril", g.tril, ("f64[n,n]",), "f64[n,n]"),
    ("conv1d", lambda x, w: g.conv1d(x, w, padding=1), ("f64[n,2,m]", "f64[3,2,3]"), "f64[n,3,m]"),
    ("conv2d", lambda x, w: g.conv2d(x, w, stride=2, padding=1), ("f64[1,2,n,m]", "f64[3,2,3,3]"), None),
    (
        "conv_transpose1d",
        lambda x, w: g.conv_transpose1d(x, w, stride=2),
        ("f64[n,2,m] where m in 1..64", "f64[2,3,2]"),
        "f64[n,3,2*m]",
    ),
    ("max_pool1d", lambda x: g.max_pool1d(x, 2), ("f64[n,2,m]",), "f64[n,2,(m // 2)]"),
    ("max_pool1d-ceil", lambda x: g.max_pool1d(x, 2, ceil_mode=True), ("f64[n,2,m]",), None),
    ("avg_pool1d", lambda x: g.avg_pool1d(x, 2, ceil_mode=True), ("f64[n,2,m]",), None),
    ("adaptive_avg_pool1d", lambda x: g.adaptive_avg_pool1d(x, 1), ("f64[n,2,m]",), "f64[n,2,1]"),
    ("adaptive_max_pool1d", lambda x: g.adaptive_max_pool1d(x, 2), ("f64[n,2,2*m]",), "f64[n,2,2]"),
    ("pad", lambda x: g.pad(x, (1, 2)), ("f64[n]",), "f64[n + 3]"),
    ("pad-reflect", lambda x: g.pad(x, (1, 2), mode="reflect"), ("f64[2,n] where n in 3..64",), "f64[2,n + 3]"),
    ("cat", lambda x, y: g.cat([x, y]), ("f64[n,2]", "f64[m,2]"), "f64[m + n,2]"),
    ("arange", lambda x: x + g.arange(x.shape[0]), ("f64[n]",), "f64[n]"),
    ("arange-from", lambda x: g.arange(2, x.shape[0] + 2) * x, ("f64[n]",), "f64[n]"),
    ("eye", lambda x: x @ g.eye(x.shape[0], dtype=x.dtype), ("f64[n,n]",), "f64[n,n]"),
    ("zeros", lambda x: g.zeros(x.shape[0], 2, dtype=x.dtype) + x[:, None], ("f64[n]",), "f64[n,2]"),
    ("repeat", lambda x: x.repeat(2, 3), ("f64[n,m]",), "f64[2*n,3*m]"),
    ("var", lambda x: x.var(), ("f64[n,m]",), "f64[]"),
    ("diff", lambda x: x.diff(), ("f64[n] where n in 2..64",), "f64[n - 1]"),
    ("meshgrid", lambda x, y: g.meshgrid(x, y)[1], ("f64[n]", "f64[m]"), "f64[n,m]"),
    ("glu", g.glu, ("f64[n,2*m]",), "f64[n,m]"),
    ("interpolate", lambda x: g.interpolate(x, size=4), ("f64[n,2,3]",), "f64[n,2,4]"),
)


@pytest.mark.parametrize(("name", "build", "specs", "expected"), CASES, ids=[case[0] for case in CASES])
def test_symbolic_sizes(name: str, build: Callable[..., Any], specs: tuple[str, ...], expected: str | None) -> None:
    graph = g.symbolic_trace(build, *specs)
    (output,) = graph.outputs
    if expected is not None:
        assert str(output.type) == expected
    assert any(not isinstance(size, int) for node in graph.inputs for size in node.shape)
    random = np.random.default_rng(1)
    for sizes in ({"n": 3, "m": 4, "k": 2}, {"n": 5, "m": 3, "k": 1}):
        arrays = [_array(node.tensor, sizes, random) for node in graph.inputs]
        assert_close(evaluate_graph(graph, arrays), interpret(build, *arrays), exact=False, limit=1e-12)


def _array(type: TensorType, sizes: dict[str, int], random: np.random.Generator) -> Any:
    shape = tuple(evaluate(size, sizes) for size in type.shape)
    return random.integers(0, 3, shape) if type.dtype.is_integer else random.uniform(-1, 1, shape)
