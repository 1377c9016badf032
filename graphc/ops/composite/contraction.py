"""Products of matrices and vectors under PyTorch's names: matmul and its kin.

All are written as one contraction of two labelled operands, which knows which axes both have, which are summed, and
which one operand has alone. An operand without an axis of the batch is not repeated along it: in
`[batch, length, n] @ [n, m]` the batch is just another row axis of the left operand.
"""

from __future__ import annotations

from typing import TypeAlias

from graphc.ir.dim import Size
from graphc.ir.dtype import Kind, bf16, bool_, f16
from graphc.ir.errors import DTypeError, ShapeError
from graphc.ir.graph import Node
from graphc.ir.type import Shape
from graphc.ops import build, contraction, reduction
from graphc.ops import elementwise as ew
from graphc.ops.check import can_be_equal
from graphc.ops.composite.arithmetic import check_factor, is_one, truth
from graphc.ops.composite.operand import (
    Operand,
    broadcast_shape,
    c_name,
    in_dtype,
    in_dtype_exactly,
    normal_dim,
    refuse_kinds,
    result_dtype,
    type_text,
    widened,
)
from graphc.ops.function import function

Label: TypeAlias = "int | str"
Labels: TypeAlias = "tuple[Label, ...]"


def contract(x: Node, x_labels: Labels, w: Node, w_labels: Labels, result: Labels) -> Node:
    """The sum of products over all labels that `result` hasn't; no label stands twice in one operand.

    Axes of one label have one size, or one of them has size 1 and repeats. Operands have one dtype.
    """
    x, x_labels = _without_repeated_ones(x, x_labels, w, w_labels)
    w, w_labels = _without_repeated_ones(w, w_labels, x, x_labels)
    x, x_labels = _summed(x, x_labels, set(w_labels) | set(result))
    w, w_labels = _summed(w, w_labels, set(x_labels) | set(result))
    both = tuple(label for label in x_labels if label in w_labels)
    bound = tuple(label for label in both if label not in result)
    batch = tuple(label for label in result if label in both)
    if not bound:
        return ew.mul(*_lined_up((x, x_labels), (w, w_labels), result))
    if len(both) == len(x_labels) == len(w_labels) and x.tensor.dtype not in (f16, bf16):
        # Without free axes there is nothing to reuse: a plain sum, except where products must not be rounded first.
        left, right = (_permuted(*each, batch + bound) for each in ((x, x_labels), (w, w_labels)))
        axes = tuple(range(len(batch), len(both)))
        total = build.cast_to(reduction.sum_(ew.mul(left, right), axes=axes), x.tensor.dtype)
        return _permuted(total, batch, result)
    order = batch + tuple(label for label in x_labels + w_labels if label not in both)
    product = contraction.dot(
        x,
        w,
        contract=(tuple(map(x_labels.index, bound)), tuple(map(w_labels.index, bound))),
        batch=(tuple(map(x_labels.index, batch)), tuple(map(w_labels.index, batch))),
    )
    return _permuted(product, order, result)


def _without_repeated_ones(x: Node, labels: Labels, other: Node, other_labels: Labels) -> tuple[Node, Labels]:
    """x without axes of size 1 that the other operand has with another size: it repeats along them."""
    sizes = dict(zip(other_labels, other.shape, strict=True))
    kept = tuple(axis for axis, label in enumerate(labels) if not (x.shape[axis] == 1 and sizes.get(label, 1) != 1))
    return build.reshape_to(x, tuple(x.shape[axis] for axis in kept)), tuple(labels[axis] for axis in kept)


def _summed(x: Node, labels: Labels, needed: set[Label]) -> tuple[Node, Labels]:
    """x summed over the labels that nothing else needs."""
    axes = tuple(axis for axis, label in enumerate(labels) if label not in needed)
    if not axes:
        return x, labels
    total = build.cast_to(reduction.sum_(x, axes=axes), x.tensor.dtype)
    return total, tuple(label for label in labels if label in needed)


def _permuted(x: Node, labels: Labels, order: Labels) -> Node:
    return build.permute_to(x, tuple(map(labels.index, order)))


