"""Invertible functions of values, with the logarithm of how much they stretch volume.

In: a value of the `domain`. Out: one of the `codomain`; its inverse; log |det dy/dx|.

>>> import graphc
>>> exp = ExpTransform()
>>> exp(graphc.tensor(0.0)), exp.inv(graphc.tensor(1.0)), exp.log_abs_det_jacobian(graphc.tensor(2.0), None)
(tensor(1.), tensor(0.), tensor(2.))
"""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Sequence
from typing import Any

from graphc.distributions import constraints
from graphc.distributions.functions import Value, f
from graphc.distributions.transform import (
    ComposeTransform,
    Elementwise,
    IndependentTransform,
    ReshapeTransform,
    Transform,
    identity_transform,
)
from graphc.distributions.utils import broadcast_all, is_number, sum_rightmost, tril_matrix_to_vec, vec_to_tril_matrix
from graphc.eager.size import Size
from graphc.eager.type_info import finfo

__all__ = [
    "AbsTransform",
    "AffineTransform",
    "CatTransform",
    "ComposeTransform",
    "CorrCholeskyTransform",
    "CumulativeDistributionTransform",
    "ExpTransform",
    "IndependentTransform",
    "LowerCholeskyTransform",
    "PositiveDefiniteTransform",
    "PowerTransform",
    "ReshapeTransform",
    "SigmoidTransform",
    "SoftmaxTransform",
    "SoftplusTransform",
    "StackTransform",
    "StickBreakingTransform",
    "TanhTransform",
    "Transform",
    "identity_transform",
]


class ExpTransform(Elementwise):
    """exp(x)."""

    codomain = constraints.positive

    def _call(self, x: Value) -> Value:
        return x.exp()

    def _inverse(self, y: Value) -> Value:
        return y.log()

    def log_abs_det_jacobian(self, x: Value, y: Value) -> Value:
        return x


class PowerTransform(Transform):
    """x**exponent, of positive numbers."""

    domain = codomain = constraints.positive
    bijective = True

    def __init__(self, exponent: Any, cache_size: int = 0) -> None:
        super().__init__(cache_size=cache_size)
        (self.exponent,) = broadcast_all(exponent)

    def with_cache(self, cache_size: int = 1) -> Transform:
        return self if self._cache_size == cache_size else PowerTransform(self.exponent, cache_size=cache_size)

    @property
    def sign(self) -> Any:
        return self.exponent.sign()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PowerTransform) and bool(self.exponent.eq(other.exponent).all().item())

    __hash__ = Transform.__hash__

    def _call(self, x: Value) -> Value:
        return x.pow(self.exponent)

    def _inverse(self, y: Value) -> Value:
        return y.pow(1 / self.exponent)

    def log_abs_det_jacobian(self, x: Value, y: Value) -> Value:
        return (self.exponent * y / x).abs().log()

    def forward_shape(self, shape: Sequence[int]) -> Sequence[int]:
        return Size(f.broadcast_shapes(shape, self.exponent.shape))

    inverse_shape = forward_shape


class SigmoidTransform(Elementwise):
    """1 / (1 + exp(-x)), away from 0 and 1 by the dtype's epsilon."""

    codomain = constraints.unit_interval

    def _call(self, x: Value) -> Value:
        info = finfo(x.dtype)
        return f.clamp(f.sigmoid(x), min=info.tiny, max=1.0 - info.eps)

    def _inverse(self, y: Value) -> Value:
        info = finfo(y.dtype)
        y = y.clamp(min=info.tiny, max=1.0 - info.eps)
        return y.log() - (-y).log1p()

    def log_abs_det_jacobian(self, x: Value, y: Value) -> Value:
        return -f.nn.functional.softplus(-x) - f.nn.functional.softplus(x)


class SoftplusTransform(Elementwise):
    """log(1 + exp(x))."""

    codomain = constraints.positive

    def _call(self, x: Value) -> Value:
        return f.nn.functional.softplus(x)

    def _inverse(self, y: Value) -> Value:
        return (-y).expm1().neg().log() + y

    def log_abs_det_jacobian(self, x: Value, y: Value) -> Value:
        return -f.nn.functional.softplus(-x)


class TanhTransform(Elementwise):
    """tanh(x)."""

    codomain = constraints.interval(-1.0, 1.0)

    def _call(self, x: Value) -> Value:
        return x.tanh()

    def _inverse(self, y: Value) -> Value:
        return f.atanh(y)

    def log_abs_det_jacobian(self, x: Value, y: Value) -> Value:
        # log(1 - tanh(x)**2) = 2 (log 2 - x - softplus(-2 x))
        return 2.0 * (math.log(2.0) - x - f.nn.functional.softplus(-2.0 * x))


