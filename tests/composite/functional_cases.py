"""Cases of what stands in nn.functional alone: losses of margins and sequences, attention, tables, grids, unpooling."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import scipy.special as special

import graphc as g
import graphc.nn.functional as F
from tests.composite.case import Case, bits, draw, whole


def cases() -> Iterator[Case]:
    """All of them."""
    yield from _margins()
    yield from _sequences()
    yield from _attention()
    yield from _tables()
    yield from _grids()
    yield from _unpooled()
    yield from _fractional()
    yield from _resized()


# Losses


def _margins() -> Iterator[Case]:
    x, target, weight = draw(4, 5), np.array([0, 4, 2, 2]), draw(5, low=0.5)
    for p in (1, 2):
        yield Case(
            "nn.functional.multi_margin_loss",
            partial(F.multi_margin_loss, p=p, margin=0.7, reduction="none"),
            lambda x, t, p=p: np.array([_multi_margin(row, label, p) for row, label in zip(x, t)]),
            (x, target),
            gradient=True,
        )
    yield Case(
        "nn.functional.multi_margin_loss",
        lambda x, t, w: F.multi_margin_loss(x, t, 1, 0.7, w),
        lambda x, t, w: np.mean([_multi_margin(row, label, 1) * w[label] for row, label in zip(x, t)]),
        (x, target, weight),
        gradient=True,
    )
    labels = np.array([[3, 0, -1, 1, 2], [-1, 0, 1, 2, 3], [0, 1, 2, 3, 4], [2, 2, -1, -1, -1]])
    yield Case(
        "nn.functional.multilabel_margin_loss",
        partial(F.multilabel_margin_loss, reduction="none"),
        lambda x, y: np.array([_multilabel_margin(*row) for row in zip(x, y)]),
        (x, labels),
        gradient=True,
    )
    yield Case("nn.functional.multilabel_margin_loss", F.multilabel_margin_loss, _multilabel_margin, (x[0], labels[0]))
    yield Case(
        "nn.functional.multilabel_soft_margin_loss",
        lambda x, y, w: F.multilabel_soft_margin_loss(x, y, w),
        lambda x, y, w: -np.mean(w * (y * np.log(special.expit(x)) + (1 - y) * np.log(special.expit(-x)))),
        (x, bits(4, 5).astype(np.float64), weight),
        gradient=True,
    )
    for form, expected in (
        (F.mse_loss, lambda x, y, w: (w * (x - y) ** 2).sum() / w.sum()),
        (F.l1_loss, lambda x, y, w: (w * np.abs(x - y)).sum() / w.sum()),
        (F.huber_loss, lambda x, y, w: (w * special.huber(1.0, x - y)).sum() / w.sum()),
    ):
        yield Case(
            f"nn.functional.{form.__name__}",
            lambda x, y, w, form=form: form(x, y, weight=w),
            expected,
            (x, draw(4, 5), draw(4, 5, low=0.5)),
            gradient=True,
        )


def _multi_margin(x: Any, label: int, p: int) -> Any:
    return sum(max(0.0, 0.7 - x[label] + x[i]) ** p for i in range(len(x)) if i != label) / len(x)


def _multilabel_margin(x: Any, labels: Any) -> Any:
    right = list(itertools.takewhile(lambda label: label >= 0, labels.tolist()))
    wrong = [i for i in range(len(x)) if i not in right]
    return np.array(sum(max(0.0, 1 - x[i] + x[j]) for i in right for j in wrong) / len(x))


def _sequences() -> Iterator[Case]:
    scores = draw(5, 3, 4)
    targets, times, lengths = np.array([[1, 1], [2, 3], [3, 1]]), np.array([5, 4, 3]), np.array([2, 2, 1])
    joined = np.array([1, 1, 2, 3, 3])
    for reduction, labels in itertools.product(("none", "mean", "sum"), (targets, joined)):
        yield Case(
            "ctc_loss",
            lambda x, y, n, m, r=reduction: F.ctc_loss(g.log_softmax(x, 2), y, n, m, reduction=r),
            lambda x, y, n, m, r=reduction: _ctc(special.log_softmax(x, 2), targets, n, m, r),
            (scores, labels, times, lengths),
        )
    yield Case(
        "ctc_loss",
        lambda x, y: F.ctc_loss(x, y, (1,), (2,), zero_infinity=True),
        lambda x, y: np.array(0.0),
        (special.log_softmax(scores[:, :1], 2), targets[:1]),
    )


def _ctc(logs: Any, targets: Any, times: Any, lengths: Any, reduction: str) -> Any:
    """By going through all paths."""
    losses = []
    for row, (labels, steps, length) in enumerate(zip(targets, times, lengths, strict=True)):
        total = 0.0
        for path in itertools.product(range(logs.shape[2]), repeat=int(steps)):
            kept = [label for label, _ in itertools.groupby(path) if label != 0]
            if kept == labels[:length].tolist():
                total += np.exp(sum(logs[t, row, label] for t, label in enumerate(path)))
        losses.append(-np.log(total))
    found = np.array(losses)
    return found if reduction == "none" else found.sum() if reduction == "sum" else np.mean(found / lengths)


# Attention


def _attended(q: Any, k: Any, v: Any, mask: Any = 0.0, scale: float | None = None) -> Any:
    scores = q @ np.swapaxes(k, -1, -2) * (q.shape[-1] ** -0.5 if scale is None else scale) + mask
    return np.nan_to_num(special.softmax(scores, -1)) @ v


def _attention() -> Iterator[Case]:
    name = "nn.functional.scaled_dot_product_attention"
    attend = F.scaled_dot_product_attention
    q, k, v = draw(2, 3, 4, 5), draw(2, 3, 6, 5), draw(2, 3, 6, 2)
    mask = bits(4, 6)
    mask[1], mask[2] = False, True
    yield Case(name, attend, _attended, (q, k, v), gradient=True)
    yield Case(name, partial(attend, scale=0.3), partial(_attended, scale=0.3), (q, k, v))
    causal = np.where(np.tri(4, 6), 0, -np.inf)
    yield Case(
        name, partial(attend, is_causal=True), lambda q, k, v: _attended(q, k, v, causal), (q, k, v), gradient=True
    )
    yield Case(name, attend, lambda q, k, v, m: _attended(q, k, v, np.where(m, 0, -np.inf)), (q, k, v, mask))
    yield Case(name, attend, _attended, (q, k, v, draw(3, 1, 6)), gradient=True)
    yield Case(
        name,
        partial(attend, enable_gqa=True),
        lambda q, k, v: _attended(q, k.repeat(3, 1), v.repeat(3, 1)),
        (q, k[:, :1], v[:, :1]),
        gradient=True,
    )


# Rows of tables


def _tables() -> Iterator[Case]:
    table, index = draw(6, 3), whole(4, 2, low=0, high=6)
    yield Case("nn.functional.embedding", F.embedding, lambda i, w: w[i], (index, table), gradient=True)
    name, bag = "nn.functional.embedding_bag", F.embedding_bag
    for mode, reduce in (("sum", np.sum), ("mean", np.mean), ("max", np.max)):
        yield Case(
            name, partial(bag, mode=mode), lambda i, w, r=reduce: r(w[i], 1), (index, table), gradient=mode != "max"
        )
        for options in ({}, {"padding_idx": 2}):
            yield Case(
                name,
                lambda i, w, o, mode=mode, options=options: bag(i, w, o, mode=mode, **options),
                lambda i, w, o, r=reduce, options=options: _bags(i, w, o, r, options.get("padding_idx")),
                (np.array([2, 1, 2, 5, 0, 2]), table, np.array([0, 2, 2, 5])),
                gradient=mode != "max",
            )
    yield Case(
        name,
        lambda i, w, o, s: bag(i, w, o, mode="sum", per_sample_weights=s, include_last_offset=True),
        lambda i, w, o, s: np.stack([w[i[:2]].T @ s[:2], w[i[2:]].T @ s[2:]]),
        (np.array([2, 1, 2, 5]), table, np.array([0, 2, 4]), draw(4)),
        gradient=True,
    )


def _bags(index: Any, table: Any, offsets: Any, reduce: Any, padding: int | None) -> Any:
    rows = []
    for first, last in itertools.pairwise([*offsets, len(index)]):
        kept = [i for i in index[first:last] if i != padding]
        rows.append(reduce(table[kept], 0) if kept else np.zeros(table.shape[1]))
    return np.stack(rows)


# Grids


def _grids() -> Iterator[Case]:
    name = "nn.functional.grid_sample"
    x, grid = draw(2, 3, 4, 5), draw(2, 3, 2, 2, low=-1.4, high=1.4)
    for mode, padding, corners in itertools.product(
        ("bilinear", "nearest", "bicubic"), ("zeros", "border", "reflection"), (False, True)
    ):
        yield Case(
            name,
            partial(F.grid_sample, mode=mode, padding_mode=padding, align_corners=corners),
            lambda x, places, options=(mode, padding, corners): _sampled(x, places, *options),
            (x, grid),
            gradient=mode == "bilinear" and padding != "border",
        )
    yield Case(
        name,
        partial(F.grid_sample, align_corners=False),
        lambda x, places: _sampled(x, places, "bilinear", "zeros", False),
        (draw(1, 2, 3, 4, 2), draw(1, 2, 2, 3, 3, low=-1.2, high=1.2)),
        gradient=True,
    )
    theta = draw(2, 2, 3)
    for corners in (False, True):
        yield Case(
            "nn.functional.affine_grid",
            partial(F.affine_grid, size=(2, 1, 3, 4), align_corners=corners),
            lambda t, c=corners: _affine(t, (3, 4), c),
            (theta,),
            gradient=True,
        )
    yield Case(
        "nn.functional.affine_grid",
        partial(F.affine_grid, size=[1, 1, 2, 3, 1], align_corners=False),
        lambda t: _affine(t, (2, 3, 1), False),
        (draw(1, 3, 4),),
    )


def _affine(theta: Any, sizes: tuple[int, ...], corners: bool) -> Any:
    def line(n: int) -> Any:
        if n == 1:
            return np.zeros(1)
        return np.linspace(-1, 1, n) if corners else (2 * np.arange(n) + 1) / n - 1

    result = np.zeros((len(theta), *sizes, len(sizes)))
    for at in np.ndindex(*sizes):
        place = [line(n)[i] for n, i in zip(sizes, at)][::-1]
        result[(slice(None), *at)] = theta @ np.array([*place, 1.0])
    return result


def _sampled(x: Any, grid: Any, mode: str, padding: str, corners: bool) -> Any:
    """One place after another."""
    sizes = x.shape[2:]
    result = np.zeros((*x.shape[:2], *grid.shape[1:-1]))
    for n in range(len(x)):
        for at in np.ndindex(*grid.shape[1:-1]):
            place = [
                (c + 1) / 2 * (size - 1) if corners else ((c + 1) * size - 1) / 2
                for c, size in zip(grid[(n, *at)][::-1], sizes)
            ]
            if mode != "bicubic":
                place = [_inside(p, size, padding, corners) for p, size in zip(place, sizes)]
            taps = [_taps(p, mode) for p in place]
            for chosen in itertools.product(*taps):
                spot = [i for i, _ in chosen]
                if mode == "bicubic":
                    spot = [_inside(i, size, padding, corners) for i, size in zip(spot, sizes)]
                if all(0 <= i < size for i, size in zip(spot, sizes)):
                    share = np.prod([w for _, w in chosen])
                    result[(n, slice(None), *at)] += share * x[(n, slice(None), *map(int, spot))]
    return result


def _inside(place: float, size: int, padding: str, corners: bool) -> float:
    if padding == "zeros":
        return place
    if padding == "reflection":
        low, high = (0.0, size - 1.0) if corners else (-0.5, size - 0.5)
        while not low <= place <= high:
            place = 2 * low - place if place < low else 2 * high - place
    return min(max(place, 0.0), size - 1.0)


def _taps(place: float, mode: str) -> list[tuple[float, float]]:
    first = np.floor(place)
    match mode:
        case "nearest":
            return [(np.rint(place), 1.0)]
        case "bilinear":
            return [(first, 1 - (place - first)), (first + 1, place - first)]
        case _:
            return [(first + k, _keys(abs(place - first - k), -0.75)) for k in (-1, 0, 1, 2)]


def _keys(d: float, a: float) -> float:
    if d <= 1:
        return (a + 2) * d**3 - (a + 3) * d**2 + 1
    return a * (d**3 - 5 * d**2 + 8 * d - 4) if d < 2 else 0.0


# Pooling undone, and the greatest elements with their places


def _unpooled() -> Iterator[Case]:
    for rank in (1, 2, 3):
        x = draw(2, 3, *(6, 4, 4)[:rank])
        pool, undo = getattr(F, f"max_pool{rank}d"), getattr(F, f"max_unpool{rank}d")
        yield Case(
            f"nn.functional.max_unpool{rank}d",
            lambda x, pool=pool, undo=undo: undo(*pool(x, 2, return_indices=True), 2),
            _greatest_kept,
            (x,),
            gradient=True,
        )
        yield Case(
            f"adaptive_max_pool{rank}d",
            lambda x, rank=rank: getattr(F, f"adaptive_max_pool{rank}d")(x, 3, return_indices=True)[1],
            _places,
            (np.round(x),),
        )


def _greatest_kept(x: Any) -> Any:
    """x where it is the greatest of its block of two elements in each dimension, else 0."""
    rank = x.ndim - 2
    blocks = x.reshape(*x.shape[:2], *itertools.chain.from_iterable((n // 2, 2) for n in x.shape[2:]))
    top = blocks.max(tuple(range(3, 3 + 2 * rank, 2)), keepdims=True)
    return np.where(blocks == top, blocks, 0.0).reshape(x.shape)


def _places(x: Any) -> Any:
    """Where, in the flattened dimensions, the first greatest element of each of 3 cells is."""
    sizes = x.shape[2:]
    result = np.zeros((*x.shape[:2], *(3,) * len(sizes)), np.int64)
    flat = np.arange(np.prod(sizes)).reshape(sizes)
    for at in np.ndindex(*result.shape):
        cell = tuple(slice(i * n // 3, -(-(i + 1) * n // 3)) for i, n in zip(at[2:], sizes))
        result[at] = flat[cell].ravel()[x[at[:2]][cell].argmax()]
    return result


def _fractional() -> Iterator[Case]:
    """Windows at random distances: where they begin is `int((i + sample) * step) - int(sample * step)`."""
    for rank, counts in ((2, (3, 2)), (3, (2, 3, 1))):
        x, samples = draw(2, 2, *(8, 7, 6)[:rank]), draw(2, 2, rank, low=0.0, high=1.0)
        pool = getattr(F, f"fractional_max_pool{rank}d")
        yield Case(
            f"nn.functional.fractional_max_pool{rank}d",
            lambda x, s, pool=pool, counts=counts: pool(x, 2, counts, return_indices=True, _random_samples=s),
            partial(_at_random, counts=counts),
            (x, samples),
        )


def _at_random(x: Any, samples: Any, counts: tuple[int, ...]) -> Any:
    rank, sizes = len(counts), x.shape[2:]
    order = (1, 0) if rank == 2 else (0, 1, 2)
    values, places = np.zeros((*x.shape[:2], *counts)), np.zeros((*x.shape[:2], *counts), np.int64)
    flat = np.arange(np.prod(sizes)).reshape(sizes)
    for n, c in np.ndindex(*x.shape[:2]):
        begins = []
        for size, count, k in zip(sizes, counts, order, strict=True):
            s, step = samples[n, c, k], (size - 2) / max(count - 1, 1)
            begins.append([*(int((i + s) * step) - int(s * step) for i in range(count - 1)), size - 2])
        for at in np.ndindex(*counts):
            window = tuple(slice(b[i], b[i] + 2) for b, i in zip(begins, at, strict=True))
            best = x[n, c][window].argmax()
            values[(n, c, *at)], places[(n, c, *at)] = x[n, c][window].max(), flat[window].ravel()[best]
    return values, places


# Sizes


def _resized() -> Iterator[Case]:
    x = draw(1, 2, 5, 6)
    cubic = partial(F.interpolate, size=(8, 4), mode="bicubic")
    yield Case("interpolate", cubic, lambda x: _cubic(_cubic(x, 2, 8), 3, 4), (x,), gradient=True)
    corners = partial(cubic, align_corners=True)
    yield Case("interpolate", corners, lambda x: _cubic(_cubic(x, 2, 8, True), 3, 4, True), (x,))
    for mode, width, weigh in (
        ("bilinear", 1, lambda d: max(1 - d, 0.0)),
        ("bicubic", 2, lambda d: _keys(d, -0.5)),
        ("lanczos", 3, lambda d: np.sinc(d) * np.sinc(d / 3) if d < 3 else 0.0),
    ):
        yield Case(
            "interpolate",
            partial(F.interpolate, size=(2, 9), mode=mode, antialias=True),
            lambda x, f=weigh, w=width: _covered(_covered(x, 2, 2, w, f), 3, 9, w, f),
            (x,),
            gradient=True,
        )
    half = lambda x: x[:, :, ::2, ::2]  # noqa: E731
    yield Case("nn.functional.upsample", partial(F.upsample, scale_factor=0.5), half, (x[:, :, :4],), exact=True)
    yield Case("nn.functional.upsample_nearest", partial(F.upsample_nearest, size=(2, 3)), half, (x[:, :, :4],))
    yield Case(
        "nn.functional.upsample_bilinear", partial(F.upsample_bilinear, size=(3, 6)), lambda x: x[:, :, ::2], (x,)
    )


def _cubic(x: Any, axis: int, count: int, corners: bool = False) -> Any:
    size = x.shape[axis]
    parts = []
    for i in range(count):
        place = i * (size - 1) / (count - 1) if corners else (i + 0.5) * size / count - 0.5
        taps = _taps(place, "bicubic")
        parts.append(sum(w * x.take(int(np.clip(k, 0, size - 1)), axis) for k, w in taps))
    return np.stack(parts, axis)


def _covered(x: Any, axis: int, count: int, width: int, weigh: Any) -> Any:
    """The mean of all elements, by a filter that is as wide as the elements of the result lie apart."""
    size = x.shape[axis]
    stretch = max(size / count, 1.0)
    parts = []
    for i in range(count):
        middle = (i + 0.5) * size / count
        low, high = (int(max(0, np.floor(middle + s * width * stretch + 0.5))) for s in (-1, 1))
        near = range(low, min(high, size))
        weights = np.array([weigh(abs(k + 0.5 - middle) / stretch) for k in near])
        parts.append(np.tensordot(x.take(near, axis), weights / weights.sum(), (axis, 0)))
    return np.stack(parts, axis)
