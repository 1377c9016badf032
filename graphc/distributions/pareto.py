"""The Pareto distribution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from graphc.distributions import constraints
from graphc.distributions.exponential import Exponential
from graphc.distributions.functions import Value
from graphc.distributions.transformed_distribution import TransformedDistribution
from graphc.distributions.transforms import AffineTransform, ExpTransform
from graphc.distributions.utils import (
    broadcast_all,
)

__all__ = ["Pareto"]


class Pareto(TransformedDistribution):
    """Numbers from `scale` on, whose tail falls like x**-alpha."""

    arg_constraints: ClassVar[Any] = {"alpha": constraints.positive, "scale": constraints.positive}

    def __init__(self, scale: Any, alpha: Any, validate_args: bool | None = None) -> None:
        self.scale, self.alpha = broadcast_all(scale, alpha)
        base = Exponential(self.alpha, validate_args=validate_args)
        transforms = [ExpTransform(), AffineTransform(loc=0, scale=self.scale)]
        super().__init__(base, transforms, validate_args=validate_args)

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> Pareto:
        return Pareto(self.scale.expand(batch_shape), self.alpha.expand(batch_shape), self._validate_args)

    @property
    def mean(self) -> Value:
        alpha = self.alpha.clamp(min=1)
        return alpha * self.scale / (alpha - 1)

    @property
    def mode(self) -> Value:
        return self.scale

    @property
    def variance(self) -> Value:
        alpha = self.alpha.clamp(min=2)
        return self.scale.pow(2) * alpha / ((alpha - 1).pow(2) * (alpha - 2))

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self) -> Any:
        """From `scale` on."""
        return constraints.greater_than_eq(self.scale)

    def entropy(self) -> Value:
        return (self.scale / self.alpha).log() + (1 + self.alpha.reciprocal())
