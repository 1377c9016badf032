"""Sums of products under PyTorch's names: matmul and its kin.

All are written as one contraction of two labelled operands, which knows which axes both have, which are summed, and
which one operand has alone. An operand without an axis of the batch is not repeated along it: in
`[batch, length, n] @ [n, m]` the batch is just another row axis of the left operand.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from graphc.ir.dim import Size
from graphc.ir.dtype import bf16, f16
from graphc.ir.errors import ArgumentError, ShapeError
from graphc.ir.graph import Node
from graphc.ops import build, contraction, reduction
from graphc.ops import elementwise as ew
from graphc.ops.check import NUMBER, equal_dtypes, equal_sizes, shape_text, takes
from graphc.ops.composite.arithmetic import add, mul
from graphc.ops.composite.operand import Operand, broadcast_shape, normal_dim
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


def _checked(name: str, *operands: Node) -> None:
    """The operands, which must be numbers of one dtype."""
    equal_dtypes(name, *(x.tensor for x in operands))
    takes(name, operands[0].tensor, NUMBER)


def _rank(name: str, what: str, x: Node, rank: int) -> None:
    if len(x.shape) != rank:
        kind = ("", "a vector (1 dimension)", "a matrix (2 dimensions)", "a batch of matrices (3 dimensions)")[rank]
        raise ShapeError(
            f"{name}: {what} must be {kind}, not of shape {shape_text(x.shape)}",
            hint="matmul takes any number of dimensions",
        )


@function(method=True)
def matmul(input: Node, other: Node) -> Node:
    """The matrix product over the last two dimensions, those before broadcast; vectors are rows or columns."""
    _checked("matmul", input, other)
    if not input.shape or not other.shape:
        raise ShapeError(
            f"matmul: takes tensors with dimensions, not {shape_text(input.shape)} @ {shape_text(other.shape)}",
            hint="multiply by a 0-d tensor with *",
        )
    depth = other.shape[-2] if len(other.shape) > 1 else other.shape[0]
    equal_sizes(
        "matmul", f"the inner sizes of {shape_text(input.shape)} @ {shape_text(other.shape)}", input.shape[-1], depth
    )
    broadcast_shape("matmul", input.shape[:-2], other.shape[:-2])
    rank = max(len(input.shape), len(other.shape), 2) - 2
    batch = tuple(range(rank))
    rows, columns, inner = ("rows",), ("columns",), ("inner",)
    left: Labels = (*batch[rank - len(input.shape[:-2]) :], *(rows if len(input.shape) > 1 else ()), *inner)
    right: Labels = (*batch[rank - len(other.shape[:-2]) :], *inner, *(columns if len(other.shape) > 1 else ()))
    result = (*batch, *(label for label in ("rows", "columns") if label in left + right))
    return contract(input, left, other, right, result)


@function(method=True)
def mm(input: Node, mat2: Node) -> Node:
    """The product of two matrices."""
    _rank("mm", "input", input, 2)
    _rank("mm", "mat2", mat2, 2)
    return matmul(input, mat2)


@function(method=True)
def bmm(input: Node, mat2: Node) -> Node:
    """The products of matrices in pairs; both have the same number of them."""
    _rank("bmm", "input", input, 3)
    _rank("bmm", "mat2", mat2, 3)
    equal_sizes("bmm", "the numbers of matrices", input.shape[0], mat2.shape[0])
    return matmul(input, mat2)


@function(method=True)
def mv(input: Node, vec: Node) -> Node:
    """The product of a matrix and a vector."""
    _rank("mv", "input", input, 2)
    _rank("mv", "vec", vec, 1)
    return matmul(input, vec)


@function(method=True)
def dot(input: Node, tensor: Node) -> Node:
    """The sum of the products of two vectors' elements."""
    _rank("dot", "input", input, 1)
    _rank("dot", "tensor", tensor, 1)
    return matmul(input, tensor)


@function(method=True)
def vdot(input: Node, other: Node) -> Node:
    """`dot` with the first vector conjugated."""
    _rank("vdot", "input", input, 1)
    _rank("vdot", "other", other, 1)
    return matmul(build.conj_of(input), other)


@function(method=True)
def inner(input: Node, other: Node) -> Node:
    """The sum of products over the last dimension of both; a 0-d tensor multiplies."""
    if not input.shape or not other.shape:
        return mul(input, other)
    return tensordot(input, other, ([-1], [-1]))


@function(method=True, names=("ger",))
def outer(input: Node, vec2: Node) -> Node:
    """All products of an element of one vector and one of the other: `[n]` and `[m]` give `[n, m]`."""
    _rank("outer", "input", input, 1)
    _rank("outer", "vec2", vec2, 1)
    return mul(build.insert_axes(input, (1,)), vec2)


def _plus(name: str, input: Node, product: Node, beta: Operand, alpha: Operand) -> Node:
    """beta * input + alpha * product, of the product's shape."""
    if broadcast_shape(name, input.shape, product.shape) != product.shape:
        raise ShapeError(
            f"{name}: input of shape {shape_text(input.shape)} doesn't repeat to the product's"
            f" {shape_text(product.shape)}",
            hint="the input has the product's shape, or sizes of 1 that repeat",
        )
    scaled = product if _is_number(alpha, 1) else mul(product, alpha)
    if _is_number(beta, 0):
        return scaled
    return add(input if _is_number(beta, 1) else mul(input, beta), scaled)


def _is_number(x: Operand, value: int) -> bool:
    return not isinstance(x, Node) and x == value


@function(method=True)
def addmm(input: Node, mat1: Node, mat2: Node, *, beta: Operand = 1, alpha: Operand = 1) -> Node:
    """beta * input + alpha * (mat1 @ mat2)."""
    return _plus("addmm", input, mm(mat1, mat2), beta, alpha)


