"""The table of cases that every primitive op has: operands, attributes, and what must come out.

Each case is one node. `expected` is written without the op's reference, from plain numpy or the `math` module, where
that isn't the same text; None leaves the value to comparing reference, lowering and native code with each other.
Whoever runs ops in another way (native code, eager) runs this same table.
"""

from __future__ import annotations

import cmath
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from graphc.ir.attribute import Array, Attribute
from graphc.ir.dtype import (
    DTYPES,
    DType,
    Kind,
    bf16,
    bool_,
    c64,
    c128,
    dtype,
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
from graphc.ir.graph import Graph, Node, make_input
from graphc.ir.op import Op
from graphc.ir.type import TensorType
from graphc.ops import contraction as ct
from graphc.ops import creation as cr
from graphc.ops import elementwise as ew
from graphc.ops import indexing as ix
from graphc.ops import movement as mv
from graphc.ops import reduction as rd

Values = npt.NDArray[Any]

TOLERANCE = {f16: 1e-3, bf16: 8e-3, f32: 2e-6, f64: 1e-14, c64: 4e-6, c128: 4e-14}
"""Relative error that two ways to compute one element may differ by; sums of n elements get sqrt(n) times that."""


@dataclass(frozen=True)
class Case:
    """One node: what to compute on which arrays, and what must come out."""

    op: Op
    arrays: tuple[Values, ...]
    attributes: dict[str, Attribute] = field(default_factory=dict)
    expected: Callable[..., Any] | None = None
    label: str = ""
    gradient: bool = False
    """Whether derivatives are compared with differences here; such cases are float64 or complex128 and smooth."""
    exact: bool = False
    """Whether the result must have these very bits (nan aside), because each step rounds exactly or not at all."""

    @property
    def id(self) -> str:
        """For pytest."""
        kinds = "-".join(str(TensorType(a.shape, dtype(a.dtype))) for a in self.arrays)
        return f"{self.op.name}-{kinds}{'-' + self.label if self.label else ''}"

    def inputs(self) -> tuple[Node, ...]:
        """An input node for each array."""
        return tuple(make_input(f"x{k}", TensorType(a.shape, dtype(a.dtype))) for k, a in enumerate(self.arrays))

    def graph(self) -> Graph:
        """The graph of the one node."""
        inputs = self.inputs()
        return Graph(self.op.name, inputs, (self.op(*inputs, **self.attributes),))


def assert_close(actual: Values, expected: Any, *, exact: bool = False, count: int = 1) -> None:
    """Equal dtype and shape, and values up to the dtype's tolerance; nan equals nan."""
    wanted = np.asarray(expected)
    assert actual.shape == wanted.shape, f"shape {actual.shape}, expected {wanted.shape}"
    kind = dtype(actual.dtype)
    if kind.kind < Kind.FLOAT or exact:
        cast_wanted = wanted.astype(actual.dtype)
        np.testing.assert_array_equal(_comparable(actual), _comparable(cast_wanted))
        if kind.is_floating_point:
            zeros = _comparable(actual) == 0
            np.testing.assert_array_equal(
                np.signbit(_comparable(actual))[zeros], np.signbit(_comparable(cast_wanted))[zeros]
            )
        return
    limit = TOLERANCE[kind] * math.sqrt(count)
    with np.errstate(all="ignore"):
        rounded = _comparable(wanted.astype(actual.dtype))
    finite = rounded[np.isfinite(rounded)]
    scale = float(np.max(np.abs(finite), initial=0.0)) if count > 1 else 0.0
    least = {f16: 6e-8, bf16: 1e-40, f32: 1.5e-45, f64: 5e-324, c64: 1e-7, c128: 1e-15}[kind]
    np.testing.assert_allclose(_comparable(actual), rounded, rtol=limit, atol=max(limit * scale, least))


def _comparable(x: Values) -> Values:
    return x.astype(np.float32) if x.dtype in (f16.numpy, bf16.numpy) else x


def cases_of(op: Op) -> list[Case]:
    """The cases of one op."""
    return [case for case in CASES if case.op is op]


# Operands

_RANDOM = np.random.default_rng(20240229)
INTEGERS = tuple(d for d in DTYPES if d.is_integer)
FLOATS = (f16, bf16, f32, f64)
COMPLEXES = (c64, c128)


def draw(shape: tuple[int, ...], kind: DType = f64, low: float = -2.0, high: float = 2.0) -> Values:
    """Random elements: uniform floats, integers of both signs, bools."""
    if kind is bool_:
        return _RANDOM.integers(0, 2, shape).astype(np.bool_)
    if kind.is_integer:
        return _RANDOM.integers(0 if not kind.signed else -9, 10, shape).astype(kind.numpy)
    parts = _RANDOM.uniform(low, high, shape)
    if kind.is_complex:
        return (parts + 1j * _RANDOM.uniform(low, high, shape)).astype(kind.numpy)
    return parts.astype(kind.numpy)


def special(kind: DType) -> Values:
    """Zeros, subnormal, largest, infinite and nan; the ends of an integer type."""
    if kind is bool_:
        return np.array([False, True])
    if kind.is_integer:
        limits = np.iinfo(kind.numpy.name)
        return np.array([0, 1, limits.min, limits.max, limits.min + 1, 2, 7], kind.numpy)
    if kind.is_complex:
        return np.array([0, 1, -1, 1j, -1j, 3 + 4j, complex(-0.0, 0.0)], kind.numpy)
    least = {f16: 6e-8, bf16: 1e-40, f32: 1e-45, f64: 5e-324}[kind]
    most = {f16: 65504.0, bf16: 3.3895e38, f32: 3.4028234e38, f64: 1.7976931348623157e308}[kind]
    values = [0.0, -0.0, least, -least, 1.0, -1.0, 0.5, -2.5, 1.5, most, -most, math.inf, -math.inf, math.nan]
    return np.array(values, np.float64).astype(kind.numpy)


def pairs(kind: DType) -> tuple[Values, Values]:
    """Every special value beside every other."""
    values = special(kind)
    return np.repeat(values, len(values)), np.tile(values, len(values))


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


# Movement


def _movement_cases() -> Iterator[Case]:
    shapes = (
        ((2, 3, 4), (6, 4)),
        ((6, 4), (2, 3, 2, 2)),
        ((4, 6), (8, 3)),
        ((2, 1, 3), (3, 1, 2, 1)),
        ((), (1, 1)),
        ((1,), ()),
        ((0, 3), (3, 0, 2)),
        ((4, 6, 5), (2, 12, 5)),
        ((6,), (6,)),
    )
    for old, new in shapes:
        x = draw(old)
        expected = lambda x, s=new: np.array(list(x.flat)).reshape(s)  # noqa: E731
        yield Case(mv.reshape, (x,), {"shape": new}, expected, f"to-{new}", gradient=x.size > 0)
    for axes in ((0, 1, 2), (2, 0, 1), (1, 0, 2), (2, 1, 0)):
        x = draw((2, 3, 4))
        letters = "abc"
        text = f"abc->{''.join(letters[a] for a in axes)}"
        yield Case(mv.permute, (x,), {"axes": axes}, lambda x, t=text: np.einsum(t, x), f"{axes}", True, True)
    yield Case(mv.permute, (draw(()),), {"axes": ()}, lambda x: x)
    for old, new in (((1, 3), (4, 3)), ((1, 1), (2, 3)), ((2, 1, 3), (2, 5, 3)), ((), ()), ((1,), (0,)), ((2,), (2,))):
        expected = lambda x, s=new: np.zeros(s) + x  # noqa: E731
        yield Case(mv.broadcast, (draw(old),), {"shape": new}, expected, f"to-{new}", gradient=0 not in new)
    slices = (
        ((7,), (1,), (6,), (2,)),
        ((7,), (0,), (7,), (3,)),
        ((7,), (3,), (3,), (1,)),
        ((4, 6), (1, 0), (3, 5), (1, 4)),
        ((4, 6), (0, 2), (4, 6), (2, 2)),
        ((0, 2), (0, 1), (0, 2), (1, 1)),
    )
    for shape, start, stop, step in slices:
        attributes: dict[str, Attribute] = {"start": start, "stop": stop, "step": step}
        index = np.ix_(*(np.arange(a, b, c) for a, b, c in zip(start, stop, step)))
        x = draw(shape)
        label = f"{start}{stop}{step}"
        yield Case(mv.slice_, (x,), attributes, lambda x, i=index: x[i], label, x[index].size > 0, True)
    pads = (
        ((3,), (1,), (2,), (0,)),
        ((3,), (0,), (0,), (2,)),
        ((5,), (-1,), (-2,), (0,)),
        ((4,), (-3,), (2,), (1,)),
        ((4,), (-9,), (6,), (1,)),
        ((2, 3), (1, 0), (0, 2), (1, 0)),
        ((0,), (2,), (1,), (3,)),
        ((3,), (0,), (0,), (0,)),
        ((), (), (), ()),
    )
    for shape, low, high, interior in pads:
        attributes = {"low": low, "high": high, "interior": interior}
        function = lambda x, v, a=(low, high, interior): _pad_by_element(x, v, *a)  # noqa: E731
        operands = (draw(shape), draw(()))
        yield Case(mv.pad, operands, attributes, function, f"{low}{high}{interior}", 0 not in shape, True)
    for axes in ((), (0,), (1, 2), (0, 1, 2)):
        index = np.ix_(*(np.arange(n)[:: -1 if a in axes else 1] for a, n in enumerate((2, 3, 4))))
        yield Case(mv.flip, (draw((2, 3, 4)),), {"axes": axes}, lambda x, i=index: x[i], f"{axes}", True, True)
    groups = (((2, 3), (4, 3), (1, 3)), ((0, 3), (2, 3)), ((2, 3),), ((0, 3), (0, 3)))
    for shapes_of in groups:
        operands = tuple(draw(shape) for shape in shapes_of)
        stacked = lambda *xs: np.array([row for x in xs for row in x]).reshape(-1, 3)  # noqa: E731
        yield Case(mv.concat, operands, {"axis": 0}, stacked, "rows", sum(x.size for x in operands) > 0, True)
    beside = lambda x, y: [[*a, *b] for a, b in zip(x, y)]  # noqa: E731
    yield Case(mv.concat, (draw((2, 3)), draw((2, 1))), {"axis": 1}, beside, "columns", True, True)
    for kind in (bool_, i64, f16, bf16, c64):
        x = draw((2, 4), kind)
        yield Case(mv.reshape, (x,), {"shape": (4, 2)}, lambda x: x.reshape(4, 2), exact=True)
        attributes = {"low": (1, 0), "high": (0, -1), "interior": (0, 1)}
        yield Case(mv.pad, (x, draw((), kind)), attributes, None, exact=True)
    windows = (
        ((7,), (0,), (3,), (1,), (1,)),
        ((7,), (0,), (3,), (2,), (1,)),
        ((9,), (0,), (2,), (3,), (4,)),
        ((5, 6), (0, 1), (2, 3), (1, 2), (2, 1)),
        ((5, 2, 6), (2, 0), (2, 5), (2, 1), (1, 1)),
        ((2,), (0,), (3,), (1,), (1,)),
        ((3, 0), (0,), (2,), (1,), (1,)),
    )
    for shape, axes, size, stride, dilation in windows:
        attributes = {"axes": axes, "size": size, "stride": stride, "dilation": dilation}
        x = draw(shape)
        windowed = _window_by_element(x, axes, size, stride, dilation)
        by_element = lambda x, a=(axes, size, stride, dilation): _window_by_element(x, *a)  # noqa: E731
        label = f"{axes}{size}{stride}{dilation}"
        yield Case(mv.window, (x,), attributes, by_element, label, windowed.size > 0, True)
        extent = tuple(shape[a] for a in axes)
        updates = draw(windowed.shape)
        folded = lambda y, s=shape, a=(axes, size, stride, dilation): _fold_by_element(y, s, *a)  # noqa: E731
        yield Case(mv.fold, (updates,), {**attributes, "extent": extent}, folded, label, windowed.size > 0)
    for kind in (i32, f16, bf16, c64):
        once: dict[str, Attribute] = {"axes": (0,), "size": (3,), "stride": (2,), "dilation": (1,), "extent": (8,)}
        folded = lambda y: _fold_by_element(y, (8,), (0,), (3,), (2,), (1,))  # noqa: E731
        yield Case(mv.fold, (draw((3, 3), kind),), once, folded)


def _pad_by_element(x: Values, value: Values, low: Any, high: Any, interior: Any) -> Values:
    spread = [max(0, n + (n - 1) * k) for n, k in zip(x.shape, interior)]
    result = np.full([a + n + c for a, n, c in zip(low, spread, high)], value, x.dtype)
    for index in np.ndindex(*x.shape):
        place = tuple(i * (k + 1) + a for i, k, a in zip(index, interior, low))
        if all(0 <= p < n for p, n in zip(place, result.shape)):
            result[place] = x[index]
    return result


def _window_places(counts: Any, axes: Any, size: Any, stride: Any, dilation: Any) -> Iterator[tuple[Any, Any]]:
    for index in np.ndindex(*counts, *size):
        place = list(index[: len(counts)])
        for axis, k, by, gap in zip(axes, index[len(counts) :], stride, dilation):
            place[axis] = place[axis] * by + k * gap
        yield index, tuple(place)


def _window_by_element(x: Values, axes: Any, size: Any, stride: Any, dilation: Any) -> Values:
    counts = list(x.shape)
    for axis, k, by, gap in zip(axes, size, stride, dilation):
        counts[axis] = len(range(0, x.shape[axis] - gap * (k - 1), by))
    result = np.empty((*counts, *size), x.dtype)
    for index, place in _window_places(counts, axes, size, stride, dilation):
        result[index] = x[place]
    return result


def _fold_by_element(y: Values, shape: Any, axes: Any, size: Any, stride: Any, dilation: Any) -> Values:
    wide = y.astype(np.float64) if y.dtype in (f16.numpy, bf16.numpy) else y
    result = np.zeros(shape, wide.dtype)
    for index, place in _window_places(y.shape[: y.ndim - len(axes)], axes, size, stride, dilation):
        result[place] += wide[index]
    return result


# Reduction

_AXES = ((), (0,), (1,), (2,), (0, 1), (0, 2), (0, 1, 2))


def _along(function: Callable[[list[Any]], Any], axes: tuple[int, ...]) -> Callable[[Values], Values]:
    """A function of a list of numbers along axes."""

    def apply(x: Values) -> Values:
        kept = [a for a in range(x.ndim) if a not in axes]
        shape = [x.shape[a] for a in kept]
        rows = np.transpose(x, (*kept, *axes)).reshape(int(np.prod(shape)), -1 if x.size else 0)
        return np.array([function(row.tolist()) for row in rows]).reshape(shape)

    return apply


def _reduction_cases() -> Iterator[Case]:
    for axes in _AXES:
        attributes: dict[str, Attribute] = {"axes": axes}
        x = draw((2, 3, 4))
        yield Case(rd.sum_, (x,), attributes, _along(math.fsum, axes), f"{axes}", True)
        yield Case(rd.prod, (x,), attributes, _along(math.prod, axes), f"{axes}", True)
        yield Case(rd.max_, (x,), attributes, _along(max, axes), f"{axes}", True)
        yield Case(rd.min_, (x,), attributes, _along(min, axes), f"{axes}", True)
        truth = draw((2, 3, 4), bool_)
        yield Case(rd.any_, (truth,), attributes, _along(any, axes), f"{axes}")
        yield Case(rd.all_, (truth,), attributes, _along(all, axes), f"{axes}")
    for kind in DTYPES:
        x = draw((3, 70), kind)
        wide = np.asarray(x, np.complex128 if kind.is_complex else np.float64 if kind.kind is Kind.FLOAT else np.int64)
        yield Case(rd.sum_, (x,), {"axes": (1,)}, lambda x, w=wide: np.einsum("ij->i", w), "long")
        yield Case(rd.sum_, (draw((0, 2), kind),), {"axes": (0,)}, lambda x: [0, 0], "empty")
        if not kind.is_complex:
            few = draw((3, 2), kind)
            expected = lambda x: x[:, 0].astype(object) * x[:, 1].astype(object)  # noqa: E731
            yield Case(rd.prod, (few,), {"axes": (1,)}, None if kind is bool_ else expected)
            yield Case(rd.prod, (draw((0, 2), kind),), {"axes": (0,)}, lambda x: [1, 1], "empty")
        if kind.kind in (Kind.INT, Kind.FLOAT):
            values = np.stack([special(kind), special(kind)[::-1]])
            for op in (rd.max_, rd.min_):
                yield Case(op, (values,), {"axes": (0,)}, None, "special")
                yield Case(op, (draw((0, 3), kind),), {"axes": (1,)}, lambda x: np.zeros(0), "empty-result")
            tied = np.array([[2, 7, 7, 1, 1], [3, 3, 3, 3, 3], [1, 2, 3, 4, 5]]).astype(kind.numpy)
            for op, first in ((rd.argmax, [1, 0, 4]), (rd.argmin, [3, 0, 0])):
                yield Case(op, (tied,), {"axis": 1}, lambda x, e=first: e, "ties")
                yield Case(op, (values,), {"axis": 0}, None, "special")
    nan_first = np.array([1.0, math.nan, 5.0, math.nan])
    for op in (rd.argmax, rd.argmin):
        yield Case(op, (nan_first,), {"axis": 0}, lambda x: 1, "nan")
    for op in (rd.max_, rd.min_):
        yield Case(op, (nan_first,), {"axes": (0,)}, lambda x: math.nan, "nan")
    yield Case(rd.any_, (np.zeros((0, 2), bool),), {"axes": (0,)}, lambda x: [False, False], "empty")
    yield Case(rd.all_, (np.zeros((0, 2), bool),), {"axes": (0,)}, lambda x: [True, True], "empty")
    infinite = np.array([[math.inf, 1.0], [math.inf, -math.inf], [math.nan, 0.0], [-0.0, 0.0]])
    yield Case(rd.sum_, (infinite,), {"axes": (1,)}, lambda x: [math.inf, math.nan, math.nan, 0.0], "special")
    yield Case(rd.sum_, (draw((2, 3), c128),), {"axes": (1,)}, lambda z: z @ np.ones(3), "smooth", True)
    for zeros in ((), (1,), (0, 2), (0, 1, 2)):  # a product with none, one, two and three zeros
        holes = draw((4,), f64, 0.5, 2.0)
        holes[list(zeros)] = 0.0
        yield Case(rd.prod, (holes,), {"axes": (0,)}, _along(math.prod, (0,)), f"zeros-at-{zeros}", True)
    for axis in (0, 1):
        for reverse in (False, True):
            attributes = {"axis": axis, "reverse": reverse}
            for kind in (i64, f32, f64, c64, c128):
                x = draw((3, 4), kind)
                by_matrix = lambda x, a=axis, r=reverse: _running_sum(x, a, r)  # noqa: E731
                yield Case(rd.cumsum, (x,), attributes, by_matrix, f"{axis}{reverse}", kind in (f64, c128))
    yield Case(rd.cumsum, (draw((0, 2)),), {"axis": 0}, lambda x: np.zeros((0, 2)), "empty")
    yield Case(rd.cumsum, (draw((1, 2)),), {"axis": 0}, lambda x: x, "single")


def _running_sum(x: Values, axis: int, reverse: bool) -> Values:
    n = x.shape[axis]
    takes = np.tri(n, dtype=x.dtype).T if reverse else np.tri(n, dtype=x.dtype)
    return takes @ x if axis == 0 else x @ takes.T


# Contraction


def _contraction_cases() -> Iterator[Case]:
    products: tuple[tuple[str, tuple[int, ...], tuple[int, ...], Any, Any], ...] = (
        ("ij,jk->ik", (2, 3), (3, 4), ((1,), (0,)), ((), ())),
        ("ji,kj->ik", (3, 2), (4, 3), ((0,), (1,)), ((), ())),
        ("bij,bjk->bik", (2, 3, 4), (2, 4, 5), ((2,), (1,)), ((0,), (0,))),
        ("ibj,jkb->bik", (3, 2, 4), (4, 5, 2), ((2,), (0,)), ((1,), (2,))),
        ("i,i->", (5,), (5,), ((0,), (0,)), ((), ())),
        ("i,j->ij", (3,), (4,), ((), ()), ((), ())),
        ("ijk,kjl->il", (2, 3, 4), (4, 3, 2), ((1, 2), (1, 0)), ((), ())),
        ("ijk,kjl->il", (2, 3, 4), (4, 3, 2), ((2, 1), (0, 1)), ((), ())),
        ("abi,cabi->abc", (2, 3, 4), (5, 2, 3, 4), ((2,), (3,)), ((0, 1), (1, 2))),
        ("abi,cbai->bac", (2, 3, 4), (5, 3, 2, 4), ((2,), (3,)), ((1, 0), (1, 2))),
        (",->", (), (), ((), ()), ((), ())),
        ("ij,jk->ik", (2, 0), (0, 4), ((1,), (0,)), ((), ())),
        ("ij,jk->ik", (0, 3), (3, 4), ((1,), (0,)), ((), ())),
        ("ij,jk->ik", (1, 1), (1, 1), ((1,), (0,)), ((), ())),
    )
    for text, left, right, contract, batch in products:
        attributes: dict[str, Attribute] = {"contract": contract, "batch": batch}
        x, w = draw(left), draw(right)
        label = f"{text}{contract}"
        yield Case(ct.dot, (x, w), attributes, lambda x, w, t=text: np.einsum(t, x, w), label, x.size * w.size > 0)
    for kind in (*INTEGERS, f16, bf16, f32, *COMPLEXES):
        x, w = draw((3, 20), kind), draw((20, 2), kind)
        wide = np.complex128 if kind.is_complex else np.int64 if kind.is_integer else np.float64
        expected = lambda x, w, d=wide: np.einsum("ij,jk->ik", x.astype(d), w.astype(d))  # noqa: E731
        yield Case(ct.dot, (x, w), {"contract": ((1,), (0,))}, expected, gradient=kind is c128)


# Indexing


def _indexing_cases() -> Iterator[Case]:
    for axis, index in ((0, [2, -1, 0, 2]), (1, [[0, 3], [-4, 1]]), (1, 2), (0, np.zeros((0,), int)), (1, [[3]])):
        for kind in (i32, i64):
            where = np.asarray(index, kind.numpy)
            x = draw((3, 4))
            place = (slice(None),) * axis + (where.tolist(),)
            by_list = lambda x, i, p=place: x[p] if np.size(i) else np.zeros((0, 4))  # noqa: E731
            label = f"axis-{axis}"
            yield Case(ix.gather, (x, where), {"axis": axis}, by_list, label, kind is i64 and where.size > 0, True)
    for kind in (bool_, u8, f16, bf16, c64):
        x, where = draw((4, 2), kind), np.array([3, 0, 3], np.uint8)
        yield Case(ix.gather, (x, where), {"axis": 0}, lambda x, i: [x[3], x[0], x[3]], exact=True)
    yield Case(ix.gather, (draw((0, 2)), np.zeros((0,), np.int64)), {"axis": 0}, lambda x, i: np.zeros((0, 2)))
    for axis, index in ((0, [2, -1, 0, 2]), (1, [[0, 3], [-4, 1]]), (1, 2), (0, np.zeros((0,), int))):
        where = np.asarray(index, np.int64)
        x = draw((3, 4))
        updates = draw(x.shape[:axis] + where.shape + x.shape[axis + 1 :])
        for mode in ("set", "add"):
            attributes: dict[str, Attribute] = {"axis": axis, "mode": mode}
            one_by_one = lambda x, i, u, a=axis, m=mode: _scatter_by_element(x, i, u, a, m)  # noqa: E731
            yield Case(ix.scatter, (x, where, updates), attributes, one_by_one, f"{axis}-{mode}", True, mode == "set")
    for kind in (bool_, i8, u64, f16, bf16, c64):
        x, where, updates = draw((4,), kind), np.array([1, 1, 3], np.int32), draw((3,), kind)
        for mode in ("set", "add") if kind.is_integer or kind is c64 else ("set",):
            one_by_one = lambda x, i, u, m=mode: _scatter_by_element(x, i, u, 0, m)  # noqa: E731
            yield Case(ix.scatter, (x, where, updates), {"axis": 0, "mode": mode}, one_by_one, mode, exact=True)
    for starts in ((0, 0), (1, 2), (-5, 9), (2, 1)):
        x = draw((4, 5))
        at = tuple(np.array(s, k.numpy) for s, k in zip(starts, (i64, i32)))
        fitted = tuple(min(max(s, 0), n - m) for s, n, m in zip(starts, (4, 5), (2, 3)))
        grid = np.ix_(*(np.arange(s, s + m) for s, m in zip(fitted, (2, 3))))
        taken = lambda x, *s, g=grid: x[g]  # noqa: E731
        yield Case(ix.dynamic_slice, (x, *at), {"sizes": (2, 3)}, taken, f"at-{starts}", True, True)
        put = lambda x, u, *s, g=grid: _with_elements(x, g, u)  # noqa: E731
        yield Case(ix.dynamic_update, (x, draw((2, 3)), *at), {}, put, f"at-{starts}", True, True)
    far = np.array(2**64 - 1, np.uint64)
    yield Case(ix.dynamic_slice, (draw((5,), f32), far), {"sizes": (2,)}, lambda x, s: x[3:], "far", exact=True)
    whole = (draw((5,), i8), draw((5,), i8), np.array(3))
    yield Case(ix.dynamic_update, whole, {}, lambda x, u, s: u, "whole", exact=True)
    yield Case(ix.dynamic_slice, (draw((3,)), np.array(7)), {"sizes": (0,)}, lambda x, s: np.zeros(0), "nothing")


def _scatter_by_element(x: Values, index: Values, updates: Values, axis: int, mode: str) -> Values:
    result = x.copy()
    for where in np.ndindex(*updates.shape):
        place = (*where[:axis], int(index[where[axis : axis + index.ndim]]), *where[axis + index.ndim :])
        result[place] = result[place] + updates[where] if mode == "add" else updates[where]
    return result


def _with_elements(x: Values, place: Any, update: Values) -> Values:
    result = x.copy()
    result[place] = update
    return result


# Creation

# Random123 1.14.0, tests/kat_vectors: Philox 4x32-10 with counter 0 and key 0.
PHILOX_ZERO = (0x6627E8D5, 0xE169C58D)


def _creation_cases() -> Iterator[Case]:
    for kind in DTYPES:
        for value in (
            special(kind),
            draw((2, 3), kind),
            draw((), kind),
            draw((0, 2), kind),
            np.ones((2, 2), kind.numpy),
        ):
            expected = lambda v=value: v  # noqa: E731
            yield Case(cr.constant, (), {"value": Array(value)}, expected, f"{kind.name}{value.shape}", exact=True)
        if kind.kind in (Kind.INT, Kind.FLOAT):
            rows = lambda: [[0, 0, 0], [1, 1, 1]]  # noqa: E731
            yield Case(cr.iota, (), {"shape": (2, 3), "axis": 0, "dtype": kind}, rows, f"rows-{kind.name}", exact=True)
            columns = lambda: [[0, 1, 2], [0, 1, 2]]  # noqa: E731
            attributes: dict[str, Attribute] = {"shape": (2, 3), "axis": 1, "dtype": kind}
            yield Case(cr.iota, (), attributes, columns, f"columns-{kind.name}", exact=True)
            yield Case(cr.size, (), {"value": 100, "dtype": kind}, lambda: 100, kind.name, exact=True)
    yield Case(cr.iota, (), {"shape": (0,), "axis": 0, "dtype": f32}, lambda: np.zeros(0), "empty")
    for kind, first in ((u32, PHILOX_ZERO[0]), (u64, PHILOX_ZERO[0] | PHILOX_ZERO[1] << 32)):
        key = np.array(0, np.uint64)
        yield Case(cr.random_bits, (key,), {"shape": (1,), "dtype": kind}, lambda k, e=first: [e], kind.name)
        key = np.array(0xA4093822299F31D0, np.uint64)
        yield Case(cr.random_bits, (key,), {"shape": (2, 5), "dtype": kind}, None, kind.name)
        yield Case(cr.random_bits, (key,), {"shape": (2, 0), "dtype": kind}, lambda k: np.zeros((2, 0)), kind.name)


CASES: tuple[Case, ...] = (
    *_math_cases(),
    *_simple_unary_cases(),
    *_binary_cases(),
    *_choice_cases(),
    *_movement_cases(),
    *_reduction_cases(),
    *_contraction_cases(),
    *_indexing_cases(),
    *_creation_cases(),
)
