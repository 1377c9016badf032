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


def test_parameters_keep_their_place_when_they_are_replaced() -> None:
    net = Outer()
    net.weight = nn.Parameter(torch.ones(1))
    net.bias = nn.Parameter(torch.ones(3))
    assert [name for name, _ in net.named_parameters(recurse=False)] == ["bias", "weight"]
    net.bias = None
    assert list(net._parameters) == ["bias", "weight"]
    assert "bias" not in net.state_dict()


def test_buffers_are_marked_tensors() -> None:
    net = nn.Module()
    net.kept = nn.Buffer(torch.ones(2))
    net.scratch = nn.Buffer(torch.ones(2), persistent=False)
    net.scratch = torch.zeros(2)
    assert type(net.kept) is torch.Tensor
    assert isinstance(net.kept, nn.Buffer)
    assert not isinstance(torch.ones(2), nn.Buffer)
    assert (list(net.state_dict()), len(list(net.buffers()))) == (["kept"], 2)


def test_submodules_are_replaced_by_name() -> None:
    net = Outer()
    new = Inner()
    net.set_submodule("first", new)
    net.set_submodule("second.deep", Inner())
    assert net.get_submodule("first") is new
    assert isinstance(net.second.deep, Inner)
    for target, error, text in (
        ("", ValueError, "Cannot set the submodule without a target name!"),
        ("none.deep", AttributeError, "Outer has no attribute `none`"),
        ("first.weight", AttributeError, "`weight` is not an nn.Module"),
    ):
        with pytest.raises(error) as caught:
            net.set_submodule(target, new)
        assert str(caught.value) == text
    with pytest.raises(AttributeError, match=r"^Outer has no attribute `third`$"):
        net.set_submodule("third", new, strict=True)


def test_conversions_keep_the_objects() -> None:
    net = Inner()
    weight = net.weight
    weight.grad = gradient = torch.ones(2, 3)
    assert net.double() is net
    assert net.weight is weight
    assert weight.grad is gradient
    assert (weight.dtype, gradient.dtype) == (torch.float64, torch.float64)
    net.zero_grad(set_to_none=False)
    assert weight.grad is gradient
    assert gradient.tolist() == [[0.0] * 3] * 2


@pytest.mark.parametrize(
    "convert, dtype",
    [
        (lambda m: m.to(torch.float16), torch.float16),
        (lambda m: m.to("cpu", torch.float64), torch.float64),
        (lambda m: m.to(torch.zeros(1, dtype=torch.bfloat16)), torch.bfloat16),
        (lambda m: m.to(device="cpu", dtype=torch.float64, non_blocking=True), torch.float64),
        (lambda m: m.type(torch.float64), torch.float64),
        (lambda m: m.type("torch.HalfTensor"), torch.float16),
        (lambda m: m.bfloat16(), torch.bfloat16),
        (lambda m: m.to_empty(device="cpu"), torch.float32),
        (lambda m: m.to(), torch.float32),
    ],
)
def test_conversions(convert, dtype) -> None:
    assert convert(Inner()).weight.dtype is dtype


def test_conversions_that_are_refused() -> None:
    with pytest.raises(
        TypeError, match=r"^nn.Module.to only accepts floating point or complex dtypes, but got desired"
    ):
        Inner().to(torch.int64)
    with pytest.raises(AssertionError, match=r"^Torch not compiled with CUDA enabled"):
        Inner().cuda()
    with pytest.raises(TypeError, match=r"^to\(\) received an invalid combination of arguments - got \(other=Tensor"):
        Inner().to(other=torch.ones(1))


def test_train_goes_by_way_of_each_modules_own() -> None:
    class Frozen(Inner):
        def train(self, mode=True):
            return super().train(False)

    net = nn.Sequential(Frozen(), Inner()).train()
    assert [module.training for module in net.modules()] == [True, False, True]


def test_constructors_pass_arguments_on_if_asked_to() -> None:
    class Base:
        def __init__(self, value=1) -> None:
            self.value = value

    class Both(nn.Module, Base):
        call_super_init = True

    assert Both(value=5).value == 5
    with pytest.raises(TypeError, match=r"^Module.__init__\(\) takes 1 positional argument but 2 were given$"):
        nn.Module(1)
    with pytest.raises(TypeError, match=r"^Module.__init__\(\) got an unexpected keyword argument 'a'$"):
        nn.Module(a=1)


def test_text_of_nested_modules() -> None:
    class Lines(nn.Module):
        def extra_repr(self) -> str:
            return "one\n\ntwo"

    assert repr(nn.Sequential(Lines())) == "Sequential(\n  (0): Lines(\n    one\n\n    two\n  )\n)"


def test_parameters_of_other_classes() -> None:
    class Marked(torch.Tensor):
        pass

    parameter = nn.Parameter(torch.ones(2).as_subclass(Marked))
    net = nn.Module()
    net.mark = parameter
    assert (type(parameter), isinstance(parameter, nn.Parameter)) == (Marked, True)
    assert next(net.parameters()) is parameter
    parameter = nn.Parameter(torch.ones(1))
    parameter.note = "kept"
    assert pickle.loads(pickle.dumps(parameter)).note == "kept"


def test_errors_name_the_module() -> None:
    with pytest.raises(
        TypeError, match=r"^Module.register_forward_pre_hook\(\) takes 2 positional arguments but 3 were"
    ):
        Inner().register_forward_pre_hook(print, True)
