"""Constructors of old: `Tensor(...)`, `FloatTensor(...)` and its kin, `Variable`."""

from __future__ import annotations

import pickle
from collections.abc import Callable

import numpy as np
import pytest

import graphc as torch


def test_forms_of_the_constructor() -> None:
    assert torch.Tensor().tolist() == []
    assert torch.Tensor(3).shape == (3,)
    assert torch.Tensor(2, 3).shape == (2, 3)
    assert torch.Tensor(torch.Size([2, 3])).shape == (2, 3)
    assert torch.Tensor((2, 3)).tolist() == [2.0, 3.0]
    assert torch.Tensor([[1, 2], [3, 4]]).dtype is torch.float32
    assert torch.Tensor([True, 2.5]).tolist() == [1.0, 2.5]
    assert torch.Tensor(np.ones(2)).dtype is torch.float32
    assert torch.Tensor(range(2), device="cpu").tolist() == [0.0, 1.0]


def test_another_tensor_is_shared_with_its_history() -> None:
    x = torch.ones(2, dtype=torch.int64)
    torch.Tensor(x)[0] = 5
    assert x.tolist() == [5, 1]
    y = torch.Tensor(torch.ones(2, requires_grad=True))
    assert type(y.grad_fn).__name__ == "AliasBackward0"
    assert torch.Tensor(torch.ones(3).storage()).tolist() == [1.0, 1.0, 1.0]


TYPES = {
    "FloatTensor": torch.float32,
    "DoubleTensor": torch.float64,
    "HalfTensor": torch.float16,
    "BFloat16Tensor": torch.bfloat16,
    "LongTensor": torch.int64,
    "IntTensor": torch.int32,
    "ShortTensor": torch.int16,
    "CharTensor": torch.int8,
    "ByteTensor": torch.uint8,
    "BoolTensor": torch.bool,
}


@pytest.mark.parametrize(("name", "dtype"), TYPES.items())
def test_types_make_tensors_of_their_dtype(name: str, dtype: torch.dtype) -> None:
    kind = getattr(torch, name)
    made = kind([1, 0])
    assert type(made) is torch.Tensor
    assert made.dtype is kind.dtype is dtype
    assert made.type() == f"torch.{name}"
    assert isinstance(made, kind)
    assert not isinstance(torch.tensor([1j]), kind)
    assert kind(2, 3).shape == (2, 3)
    assert torch.tensor([1.0, 0.0]).type(kind).dtype is dtype
    assert repr(kind) == f"<class 'torch.{name}'>"
    assert pickle.loads(pickle.dumps(kind)) is kind
    assert not kind.is_cuda


def test_new_has_the_dtype_of_the_tensor() -> None:
    x = torch.ones(3, dtype=torch.int64)
    assert x.new([1, 2]).dtype is torch.int64
    assert x.new(2, 3).shape == (2, 3)
    assert x.new().tolist() == []


def test_variables_are_tensors() -> None:
    x = torch.ones(2)
    variable = torch.autograd.Variable(x, requires_grad=True)
    assert type(variable) is torch.Tensor
    assert variable.requires_grad
    assert variable.data_ptr() == x.data_ptr()
    assert not x.requires_grad
    assert isinstance(x, torch.autograd.Variable)


REFUSALS: list[tuple[Callable[[], object], type[Exception], str]] = [
    (lambda: torch.Tensor(3.5), TypeError, "new(): data must be a sequence (got float)"),
    (lambda: torch.Tensor(None), TypeError, "new(): data must be a sequence (got NoneType)"),
    (lambda: torch.Tensor("a"), TypeError, "new(): invalid data type 'str'"),
    (lambda: torch.Tensor(["a"]), ValueError, "too many dimensions 'str'"),
    (lambda: torch.Tensor(-1), RuntimeError, "Trying to create tensor with negative dimension -1: [-1]"),
    (
        lambda: torch.Tensor([1], device="cuda"),
        RuntimeError,
        "legacy constructor expects device type: cpu but device type: cuda was passed",
    ),
    (
        lambda: torch.LongTensor(torch.ones(2)),
        TypeError,
        "expected TensorOptions(dtype=long int, device=cpu, layout=Strided, requires_grad=false (default), "
        "pinned_memory=false (default), memory_format=(nullopt)) (got TensorOptions(dtype=float, device=cpu, "
        "layout=Strided, requires_grad=false (default), pinned_memory=false (default), memory_format=(nullopt)))",
    ),
    (lambda: torch.ByteTensor([300]), RuntimeError, "value cannot be converted to type uint8 without overflow"),
    (lambda: torch.autograd.Variable([1]), TypeError, "Variable data has to be a tensor, but got list"),
]


@pytest.mark.parametrize("case", REFUSALS, ids=range(len(REFUSALS)))
def test_refusals(case: tuple[Callable[[], object], type[Exception], str]) -> None:
    call, kind, text = case
    with pytest.raises(kind) as caught:
        call()
    assert str(caught.value) == text
