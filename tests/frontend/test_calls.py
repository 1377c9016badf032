"""Calls of the table's functions: what is no tensor is refused by its name, and help reads in the user's words."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphc
from graphc.ir.errors import ArgumentError

X = np.arange(6, dtype=np.float32).reshape(2, 3)

WRONG_OPERANDS: list[tuple[Callable[[Any], object], str, str]] = [
    (lambda x: graphc.sum([1, 2]), "sum: the input is a list, no tensor", "numpy.asarray"),
    (lambda x: graphc.sum(3), "sum: the input is an int, no tensor", "numpy.asarray"),
    (lambda x: graphc.sum(object()), "sum: the input is an object, no tensor", "numpy array"),
    (lambda x: graphc.sum(None), "sum: the input is None, no tensor", "numpy array"),
    (lambda x: graphc.softmax([x, x], dim=0), "softmax: the input is a list, no tensor", "graphc.stack"),
    (lambda x: graphc.exp("a"), "exp: the input is a str, no tensor", "numpy array"),
    (lambda x: x.add([1]), "add: the other is a list, no tensor", "numpy.asarray"),
    (lambda x: x.matmul([[1]]), "matmul: the other is a list, no tensor", "numpy.asarray"),
    (lambda x: graphc.where(x > 0, [1], x), "where: the input is a list, no tensor", "numpy.asarray"),
    (lambda x: graphc.layer_norm(x, 3, weight=1.0), "layer_norm: the weight is a float, no tensor", "numpy.asarray"),
    (lambda x: graphc.block_diag(x, [1]), "block_diag: tensors[1] is a list, no tensor", "numpy.asarray"),
]


@pytest.mark.parametrize(("function", "message", "hint"), WRONG_OPERANDS, ids=[text for _, text, _ in WRONG_OPERANDS])
def test_an_operand_that_is_no_tensor_is_named(function: Callable[[Any], object], message: str, hint: str) -> None:
    with pytest.raises(ArgumentError) as info:
        graphc.compile(function)(X)
    assert info.value.message == message
    assert hint in (info.value.hint or "")
    assert {frame.path for frame in info.traceback} == {info.traceback[0].path}  # none of ours


def test_an_error_of_the_values_is_not_blamed_on_a_number() -> None:
    with pytest.raises(graphc.GraphcError, match="must match the size"):
        graphc.compile(lambda x: graphc.where(True, x, x[:, :2]))(X)


def test_functions_of_arrays_outside_a_compiled_function_are_refused() -> None:
    with pytest.raises(TypeError) as info:
        graphc.softmax(X, dim=1)
    assert str(info.value) == "softmax(): argument 'input' (position 1) must be Tensor, not numpy.ndarray"
    assert "graphc.from_numpy" in (info.value.hint or "")  # type: ignore[attr-defined]  # it is a GraphcError
    assert "graphc.compile" in (info.value.hint or "")  # type: ignore[attr-defined]
    with pytest.raises(TypeError, match=r"expected Tensor as element 0 in argument 0, but got numpy.ndarray"):
        graphc.cat([X, X])


def test_eager_tensors_in_traces_are_constants_unless_they_need_gradients() -> None:
    scale = graphc.tensor([1.0, 2.0, 3.0])
    np.testing.assert_array_equal(graphc.compile(lambda x: x * scale)(X), X * np.array([1, 2, 3], np.float32))
    np.testing.assert_array_equal(graphc.compile(lambda x: scale + x)(X), X + np.array([1, 2, 3], np.float32))
    scale.requires_grad_()
    with pytest.raises(graphc.GraphcError) as info:
        graphc.compile(lambda x: x * scale)(X)
    assert info.value.message == "a traced function uses a tensor that requires grad and is not among its arguments"
    assert "pass the tensor as an argument" in (info.value.hint or "")


def test_arrays_beside_placeholders_and_in_traces_are_constants() -> None:
    x = graphc.placeholder((2, 3), name="x")
    both = graphc.function([x], [graphc.cat([x, X]), graphc.maximum(X, x) + graphc.zeros(3) + graphc.arange(3)])
    joined, sums = both(X)
    np.testing.assert_array_equal(joined, np.concatenate([X, X]))
    np.testing.assert_array_equal(sums, X + np.arange(3, dtype=np.float32))
    np.testing.assert_array_equal(graphc.compile(lambda x: x + graphc.exp(np.zeros(3, np.float32)))(X), X + 1)


def test_names_of_parameters_in_numpy_mean_those_of_pytorch() -> None:
    f = graphc.compile(lambda x: (x.sum(axis=0), graphc.mean(x, axis=1, keepdims=True), graphc.softmax(x, axis=1)))
    total, mean, soft = f(X)
    np.testing.assert_array_equal(total, X.sum(axis=0))
    np.testing.assert_array_equal(mean, X.mean(axis=1, keepdims=True))
    np.testing.assert_allclose(soft.sum(axis=1), 1, rtol=1e-6)


WRONG_KEYWORDS: list[tuple[Callable[[Any], object], str, str]] = [
    (lambda x: x.sum(dm=0), "sum: got an unexpected keyword argument 'dm'", "did you mean 'dim'? its parameters are ("),
    (lambda x: x.sum(colour=0), "sum: got an unexpected keyword argument 'colour'", "its parameters are (input, dim"),
    (lambda x: x.sum(dim=0, axis=0), "sum: 'dim' and 'axis' are both given, and mean the same", "give 'dim' alone"),
    (lambda x: x.exp(axis=0), "exp: got an unexpected keyword argument 'axis'", "its parameters are (input)"),
    (lambda x: graphc.softmax(x), "softmax: missing a required argument: 'dim'", "its parameters are (input, dim"),
]


@pytest.mark.parametrize(("function", "message", "hint"), WRONG_KEYWORDS, ids=[text for _, text, _ in WRONG_KEYWORDS])
def test_a_keyword_that_is_no_parameter_is_refused(function: Callable[[Any], object], message: str, hint: str) -> None:
    with pytest.raises(ArgumentError) as info:
        graphc.compile(function)(X)
    assert info.value.message == message
    assert (info.value.hint or "").startswith(hint)


def test_help_shows_tensors_without_quotes() -> None:
    shown = "(input: Tensor, dim: int, dtype: DType | str | None = None) -> Tensor"
    assert str(inspect.signature(graphc.softmax)) == shown
    assert str(inspect.signature(graphc.SymbolicTensor.softmax)) == shown
    assert repr(graphc.softmax.__annotations__["input"]) == "Tensor"
    tables = [vars(graphc), vars(graphc.SymbolicTensor)]
    for each in (value for table in tables for value in table.values()):
        if hasattr(getattr(each, "__wrapped__", None), "__signature__"):
            text = str(inspect.signature(each))
            assert not any(part in text for part in ("Node", "Operand", ": '", "-> '")), (each, text)


def test_public_names_are_listed_or_folders() -> None:
    for name, value in vars(graphc).items():
        if not name.startswith("_"):
            assert name in graphc.__all__ or isinstance(value, types.ModuleType), name
    modules = [name for name, value in vars(graphc).items() if isinstance(value, types.ModuleType)]
    assert all(vars(graphc)[name].__name__ == f"graphc.{name}" for name in modules if not name.startswith("_"))


def test_parts_of_complex_tensors_are_functions_too() -> None:
    z = np.array([1 + 2j, 3 - 4j], np.complex64)
    real, imag, same = graphc.compile(lambda z: (graphc.real(z), graphc.imag(z), z.real))(z)
    np.testing.assert_array_equal(real, z.real)
    np.testing.assert_array_equal(imag, z.imag)
    np.testing.assert_array_equal(same, z.real)
