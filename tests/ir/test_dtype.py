"""Dtypes: their names, and the dtype in which values combine."""

from __future__ import annotations

import copy
import itertools
import pickle

import ml_dtypes
import numpy as np
import pytest

from graphc.ir.dtype import (
    DTYPES,
    STORAGE_DTYPES,
    DType,
    bf16,
    bool_,
    c64,
    c128,
    complex_of,
    default_float,
    dtype,
    f16,
    f32,
    f64,
    i8,
    i16,
    i32,
    i64,
    promote,
    promote_categories,
    real_of,
    u8,
    u16,
    u32,
    u64,
)
from graphc.ir.errors import DTypeError

# PyTorch's table of torch.promote_types for the dtypes that it lets combine.
PYTORCH = """
       u8   i8   i16  i32  i64  f16  f32  f64  c64  c128 bool bf16
u8     u8   i16  i16  i32  i64  f16  f32  f64  c64  c128 u8   bf16
i8     i16  i8   i16  i32  i64  f16  f32  f64  c64  c128 i8   bf16
i16    i16  i16  i16  i32  i64  f16  f32  f64  c64  c128 i16  bf16
i32    i32  i32  i32  i32  i64  f16  f32  f64  c64  c128 i32  bf16
i64    i64  i64  i64  i64  i64  f16  f32  f64  c64  c128 i64  bf16
f16    f16  f16  f16  f16  f16  f16  f32  f64  c64  c128 f16  f32
f32    f32  f32  f32  f32  f32  f32  f32  f64  c64  c128 f32  f32
f64    f64  f64  f64  f64  f64  f64  f64  f64  c128 c128 f64  f64
c64    c64  c64  c64  c64  c64  c64  c64  c128 c64  c128 c64  c64
c128   c128 c128 c128 c128 c128 c128 c128 c128 c128 c128 c128 c128
bool   u8   i8   i16  i32  i64  f16  f32  f64  c64  c128 bool bf16
bf16   bf16 bf16 bf16 bf16 bf16 f32  f32  f64  c64  c128 bf16 bf16
"""

# The wider unsigned integers: with bool, floats and each other as in PyTorch, with signed integers our own.
WIDE_UNSIGNED = """
       u8   u16  u32  u64  bool f16  bf16 f32  f64  c64  c128 i8   i16  i32  i64
u16    u16  u16  u32  u64  u16  f16  bf16 f32  f64  c64  c128 i32  i32  i32  i64
u32    u32  u32  u32  u64  u32  f16  bf16 f32  f64  c64  c128 i64  i64  i64  i64
u64    u64  u64  u64  u64  u64  f16  bf16 f32  f64  c64  c128 -    -    -    -
"""


def cells(table: str) -> list[tuple[str, str, str]]:
    head, *rows = [line.split() for line in table.strip().splitlines()]
    return [(row[0], column, cell) for row in rows for column, cell in zip(head, row[1:])]


@pytest.mark.parametrize(("a", "b", "result"), cells(PYTORCH) + cells(WIDE_UNSIGNED))
def test_two_dtypes_promote_as_in_the_table(a: str, b: str, result: str) -> None:
    for one, other in ((a, b), (b, a)):
        if result == "-":
            with pytest.raises(DTypeError, match="have no common integer type"):
                promote(dtype(one), dtype(other))
        else:
            assert promote(dtype(one), dtype(other)) is dtype(result)


def test_the_tables_have_every_pair() -> None:
    pairs = {frozenset((a, b)) for a, b, _ in cells(PYTORCH) + cells(WIDE_UNSIGNED)}
    assert pairs == {frozenset((a.short, b.short)) for a, b in itertools.product(DTYPES, repeat=2)}


def test_more_than_two_promote_from_the_left() -> None:
    assert promote(u8, i8, f16, bf16) is f32
    assert promote(i32) is i32


# Dtypes of tensors with dimensions, of 0-d tensors, of Python numbers, and the result.
CATEGORIES = (
    # A Python number changes nothing within its kind or below.
    ((i8,), (), (i64,), i8),
    ((u8,), (), (i64,), u8),
    ((f16,), (), (f32,), f16),
    ((bf16,), (), (i64,), bf16),
    ((f64,), (), (f32,), f64),
    ((c64,), (), (f32,), c64),
    ((i32,), (), (bool_,), i32),
    # Above it, it gives the default dtype of its kind.
    ((bool_,), (), (i64,), i64),
    ((bool_,), (), (bool_,), bool_),
    ((i64,), (), (f32,), f32),
    ((bool_,), (), (f32,), f32),
    ((i32,), (), (c64,), c64),
    # Floats and a complex number: the complex dtype of the floats' width (PyTorch's half complex dtype is not ours).
    ((f64,), (), (c64,), c128),
    ((f32,), (), (c64,), c64),
    ((f16,), (), (c64,), c64),
    ((bf16,), (), (c64,), c64),
    # A 0-d tensor counts by its own dtype, but only where its kind is higher.
    ((f16,), (f64,), (), f16),
    ((i8,), (i64,), (), i8),
    ((bool_,), (i16,), (), i16),
    ((bool_,), (u8,), (i64,), u8),
    ((i64,), (f16,), (), f16),
    ((i64,), (f64,), (), f64),
    ((f32,), (c128,), (), c64),
    ((f64,), (c64,), (), c128),
    ((i32,), (c128,), (), c128),
    ((c64,), (c128,), (), c64),
    # Without dimensions the 0-d tensors decide, and without these the numbers.
    ((), (f16,), (f32,), f16),
    ((), (i8, i16), (i64,), i16),
    ((), (i8,), (f32,), f32),
    ((), (f64,), (c64,), c128),
    ((), (), (i64, f32), f32),
    # All three at once.
    ((f32,), (f64,), (c64,), c64),
    ((i8,), (i64,), (f32,), f32),
    ((i8,), (f64,), (c64,), c128),
    ((bool_,), (i8,), (f32,), f32),
    ((f16, bf16), (f64,), (i64,), f32),
)


