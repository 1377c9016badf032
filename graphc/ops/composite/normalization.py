"""Normalizations and dropout under PyTorch's names.

A graph's values never change, so `batch_norm` and `instance_norm` return the result alone: in training they use the
batch's own mean and variance, and the caller updates running ones (`x.var_mean` gives them). `dropout` needs a key,
from which its random numbers follow.
"""

from __future__ import annotations

from collections.abc import Sequence

from graphc.ir.dim import Size
from graphc.ir.dtype import Kind, f64, real_of
from graphc.ir.errors import ArgumentError, ShapeError
from graphc.ir.graph import Node
from graphc.ir.type import Shape
from graphc.ops import build, movement
from graphc.ops import elementwise as ew
from graphc.ops.check import shape_text
from graphc.ops.composite.arithmetic import add, div, mul, pow, sub
from graphc.ops.composite.contraction import agree, sizes_text
from graphc.ops.composite.operand import Operand, detached, floating, in_dtype, refuse_kinds, widened
from graphc.ops.composite.reductions import mean, var_mean
from graphc.ops.function import function


def _standardized(x: Node, axes: tuple[int, ...], eps: float) -> Node:
    """Less the mean over these axes, divided by the standard deviation."""
    centered = sub(x, mean(x, axes, True))
    variance = mean(ew.mul(centered, centered), axes, True)
    return mul(centered, ew.rsqrt(add(variance, eps)))


def _scaled(x: Node, weight: Node | None, bias: Node | None, shape: Shape) -> Node:
    """Times a weight and plus a bias, each of the given shape, which broadcasts to that of x."""
    for each, combine in ((weight, mul), (bias, add)):
        if each is not None:
            x = combine(x, build.reshape_to(build.cast_to(each, x.tensor.dtype), shape))
    return x


def _check_parameter(what: str, parameter: Node | None, size: Size) -> None:
    """A parameter of batch_norm and instance_norm: one element for each channel."""
    if parameter is not None:
        count = parameter.tensor.size
        agree("batch_norm", count, size, f"{what} should contain {size} elements not {count}")


def _last(name: str, x: Node, normalized_shape: Size | Sequence[Size], weight: Node | None, bias: Node | None) -> Shape:
    """The shape that is normalized: the input's last sizes."""
    shape = tuple(normalized_shape) if isinstance(normalized_shape, Sequence) else (normalized_shape,)
    if not shape:
        raise ShapeError(
            "Expected normalized_shape to be at least 1-dimensional, i.e., containing at least one element, but got "
            "normalized_shape = []",
            hint=f"{name}: {_way_to_last(x, shape)}",
        )
    for what, each in (("weight", weight), ("bias", bias)):
        if each is not None and each.shape != shape:
            raise ShapeError(
                f"Expected {what} to be of same shape as normalized_shape, but got {what} of shape "
                f"{sizes_text(each.shape)} and normalized_shape = {sizes_text(shape)}",
                hint=f"{name}: one element for each that is scaled alike",
            )
    if x.shape[max(len(x.shape) - len(shape), 0) :] != shape:
        start = "*, " if name == "layer_norm" else "*"
        raise ShapeError(
            f"Given normalized_shape={sizes_text(shape)}, expected input with shape [{start}{sizes_text(shape)[1:]}, "
            f"but got input of size{sizes_text(x.shape)}",
            hint=f"{name}: {_way_to_last(x, shape)}",
        )
    return shape


def _way_to_last(x: Node, shape: Shape) -> str:
    last = x.shape[len(x.shape) - len(shape) :]
    if shape and len(last) == len(shape) and any(not isinstance(size, int) for size in last):
        return f"give x.shape[{-len(shape)}:], or mark as dynamic only the sizes that change"
    return "give the last sizes of the input, at least one"


@function()
def layer_norm(
    input: Node,
    normalized_shape: Size | Sequence[Size],
    weight: Node | None = None,
    bias: Node | None = None,
    eps: float = 1e-5,
) -> Node:
    """Mean 0 and variance 1 over the last dimensions, then times a weight plus a bias."""
    x, shape = input, _last("layer_norm", input, normalized_shape, weight, bias)
    refuse_kinds("LayerNormKernelImpl", x, Kind.BOOL, Kind.INT, Kind.COMPLEX)
    axes = tuple(range(len(x.shape) - len(shape), len(x.shape)))
    return build.cast_to(_scaled(_standardized(widened(x), axes, eps), weight, bias, shape), x.tensor.dtype)


