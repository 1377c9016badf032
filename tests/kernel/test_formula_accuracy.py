"""Every float function within 2 units in the last place in float32, and within 4 in float64.

The judge of float32 is float64 arithmetic, that of float64 is mpmath. Points are drawn with a fixed seed: from
intervals where a function changes, near 1, near multiples of pi/2, and from all patterns of bits.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import mpmath
import numpy as np
import pytest

from graphc.ir.dtype import DType, f32, f64
from graphc.kernel.scalar import evaluate
from tests.kernel.ulp import Array, errors, random_bits

LIMIT = {f32: 2.0, f64: 4.0}
COUNT = {f32: 20000, f64: 500}
"""Points per interval."""


def by_element(function: Callable[[float], float]) -> Callable[[Array], Array]:
    return lambda x: np.array([function(float(v)) for v in x])


def sigmoid(x: Array) -> Array:
    small = np.exp(-np.abs(x))
    return np.where(x < 0, small, 1.0) / (1.0 + small)


WIDE: dict[str, Callable[..., Array]] = {
    "exp": np.exp,
    "exp2": np.exp2,
    "expm1": np.expm1,
    "log": np.log,
    "log2": np.log2,
    "log10": np.log10,
    "log1p": np.log1p,
    "sin": np.sin,
    "cos": np.cos,
    "tan": np.tan,
    "asin": np.arcsin,
    "acos": np.arccos,
    "atan": np.arctan,
    "sinh": np.sinh,
    "cosh": np.cosh,
    "tanh": np.tanh,
    "asinh": np.arcsinh,
    "acosh": np.arccosh,
    "atanh": np.arctanh,
    "erf": by_element(math.erf),
    "erfc": by_element(math.erfc),
    "sigmoid": sigmoid,
    "cbrt": np.cbrt,
    "rsqrt": lambda x: 1.0 / np.sqrt(x),
    "reciprocal": lambda x: 1.0 / x,
    "atan2": np.arctan2,
    "pow": np.power,
}
"""The functions in float64."""

EXACT: dict[str, Callable[..., mpmath.mpf]] = {
    **{
        name: getattr(mpmath, name)
        for name in ["exp", "expm1", "log", "log10", "log1p", "sin", "cos", "tan", "asin", "acos", "atan", "sinh"]
    },
    **{
        name: getattr(mpmath, name)
        for name in ["cosh", "tanh", "asinh", "acosh", "atanh", "erf", "erfc", "cbrt", "atan2"]
    },
    "exp2": lambda x: mpmath.power(2, x),
    "log2": lambda x: mpmath.log(x, 2),
    "sigmoid": lambda x: 1 / (1 + mpmath.exp(-x)),
    "cbrt": lambda x: mpmath.cbrt(x) if x >= 0 else -mpmath.cbrt(-x),
    "rsqrt": lambda x: 1 / mpmath.sqrt(x),
    "reciprocal": lambda x: 1 / x,
    "pow": mpmath.power,
}

INTERVALS: dict[str, tuple[tuple[float, float], ...]] = {
    "exp": ((-1.0, 1.0), (-90.0, 89.0), (-104.0, -86.0)),
    "exp2": ((-1.0, 1.0), (-130.0, 128.0), (-150.0, -124.0)),
    "expm1": ((-1.0, 1.0), (-20.0, 89.0), (-1e-3, 1e-3)),
    "log1p": ((-1.0, 1.0), (0.0, 100.0), (-1e-3, 1e-3)),
    "sin": ((-4.0, 4.0), (-4e3, 4e3), (-2e5, 2e5)),
    "cos": ((-4.0, 4.0), (-4e3, 4e3), (-2e5, 2e5)),
    "tan": ((-4.0, 4.0), (-4e3, 4e3), (-2e5, 2e5)),
    "asin": ((-1.0, 1.0), (0.45, 0.65)),
    "acos": ((-1.0, 1.0), (0.45, 0.65)),
    "atan": ((-2.0, 2.0), (0.8, 1.2)),
    "sinh": ((-2.0, 2.0), (-90.0, 90.0)),
    "cosh": ((-2.0, 2.0), (-90.0, 90.0)),
    "tanh": ((-1.0, 1.0), (-10.0, 10.0)),
    "asinh": ((-1.0, 1.0), (-50.0, 50.0)),
    "acosh": ((1.0, 1.2), (1.0, 20.0)),
    "atanh": ((-0.3, 0.3), (-1.0, 1.0)),
    "erf": ((-1.1, 1.1), (-5.0, 5.0)),
    "erfc": ((-1.0, 1.0), (0.4, 0.7), (0.0, 10.2)),
    "sigmoid": ((-4.0, 4.0), (-105.0, 20.0)),
}
REACH = {"exp": 8.0, "exp2": 8.0, "expm1": 8.0, "sinh": 7.9, "cosh": 7.9, "erfc": 2.65, "sigmoid": 7.2}
"""How much further float64 reaches: the last interval is also tried stretched by this."""


def points(name: str, dtype: DType) -> Array:
    """Where the function is tried."""
    random = np.random.default_rng(sum(map(ord, name)))
    count = COUNT[dtype]
    intervals = INTERVALS.get(name, ((0.0, 4.0), (0.7, 1.4)))
    if dtype is f64 and name in REACH:
        intervals += (tuple(REACH[name] * edge for edge in intervals[-1]),)  # type: ignore[assignment]
    parts = [random.uniform(low, high, count) for low, high in intervals]
    near = np.ldexp(random.uniform(-1, 1, count), random.integers(-30, 0, count))
    parts += [1.0 + near, near - 1.0, near, np.round(random.uniform(0, 1e5, count)) * (math.pi / 2)]
    return np.concatenate([*(p.astype(dtype.numpy) for p in parts), random_bits(dtype.numpy, count, 5)])


def exact(name: str, *operands: Array) -> tuple[Array, Array]:
    """The true values, as float64 and what that lacks; of float64 numbers where they are defined and finite."""
    results, rests = [], []
    with mpmath.workprec(140):
        for each in zip(*(x.tolist() for x in operands)):
            value = EXACT[name](*map(mpmath.mpf, each))
            result = float(value)
            results.append(result)
            rests.append(float(value - mpmath.mpf(result)) if math.isfinite(result) else 0.0)
    return np.array(results), np.array(rests)


def report(name: str, error: Array, *operands: Array) -> str:
    worst = int(np.argmax(error))
    return f"{name}{tuple(x[worst] for x in operands)} is off by {error[worst]:.2f}"


UNARY = [name for name in WIDE if name not in ("atan2", "pow")]


@pytest.mark.parametrize("name", UNARY)
def test_float32_is_within_two_units(name: str) -> None:
    x = points(name, f32)
    with np.errstate(all="ignore"):
        error = errors(evaluate(name, f32, x), WIDE[name](x.astype(np.float64)))
    assert error.max() <= LIMIT[f32], report(name, error, x)


@pytest.mark.parametrize("name", UNARY)
def test_float64_is_within_four_units(name: str) -> None:
    x = points(name, f64)
    with np.errstate(all="ignore"):
        plain = WIDE[name](x)
    x = x[np.isfinite(plain) & (plain != 0) & (np.abs(plain) >= np.finfo(np.float64).tiny)]
    error = errors(evaluate(name, f64, x), *exact(name, x))
    assert len(x) > COUNT[f64]
    assert error.max() <= LIMIT[f64], report(name, error, x)


def power_points(dtype: DType) -> tuple[Array, Array]:
    """Bases, also near 1, and exponents that use the range of results."""
    random = np.random.default_rng(3)
    count, (low, high) = COUNT[dtype] * 2, (-150, 128) if dtype is f32 else (-1020, 1023)
    near = np.ldexp(random.uniform(-1, 1, count), random.integers(-20, 0, count))
    base = np.concatenate([np.exp2(random.uniform(low * 0.8, high, count)), 1.0 + near]).astype(dtype.numpy)
    logarithm = np.log2(base.astype(np.float64))
    exponent = random.uniform(low, high, 2 * count) / np.where(logarithm == 0, 1.0, logarithm)
    return base, exponent.astype(dtype.numpy)


@pytest.mark.parametrize("dtype", [f32, f64])
def test_pow_is_right_to_the_last_units(dtype: DType) -> None:
    x, y = power_points(dtype)
    got = evaluate("pow", dtype, x, y)
    if dtype is f32:
        error = errors(got, np.power(x.astype(np.float64), y.astype(np.float64)))
    else:
        inside = np.isfinite(got) & (got > np.finfo(np.float64).tiny)
        x, y, got = x[inside], y[inside], got[inside]
        error = errors(got, *exact("pow", x, y))
    assert error.max() <= 1.0, report("pow", error, x, y)


@pytest.mark.parametrize("dtype", [f32, f64])
def test_atan2_is_right_to_the_last_units(dtype: DType) -> None:
    random = np.random.default_rng(4)
    count = COUNT[dtype]
    y, x = random.normal(size=(2, 4 * count)).astype(dtype.numpy)
    y[:count] *= np.exp2(random.integers(-100, 100, count)).astype(dtype.numpy)
    error = errors(evaluate("atan2", dtype, y, x), *_atan2(dtype, y, x))
    assert error.max() <= LIMIT[dtype], report("atan2", error, y, x)


def _atan2(dtype: DType, y: Array, x: Array) -> tuple[Array, ...]:
    return exact("atan2", y, x) if dtype is f64 else (np.arctan2(y.astype(np.float64), x.astype(np.float64)),)


# The float nearest to a multiple of pi/2, relative to its size, of each format (the first is of both).
CLOSE_TO_QUARTER_TURNS = {f32: (16367173.0 * 2.0**72, 10.995574), f64: (6381956970095103.0 * 2.0**797, 355.0)}


@pytest.mark.parametrize("dtype", [f32, f64])
@pytest.mark.parametrize("name", ["sin", "cos", "tan"])
def test_angles_are_reduced_exactly(name: str, dtype: DType) -> None:
    random = np.random.default_rng(6)
    low, high = (15, 127) if dtype is f32 else (28, 1023)
    large = np.ldexp(random.uniform(1, 2, 60), random.integers(low, high, 60))
    x = np.concatenate([large, -large, CLOSE_TO_QUARTER_TURNS[dtype]]).astype(dtype.numpy)
    with mpmath.workprec(1300):
        exactly = [EXACT[name](mpmath.mpf(float(v))) for v in x]
        want = np.array([float(v) for v in exactly])
        rest = np.array([float(v - mpmath.mpf(w)) for v, w in zip(exactly, want.tolist())])
    error = errors(evaluate(name, dtype, x), want, rest)
    assert error.max() <= LIMIT[dtype], report(name, error, x)


@pytest.mark.parametrize("name", ["exp", "sigmoid", "exp2", "erfc", "pow"])
def test_subnormal_results_keep_their_bits(name: str) -> None:
    ranges = {"exp": (-744, -709), "sigmoid": (-744, -709), "exp2": (-1073, -1022), "erfc": (26.55, 27.2)}
    random = np.random.default_rng(8)
    if name == "pow":
        operands: tuple[Array, ...] = (random.uniform(0.1, 0.2, 80),)
        operands += (random.uniform(-1070, -1023, 80) / np.log2(operands[0]),)
    else:
        operands = (random.uniform(*ranges[name], 80),)
    got = evaluate(name, f64, *operands)
    # In units of the least positive number.
    with mpmath.workprec(140):
        want = [
            EXACT[name](*map(mpmath.mpf, each)) * mpmath.mpf(2) ** 1074 for each in zip(*(x.tolist() for x in operands))
        ]
        error = max(abs(mpmath.ldexp(mpmath.mpf(v), 1074) - w) for v, w in zip(got.tolist(), want))
    assert error <= 1.0
