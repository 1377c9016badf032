"""Categories as vectors with one 1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from graphc.distributions import constraints
from graphc.distributions.categorical import Categorical
from graphc.distributions.distribution import Distribution
from graphc.distributions.functions import Value, f
from graphc.eager.size import Size

__all__ = ["OneHotCategorical", "OneHotCategoricalStraightThrough"]


class OneHotCategorical(Distribution):
    """Vectors with a 1 at the category that was drawn, of `probs` [..., K] or `logits`."""

    arg_constraints: ClassVar[Any] = {"probs": constraints.simplex, "logits": constraints.real_vector}
    support = constraints.one_hot
    has_enumerate_support = True

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: bool | None = None) -> None:
        self._categorical = Categorical(probs, logits)
        super().__init__(self._categorical.batch_shape, self._categorical.param_shape[-1:], validate_args=validate_args)

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> OneHotCategorical:
        new = super().expand(batch_shape, _instance)
        new._categorical = self._categorical.expand(batch_shape)
        return new

    @property
    def logits(self) -> Value:
        """Log-probabilities."""
        return self._categorical.logits

    @property
    def probs(self) -> Value:
        """Probabilities."""
        return self._categorical.probs

    @property
    def _param(self) -> Value:
        return self._categorical._param

    @property
    def param_shape(self) -> Size:
        """The shape of the parameter."""
        return self._categorical.param_shape

    @property
    def mean(self) -> Value:
        return self._categorical.probs

    @property
    def mode(self) -> Value:
        return _one_hot(self._categorical.mode, self.probs)

    @property
    def variance(self) -> Value:
        return self._categorical.probs * (1 - self._categorical.probs)

    def sample(self, sample_shape: Sequence[int] = ()) -> Value:
        return _one_hot(self._categorical.sample(sample_shape), self.probs)

    def log_prob(self, value: Value) -> Value:
        if self._validate_args:
            self._validate_sample(value)
        return self._categorical.log_prob(value.max(-1)[1])

    def entropy(self) -> Value:
        return self._categorical.entropy()

    def enumerate_support(self, expand: bool = True) -> Value:
        n = self.event_shape[0]
        values = f.eye(n, dtype=self._param.dtype, device=self._param.device).view(
            (n,) + (1,) * len(self.batch_shape) + (n,)
        )
        return values.expand((n, *self.batch_shape, n)) if expand else values


class OneHotCategoricalStraightThrough(OneHotCategorical):
    """The same, whose samples pass gradients to the probabilities as if they were these.

    Y. Bengio, N. Leonard, A. Courville: Estimating or propagating gradients through stochastic neurons (2013).
    """

    has_rsample = True

    def rsample(self, sample_shape: Sequence[int] = ()) -> Value:
        samples = self.sample(sample_shape)
        probs = self._categorical.probs
        return samples + (probs - probs.detach())


def _one_hot(index: Value, like: Value) -> Value:
    return f.nn.functional.one_hot(index, like.size(-1)).to(like)
