"""The Weibull distribution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from graphc.distributions import constraints
from graphc.distributions.exponential import Exponential
from graphc.distributions.functions import Value, f
from graphc.distributions.transformed_distribution import TransformedDistribution
from graphc.distributions.transforms import AffineTransform, PowerTransform
from graphc.distributions.utils import (
    broadcast_all,
    euler_constant,
)

__all__ = ["Weibull"]


class Weibull(TransformedDistribution):
    """scale * w**(1 / concentration) of waiting times w of mean 1."""

    arg_constraints: ClassVar[Any] = {"scale": constraints.positive, "concentration": constraints.positive}
    support = constraints.positive

    def __init__(self, scale: Any, concentration: Any, validate_args: bool | None = None) -> None:
        self.scale, self.concentration = broadcast_all(scale, concentration)
        self.concentration_reciprocal = self.concentration.reciprocal()
        base = Exponential(f.ones_like(self.scale), validate_args=validate_args)
        transforms = [
            PowerTransform(exponent=self.concentration_reciprocal),
            AffineTransform(loc=0, scale=self.scale),
        ]
        super().__init__(base, transforms, validate_args=validate_args)

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> Weibull:
        return Weibull(self.scale.expand(batch_shape), self.concentration.expand(batch_shape), self._validate_args)

    @property
    def mean(self) -> Value:
        return self.scale * f.exp(f.lgamma(1 + self.concentration_reciprocal))

    @property
    def mode(self) -> Value:
        return self.scale * ((self.concentration - 1) / self.concentration) ** self.concentration.reciprocal()

    @property
    def variance(self) -> Value:
        square = f.exp(2 * f.lgamma(1 + self.concentration_reciprocal))
        return self.scale.pow(2) * (f.exp(f.lgamma(1 + 2 * self.concentration_reciprocal)) - square)

    def entropy(self) -> Value:
        return (
            euler_constant * (1 - self.concentration_reciprocal) + f.log(self.scale * self.concentration_reciprocal) + 1
        )
