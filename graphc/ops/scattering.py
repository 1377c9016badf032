"""What ops that scatter have in common: how an update combines with an element, and the gradient of that.

Level: tensor graph. In: the mode of a scatter, and functions that take elements at its places and put updates there.
Out: the cotangents of its operands.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

import numpy as np

from graphc.ir.dtype import i64
from graphc.ir.errors import ArgumentError
from graphc.ir.graph import Node
from graphc.ir.type import TensorType
from graphc.ops import build, check, elementwise
from graphc.ops.numerics import NumpyFunction
from graphc.ops.reduction import summable

Take: TypeAlias = "Callable[[Node], Node]"
"""The elements at the places of the updates."""
Put: TypeAlias = "Callable[[Node, Node, str], Node]"
"""(operand, updates, mode) -> the operand with the updates."""

COMBINE: Final[dict[str, NumpyFunction | None]] = {
    "set": None,
    "add": np.add,
    "mul": np.multiply,
    "max": np.maximum,
    "min": np.minimum,
}
"""Of each mode: what becomes of an element and an update; None where the update replaces it."""


def check_mode(op: str, x: TensorType, mode: str) -> None:
    """There is such a mode, and the dtype is good for it."""
    if mode not in COMBINE:
        raise ArgumentError(f"{op}: there is no mode {mode!r}", hint=f"it is one of {', '.join(COMBINE)}")
    if mode in ("add", "mul") and not x.dtype.is_integer:
        summable(op, x)
    if mode in ("max", "min"):
        check.takes(op, x, check.REAL)


def scattered_vjp(
    ct: Node, out: Node, x: Node, updates: Node, mode: str, take: Take, put: Put, is_last: Callable[[], Node]
) -> tuple[Node, Node]:
    """Cotangents of the operand and the updates; `is_last` tells which of several updates of one element comes last."""
    match mode:
        case "set":
            taken = take(ct)
            # Of several updates of one element only the last has influence.
            kept = put(ct, build.zeros_like(updates), "set")
            return kept, elementwise.select(is_last(), taken, build.zeros_like(taken))
        case "add":
            return ct, take(ct)
        case "mul":
            return _product_vjp(ct, x, updates, take, put)
        case _:
            return _extreme_vjp(ct, out, x, updates, take, put)


def _extreme_vjp(ct: Node, out: Node, x: Node, updates: Node, take: Take, put: Put) -> tuple[Node, Node]:
    """Whatever is the extreme of its place gets an equal share, as in PyTorch's scatter_reduce."""
    dtype = x.tensor.dtype
    is_kept = build.cast_to(elementwise.eq(x, out), dtype)
    is_taken = build.cast_to(elementwise.eq(updates, take(out)), dtype)
    share = elementwise.div(ct, put(is_kept, is_taken, "add"))
    return elementwise.mul(share, is_kept), elementwise.mul(take(share), is_taken)


def _product_vjp(ct: Node, x: Node, updates: Node, take: Take, put: Put) -> tuple[Node, Node]:
    """To each factor flows the product of the others of its place, which is 0 if there is a 0 among them."""
    is_zero, are_zero = elementwise.eq(x, build.zeros_like(x)), elementwise.eq(updates, build.zeros_like(updates))
    filled = elementwise.select(is_zero, build.ones_like(x), x)
    fillings = elementwise.select(are_zero, build.ones_like(updates), updates)
    total = put(filled, fillings, "mul")
    zero, zeros = build.cast_to(is_zero, i64), build.cast_to(are_zero, i64)
    count = put(zero, zeros, "add")

    def flow(ct: Node, total: Node, factor: Node, count: Node, own: Node) -> Node:
        others = elementwise.div(total, factor)
        slope = elementwise.select(elementwise.eq(count, own), others, build.zeros_like(others))
        return elementwise.mul(ct, build.conj_of(slope))

    return flow(ct, total, filled, count, zero), flow(take(ct), take(total), fillings, take(count), zeros)
