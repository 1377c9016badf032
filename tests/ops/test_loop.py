"""Loops over a step: values, both directions, gradients of both orders, sizes that change."""

import numpy as np
import numpy.typing as npt
import pytest

from graphc.frontend.executable import Executable
from graphc.frontend.loop import _compiled
from graphc.ir.dim import Size, symbol
from graphc.ir.dtype import f64
from graphc.ir.errors import CodeMemoryFull
from graphc.ir.graph import Graph, Node, make_input
from graphc.ir.interpret import evaluate_graph
from graphc.ir.parse import parse_graph
from graphc.ir.text import print_graph
from graphc.ir.type import TensorType
from graphc.ops import contraction
from graphc.ops import elementwise as ew
from graphc.ops.loop import last, loop
from graphc.passes.autodiff import vjp

Array = npt.NDArray[np.float64]


def step(states: tuple[Node, ...], along: tuple[Node, ...], shared: tuple[Node, ...]) -> tuple[Node, ...]:
    """h' = tanh(h w + x) * s, with the product beside it."""
    product = contraction.dot(states[0], shared[0], contract=((1,), (0,)), batch=((), ()))
    bounded = ew.tanh(ew.add(product, along[0]))
    return ew.mul(bounded, shared[1]), product


def expected(h: Array, xs: Array, w: Array, s: Array, reverse: bool) -> Array:
    history = np.empty_like(xs)
    for t in range(len(xs))[:: -1 if reverse else 1]:
        h = history[t] = np.tanh(h @ w + xs[t]) * s
    return history


def graph_of(count: Size, batch: Size, width: Size, reverse: bool) -> Graph:
    shapes = ((batch, width), (count, batch, width), (width, width), (batch, width))
    h, xs, w, s = (make_input(f"x{i}", TensorType(shape, f64)) for i, shape in enumerate(shapes))
    history, _ = loop(step, (h,), (xs,), (w, s), reverse=reverse)
    return Graph("f", (h, xs, w, s), (history, last(history, reverse)))


def values(count: int, batch: int, width: int) -> list[Array]:
    rng = np.random.default_rng(count)
    return [rng.normal(size=shape) for shape in ((batch, width), (count, batch, width), (width, width), (batch, width))]


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("count", [1, 2, 5])
def test_each_step_goes_on_with_the_state_before(count: int, reverse: bool) -> None:
    graph, given = graph_of(count, 2, 3, reverse), values(count, 2, 3)
    wanted = expected(*given, reverse)
    for found in (Executable.build(graph).outputs(given), evaluate_graph(graph, given)):
        np.testing.assert_allclose(found[0], wanted, rtol=1e-12)
        np.testing.assert_array_equal(found[1], found[0][0 if reverse else -1])


def test_one_program_and_one_step_serve_all_sizes() -> None:
    graph = graph_of(symbol("n", 2), symbol("b", 2), symbol("k", 2), False)
    executable, before = Executable.build(graph), _compiled.cache_info().currsize
    for sizes in ((2, 3, 4), (7, 2, 3), (3, 5, 2)):
        given = values(*sizes)
        np.testing.assert_allclose(executable.outputs(given)[0], expected(*given, False), rtol=1e-12)
    assert _compiled.cache_info().currsize - before <= 1


def test_a_graph_with_a_loop_is_read_back_from_its_text() -> None:
    text = print_graph(graph_of(4, 2, 3, True))
    assert print_graph(parse_graph(text)) == text


def gradient(graph: Graph, order: int) -> Graph:
    """The gradient of the sum of sin(outputs) by all inputs, then of the sum of squares of that."""
    outputs = graph.outputs
    for number in range(order):
        cts = [ew.add(each, each) if number else ew.cos(each) for each in outputs]
        outputs = tuple(each for each in vjp(outputs, graph.inputs, cts) if each is not None)
        assert len(outputs) == len(graph.inputs)
    return Graph("gradient", graph.inputs, outputs)


@pytest.mark.parametrize("reverse", [False, True])
def test_gradients_of_both_orders_are_slopes(reverse: bool) -> None:
    graph, given = graph_of(4, 2, 3, reverse), values(4, 2, 3)
    first, second = gradient(graph, 1), gradient(graph, 2)

    def sine(arrays: list[Array]) -> float:
        return float(sum(np.sin(each).sum() for each in evaluate_graph(graph, arrays)))

    def squares(arrays: list[Array]) -> float:
        return float(sum((each**2).sum() for each in evaluate_graph(first, arrays)))

    rng = np.random.default_rng(5)
    for function, slopes in ((sine, first), (squares, second)):
        way = [rng.normal(size=each.shape) for each in given]
        ahead, behind = ([a + sign * 1e-5 * d for a, d in zip(given, way)] for sign in (1, -1))
        slope = (function(ahead) - function(behind)) / 2e-5
        for found in (Executable.build(slopes).outputs(given), evaluate_graph(slopes, given)):
            assert sum(float((a * d).sum()) for a, d in zip(found, way)) == pytest.approx(slope, rel=1e-6)


def test_the_gradient_of_shared_operands_is_one_product_over_all_steps() -> None:
    slopes = gradient(graph_of(6, 2, 3, False), 1)
    bodies = [node.keywords["parameters"] for node in slopes.nodes if node.op.name == "host_call"]
    (back,) = [dict(each)["body"] for each in bodies if "step_back" in dict(each)["body"]]
    assert back.count("dot(") == 1  # that by the state; those by the weights stand outside


def test_a_step_is_interpreted_where_no_more_code_may_be_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    graph, given = graph_of(3, 2, 3, False), values(3, 2, 3)
    whole = Executable.build(graph)

    def refuse(*args: object, **kwargs: object) -> None:
        raise CodeMemoryFull("full")

    _compiled.cache_clear()
    monkeypatch.setattr(Executable, "build", refuse)
    found = whole.outputs(given)
    _compiled.cache_clear()
    np.testing.assert_allclose(found[0], expected(*given, False), rtol=1e-12)
