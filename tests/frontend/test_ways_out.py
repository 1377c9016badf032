"""Errors say the way out: arguments that don't fit, need memory to be copied, or can't be pickled."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import graphc
from graphc.ir.errors import ArgumentError, DTypeError, GraphcError, MemoryExceeded, ShapeError

X = np.ones((3, 4), np.float32)
HUGE = np.broadcast_to(np.float32(1), (1 << 20, 1 << 25))  # as much as may be addressed, so that no machine has it


def plus_one(x: Any) -> Any:
    return x + 1


compiled_plus_one = graphc.compile(plus_one, dynamic={"x": 0})


class Model:
    @graphc.compile
    def forward(self, x: Any) -> Any:
        return x + 2


def executable(*specs: str) -> graphc.Executable:
    return graphc.symbolic_trace(lambda *arrays: sum(x.sum() for x in arrays), *specs).compile()


def normalize(x: Any) -> Any:
    return graphc.layer_norm(x, (4,))


def twice() -> object:
    x = graphc.placeholder((3,), name="x")
    return graphc.function([x, x], [x])


WAYS: list[tuple[Callable[[], object], type[GraphcError], str, str]] = [
    (lambda: executable("f32[3,4]")(X[0]), ShapeError, "has 1 dimension", "compile for an input of 1 dimension"),
    (lambda: executable("f32[3,5]")(X), ShapeError, "is 4, expected 5", "an input whose size has a name"),
    (lambda: executable("f32[n,4]", "f32[n]")(X, X[0]), ShapeError, "is 4, expected 3", "whose sizes agree"),
    (lambda: executable("f32[n,4] where n in 1..2")(X), ShapeError, "n is within 1..2", "wider ones for n"),
    (lambda: executable("f32[2*n,4]")(X), ShapeError, "for no whole n", "a name of its own"),
    (lambda: executable("f32[3]", "f32[3]")(X), ArgumentError, "is missing", "it takes"),
    (twice, ArgumentError, "an input is listed twice, 'x'", "list it once"),
    (lambda: graphc.compile(lambda x: x.softmax(dim="a"))(X), ArgumentError, "not a str", "dimensions are ints"),
    (lambda: graphc.compile(lambda x: x + object())(X), ArgumentError, "an object is no tensor", "numpy arrays"),
    (
        lambda: graphc.compile(normalize, dynamic=True)(X),
        ShapeError,
        "Given normalized_shape=[4], expected input with shape [*, 4]",
        "only the sizes that change",
    ),
    (
        lambda: graphc.compile(normalize)(X[:, :2]),
        ShapeError,
        "Given normalized_shape=[4], expected input with shape [*, 4]",
        "give the last sizes of the input",
    ),
    (
        lambda: graphc.compile(plus_one)(np.ones(3, ml_dtypes.float8_e4m3fn)),
        DTypeError,
        "has dtype float8_e4m3fn",
        "x.astype('float32')",
    ),
    (lambda: graphc.compile(plus_one)(np.ones(3, [("a", "f4")])), DTypeError, "has dtype [('a'", "each field"),
    (lambda: graphc.compile(plus_one)(np.zeros(3, "V4")), DTypeError, "has dtype |V4", "raw bytes"),
    (lambda: graphc.compile(plus_one, passes=3), ArgumentError, "passes is an int", "the text of a pipeline"),  # type: ignore[call-overload]  # that is the mistake
]


@pytest.mark.parametrize(("case", "kind", "message", "hint"), WAYS, ids=[text for _, _, text, _ in WAYS])
def test_what_does_not_fit_comes_with_a_way_out(
    case: Callable[[], object], kind: type[GraphcError], message: str, hint: str
) -> None:
    with pytest.raises(kind) as info:
        case()
    assert message in info.value.message
    assert hint in (info.value.hint or "")


def test_an_argument_too_large_to_copy_is_named() -> None:
    with pytest.raises(MemoryExceeded) as info:
        graphc.compile(plus_one)(HUGE)
    error = info.value
    assert error.message.startswith("the argument 'x' of shape (1048576, 33554432) has to be copied")
    assert f"{1 << 47} bytes" in error.message
    assert "C-contiguous" in (error.hint or "")
    assert {frame.path for frame in info.traceback} == {info.traceback[0].path}


def test_an_array_too_large_to_become_a_constant_is_refused() -> None:
    with pytest.raises(MemoryExceeded, match=r"an array of shape \(1048576, 33554432\) becomes a constant") as info:
        graphc.compile(lambda x: x + HUGE)(X)
    assert "as an argument" in (info.value.hint or "")
    assert {frame.path for frame in info.traceback} == {info.traceback[0].path}


def test_a_compiled_function_under_another_name_is_compiled_again_where_it_is_unpickled() -> None:
    again = pickle.loads(pickle.dumps(compiled_plus_one))
    assert again is not compiled_plus_one
    np.testing.assert_array_equal(again(X), X + 1)
    np.testing.assert_array_equal(again(X[:2]), X[:2] + 1)
    assert len(again.compilations) == 1  # the mark of the dynamic size came along
    assert copy.deepcopy([compiled_plus_one])[0] is compiled_plus_one


def test_methods_are_pickled_with_their_object() -> None:
    model = Model()
    forward = pickle.loads(pickle.dumps(model.forward))
    np.testing.assert_array_equal(forward(X), X + 2)


def test_what_another_process_could_not_find_is_not_pickled() -> None:
    f = graphc.compile(lambda x: x)
    with pytest.raises(ArgumentError, match="can't be pickled: another process couldn't find") as info:
        pickle.dumps(f)
    assert "top level of a module" in (info.value.hint or "")
    assert copy.copy(f) is f
    assert copy.deepcopy(f) is f
    run = executable("f32[3,4]")
    with pytest.raises(ArgumentError, match="can't be pickled: its machine code") as info:
        pickle.dumps(run)
    assert "pickle the function" in (info.value.hint or "")
    assert copy.copy(run) is run
