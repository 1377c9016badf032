"""The log-normal distribution."""

from __future__ import annotations

from typing import Any, ClassVar

from graphc.distributions import constraints
from graphc.distributions.functions import Value
from graphc.distributions.normal import Normal
from graphc.distributions.transformed_distribution import TransformedDistribution
from graphc.distributions.transforms import ExpTransform

__all__ = ["LogNormal"]


class LogNormal(TransformedDistribution):
    """Numbers whose logarithms are normal, of mean `loc` and standard deviation `scale`."""

    arg_constraints: ClassVar[Any] = {"loc": constraints.real, "scale": constraints.positive}
    support = constraints.positive
    has_rsample = True

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None) -> None:
        super().__init__(Normal(loc, scale, validate_args=validate_args), ExpTransform(), validate_args=validate_args)

    @property
    def loc(self) -> Value:
        """The mean of the logarithm."""
        return self.base_dist.loc

    @property
    def scale(self) -> Value:
        """The standard deviation of the logarithm."""
        return self.base_dist.scale

    @property
    def mean(self) -> Value:
        return (self.loc + self.scale.pow(2) / 2).exp()

    @property
    def mode(self) -> Value:
        return (self.loc - self.scale.square()).exp()

    @property
    def variance(self) -> Value:
        square = self.scale.pow(2)
        return square.expm1() * (2 * self.loc + square).exp()

    def entropy(self) -> Value:
        return self.base_dist.entropy() + self.loc
