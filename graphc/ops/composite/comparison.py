"""Comparisons, logic and bits, element by element, and comparisons of whole tensors."""

from __future__ import annotations

from collections.abc import Callable

from graphc.ir.dtype import Kind, bool_
from graphc.ir.errors import ArgumentError, DTypeError
from graphc.ir.graph import Node
from graphc.ir.op import Op
from graphc.ops import build
from graphc.ops import elementwise as ew
from graphc.ops.composite.arithmetic import truth
from graphc.ops.composite.operand import (
    Operand,
    as_tensor,
    broadcast,
    combined,
    floating,
    in_dtype,
    refuse_kinds,
    result_dtype,
    tensors_only,
)
from graphc.ops.composite.reductions import all_, any_
from graphc.ops.function import function

Binary = Callable[[Operand, Operand], Node]


def _binary(
    name: str, op: Op, summary: str, names: tuple[str, ...] = (), *, kernel: str = "", refused: tuple[Kind, ...] = ()
) -> Binary:
    def build_node(input: Operand, other: Operand) -> Node:
        x, y = combined(name, input, other)
        refuse_kinds(kernel or f"{name}_cpu", x, *refused)
        return op(x, y)

    build_node.__name__ = build_node.__qualname__ = name
    build_node.__doc__ = summary
    return function(method=True, names=names)(build_node)


_UNORDERED = (Kind.COMPLEX,)
eq = _binary("eq", ew.eq, "input == other.")
ne = _binary("ne", ew.ne, "input != other.", ("not_equal",))
lt = _binary("lt", ew.lt, "input < other.", ("less",), refused=_UNORDERED)
le = _binary("le", ew.le, "input <= other.", ("less_equal",), refused=_UNORDERED)
gt = _binary("gt", ew.gt, "input > other.", ("greater",), refused=_UNORDERED)
ge = _binary("ge", ew.ge, "input >= other.", ("greater_equal",), refused=_UNORDERED)

_FRACTIONS = (Kind.FLOAT, Kind.COMPLEX)
bitwise_and = _binary("bitwise_and", ew.bitwise_and, "input & other.", refused=_FRACTIONS)
bitwise_or = _binary("bitwise_or", ew.bitwise_or, "input | other.", refused=_FRACTIONS)
bitwise_xor = _binary("bitwise_xor", ew.bitwise_xor, "input ^ other.", refused=_FRACTIONS)
_NO_BITS = (Kind.BOOL, *_FRACTIONS)
bitwise_left_shift = _binary(
    "bitwise_left_shift", ew.shift_left, "input << other.", kernel="lshift_cpu", refused=_NO_BITS
)
bitwise_right_shift = _binary(
    "bitwise_right_shift", ew.shift_right, "input >> other, with the sign kept.", kernel="rshift_cpu", refused=_NO_BITS
)


@function(method=True)
def bitwise_not(input: Operand) -> Node:
    """~input; of bools: not."""
    x = as_tensor(input)
    refuse_kinds("bitwise_not_cpu", x, *_FRACTIONS)
    return ew.bitwise_not(x)


# Logic


@function(method=True)
def logical_not(input: Operand) -> Node:
    """Whether each element is 0."""
    return ew.logical_not(truth(input))


def _logical(name: str, op: Op, summary: str) -> Callable[[Node, Node], Node]:
    def build_node(input: Node, other: Node) -> Node:
        x, y = broadcast(name, *map(truth, tensors_only(name, input=input, other=other)))
        return op(x, y)

    build_node.__name__ = build_node.__qualname__ = name
    build_node.__doc__ = summary
    return function(method=True)(build_node)


logical_and = _logical("logical_and", ew.bitwise_and, "Whether both are not 0.")
logical_or = _logical("logical_or", ew.bitwise_or, "Whether at least one is not 0.")
logical_xor = _logical("logical_xor", ew.bitwise_xor, "Whether exactly one is not 0.")


# Whole tensors


@function(method=True)
def isclose(input: Node, other: Node, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> Node:
    """Whether |input - other| <= atol + rtol * |other|."""
    tensors_only("isclose", input=input, other=other)
    if input.tensor.dtype is not other.tensor.dtype:
        raise DTypeError(
            f"{input.tensor.dtype.scalar} did not match {other.tensor.dtype.scalar}",
            hint="isclose: convert one of them",
        )
    for name, bound in (("rtol", rtol), ("atol", atol)):
        if bound < 0:
            raise ArgumentError(
                f"{name} must be greater than or equal to zero, but got {bound:g}", hint="isclose: use 0 or more"
            )
    x, y = broadcast("isclose", input, other)
    result = ew.eq(x, y)
    if equal_nan and x.tensor.dtype.is_differentiable:
        result = ew.bitwise_or(result, ew.bitwise_and(ew.is_nan(x), ew.is_nan(y)))
    if rtol == 0 and atol == 0:
        return result
    x, y = floating(x), floating(y)
    size = ew.abs_(y)
    allowed = ew.add(build.full_like(size, atol), ew.mul(size, build.full_like(size, rtol)))
    error = ew.abs_(ew.sub(x, y))
    return ew.bitwise_or(result, ew.bitwise_and(ew.is_finite(error), ew.le(error, allowed)))


@function(method=True)
def allclose(input: Node, other: Node, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> Node:
    """Whether all elements are close (`isclose`), as a 0-d bool."""
    return all_(isclose(input, other, rtol, atol, equal_nan))


@function(method=True)
def equal(input: Node, other: Node) -> Node:
    """Whether shapes and elements are equal, as a 0-d bool."""
    if input.shape != other.shape:
        return build.constant(False, bool_)
    return all_(ew.eq(*combined("equal", input, other)))


@function(method=True)
def is_same_size(input: Node, other: Node) -> bool:
    """Whether both have one shape."""
    return input.shape == other.shape


@function(method=False)
def isin(elements: Operand, test_elements: Operand, *, assume_unique: bool = False, invert: bool = False) -> Node:
    """Whether each element is among the others; both may be numbers, but not both. `assume_unique` changes nothing."""
    for each in (elements, test_elements):
        dtype = as_tensor(each).tensor.dtype
        if dtype is bool_ or dtype.is_complex:
            raise DTypeError(f"Unsupported input type encountered for isin(): {dtype.scalar}", hint="convert it first")
    common = result_dtype(elements, test_elements)
    x, others = (in_dtype("isin", each, common) for each in (elements, test_elements))
    listed = build.reshape_to(others, (others.tensor.size,))
    rank = len(x.shape)
    shape = (*x.shape, listed.shape[0])
    found = ew.eq(build.broadcast_to(build.insert_axes(x, (rank,)), shape), build.broadcast_to(listed, shape))
    result = any_(found, rank)
    return ew.logical_not(result) if invert else result
