"""How many elements lie in each of a given number of bins, under PyTorch's names."""

from __future__ import annotations

from collections.abc import Sequence

from graphc.ir.dim import Size
from graphc.ir.dtype import Kind, i64
from graphc.ir.errors import ArgumentError, DTypeError, ShapeError
from graphc.ir.graph import Node
from graphc.ops import build, creation, indexing, ordering, reduction, return_types
from graphc.ops import elementwise as ew
from graphc.ops.composite.operand import refuse_kinds, widened
from graphc.ops.function import function


def counts(index: Node, length: Size, weights: Node | None = None) -> Node:
    """How often each number below `length` is in a vector of indices, or the sum of their weights."""
    ones = build.full_like(index, 1) if weights is None else weights
    zeros = build.constant(0, ones.tensor.dtype, (length,))
    return indexing.scatter(zeros, index, ones, axis=0, mode="add")


def _ends(name: str, x: Node, low: float, high: float, margin: float) -> tuple[Node, Node]:
    """The range as 0-d tensors: the data's own where none is given, with a margin where it is a point."""
    if low > high:
        raise ArgumentError(f"{name}: max must be larger than min", hint=f"min={low} and max={high} are given")
    dtype = x.tensor.dtype
    first, last = build.constant(low, dtype), build.constant(high, dtype)
    if low == high and x.tensor.size != 0:
        first, last = reduction.min_(x, axes=(0,)), reduction.max_(x, axes=(0,))
    if x.tensor.size == 0 and low == high:
        last = ew.add(first, build.ones_like(first))
    more, is_point = build.full_like(first, margin), ew.eq(first, last)
    return ew.select(is_point, ew.sub(first, more), first), ew.select(is_point, ew.add(last, more), last)


def _filled(x: Node, place: Node, edges: tuple[Node, Node], bins: Size, weight: Node | None) -> Node:
    """Weights (or ones) added up by bin; what is outside of the range, or nan, counts for nothing."""
    inside = ew.bitwise_and(ew.ge(x, edges[0]), ew.le(x, edges[1]))
    amount = widened(build.ones_like(x) if weight is None else weight)
    counted = ew.select(inside, amount, build.zeros_like(amount))
    limit = build.broadcast_to(build.size_of(bins - 1, place.tensor.dtype), place.shape)
    safe = ew.select(inside, ew.maximum(ew.minimum(place, limit), build.zeros_like(place)), build.zeros_like(place))
    return counts(safe, bins, counted)


def _linear(x: Node, first: Node, last: Node, bins: int) -> Node:
    """In which of equal bins each element lies, by division."""
    share = ew.div(ew.mul(ew.sub(x, first), build.full_like(x, bins)), ew.sub(last, first))
    return build.cast_to(share, i64)


def _check_bins(bins: int) -> None:
    if bins <= 0:
        raise ArgumentError(
            f"torch.histogram(): bins must be > 0, but got {bins} for dimension 0", hint="give a positive number"
        )


@function(method=True)
def histc(input: Node, bins: int = 100, min: float = 0, max: float = 0) -> Node:
    """How many elements lie in each of equal bins from `min` to `max`, by default the ends of the data."""
    refuse_kinds("histogram_cpu", input, Kind.BOOL, Kind.INT, Kind.COMPLEX)
    _check_bins(bins)
    x = build.reshape_to(input, (input.tensor.size,))
    ends = _ends("torch.histc", x, min, max, 1)
    first, last = (build.broadcast_to(each, x.shape) for each in ends)
    counts = _filled(x, _linear(x, first, last, bins), (first, last), bins, None)
    return ew.detach(build.cast_to(counts, input.tensor.dtype))


@function(method=True)
def histogram(
    input: Node,
    bins: int | Node = 100,
    *,
    range: Sequence[float] | None = None,
    weight: Node | None = None,
    density: bool = False,
) -> return_types.histogram:
    """(hist, bin_edges): how much lies in each bin; `bins` is their number, or a rising vector of their edges."""
    refuse_kinds("histogramdd", input, Kind.BOOL, Kind.INT, Kind.COMPLEX)
    if weight is not None and weight.shape != input.shape:
        raise ShapeError(
            "torch.histogram(): if weight tensor is provided it should have the same shape as the input "
            "tensor excluding its innermost dimension",
            hint="give a weight for each element",
        )
    if weight is not None and weight.tensor.dtype is not input.tensor.dtype:
        raise DTypeError(
            "torch.histogram(): if weight tensor is provided, input tensor and weight tensor should have the same "
            "dtype",
            hint="convert one of them",
        )
    x = build.reshape_to(input, (input.tensor.size,))
    amount = None if weight is None else build.reshape_to(weight, x.shape)
    if isinstance(bins, int):
        _check_bins(bins)
        low, high = (0.0, 0.0) if range is None else range
        ends = _ends("torch.histogram", x, low, high, 0.5)
        step = ew.div(ew.sub(ends[1], ends[0]), build.full_like(ends[0], bins))
        number = creation.iota(shape=(bins + 1,), axis=0, dtype=x.tensor.dtype)
        spread = ew.add(
            build.broadcast_to(ends[0], number.shape), ew.mul(number, build.broadcast_to(step, number.shape))
        )
        edges = ew.select(
            ew.eq(number, build.full_like(number, bins)), build.broadcast_to(ends[1], number.shape), spread
        )
    else:
        edges = bins
    count = edges.shape[0] - 1
    place = ew.sub(ordering.search(edges, x, right=True), build.constant(1, i64, x.shape))
    last_edge = indexing.gather(edges, build.constant(-1, i64), axis=0)
    first_edge = indexing.gather(edges, build.constant(0, i64), axis=0)
    bounds = build.broadcast_to(first_edge, x.shape), build.broadcast_to(last_edge, x.shape)
    hist = _filled(x, place, bounds, count, amount)
    if density:
        widths = ew.sub(_ahead(edges, 1), _ahead(edges, 0))
        total = build.broadcast_to(reduction.sum_(hist, axes=(0,)), hist.shape)
        hist = ew.div(ew.div(hist, total), widths)
    return return_types.histogram(hist, edges)


def _ahead(edges: Node, start: int) -> Node:
    size = edges.shape[0] - 1
    positions = creation.iota(shape=(size,), axis=0, dtype=i64)
    return indexing.gather(edges, ew.add(positions, build.full_like(positions, start)), axis=0)
