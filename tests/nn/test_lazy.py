"""Modules that get their shapes from the first input."""

import copy
import pickle

import pytest

import graphc as torch
from graphc import nn
from graphc.nn.modules.lazy import LazyModuleMixin


@pytest.mark.parametrize(
    "kind, place",
    [
        (nn.LazyLinear, "linear"),
        (nn.LazyConv2d, "conv"),
        (nn.LazyConvTranspose3d, "conv"),
        (nn.LazyBatchNorm1d, "batchnorm"),
        (nn.LazyInstanceNorm1d, "instancenorm"),
    ],
)
def test_layers_stand_beside_what_they_become(kind, place) -> None:
    assert kind.__module__ == kind.cls_to_become.__module__ == f"graphc.nn.modules.{place}"


@pytest.mark.parametrize(
    "make, shape, before, after",
    [
        (
            lambda: nn.LazyLinear(3),
            (4, 2),
            "LazyLinear(in_features=0, out_features=3, bias=True)",
            "Linear(in_features=2, out_features=3, bias=True)",
        ),
        (
            lambda: nn.LazyConv1d(4, 3, groups=2),
            (1, 2, 5),
            "LazyConv1d(0, 4, kernel_size=(3,), stride=(1,), groups=2)",
            "Conv1d(2, 4, kernel_size=(3,), stride=(1,), groups=2)",
        ),
        (
            lambda: nn.LazyConv2d(4, 3, padding="same"),
            (2, 5, 5),
            "LazyConv2d(0, 4, kernel_size=(3, 3), stride=(1, 1), padding=same)",
            "Conv2d(2, 4, kernel_size=(3, 3), stride=(1, 1), padding=same)",
        ),
        (
            lambda: nn.LazyConvTranspose2d(3, 2, stride=2, bias=False),
            (1, 2, 4, 4),
            "LazyConvTranspose2d(0, 3, kernel_size=(2, 2), stride=(2, 2), bias=False)",
            "ConvTranspose2d(2, 3, kernel_size=(2, 2), stride=(2, 2), bias=False)",
        ),
        (
            lambda: nn.LazyBatchNorm1d(),
            (4, 3),
            "LazyBatchNorm1d(0, eps=1e-05, momentum=0.1, affine=True, bias=True, track_running_stats=True)",
            "BatchNorm1d(3, eps=1e-05, momentum=0.1, affine=True, bias=True, track_running_stats=True)",
        ),
        (
            lambda: nn.LazyInstanceNorm2d(affine=False),
            (2, 3, 4, 4),
            "LazyInstanceNorm2d(0, eps=1e-05, momentum=0.1, affine=False, bias=False, track_running_stats=True)",
            "InstanceNorm2d(3, eps=1e-05, momentum=0.1, affine=False, bias=False, track_running_stats=True)",
        ),
    ],
)
def test_layers_learn_their_sizes(make, shape, before, after) -> None:
    net, x = make(), torch.rand(*shape)
    assert repr(net) == before
    assert net.has_uninitialized_params()
    y = net(x)
    assert repr(net) == after
    assert type(net).__name__ == after.partition("(")[0]
    assert not net._forward_pre_hooks
    assert torch.equal(net(x), y) or net.training
    assert all(parameter.requires_grad and parameter.is_leaf for parameter in net.parameters())


def test_values_are_those_of_the_plain_layer() -> None:
    torch.manual_seed(3)
    lazy = nn.LazyLinear(2)
    lazy(torch.ones(1, 4))
    torch.manual_seed(3)
    plain = nn.Linear(4, 2)
    assert torch.equal(lazy.weight, plain.weight)
    assert torch.equal(lazy.bias, plain.bias)


def test_copies_are_lazy_too() -> None:
    net = nn.Sequential(nn.LazyLinear(3), nn.ReLU(), nn.LazyLinear(2))
    for twin in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert twin(torch.ones(1, 5)).shape == (1, 2)
        assert twin[0].in_features == 5
    assert net[0].has_uninitialized_params()


def test_states_give_shapes() -> None:
    net = nn.LazyLinear(3)
    assert repr(net.state_dict()["weight"]) == "<UninitializedParameter>"
    net.load_state_dict(nn.Linear(5, 3).state_dict())
    assert not net.has_uninitialized_params()
    assert net(torch.ones(1, 5)).shape == (1, 3)
    assert repr(net) == "Linear(in_features=5, out_features=3, bias=True)"
    with pytest.raises(RuntimeError, match=r"^Can't access the shape of an uninitialized parameter or buffer"):
        net.load_state_dict(nn.LazyLinear(3).state_dict())


def test_dtypes_are_kept_and_converted() -> None:
    net = nn.LazyLinear(2, dtype=torch.float64)
    net(torch.ones(1, 2, dtype=torch.float64))
    assert net.weight.dtype is torch.float64
    net = nn.LazyLinear(2).double()
    assert net.weight.dtype is torch.float64


@pytest.mark.parametrize(
    "use",
    [lambda w: w + 1, lambda w: w.clone(), lambda w: torch.sum(w), lambda w: w.numel(), lambda w: w.zero_(), len],
)
def test_what_has_no_shape_cannot_be_computed_with(use) -> None:
    with pytest.raises(ValueError, match=r"^Attempted to use an uninitialized parameter in <method '[a-z_]+' of"):
        use(nn.LazyLinear(2).weight)


def test_inputs_that_do_not_fit() -> None:
    with pytest.raises(RuntimeError) as error:
        nn.LazyConv2d(4, 3)(torch.ones(2, 3))
    assert str(error.value) == (
        "Expected 3D (unbatched) or 4D (batched) input to LazyConv2d, but got input of size: torch.Size([2, 3])"
    )
    with pytest.raises(ValueError, match=r"^in_channels must be divisible by groups$"):
        nn.LazyConv2d(4, 3, groups=2)(torch.ones(1, 3, 5, 5))


def test_own_lazy_modules() -> None:
    class Bias(LazyModuleMixin, nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bias = nn.UninitializedParameter()
            self.mean = nn.UninitializedBuffer()

        def initialize_parameters(self, x):
            self.bias.materialize(x.shape[1:])
            self.mean.materialize(x.shape[1:])
            with torch.no_grad():
                self.bias.fill_(2)

        def forward(self, x):
            return x + self.bias

    net = Bias()
    assert list(net.state_dict()) == ["bias", "mean"]
    assert net(torch.ones(1, 3)).tolist() == [[3.0] * 3]
    assert (type(net), type(net.bias), type(net.mean)) == (Bias, nn.Parameter, torch.Tensor)

    class Forgetful(Bias):
        def initialize_parameters(self, x):
            self.bias.materialize(x.shape)

    with pytest.raises(RuntimeError, match=r"^module Forgetful has not been fully initialized$"):
        Forgetful()(torch.ones(1))
