"""Compiled functions called on eager tensors."""

import numpy as np

import graphc as torch


@torch.compile
def layer(x, w, scale=2.0):
    """A result for each of two uses."""
    y = torch.tanh(x @ w) * scale
    return {"y": y, "total": y.sum()}


def test_tensors_give_tensors_and_arrays_give_arrays() -> None:
    x, w = np.ones((2, 3), np.float32), np.full((3, 1), 0.1, np.float32)
    from_tensors = layer(torch.from_numpy(x), torch.from_numpy(w))
    from_arrays = layer(x, w)
    assert isinstance(from_tensors["y"], torch.Tensor)
    assert isinstance(from_arrays["y"], np.ndarray)
    assert np.array_equal(from_tensors["y"].numpy(), from_arrays["y"])
    assert not from_tensors["y"].requires_grad


def test_gradients_flow_through_a_compiled_function() -> None:
    x = torch.tensor([[0.5, -1.0]])
    w = torch.tensor([[0.1], [0.2]], requires_grad=True)
    layer(x, w)["total"].backward()
    compiled = w.grad.clone()
    w.grad = None
    (torch.tanh(x @ w) * 2.0).sum().backward()
    assert torch.equal(compiled, w.grad)


def test_gradients_of_both_orders() -> None:
    cube = torch.compile(lambda x: x * x * x)
    x = torch.tensor([2.0], requires_grad=True)
    (first,) = torch.autograd.grad(cube(x), x, create_graph=True)
    (second,) = torch.autograd.grad(first, x)
    assert (first.item(), second.item()) == (12.0, 12.0)


def test_a_transformed_function_takes_tensors() -> None:
    gradient = torch.grad(lambda x: (x * x).sum())(torch.tensor([1.0, 3.0]))
    assert isinstance(gradient, torch.Tensor)
    assert gradient.tolist() == [2.0, 6.0]


def test_a_graph_compiled_by_hand_takes_tensors() -> None:
    double = torch.symbolic_trace(lambda x: x + x, "f32[n]").compile()
    assert double(torch.tensor([1.0, 2.0])).tolist() == [2.0, 4.0]
    assert double(torch.tensor([3.0])).tolist() == [6.0]


def test_views_need_not_be_copied_by_the_caller() -> None:
    total = torch.compile(lambda x: (x * 2).sum(dim=0))
    x = torch.arange(6.0).view(2, 3)
    assert total(x.t()).tolist() == [6.0, 24.0]
