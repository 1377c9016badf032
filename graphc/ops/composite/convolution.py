"""Convolutions under PyTorch's names, over windows of the padded input; unfold and fold.

A convolution is one contraction of the windows with the weight. The windows are a view that the contraction's kernel
reads in place: they are never stored. A transposed convolution is the other way around: products added back to where
the windows lie, which the compiler writes as a contraction over windows too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from graphc.ir.dim import Size
from graphc.ir.errors import ArgumentError, ShapeError
from graphc.ir.graph import Node
from graphc.ops import build, contraction, movement
from graphc.ops.check import shape_text
from graphc.ops.composite.arithmetic import add
from graphc.ops.composite.contraction import sizes_text
from graphc.ops.composite.window_check import (
    Ints,
    check_bias_dtype,
    check_convolution,
    check_convolution_dtypes,
    check_convolution_fits,
    convolution_numbers,
)
from graphc.ops.function import function

_AXES = ("depth", "height", "width")
_SIZES = {1: "length", 2: "height, width", 3: "depth, height, width"}


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


def _checked(name: str, input: Node, weight: Node, bias: Node | None, count: int) -> Node:
    """The input as [n, channels, ...], if it has so many dimensions and the weight some."""
    check_bias_dtype(input, bias)
    if len(input.shape) not in (count + 1, count + 2):
        raise ShapeError(
            f"Expected {count + 1}D (unbatched) or {count + 2}D (batched) input to {name}, but got input of size: "
            f"{sizes_text(input.shape)}",
            hint=f"it is [n, channels, {_SIZES[count]}], or that without n",
        )
    if len(weight.shape) < 3:
        raise ShapeError("weight should have at least three dimensions", hint="it is [out, in / groups, ...]")
    return batched(name, input, count)


def _biased(x: Node, bias: Node | None, count: int) -> Node:
    return x if bias is None else add(x, build.reshape_to(bias, (bias.shape[0], *(1,) * count)))


def _edges(
    name: str, padding: Ints | str, size: Sequence[Size], stride: tuple[int, ...], dilation: tuple[int, ...]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Padding before and behind."""
    count = len(size)
    if not isinstance(padding, str):
        edge = convolution_numbers("padding", padding, count)
        return edge, edge
    if padding == "valid":
        return (0,) * count, (0,) * count
    if padding != "same":
        raise ArgumentError(f"Invalid padding string: '{padding}'", hint='use ints, "same" or "valid"')
    if any(step != 1 for step in stride):
        raise ArgumentError(
            "padding='same' is not supported for strided convolutions", hint="use a stride of 1, or ints"
        )
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
        x = _checked(name, input, weight, bias, count)
        rank, size = len(weight.shape) - 2, weight.shape[2:]
        steps, gaps = (convolution_numbers(*each, rank) for each in (("stride", stride), ("dilation", dilation)))
        low, high = _edges(name, padding, size, steps, gaps)
        check_convolution(x, weight, bias, groups, steps, low, gaps)
        check_convolution_fits(x, low, high, size, gaps)
        check_convolution_dtypes(input, weight, bias)
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
        x = _checked(name, input, weight, bias, count)
        rank = len(weight.shape) - 2
        steps = convolution_numbers("stride", stride, rank)
        edge = convolution_numbers("padding", padding, rank)
        more = convolution_numbers("output_padding", output_padding, rank)
        gaps = convolution_numbers("dilation", dilation, rank)
        check_convolution(x, weight, bias, groups, steps, edge, gaps, more)
        check_convolution_dtypes(input, weight, bias)
        if any(extra >= max(step, gap) for extra, step, gap in zip(more, steps, gaps, strict=True)):
            flat = rank == 1  # PyTorch takes it for an image of height 1
            shown = zip(("output_padding", "stride", "dilation"), ((0,), (1,), (1,)), (more, steps, gaps), strict=True)
            text = " ".join(
                f"{what}_{axis}: {v}"
                for what, first, each in shown
                for axis, v in zip(_AXES[-2:] if flat else _AXES[-rank:], first + each if flat else each)
            )
            raise ArgumentError(
                f"output padding must be smaller than either stride or dilation, but got {text}",
                hint="it says which of the sizes that give the same input is meant",
            )
        spread = _spread(x, weight, groups, steps, gaps)
        # Cut off what lies in the padding; a negative edge of pad does it.
        high = tuple(extra - e for extra, e in zip(more, edge, strict=True))
        sizes = tuple(n + extra - 2 * e for n, extra, e in zip(spread.shape[2:], more, edge, strict=True))
        if any(isinstance(size, int) and size < 1 for size in sizes):
            before, behind = (" x ".join(map(str, each)) for each in (x.shape[2:], sizes))
            raise ShapeError(
                f"Given input size per channel: ({before}). Calculated output size per channel: ({behind}). Output "
                "size is too small",
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
