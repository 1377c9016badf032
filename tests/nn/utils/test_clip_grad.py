"""Clipping gradients, and parameters as one vector."""

import math

import numpy as np
import pytest

import graphc as torch
from graphc import nn
from graphc.nn.utils import (
    clip_grad_norm,
    clip_grad_norm_,
    clip_grad_value_,
    clip_grads_with_norm_,
    get_total_norm,
    parameters_to_vector,
    skip_init,
    vector_to_parameters,
)

VALUES = ([3.0, -4.0], [[1.0, 2.0]])


def parameters() -> list:
    made = [nn.Parameter(torch.zeros_like(torch.tensor(each))) for each in VALUES] + [nn.Parameter(torch.ones(1))]
    for each, value in zip(made, VALUES):
        each.grad = torch.tensor(value)
    return made


@pytest.mark.parametrize("order", [1, 2, 3, 0.5, math.inf, "inf"])
def test_the_total_norm_is_brought_down(order) -> None:
    given = parameters()
    flat = np.concatenate([np.ravel(each) for each in VALUES]).astype(np.float64)
    order_number = float(order)
    norm = (
        np.abs(flat).max() if math.isinf(order_number) else (np.abs(flat) ** order_number).sum() ** (1 / order_number)
    )
    assert clip_grad_norm_(given, 1.5, order).item() == pytest.approx(norm, rel=1e-6)
    for each, value in zip(given, VALUES):
        np.testing.assert_allclose(each.grad.numpy(), np.array(value) * 1.5 / (norm + 1e-6), rtol=1e-6)
    assert given[2].grad is None


def test_small_gradients_stay_as_they_are() -> None:
    given = parameters()
    gradient = given[0].grad
    clip_grad_norm_(given, 100.0)
    assert given[0].grad is gradient
    assert gradient.tolist() == [3.0, -4.0]


def test_norms_that_are_no_numbers() -> None:
    given = parameters()
    given[0].grad[0] = math.nan
    assert math.isnan(clip_grad_norm_(given, 1.0).item())
    assert math.isnan(given[1].grad[0, 0].item())
    with pytest.raises(RuntimeError) as error:
        clip_grad_norm_(given, 1.0, error_if_nonfinite=True)
    assert str(error.value) == (
        "The total norm of order 2.0 for gradients from `parameters` is non-finite, so it cannot be clipped. To "
        "disable this error and scale the gradients by the non-finite norm anyway, set `error_if_nonfinite=False`"
    )


def test_no_gradients() -> None:
    assert clip_grad_norm_([], 1.0).item() == 0.0
    assert clip_grad_norm_(nn.Parameter(torch.ones(1)), 1.0).item() == 0.0
    with pytest.warns(UserWarning, match=r"^`parameters` is an empty generator, no gradient clipping will occur"):
        clip_grad_norm_((each for each in ()), 1.0)


def test_the_parts_of_clipping() -> None:
    given = parameters()
    assert get_total_norm(torch.ones(4)).item() == 2.0
    clip_grads_with_norm_(given, 1.0, torch.tensor(10.0))
    assert given[0].grad.tolist() == pytest.approx([0.3, -0.4])
    clip_grad_value_(given, 0.15)
    assert given[0].grad.tolist() == pytest.approx([0.15, -0.15])
    assert given[1].grad.tolist() == [pytest.approx([0.1, 0.15])]
    with pytest.warns(FutureWarning, match=r"^`torch.nn.utils.clip_grad_norm` is now deprecated in favor of"):
        clip_grad_norm(given, 1.0)


def test_parameters_are_a_vector_and_back() -> None:
    net = nn.Linear(2, 2)
    vector = parameters_to_vector(net.parameters())
    assert vector.tolist() == [*net.weight.flatten().tolist(), *net.bias.tolist()]
    vector.sum().backward()
    assert net.weight.grad.tolist() == [[1.0, 1.0], [1.0, 1.0]]
    new = torch.arange(6.0)
    vector_to_parameters(new, net.parameters())
    new[0] = 7
    assert (net.weight.tolist(), net.bias.tolist()) == ([[7.0, 1.0], [2.0, 3.0]], [4.0, 5.0])
    assert isinstance(net.weight, nn.Parameter)
    with pytest.raises(TypeError, match=r"^expected torch.Tensor, but got: int$"):
        vector_to_parameters(3, net.parameters())


def test_skipping_the_initialization_uses_no_random_numbers() -> None:
    torch.manual_seed(1)
    net = skip_init(nn.Linear, 2, 3, bias=False)
    after = torch.rand(1)
    torch.manual_seed(1)
    assert torch.equal(after, torch.rand(1))
    assert repr(net) == "Linear(in_features=2, out_features=3, bias=False)"
    with pytest.raises(RuntimeError, match=r"^Module must support a 'device' arg to skip initialization$"):
        skip_init(nn.ReLU)
