"""Attention under PyTorch's names: scaled_dot_product_attention, and multi_head_attention_forward made of it.

In: `[length, n, features]`, or without n, and the weights of the projections. Out: the same with the features mixed,
and the weights of attention. It is a composition of functions, so gradients and traced code come with them.
"""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

from graphc.eager.guard import guarded
from graphc.eager.inplace import any_requires
from graphc.eager.methods import of_table
from graphc.eager.mode import is_grad_enabled
from graphc.eager.placement import gpu_of
from graphc.eager.sampling import key_of
from graphc.frontend.tensor import SymbolicTensor
from graphc.ir.dtype import bool_
from graphc.ir.errors import ShapeError
from graphc.nn.attention_backend import SDPBackend, sdpa_kernel

__all__ = ["SDPBackend", "multi_head_attention_forward", "scaled_dot_product_attention", "sdpa_kernel"]

R = TypeVar("R")

_linear, _cat, _pad, _drop = (of_table(name) for name in ("linear", "cat", "pad", "dropout"))
_softmax, _zeros_like, _baddbmm = (of_table(name) for name in ("softmax", "zeros_like", "baddbmm"))
_attend = of_table("nn.functional.scaled_dot_product_attention")


def public(function: Callable[..., R], is_python: bool = True) -> Callable[..., R]:
    """A function of users: what it raises for tensors is brief; while a function is traced errors say where it is."""
    eager = guarded(function, is_python)

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> R:
        is_traced = any(isinstance(each, SymbolicTensor) for each in (*args, *kwargs.values()))
        return (function if is_traced else eager)(*args, **kwargs)

    return call


def needs_gradient(*tensors: Any) -> bool:
    """Whether a gradient by any of these may be asked for."""
    return is_grad_enabled() and any_requires(tensors)


