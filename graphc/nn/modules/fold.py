"""Layers that take images apart into windows, and add windows up to images.

>>> Unfold(3)
Unfold(kernel_size=3, dilation=1, padding=0, stride=1)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

from graphc.nn import functional as F
from graphc.nn.module import Module

__all__ = ["Fold", "Unfold"]

Sizes: TypeAlias = "int | Sequence[int]"


class Fold(Module):
    """Windows added up to an image of `output_size`."""

    __constants__ = ["output_size", "kernel_size", "dilation", "padding", "stride"]

    def __init__(
        self, output_size: Sizes, kernel_size: Sizes, dilation: Sizes = 1, padding: Sizes = 0, stride: Sizes = 1
    ) -> None:
        super().__init__()
        self.output_size, self.kernel_size = output_size, kernel_size
        self.dilation, self.padding, self.stride = dilation, padding, stride

    def forward(self, input: Any) -> Any:
        """`[n, channels * kernel elements, windows]`, or without n, to `[n, channels, height, width]`."""
        return F.fold(input, self.output_size, self.kernel_size, self.dilation, self.padding, self.stride)

    def extra_repr(self) -> str:
        return (
            f"output_size={self.output_size}, kernel_size={self.kernel_size}, dilation={self.dilation}, "
            f"padding={self.padding}, stride={self.stride}"
        )


class Unfold(Module):
    """The windows of an image, each as a column."""

    __constants__ = ["kernel_size", "dilation", "padding", "stride"]

    def __init__(self, kernel_size: Sizes, dilation: Sizes = 1, padding: Sizes = 0, stride: Sizes = 1) -> None:
        super().__init__()
        self.kernel_size, self.dilation, self.padding, self.stride = kernel_size, dilation, padding, stride

    def forward(self, input: Any) -> Any:
        """`[n, channels, height, width]`, or without n, to `[n, channels * kernel elements, windows]`."""
        return F.unfold(input, self.kernel_size, self.dilation, self.padding, self.stride)

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, dilation={self.dilation}, padding={self.padding}, stride={self.stride}"
