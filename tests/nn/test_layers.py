"""Layers against formulas in numpy: values of outputs, statistics that run along, and what training changes."""

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import graphc
from graphc import nn

Array = npt.NDArray[Any]
RANDOM = np.random.default_rng(0)


def drawn(*shape: int) -> Array:
    return RANDOM.standard_normal(shape)


def tensor(array: Array) -> Any:
    return graphc.tensor(array)  # type: ignore[attr-defined]  # a function of the table


def filled(layer: Any) -> Any:
    """The layer in float64 with parameters that are all different."""
    layer.double()
    with graphc.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(tensor(drawn(*parameter.shape)))
    return layer


def value(parameter: Any) -> Array:
    found: Array = parameter.detach().numpy()
    return found


# Products


def test_linear() -> None:
    layer, x = filled(nn.Linear(3, 2)), drawn(4, 5, 3)
    expected = x @ value(layer.weight).T + value(layer.bias)
    np.testing.assert_allclose(value(layer(tensor(x))), expected)
    np.testing.assert_allclose(value(layer(tensor(x[0, 0]))), expected[0, 0])


def test_bilinear() -> None:
    layer, x, y = filled(nn.Bilinear(3, 4, 2)), drawn(5, 3), drawn(5, 4)
    expected = np.einsum("bi,kij,bj->bk", x, value(layer.weight), y) + value(layer.bias)
    np.testing.assert_allclose(value(layer(tensor(x), tensor(y))), expected)


# Convolutions


