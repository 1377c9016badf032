"""Calls with tensors on several devices are refused in PyTorch's words, before anything is touched."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import graphc
from graphc import nn
from graphc.nn import functional as F

here: Any = graphc.ones
MIXED = "Expected all tensors to be on the same device, but found at least two devices, cuda:0 and cpu!"
ZERO = (0,)


def there(*shape: int) -> Any:
    return graphc.ones(*shape, device="cuda")


def index(*values: int) -> Any:
    return graphc.tensor(values)


CALLS: dict[str, Callable[[], object]] = {
    "add": lambda: there(2) + here(2),
    "add_": lambda: there(2).add_(here(2)),
    "matmul": lambda: there(2, 2) @ here(2, 2),
    "where": lambda: graphc.where(there(2) > 0, here(2), there(2)),
    "cat": lambda: graphc.cat([there(2), here(2)]),
    "stack": lambda: graphc.stack([here(2), there(2)]),
    "equal": lambda: graphc.equal(there(2), here(2)),
    "out": lambda: graphc.add(there(2), 1, out=here(2)),
    "gather": lambda: there(2).gather(0, index(0)),
    "index_select": lambda: there(2).index_select(0, index(0)),
    "masked_select": lambda: there(2).masked_select(here(2) > 0),
    "setitem": lambda: there(3).__setitem__(index(0, 1), here(2)),
    "bincount": lambda: graphc.bincount(index(1).cuda(), here(1)),
    "solve": lambda: graphc.linalg.solve(there(1, 1), here(1)),
    "Linear": lambda: nn.Linear(3, 2)(there(1, 3)),
    "Conv2d": lambda: nn.Conv2d(1, 1, 1).cuda()(here(1, 1, 2, 2)),
    "BatchNorm": lambda: nn.BatchNorm1d(3)(there(2, 3)),
    "Embedding": lambda: nn.Embedding(3, 2)(index(1).cuda()),
    "LSTM": lambda: nn.LSTM(2, 2)(there(1, 1, 2)),
    "attention": lambda: F.scaled_dot_product_attention(there(1, 2, 2), here(1, 2, 2), here(1, 2, 2)),
    "cross_entropy": lambda: F.cross_entropy(there(2, 3), index(0, 1)),
    "mse_loss": lambda: F.mse_loss(there(2), here(2)),
    "compiled": lambda: graphc.compile(lambda a, b: a + b)(there(2), here(2)),
}


@pytest.mark.parametrize("name", CALLS)
def test_tensors_of_one_call_are_on_one_device(name: str) -> None:
    with pytest.raises(RuntimeError) as caught:
        CALLS[name]()
    assert str(caught.value) == MIXED


OTHERS: dict[str, tuple[Callable[[], object], str]] = {
    "two GPUs": (lambda: there(2) + there(2).to("cuda:1"), "two devices, cuda:0 and cuda:1!"),
    "index of a CPU tensor": (
        lambda: here(3)[index(0).cuda()],
        r"indices should be either on cpu or on the same device as the indexed tensor \(cpu\)",
    ),
    "mask of a CPU tensor": (lambda: here(3)[there(3) > 0], "indices should be either on cpu"),
    "grad": (
        lambda: setattr(there(2).requires_grad_(), "grad", here(2)),
        "assigned grad has data located on a different device",
    ),
    "cotangent": (
        lambda: (there(2).requires_grad_() * 2).backward(here(2)),
        "invalid gradient at index 0 - expected device cuda:0 but got cpu",
    ),
    "generator": (
        lambda: graphc.rand(2, generator=graphc.Generator(), device="cuda"),
        "Expected a 'cuda' device type for generator but found 'cpu'",
    ),
    "generator of a GPU": (
        lambda: here(2).normal_(generator=graphc.Generator("cuda")),
        "Expected a 'cpu' device type for generator but found 'cuda'",
    ),
    "lengths": (
        lambda: nn.utils.rnn.pack_padded_sequence(there(2, 1, 2), index(2).cuda()),
        "'lengths' argument should be a 1D CPU int64 tensor, but got 1D cuda:0 Long tensor",
    ),
    "legacy": (
        lambda: graphc.Tensor(2, device="cuda"),
        "legacy constructor expects device type: cpu but device type: cuda was passed",
    ),
    "no such GPU": (lambda: graphc.ones(2, device="cuda:5"), "CUDA error: invalid device ordinal"),
    "pinning": (
        lambda: there(2).pin_memory(),
        "cannot pin 'torch.cuda.FloatTensor' only dense CPU tensors can be pinned",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", OTHERS)
def test_what_a_device_has_to_do_with_is_said(name: str) -> None:
    call, text = OTHERS[name]
    with pytest.raises((RuntimeError, BufferError), match=text):
        call()


def test_an_optimizer_refuses_states_that_stayed_behind() -> None:
    model: Any = nn.Linear(2, 1)
    optimizer = graphc.optim.Adam(model.parameters())
    model(here(1, 2)).sum().backward()
    optimizer.step()
    model.cuda()
    with pytest.raises(RuntimeError, match=MIXED):
        optimizer.step()


def test_python_functions_of_elements_are_for_the_cpu() -> None:
    with pytest.raises(TypeError, match="apply_ is only implemented on CPU tensors"):
        there(2).apply_(lambda value: value)
