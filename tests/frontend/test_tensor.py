"""Symbolic tensors: they compute, and refuse what asks for their values."""

from __future__ import annotations

import copy
import math
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphc
from graphc.ir.errors import GraphcError, TraceError, UnknownAttribute

X = np.arange(6, dtype=np.float32).reshape(2, 3)

REFUSED: list[tuple[Callable[[Any], object], str, str]] = [
    (lambda x: 1 if x.sum() > 0 else 2, "the truth of a bool[] is asked for", "graphc.where"),
    (lambda x: [0 for _ in range(3) if x[0, 0]], "the truth of a f32[] is asked for", "graphc.where"),
    (lambda x: x.sum() > 0 and x, "the truth of a bool[] is asked for", "graphc.where"),
    (lambda x: not x.any(), "the truth of a bool[] is asked for", "graphc.where"),
    (lambda x: x in [1, 2], "the truth of a bool[2,3] is asked for", "graphc.where"),
    (lambda x: max(x[0, 0], x[0, 1]), "the truth of a bool[] is asked for", "graphc.where"),
    (lambda x: float(x.sum()), "float() asks for the value of a f32[]", "read it outside"),
    (lambda x: int(x.sum()), "int() asks for the value of a f32[]", "read it outside"),
    (lambda x: complex(x.sum()), "complex() asks for the value of a f32[]", "read it outside"),
    (lambda x: math.sqrt(x.sum()), "float() asks for the value of a f32[]", "read it outside"),
    (lambda x: [1, 2][x.argmax()], "an index or range() asks for the value of a i64[]", "read it outside"),
    (lambda x: range(x.argmax()), "an index or range() asks for the value of a i64[]", "read it outside"),
    (lambda x: x.sum().item(), "item() asks for the value of a f32[]", "read it outside"),
    (lambda x: x.tolist(), "tolist() asks for the value of a f32[2,3]", "read it outside"),
    (lambda x: x.numpy(), "numpy() asks for the value of a f32[2,3]", "read it outside"),
    (lambda x: np.asarray(x), "numpy is asked to read a f32[2,3]", "functions of graphc"),
    (lambda x: np.exp(x), "numpy.exp can't compute with a f32[2,3]", "use graphc.exp"),
    (lambda x: np.add(x, 1), "numpy.add can't compute with a f32[2,3]", "use graphc.add"),
    (lambda x: np.add.reduce(x), "numpy.add can't compute with a f32[2,3]", "use graphc.add"),
    (lambda x: np.sum(x), "numpy.sum can't compute with a f32[2,3]", "use graphc.sum"),
    (lambda x: np.concatenate([x, x]), "numpy.concatenate can't compute with a f32[2,3]", "use graphc.cat"),
    (lambda x: np.fft.fft(x), "numpy.fft can't compute with a f32[2,3]", "the functions of graphc"),
    (lambda x: np.zeros((2, 3), np.float32).__iadd__(x), "numpy.add can't compute with a f32[2,3]", "use graphc.add"),
    (lambda x: pickle.dumps(x), "a f32[2,3] can't be pickled", "return it"),
    (lambda x: len(x.sum()), "len() of a tensor without dimensions", "one value"),
    (lambda x: list(x.sum()), "a tensor without dimensions can't be iterated over", "one value"),
    (lambda x: x.__setitem__(0, 1), "a traced tensor can't be written to", "graphc.where"),
    (lambda x: x.astype("float32"), "a symbolic tensor has no 'astype'", "x.to("),
    (lambda x: x.backward(), "a symbolic tensor has no 'backward'", "graphc.grad"),
    (lambda x: x.softmx(dim=1), "a symbolic tensor has no 'softmx'", "did you mean softmax?"),
    (lambda x: graphc.softmax(x), "softmax: missing a required argument: 'dim'", "(input, dim"),
    (lambda x: x + "a", "a str is no tensor or number", "Python numbers"),
    (lambda x: x + None, "None is no tensor or number", "Python numbers"),
    (lambda x: x + np.array(["a"]), "is no dtype graphc computes with", "use one of"),
    (lambda x: x + np.ones(4), "The size of tensor a (3) must match the size of tensor b (4)", "reshape"),
    (lambda x: x @ x, "mat1 and mat2 shapes cannot be multiplied (2x3 and 2x3)", "shapes"),
]


@pytest.mark.parametrize(("function", "message", "hint"), REFUSED, ids=[message for _, message, _ in REFUSED])
def test_what_a_traced_tensor_cannot_do(function: Callable[[Any], object], message: str, hint: str) -> None:
    with pytest.raises(GraphcError) as info:
        graphc.compile(function)(X)
    error = info.value
    assert message in error.message
    assert hint in (error.hint or "")
    assert error.location is not None
    assert error.location.file == __file__
    assert error.location.line == function.__code__.co_firstlineno


def test_an_attribute_that_is_missing_is_an_attribute_error() -> None:
    def f(x: Any) -> Any:
        assert not hasattr(x, "astype")
        assert getattr(x, "grad_fn", 3) == 3
        with pytest.raises(UnknownAttribute):
            x.foo  # noqa: B018  # asking is what fails
        return x

    graphc.compile(f)(X)


