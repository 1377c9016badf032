"""Runs kernels natively, for the tests of code generation."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from graphc.codegen.abi import argument_block
from graphc.codegen.contract_plan import workspace_bytes
from graphc.codegen.cpu import emit_kernel
from graphc.kernel.ir import Kernel
from graphc.runtime.engine import compile_object, keep, load
from graphc.runtime.target import Target, named_target, native_target

Array = npt.NDArray[Any]

TARGETS = ("native", "x86-64-v3", "x86-64")
"""The code that an AVX-512 machine can run; elsewhere fewer of them are."""


def runnable_targets() -> tuple[Target, ...]:
    """This machine, and narrower ones whose code it runs."""
    native = native_target()
    return (native, *(t for t in map(named_target, TARGETS[1:]) if t.runs_here and t.enabled < native.enabled))


def load_for_good(code: bytes, symbol: str) -> int:
    """The address of a function in code that is never unloaded."""
    loaded = load(code, (symbol,))
    keep(loaded)
    return loaded[symbol]


@lru_cache(maxsize=256)
def compile_kernel(kernel: Kernel, target: Target) -> Callable[[int, int, int], None]:
    """The kernel's function."""
    code = compile_object(emit_kernel(kernel, target, "kernel"), target)
    address = load_for_good(code, "kernel")
    return ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)(address)


def run_native(
    kernel: Kernel,
    buffers: Mapping[str, Array],
    sizes: Mapping[str, int] | None = None,
    threads: int = 1,
    target: Target | None = None,
) -> int:
    """Run on arrays by buffers' names, in place, each thread's share in turn; returns the status."""
    target = target or native_target()
    function = compile_kernel(kernel, target)
    status = np.zeros(1, np.int32)
    workspace = np.zeros(workspace_bytes(kernel, target) * threads + 64, np.uint8)
    values = [(sizes or {})[size.name] for size in kernel.sizes]
    addresses = []
    for buffer in kernel.buffers:
        array = buffers[buffer.name]
        assert array.dtype == buffer.dtype.numpy, f"{buffer.name} holds {buffer.dtype}, not {array.dtype}"
        assert array.flags.c_contiguous
        addresses.append(array.ctypes.data)
    aligned = -(-workspace.ctypes.data // 64) * 64
    block = np.array(argument_block(kernel, addresses, values, status.ctypes.data, aligned), np.int64)
    for thread in range(threads):
        function(block.ctypes.data, thread, threads)
    return int(status[0])


def same_bits(a: Array, b: Array) -> bool:
    """Whether the arrays agree in every bit, any nan standing for any other."""
    if a.dtype != b.dtype or a.shape != b.shape:
        return False
    if a.dtype.kind not in "fV" and a.dtype.name not in ("bfloat16",):
        return bool(np.array_equal(a, b))
    with np.errstate(invalid="ignore"):
        nan = np.isnan(a) & np.isnan(b)
    words = f"u{a.dtype.itemsize}"
    return bool(np.all((np.ascontiguousarray(a).view(words) == np.ascontiguousarray(b).view(words)) | nan))
