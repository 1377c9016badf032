"""DLPack's capsules: memory of tensors, handed from one library to another.

In: an array, of the host or of a GPU, with its dtype and device. Out: a capsule that one consumer may take. Back: what
a capsule of any library says, and an owner, whose end lets the library have its memory back. Nobody looks at elements.

    capsule = exported(np.zeros(3, np.float32), f32, (CPU, 0), is_versioned=True)
    taken(capsule).shape
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from graphc.ir.dtype import (
    DTYPES,
    STORAGE_DTYPES,
    DType,
    Kind,
    bf16,
    f8e4m3fn,
    f8e4m3fnuz,
    f8e5m2,
    f8e5m2fnuz,
)
from graphc.ir.errors import ArgumentError, GraphcError

AnyArray: TypeAlias = npt.NDArray[Any]
Place: TypeAlias = "tuple[int, int]"
"""A kind of device, and its number."""

CPU: Final = 1
CUDA: Final = 2
CUDA_HOST: Final = 3
"""Pinned memory of the host."""
MANAGED: Final = 13
"""Memory that moves between the host and GPUs by itself."""
MAJOR: Final = 1
"""The newest version of the layout that is understood."""
_IS_COPIED: Final = 2

_INT, _UINT, _FLOAT, _BFLOAT, _COMPLEX, _BOOL = 0, 1, 2, 4, 5, 6
_FLOAT8: Final = {f8e4m3fn: 10, f8e4m3fnuz: 11, f8e5m2: 12, f8e5m2fnuz: 13}


class BufferRefused(GraphcError, BufferError):
    """Memory that can't be handed to others, or taken from them."""


class _Tensor(ctypes.Structure):
    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device_kind", ctypes.c_int32),
        ("device", ctypes.c_int32),
        ("rank", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    )


class _Managed(ctypes.Structure):
    _fields_ = (("tensor", _Tensor), ("context", ctypes.c_void_p), ("deleter", ctypes.c_void_p))


class _Versioned(ctypes.Structure):
    _fields_ = (
        ("major", ctypes.c_uint32),
        ("minor", ctypes.c_uint32),
        ("context", ctypes.c_void_p),
        ("deleter", ctypes.c_void_p),
        ("flags", ctypes.c_uint64),
        ("tensor", _Tensor),
    )


# Functions of their own: the attributes of ctypes.pythonapi belong to every library of the process.
_is_valid = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.py_object, ctypes.c_char_p)(("PyCapsule_IsValid", ctypes.pythonapi))
_pointer = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(
    ("PyCapsule_GetPointer", ctypes.pythonapi)
)
_set_name = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.py_object, ctypes.c_char_p)(("PyCapsule_SetName", ctypes.pythonapi))
_Deleter = ctypes.PYFUNCTYPE(None, ctypes.c_void_p)

# Python keeps the address of a capsule's name, so these live as long as the module.
_NAME: Final = b"dltensor"
_USED: Final = b"used_dltensor"
_VERSIONED_NAME: Final = b"dltensor_versioned"
_VERSIONED_USED: Final = b"used_dltensor_versioned"


def exported(
    array: AnyArray, dtype: DType, place: Place, *, is_versioned: bool = False, is_copied: bool = False
) -> object:
    """A capsule over an array's memory, which lives until the consumer, or the capsule if nobody takes it, lets go."""
    # numpy makes the capsule, whose functions are C and so may be called when and where ever a consumer likes. It says
    # all that it knows of the array; the device, and dtypes that it doesn't have, are written over that.
    plain = array.view(np.ndarray)
    if dtype is bf16 or dtype.is_storage_only:
        plain = plain.view(np.uint16 if dtype.bits == 16 else np.uint8)
    if not plain.flags.writeable:  # numpy would refuse
        plain = over(plain.__array_interface__["data"][0], plain.shape, plain.strides, plain.dtype, plain)
    capsule, is_versioned = _from_numpy(plain, is_versioned)
    tensor: _Tensor
    if is_versioned:
        managed = _Versioned.from_address(_pointer(capsule, _VERSIONED_NAME))
        managed.flags |= _IS_COPIED if is_copied else 0
        tensor = managed.tensor
    else:
        tensor = _Managed.from_address(_pointer(capsule, _NAME)).tensor
    tensor.device_kind, tensor.device = place
    tensor.code, tensor.bits, tensor.lanes = _type_of(dtype)
    if not plain.size:
        tensor.data = None
    for axis, size in enumerate(plain.shape):
        if size < 2:
            tensor.strides[axis] = 1  # any will do, and who looks for contiguous memory expects this
    return capsule


def _from_numpy(plain: AnyArray, is_versioned: bool) -> tuple[object, bool]:
    """numpy's capsule, and whether it has a version: before numpy 2.1 none has."""
    if is_versioned:
        try:
            return plain.__dlpack__(max_version=(MAJOR, 0)), True
        except TypeError:
            pass
    return plain.__dlpack__(), False


@dataclass(frozen=True, slots=True)
class Taken:
    """What a capsule has said. Strides in bytes."""

    address: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: DType
    place: Place
    owner: Owner


