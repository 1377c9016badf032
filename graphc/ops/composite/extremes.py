"""Greatest and least elements under PyTorch's names: of all, along a dimension, and where they are."""

from __future__ import annotations

from collections.abc import Callable

from graphc.ir.dtype import Kind, bool_, u8
from graphc.ir.errors import ArgumentError, DimensionError, DTypeError
from graphc.ir.graph import Node
from graphc.ir.op import Op
from graphc.ir.type import Shape
from graphc.ops import along, build, reduction, return_types
from graphc.ops.composite.arithmetic import maximum, minimum
from graphc.ops.composite.operand import normal_dim, normal_dims, refuse_kinds
from graphc.ops.composite.ordering import Pair, lined
from graphc.ops.composite.quantiles import not_empty
from graphc.ops.composite.reductions import Dims, reduced
from graphc.ops.function import function
from graphc.ops.return_types import ValuesAndIndices


def _of_bools(op: Op) -> Op:
    return {reduction.max_: reduction.any_, reduction.min_: reduction.all_}[op]


def _extreme(name: str, op: Op, x: Node, dim: Dims, keepdim: bool) -> Node:
    if isinstance(dim, tuple | list) and not dim:
        dim = None
    dims = normal_dims(name, dim, len(x.shape))
    if dim is None and x.tensor.size == 0:
        raise ArgumentError(
            f"{name}(): Expected reduction dim to be specified for input.numel() == 0. "
            "Specify the reduction dim with the 'dim' argument.",
            hint="an empty tensor has no such element",
        )
    for axis in dims:
        not_empty(f"{name}()", x, axis)
    return reduced(_of_bools(op) if x.tensor.dtype is bool_ else op, x, dims, keepdim)


@function(method=True)
def amax(input: Node, dim: Dims = None, keepdim: bool = False) -> Node:
    """The largest element over `dim` (all dimensions by default); nan if there is one."""
    refuse_kinds("max_values_cpu", input, Kind.COMPLEX)
    return _extreme("amax", reduction.max_, input, dim, keepdim)


@function(method=True)
def amin(input: Node, dim: Dims = None, keepdim: bool = False) -> Node:
    """The smallest element over `dim` (all dimensions by default); nan if there is one."""
    refuse_kinds("min_values_cpu", input, Kind.COMPLEX)
    return _extreme("amin", reduction.min_, input, dim, keepdim)


@function(method=True)
def aminmax(input: Node, *, dim: int | None = None, keepdim: bool = False) -> return_types.aminmax:
    """(min, max) over `dim` (all dimensions by default)."""
    refuse_kinds("aminmax_cpu", input, Kind.COMPLEX)
    if dim is None and input.tensor.size == 0:
        raise ArgumentError(
            "aminmax(): cannot compute aminmax over an empty dimension as the operation has no identity.",
            hint="an empty tensor has no such elements",
        )
    if dim is not None:
        not_empty("aminmax", input, normal_dim("aminmax", dim, len(input.shape)))
    return return_types.aminmax(
        _extreme("aminmax", reduction.min_, input, dim, keepdim),
        _extreme("aminmax", reduction.max_, input, dim, keepdim),
    )


def _position(name: str, op: Op, input: Node, axis: int) -> Node:
    """Where the extreme along an axis is: [..., 1, ...]."""
    if input.tensor.dtype.is_complex:
        raise DTypeError(f"{name}(): does not support complex input", hint="complex numbers have no order")
    not_empty(f"{name}()", input, axis)
    x = lined(input)
    return build.insert_axes(op(build.cast_to(x, u8) if x.tensor.dtype is bool_ else x, axis=axis), (axis,))


def _arg(op: Op, input: Node, dim: int | None, keepdim: bool) -> Node:
    if input.tensor.dtype is bool_:
        raise DTypeError(f"{op.name}(): does not support bool input", hint="convert it first, e.g. x.to('uint8')")
    if dim is None:
        if input.tensor.size == 0:
            raise DimensionError(
                f"{op.name}(): Expected reduction dim to be specified for input.numel() == 0.",
                hint="an empty tensor has no such element",
            )
        flat = build.reshape_to(input, (input.tensor.size,))
        return build.reshape_to(_position(op.name, op, flat, 0), (1,) * len(input.shape) if keepdim else ())
    axis = normal_dim(op.name, dim, len(input.shape))
    found = _position(op.name, op, input, axis)
    return build.reshape_to(found, _left(input, axis, keepdim))


def _left(x: Node, axis: int, keepdim: bool) -> Shape:
    return tuple(1 if a == axis else size for a, size in enumerate(x.shape) if keepdim or a != axis)


@function(method=True)
def argmax(input: Node, dim: int | None = None, keepdim: bool = False) -> Node:
    """Where along `dim` the largest element is, the first of several; without `dim`, in the flattened tensor."""
    return _arg(reduction.argmax, input, dim, keepdim)


@function(method=True)
def argmin(input: Node, dim: int | None = None, keepdim: bool = False) -> Node:
    """Where along `dim` the smallest element is, the first of several; without `dim`, in the flattened tensor."""
    return _arg(reduction.argmin, input, dim, keepdim)


def _along(kind: type[Pair], op: Op, input: Node, dim: int, keepdim: bool) -> Pair:
    name = kind.__name__
    axis = normal_dim(name, dim, len(input.shape))
    indices = _position(name, op, input, axis)
    values = along.take_along(lined(input), indices, axis=axis)
    shape = _left(input, axis, keepdim)
    return kind(build.reshape_to(values, shape), build.reshape_to(indices, shape))


def _whole_or_pair(
    kind: type[Pair],
    pair: Callable[[Node, Node], Node],
    op: Op,
    position: Op,
    input: Node,
    given: tuple[int | Node | None, Node | None],
    keepdim: bool,
) -> Node | Pair:
    dim, other = given
    if isinstance(dim, Node):
        return pair(input, dim)
    if other is not None:
        return pair(input, other)
    if dim is None:
        refuse_kinds(f"{kind.__name__}_all", input, Kind.COMPLEX)
        return _extreme(kind.__name__, op, input, None, False)
    return _along(kind, position, input, dim, keepdim)


@function(method=True)
def max_(
    input: Node, dim: int | Node | None = None, keepdim: bool = False, *, other: Node | None = None
) -> Node | ValuesAndIndices:
    """The largest element; along `dim`, (values, indices); with another tensor, the larger of each pair."""
    ops = reduction.max_, reduction.argmax
    return _whole_or_pair(return_types.max, maximum, *ops, input, (dim, other), keepdim)


@function(method=True)
def min_(
    input: Node, dim: int | Node | None = None, keepdim: bool = False, *, other: Node | None = None
) -> Node | ValuesAndIndices:
    """The smallest element; along `dim`, (values, indices); with another tensor, the smaller of each pair."""
    ops = reduction.min_, reduction.argmin
    return _whole_or_pair(return_types.min, minimum, *ops, input, (dim, other), keepdim)
