"""The scalar math functions, written once as formulas over base ops."""

from __future__ import annotations

from typing import Final

from graphc.kernel.formula import (
    division,
    error_function,
    exponential,
    hyperbolic,
    integer,
    inverse,
    logarithm,
    power,
    trigonometric,
)
from graphc.kernel.formula.number import Formula

FORMULAS: Final[dict[str, Formula]] = {
    rule.__name__: rule
    for rule in (
        exponential.exp,
        exponential.exp2,
        exponential.expm1,
        exponential.ldexp,
        exponential.sigmoid,
        hyperbolic.sinh,
        hyperbolic.cosh,
        hyperbolic.tanh,
        hyperbolic.asinh,
        hyperbolic.acosh,
        hyperbolic.atanh,
        logarithm.log,
        logarithm.log2,
        logarithm.log10,
        logarithm.log1p,
        error_function.erf,
        error_function.erfc,
        trigonometric.sin,
        trigonometric.cos,
        trigonometric.tan,
        inverse.asin,
        inverse.acos,
        inverse.atan,
        inverse.atan2,
        power.pow,
        power.cbrt,
        power.rsqrt,
        power.reciprocal,
        division.fmod,
        division.remainder,
        division.floor_divide,
        integer.multiply_high,
        integer.logical_not,
        integer.is_nan,
        integer.is_inf,
        integer.is_finite,
        integer.sign,
    )
}
"""The formula of every scalar op that is no base op: (builder, *scalars) -> scalar."""
