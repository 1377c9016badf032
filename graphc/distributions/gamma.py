"""The gamma distribution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from graphc.distributions import constraints
from graphc.distributions.exp_family import ExponentialFamily
from graphc.distributions.functions import Value, f
from graphc.distributions.gamma_sampling import standard_gamma
from graphc.distributions.utils import (
    broadcast_all,
    shape_of_all,
)
from graphc.eager.type_info import finfo

__all__ = ["Gamma"]


class Gamma(ExponentialFamily):
    """Sums of waiting times of rate `rate`, `concentration` of them."""

    arg_constraints: ClassVar[Any] = {"concentration": constraints.positive, "rate": constraints.positive}
    support = constraints.nonnegative
    has_rsample = True
    _mean_carrier_measure = 0
    _event_dims: ClassVar[dict[str, int]] = {"concentration": 0, "rate": 0}

    def __init__(self, concentration: Any, rate: Any, validate_args: bool | None = None) -> None:
        self.concentration, self.rate = broadcast_all(concentration, rate)
        super().__init__(shape_of_all(concentration, rate, self.concentration), validate_args=validate_args)

    @property
    def mean(self) -> Value:
        return self.concentration / self.rate

    @property
    def mode(self) -> Value:
        return ((self.concentration - 1) / self.rate).clamp(min=0)

    @property
    def variance(self) -> Value:
        return self.concentration / self.rate.pow(2)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Value:
        value = standard_gamma(self.concentration.expand(self._extended_shape(sample_shape))) / self.rate
        value.detach().clamp_(min=finfo(value.dtype).tiny)  # its logarithm is asked for
        return value

    def log_prob(self, value: Value) -> Value:
        value = f.as_tensor(value, dtype=self.rate.dtype)
        if self._validate_args:
            self._validate_sample(value)
        return (
            f.xlogy(self.concentration, self.rate)
            + f.xlogy(self.concentration - 1, value)
            - self.rate * value
            - f.lgamma(self.concentration)
        )

    def cdf(self, value: Value) -> Value:
        if self._validate_args:
            self._validate_sample(value)
        return f.special.gammainc(self.concentration, self.rate * value)

    def entropy(self) -> Value:
        return (
            self.concentration
            - f.log(self.rate)
            + f.lgamma(self.concentration)
            + (1.0 - self.concentration) * f.digamma(self.concentration)
        )

    @property
    def _natural_params(self) -> tuple[Value, ...]:
        return self.concentration - 1, -self.rate

    def _log_normalizer(self, x: Value, y: Value) -> Value:
        return f.lgamma(x + 1) + (x + 1) * f.log(-y.reciprocal())
