"""graphc.nn.grad: gradients of convolutions with respect to an input or a weight of which the size is given."""

from __future__ import annotations

import numpy as np
import pytest

import graphc as g
import graphc.nn.functional as F

SETTINGS = [(1, 0, 1, 1), (2, 1, 1, 1), (2, 1, 2, 2)]
"""Stride, padding, dilation, groups."""


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("settings", SETTINGS)
def test_gradients_are_adjoint_to_the_convolution(dims: int, settings: tuple[int, int, int, int]) -> None:
    """A convolution is linear in both, so <conv(x, w), ct> is <x, its gradient> and <w, its gradient>."""
    rng = np.random.default_rng(dims)
    x = g.tensor(rng.standard_normal((2, 4, *(6,) * dims)))
    weight = g.tensor(rng.standard_normal((2, 4 // settings[3], *(3,) * dims)))
    y = getattr(F, f"conv{dims}d")(x, weight, None, *settings)
    ct = g.tensor(rng.standard_normal(y.shape))
    to_input = getattr(g.nn.grad, f"conv{dims}d_input")(x.shape, weight, ct, *settings)
    to_weight = getattr(g.nn.grad, f"conv{dims}d_weight")(x, weight.shape, ct, *settings)
    assert (to_input.shape, to_weight.shape) == (x.shape, weight.shape)
    product = (y * ct).sum().item()
    assert np.isclose((x * to_input).sum().item(), product, rtol=1e-10)
    assert np.isclose((weight * to_weight).sum().item(), product, rtol=1e-10)


def test_the_size_says_how_much_of_the_input_was_not_reached() -> None:
    weight, ct = g.tensor([[[1.0, 2.0]]]), g.ones(1, 1, 2)
    assert g.nn.grad.conv1d_input((1, 1, 4), weight, ct, stride=2).tolist() == [[[1.0, 2.0, 1.0, 2.0]]]
    assert g.nn.grad.conv1d_input((1, 1, 5), weight, ct, stride=2).tolist() == [[[1.0, 2.0, 1.0, 2.0, 0.0]]]


def test_gradients_have_gradients_of_their_own() -> None:
    ct = g.ones(1, 1, 3, requires_grad=True)
    found = F.grad.conv1d_input((1, 1, 4), g.tensor([[[1.0, 2.0]]]), ct)
    assert found.grad_fn.name() == "ConvolutionBackwardBackward0"
    (found * g.tensor([1.0, 10.0, 100.0, 1000.0])).sum().backward()
    assert ct.grad is not None
    assert ct.grad.tolist() == [[[21.0, 210.0, 2100.0]]]
    assert not g.nn.grad.conv1d_input((1, 1, 4), g.tensor([[[1.0, 2.0]]]), ct.detach()).requires_grad