class AbsTransform(Elementwise):
    """|x|, whose inverse takes the positive number."""

    codomain = constraints.positive
    bijective = False

    @property
    def sign(self) -> Any:  # type: ignore[override]  # it has none
        raise NotImplementedError

    def _call(self, x: Value) -> Value:
        return x.abs()

    def _inverse(self, y: Value) -> Value:
        return y


class AffineTransform(Transform):
    """loc + scale * x, of values of `event_dim` dimensions."""

    bijective = True

    def __init__(self, loc: Any, scale: Any, event_dim: int = 0, cache_size: int = 0) -> None:
        super().__init__(cache_size=cache_size)
        self.loc, self.scale, self._event_dim = loc, scale, event_dim

    @property
    def event_dim(self) -> int:
        return self._event_dim

    @property
    def domain(self) -> Any:
        return constraints.independent(constraints.real, self.event_dim) if self.event_dim else constraints.real

    codomain = domain

    def with_cache(self, cache_size: int = 1) -> Transform:
        if self._cache_size == cache_size:
            return self
        return AffineTransform(self.loc, self.scale, self.event_dim, cache_size=cache_size)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, AffineTransform):
            return False
        return all(
            bool(mine == theirs) if is_number(mine) and is_number(theirs) else bool((mine == theirs).all().item())
            for mine, theirs in ((self.loc, other.loc), (self.scale, other.scale))
        )

    __hash__ = Transform.__hash__

    @property
    def sign(self) -> Any:
        if is_number(self.scale):
            return 1 if self.scale > 0 else -1 if self.scale < 0 else 0
        return self.scale.sign()

    def _call(self, x: Value) -> Value:
        return self.loc + self.scale * x

    def _inverse(self, y: Value) -> Value:
        return (y - self.loc) / self.scale

    def log_abs_det_jacobian(self, x: Value, y: Value) -> Value:
        shape = x.shape
        if is_number(self.scale):
            result = f.full_like(x, math.log(abs(self.scale)))
        else:
            result = f.abs(self.scale).log()
        if self.event_dim:
            result = result.view((*result.size()[: -self.event_dim], -1)).sum(-1)
            shape = shape[: -self.event_dim]
        return result.expand(shape)

    def forward_shape(self, shape: Sequence[int]) -> Sequence[int]:
        return Size(f.broadcast_shapes(shape, getattr(self.loc, "shape", ()), getattr(self.scale, "shape", ())))

    inverse_shape = forward_shape


class SoftmaxTransform(Transform):
    """Vectors of any numbers to shares, by softmax; the inverse is the logarithm, which differs by a constant."""

    domain = constraints.real_vector
    codomain = constraints.simplex

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SoftmaxTransform)

    __hash__ = Transform.__hash__

    def _call(self, x: Value) -> Value:
        chances = (x - x.max(-1, True)[0]).exp()
        return chances / chances.sum(-1, True)

    def _inverse(self, y: Value) -> Value:
        return y.log()

    def forward_shape(self, shape: Sequence[int]) -> Sequence[int]:
        if len(shape) < 1:
            raise ValueError("Too few dimensions on input")
        return shape

    inverse_shape = forward_shape


class StickBreakingTransform(Transform):
    """Vectors of K - 1 numbers to K shares: each takes a part, by sigmoid, of what the ones before it left."""

    domain = constraints.real_vector
    codomain = constraints.simplex
    bijective = True

    def __eq__(self, other: object) -> bool:
        return isinstance(other, StickBreakingTransform)

    __hash__ = Transform.__hash__

    def _offset(self, x: Value, count: int) -> Value:
        """log(K - 1), ..., log(1): with it zeros give equal shares."""
        return (count + 1 - f.ones(count, dtype=x.dtype, device=x.device).cumsum(-1)).log()

    def _call(self, x: Value) -> Value:
        z = SigmoidTransform()(x - self._offset(x, x.shape[-1]))
        left = (1 - z).cumprod(-1)
        return f.nn.functional.pad(z, [0, 1], value=1) * f.nn.functional.pad(left, [1, 0], value=1)

    def _inverse(self, y: Value) -> Value:
        cropped = y[..., :-1]
        left = f.clamp(1 - cropped.cumsum(-1), min=finfo(y.dtype).tiny)
        return cropped.log() - left.log() + self._offset(y, cropped.shape[-1])

    def log_abs_det_jacobian(self, x: Value, y: Value) -> Value:
        x = x - self._offset(x, x.shape[-1])
        return (-x + f.nn.functional.logsigmoid(x) + y[..., :-1].log()).sum(-1)

    def forward_shape(self, shape: Sequence[int]) -> Sequence[int]:
        if len(shape) < 1:
            raise ValueError("Too few dimensions on input")
        return Size((*shape[:-1], shape[-1] + 1))

    def inverse_shape(self, shape: Sequence[int]) -> Sequence[int]:
        if len(shape) < 1:
            raise ValueError("Too few dimensions on input")
        return Size((*shape[:-1], shape[-1] - 1))


