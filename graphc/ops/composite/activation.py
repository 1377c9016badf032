"""Activations under PyTorch's names, element by element and along one dimension (softmax and its kin).

Formulas are chosen so that neither values nor gradients overflow where the function doesn't: what a branch not taken
would compute out of range is given a harmless operand first. 16-bit floats are computed in float32.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Concatenate, ParamSpec, cast

from graphc.ir.dtype import DType, Kind, bool_, default_float
from graphc.ir.dtype import dtype as to_dtype
from graphc.ir.errors import ArgumentError, DTypeError, ShapeError
from graphc.ir.graph import Node
from graphc.ops import build, reduction
from graphc.ops import elementwise as ew
from graphc.ops.composite.arithmetic import add, div, mul, refuse_complex, sub
from graphc.ops.composite.operand import detached, in_dtype_exactly, largest, normal_dim, refuse_kinds, widened
from graphc.ops.composite.reductions import reduced
from graphc.ops.composite.shapes import cut
from graphc.ops.composite.unary import abs_, neg, sigmoid, tanh
from graphc.ops.control import with_gradient
from graphc.ops.function import function

P = ParamSpec("P")


def of_floats(kernel: str) -> Callable[[Callable[Concatenate[Node, P], Node]], Callable[Concatenate[Node, P], Node]]:
    """A formula of a float tensor; 16-bit floats go through it as float32. `kernel` is PyTorch's name in errors."""

    def decorate(formula: Callable[Concatenate[Node, P], Node]) -> Callable[Concatenate[Node, P], Node]:
        @functools.wraps(formula)
        def build_node(input: Node, *args: P.args, **kwargs: P.kwargs) -> Node:
            refuse_kinds(kernel, input, Kind.BOOL, Kind.INT, Kind.COMPLEX)
            return build.cast_to(formula(widened(input), *args, **kwargs), input.tensor.dtype)

        return cast("Callable[Concatenate[Node, P], Node]", build_node)  # which also takes `input` by name

    return decorate


def _below(x: Node, limit: float) -> Node:
    return ew.lt(x, build.full_like(x, limit))


def _above(x: Node, limit: float) -> Node:
    return ew.gt(x, build.full_like(x, limit))


# Piecewise linear


@function(method=True)
def relu(input: Node) -> Node:
    """The element where it is above 0, else 0."""
    if input.tensor.dtype is bool_:
        raise DTypeError("Boolean inputs not supported for relu", hint="convert it first, e.g. x.to('uint8')")
    refuse_complex("clamp", input)
    zero = build.zeros_like(input)
    result = ew.select(ew.lt(input, zero), zero, input)
    return with_gradient((result,), (input,), _where_above_0)[0] if input.tensor.dtype.is_differentiable else result


def _where_above_0(cts: tuple[Node, ...], results: tuple[Node, ...], operands: tuple[Node, ...]) -> tuple[Node]:
    zero = build.zeros_like(results[0])
    return (ew.select(ew.le(results[0], zero), zero, cts[0]),)


@function()
def hardtanh(input: Node, min_val: float = -1.0, max_val: float = 1.0) -> Node:
    """The element moved between two bounds; no gradient flows at them."""
    if min_val > max_val:
        raise ArgumentError("min_val cannot be greater than max_val", hint="hardtanh: give the lower bound first")
    dtype = input.tensor.dtype
    if dtype is bool_:
        raise DTypeError("Bool inputs not supported for hardtanh", hint="convert it first, e.g. x.to('int8')")
    if dtype.is_integer and not dtype.signed and min_val < 0:
        raise ArgumentError(
            "cannot do hardtanh on an unsigned type with negative limits", hint="give a min_val of 0 or more"
        )
    refuse_complex("clamp", input)
    low, high = (
        build.broadcast_to(in_dtype_exactly("hardtanh", each, dtype), input.shape) for each in (min_val, max_val)
    )
    return ew.select(ew.le(input, low), low, ew.select(ew.ge(input, high), high, input))


@function()
def relu6(input: Node) -> Node:
    """The element moved between 0 and 6."""
    return hardtanh(input, 0.0, 6.0)


@function()
@of_floats("leaky_relu_cpu")
def leaky_relu(input: Node, negative_slope: float = 0.01) -> Node:
    """The element, times `negative_slope` where it is not above 0."""
    return ew.select(_above(input, 0), input, mul(input, negative_slope))


@function(method=True)
@of_floats("prelu_cpu")
def prelu(input: Node, weight: Node) -> Node:
    """The element, times its channel's weight where it is not above 0; channels are dimension 1."""
    if not input.shape and weight.tensor.size != 1:
        raise ShapeError("Not allow zero-dim input tensor.", hint="prelu: give one weight")
    channels = input.shape[1] if len(input.shape) > 1 else 1
    if weight.tensor.size not in (1, channels):
        raise ShapeError(
            f"Mismatch of parameter numbers and input channel size. Found parameter numbers = {weight.tensor.size} and "
            f"channel size = {channels}.",
            hint="prelu: give one weight, or one for each channel",
        )
    if len(weight.shape) > 1:
        raise ShapeError(
            f"prelu: Expected `weight` to be a scalar or 1D tensor, but got: ndim = {len(weight.shape)}",
            hint="flatten it",
        )
    slope = build.cast_to(weight, input.tensor.dtype)
    shape = (1,) * len(input.shape) if slope.tensor.size == 1 else (1, channels, *(1,) * (len(input.shape) - 2))
    return ew.select(_above(input, 0), input, mul(build.reshape_to(slope, shape), input))


