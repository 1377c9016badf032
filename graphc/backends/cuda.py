"""Switches of computing on GPUs.

`matmul.allow_tf32` is what code for GPUs asks: with it, float32 matrices are multiplied by tensor cores. The others
keep what they are set to, since graphc computes in full precision with code of its own.

>>> is_built(), matmul.allow_tf32
(True, False)
"""

from __future__ import annotations

from graphc.backends.switches import Switch, checked
from graphc.ir.errors import SignatureError, UnknownAttribute
from graphc.ir.precision import precision_of, set_matmul_level

_REDUCTIONS = ("allow_fp16_reduced_precision_reduction", "allow_bf16_reduced_precision_reduction")


class _Matmul(Switch):
    """Switches of products of matrices. tf32 goes with `graphc.set_float32_matmul_precision`, as in PyTorch."""

    def __init__(self) -> None:
        super().__init__("cuda.matmul")
        self.__dict__.update(dict.fromkeys(_REDUCTIONS, True), allow_fp16_accumulation=False)

    @property
    def allow_tf32(self) -> bool:
        """Whether factors of products of float32 matrices may be rounded to tf32."""
        return precision_of("cuda.matmul") == "tf32"

    @allow_tf32.setter
    def allow_tf32(self, value: bool) -> None:
        set_matmul_level("high" if checked(value, "set_allow_tf32_cublas") else "highest")

    def __setattr__(self, name: str, value: object) -> None:
        if name in _REDUCTIONS:
            parts = value if isinstance(value, list | tuple) else (value,)
            if not 1 <= len(parts) <= 2 or not all(isinstance(each, bool) for each in parts):
                raise SignatureError(f"{name} expects a bool or a tuple/list of bools, but got {type(value)}")
            self.__dict__[name] = parts[0]
        elif name == "allow_fp16_accumulation":
            self.__dict__[name] = checked(value, "set_allow_fp16_accumulation_cublas")
        elif name in ("allow_tf32", "fp32_precision"):
            super().__setattr__(name, value)
        else:
            raise _unknown(name)

    def __getattr__(self, name: str) -> object:
        raise _unknown(name)


def _unknown(name: str) -> UnknownAttribute:
    return UnknownAttribute(
        f"Unknown attribute {name}", hint=f"there are allow_tf32, fp32_precision, {', '.join(_REDUCTIONS)}"
    )


class _Attention:
    """Which ways to attend are allowed."""

    def __init__(self) -> None:
        self.flash = self.memory_efficient = self.math = self.cudnn = True


matmul = _Matmul()
_attention = _Attention()


def is_built() -> bool:
    """Whether graphc makes code for GPUs: it does, with or without one at hand."""
    return True


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
