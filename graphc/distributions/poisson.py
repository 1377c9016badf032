"""The Poisson distribution."""

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
from graphc.eager.mode import no_grad

__all__ = ["Poisson"]


class Poisson(ExponentialFamily):
    """Counts of rare events, of mean `rate`."""

    arg_constraints: ClassVar[Any] = {"rate": constraints.nonnegative}
    support = constraints.nonnegative_integer
    _event_dims: ClassVar[dict[str, int]] = {"rate": 0}

    def __init__(self, rate: Any, validate_args: bool | None = None) -> None:
        (self.rate,) = broadcast_all(rate)
        super().__init__(shape_of_all(rate, self.rate), validate_args=validate_args)

    @property
    def mean(self) -> Value:
        return self.rate

    @property
    def mode(self) -> Value:
        return self.rate.floor()

    @property
    def variance(self) -> Value:
        return self.rate

    def sample(self, sample_shape: Sequence[int] = ()) -> Value:
        with no_grad():
            return f.poisson(self.rate.expand(self._extended_shape(sample_shape)))

    def log_prob(self, value: Value) -> Value:
        if self._validate_args:
            self._validate_sample(value)
        rate, value = broadcast_all(self.rate, value)
        return value.xlogy(rate) - rate - (value + 1).lgamma()

    @property
    def _natural_params(self) -> tuple[Value, ...]:
        return (f.log(self.rate),)

    def _log_normalizer(self, x: Value) -> Value:
        return f.exp(x)
