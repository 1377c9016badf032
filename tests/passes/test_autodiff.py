"""Reverse-mode differentiation: orders one to three against differences, zeros, errors, long chains."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphc.ir.attribute import Array
from graphc.ir.dtype import DType, c128, f32, f64, i64
from graphc.ir.errors import DTypeError, GraphcError, ShapeError
from graphc.ir.graph import FUSED, Graph, Node, make_input
from graphc.ir.interpret import evaluate_graph
from graphc.ir.location import Location, using
from graphc.ir.type import Shape, TensorType
from graphc.ir.verify import verify
from graphc.ops import build, creation
from graphc.ops import contraction as ct
from graphc.ops import elementwise as ew
from graphc.ops import movement as mv
from graphc.ops import reduction as rd
from graphc.passes.autodiff import differentiate, vjp
from graphc.passes.instrument import random_arguments
from tests.random_graphs import graphs

Function = Callable[..., Node]
Floats = npt.NDArray[np.float64]


def tensor(name: str, shape: Shape, dtype: DType = f64) -> Node:
    return make_input(name, TensorType(shape, dtype))


def total(x: Node) -> Node:
    return rd.sum_(x, axes=tuple(range(len(x.shape)))) if x.shape else x


def scalar_graph(function: Function, *shapes: Shape) -> Graph:
    inputs = tuple(tensor(f"x{i}", shape) for i, shape in enumerate(shapes))
    return Graph("f", inputs, (total(function(*inputs)),))


def weighted_gradients(graph: Graph) -> Graph:
    """The scalar sum of all gradients, each element weighted differently: differentiating it tests the next order."""
    joint = differentiate(graph, seed=True)
    parts: list[Node] = []
    for gradient in joint.outputs[len(graph.outputs) :]:
        size = int(np.prod(gradient.shape, dtype=int))
        weights = np.cos(np.arange(1.0, size + 1)).reshape(gradient.shape)
        parts.append(total(ew.mul(gradient, array(weights))))
    result = parts[0]
    for part in parts[1:]:
        result = ew.add(result, part)
    return Graph("g", graph.inputs, (result,))


def array(value: Floats) -> Node:
    return creation.constant(value=Array(value))


def assert_gradients_match_differences(graph: Graph, arguments: list[Floats], tolerance: float) -> None:
    """Along one random direction, the gradients give the slope that central differences find."""
    joint = differentiate(graph, seed=True)
    verify(joint)
    gradients = evaluate_graph(joint, arguments)[1:]
    generator = np.random.default_rng(7)
    directions = [generator.normal(size=each.shape) for each in arguments]
    step = 1e-5

    def value(sign: float) -> float:
        moved = [np.asarray(a + sign * step * d) for a, d in zip(arguments, directions)]
        return float(evaluate_graph(graph, moved)[0])

    expected = (value(1) - value(-1)) / (2 * step)
    found = sum(float(np.sum(np.asarray(g) * d)) for g, d in zip(gradients, directions))
    assert found == pytest.approx(expected, rel=tolerance, abs=tolerance)


def softmax(x: Node) -> Node:
    last = len(x.shape) - 1
    shifted = ew.sub(x, build.repeat_along(rd.max_(x, axes=(last,)), (last,), x.shape))
    power = ew.exp(shifted)
    return ew.div(power, build.repeat_along(rd.sum_(power, axes=(last,)), (last,), x.shape))


def layer(x: Node, w: Node, b: Node) -> Node:
    hidden = ct.dot(x, w, contract=((1,), (0,)), batch=((), ()))
    return ew.tanh(ew.add(hidden, build.broadcast_to(b, hidden.shape)))


CASES: dict[str, tuple[Function, tuple[Shape, ...]]] = {
    "product of three": (lambda x, y: ew.mul(ew.mul(x, y), x), ((4,), (4,))),
    "quotient": (lambda x, y: ew.div(ew.sin(x), ew.add(ew.mul(y, y), build.ones_like(y))), ((4,), (4,))),
    "value used many times": (lambda x: ew.add(ew.mul(x, ew.exp(x)), ew.mul(x, ew.sin(x))), ((5,),)),
    "softmax": (lambda x: ew.mul(softmax(x), softmax(ew.sin(x))), ((3, 4),)),
    "dense layer": (layer, ((3, 4), (4, 2), (2,))),
    "two layers": (
        lambda x, w, v: layer(layer(x, w, build.full(0.5, TensorType((4,), f64))), v, v_bias(v)),
        ((2, 3), (3, 4), (4, 2)),
    ),
    "views": (
        lambda x: ew.exp(
            mv.slice_(mv.permute(mv.flip(x, axes=(0,)), axes=(1, 0)), start=(1, 0), stop=(4, 3), step=(2, 1))
        ),
        ((3, 4),),
    ),
    "windows": (
        lambda x: ew.sin(mv.window(x, axes=(0,), size=(3,), stride=(2,), dilation=(1,))),
        ((9,),),
    ),
    "concat and pad": (
        lambda x, y: ew.sin(
            mv.pad(mv.concat(x, ew.mul(x, y), axis=0), build.zero(f64), low=(1,), high=(0,), interior=(1,))
        ),
        ((3,), (3,)),
    ),
    "select": (lambda x, y: ew.select(ew.lt(x, y), ew.mul(x, y), ew.exp(x)), ((6,), (6,))),
}


def v_bias(v: Node) -> Node:
    return rd.sum_(v, axes=(0,))


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("order", [1, 2, 3])
def test_gradients_match_central_differences(name: str, order: int) -> None:
    function, shapes = CASES[name]
    graph = scalar_graph(function, *shapes)
    for _ in range(order - 1):
        graph = weighted_gradients(graph)
    generator = np.random.default_rng(3)
    arguments = [generator.uniform(0.3, 1.2, shape) for shape in shapes]
    assert_gradients_match_differences(graph, arguments, 1e-6)


def test_cotangents_are_inputs_after_the_graphs_own() -> None:
    x, y = tensor("x", (3,)), tensor("ct_0", (3,))
    graph = Graph("f", (x, y), (ew.mul(x, y), ew.lt(x, y), ew.exp(y)))
    joint = differentiate(graph)
    assert [node.attribute("name") for node in joint.inputs] == ["x", "ct_0", "ct_0_", "ct_2"]
    a, b, c, d = (np.array([1.0, 2.0, 3.0]) * k for k in (1, 2, 3, 4))
    values = evaluate_graph(joint, (a, b, c, d))
    np.testing.assert_allclose(values[3], c * b)
    np.testing.assert_allclose(values[4], c * a + d * np.exp(b))


def test_an_input_without_influence_has_a_gradient_of_zeros() -> None:
    x, unused = tensor("x", (3,)), tensor("unused", (2, 2))
    joint = differentiate(Graph("f", (x, unused), (total(ew.exp(x)),)), seed=True)
    assert joint.outputs[2].type == unused.type
    values = evaluate_graph(joint, (np.ones(3), np.ones((2, 2))))
    np.testing.assert_array_equal(values[2], np.zeros((2, 2)))


def test_gradients_stop_at_ops_without_one_and_at_integers() -> None:
    x = tensor("x", (3,))
    steps = ew.cast(ew.cast(x, dtype=i64), dtype=f64)
    (found,) = vjp((ew.mul(steps, x),), (x,), (build.ones_like(x),))
    assert found is not None
    np.testing.assert_array_equal(
        evaluate_graph(Graph("g", (x,), (found,)), (np.array([1.5, 2.5, 3.5]),))[0], [1, 2, 3]
    )
    assert vjp((ew.floor(x),), (x,), (build.ones_like(x),)) == (None,)
    assert vjp((x,), (tensor("y", (3,)),), (build.ones_like(x),)) == (None,)


def test_inner_nodes_and_outputs_can_be_differentiated_by() -> None:
    x = tensor("x", ())
    inner = ew.exp(x)
    outer = ew.mul(inner, inner)
    seed = build.ones_like(outer)
    by_outer, by_inner, by_x = vjp((outer,), (outer, inner, x), (seed,))
    assert by_outer is seed
    assert by_inner is not None
    assert by_x is not None
    values = evaluate_graph(Graph("g", (x,), (by_inner, by_x)), (np.array(0.5),))
    np.testing.assert_allclose(values, [2 * np.exp(0.5), 2 * np.exp(1.0)])


def test_an_output_that_is_an_input_passes_its_cotangent_on() -> None:
    x = tensor("x", (3,))
    joint = differentiate(Graph("f", (x,), (x, ew.neg(x))))
    a, b, c = np.arange(3.0), np.arange(3.0) + 1, np.arange(3.0) * 5
    np.testing.assert_array_equal(evaluate_graph(joint, (a, b, c))[2], b - c)


def test_complex_gradients_are_those_of_real_and_imaginary_part() -> None:
    z = tensor("z", (3,), c128)
    magnitude = total(ew.mul(ew.real(ew.exp(z)), ew.imag(ew.mul(z, z))))
    joint = differentiate(Graph("f", (z,), (magnitude,)), seed=True)
    point = np.array([0.3 + 0.2j, -0.5 + 1.0j, 0.1 - 0.7j])
    gradient = evaluate_graph(joint, (point,))[1]

    def value(moved: npt.NDArray[np.complex128]) -> float:
        return float(np.sum(np.real(np.exp(moved)) * np.imag(moved * moved)))

    for i in range(3):
        for direction in (1.0, 1.0j):
            step = np.zeros(3, complex)
            step[i] = 1e-6 * direction
            slope = (value(point + step) - value(point - step)) / 2e-6
            part = gradient[i].real if direction == 1.0 else gradient[i].imag
            assert part == pytest.approx(slope, rel=1e-6)


def test_nodes_of_the_backward_part_have_the_forward_nodes_line() -> None:
    x = tensor("x", (3,))
    here = Location("model.py", 7)
    with using(here):
        y = ew.tanh(x)
    (gradient,) = vjp((y,), (x,), (tensor("ct", (3,)),))
    assert gradient is not None
    assert gradient.location == here


def test_fused_nodes_are_opened_first() -> None:
    x, a = tensor("x", (3,)), tensor("a", (3,))
    fused = FUSED(x, body=Graph("body", (a,), (ew.exp(a),)))
    joint = differentiate(Graph("f", (x,), (total(fused),)), seed=True)
    np.testing.assert_allclose(evaluate_graph(joint, (np.arange(3.0),))[1], np.exp(np.arange(3.0)))


def test_a_chain_of_ten_thousand_has_a_gradient_of_linear_size() -> None:
    def size(length: int) -> int:
        x = tensor("x", (3,), f32)
        node = x
        for _ in range(length):
            node = ew.sin(node)
        return len(differentiate(Graph("f", (x,), (total(node),)), seed=True).nodes)

    assert size(10_000) - 10 * size(1_000) <= 0
    assert size(10_000) >= 30_000


@pytest.mark.parametrize(
    "make, wrt, error, message",
    [
        (
            lambda: Graph("f", (tensor("n", (), i64),), (tensor("n", (), f64),)),
            (0,),
            DTypeError,
            "the argument 'n' has dtype int64, and a gradient needs floats",
        ),
        (lambda: scalar_graph_without_sum(), None, ShapeError, r"the result has the type f64\[3\].*\n.*\n?.*\.sum\(\)"),
        (
            lambda: complex_result(),
            None,
            DTypeError,
            "the result has dtype complex128, and a gradient starts from a real",
        ),
    ],
)
def test_errors_speak_of_arguments_and_results(
    make: Callable[[], Graph], wrt: tuple[int, ...] | None, error: type[GraphcError], message: str
) -> None:
    with pytest.raises(error, match=message):
        differentiate(make(), wrt, seed=True)


def scalar_graph_without_sum() -> Graph:
    x = tensor("x", (3,))
    return Graph("f", (x,), (ew.exp(x),))


def complex_result() -> Graph:
    x = tensor("x", (), c128)
    return Graph("f", (x,), (ew.exp(x),))


def test_a_graph_of_integers_alone_has_nothing_to_differentiate() -> None:
    x = tensor("x", (3,))
    with pytest.raises(GraphcError, match="no result is of floats"):
        differentiate(Graph("f", (x,), (ew.lt(x, x),)))


@given(graph=graphs(20, dtypes=(f64,), differentiable=True, scalar=True), seed=st.integers(0, 100))
@settings(max_examples=40, deadline=None)
def test_gradients_of_random_graphs_match_central_differences(graph: Graph, seed: int) -> None:
    arrays = [np.asarray(each, np.float64) for each in random_arguments(graph, seed)]
    assert_gradients_match_differences(graph, arrays, 1e-5)
    assert_gradients_match_differences(weighted_gradients(graph), arrays, 1e-4)


def sliced(x: Node, start: int, stop: int) -> Node:
    """x[:, start:stop]"""
    return mv.slice_(x, start=(0, start), stop=(x.shape[0], stop), step=(1, 1))


SLICES: dict[str, tuple[tuple[tuple[int, int], ...], list[str]]] = {
    "all parts in order": (((0, 2), (2, 5), (5, 8)), ["concat"]),
    "all parts in disorder": (((5, 8), (0, 2), (2, 5)), ["concat"]),
    "parts with gaps": (((1, 2), (4, 5)), ["concat", "pad"]),
    "parts that overlap": (((0, 5), (3, 8)), ["pad"] * 4),
    "one part": (((2, 5),), ["pad"]),
}


@pytest.mark.parametrize("name", SLICES)
def test_gradients_of_slices_are_joined_where_they_do_not_overlap(name: str) -> None:
    spans, expected_ops = SLICES[name]
    x = tensor("x", (2, 8))
    outputs = tuple(ew.mul(sliced(x, *span), sliced(x, *span)) for span in spans)
    joint = differentiate(Graph("f", (x,), outputs))
    verify(joint)
    ops = [node.op.name for node in joint.nodes if node.op.name in ("concat", "pad")]
    assert sorted(ops) == expected_ops
    arrays = random_arguments(joint, 3)
    found = evaluate_graph(joint, arrays)[-1]
    expected = np.zeros((2, 8))
    for (start, stop), ct_part in zip(spans, arrays[1:]):
        expected[:, start:stop] += 2 * np.asarray(arrays[0])[:, start:stop] * ct_part
    np.testing.assert_allclose(found, expected, rtol=1e-14)


def test_the_gradient_of_a_sequence_read_step_by_step_is_of_linear_size() -> None:
    steps = 200
    x = tensor("x", (2, steps))
    state = build.zeros_like(sliced(x, 0, 1))
    for step in range(steps):
        state = ew.tanh(ew.add(state, sliced(x, step, step + 1)))
    joint = differentiate(Graph("f", (x,), (total(state),)), seed=True)
    elements = sum(int(np.prod(node.shape)) for node in joint.nodes)
    assert elements < 20 * 2 * steps
    arguments = [np.linspace(-1.0, 1.0, 2 * steps).reshape(2, steps)]
    assert_gradients_match_differences(Graph("f", (x,), (total(state),)), arguments, 1e-6)
