"""The geometric distribution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from graphc.distributions import constraints
from graphc.distributions.distribution import Distribution
from graphc.distributions.functions import Value, f
from graphc.distributions.utils import (
    broadcast_all,
    check_one_of,
    lazy_property,
    logits_to_probs,
    probs_to_logits,
    shape_of_all,
)
from graphc.eager.mode import no_grad
from graphc.eager.type_info import finfo

__all__ = ["Geometric"]


class Geometric(Distribution):
    """Counts of failures before the first success, each trial with the probability `probs` (log-odds `logits`)."""

    arg_constraints: ClassVar[Any] = {"probs": constraints.unit_interval, "logits": constraints.real}
    support = constraints.nonnegative_integer
    _event_dims: ClassVar[dict[str, int]] = {"probs": 0, "logits": 0}

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: bool | None = None) -> None:
        check_one_of(probs, logits)
        given = logits if probs is None else probs
        (made,) = broadcast_all(given)
        if probs is None:
            self.logits = made
        else:
            self.probs = made
        super().__init__(shape_of_all(given, made), validate_args=validate_args)
        if self._validate_args and probs is not None and not (self.probs > 0).all():
            raise ValueError(
                f"Expected parameter probs ({type(made).__name__} of shape {tuple(made.shape)}) of distribution "
                f"{self!r} to be positive but found invalid values:\n{made.reshape(-1)[(made <= 0).reshape(-1)]}"
            )

    @lazy_property
    def logits(self) -> Value:
        """Log-odds."""
        return probs_to_logits(self.probs, is_binary=True)

    @lazy_property
    def probs(self) -> Value:
        """Probabilities."""
        return logits_to_probs(self.logits, is_binary=True)

    @property
    def mean(self) -> Value:
        return 1.0 / self.probs - 1.0

    @property
    def mode(self) -> Value:
        return f.zeros_like(self.probs)

    @property
    def variance(self) -> Value:
        return (1.0 / self.probs - 1.0) / self.probs

    def sample(self, sample_shape: Sequence[int] = ()) -> Value:
        with no_grad():
            u = f.rand(self._extended_shape(sample_shape), dtype=self.probs.dtype, device=self.probs.device)
            return (u.clamp(min=finfo(self.probs.dtype).tiny).log() / (-self.probs).log1p()).floor()

    def log_prob(self, value: Value) -> Value:
        if self._validate_args:
            self._validate_sample(value)
        value, probs = broadcast_all(value, self.probs)
        probs = f.where((probs == 1) & (value == 0), 0.0, probs)
        return value * (-probs).log1p() + self.probs.log()

    def entropy(self) -> Value:
        return f.nn.functional.binary_cross_entropy_with_logits(self.logits, self.probs, reduction="none") / self.probs
