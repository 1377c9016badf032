"""The interpreter: values by each op's reference, and checks of what references give."""

from __future__ import annotations

import gc
import sys
import weakref
from collections.abc import Callable

import ml_dtypes
import numpy as np
import pytest

from graphc.ir.dim import symbol
from graphc.ir.dtype import DTYPES, DType, bf16, f32, f64
from graphc.ir.errors import ArgumentError, IndexOutOfRange, ShapeError
from graphc.ir.graph import FUSED, GET, Graph, Node, make_input
from graphc.ir.interpret import evaluate_graph
from graphc.ir.location import Location, using
from graphc.ir.op import Op
from graphc.ir.sizes import fix_sizes
from graphc.ir.type import TensorType, TupleType
from graphc.ops import contraction, creation, elementwise, indexing, movement, reduction

n = symbol("n")


def test_outputs_are_the_values_of_the_nodes() -> None:
    x, w = make_input("x", TensorType((n, 3), f32)), make_input("w", TensorType((3, 2), f32))
    y = contraction.dot(x, w, contract=((1,), (0,)), batch=((), ()))
    graph = Graph("step", (x, w), (y, reduction.sum_(elementwise.exp(y), axes=(1,)), x))
    a, b = np.arange(6, dtype=np.float32).reshape(2, 3), np.ones((3, 2), np.float32)
    first, second, third = evaluate_graph(graph, [a, b])
    np.testing.assert_array_equal(first, [[3, 3], [12, 12]])
    np.testing.assert_allclose(second, 2 * np.exp(np.array([3, 12], np.float32)), rtol=1e-6)
    np.testing.assert_array_equal(third, a)


def test_a_graph_without_outputs_still_checks_its_arguments() -> None:
    x = make_input("x", TensorType((3,), f32))
    assert evaluate_graph(Graph("step", (x,), ()), [np.zeros(3, np.float32)]) == ()
    with pytest.raises(ShapeError):
        evaluate_graph(Graph("step", (x,), ()), [np.zeros(4, np.float32)])
    with pytest.raises(ArgumentError):
        evaluate_graph(Graph("step", (x,), ()), [])


def test_symbolic_sizes_are_numbers_in_types_and_attributes() -> None:
    x = make_input("x", TensorType((n,), f32))
    count = creation.size(value=n * 2, dtype=f64)
    graph = Graph("step", (x,), (count, movement.broadcast(movement.reshape(count, shape=(1,)), shape=(n,))))
    size, spread = evaluate_graph(graph, [np.zeros(3, np.float32)])
    assert size == 6.0
    np.testing.assert_array_equal(spread, [6.0] * 3)


def test_sizes_that_no_input_tells_are_given() -> None:
    lone = Graph("body", (), (creation.iota(shape=(n,), axis=0, dtype=f32),))
    (value,) = evaluate_graph(lone, [], {"n": 3})
    np.testing.assert_array_equal(value, [0, 1, 2])


def test_fused_nodes_run_their_bodies_with_the_sizes_around_them() -> None:
    x = make_input("x", TensorType((n,), f32))
    a = make_input("a", TensorType((n,), f32))
    index = creation.iota(shape=(n,), axis=0, dtype=f32)
    inner = FUSED(a, body=Graph("inner", (a,), (elementwise.add(a, index),)))
    both = FUSED(x, body=Graph("outer", (a,), (inner, elementwise.neg(a))))
    graph = Graph("step", (x,), (GET(both, index=0), GET(both, index=1)))
    first, second = evaluate_graph(graph, [np.ones(3, np.float32)])
    np.testing.assert_array_equal(first, [1, 2, 3])
    np.testing.assert_array_equal(second, [-1, -1, -1])


@pytest.mark.parametrize("d", DTYPES, ids=str)
def test_each_dtype_goes_through(d: DType) -> None:
    x = make_input("x", TensorType((2,), d))
    value = np.array([0, 1]).astype(d.numpy)
    (result,) = evaluate_graph(Graph("step", (x,), (movement.flip(x, axes=(0,)),)), [value])
    assert result.dtype == d.numpy
    np.testing.assert_array_equal(result, value[::-1])


def test_bfloat16_arrays_are_those_of_ml_dtypes() -> None:
    x = make_input("x", TensorType((1,), bf16))
    (result,) = evaluate_graph(Graph("g", (x,), (elementwise.add(x, x),)), [np.array([1.5], ml_dtypes.bfloat16)])
    assert result.dtype == ml_dtypes.bfloat16
    assert float(result[0]) == 3.0


def test_scalars_strides_and_byte_orders_are_taken() -> None:
    x, y = make_input("x", TensorType((), f32)), make_input("y", TensorType((2, 2), f32))
    graph = Graph("g", (x, y), (elementwise.neg(x), elementwise.neg(y)))
    strided = np.arange(16, dtype=">f4").reshape(4, 4)[::-2, ::2]
    strided.flags.writeable = False
    first, second = evaluate_graph(graph, [np.float32(3), strided])
    assert isinstance(first, np.ndarray)
    assert first.shape == ()
    assert second.dtype.isnative
    np.testing.assert_array_equal(second, [[-12, -14], [-4, -6]])


