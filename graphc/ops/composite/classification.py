"""Losses of classes: cross_entropy and nll_loss, from numbers of classes or from probabilities.

The class of a target is found by comparing it with every class, not by looking up a place: the loss of a row is then a
sum along it like those of softmax, all in one loop, and the gradient has no scatter.
"""

from __future__ import annotations

from graphc.ir.dtype import Kind, i64, u8
from graphc.ir.errors import ArgumentError, DTypeError, ShapeError
from graphc.ir.graph import Node
from graphc.ops import build, creation
from graphc.ops import elementwise as ew
from graphc.ops.composite.activation import log_softmax
from graphc.ops.composite.arithmetic import add, div, mul
from graphc.ops.composite.contraction import agree, sizes_text
from graphc.ops.composite.indexing import checked_class
from graphc.ops.composite.loss import reduced_loss
from graphc.ops.composite.operand import detached, refuse_kinds, result_dtype, widened
from graphc.ops.composite.reductions import sum_
from graphc.ops.function import function
from graphc.ops.reduction import sum_ as total_along


@function()
def cross_entropy(
    input: Node,
    target: Node,
    weight: Node | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Node:
    """-log softmax(input)[target] along dimension 1 (0 of a vector); targets are class numbers or probabilities."""
    kernel = "log_softmax_lastdim_kernel_impl" if len(input.shape) < 3 else "log_softmax_kernel_impl"
    refuse_kinds(kernel, input, Kind.BOOL, Kind.INT, Kind.COMPLEX)
    x = input
    if not 0.0 <= label_smoothing <= 1.0:
        raise ArgumentError(
            f"label_smoothing must be between 0.0 and 1.0. Got: {label_smoothing:g}", hint="cross_entropy"
        )
    axis = _class_axis("cross_entropy", x, weight)
    if target.shape == x.shape:
        return _of_probabilities(x, target, weight, axis, reduction, label_smoothing, ignore_index)
    target = _check_target("cross_entropy", x, target, axis)
    wide, weight = widened(x), _same_dtype("cross_entropy", x, weight)
    logarithm = log_softmax(wide, axis)
    classes = _Classes("cross_entropy", target, wide, axis, ignore_index, weight)
    result = classes.reduced("cross_entropy", classes.loss(logarithm), reduction)
    if label_smoothing:
        spread = logarithm if weight is None else ew.mul(logarithm, _along(weight, wide, axis))
        smooth = classes.kept(ew.neg(total_along(spread, axes=(axis,))))
        smooth = classes.reduced("cross_entropy", smooth, reduction)
        share = div(label_smoothing, build.size_of(wide.shape[axis], wide.tensor.dtype))
        result = add(mul(result, 1.0 - label_smoothing), mul(smooth, share))
    return build.cast_to(result, x.tensor.dtype)


@function()
def nll_loss(
    input: Node, target: Node, weight: Node | None = None, ignore_index: int = -100, reduction: str = "mean"
) -> Node:
    """-input[target] of log-probabilities along dimension 1 (0 of a vector)."""
    refuse_kinds("nll_loss_out_frame", input, Kind.BOOL, Kind.INT, Kind.COMPLEX)
    x = input
    axis = _class_axis("nll_loss", x, weight)
    target = _check_target("nll_loss", x, target, axis)
    wide, weight = widened(x), _same_dtype("nll_loss", x, weight)
    classes = _Classes("nll_loss", target, wide, axis, ignore_index, weight)
    return build.cast_to(classes.reduced("nll_loss", classes.loss(wide), reduction), x.tensor.dtype)


def _class_axis(name: str, x: Node, weight: Node | None) -> int:
    if not x.shape:
        raise ShapeError(
            "Expected 1 or more dimensions (got 0)", hint=f"{name}: the input is [classes] or [n, classes, ...]"
        )
    axis = 0 if len(x.shape) == 1 else 1
    if weight is not None and weight.shape != (x.shape[axis],):
        count = x.shape[axis]
        told = f"for all {count} classes or no classes but got weight tensor of shape: {sizes_text(weight.shape)}"
        raise ShapeError(
            f"weight tensor should be defined either {'for all or no classes' if len(x.shape) > 2 else told}",
            hint=f"{name}: give one weight for each class",
        )
    return axis


def _same_dtype(name: str, x: Node, weight: Node | None) -> Node | None:
    """The weights of classes, which have the input's dtype, in the one that is computed in."""
    if weight is None:
        return None
    if weight.tensor.dtype is not x.tensor.dtype:
        raise DTypeError(
            f"expected scalar type {x.tensor.dtype.scalar} but found {weight.tensor.dtype.scalar}",
            hint=f"{name}: convert the weights to the input's dtype",
        )
    return widened(detached(weight))


def _check_target(name: str, x: Node, target: Node, axis: int) -> Node:
    """Class numbers as `[n, ...]` without the classes, or without dimensions for a vector."""
    if axis == 1:
        _check_count(name, x, target)
    rank, count = len(x.shape), len(target.shape)
    wanted = x.shape[:axis] + x.shape[axis + 1 :]
    hint = f"{name}: give one class number for each row"
    if rank < 3 and count > 1:
        raise ShapeError("0D or 1D target tensor expected, multi-target not supported", hint=hint)
    if rank == 4 and count != 3:
        raise ShapeError(
            f"only batches of spatial targets supported (3D tensors) but got targets of dimension: {count}", hint=hint
        )
    if rank not in (1, 2, 4) and target.shape != wanted:
        raise ShapeError(f"Expected target size {sizes_text(wanted)}, got {sizes_text(target.shape)}", hint=hint)
    if target.tensor.dtype not in (i64, u8):
        raise DTypeError(
            f"expected target dtype to be Long or Byte, but got {target.tensor.dtype.scalar}",
            hint=f"{name}: give class numbers, e.g. target.to('int64')",
        )
    if rank == 4 and target.shape != wanted:
        sizes = f"got input: {sizes_text(x.shape)} , target: {sizes_text(target.shape)}"
        raise ShapeError(f"size mismatch ({sizes}", hint=hint)
    if rank > 2 and target.tensor.dtype is u8:
        raise DTypeError("expected scalar type Long but found Byte", hint=f"{name}: convert it: target.to('int64')")
    if rank == 1 and target.shape and target.shape != (1,):
        raise ShapeError(f"For 1D input, 1D target must have size 1, but got target size: {target.shape[0]}", hint=hint)
    return build.reshape_to(target, wanted)


def _check_count(name: str, x: Node, target: Node) -> None:
    n, m = x.shape[0], target.shape[0] if target.shape else 0
    agree(name, n, m, f"Expected input batch_size ({n}) to match target batch_size ({m}).")


def _along(weight: Node, x: Node, axis: int) -> Node:
    """A weight for each class, repeated to the shape of x."""
    shape = tuple(size if a == axis else 1 for a, size in enumerate(x.shape))
    return build.broadcast_to(build.reshape_to(weight, shape), x.shape)


class _Classes:
    """Targets as a mask over the classes. A target to be ignored is none of them, so its row adds nothing anywhere."""

    def __init__(self, name: str, target: Node, x: Node, axis: int, ignore_index: int, weight: Node | None) -> None:
        self.axis = axis
        index = build.cast_to(target, i64)
        self.is_kept = ew.ne(index, build.full_like(index, ignore_index))
        zero, none = build.zeros_like(index), build.broadcast_to(build.size_of(x.shape[axis], i64), index.shape)
        number = checked_class(name, ew.select(self.is_kept, index, zero), x.shape[axis])
        number = ew.select(self.is_kept, number, none)
        place = creation.iota(shape=x.shape, axis=axis, dtype=i64)
        self.is_target = ew.eq(build.repeat_along(number, (axis,), x.shape), place)
        self.weight = None if weight is None else self.chosen(_along(weight, x, axis))

    def chosen(self, x: Node) -> Node:
        """x at the target's class."""
        return total_along(ew.select(self.is_target, x, build.zeros_like(x)), axes=(self.axis,))

    def kept(self, x: Node) -> Node:
        """0 where the target is to be ignored."""
        return ew.select(self.is_kept, x, build.zeros_like(x))

    def loss(self, logarithm: Node) -> Node:
        """The negative logarithm at the target's class, times its weight."""
        loss = ew.neg(self.chosen(logarithm))
        return loss if self.weight is None else ew.mul(loss, self.weight)

    def reduced(self, name: str, loss: Node, reduction: str) -> Node:
        """The mean is that of the targets that count, by their weights."""
        if reduction != "mean":
            return reduced_loss(name, loss, reduction)
        total = self.is_kept if self.weight is None else self.weight
        return div(sum_(loss), build.cast_to(sum_(total), loss.tensor.dtype))


def _of_probabilities(
    input: Node,
    target: Node,
    weight: Node | None,
    axis: int,
    reduction: str,
    label_smoothing: float,
    ignore_index: int,
) -> Node:
    if not target.tensor.dtype.is_floating_point:
        raise DTypeError(
            f"Expected floating point type for target with class probabilities, got {target.tensor.dtype.scalar}",
            hint="cross_entropy: class numbers have the input's shape without the classes",
        )
    if ignore_index >= 0:
        raise ArgumentError(
            "ignore_index is not supported for floating point target", hint="cross_entropy: let weights be 0 instead"
        )
    common = result_dtype(input, target) if weight is None else result_dtype(input, target, weight)
    x, share = (widened(build.cast_to(each, common)) for each in (input, target))
    classes = build.size_of(x.shape[axis], x.tensor.dtype)
    if label_smoothing:
        share = add(mul(share, 1.0 - label_smoothing), div(label_smoothing, classes))
    if weight is not None:
        share = ew.mul(share, _along(build.cast_to(detached(weight), x.tensor.dtype), x, axis))
    loss = ew.neg(total_along(ew.mul(log_softmax(x, axis), share), axes=(axis,)))
    return build.cast_to(reduced_loss("cross_entropy", loss, reduction), common)
