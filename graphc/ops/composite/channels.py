"""Channels and pixels that change places: pixel_shuffle and its kin."""

from __future__ import annotations

from graphc.ir.dim import Size
from graphc.ir.errors import ArgumentError, ShapeError
from graphc.ir.graph import Node
from graphc.ops import build
from graphc.ops.composite.shapes import list_text
from graphc.ops.function import function


def _check(name: str, input: Node, what: str, factor: int) -> None:
    rank = len(input.shape)
    if rank < 3:
        raise ShapeError(
            f"{name} expects input to have at least 3 dimensions, but got input with {rank} dimension(s)",
            hint="images are [..., channels, height, width]",
        )
    if factor <= 0:
        raise ArgumentError(f"{name} expects a positive {what}, but got {factor}", hint="use 1 or more")


@function()
def pixel_shuffle(input: Node, upscale_factor: int) -> Node:
    """[..., c*r*r, h, w] as [..., c, h*r, w*r]: groups of r*r channels become squares of pixels."""
    r = upscale_factor
    _check("pixel_shuffle", input, "upscale_factor", r)
    *lead, channels, height, width = input.shape
    if isinstance(channels, int) and channels % (r * r):
        raise ShapeError(
            "pixel_shuffle expects its input's 'channel' dimension to be divisible by the square of upscale_factor, "
            f"but input.size(-3)={channels} is not divisible by {r * r}",
            hint="choose another factor",
        )
    c: Size = channels // (r * r)
    n = len(lead)
    x = build.reshape_to(input, (*lead, c, r, r, height, width))
    x = build.permute_to(x, (*range(n), n, n + 3, n + 1, n + 4, n + 2))
    return build.reshape_to(x, (*lead, c, height * r, width * r))


@function()
def pixel_unshuffle(input: Node, downscale_factor: int) -> Node:
    """[..., c, h*r, w*r] as [..., c*r*r, h, w]: squares of pixels become groups of r*r channels."""
    r = downscale_factor
    _check("pixel_unshuffle", input, "downscale_factor", r)
    *lead, channels, height, width = input.shape
    for what, size, place in (("height", height, -2), ("width", width, -1)):
        if isinstance(size, int) and size % r:
            raise ShapeError(
                f"pixel_unshuffle expects {what} to be divisible by downscale_factor, but input.size({place})={size} "
                f"is not divisible by {r}",
                hint="pad it, or choose another factor",
            )
    h, w = height // r, width // r
    n = len(lead)
    x = build.reshape_to(input, (*lead, channels, h, r, w, r))
    x = build.permute_to(x, (*range(n), n, n + 2, n + 4, n + 1, n + 3))
    return build.reshape_to(x, (*lead, channels * (r * r), h, w))


@function(names=("native_channel_shuffle",))
def channel_shuffle(input: Node, groups: int) -> Node:
    """[n, g*c, ...] with its channels as [c, g] in place of [g, c]: each group gets a part of every other."""
    if len(input.shape) <= 2:
        raise ShapeError(
            f"channel_shuffle expects input with > 2 dims, but got input with sizes {list_text(input.shape)}",
            hint="images are [batch, channels, height, width]",
        )
    if groups <= 0:
        raise ArgumentError(
            f"Number of groups to divide channels in must be positive. Value of groups:{groups}", hint="use 1 or more"
        )
    batch, channels, *rest = input.shape
    if isinstance(channels, int) and channels % groups:
        raise ShapeError(
            f"Number of channels must be divisible by groups. Got {channels} channels and {groups} groups.",
            hint="choose another number of groups",
        )
    x = build.reshape_to(input, (batch, groups, channels // groups, *rest))
    x = build.permute_to(x, (0, 2, 1, *range(3, len(x.shape))))
    return build.reshape_to(x, input.shape)
