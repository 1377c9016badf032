"""Every entry of the table on eager tensors: what compiled code gives, as function and method, for all strides."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import graphc
from graphc import Tensor
from graphc.eager.view import VIEWS
from graphc.frontend.tensor import SymbolicTensor
from graphc.ir.errors import GraphcError
from graphc.ops.function import functions
from tests.composite.case import Values
from tests.eager.table_cases import Call, calls, free_function_of, leaves, method_of, tensor_of

ELSEWHERE = {
    "pure_callback": "takes a Python function: tests/host",
    "nn.functional._batch_norm_moving": "is what the function without _ calls: tests/nn",
    "nn.functional._instance_norm_moving": "is what the function without _ calls: tests/nn",
    "_with_item": "is what a compiled program makes of an assignment",
    "__setitem__": "gives nothing: the tests of assignment",
}
NAMES = sorted(set(functions()) - set(ELSEWHERE))
UNSET = frozenset(("empty", "empty_like", "new_empty"))
"""Functions whose elements mean nothing eagerly; compiled code gives zeros."""
DISTINCT = sorted({functions()[name].build: name for name in reversed(NAMES)}.values())
"""One name of each function."""
WORDED_ELSEWHERE = frozenset("rand_like randn_like normal bernoulli binomial positive __pos__".split())
"""Functions whose eager forms are their own: they refuse dtypes with another class of error, or take more of them."""


def test_every_entry_has_a_case() -> None:
    assert set(NAMES) <= set(calls())


@pytest.fixture(autouse=True)
def _no_warnings() -> Iterator[None]:
    """Deprecated names warn: that is tested elsewhere."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def compiled(call: Call) -> list[Any]:
    """The leaves of what native code gives for the call."""
    plain: list[Any] = []

    def traced(*tensors: Any) -> list[Any]:
        found = leaves(call.run(*tensors))
        plain.extend(None if isinstance(each, SymbolicTensor) else each for each in found)
        return [each for each in found if isinstance(each, SymbolicTensor)]

    graph = graphc.symbolic_trace(traced, *call.arrays())
    if not graph.outputs:
        return plain
    results = iter(graph.compile()(*call.arrays()))
    return [next(results) if each is None else each for each in plain]


def in_bits(value: Any) -> Any:
    """A leaf of a result as what must be equal: dtype, shape and bytes."""
    if isinstance(value, Tensor):
        value = value._array
    if isinstance(value, np.ndarray | bool):  # what is a bool eagerly is a 0-d tensor in compiled code
        array = np.asarray(value)
        return array.dtype, array.shape, array.tobytes()
    return value


def check(result: Any, expected: list[Any], name: str) -> None:
    """All leaves are equal to the bit."""
    found = leaves(result)
    assert len(found) == len(expected)
    for got, want in zip(found, expected, strict=True):
        if name in UNSET:
            assert (got.dtype.numpy, got.shape) == (want.dtype, want.shape)
        elif in_bits(got) != in_bits(want):
            np.testing.assert_array_equal(arrays_of(got)[0], want, strict=True)  # shows where they differ
            raise AssertionError("signs of zeros or nans differ")


def arrays_of(result: Any) -> list[Any]:
    """The leaves with arrays in place of tensors."""
    return [each._array if isinstance(each, Tensor) else each for each in leaves(result)]


@pytest.mark.parametrize("name", NAMES)
def test_eager_results_are_those_of_compiled_code(name: str) -> None:
    for call in calls()[name]:
        check(call.eagerly(), compiled(call), name)


@pytest.mark.parametrize("name", [name for name in NAMES if method_of(name) and functions()[name].is_function])
def test_method_and_function_are_one(name: str) -> None:
    method = method_of(name)
    assert method is not None
    for call in calls()[name][:2]:
        function, args, kwargs = free_function_of(name), *call.replace(tensor_of)
        assert function is not None
        if not isinstance(args[0] if args else None, Tensor):
            continue
        check(method(*args, **kwargs), arrays_of(function(*args, **kwargs)), name)


# Other dtypes


def _as_integers(array: Values, kind: Any) -> Values:
    return np.rint(3 * np.abs(array)).astype(kind)


KINDS: dict[str, Callable[[Values], Values]] = {
    "float64": lambda x: x.astype(np.float64),
    "float16": lambda x: x.astype(np.float16),
    "bfloat16": lambda x: x.astype(ml_dtypes.bfloat16),
    "int64": lambda x: np.rint(3 * x).astype(np.int64),
    "uint8": lambda x: np.rint(3 * np.abs(x)).astype(np.uint8),
    "bool": lambda x: x > 0,
    "complex64": lambda x: x + np.complex64(0.5j) * x,
}
GROUPS = ("int64 complex64".split(), "bfloat16 uint8".split(), "float64 float16".split(), "bool complex64".split())
"""The dtypes that every fourth function is tried with."""


