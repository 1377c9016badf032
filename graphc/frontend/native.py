"""Machine code for a program: its kernels, each from the cache if it was compiled before, and its entry.

In: a program. Out: a `Launcher`, which calls the entry on arrays; for a GPU a `CudaLauncher`.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from graphc.codegen.cpu import emit_kernel
from graphc.codegen.program import ENTRY, KERNEL, arena_size, emit_program
from graphc.frontend.place import Place
from graphc.kernel.program import Program
from graphc.kernel.text import kernel_key
from graphc.runtime import pool
from graphc.runtime.cache import compiled
from graphc.runtime.launch import Launcher
from graphc.runtime.target import host_target
from graphc.runtime.threads import get_num_threads

if TYPE_CHECKING:
    from graphc.runtime.cuda.launch import CudaLauncher


def load_program(program: Program) -> Launcher:
    """Compile what isn't in the cache, and load all."""
    pool.start()
    target = host_target()
    kernels = [
        compiled(kernel_key(kernel), partial(emit_kernel, kernel, target, KERNEL), (KERNEL,), target)
        for kernel in program.kernels
    ]
    addresses = np.array([code[KERNEL] for code in kernels], np.int64)
    text = emit_program(program, target)
    entry = compiled(text, lambda: text, (ENTRY,), target)
    threads = get_num_threads()
    return Launcher(
        entry[ENTRY],
        tuple(each.type for each in program.inputs),
        tuple(each.type for each in program.outputs),
        constants=(*(each.value.value for each in program.constants), addresses),
        words=(threads,),
        sizes=program.sizes,
        arena_bytes=arena_size(program, target, threads),
        code=(*kernels, entry),
    )


def load_on_device(program: Program, place: Place) -> CudaLauncher:
    """The program on the place's device; without a device, one that only tells that there is none when it is run."""
    # Late: most programs are for the CPU, and importing graphc must be quick.
    from graphc.runtime.cuda.capture import aside
    from graphc.runtime.cuda.launch import CudaLauncher

    with aside(place.device):  # its constants are copied now, not whenever a graph is replayed
        return CudaLauncher(program, place.target, place.device, waits=place.waits)
