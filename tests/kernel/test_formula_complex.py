"""Complex functions over pairs: close to numpy's in higher precision, also where a square or sum would overflow.

Errors are relative to the size of the result, in units of the rounding of one part.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from graphc.ir.dtype import DType, f32, f64
from graphc.kernel.formula.complex import complex_apply
from graphc.kernel.scalar import ArrayBuilder, ArrayScalar
from tests.kernel.ulp import Array

UNARY: dict[str, Callable[..., Array]] = {
    "exp": np.exp,
    "log": np.log,
    "sqrt": np.sqrt,
    "rsqrt": lambda z: 1 / np.sqrt(z),
    "reciprocal": lambda z: 1 / z,
    "sin": np.sin,
    "cos": np.cos,
    "tan": np.tan,
    "sinh": np.sinh,
    "cosh": np.cosh,
    "tanh": np.tanh,
    "abs": np.abs,
}
BINARY: dict[str, Callable[..., Array]] = {"add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide}


def apply(name: str, dtype: DType, *operands: Array) -> Array:
    """The formula on complex arrays, whose parts are rounded to `dtype`."""
    parts = [tuple(ArrayScalar.of(part.astype(dtype.numpy)) for part in (x.real, x.imag)) for x in operands]
    result = complex_apply(ArrayBuilder(), name, *parts)  # type: ignore[arg-type]  # a tuple made of two parts
    if not isinstance(result, tuple):
        assert isinstance(result, ArrayScalar)
        return result.array
    out = np.empty(operands[0].shape, np.complex64 if dtype is f32 else np.complex128)
    out.real, out.imag = (part.array for part in result)  # type: ignore[attr-defined]
    return out


def complex_of(real: Array, imaginary: Array) -> Array:
    """Complex numbers with these parts, kept as they are."""
    out = np.empty(real.shape, np.complex128)
    out.real, out.imag = real, imaginary
    return out


def points(dtype: DType, seed: int) -> Array:
    """Around 0 and 10, near the unit circle, and (in float32) of all sizes."""
    random = np.random.default_rng(seed)
    count = 2000
    parts = [complex_of(*random.normal(0, size, (2, count))) for size in (1, 10)]
    radius = 1 + np.ldexp(random.uniform(-1, 1, count), random.integers(-20, 0, count))
    parts.append(radius * np.exp(1j * random.uniform(-np.pi, np.pi, count)))
    if dtype is f32:
        parts.append(complex_of(*np.exp2(random.uniform(-120, 120, (2, count))) * random.choice([-1, 1], (2, count))))
        return np.concatenate(parts).astype(np.complex64)
    return np.concatenate(parts)


def error(got: Array, want: Array, dtype: DType) -> float:
    """The greatest error of finite results, in half units of the last place of the result's size."""
    form = np.finfo(dtype.numpy)
    size = np.maximum(np.abs(want), form.tiny)
    inside = np.isfinite(size) & (size < form.max)
    return float(np.max(np.abs(got[inside] - want[inside]) / size[inside]) / (form.eps / 2))


@pytest.mark.parametrize("name", UNARY)
def test_functions_of_single_precision(name: str) -> None:
    z = points(f32, 18)
    with np.errstate(all="ignore"):
        want = UNARY[name](z.astype(np.complex128))
    assert error(apply(name, f32, z), want, f32) < 6


@pytest.mark.parametrize("name", UNARY)
def test_functions_of_double_precision(name: str) -> None:
    z = points(f64, 19)
    with np.errstate(all="ignore"):
        want = UNARY[name](z)
    # The judge computes in double precision itself, and numpy's log has no care for the unit circle.
    assert error(apply(name, f64, z), want, f64) < 16


@pytest.mark.parametrize("name", BINARY)
def test_arithmetic(name: str) -> None:
    x, y = points(f32, 20), np.random.default_rng(22).permutation(points(f32, 21))
    with np.errstate(all="ignore"):
        want = BINARY[name](x.astype(np.complex128), y.astype(np.complex128))
    # A product of huge numbers may be a difference of two that overflow.
    is_moderate = np.abs(x.astype(np.complex128)) * np.abs(y) < 1e37 if name == "mul" else np.full(x.shape, True)
    assert error(apply(name, f32, x, y)[is_moderate], want[is_moderate], f32) < 4


