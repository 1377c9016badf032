"""The Laplace distribution: exponential to both sides."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from graphc.distributions import constraints
from graphc.distributions.distribution import Distribution
from graphc.distributions.functions import Value, f
from graphc.distributions.utils import (
    broadcast_all,
    shape_of_all,
)
from graphc.eager.type_info import finfo

__all__ = ["Laplace"]


class Laplace(Distribution):
    """Numbers around `loc` whose distance from it is exponential, with the mean `scale`."""

    arg_constraints: ClassVar[Any] = {"loc": constraints.real, "scale": constraints.positive}
    support = constraints.real
    has_rsample = True
    _event_dims: ClassVar[dict[str, int]] = {"loc": 0, "scale": 0}

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None) -> None:
        self.loc, self.scale = broadcast_all(loc, scale)
        super().__init__(shape_of_all(loc, scale, self.loc), validate_args=validate_args)

    @property
    def mean(self) -> Value:
        return self.loc

    @property
    def mode(self) -> Value:
        return self.loc

    @property
    def variance(self) -> Value:
        return 2 * self.scale.pow(2)

    @property
    def stddev(self) -> Value:
        return 2**0.5 * self.scale

    def rsample(self, sample_shape: Sequence[int] = ()) -> Value:
        shape = self._extended_shape(sample_shape)
        u = f.rand(shape, dtype=self.loc.dtype, device=self.loc.device) * 2 - 1  # from -1 to before 1
        u = u.clamp(min=finfo(self.loc.dtype).eps - 1)
        return self.loc - self.scale * u.sign() * f.log1p(-u.abs())

    def log_prob(self, value: Value) -> Value:
        if self._validate_args:
            self._validate_sample(value)
        return -f.log(2 * self.scale) - f.abs(value - self.loc) / self.scale

    def cdf(self, value: Value) -> Value:
        if self._validate_args:
            self._validate_sample(value)
        offset = value - self.loc
        return 0.5 - 0.5 * offset.sign() * f.expm1(-offset.abs() / self.scale)

    def icdf(self, value: Value) -> Value:
        term = value - 0.5
        return self.loc - self.scale * term.sign() * f.log1p(-2 * term.abs())

    def entropy(self) -> Value:
        return 1 + f.log(2 * self.scale)
