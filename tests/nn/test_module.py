"""Modules and parameters: what is registered, named, moved, saved and refused."""

import copy
import pickle

import pytest

import graphc as torch
from graphc import nn


class Inner(nn.Module):
    """A parameter, a buffer that is saved and one that is not."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2, 3))
        self.register_buffer("count", torch.zeros(1, dtype=torch.int64))
        self.register_buffer("scratch", torch.zeros(2), persistent=False)

    def forward(self, x):
        return x @ self.weight

    def extra_repr(self) -> str:
        return "2, 3"


class Outer(nn.Module):
    """Two inner modules, one of them twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first = Inner()
        self.second = Inner()
        self.again = self.first
        self.bias = nn.Parameter(torch.zeros(3))

    def forward(self, x):
        return self.first(x) + self.second(x) + self.bias


def test_parts_are_named_in_order_and_once() -> None:
    net = Outer()
    assert [name for name, _ in net.named_parameters()] == ["bias", "first.weight", "second.weight"]
    assert [name for name, _ in net.named_buffers()] == [
        "first.count", "first.scratch", "second.count", "second.scratch",
    ]  # fmt: skip
    assert [name for name, _ in net.named_modules()] == ["", "first", "second"]
    assert len(list(net.named_parameters(remove_duplicate=False))) == 4
    assert net.get_parameter("second.weight") is net.second.weight


def test_gradients_reach_parameters_and_are_cleared() -> None:
    net = Outer()
    net(torch.ones(4, 2)).sum().backward()
    assert net.first.weight.grad.tolist() == [[4.0] * 3] * 2
    assert net.bias.grad.tolist() == [4.0] * 3
    net.zero_grad(set_to_none=False)
    assert net.bias.grad.tolist() == [0.0] * 3
    net.zero_grad()
    assert net.bias.grad is None


def test_a_parameter_is_a_leaf_over_the_memory_it_was_given() -> None:
    data = torch.ones(2)
    parameter = nn.Parameter(data)
    data.add_(1)
    assert repr(parameter) == "Parameter containing:\ntensor([2., 2.], requires_grad=True)"
    assert parameter.is_leaf
    assert isinstance(parameter, torch.Tensor)
    assert type(parameter * 2) is torch.Tensor
    assert type(copy.deepcopy(parameter)) is nn.Parameter
    assert not nn.Parameter(torch.ones(1), requires_grad=False).requires_grad


def test_state_round_trip() -> None:
    net, other = Outer(), Outer()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(torch.rand(parameter.shape))
    assert str(other.load_state_dict(net.state_dict())) == "<All keys matched successfully>"
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), other.parameters()))
    assert "first.scratch" not in net.state_dict()


def test_state_that_does_not_fit() -> None:
    state = Outer().state_dict()
    state["extra"] = state.pop("bias")
    state["first.weight"] = torch.ones(1)
    with pytest.raises(RuntimeError) as error:
        Outer().load_state_dict(state)
    assert str(error.value) == (
        "Error(s) in loading state_dict for Outer:\n"
        '\tMissing key(s) in state_dict: "bias". \n'
        '\tUnexpected key(s) in state_dict: "extra". \n'
        "\tsize mismatch for first.weight: copying a param with shape torch.Size([1]) from checkpoint, the shape in "
        "current model is torch.Size([2, 3])."
    )


def test_conversion_keeps_integers() -> None:
    net = Outer().double()
    assert net.first.weight.dtype is torch.float64
    assert net.first.count.dtype is torch.int64
    assert net.first.weight.requires_grad
    assert net.to(torch.float32).bias.dtype is torch.float32


def test_text() -> None:
    assert repr(Outer()) == "Outer(\n  (first): Inner(2, 3)\n  (second): Inner(2, 3)\n  (again): Inner(2, 3)\n)"


def test_modules_are_copied_and_pickled() -> None:
    net = Outer()
    for other in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert torch.equal(other.first.weight, net.first.weight)
        assert other.first.weight is not net.first.weight
        assert other.again is other.first


def test_train_and_eval_reach_all_modules() -> None:
    net = Outer().eval()
    assert not any(module.training for module in net.modules())
    assert net.train().second.training


@pytest.mark.parametrize(
    "change, error, text",
    [
        (
            lambda m: setattr(m, "bias", torch.ones(3)),
            TypeError,
            "cannot assign 'torch.FloatTensor' as parameter 'bias'",
        ),
        (lambda m: setattr(m, "first", 3), TypeError, "cannot assign 'int' as child module 'first'"),
        (lambda m: m.register_buffer("a.b", None), KeyError, 'buffer name can\'t contain "."'),
        (lambda m: m.register_parameter("", None), KeyError, 'parameter name can\'t be empty string ""'),
        (lambda m: m.add_module("forward", Inner()), KeyError, "attribute 'forward' already exists"),
        (lambda m: m.missing, AttributeError, "'Outer' object has no attribute 'missing'"),
        (lambda m: nn.Module()(1), NotImplementedError, 'Module [Module] is missing the required "forward" function'),
    ],
)
def test_refusals(change, error, text) -> None:
    with pytest.raises(error) as caught:
        change(Outer())
    assert text in caught.value.args[0]


def test_parts_need_the_constructor_first() -> None:
    class Early(nn.Module):
        def __init__(self) -> None:
            self.weight = nn.Parameter(torch.ones(1))

    with pytest.raises(AttributeError, match=r"cannot assign parameters before Module.__init__\(\) call"):
        Early()
