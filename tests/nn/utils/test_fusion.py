"""Folding normalization into layers, the order of weights in memory, and calls with other values."""

import numpy as np
import pytest

import graphc as torch
from graphc import nn
from graphc.nn import utils
from graphc.nn.utils.stateless import call_with


def normalization(kind, affine: bool = True):
    net = kind(3, affine=affine)
    net.running_mean.copy_(torch.tensor([1.0, -2.0, 0.5]))
    net.running_var.copy_(torch.tensor([1.0, 4.0, 0.25]))
    if affine:
        with torch.no_grad():
            net.weight.copy_(torch.tensor([2.0, 1.0, -1.0]))
            net.bias.copy_(torch.tensor([0.5, 0.0, 3.0]))
    return net.eval()


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("is_transposed", [True, False])
def test_convolution_and_normalization_become_one(affine, bias, is_transposed) -> None:
    torch.manual_seed(0)
    kind = nn.ConvTranspose2d if is_transposed else nn.Conv2d
    first, second, x = kind(2, 3, 2, bias=bias).eval(), normalization(nn.BatchNorm2d, affine), torch.rand(2, 2, 4, 4)
    fused = utils.fuse_conv_bn_eval(first, second, is_transposed)
    assert type(fused.bias) is nn.Parameter
    assert torch.allclose(fused(x), second(first(x)), atol=1e-5)
    with pytest.raises(AssertionError, match=r"^Fusion only for eval!$"):
        utils.fuse_conv_bn_eval(first.train(), second)


def test_linear_and_normalization_become_one() -> None:
    first, second, x = nn.Linear(4, 3).eval(), normalization(nn.BatchNorm1d), torch.rand(2, 4)
    assert torch.allclose(utils.fuse_linear_bn_eval(first, second)(x), second(first(x)), atol=1e-5)
    with pytest.raises(
        AssertionError, match=r"^To fuse, linear.out_features == bn.num_features or bn.num_features == 1"
    ):
        utils.fuse_linear_bn_eval(nn.Linear(4, 2).eval(), second)


def test_weights_of_convolutions_are_laid_out_anew() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Linear(2, 2))
    values = net[0].weight.detach().numpy().copy()
    assert utils.convert_conv2d_weight_memory_format(net, torch.channels_last) is net
    assert net[0].weight.stride() == (27, 1, 9, 3)
    np.testing.assert_array_equal(net[0].weight.detach().numpy(), values)


class Tied(nn.Module):
    """One weight twice, and a count of calls."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(2, 2, bias=False)
        self.second = nn.Linear(2, 2, bias=False)
        self.second.weight = self.first.weight
        self.register_buffer("calls", torch.zeros(1))

    def forward(self, x):
        self.calls = self.calls + 1
        return self.second(self.first(x))


def test_calls_with_other_values_leave_the_module_as_it_is() -> None:
    net, x, ones = Tied(), torch.ones(1, 2), torch.ones(2, 2)
    before = net.first.weight
    values = {"first.weight": ones, "calls": torch.full((1,), 5.0)}
    assert call_with(net, values, x).tolist() == [[4.0, 4.0]]
    assert net.first.weight is net.second.weight is before
    assert (net.calls.item(), values["calls"].item()) == (0.0, 6.0)
    values = ({"first.weight": ones}, {"second.weight": ones * 2})
    assert call_with(net, values, (x,), tie_weights=False).tolist() == [[8.0, 8.0]]
    with pytest.warns(FutureWarning, match=r"^`torch.nn.utils.stateless.functional_call` is deprecated"):
        assert utils.stateless.functional_call(net, {"second.weight": ones}, x).tolist() == [[4.0, 4.0]]


def test_gradients_reach_the_values_of_a_call() -> None:
    net = nn.Linear(2, 1, bias=False)
    weight = torch.tensor([[1.0, 2.0]], requires_grad=True)
    call_with(net, {"weight": weight}, torch.tensor([[3.0, 4.0]])).sum().backward()
    assert weight.grad.tolist() == [[3.0, 4.0]]
    assert net.weight.grad is None


@pytest.mark.parametrize(
    "values, options, error, text",
    [
        (
            {"first.weight": 1, "second.weight": 2},
            {},
            ValueError,
            "functional_call got multiple values for keys ['first.weight', 'second.weight'], which are tied. Consider "
            "using tie_weights=False",
        ),
        (
            {"first.weight": torch.ones(2, 2), "more": torch.ones(1)},
            {"strict": True},
            RuntimeError,
            "Error(s) in reparametrizing for Tied:\n\tUnexpected key(s): 'more'.\n\tMissing key(s): 'calls'.",
        ),
        ({"first.weight": 3}, {}, TypeError, "3 is not an instance of torch.Tensor"),
        (
            [{"calls": 1}, {"calls": 2}],
            {},
            ValueError,
            "['calls'] appeared in multiple dictionaries; behavior of functional call is ambiguous",
        ),
        (
            3,
            {},
            ValueError,
            "Expected parameter_and_buffer_dicts to be a dict, or a list/tuple of dicts, but got <class 'int'>",
        ),
    ],
)
def test_values_that_do_not_fit(values, options, error, text) -> None:
    net = Tied()
    with pytest.raises(error) as caught:
        call_with(net, values, torch.ones(1, 2), **options)
    assert str(caught.value) == text
    assert list(net.state_dict()) == ["calls", "first.weight", "second.weight"]
