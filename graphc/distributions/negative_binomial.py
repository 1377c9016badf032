"""The negative binomial distribution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from graphc.distributions import constraints
from graphc.distributions.distribution import Distribution
from graphc.distributions.functions import Value, f
from graphc.distributions.gamma import Gamma
from graphc.distributions.utils import (
    broadcast_all,
    check_one_of,
    lazy_property,
    logits_to_probs,
    probs_to_logits,
)
from graphc.eager.mode import no_grad
from graphc.eager.size import Size

__all__ = ["NegativeBinomial"]


class NegativeBinomial(Distribution):
    """Counts of successes, each of probability `probs` (log-odds `logits`), before `total_count` failures."""

    arg_constraints: ClassVar[Any] = {
        "total_count": constraints.greater_than_eq(0),
        "probs": constraints.half_open_interval(0.0, 1.0),
        "logits": constraints.real,
    }
    support = constraints.nonnegative_integer
    _event_dims: ClassVar[dict[str, int]] = {"total_count": 0, "probs": 0, "logits": 0, "_param": 0}

    def __init__(
        self, total_count: Any, probs: Any = None, logits: Any = None, validate_args: bool | None = None
    ) -> None:
        check_one_of(probs, logits)
        self.total_count, self._param = broadcast_all(total_count, logits if probs is None else probs)
        self.total_count = self.total_count.type_as(self._param)
        if probs is None:
            self.logits = self._param
        else:
            self.probs = self._param
        super().__init__(self._param.size(), validate_args=validate_args)

    @lazy_property
    def logits(self) -> Value:
        """Log-odds."""
        return probs_to_logits(self.probs, is_binary=True)

    @lazy_property
    def probs(self) -> Value:
        """Probabilities."""
        return logits_to_probs(self.logits, is_binary=True)

    @property
    def param_shape(self) -> Size:
        """The shape of the parameter."""
        found: Size = self._param.size()
        return found

    @property
    def mean(self) -> Value:
        return self.total_count * f.exp(self.logits)

    @property
    def mode(self) -> Value:
        return ((self.total_count - 1) * self.logits.exp()).floor().clamp(min=0.0)

    @property
    def variance(self) -> Value:
        return self.mean / f.sigmoid(-self.logits)

    def sample(self, sample_shape: Sequence[int] = ()) -> Value:
        with no_grad():
            rate = Gamma(self.total_count, f.exp(-self.logits), validate_args=False).sample(sample_shape)
            return f.poisson(rate)

    def log_prob(self, value: Value) -> Value:
        if self._validate_args:
            self._validate_sample(value)
        chance = self.total_count * f.nn.functional.logsigmoid(-self.logits) + value * f.nn.functional.logsigmoid(
            self.logits
        )
        ways = f.lgamma(self.total_count + value) - f.lgamma(1.0 + value) - f.lgamma(self.total_count)
        ways = ways.masked_fill(self.total_count + value == 0.0, 0.0)
        return chance + ways
