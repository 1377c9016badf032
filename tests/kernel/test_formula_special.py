"""Formulas at nan, infinities, signed zeros, the edges of their domains and of the format: as C99 (and numpy) say."""

from __future__ import annotations

import numpy as np
import pytest

from graphc.ir.dtype import DType, bf16, f16, f32, f64, i32, i64, u8
from graphc.kernel.scalar import evaluate
from tests.kernel.test_formula_accuracy import UNARY, WIDE
from tests.kernel.ulp import Array, errors, random_bits


def special_values(dtype: DType) -> Array:
    """Zeros, subnormals, limits, whole numbers that are odd or even in the last bit, and their negatives."""
    form = np.finfo(dtype.numpy)
    odd = 2.0 ** (form.nmant + 1) - 1
    positive = [0.0, form.smallest_subnormal, 3 * form.smallest_subnormal, form.tiny, form.tiny * (1 - form.epsneg)]
    positive += [form.eps, 0.5, 1 - form.epsneg, 1.0, 1 + form.eps, 1.5, 2.0, 3.0, 33.0, 100.0, 2000.0]
    positive += [1e5, 1e30, odd, odd + 1, (odd - 1) / 2 + 0.5, float(form.max), np.inf]
    values = np.array(positive, dtype.numpy)
    return np.concatenate([values, -values, np.array([np.nan], dtype.numpy)])


def wide(dtype: DType, x: Array) -> Array:
    return x.astype(np.float64 if dtype is f32 else np.longdouble)


@pytest.mark.parametrize("dtype", [f32, f64])
@pytest.mark.parametrize("name", UNARY)
def test_special_values(name: str, dtype: DType) -> None:
    x = special_values(dtype)
    with np.errstate(all="ignore"):
        want = WIDE[name](x.astype(np.float64))
    if name == "cbrt":
        want = np.where(x == 0, x, want)
    error = errors(evaluate(name, dtype, x), want)
    # The judge of float64 is float64 itself here: it may be off by a unit too.
    worst = int(np.argmax(error))
    assert error[worst] <= 4.0, f"{name}({x[worst]}) is not {want[worst]}"


@pytest.mark.parametrize("dtype", [f32, f64])
@pytest.mark.parametrize("name", ["pow", "atan2"])
def test_special_pairs(name: str, dtype: DType) -> None:
    x, y = (a.ravel() for a in np.meshgrid(special_values(dtype), special_values(dtype)))
    with np.errstate(all="ignore"):
        want = WIDE[name](x.astype(np.float64), y.astype(np.float64))
    error = errors(evaluate(name, dtype, x, y), want)
    worst = int(np.argmax(error))
    assert error[worst] <= 2.0, f"{name}({x[worst]}, {y[worst]}) is not {want[worst]}"


@pytest.mark.parametrize("dtype", [f32, f64])
@pytest.mark.parametrize(
    "name", ["sin", "tan", "asin", "atan", "sinh", "tanh", "asinh", "atanh", "erf", "cbrt", "expm1"]
)
def test_odd_functions_keep_the_sign_of_zero(name: str, dtype: DType) -> None:
    zeros = np.array([0.0, -0.0], dtype.numpy)
    assert np.signbit(evaluate(name, dtype, zeros)).tolist() == [False, True]


@pytest.mark.parametrize("name", ["sin", "tan", "asin", "atan", "sinh", "tanh", "asinh", "atanh", "erf", "cbrt"])
def test_odd_functions_are_odd_in_every_bit(name: str) -> None:
    x = random_bits(np.float32, 20000, 9)
    there, back = evaluate(name, f32, x), evaluate(name, f32, -x)
    assert np.array_equal(there, -back, equal_nan=True)


@pytest.mark.parametrize("name", ["tanh", "erf", "sigmoid", "sin", "cos"])
def test_bounded_functions_stay_within_one(name: str) -> None:
    for dtype in (f32, f64):
        x = np.concatenate([random_bits(dtype.numpy, 5000, 10), np.linspace(-20, 20, 5000).astype(dtype.numpy)])
        y = evaluate(name, dtype, x)
        assert np.nanmax(np.abs(y)) <= 1.0


@pytest.mark.parametrize("dtype", [f16, bf16])
@pytest.mark.parametrize("name", ["exp", "tanh", "log", "erf", "sin", "sigmoid", "rsqrt"])
def test_sixteen_bit_floats_are_computed_in_float32_and_rounded_once(name: str, dtype: DType) -> None:
    x = np.arange(2**16, dtype=np.uint16).view(dtype.numpy)
    got = evaluate(name, dtype, x)
    assert got.dtype == dtype.numpy
    with np.errstate(all="ignore"):
        want = evaluate(name, f32, x.astype(np.float32)).astype(dtype.numpy)
    assert np.array_equal(got.astype(np.float32), want.astype(np.float32), equal_nan=True)


def test_tests_for_nan_and_infinity() -> None:
    for dtype in (f16, bf16, f32, f64):
        x = np.array([0.0, 1.0, -np.inf, np.inf, np.nan, -2.0]).astype(dtype.numpy)
        wide_x = x.astype(np.float64)
        for name, judge in (("is_nan", np.isnan), ("is_inf", np.isinf), ("is_finite", np.isfinite)):
            assert evaluate(name, dtype, x).tolist() == judge(wide_x).tolist()


def test_sign_is_0_for_nan_and_zeros() -> None:
    x = np.array([2.5, -2.5, 0.0, -0.0, np.nan, np.inf, -np.inf], np.float32)
    assert evaluate("sign", f32, x).tolist() == [1, -1, 0, 0, 0, 1, -1]
    assert evaluate("sign", i32, np.array([5, 0, -5], np.int32)).tolist() == [1, 0, -1]
    assert evaluate("sign", u8, np.array([0, 200], np.uint8)).tolist() == [0, 1]


@pytest.mark.parametrize("dtype", [i32, i64, u8])
def test_whole_powers_wrap(dtype: DType) -> None:
    random = np.random.default_rng(11)
    limits = np.iinfo(dtype.numpy)  # type: ignore[type-var]
    x = np.concatenate(
        [random.integers(limits.min, limits.max, 200, dtype=dtype.numpy, endpoint=True), [0, 1, 2, 3] * 5]
    )
    y = np.concatenate(
        [random.integers(limits.min, limits.max, 200, dtype=dtype.numpy, endpoint=True), [0, 1, 2, 7, 31] * 4]
    )
    x, y = x.astype(dtype.numpy), y.astype(dtype.numpy)
    want = [_power(a, b, dtype) for a, b in zip(x.tolist(), y.tolist())]
    assert evaluate("pow", dtype, x, y).tolist() == want


def _power(x: int, y: int, dtype: DType) -> int:
    if y < 0:
        return x if x == 1 or (x == -1 and y % 2) else int(x == -1)
    value = pow(x, y, 1 << dtype.bits)
    return value - (1 << dtype.bits) if dtype.signed and value >> (dtype.bits - 1) else value


def test_whole_powers_of_units_with_negative_exponents() -> None:
    x, y = np.array([1, -1, -1, 2, 0], np.int32), np.array([-3, -3, -4, -1, -1], np.int32)
    assert evaluate("pow", i32, x, y).tolist() == [1, -1, 1, 0, 0]


def test_ldexp_reaches_subnormals_with_one_rounding() -> None:
    x = np.array([1.0, 1.5, 0.75, 1 + 2.0**-23, 0.5], np.float32)
    n = np.array([-149, -149, -140, -130, 128], np.float32)
    assert evaluate("ldexp", f32, x, n).tolist() == np.ldexp(x, n.astype(np.int32)).tolist()
