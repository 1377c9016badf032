"""How PyTorch's linear_cross_entropy saves memory.

>>> LinearCrossEntropyOptions().chunking_method
'auto'
"""

from __future__ import annotations

from dataclasses import dataclass

from graphc.ir.dtype import DType

__all__ = ["LinearCrossEntropyOptions"]


@dataclass(frozen=True, slots=True)
class LinearCrossEntropyOptions:
    """Settings that programs for PyTorch may bring along; they change no result, and the compiler needs none."""

    allow_retain_graph: bool = False
    batch_chunk_size: int | None = None
    chunking_method: str | None = "auto"
    acc_policy: str = "auto"
    acc_dtype: DType | None = None
