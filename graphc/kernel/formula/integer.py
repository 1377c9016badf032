"""Whole-number arithmetic: multiply_high, and what is true of floats bit by bit."""

from __future__ import annotations

from typing import Final

from graphc.ir.dtype import u32, u64
from graphc.kernel.formula.number import Number, choose, formula

_DIVISIONS: Final = {8: 12, 16: 24, 32: 46, 64: 92}
"""What Euclid's algorithm may need for numbers of so many bits: neighbours in Fibonacci's sequence."""


@formula
def multiply_high(x: Number, y: Number) -> Number:
    """The upper half of the product of two unsigned integers of 32 or 64 bits."""
    if x.dtype is u32:
        return ((x.cast(u64) * y.cast(u64)) >> 32).cast(u32)
    assert x.dtype is u64, f"multiply_high of {x.dtype}"
    # By halves, whose products fit.
    mask = 0xFFFFFFFF
    x_low, x_high, y_low, y_high = x & mask, x >> 32, y & mask, y >> 32
    cross = x_high * y_low + ((x_low * y_low) >> 32)
    other = x_low * y_high + (cross & mask)
    return x_high * y_high + (cross >> 32) + (other >> 32)


@formula
def gcd(x: Number, y: Number) -> Number:
    """Greatest common divisor, by Euclid's algorithm."""
    a, b = (abs(each) if each.dtype.signed else each for each in (x, y))
    for _ in range(_DIVISIONS[x.dtype.bits]):
        a, b = choose(b.equals(0), a, b), a.apply("remainder_truncated", b)
    return a


@formula
def logical_not(x: Number) -> Number:
    """Not."""
    return ~x


@formula
def is_nan(x: Number) -> Number:
    """Whether it is nan."""
    return x.differs(x)


@formula
def is_inf(x: Number) -> Number:
    """Whether it is infinite."""
    return abs(x).equals(float("inf"))


@formula
def is_finite(x: Number) -> Number:
    """Whether it is neither infinite nor nan."""
    return abs(x) < float("inf")


@formula
def sign(x: Number) -> Number:
    """1, 0 or -1; 0 of nan, as in PyTorch."""
    below = choose(x < 0, x.constant(-1), 0) if x.dtype.signed else x.constant(0)
    return choose(x > 0, x.constant(1), below)