def _lined_up(x: tuple[Node, Labels], w: tuple[Node, Labels], result: Labels) -> tuple[Node, Node]:
    """Both operands with the axes of the result."""
    sizes: dict[Label, Size] = {}
    for node, labels in (x, w):
        for label, size in zip(labels, node.shape, strict=True):
            sizes[label] = size if sizes.get(label, 1) == 1 else sizes[label]
    shape = tuple(sizes[label] for label in result)
    lined: list[Node] = []
    for node, labels in (x, w):
        ordered = _permuted(node, labels, tuple(label for label in result if label in labels))
        missing = tuple(axis for axis, label in enumerate(result) if label not in labels)
        lined.append(build.broadcast_to(build.insert_axes(ordered, missing), shape))
    return lined[0], lined[1]


# What fits what, in PyTorch's words


def agree(name: str, a: Size, b: Size, message: str) -> None:
    """Raise ShapeError with this message unless the sizes are equal."""
    if a == b:
        return
    if can_be_equal(a, b):
        raise ShapeError(
            f"{name}: the sizes {a} and {b} are not known to be equal",
            hint="give both the same name where the shapes are declared",
        )
    raise ShapeError(message, hint=f"{name}: check the shapes of the operands")


def sizes_text(shape: Shape) -> str:
    """A shape as PyTorch's errors print it."""
    return f"[{', '.join(map(str, shape))}]"


def _refuse_dtypes(name: str, message: str, *operands: Node) -> None:
    if len({x.tensor.dtype for x in operands}) > 1:
        raise DTypeError(message, hint=f"{name}: convert one of them, e.g. x.to('float32')")


def _check_matrices(name: str, x: Node, y: Node) -> None:
    """Two matrices that can be multiplied."""
    message = f"mat1 and mat2 shapes cannot be multiplied ({_by(x.shape)} and {_by(y.shape)})"
    agree(name, x.shape[1], y.shape[0], message)
    a, b = c_name(x.tensor.dtype), c_name(y.tensor.dtype)
    _refuse_dtypes(name, f"expected m1 and m2 to have the same dtype, but got: {a} != {b}", x, y)
    refuse_kinds("addmm_impl_cpu_", x, Kind.BOOL)


def _by(shape: Shape) -> str:
    return "x".join(map(str, shape))


def _check_batches(name: str, x: Node, y: Node) -> None:
    """Two batches of matrices that can be multiplied in pairs."""
    message = (
        "Expected size for first two dimensions of batch2 tensor to be: "
        f"{sizes_text((x.shape[0], x.shape[2]))} but got: {sizes_text(y.shape[:2])}."
    )
    agree(name, x.shape[0], y.shape[0], message)
    agree(name, x.shape[2], y.shape[1], message)
    a, b = x.tensor.dtype.scalar, y.tensor.dtype.scalar
    _refuse_dtypes(name, f"expected scalar type {a} but found {b}", x, y)
    refuse_kinds(name, x, Kind.BOOL)


def _check_vectors(x: Node, y: Node) -> None:
    if len(x.shape) != 1 or len(y.shape) != 1:
        raise ShapeError(
            f"1D tensors expected, but got {len(x.shape)}D and {len(y.shape)}D tensors",
            hint="matmul takes any number of dimensions",
        )
    n, m = x.shape[0], y.shape[0]
    _refuse_dtypes(
        "dot",
        f"dot : expected both vectors to have same dtype, but found {x.tensor.dtype.scalar} and "
        f"{y.tensor.dtype.scalar}",
        x,
        y,
    )
    message = (
        f"inconsistent tensor size, expected tensor [{n}] and src [{m}] to have the same number of elements, but got "
        f"{n} and {m} elements respectively"
    )
    agree("dot", n, m, message)
    refuse_kinds("dot", x, Kind.BOOL)


