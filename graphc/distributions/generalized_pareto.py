"""The generalized Pareto distribution, of what exceeds a threshold."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

from graphc.distributions import constraints
from graphc.distributions.distribution import Distribution
from graphc.distributions.functions import Value, f
from graphc.distributions.utils import (
    broadcast_all,
    shape_of_all,
)

__all__ = ["GeneralizedPareto"]


class GeneralizedPareto(Distribution):
    """Numbers from `loc` on; the tail is a power for positive `concentration`, exponential at 0, bounded below."""

    arg_constraints: ClassVar[Any] = {
        "loc": constraints.real,
        "scale": constraints.positive,
        "concentration": constraints.real,
    }
    has_rsample = True
    _event_dims: ClassVar[dict[str, int]] = {"loc": 0, "scale": 0, "concentration": 0}

    def __init__(self, loc: Any, scale: Any, concentration: Any, validate_args: bool | None = None) -> None:
        self.loc, self.scale, self.concentration = broadcast_all(loc, scale, concentration)
        super().__init__(shape_of_all(loc, scale, concentration, self.loc), validate_args=validate_args)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Value:
        return self.icdf(f.rand(self._extended_shape(sample_shape), dtype=self.loc.dtype, device=self.loc.device))

    def _exponential(self) -> tuple[Value, Value]:
        """Where the tail is exponential, and the concentration with 1 there."""
        is_zero = f.isclose(self.concentration, f.zeros_like(self.concentration))
        return is_zero, f.where(is_zero, f.ones_like(self.concentration), self.concentration)

    def log_prob(self, value: Value) -> Value:
        if self._validate_args:
            self._validate_sample(value)
        y = (value - self.loc) / self.scale
        is_zero, k = self._exponential()
        return -self.scale.log() - f.where(is_zero, y, (1 / k + 1) * f.log1p(k * y))

    def _log_survival(self, value: Value) -> Value:
        y = (value - self.loc) / self.scale
        is_zero, k = self._exponential()
        return -f.where(is_zero, y, f.log1p(k * y) / k)

    def cdf(self, value: Value) -> Value:
        if self._validate_args:
            self._validate_sample(value)
        return -f.expm1(self._log_survival(value))

    def icdf(self, value: Value) -> Value:
        is_zero, k = self._exponential()
        rest = f.log1p(-value)
        return self.loc + self.scale * f.where(is_zero, -rest, f.expm1(-k * rest) / k)

    @property
    def mean(self) -> Value:
        return f.where(self.concentration < 1, self.loc + self.scale / (1 - self.concentration), math.inf)

    @property
    def mode(self) -> Value:
        return self.loc

    @property
    def variance(self) -> Value:
        k = self.concentration
        return f.where(k < 0.5, self.scale.pow(2) / ((1 - k).pow(2) * (1 - 2 * k)), math.inf)

    def entropy(self) -> Value:
        return (f.log(self.scale) + self.concentration + 1).broadcast_to(self._batch_shape)

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self) -> Any:
        """From `loc` on, to where a negative concentration ends."""
        upper = f.where(self.concentration < 0, self.loc - self.scale / self.concentration, math.inf)
        return constraints.interval(self.loc, upper)
