"""MultiheadAttention: queries look at keys by several heads at once (Vaswani et al. 2017).

>>> import graphc
>>> attend = MultiheadAttention(4, num_heads=2, batch_first=True)
>>> x = graphc.zeros(2, 5, 4)
>>> output, weights = attend(x, x, x)
>>> output.shape, weights.shape
(torch.Size([2, 5, 4]), torch.Size([2, 5, 5]))
"""

from __future__ import annotations

from typing import Any

from graphc.eager.tensor import Tensor
from graphc.nn.attention import additive_mask, multi_head_attention_forward, needs_gradient
from graphc.nn.init import constant_, xavier_normal_, xavier_uniform_
from graphc.nn.module import Module
from graphc.nn.modules.linear import NonDynamicallyQuantizableLinear
from graphc.nn.modules.utils import uninitialised

__all__ = ["MultiheadAttention"]


class MultiheadAttention(Module):
    """softmax(q k^T / sqrt(head_dim)) v for each of `num_heads` parts of the projected inputs, projected once more.

    Keys and values may have other numbers of features, `kdim` and `vdim`. `add_bias_kv` adds one learned key and value,
    `add_zero_attn` one of zeros. The projections start as Xavier et al. have it, the biases at 0.
    """

    __constants__ = ["batch_first"]

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        if embed_dim <= 0 or num_heads <= 0:
            raise ValueError(
                "embed_dim and num_heads must be greater than 0, got "
                f"embed_dim={embed_dim} and num_heads={num_heads} instead"
            )
        super().__init__()
        self.embed_dim = embed_dim
        self.kdim = embed_dim if kdim is None else kdim
        self.vdim = embed_dim if vdim is None else vdim
        self._qkv_same_embed_dim = self.kdim == embed_dim and self.vdim == embed_dim
        self.num_heads, self.dropout, self.batch_first = num_heads, dropout, batch_first
        self.head_dim = embed_dim // num_heads
        if self.head_dim * num_heads != embed_dim:
            raise AssertionError("embed_dim must be divisible by num_heads")
        shapes: dict[str, tuple[int, ...]]
        if self._qkv_same_embed_dim:
            shapes = {"in_proj_weight": (3 * embed_dim, embed_dim)}
            missing = ["q_proj_weight", "k_proj_weight", "v_proj_weight"]
        else:
            columns = {"q": embed_dim, "k": self.kdim, "v": self.vdim}
            shapes = {f"{name}_proj_weight": (embed_dim, count) for name, count in columns.items()}
            missing = ["in_proj_weight"]
        if bias:
            shapes["in_proj_bias"] = (3 * embed_dim,)
        else:
            missing.append("in_proj_bias")
        for name, shape in shapes.items():
            setattr(self, name, uninitialised(*shape, device=device, dtype=dtype))
        for name in missing:
            self.register_parameter(name, None)
        self.out_proj = NonDynamicallyQuantizableLinear(embed_dim, embed_dim, bias=bias, device=device, dtype=dtype)
        self.bias_k = self.bias_v = None
        if add_bias_kv:
            self.bias_k, self.bias_v = (uninitialised(1, 1, embed_dim, device=device, dtype=dtype) for _ in range(2))
        self.add_zero_attn = add_zero_attn
        self._reset_parameters()

    def _reset_parameters(self) -> None:
        """Draw new values."""
        for name in ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight"):
            weight = getattr(self, name)
            if weight is not None:
                xavier_uniform_(weight)
        if self.in_proj_bias is not None:
            constant_(self.in_proj_bias, 0.0)
            constant_(self.out_proj.bias, 0.0)
        for bias in (self.bias_k, self.bias_v):
            if bias is not None:
                xavier_normal_(bias)

    def forward(
        self,
        query: Any,
        key: Any,
        value: Any,
        key_padding_mask: Any = None,
        need_weights: bool = True,
        attn_mask: Any = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Any, Any]:
        """The values summed by their weights, `[queries, n, embed_dim]`, and the weights or None.

        Inputs are `[length, n, features]`, with `batch_first` `[n, length, features]`, or without n. Masks are added to
        the scores, or are bools that are true where a key doesn't count: `key_padding_mask` is `[n, keys]`,
        `attn_mask` `[queries, keys]` or `[n * num_heads, queries, keys]`. The weights are `[n, queries, keys]`, or
        `[n, num_heads, queries, keys]` where they are not averaged.
        """
        is_plain = self._is_plain(query, key, value, key_padding_mask, attn_mask)
        key_padding_mask = additive_mask(key_padding_mask, "key_padding_mask", query, attn_mask)
        attn_mask = additive_mask(attn_mask, "attn_mask", query)
        turns = self.batch_first and query.dim() == 3
        if turns:
            query, key, value = _transposed(query, key, value)
        output, weights = multi_head_attention_forward(
            query,
            key,
            value,
            self.embed_dim,
            self.num_heads,
            self.in_proj_weight,
            self.in_proj_bias,
            self.bias_k,
            self.bias_v,
            self.add_zero_attn,
            self.dropout,
            self.out_proj.weight,
            self.out_proj.bias,
            training=self.training,
            key_padding_mask=key_padding_mask,
            need_weights=need_weights or is_plain,
            attn_mask=attn_mask,
            use_separate_proj_weight=not self._qkv_same_embed_dim,
            q_proj_weight=self.q_proj_weight,
            k_proj_weight=self.k_proj_weight,
            v_proj_weight=self.v_proj_weight,
            average_attn_weights=average_attn_weights,
            is_causal=is_causal and not is_plain,
        )
        if turns:
            output = output.transpose(1, 0)
        if is_plain:
            return output.contiguous(), weights if need_weights else None
        return output, weights

    def _is_plain(self, query: Any, key: Any, value: Any, *masks: Any) -> bool:
        """Whether PyTorch has one kernel for the call: its result is contiguous, and nan where no key counts."""
        weight, bias = self.in_proj_weight, self.in_proj_bias
        return (
            query is key
            and key is value
            and isinstance(query, Tensor)
            and query.dim() == 3
            and self.batch_first
            and not self.training
            and self.num_heads % 2 == 0
            and self.bias_k is None
            and self.bias_v is None
            and not self.add_zero_attn
            and weight is not None
            and bias is not None
            and query.dtype is weight.dtype is bias.dtype
            and not any(mask is not None and mask.dtype.is_floating_point for mask in masks)
            and not needs_gradient(query, weight, bias, self.out_proj.weight, self.out_proj.bias)
        )

    def merge_masks(self, attn_mask: Any, key_padding_mask: Any, query: Any) -> tuple[Any, int | None]:
        """Both masks as one, and its kind: 1 for padding alone `[n, keys]`, 2 for `[n, num_heads, queries, keys]`.

        None, None without masks. They are masks that are added.
        """
        if attn_mask is None:
            return key_padding_mask, None if key_padding_mask is None else 1
        samples, length, _ = query.shape
        if attn_mask.dim() == 3:
            merged = attn_mask.view(samples, -1, length, length)
        else:
            merged = attn_mask.view(1, 1, length, length).expand(samples, self.num_heads, -1, -1)
        if key_padding_mask is not None:
            merged = merged + key_padding_mask.view(samples, 1, 1, length).expand(-1, self.num_heads, -1, -1)
        return merged, 2


def _transposed(query: Any, key: Any, value: Any) -> tuple[Any, Any, Any]:
    """All with the first two dimensions swapped; what was one tensor stays one."""
    turned_key = key.transpose(1, 0)
    turned_value = turned_key if value is key else value.transpose(1, 0)
    return turned_key if query is key else query.transpose(1, 0), turned_key, turned_value
