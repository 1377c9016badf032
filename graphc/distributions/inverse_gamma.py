"""The distribution of the inverse of gamma numbers."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from graphc.distributions import constraints
from graphc.distributions.functions import Value, f
from graphc.distributions.gamma import Gamma
from graphc.distributions.transformed_distribution import TransformedDistribution
from graphc.distributions.transforms import PowerTransform

__all__ = ["InverseGamma"]


class InverseGamma(TransformedDistribution):
    """1 / x of gamma x with this concentration and rate."""

    arg_constraints: ClassVar[Any] = {"concentration": constraints.positive, "rate": constraints.positive}
    support = constraints.positive
    has_rsample = True

    def __init__(self, concentration: Any, rate: Any, validate_args: bool | None = None) -> None:
        base = Gamma(concentration, rate, validate_args=validate_args)
        super().__init__(base, PowerTransform(-base.rate.new_ones(())), validate_args=validate_args)

    @property
    def concentration(self) -> Value:
        """The concentration of the gamma numbers."""
        return self.base_dist.concentration

    @property
    def rate(self) -> Value:
        """The rate of the gamma numbers."""
        return self.base_dist.rate

    @property
    def mean(self) -> Value:
        return f.where(self.concentration > 1, self.rate / (self.concentration - 1), math.inf)

    @property
    def mode(self) -> Value:
        return self.rate / (self.concentration + 1)

    @property
    def variance(self) -> Value:
        spread = self.rate.square() / ((self.concentration - 1).square() * (self.concentration - 2))
        return f.where(self.concentration > 2, spread, math.inf)

    def entropy(self) -> Value:
        return (
            self.concentration
            + self.rate.log()
            + self.concentration.lgamma()
            - (1 + self.concentration) * self.concentration.digamma()
        )
