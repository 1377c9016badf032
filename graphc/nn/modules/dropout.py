"""Layers that drop elements or whole channels while training.

>>> Dropout(0.2)
Dropout(p=0.2, inplace=False)
"""

from __future__ import annotations

from typing import Any

from graphc.nn import functional as F
from graphc.nn.module import Module

__all__ = ["AlphaDropout", "Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "FeatureAlphaDropout"]


class _DropoutNd(Module):
    __constants__ = ["p", "inplace"]

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        if p < 0 or p > 1:
            raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
        self.p, self.inplace = p, inplace

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace={self.inplace}"


class Dropout(_DropoutNd):
    """In training elements are 0 with probability p, and the others divided by 1 - p."""

    def forward(self, input: Any) -> Any:
        """Any shape to the same."""
        return F.dropout(input, self.p, self.training, self.inplace)


class Dropout1d(_DropoutNd):
    """In training whole channels of `[n, channels, length]` are 0 with probability p."""

    def forward(self, input: Any) -> Any:
        """`[n, channels, length]`, or without n, to the same."""
        return F.dropout1d(input, self.p, self.training, self.inplace)


class Dropout2d(_DropoutNd):
    """In training whole channels of `[n, channels, height, width]` are 0 with probability p."""

    def forward(self, input: Any) -> Any:
        """`[n, channels, height, width]` to the same."""
        return F.dropout2d(input, self.p, self.training, self.inplace)


class Dropout3d(_DropoutNd):
    """In training whole channels of `[n, channels, depth, height, width]` are 0 with probability p."""

    def forward(self, input: Any) -> Any:
        """`[n, channels, depth, height, width]`, or without n, to the same."""
        return F.dropout3d(input, self.p, self.training, self.inplace)


class AlphaDropout(_DropoutNd):
    """Dropout that keeps mean and variance of what SELU gives (Klambauer et al. 2017)."""

    def forward(self, input: Any) -> Any:
        """Any shape to the same."""
        return F.alpha_dropout(input, self.p, self.training, self.inplace)


class FeatureAlphaDropout(_DropoutNd):
    """AlphaDropout of whole channels."""

    def forward(self, input: Any) -> Any:
        """`[n, channels, ...]` to the same."""
        return F.feature_alpha_dropout(input, self.p, self.training, self.inplace)
