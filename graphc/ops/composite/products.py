"""Products of tensors under PyTorch's names beyond matmul: inner, outer and Kronecker products, linear maps, chains."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from graphc.ir.dtype import Kind
from graphc.ir.errors import ArgumentError, DTypeError, ShapeError
from graphc.ir.graph import Node
from graphc.ops import build
from graphc.ops.composite.arithmetic import add, mul
from graphc.ops.composite.contraction import (
    Labels,
    agree,
    check_matmul,
    contract,
    expanded_to,
    matmul,
    sizes_text,
)
from graphc.ops.composite.operand import normal_dim, refuse_kinds
from graphc.ops.function import function


def _same_dtype(x: Node, y: Node) -> None:
    if x.tensor.dtype is not y.tensor.dtype:
        raise DTypeError("both inputs should have same dtype", hint="convert one of them, e.g. x.to('float32')")


@function(method=True)
def inner(input: Node, other: Node) -> Node:
    """The sum of products over the last dimension of both; a 0-d tensor multiplies."""
    if not input.shape or not other.shape:
        return mul(input, other)
    _same_dtype(input, other)
    message = (
        "inner() the last dimension must match on both input tensors but got shapes "
        f"{sizes_text(input.shape)} and {sizes_text(other.shape)}"
    )
    agree("inner", input.shape[-1], other.shape[-1], message)
    return tensordot(input, other, ([-1], [-1]))


@function(method=True, names=("ger",))
def outer(input: Node, vec2: Node) -> Node:
    """All products of an element of one vector and one of the other: `[n]` and `[m]` give `[n, m]`."""
    for name, each in (("self", input), ("vec2", vec2)):
        if len(each.shape) != 1:
            raise ShapeError(
                f"outer: Expected 1-D argument {name}, but got {len(each.shape)}-D", hint="flatten it first"
            )
    return mul(build.insert_axes(input, (1,)), vec2)


@function()
def tensordot(a: Node, b: Node, dims: int | Sequence[int] | Sequence[Sequence[int]] = 2) -> Node:
    """The sum of products over the last `dims` dimensions of a and the first of b, or over those listed in pairs.

    Sizes of 1 go with any other.
    """
    left, right = _paired(a, b, dims)
    _same_dtype(a, b)
    for k, m in zip(left, right, strict=True):
        if 1 not in (a.shape[k], b.shape[m]):
            place = k if not isinstance(dims, int) else k - len(a.shape)
            message = (
                f"contracted dimensions need to match, but first has size {a.shape[k]} in dim {place} and second has "
                f"size {b.shape[m]} in dim {m}"
            )
            agree("tensordot", a.shape[k], b.shape[m], message)
    refuse_kinds("addmm_impl_cpu_", a, Kind.BOOL)
    a_labels: Labels = tuple(range(len(a.shape)))
    partner = dict(zip(right, left, strict=True))
    b_labels: Labels = tuple(partner.get(axis, f"b{axis}") for axis in range(len(b.shape)))
    result = tuple(x for x in a_labels + b_labels if x not in left)
    return contract(a, a_labels, b, b_labels, result)


def _paired(
    a: Node, b: Node, dims: int | Sequence[int] | Sequence[Sequence[int]]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    if isinstance(dims, int):
        if dims < 0:
            raise ArgumentError(f"tensordot expects dims >= 0, but got dims={dims}", hint="it counts dimensions")
        if dims > min(len(a.shape), len(b.shape)):
            raise ArgumentError(
                f"tensordot expects dims < ndim_a or ndim_b, but got dims={dims}",
                hint="it counts dimensions that both have",
            )
        return tuple(range(len(a.shape) - dims, len(a.shape))), tuple(range(dims))
    first, second = ((each,) if isinstance(each, int) else tuple(each) for each in dims)
    if len(first) != len(second):
        raise ArgumentError("both dimension lists should have same length", hint="tensordot: name them in pairs")
    left, right = (
        tuple(normal_dim("tensordot", d, len(x.shape)) for d in each) for x, each in ((a, first), (b, second))
    )
    for each in (left, right):
        twice = [d for i, d in enumerate(each) if d in each[:i]]
        if twice:
            raise ArgumentError(
                f"dim {twice[0]} appears multiple times in the list of dims", hint="tensordot: name each once"
            )
    return left, right


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


@function()
def linear(input: Node, weight: Node, bias: Node | None = None) -> Node:
    """input @ weight.T + bias: `[..., n]` and `[m, n]` give `[..., m]`."""
    if not input.shape or not weight.shape:
        ranks = f"{len(input.shape)}D and {len(weight.shape)}D"
        raise ShapeError(
            f"both arguments to linear need to be at least 1D, but they are {ranks}", hint="give vectors or matrices"
        )
    if len(weight.shape) > 2:
        raise ShapeError(
            f"t() expects a tensor with <= 2 dimensions, but self is {len(weight.shape)}D",
            hint="linear: the weight is a matrix [outputs, inputs]",
        )
    if bias is not None and len(weight.shape) == 1:
        raise ShapeError("mat2 must be a matrix, got 1-D tensor", hint="linear: the weight is [outputs, inputs]")
    if bias is not None:
        for what, x in (("self", bias), ("mat1", input)):
            if x.tensor.dtype is not weight.tensor.dtype:
                raise DTypeError(
                    f"{what} and mat2 must have the same dtype, but got {x.tensor.dtype.scalar} and "
                    f"{weight.tensor.dtype.scalar}",
                    hint="linear: convert one of them",
                )
    check_matmul(input, build.permute_to(weight, (1, 0)) if len(weight.shape) == 2 else weight)
    outside = tuple(range(len(input.shape) - 1))
    features = ("features",) if len(weight.shape) == 2 else ()
    product = contract(input, (*outside, "inner"), weight, (*features, "inner"), (*outside, *features))
    return product if bias is None else add(product, expanded_to("linear", bias, product.shape))


@function()
def bilinear(input1: Node, input2: Node, weight: Node, bias: Node | None = None) -> Node:
    """x1 @ weight[k] @ x2 + bias[k] for each k: `[..., n]`, `[..., m]` and `[k, n, m]` give `[..., k]`."""
    normal_dim("bilinear", 2, len(weight.shape))
    if len(input1.shape) != len(input2.shape):
        raise ShapeError(
            f"bilinear(): input dimensions do not match: got {len(input1.shape)} and {len(input2.shape)}",
            hint="both have the same dimensions but the last",
        )
    for axis, (n, m) in enumerate(zip(input1.shape[:-1], input2.shape[:-1], strict=True)):
        agree("bilinear", n, m, f"bilinear(): input batch dimensions do not match at dim {axis}: got {n} and {m}")
    for which, (x, axis) in enumerate(((input1, 1), (input2, 2)), start=1):
        n, m = x.shape[-1], weight.shape[axis]
        agree("bilinear", n, m, f"bilinear(): input{which} size does not match weight size: got {n} but expected {m}")
    outside = tuple(range(len(input1.shape) - 1))
    for x in (input2, weight):
        if x.tensor.dtype is not input1.tensor.dtype:
            raise DTypeError(
                f"expected scalar type {input1.tensor.dtype.scalar} but found {x.tensor.dtype.scalar}",
                hint="bilinear: convert one of them",
            )
    half = contract(input1, (*outside, "n"), weight, ("k", "n", "m"), (*outside, "k", "m"))
    result = contract(half, (*outside, "k", "m"), input2, (*outside, "m"), (*outside, "k"))
    return result if bias is None else add(result, bias)


@function()
def chain_matmul(*matrices: Node) -> Node:
    """The product of all matrices, in the order that takes the fewest multiplications."""
    if not matrices:
        raise ArgumentError("chain_matmul(): Expected one or more matrices", hint="give at least one")
    for each in matrices:
        if len(each.shape) != 2:
            raise ShapeError(f"Tensor dimension is {len(each.shape)}, expected 2 instead.", hint="give matrices")
    for i, (x, y) in enumerate(pairwise(matrices)):
        message = (
            f"multi_dot(): tensors {i} and {i + 1} with shapes {sizes_text(x.shape)} and {sizes_text(y.shape)} cannot "
            "be multiplied"
        )
        agree("chain_matmul", x.shape[1], y.shape[0], message)
    parts = list(matrices)
    while len(parts) > 1:
        # The greatest inner size goes first: the classic short way to a good order.
        sizes = [x.shape[1] if isinstance(x.shape[1], int) else 0 for x in parts[:-1]]
        at = sizes.index(max(sizes))
        parts[at : at + 2] = [matmul(parts[at], parts[at + 1])]
    return parts[0]
