"""Layers that put channels beside each other as pixels, and back.

>>> PixelShuffle(2)
PixelShuffle(upscale_factor=2)
"""

from __future__ import annotations

from typing import Any

from graphc.nn import functional as F
from graphc.nn.module import Module

__all__ = ["PixelShuffle", "PixelUnshuffle"]


class PixelShuffle(Module):
    """Groups of r * r channels as squares of pixels (Shi et al. 2016)."""

    __constants__ = ["upscale_factor"]

    def __init__(self, upscale_factor: int) -> None:
        super().__init__()
        self.upscale_factor = upscale_factor

    def forward(self, input: Any) -> Any:
        """`[..., channels * r * r, height, width]` to `[..., channels, height * r, width * r]`."""
        return F.pixel_shuffle(input, self.upscale_factor)

    def extra_repr(self) -> str:
        return f"upscale_factor={self.upscale_factor}"


class PixelUnshuffle(Module):
    """Squares of r * r pixels as groups of channels."""

    __constants__ = ["downscale_factor"]

    def __init__(self, downscale_factor: int) -> None:
        super().__init__()
        self.downscale_factor = downscale_factor

    def forward(self, input: Any) -> Any:
        """`[..., channels, height * r, width * r]` to `[..., channels * r * r, height, width]`."""
        return F.pixel_unshuffle(input, self.downscale_factor)

    def extra_repr(self) -> str:
        return f"downscale_factor={self.downscale_factor}"