@function()
def threshold(input: Node, threshold: float, value: float) -> Node:
    """The element where it is above the threshold, else `value`."""
    refuse_kinds("threshold_cpu", input, Kind.BOOL, Kind.COMPLEX)
    limit, other = (in_dtype_exactly("threshold", each, input.tensor.dtype) for each in (threshold, value))
    limit, other = (build.broadcast_to(x, input.shape) for x in (limit, other))
    return ew.select(ew.le(input, limit), other, input)


@function()
@of_floats("hardsigmoid_cpu")
def hardsigmoid(input: Node) -> Node:
    """0 below -3, 1 above 3, and a line between."""
    return div(hardtanh(add(input, 3.0), 0.0, 6.0), 6.0)


@function()
@of_floats("hardswish_cpu")
def hardswish(input: Node) -> Node:
    """The element times `hardsigmoid` of it."""
    return mul(input, hardsigmoid(input))


@function(method=True)
@of_floats("hardshrink_cpu")
def hardshrink(input: Node, lambd: float = 0.5) -> Node:
    """0 where the element is between -lambd and lambd, else the element."""
    inside = ew.bitwise_and(ew.ge(input, build.full_like(input, -lambd)), ew.le(input, build.full_like(input, lambd)))
    return ew.select(inside, build.zeros_like(input), input)


@function()
@of_floats("softshrink_check")
def softshrink(input: Node, lambd: float = 0.5) -> Node:
    """The element moved toward 0 by lambd, no further than 0."""
    if lambd < 0:
        dtype = input.tensor.dtype
        raise ArgumentError(
            f"lambda must be in range [0, {largest(dtype):.6g}] for input dtype {dtype.scalar}, but found {lambd:g}",
            hint="softshrink: use 0 or more",
        )
    toward = ew.select(_below(input, -lambd), add(input, lambd), mul(input, 0.0))
    return ew.select(_above(input, lambd), sub(input, lambd), toward)


# Smooth


@function()
@of_floats("elu_cpu")
def elu(input: Node, alpha: float = 1.0) -> Node:
    """The element above 0, else alpha * (exp(x) - 1)."""
    return _elu(input, alpha, 1.0, 1.0)


@function(method=False)
@of_floats("elu_cpu")
def selu(input: Node) -> Node:
    """`elu` with the constants that keep mean 0 and variance 1 (Klambauer et al. 2017)."""
    return _elu(input, 1.6732632423543772848170429916717, 1.0507009873554804934193349852946, 1.0)


@function(method=False)
@of_floats("elu_cpu")
def celu(input: Node, alpha: float = 1.0) -> Node:
    """The element above 0, else alpha * (exp(x / alpha) - 1)."""
    if alpha == 0:
        raise ArgumentError("ZeroDivisionError: alpha cannot be 0 for CELU", hint="use another number")
    return _elu(input, alpha, 1.0, 1.0 / alpha)


def _elu(x: Node, alpha: float, scale: float, inner: float) -> Node:
    is_positive = _above(x, 0)
    negative = ew.select(is_positive, build.zeros_like(x), x)
    curve = mul(ew.expm1(negative if inner == 1 else mul(negative, inner)), alpha)
    result = ew.select(is_positive, x, curve)
    return result if scale == 1 else mul(result, scale)


@function()
@of_floats("GeluKernelImpl")
def gelu(input: Node, approximate: str = "none") -> Node:
    """The element times the probability that a standard normal number is below it; "tanh" approximates that."""
    match approximate:
        case "none":
            return mul(mul(input, 0.5), add(ew.erf(mul(input, math.sqrt(0.5))), 1.0))
        case "tanh":
            cube = mul(ew.mul(ew.mul(input, input), input), 0.044715)
            return mul(mul(input, 0.5), add(ew.tanh(mul(ew.add(input, cube), math.sqrt(2 / math.pi))), 1.0))
        case _:
            raise ArgumentError("approximate argument must be either none or tanh.", hint=f"gelu: not {approximate!r}")


@function()
def silu(input: Node) -> Node:
    """The element times its sigmoid."""
    refuse_kinds("silu_cpu", input, Kind.BOOL, Kind.INT)
    x = widened(input)
    return build.cast_to(ew.mul(x, sigmoid(x)), input.tensor.dtype)


@function()
@of_floats("mish_cpu")
def mish(input: Node) -> Node:
    """The element times the tanh of its softplus."""
    return ew.mul(input, ew.tanh(softplus(input)))


