"""`pure_callback`: Python functions in compiled code and on eager tensors."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import graphc
from graphc.ir.dtype import f32
from graphc.ir.errors import GraphcError
from graphc.ir.type import TensorType

Values = npt.NDArray[Any]


def statistics(x: Values) -> tuple[Values, list[Values]]:
    return x - x.mean(), [x.max(), np.argsort(x)]


def test_containers_of_the_results_are_those_of_their_types() -> None:
    compiled = graphc.compile(lambda x: graphc.pure_callback(statistics, (x, ["f64[]", x.long()]), x))
    for x in (np.array([3.0, 1.0, 2.0]), np.array([5.0, 4.0])):
        centred, (largest, order) = compiled(x)
        np.testing.assert_array_equal(centred, x - x.mean())
        np.testing.assert_array_equal(largest, x.max())
        np.testing.assert_array_equal(order, np.argsort(x))


def test_sizes_of_results_follow_those_of_arguments() -> None:
    graph = graphc.symbolic_trace(
        lambda x: graphc.pure_callback(np.outer, "f32[n, 2*n]", x, graphc.cat([x, x])), "f32[n]"
    )
    executable = graph.compile()
    for size in (3, 1, 0, 5):
        x = np.arange(size, dtype=np.float32)
        np.testing.assert_array_equal(executable(x), np.outer(x, np.concatenate([x, x])))


def test_eager_tensors_numbers_and_types() -> None:
    x = graphc.tensor([1.0, 2.0])
    assert graphc.pure_callback(lambda a: a * 2, x, x).tolist() == [2.0, 4.0]
    assert graphc.pure_callback(lambda a, b: a + b, TensorType((2,), f32), x, 3.0).tolist() == [4.0, 5.0]
    assert graphc.pure_callback(lambda a: 7, "f32[]", x).item() == 7.0
    assert graphc.pure_callback(lambda: np.arange(3), "i64[3]").tolist() == [0, 1, 2]


def test_function_may_keep_and_change_what_it_gets() -> None:
    kept: list[Values] = []

    def keep(x: Values) -> Values:
        kept.append(x)
        x += 1
        return x

    compiled = graphc.compile(lambda x: graphc.pure_callback(keep, x, x * 2) + x)
    for step in range(3):
        x = np.full(4, float(step))
        np.testing.assert_array_equal(compiled(x), 3 * x + 1)
        np.testing.assert_array_equal(x, step)
    assert [float(x[0]) for x in kept] == [1.0, 3.0, 5.0]


def test_one_function_has_one_name() -> None:
    texts = [str(graphc.symbolic_trace(lambda x: graphc.pure_callback(np.sort, x, x), "f32[3]")) for _ in range(2)]
    names = [text.split("pure_callback#")[1].split('"')[0] for text in texts]
    assert names[0] == names[1]


@pytest.mark.parametrize(
    ("function", "types", "message"),
    [
        (lambda x: x[:1], "f32[2]", r"pure_callback: result 0 has shape \(1,\), expected f32\[2\]"),
        (lambda x: x.astype(int), "f32[2]", r"pure_callback: result 0 has dtype int64, expected f32\[2\]"),
        (lambda x: x, ("f32[2]", "f32[2]"), "the function gave a ndarray, not 2 results"),
        (lambda x: (x,), ("f32[2]", "f32[2]"), "the function gave 1 results, not 2 results"),
        (3, "f32[2]", "pure_callback: an int is no function"),
        (lambda x: x, 3, "pure_callback: an int is no type of a result"),
        (lambda x: x, "f32[n]", "pure_callback: the size n in 'f32\\[n\\]' is none of the arguments' sizes"),
        (lambda x: x, (), "pure_callback: the function gives nothing"),
    ],
)
def test_results_that_do_not_fit(function: Any, types: Any, message: str) -> None:
    with pytest.raises(GraphcError, match=message):
        graphc.pure_callback(function, types, graphc.ones(2))


def test_exception_of_the_function_is_that_of_the_call() -> None:
    class OwnError(Exception):
        pass

    def fail(x: Values) -> Values:
        if x.sum() > 2:
            raise OwnError(x.tolist())
        return x

    compiled = graphc.compile(lambda x: graphc.pure_callback(fail, x, x) * 2)
    for _ in range(2):
        np.testing.assert_array_equal(compiled(np.ones(2)), [2.0, 2.0])
        with pytest.raises(OwnError, match=r"\[1.0, 2.0\]"):
            compiled(np.array([1.0, 2.0]))
        with pytest.raises(OwnError, match=r"\[3.0\]"):
            graphc.pure_callback(fail, "f32[1]", graphc.tensor([3.0]))


def test_error_of_a_result_names_the_line_of_the_call() -> None:
    compiled = graphc.compile(lambda x: graphc.pure_callback(lambda a: a[:1], x, x))
    with pytest.raises(GraphcError, match=r"test_pure_callback\.py:\d+"):
        compiled(np.ones(2))


def test_gradient_stops_with_a_reason_where_it_is_needed() -> None:
    message = "the derivative for 'pure_callback' is not implemented"
    with pytest.raises(NotImplementedError, match=message):
        graphc.grad(lambda x: graphc.pure_callback(np.sin, x, x).sum())(np.ones(2))
    detached = graphc.grad(lambda x: (graphc.pure_callback(np.sin, x, x.detach()) * x).sum())
    np.testing.assert_array_equal(detached(np.ones(2)), np.sin(np.ones(2)))
    x = graphc.ones(2, requires_grad=True)
    y = graphc.pure_callback(np.sin, x, x)
    assert y.tolist() == np.sin(np.ones(2, np.float32)).tolist()
    with pytest.raises(NotImplementedError, match=message):
        y.sum().backward()
