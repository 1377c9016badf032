"""Losses under PyTorch's names: of two tensors one number, or with `reduction="none"` a number for each element.

Formulas are computed in float32 where the operands are 16-bit floats, and rounded at the end.
"""

from __future__ import annotations

import math
import warnings

from graphc.ir.dtype import DType, Kind, default_float, i64, real_of
from graphc.ir.errors import ArgumentError, DTypeError, ShapeError
from graphc.ir.graph import Node
from graphc.ops import build, requirement
from graphc.ops import elementwise as ew
from graphc.ops.composite.activation import logsigmoid
from graphc.ops.composite.arithmetic import add, clamp, div, minimum, mul, sub, where
from graphc.ops.composite.contraction import sizes_text
from graphc.ops.composite.distances import pairwise_distance
from graphc.ops.composite.operand import (
    Operand,
    broadcast,
    broadcast_shape,
    combined,
    detached,
    floating,
    in_dtype,
    refuse_kinds,
    result_dtype,
    widened,
)
from graphc.ops.composite.reductions import mean, sum_
from graphc.ops.composite.special_error import xlogy
from graphc.ops.composite.unary import abs_, neg
from graphc.ops.function import function


def check_reduction(name: str, reduction: str) -> None:
    """Raise ArgumentError, in PyTorch's words, for a reduction that doesn't exist."""
    if reduction not in ("none", "mean", "sum"):
        raise ArgumentError(
            f"{reduction} is not a valid value for reduction", hint=f'{name}: use "none", "mean" or "sum"'
        )


def reduced_loss(name: str, loss: Node, reduction: str) -> Node:
    """The elements' losses, their mean or their sum."""
    check_reduction(name, reduction)
    return loss if reduction == "none" else mean(loss) if reduction == "mean" else sum_(loss)


def _pair(name: str, input: Node, target: Node, kernel: str) -> tuple[Node, Node]:
    """Both in one float dtype of at least 32 bits, and of one shape; `kernel` is PyTorch's name in errors."""
    x, y = combined(name, input, target)
    refuse_kinds(kernel, x, Kind.BOOL, Kind.INT, Kind.COMPLEX)
    return widened(x), widened(y)


def _warn_of_broadcast(input: Node, target: Node) -> None:
    """Say what PyTorch says of sizes that differ: a broadcast here is a mistake in most cases."""
    if input.shape != target.shape:
        warnings.warn(
            f"Using a target size ({_size(target)}) that is different to the input size ({_size(input)}). This will "
            "likely lead to incorrect results due to broadcasting. Please ensure they have the same size.",
            UserWarning,
            stacklevel=2,
        )


def _size(x: Node) -> str:
    return f"torch.Size({sizes_text(x.shape)})"


def _finish(name: str, loss: Node, reduction: str, *operands: Operand) -> Node:
    """The reduced loss in the operands' own dtype."""
    return build.cast_to(reduced_loss(name, loss, reduction), result_dtype(*operands))


# Distances


@function()
def mse_loss(input: Node, target: Node, reduction: str = "mean") -> Node:
    """The squares of the differences."""
    _warn_of_broadcast(input, target)
    x, y = _pair("mse_loss", input, target, "mse_cpu")
    difference = ew.sub(x, y)
    return _finish("mse_loss", ew.mul(difference, difference), reduction, input, target)


@function()
def l1_loss(input: Node, target: Node, reduction: str = "mean") -> Node:
    """The sizes of the differences."""
    _warn_of_broadcast(input, target)
    difference = sub(input, target)
    result = abs_(widened(difference))
    return build.cast_to(reduced_loss("l1_loss", result, reduction), _loss_dtype(difference, reduction))


def _loss_dtype(x: Node, reduction: str) -> DType:
    """The dtype of a loss of real numbers: that of the parts of x, and of sums of integers int64."""
    dtype = real_of(x.tensor.dtype)
    return i64 if reduction == "sum" and dtype.kind < Kind.FLOAT else dtype


@function()
def smooth_l1_loss(input: Node, target: Node, reduction: str = "mean", beta: float = 1.0) -> Node:
    """Squares of small differences over 2 beta, the sizes of those from beta on less beta / 2."""
    if beta < 0:
        raise ArgumentError("smooth_l1_loss does not support negative values for beta.", hint=f"not {beta}")
    if beta == 0:
        return l1_loss(input, target, reduction)
    return _bowl("smooth_l1_loss", input, target, reduction, beta, 1.0 / beta)


