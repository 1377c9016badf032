"""The Kumaraswamy distribution, over shares."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

from graphc.distributions import constraints
from graphc.distributions.functions import Value, f
from graphc.distributions.transformed_distribution import TransformedDistribution
from graphc.distributions.transforms import AffineTransform, PowerTransform
from graphc.distributions.uniform import Uniform
from graphc.distributions.utils import (
    broadcast_all,
    euler_constant,
)

__all__ = ["Kumaraswamy"]


class Kumaraswamy(TransformedDistribution):
    """(1 - u**(1 / concentration0))**(1 / concentration1) of uniform u."""

    arg_constraints: ClassVar[Any] = {
        "concentration1": constraints.positive,
        "concentration0": constraints.positive,
    }
    support = constraints.unit_interval
    has_rsample = True

    def __init__(self, concentration1: Any, concentration0: Any, validate_args: bool | None = None) -> None:
        self.concentration1, self.concentration0 = broadcast_all(concentration1, concentration0)
        base = Uniform(
            f.full_like(self.concentration0, 0), f.full_like(self.concentration0, 1), validate_args=validate_args
        )
        transforms = [
            PowerTransform(exponent=self.concentration0.reciprocal()),
            AffineTransform(loc=1.0, scale=-1.0),
            PowerTransform(exponent=self.concentration1.reciprocal()),
        ]
        super().__init__(base, transforms, validate_args=validate_args)

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> Kumaraswamy:
        return Kumaraswamy(
            self.concentration1.expand(batch_shape), self.concentration0.expand(batch_shape), self._validate_args
        )

    def _moment(self, order: int) -> Value:
        shifted = 1 + order / self.concentration1
        log_beta = f.lgamma(shifted) + f.lgamma(self.concentration0) - f.lgamma(shifted + self.concentration0)
        return self.concentration0 * f.exp(log_beta)

    @property
    def mean(self) -> Value:
        return self._moment(1)

    @property
    def mode(self) -> Value:
        log_mode = (
            self.concentration0.reciprocal() * (-self.concentration0).log1p()
            - (-self.concentration0 * self.concentration1).log1p()
        )
        log_mode[(self.concentration0 < 1) | (self.concentration1 < 1)] = math.nan
        return log_mode.exp()

    @property
    def variance(self) -> Value:
        return self._moment(2) - f.pow(self.mean, 2)

    def entropy(self) -> Value:
        rest0 = 1 - self.concentration0.reciprocal()
        rest1 = 1 - self.concentration1.reciprocal()
        harmonic = f.digamma(self.concentration0 + 1) + euler_constant
        return rest0 + rest1 * harmonic - f.log(self.concentration0) - f.log(self.concentration1)