@function()
def rms_norm(
    input: Node, normalized_shape: Size | Sequence[Size], weight: Node | None = None, eps: float | None = None
) -> Node:
    """Divided by the root of the mean square over the last dimensions; eps is by default the dtype's own."""
    x, shape = input, _last("rms_norm", input, normalized_shape, weight, None)
    refuse_kinds("rms_norm", x, Kind.BOOL, Kind.INT)
    axes = tuple(range(len(x.shape) - len(shape), len(x.shape)))
    wide = widened(x)
    least = {16: 2.0**-23, 32: 2.0**-23, 64: 2.0**-52}[real_of(wide.tensor.dtype).bits] if eps is None else eps
    square = mean(ew.mul(wide, wide), axes, True)
    return build.cast_to(_scaled(mul(wide, ew.rsqrt(add(square, least))), weight, None, shape), x.tensor.dtype)


@function()
def group_norm(
    input: Node, num_groups: int, weight: Node | None = None, bias: Node | None = None, eps: float = 1e-5
) -> Node:
    """Mean 0 and variance 1 over groups of channels (dimension 1), then times a weight plus a bias per channel."""
    x = input
    if len(x.shape) < 2:
        raise ShapeError(
            f"Expected at least 2 dimensions for input tensor but received {len(x.shape)}",
            hint="group_norm: the input is [n, channels, ...]",
        )
    channels = x.shape[1]
    size = channels // num_groups if num_groups > 0 else channels
    if num_groups < 1 or size * num_groups != channels:
        raise ShapeError(
            "Expected number of channels in input to be divisible by num_groups, but got input of shape "
            f"{sizes_text(x.shape)} and num_groups={num_groups}",
            hint="group_norm: choose another number of groups",
        )
    for what, each in (("weight", weight), ("bias", bias)):
        if each is not None and each.shape != (channels,):
            raise ShapeError(
                f"Expected {what} to be a vector of size equal to the number of channels in input, but got {what} of "
                f"shape {sizes_text(each.shape)} and input of shape {sizes_text(x.shape)}",
                hint="group_norm: give one element for each channel",
            )
    refuse_kinds("GroupNormKernelImpl", x, Kind.BOOL, Kind.INT, Kind.COMPLEX)
    grouped = build.reshape_to(widened(x), (x.shape[0], num_groups, size, *x.shape[2:]))
    result = _standardized(grouped, tuple(range(2, len(grouped.shape))), eps)
    lined_up = (num_groups, size, *(1,) * len(x.shape[2:]))
    return build.cast_to(build.reshape_to(_scaled(result, weight, bias, lined_up), x.shape), x.tensor.dtype)


def _channels(name: str, x: Node) -> Size:
    if len(x.shape) < 2:
        raise ShapeError(
            f"{name}: the shape {shape_text(x.shape)} has no dimension of channels",
            hint="the input is [n, channels, ...]",
        )
    return x.shape[1]


