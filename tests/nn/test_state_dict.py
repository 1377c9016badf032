"""Saving and loading the values of modules: names, metadata, hooks, and all that does not fit."""

import copy
from collections import OrderedDict

import pytest

import graphc as torch
from graphc import nn


class Counter(nn.Module):
    """A parameter, a number that is saved, one that is not, and a place without a value."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(1.0))
        self.register_buffer("count", torch.tensor(0))
        self.register_buffer("scratch", torch.zeros(2), persistent=False)
        self.register_buffer("nothing", None)


class Pair(nn.Module):
    """Two counters and the first once more."""

    def __init__(self) -> None:
        super().__init__()
        self.a = Counter()
        self.b = Counter()
        self.again = self.a


def errors_of(module, state, **options) -> list[str]:
    with pytest.raises(RuntimeError) as error:
        module.load_state_dict(state, **options)
    return str(error.value).split("\n\t")


def test_names_and_metadata() -> None:
    state = Pair().state_dict()
    assert list(state) == ["a.scale", "a.count", "b.scale", "b.count", "again.scale", "again.count"]
    assert state._metadata == OrderedDict((name, {"version": 1}) for name in ("", "a", "b", "again"))
    assert list(Counter().state_dict(prefix="x.")) == ["x.scale", "x.count"]
    into = {}
    assert Counter().state_dict(destination=into) is into


def test_values_are_detached_over_the_same_memory_unless_variables_are_kept() -> None:
    net = Counter()
    state = net.state_dict()
    assert not state["scale"].requires_grad
    with torch.no_grad():
        net.scale.fill_(5)
    assert state["scale"].item() == 5.0
    assert net.state_dict(keep_vars=True)["scale"] is net.scale


def test_positional_arguments_are_an_old_form() -> None:
    with pytest.warns(FutureWarning, match=r"^Positional args are being deprecated, use kwargs instead"):
        assert list(Counter().state_dict({}, "x.")) == ["x.scale", "x.count"]


def test_all_that_does_not_fit_is_told_at_once() -> None:
    state = {"a": torch.ones(1), "a.scale": 3, "a.count": torch.ones(2), "b.more": 1, "c.scale": 1}
    assert errors_of(Pair(), state) == [
        "Error(s) in loading state_dict for Pair:",
        'Missing key(s) in state_dict: "b.scale", "b.count", "again.scale", "again.count". ',
        'Unexpected key(s) in state_dict: "a", "c.scale", "b.more". ',
        'While copying the parameter named "a.scale", expected torch.Tensor or Tensor-like object from checkpoint but '
        "received <class 'int'>",
        "size mismatch for a.count: copying a param with shape torch.Size([2]) from checkpoint, the shape in current "
        "model is torch.Size([]).",
    ]
    found = Pair().load_state_dict({"a.scale": torch.tensor(2.0), "more": torch.ones(1)}, strict=False)
    assert found.missing_keys == ["a.count", "b.scale", "b.count", "again.scale", "again.count"]
    assert repr(found) == (
        "_IncompatibleKeys(missing_keys=['a.count', 'b.scale', 'b.count', 'again.scale', 'again.count'], "
        "unexpected_keys=['more'])"
    )
    with pytest.raises(TypeError, match=r"^Expected state_dict to be dict-like, got <class 'int'>"):
        Pair().load_state_dict(3)


def test_values_are_converted_into_place() -> None:
    net = Counter()
    scale = net.scale
    net.load_state_dict({"scale": torch.tensor([2.0], dtype=torch.float64), "count": torch.tensor(2.6)})
    assert net.scale is scale
    assert (net.scale.item(), net.scale.dtype, net.count.item(), net.count.dtype) == (
        2.0, torch.float32, 2, torch.int64,
    )  # fmt: skip


def test_values_are_put_in_place() -> None:
    net = Counter()
    state = {"scale": torch.tensor(2.0, dtype=torch.float64), "count": torch.tensor(3, dtype=torch.int32)}
    net.load_state_dict(state, assign=True)
    assert (type(net.scale), net.scale.dtype, net.scale.requires_grad) == (nn.Parameter, torch.float64, True)
    assert net.count is state["count"]
    assert errors_of(net, {"scale": torch.tensor(1), "count": state["count"]}, assign=True)[1] == (
        'While copying the parameter named "scale", whose dimensions in the model are torch.Size([]) and whose '
        "dimensions in the checkpoint are torch.Size([]), an exception occurred : ('Only Tensors of floating point and "
        "complex dtype can require gradients',)."
    )


def test_extra_state_is_saved_and_loaded() -> None:
    class Named(Counter):
        def get_extra_state(self):
            return {"name": "first"}

        def set_extra_state(self, state):
            self.name = state["name"]

    net = Named()
    state = net.state_dict()
    assert list(state) == ["scale", "count", "_extra_state"]
    assert str(net.load_state_dict(state)) == "<All keys matched successfully>"
    assert net.name == "first"
    assert errors_of(Counter(), state)[1] == 'Unexpected key(s) in state_dict: "_extra_state". '
    del state["_extra_state"]
    assert errors_of(net, state)[1] == 'Missing key(s) in state_dict: "_extra_state". '
    with pytest.raises(RuntimeError, match=r"^Reached a code path in Module.get_extra_state\(\)"):
        Counter().get_extra_state()


def test_hooks_around_saving() -> None:
    net, log = Pair(), []
    net.register_state_dict_pre_hook(lambda module, prefix, keep_vars: log.append((prefix, keep_vars)))
    net.a.register_state_dict_post_hook(lambda module, state, prefix, metadata: log.append((list(state), prefix)))
    net._register_state_dict_hook(lambda module, state, prefix, metadata: {key.upper(): 0 for key in state})
    assert list(net.state_dict())[:2] == ["A.SCALE", "A.COUNT"]
    assert log[:2] == [("", False), (["a.scale", "a.count"], "a.")]

    def wrong(module, state, prefix, metadata):
        return state

    net = Counter()
    net.register_state_dict_post_hook(wrong)
    with pytest.raises(RuntimeError, match=r"^state_dict post-hook must return None$"):
        net.state_dict()
    with pytest.raises(RuntimeError, match=r"^Cannot register the same function as the state dict post hook"):
        net._register_state_dict_hook(wrong)


def test_hooks_around_loading() -> None:
    net, log = Pair(), []

    def rename(module, state, prefix, metadata, strict, missing, unexpected, errors):
        log.append((module, prefix, metadata))
        state[f"{prefix}scale"] = state.pop(f"{prefix}factor")

    net.b.register_load_state_dict_pre_hook(rename)
    net.register_load_state_dict_post_hook(lambda module, keys: keys.missing_keys.clear())
    state = Pair().state_dict()
    state["b.factor"] = torch.tensor(4.0)
    del state["b.scale"], state["a.scale"]
    twin = copy.deepcopy(net)
    twin.load_state_dict(state)
    assert log == [(twin.b, "b.", {"version": 1})]
    assert (twin.b.scale.item(), net.b.scale.item()) == (4.0, 1.0)


def test_classes_may_load_in_their_own_way() -> None:
    class Second(Counter):
        _version = 2

        def _load_from_state_dict(self, state_dict, prefix, local_metadata, *rest):
            if local_metadata.get("version", 1) < 2:
                state_dict[f"{prefix}scale"] = state_dict[f"{prefix}scale"] * 10
            super()._load_from_state_dict(state_dict, prefix, local_metadata, *rest)

    net = Second()
    net.load_state_dict(Counter().state_dict())
    assert net.scale.item() == 10.0
    other = Second()
    other.load_state_dict(net.state_dict())
    assert other.scale.item() == 10.0
