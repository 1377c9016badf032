"""The Wishart distribution, over covariance matrices."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

from graphc.distributions import constraints
from graphc.distributions.exp_family import ExponentialFamily
from graphc.distributions.functions import Value, f
from graphc.distributions.gamma_sampling import standard_gamma
from graphc.distributions.multivariate_normal import precision_to_scale_tril
from graphc.distributions.utils import (
    is_number,
    lazy_property,
)
from graphc.eager.type_info import finfo

__all__ = ["Wishart"]


class Wishart(ExponentialFamily):
    """Sums of x x^T of `df` normal vectors, of a covariance, its inverse, or the Cholesky factor of it."""

    arg_constraints: ClassVar[Any] = {
        "covariance_matrix": constraints.positive_definite,
        "precision_matrix": constraints.positive_definite,
        "scale_tril": constraints.lower_cholesky,
        "df": constraints.greater_than(0),
    }
    support = constraints.positive_definite
    has_rsample = True
    _mean_carrier_measure = 0
    _event_dims: ClassVar[dict[str, int]] = {
        "df": 0,
        "covariance_matrix": 2,
        "precision_matrix": 2,
        "scale_tril": 2,
        "_unbroadcasted_scale_tril": 2,
    }

    def __init__(
        self,
        df: Any,
        covariance_matrix: Any = None,
        precision_matrix: Any = None,
        scale_tril: Any = None,
        validate_args: bool | None = None,
    ) -> None:
        given = {"covariance_matrix": covariance_matrix, "precision_matrix": precision_matrix, "scale_tril": scale_tril}
        named = [(name, value) for name, value in given.items() if value is not None]
        if len(named) != 1:
            raise ValueError("Exactly one of covariance_matrix or precision_matrix or scale_tril may be specified.")
        name, matrix = named[0]
        if matrix.dim() < 2:
            raise ValueError("scale_tril must be at least two-dimensional, with optional leading batch dimensions")
        df = f.tensor(df, dtype=matrix.dtype, device=matrix.device) if is_number(df) else df
        batch_shape = f.broadcast_shapes(matrix.shape[:-2], df.shape)
        event_shape = matrix.shape[-2:]
        if df.le(event_shape[-1] - 1).any():
            raise ValueError(f"Value of df={df} expected to be greater than ndim - 1 = {event_shape[-1] - 1}.")
        setattr(self, name, matrix.expand((*batch_shape, *event_shape)))
        self.df = df.expand(batch_shape)
        super().__init__(batch_shape, event_shape, validate_args=validate_args)
        if scale_tril is not None:
            self._unbroadcasted_scale_tril = scale_tril
        elif covariance_matrix is not None:
            self._unbroadcasted_scale_tril = f.linalg.cholesky(covariance_matrix)
        else:
            self._unbroadcasted_scale_tril = precision_to_scale_tril(precision_matrix)

    def _whole(self, matrix: Value) -> Value:
        return matrix.expand((*self._batch_shape, *self._event_shape))

    @lazy_property
    def scale_tril(self) -> Value:
        """The Cholesky factor of the covariance."""
        return self._whole(self._unbroadcasted_scale_tril)

    @lazy_property
    def covariance_matrix(self) -> Value:
        """The covariance."""
        return self._whole(self._unbroadcasted_scale_tril @ self._unbroadcasted_scale_tril.mT)

    @lazy_property
    def precision_matrix(self) -> Value:
        """The inverse of the covariance."""
        return self._whole(f.cholesky_inverse(self._unbroadcasted_scale_tril))

    @property
    def mean(self) -> Value:
        return self.df.view((*self._batch_shape, 1, 1)) * self.covariance_matrix

    @property
    def mode(self) -> Value:
        factor = self.df - self.covariance_matrix.shape[-1] - 1
        factor = f.where(factor <= 0, math.nan, factor)
        return factor.view((*self._batch_shape, 1, 1)) * self.covariance_matrix

    @property
    def variance(self) -> Value:
        matrix = self.covariance_matrix
        diagonal = matrix.diagonal(dim1=-2, dim2=-1)
        outer = diagonal.unsqueeze(-1) * diagonal.unsqueeze(-2)
        return self.df.view((*self._batch_shape, 1, 1)) * (matrix.pow(2) + outer)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Value:
        """Samples by Bartlett's decomposition: chi on the diagonal, normal numbers below."""
        p = self._event_shape[-1]
        shape = (*sample_shape, *self._batch_shape)
        freedom = self.df.unsqueeze(-1) - f.arange(p, dtype=self.df.dtype, device=self.df.device)
        chi2 = 2 * standard_gamma((freedom / 2).expand((*shape, p)))
        below = f.randn((*shape, p, p), dtype=self.df.dtype, device=self.df.device).tril(diagonal=-1)
        noise = below + chi2.clamp(min=finfo(self.df.dtype).tiny).sqrt().diag_embed()
        factor = self._unbroadcasted_scale_tril @ noise
        return factor @ factor.mT

    def log_prob(self, value: Value) -> Value:
        if self._validate_args:
            self._validate_sample(value)
        nu, p = self.df, self._event_shape[-1]
        half_log_det = self._unbroadcasted_scale_tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        solved = f.cholesky_solve(value, self._unbroadcasted_scale_tril)
        return (
            -nu * (p * math.log(2) / 2 + half_log_det)
            - f.mvlgamma(nu / 2, p=p)
            + (nu - p - 1) / 2 * f.linalg.slogdet(value).logabsdet
            - solved.diagonal(dim1=-2, dim2=-1).sum(dim=-1) / 2
        )

    def entropy(self) -> Value:
        nu, p = self.df, self._event_shape[-1]
        half_log_det = self._unbroadcasted_scale_tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        digammas = f.digamma((nu.unsqueeze(-1) - f.arange(p, dtype=nu.dtype, device=nu.device)) / 2).sum(-1)
        return (
            (p + 1) * (p * math.log(2) / 2 + half_log_det)
            + f.mvlgamma(nu / 2, p=p)
            - (nu - p - 1) / 2 * digammas
            + nu * p / 2
        )

    @property
    def _natural_params(self) -> tuple[Value, ...]:
        return -self.precision_matrix / 2, (self.df - self._event_shape[-1] - 1) / 2

    def _log_normalizer(self, x: Value, y: Value) -> Value:
        p = self._event_shape[-1]
        half = y + (p + 1) / 2
        return half * (p * math.log(2) - f.linalg.slogdet(-2 * x).logabsdet) + f.mvlgamma(half, p)
