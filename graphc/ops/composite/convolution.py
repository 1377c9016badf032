"""Convolutions under PyTorch's names, over windows of the padded input; unfold and fold.

A convolution is one contraction of the windows with the weight. The windows are a view that the contraction's kernel
reads in place: they are never stored. A transposed convolution is the other way around: products added back to where
the windows lie, which the compiler writes as a contraction over windows too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from graphc.ir.dim import Size
from graphc.ir.errors import ArgumentError, ShapeError
from graphc.ir.graph import Node
from graphc.ops import build, contraction, movement
from graphc.ops.check import equal_dtypes, equal_sizes, shape_text
from graphc.ops.composite.arithmetic import add
from graphc.ops.function import function

Ints: TypeAlias = "int | Sequence[int]"

_SIZES = {1: "length", 2: "height, width", 3: "depth, height, width"}


def per_axis(name: str, what: str, value: Ints, count: int, least: int) -> tuple[int, ...]:
    """One number for each spatial dimension, each at least `least`."""
    values = (value,) * count if isinstance(value, int) else tuple(value)
    if len(values) == 1:
        values = values * count
    if len(values) != count or any(isinstance(v, bool) or not isinstance(v, int) for v in values):
        raise ArgumentError(f"{name}: {what}={value!r}", hint=f"give one int, or {count} of them")
    if any(v < least for v in values):
        raise ArgumentError(f"{name}: {what}={value!r}", hint=f"use {least} or more")
    return values


def batched(name: str, input: Node, count: int) -> Node:
    """The input as [n, channels, ...]; a single sample gets a dimension in front."""
    if len(input.shape) not in (count + 1, count + 2):
        raise ShapeError(
            f"{name}: an input of shape {shape_text(input.shape)}",
            hint=f"it is [n, channels, {_SIZES[count]}], or that without n",
        )
    return input if len(input.shape) == count + 2 else build.insert_axes(input, (0,))


def unbatched(result: Node, x: Node, input: Node) -> Node:
    """The result without the dimension that `batched` has given to x."""
    return result if len(x.shape) == len(input.shape) else build.reshape_to(result, result.shape[1:])


def padded(x: Node, low: Sequence[Size], high: Sequence[Size], value: Node | None = None) -> Node:
    """x with the last dimensions padded."""
    if all(size == 0 for size in (*low, *high)):
        return x
    rest = (0,) * (len(x.shape) - len(low))
    fill = build.zero(x.tensor.dtype) if value is None else value
    return movement.pad(x, fill, low=(*rest, *low), high=(*rest, *high), interior=(0,) * len(x.shape))


def windows(x: Node, size: Sequence[Size], stride: Sequence[Size], dilation: Sequence[Size]) -> Node:
    """Sliding windows over the last dimensions: counts in place, then the windows' own dimensions."""
    rank = len(x.shape)
    axes = tuple(range(rank - len(size), rank))
    return movement.window(x, axes=axes, size=tuple(size), stride=tuple(stride), dilation=tuple(dilation))


def fits(name: str, x: Node, low: Sequence[int], high: Sequence[int], span: Sequence[Size]) -> None:
    """A window of these spans fits into the padded input, at least once where that is known."""
    sizes = x.shape[len(x.shape) - len(span) :]
    for axis, (size, before, after, needed) in enumerate(zip(sizes, low, high, span, strict=True)):
        if isinstance(size, int) and isinstance(needed, int) and size + before + after < needed:
            raise ShapeError(
                f"{name}: a window that spans {needed} elements doesn't fit into {size + before + after}, padding"
                f" included, in spatial dimension {axis} of {shape_text(x.shape)}",
                hint="pad more, or use a smaller kernel or dilation",
            )