def in_kind(call: Call, kind: str) -> Call:
    """The call with another dtype in place of float32."""
    return call.converted(lambda array: np.asarray(KINDS[kind](array)) if array.dtype == np.float32 else array)


@pytest.mark.parametrize(("name", "kinds"), [(name, GROUPS[k % 4]) for k, name in enumerate(sorted(DISTINCT))])
def test_other_dtypes_give_what_compiled_code_gives_or_the_same_error(name: str, kinds: tuple[str, ...]) -> None:
    call = calls()[name][0]
    if not any(array.dtype == np.float32 for array in call.arrays()):
        return
    for kind in kinds:
        other = in_kind(call, kind)
        try:
            expected: list[Any] | GraphcError = compiled(other)
        except GraphcError as error:
            expected = error
        if isinstance(expected, GraphcError):
            if name not in WORDED_ELSEWHERE:
                with pytest.raises(Exception) as caught:
                    other.eagerly()
                assert isinstance(caught.value, _exception_classes(expected))
        else:
            check(other.eagerly(), expected, name)


def _exception_classes(error: GraphcError) -> tuple[type[BaseException], ...]:
    """The built-in exceptions that a program would catch the error as."""
    return tuple(each for each in type(error).__mro__ if each.__module__ == "builtins")[:-3]


# Strides


def in_columns(array: Values) -> Tensor:
    """The values with the last dimension outermost in memory."""
    order = tuple(range(array.ndim))
    turned = np.ascontiguousarray(array.transpose(order[-1:] + order[:-1]))
    return graphc.from_numpy(turned).permute(*order[1:], 0) if array.ndim else tensor_of(array)


def with_gaps(array: Values) -> Tensor:
    """The values as every second of a larger tensor, from an offset on."""
    wide = np.zeros(tuple(2 * n + 1 for n in array.shape), array.dtype)
    part = tuple(slice(1, None, 2) for _ in array.shape)
    wide[part] = array
    return graphc.from_numpy(wide)[part] if array.ndim else tensor_of(np.stack([array, array]))[1]


STRIDED = (in_columns, with_gaps)
NEED_STRIDES = frozenset("view view_as view_as_complex as_strided".split())
"""Functions that depend on strides."""


@pytest.mark.parametrize("make", STRIDED)
@pytest.mark.parametrize("name", sorted(DISTINCT))
def test_strides_of_operands_change_no_value(name: str, make: Callable[[Values], Tensor]) -> None:
    if name in NEED_STRIDES:
        return
    call = calls()[name][0]
    if not call.arrays():
        return
    tensors = [make(array) for array in call.arrays()]
    for tensor, array in zip(tensors, call.arrays(), strict=True):
        np.testing.assert_array_equal(tensor._array, array)
    check(call.run(*tensors), arrays_of(call.eagerly()), name)
    for tensor, array in zip(tensors, call.arrays(), strict=True):
        np.testing.assert_array_equal(tensor._array, array)  # operands are as they were


@pytest.mark.parametrize("name", sorted(DISTINCT))
def test_operands_that_repeat_one_element_give_what_copies_of_it_give(name: str) -> None:
    if name in NEED_STRIDES:
        return
    call = calls()[name][0]
    repeated = [i for i, array in enumerate(call.arrays()) if array.dtype == np.float32 and array.ndim > 1]
    if not repeated or "linalg" in functions()[name].build.__module__:  # singular matrices
        return
    arrays = [np.repeat(a[:1], len(a), 0) if i in repeated else a for i, a in enumerate(call.arrays())]
    tensors = [
        tensor_of(array[:1]).expand(*array.shape) if i in repeated else tensor_of(array)
        for i, array in enumerate(arrays)
    ]
    expected = call.run(*(tensor_of(array) for array in arrays))
    check(call.run(*tensors), arrays_of(expected), name)


# Memory


MAY_SHARE = frozenset(
    "reshape flatten reshape_as H mH adjoint contiguous to type_as float double half bfloat16 bool char short int long "
    "byte cfloat cdouble ravel conj resolve_conj resolve_neg positive __pos__ sum_to_size real imag view_as_real "
    "view_as_complex view select narrow unfold as_strided detach broadcast_tensors meshgrid __getitem__ dropout "
    "alpha_dropout feature_dropout feature_alpha_dropout einsum".split()
)
"""Functions whose results share memory where strides, dtypes and arguments allow it, or are the tensor itself."""


@pytest.mark.parametrize("name", NAMES)
def test_only_views_share_memory(name: str) -> None:
    for call in calls()[name][:2]:
        tensors = [tensor_of(array) for array in call.arrays()]
        results = [each for each in leaves(call.run(*tensors)) if isinstance(each, Tensor) and each.numel()]
        for result in results:
            shares = any(np.shares_memory(result._array, tensor._array) for tensor in tensors)
            is_shared = any(result._storage is tensor._storage for tensor in tensors)
            assert shares == is_shared
            if name in VIEWS:
                assert shares
            elif name not in MAY_SHARE:
                assert not shares
