"""Modules that hold others: sequences, lists, dictionaries, of modules and of parameters."""

import copy
import pickle
from collections import OrderedDict

import pytest

import graphc as torch
from graphc import nn


class Add(nn.Module):
    """x + k."""

    def __init__(self, k: int) -> None:
        super().__init__()
        self.k = k

    def forward(self, x):
        return x + self.k

    def extra_repr(self) -> str:
        return f"k={self.k}"


def chain(*numbers: int) -> nn.Sequential:
    return nn.Sequential(*[Add(k) for k in numbers])


def numbers(modules) -> list[int]:
    return [each.k for each in modules]


def changed(net, change):
    change(net)
    return list(net._modules), numbers(net)


def test_sequential_computes_in_order() -> None:
    net = chain(1, 2, 3)
    assert net(torch.zeros(1)).item() == 6.0
    assert nn.Sequential()(4) == 4
    named = nn.Sequential(OrderedDict(first=Add(1), second=Add(2)))
    assert named.second.k == 2
    assert repr(named) == "Sequential(\n  (first): Add(k=1)\n  (second): Add(k=2)\n)"
    assert [name for name in dir(net) if name.isdigit()] == []


def test_parts_of_a_sequential_keep_their_names() -> None:
    net = chain(1, 2, 3)
    assert net[-1].k == 3
    assert list(net[1:]._modules) == ["1", "2"]
    assert type(net[::2]) is nn.Sequential
    assert numbers(net[::-1]) == [3, 2, 1]
    assert net[1:][0] is net[1]


@pytest.mark.parametrize(
    "change, names, left",
    [
        (lambda s: s.__setitem__(-1, Add(9)), "012", [1, 2, 9]),
        (lambda s: s.__delitem__(0), "01", [2, 3]),
        (lambda s: s.__delitem__(slice(0, 2)), "0", [3]),
        (lambda s: s.append(Add(4)).append(Add(5)), "01234", [1, 2, 3, 4, 5]),
        (lambda s: s.extend(chain(4, 5)), "01234", [1, 2, 3, 4, 5]),
        (lambda s: s.insert(0, Add(9)), "0123", [9, 1, 2, 3]),
        (lambda s: s.pop(1), "01", [1, 3]),
        (lambda s: s.__iadd__(type(s)(*[[Add(4)]] if type(s) is nn.ModuleList else [Add(4)])), "0123", [1, 2, 3, 4]),
    ],
)
@pytest.mark.parametrize("kind", [nn.Sequential, nn.ModuleList])
def test_sequences_change_as_lists_do(kind, change, names, left) -> None:
    modules = [Add(1), Add(2), Add(3)]
    net = nn.ModuleList(modules) if kind is nn.ModuleList else nn.Sequential(*modules)
    assert changed(net, change) == (list(names), left)


def test_sequentials_are_joined_and_repeated() -> None:
    assert numbers(chain(1, 2) + chain(3)) == [1, 2, 3]
    assert numbers(chain(1, 2) * 2) == numbers(2 * chain(1, 2)) == [1, 2, 1, 2]
    net = chain(1)
    net *= 3
    assert net[0] is net[2]
    assert numbers(nn.ModuleList([Add(1)]) + [Add(2)]) == [1, 2]


@pytest.mark.parametrize(
    "use, error, text",
    [
        (lambda: chain(1)[3], IndexError, "index 3 is out of range"),
        (lambda: nn.ModuleList()[0], IndexError, "index 0 is out of range"),
        (lambda: chain(1)["0"], TypeError, "'str' object cannot be interpreted as an integer"),
        (lambda: chain(1).insert(5, Add(1)), IndexError, "Index out of range: 5"),
        (lambda: nn.Sequential(3), TypeError, "int is not a Module subclass"),
        (
            lambda: chain(1) + [Add(1)],
            ValueError,
            "add operator supports only objects of Sequential class, but <class 'list'> is given.",
        ),
        (
            lambda: chain(1) * 0,
            ValueError,
            "Non-positive multiplication factor 0 for <class 'graphc.nn.modules.container.Sequential'>",
        ),
        (lambda: nn.ModuleList(3), TypeError, "ModuleList.extend should be called with an iterable, but got int"),
        (
            lambda: nn.ModuleList()(1),
            NotImplementedError,
            'Module [ModuleList] is missing the required "forward" function',
        ),
        (
            lambda: nn.ModuleDict(3),
            TypeError,
            "ModuleDict.update should be called with an iterable of key/value pairs, but got int",
        ),
        (
            lambda: nn.ModuleDict([("a",)]),
            ValueError,
            "ModuleDict update sequence element #0 has length 1; 2 is required",
        ),
        (lambda: nn.ParameterList()(1), RuntimeError, "ParameterList should not be called."),
        (lambda: nn.ParameterDict()(1), RuntimeError, "ParameterDict should not be called."),
        (
            lambda: nn.ParameterDict()[3],
            TypeError,
            "Index given to ParameterDict cannot be used as a key as it is not a string (type is 'int'). Open an issue "
            "on github if you need non-string keys.",
        ),
    ],
)
def test_refusals(use, error, text) -> None:
    with pytest.raises(error) as caught:
        use()
    assert str(caught.value) == text


