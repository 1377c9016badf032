"""scaled_dot_product_attention: values summed by how well their keys fit a query (Vaswani et al. 2017)."""

from __future__ import annotations

import math

import numpy as np

from graphc.ir.attribute import Array
from graphc.ir.dim import Size
from graphc.ir.dtype import DType, bool_, f32, f64
from graphc.ir.errors import DTypeError, ShapeError
from graphc.ir.graph import Node
from graphc.ops import build, creation
from graphc.ops import elementwise as ew
from graphc.ops.composite.activation import softmax
from graphc.ops.composite.arithmetic import add, mul, where
from graphc.ops.composite.contraction import matmul
from graphc.ops.composite.dropout import dropout
from graphc.ops.composite.joins import repeat_interleave
from graphc.ops.composite.operand import c_name, widened
from graphc.ops.composite.random import Key
from graphc.ops.composite.reductions import all_
from graphc.ops.function import function


@function(namespace="nn.functional")
def scaled_dot_product_attention(
    query: Node,
    key: Node,
    value: Node,
    attn_mask: Node | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
    *,
    dropout_key: Key | None = None,
) -> Node:
    """softmax(query keys^T * scale + mask) values, of `[..., n, d]`, `[..., m, d]` and `[..., m, e]`: `[..., n, e]`.

    A mask of bools is true where a key counts. `scale` is 1 / sqrt(d) unless given; `enable_gqa` lets groups of queries
    share a key; dropout needs a key of random numbers, `dropout_key`.
    """
    _check(query, key, value, attn_mask)
    if enable_gqa:
        heads = query.shape[-3]
        key, value = (_repeated(each, heads) for each in (key, value))
    dtype = query.tensor.dtype
    q, k, v = (widened(each) for each in (query, key, value))
    scores = matmul(mul(q, _factor(query.shape[-1], q.tensor.dtype) if scale is None else scale), _transposed(k))
    if is_causal:
        scores = where(_causal(scores), scores, -math.inf)
    if attn_mask is not None:
        if attn_mask.tensor.dtype is bool_:
            scores = where(attn_mask, scores, -math.inf)
        else:
            scores = add(scores, build.cast_to(attn_mask, scores.tensor.dtype))
    if attn_mask is None and not is_causal:
        weights = softmax(scores, -1)
    else:
        # Where no key counts the result is 0, and so is its gradient: softmax gets harmless scores there.
        is_nothing = all_(ew.eq(scores, build.full_like(scores, -math.inf)), -1, True)
        weights = where(is_nothing, 0.0, softmax(where(is_nothing, 0.0, scores), -1))
    if dropout_p:
        weights = dropout(weights, dropout_p, True, key=dropout_key)
    return build.cast_to(matmul(weights, v), dtype)


def _factor(features: Size, dtype: DType) -> Node | float:
    """1 / sqrt(features), with the same bits for a size that is known when the program runs."""
    if isinstance(features, int):
        return 1.0 / math.sqrt(features) if features else 1.0
    root = ew.sqrt(build.size_of(features, f64))
    return build.cast_to(ew.div(build.ones_like(root), root), dtype)


def _transposed(x: Node) -> Node:
    rank = len(x.shape)
    return build.permute_to(x, (*range(rank - 2), rank - 1, rank - 2))


def _causal(scores: Node) -> Node:
    """True where a key doesn't stand behind its query."""
    rows, columns = scores.shape[-2:]
    if isinstance(rows, int) and isinstance(columns, int):
        return creation.constant(value=Array(np.tri(rows, columns, dtype=np.bool_)))
    shape = (rows, columns)
    return ew.ge(creation.iota(shape=shape, axis=0, dtype=f32), creation.iota(shape=shape, axis=1, dtype=f32))


def _repeated(x: Node, heads: object) -> Node:
    count = x.shape[-3]
    if not isinstance(heads, int) or not isinstance(count, int) or heads % count:
        raise ShapeError(
            "Number of heads in key and value must divide the number of heads in query", hint="choose other sizes"
        )
    return x if heads == count else repeat_interleave(x, heads // count, len(x.shape) - 3)


def _check(query: Node, key: Node, value: Node, mask: Node | None) -> None:
    dtypes = [each.tensor.dtype for each in (query, key, value)]
    if len(set(dtypes)) > 1:
        q, k, v = map(c_name, dtypes)
        raise DTypeError(
            f"Expected query, key, and value to have the same dtype, but got query.dtype: {q} key.dtype: {k} and "
            f"value.dtype: {v} instead.",
            hint="convert some of them",
        )
    ranks = [len(each.shape) for each in (query, key, value)]
    if min(ranks) < 2:
        raise ShapeError(
            "Expected query, key, and value to all be  at least 2 dimensional, but got query.dim: "
            f"{ranks[0]} key.dim: {ranks[1]} and value.dim: {ranks[2]} instead.",
            hint="they are [..., length, features]",
        )
    if mask is not None and mask.tensor.dtype not in (bool_, f32, dtypes[0]):
        raise DTypeError(
            "Expected attn_mask dtype to be bool or float or to match query dtype, but got attn_mask.dtype: "
            f"{c_name(mask.tensor.dtype)} and  query.dtype: {c_name(dtypes[0])} instead.",
            hint="convert the mask",
        )
    if not dtypes[0].is_floating_point:
        raise DTypeError(f"expected scalar type Float but found {dtypes[0].scalar}", hint="convert them to floats")
