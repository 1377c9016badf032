"""The Gumbel distribution."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

from graphc.distributions import constraints
from graphc.distributions.functions import Value, f
from graphc.distributions.transformed_distribution import TransformedDistribution
from graphc.distributions.transforms import AffineTransform, ExpTransform
from graphc.distributions.uniform import Uniform
from graphc.distributions.utils import (
    broadcast_all,
    euler_constant,
    is_number,
)
from graphc.eager.type_info import finfo

__all__ = ["Gumbel"]


class Gumbel(TransformedDistribution):
    """Extremes: loc - scale * log(-log(u)) of uniform u."""

    arg_constraints: ClassVar[Any] = {"loc": constraints.real, "scale": constraints.positive}
    support = constraints.real

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None) -> None:
        self.loc, self.scale = broadcast_all(loc, scale)
        info = finfo(self.loc.dtype)
        if is_number(loc) and is_number(scale):
            base = Uniform(info.tiny, 1 - info.eps, validate_args=validate_args)
        else:
            base = Uniform(
                f.full_like(self.loc, info.tiny), f.full_like(self.loc, 1 - info.eps), validate_args=validate_args
            )
        transforms = [
            ExpTransform().inv,
            AffineTransform(loc=0, scale=-f.ones_like(self.scale)),
            ExpTransform().inv,
            AffineTransform(loc=loc, scale=-self.scale),
        ]
        super().__init__(base, transforms, validate_args=validate_args)

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> Gumbel:
        return Gumbel(self.loc.expand(batch_shape), self.scale.expand(batch_shape), validate_args=self._validate_args)

    def log_prob(self, value: Value) -> Value:
        if self._validate_args:
            self._validate_sample(value)
        y = (self.loc - value) / self.scale
        return (y - y.exp()) - self.scale.log()

    @property
    def mean(self) -> Value:
        return self.loc + self.scale * euler_constant

    @property
    def mode(self) -> Value:
        return self.loc

    @property
    def stddev(self) -> Value:
        return (math.pi / math.sqrt(6)) * self.scale

    @property
    def variance(self) -> Value:
        return self.stddev.pow(2)

    def entropy(self) -> Value:
        return self.scale.log() + (1 + euler_constant)
