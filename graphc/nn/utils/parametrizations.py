"""Parametrizations of weights: by length and direction, by the largest singular value, by orthogonal columns.

In: a module and the name of its weight. Out: the module with the weight parametrized (`parametrize.py`).

>>> import graphc
>>> from graphc import nn
>>> layer = orthogonal(nn.Linear(3, 2))
>>> graphc.allclose(layer.weight @ layer.weight.T, graphc.eye(2), atol=1e-6)
True
"""

from __future__ import annotations

from typing import Any

from graphc.eager.methods import of_table
from graphc.eager.mode import no_grad
from graphc.eager.tensor import Tensor
from graphc.eager.type_info import finfo
from graphc.nn import functional as F
from graphc.nn.module import Module
from graphc.nn.modules.conv import ConvTranspose1d, ConvTranspose2d, ConvTranspose3d
from graphc.nn.utils.parametrize import register_parametrization

__all__ = ["orthogonal", "spectral_norm", "weight_norm"]

_cat, _eye, _randn, _allclose, _geqrf, _zeros_like = (
    of_table(name) for name in ("cat", "eye", "randn", "allclose", "geqrf", "zeros_like")
)
_solve, _reflect, _matrix_exp = (
    of_table(name) for name in ("linalg.solve", "linalg.householder_product", "matrix_exp")
)
_vector_norm, _vdot, _mv = (of_table(name) for name in ("linalg.vector_norm", "vdot", "mv"))

_MAPS = ("matrix_exp", "cayley", "householder")


class _Orthogonal(Module):
    """Matrices with orthonormal columns, or rows where there are fewer, from free ones.

    The exponential of a skew-symmetric matrix, its Cayley transform (1 - A/2)^-1 (1 + A/2), or a product of Householder
    reflections; times a fixed orthogonal `base` in the trivialization of Lezcano-Casado (arXiv:1909.09501).
    """

    base: Any

    def __init__(self, weight: Any, orthogonal_map: str, *, use_trivialization: bool = True) -> None:
        super().__init__()
        if weight.is_complex() and orthogonal_map == "householder":
            raise ValueError("The householder parametrization does not support complex tensors.")
        self.shape = weight.shape
        self.orthogonal_map = orthogonal_map
        if use_trivialization:
            self.register_buffer("base", None)

    def forward(self, X: Any) -> Any:
        """`[..., n, k]` to the same."""
        is_wide = X.size(-2) < X.size(-1)
        if is_wide:
            X = X.mT
        n, k = X.size(-2), X.size(-1)
        if self.orthogonal_map == "householder":
            vectors = X.tril(diagonal=-1)
            tau = 2.0 / (1.0 + (vectors * vectors).sum(dim=-2))
            signs = X.diagonal(dim1=-2, dim2=-1).int().unsqueeze(-2)
            Q = _reflect(vectors, tau) * signs
        else:
            X = X.tril()
            if n != k:
                X = _cat([X, X.new_zeros(n, n - k).expand(*X.shape[:-2], -1, -1)], dim=-1)
            A = X - X.mH
            if self.orthogonal_map == "matrix_exp":
                Q = _matrix_exp(A)
            else:
                one = _eye(n, dtype=A.dtype, device=A.device)
                Q = _solve(one - A * 0.5, one + A * 0.5)
            if n != k:
                Q = Q[..., :k]
        if hasattr(self, "base"):
            Q = self.base @ Q
        return Q.mT if is_wide else Q

    @no_grad()
    def right_inverse(self, Q: Any) -> Any:
        """A free matrix that gives this orthogonal one; the nearest that is orthogonal if it is none."""
        if Q.shape != self.shape:
            raise ValueError(
                f"Expected a matrix or batch of matrices of shape {self.shape}. Got a tensor of shape {Q.shape}."
            )
        given = Q
        is_wide = Q.size(-2) < Q.size(-1)
        if is_wide:
            Q = Q.mT
        n, k = Q.size(-2), Q.size(-1)
        if not hasattr(self, "base"):
            if self.orthogonal_map != "householder":
                raise NotImplementedError(
                    "It is not possible to assign to the matrix exponential or the Cayley parametrizations when "
                    "use_trivialization=False."
                )
            A, tau = _geqrf(Q)
            # The diagonal holds the signs of the columns. A column that LAPACK leaves (tau is exactly 0 then) is
            # reflected by forward, whose tau follows from the vectors alone.
            diagonal = A.diagonal(dim1=-2, dim2=-1)
            diagonal.sign_()
            diagonal[tau == 0.0] *= -1
            return A.mT if is_wide else A
        if n == k:
            Q = Q.clone() if _is_orthogonal(Q) else _make_orthogonal(Q)
        else:
            more = _randn(*(Q.size()[:-2] + (n, n - k)), dtype=Q.dtype, device=Q.device)
            Q = _make_orthogonal(_cat([Q, more], dim=-1))
        self.base = Q
        # What forward makes the identity of: reflections along no vector, with these signs.
        free = _zeros_like(given)
        free.diagonal(dim1=-2, dim2=-1).fill_(-1.0)
        return free