@function()
def huber_loss(input: Node, target: Node, reduction: str = "mean", delta: float = 1.0) -> Node:
    """Half the squares of small differences; from delta on a line of slope delta."""
    if delta <= 0:
        raise ArgumentError("huber_loss does not support non-positive values for delta.", hint=f"not {delta}")
    return _bowl("huber_loss", input, target, reduction, delta, 1.0)


def _bowl(name: str, input: Node, target: Node, reduction: str, edge: float, scale: float) -> Node:
    _warn_of_broadcast(input, target)
    x, y = _pair(name, input, target, "smooth_l1_cpu" if name == "smooth_l1_loss" else "huber_cpu")
    difference = ew.sub(x, y)
    size = ew.abs_(difference)
    inside = mul(ew.mul(difference, difference), 0.5 * scale)
    outside = mul(sub(size, 0.5 * edge), edge * scale)
    loss = ew.select(ew.lt(size, build.full_like(size, edge)), inside, outside)
    return _finish(name, loss, reduction, input, target)


# Probabilities of two outcomes


@function()
def binary_cross_entropy(input: Node, target: Node, weight: Node | None = None, reduction: str = "mean") -> Node:
    """-(y log x + (1 - y) log(1 - x)) of probabilities x; logarithms are at least -100."""
    if input.shape != target.shape:
        raise ShapeError(
            f"Using a target size ({_size(target)}) that is different to the input size ({_size(input)}) is "
            "deprecated. Please ensure they have the same size.",
            hint="expand or reshape one of them",
        )
    if target.tensor.dtype is not input.tensor.dtype:
        raise DTypeError(
            f"Found dtype {target.tensor.dtype.scalar} but expected {input.tensor.dtype.scalar}",
            hint="binary_cross_entropy: convert the target",
        )
    x, y = (
        _from_0_to_1(what, each)
        for what, each in zip(("input", "target"), _pair("binary_cross_entropy", input, target, "binary_cross_entropy"))
    )
    one = build.ones_like(x)
    hit, miss = (clamp(each, min=-100.0) for each in (ew.log(x), ew.log1p(ew.neg(x))))
    loss = ew.neg(ew.add(ew.mul(y, hit), ew.mul(ew.sub(one, y), miss)))
    return _finish("binary_cross_entropy", _weighted(loss, weight), reduction, input, target)


def _from_0_to_1(what: str, x: Node) -> Node:
    """Values as they are; a run in which one is no probability ends in an error."""
    is_probability = ew.bitwise_and(ew.ge(x, build.zeros_like(x)), ew.le(x, build.ones_like(x)))
    return requirement.require(x, is_probability, message=f"all elements of {what} should be between 0 and 1")


@function()
def binary_cross_entropy_with_logits(
    input: Node,
    target: Node,
    weight: Node | None = None,
    reduction: str = "mean",
    pos_weight: Node | None = None,
) -> Node:
    """`binary_cross_entropy` of sigmoid(input), without overflow; `pos_weight` scales the loss of ones."""
    if input.shape != target.shape:
        raise ShapeError(
            f"Target size ({_size(target)}) must be the same as input size ({_size(input)})",
            hint="expand or reshape one of them",
        )
    refuse_kinds("log_sigmoid_cpu", input, Kind.BOOL, Kind.INT, Kind.COMPLEX)
    if not target.tensor.dtype.is_floating_point:
        raise DTypeError(
            f"result type {input.tensor.dtype.scalar} can't be cast to the desired output type "
            f"{target.tensor.dtype.scalar}",
            hint="binary_cross_entropy_with_logits: convert the target",
        )
    x, y = _pair("binary_cross_entropy_with_logits", input, target, "log_sigmoid_cpu")
    miss = ew.mul(ew.sub(build.ones_like(y), y), x)
    scale: Operand = 1 if pos_weight is None else add(mul(sub(build.cast_to(pos_weight, y.tensor.dtype), 1.0), y), 1.0)
    hit = ew.neg(logsigmoid(x))
    loss = add(miss, hit if pos_weight is None else mul(scale, hit))
    return _finish("binary_cross_entropy_with_logits", _weighted(loss, weight), reduction, target)


def _weighted(loss: Node, weight: Node | None) -> Node:
    return loss if weight is None else mul(loss, build.cast_to(weight, loss.tensor.dtype))


# Distributions


