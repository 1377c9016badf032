"""The Dirichlet distribution, over shares of a whole."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from graphc.distributions import constraints
from graphc.distributions.exp_family import ExponentialFamily
from graphc.distributions.functions import Value, f
from graphc.distributions.gamma_sampling import standard_gamma
from graphc.eager.type_info import finfo

__all__ = ["Dirichlet"]


class Dirichlet(ExponentialFamily):
    """Vectors of shares with the sum 1, of `concentration` [..., K]."""

    arg_constraints: ClassVar[Any] = {"concentration": constraints.independent(constraints.positive, 1)}
    support = constraints.simplex
    has_rsample = True
    _event_dims: ClassVar[dict[str, int]] = {"concentration": 1}

    def __init__(self, concentration: Any, validate_args: bool | None = None) -> None:
        if concentration.dim() < 1:
            raise ValueError("`concentration` parameter must be at least one-dimensional.")
        self.concentration = concentration
        super().__init__(concentration.shape[:-1], concentration.shape[-1:], validate_args=validate_args)

    @property
    def mean(self) -> Value:
        return self.concentration / self.concentration.sum(-1, True)

    @property
    def mode(self) -> Value:
        less = (self.concentration - 1).clamp(min=0.0)
        mode = less / less.sum(-1, True)
        is_open = (self.concentration < 1).all(dim=-1)
        corner = f.nn.functional.one_hot(self.concentration.argmax(dim=-1), self.concentration.size(-1)).to(mode)
        return f.where(is_open.unsqueeze(-1), corner, mode)

    @property
    def variance(self) -> Value:
        total = self.concentration.sum(-1, True)
        return self.concentration * (total - self.concentration) / (total.pow(2) * (total + 1))

    def rsample(self, sample_shape: Sequence[int] = ()) -> Value:
        parts = standard_gamma(self.concentration.expand(self._extended_shape(sample_shape)))
        parts = parts.clamp(min=finfo(parts.dtype).tiny)  # small concentrations may underflow
        return parts / parts.sum(-1, True)

    def log_prob(self, value: Value) -> Value:
        if self._validate_args:
            self._validate_sample(value)
        return (
            f.xlogy(self.concentration - 1.0, value).sum(-1)
            + f.lgamma(self.concentration.sum(-1))
            - f.lgamma(self.concentration).sum(-1)
        )

    def entropy(self) -> Value:
        count = self.concentration.size(-1)
        total = self.concentration.sum(-1)
        return (
            f.lgamma(self.concentration).sum(-1)
            - f.lgamma(total)
            - (count - total) * f.digamma(total)
            - ((self.concentration - 1.0) * f.digamma(self.concentration)).sum(-1)
        )

    @property
    def _natural_params(self) -> tuple[Value, ...]:
        return (self.concentration,)

    def _log_normalizer(self, x: Value) -> Value:
        return x.lgamma().sum(-1) - f.lgamma(x.sum(-1))
