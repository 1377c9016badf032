"""Cases of matmul and its kin, and of indexing."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

import graphc as g
from tests.composite.case import Case, bits, draw, whole


def cases() -> Iterator[Case]:
    """All of them."""
    yield from _products()
    yield from _einsums()
    yield from _subscripts()
    yield from _placed()


_SHAPES = (
    ((3,), (3,)),
    ((2, 3), (3,)),
    ((3,), (3, 4)),
    ((2, 3), (3, 4)),
    ((5, 2, 3), (3, 4)),
    ((2, 3), (5, 3, 4)),
    ((5, 2, 3), (5, 3, 4)),
    ((5, 1, 2, 3), (6, 3, 4)),
    ((5, 1, 2, 3), (5, 6, 3, 4)),
    ((1, 2, 3), (4, 3, 2)),
    ((3,), (4, 3, 2)),
    ((4, 2, 3), (3,)),
    ((0, 3), (3, 2)),
    ((2, 0), (0, 2)),
)


def _products() -> Iterator[Case]:
    for a, b in _SHAPES:
        yield Case("matmul", g.matmul, np.matmul, (draw(*a), draw(*b)), gradient=0 not in a)
    yield Case("matmul", g.matmul, np.matmul, (whole(2, 3), whole(3, 4)))
    yield Case("linalg.matmul", g.linalg.matmul, np.matmul, (whole(2, 3), whole(3, 4)))
    z = draw(2, 3) + 1j * draw(2, 3)
    yield Case("matmul", g.matmul, np.matmul, (z, z.T + 1))
    yield Case("__matmul__", lambda a, b: a @ b, np.matmul, (draw(2, 3), draw(3, 2)))
    w = draw(2, 3)
    yield Case("__rmatmul__", lambda a: w.astype(a.dtype.numpy) @ a, lambda a: w @ a, (draw(3, 2),))
    m, n = draw(2, 3), draw(3, 4)
    yield Case("mm", g.mm, np.matmul, (m, n), gradient=True)
    yield Case("spmm", g.spmm, np.matmul, (m, n), gradient=True)
    yield Case("bmm", g.bmm, np.matmul, (draw(5, 2, 3), draw(5, 3, 2)), gradient=True)
    yield Case("mv", g.mv, np.matmul, (m, draw(3)), gradient=True)
    yield Case("dot", g.dot, np.dot, (draw(3), draw(3)), gradient=True)
    yield Case("vdot", g.vdot, np.vdot, (z[0], z[1]))
    yield Case("inner", g.inner, np.inner, (m, draw(4, 5, 3)), gradient=True)
    yield Case("inner", g.inner, np.multiply, (m, draw()))
    yield Case("inner", g.inner, np.multiply, (m, np.array(3)))
    yield Case("outer", g.outer, np.outer, (draw(2), draw(3)), gradient=True)
    total = draw(4), m, n
    yield Case("addmm", partial(g.addmm, beta=2, alpha=0.5), lambda c, a, b: 2 * c + 0.5 * a @ b, total, gradient=True)
    yield Case("addmm", partial(g.addmm, beta=0), lambda c, a, b: a @ b, total)
    yield Case("addmv", g.addmv, lambda c, a, b: c + a @ b, (draw(2), m, draw(3)))
    yield Case("addr", g.addr, lambda c, a, b: c + np.outer(a, b), (draw(2, 3), draw(2), draw(3)))
    batches = draw(2, 2), draw(5, 2, 3), draw(5, 3, 2)
    yield Case("baddbmm", partial(g.baddbmm, alpha=3), lambda c, a, b: c + 3 * a @ b, batches, gradient=True)
    yield Case("linear", g.linear, lambda x, w, b: x @ w.T + b, (draw(5, 2, 3), draw(4, 3), draw(4)), gradient=True)
    yield Case("linear", g.linear, lambda x, w: x @ w.T, (draw(3), draw(4, 3)))
    yield Case("linear", g.linear, lambda x, w: x @ w, (draw(2, 3), draw(3)))
    yield Case(
        "bilinear",
        g.bilinear,
        lambda x, y, w, b: np.einsum("bn,knm,bm->bk", x, w, y) + b,
        (draw(5, 2), draw(5, 3), draw(4, 2, 3), draw(4)),
        gradient=True,
    )
    cube = draw(2, 3, 4)
    for dims in (1, 0, ([2, 0], [0, 1]), ([-1], [0])):
        other = draw(4, 2) if isinstance(dims, tuple) else draw(4)
        yield Case("tensordot", partial(g.tensordot, dims=dims), partial(np.tensordot, axes=dims), (cube, other))
    yield Case("kron", g.kron, np.kron, (m, draw(3, 2)), gradient=True)
    yield Case("kron", g.kron, np.kron, (m, draw(3)))


def _einsums() -> Iterator[Case]:
    table: dict[str, tuple[tuple[int, ...], ...]] = {
        "ij,jk->ik": ((2, 3), (3, 4)),
        "ij,jk": ((2, 3), (3, 4)),
        "ba": ((2, 3),),
        "ij->": ((2, 3),),
        "ii->i": ((3, 3),),
        "ii": ((3, 3),),
        "iij,jk->ik": ((2, 2, 3), (3, 4)),
        "ij,ij->i": ((2, 3), (2, 3)),
        "ij,ij->ij": ((2, 3), (2, 3)),
        "ij,kl->ik": ((2, 3), (4, 5)),
        "i,j,k->kji": ((2,), (3,), (4,)),
        "i,j,ij->": ((2,), (3,), (2, 3)),
        "ij,jk,kl->il": ((2, 3), (3, 4), (4, 5)),
        "bij,bjk->bik": ((2, 2, 3), (2, 3, 4)),
        "bhid,bhjd->bhij": ((2, 2, 3, 4), (2, 2, 5, 4)),
        "bhij,bjhd->bihd": ((2, 2, 3, 5), (2, 5, 2, 4)),
        "...ij,...jk->...ik": ((5, 1, 2, 3), (4, 3, 2)),
        "...i,i": ((2, 4, 3), (3,)),
        "i...->...": ((2, 3),),
        "b i , i o -> b o": ((2, 3), (3, 4)),
        "bn,anm,bm->ba": ((2, 3), (4, 3, 5), (2, 5)),
    }
    for equation, shapes in table.items():
        yield Case(
            "einsum",
            lambda *x, e=equation: g.einsum(e, *x),
            lambda *x, e=equation: np.einsum(e, *x),
            tuple(draw(*shape) for shape in shapes),
            gradient=True,
        )
    yield Case(
        "einsum", lambda a, b: g.einsum("ij,ij->i", [a, b]), lambda a, b: (a * b).sum(1), (draw(2, 3), draw(2, 1))
    )


def _subscripts() -> Iterator[Case]:
    x, i, j = draw(3, 4, 5), np.array([[0, 2], [-1, 1]]), np.array([3, 1])
    basic: tuple[Any, ...] = (
        1,
        -1,
        slice(1, None),
        slice(-2, None),
        slice(None, 10),
        slice(5, 2),
        slice(None, None, 2),
        None,
        ...,
        (slice(None), 2),
        (..., -1),
        (0, ..., 1),
        (slice(None), None, slice(1, 3), ...),
        (0, 1, 2),
        (slice(None), slice(1, -1, 2), slice(None, None, 3)),
        ([0, 2],),
        ([2, 0], slice(1, 3)),
        (slice(None), [1, -1], [0, 2]),
        ([0, 1], slice(None), [0, 2]),
        (None, [0, 1], slice(None), None, [0, 2]),
        ([],),
        ([True, False, True],),
    )
    for index in basic:
        yield Case("__getitem__", lambda x, k=index: x[k], lambda x, k=index: x[k], (x,), exact=True)
    yield Case("__getitem__", lambda x: x[0, :, [0, 2]], lambda x: x[0][:, [0, 2]], (x,), exact=True)
    yield Case("__getitem__", lambda x: x[[0, 1], 2, [0, 2]], lambda x: x[:, 2][[0, 1], [0, 2]], (x,), exact=True)
    mask = bits(3, 4)
    yield Case("__getitem__", lambda x: x[mask], lambda x: x[mask], (x,), exact=True)
    yield Case("__getitem__", lambda x: x[:, mask[0]], lambda x: x[:, mask[0]], (x,), exact=True)
    for build in (
        lambda x, i, j: x[i],
        lambda x, i, j: x[:, i],
        lambda x, i, j: x[..., i],
        lambda x, i, j: x[i, j],
        lambda x, i, j: x[i, :, j],
        lambda x, i, j: x[:, i, j],
        lambda x, i, j: x[i, j, [0, 2]],
    ):
        yield Case("__getitem__", build, build, (x, i, j), gradient=True)
    zero = np.array(2)
    yield Case("__getitem__", lambda x, k: x[k], lambda x, k: x[int(k)], (x, zero), exact=True)
    yield Case("__getitem__", lambda x, k: x[k, :, k], lambda x, k: x[int(k), :, int(k)], (x, zero), exact=True)
    small = np.array([1, 2], np.int32)
    yield Case("__getitem__", lambda x, k: x[k], lambda x, k: x[k], (x, small), exact=True)


def _along(x: Any, index: Any, dim: int, change: Any) -> Any:
    """What scatter does, by a loop."""
    result = x.copy()
    for place in np.ndindex(*index.shape):
        at = list(place)
        at[dim] = index[place]
        change(result, tuple(at), place)
    return result


def _set(result: Any, at: Any, value: Any) -> None:
    result[at] = value


def _add(result: Any, at: Any, value: Any) -> None:
    result[at] += value


def _placed() -> Iterator[Case]:
    x, src = draw(3, 4), draw(2, 4)
    index = np.array([[0, 2, 1, 2], [1, 2, 0, 0]])
    same = np.array([[0, 1, 1, 2], [0, 1, 0, 2]])
    yield Case(
        "gather", lambda x, i: x.gather(0, i), lambda x, i: np.take_along_axis(x, i, 0), (x, index), gradient=True
    )
    small = whole(2, 3, low=0, high=4)
    yield Case(
        "gather", lambda x, i: x.gather(1, i), lambda x, i: np.take_along_axis(x[:2], i, 1), (x, small), gradient=True
    )
    yield Case(
        "take_along_dim", lambda x, i: g.take_along_dim(x, i, 0), lambda x, i: np.take_along_axis(x, i, 0), (x, index)
    )
    yield Case(
        "take_along_dim",
        lambda x, i: g.take_along_dim(x, i, 1),
        lambda x, i: np.take_along_axis(x, np.repeat(i, 3, 0), 1),
        (x, small[:1]),
    )
    flat = np.array([[0, 11], [5, 5]])
    yield Case("take_along_dim", g.take_along_dim, lambda x, i: x.reshape(-1)[i.reshape(-1)], (x, flat))
    yield Case("take", g.take, np.take, (x, flat), gradient=True)
    rows = np.array([2, 0, 2])
    yield Case("index_select", lambda x, i: x.index_select(0, i), lambda x, i: x[i], (x, rows), gradient=True)
    yield Case("index_select", lambda x, i: x.index_select(1, i), lambda x, i: x[:, [1]], (x, np.array(1)))
    yield Case(
        "scatter",
        lambda x, i, s: x.scatter(0, i, s),
        lambda x, i, s: _along(x, i, 0, lambda r, a, p: _set(r, a, s[p])),
        (x, same, src),
        gradient=True,
    )
    yield Case(
        "scatter",
        lambda x, i: x.scatter(1, i, 1.5),
        lambda x, i: _along(x, i, 1, lambda r, a, p: _set(r, a, 1.5)),
        (x, index % 4),
    )
    yield Case(
        "scatter",
        lambda x, i: x.scatter(0, i, value=2, reduce="add"),
        lambda x, i: _along(x, i, 0, lambda r, a, p: _add(r, a, 2)),
        (x, same),
    )
    yield Case(
        "scatter_add",
        lambda x, i, s: x.scatter_add(0, i, s),
        lambda x, i, s: _along(x, i, 0, lambda r, a, p: _add(r, a, s[p])),
        (x, same, src),
        gradient=True,
    )
    yield Case(
        "scatter_add",
        lambda x, i, s: x.scatter_add(0, i, s),
        lambda x, i, s: _along(x, i, 0, lambda r, a, p: _add(r, a, s[p])),
        (whole(3, 4), same, whole(2, 4)),
    )
    parts = draw(3, 4)
    yield Case(
        "index_add", lambda x, i, s: x.index_add(0, i, s, alpha=2), _index_added, (x, rows, parts), gradient=True
    )
    yield Case(
        "index_copy",
        lambda x, i, s: x.index_copy(0, i, s),
        _index_copied,
        (x, np.array([2, 0, 1]), parts),
        gradient=True,
    )
    yield Case(
        "index_fill",
        lambda x, i: x.index_fill(1, i, -1),
        lambda x, i: np.where(np.isin(np.arange(4), i), -1.0, x),
        (x, rows),
    )
    pair = np.array([0, 2]), np.array([1, 1])
    yield Case("index_put", lambda x, i, j: x.index_put((i, j), 5.0), lambda x, i, j: _put(x, (i, j), 5.0), (x, *pair))
    yield Case(
        "index_put",
        lambda x, i, v: x.index_put([i], v, True),
        lambda x, i, v: _index_added(x, i, v / 2),
        (x, rows, parts),
        gradient=True,
    )
    yield Case(
        "masked_fill",
        lambda x, m: x.masked_fill(m, 7),
        lambda x, m: np.where(m, 7.0, x),
        (x, bits(3, 1)),
        gradient=True,
    )
    table = draw(5, 3)
    yield Case("embedding", g.embedding, lambda w, i: w[i], (table, index), gradient=True)
    yield Case("embedding", lambda w, i: g.embedding(w, i, 2), lambda w, i: w[i], (table, index))
    yield Case("one_hot", lambda i: g.one_hot(i, 4), lambda i: np.eye(4, dtype=np.int64)[i], (index,))


def _put(x: Any, index: Any, value: Any) -> Any:
    result = x.copy()
    result[index] = value
    return result


def _index_added(x: Any, index: Any, source: Any) -> Any:
    result = x.copy()
    np.add.at(result, index, 2 * source)
    return result


def _index_copied(x: Any, index: Any, source: Any) -> Any:
    return _put(x, index, source)
