"""Gradients of primitives: two orders against central differences, and exact values where ops have kinks."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from graphc.ir.attribute import Array, Attribute
from graphc.ir.dtype import bf16, c128, dtype, f16, f32, f64
from graphc.ir.graph import Graph, Node, make_input
from graphc.ir.interpret import evaluate_graph
from graphc.ir.op import Op
from graphc.ir.type import TensorType
from graphc.ops import build
from graphc.ops import creation as cr
from graphc.ops import elementwise as ew
from graphc.ops import indexing as ix
from graphc.ops import movement as mv
from graphc.ops import reduction as rd
from graphc.passes.autodiff import differentiate
from tests.ops.cases import CASES, Case

Values = npt.NDArray[Any]
STEP = 1e-5


def weighted_sum(nodes: tuple[Node, ...], random: np.random.Generator) -> Node:
    """A real scalar in which every element of the nodes, and both parts of complex ones, has a weight of its own."""
    terms: list[Node] = []
    for node in nodes:
        is_complex = node.tensor.dtype.is_complex
        for part in (ew.real(node), ew.imag(node)) if is_complex else (node,):
            weights = cr.constant(value=Array(random.uniform(0.5, 1.5, part.shape)))
            terms.append(rd.sum_(ew.mul(part, weights), axes=tuple(range(len(part.shape)))))
    total = terms[0]
    for term in terms[1:]:
        total = ew.add(total, term)
    return total


def check_slope(graph: Graph, arrays: tuple[Values, ...], wrt: tuple[int, ...], random: np.random.Generator) -> None:
    """Compare the gradient of the graph's first output along a random direction with a central difference."""
    results = evaluate_graph(differentiate(graph, wrt, seed=True), arrays)
    gradients = results[len(graph.outputs) :]
    directions = dict.fromkeys(range(len(arrays)), 0.0) | {k: _direction(arrays[k], random) for k in wrt}
    slope = sum(float(np.sum((g.conj() * directions[k]).real)) for k, g in zip(wrt, gradients))
    ahead, behind = (
        float(evaluate_graph(graph, tuple(_moved(x, directions[k], step) for k, x in enumerate(arrays)))[0])
        for step in (STEP, -STEP)
    )
    difference = (ahead - behind) / (2 * STEP)
    scale = 1.0 + max(float(np.max(np.abs(g), initial=0.0)) for g in gradients)
    assert abs(slope - difference) < 2e-7 * scale * max(x.size for x in arrays) ** 0.5, (slope, difference)


def _direction(x: Values, random: np.random.Generator) -> Values:
    real = random.uniform(-1, 1, x.shape)
    return real + 1j * random.uniform(-1, 1, x.shape) if x.dtype == c128.numpy else real


def _moved(x: Values, direction: Any, step: float) -> Values:
    return x + direction * step if x.dtype in (f64.numpy, c128.numpy) else x


@pytest.mark.parametrize("case", [case for case in CASES if case.gradient], ids=lambda case: case.id)
def test_first_and_second_order_agree_with_differences(case: Case) -> None:
    random = np.random.default_rng(7)
    inputs = case.inputs()
    wrt = tuple(k for k, x in enumerate(inputs) if x.tensor.dtype.is_differentiable)
    if case.op is ew.copysign:
        wrt = (0,)
    loss = Graph("loss", inputs, (weighted_sum((case.op(*inputs, **case.attributes),), random),))
    check_slope(loss, case.arrays, wrt, random)
    gradients = differentiate(loss, wrt, seed=True).outputs[1:]
    check_slope(Graph("slope", inputs, (weighted_sum(gradients, random),)), case.arrays, wrt, random)


def gradient_of(op: Op, *arrays: Any, wrt: int = 0, cotangent: Any = 1.0, **attributes: Attribute) -> Values:
    """The gradient of the sum of op's result, times `cotangent`, by one operand."""
    values = tuple(np.asarray(x) for x in arrays)
    inputs = tuple(make_input(f"x{k}", TensorType(x.shape, dtype(x.dtype))) for k, x in enumerate(values))
    out = op(*inputs, **attributes)
    scaled = ew.mul(out, build.full_like(out, cotangent))
    total = rd.sum_(scaled, axes=tuple(range(len(out.shape))))
    return evaluate_graph(differentiate(Graph("f", inputs, (total,)), (wrt,), seed=True), values)[1]


INF, NAN = math.inf, math.nan

