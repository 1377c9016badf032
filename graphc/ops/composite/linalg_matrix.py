"""What the functions of `graphc.linalg` share: checks in PyTorch's words, and small steps on stacks of matrices.

Level: tensor graph. In: nodes `[*batch, m, n]`. Out: nodes, or an error.
"""

from __future__ import annotations

from graphc.ir.dim import Size, minimum
from graphc.ir.dtype import DType, Kind, f32, f64, i64, real_of
from graphc.ir.errors import DTypeError, LinAlgError, ShapeError
from graphc.ir.graph import Node
from graphc.ir.type import Shape, TensorType
from graphc.ops import build, creation, movement, reduction
from graphc.ops import elementwise as ew
from graphc.ops.check import can_be_equal
from graphc.ops.composite.contraction import matmul
from graphc.ops.composite.operand import broadcast_shape, refuse_kinds
from graphc.ops.lapack import Integers

# Checks


def check_matrix(name: str, x: Node, kernel: str = "", *, takes: str = "floats") -> Node:
    """x, which must be matrices, of elements as `check_floats` wants them."""
    if len(x.shape) < 2:
        raise ShapeError(
            f"{name}: The input tensor A must have at least 2 dimensions.",
            hint=f"its shape is {list(x.shape)}: unsqueeze it first",
        )
    return check_floats(name, x, kernel, takes=takes)


def check_square(name: str, x: Node, kernel: str = "", what: str = "A", *, takes: str = "floats") -> Node:
    """x, which must be square matrices, of elements as `check_floats` wants them."""
    check_matrix(name, x, takes="all")
    check_square_shape(name, x, what)
    return check_floats(name, x, kernel, takes=takes)


def check_square_shape(name: str, x: Node, what: str = "A") -> None:
    """Refuse matrices that aren't square."""
    rows, columns = x.shape[-2:]
    if rows == columns:
        return
    if can_be_equal(rows, columns):
        raise ShapeError(
            f"{name}: {what} must be batches of square matrices, and {rows} is not known to be {columns}",
            hint="give both sizes the same name where the shape is declared",
        )
    raise ShapeError(
        f"{name}: {what} must be batches of square matrices, but they are {rows} by {columns} matrices",
        hint="linalg.pinv, linalg.lstsq and linalg.svd take other shapes",
    )


def check_floats(name: str, x: Node, kernel: str = "", *, takes: str = "floats") -> Node:
    """x, which must be of numbers that LAPACK computes with.

    `kernel` is what PyTorch calls the code that is missing for 16-bit floats, where that is what it complains of.
    `takes` says which words it has for integers: "floats" those of a check, "kernels" those of missing code. "all"
    checks nothing.
    """
    dtype = x.tensor.dtype
    if takes == "all":
        return x
    is_number = dtype.kind >= Kind.FLOAT
    if not is_number and takes == "floats":
        raise DTypeError(
            f"{name}: Expected a floating point or complex tensor as input. Got {dtype.scalar}",
            hint="convert it first, e.g. x.to('float32')",
        )
    if is_number and real_of(dtype) in (f32, f64):
        return x
    if kernel:
        refuse_kinds(kernel, x, *Kind)
    raise DTypeError(
        f"{name}: Low precision dtypes not supported. Got {dtype.scalar}",
        hint="convert it first, e.g. x.to('float32')",
    )


def check_same_dtype(name: str, a: Node, b: Node, names: str = "A and B") -> None:
    """Refuse operands of two dtypes."""
    if a.tensor.dtype is not b.tensor.dtype:
        first, _, second = names.partition(" and ")
        raise DTypeError(
            f"{name}: Expected {names} to have the same dtype, but found {first} of type {a.tensor.dtype.scalar} and "
            f"{second} of type {b.tensor.dtype.scalar} instead",
            hint="convert one of them first",
        )


def failed(name: str, info: Integers, reason: str) -> LinAlgError:
    """The error for the first matrix of which `info` tells a failure; `reason` may name its number as {info}."""
    flat = info.reshape(-1)
    index = next(i for i, each in enumerate(flat) if each)
    where = f"(Batch element {index}): " if info.ndim else ""
    return LinAlgError(f"{name}: {where}{reason.format(info=int(flat[index]))}")


# Steps


def mT(x: Node) -> Node:
    """Each matrix transposed."""
    rank = len(x.shape)
    return build.permute_to(x, (*range(rank - 2), rank - 1, rank - 2))


def mH(x: Node) -> Node:
    """The conjugate transpose of each matrix."""
    return build.conj_of(mT(x))


def product(*factors: Node) -> Node:
    """The matrix product, from the left."""
    result = factors[0]
    for factor in factors[1:]:
        result = matmul(result, factor)
    return result


