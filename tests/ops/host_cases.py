"""Cases of calls of the host, by a function that stands in the table for them alone."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from graphc.ir.dtype import c128, f32, f64, i64
from graphc.ir.graph import Node
from graphc.ir.host import HostFunction, register_host
from graphc.ir.type import TensorType
from graphc.ops import elementwise as ew
from graphc.ops import host
from tests.ops.case import Case, Values, draw


def _double(results: tuple[TensorType, ...], x: Values, *, factor: int) -> Values:
    return x * x.dtype.type(factor)


def _double_vjp(
    cotangents: tuple[Node | None, ...], outputs: tuple[Node, ...], x: Node, *, factor: int
) -> tuple[Node | None, ...]:
    (ct,) = cotangents
    assert ct is not None
    return host.call("test.scale", (ct,), (x.tensor,), factor=factor)


def _multiply(results: tuple[TensorType, ...], x: Values, y: Values) -> Values:
    return x * y


def _multiply_vjp(
    cotangents: tuple[Node | None, ...], outputs: tuple[Node, ...], x: Node, y: Node
) -> tuple[Node | None, ...]:
    (ct,) = cotangents
    assert ct is not None
    return ew.mul(ct, y), ew.mul(ct, x)


register_host(HostFunction("test.scale", _double, _double_vjp))
register_host(HostFunction("test.multiply", _multiply, _multiply_vjp))


def _cases() -> Iterator[Case]:
    for kind in (f32, f64, i64, c128):
        for shape in ((2, 3), (), (0, 4)):
            x = draw(shape, kind)
            attributes = {"function": "test.scale", "parameters": (("factor", 3),), "results": ((shape, kind),)}
            yield Case(host.host_call, (x,), attributes, lambda x: x + x + x, gradient=kind is f64 and x.size > 0)
    attributes = {"function": "test.multiply", "results": (((3,), f64),)}
    yield Case(host.host_call, (draw((3,)), draw((3,))), attributes, np.multiply, gradient=True, exact=True)


HOST: tuple[Case, ...] = tuple(_cases())
