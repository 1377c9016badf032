"""The uniform distribution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from graphc.distributions import constraints
from graphc.distributions.distribution import Distribution
from graphc.distributions.functions import Value, f
from graphc.distributions.utils import broadcast_all, shape_of_all

__all__ = ["Uniform"]


class Uniform(Distribution):
    """Numbers from `low` to before `high`, each equally likely."""

    has_rsample = True
    _event_dims: ClassVar[dict[str, int]] = {"low": 0, "high": 0}

    def __init__(self, low: Any, high: Any, validate_args: bool | None = None) -> None:
        self.low, self.high = broadcast_all(low, high)
        super().__init__(shape_of_all(low, high, self.low), validate_args=validate_args)

    @property
    def arg_constraints(self) -> Any:
        """`low` below `high`."""
        return {"low": constraints.less_than(self.high), "high": constraints.greater_than(self.low)}

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self) -> Any:
        """From `low` to `high`."""
        return constraints.interval(self.low, self.high)

    @property
    def mean(self) -> Value:
        """The mean."""
        return (self.high + self.low) / 2

    @property
    def mode(self) -> Value:
        """NaN: all are equally probable."""
        return f.full_like(self.high, float("nan"))

    @property
    def stddev(self) -> Value:
        """The standard deviation."""
        return (self.high - self.low) / 12**0.5

    @property
    def variance(self) -> Value:
        """The variance."""
        return (self.high - self.low).pow(2) / 12

    def rsample(self, sample_shape: Sequence[int] = ()) -> Value:
        """Samples with gradients to the parameters."""
        return self.low + f.rand(self._extended_shape(sample_shape), dtype=self.low.dtype, device=self.low.device) * (
            self.high - self.low
        )

    def log_prob(self, value: Value) -> Value:
        """The logarithm of the density of each value."""
        if self._validate_args:
            self._validate_sample(value)
        is_inside = self.low.le(value).type_as(self.low) * self.high.gt(value).type_as(self.low)
        return f.log(is_inside) - f.log(self.high - self.low)

    def cdf(self, value: Value) -> Value:
        """The probability of at most each value."""
        if self._validate_args:
            self._validate_sample(value)
        return ((value - self.low) / (self.high - self.low)).clamp(min=0, max=1)

    def icdf(self, value: Value) -> Value:
        """The number below which a value is with each probability."""
        return value * (self.high - self.low) + self.low

    def entropy(self) -> Value:
        """The entropy in nats."""
        return f.log(self.high - self.low)
