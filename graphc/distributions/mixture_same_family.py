"""Mixtures of distributions of one family."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from graphc.distributions import constraints
from graphc.distributions.categorical import Categorical
from graphc.distributions.distribution import Distribution
from graphc.distributions.functions import Value
from graphc.eager.mode import no_grad

__all__ = ["MixtureSameFamily"]


class MixtureSameFamily(Distribution):
    """A component, the last batch dimension of `component_distribution`, by a `mixture_distribution` of categories."""

    arg_constraints: ClassVar[Any] = {}

    def __init__(
        self, mixture_distribution: Any, component_distribution: Any, validate_args: bool | None = None
    ) -> None:
        if not isinstance(mixture_distribution, Categorical):
            raise ValueError(" The Mixture distribution needs to be an  instance of torch.distributions.Categorical")
        if not isinstance(component_distribution, Distribution):
            raise ValueError("The Component distribution needs to be an instance of torch.distributions.Distribution")
        self._mixture_distribution = mixture_distribution
        self._component_distribution = component_distribution
        mine, theirs = mixture_distribution.batch_shape, component_distribution.batch_shape[:-1]
        for one, other in zip(reversed(mine), reversed(theirs)):
            if one != 1 and other != 1 and one != other:
                raise ValueError(
                    f"`mixture_distribution.batch_shape` ({mine}) is not compatible with "
                    f"`component_distribution.batch_shape`({theirs})"
                )
        count, components = mixture_distribution.logits.shape[-1], component_distribution.batch_shape[-1]
        if count != components:
            raise ValueError(
                f"`mixture_distribution component` ({count}) does not equal "
                f"`component_distribution.batch_shape[-1]` ({components})"
            )
        self._num_component = components
        self._event_ndims = len(component_distribution.event_shape)
        super().__init__(theirs, component_distribution.event_shape, validate_args=validate_args)

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> MixtureSameFamily:
        new = super().expand(batch_shape, _instance)
        new._component_distribution = self._component_distribution.expand((*batch_shape, self._num_component))
        new._mixture_distribution = self._mixture_distribution.expand(batch_shape)
        new._num_component, new._event_ndims = self._num_component, self._event_ndims
        return new

    @constraints.dependent_property
    def support(self) -> Any:
        """The components'."""
        return constraints.MixtureSameFamilyConstraint(self._component_distribution.support)

    @property
    def mixture_distribution(self) -> Categorical:
        """The distribution of the component."""
        return self._mixture_distribution

    @property
    def component_distribution(self) -> Distribution:
        """The components."""
        return self._component_distribution

    def _weights(self) -> Value:
        weights = self._mixture_distribution.probs
        return weights.reshape(weights.shape + (1,) * self._event_ndims)

    @property
    def mean(self) -> Value:
        return (self._weights() * self._component_distribution.mean).sum(dim=-1 - self._event_ndims)

    @property
    def variance(self) -> Value:
        """The mean of the variances and the variance of the means."""
        weights, axis = self._weights(), -1 - self._event_ndims
        inside = (weights * self._component_distribution.variance).sum(dim=axis)
        offset = self._component_distribution.mean - self.mean.unsqueeze(axis)
        return inside + (weights * offset.pow(2.0)).sum(dim=axis)

    def cdf(self, x: Value) -> Value:
        chances = self._component_distribution.cdf(x.unsqueeze(-1 - self._event_ndims))
        return (chances * self._mixture_distribution.probs).sum(-1)

    def log_prob(self, x: Value) -> Value:
        if self._validate_args:
            self._validate_sample(x)
        log_each = self._component_distribution.log_prob(x.unsqueeze(-1 - self._event_ndims))
        return (log_each + self._mixture_distribution.logits.log_softmax(-1)).logsumexp(-1)

    def sample(self, sample_shape: Sequence[int] = ()) -> Value:
        with no_grad():
            axis = len(sample_shape) + len(self.batch_shape)
            chosen = self._mixture_distribution.sample(sample_shape)
            samples = self._component_distribution.sample(sample_shape)
            index = chosen.reshape(chosen.shape + (1,) * (self._event_ndims + 1))
            sizes = (1,) * (axis + 1) + tuple(self.event_shape)
            return samples.gather(axis, index.repeat(sizes)).squeeze(axis)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Value:
        """Not there: the component is apart."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"MixtureSameFamily(\n  {self.mixture_distribution},\n  {self.component_distribution})"
