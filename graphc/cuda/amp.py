"""graphc.cuda.amp: the older names of mixed precision on GPUs. Without a GPU they switch themselves off, and warn."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from graphc.amp import autocast_mode, grad_scaler
from graphc.ir.dtype import DType, f16

__all__ = ["GradScaler", "amp_definitely_not_available", "autocast", "custom_bwd", "custom_fwd"]


def _deprecate(name: str, stacklevel: int = 3) -> None:
    warnings.warn(
        f"`torch.cuda.amp.{name}(args...)` is deprecated. Please use `torch.amp.{name}('cuda', args...)` instead.",
        FutureWarning,
        stacklevel=stacklevel,
    )


def amp_definitely_not_available() -> bool:
    """Whether there is no device for it."""
    from graphc.runtime.cuda.select import what_is_missing  # late: most programs ask for no GPU

    return what_is_missing() is not None


class autocast(autocast_mode.autocast):
    """As `graphc.amp.autocast("cuda", ...)`."""

    def __init__(self, enabled: bool = True, dtype: DType = f16, cache_enabled: bool = True) -> None:
        _deprecate("autocast")
        super().__init__("cuda", enabled=enabled, dtype=dtype, cache_enabled=cache_enabled)


class GradScaler(grad_scaler.GradScaler):
    """As `graphc.amp.GradScaler("cuda", ...)`."""

    def __init__(
        self,
        init_scale: float = 65536.0,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        enabled: bool = True,
    ) -> None:
        _deprecate("GradScaler")
        super().__init__("cuda", init_scale, growth_factor, backoff_factor, growth_interval, enabled)


def custom_fwd(fwd: Callable[..., Any] | None = None, *, cast_inputs: DType | None = None) -> Callable[..., Any]:
    """As `graphc.amp.custom_fwd(device_type="cuda")`."""
    _deprecate("custom_fwd")
    return autocast_mode.custom_fwd(fwd, device_type="cuda", cast_inputs=cast_inputs)


def custom_bwd(bwd: Callable[..., Any] | None = None) -> Callable[..., Any]:
    """As `graphc.amp.custom_bwd(device_type="cuda")`."""
    _deprecate("custom_bwd")
    return autocast_mode.custom_bwd(bwd, device_type="cuda")
