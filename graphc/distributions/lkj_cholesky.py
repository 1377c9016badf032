"""Cholesky factors of random correlation matrices."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

from graphc.distributions import constraints
from graphc.distributions.beta import Beta
from graphc.distributions.distribution import Distribution
from graphc.distributions.functions import Value, f
from graphc.distributions.utils import (
    broadcast_all,
)
from graphc.eager.mode import no_grad
from graphc.eager.type_info import finfo

__all__ = ["LKJCholesky"]


class LKJCholesky(Distribution):
    """Cholesky factors [dim, dim]; the matrices have densities like their determinant**(concentration - 1).

    D. Lewandowski, D. Kurowicka, H. Joe: Generating random correlation matrices based on vines (2009), by onions.
    """

    arg_constraints: ClassVar[Any] = {"concentration": constraints.positive}
    support = constraints.corr_cholesky
    _event_dims: ClassVar[dict[str, int]] = {"concentration": 0}

    def __init__(self, dim: int, concentration: Any = 1.0, validate_args: bool | None = None) -> None:
        if dim < 2:
            raise ValueError(f"Expected dim to be an integer greater than or equal to 2. Found dim={dim}.")
        self.dim = dim
        (self.concentration,) = broadcast_all(concentration)
        super().__init__(self.concentration.size(), (dim, dim), validate_args=validate_args)

    def sample(self, sample_shape: Sequence[int] = ()) -> Value:
        with no_grad():
            dtype, place = self.concentration.dtype, self.concentration.device
            offset = f.cat([f.zeros(1, dtype=dtype, device=place), f.arange(self.dim - 1, dtype=dtype, device=place)])
            lead = self.concentration.unsqueeze(-1) + 0.5 * (self.dim - 2)
            share = Beta(offset + 0.5, lead - 0.5 * offset).sample(sample_shape).unsqueeze(-1)
            normal = f.randn(self._extended_shape(sample_shape), dtype=dtype, device=place).tril(-1)
            on_sphere = normal / normal.norm(dim=-1, keepdim=True)
            on_sphere[..., 0, :].fill_(0.0)
            factor = share.sqrt() * on_sphere
            tiny = finfo(dtype).tiny
            return factor + (1 - (factor**2).sum(dim=-1)).clamp(min=tiny).sqrt().diag_embed()

    def log_prob(self, value: Value) -> Value:
        if self._validate_args:
            self._validate_sample(value)
        diagonal = value.diagonal(dim1=-1, dim2=-2)[..., 1:]
        order = f.arange(2, self.dim + 1, dtype=self.concentration.dtype, device=self.concentration.device)
        order = 2 * (self.concentration - 1).unsqueeze(-1) + self.dim - order
        density = (order * diagonal.log()).sum(dim=-1)
        less = self.dim - 1
        alpha = self.concentration + 0.5 * less
        normalizer = 0.5 * less * math.log(math.pi) + f.mvlgamma(alpha - 0.5, less) - f.lgamma(alpha) * less
        return density - normalizer
