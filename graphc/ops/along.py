"""Ops that find elements along one axis by an index of its own for each place of the others.

Level: tensor graph. In: an operand, and integers of the same rank. Out: the elements they name, or the operand with
those combined with updates. Indices count from 0; one that names no element is reported by the run.

    take_along(x, index, axis=0)        # out[i, j] = x[index[i, j], j]
"""

from __future__ import annotations

import numpy as np

from graphc.ir.dim import Size, is_at_least
from graphc.ir.dtype import bf16, f16, f32, i64
from graphc.ir.errors import IndexOutOfRange, ShapeError
from graphc.ir.graph import Node
from graphc.ir.lowering import Builder, Operand, Scalar
from graphc.ir.op import Flags, Op, register
from graphc.ir.type import TensorType
from graphc.ops import build, check, creation, elementwise
from graphc.ops.numerics import NumpyArray
from graphc.ops.scattering import COMBINE, check_mode, scattered_vjp


def _check_index(op: str, x: TensorType, index: TensorType, axis: int) -> None:
    check.axis_in_range(op, x, axis)
    check.takes(op, index, check.INTEGER, "the index")
    if index.rank != x.rank:
        raise ShapeError(
            f"{op}: an index of shape {check.shape_text(index.shape)} for {check.shape_text(x.shape)}",
            hint="both have the same number of axes",
        )
    for other, (size, limit) in enumerate(zip(index.shape, x.shape)):
        if other != axis:
            check.at_most(op, f"the index's size of axis {other}", size, limit, "it is no longer than the operand")


def _grid(op: str, x: NumpyArray, index: NumpyArray, axis: int) -> tuple[NumpyArray, ...]:
    """The places in x as numpy takes them; raises IndexOutOfRange."""
    extent = x.shape[axis]
    wrong = (index < 0) | (index >= extent)
    if np.any(wrong):
        raise IndexOutOfRange(
            f"index {index[wrong][0]} is out of bounds for dimension {axis} with size {extent}",
            hint=f"{op} takes indices from 0 to {extent - 1}" if extent else "the dimension is empty",
        )
    places: list[NumpyArray] = list(np.indices(index.shape, sparse=True))
    places[axis] = index.astype(np.int64)
    return tuple(places)


def _take_along_type(x: TensorType, index: TensorType, *, axis: int) -> TensorType:
    _check_index("take_along", x, index, axis)
    return x.with_shape(index.shape)


def _take_along_reference(out: TensorType, x: NumpyArray, index: NumpyArray, *, axis: int) -> NumpyArray:
    taken: NumpyArray = x[_grid("take_along", x, index, axis)]
    return taken


def _take_along_vjp(ct: Node, out: Node, x: Node, index: Node, *, axis: int) -> tuple[Node, None]:
    dtype = ct.tensor.dtype
    wide = f32 if dtype in (f16, bf16) else dtype
    zeros = build.full(0, x.tensor.with_dtype(wide))
    total = put_along(zeros, index, build.cast_to(ct, wide), axis=axis, mode="add")
    return build.cast_to(total, dtype), None


def _take_along_lower(
    b: Builder, out: TensorType, i: tuple[Size, ...], x: Operand, index: Operand, *, axis: int
) -> Scalar:
    extent = x.type.shape[axis]
    place = b.cast(index(i), i64)
    is_below = b.apply("lt", place, b.index(extent, i64))
    is_valid = b.apply("bitwise_and", b.apply("ge", place, b.constant(0, i64)), is_below)
    b.check(is_valid, 0)

    def element() -> Scalar:
        return x((*i[:axis], b.position(place, extent), *i[axis + 1 :]))

    # The position is clamped, so only an empty axis needs protection from the read.
    return element() if is_at_least(extent, 1) else b.guard(is_valid, element, b.constant(0, out.dtype))


take_along: Op = register(
    Op(
        "take_along",
        "elements along an axis, at an index for each place",
        type_rule=_take_along_type,
        reference=_take_along_reference,
        vjp=_take_along_vjp,
        lower=_take_along_lower,
    )
)


def _put_along_type(x: TensorType, index: TensorType, updates: TensorType, *, axis: int, mode: str) -> TensorType:
    check_mode("put_along", x, mode)
    check.equal_dtypes("put_along", x, updates)
    check.equal_shapes("put_along", index, updates)
    _check_index("put_along", x, index, axis)
    return x


def _put_along_reference(
    out: TensorType, x: NumpyArray, index: NumpyArray, updates: NumpyArray, *, axis: int, mode: str
) -> NumpyArray:
    result: NumpyArray = x.copy()
    places = tuple(np.moveaxis(np.broadcast_to(p, index.shape), axis, 0) for p in _grid("put_along", x, index, axis))
    rows = np.moveaxis(updates, axis, 0)
    combine = COMBINE[mode]
    with np.errstate(all="ignore"):
        for step, row in enumerate(rows):
            place = tuple(p[step] for p in places)
            result[place] = row if combine is None else combine(result[place], row)
    return result


def _put_along_vjp(
    ct: Node, out: Node, x: Node, index: Node, updates: Node, *, axis: int, mode: str
) -> tuple[Node, None, Node]:
    def take(node: Node) -> Node:
        return take_along(node, index, axis=axis)

    def put(node: Node, values: Node, mode: str) -> Node:
        return put_along(node, index, values, axis=axis, mode=mode)

    def is_last() -> Node:
        number = creation.iota(shape=index.shape, axis=axis, dtype=i64)
        return elementwise.eq(take(put(build.constant(-1, i64, x.shape), number, "set")), number)

    to_x, to_updates = scattered_vjp(ct, out, x, updates, mode, take, put, is_last)
    return to_x, None, to_updates


put_along: Op = register(
    Op(
        "put_along",
        "elements along an axis, at an index for each place, set to updates or combined with them in order",
        type_rule=_put_along_type,
        reference=_put_along_reference,
        vjp=_put_along_vjp,
        flags=Flags.OPAQUE,
    )
)
