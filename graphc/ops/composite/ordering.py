"""Sorting and looking up under PyTorch's names: sort, topk, searchsorted and what is near them.

Sorting is stable everywhere, nan counts as greater than any number, and -0.0 as equal to 0.0.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np

from graphc.ir.dtype import Kind, bf16, bool_, f16, f32, f64, i32, i64, u8
from graphc.ir.errors import ArgumentError, DTypeError, ShapeError
from graphc.ir.graph import Node
from graphc.ops import along, build, ordering, return_types
from graphc.ops import elementwise as ew
from graphc.ops.composite.operand import Operand, as_tensor, normal_dim, refuse_kinds, result_dtype
from graphc.ops.composite.shapes import cut
from graphc.ops.function import function
from graphc.ops.return_types import ValuesAndIndices

Pair = TypeVar("Pair", bound=ValuesAndIndices)


def lined(x: Node) -> Node:
    """A 0-d tensor as a vector of one; any other as it is."""
    return x if x.shape else build.reshape_to(x, (1,))


def sort_keys(x: Node, descending: bool = False) -> Node:
    """Integers that order as the elements do: nan last, or first if descending."""
    dtype = x.tensor.dtype
    if dtype is bool_:
        keys = build.cast_to(x, u8)
    elif dtype.kind is Kind.INT:
        keys = x
    else:
        wide = build.cast_to(x, f32) if dtype in (f16, bf16) else x
        keys = _float_keys(wide)
    return ew.bitwise_not(keys) if descending else keys


def _float_keys(x: Node) -> Node:
    """The bits of a float, those below the sign turned around in negative ones, order like the float."""
    integer = i64 if x.tensor.dtype is f64 else i32
    greatest = int(np.iinfo(integer.numpy.name).max)
    zero = build.zeros_like(x)
    bits = ew.bitcast(ew.select(ew.eq(x, zero), zero, x), dtype=integer)  # of -0.0 the bits of 0.0
    most = build.full_like(bits, greatest)
    below = ew.bitwise_and(ew.shift_right(bits, build.full_like(bits, integer.bits - 1)), most)
    return ew.select(ew.is_nan(x), most, ew.bitwise_xor(bits, below))


def order_along(x: Node, axis: int, descending: bool = False) -> Node:
    """The positions along an axis in rising or falling order; equal elements keep theirs."""
    return ordering.argsort(sort_keys(x, descending), axis=axis)


def _refuse_complex(name: str, x: Node) -> None:
    if x.tensor.dtype.is_complex:
        raise DTypeError(
            f"{name} does not support complex dtypes on CPU", hint="complex numbers have no order: sort by x.abs()"
        )


def _sorted(x: Node, dim: int, descending: bool, length: int | None, kind: type[Pair]) -> Pair:
    """The first `length` in order, or all."""
    vector = lined(x)
    axis = normal_dim(kind.__name__, dim, len(x.shape))
    length = length if x.shape else None
    order = order_along(vector, axis, descending)
    if length is not None:
        order = cut(order, axis, 0, length)
    values = along.take_along(vector, order, axis=axis)
    shape = order.shape if x.shape else ()
    return kind(build.reshape_to(values, shape), build.reshape_to(order, shape))


@function(method=True)
def sort(input: Node, dim: int = -1, descending: bool = False, stable: bool | None = False) -> ValuesAndIndices:
    """(values, indices): the elements along `dim` in order and where they were; equal ones keep their order."""
    _refuse_complex(" Sort", input)
    return _sorted(input, dim, descending, None, return_types.sort)


@function(method=True)
def argsort(input: Node, dim: int = -1, descending: bool = False, stable: bool = False) -> Node:
    """Where the elements along `dim` are, in order; equal ones keep theirs."""
    return sort(input, dim, descending).indices


@function(method=True)
def msort(input: Node) -> Node:
    """The elements along the first dimension in order."""
    return sort(input, 0).values


@function(method=True)
def topk(input: Node, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> ValuesAndIndices:
    """(values, indices) of the k largest elements along `dim`, or smallest; in order, whether asked for or not."""
    axis = normal_dim("topk", dim, len(input.shape))
    size = lined(input).shape[axis]
    if k < 0 or (isinstance(size, int) and k > size):
        raise ArgumentError("selected index k out of range", hint=f"k is from 0 to {size}")
    _refuse_complex(" topk", input)
    if input.tensor.dtype is bool_:
        raise DTypeError("topk does not support bool dtypes on CPU", hint="convert it first, e.g. x.to('uint8')")
    return _sorted(input, axis, largest, k, return_types.topk)


def _looked_up(name: str, sequence: Node, given: Operand, right: bool, out_int32: bool) -> Node:
    x = as_tensor(given)
    kernel = f"{name}_out_cpu"
    common = result_dtype(sequence, given)
    ordered, values = build.cast_to(sequence, common), build.cast_to(x, common)
    refuse_kinds(kernel, ordered, Kind.BOOL, Kind.COMPLEX)
    vector = lined(values) if len(sequence.shape) > 1 else values
    found = ordering.search(ordered, vector, right=right)
    return build.cast_to(build.reshape_to(found, x.shape), i32 if out_int32 else i64)


@function()
def searchsorted(
    sorted_sequence: Node,
    input: Operand,
    *,
    out_int32: bool = False,
    right: bool = False,
    side: str | None = None,
    sorter: Node | None = None,
) -> Node:
    """How many elements of the (rows of the) sequence come before each value, before equal ones unless `right`."""
    name = "torch.searchsorted()"
    if side not in (None, "left", "right"):
        raise ArgumentError(
            f"{name}: side can only be 'left' or 'right' but got {side}", hint="it is 'left' by default"
        )
    if side == "left" and right:
        raise ArgumentError(
            f"{name}: side and right can't be set to opposites, got side of left while right was True",
            hint="give one of them",
        )
    shape = input.shape if isinstance(input, Node) else ()
    _check_sequence(name, sorted_sequence, shape)
    sequence = sorted_sequence
    if sorter is not None:
        if sorter.shape != sequence.shape:
            raise ShapeError(
                f"{name}: boundary and sorter must have the same size, but got boundary tensor "
                f"{_sizes(sequence)}and got sorter tensor {_sizes(sorter)}",
                hint="sorter is what argsort gives for the sequence",
            )
        if sorter.tensor.dtype is not i64:
            raise DTypeError(
                f"{name}: sorter must be a tensor of long dtype but got dtype {sorter.tensor.dtype.scalar}",
                hint="argsort gives an int64",
            )
        sequence = along.take_along(sequence, sorter, axis=len(sequence.shape) - 1)
    return _looked_up("searchsorted", sequence, input, right or side == "right", out_int32)


def _check_sequence(name: str, sequence: Node, shape: tuple[object, ...]) -> None:
    rank = len(sequence.shape)
    if rank == 0:
        raise ShapeError(
            f"{name}: boundaries tensor should have positive dimension, but got 0 dimension", hint="unsqueeze it"
        )
    if not shape and rank != 1:
        raise ShapeError(
            f"{name}: input value can be a scalar only when boundaries tensor dimension is 1, but we got "
            f"boundaries tensor dim({rank}) and input value's dim(0) numel(1)",
            hint="give a value for each row",
        )
    if rank != 1 and sequence.shape[:-1] != shape[:-1]:
        raise ShapeError(
            f"{name}: boundaries tensor should be 1 dimension or the first N-1 dimensions of boundaries tensor and "
            f"input value tensor must match, but we got boundaries tensor {_sizes(sequence)} and input value tensor "
            f"[{', '.join(map(str, shape))}]",
            hint="both have the same rows",
        )


def _sizes(x: Node) -> str:
    return f"[{', '.join(map(str, x.shape))}]"


@function()
def bucketize(input: Operand, boundaries: Node, *, out_int32: bool = False, right: bool = False) -> Node:
    """In which of the ranges between sorted boundaries each value lies; a boundary belongs below it unless `right`."""
    if len(boundaries.shape) != 1:
        raise ShapeError(
            f"boundaries tensor must be 1 dimension, but got dim({len(boundaries.shape)})", hint="give a sorted vector"
        )
    return _looked_up("searchsorted", boundaries, input, right, out_int32)
