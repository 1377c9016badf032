"""Folding a batch normalization into the layer before it, for evaluation.

In: a convolution or Linear, and a BatchNorm with running statistics. Out: one layer that computes both.
"""

from __future__ import annotations

import copy
from typing import Any

from graphc.eager.methods import of_table
from graphc.nn.parameter import Parameter

__all__ = ["fuse_conv_bn_eval", "fuse_conv_bn_weights", "fuse_linear_bn_eval", "fuse_linear_bn_weights"]

_rsqrt, _zeros_like, _ones_like = (of_table(name) for name in ("rsqrt", "zeros_like", "ones_like"))


def fuse_conv_bn_eval(conv: Any, bn: Any, transpose: bool = False) -> Any:
    """A convolution that gives what the normalization gives of the convolution's result."""
    assert conv.training is bn.training is False, "Fusion only for eval!"
    assert bn.running_mean is not None, _NO_STATISTICS
    assert bn.running_var is not None, _NO_STATISTICS
    fused = copy.deepcopy(conv)
    fused.weight, fused.bias = fuse_conv_bn_weights(
        fused.weight, fused.bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias, transpose
    )
    return fused


def fuse_conv_bn_weights(
    conv_w: Any,
    conv_b: Any,
    bn_rm: Any,
    bn_rv: Any,
    bn_eps: float,
    bn_w: Any,
    bn_b: Any,
    transpose: bool = False,
) -> tuple[Any, Any]:
    """Weight and bias of the convolution that computes both: w s and (b - mean) s + offset, s = scale / deviation."""
    shape = [1, -1] if transpose else [-1, 1]
    return _fused(conv_w, conv_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b, [*shape, *[1] * (conv_w.dim() - 2)])


def fuse_linear_bn_eval(linear: Any, bn: Any) -> Any:
    """A Linear that gives what the normalization gives of the Linear's result."""
    assert linear.training is bn.training is False, "Fusion only for eval!"
    fused = copy.deepcopy(linear)
    assert linear.out_features == bn.num_features or bn.num_features == 1, (
        "To fuse, linear.out_features == bn.num_features or bn.num_features == 1, got linear.out_features="
        f"{linear.out_features} and bn.num_features={bn.num_features}"
    )
    assert bn.running_mean is not None, _NO_STATISTICS
    assert bn.running_var is not None, _NO_STATISTICS
    fused.weight, fused.bias = fuse_linear_bn_weights(
        fused.weight, fused.bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias
    )
    return fused


def fuse_linear_bn_weights(
    linear_w: Any, linear_b: Any, bn_rm: Any, bn_rv: Any, bn_eps: float, bn_w: Any, bn_b: Any
) -> tuple[Any, Any]:
    """Weight and bias of the Linear that computes both."""
    return _fused(linear_w, linear_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b, [-1, 1])


_NO_STATISTICS = "bn.running_mean and bn.running_var must not be None"


def _fused(
    weight: Any, bias: Any, mean: Any, variance: Any, eps: float, scale: Any, offset: Any, shape: list[int]
) -> tuple[Any, Any]:
    dtypes = weight.dtype, weight.dtype if bias is None else bias.dtype
    bias = _zeros_like(mean) if bias is None else bias
    scale = _ones_like(mean) if scale is None else scale
    offset = _zeros_like(mean) if offset is None else offset
    inverse = _rsqrt(variance + eps)
    fused_weight = (weight * (scale * inverse).reshape(shape)).to(dtype=dtypes[0])
    fused_bias = ((bias - mean) * inverse * scale + offset).to(dtype=dtypes[1])
    return Parameter(fused_weight, weight.requires_grad), Parameter(fused_bias, bias.requires_grad)
