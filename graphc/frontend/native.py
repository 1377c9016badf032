"""Machine code for a program: its kernels, each from the cache if it was compiled before, and its entry.

In: a program. Out: the entry's address and what its argument block needs beside the arrays.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from graphc.codegen.cpu import emit_kernel
from graphc.codegen.program import ENTRY, KERNEL, arena_size, emit_program, program_kernels
from graphc.ir.dim import Size
from graphc.kernel.program import Program
from graphc.kernel.text import kernel_key
from graphc.runtime import pool
from graphc.runtime.cache import compiled
from graphc.runtime.target import host_target


@dataclass(frozen=True, slots=True)
class NativeProgram:
    """Loaded code. The entry's block: arrays, then the address of `kernels`, then `threads`, sizes and the arena."""

    entry: int
    kernels: npt.NDArray[Any]
    """Addresses of the kernels."""
    threads: int
    """For how many threads the arena has workspace."""
    arena_bytes: Size


def load_program(program: Program) -> NativeProgram:
    """Compile what isn't in the cache, and load all."""
    pool.start()
    target = host_target()
    addresses: list[int] = []
    for kernel in program_kernels(program):
        code = compiled(kernel_key(kernel), partial(emit_kernel, kernel, target, KERNEL), (KERNEL,), target)
        addresses.append(code[KERNEL])
    text = emit_program(program, target)
    entry = compiled(text, lambda: text, (ENTRY,), target)[ENTRY]
    threads = pool.get_num_threads()
    return NativeProgram(entry, np.array(addresses, np.int64), threads, arena_size(program, target, threads))
