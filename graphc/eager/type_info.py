"""What dtypes hold and how they combine: `finfo`, `iinfo`, `promote_types`, `result_type`, `can_cast`.

In: dtypes, tensors, numbers. Out: limits, dtypes, answers: PyTorch's, errors included. (Functions of the table combine
the wide unsigned integers with others too; these three say what PyTorch says of them.)

>>> from graphc.ir.dtype import f16, i8, u8
>>> finfo(f16).max, iinfo(u8).max, promote_types(i8, u8), can_cast(f16, i8)
(65504.0, 255, torch.int16, False)
"""

from __future__ import annotations

import functools
from typing import Final, Protocol, TypeAlias, runtime_checkable

import ml_dtypes
import numpy as np

from graphc.ir.dtype import (
    DType,
    Kind,
    bf16,
    bool_,
    default_complex,
    f8e5m2fnuz,
    f16,
    f32,
    f64,
    get_default_dtype,
    i64,
    promote,
    real_of,
    u16,
    u32,
    u64,
)
from graphc.ir.dtype import dtype as to_dtype
from graphc.ir.errors import DTypeError, SignatureError

_RESOLUTION: Final = {f64: 1e-15, f32: 1e-6, f16: 1e-3, bf16: 1e-2}
"""Powers of ten below which two numbers near 1 aren't told apart; 1 for floats of eight bits."""
_EPS: Final = {f8e5m2fnuz: 0.125}
"""Where PyTorch's value is not the step from 1 to the next number."""
_WIDE_UNSIGNED: Final = (u16, u32, u64)
_PYTHON: Final = (bool, int, float, complex)


@runtime_checkable
class HasDType(Protocol):
    """A tensor, as far as its part in promotion goes."""

    @property
    def dtype(self) -> DType: ...
    @property
    def ndim(self) -> int: ...


Operand: TypeAlias = "HasDType | bool | int | float | complex"


class finfo:
    """Limits of a floating-point dtype, or of the parts of a complex one; of the default dtype where none is given.

    `eps` is the step from 1 to the next number, `tiny` and `smallest_normal` the least number of full precision.
    """

    __slots__ = ("bits", "dtype", "eps", "max", "min", "resolution", "smallest_normal", "tiny")

    bits: int
    dtype: str
    eps: float
    max: float
    min: float
    resolution: float
    smallest_normal: float
    tiny: float

    def __init__(self, type: object = ...) -> None:
        d = real_of(get_default_dtype() if type is ... else _dtype("finfo", "type", 1, type))
        if not d.is_floating_point:
            raise SignatureError(
                "torch.finfo() requires a floating point input type. Use torch.iinfo to handle 'torch.finfo'",
                hint=f"{d} has iinfo",
            )
        found = ml_dtypes.finfo(d.numpy)  # type: ignore[no-untyped-call]  # it has no stubs
        least = float(found.smallest_normal)
        values = {"bits": d.bits, "dtype": d.name, "eps": _EPS.get(d, float(found.eps)), "max": float(found.max)}
        values |= {"min": float(found.min), "tiny": least, "smallest_normal": least}
        _fill(self, values | {"resolution": _RESOLUTION.get(d, 1.0)})

    def __setattr__(self, name: str, value: object) -> None:
        _refuse_write("finfo", name, finfo.__slots__)

    def __eq__(self, other: object) -> bool:
        return self.dtype == other.dtype if isinstance(other, finfo) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # as in PyTorch

    def __repr__(self) -> str:
        names = ("resolution", "min", "max", "eps", "smallest_normal", "tiny")
        return f"finfo({', '.join(f'{name}={getattr(self, name):g}' for name in names)}, dtype={self.dtype})"


class iinfo:
    """The least and greatest number of an integer dtype."""

    __slots__ = ("bits", "dtype", "max", "min")

    bits: int
    dtype: str
    max: int
    min: int

    def __init__(self, type: object) -> None:
        d = _dtype("iinfo", "type", 1, type)
        if d is bool_:
            raise SignatureError("torch.bool is not supported by torch.iinfo", hint="it has False and True")
        if not d.is_integer:
            raise SignatureError(
                "torch.iinfo() requires an integer input type. Use torch.finfo to handle 'torch.iinfo'",
                hint=f"{d} has finfo",
            )
        found = np.iinfo(d.numpy)  # type: ignore[type-var]  # an integer dtype, as was just seen
        _fill(self, {"bits": d.bits, "dtype": d.name, "max": int(found.max), "min": int(found.min)})

    def __setattr__(self, name: str, value: object) -> None:
        _refuse_write("iinfo", name, iinfo.__slots__)

    def __eq__(self, other: object) -> bool:
        return self.dtype == other.dtype if isinstance(other, iinfo) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # as in PyTorch

    def __repr__(self) -> str:
        return f"iinfo(min={self.min:g}, max={self.max:g}, dtype={self.dtype})"


