"""The von Mises distribution, over angles."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

from graphc.distributions import constraints
from graphc.distributions.distribution import Distribution
from graphc.distributions.functions import Value, f
from graphc.distributions.utils import (
    broadcast_all,
)
from graphc.eager.mode import no_grad

__all__ = ["VonMises"]


class VonMises(Distribution):
    """Angles around `loc`, the closer the larger `concentration` is; from -pi to pi."""

    arg_constraints: ClassVar[Any] = {"loc": constraints.real, "concentration": constraints.positive}
    support = constraints.real
    _event_dims: ClassVar[dict[str, int]] = {"loc": 0, "concentration": 0}

    def __init__(self, loc: Any, concentration: Any, validate_args: bool | None = None) -> None:
        self.loc, self.concentration = broadcast_all(loc, concentration)
        super().__init__(self.loc.shape, validate_args=validate_args)

    @property
    def mean(self) -> Value:
        return self.loc

    @property
    def mode(self) -> Value:
        return self.loc

    @property
    def variance(self) -> Value:
        """The circular variance, 1 - I1(concentration) / I0(concentration)."""
        return 1 - f.special.i1e(self.concentration) / f.special.i0e(self.concentration)

    def sample(self, sample_shape: Sequence[int] = ()) -> Value:
        """Samples, by rejection from a wrapped Cauchy distribution (Best and Fisher, 1979)."""
        shape = self._extended_shape(sample_shape)
        with no_grad():
            loc, k = self.loc.double().expand(shape), self.concentration.double().expand(shape)
            tau = 1 + (1 + 4 * k**2).sqrt()
            rho = (tau - (2 * tau).sqrt()) / (2 * k)
            proposal = f.where(k < 1e-5, 1 / k + k, (1 + rho**2) / (2 * rho))
            angle, done = f.zeros_like(k), f.zeros(shape, dtype=f.bool, device=k.device)
            while not done.all():
                u1, u2, u3 = f.rand((3, *shape), dtype=f.float64, device=k.device).unbind()
                z = f.cos(math.pi * u1)
                direction = (1 + proposal * z) / (proposal + z)
                c = k * (proposal - direction)
                accepted = ((c * (2 - c) - u2) > 0) | ((c / u2).log() + 1 - c >= 0)
                found = (u3 - 0.5).sign() * direction.clamp(-1, 1).acos()
                angle = f.where(accepted & ~done, found, angle)
                done = done | accepted
            return ((angle + math.pi + loc) % (2 * math.pi) - math.pi).to(self.loc.dtype)

    def log_prob(self, value: Value) -> Value:
        if self._validate_args:
            self._validate_sample(value)
        scaled = self.concentration * (f.cos(value - self.loc) - 1)
        return scaled - math.log(2 * math.pi) - f.special.i0e(self.concentration).log()
