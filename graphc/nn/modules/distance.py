"""Distances and likeness of vectors.

>>> PairwiseDistance(p=1)
PairwiseDistance()
"""

from __future__ import annotations

from typing import Any

from graphc.nn import functional as F
from graphc.nn.module import Module

__all__ = ["CosineSimilarity", "PairwiseDistance"]


class PairwiseDistance(Module):
    """The p-norm of x1 - x2 + eps along the last dimension."""

    __constants__ = ["norm", "eps", "keepdim"]

    def __init__(self, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> None:
        super().__init__()
        self.norm, self.eps, self.keepdim = p, eps, keepdim

    def forward(self, x1: Any, x2: Any) -> Any:
        """`[n, d]` twice, or without n, to `[n]`."""
        return F.pairwise_distance(x1, x2, self.norm, self.eps, self.keepdim)


class CosineSimilarity(Module):
    """x1 · x2 along `dim`, divided by both norms, which are kept from eps on."""

    __constants__ = ["dim", "eps"]

    def __init__(self, dim: int = 1, eps: float = 1e-8) -> None:
        super().__init__()
        self.dim, self.eps = dim, eps

    def forward(self, x1: Any, x2: Any) -> Any:
        """Two tensors that broadcast, to their shape without `dim`."""
        return F.cosine_similarity(x1, x2, self.dim, self.eps)
