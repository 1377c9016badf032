"""Cases of losses."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import scipy.special as special

import graphc as g
from tests.composite.case import Case, draw, whole

_REDUCTIONS: dict[str, Any] = {"none": lambda x: x, "mean": np.mean, "sum": np.sum}


def _each(name: str, elements: Any, *arrays: Any, **options: Any) -> Iterator[Case]:
    """One case per reduction."""
    for reduction, reduce in _REDUCTIONS.items():
        yield Case(
            name,
            partial(getattr(g, name), reduction=reduction, **options),
            lambda *x, f=elements, r=reduce: r(f(*x)),
            arrays,
            gradient=True,
        )


def cases() -> Iterator[Case]:
    """All of them."""
    x, y = draw(4, 5), draw(4, 5)
    yield from _each("mse_loss", lambda x, y: (x - y) ** 2, x, y)
    yield from _each("l1_loss", lambda x, y: np.abs(x - y), x, y)
    yield from _each("smooth_l1_loss", lambda x, y: _bowl(x - y, 0.5) / 0.5, x, y, beta=0.5)
    yield from _each("smooth_l1_loss", lambda x, y: np.abs(x - y), x, y, beta=0.0)
    yield from _each("huber_loss", lambda x, y: _bowl(x - y, 1.5), x, y, delta=1.5)
    p, q = draw(4, 5, low=0.1, high=0.9), draw(4, 5, low=0.1, high=0.9)
    yield from _each("binary_cross_entropy", _crossed, p, q)
    yield from _each("binary_cross_entropy", lambda x, y, w: w * _crossed(x, y), p, q, draw(5, low=0.5))
    edge = np.array([0.0, 1.0, 0.0, 1.0]), np.array([0.0, 1.0, 1.0, 0.0])
    yield Case(
        "binary_cross_entropy",
        partial(g.binary_cross_entropy, reduction="none"),
        lambda x, y: np.array([0.0, 0, 100, 100]),
        edge,
    )
    name = "binary_cross_entropy_with_logits"
    yield from _each(name, lambda x, y: _crossed(special.expit(x), y), x, q)
    yield Case(
        name,
        lambda x, y, w, p: g.binary_cross_entropy_with_logits(x, y, w, "sum", p),
        lambda x, y, w, p: (w * -(p * y * np.log(special.expit(x)) + (1 - y) * np.log(special.expit(-x)))).sum(),
        (x, q, draw(5, low=0.5), draw(5, low=0.5)),
        gradient=True,
    )
    yield Case(
        name,
        partial(g.binary_cross_entropy_with_logits, reduction="none"),
        lambda x, y: np.array([0.0, 1e4]),
        (np.array([1e4, 1e4]), np.array([1.0, 0.0])),
    )
    logs = np.log(p)
    yield from _each("kl_div", lambda x, y: special.xlogy(y, y) - y * x, logs, q)
    yield from _each("kl_div", lambda x, y: np.exp(y) * (y - x), logs, np.log(q), log_target=True)
    yield Case(
        "kl_div",
        partial(g.kl_div, reduction="batchmean"),
        lambda x, y: (special.xlogy(y, y) - y * x).sum() / 4,
        (logs, np.where(q < 0.3, 0.0, q)),
    )
    yield from _each("poisson_nll_loss", lambda x, y: np.exp(x) - y * x, x, y)
    yield from _each("poisson_nll_loss", lambda x, y: x - y * np.log(x + 1e-8), p, q, log_input=False)
    stirling = lambda y: np.where(y > 1, y * np.log(y) - y + 0.5 * np.log(2 * np.pi * y), 0)  # noqa: E731
    yield from _each(
        "poisson_nll_loss", lambda x, y: np.exp(x) - y * x + stirling(y), x, draw(4, 5, low=0.5, high=4), full=True
    )
    normal = lambda x, y, v: 0.5 * (np.log(v) + (x - y) ** 2 / v)  # noqa: E731
    yield from _each("gaussian_nll_loss", normal, x, y, draw(4, 5, low=0.5))
    yield from _each(
        "gaussian_nll_loss",
        lambda x, y, v: normal(x, y, v[:, None]) + 0.5 * np.log(2 * np.pi),
        x,
        y,
        draw(4, low=0.5),
        full=True,
    )
    sign = np.where(whole(4, 5) > 0, 1, -1)
    yield from _each(
        "hinge_embedding_loss", lambda x, y: np.where(y == 1, x, np.maximum(0, 1.5 - x)), x, sign, margin=1.5
    )
    yield from _each("margin_ranking_loss", lambda a, b, y: np.maximum(0, -y * (a - b) + 0.5), x, y, sign, margin=0.5)
    yield from _each("soft_margin_loss", lambda x, y: np.log1p(np.exp(-y * x)), x, sign)
    cosine = lambda a, b: (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)  # noqa: E731
    yield Case("cosine_similarity", g.cosine_similarity, cosine, (x, y), gradient=True)
    yield Case("cosine_similarity", lambda a, b: g.cosine_similarity(a, b, 0), lambda a, b: cosine(a.T, b.T), (x, y))
    yield from _each(
        "cosine_embedding_loss",
        lambda a, b, y: np.where(y == 1, 1 - cosine(a, b), np.maximum(0, cosine(a, b) - 0.1)),
        x,
        y,
        sign[:, 0],
        margin=0.1,
    )
    distance = lambda a, b: np.linalg.norm(a - b + 1e-6, axis=-1)  # noqa: E731
    yield Case("pairwise_distance", g.pairwise_distance, distance, (x, y), gradient=True)
    yield from _each(
        "triplet_margin_loss", lambda a, b, c: np.maximum(0, distance(a, b) - distance(a, c) + 1), x, y, draw(4, 5)
    )
    yield from _of_classes()


def _bowl(d: Any, edge: float) -> Any:
    return np.where(np.abs(d) < edge, 0.5 * d**2, edge * (np.abs(d) - 0.5 * edge))


def _crossed(x: Any, y: Any) -> Any:
    return -(y * np.log(x) + (1 - y) * np.log(1 - x))


def _picked(x: Any, target: Any, weight: Any, ignored: int) -> tuple[Any, Any]:
    """(loss, weight) for each target, by a loop over them; classes are dimension 1."""
    loss, count = np.zeros(target.shape), np.zeros(target.shape)
    for place in np.ndindex(*target.shape):
        label = target[place]
        if label != ignored:
            count[place] = 1.0 if weight is None else weight[label]
            loss[place] = -x[(place[0], label, *place[1:])] * count[place]
    return loss, count


def _of_classes() -> Iterator[Case]:
    for shape in ((6, 4), (2, 4, 3), (2, 4, 2, 3)):
        x, target = draw(*shape), whole(shape[0], *shape[2:], low=0, high=4)
        target.reshape(-1)[1] = -100
        weight = draw(4, low=0.5)
        for reduction in _REDUCTIONS:

            def expected(x: Any, t: Any, w: Any = None, r: str = reduction, ignored: int = -100) -> Any:
                loss, count = _picked(x, t, w, ignored)
                return loss.sum() / count.sum() if r == "mean" else _REDUCTIONS[r](loss)

            def crossed(x: Any, t: Any, w: Any = None, f: Any = expected) -> Any:
                return f(special.log_softmax(x, 1), t, w)

            yield Case("nll_loss", partial(g.nll_loss, reduction=reduction), expected, (x, target), gradient=True)
            yield Case(
                "cross_entropy", partial(g.cross_entropy, reduction=reduction), crossed, (x, target), gradient=True
            )
            yield Case("cross_entropy", partial(g.cross_entropy, reduction=reduction), crossed, (x, target, weight))
            yield Case("nll_loss", partial(g.nll_loss, reduction=reduction), expected, (x, target, weight))
    x, target, weight = draw(6, 4), np.array([0, 3, 1, 1, 2, 0]), draw(4, low=0.5)
    yield Case(
        "cross_entropy",
        partial(g.cross_entropy, ignore_index=1),
        lambda x, t: _mean(special.log_softmax(x, 1), t, 1),
        (x, target),
        gradient=True,
    )
    yield Case("cross_entropy", g.cross_entropy, lambda x, t: -special.log_softmax(x)[t], (x[0], np.array(2)))
    yield Case(
        "cross_entropy", g.cross_entropy, lambda x, t: _mean(special.log_softmax(x, 1), t, -1), (x * 1e4, target)
    )
    for reduction in _REDUCTIONS:
        smooth = partial(g.cross_entropy, reduction=reduction, label_smoothing=0.2)
        yield Case("cross_entropy", smooth, partial(_smoothed, reduction=reduction), (x, target), gradient=True)
        yield Case("cross_entropy", smooth, partial(_smoothed, reduction=reduction), (x, target, weight))
        share = special.softmax(draw(6, 4), 1)
        yield Case("cross_entropy", smooth, partial(_shared, reduction=reduction), (x, share), gradient=True)
        yield Case("cross_entropy", smooth, partial(_shared, reduction=reduction), (x, share, weight))


def _mean(x: Any, target: Any, ignored: int) -> Any:
    loss, count = _picked(x, target, None, ignored)
    return loss.sum() / count.sum()


def _smoothed(x: Any, target: Any, weight: Any = None, *, reduction: str) -> Any:
    w = np.ones(4) if weight is None else weight
    logs = special.log_softmax(x, 1)
    hard = -logs[np.arange(6), target] * w[target]
    soft = -(logs * w).sum(1)
    loss = 0.8 * hard + 0.2 / 4 * soft
    return loss.sum() / w[target].sum() if reduction == "mean" else _REDUCTIONS[reduction](loss)


def _shared(x: Any, target: Any, weight: Any = None, *, reduction: str) -> Any:
    w = np.ones(4) if weight is None else weight
    loss = -(special.log_softmax(x, 1) * (0.8 * target + 0.2 / 4) * w).sum(1)
    return _REDUCTIONS[reduction](loss)
