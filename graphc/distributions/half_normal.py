"""The positive half of the normal distribution."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from graphc.distributions import constraints
from graphc.distributions.functions import Value, f
from graphc.distributions.normal import Normal
from graphc.distributions.transformed_distribution import TransformedDistribution
from graphc.distributions.transforms import AbsTransform

__all__ = ["HalfNormal"]


class HalfNormal(TransformedDistribution):
    """|x| of normal x with the standard deviation `scale`."""

    arg_constraints: ClassVar[Any] = {"scale": constraints.positive}
    support = constraints.nonnegative
    has_rsample = True

    def __init__(self, scale: Any, validate_args: bool | None = None) -> None:
        super().__init__(Normal(0, scale, validate_args=False), AbsTransform(), validate_args=validate_args)

    @property
    def scale(self) -> Value:
        """The standard deviation of the whole."""
        return self.base_dist.scale

    @property
    def mean(self) -> Value:
        return self.scale * math.sqrt(2 / math.pi)

    @property
    def mode(self) -> Value:
        return f.zeros_like(self.scale)

    @property
    def variance(self) -> Value:
        return self.scale.pow(2) * (1 - 2 / math.pi)

    def log_prob(self, value: Value) -> Value:
        if self._validate_args:
            self._validate_sample(value)
        return f.where(value >= 0, self.base_dist.log_prob(value) + math.log(2), -math.inf)

    def cdf(self, value: Value) -> Value:
        if self._validate_args:
            self._validate_sample(value)
        return 2 * self.base_dist.cdf(value) - 1

    def icdf(self, value: Value) -> Value:
        return self.base_dist.icdf((value + 1) / 2)

    def entropy(self) -> Value:
        return self.base_dist.entropy() - math.log(2)
