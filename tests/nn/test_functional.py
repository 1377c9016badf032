"""graphc.nn.functional on tensors: PyTorch's parameters in their order, what is written, what is said of old ones."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphc as g
import graphc.nn.functional as F

PARAMETERS = {
    "relu": "input inplace",
    "threshold": "input threshold value inplace",
    "leaky_relu": "input negative_slope inplace",
    "dropout": "input p training inplace",
    "dropout2d": "input p training inplace",
    "rrelu": "input lower upper training inplace",
    "softmax": "input dim _stacklevel dtype",
    "log_softmax": "input dim _stacklevel dtype",
    "embedding": "input weight padding_idx max_norm norm_type scale_grad_by_freq sparse",
    "embedding_bag": "input weight offsets max_norm norm_type scale_grad_by_freq mode sparse per_sample_weights "
    "include_last_offset padding_idx",
    "batch_norm": "input running_mean running_var weight bias training momentum eps",
    "instance_norm": "input running_mean running_var weight bias use_input_stats momentum eps",
    "ctc_loss": "log_probs targets input_lengths target_lengths blank reduction zero_infinity",
    "nll_loss": "input target weight size_average ignore_index reduce reduction",
    "cross_entropy": "input target weight size_average ignore_index reduce reduction label_smoothing",
    "poisson_nll_loss": "input target log_input full size_average eps reduce reduction",
    "gaussian_nll_loss": "input target var full eps reduction",
    "kl_div": "input target size_average reduce reduction log_target",
    "binary_cross_entropy": "input target weight size_average reduce reduction",
    "binary_cross_entropy_with_logits": "input target weight size_average reduce reduction pos_weight",
    "smooth_l1_loss": "input target size_average reduce reduction beta",
    "huber_loss": "input target reduction delta weight",
    "l1_loss": "input target size_average reduce reduction weight",
    "mse_loss": "input target size_average reduce reduction weight",
    "margin_ranking_loss": "input1 input2 target margin size_average reduce reduction",
    "hinge_embedding_loss": "input target margin size_average reduce reduction",
    "multilabel_margin_loss": "input target size_average reduce reduction",
    "multilabel_soft_margin_loss": "input target weight size_average reduce reduction",
    "soft_margin_loss": "input target size_average reduce reduction",
    "cosine_embedding_loss": "input1 input2 target margin size_average reduce reduction",
    "multi_margin_loss": "input target p margin weight size_average reduce reduction",
    "triplet_margin_loss": "anchor positive negative margin p eps swap size_average reduce reduction",
    "interpolate": "input size scale_factor mode align_corners recompute_scale_factor antialias",
    "grid_sample": "input grid mode padding_mode align_corners",
    "scaled_dot_product_attention": "query key value attn_mask dropout_p is_causal scale enable_gqa",
    "adaptive_max_pool2d": "input output_size return_indices",
    "max_pool2d": "input kernel_size stride padding dilation ceil_mode return_indices",
    "max_unpool2d": "input indices kernel_size stride padding output_size",
    "avg_pool3d": "input kernel_size stride padding ceil_mode count_include_pad divisor_override",
    "conv_transpose2d": "input weight bias stride padding output_padding groups dilation",
    "pad": "input pad mode value",
    "unfold": "input kernel_size dilation padding stride",
    "fold": "input output_size kernel_size dilation padding stride",
}


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters_stand_in_pytorchs_order(name: str) -> None:
    given = inspect.signature(getattr(F, name)).parameters.values()
    assert [each.name for each in given if each.kind is not each.KEYWORD_ONLY] == PARAMETERS[name].split()


def draw(*shape: int, seed: int = 0) -> Any:
    """Random float32 numbers."""
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


# In place

IN_PLACE: tuple[tuple[str, tuple[Any, ...], Callable[[Any], Any]], ...] = (
    ("relu", (), lambda x: np.maximum(x, 0)),
    ("elu", (0.5,), lambda x: np.where(x > 0, x, 0.5 * np.expm1(x))),
    ("leaky_relu", (0.1,), lambda x: np.where(x > 0, x, 0.1 * x)),
    ("hardtanh", (-0.5, 0.5), lambda x: np.clip(x, -0.5, 0.5)),
    ("threshold", (0.2, -1.0), lambda x: np.where(x > 0.2, x, -1)),
    ("silu", (), lambda x: x / (1 + np.exp(-x))),
    ("hardsigmoid", (), lambda x: np.clip(x / 6 + 0.5, 0, 1)),
    ("rrelu", (0.25, 0.75), lambda x: np.where(x > 0, x, 0.5 * x)),
    ("dropout", (1.0,), np.zeros_like),
)


@pytest.mark.parametrize(("name", "args", "expected"), IN_PLACE, ids=[row[0] for row in IN_PLACE])
def test_inplace_writes_to_the_first_argument(name: str, args: tuple[Any, ...], expected: Callable[[Any], Any]) -> None:
    values = draw(3, 4)
    plain = g.tensor(values)
    np.testing.assert_allclose(getattr(F, name)(plain, *args).numpy(), expected(values), rtol=1e-5)
    assert (plain.numpy() == values).all()
    x = g.tensor(values)
    assert getattr(F, name)(x, *args, inplace=True) is x
    np.testing.assert_allclose(x.numpy(), expected(values), rtol=1e-5)
    if hasattr(F, f"{name}_"):
        x = g.tensor(values)
        assert getattr(F, f"{name}_")(x, *args) is x
        np.testing.assert_allclose(x.numpy(), expected(values), rtol=1e-5)


def test_inplace_may_be_given_by_position_and_has_a_gradient() -> None:
    x = g.tensor([-1.0, 2.0], requires_grad=True)
    y = x * 3
    assert F.relu(y, True) is y
    y.sum().backward()
    assert x.grad.tolist() == [0.0, 3.0]
    with pytest.raises(RuntimeError, match="a leaf Variable that requires grad is being used in an in-place operation"):
        F.relu(x, inplace=True)


def test_inplace_in_a_compiled_function_lets_the_name_stand_for_the_result() -> None:
    def step(x: Any) -> Any:
        y = x - 1
        F.relu(y, inplace=True)
        return y * 2

    assert g.compile(step)(np.array([0.5, 3.0])).tolist() == [0.0, 4.0]


# Old parameters


def test_size_average_and_reduce_say_what_to_use_instead() -> None:
    x, y = g.tensor([1.0, 3.0]), g.tensor([0.0, 0.0])
    message = "size_average and reduce args will be deprecated, please use reduction='{}' instead."
    for old, kind, expected in (
        ({"size_average": False}, "sum", 10.0),
        ({"reduce": False}, "none", [1.0, 9.0]),
        ({"size_average": True, "reduce": True}, "mean", 5.0),
    ):
        with pytest.warns(UserWarning, match=message.format(kind)):
            assert F.mse_loss(x, y, **old).tolist() == expected
    with pytest.warns(UserWarning, match=message.format("sum")):
        assert F.smooth_l1_loss(x, y, False).item() == 0.5 + 2.5
    with pytest.warns(UserWarning, match=message.format("sum")):
        assert F.nll_loss(g.tensor([[-1.0, -2.0]]), g.tensor([1]), None, False).item() == 2.0


def test_softmax_without_dim_chooses_one() -> None:
    for shape, axis in (((3,), 0), ((2, 3), 1), ((2, 3, 4), 0), ((2, 3, 4, 5), 1)):
        values = draw(*shape)
        with pytest.warns(UserWarning, match="Implicit dimension choice for softmax has been deprecated"):
            found = F.softmax(g.tensor(values))
        power = np.exp(values)
        np.testing.assert_allclose(found.numpy(), power / power.sum(axis, keepdims=True), rtol=1e-5)
    assert F.softmax(g.tensor([1, 1]), 0, 3, g.float64).dtype is g.float64


# Statistics that run along


def test_batch_norm_moves_running_statistics_in_training_only() -> None:
    values = draw(4, 3, 5)
    mean, var = g.tensor([1.0, 2.0, 3.0]), g.tensor([1.0, 1.0, 4.0])
    version = mean._version
    found = F.batch_norm(g.tensor(values), mean, var, training=True, momentum=0.25)
    center, spread = values.mean((0, 2)), values.var((0, 2))
    scale = np.sqrt(spread + 1e-5)[:, None]
    np.testing.assert_allclose(found.numpy(), (values - center[:, None]) / scale, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(mean.numpy(), 0.75 * np.array([1, 2, 3]) + 0.25 * center, rtol=1e-5)
    np.testing.assert_allclose(var.numpy(), 0.75 * np.array([1, 1, 4]) + 0.25 * spread * 20 / 19, rtol=1e-5)
    assert mean._version > version
    before = mean.tolist()
    found = F.batch_norm(g.tensor(values), mean, var, training=False)
    expected = (values - mean.numpy()[:, None]) / np.sqrt(var.numpy() + 1e-5)[:, None]
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-4, atol=1e-5)
    assert mean.tolist() == before


def test_batch_norm_with_running_statistics_has_the_gradient_of_the_batchs_own() -> None:
    weight = draw(4, 3, seed=1)
    found = []
    for running in (None, g.zeros(3)):
        x = g.tensor(draw(4, 3), requires_grad=True)
        var = None if running is None else g.ones(3)
        (F.batch_norm(x, running, var, training=True) * g.tensor(weight)).sum().backward()
        found.append(x.grad.numpy())
    np.testing.assert_allclose(found[0], found[1], rtol=1e-4, atol=1e-5)


def test_instance_norm_moves_running_statistics_to_the_mean_of_the_samples() -> None:
    values = draw(4, 3, 5)
    mean, var = g.zeros(3), g.ones(3)
    F.instance_norm(g.tensor(values), mean, var, use_input_stats=True, momentum=0.5)
    np.testing.assert_allclose(mean.numpy(), 0.5 * values.mean(2).mean(0), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(var.numpy(), 0.5 + 0.5 * values.var(2, ddof=1).mean(0), rtol=1e-5)


# Rows of tables


def test_max_norm_scales_the_rows_that_are_taken() -> None:
    table = g.tensor([[3.0, 4.0], [0.3, 0.4], [6.0, 8.0]])
    rows = F.embedding(g.tensor([0, 1, 0]), table, max_norm=1.0)
    np.testing.assert_allclose(rows.numpy(), [[0.6, 0.8], [0.3, 0.4], [0.6, 0.8]], rtol=1e-5)
    np.testing.assert_allclose(table.numpy(), [[0.6, 0.8], [0.3, 0.4], [6.0, 8.0]], rtol=1e-5)
    F.embedding_bag(g.tensor([[2, 2]]), table, max_norm=5.0)
    np.testing.assert_allclose(table.numpy()[2], [3.0, 4.0], rtol=1e-5)


def test_gradients_of_rows_scale_with_how_often_they_are_taken() -> None:
    for options, expected in (({}, [3.0, 1.0, 0.0]), ({"scale_grad_by_freq": True}, [1.0, 1.0, 0.0])):
        table = g.ones(3, 1, requires_grad=True)
        F.embedding(g.tensor([0, 1, 0, 0]), table, **options).sum().backward()
        assert table.grad.ravel().tolist() == expected


def test_offsets_must_begin_at_0() -> None:
    with pytest.raises(RuntimeError, match=r"offsets\[0\] has to be 0, i.e., the first sequence .* However, got 1"):
        F.embedding_bag(g.tensor([0, 1, 0]), g.ones(2, 2), g.tensor([1, 2]))


# Randomness


def test_dropout_of_channels_drops_whole_ones() -> None:
    g.manual_seed(3)
    for name, shape in (("dropout1d", (8, 16, 3)), ("dropout2d", (8, 16, 3, 2)), ("dropout3d", (8, 16, 2, 3, 2))):
        found = getattr(F, name)(g.ones(*shape), 0.5).numpy().reshape(8, 16, -1)
        assert (found == found[..., :1]).all()
        assert set(np.unique(found)) == {0.0, 2.0}
        single = getattr(F, name)(g.ones(*shape), 0.5, training=False)
        assert (single.numpy() == 1).all()
    with pytest.raises(RuntimeError, match="dropout1d: Expected 2D or 3D input, but received a 4D input"):
        F.dropout1d(g.ones(1, 1, 1, 1))
    with pytest.warns(UserWarning, match="dropout2d: Received a 3D input to dropout2d and assuming"):
        F.dropout2d(g.ones(2, 2, 2))


def test_attention_drops_weights_and_keeps_their_mean() -> None:
    g.manual_seed(1)
    q = g.zeros(64, 4, 8)
    found = F.scaled_dot_product_attention(q, q, g.ones(64, 4, 8), dropout_p=0.5).numpy()
    assert set(np.unique(found.round(4))) == {0.0, 0.5, 1.0, 1.5, 2.0}
    assert abs(found.mean() - 1) < 0.15


def test_gumbel_softmax_draws_classes_by_their_weights() -> None:
    g.manual_seed(7)
    logits = g.log(g.tensor([0.1, 0.2, 0.7])).expand((4000, 3)).clone().requires_grad_()
    hard = F.gumbel_softmax(logits, hard=True)
    assert set(np.unique(hard.detach().numpy())) == {0.0, 1.0}
    np.testing.assert_allclose(hard.detach().numpy().mean(0), [0.1, 0.2, 0.7], atol=0.03)
    soft = F.gumbel_softmax(logits, tau=5.0)
    np.testing.assert_allclose(soft.detach().numpy().sum(1), 1.0, rtol=1e-5)
    (hard * g.tensor([1.0, 2.0, 3.0])).sum().backward()
    assert np.abs(logits.grad.numpy()).max() > 0


# Others


def test_gradients_of_a_pool_flow_to_the_first_greatest_element() -> None:
    x = g.zeros(1, 1, 4, 4, requires_grad=True)
    F.max_pool2d(x, 3, 1).sum().backward()
    assert x.grad[0, 0].tolist() == [[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
    x = g.zeros(1, 1, 5, requires_grad=True)
    F.adaptive_max_pool1d(x, 2).sum().backward()
    assert x.grad[0, 0].tolist() == [1, 0, 1, 0, 0]


def test_pools_give_positions_on_demand() -> None:
    x = g.tensor([[[1.0, 5.0, 2.0, 2.0]]])
    values, places = F.max_pool1d(x, 2, return_indices=True)
    assert (values.tolist(), places.tolist()) == ([[[5.0, 2.0]]], [[[1, 2]]])
    values, places = F.max_pool1d_with_indices(x, 2)
    assert places.tolist() == [[[1, 2]]]
    values, places = F.adaptive_max_pool1d_with_indices(x, 1)
    assert places.tolist() == [[[1]]]


def test_averages_of_integers_drop_fractions() -> None:
    assert F.avg_pool1d(g.tensor([[[1, 2, -3, -4]]]), 2).tolist() == [[[1, -3]]]


def test_triplets_by_a_distance_of_ones_own() -> None:
    a, p, n = (g.tensor(draw(3, 2, seed=seed)) for seed in range(3))
    distance = lambda x, y: (x - y).abs().sum(-1)  # noqa: E731
    found = F.triplet_margin_with_distance_loss(a, p, n, distance_function=distance, swap=True, reduction="none")
    x, y, z = (each.numpy() for each in (a, p, n))
    near, far, other = (np.abs(u - v).sum(-1) for u, v in ((x, y), (x, z), (y, z)))
    np.testing.assert_allclose(found.numpy(), np.maximum(near - np.minimum(far, other) + 1, 0), rtol=1e-5)
    with pytest.raises(ValueError, match="margin must be greater than 0, got 0"):
        F.triplet_margin_with_distance_loss(a, p, n, margin=0)


def test_gradients_of_ctc_loss_are_those_of_normalized_scores() -> None:
    values = draw(5, 1, 3).astype(np.float64)

    def loss(scores: Any) -> Any:
        return F.ctc_loss(F.log_softmax(scores, 2), g.tensor([[1, 2]]), (5,), (2,))

    x = g.tensor(values, requires_grad=True)
    loss(x).backward()
    for place in np.ndindex(*values.shape):
        step = np.zeros_like(values)
        step[place] = 1e-5
        difference = (loss(g.tensor(values + step)) - loss(g.tensor(values - step))).item() / 2e-5
        assert abs(difference - x.grad.numpy()[place]) < 1e-8


def test_nothing_is_said_of_what_is_not_old() -> None:
    x = g.tensor([[1.0, 2.0]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        F.mse_loss(x, x, reduction="sum")
        F.softmax(x, 1)
        F.grid_sample(g.ones(1, 1, 2, 2), g.zeros(1, 1, 1, 2), align_corners=False)
    with pytest.warns(UserWarning, match="Default grid_sample and affine_grid behavior has changed"):
        F.grid_sample(g.ones(1, 1, 2, 3), g.zeros(1, 1, 1, 2))


def test_cross_entropy_of_products_is_that_of_a_linear_layer() -> None:
    x, weight, bias = (g.tensor(draw(*shape)) for shape in ((4, 3), (5, 2, 3), (5, 2)))
    target = g.tensor([[0, 1], [4, 2], [3, 3], [-100, 0]])
    found = F.linear_cross_entropy(x, weight, target, linear_bias=bias, reduction="none")
    scores = np.einsum("nf,cdf->ncd", x.numpy(), weight.numpy()) + bias.numpy()
    logs = scores - np.log(np.exp(scores).sum(1, keepdims=True))
    expected = [[-logs[n, c, d] if c >= 0 else 0.0 for d, c in enumerate(row)] for n, row in enumerate(target.tolist())]
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("value", [float("-inf"), float("inf"), float("nan")])
def test_softmax_of_a_number_that_is_not_finite_is_nan(value: float) -> None:
    x = g.tensor(value)
    assert [each.isnan().item() for each in (F.softmax(x, 0), F.log_softmax(x, 0), F.softmin(x, 0))] == [True] * 3
    assert (F.softmax(g.tensor(3.0), 0).item(), F.log_softmax(g.tensor(3.0), 0).item()) == (1.0, 0.0)
