"""Weights by length and direction, by their largest singular value, and orthogonal ones; in newer and older forms."""

import copy

import numpy as np
import pytest

import graphc as torch
from graphc import nn
from graphc.nn import utils
from graphc.nn.utils import parametrizations

OLD = pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm` is deprecated:FutureWarning")


def layer(rows: int = 3, columns: int = 2) -> nn.Linear:
    net = nn.Linear(columns, rows)
    with torch.no_grad():
        net.weight.copy_(torch.tensor([[3.0, 4.0], [0.0, 2.0], [5.0, -12.0], [1.0, 1.0]][:rows])[:, :columns])
    return net


@OLD
@pytest.mark.parametrize("form", [parametrizations.weight_norm, utils.weight_norm])
@pytest.mark.parametrize(
    "dim, shape, lengths", [(0, (3, 1), [[5.0], [2.0], [13.0]]), (None, (), 14.0713), (1, (1, 2), [[5.83095, 12.8062]])]
)
def test_weights_are_lengths_times_directions(form, dim, shape, lengths) -> None:
    net = layer()
    before = net.weight.detach().numpy().copy()
    form(net, dim=dim)
    state = [value for name, value in net.state_dict().items() if name != "bias"]
    assert state[0].shape == shape
    np.testing.assert_allclose(state[0].numpy(), lengths, rtol=1e-5)
    np.testing.assert_array_equal(state[1].numpy(), before)
    np.testing.assert_allclose(net.weight.detach().numpy(), before, rtol=1e-6)
    net(torch.ones(1, 2)).sum().backward()
    found = {name.rpartition("_" if form is utils.weight_norm else "original")[2]: p.grad for name, p in
             net.named_parameters() if name != "bias"}  # fmt: skip
    ones, axes = np.ones_like(before), None if dim is None else 1 - dim
    length = np.sqrt((before**2).sum(axis=axes, keepdims=dim is not None))
    by_length = (ones * before / length).sum(axis=axes, keepdims=dim is not None)
    by_direction = ones - before * by_length / length
    for names, expected in ((("g", "0"), by_length), (("v", "1"), by_direction)):
        gradient = next(value for name, value in found.items() if name in names)
        np.testing.assert_allclose(gradient.numpy(), expected, rtol=1e-4, atol=1e-5)


@OLD
def test_the_older_weight_norm_is_a_hook_that_can_be_taken_off() -> None:
    net = utils.weight_norm(layer())
    assert list(net.state_dict()) == ["bias", "weight_g", "weight_v"]
    with pytest.raises(RuntimeError, match=r"^Cannot register two weight_norm hooks on the same parameter weight$"):
        utils.weight_norm(net)
    with torch.no_grad():
        net.weight_g.mul_(2)
    assert net(torch.tensor([[1.0, 0.0]]))[0, 0].item() == pytest.approx(6.0 + net.bias[0].item(), rel=1e-6)
    utils.remove_weight_norm(net)
    assert list(net.state_dict()) == ["bias", "weight"]
    assert not net._forward_pre_hooks
    with pytest.raises(ValueError, match=r"^weight_norm of 'weight' not found in Linear\("):
        utils.remove_weight_norm(net)


@OLD
def test_the_newer_weight_norm_loads_states_of_the_older() -> None:
    state = utils.weight_norm(layer()).state_dict()
    net = parametrizations.weight_norm(nn.Linear(2, 3))
    net.load_state_dict(state)
    np.testing.assert_allclose(net.weight.detach().numpy(), layer().weight.detach().numpy(), rtol=1e-6)


@pytest.mark.parametrize("form", [parametrizations.spectral_norm, utils.spectral_norm])
def test_weights_are_divided_by_their_largest_singular_value(form) -> None:
    net = layer()
    before = net.weight.detach().numpy().copy()
    form(net, n_power_iterations=30)
    net(torch.ones(1, 2))
    expected = before / np.linalg.svd(before)[1][0]
    np.testing.assert_allclose(net.weight.detach().numpy(), expected, rtol=1e-5)
    net.eval()
    state = {name: value.clone() for name, value in net.state_dict().items()}
    net(torch.ones(1, 2)).sum().backward()
    assert all(torch.equal(value, state[name]) for name, value in net.state_dict().items())
    u, v = (state[name].numpy() for name in state if name.endswith(("_u", "_v")))
    sigma = u @ before @ v
    gradient = next(p.grad for name, p in net.named_parameters() if name != "bias").numpy()
    ones = np.ones_like(before)
    np.testing.assert_allclose(
        gradient, ones / sigma - (ones * before).sum() / sigma**2 * np.outer(u, v), rtol=1e-4, atol=1e-6
    )


def test_names_in_states_of_spectral_norm() -> None:
    new = parametrizations.spectral_norm(nn.ConvTranspose2d(2, 3, 2))
    assert {name: tuple(value.shape) for name, value in new.state_dict().items()} == {
        "bias": (3,),
        "parametrizations.weight.original": (2, 3, 2, 2),
        "parametrizations.weight.0._u": (3,),
        "parametrizations.weight.0._v": (8,),
    }
    old = utils.spectral_norm(nn.ConvTranspose2d(2, 3, 2))
    state = old.state_dict()
    assert list(state) == ["bias", "weight_orig", "weight_u", "weight_v"]
    assert state._metadata[""] == {"version": 1, "spectral_norm": {"weight.version": 1}}
    copy.deepcopy(old).load_state_dict(state)


def test_the_older_spectral_norm_loads_states_of_its_first_version() -> None:
    net = utils.spectral_norm(layer(), n_power_iterations=30)
    net(torch.ones(1, 2))
    state = net.state_dict()
    v = state.pop("weight_v")
    state["weight"] = net.weight.detach()
    del state._metadata[""]["spectral_norm"]
    other = utils.spectral_norm(layer())
    other.load_state_dict(state)
    np.testing.assert_allclose(other.weight_v.numpy(), v.numpy(), rtol=1e-4)


def test_the_older_spectral_norm_can_be_taken_off() -> None:
    net = utils.spectral_norm(layer())
    with pytest.raises(RuntimeError, match=r"^Cannot register two spectral_norm hooks on the same parameter weight$"):
        utils.spectral_norm(net)
    utils.remove_spectral_norm(net)
    assert list(net.state_dict()) == ["bias", "weight"]
    assert [*net._forward_pre_hooks, *net._state_dict_hooks, *net._load_state_dict_pre_hooks] == []
    with pytest.raises(ValueError, match=r"^spectral_norm of 'weight' not found in Linear\("):
        utils.remove_spectral_norm(net)
    with pytest.raises(ValueError, match=r"^Expected n_power_iterations to be positive, but got n_power_iterations=0$"):
        utils.spectral_norm(net, n_power_iterations=0)


@pytest.mark.parametrize("rows, columns", [(3, 3), (4, 2), (2, 4)])
@pytest.mark.parametrize("kind", ["matrix_exp", "cayley", "householder"])
@pytest.mark.parametrize("is_trivialized", [True, False])
def test_orthogonal_weights(rows, columns, kind, is_trivialized) -> None:
    torch.manual_seed(0)
    net = nn.Linear(columns, rows)
    parametrizations.orthogonal(net, orthogonal_map=kind, use_trivialization=is_trivialized)
    weight = net.weight.detach().numpy()
    product = weight @ weight.T if rows <= columns else weight.T @ weight
    np.testing.assert_allclose(product, np.eye(min(rows, columns)), atol=1e-5)
    net(torch.ones(1, columns)).sum().backward()
    assert np.abs(net.parametrizations.weight.original.grad.numpy()).max() > 1e-3
    orthogonal = np.linalg.qr(np.random.default_rng(1).standard_normal((max(rows, columns), min(rows, columns))))[0]
    wanted = torch.tensor((orthogonal if rows >= columns else orthogonal.T).astype(np.float32).copy())
    if is_trivialized or kind == "householder":
        net.weight = wanted
        np.testing.assert_allclose(net.weight.detach().numpy(), wanted.numpy(), atol=1e-5)
    else:
        with pytest.raises(NotImplementedError, match=r"^It is not possible to assign to the matrix exponential or"):
            net.weight = wanted


def test_orthogonal_weights_that_cannot_be() -> None:
    with pytest.raises(ValueError, match=r'^orthogonal_map has to be one of "matrix_exp", "cayley", "householder"'):
        parametrizations.orthogonal(nn.Linear(2, 2), orthogonal_map="none")
    with pytest.raises(ValueError, match=r"^Expected a matrix or batch of matrices. Got a tensor of 1 dimensions.$"):
        parametrizations.orthogonal(nn.Linear(2, 2), "bias")
    net = parametrizations.orthogonal(nn.Linear(2, 2))
    with pytest.raises(ValueError, match=r"^Expected a matrix or batch of matrices of shape torch.Size\(\[2, 2\]\)"):
        net.weight = torch.ones(3, 2)
