"""Switches of computing on GPUs.

`matmul.allow_tf32` is what code for GPUs asks: with it, float32 matrices are multiplied by tensor cores. The others
keep what they are set to, since graphc computes in full precision with code of its own.

>>> is_built(), matmul.allow_tf32
(True, False)
"""

from __future__ import annotations

import contextlib
import enum
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from graphc.backends.switches import Switch, checked
from graphc.eager.attention_choice import CHOICE
from graphc.ir.errors import ArgumentError, SignatureError, UnknownAttribute
from graphc.ir.precision import precision_of, set_matmul_level

E = TypeVar("E", bound=enum.Enum)
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


matmul = _Matmul()


def is_built() -> bool:
    """Whether graphc makes code for GPUs: it does, with or without one at hand."""
    return True


def flash_sdp_enabled() -> bool:
    """Whether flash attention is allowed."""
    return CHOICE.flash


def enable_flash_sdp(enabled: bool) -> None:
    """Allow flash attention, or don't."""
    CHOICE.flash = enabled


def mem_efficient_sdp_enabled() -> bool:
    """Whether memory-efficient attention is allowed."""
    return CHOICE.memory_efficient


def enable_mem_efficient_sdp(enabled: bool) -> None:
    """Allow memory-efficient attention, or don't."""
    CHOICE.memory_efficient = enabled


def math_sdp_enabled() -> bool:
    """Whether attention by single operations is allowed."""
    return CHOICE.math


def enable_math_sdp(enabled: bool) -> None:
    """Allow attention by single operations, or don't."""
    CHOICE.math = enabled


def cudnn_sdp_enabled() -> bool:
    """Whether cuDNN's attention is allowed."""
    return CHOICE.cudnn


def enable_cudnn_sdp(enabled: bool) -> None:
    """Allow cuDNN's attention, or don't."""
    CHOICE.cudnn = enabled


def fp16_bf16_reduction_math_sdp_allowed() -> bool:
    """Whether attention by single operations may add up in 16 bits."""
    return CHOICE.reduces


def allow_fp16_bf16_reduction_math_sdp(enabled: bool) -> None:
    """Allow that, or don't: sums are of 32 bits either way."""
    CHOICE.reduces = enabled


@contextlib.contextmanager
def sdp_kernel(
    enable_flash: bool = True, enable_math: bool = True, enable_mem_efficient: bool = True, enable_cudnn: bool = True
) -> Iterator[dict[str, object]]:
    """A context in which these ways to attend are allowed; PyTorch's older form of `nn.attention.sdpa_kernel`."""
    warnings.warn(
        "`torch.backends.cuda.sdp_kernel()` is deprecated. In the future, this context manager will be removed. Please "
        "see `torch.nn.attention.sdpa_kernel()` for the new context manager, with updated signature.",
        FutureWarning,
        stacklevel=3,
    )
    with CHOICE.only(flash=enable_flash, memory_efficient=enable_mem_efficient, math=enable_math, cudnn=enable_cudnn):
        yield {}


@dataclass(frozen=True, slots=True)
class SDPAParams:
    """What attention is asked for, for the questions whether a library could compute it."""

    query: Any
    key: Any
    value: Any
    attn_mask: Any
    dropout: float
    is_causal: bool
    enable_gqa: bool


def is_flash_attention_available() -> bool:
    """Whether the library FlashAttention is there: False; graphc's own kernel keeps no matrix of scores either."""
    return False


def is_ck_sdpa_available() -> bool:
    """Whether AMD's library is there: False."""
    return False


def can_use_flash_attention(params: SDPAParams, debug: bool = False) -> bool:
    """Whether the library FlashAttention would compute this: False, for it is not there."""
    return _not_there("Flash attention", debug)


def can_use_efficient_attention(params: SDPAParams, debug: bool = False) -> bool:
    """Whether xFormers' kernel would compute this: False, for it is not there."""
    return _not_there("Memory efficient attention", debug)


def can_use_cudnn_attention(params: SDPAParams, debug: bool = False) -> bool:
    """Whether cuDNN would compute this: False, for it is not there."""
    return _not_there("cuDNN attention", debug)


def _not_there(name: str, debug: bool) -> bool:
    if debug:
        warnings.warn(f"{name} is no part of graphc, which has one kernel of its own for attention.", stacklevel=3)
    return False


class _Linalg(enum.Enum):
    """Libraries for decompositions of matrices."""

    Default = 0
    Cusolver = 1
    Magma = 2


class _Blas(enum.Enum):
    """Libraries for products of matrices."""

    Default = 0
    Cublas = 1
    Cublaslt = 2
    Ck = 3


def preferred_linalg_library(backend: object = None) -> _Linalg:
    """The library for decompositions: the default, graphc itself. Raises ArgumentError for libraries, none is there."""
    return _preferred(_Linalg.Default, backend, {"default": _Linalg.Default, "cusolver": None, "magma": None})


def preferred_blas_library(backend: object = None) -> _Blas:
    """The library for products: the default, graphc itself. Raises ArgumentError for libraries, none is there."""
    names = ("cublas", "hipblas", "cublaslt", "hipblaslt", "ck")
    libraries: dict[str, _Blas | None] = {"default": _Blas.Default, **dict.fromkeys(names)}
    return _preferred(_Blas.Default, backend, libraries)


def _preferred(default: E, backend: object, names: dict[str, E | None]) -> E:
    if backend is None or backend is default:
        return default
    if isinstance(backend, enum.Enum):
        backend = backend.name.lower()
    if not isinstance(backend, str):
        raise ArgumentError("Unknown input value type.", hint="give a name")
    if backend not in names:
        raise ArgumentError(f"Unknown input value. Choose from: {', '.join(names)}.")
    found = names[backend]
    if found is None:
        raise ArgumentError(
            f"Cannot set preferred backend to {backend} if PyTorch has not been compiled with {backend}.",
            hint='graphc computes with code of its own: "default"',
        )
    return found


_ABSENT = {
    "cufft_plan_cache": "graphc computes Fourier transforms without cuFFT, and keeps no plans",
    "cublas_workspace_size": "graphc multiplies matrices without cuBLAS, and needs no workspace",
    "cublaslt_workspace_size": "graphc multiplies matrices without cuBLAS, and needs no workspace",
    "blas_workspace_size": "graphc multiplies matrices without cuBLAS, and needs no workspace",
    "preferred_rocm_fa_library": "graphc computes on GPUs of NVIDIA's",
}
"""Names of torch.backends.cuda that are not here, and why."""


def __getattr__(name: str) -> object:
    if name in _ABSENT:
        raise UnknownAttribute(f"graphc.backends.cuda has no {name}", hint=_ABSENT[name])
    raise AttributeError(f"module 'graphc.backends.cuda' has no attribute {name!r}")
