"""What pooling and convolution refuse, in PyTorch's words.

In: a function's name, its input and parameters. Out: parameters as one number for each spatial dimension; errors where
no window fits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from graphc.ir.dim import Size
from graphc.ir.errors import ArgumentError, DTypeError, ShapeError, SignatureError
from graphc.ir.graph import Node
from graphc.ops.composite.contraction import agree, sizes_text
from graphc.ops.composite.operand import c_name

Ints: TypeAlias = "int | Sequence[int]"

_COUNTS = {1: "one int", 2: "two ints", 3: "three ints"}
_RANKS = {1: "2D or 3D", 2: "3D or 4D", 3: "4D or 5D"}
_LETTERS = {2: "HW", 3: "THW"}


# Pooling


def pool_numbers(name: str, what: str, value: Ints, rank: int) -> tuple[int, ...]:
    """A parameter of pooling as one int for each spatial dimension."""
    values = (value,) if isinstance(value, int) else tuple(value)
    if any(isinstance(v, bool) or not isinstance(v, int) for v in values):
        raise SignatureError(
            f"{name}(): argument '{what}' must be tuple of ints, not {type(value).__name__}", hint="give ints"
        )
    if len(values) == 1:
        return values * rank
    if len(values) != rank:
        raise ArgumentError(_misfit(name, what, len(values), rank), hint=f"give one int, or {rank} of them")
    return values


def _misfit(name: str, what: str, count: int, rank: int) -> str:
    if name == "avg_pool1d":
        return f"avg_pool1d() argument '{what}' should contain one int (got {count})"
    if name == "max_pool1d":
        omitted = "None, an int, list of ints, or" if what == "stride" else "an int, list of ints, or"
        omitted = "an int, list of ints or" if what == "kernel_size" else omitted
        return f"max_pool1d() {what} must be {omitted} tuple of ints of size 1 but got size {count}"
    either = "be either" if what == "dilation" else "be" if name == "avg_pool3d" else "either be"
    omitted = " omitted," if what == "stride" else ""
    return f"{name}: {what} must {either}{omitted} a single int, or a tuple of {_COUNTS[rank]}"


def check_pool_rank(name: str, input: Node, rank: int) -> None:
    """The input is [n, channels, ...] or without n."""
    count = len(input.shape)
    if count in (rank + 1, rank + 2):
        return
    text = _expected(input, rank)
    if name == "max_pool1d":
        text = f"max_pool1d: {text}"
    elif rank == 1:
        text = f"Expected 2 to 3 dimensions, but got {count}-dimensional tensor for argument #1 'self' (while "
        text += f"checking arguments for {name})"
    elif name != "avg_pool2d":
        text = f"non-empty {_RANKS[rank]} (batch mode) tensor expected for input"
    raise ShapeError(text, hint="the input is [n, channels, ...], or that without n")


def _expected(input: Node, rank: int) -> str:
    shape = sizes_text(input.shape)
    return f"Expected {_RANKS[rank]} (batch mode) tensor with optional 0 dim batch size for input, but got:{shape}"


def check_pool_not_empty(name: str, input: Node, rank: int) -> None:
    """No dimension but that of samples is empty."""
    if 0 not in input.shape[-rank - 1 :]:
        return
    text = _expected(input, rank)
    if name == "max_pool1d":
        text = f"max_pool1d: {text}"
    elif rank == 1:
        wide = sizes_text((*input.shape[:-1], 1, input.shape[-1]))
        text = f"Expected 3D or 4D (batch mode) tensor with optional 0 dim batch size for input, but got:{wide}"
    elif rank == 3:
        full = name if name == "avg_pool3d" else "max_pool3d_with_indices_out_cpu_template"
        text = f"{full}(): Expected input's non-batch dimensions to have positive length, but input has a shape of "
        text += f"{sizes_text(input.shape)} and non-batch dimension 0 has length zero!"
    raise ShapeError(text, hint="only the batch may be empty")


def check_pool(
    name: str,
    rank: int,
    size: tuple[int, ...],
    stride: tuple[int, ...],
    padding: tuple[int, ...],
    dilation: tuple[int, ...],
) -> None:
    """Numbers are where windows can be made of them."""
    if name == "max_pool1d":
        _check_max_pool1d(size[0], stride[0], padding[0], dilation[0])
        return
    if 0 in stride:
        raise ArgumentError("stride should not be zero", hint=f"{name}: use 1 or more")
    for k, p, gap in zip(size, padding, dilation, strict=True):
        if p < 0:
            raise ArgumentError(f"pad must be non-negative, but got pad: {p}", hint=f"{name}: use 0 or more")
        if p > ((k - 1) * gap + 1) // 2:
            raise ArgumentError(
                f"pad should be at most half of effective kernel size, but got pad={p}, kernel_size={k} and "
                f"dilation={gap}",
                hint=f"{name}: pad less",
            )
    shown = [each if rank > 1 else (1, *each) for each in (size, stride, dilation)]
    letters = _LETTERS[max(rank, 2)]
    for what, prefix, values in zip(("kernel size", "stride", "dilation"), ("k", "d", "dilation"), shown, strict=True):
        if min(values) <= 0:
            text = " ".join(f"{prefix}{letter}: {value}" for letter, value in zip(letters, values, strict=True))
            raise ArgumentError(f"{what} should be greater than zero, but got {text}", hint=f"{name}: use 1 or more")


def _check_max_pool1d(size: int, stride: int, padding: int, dilation: int) -> None:
    for what, value in (("kernel_size", size), ("stride", stride)):
        if value <= 0:
            raise ArgumentError(f"max_pool1d() {what} must be greater than zero, but got {value}", hint="use 1 or more")
    if padding < 0:
        raise ArgumentError(f"max_pool1d() padding must be non-negative, but got {padding}", hint="use 0 or more")
    if padding > size // 2:
        raise ArgumentError(
            f"max_pool1d() padding should be at most half of kernel size, but got padding={padding} and "
            f"kernel_size={size}",
            hint="pad less",
        )
    if dilation <= 0:
        raise ArgumentError(
            f"max_pool1d() dilation must be greater than zero, but got {dilation}", hint="use 1 or more"
        )


def check_pool_counts(name: str, x: Node, size: tuple[int, ...], counts: Sequence[Size]) -> None:
    """At least one window lies in each dimension of `[n, channels, ...]`."""
    if all(not isinstance(count, int) or count >= 1 for count in counts):
        return
    sizes = x.shape[2:]
    if name == "max_pool1d":
        message = f"max_pool1d() Invalid computed output size: {counts[0]}"
    elif name == "avg_pool3d":
        image, kernel = (
            " ".join(f"{prefix}{letter}: {value}" for letter, value in zip("THW", each, strict=True))
            for prefix, each in (("", sizes), ("k", size))
        )
        message = f"input image ({image}) smaller than kernel size ({kernel})"
    else:
        one: tuple[Size, ...] = (1,) if len(sizes) == 1 else ()
        before, behind = ("x".join(map(str, (x.shape[1], *one, *each))) for each in (sizes, counts))
        message = f"Given input size: ({before}). Calculated output size: ({behind}). Output size is too small"
    raise ShapeError(message, hint="pad more, or use a smaller kernel or dilation")


# Convolution


def convolution_numbers(what: str, value: Ints, rank: int) -> tuple[int, ...]:
    """A parameter of a convolution as one int for each spatial dimension of its weight."""
    values = (value,) * rank if isinstance(value, int) else tuple(value)
    if len(values) == 1:
        return values * rank
    if len(values) != rank:
        raise ArgumentError(
            f"expected {what} to be a single integer value or a list of {rank} values to match the convolution "
            f"dimensions, but got {what}={list(values)}",
            hint="give one int, or one for each",
        )
    return values


def check_convolution(
    x: Node,
    weight: Node,
    bias: Node | None,
    groups: int,
    stride: tuple[int, ...],
    padding: tuple[int, ...],
    dilation: tuple[int, ...],
    output_padding: tuple[int, ...] | None = None,
) -> None:
    """The parameters and the shapes of `[n, channels, ...]` and the weight fit; transposed with an output_padding."""
    for what, values in (("padding", padding), ("output_padding", output_padding or ())):
        if min(values, default=0) < 0:
            raise ArgumentError(f"negative {what} is not supported", hint="use 0 or more")
    if min(stride) <= 0:
        raise ArgumentError("non-positive stride is not supported", hint="use 1 or more")
    if min(dilation) <= 0:
        shown = "" if min(dilation) < 0 else f", but got {_shown_dilation(dilation, output_padding is not None)}"
        raise ArgumentError(f"dilation should be greater than zero{shown}", hint="use 1 or more")
    if groups <= 0:
        raise ArgumentError("non-positive groups is not supported", hint="use 1 or more")
    sizes, image = sizes_text(weight.shape), sizes_text(x.shape)
    if len(weight.shape) != len(x.shape):
        raise ShapeError(
            f"Expected {len(weight.shape)}-dimensional input for {len(weight.shape)}-dimensional weight{sizes}, but "
            f"got {len(x.shape)}-dimensional input of size {image} instead",
            hint="the weight is [out, in / groups, ...]",
        )
    first, second = weight.shape[:2]
    if isinstance(first, int):
        given = f"Given groups={groups}, expected weight to be"
        if first < groups:
            raise ShapeError(
                f"{given} at least {groups} at dimension 0, but got weight of size {sizes} instead",
                hint="groups divide the channels",
            )
        if first % groups:
            raise ShapeError(
                f"{given} divisible by {groups} at dimension 0, but got weight of size [{sizes}] instead",
                hint="groups divide the channels",
            )
    channels = first if output_padding is not None else second * groups
    outputs = second * groups if output_padding is not None else first
    kind = "transposed=1" if output_padding is not None else f"groups={groups}"
    agree(
        "convolution",
        x.shape[1],
        channels,
        f"Given {kind}, weight of size {sizes}, expected input{image} to have {channels} channels, but got "
        f"{x.shape[1]} channels instead",
    )
    if bias is not None and bias.shape != (outputs,):
        kind = "Given transposed=1, " if output_padding is not None else "Given "
        raise ShapeError(
            f"{kind}weight of size {sizes}, expected bias to be 1-dimensional with {outputs} elements, but got bias of "
            f"size {sizes_text(bias.shape)} instead",
            hint="give one element for each output channel",
        )


def _shown_dilation(dilation: tuple[int, ...], is_transposed: bool) -> str:
    if is_transposed and len(dilation) == 2:
        return f"dilation_height: {dilation[0]}, dilation_width: {dilation[1]}"
    return str([1, *dilation] if len(dilation) == 1 else list(dilation))


def check_convolution_dtypes(input: Node, weight: Node, bias: Node | None) -> None:
    """All have one dtype."""
    own, other = input.tensor.dtype, weight.tensor.dtype
    if own is not other:
        if own.is_complex != other.is_complex:
            raise DTypeError(
                f"Input type (CPU{own.scalar}Type) and weight type (torch.{other.scalar}Tensor) should be the same",
                hint="convert one of them",
            )
        raise DTypeError(f"expected scalar type {own.scalar} but found {other.scalar}", hint="convert one of them")


def check_bias_dtype(input: Node, bias: Node | None) -> None:
    """The bias has the dtype of the input."""
    if bias is not None and bias.tensor.dtype is not input.tensor.dtype:
        raise DTypeError(
            f"Input type ({c_name(input.tensor.dtype)}) and bias type ({c_name(bias.tensor.dtype)}) should be the same",
            hint="convert one of them",
        )


def check_convolution_fits(
    x: Node, low: Sequence[Size], high: Sequence[Size], size: Sequence[Size], dilation: Sequence[int]
) -> None:
    """The kernel fits into the padded input, where that is known."""
    spans = [gap * (k - 1) + 1 for k, gap in zip(size, dilation, strict=True)]
    padded = [n + a + b for n, a, b in zip(x.shape[2:], low, high, strict=True)]
    if any(isinstance(n, int) and isinstance(span, int) and n < span for n, span in zip(padded, spans, strict=True)):
        sizes, kernel = (" x ".join(map(str, each)) for each in (padded, spans))
        raise ShapeError(
            f"Calculated padded input size per channel: ({sizes}). Kernel size: ({kernel}). Kernel size can't be "
            "greater than actual input size",
            hint="pad more, or use a smaller kernel or dilation",
        )
