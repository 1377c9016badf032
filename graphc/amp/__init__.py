"""graphc.amp: mixed precision: regions of fewer bits (`autocast`), losses scaled against underflow (`GradScaler`)."""

from graphc.amp.autocast_mode import autocast, custom_bwd, custom_fwd, is_autocast_available
from graphc.amp.grad_scaler import GradScaler

__all__ = ["GradScaler", "autocast", "custom_bwd", "custom_fwd", "is_autocast_available"]