def _is_orthogonal(Q: Any, eps: float | None = None) -> bool:
    n, k = Q.size(-2), Q.size(-1)
    eps = 10.0 * n * finfo(Q.dtype).eps if eps is None else eps
    return bool(_allclose(Q.mH @ Q, _eye(k, dtype=Q.dtype, device=Q.device), atol=eps))


def _make_orthogonal(A: Any) -> Any:
    """The orthogonal factor of a tall matrix, with the signs that make R's diagonal positive."""
    X, tau = _geqrf(A)
    return _reflect(X, tau) * X.diagonal(dim1=-2, dim2=-1).sgn().unsqueeze(-2)


def orthogonal(
    module: Module, name: str = "weight", orthogonal_map: str | None = None, *, use_trivialization: bool = True
) -> Module:
    """Keep the rows of a wide matrix, or the columns of a tall one, orthonormal.

    `orthogonal_map` is "matrix_exp", "cayley" or "householder"; square and complex matrices take the first by default,
    others the last.
    """
    weight: Any = getattr(module, name, None)
    if not isinstance(weight, Tensor):
        raise ValueError(f"Module '{module}' has no parameter or buffer with name '{name}'")
    matrix: Any = weight
    if matrix.ndim < 2:
        raise ValueError(f"Expected a matrix or batch of matrices. Got a tensor of {matrix.ndim} dimensions.")
    if orthogonal_map is None:
        is_square = matrix.size(-2) == matrix.size(-1)
        orthogonal_map = "matrix_exp" if is_square or matrix.is_complex() else "householder"
    if orthogonal_map not in _MAPS:
        raise ValueError(
            f'orthogonal_map has to be one of "matrix_exp", "cayley", "householder". Got: {orthogonal_map}'
        )
    step = _Orthogonal(matrix, orthogonal_map, use_trivialization=use_trivialization)
    return register_parametrization(module, name, step, unsafe=True)


def norm_except_dim(value: Any, dim: int) -> Any:
    """The norms over all dimensions but one, with their places kept; over all for -1."""
    if dim == -1:
        return _vector_norm(value)
    return _vector_norm(value, dim=[axis for axis in range(value.dim()) if axis != dim], keepdim=True)


class _WeightNorm(Module):
    """g v / |v|: lengths and directions along a dimension."""

    def __init__(self, dim: int | None = 0) -> None:
        super().__init__()
        self.dim = -1 if dim is None else dim

    def forward(self, weight_g: Any, weight_v: Any) -> Any:
        """The weight."""
        return weight_v * (weight_g / norm_except_dim(weight_v, self.dim))

    def right_inverse(self, weight: Any) -> tuple[Any, Any]:
        """Its lengths, and the weight itself as direction."""
        return norm_except_dim(weight, self.dim), weight


