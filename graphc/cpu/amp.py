"""graphc.cpu.amp: the older name of mixed precision on CPUs."""

from __future__ import annotations

import warnings

from graphc.amp import autocast_mode
from graphc.ir.dtype import DType, bf16

__all__ = ["autocast"]


class autocast(autocast_mode.autocast):
    """As `graphc.amp.autocast("cpu", ...)`."""

    def __init__(self, enabled: bool = True, dtype: DType = bf16, cache_enabled: bool = True) -> None:
        warnings.warn(
            "`torch.cpu.amp.autocast(args...)` is deprecated. Please use `torch.amp.autocast('cpu', args...)` instead.",
            FutureWarning,
            stacklevel=2,
        )
        super().__init__("cpu", enabled=enabled, dtype=dtype, cache_enabled=cache_enabled)
