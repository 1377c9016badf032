"""What code generation asks about a GPU's instructions: the Protocol `graphc.codegen.target.Target` for a GpuTarget.

>>> from graphc.kernel.gpu import parse_target
>>> NvptxTarget(parse_target("sm_75")).has_nan_extremes, NvptxTarget(parse_target("sm_90")).has_nan_extremes
(False, True)
"""

from __future__ import annotations

from dataclasses import dataclass

from graphc.kernel.gpu import GpuTarget


@dataclass(frozen=True, slots=True)
class NvptxTarget:
    """A GPU as LLVM's NVPTX back end sees it: a thread's code is scalar but for its accesses to memory."""

    gpu: GpuTarget

    @property
    def arch(self) -> str:
        return "nvptx64"

    @property
    def has_avx512(self) -> bool:
        return False

    @property
    def has_avx2(self) -> bool:
        return False

    @property
    def has_fma(self) -> bool:
        return True

    @property
    def has_f16c(self) -> bool:
        """Every GPU converts float16 by an instruction."""
        return True

    @property
    def has_bf16_conversion(self) -> bool:
        return self.gpu.capability >= 80

    @property
    def has_nan_extremes(self) -> bool:
        """Whether there is a float32 maximum that gives nan where an operand is one."""
        return self.gpu.capability >= 80

    @property
    def vector_bits(self) -> int:
        """The widest access to memory of one thread."""
        return 128

    @property
    def vector_registers(self) -> int:
        return 64

    @property
    def function_attributes(self) -> str:
        return "nounwind"

    def has(self, feature: str) -> bool:
        """No feature has to be asked for by name: the processor's name says all."""
        return False
