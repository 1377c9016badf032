"""Cases of sorting, ranks, extremes, running results, counting, and placing with other ways to combine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from statistics import multimode
from typing import Any

import numpy as np

import graphc as g
from tests.composite.case import Case, Values, bits, draw, whole


def cases() -> Iterator[Case]:
    """All of them."""
    yield from _ordered()
    yield from _ranked()
    yield from _extremes()
    yield from _running()
    yield from _counted()
    yield from _combined()


def _exact(name: str, build: Any, expected: Any, *arrays: Values) -> Case:
    return Case(name, build, expected, arrays, exact=True)


def _smooth(name: str, build: Any, expected: Any, *arrays: Values) -> Case:
    return Case(name, build, expected, arrays, gradient=True)


def _ties(*shape: int) -> Values:
    return whole(*shape, low=0, high=4)


def _order(x: Values, axis: int, descending: bool = False) -> Values:
    # Sorted backwards, the last of equal elements comes first: turned around once more, they keep their order.
    if not descending:
        return np.argsort(x, axis, kind="stable")
    turned = np.argsort(np.flip(x, axis), axis, kind="stable")
    return np.flip(x.shape[axis] - 1 - turned, axis)


def _sorted(axis: int, descending: bool = False, count: int | None = None) -> Callable[[Values], list[Values]]:
    def apply(x: Values) -> list[Values]:
        order = np.take(_order(x, axis, descending), range(x.shape[axis] if count is None else count), axis)
        return [np.take_along_axis(x, order, axis), order]

    return apply


NAN = float("nan")
ODD = np.array([1.5, NAN, -0.0, 0.0, -np.inf, 1.5, np.inf, NAN, -2.0, 5e-324, -5e-324])
RISING = [4, 8, 10, 2, 3, 9, 0, 5, 6, 1, 7], [4, 8, 2, 3, 9, 10, 0, 5, 6, 1, 7]
FALLING = [1, 7, 6, 0, 5, 9, 2, 3, 10, 8, 4], [1, 7, 6, 0, 5, 2, 3, 9, 10, 8, 4]
"""Where its elements are in order, in float64 and in float32."""


def _ordered() -> Iterator[Case]:
    x, wide = _ties(3, 5), draw(2, 3, 4)
    yield _exact("sort", lambda x: x.sort(), _sorted(1), x)
    yield _exact("sort", lambda x: g.sort(x, 0, True), _sorted(0, True), x)
    yield _exact("sort", lambda x: g.sort(x, stable=True, dim=-2), _sorted(1), wide)
    yield _exact("sort", lambda x: x.sort(descending=True), _sorted(0, True), bits(7))
    yield _exact("sort", lambda x: x.sort(), lambda x: [x, 0], draw())
    yield Case("sort", lambda x: x.sort(1).values, lambda x: np.sort(x, 1), (wide,), gradient=True)
    yield _exact("argsort", lambda x: x.argsort(), lambda x: _places(x, RISING), ODD)
    yield _exact("argsort", lambda x: x.argsort(descending=True), lambda x: _places(x, FALLING), ODD)
    yield _exact("argsort", lambda x: x.half().argsort(0), lambda x: _order(x, 0), x.astype(np.float64))
    yield _exact("argsort", lambda x: x.to("uint8").argsort(1, descending=True), lambda x: _order(x, 1, True), x)
    yield _exact("msort", g.msort, lambda x: np.sort(x, 0), wide)
    yield _exact("topk", lambda x: x.topk(2), _sorted(1, True, 2), x)
    yield _exact("topk", lambda x: x.topk(3, 0, False), _sorted(0, False, 3), x)
    yield _exact("topk", lambda x: x.topk(0, -1), _sorted(1, True, 0), x)
    yield _smooth("topk", lambda x: x.topk(2, 1).values, lambda x: -np.sort(-x, 1)[:, :2], wide)
    edges, values = np.array([1, 3, 3, 5]), whole(3, 4, low=0, high=7)
    for side in ("left", "right"):
        found = lambda a, x, s=side: np.searchsorted(a, x, s)  # noqa: E731
        yield _exact("searchsorted", lambda a, x, s=side: g.searchsorted(a, x, side=s), found, edges, values)
    yield _exact("searchsorted", lambda a: g.searchsorted(a, 3.5, right=True), lambda a: 3, edges)
    rows = np.sort(draw(3, 5), 1)
    by_row = lambda a, x: np.stack([np.searchsorted(p, q) for p, q in zip(a, x)])  # noqa: E731
    yield _exact("searchsorted", g.searchsorted, by_row, rows, draw(3, 4))
    mixed, sorter = np.array([5, 1, 3]), np.array([1, 2, 0])
    with_sorter = lambda a, s, x: np.searchsorted(a[s], x)  # noqa: E731
    yield _exact("searchsorted", lambda a, s, x: g.searchsorted(a, x, sorter=s), with_sorter, mixed, sorter, values)
    yield _exact("bucketize", lambda x, a: g.bucketize(x, a), lambda x, a: np.digitize(x, a, True), values, edges)
    narrow = lambda x, a: g.bucketize(x, a, right=True, out_int32=True).long()  # noqa: E731
    yield _exact("bucketize", narrow, np.digitize, values, edges)


def _places(x: Values, expected: tuple[list[int], list[int]]) -> Values:
    return np.array(expected[x.dtype == np.float32])  # where 5e-324 is 0, and ties with it


def _placed_at(x: Values, axis: int, place: Values) -> list[Values]:
    return [np.take_along_axis(x, place, axis).squeeze(axis), place.squeeze(axis)]


def _rank(axis: int, k: int) -> Callable[[Values], list[Values]]:
    return lambda x: _placed_at(x, axis, np.take(_order(x, axis), [k], axis))


def _ranked() -> Iterator[Case]:
    x, y = draw(3, 5), draw(4, 6)
    holes = np.array([[1.0, NAN, 3.0, 2.0], [NAN, NAN, NAN, NAN], [4.0, 3.0, 2.0, 1.0], [5.0, 7.0, NAN, 6.0]])
    yield _exact("kthvalue", lambda x: x.kthvalue(2), _rank(1, 1), x)
    yield _exact("kthvalue", lambda x: x.kthvalue(3, 0), _rank(0, 2), _ties(4, 5))
    yield _smooth("kthvalue", lambda x: x.kthvalue(2, 0, True).values, lambda x: np.sort(x, 0)[1:2], x)
    yield _smooth("median", g.median, lambda x: np.sort(x, None)[(x.size - 1) // 2], y)
    yield _exact("median", lambda x: x.median(1), _rank(1, 2), y)
    yield _exact("median", lambda x: x.median(0, keepdim=True).values, lambda x: np.sort(x, 0)[1:2], y)
    yield _exact("median", lambda x: x.median(1), lambda x: [[NAN, NAN, 2.0, NAN], [1, 0, 2, 2]], holes)
    yield _exact("median", g.median, lambda x: NAN, holes)
    yield _exact("nanmedian", lambda x: x.nanmedian(1), lambda x: [[2.0, NAN, 2.0, 6.0], [3, 0, 2, 3]], holes)
    yield _exact("nanmedian", g.nanmedian, lambda x: 3.0, holes)
    yield _exact("mode", lambda x: x.mode(), _modes, _ties(4, 9))
    yield _exact("mode", lambda x: x.mode(0, True).values, lambda x: np.array([[_mode(c) for c in x.T]]), _ties(9, 1))
    for method in ("linear", "lower", "higher", "midpoint", "nearest"):
        one = lambda x, m=method: x.quantile(0.3, interpolation=m)  # noqa: E731
        yield Case("quantile", one, lambda x, m=method: np.quantile(x, 0.3, method=m), (x,), gradient=True)
        along = lambda x, q, m=method: x.quantile(q, 1, True, interpolation=m)  # noqa: E731
        expected = lambda x, q, m=method: np.quantile(x, q, 1, keepdims=True, method=m)  # noqa: E731
        yield Case("quantile", along, expected, (y, np.array([0.0, 0.15, 0.5, 1.0])))
    yield Case("quantile", lambda x: x.quantile(0.5, 1), lambda x: np.quantile(x, 0.5, 1), (holes,))
    skipped = lambda x, q: np.array([[1.5, NAN, 1.75, 5.5]])  # noqa: E731
    yield Case("nanquantile", lambda x, q: x.nanquantile(q, 1), skipped, (holes, np.array([0.25])))
    yield Case("nanquantile", lambda x: x.nanquantile(0.5), lambda x: np.nanquantile(x, 0.5), (holes,))


def _mode(row: Values) -> int:
    return min(multimode(row.tolist()))


def _modes(x: Values) -> list[list[int]]:
    found = [_mode(row) for row in x]
    return [found, [int(np.flatnonzero(row == m)[-1]) for row, m in zip(x, found)]]


def _extremes() -> Iterator[Case]:
    x, ties = draw(3, 4), _ties(4, 5)
    some = np.array([[1.0, NAN, 3.0], [2.0, 2.0, 1.0]])
    for name, whole_, where in (("max", np.max, np.argmax), ("min", np.min, np.argmin)):
        function = getattr(g, name)
        at = lambda x, w=where: _placed_at(x, 1, w(x, 1)[:, None])  # noqa: E731
        for values in (ties, some):
            yield _exact(name, lambda x, f=function: f(x, 1), at, values)
        kept = lambda x, f=whole_: f(x, 0, keepdims=True)  # noqa: E731
        yield _smooth(name, lambda x, f=function: f(x, dim=0, keepdim=True).values, kept, x)
        yield _smooth(name, function, whole_, x)
        yield _exact(name, lambda x, f=function: f(x, 0), lambda x, f=whole_, w=where: [f(x, 0), w(x, 0)], bits(3, 4))
        yield _exact(f"arg{name}", getattr(g, f"arg{name}"), where, ties)
        flat = lambda x, n=name: getattr(x, f"arg{n}")(keepdim=True)  # noqa: E731
        yield _exact(f"arg{name}", flat, lambda x, w=where: w(x).reshape(1, 1), some)
        yield _smooth(f"a{name}", lambda x, n=name: getattr(x, f"a{n}")((0, -1)), whole_, x)
        yield _exact(f"a{name}", lambda x, n=name: getattr(x, f"a{n}")(()), whole_, bits(3, 4))
    pair = np.array([3, 1, 2, 0, 3])
    yield _exact("max", lambda x, y: x.max(y), np.maximum, ties, pair)
    yield _exact("min", lambda x, y: g.min(x, other=y), np.minimum, ties, pair)
    yield _exact("max", lambda x: x.max(0), lambda x: [x, 0], draw())
    yield _exact("aminmax", lambda x: g.aminmax(x), lambda x: [x.min(), x.max()], ties)
    yield _exact("aminmax", lambda x: x.aminmax(dim=0, keepdim=True), lambda x: [x.min(0)[None], x.max(0)[None]], x)


def _best(better: Callable[[Any, Any], Any]) -> Callable[[Values], list[Values]]:
    def apply(x: Values) -> list[Values]:
        place = np.zeros(x.shape, np.int64)
        for step in range(1, x.shape[1]):
            best = np.take_along_axis(x, place[:, step - 1 : step], 1)[:, 0]
            takes = better(x[:, step], best) | np.isnan(x[:, step])
            place[:, step] = np.where(takes, step, place[:, step - 1])
        return [np.take_along_axis(x, place, 1), place]

    return apply


def _running() -> Iterator[Case]:
    x, holes = draw(3, 5), draw(3, 5)
    holes[0, 1] = holes[1, 2] = holes[1, 4] = 0.0
    some = np.array([[1.0, 3.0, NAN, 5.0, NAN], [2.0, 2.0, 1.0, 2.0, 3.0]])
    yield _smooth("cumsum", lambda x: x.cumsum(1), lambda x: np.cumsum(x, 1), x)
    yield _exact("cumsum", lambda x: x.cumsum(0), lambda x: np.cumsum(x, 0), bits(4, 3))
    for values in (x, holes):
        yield _smooth("cumprod", lambda x: x.cumprod(1), lambda x: np.cumprod(x, 1), values)
        yield _smooth("cumprod", lambda x: x.cumprod(-2), lambda x: np.cumprod(x, 0), values)
    yield _exact("cumprod", lambda x: x.cumprod(0), lambda x: np.cumprod(x, 0), _ties(4, 3))
    yield _exact(
        "cumprod",
        lambda x: g.copysign(1.0, x.cumprod(0)),
        lambda x: np.array([1.0, -1.0, 1.0]),
        np.array([0.0, -1, -2]),
    )
    in_floats = lambda x: np.cumprod(x.astype(np.float64), 0)  # noqa: E731
    yield Case("cumprod", lambda x: x.cumprod(0, dtype=g.float64), in_floats, (_ties(3, 4),))
    yield Case("cumprod", lambda x: x.cumprod(0), lambda x: x, (draw(),))
    for name, better in (("cummax", np.greater_equal), ("cummin", np.less_equal)):
        function = getattr(g, name)
        for values in (some, _ties(3, 6), x):
            yield _exact(name, lambda x, f=function: f(x, 1), _best(better), values)
        yield _exact(name, lambda x, f=function: f(x, -1), _best(better), bits(2, 6))
        only = lambda x, b=better: _best(b)(x)[0]  # noqa: E731
        yield _smooth(name, lambda x, f=function: f(x, 1).values, only, x)
    yield _smooth("logcumsumexp", lambda x: x.logcumsumexp(1), lambda x: np.logaddexp.accumulate(x, 1), x)
    far = np.array([[-500.0, 500.0, -np.inf, 501.0], [-np.inf, -np.inf, 0.0, 0.0]])
    yield Case("logcumsumexp", lambda x: x.logcumsumexp(1), lambda x: np.logaddexp.accumulate(x, 1), (far,))
    z = draw(2, 4) + 1j * draw(2, 4)
    yield Case("logcumsumexp", lambda z: z.logcumsumexp(1), lambda z: np.log(np.cumsum(np.exp(z), 1)), (z,))


def _counted() -> Iterator[Case]:
    x = np.array([[0.1, 0.9, 1.0, NAN], [-0.5, 0.25, 0.5, 3.0]])
    within = lambda x: np.histogram(x[x == x], 4, (0, 1))[0].astype(x.dtype)  # noqa: E731
    yield _exact("histc", lambda x: x.histc(4, 0, 1), within, x)
    yield _exact("histc", lambda x: g.histc(x, 8), lambda x: np.histogram(x, 8)[0].astype(x.dtype), draw(40))
    yield _exact("histc", lambda x: g.histc(x, 2), lambda x: np.array([0, 3], x.dtype), np.array([2.0, 2.0, 2.0]))
    yield Case("histogram", lambda x: g.histogram(x, 5), lambda x: _histogram(x, 5), (draw(30),))
    yield Case("histogram", lambda x: g.histogram(x), lambda x: _histogram(x, 100), (draw(30),))
    weighted = lambda x, w: _histogram(x, 3, range=(-1, 2), weights=w, density=True)  # noqa: E731
    by_weight = lambda x, w: x.histogram(3, range=(-1.0, 2.0), weight=w, density=True)  # noqa: E731
    yield Case("histogram", by_weight, weighted, (draw(30), draw(30, low=0.0)))
    point = lambda x: [np.array([3.0]), np.array([1.5, 2.5])]  # noqa: E731
    yield Case("histogram", lambda x: g.histogram(x, 1), point, (np.full(3, 2.0),))
    nothing = lambda x: [np.zeros(2), np.array([0.0, 0.5, 1.0])]  # noqa: E731
    yield Case("histogram", lambda x: g.histogram(x, 2), nothing, (draw(0),))
    edges = np.array([-1.0, 0.0, 0.25, 2.0])
    yield Case("histogram", lambda x, e: g.histogram(x, e), _histogram, (draw(5, 6), edges))


def _histogram(x: Values, bins: Any, **options: Any) -> list[Values]:
    counts, edges = np.histogram(x, bins, **options)
    return [counts.astype(np.float64), edges.astype(np.float64)]


COMBINE: dict[str, Callable[[list[Any]], Any]] = {
    "sum": np.sum,
    "prod": np.prod,
    "mean": np.mean,
    "amax": np.max,
    "amin": np.min,
}


def _collected(x: Values, index: Values, source: Values, reduce: str, with_self: bool) -> Values:
    """Each place of dimension 0 with what goes there: the reduction of a list."""
    result = x.copy()
    for place in np.ndindex(*x.shape):
        column = place[1:]
        taken = [source[(k, *column)] for k in range(len(index)) if index[(k, *column)] == place[0]]
        if taken:
            found = COMBINE[reduce]([x[place], *taken] if with_self else taken)
            result[place] = np.floor(found) if x.dtype.kind == "i" else found
    return result


def _combined() -> Iterator[Case]:
    x, source, index = draw(3, 4), draw(5, 4), whole(5, 4, low=0, high=3)
    vector = np.array([2, 0, 2, 2, 0])
    spread = lambda v, x: np.broadcast_to(v[:, None], (5, x.shape[1]))  # noqa: E731
    for reduce in COMBINE:
        for with_self in (True, False):
            options = {"reduce": reduce, "include_self": with_self}
            build = lambda x, i, s, o=options: x.scatter_reduce(0, i, s, **o)  # noqa: E731
            expected = lambda x, i, s, r=reduce, w=with_self: _collected(x, i, s, r, w)  # noqa: E731
            yield _smooth("scatter_reduce", build, expected, x, index, source)
            yield _exact("scatter_reduce", build, expected, whole(3, 4), index, whole(5, 4))
            if reduce != "sum":
                by_row = lambda x, v, s, o=options: x.index_reduce(0, v, s, **o)  # noqa: E731
                rows = lambda x, v, s, r=reduce, w=with_self: _collected(x, spread(v, x), s, r, w)  # noqa: E731
                yield _smooth("index_reduce", by_row, rows, x, vector, source)
    truth, more = bits(3, 4), bits(5, 4)
    yield _exact("scatter_add", lambda x, i, s: x.scatter_add(0, i, s), _any_of, truth, index, more)
    multiplied = lambda x, i, s: _collected(x, i, s, "prod", True)  # noqa: E731
    yield _smooth(
        "scatter", lambda x, i, s: x.scatter(0, i, s, reduce="multiply"), multiplied, x, index[:2], source[:2]
    )
    flat = np.array([[3, -1], [3, 0]])
    yield _smooth("put", lambda x, i, s: x.put(i, s), _put(False), x, np.array([5, -1, 0]), draw(3))
    yield _smooth("put", lambda x, i, s: x.put(i, s, accumulate=True), _put(True), x, flat, draw(2, 2))
    below = lambda x, i: g.take_along_dim(x, i - 3, 0)  # noqa: E731
    yield _exact("take_along_dim", below, lambda x, i: np.take_along_axis(x, i, 0), x, index[:, :4])
    mask = bits(3, 4)
    for adds in (False, True):
        put_where = lambda x, m, v, a=adds: x.index_put((m,), v, a)  # noqa: E731
        for chosen, values in ((mask, draw()), (mask, draw(int(mask.sum()))), (mask[:, 0], draw(1, 4))):
            yield _smooth("index_put", put_where, _put_where(adds), x, chosen, values)
        rows = np.array([True, False, True])
        yield _smooth("index_put", put_where, _put_where(adds), x, rows, draw(2, 4))
    yield _smooth("masked_scatter", lambda x, m, s: x.masked_scatter(m, s), _masked, x, mask, draw(12))
    row = np.array([True, False, True, True])
    yield _exact("masked_scatter", lambda x, m, s: x.masked_scatter(m, s), _masked, x, row, draw(3, 3))
    yield _exact("masked_scatter", lambda x, m, s: x.masked_scatter(m, s), lambda x, m, s: x, x, row & False, draw(0))


def _any_of(x: Values, index: Values, source: Values) -> Values:
    return _collected(x.astype(np.int64), index, source.astype(np.int64), "amax", True).astype(np.bool_)


def _put(adds: bool) -> Callable[[Values, Values, Values], Values]:
    def apply(x: Values, index: Values, source: Values) -> Values:
        result = x.copy().reshape(-1)
        for place, value in zip(index.reshape(-1), source.reshape(-1)):
            result[place] = result[place] + value if adds else value
        return result.reshape(x.shape)

    return apply


def _put_where(adds: bool) -> Callable[[Values, Values, Values], Values]:
    def apply(x: Values, mask: Values, values: Values) -> Values:
        result = x.copy()
        result[mask] = result[mask] + values if adds else values
        return result

    return apply


def _masked(x: Values, mask: Values, source: Values) -> Values:
    result = x.copy()
    chosen = np.broadcast_to(mask, x.shape)
    result[chosen] = source.reshape(-1)[: chosen.sum()]
    return result
