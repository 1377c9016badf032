"""Functions of shapes, `where` as a method, and settings about repeatable results."""

from __future__ import annotations

import pytest

import graphc as torch


def test_broadcast_shapes() -> None:
    assert torch.broadcast_shapes((2, 1), (3,), 1) == torch.Size([2, 3])
    assert torch.broadcast_shapes(0, (2, 1)) == torch.Size([2, 0])
    assert torch.broadcast_shapes() == torch.Size([])
    with pytest.raises(RuntimeError) as caught:
        torch.broadcast_shapes((2,), (3,))
    assert str(caught.value) == (
        "Attempting to broadcast a dimension of length 3 at -1! Mismatching argument at index 1 had (3,); but expected "
        "shape should be broadcastable to [2]"
    )
    with pytest.raises(ValueError, match=r"^Attempting to broadcast a dimension with negative length!$"):
        torch.broadcast_shapes((-2,))


def test_unravel_index() -> None:
    rows, columns = torch.unravel_index(torch.tensor([5, 3]), (2, 3))
    assert rows.tolist() == [1, 1]
    assert columns.tolist() == [2, 0]
    assert torch.unravel_index(torch.tensor(4), 6)[0].item() == 4
    assert torch.unravel_index(torch.tensor([4], dtype=torch.int32), (6,))[0].dtype is torch.int64
    with pytest.raises(TypeError, match=r"^expected 'indices' to be integer dtype, but got torch.float32$"):
        torch.unravel_index(torch.tensor([5.0]), (2, 3))


def test_where_as_a_method_has_the_condition_second() -> None:
    x = torch.ones(2, requires_grad=True)
    chosen = x.where(torch.tensor([True, False]), 5)
    assert chosen.tolist() == [1.0, 5.0]
    chosen.sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [1.0, 0.0]
    assert x.is_same_size(chosen)
    assert not torch.is_same_size(x, torch.ones(1))


def test_settings_are_kept() -> None:
    assert not torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    assert torch.is_deterministic_algorithms_warn_only_enabled()
    torch.set_deterministic_debug_mode("error")
    assert torch.get_deterministic_debug_mode() == 2
    torch.use_deterministic_algorithms(False)
    torch.set_float32_matmul_precision("high")
    assert torch.get_float32_matmul_precision() == "high"
    with pytest.warns(UserWarning, match=r"^foo is not one of"):
        torch.set_float32_matmul_precision("foo")
    torch.set_float32_matmul_precision("highest")


def test_dropout_in_place() -> None:
    x = torch.ones(4)
    assert torch.dropout_(x, 1.0, True) is x
    assert x.tolist() == [0.0] * 4
