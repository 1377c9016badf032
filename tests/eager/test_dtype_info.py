"""What dtypes say of themselves, their limits, and how they combine: PyTorch's answers and errors."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import graphc
from graphc.eager.tensor_type import dtype_of_type, set_default_tensor_type, type_name
from graphc.eager.type_info import can_cast, finfo, iinfo, promote_types, result_type
from graphc.ir.dtype import (
    DTYPES,
    STORAGE_DTYPES,
    DType,
    bf16,
    bool_,
    c64,
    c128,
    default_complex,
    f8e4m3fn,
    f8e5m2,
    f16,
    f32,
    f64,
    get_default_dtype,
    i8,
    i16,
    i32,
    i64,
    set_default_dtype,
    u8,
    u16,
    u32,
    u64,
)
from graphc.ir.errors import DTypeError, GraphcError

ALL = (*DTYPES, *STORAGE_DTYPES)


@pytest.fixture(autouse=True)
def usual_default() -> Iterator[None]:
    yield
    set_default_dtype(f32)


# name, bytes, is_floating_point, is_complex, is_signed, to_real, to_complex, the tensor type
ATTRIBUTES = """
torch.bool            1 - - - bool            -          torch.BoolTensor
torch.int8            1 - - s int8            -          torch.CharTensor
torch.int16           2 - - s int16           -          torch.ShortTensor
torch.int32           4 - - s int32           -          torch.IntTensor
torch.int64           8 - - s int64           -          torch.LongTensor
torch.uint8           1 - - - uint8           -          torch.ByteTensor
torch.uint16          2 - - - uint16          -          torch.UInt16Tensor
torch.uint32          4 - - - uint32          -          torch.UInt32Tensor
torch.uint64          8 - - - uint64          -          torch.UInt64Tensor
torch.float16         2 f - s float16         complex64  torch.HalfTensor
torch.bfloat16        2 f - s bfloat16        complex64  torch.BFloat16Tensor
torch.float32         4 f - s float32         complex64  torch.FloatTensor
torch.float64         8 f - s float64         complex128 torch.DoubleTensor
torch.complex64       8 - c s float32         complex64  torch.ComplexFloatTensor
torch.complex128     16 - c s float64         complex128 torch.ComplexDoubleTensor
torch.float8_e4m3fn   1 f - s float8_e4m3fn   -          torch.Float8_e4m3fnTensor
torch.float8_e4m3fnuz 1 f - s float8_e4m3fnuz -          torch.Float8_e4m3fnuzTensor
torch.float8_e5m2     1 f - s float8_e5m2     -          torch.Float8_e5m2Tensor
torch.float8_e5m2fnuz 1 f - s float8_e5m2fnuz -          torch.Float8_e5m2fnuzTensor
"""


def test_attributes_are_those_of_pytorch() -> None:
    rows = []
    for d in ALL:
        flags = (("f", d.is_floating_point), ("c", d.is_complex), ("s", d.is_signed))
        marks = [letter if is_so else "-" for letter, is_so in flags]
        wide = d.to_complex().name if d.is_differentiable and not d.is_storage_only else "-"
        rows.append([repr(d), str(d.itemsize), *marks, d.to_real().name, wide, type_name(d)])
    assert rows == [line.split() for line in ATTRIBUTES.strip().splitlines()]


@pytest.mark.parametrize("d", [bool_, i64, u16, f8e5m2], ids=str)
def test_what_has_no_complex_dtype_says_so(d: DType) -> None:
    with pytest.raises(DTypeError, match=f"^Unknown Complex ScalarType for {d.scalar}"):
        d.to_complex()


LIMITS = (
    (f16, "resolution=0.001, min=-65504, max=65504, eps=0.000976562, smallest_normal=6.10352e-05, tiny=6.10352e-05"),
    (bf16, "resolution=0.01, min=-3.38953e+38, max=3.38953e+38, eps=0.0078125, smallest_normal=1.17549e-38, "
     "tiny=1.17549e-38"),
    (f32, "resolution=1e-06, min=-3.40282e+38, max=3.40282e+38, eps=1.19209e-07, smallest_normal=1.17549e-38, "
     "tiny=1.17549e-38"),
    (f64, "resolution=1e-15, min=-1.79769e+308, max=1.79769e+308, eps=2.22045e-16, smallest_normal=2.22507e-308, "
     "tiny=2.22507e-308"),
    (f8e4m3fn, "resolution=1, min=-448, max=448, eps=0.125, smallest_normal=0.015625, tiny=0.015625"),
    (f8e5m2, "resolution=1, min=-57344, max=57344, eps=0.25, smallest_normal=6.10352e-05, tiny=6.10352e-05"),
)  # fmt: skip


@pytest.mark.parametrize(("d", "text"), LIMITS, ids=[str(d) for d, _ in LIMITS])
def test_limits_of_floats(d: DType, text: str) -> None:
    assert repr(finfo(d)) == str(finfo(d)) == f"finfo({text}, dtype={d.name})"
    assert (finfo(d).bits, finfo(d).dtype) == (d.bits, d.name)


def test_limits_are_exact_numbers() -> None:
    found = finfo(f32)
    assert (found.eps, found.max, found.min) == (2.0**-23, (2 - 2.0**-23) * 2.0**127, -(2 - 2.0**-23) * 2.0**127)
    assert found.tiny == found.smallest_normal == 2.0**-126
    assert finfo(bf16).max == 3.3895313892515355e38
    assert type(found.max) is float
    assert finfo(c64) == finfo(f32) != finfo(c128) == finfo(float)
    assert finfo() == finfo(f32)
    set_default_dtype(f64)
    assert finfo() == finfo(f64)


INTEGERS = (
    (u8, 0, 255, "iinfo(min=0, max=255, dtype=uint8)"),
    (i8, -128, 127, "iinfo(min=-128, max=127, dtype=int8)"),
    (i32, -(2**31), 2**31 - 1, "iinfo(min=-2.14748e+09, max=2.14748e+09, dtype=int32)"),
    (i64, -(2**63), 2**63 - 1, "iinfo(min=-9.22337e+18, max=9.22337e+18, dtype=int64)"),
    (u64, 0, 2**64 - 1, "iinfo(min=0, max=1.84467e+19, dtype=uint64)"),
)


@pytest.mark.parametrize(("d", "least", "greatest", "text"), INTEGERS, ids=[str(row[0]) for row in INTEGERS])
def test_limits_of_integers(d: DType, least: int, greatest: int, text: str) -> None:
    found = iinfo(d)
    assert (found.min, found.max, found.bits, found.dtype) == (least, greatest, d.bits, d.name)
    assert repr(found) == text
    assert found == iinfo(d) != iinfo(i16)


def test_limits_are_fixed() -> None:
    with pytest.raises(AttributeError, match=r"attribute 'max' of 'torch\.finfo' objects is not writable"):
        finfo().max = 1.0
    with pytest.raises(AttributeError, match=r"attribute 'min' of 'torch\.iinfo' objects is not writable"):
        iinfo(i8).min = 1


REFUSED: tuple[tuple[Callable[[], object], type[Exception], str], ...] = (
    (lambda: finfo(i8), TypeError,
     "torch.finfo() requires a floating point input type. Use torch.iinfo to handle 'torch.finfo'"),
    (lambda: iinfo(f32), TypeError,
     "torch.iinfo() requires an integer input type. Use torch.finfo to handle 'torch.iinfo'"),
    (lambda: iinfo(bool_), TypeError, "torch.bool is not supported by torch.iinfo"),
    (lambda: finfo("float32"), TypeError, "finfo(): argument 'type' (position 1) must be torch.dtype, not str"),
    (lambda: iinfo(1), TypeError, "iinfo(): argument 'type' (position 1) must be torch.dtype, not int"),
    (lambda: promote_types("a", i8), TypeError,
     "promote_types(): argument 'type1' (position 1) must be torch.dtype, not str"),
    (lambda: can_cast(i8, 2), TypeError, "can_cast(): argument 'to' (position 2) must be torch.dtype, not int"),
    (lambda: promote_types(u16, i8), RuntimeError,
     "Promotion for uint16, uint32, uint64 types is not supported, attempted to promote UInt16 and Char"),
    (lambda: promote_types(c64, u64), RuntimeError,
     "Promotion for uint16, uint32, uint64 types is not supported, attempted to promote ComplexFloat and UInt64"),
    (lambda: promote_types(u32, u16), RuntimeError,
     "Promotion for uint16, uint32, uint64 types is not supported, attempted to promote UInt32 and UInt16"),
    (lambda: promote_types(f8e5m2, f32), RuntimeError,
     "Promotion for Float8 Types is not supported, attempted to promote Float8_e5m2 and Float"),
    (lambda: set_default_dtype(f8e5m2), TypeError, "couldn't find storage object Float8_e5m2Storage"),
    (lambda: set_default_dtype(i64), TypeError, "only floating-point types are supported as the default type"),
    (lambda: set_default_dtype(c64), TypeError, "only floating-point types are supported as the default type"),
    (lambda: set_default_dtype("float64"), TypeError,
     "invalid dtype object: only floating-point types are supported as the default type"),
    (lambda: set_default_dtype(None), TypeError,
     "invalid dtype object: only floating-point types are supported as the default type"),
    (lambda: set_default_tensor_type("torch.LongTensor"), TypeError,
     "only floating-point types are supported as the default type"),
    (lambda: dtype_of_type("torch.Foo"), ValueError, "invalid type: 'torch.Foo'"),
    (lambda: dtype_of_type("FloatTensor"), ValueError, "invalid type: 'FloatTensor'"),
    (lambda: dtype_of_type("torch.meta.FloatTensor"), ValueError, "invalid type: 'torch.meta.FloatTensor'"),
    (lambda: dtype_of_type("torch.cuda.FloatTensor"), RuntimeError, "Torch not compiled with CUDA enabled"),
)  # fmt: skip


@pytest.mark.parametrize(("call", "kind", "message"), REFUSED, ids=[message[:60] for _, _, message in REFUSED])
def test_mistakes_have_pytorchs_words(call: Callable[[], object], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind) as caught:
        call()
    assert isinstance(caught.value, GraphcError)
    assert caught.value.message == message
    assert caught.value.hint


CASTS = """
bool           11111111111111111
uint8          01111111111111111
int64          01111111111111111
uint16         01111111111111111
float16        00000000011111111
float64        00000000011111111
complex64      00000000000001100
complex128     00000000000001100
float8_e4m3fn  00000000011111111
"""
COLUMNS = (bool_, u8, i8, i16, i32, i64, u16, u32, u64, f16, bf16, f32, f64, c64, c128, f8e4m3fn, f8e5m2)


def test_casts_keep_the_kind() -> None:
    for line in CASTS.strip().splitlines():
        name, marks = line.split()
        given = next(d for d in ALL if d.name == name)
        assert "".join(str(int(can_cast(given, d))) for d in COLUMNS) == marks, name
    assert not can_cast(float, i8)


PROMOTED = (
    (u8, i8, i16), (i8, i64, i64), (bool_, u8, u8), (f16, bf16, f32), (i64, f16, f16), (u16, f32, f32), (u64, u64, u64),
    (c64, f64, c128), (bf16, c64, c64), (float, i8, f64), (f8e5m2, f8e5m2, f8e5m2),
)  # fmt: skip


@pytest.mark.parametrize(("a", "b", "expected"), PROMOTED)
def test_types_promote(a: object, b: object, expected: DType) -> None:
    assert promote_types(a, b) is expected
    assert promote_types(b, a) is expected


@dataclass(frozen=True)
class Typed:
    dtype: DType
    ndim: int


RESULTS = (
    (1, 2, i64), (1, 2.0, f32), (True, 1, i64), (1.5, 1j, c64),
    (Typed(i32, 0), 2.0, f32), (Typed(f16, 1), 2.0, f16), (Typed(f16, 1), Typed(f64, 0), f16),
    (Typed(f16, 0), Typed(f64, 0), f64), (Typed(u8, 1), Typed(i64, 0), u8), (Typed(bool_, 1), Typed(u8, 0), u8),
    (Typed(f64, 0), 1j, c128), (Typed(f32, 1), Typed(c128, 0), c64), (Typed(i64, 1), Typed(f64, 0), f64),
    (Typed(u16, 1), 1, u16), (Typed(u16, 1), 1.5, f32), (Typed(u16, 2), Typed(i8, 0), u16),
    (np.float32(1), 1, f32), (np.int8(1), Typed(u8, 1), u8), (np.float64(1), Typed(f16, 1), f16),
)  # fmt: skip


@pytest.mark.parametrize(("a", "b", "expected"), RESULTS)
def test_results_have_types(a: Any, b: Any, expected: DType) -> None:
    assert result_type(a, b) is expected
    assert result_type(b, a) is expected


def test_numbers_have_the_default_dtype() -> None:
    set_default_dtype(f64)
    assert (get_default_dtype(), default_complex()) == (f64, c128)
    assert (result_type(1, 2.0), result_type(Typed(i8, 1), 1j), result_type(Typed(f32, 1), 1.5)) == (f64, c128, f32)
    set_default_tensor_type("torch.HalfTensor")
    assert (get_default_dtype(), default_complex()) == (f16, c64)


def test_eager_functions_follow_the_default_dtype() -> None:
    x = graphc.tensor([1, 2])
    found = []
    for default in (f32, f64, f32):
        set_default_dtype(default)
        found += [(x / 2).dtype, (x * 1.5).dtype, graphc.ones(2).dtype, graphc.tensor(1.5).dtype, x.exp().dtype]
    assert found == [f32] * 5 + [f64] * 5 + [f32] * 5


@pytest.mark.parametrize("given", [None, "a", np.zeros(2), [1]], ids=["None", "str", "array", "list"])
def test_results_of_other_things_are_refused(given: Any) -> None:
    with pytest.raises(TypeError, match=r"^result_type\(\) received an invalid combination of arguments - got \(") as c:
        result_type(given, 1)
    assert " * (Number scalar1, Number scalar2)\n" in str(c.value)


@pytest.mark.parametrize("d", ALL, ids=str)
def test_a_tensor_type_names_its_dtype(d: DType) -> None:
    assert dtype_of_type(type_name(d)) is d
    assert re.fullmatch(r"torch\.meta\.\w+Tensor", type_name(d, "meta"))


def test_the_plain_tensor_type_is_the_default() -> None:
    set_default_dtype(f64)
    assert dtype_of_type("torch.Tensor") is f64
    assert dtype_of_type("torch.sparse.FloatTensor") is f32


def test_dtypes_have_pytorchs_names_in_the_package() -> None:
    for d in ALL:
        assert getattr(graphc, d.name) is d
    short = (graphc.float, graphc.double, graphc.half, graphc.int, graphc.long, graphc.short, graphc.cfloat)
    assert short == (f32, f64, f16, i32, i64, i16, c64)
    assert isinstance(graphc.float32, graphc.dtype)
