"""Cases of the ops that look beyond one element: each expectation is computed element by element, or by einsum."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from graphc.ir.attribute import Array, Attribute
from graphc.ir.dtype import (
    DTYPES,
    Kind,
    bf16,
    bool_,
    c64,
    c128,
    f16,
    f32,
    f64,
    i8,
    i32,
    i64,
    u8,
    u32,
    u64,
)
from graphc.ops import contraction as ct
from graphc.ops import creation as cr
from graphc.ops import indexing as ix
from graphc.ops import movement as mv
from graphc.ops import reduction as rd
from tests.ops.case import COMBINE, COMPLEXES, INTEGERS, Case, Values, draw, special

# Movement


def _movement_cases() -> Iterator[Case]:
    shapes = (
        ((2, 3, 4), (6, 4)),
        ((6, 4), (2, 3, 2, 2)),
        ((4, 6), (8, 3)),
        ((2, 1, 3), (3, 1, 2, 1)),
        ((), (1, 1)),
        ((1,), ()),
        ((0, 3), (3, 0, 2)),
        ((4, 6, 5), (2, 12, 5)),
        ((6,), (6,)),
    )
    for old, new in shapes:
        x = draw(old)
        expected = lambda x, s=new: np.array(list(x.flat)).reshape(s)  # noqa: E731
        yield Case(mv.reshape, (x,), {"shape": new}, expected, f"to-{new}", gradient=x.size > 0)
    for axes in ((0, 1, 2), (2, 0, 1), (1, 0, 2), (2, 1, 0)):
        x = draw((2, 3, 4))
        letters = "abc"
        text = f"abc->{''.join(letters[a] for a in axes)}"
        yield Case(mv.permute, (x,), {"axes": axes}, lambda x, t=text: np.einsum(t, x), f"{axes}", True, True)
    yield Case(mv.permute, (draw(()),), {"axes": ()}, lambda x: x)
    for old, new in (((1, 3), (4, 3)), ((1, 1), (2, 3)), ((2, 1, 3), (2, 5, 3)), ((), ()), ((1,), (0,)), ((2,), (2,))):
        expected = lambda x, s=new: np.zeros(s) + x  # noqa: E731
        yield Case(mv.broadcast, (draw(old),), {"shape": new}, expected, f"to-{new}", gradient=0 not in new)
    slices = (
        ((7,), (1,), (6,), (2,)),
        ((7,), (0,), (7,), (3,)),
        ((7,), (3,), (3,), (1,)),
        ((4, 6), (1, 0), (3, 5), (1, 4)),
        ((4, 6), (0, 2), (4, 6), (2, 2)),
        ((0, 2), (0, 1), (0, 2), (1, 1)),
    )
    for shape, start, stop, step in slices:
        attributes: dict[str, Attribute] = {"start": start, "stop": stop, "step": step}
        index = np.ix_(*(np.arange(a, b, c) for a, b, c in zip(start, stop, step)))
        x = draw(shape)
        label = f"{start}{stop}{step}"
        yield Case(mv.slice_, (x,), attributes, lambda x, i=index: x[i], label, x[index].size > 0, True)
    pads = (
        ((3,), (1,), (2,), (0,)),
        ((3,), (0,), (0,), (2,)),
        ((5,), (-1,), (-2,), (0,)),
        ((4,), (-3,), (2,), (1,)),
        ((4,), (-9,), (6,), (1,)),
        ((2, 3), (1, 0), (0, 2), (1, 0)),
        ((0,), (2,), (1,), (3,)),
        ((3,), (0,), (0,), (0,)),
        ((), (), (), ()),
    )
    for shape, low, high, interior in pads:
        attributes = {"low": low, "high": high, "interior": interior}
        function = lambda x, v, a=(low, high, interior): _pad_by_element(x, v, *a)  # noqa: E731
        operands = (draw(shape), draw(()))
        yield Case(mv.pad, operands, attributes, function, f"{low}{high}{interior}", 0 not in shape, True)
    for axes in ((), (0,), (1, 2), (0, 1, 2)):
        index = np.ix_(*(np.arange(n)[:: -1 if a in axes else 1] for a, n in enumerate((2, 3, 4))))
        yield Case(mv.flip, (draw((2, 3, 4)),), {"axes": axes}, lambda x, i=index: x[i], f"{axes}", True, True)
    groups = (((2, 3), (4, 3), (1, 3)), ((0, 3), (2, 3)), ((2, 3),), ((0, 3), (0, 3)))
    for shapes_of in groups:
        operands = tuple(draw(shape) for shape in shapes_of)
        stacked = lambda *xs: np.array([row for x in xs for row in x]).reshape(-1, 3)  # noqa: E731
        yield Case(mv.concat, operands, {"axis": 0}, stacked, "rows", sum(x.size for x in operands) > 0, True)
    beside = lambda x, y: [[*a, *b] for a, b in zip(x, y)]  # noqa: E731
    yield Case(mv.concat, (draw((2, 3)), draw((2, 1))), {"axis": 1}, beside, "columns", True, True)
    for kind in (bool_, i64, f16, bf16, c64):
        x = draw((2, 4), kind)
        yield Case(mv.reshape, (x,), {"shape": (4, 2)}, lambda x: x.reshape(4, 2), exact=True)
        attributes = {"low": (1, 0), "high": (0, -1), "interior": (0, 1)}
        yield Case(mv.pad, (x, draw((), kind)), attributes, None, exact=True)
    windows = (
        ((7,), (0,), (3,), (1,), (1,)),
        ((7,), (0,), (3,), (2,), (1,)),
        ((9,), (0,), (2,), (3,), (4,)),
        ((5, 6), (0, 1), (2, 3), (1, 2), (2, 1)),
        ((5, 2, 6), (2, 0), (2, 5), (2, 1), (1, 1)),
        ((2,), (0,), (3,), (1,), (1,)),
        ((3, 0), (0,), (2,), (1,), (1,)),
    )
    for shape, axes, size, stride, dilation in windows:
        attributes = {"axes": axes, "size": size, "stride": stride, "dilation": dilation}
        x = draw(shape)
        windowed = _window_by_element(x, axes, size, stride, dilation)
        by_element = lambda x, a=(axes, size, stride, dilation): _window_by_element(x, *a)  # noqa: E731
        label = f"{axes}{size}{stride}{dilation}"
        yield Case(mv.window, (x,), attributes, by_element, label, windowed.size > 0, True)
        extent = tuple(shape[a] for a in axes)
        updates = draw(windowed.shape)
        folded = lambda y, s=shape, a=(axes, size, stride, dilation): _fold_by_element(y, s, *a)  # noqa: E731
        yield Case(mv.fold, (updates,), {**attributes, "extent": extent}, folded, label, windowed.size > 0)
    for kind in (i32, f16, bf16, c64):
        once: dict[str, Attribute] = {"axes": (0,), "size": (3,), "stride": (2,), "dilation": (1,), "extent": (8,)}
        folded = lambda y: _fold_by_element(y, (8,), (0,), (3,), (2,), (1,))  # noqa: E731
        yield Case(mv.fold, (draw((3, 3), kind),), once, folded)


def _pad_by_element(x: Values, value: Values, low: Any, high: Any, interior: Any) -> Values:
    spread = [max(0, n + (n - 1) * k) for n, k in zip(x.shape, interior)]
    result = np.full([a + n + c for a, n, c in zip(low, spread, high)], value, x.dtype)
    for index in np.ndindex(*x.shape):
        place = tuple(i * (k + 1) + a for i, k, a in zip(index, interior, low))
        if all(0 <= p < n for p, n in zip(place, result.shape)):
            result[place] = x[index]
    return result


def _window_places(counts: Any, axes: Any, size: Any, stride: Any, dilation: Any) -> Iterator[tuple[Any, Any]]:
    for index in np.ndindex(*counts, *size):
        place = list(index[: len(counts)])
        for axis, k, by, gap in zip(axes, index[len(counts) :], stride, dilation):
            place[axis] = place[axis] * by + k * gap
        yield index, tuple(place)


def _window_by_element(x: Values, axes: Any, size: Any, stride: Any, dilation: Any) -> Values:
    counts = list(x.shape)
    for axis, k, by, gap in zip(axes, size, stride, dilation):
        counts[axis] = len(range(0, x.shape[axis] - gap * (k - 1), by))
    result = np.empty((*counts, *size), x.dtype)
    for index, place in _window_places(counts, axes, size, stride, dilation):
        result[index] = x[place]
    return result


def _fold_by_element(y: Values, shape: Any, axes: Any, size: Any, stride: Any, dilation: Any) -> Values:
    wide = y.astype(np.float64) if y.dtype in (f16.numpy, bf16.numpy) else y
    result = np.zeros(shape, wide.dtype)
    for index, place in _window_places(y.shape[: y.ndim - len(axes)], axes, size, stride, dilation):
        result[place] += wide[index]
    return result


# Reduction

_AXES = ((), (0,), (1,), (2,), (0, 1), (0, 2), (0, 1, 2))


def _along(function: Callable[[list[Any]], Any], axes: tuple[int, ...]) -> Callable[[Values], Values]:
    """A function of a list of numbers along axes."""

    def apply(x: Values) -> Values:
        kept = [a for a in range(x.ndim) if a not in axes]
        shape = [x.shape[a] for a in kept]
        rows = np.transpose(x, (*kept, *axes)).reshape(int(np.prod(shape)), -1 if x.size else 0)
        return np.array([function(row.tolist()) for row in rows]).reshape(shape)

    return apply


def _reduction_cases() -> Iterator[Case]:
    for axes in _AXES:
        attributes: dict[str, Attribute] = {"axes": axes}
        x = draw((2, 3, 4))
        yield Case(rd.sum_, (x,), attributes, _along(math.fsum, axes), f"{axes}", True)
        yield Case(rd.prod, (x,), attributes, _along(math.prod, axes), f"{axes}", True)
        yield Case(rd.max_, (x,), attributes, _along(max, axes), f"{axes}", True)
        yield Case(rd.min_, (x,), attributes, _along(min, axes), f"{axes}", True)
        truth = draw((2, 3, 4), bool_)
        yield Case(rd.any_, (truth,), attributes, _along(any, axes), f"{axes}")
        yield Case(rd.all_, (truth,), attributes, _along(all, axes), f"{axes}")
    for kind in DTYPES:
        x = draw((3, 70), kind)
        wide = np.asarray(x, np.complex128 if kind.is_complex else np.float64 if kind.kind is Kind.FLOAT else np.int64)
        yield Case(rd.sum_, (x,), {"axes": (1,)}, lambda x, w=wide: np.einsum("ij->i", w), "long")
        yield Case(rd.sum_, (draw((0, 2), kind),), {"axes": (0,)}, lambda x: [0, 0], "empty")
        if not kind.is_complex:
            few = draw((3, 2), kind)
            expected = lambda x: x[:, 0].astype(object) * x[:, 1].astype(object)  # noqa: E731
            yield Case(rd.prod, (few,), {"axes": (1,)}, None if kind is bool_ else expected)
            yield Case(rd.prod, (draw((0, 2), kind),), {"axes": (0,)}, lambda x: [1, 1], "empty")
        if kind.kind in (Kind.INT, Kind.FLOAT):
            values = np.stack([special(kind), special(kind)[::-1]])
            for op in (rd.max_, rd.min_):
                yield Case(op, (values,), {"axes": (0,)}, None, "special")
                yield Case(op, (draw((0, 3), kind),), {"axes": (1,)}, lambda x: np.zeros(0), "empty-result")
            tied = np.array([[2, 7, 7, 1, 1], [3, 3, 3, 3, 3], [1, 2, 3, 4, 5]]).astype(kind.numpy)
            for op, first in ((rd.argmax, [1, 0, 4]), (rd.argmin, [3, 0, 0])):
                yield Case(op, (tied,), {"axis": 1}, lambda x, e=first: e, "ties")
                yield Case(op, (values,), {"axis": 0}, None, "special")
    nan_first = np.array([1.0, math.nan, 5.0, math.nan])
    for op in (rd.argmax, rd.argmin):
        yield Case(op, (nan_first,), {"axis": 0}, lambda x: 1, "nan")
    for op in (rd.max_, rd.min_):
        yield Case(op, (nan_first,), {"axes": (0,)}, lambda x: math.nan, "nan")
    yield Case(rd.any_, (np.zeros((0, 2), bool),), {"axes": (0,)}, lambda x: [False, False], "empty")
    yield Case(rd.all_, (np.zeros((0, 2), bool),), {"axes": (0,)}, lambda x: [True, True], "empty")
    infinite = np.array([[math.inf, 1.0], [math.inf, -math.inf], [math.nan, 0.0], [-0.0, 0.0]])
    yield Case(rd.sum_, (infinite,), {"axes": (1,)}, lambda x: [math.inf, math.nan, math.nan, 0.0], "special")
    yield Case(rd.sum_, (draw((2, 3), c128),), {"axes": (1,)}, lambda z: z @ np.ones(3), "smooth", True)
    for zeros in ((), (1,), (0, 2), (0, 1, 2)):  # a product with none, one, two and three zeros
        holes = draw((4,), f64, 0.5, 2.0)
        holes[list(zeros)] = 0.0
        yield Case(rd.prod, (holes,), {"axes": (0,)}, _along(math.prod, (0,)), f"zeros-at-{zeros}", True)
    for axis in (0, 1):
        for reverse in (False, True):
            attributes = {"axis": axis, "reverse": reverse}
            for kind in (i64, f32, f64, c64, c128):
                x = draw((3, 4), kind)
                by_matrix = lambda x, a=axis, r=reverse: _running_sum(x, a, r)  # noqa: E731
                yield Case(rd.cumsum, (x,), attributes, by_matrix, f"{axis}{reverse}", kind in (f64, c128))
    yield Case(rd.cumsum, (draw((0, 2)),), {"axis": 0}, lambda x: np.zeros((0, 2)), "empty")
    yield Case(rd.cumsum, (draw((1, 2)),), {"axis": 0}, lambda x: x, "single")


def _running_sum(x: Values, axis: int, reverse: bool) -> Values:
    n = x.shape[axis]
    takes = np.tri(n, dtype=x.dtype).T if reverse else np.tri(n, dtype=x.dtype)
    # Summed more exactly than in float32, so that the result is the rounded one.
    wide = x.astype({np.float32: np.float64, np.complex64: np.complex128}.get(x.dtype.type, x.dtype))
    return takes @ wide if axis == 0 else wide @ takes.T


# Contraction


def _contraction_cases() -> Iterator[Case]:
    products: tuple[tuple[str, tuple[int, ...], tuple[int, ...], Any, Any], ...] = (
        ("ij,jk->ik", (2, 3), (3, 4), ((1,), (0,)), ((), ())),
        ("ji,kj->ik", (3, 2), (4, 3), ((0,), (1,)), ((), ())),
        ("bij,bjk->bik", (2, 3, 4), (2, 4, 5), ((2,), (1,)), ((0,), (0,))),
        ("ibj,jkb->bik", (3, 2, 4), (4, 5, 2), ((2,), (0,)), ((1,), (2,))),
        ("i,i->", (5,), (5,), ((0,), (0,)), ((), ())),
        ("i,j->ij", (3,), (4,), ((), ()), ((), ())),
        ("ijk,kjl->il", (2, 3, 4), (4, 3, 2), ((1, 2), (1, 0)), ((), ())),
        ("ijk,kjl->il", (2, 3, 4), (4, 3, 2), ((2, 1), (0, 1)), ((), ())),
        ("abi,cabi->abc", (2, 3, 4), (5, 2, 3, 4), ((2,), (3,)), ((0, 1), (1, 2))),
        ("abi,cbai->bac", (2, 3, 4), (5, 3, 2, 4), ((2,), (3,)), ((1, 0), (1, 2))),
        (",->", (), (), ((), ()), ((), ())),
        ("ij,jk->ik", (2, 0), (0, 4), ((1,), (0,)), ((), ())),
        ("ij,jk->ik", (0, 3), (3, 4), ((1,), (0,)), ((), ())),
        ("ij,jk->ik", (1, 1), (1, 1), ((1,), (0,)), ((), ())),
    )
    for text, left, right, contract, batch in products:
        attributes: dict[str, Attribute] = {"contract": contract, "batch": batch}
        x, w = draw(left), draw(right)
        label = f"{text}{contract}"
        yield Case(ct.dot, (x, w), attributes, lambda x, w, t=text: np.einsum(t, x, w), label, x.size * w.size > 0)
    for kind in (*INTEGERS, f16, bf16, f32, *COMPLEXES):
        x, w = draw((3, 20), kind), draw((20, 2), kind)
        wide = np.complex128 if kind.is_complex else np.int64 if kind.is_integer else np.float64
        expected = lambda x, w, d=wide: np.einsum("ij,jk->ik", x.astype(d), w.astype(d))  # noqa: E731
        yield Case(ct.dot, (x, w), {"contract": ((1,), (0,))}, expected, gradient=kind is c128)


# Indexing


def _indexing_cases() -> Iterator[Case]:
    for axis, index in ((0, [2, -1, 0, 2]), (1, [[0, 3], [-4, 1]]), (1, 2), (0, np.zeros((0,), int)), (1, [[3]])):
        for kind in (i32, i64):
            where = np.asarray(index, kind.numpy)
            x = draw((3, 4))
            place = (slice(None),) * axis + (where.tolist(),)
            by_list = lambda x, i, p=place: x[p] if np.size(i) else np.zeros((0, 4))  # noqa: E731
            label = f"axis-{axis}"
            yield Case(ix.gather, (x, where), {"axis": axis}, by_list, label, kind is i64 and where.size > 0, True)
    for kind in (bool_, u8, f16, bf16, c64):
        x, where = draw((4, 2), kind), np.array([3, 0, 3], np.uint8)
        yield Case(ix.gather, (x, where), {"axis": 0}, lambda x, i: [x[3], x[0], x[3]], exact=True)
    yield Case(ix.gather, (draw((0, 2)), np.zeros((0,), np.int64)), {"axis": 0}, lambda x, i: np.zeros((0, 2)))
    for axis, index in ((0, [2, -1, 0, 2]), (1, [[0, 3], [-4, 1]]), (1, 2), (0, np.zeros((0,), int))):
        where = np.asarray(index, np.int64)
        x = draw((3, 4))
        updates = draw(x.shape[:axis] + where.shape + x.shape[axis + 1 :])
        for mode in ("set", "add", "mul", "max", "min"):
            attributes: dict[str, Attribute] = {"axis": axis, "mode": mode}
            one_by_one = lambda x, i, u, a=axis, m=mode: _scatter_by_element(x, i, u, a, m)  # noqa: E731
            exact = mode in ("set", "max", "min")
            yield Case(ix.scatter, (x, where, updates), attributes, one_by_one, f"{axis}-{mode}", True, exact)
    for kind in (bool_, i8, u64, f16, bf16, c64):
        x, where, updates = draw((4,), kind), np.array([1, 1, 3], np.int32), draw((3,), kind)
        ordered = ("max", "min") if kind.kind in (Kind.INT, Kind.FLOAT) else ()
        for mode in ("set", *ordered, *(("add", "mul") if kind.is_integer else ("add",) if kind is c64 else ())):
            one_by_one = lambda x, i, u, m=mode: _scatter_by_element(x, i, u, 0, m)  # noqa: E731
            yield Case(ix.scatter, (x, where, updates), {"axis": 0, "mode": mode}, one_by_one, mode, exact=True)
    for starts in ((0, 0), (1, 2), (-5, 9), (2, 1)):
        x = draw((4, 5))
        at = tuple(np.array(s, k.numpy) for s, k in zip(starts, (i64, i32)))
        fitted = tuple(min(max(s, 0), n - m) for s, n, m in zip(starts, (4, 5), (2, 3)))
        grid = np.ix_(*(np.arange(s, s + m) for s, m in zip(fitted, (2, 3))))
        taken = lambda x, *s, g=grid: x[g]  # noqa: E731
        yield Case(ix.dynamic_slice, (x, *at), {"sizes": (2, 3)}, taken, f"at-{starts}", True, True)
        put = lambda x, u, *s, g=grid: _with_elements(x, g, u)  # noqa: E731
        yield Case(ix.dynamic_update, (x, draw((2, 3)), *at), {}, put, f"at-{starts}", True, True)
    far = np.array(2**64 - 1, np.uint64)
    yield Case(ix.dynamic_slice, (draw((5,), f32), far), {"sizes": (2,)}, lambda x, s: x[3:], "far", exact=True)
    whole = (draw((5,), i8), draw((5,), i8), np.array(3))
    yield Case(ix.dynamic_update, whole, {}, lambda x, u, s: u, "whole", exact=True)
    yield Case(ix.dynamic_slice, (draw((3,)), np.array(7)), {"sizes": (0,)}, lambda x, s: np.zeros(0), "nothing")


def _scatter_by_element(x: Values, index: Values, updates: Values, axis: int, mode: str) -> Values:
    result = x.copy()
    with np.errstate(all="ignore"):
        for where in np.ndindex(*updates.shape):
            place = (*where[:axis], int(index[where[axis : axis + index.ndim]]), *where[axis + index.ndim :])
            result[place] = COMBINE[mode](result[place], updates[where])
    return result


def _with_elements(x: Values, place: Any, update: Values) -> Values:
    result = x.copy()
    result[place] = update
    return result


# Creation

# Random123 1.14.0, tests/kat_vectors: Philox 4x32-10 with counter 0 and key 0.
PHILOX_ZERO = (0x6627E8D5, 0xE169C58D)


def _creation_cases() -> Iterator[Case]:
    for kind in DTYPES:
        for value in (
            special(kind),
            draw((2, 3), kind),
            draw((), kind),
            draw((0, 2), kind),
            np.ones((2, 2), kind.numpy),
        ):
            expected = lambda v=value: v  # noqa: E731
            yield Case(cr.constant, (), {"value": Array(value)}, expected, f"{kind.name}{value.shape}", exact=True)
        if kind.kind in (Kind.INT, Kind.FLOAT):
            rows = lambda: [[0, 0, 0], [1, 1, 1]]  # noqa: E731
            yield Case(cr.iota, (), {"shape": (2, 3), "axis": 0, "dtype": kind}, rows, f"rows-{kind.name}", exact=True)
            columns = lambda: [[0, 1, 2], [0, 1, 2]]  # noqa: E731
            attributes: dict[str, Attribute] = {"shape": (2, 3), "axis": 1, "dtype": kind}
            yield Case(cr.iota, (), attributes, columns, f"columns-{kind.name}", exact=True)
            yield Case(cr.size, (), {"value": 100, "dtype": kind}, lambda: 100, kind.name, exact=True)
    yield Case(cr.iota, (), {"shape": (0,), "axis": 0, "dtype": f32}, lambda: np.zeros(0), "empty")
    for kind, first in ((u32, PHILOX_ZERO[0]), (u64, PHILOX_ZERO[0] | PHILOX_ZERO[1] << 32)):
        key = np.array(0, np.uint64)
        yield Case(cr.random_bits, (key,), {"shape": (1,), "dtype": kind}, lambda k, e=first: [e], kind.name)
        key = np.array(0xA4093822299F31D0, np.uint64)
        yield Case(cr.random_bits, (key,), {"shape": (2, 5), "dtype": kind}, None, kind.name)
        yield Case(cr.random_bits, (key,), {"shape": (2, 0), "dtype": kind}, lambda k: np.zeros((2, 0)), kind.name)


TENSOR: tuple[Case, ...] = (
    *_movement_cases(),
    *_reduction_cases(),
    *_contraction_cases(),
    *_indexing_cases(),
    *_creation_cases(),
)
