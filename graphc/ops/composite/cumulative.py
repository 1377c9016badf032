"""Running sums, products and extremes along a dimension, under PyTorch's names."""

from __future__ import annotations

from graphc.ir.dtype import DType, Kind, bool_, dtype, f64, i64, u8
from graphc.ir.graph import Node
from graphc.ir.op import Op
from graphc.ops import along, build, creation, reduction, return_types, scan
from graphc.ops import elementwise as ew
from graphc.ops.composite.operand import normal_dim, refuse_kinds, widened
from graphc.ops.composite.ordering import Pair, lined
from graphc.ops.function import function
from graphc.ops.return_types import ValuesAndIndices


def _totalled(name: str, input: Node, dim: int, to: DType | str | None) -> tuple[Node, int, DType]:
    """(operand in the dtype in which it is added up, axis, dtype of the result)."""
    axis = normal_dim(name, dim, len(input.shape))
    given = input.tensor.dtype
    result = dtype(to) if to is not None else given if given.kind >= Kind.FLOAT else i64
    x = build.cast_to(input, result)
    return (widened(x) if result.kind >= Kind.FLOAT else build.cast_to(x, i64)), axis, result


@function(method=True)
def cumsum(input: Node, dim: int, *, dtype: DType | str | None = None) -> Node:
    """The running sum along `dim`; of integers and bools an int64."""
    x, axis, result = _totalled("cumsum", input, dim, dtype)
    return build.cast_to(reduction.cumsum(x, axis=axis) if x.shape else x, result)


@function(method=True)
def cumprod(input: Node, dim: int, *, dtype: DType | str | None = None) -> Node:
    """The running product along `dim`; of integers and bools an int64."""
    x, axis, result = _totalled("cumprod", input, dim, dtype)
    if not x.shape:
        return build.cast_to(x, result)
    # y[t] = x[t] * y[t - 1] from y[0] = x[0] on; adding -0.0 changes nothing, not even the sign of a 0.
    place = creation.iota(shape=x.shape, axis=axis, dtype=i64)
    nothing = build.full_like(x, -0.0 if x.tensor.dtype.is_floating_point else 0)
    start = ew.select(ew.eq(place, build.zeros_like(place)), x, nothing)
    return build.cast_to(scan.recurrence(x, start, axis=axis), result)


def _running_extreme(kind: type[Pair], op: Op, input: Node, dim: int) -> Pair:
    refuse_kinds(f"{kind.__name__}_cpu", input, Kind.COMPLEX)
    axis = normal_dim(kind.__name__, dim, len(input.shape))
    x = lined(input)
    indices = op(build.cast_to(x, u8) if x.tensor.dtype is bool_ else x, axis=axis)
    values = along.take_along(x, indices, axis=axis)
    return kind(build.reshape_to(values, input.shape), build.reshape_to(indices, input.shape))


@function(method=True)
def cummax(input: Node, dim: int) -> ValuesAndIndices:
    """(values, indices) of the greatest element so far along `dim`; the last of ties, nan wins."""
    return _running_extreme(return_types.cummax, scan.cumargmax, input, dim)


@function(method=True)
def cummin(input: Node, dim: int) -> ValuesAndIndices:
    """(values, indices) of the least element so far along `dim`; the last of ties, nan wins."""
    return _running_extreme(return_types.cummin, scan.cumargmin, input, dim)


@function(method=True)
def logcumsumexp(input: Node, dim: int) -> Node:
    """The logarithm of the running sum of exponentials along `dim`, without overflow; computed in float64."""
    refuse_kinds("logcumsumexp_out_cpu", input, Kind.BOOL, Kind.INT)
    axis = normal_dim("logcumsumexp", dim, len(input.shape))
    if not input.shape:
        return input
    if input.tensor.dtype.is_complex:
        return _complex_logcumsumexp(input, axis)
    return build.cast_to(scan.logcumsumexp(build.cast_to(input, f64), axis=axis), input.tensor.dtype)


def _complex_logcumsumexp(x: Node, axis: int) -> Node:
    """The sums of exp(x - m) plus m, where m is the greatest real part of the whole row."""
    most = ew.detach(build.insert_axes(reduction.max_(ew.real(x), axes=(axis,)), (axis,)))
    finite = ew.select(ew.is_finite(most), most, build.zeros_like(most))
    shift = build.to_complex(build.broadcast_to(finite, x.shape))
    return ew.add(ew.log(reduction.cumsum(ew.exp(ew.sub(x, shift)), axis=axis)), shift)