def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """Compute a weight from a length per index of `dim`, or one for all if that is None, and a direction.

    Saved states of the older `nn.utils.weight_norm` can be loaded.
    """
    register_parametrization(module, name, _WeightNorm(dim), unsafe=True)

    def rename(state_dict: Any, prefix: str, *rest: Any) -> None:
        old = [f"{prefix}{name}_{letter}" for letter in "gv"]
        if all(key in state_dict for key in old):
            for index, key in enumerate(old):
                state_dict[f"{prefix}parametrizations.{name}.original{index}"] = state_dict.pop(key)

    module._register_load_state_dict_pre_hook(rename)
    return module


class _SpectralNorm(Module):
    """A weight over its largest singular value, which power iteration finds (Miyato et al., arXiv:1802.05957)."""

    _u: Any
    _v: Any

    def __init__(self, weight: Any, n_power_iterations: int = 1, dim: int = 0, eps: float = 1e-12) -> None:
        super().__init__()
        rank = weight.ndim
        if not -rank <= dim < rank:
            raise IndexError(f"Dimension out of range (expected to be in range of [-{rank}, {rank - 1}] but got {dim})")
        if n_power_iterations <= 0:
            raise ValueError(
                f"Expected n_power_iterations to be positive, but got n_power_iterations={n_power_iterations}"
            )
        self.dim, self.eps = dim % rank, eps
        if rank > 1:
            self.n_power_iterations = n_power_iterations
            matrix = self._reshape_weight_to_matrix(weight)
            rows, columns = matrix.size()
            for name, size in (("_u", rows), ("_v", columns)):
                start = matrix.new_empty(size).normal_(0, 1)
                self.register_buffer(name, F.normalize(start, dim=0, eps=eps))
            self._power_method(matrix, 15)

    def _reshape_weight_to_matrix(self, weight: Any) -> Any:
        assert weight.ndim > 1, f"Expected weight to have more than 1 dimension, got {weight.ndim}"
        if self.dim != 0:
            weight = weight.permute(self.dim, *(axis for axis in range(weight.dim()) if axis != self.dim))
        return weight.flatten(1)

    @no_grad()
    def _power_method(self, weight_mat: Any, n_power_iterations: int) -> None:
        """Move u and v toward the singular vectors of the largest singular value."""
        for _ in range(n_power_iterations):
            self._u.copy_(F.normalize(_mv(weight_mat, self._v), dim=0, eps=self.eps))
            self._v.copy_(F.normalize(_mv(weight_mat.H, self._u), dim=0, eps=self.eps))

    def forward(self, weight: Any) -> Any:
        """The weight over its largest singular value; in training after further iterations."""
        if weight.ndim == 1:
            return F.normalize(weight, dim=0, eps=self.eps)
        matrix = self._reshape_weight_to_matrix(weight)
        if self.training:
            self._power_method(matrix, self.n_power_iterations)
        # Copies: the next iteration must not write to what the gradient needs.
        u, v = self._u.clone(), self._v.clone()
        return weight / _vdot(u, _mv(matrix, v))

    def right_inverse(self, value: Any) -> Any:
        """The value: a weight of norm 1 stays as it is."""
        return value


def spectral_norm(
    module: Module, name: str = "weight", n_power_iterations: int = 1, eps: float = 1e-12, dim: int | None = None
) -> Module:
    """Divide a weight by its largest singular value, seen as a matrix with the rows of `dim`.

    That is 0 by default, 1 for transposed convolutions.
    """
    weight = getattr(module, name, None)
    if not isinstance(weight, Tensor):
        raise ValueError(f"Module '{module}' has no parameter or buffer with name '{name}'")
    if dim is None:
        dim = int(isinstance(module, ConvTranspose1d | ConvTranspose2d | ConvTranspose3d))
    register_parametrization(module, name, _SpectralNorm(weight, n_power_iterations, dim, eps))
    return module
