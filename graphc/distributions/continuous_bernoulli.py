"""Numbers from 0 to 1 with densities like p**x * (1 - p)**(1 - x)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

from graphc.distributions import constraints
from graphc.distributions.exp_family import ExponentialFamily
from graphc.distributions.functions import Value, f
from graphc.distributions.utils import (
    broadcast_all,
    check_one_of,
    clamp_probs,
    lazy_property,
    logits_to_probs,
    probs_to_logits,
    shape_of_all,
)
from graphc.eager.size import Size

__all__ = ["ContinuousBernoulli"]


class ContinuousBernoulli(ExponentialFamily):
    """Numbers from 0 to 1 (G. Loaiza-Ganem, J. Cunningham: The continuous Bernoulli, 2019).

    Within `lims` around p = 1/2 the formulas are replaced by their Taylor polynomials.
    """

    arg_constraints: ClassVar[Any] = {"probs": constraints.unit_interval, "logits": constraints.real}
    support = constraints.unit_interval
    has_rsample = True
    _mean_carrier_measure = 0
    _event_dims: ClassVar[dict[str, int]] = {"probs": 0, "logits": 0, "_param": 0}

    def __init__(
        self,
        probs: Any = None,
        logits: Any = None,
        lims: tuple[float, float] = (0.499, 0.501),
        validate_args: bool | None = None,
    ) -> None:
        check_one_of(probs, logits)
        given = logits if probs is None else probs
        (self._param,) = broadcast_all(given)
        if probs is None:
            self.logits = self._param
        else:
            if validate_args is not None and not self.arg_constraints["probs"].check(self._param).all():
                raise ValueError("The parameter probs has invalid values")
            self.probs = self._param = clamp_probs(self._param)
        self._lims = lims
        super().__init__(shape_of_all(given, self._param), validate_args=validate_args)

    @lazy_property
    def logits(self) -> Value:
        """Log-odds."""
        return probs_to_logits(self.probs, is_binary=True)

    @lazy_property
    def probs(self) -> Value:
        """The parameter p."""
        return clamp_probs(logits_to_probs(self.logits, is_binary=True))

    @property
    def param_shape(self) -> Size:
        """The shape of the parameter."""
        found: Size = self._param.size()
        return found

    def _outside(self) -> Value:
        return (self.probs <= self._lims[0]) | (self.probs > self._lims[1])

    def _cut(self) -> Value:
        """The parameter, moved out of the limits."""
        return f.where(self._outside(), self.probs, self._lims[0] * f.ones_like(self.probs))

    def _log_normalizer_of_probs(self) -> Value:
        cut = self._cut()
        below = f.where(cut <= 0.5, cut, 0.0)
        above = f.where(cut >= 0.5, cut, 1.0)
        scale = f.log((-cut).log1p().sub(cut.log()).abs())
        result = scale - f.where(cut <= 0.5, f.log1p(-2.0 * below), f.log(2.0 * above - 1.0))
        x = (self.probs - 0.5).pow(2)
        return f.where(self._outside(), result, math.log(2.0) + (4.0 / 3.0 + 104.0 / 45.0 * x) * x)

    @property
    def mean(self) -> Value:
        cut = self._cut()
        result = cut / (2.0 * cut - 1.0) + 1.0 / ((-cut).log1p() - cut.log())
        x = self.probs - 0.5
        return f.where(self._outside(), result, 0.5 + (1.0 / 3.0 + 16.0 / 45.0 * x.pow(2)) * x)

    @property
    def stddev(self) -> Value:
        return self.variance.sqrt()

    @property
    def variance(self) -> Value:
        cut = self._cut()
        result = cut * (cut - 1.0) / (1.0 - 2.0 * cut).pow(2) + 1.0 / ((-cut).log1p() - cut.log()).pow(2)
        x = (self.probs - 0.5).pow(2)
        return f.where(self._outside(), result, 1.0 / 12.0 - (1.0 / 15.0 - 128.0 / 945.0 * x) * x)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Value:
        return self.icdf(f.rand(self._extended_shape(sample_shape), dtype=self.probs.dtype, device=self.probs.device))

    def log_prob(self, value: Value) -> Value:
        if self._validate_args:
            self._validate_sample(value)
        logits, value = broadcast_all(self.logits, value)
        likelihood = -f.nn.functional.binary_cross_entropy_with_logits(logits, value, reduction="none")
        return likelihood + self._log_normalizer_of_probs()

    def cdf(self, value: Value) -> Value:
        if self._validate_args:
            self._validate_sample(value)
        cut = self._cut()
        chance = (cut.pow(value) * (1.0 - cut).pow(1.0 - value) + cut - 1.0) / (2.0 * cut - 1.0)
        inside = f.where(self._outside(), chance, value)
        return f.where(value <= 0.0, 0.0, f.where(value >= 1.0, 1.0, inside))

    def icdf(self, value: Value) -> Value:
        cut = self._cut()
        found = ((-cut + value * (2.0 * cut - 1.0)).log1p() - (-cut).log1p()) / (cut.log() - (-cut).log1p())
        return f.where(self._outside(), found, value)

    def entropy(self) -> Value:
        log0, log1 = (-self.probs).log1p(), self.probs.log()
        return self.mean * (log0 - log1) - self._log_normalizer_of_probs() - log0

    @property
    def _natural_params(self) -> tuple[Value, ...]:
        return (self.logits,)

    def _log_normalizer(self, x: Value) -> Value:
        outside = (x.sigmoid() <= self._lims[0]) | (x.sigmoid() > self._lims[1])
        cut = f.where(outside, x, (self._lims[0] - 0.5) * f.ones_like(x))
        return f.where(outside, f.log((cut.exp() - 1) / cut), 0.5 * x + x.pow(2) / 24.0 - x.pow(4) / 2880.0)