@pytest.mark.parametrize("sizes", [(127.9, 127.9), (127.9, 1), (-140, -140), (-140, 1), (1, -126), (-100, 20)])
def test_division_neither_overflows_nor_underflows_on_the_way(sizes: tuple[float, float]) -> None:
    random = np.random.default_rng(23)
    x, y = (
        complex_of(*np.exp2(random.uniform(top - 2, top, (2, 500))) * random.choice([-1, 1], (2, 500))).astype(
            np.complex64
        )
        for top in sizes
    )
    assert error(apply("div", f32, x, y), x.astype(np.complex128) / y.astype(np.complex128), f32) < 4


def same(a: Array, b: Array) -> Array:
    with np.errstate(all="ignore"):
        is_close = (np.abs(a - b) <= 1e-13 * np.abs(b)) | ((a == b) & (np.signbit(a) == np.signbit(b)))
    return is_close | (np.isnan(a) & np.isnan(b))


@pytest.mark.parametrize("name", UNARY)
def test_infinite_undefined_and_zero_parts(name: str) -> None:
    parts = np.array([0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, 2.5, -2.5])
    z = complex_of(*(x.ravel() for x in np.meshgrid(parts, parts)))
    with np.errstate(all="ignore"):
        want = UNARY[name](z)
    got = apply(name, f64, z)
    is_same = same(got.real, want.real) & same(got.imag, want.imag)
    worst = int(np.argmin(is_same))
    assert is_same.all(), f"{name}({z[worst]}) is {got[worst]}, not {want[worst]}"


def test_powers() -> None:
    x, y = points(f32, 26)[:6000], np.random.default_rng(27).permutation(points(f32, 28)[:6000])
    with np.errstate(all="ignore"):
        want = np.power(x.astype(np.complex128), y.astype(np.complex128))
    is_moderate = (np.abs(want) < 1e37) & (np.abs(want) > 1e-37)
    assert error(apply("pow", f32, x, y)[is_moderate], want[is_moderate], f32) < 2


def test_powers_of_zero_and_to_zero() -> None:
    x = np.array([0, 0, 0, 0, 2 + 1j, complex(np.nan, 1)])
    y = np.array([0, 2, -1, 1j, 0, 0])
    got = apply("pow", f64, x, y)
    assert got[[0, 1, 4, 5]].tolist() == [1, 0, 1, 1]
    assert np.isnan(got[2:4]).all()


def test_division_by_zero_and_infinity() -> None:
    x = np.array([1 + 1j, 0, complex(np.inf, 0), 1])
    y = np.array([0, 0, 1 + 1j, complex(np.inf, 0)])
    with np.errstate(all="ignore"):
        want = x / y
    assert np.array_equal(apply("div", f64, x, y), want, equal_nan=True)


def test_products_of_exchanged_factors_have_the_same_bits() -> None:
    x, y = points(f32, 24), points(f32, 25)
    with np.errstate(all="ignore"):
        assert np.array_equal(apply("mul", f32, x, y), apply("mul", f32, y, x), equal_nan=True)


def test_comparisons_and_tests() -> None:
    x = np.array([1 + 1j, 1 + 2j, complex(np.nan, 1), complex(1, np.inf), 0])
    y = np.array([1 + 1j, 1 + 1j, complex(np.nan, 1), complex(1, np.inf), complex(-0.0, 0.0)])
    assert apply("eq", f64, x, y).tolist() == [True, False, False, True, True]
    assert apply("ne", f64, x, y).tolist() == [False, True, True, False, False]
    assert apply("is_nan", f64, x).tolist() == [False, False, True, False, False]
    assert apply("is_inf", f64, x).tolist() == [False, False, False, True, False]
    assert apply("is_finite", f64, x).tolist() == [True, True, False, False, True]
    assert apply("neg", f64, x)[:2].tolist() == [-1 - 1j, -1 - 2j]
