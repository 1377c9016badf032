"""The operators of Python as methods: `x + y` is `add(x, y)`, and `2 - x` is `sub(2, x)`."""

from __future__ import annotations

from collections.abc import Callable

from graphc.ir.dtype import Kind
from graphc.ir.errors import SignatureError
from graphc.ir.graph import Node
from graphc.ops.composite import arithmetic, comparison, unary
from graphc.ops.composite.operand import Operand, as_tensor
from graphc.ops.function import function


def _operator(name: str, build_node: Callable[[Operand, Operand], Node]) -> None:
    def forward(input: Operand, other: Operand) -> Node:
        return build_node(input, other)

    def reflected(input: Operand, other: Operand) -> Node:
        return build_node(other, input)

    for prefix, each in (("", forward), ("r", reflected)):
        each.__name__ = each.__qualname__ = f"__{prefix}{name}__"
        each.__doc__ = f"The operator form of {build_node.__name__}."
        function(method=True, free=False)(each)


for _name, _build in (
    ("add", arithmetic.add),
    ("sub", arithmetic.sub),
    ("mul", arithmetic.mul),
    ("truediv", arithmetic.div),
    ("floordiv", arithmetic.floor_divide),
    ("mod", arithmetic.remainder),
    ("and", comparison.bitwise_and),
    ("or", comparison.bitwise_or),
    ("xor", comparison.bitwise_xor),
    ("lshift", comparison.bitwise_left_shift),
    ("rshift", comparison.bitwise_right_shift),
):
    _operator(_name, _build)


@function(method=True, free=False)
def __pow__(input: Operand, exponent: Operand) -> Node:
    """The operator form of pow."""
    return arithmetic.pow(input, exponent)


@function(method=True, free=False)
def __rpow__(input: Operand, other: Operand) -> Node:
    """The operator form of pow."""
    return arithmetic.pow(other, input)


def _alias(name: str, build_node: Callable[..., Node]) -> None:
    def method(*operands: Operand) -> Node:
        return build_node(*operands)

    method.__name__ = method.__qualname__ = name
    method.__doc__ = f"The operator form of {build_node.__name__}."
    function(method=True, free=False)(method)


for _name, _made in (
    ("__eq__", comparison.eq),
    ("__ne__", comparison.ne),
    ("__lt__", comparison.lt),
    ("__le__", comparison.le),
    ("__gt__", comparison.gt),
    ("__ge__", comparison.ge),
    ("__neg__", unary.neg),
    ("__pos__", unary.positive),
    ("__abs__", unary.abs_),
):
    _alias(_name, _made)


@function(method=True, free=False)
def __invert__(input: Operand) -> Node:
    """The operator form of bitwise_not."""
    if as_tensor(input).tensor.dtype.kind > Kind.INT:
        raise SignatureError(
            "~ (operator.invert) is only implemented on integer and Boolean-type tensors",
            hint="compare it, as in x == 0",
        )
    return comparison.bitwise_not(input)