@function()
@of_floats("softplus_cpu")
def softplus(input: Node, beta: float = 1.0, threshold: float = 20.0) -> Node:
    """log(1 + exp(beta * x)) / beta; the element itself where beta * x is above the threshold."""
    scaled = input if beta == 1 else mul(input, beta)
    is_linear = _above(scaled, threshold)
    curve = ew.log1p(ew.exp(ew.select(is_linear, build.zeros_like(scaled), scaled)))
    return ew.select(is_linear, input, curve if beta == 1 else div(curve, beta))


@function()
@of_floats("log_sigmoid_cpu")
def logsigmoid(input: Node) -> Node:
    """log(sigmoid(x)), without overflow."""
    return ew.sub(ew.minimum(input, build.zeros_like(input)), ew.log1p(ew.exp(ew.neg(ew.abs_(input)))))


@function()
def softsign(input: Node) -> Node:
    """x / (1 + |x|)."""
    x = widened(input)
    return build.cast_to(div(x, add(abs_(x), 1)), default_float(input.tensor.dtype))


@function()
def tanhshrink(input: Node) -> Node:
    """x - tanh(x)."""
    x = widened(input)
    return build.cast_to(sub(x, tanh(x)), default_float(input.tensor.dtype))


# Along a dimension


def _floats(name: str, input: Node, dim: int, dtype: DType | str | None) -> tuple[Node, int]:
    """The operand in the dtype asked for, which must be of floats, and the dimension counted from the front."""
    x = input if dtype is None else build.cast_to(input, to_dtype(dtype))
    axis = normal_dim(name, dim, len(x.shape))
    where = "_lastdim" if axis == max(len(x.shape) - 1, 0) else ""
    refuse_kinds(f"{name}{where}_kernel_impl", x, Kind.BOOL, Kind.INT, Kind.COMPLEX)
    return x, axis


def shifted(x: Node, axis: int) -> Node:
    """x less its largest element along an axis. The shift cancels out of whatever is made of it: no gradient."""
    most = detached(reduced(reduction.max_, x, (axis,), True))
    return sub(x, most)


@function(method=True)
def softmax(input: Node, dim: int, dtype: DType | str | None = None) -> Node:
    """exp(x) divided by its sum along `dim`."""
    given, axis = _floats("softmax", input, dim, dtype)
    if 0 in given.shape:
        return given
    if not given.shape:
        return build.reshape_to(softmax(build.insert_axes(given, (0,)), 0), ())  # nan for what isn't finite
    power = ew.exp(shifted(widened(given), axis))
    result = build.cast_to(div(power, reduced(reduction.sum_, power, (axis,), True)), given.tensor.dtype)

    def gradient(cts: tuple[Node, ...], results: tuple[Node, ...], operands: tuple[Node, ...]) -> tuple[Node]:
        y = widened(results[0])
        weighted = ew.mul(widened(cts[0]), y)
        total = reduced(reduction.sum_, weighted, (axis,), True)
        return (build.cast_to(sub(weighted, mul(y, total)), given.tensor.dtype),)

    return with_gradient((result,), (given,), gradient)[0]


@function(method=True)
def log_softmax(input: Node, dim: int, dtype: DType | str | None = None) -> Node:
    """The logarithm of `softmax`, exact where that is near 0."""
    given, axis = _floats("log_softmax", input, dim, dtype)
    if 0 in given.shape:
        return given
    if not given.shape:
        return build.reshape_to(log_softmax(build.insert_axes(given, (0,)), 0), ())
    x = shifted(widened(given), axis)
    total = ew.log(reduction.sum_(ew.exp(x), axes=(axis,)))
    result = build.cast_to(sub(x, build.insert_axes(total, (axis,))), given.tensor.dtype)

    def gradient(cts: tuple[Node, ...], results: tuple[Node, ...], operands: tuple[Node, ...]) -> tuple[Node]:
        ct = widened(cts[0])
        total = reduced(reduction.sum_, ct, (axis,), True)
        return (build.cast_to(sub(ct, mul(ew.exp(widened(results[0])), total)), given.tensor.dtype),)

    return with_gradient((result,), (given,), gradient)[0]


@function()
def softmin(input: Node, dim: int, dtype: DType | str | None = None) -> Node:
    """`softmax` of -x."""
    return softmax(neg(input), dim, dtype)


@function()
def glu(input: Node, dim: int = -1) -> Node:
    """The first half along `dim` times the sigmoid of the second."""
    if not input.shape:
        raise ShapeError("glu does not support 0-dimensional tensors", hint="glu halves a dimension")
    x, axis = input, normal_dim("glu", dim, len(input.shape))
    size = x.shape[axis]
    half = size // 2
    if half * 2 != size:
        raise ShapeError(
            f"Halving dimension must be even, but dimension {axis} is size {size}", hint="glu: choose an even size"
        )
    refuse_kinds("glu_cpu", x, Kind.BOOL, Kind.INT, Kind.COMPLEX)
    gate = build.cast_to(ew.sigmoid(widened(cut(x, axis, half, size))), x.tensor.dtype)
    return ew.mul(cut(x, axis, 0, half), gate)