class CorrCholeskyTransform(Transform):
    """Vectors of D (D - 1) / 2 numbers to Cholesky factors of correlation matrices [D, D].

    tanh gives partial correlations; each takes its part of what the row before it left of length 1 (D. Lewandowski,
    D. Kurowicka, H. Joe: Generating random correlation matrices based on vines, 2009).
    """

    domain = constraints.real_vector
    codomain = constraints.corr_cholesky
    bijective = True

    def _call(self, x: Value) -> Value:
        x = f.tanh(x)
        eps = finfo(x.dtype).eps
        r = vec_to_tril_matrix(x.clamp(min=-1 + eps, max=1 - eps), diag=-1)
        left = (1 - r**2).sqrt().cumprod(-1)
        r = r + f.eye(r.shape[-1], dtype=r.dtype, device=r.device)
        return r * f.nn.functional.pad(left[..., :-1], [1, 0], value=1)

    def _inverse(self, y: Value) -> Value:
        # the rows are of length 1, and the diagonal doesn't count
        left = f.nn.functional.pad((1 - f.cumsum(y * y, dim=-1))[..., :-1], [1, 0], value=1)
        t = tril_matrix_to_vec(y, diag=-1) / tril_matrix_to_vec(left, diag=-1).sqrt()
        return (t.log1p() - t.neg().log1p()) / 2

    def log_abs_det_jacobian(self, x: Value, y: Value, intermediates: Any = None) -> Value:
        left = tril_matrix_to_vec(1 - (y * y).cumsum(dim=-1), diag=-2) if y.shape[-1] > 2 else None
        stretched = 0.0 if left is None else 0.5 * left.log().sum(-1)
        slope = -2 * (x + f.nn.functional.softplus(-2 * x) - math.log(2.0)).sum(dim=-1)
        return stretched + slope

    def forward_shape(self, shape: Sequence[int]) -> Sequence[int]:
        if len(shape) < 1:
            raise ValueError("Too few dimensions on input")
        count = shape[-1]
        size = round((0.25 + 2 * count) ** 0.5 + 0.5)
        if size * (size - 1) // 2 != count:
            raise ValueError("Input is not a flattened lower-diagonal number")
        return Size((*shape[:-1], size, size))

    def inverse_shape(self, shape: Sequence[int]) -> Sequence[int]:
        _check_square(shape)
        return Size((*shape[:-2], shape[-1] * (shape[-1] - 1) // 2))


def _check_square(shape: Sequence[int]) -> None:
    if len(shape) < 2:
        raise ValueError("Too few dimensions on input")
    if shape[-2] != shape[-1]:
        raise ValueError("Input is not square")


class LowerCholeskyTransform(Transform):
    """Square matrices to lower triangular ones with a positive diagonal, by exp."""

    domain = constraints.independent(constraints.real, 2)
    codomain = constraints.lower_cholesky

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LowerCholeskyTransform)

    __hash__ = Transform.__hash__

    def _call(self, x: Value) -> Value:
        return x.tril(-1) + x.diagonal(dim1=-2, dim2=-1).exp().diag_embed()

    def _inverse(self, y: Value) -> Value:
        return y.tril(-1) + y.diagonal(dim1=-2, dim2=-1).log().diag_embed()


class PositiveDefiniteTransform(Transform):
    """Square matrices to positive definite ones."""

    domain = constraints.independent(constraints.real, 2)
    codomain = constraints.positive_definite

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PositiveDefiniteTransform)

    __hash__ = Transform.__hash__

    def _call(self, x: Value) -> Value:
        lower = LowerCholeskyTransform()(x)
        return lower @ lower.mT

    def _inverse(self, y: Value) -> Value:
        return LowerCholeskyTransform().inv(f.linalg.cholesky(y))


