"""The normal distribution of vectors, of a covariance of low rank plus a diagonal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

from graphc.distributions import constraints
from graphc.distributions.distribution import Distribution
from graphc.distributions.functions import Value, f
from graphc.distributions.multivariate_normal import mahalanobis
from graphc.distributions.utils import (
    lazy_property,
)

__all__ = ["LowRankMultivariateNormal"]


class LowRankMultivariateNormal(Distribution):
    """Vectors of covariance cov_factor @ cov_factor.T + diag(cov_diag), [..., D, rank] and [..., D]."""

    arg_constraints: ClassVar[Any] = {
        "loc": constraints.real_vector,
        "cov_factor": constraints.independent(constraints.real, 2),
        "cov_diag": constraints.independent(constraints.positive, 1),
    }
    support = constraints.real_vector
    has_rsample = True
    _event_dims: ClassVar[dict[str, int]] = {
        "loc": 1,
        "cov_factor": 2,
        "cov_diag": 1,
        "covariance_matrix": 2,
        "scale_tril": 2,
        "precision_matrix": 2,
    }

    def __init__(self, loc: Any, cov_factor: Any, cov_diag: Any, validate_args: bool | None = None) -> None:
        if loc.dim() < 1:
            raise ValueError("loc must be at least one-dimensional.")
        event_shape = loc.shape[-1:]
        if cov_factor.dim() < 2:
            raise ValueError("cov_factor must be at least two-dimensional, with optional leading batch dimensions")
        if cov_factor.shape[-2:-1] != event_shape:
            raise ValueError(f"cov_factor must be a batch of matrices with shape {event_shape[0]} x m")
        if cov_diag.shape[-1:] != event_shape:
            raise ValueError(f"cov_diag must be a batch of vectors with shape {event_shape}")
        try:
            batch_shape = f.broadcast_shapes(loc.shape[:-1], cov_factor.shape[:-2], cov_diag.shape[:-1])
        except RuntimeError as error:
            raise ValueError(
                f"Incompatible batch shapes: loc {loc.shape}, cov_factor {cov_factor.shape}, cov_diag {cov_diag.shape}"
            ) from error
        self.loc = loc.expand((*batch_shape, *event_shape))
        self.cov_factor = cov_factor.expand((*batch_shape, *cov_factor.shape[-2:]))
        self.cov_diag = cov_diag.expand((*batch_shape, *event_shape))
        super().__init__(batch_shape, event_shape, validate_args=validate_args)

    @property
    def _capacitance_tril(self) -> Value:
        """The Cholesky factor of I + W^T D^-1 W, the small matrix of Woodbury's formula."""
        weighted = self.cov_factor.mT / self.cov_diag.unsqueeze(-2)
        return f.linalg.cholesky(
            weighted @ self.cov_factor + f.eye(self.cov_factor.shape[-1], dtype=self.loc.dtype, device=self.loc.device)
        )

    @lazy_property
    def scale_tril(self) -> Value:
        """The Cholesky factor of the covariance."""
        return f.linalg.cholesky(self.covariance_matrix)

    @lazy_property
    def covariance_matrix(self) -> Value:
        """The covariance."""
        return self.cov_factor @ self.cov_factor.mT + f.diag_embed(self.cov_diag)

    @lazy_property
    def precision_matrix(self) -> Value:
        """The inverse of the covariance."""
        weighted = self.cov_factor.mT / self.cov_diag.unsqueeze(-2)
        solved = f.linalg.solve_triangular(self._capacitance_tril, weighted, upper=False)
        return f.diag_embed(self.cov_diag.reciprocal()) - solved.mT @ solved

    @property
    def mean(self) -> Value:
        return self.loc

    @property
    def mode(self) -> Value:
        return self.loc

    @lazy_property
    def variance(self) -> Value:
        """The variance."""
        return self.cov_factor.pow(2).sum(-1) + self.cov_diag

    def rsample(self, sample_shape: Sequence[int] = ()) -> Value:
        shape = self._extended_shape(sample_shape)
        along = f.randn((*shape[:-1], self.cov_factor.shape[-1]), dtype=self.loc.dtype, device=self.loc.device)
        beside = f.randn(shape, dtype=self.loc.dtype, device=self.loc.device)
        moved = (self.cov_factor @ along.unsqueeze(-1)).squeeze(-1)
        return self.loc + moved + self.cov_diag.sqrt() * beside

    def log_prob(self, value: Value) -> Value:
        if self._validate_args:
            self._validate_sample(value)
        tril = self._capacitance_tril
        offset = value - self.loc
        weighted = (self.cov_factor.mT @ (offset / self.cov_diag).unsqueeze(-1)).squeeze(-1)
        distance = (offset.pow(2) / self.cov_diag).sum(-1) - mahalanobis(tril, weighted)
        return -0.5 * (self._event_shape[0] * math.log(2 * math.pi) + self._log_det(tril) + distance)

    def _log_det(self, tril: Value) -> Value:
        return 2 * tril.diagonal(dim1=-2, dim2=-1).log().sum(-1) + self.cov_diag.log().sum(-1)

    def entropy(self) -> Value:
        result = 0.5 * (self._event_shape[0] * (1.0 + math.log(2 * math.pi)) + self._log_det(self._capacitance_tril))
        return result if not self._batch_shape else result.expand(self._batch_shape)
