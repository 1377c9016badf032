"""Cases of the elementwise ops: every dtype, special values beside each other, and the `math` module as judge."""

from __future__ import annotations

import cmath
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from graphc.ir.dtype import (
    DTYPES,
    Kind,
    bf16,
    bool_,
    c64,
    c128,
    f16,
    f32,
    f64,
    i8,
    i32,
    i64,
    u8,
    u32,
    u64,
)
from graphc.ir.op import Op
from graphc.ops import elementwise as ew
from tests.ops.case import COMPLEXES, FLOATS, INTEGERS, Case, Values, draw, pairs, special

# Elementwise

_UNARY_MATH: dict[str, Callable[[float], float]] = {
    "cbrt": lambda x: math.copysign(abs(x) ** (1 / 3), x) if math.isfinite(x) else x,
    "exp": math.exp,
    "exp2": lambda x: 2.0**x,
    "expm1": math.expm1,
    "log": math.log,
    "log2": math.log2,
    "log10": math.log10,
    "log1p": math.log1p,
    "sin": math.sin,
    "cos": math.cos,
    "tan": math.tan,
    "asin": math.asin,
    "acos": math.acos,
    "atan": math.atan,
    "sinh": math.sinh,
    "cosh": math.cosh,
    "tanh": math.tanh,
    "asinh": math.asinh,
    "acosh": math.acosh,
    "atanh": math.atanh,
    "erf": math.erf,
    "erfc": math.erfc,
    "sigmoid": lambda x: 0.5 * (1.0 + math.tanh(0.5 * x)),
    "rsqrt": lambda x: x**-0.5,
    "sqrt": math.sqrt,
    "reciprocal": lambda x: 1.0 / x,
}
_DOMAINS: dict[str, tuple[float, float]] = {
    **dict.fromkeys(("log", "log2", "log10", "sqrt", "rsqrt"), (0.2, 3.0)),
    **dict.fromkeys(("asin", "acos", "atanh"), (-0.9, 0.9)),
    **dict.fromkeys(("acosh",), (1.2, 3.0)),
    **dict.fromkeys(("reciprocal", "cbrt"), (0.3, 3.0)),
    "log1p": (-0.8, 2.0),
    "tan": (-1.2, 1.2),
}
_COMPLEX_MATH: dict[str, Callable[[complex], complex]] = {
    name: getattr(cmath, name) for name in ("exp", "log", "sqrt", "sin", "cos", "tan", "sinh", "cosh", "tanh")
} | {"reciprocal": lambda z: 1 / z, "rsqrt": lambda z: 1 / cmath.sqrt(z)}


