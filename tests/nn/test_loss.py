"""Losses against formulas in numpy, at their edges too: weights, classes to ignore, smoothing, no samples."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import graphc
from graphc import nn

Array = npt.NDArray[Any]
RANDOM = np.random.default_rng(1)


def tensor(array: Any) -> Any:
    return graphc.tensor(array)  # type: ignore[attr-defined]  # a function of the table


X, Y = RANDOM.standard_normal((2, 5, 4)) * 2
P, Q = RANDOM.random((2, 5, 4)) * 0.98 + 0.01
SIGNS = np.where(RANDOM.random((5, 4)) < 0.5, -1.0, 1.0)
WEIGHT = np.array([0.5, 1.0, 2.0, 3.0])
DIFFERENCE = np.abs(X - Y)
POSITIVE = np.maximum(X, 0)


def norm(x: Array) -> Array:
    found: Array = np.linalg.norm(x + 1e-6, axis=-1)
    return found


def softplus(x: Array) -> Array:
    found: Array = np.logaddexp(0, x)
    return found


def bce(p: Array, y: Array) -> Array:
    found: Array = -(y * np.log(p) + (1 - y) * np.log(1 - p))
    return found


# A loss that takes its reduction, its arguments, and what it gives for each element or row
ROWS: list[tuple[Callable[..., Any], tuple[Array, ...], Array]] = [
    (nn.L1Loss, (X, Y), DIFFERENCE),
    (nn.MSELoss, (X, Y), DIFFERENCE**2),
    (nn.SmoothL1Loss, (X, Y), np.where(DIFFERENCE < 1, DIFFERENCE**2 / 2, DIFFERENCE - 0.5)),
    (
        lambda **given: nn.SmoothL1Loss(beta=0.5, **given),
        (X, Y),
        np.where(DIFFERENCE < 0.5, DIFFERENCE**2, DIFFERENCE - 0.25),
    ),
    (
        lambda **given: nn.HuberLoss(delta=2.0, **given),
        (X, Y),
        np.where(DIFFERENCE < 2, DIFFERENCE**2 / 2, 2 * DIFFERENCE - 2),
    ),
    (nn.PoissonNLLLoss, (X, P), np.exp(X) - P * X),
    (lambda **given: nn.PoissonNLLLoss(log_input=False, eps=0.1, **given), (P, Q), P - Q * np.log(P + 0.1)),
    (nn.GaussianNLLLoss, (X, Y, P), (np.log(P) + DIFFERENCE**2 / P) / 2),
    (
        lambda **given: nn.GaussianNLLLoss(full=True, **given),
        (X, Y, P[:, 0]),
        (np.log(P[:, :1]) + DIFFERENCE**2 / P[:, :1] + math.log(2 * math.pi)) / 2,
    ),
    (nn.BCELoss, (P, Q), bce(P, Q)),
    (lambda **given: nn.BCELoss(weight=tensor(WEIGHT), **given), (P, Q), bce(P, Q) * WEIGHT),
    (nn.BCEWithLogitsLoss, (X, Q), softplus(X) - Q * X),
    (
        lambda **given: nn.BCEWithLogitsLoss(pos_weight=tensor(WEIGHT), **given),
        (X, Q),
        Q * WEIGHT * softplus(-X) + (1 - Q) * softplus(X),
    ),
    (nn.SoftMarginLoss, (X, SIGNS), softplus(-SIGNS * X)),
    (
        lambda **given: nn.HingeEmbeddingLoss(margin=1.5, **given),
        (X, SIGNS),
        np.where(SIGNS > 0, X, np.maximum(1.5 - X, 0)),
    ),
    (
        lambda **given: nn.MarginRankingLoss(margin=0.5, **given),
        (X, Y, SIGNS),
        np.maximum(0.5 - SIGNS * (X - Y), 0),
    ),
    (nn.MultiLabelSoftMarginLoss, (X, Q), (softplus(X) - Q * X).mean(1)),
    (
        lambda **given: nn.CosineEmbeddingLoss(margin=0.2, **given),
        (X, Y, SIGNS[:, 0]),
        np.where(
            SIGNS[:, 0] > 0,
            1 - (X * Y).sum(1) / np.linalg.norm(X, axis=1) / np.linalg.norm(Y, axis=1),
            np.maximum((X * Y).sum(1) / np.linalg.norm(X, axis=1) / np.linalg.norm(Y, axis=1) - 0.2, 0),
        ),
    ),
    (nn.TripletMarginLoss, (X, Y, P), np.maximum(norm(X - Y) - norm(X - P) + 1, 0)),
    (
        lambda **given: nn.TripletMarginLoss(margin=2.0, swap=True, **given),
        (X, Y, P),
        np.maximum(norm(X - Y) - np.minimum(norm(X - P), norm(Y - P)) + 2, 0),
    ),
    (
        lambda **given: nn.TripletMarginWithDistanceLoss(distance_function=lambda a, b: (a - b).abs().sum(-1), **given),
        (X, Y, P),
        np.maximum(np.abs(X - Y).sum(1) - np.abs(X - P).sum(1) + 1, 0),
    ),
]


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize(("make", "arguments", "expected"), ROWS)
def test_losses_of_numbers(
    make: Callable[..., Any], arguments: tuple[Array, ...], expected: Array, reduction: str
) -> None:
    found = make(reduction=reduction)(*map(tensor, arguments))
    total: Any = {"none": expected, "mean": expected.mean(), "sum": expected.sum()}[reduction]
    np.testing.assert_allclose(found.numpy(), total, rtol=1e-9)


def test_divergence_of_probabilities() -> None:
    logs, expected = np.log(P), Q * (np.log(Q) - np.log(P))
    for is_log in (False, True):
        target = tensor(np.log(Q) if is_log else Q)
        found = nn.KLDivLoss(reduction="none", log_target=is_log)(tensor(logs), target)
        np.testing.assert_allclose(found.numpy(), expected)
        found = nn.KLDivLoss(reduction="batchmean", log_target=is_log)(tensor(logs), target)
        assert found.item() == pytest.approx(expected.sum() / 5)


# Of classes

CLASSES = np.array([0, 3, 1, -7, 2])
LOGS = X - np.log(np.exp(X).sum(1, keepdims=True))
KEPT = CLASSES != -7
PICKED = np.where(KEPT, -LOGS[np.arange(5), CLASSES % 4], 0)
COUNTED = np.where(KEPT, WEIGHT[CLASSES % 4], 0)


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("is_weighted", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_cross_entropy_of_class_numbers(reduction: str, is_weighted: bool, smoothing: float) -> None:
    weight = WEIGHT if is_weighted else np.ones(4)
    counted = COUNTED if is_weighted else KEPT * 1.0
    spread = np.where(KEPT, -(LOGS * weight).sum(1), 0)
    rows = (1 - smoothing) * PICKED * counted + smoothing / 4 * spread
    expected: Any = {"none": rows, "mean": rows.sum() / counted.sum(), "sum": rows.sum()}[reduction]
    options: dict[str, Any] = {"weight": tensor(WEIGHT) if is_weighted else None, "ignore_index": -7}
    loss = nn.CrossEntropyLoss(reduction=reduction, label_smoothing=smoothing, **options)
    np.testing.assert_allclose(loss(tensor(X), tensor(CLASSES)).numpy(), expected, rtol=1e-9)
    if not smoothing:
        found = nn.NLLLoss(reduction=reduction, **options)(tensor(LOGS), tensor(CLASSES))
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-9)


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_cross_entropy_of_probabilities(smoothing: float) -> None:
    share = Q / Q.sum(1, keepdims=True)
    mixed = (1 - smoothing) * share + smoothing / 4
    rows = -(LOGS * mixed * WEIGHT).sum(1)
    loss = nn.CrossEntropyLoss(tensor(WEIGHT), label_smoothing=smoothing)
    assert loss(tensor(X), tensor(share)).item() == pytest.approx(rows.mean())
    assert loss(tensor(X[0]), tensor(share[0])).item() == pytest.approx(rows[0])


def test_cross_entropy_of_images_is_that_of_their_places() -> None:
    scores, classes = RANDOM.standard_normal((2, 3, 4, 5)), RANDOM.integers(0, 3, (2, 4, 5))
    flat = scores.transpose(0, 2, 3, 1).reshape(-1, 3)
    loss = nn.CrossEntropyLoss(ignore_index=1, reduction="sum")
    found = loss(tensor(scores), tensor(classes)).item()
    assert found == pytest.approx(loss(tensor(flat), tensor(classes.reshape(-1))).item())


def test_one_sample_without_a_batch() -> None:
    assert nn.CrossEntropyLoss()(tensor(X[1]), tensor(3)).item() == pytest.approx(-LOGS[1, 3])
    assert nn.CrossEntropyLoss()(tensor(X[1]), tensor([3])).shape == ()


def test_no_samples_and_none_that_count() -> None:
    scores, classes = tensor(np.zeros((0, 3))), tensor(np.zeros(0, np.int64))
    assert math.isnan(nn.CrossEntropyLoss()(scores, classes).item())
    assert nn.CrossEntropyLoss(reduction="sum")(scores, classes).item() == 0
    assert nn.CrossEntropyLoss(reduction="none")(scores, classes).shape == (0,)
    assert math.isnan(nn.MSELoss()(scores, scores).item())
    x = tensor(X).requires_grad_()
    loss = nn.CrossEntropyLoss(reduction="sum")(x, tensor(np.full(5, -100)))
    loss.backward()
    assert loss.item() == 0
    assert not x.grad.numpy().any()


def test_margins_between_classes() -> None:
    classes = CLASSES % 4
    own = X[np.arange(5), classes][:, None]
    for p in (1, 2):
        terms = np.maximum(0.7 - own + X, 0) ** p * WEIGHT[classes][:, None]
        terms[np.arange(5), classes] = 0
        loss = nn.MultiMarginLoss(p, 0.7, tensor(WEIGHT))
        assert loss(tensor(X), tensor(classes)).item() == pytest.approx(terms.sum() / 20)


def test_margins_of_several_classes() -> None:
    holding = np.array([[3, 0, -1, 1]])
    x = X[:1]
    expected = sum(max(0, 1 - (x[0, k] - x[0, other])) for k in (3, 0) for other in (1, 2)) / 4
    assert nn.MultiLabelMarginLoss()(tensor(x), tensor(holding)).item() == pytest.approx(expected)


def test_logarithms_of_0_count_100() -> None:
    x = tensor([0.0, 1.0, 1.0]).requires_grad_()
    loss = nn.BCELoss(reduction="none")(x, tensor([1.0, 0.0, 1.0]))
    assert loss.tolist() == [100, 100, 0]


@pytest.mark.parametrize("values", [[1.5, 0.5], [-0.1, 0.5], [math.nan, 0.5]])
def test_what_is_no_probability_is_refused(values: list[float]) -> None:
    with pytest.raises(RuntimeError, match=r"^all elements of input should be between 0 and 1"):
        nn.BCELoss()(tensor(values), tensor([1.0, 0.0]))


def test_negative_variances_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^var has negative entry/entries"):
        nn.GaussianNLLLoss()(tensor(X), tensor(Y), tensor(-P))


def test_alignments_of_a_sequence() -> None:
    def probability(path_logs: Array, labels: list[int]) -> float:
        """The sum over all paths that give the labels: repeats joined, then blanks left out."""
        total = 0.0
        for path in np.ndindex(*(path_logs.shape[1],) * len(path_logs)):
            joined = [k for i, k in enumerate(path) if i == 0 or k != path[i - 1]]
            if [k for k in joined if k != 0] == labels:
                total += math.exp(sum(path_logs[i, k] for i, k in enumerate(path)))
        return total

    logs = RANDOM.standard_normal((4, 2, 3))
    logs -= np.log(np.exp(logs).sum(2, keepdims=True))
    labels = [[1, 1], [2]]
    expected = np.array([-math.log(probability(logs[: 4 - i, i], labels[i])) for i in range(2)])
    loss = nn.CTCLoss(reduction="none")
    lengths = (tensor([4, 3]), tensor([2, 1]))
    np.testing.assert_allclose(loss(tensor(logs), tensor([[1, 1], [2, 0]]), *lengths).numpy(), expected)
    np.testing.assert_allclose(loss(tensor(logs), tensor([1, 1, 2]), *lengths).numpy(), expected)
    found = nn.CTCLoss()(tensor(logs), tensor([1, 1, 2]), (4, 3), (2, 1))
    assert found.item() == pytest.approx((expected / [2, 1]).mean())
    too_short = (tensor([2, 3]), tensor([2, 1]))
    assert math.isinf(loss(tensor(logs), tensor([1, 1, 2]), *too_short)[0].item())
    assert nn.CTCLoss(reduction="none", zero_infinity=True)(tensor(logs), tensor([1, 1, 2]), *too_short)[0].item() == 0


# With parameters


def test_adaptive_softmax_is_a_distribution_with_its_loss() -> None:
    layer = nn.AdaptiveLogSoftmaxWithLoss(16, 12, [3, 7], div_value=2.0, head_bias=True).double()
    x, classes = RANDOM.standard_normal((6, 16)), np.array([0, 2, 3, 6, 7, 11])
    logs = layer.log_prob(tensor(x)).detach().numpy()
    np.testing.assert_allclose(np.exp(logs).sum(1), 1)
    head, low, high = (
        layer.head.weight.detach().numpy(),
        *(
            np.linalg.multi_dot([each[1].weight.detach().numpy(), each[0].weight.detach().numpy()])
            for each in layer.tail
        ),
    )
    scores = x @ head.T + layer.head.bias.detach().numpy()
    scores -= np.log(np.exp(scores).sum(1, keepdims=True))
    parts = [scores[:, :3]]
    for place, cluster in enumerate((low, high), 3):
        inside = x @ cluster.T
        parts.append(inside - np.log(np.exp(inside).sum(1, keepdims=True)) + scores[:, place : place + 1])
    np.testing.assert_allclose(logs, np.concatenate(parts, 1))
    output, loss = layer(tensor(x), tensor(classes))
    np.testing.assert_allclose(output.detach().numpy(), logs[np.arange(6), classes])
    assert loss.item() == pytest.approx(-logs[np.arange(6), classes].mean())
    one = layer(tensor(x[2]), tensor(3))
    assert one.output.item() == pytest.approx(logs[2, 3])
    top = scores.argmax(1)
    np.testing.assert_array_equal(layer.predict(tensor(x)).numpy(), np.where(top < 3, top, logs.argmax(1)))


def test_linear_cross_entropy_is_both_in_one() -> None:
    loss = nn.LinearCrossEntropyLoss(4, 3, bias=True, label_smoothing=0.1).double()
    x, classes = tensor(X), tensor(CLASSES % 3)
    expected = nn.CrossEntropyLoss(label_smoothing=0.1)(loss.linear(x), classes)
    assert loss(x, classes).item() == pytest.approx(expected.item())


def test_weights_of_classes_move_with_the_loss() -> None:
    loss = nn.CrossEntropyLoss(tensor(np.float32(WEIGHT)))
    assert list(loss.state_dict()) == ["weight"]
    assert loss.double().weight.dtype is graphc.float64


@pytest.mark.parametrize(("make", "arguments", "expected"), ROWS)
def test_gradients_are_slopes(make: Callable[..., Any], arguments: tuple[Array, ...], expected: Array) -> None:
    loss = make(reduction="mean")
    x = tensor(arguments[0]).requires_grad_()
    others = [tensor(each) for each in arguments[1:]]
    loss(x, *others).backward()
    direction, step = RANDOM.standard_normal(arguments[0].shape), 1e-6
    ahead, behind = (loss(tensor(arguments[0] + sign * step * direction), *others).item() for sign in (1, -1))
    assert (x.grad.numpy() * direction).sum() == pytest.approx((ahead - behind) / (2 * step), rel=1e-4, abs=1e-6)