class CatTransform(Transform):
    """Transforms of pieces along a dimension."""

    def __init__(
        self, tseq: Sequence[Transform], dim: int = 0, lengths: Sequence[int] | None = None, cache_size: int = 0
    ) -> None:
        super().__init__(cache_size=cache_size)
        self.transforms = [each.with_cache(cache_size) for each in tseq] if cache_size else list(tseq)
        self.lengths = [1] * len(self.transforms) if lengths is None else list(lengths)
        self.dim = dim

    @property
    def event_dim(self) -> int:
        return max(each.event_dim for each in self.transforms)

    @property
    def domain(self) -> Any:
        return constraints.cat([each.domain for each in self.transforms], self.dim, self.lengths)

    @property
    def codomain(self) -> Any:
        return constraints.cat([each.codomain for each in self.transforms], self.dim, self.lengths)

    @property
    def bijective(self) -> bool:  # type: ignore[override]  # of the pieces
        return all(each.bijective for each in self.transforms)

    def with_cache(self, cache_size: int = 1) -> Transform:
        if self._cache_size == cache_size:
            return self
        return CatTransform(self.transforms, self.dim, self.lengths, cache_size)

    def _pieces(self, value: Value) -> list[Value]:
        return list(f.split(value, self.lengths, self.dim))

    def _call(self, x: Value) -> Value:
        return f.cat([each(part) for each, part in zip(self.transforms, self._pieces(x), strict=True)], self.dim)

    def _inverse(self, y: Value) -> Value:
        return f.cat([each.inv(part) for each, part in zip(self.transforms, self._pieces(y), strict=True)], self.dim)

    def log_abs_det_jacobian(self, x: Value, y: Value) -> Value:
        found = []
        for each, before, after in zip(self.transforms, self._pieces(x), self._pieces(y), strict=True):
            found.append(sum_rightmost(each.log_abs_det_jacobian(before, after), self.event_dim - each.event_dim))
        dim = self.dim - x.dim() if self.dim >= 0 else self.dim
        dim += self.event_dim
        return f.cat(found, dim) if dim < 0 else functools.reduce(operator.add, found)


class StackTransform(Transform):
    """Transforms of the slices of a dimension."""

    def __init__(self, tseq: Sequence[Transform], dim: int = 0, cache_size: int = 0) -> None:
        super().__init__(cache_size=cache_size)
        self.transforms = [each.with_cache(cache_size) for each in tseq] if cache_size else list(tseq)
        self.dim = dim

    @property
    def domain(self) -> Any:
        return constraints.stack([each.domain for each in self.transforms], self.dim)

    @property
    def codomain(self) -> Any:
        return constraints.stack([each.codomain for each in self.transforms], self.dim)

    @property
    def bijective(self) -> bool:  # type: ignore[override]  # of the slices
        return all(each.bijective for each in self.transforms)

    def with_cache(self, cache_size: int = 1) -> Transform:
        return self if self._cache_size == cache_size else StackTransform(self.transforms, self.dim, cache_size)

    def _slices(self, value: Value) -> list[Value]:
        return list(value.unbind(self.dim))

    def _call(self, x: Value) -> Value:
        return f.stack([each(part) for each, part in zip(self.transforms, self._slices(x), strict=True)], self.dim)

    def _inverse(self, y: Value) -> Value:
        return f.stack([each.inv(part) for each, part in zip(self.transforms, self._slices(y), strict=True)], self.dim)

    def log_abs_det_jacobian(self, x: Value, y: Value) -> Value:
        parts = zip(self.transforms, self._slices(x), self._slices(y), strict=True)
        return f.stack([each.log_abs_det_jacobian(before, after) for each, before, after in parts], self.dim)


class CumulativeDistributionTransform(Transform):
    """Numbers to the probability that a distribution stays below them."""

    codomain = constraints.unit_interval
    bijective = True
    sign = 1

    def __init__(self, distribution: Any, cache_size: int = 0) -> None:
        super().__init__(cache_size=cache_size)
        self.distribution = distribution

    @property
    def domain(self) -> Any:
        return self.distribution.support

    def with_cache(self, cache_size: int = 1) -> Transform:
        if self._cache_size == cache_size:
            return self
        return CumulativeDistributionTransform(self.distribution, cache_size=cache_size)

    def _call(self, x: Value) -> Value:
        return self.distribution.cdf(x)

    def _inverse(self, y: Value) -> Value:
        return self.distribution.icdf(y)

    def log_abs_det_jacobian(self, x: Value, y: Value) -> Value:
        return self.distribution.log_prob(x)