def _check_weight(name: str, x: Node, weight: Node, bias: Node | None, groups: int, is_transposed: bool) -> None:
    """The weight is [out, in / groups, ...], of a transposed convolution [in, out / groups, ...]."""
    equal_dtypes(name, x.tensor, weight.tensor, *([] if bias is None else [bias.tensor]))
    if len(weight.shape) != len(x.shape):
        raise ShapeError(
            f"{name}: a weight of shape {shape_text(weight.shape)} for an input of {shape_text(x.shape)}",
            hint=f"the weight has {len(x.shape)} dimensions",
        )
    if isinstance(groups, bool) or not isinstance(groups, int) or groups < 1:
        raise ArgumentError(f"{name}: groups={groups!r}", hint="use 1 or more")
    first, second = weight.shape[:2]
    split = x.shape[1] if is_transposed else first
    if groups > 1 and (split // groups) * groups != split:
        what = "input" if is_transposed else "output"
        raise ShapeError(f"{name}: {split} {what} channels in {groups} groups", hint="groups divide the channels")
    equal_sizes(name, "the input's channels and the weight's", x.shape[1], first if is_transposed else second * groups)
    outputs = second * groups if is_transposed else first
    if bias is not None and bias.shape != (outputs,):
        raise ShapeError(
            f"{name}: a bias of shape {shape_text(bias.shape)} for {outputs} output channels",
            hint="give one element for each output channel",
        )


def _biased(x: Node, bias: Node | None, count: int) -> Node:
    return x if bias is None else add(x, build.reshape_to(bias, (bias.shape[0], *(1,) * count)))


def _edges(
    name: str, padding: Ints | str, size: Sequence[Size], stride: tuple[int, ...], dilation: tuple[int, ...]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Padding before and behind."""
    count = len(size)
    if not isinstance(padding, str):
        edge = per_axis(name, "padding", padding, count, 0)
        return edge, edge
    if padding == "valid":
        return (0,) * count, (0,) * count
    if padding != "same":
        raise ArgumentError(f"{name}: padding={padding!r}", hint='use ints, "same" or "valid"')
    if any(step != 1 for step in stride):
        raise ArgumentError(f'{name}: padding="same" with a stride of {stride}', hint="use a stride of 1, or ints")
    known = [k for k in size if isinstance(k, int)]
    if len(known) != count:
        raise ArgumentError(f'{name}: padding="same" with a kernel of symbolic size', hint="give the padding as ints")
    total = [gap * (k - 1) for k, gap in zip(known, dilation, strict=True)]
    return tuple(t // 2 for t in total), tuple(t - t // 2 for t in total)


def _convolution(count: int) -> Callable[..., Node]:
    name = f"conv{count}d"

    def build_node(
        input: Node,
        weight: Node,
        bias: Node | None = None,
        stride: Ints = 1,
        padding: Ints | str = 0,
        dilation: Ints = 1,
        groups: int = 1,
    ) -> Node:
        x = batched(name, input, count)
        _check_weight(name, x, weight, bias, groups, False)
        steps = per_axis(name, "stride", stride, count, 1)
        gaps = per_axis(name, "dilation", dilation, count, 1)
        size = weight.shape[2:]
        low, high = _edges(name, padding, size, steps, gaps)
        fits(name, x, low, high, tuple(gap * (k - 1) + 1 for k, gap in zip(size, gaps, strict=True)))
        result = _contracted(x, weight, groups, low, high, steps, gaps)
        return unbatched(_biased(result, bias, count), x, input)

    return _entered(build_node, name, f"The {count}d convolution: each window of the input times the weight, summed.")


def _contracted(
    x: Node,
    weight: Node,
    groups: int,
    low: tuple[int, ...],
    high: tuple[int, ...],
    stride: tuple[int, ...],
    dilation: tuple[int, ...],
) -> Node:
    outputs, channels, *size = weight.shape
    count = len(size)
    if groups == 1:
        view = windows(padded(x, low, high), size, stride, dilation)  # [n, channels, ..., kernel...]
        inner = (1, *range(2 + count, 2 + 2 * count))
        product = contraction.dot(weight, view, contract=(tuple(range(1, 2 + count)), inner))  # [outputs, n, ...]
        return build.permute_to(product, (1, 0, *range(2, 2 + count)))
    grouped = build.reshape_to(x, (x.shape[0], groups, channels, *x.shape[2:]))
    view = windows(padded(grouped, low, high), size, stride, dilation)  # [n, groups, channels, ..., kernel...]
    filters = build.reshape_to(weight, (groups, outputs // groups, channels, *size))
    product = contraction.dot(  # [groups, outputs, n, ...]
        filters,
        view,
        contract=(tuple(range(2, 3 + count)), (2, *range(3 + count, 3 + 2 * count))),
        batch=((0,), (1,)),
    )
    ordered = build.permute_to(product, (2, 0, 1, *range(3, 3 + count)))
    return build.reshape_to(ordered, (x.shape[0], outputs, *ordered.shape[3:]))


def _transposed_convolution(count: int) -> Callable[..., Node]:
    name = f"conv_transpose{count}d"

    def build_node(
        input: Node,
        weight: Node,
        bias: Node | None = None,
        stride: Ints = 1,
        padding: Ints = 0,
        output_padding: Ints = 0,
        groups: int = 1,
        dilation: Ints = 1,
    ) -> Node:
        x = batched(name, input, count)
        _check_weight(name, x, weight, bias, groups, True)
        steps = per_axis(name, "stride", stride, count, 1)
        gaps = per_axis(name, "dilation", dilation, count, 1)
        edge = per_axis(name, "padding", padding, count, 0)
        more = per_axis(name, "output_padding", output_padding, count, 0)
        for extra, step, gap in zip(more, steps, gaps, strict=True):
            if extra >= max(step, gap):
                raise ArgumentError(
                    f"{name}: output_padding={output_padding!r} with stride={stride!r} and dilation={dilation!r}",
                    hint="it is less than the stride or the dilation",
                )
        spread = _spread(x, weight, groups, steps, gaps)
        # Cut off what lies in the padding; a negative edge of pad does it.
        high = tuple(extra - e for extra, e in zip(more, edge, strict=True))
        for axis, (size, cut, extra) in enumerate(zip(spread.shape[2:], edge, more, strict=True)):
            if isinstance(size, int) and size + extra < 2 * cut:
                raise ShapeError(
                    f"{name}: padding={padding!r} cuts off more than the {size + extra} elements of spatial dimension"
                    f" {axis}",
                    hint="use less padding",
                )
        return unbatched(_biased(padded(spread, tuple(-e for e in edge), high), bias, count), x, input)

    return _entered(
        build_node, name, f"The gradient of conv{count}d by its input: each element times the weight, added up."
    )


def _spread(x: Node, weight: Node, groups: int, stride: tuple[int, ...], dilation: tuple[int, ...]) -> Node:
    inputs, outputs, *size = weight.shape
    count = len(size)
    spatial = x.shape[2:]
    extent = tuple(
        (n - 1) * step + gap * (k - 1) + 1 for n, step, gap, k in zip(spatial, stride, dilation, size, strict=True)
    )
    grouped = build.reshape_to(x, (x.shape[0], groups, inputs // groups, *spatial))
    filters = build.reshape_to(weight, (groups, inputs // groups, outputs, *size))
    if groups == 1:
        product = contraction.dot(x, weight, contract=((1,), (0,)))  # [n, ..., outputs, kernel...]
        order = (0, 1 + count, *range(1, 1 + count), *range(2 + count, 2 + 2 * count))
    else:
        product = contraction.dot(grouped, filters, contract=((2,), (1,)), batch=((1,), (0,)))
        order = (1, 0, 2 + count, *range(2, 2 + count), *range(3 + count, 3 + 2 * count))
    ordered = build.permute_to(product, order)
    lead = len(ordered.shape) - 2 * count
    folded = movement.fold(
        ordered,
        axes=tuple(range(lead, lead + count)),
        size=tuple(size),
        stride=stride,
        dilation=dilation,
        extent=extent,
    )
    return build.reshape_to(folded, (x.shape[0], groups * outputs, *extent))


def _entered(build_node: Callable[..., Node], name: str, summary: str) -> Callable[..., Node]:
    build_node.__name__ = build_node.__qualname__ = name
    build_node.__doc__ = summary
    return function()(build_node)


conv1d, conv2d, conv3d = (_convolution(count) for count in (1, 2, 3))
conv_transpose1d, conv_transpose2d, conv_transpose3d = (_transposed_convolution(count) for count in (1, 2, 3))


# Windows as columns


@function(namespace="nn.functional")
def unfold(input: Node, kernel_size: Ints, dilation: Ints = 1, padding: Ints = 0, stride: Ints = 1) -> Node:
    """Windows of images as columns: `[n, channels, height, width]` gives `[n, channels * window, windows]`."""
    x = batched("unfold", input, 2)
    size = per_axis("unfold", "kernel_size", kernel_size, 2, 1)
    gaps = per_axis("unfold", "dilation", dilation, 2, 1)
    edge = per_axis("unfold", "padding", padding, 2, 0)
    steps = per_axis("unfold", "stride", stride, 2, 1)
    fits("unfold", x, edge, edge, tuple(gap * (k - 1) + 1 for k, gap in zip(size, gaps, strict=True)))
    view = windows(padded(x, edge, edge), size, steps, gaps)
    n, channels, rows, columns = view.shape[:4]
    columns_first = build.permute_to(view, (0, 1, 4, 5, 2, 3))
    return unbatched(build.reshape_to(columns_first, (n, channels * size[0] * size[1], rows * columns)), x, input)


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
    size = per_axis("fold", "kernel_size", kernel_size, 2, 1)
    gaps = per_axis("fold", "dilation", dilation, 2, 1)
    edge = per_axis("fold", "padding", padding, 2, 0)
    steps = per_axis("fold", "stride", stride, 2, 1)
    target = per_axis("fold", "output_size", output_size, 2, 1)
    if len(input.shape) not in (2, 3):
        raise ShapeError(
            f"fold: an input of shape {shape_text(input.shape)}",
            hint="it is [n, channels * window, windows], or that without n",
        )
    x = input if len(input.shape) == 3 else build.insert_axes(input, (0,))
    extent = tuple(t + 2 * e for t, e in zip(target, edge, strict=True))
    counts = tuple(
        movement.window_count(total, k, step, gap)
        for total, k, step, gap in zip(extent, size, steps, gaps, strict=True)
    )
    window = size[0] * size[1]
    channels = x.shape[1] // window
    equal_sizes("fold", f"the rows of columns and {channels} channels of {window}", x.shape[1], channels * window)
    equal_sizes("fold", "the numbers of windows, given and in the output,", x.shape[2], counts[0] * counts[1])
    split = build.reshape_to(x, (x.shape[0], channels, *size, *counts))
    ordered = build.permute_to(split, (0, 1, 4, 5, 2, 3))
    folded = movement.fold(ordered, axes=(2, 3), size=size, stride=steps, dilation=gaps, extent=extent)
    cut = tuple(-e for e in edge)
    return unbatched(padded(folded, cut, cut), x, input)
