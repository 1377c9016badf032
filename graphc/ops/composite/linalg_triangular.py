"""Triangular systems, and what is solved with the factors of a matrix.

Level: tensor graph. In: stacks of triangular matrices and right-hand sides. Out: solutions. Substitution runs on the
host (`graphc.ops.lapack`), and doesn't read the other triangle; a zero on the diagonal gives infinities, as in PyTorch.
"""

from __future__ import annotations

from graphc.ir.errors import ShapeError
from graphc.ir.graph import Node
from graphc.ir.host import HostFunction, register_host
from graphc.ir.type import TensorType
from graphc.ops import elementwise as ew
from graphc.ops import lapack, linalg_types
from graphc.ops.check import can_be_equal
from graphc.ops.composite.contraction import matmul
from graphc.ops.composite.linalg_matrix import (
    batched,
    check_same_dtype,
    check_square,
    identity,
    lower,
    mH,
    mT,
)
from graphc.ops.composite.linalg_matrix import upper as upper_of
from graphc.ops.function import function
from graphc.ops.host import call
from graphc.ops.lapack import Matrix


def _run(results: tuple[TensorType, ...], a: Matrix, b: Matrix, *, upper: bool, unit: bool) -> Matrix:
    return lapack.solve_triangular(a, b, is_upper=upper, is_unit=unit)


def _vjp(
    cotangents: tuple[Node | None, ...], outputs: tuple[Node, ...], a: Node, b: Node, *, upper: bool, unit: bool
) -> tuple[Node | None, ...]:
    (ct,), (x,) = cotangents, outputs
    assert ct is not None
    by_b = solve_by(mH(a), ct, not upper, unit)
    by_a = ew.neg(matmul(by_b, mH(x)))
    return upper_of(by_a, int(unit)) if upper else lower(by_a, -int(unit)), by_b


register_host(HostFunction("linalg.solve_triangular", _run, _vjp))


def solve_by(a: Node, b: Node, is_upper: bool, is_unit: bool = False) -> Node:
    """X with A X = B, where both have the same batch."""
    return call("linalg.solve_triangular", (a, b), (b.tensor,), upper=is_upper, unit=is_unit)[0]


def solve_from_right(a: Node, b: Node, is_upper: bool, is_unit: bool = False) -> Node:
    """X with X A = B."""
    return mT(solve_by(mT(a), mT(b), not is_upper, is_unit))


def check_system(name: str, a: Node, b: Node, left: bool = True) -> None:
    """Refuse a right-hand side that has another number of equations than the matrices."""
    if len(b.shape) < 2:
        raise ShapeError(
            f"{name}: The input tensor B must have at least 2 dimensions.", hint="unsqueeze it to a column first"
        )
    size, given = a.shape[-1], b.shape[-2 if left else -1]
    if size != given:
        if can_be_equal(size, given):
            raise ShapeError(f"{name}: {given} equations are not known to be {size}", hint="name both sizes the same")
        raise incompatible(name, a, b, left)


def incompatible(name: str, a: Node, b: Node, left: bool = True) -> ShapeError:
    """The error for shapes that don't fit."""
    equation = "AX = B" if left else "XA = B"
    return ShapeError(
        f"{name}: Incompatible shapes of A and B for the equation {equation} "
        f"({a.shape[-2]}x{a.shape[-1]} and {b.shape[-2]}x{b.shape[-1]})",
        hint="B needs as many rows as A, or with left=False as many columns",
    )


@function(namespace="linalg")
def solve_triangular(input: Node, B: Node, *, upper: bool, left: bool = True, unitriangular: bool = False) -> Node:
    """X with A X = B (X A = B unless `left`) for triangular A; with `unitriangular` its diagonal counts as ones."""
    check_square("linalg.solve_triangular", input, "triangular_solve_cpu", takes="kernels")
    check_same_dtype("linalg.solve_triangular", input, B)
    check_system("linalg.solve_triangular", input, B, left)
    a, b = batched("linalg.solve_triangular", input, B)
    return (solve_by if left else solve_from_right)(a, b, upper, unitriangular)


@function(method=True)
def triangular_solve(
    input: Node, A: Node, upper: bool = True, transpose: bool = False, unitriangular: bool = False
) -> linalg_types.triangular_solve:
    """X with A X = input for triangular A, or with A^T; and A. `linalg.solve_triangular` takes A first."""
    for what, x in (("input", input), ("A", A)):
        if len(x.shape) < 2:
            raise ShapeError(
                f"torch.triangular_solve: Expected {what} to have at least 2 dimensions, but it has {len(x.shape)} "
                "dimensions instead"
                if what == "A"
                else f"torch.triangular_solve: Expected b to have at least 2 dimensions, but it has {len(x.shape)} "
                "dimensions instead",
                hint="unsqueeze it first",
            )
    check_square("triangular_solve", A, "triangular_solve_cpu", takes="kernels")
    check_system("triangular_solve", A, input)
    a, b = batched("triangular_solve", A, input)
    solution = solve_by(mT(a), b, not upper, unitriangular) if transpose else solve_by(a, b, upper, unitriangular)
    return linalg_types.triangular_solve(solution, a)


@function(method=True)
def cholesky_solve(input: Node, input2: Node, upper: bool = False) -> Node:
    """X with A X = B for A = L L^H, or A = U^H U where `upper` says that U is given."""
    for what, x in (("b", input), ("u", input2)):
        if len(x.shape) < 2:
            raise ShapeError(
                f"{what} should have at least 2 dimensions, but has {len(x.shape)} dimensions instead",
                hint="unsqueeze it first",
            )
    check_square("cholesky_solve", input2, "cholesky_solve_cpu", takes="kernels")
    if input.shape[-2] != input2.shape[-1]:
        raise ShapeError(
            f"Incompatible matrix sizes for cholesky_solve: each A matrix is {input2.shape[-1]} by {input2.shape[-1]} "
            f"but each b matrix is {input.shape[-2]} by {input.shape[-1]}",
            hint="B needs as many rows as L",
        )
    factor, b = batched("cholesky_solve", input2, input)
    if upper:
        return solve_by(factor, solve_by(mH(factor), b, False), True)
    return solve_by(mH(factor), solve_by(factor, b, False), True)


@function(method=True)
def cholesky_inverse(input: Node, upper: bool = False) -> Node:
    """The inverse of L L^H, or of U^H U where `upper` says that U is given."""
    check_square("cholesky_inverse", input, "cholesky_inverse_out_cpu", takes="kernels")
    return cholesky_solve(identity(input), input, upper)
