"""Scalars with operators, in which the formulas are written, and what is known of each float format.

In: a builder and its scalars. Out: a formula that any builder can run, on float16 and bfloat16 through float32.

    @formula
    def cube(x: Number) -> Number:
        return x * x * x

A Python number beside a `Number` is a constant of its dtype. Comparisons give bools: `x < 0.0`, `x.equals(y)`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Final, Protocol, TypeAlias

from graphc.ir.dtype import DType, bf16, f16, f32, f64, i32, i64, u32, u64
from graphc.ir.lowering import Scalar


class Arithmetic(Protocol):
    """The part of `graphc.ir.lowering.Builder` that formulas need."""

    def constant(self, value: float, dtype: DType) -> Scalar:
        """A literal."""

    def apply(self, op: str, *operands: Scalar, dtype: DType | None = None) -> Scalar:
        """A scalar op."""

    def cast(self, x: Scalar, dtype: DType) -> Scalar:
        """The value converted."""

    def select(self, condition: Scalar, a: Scalar, b: Scalar) -> Scalar:
        """`a` where the condition holds, else `b`."""


Formula: TypeAlias = Callable[..., Scalar]
"""(builder, *scalars) -> scalar."""


@dataclass(frozen=True, slots=True)
class Format:
    """A float format: fraction bits, exponent bias, and the integers of its width."""

    dtype: DType
    fraction: int
    bias: int
    signed: DType
    unsigned: DType

    @property
    def one(self) -> int:
        """The bits of 1."""
        return self.bias << self.fraction

    @property
    def magic(self) -> float:
        """Added to a small number, it leaves that number, rounded, in the last bits of the sum: 1.5 * 2^fraction."""
        return 1.5 * 2.0**self.fraction

    @property
    def magic_bits(self) -> int:
        """The bits of `magic`."""
        return ((self.bias + self.fraction) << self.fraction) + (1 << (self.fraction - 1))

    @property
    def least_normal(self) -> float:
        """The least positive number with all its fraction bits."""
        return 2.0 ** (1 - self.bias)


FORMATS: Final = {f32: Format(f32, 23, 127, i32, u32), f64: Format(f64, 52, 1023, i64, u64)}


class Number:
    """A scalar of a builder, with operators."""

    __slots__ = ("builder", "scalar")

    def __init__(self, builder: Arithmetic, scalar: Scalar) -> None:
        self.builder = builder
        self.scalar = scalar

    @property
    def dtype(self) -> DType:
        """Its element type."""
        return self.scalar.dtype

    @property
    def format(self) -> Format:
        """Its float format."""
        return FORMATS[self.dtype]

    def constant(self, value: float, dtype: DType | None = None) -> Number:
        """A constant, of this number's dtype unless given."""
        return Number(self.builder, self.builder.constant(value, dtype or self.dtype))

    def apply(self, op: str, *others: Number | float, dtype: DType | None = None) -> Number:
        """A scalar op with this number first."""
        operands = [self.scalar]
        for other in others:
            operands.append(
                other.scalar if isinstance(other, Number) else self.builder.constant(other, self.scalar.dtype)
            )
        return Number(self.builder, self.builder.apply(op, *operands, dtype=dtype))

    def __add__(self, other: Number | float) -> Number:
        return self.apply("add", other)

    def __radd__(self, other: float) -> Number:
        return self.constant(other).apply("add", self)

    def __sub__(self, other: Number | float) -> Number:
        return self.apply("sub", other)

    def __rsub__(self, other: float) -> Number:
        return self.constant(other).apply("sub", self)

    def __mul__(self, other: Number | float) -> Number:
        return self.apply("mul", other)

    def __rmul__(self, other: float) -> Number:
        return self.constant(other).apply("mul", self)

    def __truediv__(self, other: Number | float) -> Number:
        return self.apply("div", other)

    def __rtruediv__(self, other: float) -> Number:
        return self.constant(other).apply("div", self)

    def __neg__(self) -> Number:
        return self.apply("neg")

    def __abs__(self) -> Number:
        return self.apply("abs")

    def __lt__(self, other: Number | float) -> Number:
        return self.apply("lt", other)

    def __le__(self, other: Number | float) -> Number:
        return self.apply("le", other)

    def __gt__(self, other: Number | float) -> Number:
        return self.apply("gt", other)

    def __ge__(self, other: Number | float) -> Number:
        return self.apply("ge", other)

    def equals(self, other: Number | float) -> Number:
        """Whether they are equal; nan equals nothing."""
        return self.apply("eq", other)

    def differs(self, other: Number | float) -> Number:
        """Whether they differ; nan differs from all."""
        return self.apply("ne", other)

    def __and__(self, other: Number | int) -> Number:
        return self.apply("bitwise_and", other)

    def __or__(self, other: Number | int) -> Number:
        return self.apply("bitwise_or", other)

    def __xor__(self, other: Number | int) -> Number:
        return self.apply("bitwise_xor", other)

    def __invert__(self) -> Number:
        return self.apply("bitwise_not")

    def __lshift__(self, amount: Number | int) -> Number:
        return self.apply("shift_left", amount)

    def __rshift__(self, amount: Number | int) -> Number:
        return self.apply("shift_right", amount)

    def cast(self, dtype: DType) -> Number:
        """The value converted."""
        return self if self.dtype is dtype else Number(self.builder, self.builder.cast(self.scalar, dtype))

    def bitcast(self, dtype: DType) -> Number:
        """The same bits as another dtype."""
        return self.apply("bitcast", dtype=dtype)

    @property
    def bits(self) -> Number:
        """A float's bits as a signed integer."""
        return self.bitcast(self.format.signed)

    @property
    def sqrt(self) -> Number:
        """Square root."""
        return self.apply("sqrt")

    def copysign(self, sign: Number) -> Number:
        """The magnitude with the sign of another number."""
        return self.apply("copysign", sign)


