"""Losses under PyTorch's names: of two tensors one number, or with `reduction="none"` a number for each element.

Formulas are computed in float32 where the operands are 16-bit floats, and rounded at the end.
"""

from __future__ import annotations

import math

from graphc.ir.errors import ArgumentError, ShapeError
from graphc.ir.graph import Node
from graphc.ops import build
from graphc.ops import elementwise as ew
from graphc.ops.check import shape_text
from graphc.ops.composite.activation import logsigmoid
from graphc.ops.composite.arithmetic import add, clamp, div, mul, sub, where
from graphc.ops.composite.distances import cosine_similarity, pairwise_distance
from graphc.ops.composite.operand import (
    Operand,
    broadcast_shape,
    combined,
    detached,
    only_floats,
    result_dtype,
    widened,
)
from graphc.ops.composite.reductions import mean, sum_
from graphc.ops.composite.special_error import xlogy
from graphc.ops.function import function


def reduced_loss(name: str, loss: Node, reduction: str) -> Node:
    """The elements' losses, their mean or their sum."""
    match reduction:
        case "none":
            return loss
        case "mean":
            return mean(loss)
        case "sum":
            return sum_(loss)
        case _:
            raise ArgumentError(f"{name}: reduction={reduction!r}", hint='use "none", "mean" or "sum"')


def _pair(name: str, input: Node, target: Node) -> tuple[Node, Node]:
    """Both in one float dtype of at least 32 bits, and of one shape: a silent broadcast here is a bug in most cases."""
    if input.shape != target.shape:
        raise ShapeError(
            f"{name}: an input of shape {shape_text(input.shape)} and a target of {shape_text(target.shape)}",
            hint="both have one shape; reshape or expand one of them",
        )
    x, y = combined(name, input, target)
    return widened(only_floats(name, x)), widened(y)


def _finish(name: str, loss: Node, reduction: str, *operands: Operand) -> Node:
    """The reduced loss in the operands' own dtype."""
    return build.cast_to(reduced_loss(name, loss, reduction), result_dtype(*operands))


# Distances


@function()
def mse_loss(input: Node, target: Node, reduction: str = "mean") -> Node:
    """The squares of the differences."""
    x, y = _pair("mse_loss", input, target)
    difference = ew.sub(x, y)
    return _finish("mse_loss", ew.mul(difference, difference), reduction, input, target)


@function()
def l1_loss(input: Node, target: Node, reduction: str = "mean") -> Node:
    """The sizes of the differences."""
    x, y = _pair("l1_loss", input, target)
    return _finish("l1_loss", ew.abs_(ew.sub(x, y)), reduction, input, target)


@function()
def smooth_l1_loss(input: Node, target: Node, reduction: str = "mean", beta: float = 1.0) -> Node:
    """Squares of small differences over 2 beta, the sizes of those from beta on less beta / 2."""
    if beta < 0:
        raise ArgumentError(f"smooth_l1_loss: beta {beta} is below 0", hint="use 0 or more")
    if beta == 0:
        return l1_loss(input, target, reduction)
    return _bowl("smooth_l1_loss", input, target, reduction, beta, 1.0 / beta)


@function()
def huber_loss(input: Node, target: Node, reduction: str = "mean", delta: float = 1.0) -> Node:
    """Half the squares of small differences; from delta on a line of slope delta."""
    if delta <= 0:
        raise ArgumentError(f"huber_loss: delta {delta} is not above 0", hint="use a number above 0")
    return _bowl("huber_loss", input, target, reduction, delta, 1.0)


def _bowl(name: str, input: Node, target: Node, reduction: str, edge: float, scale: float) -> Node:
    x, y = _pair(name, input, target)
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
    x, y = _pair("binary_cross_entropy", input, target)
    one = build.ones_like(x)
    hit, miss = (clamp(each, min=-100.0) for each in (ew.log(x), ew.log1p(ew.neg(x))))
    loss = ew.neg(ew.add(ew.mul(y, hit), ew.mul(ew.sub(one, y), miss)))
    return _finish("binary_cross_entropy", _weighted(loss, weight), reduction, input, target)


@function()
def binary_cross_entropy_with_logits(
    input: Node,
    target: Node,
    weight: Node | None = None,
    reduction: str = "mean",
    pos_weight: Node | None = None,
) -> Node:
    """`binary_cross_entropy` of sigmoid(input), without overflow; `pos_weight` scales the loss of ones."""
    x, y = _pair("binary_cross_entropy_with_logits", input, target)
    miss = ew.mul(ew.sub(build.ones_like(y), y), x)
    scale: Operand = 1 if pos_weight is None else add(mul(sub(build.cast_to(pos_weight, y.tensor.dtype), 1.0), y), 1.0)
    hit = ew.neg(logsigmoid(x))
    loss = add(miss, hit if pos_weight is None else mul(scale, hit))
    return _finish("binary_cross_entropy_with_logits", _weighted(loss, weight), reduction, input, target)


def _weighted(loss: Node, weight: Node | None) -> Node:
    return loss if weight is None else mul(loss, build.cast_to(weight, loss.tensor.dtype))


# Distributions