class Owner:
    """Memory of another library: when this object goes the library has it back."""

    __slots__ = ("_deleter", "_managed")

    def __init__(self, managed: int, deleter: int | None) -> None:
        self._managed = managed
        self._deleter = deleter

    def __del__(self) -> None:
        deleter, self._deleter = self._deleter, None
        if deleter and not sys.is_finalizing():
            _Deleter(deleter)(self._managed)


def taken(capsule: object) -> Taken:
    """Take what is in a capsule, which is used then; where something is refused it stays as it was.

    Raises ArgumentError (a RuntimeError) for what is no capsule of a tensor, a used one, or a newer layout,
    BufferRefused (a BufferError) for elements that tensors don't have and strides below zero.
    """
    managed: _Managed | _Versioned
    if _is_valid(capsule, _VERSIONED_NAME):
        address, used = _pointer(capsule, _VERSIONED_NAME), _VERSIONED_USED
        managed = _Versioned.from_address(address)
        if managed.major > MAJOR:
            raise ArgumentError(
                f"unsupported DLPack capsule major version: {managed.major}. Maximum supported version: {MAJOR}",
                hint="ask the other library for an older one: __dlpack__(max_version=(1, 0))",
            )
    elif _is_valid(capsule, _NAME):
        address, used = _pointer(capsule, _NAME), _USED
        managed = _Managed.from_address(address)
    else:
        raise ArgumentError(
            "from_dlpack received an invalid capsule. Note that DLTensor capsules can be consumed only once, so you "
            "might have already constructed a tensor from it once.",
            hint="give the other library's tensor itself, which makes a capsule for each call",
        )
    tensor = managed.tensor
    dtype = _dtype_of(tensor.code, tensor.bits, tensor.lanes)
    shape = tuple(tensor.shape[: tensor.rank])
    if tensor.strides:
        strides = tuple(step * dtype.itemsize for step in tensor.strides[: tensor.rank])
    else:
        strides = _row_major(shape, dtype.itemsize)
    if any(step < 0 for step, size in zip(strides, shape) if size > 1):
        raise BufferRefused(
            f"from_dlpack: tensors with negative strides are not supported, and these are {strides} bytes",
            hint="copy it in the other library first",
        )
    start = (tensor.data or 0) + tensor.byte_offset
    place = tensor.device_kind, tensor.device
    _set_name(capsule, used)
    return Taken(start, shape, strides, dtype, place, Owner(address, managed.deleter))


def over(address: int, shape: Sequence[int], strides: Sequence[int], dtype: np.dtype[Any], owner: object) -> AnyArray:
    """An array of the host, for reading and writing, over memory that an owner keeps."""
    if 0 in shape:
        return np.empty(shape, dtype)
    extent = dtype.itemsize + sum((size - 1) * step for size, step in zip(shape, strides))
    made: AnyArray = np.ndarray(tuple(shape), dtype, np.asarray(_Memory(address, extent, owner)), 0, tuple(strides))
    return made


class _Memory:
    """Bytes of the host's memory, as numpy asks for them."""

    def __init__(self, address: int, nbytes: int, owner: object) -> None:
        self.owner = owner
        self.__array_interface__ = {"version": 3, "shape": (nbytes,), "typestr": "|u1", "data": (address, False)}


def _row_major(shape: Sequence[int], itemsize: int) -> tuple[int, ...]:
    strides: list[int] = []
    step = itemsize
    for size in reversed(shape):
        strides.append(step)
        step *= max(1, size)
    return tuple(reversed(strides))


def _type_of(dtype: DType) -> tuple[int, int, int]:
    """The dtype in DLPack's numbers: code, bits, lanes."""
    if dtype in _FLOAT8:
        return _FLOAT8[dtype], 8, 1
    if dtype.kind is Kind.INT:
        return _INT if dtype.signed else _UINT, dtype.bits, 1
    code = {Kind.BOOL: _BOOL, Kind.FLOAT: _FLOAT, Kind.COMPLEX: _COMPLEX}[dtype.kind]
    return _BFLOAT if dtype is bf16 else code, dtype.bits, 1


_DTYPES: Final = {_type_of(dtype): dtype for dtype in (*DTYPES, *STORAGE_DTYPES)}
_CODES: Final = {
    _INT: "kInt", _UINT: "kUInt", _FLOAT: "kFloat", _BFLOAT: "kBfloat", _COMPLEX: "kComplex", _BOOL: "kDLBool",
    **{code: f"kDL{dtype.scalar}" for dtype, code in _FLOAT8.items()},
}  # fmt: skip


def _dtype_of(code: int, bits: int, lanes: int) -> DType:
    found = _DTYPES.get((code, bits, lanes))
    if found is not None:
        return found
    hint = "convert it in the other library first"
    if code not in _CODES:
        raise BufferRefused(f"Unsupported code {code}", hint=hint)
    if lanes != 1:
        raise BufferRefused(f"ATen does not support lanes != 1 for dtype code{code}", hint=hint)
    raise BufferRefused(f"Unsupported {_CODES[code]} bits {bits}", hint=hint)
