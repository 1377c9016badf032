"""Element types, and how they combine.

In: names ("float32", "f32"), numpy dtypes, Python scalar types. Out: one `DType` object per type, compared by identity.
Promotion is PyTorch's: within a kind the wider type, across kinds the higher kind; integers never widen a float.

>>> promote(i64, f16), promote(u8, i8), promote(bf16, f16)
(torch.float16, torch.int16, torch.float32)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

import ml_dtypes
import numpy as np
import numpy.typing as npt

from graphc.ir.errors import DTypeError, SignatureError, nearest


class Kind(IntEnum):
    """The order of promotion across kinds."""

    BOOL = 0
    INT = 1
    FLOAT = 2
    COMPLEX = 3


@dataclass(frozen=True, slots=True, eq=False)
class DType:
    """An element type: PyTorch's name, the short name that text uses, and the numpy dtype of its storage.

    `scalar` is what PyTorch's messages and tensor types call it: "Long", as in `torch.LongTensor`.
    """

    name: str
    short: str
    scalar: str
    kind: Kind
    bits: int
    numpy: np.dtype[np.generic]
    signed: bool = True

    @property
    def itemsize(self) -> int:
        """Bytes of one element in memory."""
        return self.bits // 8

    @property
    def is_floating_point(self) -> bool:
        """Whether it is a real floating-point type."""
        return self.kind is Kind.FLOAT

    @property
    def is_complex(self) -> bool:
        """Whether it is a complex type."""
        return self.kind is Kind.COMPLEX

    @property
    def is_integer(self) -> bool:
        """Whether it is an integer type; bool is none."""
        return self.kind is Kind.INT

    @property
    def is_differentiable(self) -> bool:
        """Whether gradients flow through values of this type."""
        return self.kind >= Kind.FLOAT

    @property
    def is_signed(self) -> bool:
        """Whether it holds numbers below zero."""
        return self.signed

    @property
    def is_storage_only(self) -> bool:
        """Whether its values are kept, moved and cast, but not computed with: the floats of eight bits."""
        return self.kind is Kind.FLOAT and self.bits == 8

    def to_real(self) -> DType:
        """The dtype of the parts of a complex dtype; any other dtype as it is."""
        return real_of(self)

    def to_complex(self) -> DType:
        """The complex dtype whose parts have this dtype, or complex64 for the narrower floats.

        Raises DTypeError for dtypes that are not floating-point.
        """
        if self.kind < Kind.FLOAT or self.is_storage_only:
            raise DTypeError(f"Unknown Complex ScalarType for {self.scalar}", hint="complex parts are floating-point")
        return complex_of(self)

    def __repr__(self) -> str:
        return f"torch.{self.name}"  # as PyTorch prints it: programs written for it compare and show this text

    def __reduce__(self) -> tuple[Callable[[object], DType], tuple[str]]:
        return dtype, (self.name,)  # a copy or a loaded pickle is the one object again


def _make(
    name: str, short: str, scalar: str, kind: Kind, bits: int, storage: npt.DTypeLike, signed: bool = True
) -> DType:
    return DType(name, short, scalar, kind, bits, np.dtype(storage), signed)


bool_: Final = _make("bool", "bool", "Bool", Kind.BOOL, 8, np.bool_, signed=False)
i8: Final = _make("int8", "i8", "Char", Kind.INT, 8, np.int8)
i16: Final = _make("int16", "i16", "Short", Kind.INT, 16, np.int16)
i32: Final = _make("int32", "i32", "Int", Kind.INT, 32, np.int32)
i64: Final = _make("int64", "i64", "Long", Kind.INT, 64, np.int64)
u8: Final = _make("uint8", "u8", "Byte", Kind.INT, 8, np.uint8, signed=False)
u16: Final = _make("uint16", "u16", "UInt16", Kind.INT, 16, np.uint16, signed=False)
u32: Final = _make("uint32", "u32", "UInt32", Kind.INT, 32, np.uint32, signed=False)
u64: Final = _make("uint64", "u64", "UInt64", Kind.INT, 64, np.uint64, signed=False)
f16: Final = _make("float16", "f16", "Half", Kind.FLOAT, 16, np.float16)
bf16: Final = _make("bfloat16", "bf16", "BFloat16", Kind.FLOAT, 16, ml_dtypes.bfloat16)
f32: Final = _make("float32", "f32", "Float", Kind.FLOAT, 32, np.float32)
f64: Final = _make("float64", "f64", "Double", Kind.FLOAT, 64, np.float64)
c64: Final = _make("complex64", "c64", "ComplexFloat", Kind.COMPLEX, 64, np.complex64)
c128: Final = _make("complex128", "c128", "ComplexDouble", Kind.COMPLEX, 128, np.complex128)

DTYPES: Final = (bool_, i8, i16, i32, i64, u8, u16, u32, u64, f16, bf16, f32, f64, c64, c128)

# Scaled-down floats that are kept in memory and cast; no arithmetic, as in PyTorch.
f8e4m3fn: Final = _make("float8_e4m3fn", "f8e4m3fn", "Float8_e4m3fn", Kind.FLOAT, 8, ml_dtypes.float8_e4m3fn)
f8e4m3fnuz: Final = _make("float8_e4m3fnuz", "f8e4m3fnuz", "Float8_e4m3fnuz", Kind.FLOAT, 8, ml_dtypes.float8_e4m3fnuz)
f8e5m2: Final = _make("float8_e5m2", "f8e5m2", "Float8_e5m2", Kind.FLOAT, 8, ml_dtypes.float8_e5m2)
f8e5m2fnuz: Final = _make("float8_e5m2fnuz", "f8e5m2fnuz", "Float8_e5m2fnuz", Kind.FLOAT, 8, ml_dtypes.float8_e5m2fnuz)

STORAGE_DTYPES: Final = (f8e4m3fn, f8e4m3fnuz, f8e5m2, f8e5m2fnuz)
_ALL: Final = (*DTYPES, *STORAGE_DTYPES)

_ALIASES: Final = {
    "float": f32,
    "double": f64,
    "half": f16,
    "int": i32,
    "long": i64,
    "short": i16,
    "cfloat": c64,
    "cdouble": c128,
}
_BY_NAME: Final = {name: d for d in _ALL for name in (d.name, d.short)} | _ALIASES
_BY_NUMPY: Final = {d.numpy: d for d in _ALL}
# Some of numpy's integers have two scalar types of the same width, such as int64 and longlong.
_BY_SCALAR_TYPE: Final[dict[type, DType]] = {d.numpy.type: d for d in _ALL} | {
    np.dtype(code).type: _BY_NUMPY[np.dtype(code)] for code in np.typecodes["AllInteger"]
}
_BY_PYTHON: Final[dict[type, DType]] = {bool: bool_, int: i64, float: f64, complex: c128}


def dtype(value: object) -> DType:
    """The `DType` that a name, a numpy dtype, a numpy scalar type or a Python scalar type stands for.

    Raises DTypeError where there is none.
    """
    if isinstance(value, DType):
        return value
    found: DType | None = None
    if isinstance(value, str):  # numpy's own strings stay out: its "i8" has eight bytes, ours eight bits
        found = _BY_NAME.get(value)
    elif isinstance(value, np.dtype):
        found = _BY_NUMPY.get(value) or _BY_NUMPY.get(value.newbyteorder("="))
    elif isinstance(value, type):
        found = _BY_PYTHON.get(value) or _BY_SCALAR_TYPE.get(value)
    if found is None:
        raise DTypeError(f"{_show(value)} is no dtype graphc computes with", hint=_advice(value))
    return found


def _show(value: object) -> str:
    return value.__name__ if isinstance(value, type) else repr(value)


def _advice(value: object) -> str:
    close = nearest(value, _BY_NAME) if isinstance(value, str) else None
    names = ", ".join(d.name for d in DTYPES)
    return f"use one of {names}" if close is None else f"did you mean {close!r}?"


def promote(*dtypes: DType) -> DType:
    """The dtype in which values of these dtypes combine, PyTorch's rule for tensors with dimensions.

    PyTorch refuses uint16, uint32 and uint64 beside a signed integer (and uint8 beside int8 gives int16). Here they
    combine in the narrowest signed type that holds both; uint64 has none, and raises DTypeError.
    """
    assert dtypes, "promotion needs at least one dtype"
    result = dtypes[0]
    for other in dtypes[1:]:
        result = _promote_pair(result, other)
    return result


def promote_categories(
    dimensioned: tuple[DType, ...], zero_dim: tuple[DType, ...], scalars: tuple[DType, ...]
) -> DType:
    """PyTorch's result type: a 0-d tensor or a Python number counts only where its kind is above that of the others.

    `scalars` are the dtypes of Python numbers: bool, int64, and the default float32 and complex64. A complex value
    beside wider operands of a real floating type gives the complex dtype of their width, so float64 becomes complex128.
    """
    result: DType | None = None
    for group in (scalars, zero_dim, dimensioned):
        if group:
            higher = promote(*group)
            result = higher if result is None else _combine(higher, result)
    assert result is not None, "a result type needs at least one operand"
    return result


def _combine(higher: DType, lower: DType) -> DType:
    """The result of operands that decide (`higher`) and of others that count only by a kind above (`lower`)."""
    if lower.kind <= higher.kind:
        return higher
    if higher.is_floating_point:
        return complex_of(higher)
    return promote(higher, lower)


_default: DType = f32
_on_change: Final[list[Callable[[], None]]] = []


def get_default_dtype() -> DType:
    """The dtype of tensors made of Python floats and of divided integers: float32, or what `set_default_dtype` set.

    What is built depends on it, so it is part of the key of every cache of built graphs.
    """
    return _default


def set_default_dtype(d: object, /) -> None:
    """Set the default dtype in the whole process: one with fractions that is not complex.

    Raises SignatureError for anything that is no dtype, and for a dtype of another kind.
    """
    global _default
    message = "only floating-point types are supported as the default type"
    hint = "such as float32 or float64"
    if not isinstance(d, DType):
        raise SignatureError(f"invalid dtype object: {message}", hint=hint)
    if not d.is_floating_point:
        raise SignatureError(message, hint=hint)
    if d.is_storage_only:
        raise SignatureError(f"couldn't find storage object {d.scalar}Storage", hint=hint)
    if d is not _default:
        _default = d
        for callback in _on_change:
            callback()


def when_default_changes(callback: Callable[[], None]) -> None:
    """Call this after each change of the default dtype: for shortcuts that don't look at the whole key of a cache."""
    _on_change.append(callback)