def _check_matrix_and_vector(name: str, mat: Node, vec: Node, result: Node | None = None) -> None:
    rank = 1 if result is None else len(result.shape)
    if len(mat.shape) != 2 or len(vec.shape) != 1 or rank > 1:
        raise ShapeError(
            f"vector + matrix @ vector expected, got {rank}, {len(mat.shape)}, {len(vec.shape)}",
            hint="matmul takes any number of dimensions",
        )
    rows = mat.shape[0]
    given = rows if result is None or not result.shape else result.shape[0]
    message = f"size mismatch, got input ({given}), mat ({_by(mat.shape)}), vec ({vec.shape[0]})"
    agree(name, mat.shape[1], vec.shape[0], message)
    if given != 1:
        agree(name, rows, given, message)
    first = vec if result is None else result
    dtypes = [x.tensor.dtype.scalar for x in (first, mat, vec)]
    _refuse_dtypes(
        name,
        f"addmv input tensors must have the same dtype, but got {dtypes[0]}, {dtypes[1]}, and {dtypes[2]}",
        first,
        mat,
        vec,
    )
    refuse_kinds("addmv_impl_cpu", mat, Kind.BOOL)


def _rank(message: str, x: Node, rank: int) -> None:
    if len(x.shape) != rank:
        raise ShapeError(message, hint="matmul takes any number of dimensions")


# Products


@function(method=True, names=("linalg.matmul",))
def matmul(input: Node, other: Node) -> Node:
    """The matrix product over the last two dimensions, those before broadcast; vectors are rows or columns."""
    check_matmul(input, other)
    rank = max(len(input.shape), len(other.shape), 2) - 2
    batch = tuple(range(rank))
    rows, columns, inner = ("rows",), ("columns",), ("inner",)
    left: Labels = (*batch[rank - len(input.shape[:-2]) :], *(rows if len(input.shape) > 1 else ()), *inner)
    right: Labels = (*batch[rank - len(other.shape[:-2]) :], *inner, *(columns if len(other.shape) > 1 else ()))
    result = (*batch, *(label for label in ("rows", "columns") if label in left + right))
    return contract(input, left, other, right, result)


def check_matmul(x: Node, y: Node) -> None:
    """Refuses what PyTorch's matmul refuses, in the words of what it calls for operands of these ranks."""
    match len(x.shape), len(y.shape):
        case (0, _) | (_, 0):
            raise ShapeError(
                f"both arguments to matmul need to be at least 1D, but they are {len(x.shape)}D and {len(y.shape)}D",
                hint="multiply by a 0-d tensor with *",
            )
        case (1, 1):
            _check_vectors(x, y)
        case (2, 1):
            _check_matrix_and_vector("matmul", x, y)
        case (1, 2):
            _check_matrices("matmul", build.insert_axes(x, (0,)), y)
        case (2, 2):
            _check_matrices("matmul", x, y)
        case (_, 1):
            _check_matrix_and_vector("matmul", _folded(x), y)
        case (_, 2):
            _check_matrices("matmul", _folded(x), y)
        case _:
            left = build.insert_axes(x, (0,)) if len(x.shape) == 1 else x
            batch = broadcast_shape("matmul", left.shape[:-2], y.shape[:-2])
            count = _product(batch)
            pair = (build.broadcast_to(each, (*batch, *each.shape[-2:])) for each in (left, y))
            _check_batches("bmm", *(build.reshape_to(each, (count, *each.shape[-2:])) for each in pair))


def _product(sizes: Shape) -> Size:
    result: Size = 1
    for size in sizes:
        result = result * size
    return result


def _folded(x: Node) -> Node:
    """A batch of matrices as one, of all their rows."""
    return build.reshape_to(x, (_product(x.shape[:-1]), x.shape[-1]))


@function(method=True)
def mm(input: Node, mat2: Node) -> Node:
    """The product of two matrices."""
    _rank("self must be a matrix", input, 2)
    _rank("mat2 must be a matrix", mat2, 2)
    return matmul(input, mat2)


@function()
def spmm(input: Node, mat2: Node) -> Node:
    """The product of two matrices; PyTorch's name for it where the first may be sparse, as graph networks write."""
    return mm(input, mat2)


@function(method=True)
def bmm(input: Node, mat2: Node) -> Node:
    """The products of matrices in pairs; both have the same number of them."""
    _rank("batch1 must be a 3D tensor", input, 3)
    _rank("batch2 must be a 3D tensor", mat2, 3)
    _check_batches("bmm", input, mat2)
    return matmul(input, mat2)


