"""Cases of views, joins, reductions and creation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import scipy.special

import graphc as g
from tests.composite.case import Case, bits, draw, whole


def cases() -> Iterator[Case]:
    """All of them."""
    yield from _views()
    yield from _joins()
    yield from _replaced()
    yield from _reductions()
    yield from _creation()


def _move(name: str, build: Any, expected: Any, *arrays: Any) -> Case:
    return Case(name, build, expected, arrays, exact=True)


def _views() -> Iterator[Case]:
    x, m = draw(2, 3, 4), draw(3, 4)
    yield _move("reshape", lambda x: x.reshape(4, -1), lambda x: x.reshape(4, -1), x)
    yield _move("reshape", lambda x: g.reshape(x, (6, 4)), lambda x: x.reshape(6, 4), x)
    yield _move("view_as", lambda x, y: x.view_as(y), lambda x, y: x.reshape(y.shape), x, draw(4, 6))
    yield _move("flatten", lambda x: x.flatten(1), lambda x: x.reshape(2, 12), x)
    yield _move("flatten", g.flatten, lambda x: x.reshape(1), draw())
    yield _move("unflatten", lambda x: x.unflatten(2, (2, -1)), lambda x: x.reshape(2, 3, 2, 2), x)
    yield _move("ravel", g.ravel, np.ravel, x)
    yield _move("permute", lambda x: x.permute(2, 0, -2), lambda x: x.transpose(2, 0, 1), x)
    yield _move("transpose", lambda x: x.transpose(0, -1), lambda x: x.swapaxes(0, -1), x)
    yield _move("movedim", lambda x: g.movedim(x, (0, 1), (2, 0)), lambda x: np.moveaxis(x, (0, 1), (2, 0)), x)
    yield _move("t", g.t, np.transpose, m)
    yield _move("t", g.t, np.transpose, draw(3))
    yield _move("T", lambda x: x.T, lambda x: x.T, x)
    yield _move("mT", lambda x: x.mT, lambda x: x.swapaxes(-1, -2), x)
    yield _move("H", lambda x: x.H, lambda x: x.conj().T, m + 1j * m[::-1])
    ones = draw(1, 3, 1)
    yield _move("squeeze", g.squeeze, np.squeeze, ones)
    yield _move("squeeze", lambda x: x.squeeze(0), lambda x: x[0], ones)
    yield _move("squeeze", lambda x: x.squeeze(1), lambda x: x, ones)
    yield _move("unsqueeze", lambda x: x.unsqueeze(-1), lambda x: x[..., None], m)
    yield _move("expand", lambda x: x.expand(2, -1, 4), lambda x: np.broadcast_to(x, (2, 3, 4)), ones)
    yield _move("expand_as", lambda x, y: x.expand_as(y), lambda x, y: np.broadcast_to(x, y.shape), ones, x)
    yield _move("broadcast_to", lambda x: x.broadcast_to((2, 3)), lambda x: np.broadcast_to(x, (2, 3)), draw(3))
    yield _move(
        "broadcast_tensors", g.broadcast_tensors, lambda a, b: list(np.broadcast_arrays(a, b)), draw(3, 1), draw(4)
    )
    yield _move("repeat", lambda x: x.repeat(2, 1, 3), lambda x: np.tile(x, (2, 1, 3)), m)
    yield _move("tile", lambda x: x.tile((2,)), lambda x: np.tile(x, (2,)), m)
    yield _move("narrow", lambda x: x.narrow(1, 1, 2), lambda x: x[:, 1:3], x)
    yield _move("select", lambda x: x.select(1, -1), lambda x: x[:, -1], x)
    yield _move("split", lambda x: x.split(3, 2), lambda x: [x[..., :3], x[..., 3:]], x)
    yield _move("split", lambda x: x.split([1, 3], -1), lambda x: [x[..., :1], x[..., 1:]], x)
    yield _move("chunk", lambda x: x.chunk(3, 2), lambda x: [x[..., :2], x[..., 2:]], x)
    yield _move("unbind", lambda x: x.unbind(1), lambda x: [x[:, i] for i in range(3)], x)
    yield _move("flip", lambda x: x.flip(0, -1), lambda x: np.flip(x, (0, -1)), x)
    yield _move("diagonal", lambda x: x.diagonal(1, 1, 2), lambda x: np.diagonal(x, 1, 1, 2), x)
    yield _move("diagonal", lambda x: x.diagonal(-1), lambda x: np.diagonal(x, -1), m)
    yield _move("diag", g.diag, np.diag, m)
    for offset in (0, 2, -1):
        yield _move("diag", lambda x, o=offset: g.diag(x, o), lambda x, o=offset: np.diag(x, o), draw(3))
    yield _move("fliplr", g.fliplr, np.fliplr, x)
    yield _move("flipud", g.flipud, np.flipud, x)
    yield _move("contiguous", lambda x: x.contiguous() * 1, lambda x: x, m)
    yield _move("clone", lambda x: x.clone() * 1, lambda x: x, m)
    yield _move("detach", g.detach, lambda x: x, m)
    yield _move("to", lambda x: x.to("int64"), lambda x: x.astype(np.int64), m)
    yield _move("type_as", lambda x, y: x.type_as(y), lambda x, y: x.astype(np.int64), m, whole(1))
    for name in ("bool", "char", "short", "int", "long", "half", "float", "double"):
        kind = {"char": "int8", "short": "int16", "int": "int32", "long": "int64", "half": "float16"}
        target = kind.get(name, {"bool": "bool", "float": "float32", "double": "float64"}.get(name, name))
        yield _move(name, lambda x, n=name: getattr(x, n)(), lambda x, t=target: x.astype(t), whole(5))
    yield _move("byte", lambda x: x.byte(), lambda x: x.astype(np.uint8), whole(5, low=0))
    yield _move("cfloat", lambda x: x.cfloat(), lambda x: x.astype(np.complex64), whole(5))
    yield _move("cdouble", lambda x: x.cdouble(), lambda x: x.astype(np.complex128), whole(5))
    yield _move("bfloat16", lambda x: x.bfloat16().float(), lambda x: x.astype(np.float32), whole(5))
    yield _move("numel", lambda x: x + x.numel() + x.dim() + x.size(0) + x.size()[1], lambda x: x + 17, whole(3, 3))
    yield _move("roll", lambda x: x.roll((1, -2), (0, 1)), lambda x: np.roll(x, (1, -2), (0, 1)), m)
    yield _move("roll", lambda x: g.roll(x, 5), lambda x: np.roll(x, 5), m)
    yield _move("tril", lambda x: x.tril(1), lambda x: np.tril(x, 1), x)
    yield _move("triu", lambda x: x.triu(-1), lambda x: np.triu(x, -1), m)
    for mode, kind in (("reflect", "reflect"), ("replicate", "edge"), ("circular", "wrap")):
        yield Case(
            "pad",
            lambda x, m=mode: g.pad(x, (2, 3, 1, 0), mode=m),
            lambda x, k=kind: np.pad(x, ((0, 0), (1, 0), (2, 3)), mode=k),
            (x,),
            True,
        )
    yield Case(
        "pad",
        lambda x: g.pad(x, (1, -1), value=2.5),
        lambda x: np.pad(x, ((0, 0), (1, 0)), constant_values=2.5)[:, :-1],
        (m,),
        True,
    )
    yield _move(
        "pad",
        lambda x: g.pad(x, (-1, 2), mode="replicate"),
        lambda x: np.pad(x[:, 1:], ((0, 0), (0, 2)), mode="edge"),
        m,
    )


def _replaced() -> Iterator[Case]:
    """Parts replaced and windows, with their gradients."""
    x = draw(3, 4)

    def with_diagonal(x: Any, v: Any) -> Any:
        result = x.copy()
        np.fill_diagonal(result, v)
        return result

    def with_columns(x: Any, v: Any) -> Any:
        result = x.copy()
        result[:, ::2] = v
        return result

    def windows(x: Any) -> Any:
        return np.stack([x[:, i : i + 3] for i in (0, 1)], 1)

    yield Case("diagonal_scatter", lambda x, v: x.diagonal_scatter(v), with_diagonal, (x, draw(3)), True)
    yield Case("slice_scatter", lambda x, v: x.slice_scatter(v, 1, step=2), with_columns, (x, draw(3, 2)), True)
    yield Case("unfold", lambda x: x.unfold(1, 3, 1), windows, (x,), True)
    yield Case("diag_embed", g.diag_embed, lambda v: np.diag(v), (draw(3),), True)
    yield Case(
        "as_strided", lambda x: g.as_strided(x, (2, 2), (1, 1), 3), lambda x: x.ravel()[[[3, 4], [4, 5]]], (x,), True
    )
    yield Case(
        "pad", lambda x: g.pad(x, (1, 2), mode="reflect"), lambda x: np.pad(x, ((0, 0), (1, 2)), "reflect"), (x,), True
    )


def _joins() -> Iterator[Case]:
    a, b = draw(2, 3), draw(2, 3)
    yield _move("cat", lambda a, b: g.cat([a, b], -1), lambda a, b: np.concatenate([a, b], -1), a, draw(2, 1))
    yield _move("cat", lambda a, b: g.cat((a, b)), lambda a, b: np.concatenate([a, b]), a, whole(1, 3))
    yield _move("stack", lambda a, b: g.stack([a, b], 1), lambda a, b: np.stack([a, b], 1), a, b)
    for name in ("hstack", "vstack", "dstack", "column_stack"):
        for pair in ((a, b), (draw(3), draw(3))):
            yield _move(
                name, lambda a, b, n=name: getattr(g, n)([a, b]), lambda a, b, n=name: getattr(np, n)([a, b]), *pair
            )
    for name in ("atleast_1d", "atleast_2d", "atleast_3d"):
        for x in (draw(), draw(3), a, draw(2, 3, 4)):
            yield _move(name, getattr(g, name), lambda x, n=name: getattr(np, n)(x), x)
    yield _move("block_diag", g.block_diag, _block_diagonal, a, draw(3))
    for indexing in ("ij", "xy"):
        yield _move(
            "meshgrid",
            lambda a, b, i=indexing: g.meshgrid(a, b, indexing=i),
            lambda a, b, i=indexing: list(np.meshgrid(a, b, indexing=i)),
            draw(2),
            draw(3),
        )


def _block_diagonal(a: Any, b: Any) -> Any:
    result = np.zeros((3, 6))
    result[:2, :3], result[2, 3:] = a, b
    return result


def _reductions() -> Iterator[Case]:
    x, n = draw(2, 3, 4), whole(2, 3, 4)
    for name in ("sum", "mean", "amax", "amin"):
        reference = {"amax": np.max, "amin": np.min}.get(name, getattr(np, name, None))
        assert reference is not None
        for dim in (None, 1, (0, -1)):
            yield Case(
                name,
                lambda x, n=name, d=dim: getattr(x, n)(dim=d, keepdim=d is not None),
                lambda x, f=reference, d=dim: f(x, axis=d, keepdims=d is not None),
                (x,),
                gradient=True,
            )
    yield Case("sum", lambda x: x.sum(), np.sum, (bits(5),))
    yield Case("sum", lambda x: x.sum(dtype="float32"), lambda x: np.sum(x, dtype=np.float32), (n,))
    yield Case("mean", lambda x: x.mean(dtype="float64"), np.mean, (n,))
    yield Case("prod", lambda x: x.prod(1), lambda x: np.prod(x, 1), (x,), gradient=True)
    yield Case("prod", g.prod, np.prod, (whole(4, low=1),))
    for name in ("var", "std"):
        yield Case(name, getattr(g, name), lambda x, n=name: getattr(np, n)(x, ddof=1), (x,), gradient=True)
        yield Case(
            name,
            lambda x, n=name: getattr(g, n)(x, dim=(0, 2), correction=0, keepdim=True),
            lambda x, n=name: getattr(np, n)(x, axis=(0, 2), keepdims=True),
            (x,),
            gradient=True,
        )
    yield Case("var", lambda x: x.var(0), lambda x: np.var(x, 0, ddof=1), (x + 1j * x[::-1],))
    yield Case(
        "var_mean", lambda x: g.var_mean(x, dim=1), lambda x: [np.var(x, 1, ddof=1), x.mean(1)], (x,), gradient=True
    )
    for name in ("argmax", "argmin"):
        yield Case(name, getattr(g, name), getattr(np, name), (x,))
        yield Case(
            name,
            lambda x, n=name: getattr(x, n)(dim=1, keepdim=True),
            lambda x, n=name: getattr(np, n)(x, axis=1, keepdims=True),
            (n,),
        )
    for name in ("max", "min"):
        reference, place = (np.max, np.argmax) if name == "max" else (np.min, np.argmin)
        yield Case(name, getattr(g, name), reference, (x,))
        yield Case(
            name,
            lambda x, n=name: tuple(getattr(x, n)(dim=1)),
            lambda x, f=reference, p=place: [f(x, 1), p(x, 1)],
            (x,),
            gradient=True,
        )
        yield Case(name, getattr(g, name), lambda a, b, f=name: getattr(np, f"{f}imum")(a, b), (x, draw(4)))
    for name in ("any", "all"):
        yield Case(name, lambda x, n=name: getattr(x, n)(dim=1), lambda x, n=name: getattr(np, n)(x, 1), (bits(3, 3),))
        yield Case(name, getattr(g, name), getattr(np, name), (n,))
        yield Case(
            f"a{'max' if name == 'any' else 'min'}",
            lambda x, n=name: x.amax() if n == "any" else x.amin(),
            getattr(np, name),
            (bits(3),),
        )
    yield Case("aminmax", lambda x: tuple(g.aminmax(x, dim=1)), lambda x: [x.min(1), x.max(1)], (x,), gradient=True)
    yield Case("trace", g.trace, np.trace, (x[0],), gradient=True)
    holes = np.where(x > 1, np.nan, x)
    yield Case("nansum", lambda x: g.nansum(x, 1), lambda x: np.nansum(x, 1), (holes,))
    yield Case("nansum", g.nansum, np.nansum, (n,))
    yield Case("nanmean", lambda x: g.nanmean(x, (0, 2)), lambda x: np.nanmean(x, (0, 2)), (holes,))
    yield Case(
        "std_mean", lambda x: g.std_mean(x, dim=1), lambda x: [np.std(x, 1, ddof=1), x.mean(1)], (x,), gradient=True
    )
    yield Case("count_nonzero", g.count_nonzero, np.count_nonzero, (n,))
    yield Case("cumsum", lambda x: x.cumsum(1), lambda x: np.cumsum(x, 1), (x,), gradient=True)
    yield Case("cumsum", lambda x: x.cumsum(0), lambda x: np.cumsum(x, 0), (bits(5),))
    yield Case("logsumexp", lambda x: x.logsumexp(1), lambda x: scipy.special.logsumexp(x, 1), (x,), gradient=True)
    far = np.array([[1e4, -1e4], [-np.inf, -np.inf], [np.inf, 0.0]])
    yield Case("logsumexp", lambda x: x.logsumexp(1), lambda x: np.array([1e4, -np.inf, np.inf]), (far,))
    for p in (1, 2, 3.0, -1.0, np.inf, -np.inf):
        yield Case(
            "norm",
            lambda x, p=p: x.norm(p, dim=1),
            lambda x, p=p: np.linalg.norm(x, p, axis=1),
            (draw(3, 4, low=0.2),),
            gradient=True,
        )
    yield Case(
        "norm", lambda x: x.norm(0, dim=0), lambda x: np.linalg.norm(x, 0, axis=0), (np.array([[0.0, 1], [2, 3]]),)
    )
    yield Case("norm", g.norm, np.linalg.norm, (draw(3) + 1j * draw(3),))
    yield Case("diff", g.diff, np.diff, (x,), gradient=True)
    yield Case("diff", lambda x: g.diff(x, 2, 1), lambda x: np.diff(x, 2, 1), (x,))
    yield Case("diff", lambda x, p: g.diff(x, prepend=p), lambda x, p: np.diff(x, prepend=p), (draw(2, 3), draw(2, 1)))
    yield Case("diff", g.diff, np.diff, (bits(6),))
    yield Case("trapezoid", g.trapezoid, np.trapezoid, (x,), gradient=True)
    yield Case(
        "trapezoid", lambda y, x: g.trapezoid(y, x, dim=1), lambda y, x: np.trapezoid(y, x, axis=1), (x, draw(3))
    )
    yield Case("trapezoid", lambda y: g.trapezoid(y, dx=0.5, dim=0), lambda y: np.trapezoid(y, dx=0.5, axis=0), (x,))


def _creation() -> Iterator[Case]:
    x = draw(2, 3)
    zero = np.zeros((2, 3))
    for name, value in (("zeros", 0), ("ones", 1), ("empty", 0)):
        yield Case(name, lambda x, n=name: x + getattr(g, n)(2, 3), lambda x, v=value: x + v, (x,))
        yield Case(f"{name}_like", lambda x, n=name: getattr(g, f"{n}_like")(x), lambda x, v=value: zero + v, (x,))
    yield Case("full", lambda x: x * g.full((2, 1), 3), lambda x: x * 3, (x,))
    yield Case("full", lambda x: g.full((2, 3), x.sum()), lambda x: zero + x.sum(), (x,), gradient=True)
    yield Case("full_like", lambda x: g.full_like(x, 2.5), lambda x: zero + 2.5, (x,))
    yield Case("new_zeros", lambda x: x.new_zeros(2, 3), lambda x: zero, (x,))
    yield Case("new_ones", lambda x: x.new_ones((2, 3)), lambda x: zero + 1, (x,))
    yield Case("new_full", lambda x: x.new_full((2, 3), 7), lambda x: zero + 7, (x,))
    for arguments in ((5,), (2, 7), (7, 2, -2), (2, 2), (0, 1, 0.25), (1.0, 0.0, -0.3)):
        yield Case(
            "arange",
            lambda x, a=arguments: x[0, 0] * 0 + g.arange(*a, dtype="float64"),
            lambda x, a=arguments: np.arange(*a) * 1.0,
            (x,),
        )
    yield Case("arange", lambda n: n + g.arange(3), lambda n: n + np.arange(3), (whole(3),))
    for name in ("linspace", "logspace"):
        for count in (5, 4, 1, 0):
            yield Case(
                name,
                lambda x, n=name, c=count: x[0, 0] * 0 + getattr(g, n)(-1, 2, c, dtype="float64"),
                lambda x, n=name, c=count: getattr(np, n)(-1, 2, c),
                (x,),
            )
    yield Case("eye", lambda x: x + g.eye(2, 3, dtype=x.dtype), lambda x: x + np.eye(2, 3), (x,))
    yield Case("eye", lambda n: n + g.eye(3, dtype="int64"), lambda n: n + np.eye(3, dtype=int), (whole(3, 3),))
