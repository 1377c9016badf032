"""Windows of images as columns, and back: unfold and fold, under PyTorch's names."""

from __future__ import annotations

from graphc.ir.dim import Size
from graphc.ir.dtype import Kind
from graphc.ir.errors import ArgumentError, ShapeError
from graphc.ir.graph import Node
from graphc.ops import build, movement
from graphc.ops.composite.contraction import agree, sizes_text
from graphc.ops.composite.convolution import batched, padded, unbatched, windows
from graphc.ops.composite.operand import refuse_kinds
from graphc.ops.composite.window_check import Ints
from graphc.ops.function import function


def _pair(what: str, value: Ints) -> tuple[int, int]:
    values = (value, value) if isinstance(value, int) else tuple(value)
    if len(values) == 1:
        values *= 2
    if len(values) != 2:
        raise ArgumentError(f"It is expected {what} equals to 2, but got size {len(values)}", hint="give one or two")
    return values[0], values[1]


_LEAST = {
    "kernel_size": ("kernel size", "kernel", 1, "greater than zero"),
    "dilation": ("dilation", "dilation", 1, "greater than zero"),
    "padding": ("padding", "pad", 0, "non-negative"),
    "stride": ("stride", "stride", 1, "greater than zero"),
}
"""What a parameter is called in errors, and what it is at least."""


def _numbers(
    kernel_size: Ints, dilation: Ints, padding: Ints, stride: Ints
) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int], tuple[int, int]]:
    """Height and width of each parameter."""
    size, gaps, edge, steps = (
        _pair(what, value) for what, value in zip(_LEAST, (kernel_size, dilation, padding, stride), strict=True)
    )
    for what in ("kernel_size", "stride", "dilation", "padding"):
        label, short, least, words = _LEAST[what]
        height, width = {"kernel_size": size, "dilation": gaps, "padding": edge, "stride": steps}[what]
        if min(height, width) < least:
            raise ArgumentError(
                f"{label} should be {words}, but got {short}_height: {height} {short}_width: {width}",
                hint=f"use {least} or more",
            )
    return size, gaps, edge, steps


@function(namespace="nn.functional")
def unfold(input: Node, kernel_size: Ints, dilation: Ints = 1, padding: Ints = 0, stride: Ints = 1) -> Node:
    """Windows of images as columns: `[n, channels, height, width]` gives `[n, channels * window, windows]`."""
    size, gaps, edge, steps = _numbers(kernel_size, dilation, padding, stride)
    if len(input.shape) not in (3, 4) or 0 in input.shape[-3:]:
        raise ShapeError(
            "Expected 3D or 4D (batch mode) tensor with possibly 0 batch size and other non-zero dimensions for input, "
            f"but got: {sizes_text(input.shape)}",
            hint="unfold: the input is [n, channels, height, width], or that without n",
        )
    x = batched("unfold", input, 2)
    total = tuple(n + 2 * e for n, e in zip(x.shape[2:], edge, strict=True))
    counts = tuple((n - gap * (k - 1) - 1) // s + 1 for n, gap, k, s in zip(total, gaps, size, steps, strict=True))
    if any(isinstance(count, int) and count < 1 for count in counts):
        raise ShapeError(
            f"Given input with spatial size {_list(x.shape[2:])}, kernel_size={size}, dilation={gaps}, padding={edge}, "
            f"calculated shape of the array of sliding blocks as {_list(counts)}, but its components must be at least "
            "one.",
            hint="unfold: pad more, or use a smaller kernel",
        )
    refuse_kinds("im2col_out_cpu", x, Kind.INT)
    view = windows(padded(x, edge, edge), size, steps, gaps)
    n, channels, rows, columns = view.shape[:4]
    columns_first = build.permute_to(view, (0, 1, 4, 5, 2, 3))
    return unbatched(build.reshape_to(columns_first, (n, channels * size[0] * size[1], rows * columns)), x, input)


def _list(sizes: tuple[Size, ...]) -> str:
    return f"({', '.join(map(str, sizes))})"


@function()
def fold(
    input: Node,
    output_size: Ints,
    kernel_size: Ints,
    dilation: Ints = 1,
    padding: Ints = 0,
    stride: Ints = 1,
) -> Node:
    """Columns added back as windows of images of `output_size`: the transpose of `unfold`."""
    target = _pair("output_size", output_size)
    size, gaps, edge, steps = _numbers(kernel_size, dilation, padding, stride)
    if len(input.shape) not in (2, 3) or 0 in input.shape[-2:]:
        raise ShapeError(
            "Expected 2D or 3D (batch mode) tensor for input with possibly 0 batch size and non-zero dimensions for "
            f"input, but got: {sizes_text(input.shape)}",
            hint="fold: it is [n, channels * window, windows], or that without n",
        )
    x = input if len(input.shape) == 3 else build.insert_axes(input, (0,))
    window = size[0] * size[1]
    channels = x.shape[1] // window
    agree(
        "fold",
        x.shape[1],
        channels * window,
        "Expected size of input's dimension 1 to be divisible by the product of kernel_size, but got "
        f"input.size(1)={x.shape[1]} and kernel_size={size}.",
    )
    extent = tuple(t + 2 * e for t, e in zip(target, edge, strict=True))
    counts = tuple((t - gap * (k - 1) - 1) // s + 1 for t, gap, k, s in zip(extent, gaps, size, steps, strict=True))
    agree(
        "fold",
        x.shape[2],
        counts[0] * counts[1],
        f"Given output_size={target}, kernel_size={size}, dilation={gaps}, padding={edge}, stride={steps}, expected "
        f"size of input's dimension 2 to match the calculated number of sliding blocks {counts[0]} * {counts[1]} = "
        f"{counts[0] * counts[1]}, but got input.size(2)={x.shape[2]}.",
    )
    refuse_kinds("col2im_out_cpu", x, Kind.INT)
    split = build.reshape_to(x, (x.shape[0], channels, *size, *counts))
    ordered = build.permute_to(split, (0, 1, 4, 5, 2, 3))
    folded = movement.fold(ordered, axes=(2, 3), size=size, stride=steps, dilation=gaps, extent=extent)
    cut = tuple(-e for e in edge)
    return unbatched(padded(folded, cut, cut), x, input)
