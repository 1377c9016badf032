"""`norm` as it was before `graphc.linalg`, and its parts, under PyTorch's names."""

from __future__ import annotations

from graphc.ir.dtype import DType
from graphc.ir.graph import Node
from graphc.ops.composite.distances import vector_norm
from graphc.ops.composite.linalg_norm import matrix_norm
from graphc.ops.composite.reductions import Dims
from graphc.ops.function import function


@function(method=True)
def norm(
    input: Node,
    p: float | str | None = "fro",
    dim: Dims = None,
    keepdim: bool = False,
    dtype: DType | str | None = None,
) -> Node:
    """The p-norm of the elements over `dim` (all by default); p may be inf, -inf, 0 (how many are not 0) or "fro".

    With "nuc" it is the sum of singular values of matrices.
    """
    if isinstance(p, str) and p != "fro":
        dims = tuple(range(len(input.shape))) if dim is None else (dim,) if isinstance(dim, int) else tuple(dim)
        return matrix_norm(input, p, dims, keepdim, dtype=dtype)
    return vector_norm(input, 2.0 if p is None or isinstance(p, str) else float(p), dim, keepdim, dtype)


@function()
def frobenius_norm(input: Node, dim: Dims = None, keepdim: bool = False) -> Node:
    """The square root of the sum of squares over `dim` (all dimensions by default)."""
    return vector_norm(input, 2.0, dim, keepdim)


@function()
def nuclear_norm(input: Node, dim: tuple[int, int] = (-2, -1), keepdim: bool = False) -> Node:
    """The sum of singular values of matrices along `dim`."""
    return matrix_norm(input, "nuc", dim, keepdim)