def test_a_list_shows_equal_modules_once() -> None:
    net = nn.ModuleList([chain(1, 2), chain(1, 2), Add(1), nn.ModuleList([Add(3)] * 3), Add(2), Add(2)])
    assert repr(net) == (
        "ModuleList(\n"
        "  (0-1): 2 x Sequential(\n"
        "    (0): Add(k=1)\n"
        "    (1): Add(k=2)\n"
        "  )\n"
        "  (2): Add(k=1)\n"
        "  (3): ModuleList(\n"
        "    (0-2): 3 x Add(k=3)\n"
        "  )\n"
        "  (4-5): 2 x Add(k=2)\n"
        ")"
    )
    assert repr(nn.ModuleList()) == "ModuleList()"


def test_module_dict() -> None:
    net = nn.ModuleDict({"x": Add(1), "y": Add(2)})
    net.update([("z", Add(3))])
    assert (list(net), len(net), "x" in net, net.pop("x").k) == (["x", "y", "z"], 3, True, 1)
    assert [(key, each.k) for key, each in net.items()] == [("y", 2), ("z", 3)]
    assert numbers(net.values()) == [2, 3]
    assert repr(net) == "ModuleDict(\n  (y): Add(k=2)\n  (z): Add(k=3)\n)"
    net.clear()
    assert not net.keys()
    with pytest.raises(KeyError, match="attribute 'keys' already exists"):
        net["keys"] = Add(1)


def test_parameter_list() -> None:
    net = nn.ParameterList([torch.ones(2, 3), nn.Parameter(torch.zeros(1)), "text"])
    net.append(torch.ones(4))
    net[1] = torch.ones(5)
    assert [name for name, _ in net.named_parameters()] == ["0", "1", "3"]
    assert (len(net), net[-2], net[1].shape[0]) == (4, "text", 5)
    assert len(net[2:]) == 2
    assert list(copy.deepcopy(net).state_dict()) == list(pickle.loads(pickle.dumps(net)).state_dict())
    assert repr(net) == (
        "ParameterList(\n"
        "    (0): Parameter containing: [torch.float32 of size 2x3]\n"
        "    (1): Parameter containing: [torch.float32 of size 5]\n"
        "    (2): Object of type: str\n"
        "    (3): Parameter containing: [torch.float32 of size 4]\n"
        ")"
    )


def test_parameter_dict() -> None:
    net = nn.ParameterDict({"b": torch.ones(1), "a": torch.ones(2)})
    assert list(net) == ["a", "b"]
    net["text"] = 3
    assert list(nn.ParameterDict([("b", torch.ones(1)), ("a", 1)])) == ["b", "a"]
    assert (net.get("none", 4), net.setdefault("c", 5), net.pop("text")) == (4, 5, 3)
    assert net.popitem() == ("c", 5)
    both = net | {"z": torch.zeros(1)}
    assert (type(both), list(both), list(net), list(reversed(net))) == (
        nn.ParameterDict, ["a", "b", "z"], ["a", "b"], ["b", "a"],
    )  # fmt: skip
    assert list(net.fromkeys("xy").items()) == [("x", None), ("y", None)]
    assert repr(net) == (
        "ParameterDict(\n"
        "    (a): Parameter containing: [torch.FloatTensor of size 2]\n"
        "    (b): Parameter containing: [torch.FloatTensor of size 1]\n"
        ")"
    )
