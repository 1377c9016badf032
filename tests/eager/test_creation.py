"""Tensors from data and of given contents: values, dtypes, strides, options, and PyTorch's refusals."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import pytest

import graphc as torch
from graphc import Tensor

Make = Callable[[], Tensor]

# What is made, the dtype, the values.
VALUES: list[tuple[Make, torch.dtype, object]] = [
    (lambda: torch.tensor([1, 2]), torch.int64, [1, 2]),
    (lambda: torch.tensor([1, 2.5]), torch.float32, [1.0, 2.5]),
    (lambda: torch.tensor([True, 2]), torch.int64, [1, 2]),
    (lambda: torch.tensor([True, 1.5]), torch.float32, [1.0, 1.5]),
    (lambda: torch.tensor([1, 2j]), torch.complex64, [1, 2j]),
    (lambda: torch.tensor([[True], [False]]), torch.bool, [[True], [False]]),
    (lambda: torch.tensor(((1, 2), (3, 4)), dtype=torch.float16), torch.float16, [[1.0, 2.0], [3.0, 4.0]]),
    (lambda: torch.tensor(7), torch.int64, 7),
    (lambda: torch.tensor([]), torch.float32, []),
    (lambda: torch.tensor([[], [1]]), torch.float32, [[], []]),
    (lambda: torch.tensor(range(3)), torch.int64, [0, 1, 2]),
    (lambda: torch.tensor([2**63, 1.5]), torch.float32, [float(2**63), 1.5]),
    (lambda: torch.tensor([-1, -255], dtype=torch.uint8), torch.uint8, [255, 1]),
    (lambda: torch.tensor([1.7, -1.7], dtype=torch.int32), torch.int32, [1, -1]),
    (lambda: torch.tensor([2, 0.5, 0], dtype=torch.bool), torch.bool, [True, True, False]),
    (lambda: torch.tensor([70000.0], dtype=torch.float16), torch.float16, [float("inf")]),
    (lambda: torch.tensor([1, 2.5], dtype=torch.bfloat16), torch.bfloat16, [1.0, 2.5]),
    (lambda: torch.tensor([torch.tensor(1), torch.tensor(2.5)]), torch.float32, [1.0, 2.5]),
    (lambda: torch.tensor([torch.tensor(1.5, dtype=torch.float64), 2]), torch.float64, [1.5, 2.0]),
    (lambda: torch.tensor([np.float64(1.5)]), torch.float64, [1.5]),
    (lambda: torch.tensor(np.int8(1)), torch.int8, 1),
    (lambda: torch.tensor(np.array([1, 2], np.uint16)), torch.uint16, [1, 2]),
    (lambda: torch.tensor(1, dtype=float), torch.float64, 1.0),
    (lambda: torch.zeros(2, 1), torch.float32, [[0.0], [0.0]]),
    (lambda: torch.zeros((2,), dtype=torch.int8), torch.int8, [0, 0]),
    (lambda: torch.zeros(()), torch.float32, 0.0),
    (lambda: torch.zeros(torch.tensor(2)), torch.float32, [0.0, 0.0]),
    (lambda: torch.ones(size=(2,)), torch.float32, [1.0, 1.0]),
    (lambda: torch.full((2,), 1), torch.int64, [1, 1]),
    (lambda: torch.full((2,), True), torch.bool, [True, True]),
    (lambda: torch.full([], 2j), torch.complex64, 2j),
    (lambda: torch.full((2,), torch.tensor(3)), torch.int64, [3, 3]),
    (lambda: torch.full((2,), 1.5, dtype=torch.int64), torch.int64, [1, 1]),
    (lambda: torch.scalar_tensor(3), torch.float32, 3.0),
    (lambda: torch.eye(2, 3), torch.float32, [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]),
    (lambda: torch.eye(2, dtype=torch.bool), torch.bool, [[True, False], [False, True]]),
    (lambda: torch.arange(3), torch.int64, [0, 1, 2]),
    (lambda: torch.arange(3.0), torch.float32, [0.0, 1.0, 2.0]),
    (lambda: torch.arange(5, 0, -2), torch.int64, [5, 3, 1]),
    (lambda: torch.arange(1, 2.5, 0.5), torch.float32, [1.0, 1.5, 2.0]),
    (lambda: torch.arange(end=2), torch.int64, [0, 1]),
    (lambda: torch.arange(start=1, end=3), torch.int64, [1, 2]),
    (lambda: torch.arange(torch.tensor(2.0)), torch.float32, [0.0, 1.0]),
    (lambda: torch.arange(258, dtype=torch.uint8)[-2:], torch.uint8, [0, 1]),
    (lambda: torch.arange(0.5, 3, dtype=torch.int64), torch.int64, [0, 1, 2]),
    (lambda: torch.linspace(0, 1, 5), torch.float32, [0.0, 0.25, 0.5, 0.75, 1.0]),
    (lambda: torch.linspace(0, 10, steps=4, dtype=torch.int64), torch.int64, [0, 3, 6, 10]),
    (lambda: torch.linspace(1j, 2, 3), torch.complex64, [1j, 1 + 0.5j, 2 + 0j]),
    (lambda: torch.linspace(torch.tensor(0), 1, 1), torch.float32, [0.0]),
    (lambda: torch.logspace(0, 2, 3, 2), torch.float32, [1.0, 2.0, 4.0]),
    (lambda: torch.logspace(0, 2, 3, dtype=torch.int64), torch.int64, [1, 10, 100]),
    (lambda: torch.tril_indices(2, 3, 1), torch.int64, [[0, 0, 1, 1, 1], [0, 1, 0, 1, 2]]),
    (lambda: torch.triu_indices(2, 2, dtype=torch.int32), torch.int32, [[0, 0, 1], [0, 1, 1]]),
    (lambda: torch.full_like(torch.ones(2, dtype=torch.int32), 2.7), torch.int32, [2, 2]),
    (lambda: torch.ones_like(torch.zeros(2), dtype=torch.bool), torch.bool, [True, True]),
    (lambda: torch.zeros_like(torch.tensor([1j])), torch.complex64, [0j]),
    (lambda: torch.ones(1).new_tensor([1, 2]), torch.float32, [1.0, 2.0]),
    (lambda: torch.ones(1, dtype=torch.int8).new_full((2,), 3.7), torch.int8, [3, 3]),
    (lambda: torch.ones(1).new_zeros((1, 2), dtype=torch.bool), torch.bool, [[False, False]]),
    (lambda: torch.ones(1, dtype=torch.float64).new_ones(2), torch.float64, [1.0, 1.0]),
]  # fmt: skip


@pytest.mark.parametrize("case", VALUES, ids=range(len(VALUES)))
def test_values_and_dtypes(case: tuple[Make, torch.dtype, object]) -> None:
    make, dtype, values = case
    found = make()
    assert found.dtype is dtype
    assert found.tolist() == values
    assert found.is_contiguous()


def test_floats_of_ranges_are_rounded_once() -> None:
    assert np.array_equal(torch.arange(0, 1, 0.1).numpy(), (np.arange(10) * 0.1).astype(np.float32))
    with pytest.warns(UserWarning, match="torch.range is deprecated"):
        assert torch.range(0, 3, 0.75).tolist() == [0.0, 0.75, 1.5, 2.25, 3.0]


def test_spaced_numbers_have_a_step_of_their_dtype() -> None:
    # float32: start + i * step with step rounded to float32, then rounded once.
    step = np.float64(np.float32(np.float32(2.5) / np.float32(6)))
    forth = [np.float32(0.25 + step * i) for i in range(3)]
    back = [np.float32(2.75 - step * i) for i in reversed(range(4))]
    assert torch.linspace(0.25, 2.75, 7).numpy().tolist() == np.array([*forth, *back]).tolist()
    halves = torch.linspace(-1, 2, 8, dtype=torch.float16).tolist()
    assert halves[:4] == [-1.0, -0.5712890625, -0.14306640625, 0.28515625]
    assert halves[4:] == [0.71484375, 1.142578125, 1.5712890625, 2.0]


def test_the_default_dtype_counts_for_floats() -> None:
    torch.set_default_dtype(torch.float64)
    try:
        assert torch.tensor([1.5]).dtype is torch.zeros(1).dtype is torch.arange(2.0).dtype is torch.float64
        assert torch.tensor([1j]).dtype is torch.complex128
        assert torch.full((1,), 1.0).dtype is torch.linspace(0, 1, 2).dtype is torch.float64
    finally:
        torch.set_default_dtype(torch.float32)


def test_data_is_copied() -> None:
    array = np.ones(2)
    tensor = torch.tensor(array)
    array[0] = 5
    assert tensor.tolist() == [1.0, 1.0]
    with pytest.warns(UserWarning, match="recommended to use sourceTensor.detach"):
        copy = torch.tensor(tensor)
    tensor[0] = 7
    assert copy.tolist() == [1.0, 1.0]


STRIDES: list[tuple[Make, tuple[int, ...]]] = [
    (lambda: torch.empty(2, 3, 4, 5, memory_format=torch.channels_last), (60, 1, 15, 3)),
    (lambda: torch.empty_strided((2, 3), (1, 2)), (1, 2)),
    (lambda: torch.empty_permuted((2, 3, 4), (2, 0, 1)), (3, 1, 6)),
    (lambda: torch.zeros_like(torch.ones(2, 3).t()), (1, 3)),
    (lambda: torch.zeros_like(torch.ones(2, 3).t(), dtype=torch.float64), (1, 3)),
    (lambda: torch.zeros_like(torch.ones(2, 3).t(), memory_format=torch.contiguous_format), (2, 1)),
    (lambda: torch.empty_like(torch.ones(1, 3).expand(2, 3)), (3, 1)),
    (lambda: torch.full_like(torch.ones(4, 6)[:, ::2], 1.0), (3, 1)),
    (lambda: torch.ones(3).new_empty_strided((2, 3), (1, 2)), (1, 2)),
    (lambda: torch.tensor(np.asfortranarray(np.ones((2, 3)))), (1, 2)),
]


@pytest.mark.parametrize("case", STRIDES, ids=range(len(STRIDES)))
def test_strides(case: tuple[Make, tuple[int, ...]]) -> None:
    assert case[0]().stride() == case[1]


def test_options_of_all_that_make_tensors() -> None:
    made = torch.zeros(2, dtype=torch.float64, layout=torch.strided, device="cpu", requires_grad=True, pin_memory=False)
    assert made.requires_grad
    assert made.is_leaf
    assert torch.arange(2.0, requires_grad=True).requires_grad
    out = torch.empty(0, dtype=torch.int32)
    assert torch.ones(3, out=out) is out
    assert out.tolist() == [1, 1, 1]
    assert torch.arange(3, out=torch.zeros(3)).dtype is torch.float32
    with pytest.warns(UserWarning, match=r"is 1 which does not match the computed number of elements 3"):
        torch.arange(3, out=torch.zeros(1))
    with torch.inference_mode():
        assert torch.zeros(1).is_inference()
    assert not torch.zeros(1).is_inference()


FLOATS_ONLY = "Only Tensors of floating point and complex dtype can require gradients"
REFUSALS: list[tuple[Callable[[], object], type[Exception], str]] = [
    (lambda: torch.tensor([[1, 2], [1, 2, 3]]), ValueError, "expected sequence of length 2 at dim 1 (got 3)"),
    (lambda: torch.tensor([[1], []]), ValueError, "expected sequence of length 1 at dim 1 (got 0)"),
    (lambda: torch.tensor([[1, 2], 3]), TypeError, "not a sequence"),
    (lambda: torch.tensor([1, [2, 3]]), TypeError, "'list' object cannot be interpreted as an integer"),
    (lambda: torch.tensor(["a"]), ValueError, "too many dimensions 'str'"),
    (lambda: torch.tensor("a"), TypeError, "new(): invalid data type 'str'"),
    (lambda: torch.tensor([[1, "a"]]), TypeError, "new(): invalid data type 'str'"),
    (lambda: torch.tensor([b"ab"]), TypeError, "new(): invalid data type 'bytes'"),
    (lambda: torch.tensor([None]), RuntimeError, "Could not infer dtype of NoneType"),
    (lambda: torch.tensor({}), RuntimeError, "Could not infer dtype of dict"),
    (lambda: torch.tensor([2**63]), ValueError, "Overflow when unpacking long long"),
    (
        lambda: torch.tensor([300], dtype=torch.uint8),
        RuntimeError,
        "value cannot be converted to type uint8 without overflow",
    ),
    (
        lambda: torch.tensor([float("nan")], dtype=torch.int64),
        RuntimeError,
        "value cannot be converted to type int64 without overflow",
    ),
    (lambda: torch.tensor([1j], dtype=torch.float32), TypeError, "must be real number, not complex"),
    (
        lambda: torch.tensor([torch.tensor([1, 2])]),
        TypeError,
        "only integer tensors of a single element can be converted to an index",
    ),
    (lambda: torch.tensor(1, dtype="float32"), TypeError, "tensor(): argument 'dtype' must be torch.dtype, not str"),
    (lambda: torch.tensor([1], requires_grad=True), RuntimeError, FLOATS_ONLY),
    (lambda: torch.zeros(2, dtype=torch.int32, requires_grad=True), RuntimeError, FLOATS_ONLY),
    (lambda: torch.tensor([1], device="cuda"), AssertionError, "Torch not compiled with CUDA enabled"),
    (lambda: torch.zeros(2, -3), RuntimeError, "zeros: Dimension size must be non-negative."),
    (lambda: torch.ones(2, -3), RuntimeError, "Trying to create tensor with negative dimension -3: [2, -3]"),
    (lambda: torch.zeros(2.5), TypeError, "zeros(): argument 'size' (position 1) must be tuple of ints, not float"),
    (
        lambda: torch.zeros(2, 2.5),
        TypeError,
        "zeros(): argument 'size' failed to unpack the object at pos 2 with error \"type must be tuple of ints,but got "
        'float"',
    ),
    (lambda: torch.zeros(), TypeError, 'zeros() missing 1 required positional arguments: "size"'),
    (
        lambda: torch.zeros(2**40, 2**40),
        RuntimeError,
        "Storage size calculation overflowed with sizes=[1099511627776, 1099511627776]",
    ),
    (
        lambda: torch.zeros(2, out=torch.ones(2, dtype=torch.int32), dtype=torch.float32),
        RuntimeError,
        "dtype Float does not match dtype of out parameter (Int)",
    ),
    (lambda: torch.tensor(), TypeError, 'tensor() missing 1 required positional arguments: "data"'),
    (
        lambda: torch.empty_strided(),
        TypeError,
        'empty_strided() missing 2 required positional argument: "size", "stride"',
    ),
    (lambda: torch.full(2, 1), TypeError, "full(): argument 'size' (position 1) must be tuple of ints, not int"),
    (
        lambda: torch.full((2,), 300, dtype=torch.uint8),
        RuntimeError,
        "value cannot be converted to type uint8_t without overflow",
    ),
    (lambda: torch.full((2,), "a"), TypeError, "full(): argument 'fill_value' (position 2) must be Number, not str"),
    (
        lambda: torch.zeros_like([1]),
        TypeError,
        "zeros_like(): argument 'input' (position 1) must be Tensor, not list",
    ),
    (
        lambda: torch.empty(2, 3, memory_format=torch.channels_last),
        RuntimeError,
        "required rank 4 tensor to use channels_last format",
    ),
    (
        lambda: torch.empty_strided((2, 3), (1,)),
        RuntimeError,
        "dimensionality of sizes (2) must match dimensionality of strides (1)",
    ),
    (lambda: torch.arange(5, 1), RuntimeError, "upper bound and lower bound inconsistent with step sign"),
    (lambda: torch.arange(1, 5, 0), RuntimeError, "step must be nonzero"),
    (lambda: torch.arange(float("nan")), RuntimeError, "unsupported range: 0 -> nan"),
    (lambda: torch.arange("a"), TypeError, "arange(): argument 'end' (position 1) must be Number, not str"),
    (lambda: torch.arange(3, dtype=torch.bool), NotImplementedError, "\"arange_cpu\" not implemented for 'Bool'"),
    (lambda: torch.linspace(0, 1, -1), RuntimeError, "number of steps must be non-negative"),
    (lambda: torch.eye(-1), RuntimeError, "n must be greater or equal to 0, got -1"),
    (lambda: torch.eye(2.5), TypeError, "eye(): argument 'n' (position 1) must be int, not float"),
    (lambda: torch.tril_indices(-1, 3), RuntimeError, "row must be non-negative, got-1"),
]


@pytest.mark.parametrize("case", REFUSALS, ids=range(len(REFUSALS)))
def test_refusals(case: tuple[Callable[[], object], type[Exception], str]) -> None:
    call, kind, text = case
    with pytest.raises(kind) as caught:
        call()
    assert str(caught.value) == text


def test_calls_of_no_form_list_the_forms() -> None:
    with pytest.raises(TypeError) as caught:
        torch.arange(1, 2, 3, 4)
    first, *forms = str(caught.value).splitlines()
    assert first == (
        "arange() received an invalid combination of arguments - got (int, int, int, int), but expected one of:"
    )
    assert forms[0].startswith(" * (Number end, *, Tensor out = None, torch.dtype dtype = None, ")
    assert len(forms) == 3


def test_lists_of_arrays_are_warned_about() -> None:
    with pytest.warns(UserWarning, match="Creating a tensor from a list of numpy.ndarrays is extremely slow"):
        assert torch.tensor([np.array([1.0, 2.0])]).dtype is torch.float64
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        torch.tensor([[1.0], [2.0]])