# What PyTorch 2 gives at these points.
KINKS: tuple[tuple[Op, tuple[Any, ...], int, dict[str, Attribute], Any], ...] = (
    (ew.abs_, ([-2.0, 0.0, 3.0],), 0, {}, [-1.0, 0.0, 1.0]),
    (ew.sqrt, ([0.0, 4.0],), 0, {}, [INF, 0.25]),
    (ew.log, ([0.0, 2.0],), 0, {}, [INF, 0.5]),
    (ew.maximum, ([1.0, 2.0, 5.0, NAN], [1.0, 3.0, 4.0, 1.0]), 0, {}, [0.5, 0.0, 1.0, 1.0]),
    (ew.maximum, ([1.0, 2.0, 5.0, NAN], [1.0, 3.0, 4.0, 1.0]), 1, {}, [0.5, 1.0, 0.0, 1.0]),
    (ew.minimum, ([1.0, 2.0, 5.0], [1.0, 3.0, 4.0]), 0, {}, [0.5, 1.0, 0.0]),
    (ew.pow_, ([0.0, 0.0, 0.0, 2.0], [0.0, 1.0, 2.0, 0.0]), 0, {}, [0.0, 1.0, 0.0, 0.0]),
    (ew.pow_, ([0.0, 0.0, 2.0], [0.0, 2.0, 0.0]), 1, {}, [0.0, 0.0, math.log(2)]),
    (ew.copysign, ([0.0, -2.0], [1.0, 1.0]), 0, {}, [0.0, -1.0]),
    (rd.max_, ([[1.0, 3.0, 3.0], [2.0, 2.0, 2.0]],), 0, {"axes": (1,)}, [[0.0, 0.5, 0.5], [1 / 3, 1 / 3, 1 / 3]]),
    (rd.max_, ([[1.0, 3.0], [3.0, 3.0]],), 0, {"axes": (0, 1)}, [[0.0, 1 / 3], [1 / 3, 1 / 3]]),
    (rd.min_, ([1.0, 1.0, 2.0],), 0, {"axes": (0,)}, [0.5, 0.5, 0.0]),
    (rd.prod, ([0.0, 2.0, 3.0],), 0, {"axes": (0,)}, [6.0, 0.0, 0.0]),
    (rd.prod, ([0.0, 0.0, 3.0],), 0, {"axes": (0,)}, [0.0, 0.0, 0.0]),
    (ew.select, ([True, False], [1.0, 2.0], [3.0, 4.0]), 1, {}, [1.0, 0.0]),
)


@pytest.mark.parametrize(
    "op, arrays, wrt, attributes, expected", KINKS, ids=lambda v: v.name if hasattr(v, "name") else ""
)
def test_gradient_at_kinks_and_ties(
    op: Op, arrays: tuple[Any, ...], wrt: int, attributes: dict[str, Attribute], expected: Any
) -> None:
    np.testing.assert_allclose(gradient_of(op, *arrays, wrt=wrt, **attributes), expected, rtol=1e-15)


def test_gradient_of_abs_of_complex_points_outward_and_is_zero_at_zero() -> None:
    np.testing.assert_allclose(gradient_of(ew.abs_, np.array([3 + 4j, 0j])), [0.6 + 0.8j, 0j], rtol=1e-15)


def test_gradient_of_complex_product_is_conjugated() -> None:
    x, y = np.array([1 + 2j]), np.array([3 - 1j])
    inputs = tuple(make_input(name, TensorType((1,), c128)) for name in "xy")
    loss = rd.sum_(ew.real(ew.mul(*inputs)), axes=(0,))
    gradients = evaluate_graph(differentiate(Graph("f", inputs, (loss,)), (0, 1), seed=True), (x, y))[1:]
    np.testing.assert_array_equal(gradients, [y.conj(), x.conj()])


def test_only_the_last_of_several_updates_has_a_gradient() -> None:
    where = np.array([1, 0, -2, 1])  # -2 is 1: the last of the three counts
    arrays = (np.zeros(3), where, np.arange(4.0))
    np.testing.assert_array_equal(gradient_of(ix.scatter, *arrays, wrt=2, axis=0, mode="set"), [0, 1, 0, 1])
    np.testing.assert_array_equal(gradient_of(ix.scatter, *arrays, wrt=0, axis=0, mode="set"), [0, 0, 1])
    np.testing.assert_array_equal(gradient_of(ix.scatter, *arrays, wrt=2, axis=0, mode="add"), [1, 1, 1, 1])


@pytest.mark.parametrize("kind", (f16, bf16, f32), ids=lambda d: d.name)
def test_gradients_have_the_dtype_of_the_operand(kind: Any) -> None:
    x = np.ones((3, 2), kind.numpy)
    gradient = gradient_of(ix.gather, x, np.array([1, 1, 2]), axis=0)
    assert gradient.dtype == kind.numpy
    np.testing.assert_array_equal(gradient.astype(np.float32), [[0, 0], [2, 2], [1, 1]])
    assert gradient_of(mv.broadcast, np.ones((1, 2), kind.numpy), shape=(5, 2)).dtype == kind.numpy
    assert gradient_of(ew.cast, x, dtype=f64).dtype == kind.numpy


def test_gradient_stops_at_integers() -> None:
    x = np.array([1.5, 2.5])
    inputs = (make_input("x", TensorType((2,), f64)),)
    whole = ew.cast(ew.cast(inputs[0], dtype=dtype("int64")), dtype=f64)
    loss = rd.sum_(ew.mul(whole, inputs[0]), axes=(0,))
    np.testing.assert_array_equal(
        evaluate_graph(differentiate(Graph("f", inputs, (loss,)), seed=True), (x,))[1], [1.0, 2.0]
    )


def test_third_order_of_a_power() -> None:
    inputs = (make_input("x", TensorType((), f64)),)
    graph = Graph("f", inputs, (ew.pow_(inputs[0], build.constant(4.0, f64)),))
    for _ in range(3):
        graph = Graph("f", inputs, (differentiate(graph, (0,), seed=True).outputs[1],))
    for x in (2.0, 0.0, -1.5):
        (value,) = evaluate_graph(graph, (np.array(x),))
        assert value == pytest.approx(24 * x)
