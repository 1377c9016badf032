"""The table of scalar ops: result dtypes, and the meaning of base ops where numpy alone doesn't give it."""

from __future__ import annotations

import numpy as np
import pytest

from graphc.ir.dtype import DType, bf16, bool_, f16, f32, f64, i8, i16, i32, i64, u8, u32, u64
from graphc.kernel.formula import FORMULAS
from graphc.kernel.scalar import SCALARS, Result, evaluate, result_dtype
from tests.kernel.ulp import Array

INF, NAN = float("inf"), float("nan")


def test_every_op_is_a_base_op_or_has_a_formula() -> None:
    assert {op.name for op in SCALARS.values() if not op.is_base} == set(FORMULAS)


RESULTS = [
    ("add", (f32, f32), None, f32),
    ("eq", (i8, i8), None, bool_),
    ("is_nan", (bf16,), None, bool_),
    ("select", (bool_, i64, i64), None, i64),
    ("shift_left", (u8, i64), None, u8),
    ("cast", (f32,), i8, i8),
    ("bitcast", (f32,), u32, u32),
]


@pytest.mark.parametrize("name, operands, given, out", RESULTS)
def test_result_dtypes(name: str, operands: tuple[DType, ...], given: DType | None, out: DType) -> None:
    assert result_dtype(name, operands, given) is out


REFUSED = [
    ("add", (f32, f64), None),
    ("add", (f32,), None),
    ("exp", (i32,), None),
    ("bitwise_and", (f32, f32), None),
    ("select", (i8, f32, f32), None),
    ("select", (bool_, f32, f64), None),
    ("cast", (f32,), None),
    ("bitcast", (f32,), u64),
]


@pytest.mark.parametrize("name, operands, given", REFUSED)
def test_operands_that_do_not_fit_are_refused(name: str, operands: tuple[DType, ...], given: DType | None) -> None:
    with pytest.raises(AssertionError, match=name):
        result_dtype(name, operands, given)


LEAST, MOST = -(2**31), 2**31 - 1
MEANINGS = [
    ("divide_truncated", i32, [(7, 2), (-7, 2), (7, -2), (7, 0), (LEAST, -1)], [3, -3, -3, 0, LEAST]),
    ("remainder_truncated", i32, [(7, 2), (-7, 2), (7, -2), (7, 0), (LEAST, -1)], [1, -1, 1, 0, 0]),
    ("shift_left", i32, [(3, 2), (3, 31), (3, 32), (3, -1), (1, 31)], [12, LEAST, 0, 0, LEAST]),
    ("shift_right", i32, [(-8, 2), (-8, 32), (8, 99), (-8, -1)], [-2, -1, 0, -1]),
    ("shift_right", u8, [(200, 3), (200, 8), (200, 255)], [25, 0, 0]),
    ("maximum", f32, [(1.0, NAN), (NAN, 1.0), (-0.0, 0.0), (0.0, -0.0), (-INF, 2.0)], [NAN, NAN, 0.0, 0.0, 2.0]),
    ("minimum", f32, [(1.0, NAN), (NAN, 1.0), (-0.0, 0.0), (0.0, -0.0), (INF, 2.0)], [NAN, NAN, -0.0, -0.0, 2.0]),
    ("abs", i32, [(LEAST,), (-3,)], [LEAST, 3]),
    ("neg", u8, [(1,), (0,)], [255, 0]),
    ("round", f64, [(0.5,), (1.5,), (-0.5,), (2.5,)], [0.0, 2.0, -0.0, 2.0]),
    ("add", bool_, [(True, True), (True, False), (False, False)], [True, True, False]),
    ("mul", bool_, [(True, True), (True, False)], [True, False]),
    ("ne", f32, [(NAN, NAN), (0.0, -0.0)], [True, False]),
    ("le", f32, [(NAN, NAN), (0.0, -0.0)], [False, True]),
]


