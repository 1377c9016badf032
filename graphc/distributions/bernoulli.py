"""The distribution of one trial: 1 for success, 0 for failure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from graphc.distributions import constraints
from graphc.distributions.exp_family import ExponentialFamily
from graphc.distributions.functions import Value, f
from graphc.distributions.utils import (
    broadcast_all,
    check_one_of,
    is_number,
    lazy_property,
    logits_to_probs,
    probs_to_logits,
)
from graphc.eager.mode import no_grad
from graphc.eager.size import Size

__all__ = ["Bernoulli"]


class Bernoulli(ExponentialFamily):
    """1 with the probability `probs`, or with that of the log-odds `logits`; else 0."""

    arg_constraints: ClassVar[Any] = {"probs": constraints.unit_interval, "logits": constraints.real}
    support = constraints.boolean
    has_enumerate_support = True
    _mean_carrier_measure = 0
    _event_dims: ClassVar[dict[str, int]] = {"probs": 0, "logits": 0, "_param": 0}

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: bool | None = None) -> None:
        check_one_of(probs, logits)
        given = logits if probs is None else probs
        (self._param,) = broadcast_all(given)
        if probs is None:
            self.logits = self._param
        else:
            self.probs = self._param
        super().__init__(Size() if is_number(given) else self._param.size(), validate_args=validate_args)

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
        """The mean."""
        return self.probs

    @property
    def mode(self) -> Value:
        """The most probable value; NaN where both are equally so."""
        mode = (self.probs >= 0.5).to(self.probs)
        return f.where(self.probs == 0.5, float("nan"), mode)

    @property
    def variance(self) -> Value:
        """The variance."""
        return self.probs * (1 - self.probs)

    def sample(self, sample_shape: Sequence[int] = ()) -> Value:
        """Samples, in the parameter's dtype."""
        with no_grad():
            return f.bernoulli(self.probs.expand(self._extended_shape(sample_shape)))

    def rsample(self, sample_shape: Sequence[int] = ()) -> Value:
        """Not there: the values are apart."""
        raise NotImplementedError

    def log_prob(self, value: Value) -> Value:
        """The logarithm of the probability of each value."""
        if self._validate_args:
            self._validate_sample(value)
        logits, value = broadcast_all(self.logits, value)
        return -f.nn.functional.binary_cross_entropy_with_logits(logits, value, reduction="none")

    def entropy(self) -> Value:
        """The entropy in nats."""
        return f.nn.functional.binary_cross_entropy_with_logits(self.logits, self.probs, reduction="none")

    def enumerate_support(self, expand: bool = True) -> Value:
        """0 and 1 along a new first dimension."""
        values = f.arange(2, dtype=self._param.dtype, device=self._param.device).view(
            (-1,) + (1,) * len(self._batch_shape)
        )
        return values.expand((-1, *self._batch_shape)) if expand else values

    @property
    def _natural_params(self) -> tuple[Value, ...]:
        return (f.logit(self.probs),)

    def _log_normalizer(self, x: Value) -> Value:
        return f.log1p(f.exp(x))
