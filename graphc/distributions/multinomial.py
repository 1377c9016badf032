"""The multinomial distribution: counts of several outcomes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

from graphc.distributions import constraints
from graphc.distributions.binomial import Binomial
from graphc.distributions.categorical import Categorical
from graphc.distributions.distribution import Distribution
from graphc.distributions.functions import Value, f
from graphc.distributions.utils import (
    broadcast_all,
)
from graphc.eager.size import Size

__all__ = ["Multinomial"]


class Multinomial(Distribution):
    """How often each category comes in `total_count` draws, of `probs` [..., K] or `logits`."""

    arg_constraints: ClassVar[Any] = {"probs": constraints.simplex, "logits": constraints.real_vector}

    def __init__(
        self, total_count: int = 1, probs: Any = None, logits: Any = None, validate_args: bool | None = None
    ) -> None:
        if not isinstance(total_count, int):
            raise NotImplementedError("inhomogeneous total_count is not supported")
        self.total_count = total_count
        self._categorical = Categorical(probs=probs, logits=logits)
        super().__init__(self._categorical.batch_shape, self._categorical.param_shape[-1:], validate_args=validate_args)

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> Multinomial:
        new = super().expand(batch_shape, _instance)
        new.total_count = self.total_count
        new._categorical = self._categorical.expand(batch_shape)
        return new

    @constraints.dependent_property(is_discrete=True, event_dim=1)
    def support(self) -> Any:
        """Counts with the sum `total_count`."""
        return constraints.multinomial(self.total_count)

    @property
    def logits(self) -> Value:
        """Log-probabilities."""
        return self._categorical.logits

    @property
    def probs(self) -> Value:
        """Probabilities."""
        return self._categorical.probs

    @property
    def param_shape(self) -> Size:
        """The shape of the parameter."""
        return self._categorical.param_shape

    @property
    def mean(self) -> Value:
        return self.probs * self.total_count

    @property
    def variance(self) -> Value:
        return self.total_count * self.probs * (1 - self.probs)

    def sample(self, sample_shape: Sequence[int] = ()) -> Value:
        drawn = self._categorical.sample(Size((self.total_count, *sample_shape)))
        counts = f.zeros(self._extended_shape(sample_shape), dtype=self.probs.dtype, device=self.probs.device)
        places = drawn.movedim(0, -1)
        return counts.scatter_add(-1, places, f.ones(places.shape, dtype=counts.dtype, device=counts.device))

    def log_prob(self, value: Value) -> Value:
        if self._validate_args:
            self._validate_sample(value)
        logits, value = broadcast_all(self.logits, value)
        ways = f.lgamma(value.sum(-1) + 1) - f.lgamma(value + 1).sum(-1)
        logits = logits.masked_fill((value == 0) & (logits == -math.inf), 0)
        return ways + (logits * value).sum(-1)

    def entropy(self) -> Value:
        n = f.tensor(self.total_count)
        # of each count, log k! with the chance of k
        support = Binomial(self.total_count, probs=self.probs).enumerate_support(expand=False)[1:]
        chances = f.exp(Binomial(self.total_count, probs=self.probs).log_prob(support))
        expected = (chances * f.lgamma(support + 1)).sum(dim=(0, -1))
        return n * self._categorical.entropy() - f.lgamma(n + 1) + expected
