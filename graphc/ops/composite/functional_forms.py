"""The forms that functions of the table have in `graphc.nn.functional`, where PyTorch gives them other parameters.

In: the builders of losses and of softmax. Out: entries of the namespace whose parameters stand in PyTorch's order:
losses take the old `size_average` and `reduce`, some take a weight for each element, and softmax may choose its
dimension.

    graphc.nn.functional.mse_loss(x, y, reduction="sum")
"""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable

from graphc.ir.dim import product
from graphc.ir.dtype import DType, i64
from graphc.ir.errors import ArgumentError, ShapeError
from graphc.ir.graph import Node
from graphc.ops import build, creation
from graphc.ops import elementwise as ew
from graphc.ops.composite import activation, embeddings, loss
from graphc.ops.composite.arithmetic import add, div, mul, sub
from graphc.ops.composite.classification import cross_entropy, nll_loss
from graphc.ops.composite.extremes import argmax
from graphc.ops.composite.loss import reduced_loss
from graphc.ops.composite.margins import multi_margin_loss, multilabel_margin_loss, multilabel_soft_margin_loss
from graphc.ops.composite.operand import normal_dim, only_floats
from graphc.ops.composite.products import linear
from graphc.ops.composite.random import Key, uniform_bits
from graphc.ops.composite.reductions import sum_
from graphc.ops.composite.unary import log, neg
from graphc.ops.control import with_gradient
from graphc.ops.function import function


def legacy_reduction(size_average: bool | None, reduce: bool | None) -> str:
    """The reduction that the two old parameters stand for; says that they are old."""
    found = "none" if reduce is False else "sum" if size_average is False else "mean"
    warnings.warn(
        f"size_average and reduce args will be deprecated, please use reduction='{found}' instead.",
        UserWarning,
        stacklevel=2,
    )
    return found


def _with_legacy(builder: Callable[..., Node], before: str = "reduction") -> Callable[..., Node]:
    """A loss with `size_average`, in front of the parameter `before`, and `reduce`, in front of `reduction`."""
    own = inspect.signature(builder)
    parameters: list[inspect.Parameter] = []
    for each in own.parameters.values():
        for name, place in (("size_average", before), ("reduce", "reduction")):
            if each.name == place:
                parameters.append(inspect.Parameter(name, each.kind, default=None, annotation="bool | None"))
        parameters.append(each)
    signature = own.replace(parameters=parameters)

    @functools.wraps(builder)
    def form(*args: object, **kwargs: object) -> Node:
        given = signature.bind(*args, **kwargs).arguments
        old = given.pop("size_average", None), given.pop("reduce", None)
        if old != (None, None):
            given["reduction"] = legacy_reduction(*old)
        return builder(**given)

    form.__module__ = __name__
    form.__signature__ = signature  # type: ignore[attr-defined]  # inspect.signature asks for it
    return function(namespace="nn.functional")(form)


binary_cross_entropy = _with_legacy(loss.binary_cross_entropy)
binary_cross_entropy_with_logits = _with_legacy(loss.binary_cross_entropy_with_logits)
cosine_embedding_loss = _with_legacy(loss.cosine_embedding_loss)
cross_entropy_form = _with_legacy(cross_entropy, "ignore_index")
hinge_embedding_loss = _with_legacy(loss.hinge_embedding_loss)
kl_div = _with_legacy(loss.kl_div)
margin_ranking_loss = _with_legacy(loss.margin_ranking_loss)
multi_margin_loss_form = _with_legacy(multi_margin_loss)
multilabel_margin_loss_form = _with_legacy(multilabel_margin_loss)
multilabel_soft_margin_loss_form = _with_legacy(multilabel_soft_margin_loss)
nll_loss_form = _with_legacy(nll_loss, "ignore_index")
poisson_nll_loss = _with_legacy(loss.poisson_nll_loss, "eps")
smooth_l1_loss = _with_legacy(loss.smooth_l1_loss)
soft_margin_loss = _with_legacy(loss.soft_margin_loss)
triplet_margin_loss = _with_legacy(loss.triplet_margin_loss)


# Losses with a weight for each element


@function(namespace="nn.functional")
def mse_loss(
    input: Node,
    target: Node,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Node | None = None,
) -> Node:
    """The squares of the differences; with a weight for each element a mean is the weighted one."""
    if size_average is not None or reduce is not None:
        reduction = legacy_reduction(size_average, reduce)
    if weight is None:
        return loss.mse_loss(input, target, reduction)
    return _weighted(loss.mse_loss(input, target, "none"), input, weight, reduction)


@function(namespace="nn.functional")
def l1_loss(
    input: Node,
    target: Node,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Node | None = None,
) -> Node:
    """The sizes of the differences; with a weight for each element a mean is the weighted one."""
    if size_average is not None or reduce is not None:
        reduction = legacy_reduction(size_average, reduce)
    if weight is None:
        return loss.l1_loss(input, target, reduction)
    return _weighted(loss.l1_loss(input, target, "none"), input, weight, reduction)


@function(namespace="nn.functional")
def huber_loss(
    input: Node, target: Node, reduction: str = "mean", delta: float = 1.0, weight: Node | None = None
) -> Node:
    """Half the squares of small differences, from delta on a line; with a weight a mean is the weighted one."""
    if weight is None:
        return loss.huber_loss(input, target, reduction, delta)
    return _weighted(loss.huber_loss(input, target, "none", delta), input, weight, reduction)


