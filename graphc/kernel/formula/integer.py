"""Whole-number arithmetic: multiply_high, and what is true of floats bit by bit."""

from __future__ import annotations

from graphc.kernel.formula.number import Number, choose, formula


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
