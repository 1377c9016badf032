"""L D L^T of symmetric or Hermitian matrices, and systems solved by it.

Level: tensor graph. In: stacks of square matrices, of which the lower triangle counts. Out: compact factors, pivots,
solutions. There is no gradient.
"""

from __future__ import annotations

from typing import TypeAlias

from graphc.ir.dtype import i32
from graphc.ir.errors import DimensionError, DTypeError, ShapeError, SignatureError
from graphc.ir.graph import Node
from graphc.ir.host import HostFunction, register_host
from graphc.ir.type import TensorType
from graphc.ops import build, ldl, linalg_types
from graphc.ops.composite.contraction import sizes_text
from graphc.ops.composite.linalg_matrix import batched, check_square, failed, like
from graphc.ops.composite.operand import broadcast_shape
from graphc.ops.function import function
from graphc.ops.host import call, refused_gradients
from graphc.ops.lapack import Integers, Matrix

Cotangents: TypeAlias = "tuple[Node | None, ...]"
Nodes: TypeAlias = "tuple[Node, ...]"


def _factor_run(
    results: tuple[TensorType, ...], a: Matrix, *, hermitian: bool, name: str
) -> tuple[Matrix, Integers, Integers]:
    factors, pivots, info = ldl.factor(a, hermitian)
    if name and info.any():
        raise failed(name, info, "Unknown error code: {info}.")
    return factors, pivots, info


def _solve_run(
    results: tuple[TensorType, ...], factors: Matrix, pivots: Integers, b: Matrix, *, hermitian: bool
) -> Matrix:
    return ldl.solve(factors, pivots, b, hermitian)


def _factor_vjp(cotangents: Cotangents, outputs: Nodes, a: Node, *, hermitian: bool, name: str) -> Cotangents:
    return refused_gradients("derivative for aten::linalg_ldl_factor_ex is not implemented", (a,))


def _solve_vjp(
    cotangents: Cotangents, outputs: Nodes, factors: Node, pivots: Node, b: Node, *, hermitian: bool
) -> Cotangents:
    return refused_gradients("derivative for aten::linalg_ldl_solve is not implemented", (factors, pivots, b))


register_host(HostFunction("linalg.ldl_factor", _factor_run, _factor_vjp))
register_host(HostFunction("linalg.ldl_solve", _solve_run, _solve_vjp))


def _factors(a: Node, hermitian: bool, name: str) -> tuple[Node, Node, Node]:
    check_square("torch.linalg.ldl_factor_ex", a, "ldl_factor_kernel_cpu")
    types = (a.tensor, TensorType(a.shape[:-1], i32), TensorType(a.shape[:-2], i32))
    factors, pivots, info = call("linalg.ldl_factor", (a,), types, hermitian=hermitian, name=name)
    return factors, pivots, info


@function(namespace="linalg")
def ldl_factor(A: Node, *, hermitian: bool = False) -> linalg_types.linalg_ldl_factor:
    """(LD, pivots): L below the diagonal, and on it the blocks of D, of one or two rows, with L D L^T = P^T A P.

    Of two rows are those with a negative pivot, twice the same. Raises LinAlgError from the run where a block is 0.
    """
    return linalg_types.linalg_ldl_factor(*_factors(A, hermitian, "torch.linalg.ldl_factor")[:2])


@function(namespace="linalg")
def ldl_factor_ex(A: Node, *, hermitian: bool = False, check_errors: bool = False) -> linalg_types.linalg_ldl_factor_ex:
    """`ldl_factor`, and for each matrix 0 or the number of the first block that is 0."""
    name = "torch.linalg.ldl_factor_ex" if check_errors else ""
    return linalg_types.linalg_ldl_factor_ex(*_factors(A, hermitian, name))


@function(namespace="linalg")
def ldl_solve(LD: Node, pivots: Node, B: Node, *, hermitian: bool = False) -> Node:
    """X with A X = B, from what `ldl_factor` gives of A."""
    name = "torch.linalg.ldl_solve"
    check_square(name, LD)
    if len(B.shape) < 2:
        raise DimensionError(
            "Dimension out of range (expected to be in range of [-1, 0], but got -2)", hint="unsqueeze B to a column"
        )
    if LD.shape[-1] != B.shape[-2]:
        raise ShapeError(
            f"Incompatible matrix sizes for {name}: each A matrix is {LD.shape[-2]} by {LD.shape[-1]} but each b "
            f"matrix is {B.shape[-2]} by {B.shape[-1]}",
            hint="B needs as many rows as the matrix",
        )
    if not pivots.tensor.dtype.is_integer:
        raise SignatureError(f"{name}: Expected pivots to be integers. Got {pivots.tensor.dtype.scalar}")
    if pivots.shape != LD.shape[:-1]:
        raise ShapeError(
            f"{name}: Expected LD.shape[:-1] and pivots.shape to be the same, but got pivots with shape "
            f"{sizes_text(pivots.shape)} instead",
            hint="give what ldl_factor gave",
        )
    if LD.tensor.dtype is not B.tensor.dtype:
        raise DTypeError(
            f"Expected b and A to have the same dtype, but found b of type {B.tensor.dtype.scalar} and A of type "
            f"{LD.tensor.dtype.scalar} instead.",
            hint="convert one of them first",
        )
    factors, right = batched(name, LD, B)
    batch = broadcast_shape(name, LD.shape[:-2], B.shape[:-2])
    order = build.broadcast_to(pivots, (*batch, pivots.shape[-1]))
    (x,) = call("linalg.ldl_solve", (factors, order, right), (like(right, right.shape),), hermitian=hermitian)
    return x