@pytest.mark.parametrize(("dimensioned", "zero_dim", "scalars", "result"), CATEGORIES)
def test_tensors_with_dimensions_outrank_others(
    dimensioned: tuple[DType, ...], zero_dim: tuple[DType, ...], scalars: tuple[DType, ...], result: DType
) -> None:
    assert promote_categories(dimensioned, zero_dim, scalars) is result


NAMES = (
    ("float32", f32),
    ("f32", f32),
    ("float", f32),
    ("double", f64),
    ("half", f16),
    ("bfloat16", bf16),
    ("i8", i8),
    ("long", i64),
    ("int", i32),
    ("bool", bool_),
    ("cfloat", c64),
    (bool, bool_),
    (int, i64),
    (float, f64),
    (complex, c128),
    (np.float32, f32),
    (np.uint16, u16),
    (np.intp, i64),
    (np.longlong, i64),
    (ml_dtypes.bfloat16, bf16),
    (np.dtype(">f4"), f32),
    (np.dtype("<c16"), c128),
    (np.dtype(bool), bool_),
    (np.dtype(ml_dtypes.bfloat16), bf16),
    (u32, u32),
)


@pytest.mark.parametrize(("value", "expected"), NAMES)
def test_names_and_numpy_dtypes_stand_for_dtypes(value: object, expected: DType) -> None:
    assert dtype(value) is expected


@pytest.mark.parametrize("d", (*DTYPES, *STORAGE_DTYPES), ids=str)
def test_each_dtype_is_found_by_all_its_names_and_is_one_object(d: DType) -> None:
    assert dtype(d.name) is dtype(d.short) is dtype(d.numpy) is dtype(d.numpy.type) is d
    assert pickle.loads(pickle.dumps(d)) is d
    assert copy.deepcopy(d) is copy.copy(d) is d
    assert d.numpy.itemsize == d.itemsize
    assert repr(d) == str(d) == f"torch.{d.name}"


WRONG = (
    (None, "None is no dtype"),
    ("float31", "'float31' is no dtype"),
    ("f8", "'f8' is no dtype"),  # numpy's name of float64, and the width of no float of ours
    ("i4", "'i4' is no dtype"),
    ("", "'' is no dtype"),
    (3, "3 is no dtype"),
    (str, "str is no dtype"),
    (object, "object is no dtype"),
    (np.integer, "integer is no dtype"),
    (np.str_, "str_ is no dtype"),
    (np.dtype("O"), "is no dtype"),
    (np.dtype("M8[s]"), "is no dtype"),
    (np.dtype([("a", "f4")]), "is no dtype"),
    (np.zeros(3), "is no dtype"),
    ([], "[] is no dtype"),
)


@pytest.mark.parametrize(("value", "message"), WRONG, ids=[message for _, message in WRONG])
def test_what_is_no_dtype_is_refused(value: object, message: str) -> None:
    with pytest.raises(DTypeError) as caught:
        dtype(value)
    assert message in caught.value.message
    assert caught.value.hint is not None


def test_a_name_close_to_a_dtype_is_suggested() -> None:
    with pytest.raises(DTypeError, match=r"did you mean 'float32'\?"):
        dtype("flaot32")


def test_parts_and_defaults() -> None:
    assert [real_of(d) for d in (c64, c128, f16, i8)] == [f32, f64, f16, i8]
    assert [complex_of(d) for d in (f16, bf16, f32, f64, i64, c128)] == [c64, c64, c64, c128, c64, c128]
    assert [default_float(d) for d in (bool_, i16, u64, f16, c128)] == [f32, f32, f32, f16, c128]


def test_kinds() -> None:
    assert [d.short for d in DTYPES if d.is_integer] == ["i8", "i16", "i32", "i64", "u8", "u16", "u32", "u64"]
    assert [d for d in DTYPES if d.is_floating_point] == [f16, bf16, f32, f64]
    assert [d for d in DTYPES if d.is_complex] == [c64, c128]
    assert [d for d in DTYPES if d.is_differentiable] == [f16, bf16, f32, f64, c64, c128]
    assert [d for d in DTYPES if not d.signed] == [bool_, u8, u16, u32, u64]
