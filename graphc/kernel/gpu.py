"""What a kernel for a GPU is: which GPU it is for, and with what grid it is launched.

In: a target's name or a kernel. Out: facts that passes, code generation and the runtime ask for.

A kernel for a GPU is what its body says: an outermost loop over blocks, which holds allocations of shared memory and
one loop over threads. Statements in front of the loops are the same for all blocks, or threads, and each does them.

>>> parse_target("cuda:sm_90")
GpuTarget(capability=90, allow_tf32=False, allow_warpgroups=True)
>>> str(parse_target("sm_80"))
'cuda:sm_80'
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from graphc.ir.dim import Size
from graphc.ir.errors import ArgumentError
from graphc.kernel.ir import Allocate, Kernel, Loop, LoopKind, Space

WARP: Final = 32
"""Threads that run in step and can shuffle values."""
WARPGROUP: Final = 4 * WARP
"""Threads that multiply matrices in shared memory together."""
MOST_THREADS: Final = 1024
"""Threads that a block may have."""
STATIC_SHARED_BYTES: Final = 48 * 1024
"""Shared memory that every block may have without asking the driver for more."""

CAPABILITIES: Final = (75, 80, 86, 87, 88, 89, 90, 100, 103, 110, 120, 121)
"""Compute capabilities, ten times: Turing to Blackwell."""
_SHARED_KIB: Final = {75: 64, 80: 163, 86: 99, 87: 163, 88: 99, 89: 99, 90: 227, 100: 227, 103: 227, 110: 227}


@dataclass(frozen=True, slots=True)
class GpuTarget:
    """A GPU to compile for: its compute capability times ten, and what the code may do."""

    capability: int
    allow_tf32: bool = False
    """Whether float32 contractions may round their factors to tf32, 10 bits of fraction."""
    allow_warpgroups: bool = True
    """Whether contractions may use `MultiplyShared` where there is such an instruction."""

    def __str__(self) -> str:
        return f"cuda:{self.processor}"

    @property
    def processor(self) -> str:
        """LLVM's and ptxas' name for it: `sm_90`."""
        return f"sm_{self.capability}"

    @property
    def has_async_copy(self) -> bool:
        """Whether `CopyAsync` is an instruction; elsewhere it is a load and a store."""
        return self.capability >= 80

    @property
    def has_bf16_matrices(self) -> bool:
        """Whether the tensor cores multiply bf16 and tf32 (f16: all targets do)."""
        return self.capability >= 80

    @property
    def has_warpgroups(self) -> bool:
        """Whether `MultiplyShared` is an instruction: of Hopper's GPUs alone, not of those after them."""
        return self.capability == 90

    @property
    def most_shared_bytes(self) -> int:
        """Shared memory that a block can have if it asks for it."""
        return _SHARED_KIB.get(self.capability, 99) * 1024


def parse_target(text: str) -> GpuTarget:
    """The target that `cuda:sm_90` or `sm_90` names; raises ArgumentError for another one."""
    match = re.fullmatch(r"(?:cuda:)?sm_(\d+)a?", text.strip())
    if match is None or int(match[1]) not in CAPABILITIES:
        known = ", ".join(f"sm_{each}" for each in CAPABILITIES)
        raise ArgumentError(f"{text!r} names no GPU that graphc compiles for", hint=f"there are {known}")
    return GpuTarget(int(match[1]))


@dataclass(frozen=True, slots=True)
class Grid:
    """How a kernel for a GPU is launched."""

    blocks: Size
    """In the kernel's sizes; nothing is launched where it is 0."""
    threads: int
    shared_bytes: int


def grid_of(kernel: Kernel) -> Grid | None:
    """The kernel's grid; None for one that is not for a GPU."""
    for statement in kernel.body:
        if isinstance(statement, Loop) and statement.kind is LoopKind.BLOCK:
            threads = next(s for s in statement.body if isinstance(s, Loop) and s.kind is LoopKind.THREAD)
            assert isinstance(threads.extent, int), "a block has a fixed number of threads"
            return Grid(statement.extent, threads.extent, shared_bytes(statement))
    return None


def shared_bytes(blocks: Loop) -> int:
    """Shared memory of a block, as its allocations lie one after the other, aligned to 16 bytes."""
    total = 0
    for statement in blocks.body:
        if isinstance(statement, Allocate) and statement.buffer.space is Space.SHARED:
            size = statement.buffer.size
            assert isinstance(size, int), "shared memory has a fixed size"
            total = (total + 15) // 16 * 16 + size * statement.buffer.dtype.itemsize
    return total
