"""Grids, combinations and blocks under PyTorch's names: tensors laid out beside and across each other."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from graphc.ir.attribute import Array
from graphc.ir.dtype import DType, get_default_dtype
from graphc.ir.dtype import dtype as to_dtype
from graphc.ir.errors import ArgumentError, DTypeError, ShapeError
from graphc.ir.graph import Node
from graphc.ops import build, creation, indexing
from graphc.ops.composite.contraction import sizes_text
from graphc.ops.composite.operand import result_dtype
from graphc.ops.composite.shapes import cat
from graphc.ops.function import function


def _listed(tensors: tuple[Node | Sequence[Node], ...]) -> list[Node]:
    return [x for each in tensors for x in ([each] if isinstance(each, Node) else each)]


@function()
def meshgrid(*tensors: Node | Sequence[Node], indexing: str | None = None) -> tuple[Node, ...]:
    """Each vector repeated along the dimensions of the others; "xy" exchanges the first two dimensions."""
    given = _listed(tensors)
    if not given:
        raise ArgumentError("meshgrid expects a non-empty TensorList", hint="give at least one vector")
    if indexing not in (None, "ij", "xy"):
        raise ArgumentError(
            f'torch.meshgrid: indexing must be one of "xy" or "ij", but received: {indexing}', hint='use "ij" or "xy"'
        )
    for x in given:
        if len(x.shape) > 1:
            raise ShapeError(
                f"torch.meshgrid: Expected 0D or 1D tensor in the tensor list but got: {sizes_text(x.shape)}",
                hint="flatten it first",
            )
        if x.tensor.dtype is not given[0].tensor.dtype:
            raise DTypeError("meshgrid expects all tensors to have the same dtype", hint="convert some of them")
    shape = tuple(x.tensor.size for x in given)
    rank = len(shape)
    grids = tuple(
        build.broadcast_to(build.reshape_to(x, (1,) * axis + (size,) + (1,) * (rank - axis - 1)), shape)
        for axis, (x, size) in enumerate(zip(given, shape, strict=True))
    )
    if indexing == "xy" and rank > 1:
        return tuple(build.permute_to(x, (1, 0, *range(2, rank))) for x in grids)
    return grids


@function()
def cartesian_prod(*tensors: Node | Sequence[Node]) -> Node:
    """All rows with one element of each vector; a single vector itself."""
    given = _listed(tensors)
    for x in given:
        _check_vector(x)
    if len(given) == 1:
        return given[0]
    columns = [build.reshape_to(x, (x.tensor.size, 1)) for x in meshgrid(given)]
    return cat(columns, 1)


def _check_vector(x: Node) -> None:
    if len(x.shape) != 1:
        raise ShapeError(f"Expect a 1D vector, but got shape {sizes_text(x.shape)}", hint="flatten it first")


@function()
def combinations(input: Node, r: int = 2, with_replacement: bool = False) -> Node:
    """All rows of r elements of a vector in its order, each element at most once unless `with_replacement`."""
    _check_vector(input)
    if r < 0:
        raise ArgumentError(f"Expect a non-negative number, but got {r}", hint="combinations: use 0 or more")
    size = input.shape[0]
    if not isinstance(size, int):
        raise ShapeError(f"combinations: of the symbolic size {size}", hint="give that dimension a number")
    if r == 0:
        return build.constant(0, input.tensor.dtype, (0,))
    choose = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    rows = np.array(list(choose(range(size), r)), np.int64).reshape(-1, r)
    if not rows.size:
        return build.constant(0, input.tensor.dtype, (0, r))
    return indexing.gather(input, creation.constant(value=Array(rows)), axis=0)


def _check_sizes(name: str, row: int, col: int) -> None:
    for what, size in (("row", row), ("col", col)):
        if size < 0:
            raise ArgumentError(f"{what} must be non-negative, got{size}", hint=f"{name}: use 0 or more")


@function()
def tril_indices(row: int, col: int, offset: int = 0, *, dtype: DType | str = "int64") -> Node:
    """Where a matrix of these sizes has its lower triangle: `[2, n]`, rows and columns."""
    _check_sizes("tril_indices", row, col)
    found = np.stack(np.tril_indices(row, offset, col)).astype(np.int64)
    return build.cast_to(creation.constant(value=Array(found)), to_dtype(dtype))


@function()
def triu_indices(row: int, col: int, offset: int = 0, *, dtype: DType | str = "int64") -> Node:
    """Where a matrix of these sizes has its upper triangle: `[2, n]`, rows and columns."""
    _check_sizes("triu_indices", row, col)
    found = np.stack(np.triu_indices(row, offset, col)).astype(np.int64)
    return build.cast_to(creation.constant(value=Array(found)), to_dtype(dtype))


@function()
def block_diag(*tensors: Node) -> Node:
    """The tensors as blocks on the diagonal of a matrix, 0 elsewhere."""
    if not tensors:
        return build.constant(0, get_default_dtype(), (1, 0))
    for i, x in enumerate(tensors):
        if len(x.shape) > 2:
            raise ShapeError(
                "torch.block_diag: Input tensors must have 2 or fewer dimensions. "
                f"Input {i} has {len(x.shape)} dimensions",
                hint="join higher ones with cat and zeros",
            )
    common = result_dtype(*tensors)
    blocks = [build.reshape_to(build.cast_to(x, common), (1,) * (2 - len(x.shape)) + x.shape) for x in tensors]
    rows: list[Node] = []
    for i, x in enumerate(blocks):
        row = [
            x if k == i else build.constant(0, common, (x.shape[0], other.shape[1])) for k, other in enumerate(blocks)
        ]
        rows.append(cat(row, 1))
    return cat(rows, 0)
