"""The scalar math functions, written once as formulas over base ops."""

from __future__ import annotations

from typing import Final

from graphc.kernel.formula import error_function, exponential, hyperbolic, integer, logarithm
from graphc.kernel.formula.number import Formula

FORMULAS: Final[dict[str, Formula]] = {
    rule.__name__: rule
    for rule in (
        exponential.exp,
        exponential.exp2,
        exponential.expm1,
        exponential.ldexp,
        exponential.sigmoid,
        hyperbolic.tanh,
        logarithm.log,
        error_function.erf,
        integer.logical_not,
        integer.is_nan,
        integer.is_inf,
        integer.is_finite,
        integer.sign,
    )
}
"""The formula of every scalar op that is no base op: (builder, *scalars) -> scalar."""
