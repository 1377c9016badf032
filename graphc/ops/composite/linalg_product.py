"""Products and powers of matrices, and what is made of solutions by another shape.

Level: tensor graph. In: vectors, matrices and tensors. Out: products. The gradient of the matrix exponential is that of
R. Mathias, A chain rule for matrix functions and applications (1996), theorem 2.1: the exponential of a block triangle.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TypeAlias

from graphc.ir.dim import Size
from graphc.ir.dim import product as product_of
from graphc.ir.dtype import Kind, bf16, f16, i64
from graphc.ir.errors import ArgumentError, DTypeError, ShapeError, SignatureError
from graphc.ir.graph import Node
from graphc.ir.host import HostFunction, register_host
from graphc.ops import build, lapack, movement, reduction
from graphc.ops import elementwise as ew
from graphc.ops.composite import diagonals, distances
from graphc.ops.composite.contraction import matmul, vdot
from graphc.ops.composite.linalg_factor import unit_lower
from graphc.ops.composite.linalg_matrix import (
    check_floats,
    check_matrix,
    check_square,
    check_square_shape,
    column,
    identity,
    mH,
    part,
)
from graphc.ops.composite.linalg_solve import inv, solve
from graphc.ops.composite.operand import c_name, combined, normal_dim
from graphc.ops.composite.shapes import cat, stack
from graphc.ops.function import function
from graphc.ops.host import call

Cotangents: TypeAlias = "tuple[Node | None, ...]"
Nodes: TypeAlias = "tuple[Node, ...]"

# Powers


@function(namespace="linalg", names=("matrix_power",), method=True)
def matrix_power(input: Node, n: int) -> Node:
    """The n-th power of square matrices, by squaring; of the inverse where n is negative."""
    check_matrix("linalg.matrix_power", input, takes="all")
    check_square_shape("linalg.matrix_power", input)
    if not isinstance(n, int):
        raise SignatureError(
            f"linalg_matrix_power(): argument 'n' (position 2) must be int, not {type(n).__name__}", hint="give an int"
        )
    if n == 0:
        return identity(input)
    square, left = inv(input) if n < 0 else input, abs(n)
    result: Node | None = None
    while left:
        if left % 2:
            result = square if result is None else matmul(result, square)
        left //= 2
        if left:
            square = matmul(square, square)
    assert result is not None
    return result


def _exp_vjp(cotangents: Cotangents, outputs: Nodes, a: Node) -> Cotangents:
    (ct,) = cotangents
    assert ct is not None
    corner = mH(a)
    blocks = cat((cat((corner, ct), -1), cat((build.zeros_like(corner), corner), -1)), -2)
    n, rank = a.shape[-1], len(a.shape)
    found = part(_exponential(blocks), rank - 2, 0, n)
    return (part(found, rank - 1, n, 2 * n),)


register_host(HostFunction("linalg.matrix_exp", lambda results, a: lapack.matrix_exp(a), _exp_vjp))


def _exponential(a: Node) -> Node:
    return call("linalg.matrix_exp", (a,), (a.tensor,))[0]


@function(namespace="linalg", names=("matrix_exp",), method=True)
def matrix_exp(input: Node) -> Node:
    """The sum of A^k / k! over all k."""
    check_square("linalg.matrix_exp", input, takes="all")
    if input.tensor.dtype.kind < Kind.FLOAT:
        check_floats("linalg.matrix_exp", input)
    return _exponential(input)


# Products


@function(namespace="linalg")
def multi_dot(tensors: Sequence[Node]) -> Node:
    """The product of several matrices in the order that takes least; the first and the last may be vectors."""
    count = len(tensors)
    if count < 2:
        raise ArgumentError(f"multi_dot(): expected at least 2 tensors but got {count}", hint="pass a list of tensors")
    matrices = list(tensors)
    first, last = len(matrices[0].shape), len(matrices[-1].shape)
    for place, rank in (("first", first), ("last", last)):
        if rank not in (1, 2):
            raise ShapeError(f"multi_dot(): the {place} tensor must be 1D or 2D but got {rank}D", hint="reshape it")
    if first == 1:
        matrices[0] = build.insert_axes(matrices[0], (0,))
    if last == 1:
        matrices[-1] = column(matrices[-1])
    for i, x in enumerate(matrices):
        if len(x.shape) != 2:
            raise ShapeError(f"multi_dot(): tensor {i} must be 2D but got {len(x.shape)}D", hint="reshape it")
    for i, (x, y) in enumerate(itertools.pairwise(matrices)):
        if x.tensor.dtype is not y.tensor.dtype:
            raise ArgumentError(
                "multi_dot(): all tensors must have be the same dtype but tensor 0 is "
                f"{c_name(matrices[0].tensor.dtype)} and tensor {i + 1} {c_name(y.tensor.dtype)}",
                hint="convert them first",
            )
        if x.shape[1] != y.shape[0]:
            raise ShapeError(
                f"multi_dot(): tensors {i} and {i + 1} with shapes {list(x.shape)} and {list(y.shape)} "
                "cannot be multiplied",
                hint="columns of one and rows of the next must be as many",
            )
    result = _multiplied(matrices)
    shape = (*(() if first == 1 else result.shape[:1]), *(() if last == 1 else result.shape[1:]))
    return build.reshape_to(result, shape)


def _multiplied(matrices: list[Node]) -> Node:
    """The chain in the best order (Cormen et al., Introduction to Algorithms, section 15.2), if the sizes are known."""
    sizes = [matrices[0].shape[0], *(x.shape[1] for x in matrices)]
    known = [size for size in sizes if isinstance(size, int)]
    count = len(matrices)
    if len(known) != len(sizes):
        result = matrices[0]
        for x in matrices[1:]:
            result = matmul(result, x)
        return result
    cost = {(i, i): 0 for i in range(count)}
    cut: dict[tuple[int, int], int] = {}
    for length in range(1, count):
        for i in range(count - length):
            j = i + length
            options = [(cost[i, k] + cost[k + 1, j] + known[i] * known[k + 1] * known[j + 1], k) for k in range(i, j)]
            cost[i, j], cut[i, j] = min(options)
    values = {(i, i): x for i, x in enumerate(matrices)}
    pending = [(0, count - 1)]
    while pending:
        i, j = pending[-1]
        if (i, j) in values:
            pending.pop()
            continue
        k = cut[i, j]
        missing = [each for each in ((i, k), (k + 1, j)) if each not in values]
        if missing:
            pending += missing
        else:
            values[i, j] = matmul(values[i, k], values[k + 1, j])
    return values[0, count - 1]


@function(namespace="linalg")
def vecdot(x: Node, y: Node, *, dim: int = -1) -> Node:
    """The sum of conj(x) y along a dimension."""
    if x.tensor.dtype.kind < Kind.FLOAT:
        check_floats("linalg.vecdot", x)
    if len(x.shape) == len(y.shape) == 1:
        return vdot(x, y)
    a, b = combined("linalg.vecdot", x, y)
    axis = normal_dim("linalg.vecdot", dim, len(a.shape))
    total = reduction.sum_(ew.mul(build.conj_of(a), b), axes=(axis,))
    return build.cast_to(total, a.tensor.dtype)


@function(namespace="linalg")
def cross(input: Node, other: Node, *, dim: int = -1) -> Node:
    """The cross product along a dimension of 3 elements."""
    return distances.cross_product(input, other, dim)


@function(namespace="linalg")
def diagonal(A: Node, *, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Node:
    """The elements on a diagonal of matrices, as the last dimension."""
    return diagonals.diagonal(A, offset, dim1, dim2)


@function(namespace="linalg")
def vander(x: Node, N: int | None = None) -> Node:
    """The powers 0 to N - 1 of each element, as the last dimension; N is by default the size of the last one."""
    count: Size = x.shape[-1] if N is None and x.shape else 1 if N is None else N
    if not isinstance(count, int):
        raise ShapeError(f"linalg.vander: the last size is the symbol {count}", hint="give N")
    if x.tensor.dtype.kind is Kind.BOOL or x.tensor.dtype in (f16, bf16):
        raise DTypeError(
            f"linalg.vander supports floating point, complex, and integer tensors, but got {x.tensor.dtype.scalar}",
            hint="convert it first, e.g. x.to('float32')",
        )
    if count <= 1:
        raise ArgumentError("N must be greater than 1.", hint="give another N")
    return _powers(x, count)


def _powers(x: Node, count: int) -> Node:
    base = build.cast_to(x, i64) if x.tensor.dtype.kind is Kind.BOOL else x
    if base.tensor.dtype.kind is Kind.INT:
        base = build.cast_to(base, i64)
    base = base if base.shape else build.reshape_to(base, (1,))
    powers = [build.ones_like(base)]
    while len(powers) < count:
        powers.append(ew.mul(powers[-1], base))
    return stack(powers[:count], -1)


@function()
def vander_(x: Node, N: int | None = None, increasing: bool = False) -> Node:
    """The powers N - 1 to 0 of each element of a vector, as rows; rising if `increasing`."""
    if len(x.shape) != 1:
        raise ShapeError("x must be a one-dimensional tensor.", hint="linalg.vander takes any number of dimensions")
    count: Size = x.shape[0] if N is None else N
    if not isinstance(count, int):
        raise ShapeError(f"vander: the size is the symbol {count}", hint="give N")
    if count < 0:
        raise ArgumentError("N must be non-negative.", hint="give another N")
    if count == 0:
        return build.full(0, _powers(x, 1).tensor.with_shape((x.shape[0], 0)))
    powers = _powers(x, count)
    return powers if increasing else movement.flip(powers, axes=(1,))


# Tensors as matrices


@function(namespace="linalg")
def tensorinv(input: Node, ind: int = 2) -> Node:
    """The inverse of A as a map from its dimensions behind `ind` to those before."""
    if ind <= 0:
        raise ArgumentError("Expected a strictly positive integer for 'ind'", hint="give another number")
    before, after = input.shape[:ind], input.shape[ind:]
    rows, columns = product_of(before), product_of(after)
    if rows != columns:
        raise ShapeError(
            "Expected self to satisfy the requirement prod(self.shape[ind:]) == prod(self.shape[:ind]), "
            f"but got {columns} != {rows}",
            hint="give another ind",
        )
    return build.reshape_to(inv(build.reshape_to(input, (rows, columns))), (*after, *before))


@function(namespace="linalg")
def tensorsolve(input: Node, other: Node, dims: Sequence[int] | None = None) -> Node:
    """X with tensordot(A, X, X.ndim) = B; `dims` of A are moved to its end first."""
    a = input
    if dims is not None:
        moved = [normal_dim("tensorsolve", each, len(input.shape)) for each in dims]
        a = build.permute_to(input, (*(axis for axis in range(len(input.shape)) if axis not in moved), *moved))
    wanted = a.shape[len(other.shape) :]
    rows, columns = product_of(other.shape), product_of(wanted)
    if product_of(a.shape[: len(other.shape)]) != columns or rows != columns:
        raise ShapeError(
            "Expected self to satisfy the requirement prod(self.shape[other.ndim:]) == prod(self.shape[:other.ndim]), "
            f"but got {columns} != {product_of(a.shape[: len(other.shape)])}",
            hint="A is a square map as a matrix",
        )
    found = solve(build.reshape_to(a, (rows, columns)), build.reshape_to(other, (rows,)))
    return build.reshape_to(found, wanted)


@function(method=True)
def ormqr(input: Node, tau: Node, other: Node, left: bool = True, transpose: bool = False) -> Node:
    """Q other (other Q unless `left`; Q^H if `transpose`) for Q = H_1 ... H_k of `geqrf`, without making Q."""
    check_matrix("ormqr", input, "ormqr_cpu", takes="kernels")
    k, rank = tau.shape[-1], len(input.shape)
    if not isinstance(k, int):
        raise ShapeError(f"ormqr: the number of reflections is the symbol {k}", hint="give that dimension a number")
    vectors = unit_lower(input)
    result = other if left else mH(other)
    # From the right it is the adjoint from the left of the adjoint.
    is_adjoint = transpose if left else not transpose
    for i in range(k) if is_adjoint else reversed(range(k)):
        vector = part(vectors, rank - 1, i, i + 1)
        factor = build.reshape_to(part(tau, rank - 2, i, i + 1), (*tau.shape[:-1], 1, 1))
        factor = build.conj_of(factor) if is_adjoint else factor
        move = matmul(vector, matmul(mH(vector), result))
        result = ew.sub(result, ew.mul(move, build.broadcast_to(factor, move.shape)))
    return result if left else mH(result)