@function(method=True)
def mv(input: Node, vec: Node) -> Node:
    """The product of a matrix and a vector."""
    _check_matrix_and_vector("mv", input, vec)
    return matmul(input, vec)


@function(method=True)
def dot(input: Node, tensor: Node) -> Node:
    """The sum of the products of two vectors' elements."""
    _check_vectors(input, tensor)
    return matmul(input, tensor)


@function(method=True)
def vdot(input: Node, other: Node) -> Node:
    """`dot` with the first vector conjugated."""
    _check_vectors(input, other)
    return matmul(build.conj_of(input), other)


# Products added


def _plus(name: str, input: Node, product: Node, beta: Operand, alpha: Operand, dtype: Node) -> Node:
    """beta * input + alpha * product, of the product's shape, in the dtype of `dtype`; a beta of 0 drops the input."""
    result = dtype.tensor.dtype
    wide = product.tensor.dtype
    first, second = (in_dtype_exactly(name, each, wide) for each in (beta, alpha))
    if not is_one(alpha):
        product = ew.mul(product, build.broadcast_to(second, product.shape))
    expanded = expanded_to(name, input, product.shape)
    if not isinstance(beta, Node) and beta == 0:
        return build.cast_to(product, result)
    added = build.cast_to(expanded, wide)
    if not is_one(beta):
        added = ew.mul(added, build.broadcast_to(first, added.shape))
    return build.cast_to(ew.add(added, product), result)


def expanded_to(name: str, x: Node, shape: Shape) -> Node:
    """x repeated to a shape; raises ShapeError in the words of PyTorch's expand."""
    if len(x.shape) > len(shape):
        raise ShapeError(
            f"expand({type_text(x.tensor.dtype)}{{{sizes_text(x.shape)}}}, size={sizes_text(shape)}): the "
            f"number of sizes provided ({len(shape)}) must be greater or equal to the number of dimensions in the "
            f"tensor ({len(x.shape)})",
            hint=f"{name}: the operand that is added has no more dimensions than the result",
        )
    offset = len(shape) - len(x.shape)
    for axis in reversed(range(len(x.shape))):
        mine, wanted = x.shape[axis], shape[axis + offset]
        if mine != 1:
            message = (
                f"The expanded size of the tensor ({wanted}) must match the existing size ({mine}) at non-singleton "
                f"dimension {axis + offset}.  Target sizes: {sizes_text(shape)}.  Tensor sizes: {sizes_text(x.shape)}"
            )
            agree(name, mine, wanted, message)
    return build.broadcast_to(x, shape)


def _same_as_self(name: str, input: Node, mat2: Node) -> None:
    a, b = input.tensor.dtype.scalar, mat2.tensor.dtype.scalar
    _refuse_dtypes(name, f"self and mat2 must have the same dtype, but got {a} and {b}", input, mat2)


@function(method=True)
def addmm(input: Node, mat1: Node, mat2: Node, *, beta: Operand = 1, alpha: Operand = 1) -> Node:
    """beta * input + alpha * (mat1 @ mat2)."""
    _rank(f"mat1 must be a matrix, got {len(mat1.shape)}-D tensor", mat1, 2)
    _rank(f"mat2 must be a matrix, got {len(mat2.shape)}-D tensor", mat2, 2)
    _same_as_self("addmm", input, mat2)
    _check_matrices("addmm", mat1, mat2)
    return _plus("addmm", input, matmul(widened(mat1), widened(mat2)), beta, alpha, mat1)


@function(method=True)
def addmv(input: Node, mat: Node, vec: Node, *, beta: Operand = 1, alpha: Operand = 1) -> Node:
    """beta * input + alpha * (mat @ vec)."""
    _check_matrix_and_vector("addmv", mat, vec, input)
    return _plus("addmv", input, matmul(widened(mat), widened(vec)), beta, alpha, mat)


