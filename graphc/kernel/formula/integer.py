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
    """1, 0 or -1; nan of nan."""
    if not x.dtype.is_floating_point:
        return choose(x > 0, x.constant(1), choose(x < 0, x.constant(-1), 0) if x.dtype.signed else 0)
    return choose(x > 0.0, x.constant(1.0), choose(x < 0.0, x.constant(-1.0), choose(x.equals(0.0), 0.0, x)))