def correlate(x: Array, weight: Array, bias: Array, stride: int, dilation: int, groups: int) -> Array:
    """Sums over windows of `[n, channels, sizes...]`, element by element."""
    rank = x.ndim - 2
    outputs, inputs, *kernel = weight.shape
    sizes = [(n - dilation * (k - 1) - 1) // stride + 1 for n, k in zip(x.shape[2:], kernel)]
    result = np.zeros((len(x), outputs, *sizes))
    for output, *place in itertools.product(*map(range, (outputs, *sizes))):
        first = output // (outputs // groups) * inputs
        window = (slice(None), slice(first, first + inputs)) + tuple(
            slice(p * stride, p * stride + dilation * (k - 1) + 1, dilation) for p, k in zip(place, kernel)
        )
        result[(slice(None), output, *place)] = (x[window] * weight[output]).sum(tuple(range(1, rank + 2)))
    return result + bias.reshape(-1, *(1,) * rank)


CONVOLUTIONS: list[tuple[int, tuple[Any, ...], dict[str, Any], int]] = [
    (1, (4, 6, 3), {}, 0),
    (1, (4, 6, 3), {"stride": 2, "padding": 1, "groups": 2}, 1),
    (2, (2, 3, (3, 2)), {"dilation": 2}, 0),
    (2, (2, 4, 3), {"padding": 2, "stride": 2}, 2),
    (3, (2, 2, 2), {"padding": 1, "groups": 2}, 1),
    (2, (2, 3, 3), {"padding": "same"}, 1),
    (2, (2, 3, 3), {"padding": "valid"}, 0),
    (2, (2, 3, 3), {"padding": 2, "padding_mode": "reflect"}, 2),
    (2, (2, 3, 3), {"padding": 1, "padding_mode": "replicate"}, 1),
    (1, (2, 3, 3), {"padding": "same", "padding_mode": "circular"}, 1),
]
MODES = {"zeros": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}


@pytest.mark.parametrize(("rank", "sizes", "options", "edge"), CONVOLUTIONS)
def test_convolutions(rank: int, sizes: tuple[Any, ...], options: dict[str, Any], edge: int) -> None:
    layer = filled(getattr(nn, f"Conv{rank}d")(*sizes, **options))
    x = drawn(2, sizes[0], *(7, 6, 5)[:rank])
    mode: Any = MODES[options.get("padding_mode", "zeros")]
    padded = np.pad(x, [(0, 0), (0, 0)] + [(edge, edge)] * rank, mode=mode)
    numbers = (options.get("stride", 1), options.get("dilation", 1), options.get("groups", 1))
    expected = correlate(padded, value(layer.weight), value(layer.bias), *numbers)
    np.testing.assert_allclose(value(layer(tensor(x))), expected, atol=1e-12)
    np.testing.assert_allclose(value(layer(tensor(x[0]))), expected[0], atol=1e-12)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_transposed_convolutions_are_transposes(rank: int) -> None:
    options: dict[str, Any] = {"stride": 2, "padding": 1, "groups": 2, "bias": False}
    forth = filled(getattr(nn, f"Conv{rank}d")(4, 6, 3, **options))
    back = getattr(nn, f"ConvTranspose{rank}d")(6, 4, 3, **options).double()
    with graphc.no_grad():
        back.weight.copy_(forth.weight)
    x = drawn(2, 4, *(6, 5, 7)[:rank])
    y = value(forth(tensor(x)))
    other = drawn(*y.shape)
    turned = value(back(tensor(other), output_size=x.shape[2:]))
    assert turned.shape == x.shape
    assert (turned * x).sum() == pytest.approx((other * y).sum())


# Pooling


def windows(x: Array, size: int, step: int) -> Array:
    """`[n, channels, h, w]` to `[n, channels, h', w', size * size]`."""
    view = np.lib.stride_tricks.sliding_window_view(x, (size, size), (2, 3))[:, :, ::step, ::step]
    return view.reshape(*view.shape[:4], -1)


IMAGE = drawn(2, 3, 8, 8)
POOLS: list[tuple[Any, Array]] = [
    (nn.MaxPool2d(2), windows(IMAGE, 2, 2).max(-1)),
    (nn.MaxPool2d(3, stride=1), windows(IMAGE, 3, 1).max(-1)),
    (nn.AvgPool2d(3, 2), windows(IMAGE, 3, 2).mean(-1)),
    (nn.AvgPool2d(2, divisor_override=3), windows(IMAGE, 2, 2).sum(-1) / 3),
    (nn.LPPool2d(4, 2), (windows(IMAGE, 2, 2) ** 4).sum(-1) ** 0.25),
    (nn.AdaptiveAvgPool2d(4), windows(IMAGE, 2, 2).mean(-1)),
    (nn.AdaptiveAvgPool2d((1, None)), IMAGE.mean(2, keepdims=True)),
    (nn.AdaptiveMaxPool2d(2), windows(IMAGE, 4, 4).max(-1)),
]


@pytest.mark.parametrize(
    ("layer", "expected"), POOLS, ids=lambda each: str(each)[:40] if isinstance(each, nn.Module) else ""
)
def test_pooling(layer: Any, expected: Array) -> None:
    np.testing.assert_allclose(value(layer(tensor(IMAGE))), expected)
    np.testing.assert_allclose(value(layer(tensor(IMAGE[1]))), expected[1])


def test_unpooling_puts_values_back() -> None:
    found, where = nn.MaxPool2d(2, return_indices=True)(tensor(IMAGE))
    back = value(nn.MaxUnpool2d(2)(found, where))
    np.testing.assert_array_equal(back, np.where(np.isin(IMAGE, value(found)), IMAGE, 0))


@pytest.mark.parametrize("size", [3, 5])
def test_fractional_pooling_takes_elements_of_its_input(size: int) -> None:
    layer = nn.FractionalMaxPool2d(2, output_size=size, _random_samples=tensor(RANDOM.random((2, 3, 2))))
    found = value(layer(tensor(IMAGE)))
    assert found.shape == (2, 3, size, size)
    assert np.isin(found, IMAGE).all()
    np.testing.assert_array_equal(found, value(layer(tensor(IMAGE))))
    ratio = nn.FractionalMaxPool2d(2, output_ratio=size / 8)
    assert ratio(tensor(IMAGE)).shape == (2, 3, size, size)


# Normalizations


def standardized(x: Array, axes: tuple[int, ...], eps: float = 1e-5) -> Array:
    found: Array = (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + eps)
    return found


SCALE = (1, 4, 1, 1)
NORMALIZED = drawn(3, 4, 5, 2)
NORMALIZATIONS: list[tuple[Any, Callable[[Any], Array]]] = [
    (nn.BatchNorm2d(4), lambda m: standardized(NORMALIZED, (0, 2, 3)) * m[0].reshape(SCALE) + m[1].reshape(SCALE)),
    (nn.BatchNorm2d(4, affine=False), lambda m: standardized(NORMALIZED, (0, 2, 3))),
    (nn.BatchNorm2d(4, bias=False), lambda m: standardized(NORMALIZED, (0, 2, 3)) * m[0].reshape(SCALE)),
    (nn.SyncBatchNorm(4, affine=False, eps=0.1), lambda m: standardized(NORMALIZED, (0, 2, 3), 0.1)),
    (nn.InstanceNorm2d(4), lambda m: standardized(NORMALIZED, (2, 3))),
    (
        nn.InstanceNorm2d(4, affine=True),
        lambda m: standardized(NORMALIZED, (2, 3)) * m[0].reshape(SCALE) + m[1].reshape(SCALE),
    ),
    (nn.LayerNorm((5, 2)), lambda m: standardized(NORMALIZED, (2, 3)) * m[0] + m[1]),
    (nn.LayerNorm(2, bias=False), lambda m: standardized(NORMALIZED, (3,)) * m[0]),
    (nn.LayerNorm(2, elementwise_affine=False), lambda m: standardized(NORMALIZED, (3,))),
    (
        nn.GroupNorm(2, 4),
        lambda m: (
            standardized(NORMALIZED.reshape(3, 2, -1), (2,)).reshape(NORMALIZED.shape) * m[0].reshape(SCALE)
            + m[1].reshape(SCALE)
        ),
    ),
    (nn.RMSNorm(2, eps=0.1), lambda m: NORMALIZED / np.sqrt((NORMALIZED**2).mean(3, keepdims=True) + 0.1) * m[0]),
    (
        nn.LocalResponseNorm(1, alpha=0.5, k=2.0),
        lambda m: NORMALIZED / (2 + 0.5 * NORMALIZED**2) ** 0.75,
    ),
    (nn.CrossMapLRN2d(1, alpha=0.5, beta=1.0), lambda m: NORMALIZED / (1 + 0.5 * NORMALIZED**2)),
]


@pytest.mark.parametrize(("layer", "formula"), NORMALIZATIONS, ids=[str(row[0])[:40] for row in NORMALIZATIONS])
def test_normalizations(layer: Any, formula: Callable[[Any], Array]) -> None:
    filled(layer)
    found = value(layer(tensor(NORMALIZED)))
    np.testing.assert_allclose(found, formula([value(each) for each in layer.parameters()]), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("momentum", [0.1, 0.5, None])
def test_running_statistics_of_batches(momentum: float | None) -> None:
    layer = nn.BatchNorm1d(3, momentum=momentum).double()
    mean_tensor, count_tensor = layer.running_mean, layer.num_batches_tracked
    mean, spread = np.zeros(3), np.ones(3)
    for count in range(1, 4):
        x = drawn(5, 3, 2)
        layer(tensor(x))
        share = 1 / count if momentum is None else momentum
        mean = (1 - share) * mean + share * x.mean((0, 2))
        spread = (1 - share) * spread + share * x.var((0, 2), ddof=1)
        np.testing.assert_allclose(layer.running_mean.numpy(), mean, rtol=1e-12)
        np.testing.assert_allclose(layer.running_var.numpy(), spread, rtol=1e-12)
        assert layer.num_batches_tracked.item() == count
    assert layer.running_mean is mean_tensor
    assert layer.num_batches_tracked is count_tensor
    assert layer.num_batches_tracked.dtype is graphc.int64
    layer.eval()
    x = drawn(5, 3)
    np.testing.assert_allclose(value(layer(tensor(x))), (x - mean) / np.sqrt(spread + 1e-5))
    assert layer.num_batches_tracked.item() == 3
    layer.reset_running_stats()
    assert layer.num_batches_tracked.item() == 0
    assert layer.running_var.tolist() == [1, 1, 1]


def test_running_statistics_of_samples() -> None:
    layer, x = nn.InstanceNorm1d(3, track_running_stats=True).double(), drawn(4, 3, 6)
    layer(tensor(x))
    np.testing.assert_allclose(layer.running_mean.numpy(), 0.1 * x.mean((0, 2)))
    np.testing.assert_allclose(layer.running_var.numpy(), 0.9 + 0.1 * x.var(2, ddof=1).mean(0))
    layer.eval()
    mean, spread = layer.running_mean.numpy(), layer.running_var.numpy()
    expected = (x - mean[:, None]) / np.sqrt(spread[:, None] + 1e-5)
    np.testing.assert_allclose(value(layer(tensor(x))), expected)
    np.testing.assert_allclose(value(layer(tensor(x[0]))), expected[0])


def test_untracked_and_empty_batches_leave_statistics_alone() -> None:
    layer = nn.BatchNorm1d(3, track_running_stats=False).eval()
    assert list(layer.state_dict()) == ["weight", "bias"]
    x = drawn(5, 3)
    np.testing.assert_allclose(value(layer.double()(tensor(x))), standardized(x, (0,)))  # by the batch, also here
    tracked = nn.BatchNorm1d(3)
    tracked(graphc.ones(0, 3))  # type: ignore[attr-defined]  # from the table
    assert (tracked.running_mean.tolist(), tracked.running_var.tolist()) == ([0, 0, 0], [1, 1, 1])
    assert tracked.num_batches_tracked.item() == 1


def test_batch_normalizations_become_synchronous_ones_of_the_same_tensors() -> None:
    network = nn.Sequential(nn.Linear(3, 3), nn.Sequential(nn.BatchNorm1d(3)))
    converted = nn.SyncBatchNorm.convert_sync_batchnorm(network)
    assert converted is network
    inner: Any = converted[1][0]  # type: ignore[index]  # modules inside
    assert type(inner) is nn.SyncBatchNorm
    assert list(network.state_dict())[-1] == "1.0.num_batches_tracked"


# Activations


def gauss(x: Array) -> Array:
    return np.vectorize(lambda each: math.erfc(-each / math.sqrt(2)) / 2)(x)


def softmax(x: Array, axis: int) -> Array:
    found: Array = np.exp(x) / np.exp(x).sum(axis, keepdims=True)
    return found


POINTS = np.concatenate((drawn(3, 4) * 3, [[-30.0, -3.0, 0.0, 30.0]]))
SIGMOID = 1 / (1 + np.exp(-POINTS))
ACTIVATIONS: list[tuple[Any, Array]] = [
    (nn.ReLU(), np.maximum(POINTS, 0)),
    (nn.ReLU6(), np.clip(POINTS, 0, 6)),
    (nn.Hardtanh(-2, 3), np.clip(POINTS, -2, 3)),
    (nn.Threshold(0.5, 7), np.where(POINTS > 0.5, POINTS, 7)),
    (nn.LeakyReLU(0.2), np.where(POINTS > 0, POINTS, 0.2 * POINTS)),
    (nn.RReLU().eval(), np.where(POINTS > 0, POINTS, (1 / 8 + 1 / 3) / 2 * POINTS)),
    (nn.PReLU(), np.where(POINTS > 0, POINTS, 0.25 * POINTS)),
    (nn.ELU(2.0), np.where(POINTS > 0, POINTS, 2 * np.expm1(POINTS))),
    (nn.CELU(2.0), np.where(POINTS > 0, POINTS, 2 * np.expm1(POINTS / 2))),
    (nn.SELU(), 1.0507009873554805 * np.where(POINTS > 0, POINTS, 1.6732632423543772 * np.expm1(POINTS))),
    (nn.Sigmoid(), SIGMOID),
    (nn.LogSigmoid(), -np.logaddexp(0, -POINTS)),
    (nn.Tanh(), np.tanh(POINTS)),
    (nn.Tanhshrink(), POINTS - np.tanh(POINTS)),
    (nn.Softsign(), POINTS / (1 + np.abs(POINTS))),
    (nn.Softplus(2.0), np.logaddexp(0, 2 * POINTS) / 2),
    (nn.Softshrink(0.3), np.sign(POINTS) * np.maximum(np.abs(POINTS) - 0.3, 0)),
    (nn.Hardshrink(0.3), np.where(np.abs(POINTS) > 0.3, POINTS, 0)),
    (nn.Hardsigmoid(), np.clip(POINTS / 6 + 0.5, 0, 1)),
    (nn.Hardswish(), POINTS * np.clip(POINTS / 6 + 0.5, 0, 1)),
    (nn.SiLU(), POINTS * SIGMOID),
    (nn.Mish(), POINTS * np.tanh(np.logaddexp(0, POINTS))),
    (nn.GELU(), POINTS * gauss(POINTS)),
    (
        nn.GELU("tanh"),
        POINTS / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (POINTS + 0.044715 * POINTS**3))),
    ),
    (nn.GLU(), POINTS[:, :2] * SIGMOID[:, 2:]),
    (nn.Softmax(0), softmax(POINTS, 0)),
    (nn.Softmin(1), softmax(-POINTS, 1)),
    (nn.LogSoftmax(1), np.log(softmax(POINTS, 1))),
]


