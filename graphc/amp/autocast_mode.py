"""Regions in which some operations compute in fewer bits.

In: a device type, a dtype, whether the region is in force. Out: a context or decorator. Without a GPU the regions for
GPUs are switched off with a warning, as in PyTorch; for the CPU there is no autocast yet: asking for it is an error.
"""

from __future__ import annotations

import functools
import threading
import warnings
from collections.abc import Callable
from typing import Any, Final, TypeVar

from graphc.eager.device import TYPES
from graphc.eager.device import device as Device
from graphc.eager.guard import guarded
from graphc.ir.dtype import DType, bf16, f16
from graphc.ir.errors import ArgumentError, MissingFeature

F = TypeVar("F", bound=Callable[..., Any])

_CPU_DTYPES: Final = (bf16, f16)


class autocast:
    """A context or decorator; `enabled=False` computes in the tensors' own dtypes, as outside."""

    @guarded
    def __init__(
        self, device_type: str, dtype: DType | None = None, enabled: bool = True, cache_enabled: bool | None = None
    ) -> None:
        if not isinstance(device_type, str):
            raise ValueError(f"Expected `device_type` of type `str`, got: `{type(device_type)}`")
        self.device = Device(device_type).type
        self.fast_dtype = get_autocast_dtype(self.device) if dtype is None else dtype
        self._cache_enabled = True if cache_enabled is None else cache_enabled
        if enabled and self.device == "cuda":
            warnings.warn("CUDA is not available or torch_xla is imported. Disabling autocast.", stacklevel=3)
            enabled = False
        elif enabled and self.device == "cpu" and self.fast_dtype not in _CPU_DTYPES:
            warnings.warn(
                "In CPU autocast, but the target dtype is not supported. Disabling autocast.\n"
                "CPU Autocast only supports dtypes of torch.bfloat16, torch.float16 currently.",
                stacklevel=3,
            )
            enabled = False
        if enabled:
            raise MissingFeature(
                f"graphc has no autocast for {self.device} yet",
                hint=f'torch.autocast("{self.device}", enabled=False) computes in the dtypes of the tensors; '
                "model.to(torch.bfloat16) converts all",
            )
        self._enabled = enabled

    def __enter__(self) -> autocast:
        return self

    def __exit__(self, *error: object) -> None:
        return None

    def __call__(self, function: F) -> F:
        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            with self:
                return function(*args, **kwargs)

        return call  # type: ignore[return-value]  # it takes what the function takes


class _Dtypes(threading.local):
    """What the thread has set."""

    def __init__(self) -> None:
        self.of: dict[str, DType] = {"cpu": bf16}
        self.is_cached = True


_dtypes = _Dtypes()


def is_autocast_available(device_type: str) -> bool:
    """Whether regions of the device type can be in force."""
    _check(device_type)
    return False


def is_autocast_enabled(device_type: str = "cuda") -> bool:
    """Whether a region of the device type is in force."""
    _check(device_type)
    return False


def get_autocast_dtype(device_type: str) -> DType:
    """The dtype that regions of the device type compute in unless they say one."""
    _check(device_type)
    return _dtypes.of.get(device_type, bf16 if device_type in ("xpu", "hpu", "xla", "mtia") else f16)


def set_autocast_dtype(device_type: str, dtype: DType) -> None:
    """Set that dtype, in this thread."""
    _check(device_type)
    _dtypes.of[device_type] = dtype


def is_autocast_cache_enabled() -> bool:
    """Whether regions keep the converted parameters."""
    return _dtypes.is_cached


def set_autocast_cache_enabled(enabled: bool) -> None:
    """Say whether regions keep the converted parameters, in this thread."""
    _dtypes.is_cached = enabled


def _check(device_type: str) -> None:
    if device_type not in TYPES:
        raise ArgumentError(
            f"Expected one of {', '.join(TYPES)} device type at start of device string: {device_type}",
            hint='such as "cpu"',
        )


def custom_fwd(
    fwd: Callable[..., Any] | None = None, *, device_type: str, cast_inputs: DType | None = None
) -> Callable[..., Any]:
    """Decorate the forward of an autograd.Function: no region being in force, it runs as it is."""
    if not isinstance(device_type, str):
        raise ValueError(f"Expected `device_type` of type `str`, got: `{type(device_type)}`")
    if fwd is None:
        return functools.partial(custom_fwd, device_type=device_type, cast_inputs=cast_inputs)
    return fwd


def custom_bwd(bwd: Callable[..., Any] | None = None, *, device_type: str) -> Callable[..., Any]:
    """Decorate the backward of an autograd.Function: it runs as it is."""
    if not isinstance(device_type, str):
        raise ValueError(f"Expected `device_type` of type `str`, got: `{type(device_type)}`")
    return functools.partial(custom_bwd, device_type=device_type) if bwd is None else bwd