def _weighted(elements: Node, input: Node, weight: Node, reduction: str) -> Node:
    if weight.shape != input.shape:
        raise ShapeError("Weights and input must have the same size.", hint="expand or reshape the weights")
    weighted = mul(elements, weight)
    if reduction == "mean":
        return div(sum_(weighted), sum_(weight))
    if reduction not in ("none", "sum"):
        raise ArgumentError(
            f"Invalid reduction mode: {reduction}. Expected one of 'none', 'mean', 'sum'.", hint="use one of these"
        )
    return reduced_loss("", weighted, reduction)


@function(namespace="nn.functional")
def linear_cross_entropy(
    input: Node,
    linear_weight: Node,
    target: Node,
    *,
    linear_bias: Node | None = None,
    weight: Node | None = None,
    reduction: str = "mean",
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    options: object = None,
) -> Node:
    """`cross_entropy` of the products of `[n, features]` and `[classes, ..., features]`, plus a bias.

    `options` say how PyTorch saves memory; they change no result, and the compiler has ways of its own.
    """
    for what, each, wanted in (("input", input, "1 or 2"), ("linear_weight", linear_weight, "at least 2")):
        rank = len(each.shape)
        if rank < 1 or (rank > 2 if each is input else rank < 2):
            raise ShapeError(f"expected {what} with dimensionality {wanted}, got {rank}", hint="linear_cross_entropy")
    *classes, features = linear_weight.shape
    if input.shape[-1] != features:
        raise ShapeError(
            "expected equal input and linear_weight last dimensions (in_features), got "
            f"{input.shape[-1]} and {features}, respectively",
            hint="linear_cross_entropy",
        )
    flat = build.reshape_to(linear_weight, (product(classes), features))
    scores = linear(input, flat)
    scores = build.reshape_to(scores, (*input.shape[:-1], *classes))
    if linear_bias is not None:
        scores = add(scores, linear_bias)
    ignored = -100 if ignore_index is None else ignore_index
    return cross_entropy(scores, target, weight, ignored, reduction, label_smoothing)


# Rows of a table


@function(namespace="nn.functional")
def embedding(
    input: Node,
    weight: Node,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Node:
    """The rows of `weight` that `input` numbers; no gradient flows to the row `padding_idx`.

    `max_norm` has no influence here, as nothing is written to the weight.
    """
    size = weight.shape[0] if weight.shape else 0
    row = embeddings.padding_row(padding_idx, size, "Padding_idx must be within num_embeddings")
    return embeddings.embedding(weight, input, row, scale_grad_by_freq, sparse)


# Softmax


def _with_own_dim(name: str, builder: Callable[..., Node]) -> Callable[..., Node]:
    """A function along a dimension, which it chooses by PyTorch's old rule if none is given."""

    def form(input: Node, dim: int | None = None, _stacklevel: int = 3, dtype: DType | str | None = None) -> Node:
        if dim is None:
            warnings.warn(
                f"Implicit dimension choice for {name} has been deprecated. Change the call to include dim=X as an "
                "argument.",
                UserWarning,
                stacklevel=2,
            )
            dim = 0 if len(input.shape) in (0, 1, 3) else 1
        return builder(input, dim, dtype)

    form.__name__ = form.__qualname__ = name
    form.__doc__ = builder.__doc__
    return function(namespace="nn.functional")(form)


def _softmin(input: Node, dim: int, dtype: DType | str | None) -> Node:
    """`softmax` of -x."""
    return activation.softmax(neg(input), dim, dtype)


softmax = _with_own_dim("softmax", activation.softmax)
log_softmax = _with_own_dim("log_softmax", activation.log_softmax)
softmin = _with_own_dim("softmin", _softmin)


@function(namespace="nn.functional")
def glu(input: Node, dim: int = -1) -> Node:
    """The first half along `dim` times the sigmoid of the second."""
    if not input.shape:
        raise ShapeError(
            "glu does not support scalars because halving size must be even", hint="glu halves a dimension"
        )
    return activation.glu(input, dim)


@function(namespace="nn.functional")
def gumbel_softmax(
    logits: Node, tau: float = 1, hard: bool = False, eps: float = 1e-10, dim: int = -1, *, key: Key | None = None
) -> Node:
    """`softmax` of the logits plus Gumbel noise, over tau: a sample of a class as weights (Jang et al. 2017).

    With `hard` it is 1 for the greatest weight and 0 for others, with the gradient of the weights.
    """
    if eps != 1e-10:
        warnings.warn("`eps` parameter is deprecated and has no effect.", UserWarning, stacklevel=2)
    x = only_floats("gumbel_softmax", logits)
    noise = neg(log(neg(log(sub(1.0, uniform_bits("gumbel_softmax", x.shape, x.tensor.dtype, key))))))
    soft = activation.softmax(div(add(x, noise), tau), dim)
    if not hard:
        return soft
    axis = normal_dim("gumbel_softmax", dim, len(x.shape))
    best = argmax(soft, axis, True)
    place = creation.iota(shape=soft.shape, axis=axis, dtype=i64)
    one = build.cast_to(ew.eq(build.broadcast_to(best, soft.shape), place), soft.tensor.dtype)
    return with_gradient((one,), (soft,), lambda cts, results, operands: cts)[0]
