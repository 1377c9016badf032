"""Cases of the ops that sort, search, scan and place along an axis: each expectation is computed element by element."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from graphc.ir.attribute import Attribute
from graphc.ir.dtype import Kind, bf16, bool_, c64, c128, f16, f32, f64, i8, i32, i64, u8, u64
from graphc.ops import along as al
from graphc.ops import ordering as od
from graphc.ops import requirement as rq
from graphc.ops import scan as sc
from tests.ops.case import COMBINE, FLOATS, INTEGERS, Case, Values, draw, special

# Ordering


def _rows(function: Callable[..., list[Any]], axis: int) -> Callable[..., Values]:
    """A function of lists, applied to the rows along an axis of all operands."""

    def apply(*arrays: Values) -> Values:
        moved = [np.moveaxis(x, axis, -1) for x in arrays]
        result = np.zeros(moved[0].shape, object)
        for place in np.ndindex(*result.shape[:-1]):
            result[place] = function(*(x[place].tolist() for x in moved))
        return np.moveaxis(result, -1, axis)

    return apply


def _order(row: list[Any]) -> list[int]:
    return sorted(range(len(row)), key=row.__getitem__)  # Python's sort keeps the order of what is equal


def _ordering_cases() -> Iterator[Case]:
    for kind in INTEGERS:
        few = draw((3, 7), kind) // kind.numpy.type(4)
        yield Case(od.argsort, (few,), {"axis": 1}, _rows(_order, 1), "ties")
        yield Case(od.argsort, (special(kind),), {"axis": 0}, _rows(_order, 0), "ends")
    for shape, axis in (((2, 3, 4), 1), ((5, 2), 0), ((1,), 0), ((2,), 0), ((0, 2), 0), ((2, 0), 1), ((8, 3), 0)):
        yield Case(od.argsort, (draw(shape, i64),), {"axis": axis}, _rows(_order, axis), f"axis-{axis}")
    for size in (1024, 1025, 1500):  # on the stack, and in memory for all rows
        long = draw((2, size), i32)
        yield Case(od.argsort, (long,), {"axis": 1}, _rows(_order, 1), "long")
    for kind, size, right in itertools.product((u8, i64, u64, f16, bf16, f32, f64), (0, 1, 2, 3, 4, 7), (False, True)):
        ordered = np.sort(draw((size,), kind).astype(np.float64)).astype(kind.numpy)
        looked_up = np.concatenate([draw((4,), kind), ordered[:1]])
        yield Case(od.search, (ordered, looked_up), {"right": right}, _counter(right), f"{right}")
    for right in (False, True):
        ordered = np.sort(draw((2, 3, 5), f32), -1)
        yield Case(od.search, (ordered, draw((2, 3, 4), f32)), {"right": right}, _counter(right), f"rows-{right}")
        yield Case(od.search, (ordered[0, 0], draw((2, 3), f32)), {"right": right}, _counter(right), f"many-{right}")
        yield Case(od.search, (ordered[0, 0], draw((), f32)), {"right": right}, _counter(right), f"one-{right}")
        unknown = np.array([math.nan, -math.inf, math.inf], np.float32)
        yield Case(od.search, (ordered[0, 0], unknown), {"right": right}, lambda a, x: [5, 0, 5], f"nan-{right}")


def _counter(right: bool) -> Callable[[Values, Values], Values]:
    def count(ordered: Values, x: Values) -> Values:
        rows = np.broadcast_to(ordered, (*x.shape[:-1], ordered.shape[-1]))
        a, v = rows[..., None, :].astype(np.float64), x[..., None].astype(np.float64)
        return np.sum(a <= v if right else a < v, axis=-1)

    return count


# Scans


def _recur(is_reverse: bool) -> Callable[[list[Any], list[Any]], list[Any]]:
    def recur(a: list[Any], b: list[Any]) -> list[Any]:
        result = list(b)
        order = range(len(b))[::-1] if is_reverse else range(len(b))
        for last, here in itertools.pairwise(order):
            result[here] += a[here] * result[last]
        return result

    return recur


def _best(is_better: Callable[[float, float], bool]) -> Callable[[list[Any]], list[int]]:
    def places(row: list[Any]) -> list[int]:
        result: list[int] = []
        for place, x in enumerate(row):
            best = row[result[-1]] if result else math.nan
            takes = not result or x != x or (best == best and is_better(x, best))
            result.append(place if takes else result[-1])
        return result

    return places


def _summed_exponentials(row: list[float]) -> list[float]:
    return [math.log(math.fsum(map(math.exp, row[: k + 1]))) for k in range(len(row))]


def _scan_cases() -> Iterator[Case]:
    for shape, axis in (((2, 3, 4), 1), ((5,), 0), ((3, 1), 1), ((0, 2), 0)):
        for reverse in (False, True):
            attributes: dict[str, Attribute] = {"axis": axis, "reverse": reverse}
            for kind in (i64, f32, f64, c64, c128):
                arrays = draw(shape, kind), draw(shape, kind)
                is_smooth = kind in (f64, c128) and arrays[0].size > 0
                expected = _rows(_recur(reverse), axis)
                label = f"{axis}{reverse}"
                yield Case(sc.recurrence, arrays, attributes, _as(expected, kind), label, is_smooth)
        x = draw(shape)
        sums = _as(_rows(_summed_exponentials, axis), f64)
        yield Case(sc.logcumsumexp, (x,), {"axis": axis}, sums, f"axis-{axis}", x.size > 0)
    unread = np.array([math.inf, 2.0]), np.array([1.0, 3.0])
    yield Case(sc.recurrence, unread, {"axis": 0}, lambda a, b: [1.0, 5.0], "first-factor-unused", exact=True)
    infinite = np.array([-math.inf, -math.inf, 0.0, 0.0, math.inf, 1.0, math.nan, 0.0], np.float32)
    totals = [-math.inf, -math.inf, 0.0, math.log(2.0), math.inf, math.inf, math.nan, math.nan]
    yield Case(sc.logcumsumexp, (infinite,), {"axis": 0}, lambda x: totals, "infinite")
    far = np.array([-1000.0, 1000.0, 999.0])
    grown = [-1000.0, 1000.0, 1000.0 + math.log1p(math.exp(-1.0))]
    yield Case(sc.logcumsumexp, (far,), {"axis": 0}, lambda x: grown, "far")
    for op, is_better in ((sc.cumargmax, float.__ge__), (sc.cumargmin, float.__le__)):
        compare = lambda x, y, f=is_better: f(float(x), float(y))  # noqa: E731
        for kind in (*INTEGERS, *FLOATS):
            x = draw((3, 9), kind).astype(np.int64).astype(kind.numpy)
            yield Case(op, (x,), {"axis": 1}, _rows(_best(compare), 1), "ties")
            if kind.kind is Kind.FLOAT:
                yield Case(op, (special(kind),), {"axis": 0}, _rows(_best(compare), 0), "special")
                yield Case(op, (special(kind)[::-1],), {"axis": 0}, _rows(_best(compare), 0), "nan-first")
        for shape, axis in (((2, 3, 4), 1), ((4, 2), 0), ((0, 2), 0), ((1,), 0)):
            yield Case(op, (draw(shape, i64),), {"axis": axis}, _rows(_best(compare), axis), f"axis-{axis}")


def _as(function: Callable[..., Values], kind: Any) -> Callable[..., Values]:
    return lambda *arrays: function(*arrays).astype(kind.numpy)


# Along an axis


def _along_cases() -> Iterator[Case]:
    for axis, index in ((0, [[2, 0, 1, 2], [0, 0, 2, 1]]), (1, [[3], [0]]), (1, [[3, 3, 0, 1, 2]]), (0, [[1]])):
        for kind in (i32, i64):
            where = np.asarray(index, kind.numpy)
            x = draw((3, 4))
            taken = lambda x, i, a=axis: [x[_place(p, a, i)] for p in np.ndindex(*i.shape)]  # noqa: E731
            yield Case(al.take_along, (x, where), {"axis": axis}, taken, f"axis-{axis}", kind is i64, True)
        updates = draw(where.shape)
        for mode in ("set", "add", "mul", "max", "min"):
            attributes: dict[str, Attribute] = {"axis": axis, "mode": mode}
            one_by_one = lambda x, i, u, a=axis, m=mode: _put_by_element(x, i, u, a, m)  # noqa: E731
            yield Case(al.put_along, (x, where, updates), attributes, one_by_one, f"{axis}-{mode}", True, mode != "mul")
    deep = np.array([[[1, 0]], [[0, 1]]])
    x, updates = draw((2, 3, 4)), draw((2, 1, 2))
    yield Case(al.take_along, (x, deep), {"axis": 1}, lambda x, i: np.take_along_axis(x[..., :2], i, 1), "deep")
    placed = lambda x, i, u: _put_by_element(x, i, u, 1, "set")  # noqa: E731
    yield Case(al.put_along, (x, deep, updates), {"axis": 1, "mode": "set"}, placed, "deep")
    nothing = np.zeros((0, 2), np.int64)
    yield Case(al.take_along, (draw((3, 2)), nothing), {"axis": 0}, lambda x, i: np.zeros((0, 2)))
    yield Case(al.put_along, (draw((3, 2)), nothing, draw((0, 2))), {"axis": 0, "mode": "set"}, lambda x, i, u: x)
    for kind in (bool_, u8, f16, bf16, c64):
        x, where = draw((4, 2), kind), np.array([[3, 0], [3, 1]], np.uint8)
        yield Case(al.take_along, (x, where), {"axis": 0}, lambda x, i: np.take_along_axis(x, i, 0), exact=True)
    for kind in (bool_, i8, u64, f16, bf16, c64):
        x, where, updates = draw((4,), kind), np.array([1, 1, 3], np.int32), draw((3,), kind)
        ordered = ("max", "min") if kind.kind in (Kind.INT, Kind.FLOAT) else ()
        for mode in ("set", *ordered, *(("add", "mul") if kind.is_integer or kind is c64 else ())):
            one_by_one = lambda x, i, u, m=mode: _put_by_element(x, i, u, 0, m)  # noqa: E731
            exact = mode != "mul" or kind.is_integer
            yield Case(al.put_along, (x, where, updates), {"axis": 0, "mode": mode}, one_by_one, mode, exact=exact)


def _place(at: tuple[int, ...], axis: int, index: Values) -> tuple[int, ...]:
    return (*at[:axis], int(index[at]), *at[axis + 1 :])


def _put_by_element(x: Values, index: Values, updates: Values, axis: int, mode: str) -> Values:
    result = x.copy()
    with np.errstate(all="ignore"):
        for at in np.ndindex(*index.shape):
            place = _place(at, axis, index)
            result[place] = COMBINE[mode](result[place], updates[at])
    return result


def _requirement_cases() -> Iterator[Case]:
    for kind in (i32, f16, f64, c128):
        x = draw((2, 3), kind)
        holds = np.ones(x.shape, np.bool_)
        message: dict[str, Attribute] = {"message": "{} is refused"}
        yield Case(rq.require, (x, holds), message, lambda x, c: x, gradient=kind in (f64, c128), exact=True)


ORDERING: tuple[Case, ...] = (*_ordering_cases(), *_scan_cases(), *_along_cases(), *_requirement_cases())
