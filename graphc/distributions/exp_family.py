"""Families of densities exp(<t(x), theta> - F(theta)) over a measure, whose entropy follows from F."""

from __future__ import annotations

from graphc.distributions.distribution import Distribution
from graphc.distributions.functions import Value, f

__all__ = ["ExponentialFamily"]


class ExponentialFamily(Distribution):
    """A distribution that knows its natural parameters and the logarithm of its normalizer."""

    @property
    def _natural_params(self) -> tuple[Value, ...]:
        """The natural parameters."""
        raise NotImplementedError

    def _log_normalizer(self, *natural_params: Value) -> Value:
        """F of the natural parameters."""
        raise NotImplementedError

    @property
    def _mean_carrier_measure(self) -> float:
        """The mean of the logarithm of the measure."""
        raise NotImplementedError

    def entropy(self) -> Value:
        """F(theta) - <theta, grad F(theta)> less the mean of the measure.

        F. Nielsen, R. Nock: Entropies and cross-entropies of exponential families (2010).
        """
        params = [each.detach().requires_grad_() for each in self._natural_params]
        normalizer = self._log_normalizer(*params)
        gradients = f.autograd.grad(normalizer.sum(), params, create_graph=True)
        result = -self._mean_carrier_measure + normalizer
        for each, gradient in zip(params, gradients, strict=True):
            product = each * gradient
            kept = len(self._batch_shape)
            result = (
                result - product.reshape((*self._batch_shape, -1)).sum(-1)
                if product.dim() > kept
                else (result - product)
            )
        return result