def offsets(shape: Shape) -> Node:
    """Column less row of each element of a stack of matrices."""
    rank = len(shape)
    row, column = (creation.iota(shape=shape, axis=axis, dtype=i64) for axis in (rank - 2, rank - 1))
    return ew.sub(column, row)


def lower(x: Node, diagonal: int = 0) -> Node:
    """0 above a diagonal."""
    keeps = offsets(x.shape)
    return ew.select(ew.le(keeps, build.full_like(keeps, diagonal)), x, build.zeros_like(x))


def upper(x: Node, diagonal: int = 0) -> Node:
    """0 below a diagonal."""
    keeps = offsets(x.shape)
    return ew.select(ew.ge(keeps, build.full_like(keeps, diagonal)), x, build.zeros_like(x))


def on_diagonal(x: Node, inside: Node) -> Node:
    """x with its diagonal from `inside`, which has its shape."""
    place = offsets(x.shape)
    return ew.select(ew.eq(place, build.zeros_like(place)), inside, x)


def diagonal_of(x: Node) -> Node:
    """The diagonal `[*batch, k]` of matrices that have as many rows as columns, or of the first k of either."""
    rows, columns = x.shape[-2:]
    size = rows if rows == columns else least(rows, columns)
    corner = first_columns(first_rows(x, size), size)
    picked = on_diagonal(build.zeros_like(corner), corner)
    return sum_last(picked)


def diagonal_matrix(x: Node) -> Node:
    """Matrices with these diagonals `[*batch, n]`, 0 elsewhere."""
    square = (*x.shape, x.shape[-1])
    spread = build.broadcast_to(column(x), square)
    return on_diagonal(build.zeros_like(spread), spread)


def identity(like: Node) -> Node:
    """The identity, of the type of square matrices."""
    return on_diagonal(build.zeros_like(like), build.ones_like(like))


def column(x: Node) -> Node:
    """`[..., n]` as `[..., n, 1]`."""
    return build.reshape_to(x, (*x.shape, 1))


def row(x: Node) -> Node:
    """`[..., n]` as `[..., 1, n]`."""
    return build.reshape_to(x, (*x.shape[:-1], 1, x.shape[-1]))


def times(x: Node, other: Node) -> Node:
    """Elementwise, the other one repeated to the shape of x, real numbers beside complex ones made complex."""
    return ew.mul(x, build.broadcast_to(build.cast_to(other, x.tensor.dtype), x.shape))


def over(x: Node, other: Node) -> Node:
    """Elementwise, as `times`."""
    return ew.div(x, build.broadcast_to(build.cast_to(other, x.tensor.dtype), x.shape))


def plus(*terms: Node | None) -> Node | None:
    """The sum of the terms that are there."""
    total: Node | None = None
    for term in terms:
        if term is not None:
            total = term if total is None else ew.add(total, term)
    return total


def skew(x: Node) -> Node:
    """X - X^H."""
    return ew.sub(x, mH(x))


def sum_last(x: Node) -> Node:
    """Summed along the last axis."""
    return build.cast_to(reduction.sum_(x, axes=(len(x.shape) - 1,)), x.tensor.dtype)


def first_rows(x: Node, count: Size) -> Node:
    """The first rows of each matrix."""
    return part(x, len(x.shape) - 2, 0, count)


def first_columns(x: Node, count: Size) -> Node:
    """The first columns of each matrix."""
    return part(x, len(x.shape) - 1, 0, count)


def part(x: Node, axis: int, start: Size, stop: Size) -> Node:
    """The elements from `start` to before `stop` along an axis; x itself if that is all."""
    if start == 0 and stop == x.shape[axis]:
        return x
    rank = len(x.shape)
    starts = tuple(start if i == axis else 0 for i in range(rank))
    stops = tuple(stop if i == axis else size for i, size in enumerate(x.shape))
    return movement.slice_(x, start=starts, stop=stops, step=(1,) * rank)


def least(a: Size, b: Size) -> Size:
    """The lesser of two sizes."""
    return a if a == b else minimum(a, b)


def batched(name: str, *stacks: Node) -> tuple[Node, ...]:
    """Stacks of matrices with their batches broadcast to one."""
    batch = broadcast_shape(name, *(x.shape[:-2] for x in stacks))
    return tuple(build.broadcast_to(x, (*batch, *x.shape[-2:])) for x in stacks)


def smallest_step(dtype: DType) -> float:
    """The difference between 1 and the next number of the dtype, or of the dtype of its parts."""
    return 2.0**-52 if real_of(dtype) is f64 else 2.0**-23


def like(x: Node, shape: Shape, dtype: DType | None = None) -> TensorType:
    """A type with the dtype of x, or another."""
    return TensorType(shape, dtype or x.tensor.dtype)
