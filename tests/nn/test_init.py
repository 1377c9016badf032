"""Values that parameters start with: their bounds, moments and structure, seeds, and errors."""

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphc
from graphc.nn import init

WIDE = (400, 300)
KERNEL = (64, 32, 5, 5)  # fan in 800, fan out 1600


def values(fill: Callable[..., Any], shape: tuple[int, ...] = WIDE, *args: Any, **options: Any) -> Any:
    graphc.manual_seed(0)
    tensor = graphc.empty(*shape)
    assert fill(tensor, *args, **options) is tensor
    return tensor.numpy()


UNIFORM: list[tuple[Callable[..., Any], tuple[int, ...], dict[str, Any], float]] = [
    (init.xavier_uniform_, WIDE, {}, math.sqrt(6 / 700)),
    (init.xavier_uniform_, KERNEL, {"gain": 2.0}, 2 * math.sqrt(6 / 2400)),
    (init.kaiming_uniform_, WIDE, {}, math.sqrt(6 / 300)),
    (init.kaiming_uniform_, WIDE, {"mode": "fan_out", "nonlinearity": "relu"}, math.sqrt(6 / 400)),
    (init.kaiming_uniform_, KERNEL, {"a": math.sqrt(5)}, 1 / math.sqrt(800)),
]
NORMAL: list[tuple[Callable[..., Any], tuple[int, ...], dict[str, Any], float]] = [
    (init.xavier_normal_, WIDE, {}, math.sqrt(2 / 700)),
    (init.kaiming_normal_, WIDE, {"nonlinearity": "tanh"}, 5 / 3 / math.sqrt(300)),
    (init.kaiming_normal_, KERNEL, {"mode": "fan_out", "nonlinearity": "linear"}, 1 / math.sqrt(1600)),
]


@pytest.mark.parametrize(("fill", "shape", "options", "bound"), UNIFORM)
def test_uniform_ones_fill_their_bounds(
    fill: Callable[..., Any], shape: tuple[int, ...], options: dict[str, Any], bound: float
) -> None:
    found = values(fill, shape, **options)
    assert np.abs(found).max() <= bound * (1 + 1e-6)
    assert np.abs(found).max() > 0.999 * bound
    assert found.std() == pytest.approx(bound / math.sqrt(3), rel=0.02)
    assert abs(found.mean()) < 0.02 * bound


@pytest.mark.parametrize(("fill", "shape", "options", "deviation"), NORMAL)
def test_normal_ones_have_their_deviation(
    fill: Callable[..., Any], shape: tuple[int, ...], options: dict[str, Any], deviation: float
) -> None:
    found = values(fill, shape, **options)
    assert found.std() == pytest.approx(deviation, rel=0.02)
    assert abs(found.mean()) < 0.02 * deviation
    assert (found**4).mean() == pytest.approx(3 * deviation**4, rel=0.05)  # as of a normal distribution


def test_uniform_and_normal_take_their_numbers() -> None:
    found = values(init.uniform_, WIDE, 2.0, 5.0)
    assert (found.min(), found.max()) == pytest.approx((2, 5), abs=1e-3)
    found = values(init.normal_, WIDE, 3.0, 0.5)
    assert (found.mean(), found.std()) == pytest.approx((3, 0.5), abs=0.01)


# Mean and variance of the normal distribution within bounds: Johnson, Kotz and Balakrishnan, volume 1, section 10.1.
@pytest.mark.parametrize(
    ("a", "b"), [(-2.0, 2.0), (-0.5, 1.0), (1.0, 3.0), (2.0, 2.5), (-0.1, 0.1)], ids=lambda bound: str(bound)
)
def test_truncated_normal_values_have_their_moments(a: float, b: float) -> None:
    def density(x: float) -> float:
        return math.exp(-x * x / 2) / math.sqrt(2 * math.pi)

    share = (math.erf(b / math.sqrt(2)) - math.erf(a / math.sqrt(2))) / 2
    mean = (density(a) - density(b)) / share
    variance = 1 + (a * density(a) - b * density(b)) / share - mean * mean
    found = values(init.trunc_normal_, WIDE, 0.0, 1.0, a, b).astype(np.float64)
    assert a - 1e-6 <= found.min()
    assert found.max() <= b + 1e-6
    assert found.mean() == pytest.approx(mean, abs=0.01)
    assert found.var() == pytest.approx(variance, rel=0.02)