def default_complex() -> DType:
    """The dtype of tensors made of Python complex numbers: its parts have the default dtype."""
    return c128 if _default is f64 else c64


def real_of(d: DType) -> DType:
    """The dtype of the parts of a complex dtype; any other dtype as it is."""
    return {c64: f32, c128: f64}.get(d, d)


def complex_of(d: DType) -> DType:
    """The complex dtype whose parts can hold this dtype."""
    return d if d.is_complex else c128 if d is f64 else c64


def default_float(d: DType) -> DType:
    """The dtype itself if it has fractions, else the default float (what true division and exp give for integers)."""
    return d if d.kind >= Kind.FLOAT else _default


def _promote_pair(a: DType, b: DType) -> DType:
    if a is b:
        return a
    low, high = sorted((a, b), key=lambda d: (d.kind, d.bits))
    if low.kind is not high.kind:
        if high.is_complex and low is f64:
            return c128
        return high
    if high.kind is Kind.INT and low.signed != high.signed:
        return _promote_mixed_signs(*((low, high) if low.signed else (high, low)))
    if {a, b} == {f16, bf16}:
        return f32
    return high


def _promote_mixed_signs(signed: DType, unsigned: DType) -> DType:
    if signed.bits > unsigned.bits:
        return signed
    wider = {u8: i16, u16: i32, u32: i64}
    if unsigned in wider:
        return wider[unsigned]
    raise DTypeError(
        f"{signed.name} and {unsigned.name} have no common integer type",
        hint="cast one of them first, e.g. x.to('int64')",
    )