def _each(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of numbers applied element by element."""

    def apply(*arrays: Values) -> Values:
        wide = [x.astype(np.complex128 if x.dtype.kind == "c" else np.float64) for x in arrays]
        results = [function(*(v.item() for v in row)) for row in zip(*(x.reshape(-1) for x in wide))]
        return np.array(results, dtype=wide[0].dtype).reshape(arrays[0].shape)

    return apply


def _math_cases() -> Iterator[Case]:
    for name, function in _UNARY_MATH.items():
        op = getattr(ew, name)
        low, high = _DOMAINS.get(name, (-2.0, 2.0))
        for kind in FLOATS:
            yield Case(op, (draw((3, 7), kind, low, high),), {}, _each(function))
            yield Case(op, (special(kind),), {}, None, "special")
        for shape in ((), (0,), (1,), (2, 0, 3)):
            yield Case(op, (draw(shape, f32, low, high),), {}, _each(function))
        yield Case(op, (draw((2, 3), f64, low, high),), {}, _each(function), "smooth", gradient=True)
        if name in _COMPLEX_MATH:
            for kind in COMPLEXES:
                yield Case(op, (draw((2, 3), kind, 0.3, 1.5),), {}, _each(_COMPLEX_MATH[name]), gradient=kind is c128)


def _simple_unary_cases() -> Iterator[Case]:
    rounding: tuple[tuple[Op, Callable[[float], float]], ...] = (
        (ew.floor, math.floor),
        (ew.ceil, math.ceil),
        (ew.round_, round),
        (ew.trunc, math.trunc),
    )
    for op, function in rounding:
        for kind in FLOATS:
            yield Case(op, (draw((4, 5), kind, -4.0, 4.0),), {}, _each(lambda x, f=function: math.copysign(f(x), x)))
            yield Case(op, (special(kind),), {}, None, "special", exact=True)
    for kind in (*INTEGERS, *FLOATS, *COMPLEXES):
        real = kind.kind < Kind.COMPLEX
        yield Case(ew.neg, (special(kind),), {}, lambda x: np.zeros_like(x) - x if x.dtype.kind in "iu" else -x)
        yield Case(ew.abs_, (special(kind),), {}, (lambda x: np.where(x < 0, -x, x + 0)) if real else None)
        if real:
            yield Case(ew.sign, (special(kind),), {}, lambda x: np.where(x > 0, 1, np.where(x < 0, -1, 0)), exact=True)
    for kind in FLOATS:
        tests = ((ew.is_nan, math.isnan), (ew.is_inf, math.isinf), (ew.is_finite, math.isfinite))
        for op, test in tests:
            yield Case(op, (special(kind),), {}, lambda x, f=test: _each(f)(x).astype(bool))
    for kind in COMPLEXES:
        z = np.array([1, complex(0.0, math.nan), complex(math.inf, 1.0), complex(math.nan, math.inf)], kind.numpy)
        for op, answer in ((ew.is_nan, [0, 1, 0, 1]), (ew.is_inf, [0, 0, 1, 1]), (ew.is_finite, [1, 0, 0, 0])):
            yield Case(op, (z,), {}, lambda z, e=answer: np.array(e, bool))
    for kind in (f64, c128):
        yield Case(ew.neg, (draw((2, 3), kind),), {}, lambda x: 0 - x, gradient=True)
        yield Case(ew.abs_, (draw((2, 3), kind, 0.5, 2.0),), {}, lambda x: (x * x.conj()).real ** 0.5, gradient=True)
    for kind in DTYPES:
        yield Case(ew.detach, (special(kind),), {}, lambda x: x, exact=not kind.is_complex)
    yield Case(ew.logical_not, (special(bool_),), {}, lambda x: ~x)
    for kind in (bool_, *INTEGERS):
        yield Case(ew.bitwise_not, (special(kind),), {}, lambda x: x ^ True if x.dtype == bool else (0 * x) - x - 1)
    for kind in COMPLEXES:
        z = draw((2, 3), kind)
        for op, expected in ((ew.real, lambda z: (z + z.conj()).real / 2), (ew.imag, lambda z: (-1j * z).real)):
            yield Case(op, (z,), {}, expected, gradient=kind is c128)
        yield Case(ew.conj, (z,), {}, lambda z: z.real - 1j * z.imag, gradient=kind is c128)


def _integer_pow(x: int, y: int) -> int:
    if y >= 0:
        return x**y
    return x ** (-y) if x in (1, -1) else 0


def _wrapping(function: Callable[[int, int], int]) -> Callable[..., Any]:
    """A function of Python integers, its results taken modulo 2^bits."""

    def apply(x: Values, y: Values) -> Values:
        bits = x.dtype.itemsize * 8
        results = [function(int(a), int(b)) & (2**bits - 1) for a, b in zip(x.reshape(-1), y.reshape(-1))]
        return np.array(results, f"u{x.dtype.itemsize}").view(x.dtype).reshape(x.shape)

    return apply


def _shift_left(x: int, y: int) -> int:
    return x << y if 0 <= y < 64 else 0


def _shift_right(x: int, y: int) -> int:
    return x >> (y if 0 <= y < 64 else 64)


def _binary_cases() -> Iterator[Case]:
    whole: dict[Op, Callable[[int, int], int]] = {
        ew.add: lambda x, y: x + y,
        ew.sub: lambda x, y: x - y,
        ew.mul: lambda x, y: x * y,
        ew.floor_divide: lambda x, y: x // y if y else 0,
        ew.remainder: lambda x, y: x % y if y else 0,
        ew.fmod: lambda x, y: abs(x) % abs(y) * (1 if x > 0 else -1) if y else 0,
        ew.maximum: max,
        ew.minimum: min,
        ew.bitwise_and: lambda x, y: x & y,
        ew.bitwise_or: lambda x, y: x | y,
        ew.bitwise_xor: lambda x, y: x ^ y,
    }
    for op, function in whole.items():
        for kind in INTEGERS:
            yield Case(op, pairs(kind), {}, _wrapping(function))
    for kind in INTEGERS:
        bases, exponents = np.array([-3, -1, 0, 1, 2, 5]).astype(kind.numpy), np.array([0, 1, 2, 7]).astype(kind.numpy)
        yield Case(ew.pow_, (np.repeat(bases, 4), np.tile(exponents, 6)), {}, _wrapping(_integer_pow))
        for amounts in (kind, i8):
            distance = np.array([0, 1, 7, 31, 63, 64, 127]).astype(amounts.numpy)
            yield Case(ew.shift_left, (special(kind), distance), {}, _wrapping(_shift_left))
            yield Case(ew.shift_right, (special(kind), distance), {}, _wrapping(_shift_right))
    negative = np.array([-1, -2, -3, -1, -64], np.int32)
    yield Case(ew.pow_, (np.array([1, -1, -1, 5, 0], np.int32), negative), {}, _wrapping(_integer_pow), "negative")
    yield Case(ew.shift_left, (negative, negative), {}, lambda x, y: np.zeros_like(x), "negative")
    yield Case(ew.shift_right, (negative, negative), {}, lambda x, y: np.full_like(x, -1), "negative")
    for op in (ew.bitwise_and, ew.bitwise_or, ew.bitwise_xor):
        yield Case(op, pairs(bool_), {}, _wrapping(whole[op]))

    comparisons: dict[Op, Callable[[Any, Any], bool]] = {
        ew.eq: lambda x, y: x == y,
        ew.ne: lambda x, y: x != y,
        ew.lt: lambda x, y: x < y,
        ew.le: lambda x, y: x <= y,
        ew.gt: lambda x, y: x > y,
        ew.ge: lambda x, y: x >= y,
    }
    for op, compare in comparisons.items():
        for kind in (bool_, i8, u8, i64, u64, *FLOATS, *(COMPLEXES if op in (ew.eq, ew.ne) else ())):
            x, y = pairs(kind)
            yield Case(op, (x, y), {}, lambda x, y, f=compare: [f(a.item(), b.item()) for a, b in zip(x, y)])

    exact: dict[Op, Callable[[float, float], float]] = {
        ew.add: lambda x, y: x + y,
        ew.sub: lambda x, y: x - y,
        ew.mul: lambda x, y: x * y,
        ew.div: lambda x, y: x / y,
    }
    for op, function_of_floats in exact.items():
        for kind in FLOATS:
            yield Case(op, pairs(kind), {}, None, "special", exact=True)
            yield Case(op, (draw((3, 7), kind), draw((3, 7), kind, 0.5, 2.0)), {}, _each(function_of_floats))
        for shape in ((), (0,), (1,), (2, 0, 3)):
            yield Case(op, (draw(shape, f32), draw(shape, f32, 0.5, 2.0)), {}, _each(function_of_floats))
        for kind in (f64, *COMPLEXES):
            yield Case(
                op,
                (draw((2, 3), kind, 0.5, 2.0), draw((2, 3), kind, 0.5, 2.0)),
                {},
                _each(function_of_floats),
                "smooth",
                gradient=kind in (f64, c128),
            )
    rest: dict[Op, Callable[[float, float], float]] = {
        ew.pow_: math.pow,
        ew.atan2: math.atan2,
        ew.maximum: max,
        ew.minimum: min,
        ew.copysign: math.copysign,
        ew.remainder: lambda x, y: x - y * math.floor(x / y),
        ew.fmod: math.fmod,
        ew.floor_divide: lambda x, y: float(math.floor(x / y)),
    }
    for op, function_of_floats in rest.items():
        for kind in FLOATS:
            # Quotients near whole numbers would make remainders jump: 1.3 and up divide 0.1 to 1.2 not once.
            yield Case(op, pairs(kind), {}, None, "special")
            yield Case(op, (draw((3, 7), kind, 0.1, 1.2), draw((3, 7), kind, 1.3, 2.0)), {}, _each(function_of_floats))
        smooth = (np.array([0.7, 5.3, 1.9, 3.1]), np.array([1.1, 1.4, 0.8, -2.3]))
        if op is ew.pow_:
            for kind in COMPLEXES:
                numbers = (draw((2, 3), kind, 0.3, 1.5), draw((2, 3), kind, 0.3, 1.5))
                yield Case(op, numbers, {}, _each(lambda z, w: cmath.exp(w * cmath.log(z))), gradient=kind is c128)
        has_gradient = op is not ew.floor_divide
        yield Case(op, smooth, {}, _each(function_of_floats), "smooth", gradient=has_gradient)


def _choice_cases() -> Iterator[Case]:
    for kind in DTYPES:
        condition, x, y = draw((3, 5), bool_), draw((3, 5), kind), draw((3, 5), kind)
        expected = lambda c, x, y: [[b if a else z for a, b, z in zip(*rows)] for rows in zip(c, x, y)]  # noqa: E731
        yield Case(ew.select, (condition, x, y), {}, expected, gradient=kind in (f64, c128))
        for target in DTYPES:
            label = f"to-{target.name}"
            in_range = special(kind) if target.kind >= kind.kind else draw((9,), kind, 0.0, 9.0)
            yield Case(ew.cast, (in_range,), {"dtype": target}, None, label)
            small = np.array([0, 1, 5, 100]).astype(kind.numpy)
            if bool_ not in (kind, target):
                yield Case(ew.cast, (small,), {"dtype": target}, lambda x: [0, 1, 5, 100], label + "-small")
    beyond = np.array([300.7, -300.7, math.nan, math.inf, -math.inf, 127.9, -128.9, 1e300])
    for target, expected_whole in (
        (i8, [127, -128, 0, 127, -128, 127, -128, 127]),
        (u8, [255, 0, 0, 255, 0, 127, 0, 255]),
        (i64, [300, -300, 0, 2**63 - 1, -(2**63), 127, -128, 2**63 - 1]),
    ):
        yield Case(ew.cast, (beyond,), {"dtype": target}, lambda x, e=expected_whole: e, "beyond-" + target.name)
    truth = np.array([0.0, -0.0, math.nan, 2.0])
    yield Case(ew.cast, (truth,), {"dtype": bool_}, lambda x: [False, False, True, True], "truth")
    halfway = np.array([2049.0, 2051.0, 65519.0, 65520.0], np.float32)
    yield Case(ew.cast, (halfway,), {"dtype": f16}, lambda x: [2048.0, 2052.0, 65504.0, math.inf], "ties", exact=True)
    for source, target in ((f64, f64), (f64, c128), (c128, c128), (c128, f64)):
        label = f"smooth-{target.name}"
        yield Case(ew.cast, (draw((2, 3), source),), {"dtype": target}, None, label, gradient=True)
    for source, target in ((f32, i32), (f32, u32), (i32, f32), (f64, i64), (u64, f64), (f16, bf16), (i8, u8)):
        bits = special(source)
        expected_bits = lambda x, d=target: np.frombuffer(x.tobytes(), d.numpy)  # noqa: E731
        yield Case(ew.bitcast, (bits,), {"dtype": target}, expected_bits, f"to-{target.name}", exact=True)
    for kind, whole in ((f32, c64), (f64, c128)):
        parts = (draw((2, 3), kind), draw((2, 3), kind))
        yield Case(ew.complex_, parts, {}, lambda re, im: re + 1j * im, f"to-{whole.name}", gradient=kind is f64)


ELEMENTWISE: tuple[Case, ...] = (
    *_math_cases(),
    *_simple_unary_cases(),
    *_binary_cases(),
    *_choice_cases(),
)