@function()
def kl_div(input: Node, target: Node, reduction: str = "mean", log_target: bool = False) -> Node:
    """target * (log target - input) of log-probabilities; "batchmean" divides the sum by the first size."""
    shape = broadcast_shape("kl_div", input.shape, target.shape)
    x, y = _pair("kl_div", build.broadcast_to(input, shape), build.broadcast_to(target, shape))
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
    x, y = _pair("poisson_nll_loss", input, target)
    loss = ew.sub(ew.exp(x), ew.mul(y, x)) if log_input else ew.sub(x, ew.mul(y, ew.log(add(x, eps))))
    if full:
        is_large = ew.gt(y, build.ones_like(y))
        large = ew.select(is_large, y, build.ones_like(y))
        log = ew.log(large)
        stirling = add(ew.sub(ew.mul(large, log), large), mul(add(log, math.log(2 * math.pi)), 0.5))
        loss = ew.add(loss, ew.select(is_large, stirling, build.zeros_like(loss)))
    return _finish("poisson_nll_loss", loss, reduction, input, target)


@function()
def gaussian_nll_loss(
    input: Node, target: Node, var: Node, full: bool = False, eps: float = 1e-6, reduction: str = "mean"
) -> Node:
    """(log v + (x - y)^2 / v) / 2 with v the variance, at least eps; `full` adds log(2 pi) / 2."""
    x, y = _pair("gaussian_nll_loss", input, target)
    v = build.cast_to(var, x.tensor.dtype)
    if v.shape == x.shape[:-1] and v.shape != x.shape:
        v = build.insert_axes(v, (len(v.shape),))
    if broadcast_shape("gaussian_nll_loss", x.shape, v.shape) != x.shape:
        raise ShapeError(
            f"gaussian_nll_loss: a variance of shape {shape_text(var.shape)} for an input of {shape_text(x.shape)}",
            hint="it has the input's shape, or that without the last dimension, or sizes of 1 that repeat",
        )
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
    x = widened(only_floats("hinge_embedding_loss", input))
    shape = broadcast_shape("hinge_embedding_loss", x.shape, target.shape)
    x, y = build.broadcast_to(x, shape), build.broadcast_to(build.cast_to(target, x.tensor.dtype), shape)
    zero, one = build.zeros_like(x), build.ones_like(x)
    far = clamp(sub(margin, x), min=0.0)
    loss = ew.add(ew.select(ew.ne(y, one), far, zero), ew.select(ew.ne(y, ew.neg(one)), x, zero))
    return _finish("hinge_embedding_loss", loss, reduction, input)


@function()
def margin_ranking_loss(input1: Node, input2: Node, target: Node, margin: float = 0.0, reduction: str = "mean") -> Node:
    """max(0, -y (x1 - x2) + margin): y of 1 says that the first is to rank higher."""
    loss = _positive(add(mul(ew.neg(target), sub(input1, input2)), margin))
    return reduced_loss("margin_ranking_loss", loss, reduction)


@function()
def soft_margin_loss(input: Node, target: Node, reduction: str = "mean") -> Node:
    """log(1 + exp(-y x)) with y 1 or -1."""
    x, y = _pair("soft_margin_loss", input, target)
    return _finish("soft_margin_loss", ew.neg(logsigmoid(ew.mul(y, x))), reduction, input, target)


def _positive(x: Node) -> Node:
    """max(x, 0); PyTorch's gradient here is 1 at 0."""
    return clamp(x, min=0.0 if x.tensor.dtype.is_floating_point else 0)


@function()
def cosine_embedding_loss(
    input1: Node, input2: Node, target: Node, margin: float = 0.0, reduction: str = "mean"
) -> Node:
    """1 - cos where the target is 1, max(0, cos - margin) where it is -1."""
    if len(input1.shape) not in (1, 2) or input1.shape != input2.shape or target.shape != input1.shape[:-1]:
        raise ShapeError(
            f"cosine_embedding_loss: inputs of shapes {shape_text(input1.shape)} and {shape_text(input2.shape)}"
            f" with a target of {shape_text(target.shape)}",
            hint="inputs are [n, d] with a target [n], or [d] with a target without dimensions",
        )
    cosine = cosine_similarity(input1, input2, -1)
    y = build.cast_to(target, cosine.tensor.dtype)
    zero, one = build.zeros_like(cosine), build.ones_like(cosine)
    same = where(ew.eq(y, one), ew.sub(one, cosine), zero)
    other = where(ew.eq(y, ew.neg(one)), _positive(sub(cosine, margin)), zero)
    return _finish("cosine_embedding_loss", ew.add(same, other), reduction, input1, input2)


@function()
def triplet_margin_loss(
    anchor: Node,
    positive: Node,
    negative: Node,
    margin: float = 1.0,
    p: float = 2.0,
    eps: float = 1e-6,
    reduction: str = "mean",
) -> Node:
    """max(0, distance to the positive - distance to the negative + margin), by p-norms along the last dimension."""
    near, far = (pairwise_distance(anchor, each, p, eps) for each in (positive, negative))
    return _finish("triplet_margin_loss", _positive(add(sub(near, far), margin)), reduction, anchor)
