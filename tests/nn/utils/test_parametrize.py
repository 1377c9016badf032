"""Tensors of modules that are computed: registering, assigning, caching, copying and taking off again."""

import copy
import pickle

import pytest

import graphc as torch
from graphc import nn
from graphc.nn.utils import parametrize
from graphc.nn.utils.parametrize import (
    is_parametrized,
    register_parametrization,
    remove_parametrizations,
    transfer_parametrizations_and_params,
    type_before_parametrizations,
)


class Symmetric(nn.Module):
    """The upper triangle on both sides."""

    def forward(self, x):
        return x.triu() + x.triu(1).mT

    def right_inverse(self, x):
        return x.triu()


class Double(nn.Module):
    """2 x, without a way back."""

    def forward(self, x):
        return x * 2


class Sum(nn.Module):
    """a + b, where both are half of what is assigned."""

    def forward(self, a, b):
        return a + b

    def right_inverse(self, x):
        return x / 2, x / 2


class Wrong(nn.Module):
    """Gives what it is told to."""

    def __init__(self, forth, back=lambda x: x) -> None:
        super().__init__()
        self.forth, self.right_inverse = forth, back

    def forward(self, x):
        return self.forth(x)


def square(*values: float) -> nn.Linear:
    net = nn.Linear(2, 2)
    with torch.no_grad():
        net.weight.copy_(torch.tensor(values or (1.0, 2.0, 3.0, 4.0)).reshape(2, 2))
    return net


def test_a_parametrized_weight_is_computed_and_learned() -> None:
    net = square()
    before = net.weight
    assert register_parametrization(net, "weight", Symmetric()) is net
    assert net.parametrizations.weight.original is before
    assert net.weight.tolist() == [[1.0, 2.0], [2.0, 4.0]]
    net(torch.ones(1, 2)).sum().backward()
    assert before.grad.tolist() == [[1.0, 2.0], [0.0, 1.0]]
    assert list(net.state_dict()) == ["bias", "parametrizations.weight.original"]
    assert isinstance(net, nn.Linear)
    assert (type_before_parametrizations(net), is_parametrized(net), is_parametrized(net, "bias")) == (
        nn.Linear, True, False,
    )  # fmt: skip
    assert repr(net) == (
        "ParametrizedLinear(\n"
        "  in_features=2, out_features=2, bias=True\n"
        "  (parametrizations): ModuleDict(\n"
        "    (weight): ParametrizationList(\n"
        "      (0): Symmetric()\n"
        "    )\n"
        "  )\n"
        ")"
    )


def test_assigning_goes_back() -> None:
    net = register_parametrization(square(), "weight", Symmetric())
    net.weight = torch.tensor([[5.0, 6.0], [6.0, 7.0]])
    assert net.parametrizations.weight.original.tolist() == [[5.0, 6.0], [0.0, 7.0]]
    register_parametrization(net, "bias", Double())
    with pytest.raises(RuntimeError, match=r"^parametrization Double does not implement right_inverse.$"):
        net.bias = torch.ones(2)


def test_parametrizations_follow_each_other() -> None:
    net = register_parametrization(square(), "weight", Double())
    register_parametrization(net, "weight", Symmetric())
    assert net.weight.tolist() == [[2.0, 4.0], [4.0, 8.0]]


def test_several_originals() -> None:
    net = register_parametrization(square(), "weight", Sum())
    assert net.parametrizations.weight.original1.tolist() == [[0.5, 1.0], [1.5, 2.0]]
    assert net.weight.tolist() == [[1.0, 2.0], [3.0, 4.0]]
    with pytest.raises(ValueError, match=r"^Cannot leave unparametrized \(`leave_parametrized=False`\) a tensor"):
        remove_parametrizations(net, "weight", leave_parametrized=False)
    remove_parametrizations(net, "weight")
    assert isinstance(net.weight, nn.Parameter)


@pytest.mark.parametrize("leave, left", [(True, [[1.0, 2.0], [2.0, 4.0]]), (False, [[1.0, 2.0], [0.0, 4.0]])])
def test_taking_parametrizations_off(leave, left) -> None:
    net = square()
    before = net.weight
    register_parametrization(net, "weight", Symmetric())
    assert remove_parametrizations(net, "weight", leave_parametrized=leave) is net
    assert type(net) is nn.Linear
    assert net.weight is before
    assert net.weight.tolist() == left
    assert not hasattr(net, "parametrizations")
    with pytest.raises(ValueError, match=r"^Module Linear\(.*\) does not have a parametrization on weight$"):
        remove_parametrizations(net, "weight")


def test_values_are_computed_once_while_cached() -> None:
    net = register_parametrization(square(), "weight", Symmetric())
    assert net.weight is not net.weight
    with parametrize.cached():
        first = net.weight
        with parametrize.cached():
            assert net.weight is first
        assert net.weight is first
    assert net.weight is not first


def test_buffers_stay_buffers() -> None:
    net = nn.Module()
    net.register_buffer("table", torch.ones(2, 2))
    register_parametrization(net, "table", Symmetric())
    assert [name for name, _ in net.named_buffers()] == ["parametrizations.table.original"]


def test_copies_are_parametrized_by_themselves() -> None:
    net = register_parametrization(square(), "weight", Symmetric())
    twin = copy.deepcopy(net)
    remove_parametrizations(twin, "weight")
    assert is_parametrized(net, "weight")
    assert torch.equal(net.weight, twin.weight)
    with pytest.raises(RuntimeError, match=r"^Serialization of parametrized modules is only supported through state"):
        pickle.dumps(net)
    other = transfer_parametrizations_and_params(net, square(0.0, 0.0, 0.0, 0.0))
    assert torch.equal(other.weight, net.weight)


@pytest.mark.parametrize(
    "wrong, text",
    [
        (lambda: Wrong(lambda x: 3), "A parametrization must return a tensor. Got int."),
        (
            lambda: Wrong(lambda x: x[0]),
            "Registering a parametrization may not change the shape of the tensor, unless `unsafe` flag is enabled.\n"
            "unparametrized shape: torch.Size([2, 2])\nparametrized shape: torch.Size([2])",
        ),
        (
            lambda: Wrong(lambda x: x.double()),
            "Registering a parametrization may not change the dtype of the tensor, unless `unsafe` flag is enabled.\n"
            "unparametrized dtype: torch.float32\nparametrized dtype: torch.float64",
        ),
        (
            lambda: Wrong(lambda x: x, lambda x: 3),
            "'right_inverse' must return a Tensor or a Sequence of tensors (list, tuple...). Got int",
        ),
        (
            lambda: Wrong(lambda x: x, lambda x: x.double()),
            "When `right_inverse` outputs one tensor, it may not change the dtype.\n"
            "original.dtype: torch.float32\nright_inverse(original).dtype: torch.float64",
        ),
    ],
)
def test_parametrizations_that_do_not_fit(wrong, text) -> None:
    with pytest.raises(ValueError) as error:
        register_parametrization(square(), "weight", wrong())
    assert str(error.value) == text


def test_unsafe_parametrizations_may_change_the_shape() -> None:
    net = register_parametrization(square(), "weight", Wrong(lambda x: x[:1]), unsafe=True)
    assert net.weight.shape == (1, 2)


def test_names_of_nothing() -> None:
    with pytest.raises(ValueError, match=r"does not have a parameter, a buffer, or a parametrized element with name"):
        register_parametrization(square(), "none", Double())
    with pytest.raises(KeyError, match="attribute 'weight' already exists"):
        register_parametrization(square(), "weight", Double()).weight = nn.Parameter(torch.ones(2, 2))