@functools.partial(public, is_python=False)
def scaled_dot_product_attention(
    query: Any,
    key: Any,
    value: Any,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Any:
    """softmax(query keys^T * scale + mask) values, of `[..., n, d]`, `[..., m, d]` and `[..., m, e]`: `[..., n, e]`.

    A mask of bools is true where a key counts; `scale` is 1 / sqrt(d) unless given.
    """
    drops = {"dropout_key": key_of("scaled_dot_product_attention", None, gpu=gpu_of(query._array))} if dropout_p else {}
    return _attend(query, key, value, attn_mask, dropout_p, is_causal, scale, enable_gqa, **drops)


# Several heads


def _require(holds: bool, message: str) -> None:
    """PyTorch asserts these."""
    if not holds:
        raise AssertionError(message)


def check_shapes(query: Any, key: Any, value: Any, key_padding_mask: Any, attn_mask: Any, num_heads: int) -> bool:
    """Whether the inputs have a dimension of samples; raises AssertionError for shapes that don't fit each other."""
    rank = query.ndim
    _require(rank in (2, 3), f"query should be unbatched 2D or batched 3D tensor but received {rank}-D query tensor")
    kind = "batched" if rank == 3 else "unbatched"
    _require(
        key.ndim == rank and value.ndim == rank,
        f"For {kind} ({rank}-D) `query`, expected `key` and `value` to be {rank}-D but found {key.ndim}-D and "
        f"{value.ndim}-D tensors respectively",
    )
    if key_padding_mask is not None:
        _require(
            key_padding_mask.ndim == rank - 1,
            f"For {kind} ({rank}-D) `query`, expected `key_padding_mask` to be `None` or {rank - 1}-D but found "
            f"{key_padding_mask.ndim}-D tensor instead",
        )
    if attn_mask is not None:
        _require(
            attn_mask.ndim in (2, 3),
            f"For {kind} ({rank}-D) `query`, expected `attn_mask` to be `None`, 2-D or 3-D but found "
            f"{attn_mask.ndim}-D tensor instead",
        )
        if rank == 2 and attn_mask.ndim == 3:
            expected = (num_heads, query.shape[0], key.shape[0])
            _require(
                tuple(attn_mask.shape) == expected,
                f"Expected `attn_mask` shape to be {expected} but got {attn_mask.shape}",
            )
    return bool(rank == 3)


def additive_mask(mask: Any, name: str, like: Any, other: Any = None, other_name: str = "attn_mask") -> Any:
    """A mask that is added to scores: bools that are true where a key doesn't count become minus infinity."""
    if mask is None:
        return None
    _require(
        mask.dtype is bool_ or mask.dtype.is_floating_point, f"only bool and floating types of {name} are supported"
    )
    if other is not None and other.dtype is not mask.dtype:
        warnings.warn(
            f"Support for mismatched {name} and {other_name} is deprecated. Use same type for both instead.",
            stacklevel=2,
        )
    if mask.dtype is not bool_:
        return mask
    return _zeros_like(mask, dtype=like.dtype).masked_fill(mask, -math.inf)


def _projected(
    inputs: tuple[Any, Any, Any], packed: Any, separate: tuple[Any, Any, Any] | None, bias: Any
) -> tuple[Any, Any, Any]:
    """Queries, keys and values by their parts of the projections."""
    query, key, value = inputs
    biases = (None, None, None) if bias is None else bias.chunk(3)
    if separate is not None:
        for name, each in zip("qkv", separate):
            _require(each is not None, f"use_separate_proj_weight is True but {name}_proj_weight is None")
        weights = separate
    else:
        _require(packed is not None, "use_separate_proj_weight is False but in_proj_weight is None")
        if query is key and key is value:  # one product in place of three
            q, k, v = _linear(query, packed, bias).chunk(3, -1)
            return q, k, v
        weights = packed.chunk(3)
    q, k, v = (_linear(each, weight, part) for each, weight, part in zip((query, key, value), weights, biases))
    return q, k, v


def _with_shape(mask: Any, samples: int, heads: int, rows: int, columns: int) -> Any:
    """A mask as `[1 or samples * heads, rows, columns]`."""
    if mask.ndim == 2:
        expected: tuple[int, ...] = (rows, columns)
    elif mask.ndim == 3:
        expected = (samples * heads, rows, columns)
    else:
        raise ShapeError(f"attn_mask's dimension {mask.ndim} is not supported")
    if tuple(mask.shape) != expected:
        raise ShapeError(f"The shape of the {mask.ndim}D attn_mask is {mask.shape}, but should be {expected}.")
    return mask.unsqueeze(0) if mask.ndim == 2 else mask


def _static(name: str, given: Any, parts: int, width: int) -> Any:
    _require(given.shape[0] == parts, f"expecting {name}.size(0) of {parts}, but got {given.shape[0]}")
    _require(given.shape[2] == width, f"expecting {name}.size(2) of {width}, but got {given.shape[2]}")
    return given


def multi_head_attention_forward(
    query: Any,
    key: Any,
    value: Any,
    embed_dim_to_check: int,
    num_heads: int,
    in_proj_weight: Any,
    in_proj_bias: Any,
    bias_k: Any,
    bias_v: Any,
    add_zero_attn: bool,
    dropout_p: float,
    out_proj_weight: Any,
    out_proj_bias: Any,
    training: bool = True,
    key_padding_mask: Any = None,
    need_weights: bool = True,
    attn_mask: Any = None,
    use_separate_proj_weight: bool = False,
    q_proj_weight: Any = None,
    k_proj_weight: Any = None,
    v_proj_weight: Any = None,
    static_k: Any = None,
    static_v: Any = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
) -> tuple[Any, Any]:
    """Attention of `num_heads` heads over projections of `[length, n, features]`, and on demand its weights.

    Masks are added to the scores, or are bools that are true where a key doesn't count. The weights are
    `[n, queries, keys]`, or with a dimension of heads unless they are averaged.
    """
    is_batch = check_shapes(query, key, value, key_padding_mask, attn_mask, num_heads)
    inputs = (query, key, value)
    if not is_batch:
        one = query.unsqueeze(1)
        same_key = one if key is query else key.unsqueeze(1)
        inputs = (one, same_key, same_key if value is key else value.unsqueeze(1))
        key_padding_mask = None if key_padding_mask is None else key_padding_mask.unsqueeze(0)
    rows, samples, features = inputs[0].shape
    padding = additive_mask(key_padding_mask, "key_padding_mask", query, attn_mask)
    if is_causal and attn_mask is None:
        raise RuntimeError(
            "Need attn_mask if specifying the is_causal hint. You may use the Transformer module method "
            "`generate_square_subsequent_mask` to create this mask."
        )
    if is_causal and padding is None and not need_weights:
        mask = None
    else:
        mask, is_causal = additive_mask(attn_mask, "attn_mask", query), is_causal and padding is None
    _require(
        features == embed_dim_to_check, f"was expecting embedding dimension of {embed_dim_to_check}, but got {features}"
    )
    width = features // num_heads
    _require(width * num_heads == features, f"embed_dim {features} not divisible by num_heads {num_heads}")
    if use_separate_proj_weight:
        first, second = inputs[1].shape[:2], inputs[2].shape[:2]
        _require(first == second, f"key's sequence and batch dims {first} do not match value's {second}")
    else:
        first, second = inputs[1].shape, inputs[2].shape
        _require(first == second, f"key shape {first} does not match value shape {second}")
    separate = (q_proj_weight, k_proj_weight, v_proj_weight) if use_separate_proj_weight else None
    q, k, v = _projected(inputs, in_proj_weight, separate, in_proj_bias)
    if mask is not None:
        mask = _with_shape(mask, samples, num_heads, rows, inputs[1].shape[0])
    added = 0
    _require((bias_v is None) or (bias_k is not None), "bias_v is set but bias_k is None")
    _require((bias_k is None) or (bias_v is not None), "bias_k is set but bias_v is None")
    if bias_k is not None:
        _require(static_k is None, "bias cannot be added to static key.")
        _require(static_v is None, "bias cannot be added to static value.")
        k, v = (_cat([each, bias.repeat(1, samples, 1)]) for each, bias in ((k, bias_k), (v, bias_v)))
        added += 1
    parts = samples * num_heads

    def by_head(x: Any) -> Any:
        return x.reshape(x.shape[0], parts, width).transpose(0, 1)

    q = by_head(q)
    k = by_head(k) if static_k is None else _static("static_k", static_k, parts, width)
    v = by_head(v) if static_v is None else _static("static_v", static_v, parts, width)
    if add_zero_attn:
        k, v = (_cat([each, _zeros_like(each[:, :1])], 1) for each in (k, v))
        added += 1
    if added:
        mask, padding = (None if each is None else _pad(each, (0, added)) for each in (mask, padding))
    columns = k.shape[1]
    if padding is not None:
        for axis, wanted in enumerate((samples, columns)):
            _require(
                padding.shape[axis] == wanted,
                f"Expected key_padded_mask.shape[{axis}] to be {wanted}, but got {padding.shape[axis]}",
            )
        padding = padding.reshape(samples, 1, 1, columns).expand(-1, num_heads, -1, -1).reshape(parts, 1, columns)
        mask = padding if mask is None else mask + padding
    rate = dropout_p if training else 0.0
    if need_weights:
        result, weights = _weighed(q, k, v, mask, rate)
        weights = weights.reshape(samples, num_heads, rows, columns)
        weights = weights.mean(1) if average_attn_weights else weights
    else:
        by_sample = (each.reshape(samples, num_heads, each.shape[1], width) for each in (q, k, v))
        if mask is not None:
            mask = mask.unsqueeze(0) if mask.shape[0] == 1 else mask.reshape(samples, num_heads, -1, columns)
        result, weights = scaled_dot_product_attention(*by_sample, mask, rate, is_causal), None
        result = result.reshape(parts, rows, width)
    result = result.transpose(0, 1).reshape(rows * samples, features)
    result = _linear(result, out_proj_weight, out_proj_bias).reshape(rows, samples, -1)
    if not is_batch:
        return result.squeeze(1), None if weights is None else weights.squeeze(0)
    return result, weights


def _weighed(q: Any, k: Any, v: Any, mask: Any, rate: float) -> tuple[Any, Any]:
    """The values summed by their weights, and these."""
    scaled, turned = q * math.sqrt(1.0 / float(q.shape[-1])), k.transpose(-2, -1)
    weights = _softmax(scaled @ turned if mask is None else _baddbmm(mask, scaled, turned), -1)
    if rate > 0.0:
        weights = _drop(weights, rate)
    return weights @ v, weights
