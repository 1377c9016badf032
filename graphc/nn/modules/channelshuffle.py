"""A layer that mixes groups of channels.

>>> ChannelShuffle(2)
ChannelShuffle(groups=2)
"""

from __future__ import annotations

from typing import Any

from graphc.nn import functional as F
from graphc.nn.module import Module

__all__ = ["ChannelShuffle"]


class ChannelShuffle(Module):
    """The first channels of all groups, then the second ones, and so on (Zhang et al. 2018)."""

    __constants__ = ["groups"]

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = groups

    def forward(self, input: Any) -> Any:
        """`[n, channels, ...]` to the same."""
        return F.channel_shuffle(input, self.groups)

    def extra_repr(self) -> str:
        return f"groups={self.groups}"