@function()
def kl_div(input: Node, target: Node, reduction: str = "mean", log_target: bool = False) -> Node:
    """target * (log target - input) of log-probabilities; "batchmean" divides the sum by the first size."""
    x, y = _pair("kl_div", input, target, "kl_div")
    shape = x.shape
    if log_target:
        loss = ew.mul(ew.exp(y), ew.sub(y, x))
    else:
        loss = sub(xlogy(y, y), ew.mul(y, x))
    if reduction == "batchmean":
        total = div(sum_(loss), build.size_of(shape[0] if shape else 1, loss.tensor.dtype))
        return build.cast_to(total, result_dtype(input, target))
    return _finish("kl_div", loss, reduction, input, target)


@function()
def poisson_nll_loss(
    input: Node, target: Node, log_input: bool = True, full: bool = False, eps: float = 1e-8, reduction: str = "mean"
) -> Node:
    """exp(x) - y x of log-rates x, or x - y log(x + eps) of rates; `full` adds Stirling's term for y above 1."""
    x, y = broadcast("poisson_nll_loss", *(widened(floating(each)) for each in (input, target)))
    y = build.cast_to(y, x.tensor.dtype)
    loss = ew.sub(ew.exp(x), ew.mul(y, x)) if log_input else ew.sub(x, ew.mul(y, ew.log(add(x, eps))))
    if full:
        is_large = ew.gt(y, build.ones_like(y))
        large = ew.select(is_large, y, build.ones_like(y))
        log = ew.log(large)
        stirling = add(ew.sub(ew.mul(large, log), large), mul(add(log, math.log(2 * math.pi)), 0.5))
        loss = ew.add(loss, ew.select(is_large, stirling, build.zeros_like(loss)))
    return _finish("poisson_nll_loss", loss, reduction, floating(input), floating(target))


@function()
def gaussian_nll_loss(
    input: Node, target: Node, var: Operand, full: bool = False, eps: float = 1e-6, reduction: str = "mean"
) -> Node:
    """(log v + (x - y)^2 / v) / 2 with v the variance, at least eps; `full` adds log(2 pi) / 2."""
    if reduction not in ("none", "mean", "sum"):
        raise ArgumentError(f"{reduction} is not valid", hint='gaussian_nll_loss: use "none", "mean" or "sum"')
    x, y = _pair("gaussian_nll_loss", input, target, "gaussian_nll_loss")
    v = in_dtype("gaussian_nll_loss", var, x.tensor.dtype)
    if v.shape == input.shape[:-1] != input.shape:
        v = build.insert_axes(v, (len(v.shape),))
    elif isinstance(var, Node) and v.shape != input.shape:
        others = [own for own, size in zip(v.shape, input.shape) if own != size]
        if len(v.shape) != len(input.shape) or others != [1]:
            raise ShapeError(
                "var is of incorrect size",
                hint="it has the input's shape, or that without the last dimension, or one dimension of 1",
            )
    v = requirement.require(v, ew.logical_not(ew.lt(v, build.zeros_like(v))), message="var has negative entry/entries")
    # Values are moved up to eps while the gradient is that of the variance itself.
    v = add(v, _lift(v, eps))
    difference = ew.sub(x, y)
    loss = mul(add(ew.log(v), div(ew.mul(difference, difference), v)), 0.5)
    if full:
        loss = add(loss, 0.5 * math.log(2 * math.pi))
    return _finish("gaussian_nll_loss", loss, reduction, input, target)


def _lift(v: Node, eps: float) -> Node:
    """What is missing to eps, taken for a constant."""
    least = build.full_like(v, eps)
    return detached(ew.select(ew.lt(v, least), ew.sub(least, v), build.zeros_like(v)))


# Margins and angles


@function()
def hinge_embedding_loss(input: Node, target: Node, margin: float = 1.0, reduction: str = "mean") -> Node:
    """x where the target is 1, max(0, margin - x) where it is -1."""
    refuse_kinds("hinge_embedding_loss", input, Kind.BOOL, Kind.INT, Kind.COMPLEX)
    x = widened(input)
    shape = broadcast_shape("hinge_embedding_loss", x.shape, target.shape)
    x, y = build.broadcast_to(x, shape), build.broadcast_to(build.cast_to(target, x.tensor.dtype), shape)
    zero, one = build.zeros_like(x), build.ones_like(x)
    far = clamp(sub(margin, x), min=0.0)
    loss = ew.add(ew.select(ew.ne(y, one), far, zero), ew.select(ew.ne(y, ew.neg(one)), x, zero))
    return _finish("hinge_embedding_loss", loss, reduction, input)


