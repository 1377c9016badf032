"""Normalizations and dropout under PyTorch's names.

A graph's values never change, so `batch_norm` and `instance_norm` return the result alone: in training they use the
batch's own mean and variance, and the caller updates running ones (`x.var_mean` gives them). `dropout` needs a key,
from which its random numbers follow.
"""

from __future__ import annotations

from collections.abc import Sequence

from graphc.ir.dim import Size
from graphc.ir.errors import ArgumentError, ShapeError
from graphc.ir.graph import Node
from graphc.ir.type import Shape
from graphc.ops import build, movement
from graphc.ops import elementwise as ew
from graphc.ops.check import shape_text
from graphc.ops.composite.arithmetic import add, div, mul, pow, sub
from graphc.ops.composite.operand import only_floats, widened
from graphc.ops.composite.random import Key, rand_below
from graphc.ops.composite.reductions import mean
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


def _check_parameter(name: str, what: str, parameter: Node | None, shape: Shape) -> None:
    if parameter is not None and parameter.shape != shape:
        raise ShapeError(
            f"{name}: a {what} of shape {shape_text(parameter.shape)}, not {shape_text(shape)}",
            hint=f"the {what} has one element for each that is scaled alike",
        )


def _last(name: str, x: Node, normalized_shape: Size | Sequence[Size], weight: Node | None, bias: Node | None) -> Shape:
    """The shape that is normalized: the input's last sizes."""
    shape = tuple(normalized_shape) if isinstance(normalized_shape, Sequence) else (normalized_shape,)
    if not shape or x.shape[len(x.shape) - len(shape) :] != shape:
        raise ShapeError(
            f"{name}: normalized_shape {shape_text(shape)} is not the end of the input's shape {shape_text(x.shape)}",
            hint=_way_to_last(x, shape),
        )
    _check_parameter(name, "weight", weight, shape)
    _check_parameter(name, "bias", bias, shape)
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
    x = only_floats("layer_norm", input)
    shape = _last("layer_norm", x, normalized_shape, weight, bias)
    axes = tuple(range(len(x.shape) - len(shape), len(x.shape)))
    return build.cast_to(_scaled(_standardized(widened(x), axes, eps), weight, bias, shape), x.tensor.dtype)


@function()
def rms_norm(
    input: Node, normalized_shape: Size | Sequence[Size], weight: Node | None = None, eps: float | None = None
) -> Node:
    """Divided by the root of the mean square over the last dimensions; eps is by default the dtype's own."""
    x = only_floats("rms_norm", input)
    shape = _last("rms_norm", x, normalized_shape, weight, None)
    axes = tuple(range(len(x.shape) - len(shape), len(x.shape)))
    wide = widened(x)
    least = {16: 2.0**-23, 32: 2.0**-23, 64: 2.0**-52}[wide.tensor.dtype.bits] if eps is None else eps
    square = mean(ew.mul(wide, wide), axes, True)
    return build.cast_to(_scaled(mul(wide, ew.rsqrt(add(square, least))), weight, None, shape), x.tensor.dtype)


@function()
def group_norm(
    input: Node, num_groups: int, weight: Node | None = None, bias: Node | None = None, eps: float = 1e-5
) -> Node:
    """Mean 0 and variance 1 over groups of channels (dimension 1), then times a weight plus a bias per channel."""
    x = only_floats("group_norm", input)
    channels = _channels("group_norm", x)
    size = channels // num_groups if num_groups > 0 else channels
    if num_groups < 1 or size * num_groups != channels:
        raise ShapeError(
            f"group_norm: {channels} channels in {num_groups} groups", hint="the number of groups must divide them"
        )
    _check_parameter("group_norm", "weight", weight, (channels,))
    _check_parameter("group_norm", "bias", bias, (channels,))
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
    x = only_floats("batch_norm", input)
    shape = (_channels("batch_norm", x), *(1,) * len(x.shape[2:]))
    wide = widened(x)
    parameters = {"weight": weight, "bias": bias, "running_mean": running_mean, "running_var": running_var}
    for what, each in parameters.items():
        _check_parameter("batch_norm", what, each, shape[:1])
    if training:
        axes = (0, *range(2, len(x.shape)))
        result = _standardized(wide, axes, eps)
    elif running_mean is None or running_var is None:
        raise ArgumentError(
            "batch_norm: no running_mean and running_var", hint="give both, or training=True to use the batch's own"
        )
    else:
        center, spread = (
            build.reshape_to(build.cast_to(each, wide.tensor.dtype), shape) for each in (running_mean, running_var)
        )
        result = mul(sub(wide, center), ew.rsqrt(add(spread, eps)))
    return build.cast_to(_scaled(result, weight, bias, shape), x.tensor.dtype)


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
    x = only_floats("instance_norm", input)
    if len(x.shape) < 3:
        raise ShapeError(
            f"instance_norm: the shape {shape_text(x.shape)} has nothing to normalize over",
            hint="the input is [n, channels, ...] with at least one more dimension",
        )
    shape = (x.shape[1], *(1,) * len(x.shape[2:]))
    for what, each in {"weight": weight, "bias": bias}.items():
        _check_parameter("instance_norm", what, each, shape[:1])
    result = _standardized(widened(x), tuple(range(2, len(x.shape))), eps)
    return build.cast_to(_scaled(result, weight, bias, shape), x.tensor.dtype)


@function()
def local_response_norm(input: Node, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Node:
    """Divided by (k + alpha * mean square of neighbouring channels) to the power of beta."""
    x = only_floats("local_response_norm", input)
    _channels("local_response_norm", x)
    wide = widened(x)
    square = ew.mul(wide, wide)
    zeros = (0,) * len(x.shape)
    low, high = ((0, n, *zeros[2:]) for n in (size // 2, (size - 1) // 2))
    padded = movement.pad(square, build.zero(square.tensor.dtype), low=low, high=high, interior=zeros)
    windows = movement.window(padded, axes=(1,), size=(size,), stride=(1,), dilation=(1,))
    total = add(mul(mean(windows, -1), alpha), k)
    return build.cast_to(div(wide, pow(total, beta)), x.tensor.dtype)


# Dropout


@function()
def dropout(input: Node, p: float = 0.5, training: bool = True, *, key: Key | None = None) -> Node:
    """In training each element is 0 with probability p, else divided by 1 - p; the key decides which."""
    return _dropped("dropout", input, p, training, key, input.shape)


@function()
def feature_dropout(input: Node, p: float = 0.5, training: bool = True, *, key: Key | None = None) -> Node:
    """`dropout` of whole channels (dimension 1)."""
    _channels("feature_dropout", input)
    shape = (*input.shape[:2], *(1,) * len(input.shape[2:]))
    return _dropped("feature_dropout", input, p, training, key, shape)


def _dropped(name: str, input: Node, p: float, training: bool, key: Key | None, shape: Shape) -> Node:
    x = only_floats(name, input)
    if not 0.0 <= p <= 1.0:
        raise ArgumentError(
            f"dropout probability has to be between 0 and 1, but got {p:g}", hint=f"{name}: use a number from 0 to 1"
        )
    if not training or p == 0.0:
        return x
    if p == 1.0:
        return mul(x, 0.0)
    if key is None:
        raise ArgumentError(
            f"{name}: no key is given, and a graph has no random numbers of its own",
            hint="pass key=..., a number or uint64 tensor; another key for each call and step",
        )
    is_dropped = build.broadcast_to(rand_below(name, p, shape, key), x.shape)
    return ew.select(is_dropped, build.zeros_like(x), mul(x, 1.0 / (1.0 - p)))