def test_floating_point_warnings_are_silent() -> None:
    x = make_input("x", TensorType((3,), f32))
    graph = Graph("g", (x,), (elementwise.log(x), elementwise.exp(x), elementwise.div(x, x)))
    values = evaluate_graph(graph, [np.array([-1, 0, 1000], np.float32)])
    assert np.isnan(values[0][0])
    assert values[0][1] == -np.inf
    assert values[1][2] == np.inf
    assert np.isnan(values[2][1])


def test_values_are_freed_after_their_last_use() -> None:
    alive: list[weakref.ref[np.ndarray]] = []
    most = 0

    class Traced(np.ndarray):
        """An array that can be watched."""

    def reference(out: TensorType, x: np.ndarray) -> np.ndarray:
        nonlocal most
        gc.collect()
        most = max(most, sum(each() is not None for each in alive))
        result = (np.asarray(x) + 1).view(Traced)
        base = result.base
        assert isinstance(base, np.ndarray)
        alive.append(weakref.ref(base))
        return base

    step = Op("step", "", lambda x: x, reference)
    x = make_input("x", TensorType((2,), f32))
    value: Node = x
    for _ in range(6):
        value = step(value)
    (result,) = evaluate_graph(Graph("g", (x,), (value,)), [np.zeros(2, np.float32)])
    np.testing.assert_array_equal(result, [6, 6])
    assert most == 1


def test_a_deep_graph_is_evaluated_without_recursion() -> None:
    x = make_input("x", TensorType((2,), f32))
    value: Node = x
    for _ in range(2 * sys.getrecursionlimit()):
        value = elementwise.neg(value)
    (result,) = evaluate_graph(Graph("g", (x,), (value,)), [np.ones(2, np.float32)])
    np.testing.assert_array_equal(result, [1, 1])


WRONG_RESULTS: tuple[tuple[object, str], ...] = (
    (np.zeros(2), "the reference of wrong gives float64 (2,), not f32[2]"),
    (np.zeros(3, np.float32), "the reference of wrong gives float32 (3,), not f32[2]"),
    (np.zeros((2, 1), np.float32), "the reference of wrong gives float32 (2, 1), not f32[2]"),
    (np.zeros(2, ">f4"), "the reference of wrong gives >f4 (2,), not f32[2]"),
    (1.0, "the reference of wrong gives float64 (), not f32[2]"),
    (None, "the reference of wrong gives object (), not f32[2]"),
)


@pytest.mark.parametrize(("value", "message"), WRONG_RESULTS, ids=[m for _, m in WRONG_RESULTS])
def test_a_reference_that_breaks_its_type_is_our_mistake(value: object, message: str) -> None:
    wrong = Op("wrong", "", lambda x: x, lambda out, x: value)
    x = make_input("x", TensorType((2,), f32))
    with pytest.raises(AssertionError) as caught:
        evaluate_graph(Graph("g", (x,), (wrong(x),)), [np.zeros(2, np.float32)])
    assert str(caught.value) == f"{message}\n  in %0 = wrong(%x) : f32[2]"


@pytest.mark.parametrize("value", [np.zeros(2, np.float32), (np.zeros(2, np.float32),)], ids=["array", "one"])
def test_a_reference_that_gives_no_such_tuple_is_our_mistake(value: object) -> None:
    wrong = Op("wrong", "", lambda x: TupleType((x, x)), lambda out, x: value)
    x = make_input("x", TensorType((2,), f32))
    with pytest.raises(AssertionError, match="the reference of wrong gives"):
        evaluate_graph(Graph("g", (x,), (GET(wrong(x), index=0),)), [np.zeros(2, np.float32)])


def test_an_error_while_running_has_the_line_of_the_node() -> None:
    x, i = make_input("x", TensorType((3,), f32)), make_input("i", TensorType((1,), DTYPES[4]))
    with using(Location("train.py", 12)):
        y = indexing.gather(x, i, axis=0)
    with pytest.raises(IndexOutOfRange, match=r"at train.py:12"):
        evaluate_graph(Graph("g", (x, i), (y,)), [np.zeros(3, np.float32), np.array([7])])


@pytest.mark.parametrize("seed", range(40))
def test_random_graphs_give_what_they_give_with_numbers_for_sizes(
    seed: int, random_graph: Callable[[int], Graph]
) -> None:
    graph = random_graph(seed)
    fixed = fix_sizes(graph, {"n": 4, "m": 2})
    random = np.random.default_rng(seed)
    arrays = [
        random.integers(0, 3, node.shape).astype(node.tensor.dtype.numpy)  # type: ignore[arg-type]  # shapes are fixed
        for node in fixed.inputs
    ]
    for a, b in zip(evaluate_graph(graph, arrays), evaluate_graph(fixed, arrays)):
        assert a.tobytes() == b.tobytes()