@pytest.mark.parametrize(("layer", "expected"), ACTIVATIONS, ids=[str(row[0]) for row in ACTIVATIONS])
def test_activations(layer: Any, expected: Array) -> None:
    np.testing.assert_allclose(value(layer.double()(tensor(POINTS))), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", "ReLU ReLU6 SiLU Mish SELU Hardsigmoid Hardswish ELU CELU LeakyReLU Hardtanh".split())
def test_activations_in_place_write_to_their_input(name: str) -> None:
    x = tensor(POINTS)
    expected = value(getattr(nn, name)()(x))
    assert getattr(nn, name)(inplace=True)(x) is x
    np.testing.assert_array_equal(value(x), expected)


def test_slopes_per_channel() -> None:
    layer, x = filled(nn.PReLU(3)), drawn(2, 3, 4)
    np.testing.assert_allclose(value(layer(tensor(x))), np.where(x > 0, x, value(layer.weight)[:, None] * x))


def test_softmax_over_channels() -> None:
    x = drawn(2, 3, 4, 5)
    np.testing.assert_allclose(value(nn.Softmax2d()(tensor(x))), softmax(x, 1))
    np.testing.assert_allclose(value(nn.Softmax2d()(tensor(x[0]))), softmax(x[0], 0))


# Dropout


DROPPED: list[tuple[Any, tuple[int, ...], tuple[int, ...]]] = [
    (nn.Dropout(0.25), (100, 100), ()),
    (nn.Dropout1d(0.25), (50, 60, 4), (2,)),
    (nn.Dropout2d(0.25), (50, 60, 3, 2), (2, 3)),
    (nn.Dropout3d(0.25), (50, 60, 2, 2, 2), (2, 3, 4)),
]


@pytest.mark.parametrize(("layer", "shape", "together"), DROPPED, ids=[str(row[0]) for row in DROPPED])
def test_dropout_scales_what_it_keeps(layer: Any, shape: tuple[int, ...], together: tuple[int, ...]) -> None:
    graphc.manual_seed(0)
    ones = graphc.ones(*shape)  # type: ignore[attr-defined]  # from the table
    found = value(layer(ones))
    assert set(np.unique(found)) == {0, np.float32(1 / 0.75)}
    assert (found == 0).mean() == pytest.approx(0.25, abs=0.03)
    assert (found.min(together) == found.max(together)).all()
    assert (value(layer.eval()(ones)) == 1).all()


def test_alpha_dropout_keeps_mean_and_variance() -> None:
    graphc.manual_seed(0)
    found = value(nn.AlphaDropout(0.3)(tensor(drawn(300, 300))))
    assert (found.mean(), found.std()) == pytest.approx((0, 1), abs=0.02)
    features = value(nn.FeatureAlphaDropout(0.3)(graphc.ones(50, 60, 4)))  # type: ignore[attr-defined]  # from the table
    assert (features.min(2) == features.max(2)).all()


# Tables of rows


def test_embedding() -> None:
    layer = filled(nn.Embedding(5, 3, padding_idx=1))
    rows = np.array([[0, 1], [4, 4]])
    found = layer(tensor(rows))
    np.testing.assert_array_equal(value(found), value(layer.weight)[rows])
    found.sum().backward()
    np.testing.assert_array_equal(layer.weight.grad.numpy()[:, 0], [1, 0, 0, 0, 2])


def test_embedding_scales_long_rows_down() -> None:
    layer = filled(nn.Embedding(5, 3, max_norm=0.5, norm_type=1.0))
    before = value(layer.weight).copy()
    layer(tensor(np.array([0, 3])))
    norms = np.abs(before).sum(1, keepdims=True)
    expected = np.where(np.isin(np.arange(5), (0, 3))[:, None] & (norms > 0.5), before * 0.5 / (norms + 1e-7), before)
    np.testing.assert_allclose(value(layer.weight), expected)


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
def test_embedding_bags(mode: str) -> None:
    layer = filled(nn.EmbeddingBag(6, 3, mode=mode, padding_idx=5))
    numbers, starts = np.array([0, 1, 5, 3, 3]), np.array([0, 3, 3])
    table = value(layer.weight)
    bags: list[Array] = [table[[0, 1]], np.zeros((0, 3)), table[[3, 3]]]
    expected = [getattr(bag, mode)(0) if len(bag) else np.zeros(3) for bag in bags]
    np.testing.assert_allclose(value(layer(tensor(numbers), tensor(starts))), expected)
    np.testing.assert_allclose(value(layer(tensor(np.array([[0, 1], [3, 3]])))), [expected[0], expected[2]])


def test_data_parallel_computes_what_its_module_does() -> None:
    layer, x = nn.Linear(3, 2), tensor(np.float32(drawn(4, 3)))
    spread = nn.DataParallel(layer, device_ids=None)
    np.testing.assert_array_equal(value(spread(x)), value(layer(x)))
    np.testing.assert_array_equal(value(nn.parallel.data_parallel(layer, x)), value(layer(x)))
    assert list(spread.state_dict()) == ["module.weight", "module.bias"]


def test_pretrained_tables_share_memory_and_are_frozen() -> None:
    rows = tensor(drawn(4, 2))
    layer = nn.Embedding.from_pretrained(rows)
    assert not layer.weight.requires_grad
    assert layer.weight.data_ptr() == rows.data_ptr()
    bag = nn.EmbeddingBag.from_pretrained(rows, freeze=False, mode="sum")
    assert bag.weight.requires_grad
    assert bag.mode == "sum"


# Shapes


SQUARE = np.arange(32.0).reshape(1, 2, 4, 4)
RESHAPED: list[tuple[Any, Array, Array]] = [
    (nn.Identity(), SQUARE, SQUARE),
    (nn.Flatten(), SQUARE, SQUARE.reshape(1, 32)),
    (nn.Flatten(0, 1), SQUARE, SQUARE.reshape(2, 4, 4)),
    (nn.Unflatten(1, (2, -1)), SQUARE, SQUARE.reshape(1, 2, 1, 4, 4)),
    (nn.ZeroPad2d((1, 2, 0, 3)), SQUARE, np.pad(SQUARE, ((0, 0), (0, 0), (0, 3), (1, 2)))),
    (nn.ConstantPad1d(1, 2.5), SQUARE[0], np.pad(SQUARE[0], ((0, 0), (0, 0), (1, 1)), constant_values=2.5)),
    (nn.ReflectionPad2d(2), SQUARE, np.pad(SQUARE, ((0, 0), (0, 0), (2, 2), (2, 2)), mode="reflect")),
    (nn.ReplicationPad1d((2, 0)), SQUARE[0], np.pad(SQUARE[0], ((0, 0), (0, 0), (2, 0)), mode="edge")),
    (nn.CircularPad3d(1), SQUARE, np.pad(SQUARE, ((0, 0), (1, 1), (1, 1), (1, 1)), mode="wrap")),
    (nn.Upsample(scale_factor=2), SQUARE, SQUARE.repeat(2, 2).repeat(2, 3)),
    (nn.UpsamplingNearest2d(size=(8, 4)), SQUARE, SQUARE.repeat(2, 2)),
    (nn.UpsamplingBilinear2d(size=7), SQUARE, SQUARE[0, 0, 0, 0] + np.add.outer(
        [0.0, 16.0], np.add.outer(np.arange(7) * 2.0, np.arange(7) / 2)
    )[None]),
    (nn.PixelUnshuffle(2), SQUARE, np.stack([SQUARE[:, c, i::2, j::2] for c, i, j in np.ndindex(2, 2, 2)], 1)),
    (nn.ChannelShuffle(2), np.arange(6.0).reshape(1, 6, 1, 1), np.array([0.0, 3, 1, 4, 2, 5]).reshape(1, 6, 1, 1)),
    (nn.Unfold(2, stride=2), SQUARE, windows(SQUARE, 2, 2).transpose(0, 1, 4, 2, 3).reshape(1, 8, 4)),
    (nn.Fold((4, 4), 2, stride=2), windows(SQUARE, 2, 2).transpose(0, 1, 4, 2, 3).reshape(1, 8, 4), SQUARE),
]  # fmt: skip


@pytest.mark.parametrize(("layer", "x", "expected"), RESHAPED, ids=[str(row[0])[:50] for row in RESHAPED])
def test_shapes(layer: Any, x: Array, expected: Array) -> None:
    np.testing.assert_allclose(value(layer(tensor(x))), expected)


def test_pixel_shuffle_undoes_its_inverse() -> None:
    x = tensor(drawn(2, 3, 4, 6))
    np.testing.assert_array_equal(value(nn.PixelShuffle(2)(nn.PixelUnshuffle(2)(x))), value(x))


def test_distances() -> None:
    x, y = drawn(4, 5), drawn(4, 5)
    expected = (np.abs(x - y + 1e-6) ** 3).sum(1) ** (1 / 3)
    np.testing.assert_allclose(value(nn.PairwiseDistance(3.0)(tensor(x), tensor(y))), expected)
    cosine = (x * y).sum(0) / np.linalg.norm(x, axis=0) / np.linalg.norm(y, axis=0)
    np.testing.assert_allclose(value(nn.CosineSimilarity(dim=0)(tensor(x), tensor(y))), cosine)


# Settings of all


@pytest.mark.parametrize(
    "make",
    [
        lambda **options: nn.Linear(2, 3, **options),
        lambda **options: nn.Bilinear(2, 3, 4, **options),
        lambda **options: nn.Conv2d(2, 3, 1, **options),
        lambda **options: nn.ConvTranspose1d(2, 3, 1, **options),
        lambda **options: nn.BatchNorm2d(2, **options),
        lambda **options: nn.LayerNorm(2, **options),
        lambda **options: nn.GroupNorm(1, 2, **options),
        lambda **options: nn.PReLU(**options),
        lambda **options: nn.Embedding(2, 3, **options),
        lambda **options: nn.EmbeddingBag(2, 3, **options),
    ],
)
def test_dtype_and_device_are_those_asked_for(make: Callable[..., Any]) -> None:
    layer = make(dtype=graphc.float64, device="cpu")
    kept = [each for name, each in layer.state_dict().items() if name != "num_batches_tracked"]
    assert {each.dtype for each in kept} == {graphc.float64}


def test_layers_keep_the_keys_and_versions_of_their_state() -> None:
    assert list(nn.BatchNorm1d(2).state_dict()) == [
        "weight", "bias", "running_mean", "running_var", "num_batches_tracked",
    ]  # fmt: skip
    assert list(nn.Conv2d(1, 1, 1, bias=False).state_dict()) == ["weight"]
    assert list(nn.BCEWithLogitsLoss(pos_weight=tensor(drawn(3))).state_dict()) == ["pos_weight"]
    assert (nn.BatchNorm1d._version, nn.InstanceNorm1d._version, nn.Linear._version) == (2, 2, 1)


def test_old_states_of_batch_normalization_have_no_count() -> None:
    old = nn.BatchNorm1d(2).state_dict()
    del old["num_batches_tracked"]
    old._metadata[""] = {"version": 1}  # type: ignore[attr-defined]  # what a state dict brings along
    layer = nn.BatchNorm1d(2)
    layer(tensor(np.float32(drawn(3, 2))))
    assert str(layer.load_state_dict(old)) == "<All keys matched successfully>"
    assert layer.num_batches_tracked.item() == 1


def test_modules_are_importable_by_their_paths_in_pytorch() -> None:
    from graphc.nn.modules.batchnorm import _BatchNorm
    from graphc.nn.modules.conv import _ConvNd
    from graphc.nn.modules.module import Module
    from graphc.nn.modules.utils import _pair, _triple

    assert issubclass(nn.Conv2d, _ConvNd)
    assert issubclass(nn.BatchNorm2d, _BatchNorm)
    assert nn.Module is Module
    assert (_pair(2), _triple((1, 2, 3))) == ((2, 2), (1, 2, 3))
