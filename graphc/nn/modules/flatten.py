"""Layers that join dimensions or split one.

>>> Flatten()
Flatten(start_dim=1, end_dim=-1)
"""

from __future__ import annotations

from typing import Any

from graphc.nn.module import Module

__all__ = ["Flatten", "Unflatten"]


class Flatten(Module):
    """Dimensions from `start_dim` to `end_dim` as one."""

    __constants__ = ["start_dim", "end_dim"]

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, input: Any) -> Any:
        """`[..., a, b, c, ...]` to `[..., a * b * c, ...]`."""
        return input.flatten(self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Unflatten(Module):
    """One dimension as several, of which one size may be -1."""

    __constants__ = ["dim", "unflattened_size"]

    def __init__(self, dim: int, unflattened_size: Any) -> None:
        super().__init__()
        _check_sizes(unflattened_size)
        self.dim, self.unflattened_size = dim, unflattened_size

    def forward(self, input: Any) -> Any:
        """`[..., a * b * c, ...]` to `[..., a, b, c, ...]`."""
        return input.unflatten(self.dim, self.unflattened_size)

    def extra_repr(self) -> str:
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"


def _check_sizes(sizes: object) -> None:
    if not isinstance(sizes, tuple | list):
        raise TypeError(f"unflattened_size must be a tuple of ints, but found type {type(sizes).__name__}")
    for place, each in enumerate(sizes):
        if not isinstance(each, int):
            raise TypeError(
                "unflattened_size must be tuple of ints, "
                f"but found element of type {type(each).__name__} at pos {place}"
            )
