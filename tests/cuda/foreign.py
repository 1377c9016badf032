"""A producer of DLPack capsules written by hand: what another library hands over, and how often it is let go."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

_Deleter = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


_TENSOR = (
    ("data", ctypes.c_void_p),
    ("device_type", ctypes.c_int32),
    ("device_id", ctypes.c_int32),
    ("ndim", ctypes.c_int32),
    ("code", ctypes.c_uint8),
    ("bits", ctypes.c_uint8),
    ("lanes", ctypes.c_uint16),
    ("shape", ctypes.POINTER(ctypes.c_int64)),
    ("strides", ctypes.POINTER(ctypes.c_int64)),
    ("byte_offset", ctypes.c_uint64),
)
"""The fields of DLTensor of dlpack.h."""


class _Managed(ctypes.Structure):
    """DLManagedTensor of dlpack.h; the fields of the tensor stand in it one by one."""

    _fields_ = (
        *_TENSOR,
        ("manager_ctx", ctypes.c_void_p),
        ("deleter", _Deleter),
    )


class _Versioned(ctypes.Structure):
    """DLManagedTensorVersioned of dlpack.h."""

    _fields_ = (
        ("major", ctypes.c_uint32),
        ("minor", ctypes.c_uint32),
        ("manager_ctx", ctypes.c_void_p),
        ("deleter", _Deleter),
        ("flags", ctypes.c_uint64),
        *_TENSOR,
    )


_new = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)(
    ("PyCapsule_New", ctypes.pythonapi)
)
_pointer = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(
    ("PyCapsule_GetPointer", ctypes.pythonapi)
)
_name = ctypes.PYFUNCTYPE(ctypes.c_char_p, ctypes.py_object)(("PyCapsule_GetName", ctypes.pythonapi))
_set_name = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.py_object, ctypes.c_char_p)(("PyCapsule_SetName", ctypes.pythonapi))
NAME, VERSIONED = b"dltensor", b"dltensor_versioned"
USED, USED_VERSIONED = b"used_dltensor", b"used_dltensor_versioned"


_kept: list[Foreign] = []
"""All of them: a capsule doesn't hold what it was made from, and a deleter can't free its own code."""


class Foreign:
    """Another library's tensor. `deleted` counts how often its memory was given back; `asked` has what it was asked."""

    def __init__(
        self,
        address: int,
        shape: Sequence[int],
        strides: Sequence[int] | None = None,
        *,
        type: tuple[int, int, int] = (2, 32, 1),
        device: tuple[int, int] = (2, 0),
        offset: int = 0,
        version: tuple[int, int] | None = None,
        flags: int = 0,
    ) -> None:
        self.deleted = 0
        self.asked: list[dict[str, object]] = []
        self.device = device
        self.name = NAME if version is None else VERSIONED
        self.managed: _Managed | _Versioned = _Managed() if version is None else _Versioned()
        if isinstance(self.managed, _Versioned):
            assert version is not None
            self.managed.major, self.managed.minor = version
            self.managed.flags = flags
        self._sizes = (ctypes.c_int64 * len(shape))(*shape)
        self._steps = (ctypes.c_int64 * len(strides))(*strides) if strides is not None else None
        self._deleter = _Deleter(self._delete)
        self.managed.data = address
        self.managed.device_type, self.managed.device_id = device
        self.managed.ndim = len(shape)
        self.managed.code, self.managed.bits, self.managed.lanes = type
        self.managed.shape = ctypes.cast(self._sizes, ctypes.POINTER(ctypes.c_int64))
        if self._steps is not None:
            self.managed.strides = ctypes.cast(self._steps, ctypes.POINTER(ctypes.c_int64))
        self.managed.byte_offset = offset
        self.managed.deleter = self._deleter
        _kept.append(self)

    def _delete(self, managed: int) -> None:
        assert managed == ctypes.addressof(self.managed)
        self.deleted += 1

    def capsule(self) -> object:
        """A new capsule over the memory."""
        found: object = _new(ctypes.addressof(self.managed), self.name, None)
        return found

    def __dlpack__(self, **options: object) -> object:
        self.asked.append(options)
        return self.capsule()

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.device


class Taken:
    """What a consumer sees in a capsule that it takes; `release` gives it back."""

    def __init__(self, capsule: object) -> None:
        name = _name(capsule)
        assert name in (NAME, VERSIONED)
        kind = _Managed if name == NAME else _Versioned
        self.managed = kind.from_address(_pointer(capsule, name))
        _set_name(capsule, USED if name == NAME else USED_VERSIONED)
        found = self.managed
        self.address: int | None = found.data
        self.device = found.device_type, found.device_id
        self.type = found.code, found.bits, found.lanes
        self.shape = tuple(found.shape[: found.ndim])
        self.strides = tuple(found.strides[: found.ndim])
        self.flags = found.flags if isinstance(found, _Versioned) else None

    def release(self) -> None:
        """Call the deleter, as a consumer does once."""
        self.managed.deleter(ctypes.addressof(self.managed))
