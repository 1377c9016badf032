"""Losses that want the score of the right classes to be above the others' by a margin, under PyTorch's names.

Inputs are [n, classes], or [classes] for a single sample. They stand in `graphc.nn.functional`: see
`functional_forms.py`.
"""

from __future__ import annotations

from graphc.ir.dtype import bf16, f16, i64
from graphc.ir.errors import ArgumentError, DTypeError, ShapeError, UnsupportedDType
from graphc.ir.graph import Node
from graphc.ops import build, creation
from graphc.ops import elementwise as ew
from graphc.ops.composite.activation import logsigmoid
from graphc.ops.composite.arithmetic import add, div, mul, sub
from graphc.ops.composite.contraction import sizes_text
from graphc.ops.composite.cumulative import cumprod
from graphc.ops.composite.indexing import gather, within
from graphc.ops.composite.loss import check_reduction, reduced_loss
from graphc.ops.composite.reductions import any_, sum_
from graphc.ops.composite.shapes import unsqueeze
from graphc.ops.composite.unary import neg


def multi_margin_loss(
    input: Node,
    target: Node,
    p: int = 1,
    margin: float = 1.0,
    weight: Node | None = None,
    reduction: str = "mean",
) -> Node:
    """The mean over classes of max(0, margin - x[right] + x[other])^p, times the right class's weight."""
    check_reduction("multi_margin_loss", reduction)
    if p not in (1, 2):
        raise ArgumentError("only p == 1 and p == 2 supported", hint="multi_margin_loss: use 1 or 2")
    if weight is not None and len(weight.shape) != 1:
        raise ShapeError("weight must be one-dimensional", hint="multi_margin_loss: a weight for each class")
    x = _rows(input)
    count, classes = x.shape
    if len(target.shape) > 1 or target.tensor.size != count:
        raise ShapeError(
            "multi_margin_loss: target tensor should be 1-D with size equal to the number of input samples (batch "
            f"size). Expected target size [{count}], but got {sizes_text(target.shape)}. Input has shape "
            f"{sizes_text(input.shape)}.",
            hint="give one class number for each row",
        )
    if weight is not None and weight.shape[0] != classes:
        raise ShapeError(
            f"inconsistent weight size, expected {classes} but got {sizes_text(weight.shape)}",
            hint="give one weight for each class",
        )
    _check_dtypes("multi_margin_loss_cpu_kernel", input, target)
    index = within(build.reshape_to(target, (count, 1)), 0, classes, "target out of range")
    gap = add(sub(x, gather(x, 1, index)), margin)
    is_wrong = ew.ne(creation.iota(shape=x.shape, axis=1, dtype=i64), build.broadcast_to(index, x.shape))
    loss = _above_0(ew.mul(gap, gap) if p == 2 else gap, ew.bitwise_and(is_wrong, ew.gt(gap, build.zeros_like(gap))))
    if weight is not None:
        weights = build.broadcast_to(build.reshape_to(weight, (1, classes)), x.shape)
        loss = mul(loss, gather(build.cast_to(weights, x.tensor.dtype), 1, index))
    rows = div(sum_(loss, 1), build.size_of(classes, x.tensor.dtype))
    return reduced_loss("multi_margin_loss", build.reshape_to(rows, target.shape), reduction)


def multilabel_margin_loss(input: Node, target: Node, reduction: str = "mean") -> Node:
    """The sum over right and wrong classes of max(0, 1 - x[right] + x[wrong]), over the number of classes.

    A row of the target lists the right classes; -1 ends the list.
    """
    check_reduction("multilabel_margin_loss", reduction)
    x = _rows(input)
    if target.shape != input.shape:
        raise ShapeError(
            f"inconsistent target size: {sizes_text(target.shape)} for input of size: {sizes_text(input.shape)}",
            hint="multilabel_margin_loss: the target has the input's shape, and -1 behind the last class",
        )
    _check_dtypes("multilabel_margin_loss_forward_out_frame", input, target)
    count, classes = x.shape
    given = within(build.reshape_to(target, x.shape), -1, classes, "argument #2 'target' is out of range")
    is_listed = ew.ne(cumprod(build.cast_to(ew.ge(given, build.zeros_like(given)), i64), 1), build.zeros_like(given))
    index = ew.select(is_listed, given, build.zeros_like(given))
    pairs = (count, classes, classes)  # [sample, place in the list, class]
    listed = build.repeat_along(is_listed, (2,), pairs)
    same = ew.eq(build.repeat_along(index, (2,), pairs), creation.iota(shape=pairs, axis=2, dtype=i64))
    is_right = any_(ew.bitwise_and(listed, same), 1, True)
    gap = add(sub(unsqueeze(x, 1), unsqueeze(gather(x, 1, index), 2)), 1.0)
    counts = ew.bitwise_and(listed, ew.logical_not(build.broadcast_to(is_right, pairs)))
    loss = _above_0(gap, ew.bitwise_and(counts, ew.gt(gap, build.zeros_like(gap))))
    rows = div(sum_(loss, (1, 2)), build.size_of(classes, x.tensor.dtype))
    return reduced_loss("multilabel_margin_loss", build.reshape_to(rows, input.shape[:-1]), reduction)


def multilabel_soft_margin_loss(input: Node, target: Node, weight: Node | None = None, reduction: str = "mean") -> Node:
    """The mean over classes of -(y log sigmoid(x) + (1 - y) log sigmoid(-x))."""
    loss = neg(add(mul(target, logsigmoid(input)), mul(sub(1, target), logsigmoid(neg(input)))))
    if weight is not None:
        loss = mul(loss, weight)
    if not input.shape:
        sum_(loss, 0)
        raise ShapeError("Dimension specified as -1 but tensor has no dimensions", hint="the last one is of classes")
    if reduction not in ("none", "mean", "sum"):
        raise ArgumentError(f"{reduction} is not valid", hint='use "none", "mean" or "sum"')
    rows = div(sum_(loss, len(input.shape) - 1), build.size_of(input.shape[-1], loss.tensor.dtype))
    return reduced_loss("multilabel_soft_margin_loss", rows, reduction)


def _rows(input: Node) -> Node:
    """The input as [n, classes]."""
    if len(input.shape) > 2 or 0 in input.shape[-1:]:
        raise ShapeError(
            f"Expected non-empty vector or matrix with optional 0-dim batch size, but got: {sizes_text(input.shape)}",
            hint="the input is [n, classes] or [classes]",
        )
    return input if len(input.shape) == 2 else build.reshape_to(input, (1, input.tensor.size))


def _check_dtypes(kernel: str, input: Node, target: Node) -> None:
    if target.tensor.dtype is not i64:
        raise DTypeError(
            f"expected scalar type Long but found {target.tensor.dtype.scalar}", hint="convert it: target.to('int64')"
        )
    dtype = input.tensor.dtype
    if not dtype.is_floating_point or dtype in (f16, bf16):
        raise UnsupportedDType(f"\"{kernel}\" not implemented for '{dtype.scalar}'", hint="use float32 or float64")


def _above_0(x: Node, keeps: Node) -> Node:
    return ew.select(keeps, x, build.zeros_like(x))