@pytest.mark.parametrize("name, dtype, operands, want", MEANINGS)
def test_meaning(name: str, dtype: DType, operands: list[tuple[float, ...]], want: list[float]) -> None:
    columns = [np.array(column).astype(dtype.numpy) for column in zip(*operands)]
    out = result_dtype(name, (dtype,) * len(columns))
    got = evaluate(name, out, *columns)
    assert got.dtype == out.numpy
    assert [repr(v) for v in got.tolist()] == [repr(v) for v in np.array(want).astype(out.numpy).tolist()]


CASTS: list[tuple[DType, DType, list[float], list[float]]] = [
    (f32, i32, [1.9, -1.9, 3e9, -3e9, INF, -INF, NAN], [1, -1, MOST, LEAST, MOST, LEAST, 0]),
    (f64, i64, [2.0**63, -(2.0**63), 2.0**62], [2**63 - 1, -(2**63), 2**62]),
    (f32, u8, [-1.0, 255.9, 256.0, NAN], [0, 255, 255, 0]),
    (f64, u64, [2.0**64, 1.5, -0.5], [2**64 - 1, 1, 0]),
    (i32, i8, [130, -129, 255], [-126, 127, -1]),
    (i64, u32, [-1, 2**32 + 5], [2**32 - 1, 5]),
    (f32, bool_, [0.0, -0.0, NAN, 0.1], [False, False, True, True]),
    (bool_, f32, [True, False], [1.0, 0.0]),
    (f32, bf16, [1 + 2.0**-8, 1 + 3 * 2.0**-8, 3.4e38], [1.0, 1 + 2.0**-6, INF]),
    (f64, f16, [65519.0, 65520.0, 2.0**-25, 1 + 2.0**-11 + 2.0**-40], [65504.0, INF, 0.0, 1.0]),
    (i64, f32, [2**24 + 1, 2**60 + 2**36 + 1], [2.0**24, 2.0**60 + 2.0**37]),
    (u64, f64, [2**64 - 1], [2.0**64]),
    (bf16, i16, [-3.5, 1e6], [-3, 32767]),
]


@pytest.mark.parametrize("source, out, values, want", CASTS)
def test_casts(source: DType, out: DType, values: list[float], want: list[float]) -> None:
    got = evaluate("cast", out, _array(values, source))
    assert got.dtype == out.numpy
    assert got.astype(object if out.is_integer else np.float64).tolist() == want


def _array(values: list[float], dtype: DType) -> Array:
    return np.array(values, dtype.numpy) if dtype.is_integer else np.array(values, np.float64).astype(dtype.numpy)


def test_sixteen_bit_arithmetic_rounds_once_from_float32() -> None:
    x = np.arange(0, 2**16, 7, dtype=np.uint16).view(bf16.numpy)
    y = np.random.default_rng(30).permutation(x)
    for name, dtype in (("mul", bf16), ("add", bf16), ("div", bf16)):
        got = evaluate(name, dtype, x, y).astype(np.float32)
        want = evaluate(name, f32, x.astype(np.float32), y.astype(np.float32)).astype(bf16.numpy).astype(np.float32)
        assert np.array_equal(got, want, equal_nan=True)


def test_bitcast_keeps_shape_and_bits() -> None:
    assert evaluate("bitcast", u32, np.float32(1)).tolist() == 0x3F800000
    got = evaluate("bitcast", f16, np.array([[0x3C00, 0xC000]], np.uint16).T)
    assert (got.shape, got.tolist()) == ((2, 1), [[1.0], [-2.0]])


def test_shift_amounts_of_other_dtypes() -> None:
    amounts = np.array([0, 1, 31, 32, 256, -1, 2**40])
    assert evaluate("shift_left", u32, np.ones(7, np.uint32), amounts).tolist() == [1, 2, 2**31, 0, 0, 0, 0]


def test_select_is_the_only_op_with_three_dtypes_that_differ() -> None:
    assert [op.name for op in SCALARS.values() if op.result is Result.SELECT] == ["select"]
    assert evaluate("select", f32, np.array([True, False]), np.float32([1, 2]), np.float32([3, 4])).tolist() == [
        1.0,
        4.0,
    ]
