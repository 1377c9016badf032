"""Pruning: which entries go, what becomes of names, and pruning again."""

import copy
import pickle

import pytest

import graphc as torch
from graphc import nn
from graphc.nn.utils import prune

WEIGHT = [[-3.0, 1.0, 0.5], [2.0, -0.25, 4.0]]


def layer() -> nn.Linear:
    net = nn.Linear(3, 2)
    with torch.no_grad():
        net.weight.copy_(torch.tensor(WEIGHT))
    return net


@pytest.mark.parametrize(
    "change, mask",
    [
        (lambda m: prune.identity(m, "weight"), [[1, 1, 1], [1, 1, 1]]),
        (lambda m: prune.l1_unstructured(m, "weight", 2), [[1, 1, 0], [1, 0, 1]]),
        (lambda m: prune.l1_unstructured(m, "weight", 0.5), [[1, 0, 0], [1, 0, 1]]),
        (lambda m: prune.l1_unstructured(m, "weight", 1, torch.arange(6.0).reshape(2, 3)), [[0, 1, 1], [1, 1, 1]]),
        (lambda m: prune.ln_structured(m, "weight", 1, n=2, dim=0), [[0, 0, 0], [1, 1, 1]]),
        (lambda m: prune.ln_structured(m, "weight", 0.34, n=1, dim=1), [[1, 0, 1], [1, 0, 1]]),
        (lambda m: prune.ln_structured(m, "weight", 1, n=float("-inf"), dim=-1), [[1, 0, 1], [1, 0, 1]]),
        (lambda m: prune.custom_from_mask(m, "weight", torch.tensor([[0, 1, 0], [1, 0, 1]])), [[0, 1, 0], [1, 0, 1]]),
    ],
)
def test_what_is_pruned(change, mask) -> None:
    net = layer()
    before = net.weight
    assert change(net) is net
    assert net.weight_mask.tolist() == mask
    assert net.weight.tolist() == [[w * m for w, m in zip(*rows)] for rows in zip(WEIGHT, mask)]
    assert net.weight_orig is before
    assert list(net.state_dict()) == ["bias", "weight_orig", "weight_mask"]
    net(torch.ones(1, 3)).sum().backward()
    assert before.grad.tolist() == mask


def test_pruning_at_random_takes_as_many_as_asked() -> None:
    net = prune.random_unstructured(nn.Linear(10, 10), "weight", 0.3)
    assert net.weight_mask.sum().item() == 70
    net = prune.random_structured(nn.Linear(10, 4), "weight", 3, dim=1)
    assert sorted(net.weight_mask.sum(0).tolist()) == [0] * 3 + [4] * 7
    net = prune.random_structured(nn.Linear(2, 4), "weight", 4, dim=0)
    assert net.weight_mask.sum().item() == 0


def test_pruning_again_counts_among_what_is_left() -> None:
    net = prune.l1_unstructured(layer(), "weight", 2)
    prune.l1_unstructured(net, "weight", 0.5)
    assert net.weight_mask.tolist() == [[1, 0, 0], [0, 0, 1]]
    prune.ln_structured(net, "weight", 1, n=1, dim=0)
    assert net.weight_mask.tolist() == [[0, 0, 0], [0, 0, 1]]
    (container,) = net._forward_pre_hooks.values()
    assert [type(method).__name__ for method in container] == ["L1Unstructured", "L1Unstructured", "LnStructured"]
    assert (len(container), container[1].amount) == (3, 0.5)


def test_pruning_can_be_made_permanent() -> None:
    net = prune.l1_unstructured(layer(), "weight", 2)
    before = net.weight_orig
    assert prune.is_pruned(nn.Sequential(net))
    with torch.no_grad():
        expected = net(torch.ones(1, 3))  # the weight is a leaf now, which can be copied
    for twin in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert torch.equal(twin(torch.ones(1, 3)), expected)
    prune.remove(net, "weight")
    assert net.weight is before
    assert net.weight.tolist() == [[-3.0, 1.0, 0.0], [2.0, 0.0, 4.0]]
    assert list(net.state_dict()) == ["bias", "weight"]
    assert not prune.is_pruned(net)
    with pytest.raises(ValueError, match=r"^Parameter 'weight' of module .* has to be pruned before pruning can be"):
        prune.remove(net, "weight")


