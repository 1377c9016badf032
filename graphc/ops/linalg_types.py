"""The named tuples of linear algebra, printed as PyTorch prints its `torch.return_types`.

Level: beside ops, as `graphc.ops.return_types`. What stands in the fields are nodes while a graph is built, and tensors
or arrays once it has run.
"""

from __future__ import annotations

from typing import NamedTuple

from graphc.ir.graph import Node
from graphc.ops.return_types import text_of


class linalg_cholesky_ex(NamedTuple):
    """A factor, and what failed."""

    L: Node
    info: Node

    def __repr__(self) -> str:
        return text_of(self, self._fields)


class linalg_ldl_factor(NamedTuple):
    """Compact factors."""

    LD: Node
    pivots: Node

    def __repr__(self) -> str:
        return text_of(self, self._fields)


class linalg_ldl_factor_ex(NamedTuple):
    """Compact factors, and what failed."""

    LD: Node
    pivots: Node
    info: Node

    def __repr__(self) -> str:
        return text_of(self, self._fields)


class linalg_lu_factor(NamedTuple):
    """Compact factors."""

    LU: Node
    pivots: Node

    def __repr__(self) -> str:
        return text_of(self, self._fields)


class linalg_lu_factor_ex(NamedTuple):
    """Compact factors, and what failed."""

    LU: Node
    pivots: Node
    info: Node

    def __repr__(self) -> str:
        return text_of(self, self._fields)


class linalg_lu(NamedTuple):
    """A permutation and two triangles."""

    P: Node
    L: Node
    U: Node

    def __repr__(self) -> str:
        return text_of(self, self._fields)


class lu_unpack(NamedTuple):
    """A permutation and two triangles."""

    P: Node
    L: Node
    U: Node

    def __repr__(self) -> str:
        return text_of(self, self._fields)


class linalg_qr(NamedTuple):
    """Orthonormal columns and a triangle."""

    Q: Node
    R: Node

    def __repr__(self) -> str:
        return text_of(self, self._fields)


class qr(NamedTuple):
    """Orthonormal columns and a triangle."""

    Q: Node
    R: Node

    def __repr__(self) -> str:
        return text_of(self, self._fields)


class geqrf(NamedTuple):
    """Reflections in compact form."""

    a: Node
    tau: Node

    def __repr__(self) -> str:
        return text_of(self, self._fields)


class triangular_solve(NamedTuple):
    """A solution, and the matrix."""

    solution: Node
    cloned_coefficient: Node

    def __repr__(self) -> str:
        return text_of(self, self._fields)


class linalg_svd(NamedTuple):
    """Singular vectors and values."""

    U: Node
    S: Node
    Vh: Node

    def __repr__(self) -> str:
        return text_of(self, self._fields)


class svd(NamedTuple):
    """Singular vectors and values."""

    U: Node
    S: Node
    V: Node

    def __repr__(self) -> str:
        return text_of(self, self._fields)


class linalg_eigh(NamedTuple):
    """Eigenvalues and orthonormal eigenvectors."""

    eigenvalues: Node
    eigenvectors: Node

    def __repr__(self) -> str:
        return text_of(self, self._fields)


class linalg_eig(NamedTuple):
    """Eigenvalues and eigenvectors."""

    eigenvalues: Node
    eigenvectors: Node

    def __repr__(self) -> str:
        return text_of(self, self._fields)


class linalg_solve_ex(NamedTuple):
    """A solution, and what failed."""

    result: Node
    info: Node

    def __repr__(self) -> str:
        return text_of(self, self._fields)


class linalg_inv_ex(NamedTuple):
    """An inverse, and what failed."""

    inverse: Node
    info: Node

    def __repr__(self) -> str:
        return text_of(self, self._fields)


class linalg_slogdet(NamedTuple):
    """A determinant's sign and logarithm."""

    sign: Node
    logabsdet: Node

    def __repr__(self) -> str:
        return text_of(self, self._fields)


class slogdet(NamedTuple):
    """A determinant's sign and logarithm."""

    sign: Node
    logabsdet: Node

    def __repr__(self) -> str:
        return text_of(self, self._fields)


class linalg_lstsq(NamedTuple):
    """A solution, and what is known of it."""

    solution: Node
    residuals: Node
    rank: Node
    singular_values: Node

    def __repr__(self) -> str:
        return text_of(self, self._fields)
