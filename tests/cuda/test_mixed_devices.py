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
    "matvec": lambda: there(2, 2) @ here(2),
    "matmul of batches": lambda: there(2, 2, 2) @ here(2, 2, 2),
    "mm": lambda: graphc.mm(here(2, 2), there(2, 2)),
    "addmm": lambda: graphc.addmm(here(2, 2), there(2, 2), there(2, 2)),
    "linear": lambda: F.linear(there(2, 3), here(4, 3)),
    "layer_norm": lambda: F.layer_norm(there(2, 3), (3,), here(3)),
    "conv1d": lambda: F.conv1d(there(1, 1, 3), here(1, 1, 1)),
    "bias": lambda: F.conv2d(there(1, 1, 3, 3), there(1, 1, 1, 1), here(1)),
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


def elsewhere(name: str, method: str, first: str = "cuda:0", other: str = "cpu") -> str:
    return (
        f"Expected all tensors to be on the same device, but got {name} is on {other}, different from other tensors on "
        f"{first} (when checking argument in method wrapper_CUDA_{method})"
    )


# What PyTorch says of functions whose arguments it checks one by one.
TEXTS = {
    "matmul": elsewhere("mat2", "mm"),
    "matmul of batches": elsewhere("mat2", "bmm"),
    "mm": elsewhere("mat2", "mm", "cpu", "cuda:0"),
    "addmm": elsewhere("mat1", "addmm", "cpu", "cuda:0"),
    "cat": elsewhere("tensors", "cat"),
    "stack": elsewhere("tensors", "cat", "cpu", "cuda:0"),
    "gather": elsewhere("index", "gather"),
    "index_select": elsewhere("index", "_index_select"),
    "Linear": elsewhere("mat1", "addmm", "cpu", "cuda:0"),
    "linear": elsewhere("mat2", "mm"),
    "Embedding": elsewhere("index", "_index_select", "cpu", "cuda:0"),
    "cross_entropy": elsewhere("target", "nll_loss_forward"),
    "layer_norm": elsewhere("weight", "_native_layer_norm"),
    "Conv2d": (
        "Input type (torch.FloatTensor) and weight type (torch.cuda.FloatTensor) should be the same or input should be "
        "a MKLDNN tensor and weight is a dense tensor"
    ),
    "conv1d": "Input type (torch.cuda.FloatTensor) and weight type (torch.FloatTensor) should be the same",
    "bias": "Input type (torch.cuda.FloatTensor) and bias type (torch.FloatTensor) should be the same",
    "attention": (
        "Expected query, key, and value to have the same device type, but got query.device: cuda:0 key.device: cpu and "
        "value.device: cpu instead."
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_tensors_of_one_call_are_on_one_device(name: str) -> None:
    with pytest.raises(RuntimeError) as caught:
        CALLS[name]()
    assert str(caught.value) == TEXTS.get(name, MIXED)


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