def test_several_parameters_are_pruned_as_one() -> None:
    net = nn.Sequential(layer(), layer())
    with torch.no_grad():
        net[1].weight.mul_(10)
    both = [(net[0], "weight"), (net[1], "weight")]
    prune.global_unstructured(both, prune.L1Unstructured, amount=5)
    assert net[0].weight_mask.tolist() == [[1, 0, 0], [0, 0, 1]]
    assert net[1].weight_mask.sum().item() == 5
    prune.global_unstructured(both, prune.L1Unstructured, amount=1)
    assert net[0].weight_mask.sum().item() + net[1].weight_mask.sum().item() == 6
    with pytest.raises(TypeError, match=r'^Only "unstructured" PRUNING_TYPE supported for the `pruning_method`'):
        prune.global_unstructured(both, prune.LnStructured, amount=1, n=1)
    with pytest.raises(TypeError, match=r"^global_unstructured\(\): parameters is not an Iterable$"):
        prune.global_unstructured(3, prune.L1Unstructured, amount=1)


def test_methods_of_ones_own() -> None:
    class EverySecond(prune.BasePruningMethod):
        PRUNING_TYPE = "unstructured"

        def compute_mask(self, t, default_mask):
            mask = default_mask.clone()
            mask.view(-1)[::2] = 0
            return mask

    net = layer()
    EverySecond.apply(net, "weight")
    assert net.weight_mask.tolist() == [[0, 1, 0], [1, 0, 1]]
    EverySecond.apply(net, "weight")
    assert net.weight_mask.tolist() == [[0, 0, 0], [1, 0, 0]]
    assert EverySecond().prune(torch.tensor([1.0, 2.0])).tolist() == [0.0, 2.0]
    assert prune.L1Unstructured(1).prune(
        torch.tensor([1.0, 2.0]), importance_scores=torch.tensor([2.0, 1.0])
    ).tolist() == [
        1.0,
        0.0,
    ]

    class Nameless(EverySecond):
        PRUNING_TYPE = "other"

    with pytest.raises(ValueError, match=r"^Unrecognized PRUNING_TYPE other$"):
        Nameless.apply(net, "weight")


@pytest.mark.parametrize(
    "change, error, text",
    [
        (
            lambda m: prune.l1_unstructured(m, "weight", 1.5),
            ValueError,
            "amount=1.5 should either be a float in the range [0, 1] or a non-negative integer",
        ),
        (
            lambda m: prune.l1_unstructured(m, "weight", 7),
            ValueError,
            "amount=7 should be smaller than the number of parameters to prune=6",
        ),
        (
            lambda m: prune.l1_unstructured(m, "weight", "a"),
            TypeError,
            "Invalid type for amount: a. Must be int or float.",
        ),
        (
            lambda m: prune.ln_structured(m, "bias", 1, 2, 0),
            ValueError,
            "Structured pruning can only be applied to multidimensional tensors. Found tensor of shape torch.Size([2]) "
            "with 1 dims",
        ),
        (
            lambda m: prune.ln_structured(m, "weight", 1, 2, 3),
            IndexError,
            "Invalid index 3 for tensor of size torch.Size([2, 3])",
        ),
        (
            lambda m: prune.custom_from_mask(m, "weight", torch.ones(2)),
            AssertionError,
            "default_mask shape torch.Size([2, 3]) must match self.mask shape torch.Size([2])",
        ),
    ],
)
def test_refusals_leave_the_module_as_it_was(change, error, text) -> None:
    net = layer()
    with pytest.raises(error) as caught:
        change(net)
    assert str(caught.value) == text
    assert sorted(net.state_dict()) == ["bias", "weight"]