@function()
def margin_ranking_loss(input1: Node, input2: Node, target: Node, margin: float = 0.0, reduction: str = "mean") -> Node:
    """max(0, -y (x1 - x2) + margin): y of 1 says that the first is to rank higher."""
    ranks = {len(each.shape) for each in (input1, input2, target)}
    if len(ranks) > 1:
        raise ShapeError(
            f"margin_ranking_loss : All input tensors should have same dimension but got sizes: input1: "
            f"{_size(input1)}, input2: {_size(input2)}, target: {_size(target)} ",
            hint="unsqueeze some of them",
        )
    loss = _positive(add(mul(neg(target), sub(input1, input2)), margin))
    return reduced_loss("margin_ranking_loss", loss, reduction)


@function()
def soft_margin_loss(input: Node, target: Node, reduction: str = "mean") -> Node:
    """log(1 + exp(-y x)) with y 1 or -1."""
    x, y = _pair("soft_margin_loss", input, target, "soft_margin_loss")
    return _finish("soft_margin_loss", ew.neg(logsigmoid(ew.mul(y, x))), reduction, input, target)


def _positive(x: Node) -> Node:
    """max(x, 0); PyTorch's gradient here is 1 at 0."""
    return clamp(x, min=0.0 if x.tensor.dtype.is_floating_point else 0)


@function()
def cosine_embedding_loss(
    input1: Node, input2: Node, target: Node, margin: float = 0.0, reduction: str = "mean"
) -> Node:
    """1 - cos where the target is 1, max(0, cos - margin) where it is -1."""
    if len(target.shape) > 1:
        raise ShapeError(
            "0D or 1D target tensor expected, multi-target not supported", hint="give one target for each pair"
        )
    rank = len(target.shape) + 1
    if len(input1.shape) != rank or len(input2.shape) != rank:
        raise ShapeError(
            f"{rank - 1}D target tensor expects {rank}D input tensors, but found inputs with sizes "
            f"{sizes_text(input1.shape)} and {sizes_text(input2.shape)}.",
            hint="inputs are [n, d] with a target [n], or [d] with a target without dimensions",
        )
    common = default_float(result_dtype(input1, input2))
    cosine = widened(_cosine(build.cast_to(input1, common), build.cast_to(input2, common)))
    y, cosine = broadcast("cosine_embedding_loss", build.cast_to(target, cosine.tensor.dtype), cosine)
    zero, one = build.zeros_like(cosine), build.ones_like(cosine)
    same = where(ew.eq(y, one), ew.sub(one, cosine), zero)
    other = where(ew.eq(y, ew.neg(one)), _positive(sub(cosine, margin)), zero)
    return build.cast_to(reduced_loss("cosine_embedding_loss", ew.add(same, other), reduction), common)


def _cosine(x: Node, y: Node) -> Node:
    """The cosine along the last dimension; a little in the squares keeps it finite where a vector is 0."""
    x, y = (widened(each) for each in broadcast("cosine_embedding_loss", x, y))
    squares = (add(sum_(ew.mul(each, each), -1), 1e-12) for each in (x, y))
    return ew.div(sum_(ew.mul(x, y), -1), ew.sqrt(ew.mul(*squares)))


@function()
def triplet_margin_loss(
    anchor: Node,
    positive: Node,
    negative: Node,
    margin: float = 1.0,
    p: float = 2.0,
    eps: float = 1e-6,
    swap: bool = False,
    reduction: str = "mean",
) -> Node:
    """max(0, distance to the positive - distance to the negative + margin), by p-norms along the last dimension.

    With `swap` the negative counts as near to the positive as to the anchor.
    """
    if margin <= 0:
        raise ArgumentError(f"margin must be greater than 0, got {margin}", hint="triplet_margin_loss")
    ranks = [len(each.shape) for each in (anchor, positive, negative)]
    if len(set(ranks)) > 1:
        raise ShapeError(
            "The anchor, positive, and negative tensors are expected to have the same number of dimensions, but got: "
            f"anchor {ranks[0]}D, positive {ranks[1]}D, and negative {ranks[2]}D inputs",
            hint="unsqueeze some of them",
        )
    near, far = (pairwise_distance(anchor, each, p, eps) for each in (positive, negative))
    if swap:
        far = minimum(far, pairwise_distance(positive, negative, p, eps))
    return reduced_loss("triplet_margin_loss", _positive(add(sub(near, far), margin)), reduction)
