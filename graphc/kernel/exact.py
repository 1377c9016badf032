"""Fused multiply-add in numpy, rounded once: what the hardware's instruction gives, bit for bit.

In: three float32 or three float64 arrays of one shape. Out: a * b + c with a single rounding.

float32 goes through float64, where the product is exact and the sum is rounded to odd, which makes the second rounding
harmless; float64 through error-free transformations on scaled numbers (Boldo, Melquiond: Emulation of FMA and
correctly rounded sums, 2008). Results near the subnormal range are computed with rational numbers.

>>> float(fused_multiply_add(np.float32(1 + 2**-12), np.float32(1 + 2**-12), np.float32(-1)))
0.0004883408546447754
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

_Array = npt.NDArray[Any]

_SPLIT = 2.0**27 + 1
_DOMINANT = 300
"""Beyond this difference of exponents one addend only decides in which direction the other is rounded."""
_LEAST_NORMAL = 2.0**-1022


def fused_multiply_add(a: _Array, b: _Array, c: _Array) -> _Array:
    """a * b + c, rounded once."""
    a, b, c = (np.asarray(x) for x in np.broadcast_arrays(a, b, c))
    with np.errstate(all="ignore"):
        return _single(a, b, c) if a.dtype == np.float32 else _double(a, b, c)


def _two_sum(a: _Array, b: _Array) -> tuple[_Array, _Array]:
    total = a + b
    back = total - a
    return total, (a - (total - back)) + (b - back)


def _two_product(a: _Array, b: _Array) -> tuple[_Array, _Array]:
    """Dekker's product; the operands are of moderate size."""
    product = a * b
    a_high = a * _SPLIT - (a * _SPLIT - a)
    b_high = b * _SPLIT - (b * _SPLIT - b)
    a_low, b_low = a - a_high, b - b_high
    return product, ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low


def _add_to_odd(a: _Array, b: _Array) -> _Array:
    """a + b; where it is inexact, that one of the two neighbours whose last bit is set."""
    total, error = _two_sum(a, b)
    is_even = (np.asarray(total).view(np.int64) & 1) == 0  # the same width: any layout will do
    other = np.nextafter(total, np.where(error > 0, np.inf, -np.inf))
    return np.where((error != 0) & is_even & np.isfinite(error), other, total)


def _single(a: _Array, b: _Array, c: _Array) -> _Array:
    product = a.astype(np.float64) * b.astype(np.float64)
    return _add_to_odd(product, c.astype(np.float64)).astype(np.float32)


def _double(a: _Array, b: _Array, c: _Array) -> _Array:
    # Where an operand is zero, infinite or nan, plain arithmetic is right, except that a product may overflow beside
    # an infinite c, and that a product that underflows to zero keeps its sign beside a zero c.
    plain = np.where(np.isinf(c) & np.isfinite(a) & np.isfinite(b), c, a * b + c)
    plain = np.where((c == 0) & (a != 0) & (b != 0), a * b, plain)
    is_hard = np.isfinite(a) & np.isfinite(b) & np.isfinite(c) & (a != 0) & (b != 0) & (c != 0)
    if not is_hard.any():
        return np.asarray(plain)
    a_part, a_power = np.frexp(np.where(is_hard, a, 1.0))
    b_part, b_power = np.frexp(np.where(is_hard, b, 1.0))
    c_part, c_power = np.frexp(np.where(is_hard, c, 1.0))
    power = a_power + b_power
    difference = c_power - power
    c_scaled = np.ldexp(c_part, np.clip(difference, -_DOMINANT, _DOMINANT))
    product, product_error = _two_product(a_part, b_part)
    low, low_error = _two_sum(c_scaled, product_error)
    high, high_error = _two_sum(product, low)
    scaled = high + _add_to_odd(low_error, high_error)
    result = np.where(difference > _DOMINANT, c, np.ldexp(scaled, power))
    result = np.where(is_hard, result, plain)
    is_tiny = is_hard & (difference <= _DOMINANT) & (np.abs(result) <= 4 * _LEAST_NORMAL) & (scaled != 0)
    if is_tiny.any():
        from fractions import Fraction  # late: importing graphc must be quick, and few results are that small

        result = np.array(result)
        for index in np.argwhere(is_tiny):
            where = tuple(index)
            result[where] = float(Fraction(float(a[where])) * Fraction(float(b[where])) + Fraction(float(c[where])))
    return np.asarray(result)
