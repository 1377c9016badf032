"""Normalization by statistics of a sample: over its last dimensions, groups of channels, or neighbouring channels.

>>> LayerNorm(4)
LayerNorm((4,), eps=1e-05, elementwise_affine=True, bias=True)
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

from graphc.eager.guard import NamedByClass
from graphc.nn import functional as F
from graphc.nn import init
from graphc.nn.module import Module
from graphc.nn.modules.utils import uninitialised

__all__ = ["CrossMapLRN2d", "GroupNorm", "LayerNorm", "LocalResponseNorm", "RMSNorm"]


class _Affine(Module):
    """A scale that starts as 1 and an offset that starts as 0, each where there is one."""

    def _add_affine(self, shape: tuple[int, ...], has_weight: bool, has_bias: bool, device: Any, dtype: Any) -> None:
        for name, is_there in (("weight", has_weight), ("bias", has_bias)):
            self.register_parameter(name, uninitialised(*shape, device=device, dtype=dtype) if is_there else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Scale 1 and offset 0."""
        if self.weight is not None:
            init.ones_(self.weight)
        if self._parameters.get("bias") is not None:
            init.zeros_(self.bias)


def _shape_of(given: int | Sequence[int]) -> tuple[int, ...]:
    try:
        return (operator.index(given),)  # type: ignore[arg-type]  # a sequence is refused
    except TypeError:
        return tuple(given)  # type: ignore[arg-type]  # it is no integer


class LayerNorm(_Affine):
    """Mean 0 and variance 1 over the last dimensions, which have `normalized_shape` (Ba et al. 2016)."""

    __constants__ = ["normalized_shape", "eps", "elementwise_affine"]

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.normalized_shape = _shape_of(normalized_shape)
        self.eps, self.elementwise_affine = eps, elementwise_affine
        self._add_affine(self.normalized_shape, elementwise_affine, elementwise_affine and bias, device, dtype)

    def forward(self, input: Any) -> Any:
        """`[..., normalized_shape...]` to the same."""
        return F.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}, "
            f"bias={self.bias is not None}"
        )


class GroupNorm(_Affine):
    """Mean 0 and variance 1 over groups of channels of a sample (Wu and He 2018); scale and offset are per channel."""

    __constants__ = ["num_groups", "num_channels", "eps", "affine"]

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        if num_channels % num_groups:
            raise ValueError(f"num_channels ({num_channels}) must be divisible by num_groups ({num_groups})")
        self.num_groups, self.num_channels, self.eps, self.affine = num_groups, num_channels, eps, affine
        self._add_affine((num_channels,), affine, affine and bias, device, dtype)

    def forward(self, input: Any) -> Any:
        """`[n, channels, ...]` to the same."""
        return F.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}, "
            f"bias={self.bias is not None}"
        )


class RMSNorm(_Affine):
    """Divided by the root of the mean square over the last dimensions (Zhang and Sennrich 2019).

    Without `eps` it is the dtype's own.
    """

    __constants__ = ["normalized_shape", "eps", "elementwise_affine"]

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float | None = None,
        elementwise_affine: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.normalized_shape = _shape_of(normalized_shape)
        self.eps, self.elementwise_affine = eps, elementwise_affine
        shape = self.normalized_shape
        self.register_parameter(
            "weight", uninitialised(*shape, device=device, dtype=dtype) if elementwise_affine else None
        )
        self.reset_parameters()

    def forward(self, x: Any) -> Any:
        """`[..., normalized_shape...]` to the same."""
        return F.rms_norm(x, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"


class _AcrossChannels(NamedByClass, Module):
    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        super().__init__()
        self.size, self.alpha, self.beta, self.k = size, alpha, beta, k

    def forward(self, input: Any) -> Any:
        """`[n, channels, ...]` to the same."""
        return F.local_response_norm(input, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self) -> str:
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"


class LocalResponseNorm(_AcrossChannels):
    """Divided by (k + alpha * mean square of `size` neighbouring channels) to the power of beta."""

    __constants__ = ["size", "alpha", "beta", "k"]


class CrossMapLRN2d(_AcrossChannels):
    """As LocalResponseNorm, of `[n, channels, height, width]`."""

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1) -> None:
        super().__init__(size, alpha, beta, k)