@function()
def batch_norm(
    input: Node,
    running_mean: Node | None,
    running_var: Node | None,
    weight: Node | None = None,
    bias: Node | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Node:
    """Mean 0 and variance 1 per channel: by the batch in training, else by the running mean and variance.

    Nothing is written to the running ones, so `momentum` has no influence here.
    """
    x, channels = input, _channels("batch_norm", input)
    shape = (channels, *(1,) * len(x.shape[2:]))
    refuse_kinds("batch_norm", x, Kind.BOOL, Kind.INT, Kind.COMPLEX)
    wide = widened(x)
    if eps < 0 or (training and eps == 0):
        wanted = "positive during training" if training else "non-negative"
        raise ArgumentError(f"batch_norm eps must be {wanted}, but got {eps}", hint="as a rule it is 1e-5")
    if training:
        _check_several(x, (0, *range(2, len(x.shape))), "value per channel")
    elif running_mean is None or running_var is None:
        what = "running_mean" if running_mean is None else "running_var"
        raise ArgumentError(
            f"{what} must be defined in evaluation mode", hint="give both, or training=True to use the batch's own"
        )
    parameters = {"running_mean": running_mean, "running_var": running_var, "weight": weight, "bias": bias}
    for name, each in parameters.items():
        _check_parameter(name, each, channels)
    if training or running_mean is None or running_var is None:
        result = _standardized(wide, (0, *range(2, len(x.shape))), eps)
    else:
        center, spread = (
            build.reshape_to(build.cast_to(each, wide.tensor.dtype), shape) for each in (running_mean, running_var)
        )
        result = mul(sub(wide, center), ew.rsqrt(add(spread, eps)))
    return build.cast_to(_scaled(result, weight, bias, shape), x.tensor.dtype)


def _check_several(x: Node, axes: tuple[int, ...], what: str) -> None:
    """A single element has no spread."""
    if all(x.shape[axis] == 1 for axis in axes):
        raise ShapeError(
            f"Expected more than 1 {what} when training, got input size torch.Size({sizes_text(x.shape)})",
            hint="use a larger batch, or evaluate",
        )


@function()
def instance_norm(
    input: Node,
    running_mean: Node | None = None,
    running_var: Node | None = None,
    weight: Node | None = None,
    bias: Node | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Node:
    """Mean 0 and variance 1 per channel of each sample; without `use_input_stats` by the running mean and variance."""
    if not use_input_stats:
        return batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
    x, channels = input, _channels("instance_norm", input)
    _check_several(x, tuple(range(2, len(x.shape))), "spatial element")
    refuse_kinds("batch_norm", x, Kind.BOOL, Kind.INT, Kind.COMPLEX)
    shape = (channels, *(1,) * len(x.shape[2:]))
    for name, each in {"weight": weight, "bias": bias}.items():
        _check_parameter(name, each, channels)
    result = _standardized(widened(x), tuple(range(2, len(x.shape))), eps)
    return build.cast_to(_scaled(result, weight, bias, shape), x.tensor.dtype)


# With running statistics


def _moved(running: Node | None, found: Node, share: Operand) -> Node | None:
    """The running statistic moved toward the one that was found, by a share of the way; computed in f64."""
    if running is None:
        return None
    own, value = (build.cast_to(each, f64) for each in (running, detached(found)))
    part = in_dtype("batch_norm", share, f64)
    rest = ew.sub(build.constant(1.0, f64), part)  # f64 also where the share is a number, which is weak
    return build.cast_to(add(mul(own, rest), mul(value, part)), running.tensor.dtype)


@function(namespace="nn.functional")
def _batch_norm_moving(
    input: Node,
    running_mean: Node | None,
    running_var: Node | None,
    weight: Node | None,
    bias: Node | None,
    momentum: Operand,
    eps: float,
) -> tuple[Node, Node | None, Node | None]:
    """`batch_norm` in training, and what the running mean and variance become."""
    result = batch_norm(input, running_mean, running_var, weight, bias, True, 0.0, eps)
    if 0 in input.shape:
        return result, running_mean, running_var
    spread, center = var_mean(widened(input), (0, *range(2, len(input.shape))))
    return result, _moved(running_mean, center, momentum), _moved(running_var, spread, momentum)


@function(namespace="nn.functional")
def _instance_norm_moving(
    input: Node,
    running_mean: Node | None,
    running_var: Node | None,
    weight: Node | None,
    bias: Node | None,
    momentum: Operand,
    eps: float,
) -> tuple[Node, Node | None, Node | None]:
    """`instance_norm` by the samples' own statistics, and what the running mean and variance become."""
    result = instance_norm(input, running_mean, running_var, weight, bias, True, 0.0, eps)
    spread, center = (mean(each, 0) for each in var_mean(widened(input), tuple(range(2, len(input.shape)))))
    return result, _moved(running_mean, center, momentum), _moved(running_var, spread, momentum)


@function()
def local_response_norm(input: Node, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Node:
    """Divided by (k + alpha * mean square of neighbouring channels) to the power of beta."""
    if len(input.shape) < 3:
        raise ShapeError(
            f"Expected 3D or higher dimensionality                          input (got {len(input.shape)} dimensions)",
            hint="local_response_norm: the input is [n, channels, ...]",
        )
    x = floating(input)
    wide = widened(x)
    square = ew.mul(wide, wide)
    zeros = (0,) * len(x.shape)
    low, high = ((0, n, *zeros[2:]) for n in (size // 2, (size - 1) // 2))
    padded = movement.pad(square, build.zero(square.tensor.dtype), low=low, high=high, interior=zeros)
    windows = movement.window(padded, axes=(1,), size=(size,), stride=(1,), dilation=(1,))
    total = add(mul(mean(windows, -1), alpha), k)
    return build.cast_to(div(wide, pow(total, beta)), x.tensor.dtype)
