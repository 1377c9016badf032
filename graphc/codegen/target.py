"""What code generation asks about the machine it writes for; `graphc.runtime.target.Target` answers."""

from __future__ import annotations

from typing import Protocol


class Target(Protocol):
    """A machine's instructions and registers."""

    @property
    def arch(self) -> str:
        """`x86_64` or `aarch64`."""

    @property
    def has_avx512(self) -> bool:
        """Whether masked loads and stores of every width are instructions."""

    @property
    def has_avx2(self) -> bool:
        """Whether gathers and 256-bit integers are instructions."""

    @property
    def has_fma(self) -> bool:
        """Whether fused multiply-add is an instruction."""

    @property
    def has_f16c(self) -> bool:
        """Whether float16 converts to and from float32 by an instruction."""

    @property
    def has_bf16_conversion(self) -> bool:
        """Whether float32 is rounded to bfloat16 by an instruction, subnormal numbers too."""

    @property
    def vector_bits(self) -> int:
        """Width of a vector register."""

    @property
    def vector_registers(self) -> int:
        """How many vector registers there are."""

    @property
    def function_attributes(self) -> str:
        """LLVM attributes of each emitted function."""

    def has(self, feature: str) -> bool:
        """Whether the machine has a feature, by LLVM's name for it."""
