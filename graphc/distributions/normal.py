"""The normal distribution."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

from graphc.distributions import constraints
from graphc.distributions.exp_family import ExponentialFamily
from graphc.distributions.functions import Value, f
from graphc.distributions.utils import broadcast_all, shape_of_all

__all__ = ["Normal"]


class Normal(ExponentialFamily):
    """Normal numbers of mean `loc` and standard deviation `scale`."""

    arg_constraints: ClassVar[Any] = {"loc": constraints.real, "scale": constraints.positive}
    support = constraints.real
    has_rsample = True
    _mean_carrier_measure = 0
    _event_dims: ClassVar[dict[str, int]] = {"loc": 0, "scale": 0}

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None) -> None:
        self.loc, self.scale = broadcast_all(loc, scale)
        super().__init__(shape_of_all(loc, scale, self.loc), validate_args=validate_args)

    @property
    def mean(self) -> Value:
        """The mean."""
        return self.loc

    @property
    def mode(self) -> Value:
        """The most probable value."""
        return self.loc

    @property
    def stddev(self) -> Value:
        """The standard deviation."""
        return self.scale

    @property
    def variance(self) -> Value:
        """The variance."""
        return self.stddev.pow(2)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Value:
        """Samples with gradients to the parameters."""
        noise = f.randn(self._extended_shape(sample_shape), dtype=self.loc.dtype, device=self.loc.device)
        return self.loc + noise * self.scale

    def log_prob(self, value: Value) -> Value:
        """The logarithm of the density of each value."""
        if self._validate_args:
            self._validate_sample(value)
        return -((value - self.loc) ** 2) / (2 * self.scale**2) - self.scale.log() - math.log(math.sqrt(2 * math.pi))

    def cdf(self, value: Value) -> Value:
        """The probability of at most each value."""
        if self._validate_args:
            self._validate_sample(value)
        return 0.5 * (1 + f.erf((value - self.loc) * self.scale.reciprocal() / math.sqrt(2)))

    def icdf(self, value: Value) -> Value:
        """The number below which a value is with each probability."""
        return self.loc + self.scale * f.erfinv(2 * value - 1) * math.sqrt(2)

    def entropy(self) -> Value:
        """The entropy in nats."""
        return 0.5 + 0.5 * math.log(2 * math.pi) + f.log(self.scale)

    @property
    def _natural_params(self) -> tuple[Value, ...]:
        return self.loc / self.scale.pow(2), -0.5 * self.scale.pow(2).reciprocal()

    def _log_normalizer(self, x: Value, y: Value) -> Value:
        return -0.25 * x.pow(2) / y + 0.5 * f.log(-math.pi / y)
