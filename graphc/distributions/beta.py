"""The beta distribution, over shares."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from graphc.distributions import constraints
from graphc.distributions.dirichlet import Dirichlet
from graphc.distributions.exp_family import ExponentialFamily
from graphc.distributions.functions import Value, f
from graphc.distributions.utils import (
    broadcast_all,
    is_number,
)

__all__ = ["Beta"]


class Beta(ExponentialFamily):
    """Shares from 0 to 1, of densities like x**(concentration1 - 1) * (1 - x)**(concentration0 - 1)."""

    arg_constraints: ClassVar[Any] = {"concentration1": constraints.positive, "concentration0": constraints.positive}
    support = constraints.unit_interval
    has_rsample = True

    def __init__(self, concentration1: Any, concentration0: Any, validate_args: bool | None = None) -> None:
        both = f.stack(broadcast_all(*map(_float, (concentration1, concentration0))), -1)
        self._dirichlet = Dirichlet(both, validate_args=validate_args)
        super().__init__(self._dirichlet._batch_shape, validate_args=validate_args)

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> Beta:
        new = super().expand(batch_shape, _instance)
        new._dirichlet = self._dirichlet.expand(batch_shape)
        return new

    @property
    def mean(self) -> Value:
        return self.concentration1 / (self.concentration1 + self.concentration0)

    @property
    def mode(self) -> Value:
        return self._dirichlet.mode[..., 0]

    @property
    def variance(self) -> Value:
        total = self.concentration1 + self.concentration0
        return self.concentration1 * self.concentration0 / (total.pow(2) * (total + 1))

    def rsample(self, sample_shape: Sequence[int] = ()) -> Value:
        return self._dirichlet.rsample(sample_shape).select(-1, 0)

    def log_prob(self, value: Value) -> Value:
        if self._validate_args:
            self._validate_sample(value)
        return self._dirichlet.log_prob(f.stack([value, 1.0 - value], -1))

    def entropy(self) -> Value:
        return self._dirichlet.entropy()

    @property
    def concentration1(self) -> Value:
        """The concentration of the share."""
        return self._dirichlet.concentration[..., 0]

    @property
    def concentration0(self) -> Value:
        """The concentration of the rest."""
        return self._dirichlet.concentration[..., 1]

    @property
    def _natural_params(self) -> tuple[Value, ...]:
        return self.concentration1, self.concentration0

    def _log_normalizer(self, x: Value, y: Value) -> Value:
        return f.lgamma(x) + f.lgamma(y) - f.lgamma(x + y)


def _float(value: Any) -> Any:
    return float(value) if is_number(value) else value