def test_truncation_far_from_the_mean_is_warned_of() -> None:
    with pytest.warns(UserWarning, match="mean is more than 2 std from"):
        found = values(init.trunc_normal_, (10,), 0.0, 1.0, 5.0, 6.0)
    assert ((found >= 5) & (found <= 6)).all()


def test_fixed_values() -> None:
    assert (values(init.constant_, (2, 3), 0.25) == 0.25).all()
    assert (values(init.ones_, (2, 3)) == 1).all()
    assert (values(init.zeros_, (2, 3)) == 0).all()
    np.testing.assert_array_equal(values(init.eye_, (2, 3)), np.eye(2, 3))


@pytest.mark.parametrize(("shape", "groups"), [((4, 4, 3), 1), ((4, 2, 3, 5), 2), ((2, 3, 3, 3, 3), 1), ((6, 2, 4), 3)])
def test_dirac_kernels_pass_channels_on(shape: tuple[int, ...], groups: int) -> None:
    found = values(init.dirac_, shape, groups)
    expected = np.zeros(shape)
    for group in range(groups):
        for channel in range(min(shape[0] // groups, shape[1])):
            place = tuple(size // 2 for size in shape[2:])
            expected[(group * (shape[0] // groups) + channel, channel, *place)] = 1
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("shape", [(5, 3), (3, 5), (4, 4), (3, 2, 4)])
def test_orthogonal_rows_or_columns(shape: tuple[int, ...]) -> None:
    flat = values(init.orthogonal_, shape, 2.0).reshape(shape[0], -1)
    product = flat @ flat.T if flat.shape[0] <= flat.shape[1] else flat.T @ flat
    np.testing.assert_allclose(product, 4 * np.eye(len(product)), atol=1e-5)


def test_sparse_columns_have_their_share_of_zeros() -> None:
    found = values(init.sparse_, (10, 50), 0.25, 0.1)
    assert ((found == 0).sum(0) == 3).all()  # the share is rounded up
    assert found[found != 0].std() == pytest.approx(0.1, rel=0.15)
    assert len({tuple(column) for column in (found == 0).T}) > 10


@pytest.mark.parametrize("name", ["uniform_", "normal_", "trunc_normal_", "xavier_uniform_", "kaiming_normal_"])
def test_seeds_and_generators_repeat_values(name: str) -> None:
    fill = getattr(init, name)
    np.testing.assert_array_equal(values(fill, (3, 4)), values(fill, (3, 4)))
    first, second = (fill(graphc.empty(3, 4), generator=graphc.Generator().manual_seed(7)).numpy() for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert (first != values(fill, (3, 4))).any()


def test_parameters_are_filled_without_a_record() -> None:
    weight = graphc.nn.Parameter(graphc.empty(3, 3))
    for name in ("uniform_", "ones_", "eye_", "orthogonal_", "trunc_normal_", "xavier_normal_"):
        getattr(init, name)(weight)
        assert weight.is_leaf
        assert weight.requires_grad


GAINS: list[tuple[str, float | None, float]] = [
    ("linear", None, 1),
    ("conv_transpose2d", None, 1),
    ("sigmoid", None, 1),
    ("tanh", None, 5 / 3),
    ("relu", None, math.sqrt(2)),
    ("leaky_relu", None, math.sqrt(2 / 1.0001)),
    ("leaky_relu", 0.2, math.sqrt(2 / 1.04)),
    ("selu", None, 0.75),
]


@pytest.mark.parametrize(("name", "slope", "gain"), GAINS)
def test_gains(name: str, slope: float | None, gain: float) -> None:
    assert init.calculate_gain(name, slope) == pytest.approx(gain)


ERRORS: list[tuple[Callable[[], object], str]] = [
    (lambda: init.calculate_gain("swish"), "Unsupported nonlinearity swish"),
    (lambda: init.calculate_gain("leaky_relu", True), "negative_slope True not a valid number"),
    (lambda: init.eye_(graphc.empty(3)), "Only tensors with 2 dimensions are supported"),
    (lambda: init.sparse_(graphc.empty(3), 0.1), "Only tensors with 2 dimensions are supported"),
    (lambda: init.dirac_(graphc.empty(3, 3)), "Only tensors with 3, 4, or 5 dimensions are supported"),
    (lambda: init.dirac_(graphc.empty(3, 3, 3), 2), "dim 0 must be divisible by groups"),
    (lambda: init.orthogonal_(graphc.empty(3)), "Only tensors with 2 or more dimensions are supported"),
    (
        lambda: init.xavier_uniform_(graphc.empty(3)),
        "Fan in and fan out can not be computed for tensor with fewer than 2 dimensions",
    ),
    (
        lambda: init.kaiming_uniform_(graphc.empty(3, 3), mode="fan"),
        r"Mode fan not supported, please use one of \['fan_in', 'fan_out'\]",
    ),
]


@pytest.mark.parametrize(("call", "message"), ERRORS, ids=[row[1][:50] for row in ERRORS])
def test_refused(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        call()


def test_tensors_without_elements_are_left_alone() -> None:
    with pytest.warns(UserWarning, match="Initializing zero-element tensors is a no-op"):
        init.kaiming_uniform_(graphc.empty(3, 0))
    assert init.orthogonal_(graphc.empty(0, 3)).shape == (0, 3)


def test_old_names_work_with_a_warning() -> None:
    for name in "uniform normal constant eye xavier_uniform xavier_normal kaiming_uniform kaiming_normal".split():
        arguments = (0.5,) if name == "constant" else ()
        graphc.manual_seed(3)
        expected = getattr(init, f"{name}_")(graphc.empty(3, 3), *arguments)
        graphc.manual_seed(3)
        message = f"`nn.init.{name}` is now deprecated in favor of `nn.init.{name}_`."
        with pytest.warns(FutureWarning) as caught:
            found = getattr(init, name)(graphc.empty(3, 3), *arguments)
        assert [str(each.message) for each in caught] == [message]
        np.testing.assert_array_equal(found.numpy(), expected.numpy())


LAYERS: list[tuple[Callable[[], Any], float]] = [
    (lambda: graphc.nn.Linear(300, 400), 1 / math.sqrt(300)),
    (lambda: graphc.nn.Bilinear(50, 40, 30), 1 / math.sqrt(50)),
    (lambda: graphc.nn.Conv2d(32, 64, 5), 1 / math.sqrt(800)),
    (lambda: graphc.nn.Conv1d(32, 64, 5, groups=4), 1 / math.sqrt(40)),
    (lambda: graphc.nn.ConvTranspose2d(32, 64, 5), 1 / math.sqrt(1600)),
]


@pytest.mark.parametrize(("make", "bound"), LAYERS)
def test_layers_start_within_their_bounds(make: Callable[[], Any], bound: float) -> None:
    graphc.manual_seed(0)
    layer = make()
    for values in (layer.weight.detach().numpy(), layer.bias.detach().numpy()):
        assert np.abs(values).max() <= bound * (1 + 1e-6)
        assert np.abs(values).max() > 0.9 * bound
        assert values.std() == pytest.approx(bound / math.sqrt(3), rel=0.15)


def test_layers_draw_the_weight_before_the_bias() -> None:
    graphc.manual_seed(0)
    layer = graphc.nn.Linear(4, 3)
    graphc.manual_seed(0)
    weight = graphc.empty(3, 4).uniform_(-0.5, 0.5)
    bias = graphc.empty(3).uniform_(-0.5, 0.5)
    np.testing.assert_allclose(layer.weight.detach().numpy(), weight.numpy(), rtol=1e-6)
    np.testing.assert_allclose(layer.bias.detach().numpy(), bias.numpy(), rtol=1e-6)


def test_embeddings_start_normal_with_their_padding_0() -> None:
    graphc.manual_seed(0)
    table = graphc.nn.Embedding(300, 100, padding_idx=-2).weight.detach().numpy()
    assert (table[298] == 0).all()
    assert table.std() == pytest.approx(1, rel=0.02)


def test_no_warning_where_there_is_none_in_pytorch() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        graphc.nn.Conv2d(1, 1, 1, bias=False)
        graphc.nn.Linear(1, 1)
