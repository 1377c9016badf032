"""ctc_loss: how probable it is that a sequence of labels lies in a longer one of scores (Graves et al. 2006).

The forward and backward variables are sums over paths, one step after another, on the host. As in PyTorch the gradient
is that of scores which were normalized by log_softmax.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from graphc.ir.attribute import Array
from graphc.ir.dtype import f32, f64, i64
from graphc.ir.errors import ArgumentError, DTypeError, IndexOutOfRange, ShapeError, UnsupportedDType
from graphc.ir.graph import Node
from graphc.ir.host import HostFunction, register_host
from graphc.ir.type import TensorType
from graphc.ops import build, creation
from graphc.ops import elementwise as ew
from graphc.ops.composite.arithmetic import clamp, div
from graphc.ops.composite.loss import check_reduction, reduced_loss
from graphc.ops.composite.reductions import mean
from graphc.ops.function import function
from graphc.ops.host import call, refused_gradients

Values = npt.NDArray[Any]


@function()
def ctc_loss(
    log_probs: Node,
    targets: Node,
    input_lengths: Node | Sequence[int],
    target_lengths: Node | Sequence[int],
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> Node:
    """The negative logarithm of the probability of the targets by `[time, n, classes]` (or without n).

    Targets are `[n, longest]`, or all joined to a vector. "mean" divides each loss by the length of its target.
    """
    check_reduction("ctc_loss", reduction)
    if log_probs.tensor.dtype not in (f32, f64):
        raise UnsupportedDType(
            f"\"ctc_loss_cpu\" not implemented for '{log_probs.tensor.dtype.scalar}'", hint="use float32 or float64"
        )
    is_batch = len(log_probs.shape) == 3
    x = log_probs if is_batch else build.insert_axes(log_probs, (1,))
    if len(x.shape) != 3:
        raise ShapeError("log_probs must be [time, n, classes] or [time, classes]", hint="ctc_loss")
    _, batch, classes = x.shape
    if isinstance(classes, int) and not 0 <= blank < classes:
        raise ArgumentError("blank must be in label range", hint=f"ctc_loss: from 0 to {classes - 1}")
    lengths = [_lengths(name, each) for name, each in (("input", input_lengths), ("target", target_lengths))]
    for name, each in zip(("input", "target"), lengths, strict=True):
        if each.shape[0] != batch:
            raise ShapeError(f"{name}_lengths must be of size batch_size", hint=f"ctc_loss: {batch} numbers")
    labels = build.cast_to(targets if len(targets.shape) else build.insert_axes(targets, (0,)), i64)
    losses = TensorType((batch,), x.tensor.dtype)
    loss, _ = call("ctc_loss", (x, labels, *lengths), (losses, x.tensor), blank=blank, zero_infinity=zero_infinity)
    if zero_infinity:
        loss = ew.select(_is_inf(loss), build.zeros_like(loss), loss)
    if reduction == "mean":
        return mean(div(loss, build.cast_to(clamp(lengths[1], min=1), loss.tensor.dtype)))
    if not is_batch and reduction == "none":
        return build.reshape_to(loss, ())
    return reduced_loss("ctc_loss", loss, reduction)


def _lengths(name: str, given: Node | Sequence[int]) -> Node:
    if not isinstance(given, Node):
        return creation.constant(value=Array(np.array(given, np.int64).reshape(-1)))
    if not given.tensor.dtype.is_integer:
        raise DTypeError(f"{name}_lengths must be integral", hint="ctc_loss: convert them, e.g. to int64")
    return build.cast_to(given if given.shape else build.insert_axes(given, (0,)), i64)


def _rows(labels: Values, target_lengths: Values) -> Values:
    """The targets as `[n, longest]`."""
    longest = int(target_lengths.max(initial=0))
    if labels.ndim > 1:
        return labels[:, :longest]
    rows = np.zeros((target_lengths.size, longest), np.int64)
    start = 0
    for row, length in zip(rows, target_lengths):
        row[:length] = labels[start : start + length]
        start += length
    return rows


def _check_lengths(steps: int, labels: Values, input_lengths: Values, target_lengths: Values) -> None:
    where = "(while checking arguments for ctc_loss_allocate_outputs)"
    for length in input_lengths:
        if not 0 <= length <= steps:
            limit, bound = (steps, "most") if length > steps else (0, "least")
            raise IndexOutOfRange(
                f"Expected input_lengths to have value at {bound} {limit}, but got value {length} {where}"
            )
    for length in target_lengths:
        if length < 0:
            raise IndexOutOfRange(f"Expected target_lengths to have value at least 0, but got value {length} {where}")
    if labels.ndim == 1 and labels.size != target_lengths.sum():
        raise ShapeError(
            f"Expected tensor to have size {target_lengths.sum()} at dimension 0, but got size {labels.size} for "
            f"argument #2 'targets' {where}"
        )
    longest = target_lengths.max(initial=0)
    if labels.ndim > 1 and labels.shape[1] < longest:
        raise ShapeError(
            f"Expected tensor to have size at least {longest} at dimension 1, but got size {labels.shape[1]} for "
            f"argument #2 'targets' {where}"
        )


def _run(
    results: tuple[TensorType, ...],
    scores: Values,
    labels: Values,
    input_lengths: Values,
    target_lengths: Values,
    *,
    blank: int,
    zero_infinity: bool,
) -> tuple[Values, Values]:
    """The losses, and the gradient of each by the scores."""
    steps, batch, classes = scores.shape
    _check_lengths(steps, labels, input_lengths, target_lengths)
    rows = _rows(labels, target_lengths)
    states = 2 * rows.shape[1] + 1
    path = np.full((batch, states), blank, np.int64)
    path[:, 1::2] = np.clip(rows, 0, classes - 1)
    at = np.take_along_axis(scores, np.broadcast_to(path, (steps, batch, states)), 2).astype(np.float64)
    # A label may follow another one without a blank between, unless they are equal.
    skips = np.zeros((batch, states), np.bool_)
    skips[:, 2:] = (path[:, 2:] != blank) & (path[:, 2:] != path[:, :-2])
    ends = 2 * target_lengths
    forward = _forward(at, skips)
    last = np.clip(input_lengths - 1, 0, max(steps - 1, 0))
    each = np.arange(batch)
    if steps:
        final = forward[last, each, ends]
        before = np.where(ends > 0, forward[last, each, np.maximum(ends - 1, 0)], -np.inf)
        total = np.logaddexp(final, before)
    else:
        total = np.full(batch, -np.inf)
    total = np.where(input_lengths == 0, np.where(target_lengths == 0, 0.0, -np.inf), total)
    gradient = np.zeros(scores.shape, np.float64)
    backward = _backward(at, skips, ends, input_lengths)
    joint = np.exp(forward + backward - at - total[:, None])
    for t in range(steps):
        share = np.zeros((batch, classes))
        np.add.at(share, (each[:, None], path), joint[t])
        gradient[t] = np.exp(scores[t]) - share
    gradient[np.arange(steps)[:, None] >= input_lengths] = 0.0
    if zero_infinity:
        gradient[:, np.isinf(total)] = 0.0
    return -total.astype(scores.dtype), gradient.astype(scores.dtype)


def _forward(at: Values, skips: Values) -> Values:
    """For each step and state the logarithm of the probability of all beginnings of paths that end there."""
    steps = at.shape[0]
    found = np.full(at.shape, -np.inf)
    if steps:
        found[0, :, :2] = at[0, :, :2]
    for t in range(1, steps):
        found[t] = at[t] + _sum(found[t - 1], skips)
    return found


def _sum(previous: Values, skips: Values) -> Values:
    """Paths that stay, that go on by one state, and that leave out a blank."""
    one, two = (np.full_like(previous, -np.inf) for _ in range(2))
    one[:, 1:], two[:, 2:] = previous[:, :-1], previous[:, :-2]
    return np.logaddexp(np.logaddexp(previous, one), np.where(skips, two, -np.inf))


def _backward(at: Values, skips: Values, ends: Values, input_lengths: Values) -> Values:
    """For each step and state the logarithm of the probability of all ends of paths that begin there."""
    steps, _, states = at.shape
    found = np.full(at.shape, -np.inf)
    state = np.arange(states)
    is_end = (state == ends[:, None]) | (state == ends[:, None] - 1)
    after = np.zeros_like(skips)
    after[:, :-2] = skips[:, 2:]
    for t in range(steps - 1, -1, -1):
        if t + 1 < steps:
            found[t] = at[t] + _sum(found[t + 1][:, ::-1], after[:, ::-1])[:, ::-1]
        starts = is_end & (input_lengths[:, None] - 1 == t)
        found[t] = np.where(starts, at[t], found[t])
    return found


def _vjp(
    cotangents: tuple[Node | None, ...], outputs: tuple[Node, ...], *inputs: Node, blank: int, zero_infinity: bool
) -> tuple[Node | None, ...]:
    ct = cotangents[0]
    if cotangents[1] is not None:
        return refused_gradients("the derivative for '_ctc_loss_backward' is not implemented.", inputs)
    if ct is None:
        return (None,) * len(inputs)
    if zero_infinity:
        ct = ew.select(_is_inf(outputs[0]), build.zeros_like(ct), ct)
    return (ew.mul(build.repeat_along(ct, (0, 2), inputs[0].shape), outputs[1]), None, None, None)


def _is_inf(x: Node) -> Node:
    return ew.eq(x, build.full_like(x, np.inf))


register_host(HostFunction("ctc_loss", _run, _vjp))
