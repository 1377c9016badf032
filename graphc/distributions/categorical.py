"""The distribution over the numbers of some categories."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from graphc.distributions import constraints
from graphc.distributions.distribution import Distribution
from graphc.distributions.functions import Value, f
from graphc.distributions.utils import check_one_of, lazy_property, logits_to_probs, probs_to_logits
from graphc.eager.size import Size
from graphc.eager.type_info import finfo

__all__ = ["Categorical"]


class Categorical(Distribution):
    """Numbers 0 to K - 1, of `probs` [..., K] (made to add up to 1) or unnormalized log-probabilities `logits`."""

    arg_constraints: ClassVar[Any] = {"probs": constraints.simplex, "logits": constraints.real_vector}
    has_enumerate_support = True
    _event_dims: ClassVar[dict[str, int]] = {"probs": 1, "logits": 1, "_param": 1}

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: bool | None = None) -> None:
        check_one_of(probs, logits)
        if probs is not None:
            if probs.dim() < 1:
                raise ValueError("`probs` parameter must be at least one-dimensional.")
            self.probs = probs / probs.sum(-1, keepdim=True)
        else:
            if logits.dim() < 1:
                raise ValueError("`logits` parameter must be at least one-dimensional.")
            self.logits = logits - logits.logsumexp(dim=-1, keepdim=True)
        self._param = self.probs if probs is not None else self.logits
        self._num_events = self._param.size()[-1]
        batch_shape = self._param.size()[:-1] if self._param.ndimension() > 1 else Size()
        super().__init__(batch_shape, validate_args=validate_args)

    @constraints.dependent_property(is_discrete=True, event_dim=0)
    def support(self) -> Any:
        """0 to K - 1."""
        return constraints.integer_interval(0, self._num_events - 1)

    @lazy_property
    def logits(self) -> Value:
        """Log-probabilities."""
        return probs_to_logits(self.probs)

    @lazy_property
    def probs(self) -> Value:
        """Probabilities."""
        return logits_to_probs(self.logits)

    @property
    def param_shape(self) -> Size:
        """The shape of the parameter."""
        found: Size = self._param.size()
        return found

    @property
    def mean(self) -> Value:
        """NaN: categories have no mean."""
        return f.full(self._extended_shape(), float("nan"), dtype=self.probs.dtype, device=self.probs.device)

    @property
    def mode(self) -> Value:
        """The most probable value."""
        return self.probs.argmax(dim=-1)

    @property
    def variance(self) -> Value:
        """NaN: categories have no variance."""
        return f.full(self._extended_shape(), float("nan"), dtype=self.probs.dtype, device=self.probs.device)

    def sample(self, sample_shape: Sequence[int] = ()) -> Value:
        """Samples, int64."""
        rows = self.probs.detach().reshape(-1, self._num_events)
        drawn = f.multinomial(rows, Size(sample_shape).numel(), True)
        return drawn.T.reshape(self._extended_shape(sample_shape))

    def rsample(self, sample_shape: Sequence[int] = ()) -> Value:
        """Not there: categories are apart."""
        raise NotImplementedError

    def log_prob(self, value: Value) -> Value:
        """The logarithm of the probability of each value."""
        if self._validate_args:
            self._validate_sample(value)
        value, rows = f.broadcast_tensors(value.long().unsqueeze(-1), self.logits)
        return rows.gather(-1, value[..., :1]).squeeze(-1)

    def entropy(self) -> Value:
        """The entropy in nats."""
        logits = f.clamp(self.logits, min=finfo(self.logits.dtype).min)
        return -(logits * self.probs).sum(-1)

    def enumerate_support(self, expand: bool = True) -> Value:
        """0 to K - 1 along a new first dimension."""
        values = f.arange(self._num_events, dtype=f.long, device=self._param.device).view(
            (-1,) + (1,) * len(self._batch_shape)
        )
        return values.expand((-1, *self._batch_shape)) if expand else values
