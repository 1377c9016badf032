"""What the user sees of an error: frames of the user's own code, the line in it, and nothing of ours."""

from __future__ import annotations

import os
import re
import traceback
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphc
from graphc.ir.errors import GraphcError
from graphc.ir.settings import override
from tests.frontend.conftest import RunScript

X = np.ones((2, 3), np.float32)


class Net:
    @graphc.compile
    def forward(self, x: Any) -> Any:
        return x @ x  # misfit


def in_trace() -> object:
    return graphc.compile(lambda x: x + x[0, :2])(X)


def in_a_method() -> object:
    return Net().forward(X)


def in_a_nested_call() -> object:
    inner = graphc.compile(lambda x: x @ x)
    return graphc.compile(lambda x: inner(x) + 1)(X)


def in_a_branch() -> object:
    return graphc.compile(lambda x: 1 if x.sum() > 0 else 2)(X)


def in_numpy() -> object:
    return graphc.compile(lambda x: np.exp(x))(X)


def in_an_attribute() -> object:
    return graphc.compile(lambda x: x.astype("float32"))(X)


def in_wrong_keywords() -> object:
    return graphc.compile(lambda x: x.sum(dims=1))(X)


def in_the_users_code() -> object:
    return graphc.compile(lambda x: x / (1 // 0))(X)


def in_a_library_of_the_user() -> object:
    return graphc.compile(lambda x: re.compile("("))(X)


def in_compile() -> object:
    return graphc.compile(lambda x: x, numerics="quick")


def in_a_decorator() -> object:
    return graphc.compile(dynamic={"x": 0})(3)  # type: ignore[arg-type]  # what is tested


def in_a_call() -> object:
    return graphc.compile(lambda x: x)(np.array([None]))


def in_a_call_by_keyword() -> object:
    return graphc.compile(lambda x: x)(y=X)


def in_a_later_call() -> object:
    f = graphc.compile(lambda x: x + 1)
    f(X)
    return f({1, 2})


def in_the_run() -> object:
    return graphc.compile(lambda x, i: x[i])(X, np.array([7]))


def in_a_later_run() -> object:
    f = graphc.compile(lambda x, i: x[i])
    f(X, np.array([1]))
    return f(X, np.array([7]))


def in_an_executable() -> object:
    return graphc.symbolic_trace(lambda x: x, "f32[2]").compile()(X)


def in_a_nested_executable() -> object:
    return graphc.symbolic_trace(lambda x: x["a"], {"a": "f32[2]"}).compile()({"b": X})


def in_graph_compile() -> object:
    return graphc.symbolic_trace(lambda x: x, "f32[2]").compile("cuda")


def in_a_spec() -> object:
    return graphc.symbolic_trace(lambda x: x, "f32[2")


def in_grad() -> object:
    return graphc.grad(lambda x: x * x)(X)


def in_grad_itself() -> object:
    return graphc.grad(3)  # type: ignore[arg-type]  # what is tested


def in_a_differentiated_function() -> object:
    return graphc.grad(lambda x: (x @ x).sum())(X)


def in_grad_inside_a_trace() -> object:
    return graphc.compile(lambda x: graphc.grad(lambda y: y * y)(x))(X)


def in_vjp() -> object:
    return graphc.vjp(lambda x: x @ x, X)


def in_a_pullback() -> object:
    return graphc.vjp(lambda x: x * x, X)[1](X[0])


def in_a_traced_pullback() -> object:
    return graphc.compile(lambda x: graphc.vjp(lambda y: y * y, x)[1](x[0]))(X)


def in_a_placeholder() -> object:
    return graphc.placeholder((-1,))


def in_function() -> object:
    return graphc.function([graphc.placeholder((2,))], [graphc.placeholder((3,), name="missing")])


def in_gradients() -> object:
    return graphc.gradients(graphc.placeholder((2,)), [])


def in_an_operator() -> object:
    return graphc.placeholder((2,)) + graphc.placeholder((3,))


def in_a_size() -> object:
    return graphc.symbolic_trace(lambda x: x if x.shape[0] > 3 else x * 2, "f32[n]")


def in_a_function_of_the_table() -> object:
    return graphc.cat([graphc.placeholder((2,)), graphc.placeholder((3, 3))])


def in_a_property() -> object:
    return graphc.placeholder((2, 3, 4)).T.mT.H


def in_memory() -> object:
    return graphc.compile(lambda x: x[0, 0].expand(1 << 24, 1 << 20) + 1)(X)


KINDS: dict[str, Callable[[], object]] = {
    name: value for name, value in globals().items() if name.startswith("in_") and callable(value)
}
USERS = {"in_the_users_code": ZeroDivisionError, "in_a_library_of_the_user": re.error}
DEEPER = {"in_a_method": "return x @ x  # misfit"}
"""The line at fault, where that is not in the function of the case."""


@pytest.mark.parametrize("name", KINDS)
def test_only_the_users_frames_show(name: str) -> None:
    kind = KINDS[name]
    with pytest.raises(Exception) as info:  # which, is looked at below
        kind()
    error = info.value
    text = "".join(traceback.format_exception(error))
    frames = traceback.extract_tb(error.__traceback__)
    assert frames[1].name == name
    for frame in frames:
        assert frame.filename == __file__ or frame.filename.startswith(os.path.dirname(re.__file__)), text
    assert "graphc/" not in re.sub(r"[^\s\"]*tests/frontend/", "", text), text
    if name in USERS:
        assert isinstance(error, USERS[name])
        return
    assert isinstance(error, GraphcError), text
    assert error.location is not None
    assert error.location.file == __file__
    first = kind.__code__.co_firstlineno
    if name in DEEPER:
        assert DEEPER[name] in text
    else:
        assert first < error.location.line <= first + 4


@pytest.mark.parametrize("name", KINDS)
def test_the_setting_brings_the_other_frames_back(name: str) -> None:
    with override(traceback=True), pytest.raises(Exception) as info:  # which, is looked at above
        KINDS[name]()
    files = {frame.filename for frame in traceback.extract_tb(info.value.__traceback__)}
    assert any(os.path.dirname(graphc.__file__) in file for file in files)


SCRIPT = """
import numpy as np
import graphc

@graphc.compile
def step(x, i):
    hidden = x * 2
    return hidden[i]

def main():
    x = np.ones((3, 2), np.float32)
    step(x, np.array([2]))
    print("fine", flush=True)
    step(x, np.array([3]))

main()
"""


@pytest.mark.parametrize("is_full", [False, True])
def test_what_python_prints_for_a_script(run_script: RunScript, is_full: bool) -> None:
    done = run_script(SCRIPT, GRAPHC_TRACEBACK="1" if is_full else "0")
    assert done.status == 1
    assert done.out == "fine\n"
    assert 'script.py", line 14, in main' in done.err
    assert "graphc.ir.errors.IndexOutOfRange: index 3 is out of bounds for dimension 0 with size 3" in done.err
    assert "script.py:8 in step: return hidden[i]" in done.err
    assert (os.path.join("frontend", "compile.py") in done.err) == is_full
    assert ('File "' + os.path.dirname(graphc.__file__) in done.err) == is_full
