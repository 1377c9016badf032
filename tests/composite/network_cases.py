"""Cases of activations, normalizations, convolutions, pooling and losses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import scipy.special as special

import graphc as g
from graphc.eager.methods import free_functions
from tests.composite.case import Case, draw

UNFOLD = free_functions("nn.functional")["unfold"]


def cases() -> Iterator[Case]:
    """All of them."""
    yield from _activations()
    yield from _normalizations()
    yield from _convolutions()
    yield from _pools()
    yield from _resized()


def _softplus(x: Any) -> Any:
    return np.logaddexp(x, 0)


def _elu(x: Any, alpha: float = 1.0) -> Any:
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


def _activations() -> Iterator[Case]:
    x = draw(4, 6, low=-4, high=4)
    table: dict[str, Any] = {
        "relu": lambda x: np.maximum(x, 0),
        "relu6": lambda x: np.clip(x, 0, 6),
        "hardtanh": lambda x: np.clip(x, -1, 1),
        "leaky_relu": lambda x: np.where(x > 0, x, 0.01 * x),
        "hardsigmoid": lambda x: np.clip(x / 6 + 0.5, 0, 1),
        "hardswish": lambda x: x * np.clip(x / 6 + 0.5, 0, 1),
        "hardshrink": lambda x: np.where(np.abs(x) > 0.5, x, 0),
        "softshrink": lambda x: np.sign(x) * np.maximum(np.abs(x) - 0.5, 0),
        "elu": _elu,
        "selu": lambda x: 1.0507009873554805 * _elu(x, 1.6732632423543772),
        "celu": _elu,
        "gelu": lambda x: x * special.ndtr(x),
        "silu": lambda x: x * special.expit(x),
        "mish": lambda x: x * np.tanh(_softplus(x)),
        "softplus": _softplus,
        "logsigmoid": lambda x: -_softplus(-x),
        "softsign": lambda x: x / (1 + np.abs(x)),
        "tanhshrink": lambda x: x - np.tanh(x),
    }
    far = np.array([-1e4, -100.0, -20.0, 0.0, 20.0, 100.0, 1e4])
    for name, reference in table.items():
        yield Case(name, getattr(g, name), reference, (x,), gradient=True)
        yield Case(name, getattr(g, name), reference, (far,))
    bent = partial(g.gelu, approximate="tanh")
    yield Case(
        "gelu", bent, lambda x: x / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))), (x,), gradient=True
    )
    yield Case("elu", lambda x: g.elu(x, 0.5), lambda x: _elu(x, 0.5), (x,), gradient=True)
    yield Case(
        "celu", lambda x: g.celu(x, 0.5), lambda x: np.where(x > 0, x, 0.5 * np.expm1(x / 0.5)), (x,), gradient=True
    )
    yield Case(
        "softplus",
        lambda x: g.softplus(x, 2.0, 5.0),
        lambda x: np.where(2 * x > 5, x, _softplus(2 * x) / 2),
        (x,),
        gradient=True,
    )
    yield Case("leaky_relu", lambda x: g.leaky_relu(x, 0.2), lambda x: np.where(x > 0, x, 0.2 * x), (x,), gradient=True)
    yield Case("hardtanh", lambda x: g.hardtanh(x, -2, 1), lambda x: np.clip(x, -2, 1), (x,), gradient=True)
    yield Case(
        "threshold", lambda x: g.threshold(x, 0.5, -1.0), lambda x: np.where(x > 0.5, x, -1.0), (x,), gradient=True
    )
    yield Case("prelu", g.prelu, lambda x, w: np.where(x > 0, x, x * w), (x, draw(1)), gradient=True)
    yield Case(
        "prelu", g.prelu, lambda x, w: np.where(x > 0, x, x * w[:, None]), (draw(2, 3, 4), draw(3)), gradient=True
    )
    yield Case("relu", g.relu, lambda x: np.maximum(x, 0), (np.arange(-3, 4),))
    for dim in (0, -1):
        yield Case(
            "softmax", lambda x, d=dim: x.softmax(d), lambda x, d=dim: special.softmax(x, d), (x,), gradient=True
        )
        yield Case(
            "log_softmax",
            lambda x, d=dim: x.log_softmax(d),
            lambda x, d=dim: special.log_softmax(x, d),
            (x,),
            gradient=True,
        )
    yield Case(
        "softmax", lambda x: x.softmax(0), lambda x: np.array([0.0, 1.0, 0.0]), (np.array([-1e4, 1e4, -np.inf]),)
    )
    yield Case("log_softmax", lambda x: x.log_softmax(0), lambda x: np.array([-2e4, 0.0]), (np.array([-1e4, 1e4]),))
    yield Case(
        "softmax",
        lambda x: x.softmax(1, dtype="float64"),
        lambda x: special.softmax(1.0 * x, 1),
        (np.arange(6).reshape(2, 3),),
    )
    yield Case("softmin", lambda x: g.softmin(x, 1), lambda x: special.softmax(-x, 1), (x,), gradient=True)
    yield Case("glu", g.glu, lambda x: x[:, :3] * special.expit(x[:, 3:]), (x,), gradient=True)
    yield Case("glu", lambda x: g.glu(x, 0), lambda x: x[:2] * special.expit(x[2:]), (x,))
    yield Case("normalize", g.normalize, lambda x: x / np.linalg.norm(x, axis=1, keepdims=True), (x,), gradient=True)
    yield Case("normalize", lambda x: g.normalize(x, 1, 0), lambda x: x / np.abs(x).sum(0), (x,), gradient=True)
    yield Case("normalize", g.normalize, lambda x: x, (np.zeros((2, 3)),))


def _standardized(x: Any, axes: tuple[int, ...], eps: float = 1e-5) -> Any:
    return (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + eps)


def _normalizations() -> Iterator[Case]:
    x, w, b = draw(4, 6, 5), draw(5), draw(5)
    yield Case(
        "layer_norm",
        lambda x, w, b: g.layer_norm(x, 5, w, b),
        lambda x, w, b: _standardized(x, (2,)) * w + b,
        (x, w, b),
        gradient=True,
    )
    yield Case(
        "layer_norm",
        lambda x: g.layer_norm(x, (6, 5), eps=0.1),
        lambda x: _standardized(x, (1, 2), 0.1),
        (x,),
        gradient=True,
    )
    square = lambda x: x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-6)  # noqa: E731
    yield Case("rms_norm", lambda x, w: g.rms_norm(x, 5, w, 1e-6), lambda x, w: square(x) * w, (x, w), gradient=True)
    yield Case("rms_norm", lambda x: g.rms_norm(x, [5]), lambda x: x / np.sqrt((x**2).mean(-1, keepdims=True)), (x,))
    c, d = draw(6), draw(6)
    yield Case(
        "group_norm",
        lambda x, w, b: g.group_norm(x, 3, w, b),
        lambda x, w, b: _standardized(x.reshape(4, 3, 10), (2,)).reshape(x.shape) * w[:, None] + b[:, None],
        (x, c, d),
        gradient=True,
    )
    yield Case(
        "batch_norm",
        lambda x, w, b: g.batch_norm(x, None, None, w, b, True),
        lambda x, w, b: _standardized(x, (0, 2)) * w[:, None] + b[:, None],
        (x, c, d),
        gradient=True,
    )
    mean, var = draw(6), draw(6, low=0.5)
    yield Case(
        "batch_norm",
        g.batch_norm,
        lambda x, m, v, w, b: (x - m[:, None]) / np.sqrt(v[:, None] + 1e-5) * w[:, None] + b[:, None],
        (x, mean, var, c, d),
        gradient=True,
    )
    yield Case(
        "batch_norm",
        lambda x: g.batch_norm(x, None, None, training=True),
        lambda x: _standardized(x, (0,)),
        (draw(5, 3),),
    )
    yield Case(
        "instance_norm",
        lambda x, w: g.instance_norm(x, weight=w),
        lambda x, w: _standardized(x, (2,)) * w[:, None],
        (x, c),
        gradient=True,
    )
    yield Case(
        "instance_norm",
        lambda x, m, v: g.instance_norm(x, m, v, use_input_stats=False),
        lambda x, m, v: (x - m[:, None]) / np.sqrt(v[:, None] + 1e-5),
        (x, mean, var),
    )
    yield Case("local_response_norm", lambda x: g.local_response_norm(x, 3, 0.5), _local_response, (x,), gradient=True)
    yield Case("dropout", lambda x: g.dropout(x, 0.5, training=False), lambda x: x, (x,), exact=True)
    yield Case("dropout", lambda x: g.dropout(x, 0.0), lambda x: x, (x,), exact=True)
    yield Case("dropout", lambda x: g.dropout(x, 1.0), lambda x: 0 * x, (x,), exact=True)
    yield Case("feature_dropout", lambda x: g.feature_dropout(x, 0.5, False), lambda x: x, (x,), exact=True)


def _local_response(x: Any) -> Any:
    padded = np.pad(x**2, ((0, 0), (1, 1), (0, 0)))
    total = sum(padded[:, k : k + x.shape[1]] for k in range(3))
    return x / (1 + 0.5 * total / 3) ** 0.75


# Convolutions


def _correlate(x: Any, w: Any, stride: Any, low: Any, high: Any, dilation: Any, groups: int) -> Any:
    """One output element at a time."""
    rank = w.ndim - 2
    x = np.pad(x, [(0, 0), (0, 0), *zip(low, high, strict=True)])
    spans = [d * (k - 1) + 1 for d, k in zip(dilation, w.shape[2:], strict=True)]
    counts = [(x.shape[2 + i] - spans[i]) // stride[i] + 1 for i in range(rank)]
    result = np.zeros((len(x), len(w), *counts))
    each_in, each_out = w.shape[1], len(w) // groups
    for o in range(len(w)):
        channels = slice(o // each_out * each_in, (o // each_out + 1) * each_in)
        for at in np.ndindex(*counts):
            place = tuple(slice(p * s, p * s + n, d) for p, s, n, d in zip(at, stride, spans, dilation, strict=True))
            result[(slice(None), o, *at)] = (x[(slice(None), channels, *place)] * w[o]).sum(tuple(range(1, rank + 2)))
    return result


def _spread(x: Any, w: Any, stride: Any, padding: Any, extra: Any, dilation: Any, groups: int) -> Any:
    """The transpose of `_correlate`: one input element at a time."""
    rank = w.ndim - 2
    each_in, each_out = len(w) // groups, w.shape[1]
    full = [
        (n - 1) * s + d * (k - 1) + 1 + e
        for n, s, d, k, e in zip(x.shape[2:], stride, dilation, w.shape[2:], extra, strict=True)
    ]
    result = np.zeros((len(x), each_out * groups, *full))
    for c in range(x.shape[1]):
        channels = slice(c // each_in * each_out, (c // each_in + 1) * each_out)
        for at in np.ndindex(*x.shape[2:]):
            place = tuple(
                slice(p * s, p * s + d * (k - 1) + 1, d)
                for p, s, d, k in zip(at, stride, dilation, w.shape[2:], strict=True)
            )
            value = x[(slice(None), c, *at)].reshape(-1, *(1,) * (rank + 1))
            result[(slice(None), channels, *place)] += value * w[c]
    inside = tuple(slice(p, n - p) for p, n in zip(padding, full, strict=True))
    return result[(slice(None), slice(None), *inside)]


def _convolutions() -> Iterator[Case]:
    extents, kernels = (7, 6, 5), (3, 2, 3)
    for rank in (1, 2, 3):
        for stride, padding, dilation, groups in ((1, 0, 1, 1), (2, 1, 1, 1), (1, 2, 2, 2), (2, 1, 1, 4)):
            s, p, d = (stride,) * rank, (padding,) * rank, (dilation,) * rank
            x, w = draw(2, 4, *extents[:rank]), draw(8, 4 // groups, *kernels[:rank])
            yield Case(
                f"conv{rank}d",
                partial(getattr(g, f"conv{rank}d"), stride=stride, padding=padding, dilation=dilation, groups=groups),
                lambda x, w, s=s, p=p, d=d, n=groups: _correlate(x, w, s, p, p, d, n),
                (x, w),
                gradient=rank < 3,
            )
            x, w = draw(2, 4, *(5, 4, 3)[:rank]), draw(4, 2, *kernels[:rank])
            extra = min(stride, 2) - 1
            yield Case(
                f"conv_transpose{rank}d",
                partial(
                    getattr(g, f"conv_transpose{rank}d"),
                    stride=stride,
                    padding=padding,
                    dilation=dilation,
                    groups=groups,
                    output_padding=extra,
                ),
                lambda x, w, s=s, p=p, d=d, n=groups, e=(extra,) * rank: _spread(x, w, s, p, e, d, n),
                (x, w),
                gradient=rank < 3,
            )
    x, w, b = draw(2, 3, 5, 6), draw(4, 3, 2, 3), draw(4)
    one, none = (1, 1), (0, 0)
    yield Case(
        "conv2d",
        partial(g.conv2d, padding="same"),
        lambda x, w, b: _correlate(x, w, one, (0, 1), (1, 1), one, 1) + b[:, None, None],
        (x, w, b),
        gradient=True,
    )
    yield Case(
        "conv2d",
        partial(g.conv2d, padding="valid", stride=(2, 1)),
        lambda x, w: _correlate(x, w, (2, 1), none, none, one, 1),
        (x, w),
    )
    yield Case("conv2d", g.conv2d, lambda x, w: _correlate(x[None], w, one, none, none, one, 1)[0], (x[0], w))
    yield Case(
        "conv_transpose2d",
        g.conv_transpose2d,
        lambda x, w, b: _spread(x, w, one, none, none, one, 1) + b[:, None, None],
        (x, draw(3, 2, 2, 2), b[:2]),
    )
    yield Case(
        "conv_transpose1d",
        partial(g.conv_transpose1d, dilation=3, output_padding=2),
        lambda x, w: _spread(x, w, (1,), (0,), (2,), (3,), 1),
        (draw(1, 2, 3), draw(2, 1, 2)),
    )
    yield Case("nn.functional.unfold", lambda x: UNFOLD(x, (2, 3), padding=1, stride=2), _columns, (x,), gradient=True)
    yield Case(
        "fold", lambda x: g.fold(x, (5, 6), (2, 3), padding=1, stride=2), _uncolumns, (draw(2, 18, 9),), gradient=True
    )


def _columns(x: Any) -> Any:
    x = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    parts = [x[:, :, i : i + 2, j : j + 3].reshape(len(x), -1) for i in (0, 2, 4) for j in (0, 2, 4)]
    return np.stack(parts, -1)


def _uncolumns(x: Any) -> Any:
    result = np.zeros((len(x), 3, 7, 8))
    for k, (i, j) in enumerate((i, j) for i in (0, 2, 4) for j in (0, 2, 4)):
        result[:, :, i : i + 2, j : j + 3] += x[..., k].reshape(len(x), 3, 2, 3)
    return result[:, :, 1:-1, 1:-1]


# Pooling


def _pooled(
    x: Any, size: Any, stride: Any, padding: Any, dilation: Any, ceil: bool, reduce: Callable[[Any, int], Any]
) -> Any:
    """`reduce` on what each window holds of the input, and the number of elements it spans with padding."""
    rank = len(size)
    counts = []
    for n, k, s, p, d in zip(x.shape[2:], size, stride, padding, dilation, strict=True):
        room = n + 2 * p - d * (k - 1) - 1
        count = (-(-room // s) if ceil else room // s) + 1
        counts.append(count - 1 if ceil and (count - 1) * s >= n + p else count)
    result = np.zeros((*x.shape[:2], *counts))
    for at in np.ndindex(*counts):
        places, spanned = [], 1
        for i in range(rank):
            start = at[i] * stride[i] - padding[i]
            places.append(
                [start + k * dilation[i] for k in range(size[i]) if 0 <= start + k * dilation[i] < x.shape[2 + i]]
            )
            spanned *= min(start + size[i], x.shape[2 + i] + padding[i]) - start
        cells = x[(slice(None), slice(None), *np.ix_(*places))].reshape(*x.shape[:2], -1)
        result[(slice(None), slice(None), *at)] = reduce(cells, spanned)
    return result


def _pools() -> Iterator[Case]:
    extents = (9, 8, 7)
    for rank in (1, 2, 3):
        x = draw(2, 3, *extents[:rank])
        for size, stride, padding, dilation, ceil in (
            (2, None, 0, 1, False),
            (3, 2, 1, 1, True),
            (3, 1, 1, 2, False),
            (2, 3, 1, 1, True),
        ):
            place = tuple((v,) * rank for v in (size, stride or size, padding, dilation))
            yield Case(
                f"max_pool{rank}d",
                partial(
                    getattr(g, f"max_pool{rank}d"),
                    kernel_size=size,
                    stride=stride,
                    padding=padding,
                    dilation=dilation,
                    ceil_mode=ceil,
                ),
                lambda x, a=place, c=ceil: _pooled(x, *a, c, lambda cells, _: cells.max(-1)),
                (x,),
                gradient=True,
            )
            for include in (True, False):
                if dilation == 1:
                    yield Case(
                        f"avg_pool{rank}d",
                        partial(
                            getattr(g, f"avg_pool{rank}d"),
                            kernel_size=size,
                            stride=stride,
                            padding=padding,
                            ceil_mode=ceil,
                            count_include_pad=include,
                        ),
                        lambda x, a=place, c=ceil, i=include: _pooled(
                            x, *a, c, lambda cells, n: cells.sum(-1) / n if i else cells.mean(-1)
                        ),
                        (x,),
                        gradient=True,
                    )
        ones = (1,) * rank
        yield Case(
            f"lp_pool{rank}d",
            lambda x, r=rank: getattr(g, f"lp_pool{r}d")(x, 3.0, 2),
            lambda x, o=ones: _pooled(
                x,
                [2 * k for k in o],
                [2 * k for k in o],
                [0 * k for k in o],
                o,
                False,
                lambda c, _: (c**3).sum(-1) ** (1 / 3),
            ),
            (np.abs(x) + 0.1,),
            gradient=True,
        )
        for count in (1, 2, 4, extents[0]):
            for kind in ("avg", "max"):
                yield Case(
                    f"adaptive_{kind}_pool{rank}d",
                    partial(getattr(g, f"adaptive_{kind}_pool{rank}d"), output_size=count),
                    lambda x, c=count, k=kind: _adaptive(x, c, k),
                    (x,),
                    gradient=True,
                )
    x = draw(2, 3, 5, 6)
    yield Case(
        "avg_pool2d",
        partial(g.avg_pool2d, kernel_size=2, divisor_override=3),
        lambda x: _pooled(x, (2, 2), (2, 2), (0, 0), (1, 1), False, lambda c, _: c.sum(-1) / 3),
        (x,),
    )
    yield Case("max_pool2d", lambda x: tuple(g.max_pool2d(x, 2, padding=1, return_indices=True)), _max_and_where, (x,))
    yield Case(
        "max_pool2d", lambda x: g.max_pool2d(x, 2), lambda x: x[:, :4].reshape(3, 2, 2, 3, 2).max((2, 4)), (x[0],)
    )
    yield Case(
        "max_pool2d",
        lambda x: g.max_pool2d(x, (1, 2)),
        lambda x: x.reshape(2, 1, 3, 2).max(-1),
        (np.arange(12).reshape(2, 1, 6) % 5,),
    )
    yield Case(
        "adaptive_avg_pool2d",
        lambda x: g.adaptive_avg_pool2d(x, (None, 2)),
        lambda x: x.reshape(2, 3, 5, 2, 3).mean(-1),
        (x,),
    )


def _adaptive(x: Any, count: int, kind: str) -> Any:
    for axis in range(2, x.ndim):
        n = x.shape[axis]
        cells = [np.take(x, range(i * n // count, -(-(i + 1) * n // count)), axis) for i in range(count)]
        x = np.stack([cell.mean(axis) if kind == "avg" else cell.max(axis) for cell in cells], axis)
    return x


def _max_and_where(x: Any) -> Any:
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values=-np.inf)
    place = np.pad(np.arange(30).reshape(5, 6), 1)
    values, indices = np.zeros((2, 3, 3, 4)), np.zeros((2, 3, 3, 4), np.int64)
    for n, c, i, j in np.ndindex(2, 3, 3, 4):
        cells = padded[n, c, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2].reshape(-1)
        values[n, c, i, j] = cells.max()
        indices[n, c, i, j] = place[2 * i : 2 * i + 2, 2 * j : 2 * j + 2].reshape(-1)[cells.argmax()]
    return [values, indices]


# Interpolation


def _resized() -> Iterator[Case]:
    x = draw(1, 2, 4, 6)
    yield Case(
        "interpolate",
        lambda x: g.interpolate(x, scale_factor=2),
        lambda x: x.repeat(2, 2).repeat(2, 3),
        (x,),
        gradient=True,
    )
    yield Case(
        "interpolate",
        lambda x: g.interpolate(x, size=(2, 9)),
        lambda x: x[:, :, [0, 2]][..., [0, 0, 1, 2, 2, 3, 4, 4, 5]],
        (x,),
    )
    yield Case(
        "interpolate",
        lambda x: g.interpolate(x, size=3, mode="nearest-exact"),
        lambda x: x[..., [1, 3, 5]],
        (x[0, :1],),
    )
    yield Case(
        "interpolate",
        lambda x: g.interpolate(x, size=(8, 3), mode="bilinear"),
        lambda x: _linear(_linear(x, 2, 8), 3, 3),
        (x,),
        gradient=True,
    )
    corners = partial(g.interpolate, size=(7, 4), mode="bilinear", align_corners=True)
    yield Case("interpolate", corners, lambda x: _linear(_linear(x, 2, 7, True), 3, 4, True), (x,), gradient=True)
    yield Case("interpolate", lambda x: g.interpolate(x, size=2, mode="area"), lambda x: _adaptive(x, 2, "avg"), (x,))
    yield Case(
        "interpolate",
        lambda x: g.interpolate(x, scale_factor=2.0, mode="trilinear"),
        lambda x: _linear(_linear(_linear(x, 2, 4), 3, 8), 4, 12),
        (x[:, :, None].repeat(2, 2),),
    )


def _linear(x: Any, axis: int, count: int, corners: bool = False) -> Any:
    n = x.shape[axis]
    place = (
        np.arange(count) * (n - 1) / (count - 1)
        if corners
        else np.maximum((np.arange(count) + 0.5) * n / count - 0.5, 0)
    )
    return np.apply_along_axis(lambda row: np.interp(place, np.arange(n), row), axis, x)
