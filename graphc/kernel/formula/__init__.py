"""The scalar math functions, written once as formulas over base ops, for every target.

In: a builder and scalars of it. Out: the scalar of the result, in base ops without a branch, so that it fits any number
of lanes. Right for nan, infinities, signed zeros and subnormal numbers, over the whole range of arguments.

    FORMULAS["exp"](b, x)    # x: float16, bfloat16, float32 or float64

Greatest errors found, in units in the last place: in float32 among all arguments where a function is neither linear nor
constant and every 61st of the others (pairs: 10 million), in float64 among 2.7 million (erf, erfc and angles: 40,000).

              float32  float64                 float32  float64                 float32  float64
    exp          0.98     0.98     sin            1.56     1.49     asinh          1.77     2.03
    exp2         0.88     0.78     cos            1.56     1.49     acosh          1.93     2.17
    expm1        1.44     1.80     tan            1.52     3.04     atanh          1.72     1.90
    log          0.94     1.18     asin           1.11     1.21     erf            1.06     0.96
    log2         1.18     1.52     acos           1.09     1.17     erfc           1.88     1.94
    log10        1.24     1.60     atan           1.36     1.50     sigmoid        1.65     1.63
    log1p        1.48     1.70     atan2          1.48     1.44     pow            0.92     0.94
    sinh         1.62     1.63     tanh           1.26     2.51     rsqrt          1.50     1.50
    cosh         1.45     1.43     cbrt           0.51     0.51     reciprocal     0.50     0.50

The functions of `gamma`, `gamma_sum`, `normal`, `bessel`, `modified_bessel` and `airy` are computed in float64.
fmod, remainder and floor_divide are exact. Of the others, float16 and bfloat16 are computed in float32 and
rounded once.
"""

from __future__ import annotations

from typing import Final

from graphc.kernel.formula import (
    airy,
    bessel,
    division,
    error_function,
    exponential,
    gamma,
    gamma_sum,
    hyperbolic,
    integer,
    inverse,
    logarithm,
    modified_bessel,
    normal,
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
        gamma.lgamma,
        gamma.digamma,
        gamma.trigamma,
        gamma_sum.zeta_rest,
        gamma_sum.gamma_integrand,
        gamma_sum.lower_gamma,
        gamma_sum.upper_gamma,
        normal.erfinv,
        normal.erfcx,
        normal.ndtri,
        normal.log_ndtr,
        bessel.bessel_j0,
        bessel.bessel_j1,
        bessel.bessel_y0,
        bessel.bessel_y1,
        modified_bessel.i0,
        modified_bessel.i0e,
        modified_bessel.i1,
        modified_bessel.i1e,
        modified_bessel.modified_bessel_k0,
        modified_bessel.modified_bessel_k1,
        modified_bessel.scaled_modified_bessel_k0,
        modified_bessel.scaled_modified_bessel_k1,
        airy.airy_ai,
        integer.multiply_high,
        integer.gcd,
        integer.logical_not,
        integer.is_nan,
        integer.is_inf,
        integer.is_finite,
        integer.sign,
    )
}
"""The formula of every scalar op that is no base op: (builder, *scalars) -> scalar."""
