"""What graphc is held to on a GPU: torch where it is installed with CUDA, else cuBLAS alone, else the data sheet.

Out: `torch()`, a module or None; `Blas`, products of matrices by the vendor's library; `peak`, multiplications and
additions per second that NVIDIA's data sheets name for dense matrices.
"""

from __future__ import annotations

import ctypes
import functools
import importlib
from typing import Any

import graphc

LIBRARIES = ("libcublas.so.13", "libcublas.so.12", "libcublas.so")
_KINDS = {"float32": 0, "float16": 2, "bfloat16": 14}
"""Of cudaDataType_t."""
_IN_FLOAT32, _IN_TF32 = 68, 77
"""Of cublasComputeType_t."""

PEAKS = (
    # a part of the device's name, and TFLOP/s of bf16 and f16, tf32, f32; the first that fits counts
    ("H100 PCIe", 756, 378, 51),
    ("H100", 989, 495, 67),
    ("H200", 989, 495, 67),
    ("A100", 312, 156, 19.5),
    ("L40S", 362, 183, 91.6),
    ("NVIDIA L4", 121, 60, 30.3),
    ("RTX 4090", 165, 82.6, 82.6),
    ("Tesla T4", 65, None, 8.1),
)


@functools.cache
def torch() -> Any:
    """PyTorch, if it can be imported and finds the GPU; else None: no peer is graphc under its name."""
    try:
        module = importlib.import_module("torch")
    except (ImportError, OSError):
        return None
    return module if module is not graphc and module.cuda.is_available() else None


def peak(name: str, unit: str) -> float | None:
    """Operations per second of a device in a unit (a dtype, or tf32), where its data sheet is known."""
    for part, narrow, tf32, wide in PEAKS:
        if part in name:
            found = {"tf32": tf32, "float32": wide}.get(unit, narrow)
            return None if found is None else found * 1e12
    return None


class Blas:
    """The vendor's products of graphc's matrices, in the default stream."""

    def __init__(self, library: Any) -> None:
        self._library = library
        self._handle = ctypes.c_void_p()
        self._one, self._zero = ctypes.c_float(1), ctypes.c_float(0)
        graphc.zeros(1, device="cuda")  # the context that cuBLAS shares is the current one
        _check(library.cublasCreate_v2(ctypes.byref(self._handle)))

    def multiply(self, x: Any, y: Any, out: Any, unit: str) -> None:
        """`out = x @ y`; all contiguous, of one dtype, with the same axes before the last two."""
        rows, depth, columns, count = x.shape[-2], x.shape[-1], y.shape[-1], x.shape[0] if x.ndim == 3 else 1
        kind = _KINDS[str(x.dtype).rpartition(".")[2]]
        how = _IN_TF32 if unit == "tf32" else _IN_FLOAT32
        long, pointer = ctypes.c_longlong, ctypes.c_void_p
        # It has columns first: of the transposed matrices, out^T = y^T x^T.
        _check(
            self._library.cublasGemmStridedBatchedEx(
                self._handle, 0, 0, columns, rows, depth, ctypes.byref(self._one),
                pointer(y.data_ptr()), kind, columns, long(depth * columns),
                pointer(x.data_ptr()), kind, depth, long(rows * depth), ctypes.byref(self._zero),
                pointer(out.data_ptr()), kind, columns, long(rows * columns), count, how, -1,
            )
        )  # fmt: skip


@functools.cache
def blas() -> Blas | None:
    """The vendor's library, if the machine has one."""
    for name in LIBRARIES:
        try:
            return Blas(ctypes.CDLL(name))
        except (OSError, RuntimeError):
            continue
    return None


def _check(status: int) -> None:
    if status:
        raise RuntimeError(f"cuBLAS fails with status {status}")
