"""CUDA's libraries, which graphc doesn't use: their switches keep what they are set to.

>>> is_built(), matmul.allow_tf32
(False, False)
"""

from __future__ import annotations

from graphc.eager.determinism import get_float32_matmul_precision, set_float32_matmul_precision


class _Matmul:
    """Switches of products of matrices. tf32 goes with `graphc.set_float32_matmul_precision`, as in PyTorch."""

    def __init__(self) -> None:
        self.allow_fp16_reduced_precision_reduction = True
        self.allow_bf16_reduced_precision_reduction = True
        self.allow_fp16_accumulation = False
        self.fp32_precision = "none"

    @property
    def allow_tf32(self) -> bool:
        """Whether products of float32 matrices may round to tf32."""
        return get_float32_matmul_precision() != "highest"

    @allow_tf32.setter
    def allow_tf32(self, value: bool) -> None:
        set_float32_matmul_precision("high" if value else "highest")


class _Attention:
    """Which ways to attend are allowed."""

    def __init__(self) -> None:
        self.flash = self.memory_efficient = self.math = self.cudnn = True


matmul = _Matmul()
_attention = _Attention()


def is_built() -> bool:
    """Whether graphc was built with CUDA's libraries: False."""
    return False


def flash_sdp_enabled() -> bool:
    """Whether flash attention is allowed."""
    return _attention.flash


def enable_flash_sdp(enabled: bool) -> None:
    """Allow flash attention, or don't."""
    _attention.flash = enabled


def mem_efficient_sdp_enabled() -> bool:
    """Whether memory-efficient attention is allowed."""
    return _attention.memory_efficient


def enable_mem_efficient_sdp(enabled: bool) -> None:
    """Allow memory-efficient attention, or don't."""
    _attention.memory_efficient = enabled


def math_sdp_enabled() -> bool:
    """Whether attention by single operations is allowed."""
    return _attention.math


def enable_math_sdp(enabled: bool) -> None:
    """Allow attention by single operations, or don't."""
    _attention.math = enabled


def cudnn_sdp_enabled() -> bool:
    """Whether cuDNN's attention is allowed."""
    return _attention.cudnn


def enable_cudnn_sdp(enabled: bool) -> None:
    """Allow cuDNN's attention, or don't."""
    _attention.cudnn = enabled
