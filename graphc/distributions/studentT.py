"""Student's t distribution."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

from graphc.distributions import constraints
from graphc.distributions.chi2 import Chi2
from graphc.distributions.distribution import Distribution
from graphc.distributions.functions import Value, f
from graphc.distributions.utils import (
    broadcast_all,
)

__all__ = ["StudentT"]


class StudentT(Distribution):
    """A normal number over the root of a chi-squared one per degree of freedom, shifted and stretched."""

    arg_constraints: ClassVar[Any] = {
        "df": constraints.positive,
        "loc": constraints.real,
        "scale": constraints.positive,
    }
    support = constraints.real
    has_rsample = True
    _event_dims: ClassVar[dict[str, int]] = {"df": 0, "loc": 0, "scale": 0}

    def __init__(self, df: Any, loc: Any = 0.0, scale: Any = 1.0, validate_args: bool | None = None) -> None:
        self.df, self.loc, self.scale = broadcast_all(df, loc, scale)
        self._chi2 = Chi2(self.df)
        super().__init__(self.df.size(), validate_args=validate_args)

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> StudentT:
        new = super().expand(batch_shape, _instance)
        new._chi2 = self._chi2.expand(batch_shape)
        return new

    @property
    def mean(self) -> Value:
        return f.where(self.df <= 1, math.nan, self.loc)

    @property
    def mode(self) -> Value:
        return self.loc

    @property
    def variance(self) -> Value:
        spread = self.scale.pow(2) * self.df / (self.df - 2)
        return f.where(self.df > 2, spread, f.where(self.df > 1, math.inf, math.nan)).to(self.df.dtype)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Value:
        noise = f.randn(self._extended_shape(sample_shape), dtype=self.df.dtype, device=self.df.device)
        return self.loc + self.scale * (noise * f.rsqrt(self._chi2.rsample(sample_shape) / self.df))

    def log_prob(self, value: Value) -> Value:
        if self._validate_args:
            self._validate_sample(value)
        y = (value - self.loc) / self.scale
        normalizer = (
            self.scale.log()
            + 0.5 * self.df.log()
            + 0.5 * math.log(math.pi)
            + f.lgamma(0.5 * self.df)
            - f.lgamma(0.5 * (self.df + 1.0))
        )
        return -0.5 * (self.df + 1.0) * f.log1p(y**2.0 / self.df) - normalizer

    def entropy(self) -> Value:
        log_beta = f.lgamma(0.5 * self.df) + math.lgamma(0.5) - f.lgamma(0.5 * (self.df + 1))
        slope = f.digamma(0.5 * (self.df + 1)) - f.digamma(0.5 * self.df)
        return self.scale.log() + 0.5 * (self.df + 1) * slope + 0.5 * self.df.log() + log_beta
