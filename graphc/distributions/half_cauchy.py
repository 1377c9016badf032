"""The positive half of Cauchy's distribution."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from graphc.distributions import constraints
from graphc.distributions.cauchy import Cauchy
from graphc.distributions.functions import Value, f
from graphc.distributions.transformed_distribution import TransformedDistribution
from graphc.distributions.transforms import AbsTransform

__all__ = ["HalfCauchy"]


class HalfCauchy(TransformedDistribution):
    """|x| of Cauchy's x, stretched by `scale`."""

    arg_constraints: ClassVar[Any] = {"scale": constraints.positive}
    support = constraints.nonnegative
    has_rsample = True

    def __init__(self, scale: Any, validate_args: bool | None = None) -> None:
        super().__init__(Cauchy(0, scale, validate_args=False), AbsTransform(), validate_args=validate_args)

    @property
    def scale(self) -> Value:
        """How much it is stretched."""
        return self.base_dist.scale

    @property
    def mean(self) -> Value:
        return f.full(self._extended_shape(), math.inf, dtype=self.scale.dtype, device=self.scale.device)

    @property
    def mode(self) -> Value:
        return f.zeros_like(self.scale)

    @property
    def variance(self) -> Value:
        return self.base_dist.variance

    def log_prob(self, value: Value) -> Value:
        if self._validate_args:
            self._validate_sample(value)
        value = f.as_tensor(value, dtype=self.scale.dtype)
        return f.where(value >= 0, self.base_dist.log_prob(value) + math.log(2), -math.inf)

    def cdf(self, value: Value) -> Value:
        if self._validate_args:
            self._validate_sample(value)
        return 2 * self.base_dist.cdf(value) - 1

    def icdf(self, value: Value) -> Value:
        return self.base_dist.icdf((value + 1) / 2)

    def entropy(self) -> Value:
        return self.base_dist.entropy() - math.log(2)
