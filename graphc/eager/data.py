"""Arrays from what users write down: numbers, nested lists, numpy's arrays, tensors.

In: data and a dtype, or None to infer one. Out: an array with memory of its own. Sizes are those of the first elements;
the dtype is the one in which all numbers combine, where floats have the default dtype. Errors are PyTorch's.

    array_of([[1, 2.5], [True, 3]])      # float32 [2, 2]
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from graphc.eager.arguments import type_name
from graphc.eager.inplace import converted
from graphc.eager.tensor import AnyArray, Tensor
from graphc.eager.watch import WATCHING, copied
from graphc.ir.dtype import (
    DType,
    Kind,
    bf16,
    bool_,
    c128,
    default_complex,
    f16,
    f64,
    get_default_dtype,
    i64,
    promote,
    u64,
)
from graphc.ir.dtype import dtype as to_dtype
from graphc.ir.errors import ArgumentError, DTypeError, GraphcError, SignatureError

MOST_DIMENSIONS = 128
_SUPPORTED = (
    "float64, float32, float16, complex64, complex128, int64, int32, int16, int8, uint64, uint32, uint16, uint8, "
    "and bool"
)


def array_of(data: Any, dtype: DType | None = None) -> AnyArray:
    """A new array with the values of data."""
    if isinstance(data, Tensor):
        return cast(data._array, dtype or data.dtype, copy=True)
    if isinstance(data, np.ndarray):
        check_array(data)
        return cast(data, dtype or to_dtype(data.dtype), copy=True)
    if isinstance(data, str | bytes):
        raise SignatureError(f"new(): invalid data type '{type_name(data)}'", hint="tensors hold numbers")
    sizes = _sizes(data)
    flat = _flatten(data, sizes)
    kinds = set(map(type, flat))
    if dtype is None:
        dtype = infer(flat, kinds) if flat else _infer_empty(data)
    if Tensor in kinds or not kinds <= _PLAIN:
        flat = [_scalar(each, dtype) for each in flat]
    return _store(flat, dtype, kinds).reshape(sizes)


_PLAIN = {bool, int, float, complex}


def _is_sequence(value: object) -> bool:
    """Whether PyTorch takes it for a list of elements."""
    if isinstance(value, list | tuple):
        return True
    if isinstance(value, Tensor | dict | np.generic):
        return False
    if isinstance(value, np.ndarray):
        return value.ndim > 0
    return hasattr(value, "__len__") and hasattr(value, "__getitem__")


def _sizes(data: Any) -> tuple[int, ...]:
    """The sizes that the first elements show."""
    sizes: list[int] = []
    while _is_sequence(data):
        sizes.append(len(data))
        if len(sizes) > MOST_DIMENSIONS:
            raise _BadSequence(f"too many dimensions '{type_name(data)}'")
        if not sizes[-1]:
            break
        if isinstance(data[0], np.ndarray) and isinstance(data, list | tuple):
            warnings.warn(
                "Creating a tensor from a list of numpy.ndarrays is extremely slow. Please consider converting the "
                "list to a single numpy.ndarray with numpy.array() before converting to a tensor.",
                stacklevel=5,
            )
        data = data[0]
    return tuple(sizes)


class _BadSequence(GraphcError, ValueError):
    """Lists that are no array."""


def _flatten(data: Any, sizes: Sequence[int]) -> list[Any]:
    flat = [data]
    for dim, size in enumerate(sizes):
        inner: list[Any] = []
        is_empty = 0 in sizes
        for each in flat:
            if is_empty and not _is_sequence(each):
                continue
            if not _is_sequence(each):
                infer(flat, set(map(type, flat)))
                raise SignatureError("not a sequence", hint="all elements must be lists, or none")
            if len(each) != size and not is_empty:
                raise _BadSequence(f"expected sequence of length {size} at dim {dim} (got {len(each)})")
            if isinstance(each, bytes):
                _own_dtype(each)
            inner.extend(each)
        flat = inner
    return [] if 0 in sizes else flat


def infer(flat: Sequence[Any], kinds: set[type]) -> DType:
    """The dtype in which the elements combine. Raises for the first that is no number."""
    if kinds <= _PLAIN:
        if complex in kinds:
            return default_complex()
        if float in kinds:
            return get_default_dtype()
        return i64 if int in kinds else bool_
    found: DType | None = None
    for each in flat:
        own = _own_dtype(each)
        found = own if found is None else promote(found, own)
    assert found is not None, "there are elements"
    return found


def _own_dtype(value: Any) -> DType:
    if isinstance(value, Tensor):
        return value.dtype
    if isinstance(value, np.generic | np.ndarray):
        return to_dtype(value.dtype)
    if isinstance(value, bool):
        return bool_
    if isinstance(value, int):
        return i64
    if isinstance(value, float):
        return get_default_dtype()
    if isinstance(value, complex):
        return default_complex()
    if isinstance(value, str | bytes):
        raise SignatureError(f"new(): invalid data type '{type_name(value)}'", hint="tensors hold numbers")
    if _is_sequence(value):
        return _infer_empty(value)
    if hasattr(value, "__index__"):
        return i64
    if hasattr(value, "__float__"):
        return get_default_dtype()
    raise ArgumentError(f"Could not infer dtype of {type(value).__name__}", hint="tensors hold numbers")


def _infer_empty(value: Any) -> DType:
    """The dtype that the lists in here say; that of an empty list is the default."""
    found: DType | None = None
    pending = [value]
    while pending:
        current = pending.pop()
        if not _is_sequence(current):
            own = _own_dtype(current)
        elif len(current):
            pending += list(current)
            continue
        else:
            own = get_default_dtype()
        found = own if found is None else promote(found, own)
    assert found is not None, "the outermost is a sequence or has a dtype"
    return found


def _scalar(value: Any, dtype: DType) -> Any:
    """The Python number that an element stands for."""
    if isinstance(value, Tensor):
        if value._array.size != 1:
            if dtype.is_integer:
                raise SignatureError("only integer tensors of a single element can be converted to an index")
            raise _BadSequence("only one element tensors can be converted to Python scalars")
        return value._array.item()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, bool | int | float | complex):
        return value
    if dtype.is_integer:
        if hasattr(value, "__index__"):
            return int(value)
        raise SignatureError(f"'{type_name(value)}' object cannot be interpreted as an integer")
    if hasattr(value, "__float__"):
        return float(value)
    raise SignatureError(f"must be real number, not {type_name(value)}")


def _store(flat: list[Any], dtype: DType, kinds: set[type]) -> AnyArray:
    """The numbers in the dtype."""
    if dtype is bool_:
        return np.array([bool(each) for each in flat], np.bool_)
    has_complex = complex in kinds or (not kinds <= _PLAIN and any(isinstance(each, complex) for each in flat))
    if has_complex and not dtype.is_complex:
        if dtype.is_integer:
            raise SignatureError("'complex' object cannot be interpreted as an integer")
        raise SignatureError("must be real number, not complex")
    if dtype.is_integer:
        return _integers(flat, dtype)
    with np.errstate(over="ignore"):
        return cast(np.array(flat, np.complex128 if dtype.is_complex else np.float64), dtype)


def _integers(flat: list[Any], dtype: DType) -> AnyArray:
    try:
        if any(isinstance(each, float) for each in flat):
            flat = [int(each) if isinstance(each, float) and math.isfinite(each) else each for each in flat]
        wide = np.array(flat, np.uint64 if dtype is u64 else np.int64)
    except OverflowError:
        if any(isinstance(each, float) for each in flat) or dtype is u64:
            _refuse_overflow(dtype)
        raise _BadSequence("Overflow when unpacking long long") from None
    except ValueError:
        _refuse_overflow(dtype)
    if dtype not in (i64, u64) and wide.size:
        greatest = (1 << (dtype.bits - dtype.signed)) - 1
        # An unsigned number may be given as the negative one that wraps to it.
        if int(wide.max()) > greatest or int(wide.min()) < -greatest - dtype.signed:
            _refuse_overflow(dtype)
    return wide.astype(dtype.numpy)


def _refuse_overflow(dtype: DType) -> None:
    raise DTypeError(f"value cannot be converted to type {dtype.name} without overflow")


def cast(array: AnyArray, dtype: DType, copy: bool = False) -> AnyArray:
    """The values in another dtype: floats are cut to integers and wrap; imaginary parts are dropped."""
    if type(array) is not np.ndarray and array.dtype != dtype.numpy:
        return converted(array, dtype)
    if WATCHING and (copy or array.dtype != dtype.numpy):
        result = _cast(array, dtype, copy)
        copied(result, array)
        return result
    return _cast(array, dtype, copy)


def _cast(array: AnyArray, dtype: DType, copy: bool) -> AnyArray:
    target = dtype.numpy
    if array.dtype == target:
        return array.copy(order="K") if copy else array
    with np.errstate(all="ignore"):
        if array.dtype.kind == "c" and not dtype.is_complex and dtype is not bool_:
            array = array.real
        source = to_dtype(array.dtype)
        if source.is_floating_point and dtype.kind is Kind.INT and dtype.bits < 32:
            return array.astype(np.int32).astype(target)
        if source.is_floating_point and dtype.kind is Kind.INT and not dtype.signed:
            return array.astype(np.int64).astype(target)
        if source in (f64, c128) and dtype in (f16, bf16):
            array = array.astype(np.float32)
        return array.astype(target)


def check_array(array: AnyArray) -> None:
    """Refuse arrays that no tensor can hold: other dtypes, other byte orders, negative or uneven strides."""
    if array.dtype.byteorder == (">" if np.little_endian else "<"):
        raise _BadSequence(
            "given numpy array has byte order different from the native byte order. Conversion between byte orders is "
            "currently not supported."
        )
    try:
        to_dtype(array.dtype)
    except DTypeError:
        raise SignatureError(
            f"can't convert np.ndarray of type numpy.{array.dtype.type.__name__}. The only supported types are: "
            f"{_SUPPORTED}."
        ) from None
    if any(step < 0 for step in array.strides):
        raise _BadSequence(
            "At least one stride in the given numpy array is negative, and tensors with negative strides are not "
            "currently supported. (You can probably work around this by making a copy of your array  with "
            "array.copy().) "
        )
    if any(step % array.itemsize for step in array.strides):
        raise _BadSequence(
            "given numpy array strides not a multiple of the element byte size. Copy the numpy array to reallocate the "
            "memory."
        )