@function(method=True)
def addmv(input: Node, mat: Node, vec: Node, *, beta: Operand = 1, alpha: Operand = 1) -> Node:
    """beta * input + alpha * (mat @ vec)."""
    return _plus("addmv", input, mv(mat, vec), beta, alpha)


@function(method=True)
def addr(input: Node, vec1: Node, vec2: Node, *, beta: Operand = 1, alpha: Operand = 1) -> Node:
    """beta * input + alpha * outer(vec1, vec2)."""
    return _plus("addr", input, outer(vec1, vec2), beta, alpha)


@function(method=True)
def baddbmm(input: Node, batch1: Node, batch2: Node, *, beta: Operand = 1, alpha: Operand = 1) -> Node:
    """beta * input + alpha * bmm(batch1, batch2)."""
    return _plus("baddbmm", input, bmm(batch1, batch2), beta, alpha)


@function()
def linear(input: Node, weight: Node, bias: Node | None = None) -> Node:
    """input @ weight.T + bias: `[..., n]` and `[m, n]` give `[..., m]`."""
    _checked("linear", input, weight)
    if not input.shape or len(weight.shape) not in (1, 2):
        raise ShapeError(
            f"linear: no input of shape {shape_text(input.shape)} with a weight of {shape_text(weight.shape)}",
            hint="the input is [..., n], the weight [m, n] or [n]",
        )
    what = f"the inner sizes of an input {shape_text(input.shape)} and a weight {shape_text(weight.shape)}"
    equal_sizes("linear", what, input.shape[-1], weight.shape[-1])
    outside = tuple(range(len(input.shape) - 1))
    features = ("features",) if len(weight.shape) == 2 else ()
    result = contract(input, (*outside, "inner"), weight, (*features, "inner"), (*outside, *features))
    return result if bias is None else add(result, bias)


@function()
def bilinear(input1: Node, input2: Node, weight: Node, bias: Node | None = None) -> Node:
    """x1 @ weight[k] @ x2 + bias[k] for each k: `[..., n]`, `[..., m]` and `[k, n, m]` give `[..., k]`."""
    _checked("bilinear", input1, input2, weight)
    _rank("bilinear", "weight", weight, 3)
    outside = tuple(range(len(input1.shape) - 1))
    equal_sizes("bilinear", "the last sizes of input1 and the weight's second", input1.shape[-1], weight.shape[1])
    equal_sizes("bilinear", "the last sizes of input2 and the weight's third", input2.shape[-1], weight.shape[2])
    if input1.shape[:-1] != input2.shape[:-1]:
        raise ShapeError(
            f"bilinear: the inputs {shape_text(input1.shape)} and {shape_text(input2.shape)} differ before the last"
            " dimension",
            hint="all sizes but the last are equal",
        )
    half = contract(input1, (*outside, "n"), weight, ("k", "n", "m"), (*outside, "k", "m"))
    result = contract(half, (*outside, "k", "m"), input2, (*outside, "m"), (*outside, "k"))
    return result if bias is None else add(result, bias)


@function()
def tensordot(a: Node, b: Node, dims: int | Sequence[Sequence[int]] = 2) -> Node:
    """The sum of products over the last `dims` dimensions of a and the first of b, or over those listed in pairs."""
    _checked("tensordot", a, b)
    if isinstance(dims, int):
        if not 0 <= dims <= min(len(a.shape), len(b.shape)):
            raise ArgumentError(
                f"tensordot: dims={dims} for shapes {shape_text(a.shape)} and {shape_text(b.shape)}",
                hint="it counts dimensions that both have",
            )
        left, right = tuple(range(len(a.shape) - dims, len(a.shape))), tuple(range(dims))
    else:
        left, right = (
            tuple(normal_dim("tensordot", d, len(x.shape)) for d in each) for x, each in zip((a, b), dims, strict=True)
        )
        if len(left) != len(right) or len(set(left)) != len(left) or len(set(right)) != len(right):
            raise ArgumentError(f"tensordot: dims={dims} doesn't pair dimensions", hint="name each of a and b once")
    for k, m in zip(left, right, strict=True):
        equal_sizes("tensordot", f"the sizes of dimension {k} of a and {m} of b", a.shape[k], b.shape[m])
    a_labels: Labels = tuple(range(len(a.shape)))
    partner = dict(zip(right, left, strict=True))
    b_labels: Labels = tuple(partner.get(axis, f"b{axis}") for axis in range(len(b.shape)))
    result = tuple(x for x in a_labels + b_labels if x not in left)
    return contract(a, a_labels, b, b_labels, result)


@function(method=True)
def kron(input: Node, other: Node) -> Node:
    """The Kronecker product: each element of the input times the whole other tensor, laid out in blocks."""
    rank = max(len(input.shape), len(other.shape))
    x, y = (build.reshape_to(each, (1,) * (rank - len(each.shape)) + each.shape) for each in (input, other))
    blocks = mul(
        build.insert_axes(x, tuple(range(1, 2 * rank, 2))),
        build.insert_axes(y, tuple(range(0, 2 * rank, 2))),
    )
    return build.reshape_to(blocks, tuple(a * b for a, b in zip(x.shape, y.shape, strict=True)))


def _operator(name: str, is_reflected: bool) -> None:
    def method(input: Node, other: Node) -> Node:
        return matmul(other, input) if is_reflected else matmul(input, other)

    method.__name__ = method.__qualname__ = name
    method.__doc__ = "The operator form of matmul."
    function(method=True, free=False)(method)


_operator("__matmul__", False)
_operator("__rmatmul__", True)