SIZES: list[tuple[Callable[[Any], object], str]] = [
    (lambda x: x if x.shape[0] > 3 else x + 1, "whether 3 < n is not known"),
    (lambda x: x if x.shape[0] == 3 else x + 1, "whether n == 3 is not known"),
    (lambda x: x if x.shape[0] != x.shape[1] else x + 1, "whether n == m is not known"),
    (lambda x: x if x.shape == (2, 3) else x + 1, "whether n == 2 is not known"),
    (lambda x: x if x.shape[0] % 2 == 0 else x + 1, "whether (n % 2) == 0 is not known"),
    (lambda x: x if x.size(0) in (4, 5) else x + 1, "whether n == 4 is not known"),
    (lambda x: min(x.shape[0], 4), "is not known"),
    (lambda x: [x[i] for i in range(x.shape[0])], "asks for the number behind the size n"),
    (lambda x: int(x.shape[0]), "asks for the number behind the size n"),
    (lambda x: float(x.shape[0]), "asks for the number behind the size n"),
    (lambda x: np.zeros(x.shape), "asks for the number behind the size n"),
    (lambda x: list(x), "a loop over a tensor needs to know its first size, which is the symbol n"),
    (lambda x: len(x), "len() asks for the number behind the symbolic size n"),
]


@pytest.mark.parametrize(("function", "message"), SIZES, ids=[message for _, message in SIZES])
def test_a_branch_on_a_size_that_is_not_known(function: Callable[[Any], object], message: str) -> None:
    with pytest.raises(TraceError) as info:
        graphc.symbolic_trace(function, "f32[n,m]")
    assert message in info.value.message
    assert info.value.hint
    assert info.value.location is not None
    assert info.value.location.line == function.__code__.co_firstlineno


def test_sizes_answer_what_holds_for_all_their_numbers() -> None:
    def f(x: Any) -> Any:
        n, m = x.shape[0], x.shape[1]
        assert n == n
        assert n + m == m + n
        assert n != n + 1
        assert n >= 2
        assert n > 1
        assert not n < 2
        assert n <= 64
        assert 2 <= n  # noqa: SIM300  # the operator from the right
        assert n + m > m + 1
        assert n
        assert n != "a"
        assert n != (n,)
        assert {n: 1}[x.size(0)] == 1
        assert x.shape == (n, m)
        assert f"{n:>5} {n!r}" == "n n"
        assert str(x.numel()) == "m*n"
        assert (n * 2 - n) == n
        assert -n + n == 0
        return x

    graphc.symbolic_trace(f, "f32[n,m] where n in 2..64")


def test_sizes_compute_with_sizes_numbers_and_tensors() -> None:
    def f(x: Any) -> Any:
        n = x.shape[0]
        return (
            (x / n).sum(), x * n, n * x, n - x, n / 2, 1 / n, 0.5 * n, n * 0.5, n**2, 2**n, n // 2, n % 2, 7 // n,
            7 % n, 1 - n, x.reshape(n * 3), x.reshape(-1, n), x.reshape((3, n)), graphc.ones(n, 2),
        )  # fmt: skip

    compiled = graphc.compile(f, dynamic={"x": {0: "n"}})
    for n in (2, 5):
        x = np.arange(3 * n, dtype=np.float32).reshape(n, 3)
        f32 = np.float32
        expected = (
            (x / f32(n)).sum(), x * n, n * x, n - x, f32(n / 2), f32(1 / n), f32(n / 2), f32(n / 2), n**2, 2**n, n // 2,
            n % 2, 7 // n, 7 % n, 1 - n, x.reshape(n * 3), x.reshape(-1, n), x.reshape(3, n), np.ones((n, 2), f32),
        )  # fmt: skip
        for have, want in zip(compiled(x), expected, strict=True):
            np.testing.assert_allclose(have, np.asarray(want), rtol=1e-6, strict=True)
    assert len(compiled.compilations) == 1


def test_numpy_arrays_and_scalars_combine_with_tensors_from_both_sides() -> None:
    y = np.full((2, 3), 2, np.float32)
    i = np.arange(1, 4)
    w = np.ones((4, 2), np.float32)
    two = np.float32(2)

    def f(x: Any, number: Any, j: Any) -> Any:
        return [
            number + x, number - x, number * x, number / x, number // x, number % x, number**x,
            number < x, number <= x, number > x, number >= x, number == x, number != x,
            x + number, x - number, x * number, x / number, x // number, x % number, x**number, x < number, x == number,
            i & j, i | j, i ^ j, i << j, j >> i, w @ x,
        ]  # fmt: skip

    x = np.arange(1, 7, dtype=np.float32).reshape(2, 3)
    for number in (y, two):
        compiled = graphc.compile(lambda x, j, number=number: f(x, number, j))
        for have, want in zip(compiled(x, i), f(x, number, i), strict=True):
            np.testing.assert_allclose(have, want, rtol=1e-6, strict=True)


def test_copies_are_the_tensor_itself() -> None:
    f = graphc.compile(lambda x: copy.deepcopy({"x": [x]})["x"][0] + copy.copy(x))
    np.testing.assert_array_equal(f(X), X + X)


def test_tensors_can_be_unpacked_and_looped_over() -> None:
    def f(x: Any) -> Any:
        first, second = x
        return first + second + sum(row for row in x) + len(x)

    np.testing.assert_array_equal(graphc.compile(f)(X), 2 * X.sum(0) + 2)


def test_equality_of_sets_and_dicts_is_by_identity() -> None:
    def f(x: Any) -> Any:
        y = x + 1
        return {y: 1, x: 2}[x] * x

    np.testing.assert_array_equal(graphc.compile(f)(X), 2 * X)
