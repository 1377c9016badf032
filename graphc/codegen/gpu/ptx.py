"""Kernels as PTX, the assembler language that NVIDIA's driver takes.

In: kernels that are scheduled for a GPU, and which GPU. Out: the text, made by LLVM alone. The version of PTX is the
first one that knows the target and what is asked of it, so that old drivers take it.
"""

from __future__ import annotations

from collections.abc import Mapping

from graphc.codegen.gpu.kernel import emit_module
from graphc.codegen.gpu.support import parameter_bytes
from graphc.kernel.gpu import GpuTarget
from graphc.kernel.ir import Kernel, MultiplyShared, statements_in
from graphc.runtime.engine import assembly
from graphc.runtime.target import Target

TRIPLE = "nvptx64-nvidia-cuda"


PLAIN_PARAMETER_BYTES = 4096
"""Of a kernel's parameters, what every driver takes; more needs a newer version of PTX, and CUDA 12.1."""

KNOWN_EARLY = (75, 80, 86, 87, 89, 90)
"""Capabilities that PTX has known before version 8.1, which has more room for parameters."""


def emit_ptx(kernels: Mapping[str, Kernel], target: GpuTarget) -> str:
    """PTX with an entry point for each kernel, of its name; raises a GraphcError for what the target cannot do."""
    # LLVM takes the first version that knows the target; the first with sm_75 knows no matrices of its tensor cores.
    features = "+ptx65" if target.capability == 75 else ""
    if target.capability in KNOWN_EARLY and any(parameter_bytes(k) > PLAIN_PARAMETER_BYTES for k in kernels.values()):
        features = "+ptx81"
    return assembly(emit_module(kernels, target), Target(TRIPLE, processor_of(kernels, target), features))


def processor_of(kernels: Mapping[str, Kernel], target: GpuTarget) -> str:
    """The name of the processor that the module is for.

    Instructions of one generation alone are in PTX for `sm_90a`, which nothing but capability 9.0 takes.
    """
    has_products = any(isinstance(s, MultiplyShared) for kernel in kernels.values() for s in statements_in(kernel.body))
    return f"{target.processor}a" if has_products else target.processor
