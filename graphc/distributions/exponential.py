"""The exponential distribution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from graphc.distributions import constraints
from graphc.distributions.exp_family import ExponentialFamily
from graphc.distributions.functions import Value, f
from graphc.distributions.utils import (
    broadcast_all,
    shape_of_all,
)

__all__ = ["Exponential"]


class Exponential(ExponentialFamily):
    """Waiting times of mean 1 / `rate`."""

    arg_constraints: ClassVar[Any] = {"rate": constraints.positive}
    support = constraints.nonnegative
    has_rsample = True
    _mean_carrier_measure = 0
    _event_dims: ClassVar[dict[str, int]] = {"rate": 0}

    def __init__(self, rate: Any, validate_args: bool | None = None) -> None:
        (self.rate,) = broadcast_all(rate)
        super().__init__(shape_of_all(rate, self.rate), validate_args=validate_args)

    @property
    def mean(self) -> Value:
        return self.rate.reciprocal()

    @property
    def mode(self) -> Value:
        return f.zeros_like(self.rate)

    @property
    def stddev(self) -> Value:
        return self.rate.reciprocal()

    @property
    def variance(self) -> Value:
        return self.rate.pow(-2)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Value:
        waits = f.empty(
            self._extended_shape(sample_shape), dtype=self.rate.dtype, device=self.rate.device
        ).exponential_()
        return waits / self.rate

    def log_prob(self, value: Value) -> Value:
        if self._validate_args:
            self._validate_sample(value)
        return self.rate.log() - self.rate * value

    def cdf(self, value: Value) -> Value:
        if self._validate_args:
            self._validate_sample(value)
        return 1 - f.exp(-self.rate * value)

    def icdf(self, value: Value) -> Value:
        return -f.log1p(-value) / self.rate

    def entropy(self) -> Value:
        return 1.0 - f.log(self.rate)

    @property
    def _natural_params(self) -> tuple[Value, ...]:
        return (-self.rate,)

    def _log_normalizer(self, x: Value) -> Value:
        return -f.log(-x)