@function(method=True)
def addr(input: Node, vec1: Node, vec2: Node, *, beta: Operand = 1, alpha: Operand = 1) -> Node:
    """beta * input + alpha * outer(vec1, vec2)."""
    _rank(f"addr: Expected 1-D argument vec1, but got {len(vec1.shape)}-D", vec1, 1)
    _rank(f"addr: Expected 1-D argument vec2, but got {len(vec2.shape)}-D", vec2, 1)
    common = result_dtype(input, vec1, vec2)
    if common is not bool_:
        check_factor("addr", beta, input, vec1, vec2)
        check_factor("addr", alpha, input, vec1, vec2)
    x, a, b = (build.cast_to(each, common) for each in (input, vec1, vec2))
    shape = (*a.shape, *b.shape)
    pair = (build.broadcast_to(build.insert_axes(a, (1,)), shape), build.broadcast_to(b, shape))
    if common is bool_:
        return _any_of_bools(x, ew.bitwise_and(*pair), beta, alpha)
    return _plus("addr", x, ew.mul(*map(widened, pair)), beta, alpha, x)


def _any_of_bools(x: Node, product: Node, beta: Operand, alpha: Operand) -> Node:
    for each in (beta, alpha):
        check_factor("addr", in_dtype("addr", each, bool_) if isinstance(each, int) else each, x)
    added = expanded_to("addr", x, product.shape)
    first, second = (build.broadcast_to(truth(each), product.shape) for each in (beta, alpha))
    return ew.bitwise_or(ew.bitwise_and(added, first), ew.bitwise_and(product, second))


@function(method=True)
def baddbmm(input: Node, batch1: Node, batch2: Node, *, beta: Operand = 1, alpha: Operand = 1) -> Node:
    """beta * input + alpha * bmm(batch1, batch2)."""
    _check_three("baddbmm", batch1, batch2)
    expanded_to("baddbmm", input, (batch1.shape[0], batch1.shape[1], batch2.shape[2]))
    names = [c_name(x.tensor.dtype) for x in (input, batch1, batch2)]
    _check_batches("baddbmm", batch1, batch2)
    message = f"Input dtypes must be the same, got: input {names[0]}, batch1: {names[1]}, batch2: {names[2]}"
    _refuse_dtypes("baddbmm", message, input, batch1)
    return _plus("baddbmm", input, matmul(widened(batch1), widened(batch2)), beta, alpha, batch1)


def _check_three(name: str, batch1: Node, batch2: Node) -> None:
    for each in (batch1, batch2):
        normal_dim(name, 2, len(each.shape))


@function(method=True)
def addbmm(input: Node, batch1: Node, batch2: Node, *, beta: Operand = 1, alpha: Operand = 1) -> Node:
    """beta * input + alpha * (the sum of bmm(batch1, batch2) over the batch)."""
    _check_three("addbmm", batch1, batch2)
    expanded_to("addbmm", input, (batch1.shape[1], batch2.shape[2]))
    counts = batch1.shape[0], batch2.shape[0]
    message = f"batch1 and batch2 must have same number of batches, got {counts[0]} and {counts[1]}"
    agree("addbmm", *counts, message)
    message = f"Incompatible matrix sizes for bmm ({_by(batch1.shape[1:])} and {_by(batch2.shape[1:])})"
    agree("addbmm", batch1.shape[2], batch2.shape[1], message)
    _same_as_self("addbmm", input, batch2)
    a, b = c_name(batch1.tensor.dtype), c_name(batch2.tensor.dtype)
    _refuse_dtypes("addbmm", f"expected m1 and m2 to have the same dtype, but got: {a} != {b}", batch1, batch2)
    refuse_kinds("addmm_impl_cpu_", batch1, Kind.BOOL)
    x, y = widened(batch1), widened(batch2)
    product = contract(x, ("batch", "rows", "inner"), y, ("batch", "inner", "columns"), ("rows", "columns"))
    return _plus("addbmm", input, product, beta, alpha, batch1)


def _operator(name: str, is_reflected: bool) -> None:
    def method(input: Node, other: Node) -> Node:
        return matmul(other, input) if is_reflected else matmul(input, other)

    method.__name__ = method.__qualname__ = name
    method.__doc__ = "The operator form of matmul."
    function(method=True, free=False)(method)


_operator("__matmul__", False)
_operator("__rmatmul__", True)