def _fill(info: object, values: dict[str, object]) -> None:
    for name, value in values.items():
        object.__setattr__(info, name, value)


def _refuse_write(kind: str, name: str, known: tuple[str, ...]) -> None:
    if name in known:
        raise AttributeError(f"attribute {name!r} of 'torch.{kind}' objects is not writable")
    raise AttributeError(f"'torch.{kind}' object has no attribute {name!r}")


def promote_types(type1: object, type2: object) -> DType:
    """The narrowest dtype that is as high in kind and as wide as both: what tensors of these dtypes combine in.

    Raises DTypeError where PyTorch has no rule: for uint16, uint32 and uint64 beside other integers, bool and complex
    dtypes, and for the 8-bit floats.
    """
    return _promote(_dtype("promote_types", "type1", 1, type1), _dtype("promote_types", "type2", 2, type2))


def _promote(a: DType, b: DType) -> DType:
    if a is b:
        return a
    storage = a.is_storage_only or b.is_storage_only
    unsigned = a in _WIDE_UNSIGNED or b in _WIDE_UNSIGNED
    if storage or (unsigned and not (a.is_floating_point or b.is_floating_point)):
        group = "Float8 Types" if storage else "uint16, uint32, uint64 types"
        raise DTypeError(
            f"Promotion for {group} is not supported, attempted to promote {a.scalar} and {b.scalar}",
            hint="cast one of them first",
        )
    return promote(a, b)


def can_cast(from_: object, to: object) -> bool:
    """Whether values of one dtype may be put into the other without losing their kind: fractions, imaginary parts."""
    low, high = _dtype("can_cast", "from_", 1, from_), _dtype("can_cast", "to", 2, to)
    if low.kind is Kind.INT and high.kind is Kind.BOOL:
        return False
    return low.kind <= high.kind


def result_type(tensor: Operand, other: Operand) -> DType:
    """The dtype in which two tensors or numbers combine: those with dimensions come first, then others, then numbers.

    Raises SignatureError for what is neither, DTypeError as `promote_types` does.
    """
    operands = tensor, other
    groups: tuple[list[DType], list[DType], list[DType]] = ([], [], [])
    for each in operands:
        number = _number_dtype(each)
        if number is not None:
            groups[2].append(number)
        elif isinstance(each, HasDType) and isinstance(each.dtype, DType):
            groups[0 if each.ndim else 1].append(each.dtype)
        else:
            _refuse(operands)
    result: DType | None = None
    for group in groups:
        if group:
            of_group = functools.reduce(_promote, group)
            result = of_group if result is None else _combine(result, of_group)
    assert result is not None, "every operand is in a group"
    return result


def _combine(higher: DType, lower: DType) -> DType:
    """The result of operands that decide, and of others that count only by a kind above."""
    if higher.is_complex:
        return higher
    if higher.is_floating_point:
        return higher.to_complex() if lower.is_complex else higher
    if lower.is_differentiable and not lower.is_storage_only:
        return promote(higher, lower)
    return _promote(higher, lower) if higher is bool_ or lower.is_storage_only else higher


def _number_dtype(x: object) -> DType | None:
    """The dtype of a number by itself, numpy's scalars included; None for what is no number."""
    match x:
        case bool() | np.bool_():
            return bool_
        case int() | np.integer():
            return i64
        case float() | np.floating():
            return get_default_dtype()
        case complex() | np.complexfloating():
            return default_complex()
        case _:
            return None


def _refuse(operands: tuple[object, object]) -> None:
    kinds = [("Tensor" if isinstance(x, HasDType) and isinstance(x.dtype, DType) else _type_name(x)) for x in operands]
    mismatch = f"      didn't match because some of the arguments have invalid types: (!{'!, !'.join(kinds)}!)\n"
    forms = ("Tensor tensor, Tensor other", "Number scalar, Tensor tensor", "Tensor tensor, Number other")
    raise SignatureError(
        f"result_type() received an invalid combination of arguments - got ({', '.join(kinds)}), but expected one of:\n"
        + "".join(f" * ({form})\n{mismatch}" for form in (*forms, "Number scalar1, Number scalar2")),
        hint="pass tensors and numbers",
    )


def _type_name(value: object) -> str:
    kind = type(value)
    return f"numpy.{kind.__name__}" if kind.__module__ == "numpy" else kind.__name__


def _dtype(function: str, parameter: str, place: int, value: object) -> DType:
    """The dtype that an argument stands for: a `DType`, or one of Python's number types."""
    if isinstance(value, DType):
        return value
    if isinstance(value, type) and value in _PYTHON:
        return to_dtype(value)
    raise SignatureError(
        f"{function}(): argument '{parameter}' (position {place}) must be torch.dtype, not {type(value).__name__}",
        hint="such as float32",
    )