def fma(a: Number, b: Number | float, c: Number | float) -> Number:
    """a * b + c, rounded once."""
    return a.apply("fma", b, c)


def choose(condition: Number, a: Number | float, b: Number | float) -> Number:
    """`a` where the condition holds, else `b`; one of them is a `Number`."""
    like = a if isinstance(a, Number) else b
    assert isinstance(like, Number)
    first, second = (x if isinstance(x, Number) else like.constant(x) for x in (a, b))
    return Number(like.builder, like.builder.select(condition.scalar, first.scalar, second.scalar))


def at_most(x: Number, limit: float) -> Number:
    """The lesser of a number and a constant; nan stays (which `minimum` would give too, at a higher price)."""
    return choose(x > limit, limit, x)


def at_least(x: Number, limit: float) -> Number:
    """The greater of a number and a constant; nan stays."""
    return choose(x < limit, limit, x)


def polynomial(x: Number, coefficients: Sequence[float]) -> Number:
    """The polynomial with these coefficients, the constant one first, by Horner's rule."""
    total = x.constant(coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        total = fma(total, x, coefficient)
    return total


def on_interval(x: Number, low: float, high: float) -> Number:
    """x moved so that -1 stands for `low` and 1 for `high`: the variable of polynomials by Chebyshev's nodes."""
    return fma(x, 2.0 / (high - low), -(high + low) / (high - low))


def two_product(a: Number, b: Number | float) -> tuple[Number, Number]:
    """The product, rounded, and what rounding left out."""
    product = a * b
    return product, fma(a, b, -product)


def two_sum(a: Number, b: Number) -> tuple[Number, Number]:
    """The sum, rounded, and what rounding left out."""
    total = a + b
    back = total - a
    return total, (a - (total - back)) + (b - back)


def fast_two_sum(a: Number, b: Number) -> tuple[Number, Number]:
    """`two_sum` where a is 0 or not less than b in magnitude."""
    total = a + b
    return total, b - (total - a)


def formula(rule: Callable[..., Number]) -> Formula:
    """Make a rule over numbers one over a builder's scalars; 16-bit floats are computed in float32."""

    @wraps(rule)
    def run(builder: Arithmetic, *operands: Scalar) -> Scalar:
        given = operands[-1].dtype
        numbers = [Number(builder, x) for x in operands]
        if given not in (f16, bf16):
            return rule(*numbers).scalar
        result = rule(*(x.cast(f32) if x.dtype is given else x for x in numbers))
        return (result.cast(given) if result.dtype is f32 else result).scalar

    return run


def double_formula(rule: Callable[..., Number]) -> Formula:
    """Make a rule over float64 numbers one over a builder's scalars of any float dtype, rounded at the end.

    For functions too rare, or too long, to have coefficients of their own in float32.
    """

    @wraps(rule)
    def run(builder: Arithmetic, *operands: Scalar) -> Scalar:
        given = operands[0].dtype
        return rule(*(Number(builder, x).cast(f64) for x in operands)).cast(given).scalar

    return run
