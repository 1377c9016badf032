"""The fused multiply-add in numpy rounds once, whatever its operands."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from graphc.kernel.exact import fused_multiply_add
from tests.kernel.ulp import Array, random_bits


def rounded(value: Fraction, form: np.finfo[Any], zero: float) -> float:
    """A rational number rounded to the format, halves to even; `zero` gives the sign of an exact zero."""
    if value == 0:
        return zero
    size = abs(value)
    exponent = size.numerator.bit_length() - size.denominator.bit_length()
    exponent -= size < Fraction(2) ** exponent
    unit = Fraction(2) ** (max(exponent, form.minexp) - form.nmant)
    whole = round(size / unit) * unit
    result = np.inf if whole > Fraction(float(form.max)) else float(whole)
    return -result if value < 0 else result


def triples(dtype: type[np.floating[Any]]) -> tuple[Array, Array, Array]:
    """All patterns of bits, near cancellation, ties, results near the subnormal range, special values."""
    random = np.random.default_rng(26)
    form, count = np.finfo(dtype), 1500
    a, b = random.normal(size=(2, count)).astype(dtype)
    sets = [tuple(random_bits(dtype, count, seed) for seed in (27, 28, 29))]
    with np.errstate(all="ignore"):
        sets.append((a, b, -a * b * (1 + random.integers(-2, 3, count).astype(dtype) * form.eps)))
        sets.append((a, b, np.ldexp(random.normal(size=count), random.integers(-60, 60, count)).astype(dtype)))
        half = form.minexp // 2
        small = [np.ldexp(x, half + random.integers(-15, 15, count)).astype(dtype) for x in (a, b)]
        sets.append((*small, np.ldexp(b, form.minexp + random.integers(-30, 30, count)).astype(dtype)))
        few = (random.integers(-64, 64, (3, count)) * 2.0 ** random.integers(-40, 40, (3, count))).astype(dtype)
        sets.append(tuple(few))
    special = np.array([0.0, 1.0, np.inf, form.max, form.tiny, form.smallest_subnormal, np.nan], dtype)
    special = np.concatenate([special, -special])
    sets.append(tuple(x.ravel() for x in np.meshgrid(special, special, special)))
    x, y, z = (np.concatenate(parts) for parts in zip(*sets))
    return x, y, z


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rounds_once(dtype: type[np.floating[Any]]) -> None:
    a, b, c = triples(dtype)
    got = fused_multiply_add(a, b, c)
    assert got.dtype == dtype
    with np.errstate(all="ignore"):
        plain = a.astype(np.float64) * b.astype(np.float64) + c.astype(np.float64)
        form = np.finfo(dtype)
    for x, y, z, result, simple in zip(*(v.tolist() for v in (a, b, c, got, plain))):
        if np.isfinite([x, y, z]).all():
            exact = Fraction(x) * Fraction(y) + Fraction(z)
            # The sign of a zero is that of the sum of the zeros, or that of both addends.
            zero = np.copysign(0.0, x) * np.copysign(1.0, y) + (z if z == 0 else 0.0) if x * y == 0 == z else 0.0
            want = rounded(exact, form, float(zero))
            if z == 0 and exact != 0 and want == 0:
                want = float(np.copysign(0.0, float(np.sign(x) * np.sign(y))))
        else:
            # An infinite addend wins over a product that is finite, but too large for the format.
            want = z if np.isinf(z) and np.isfinite([x, y]).all() else simple
        same = (result == want and np.signbit(result) == np.signbit(want)) or (np.isnan(result) and np.isnan(want))
        assert same, f"fma({x!r}, {y!r}, {z!r}) is {result!r}, not {want!r}"


def test_broadcasts_and_takes_single_numbers() -> None:
    assert fused_multiply_add(np.float64(2), np.arange(3.0), np.float64(1)).tolist() == [1, 3, 5]
    assert fused_multiply_add(np.float32(2), np.float32(3), np.float32(1)).shape == ()
