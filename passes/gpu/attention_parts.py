"""What kernels of attention need: elements of a group by query, key and feature, and the running softmax.

In: a group that is an attention. Out: scalar code in its builder.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias, cast

from graphc.ir.dim import Size, minimum, product, quotient, remainder, symbol
from graphc.ir.dtype import bool_, f32, i64
from graphc.ir.graph import Graph, Node
from graphc.ir.lowering import Scalar
from graphc.kernel.builder import KernelBuilder
from graphc.kernel.ir import Buffer, LoopKind, Operand
from graphc.ops import movement
from graphc.ops.indices import linear_index, reshaped_indices, split_index
from graphc.passes.access import Axis, accesses_below
from graphc.passes.gpu.attention import Attention, axes_of_dot, free_axes
from graphc.passes.gpu.statements import both, real, shuffle

if TYPE_CHECKING:
    from graphc.passes.lower import GroupLowering

Indices: TypeAlias = "tuple[Size, ...]"
Exponential: TypeAlias = "Callable[[KernelBuilder, Operand], Operand]"
"""What makes weights of numbers that are not positive."""


@dataclass(frozen=True, slots=True)
class Factor:
    """One factor of a product, row by row of features: queries, keys or values, as `node` has them."""

    group: GroupLowering = field(compare=False)
    node: Node
    batch_axes: tuple[int, ...]
    row_axis: int
    feature_axis: int
    tile: tuple[int, int]
    """Rows and features that are asked for at once."""
    is_read_ahead: bool = False
    """Whether a tile behind the last row is asked for, too."""

    def element(self, batch: Indices, row: Size, feature: Size) -> Operand:
        """An element, or 0 where there is none."""
        b = self.group.builder
        indices = self._indices(batch, row, feature)
        is_there = self._is_there(row, feature)
        if is_there is None:
            return real(self.group.read(self.node, indices))
        zero = b.constant(0.0, self.node.tensor.dtype)
        return real(b.guard(is_there, lambda: self.group.read(self.node, indices), zero))

    def has_runs(self, count: int) -> bool:
        """Whether runs of so many features stand side by side in memory, at addresses that are multiples of their size.

        A run begins at a feature that is a multiple of `count`.
        """
        if self._features % count != 0:
            return False
        sizes = self.node.shape
        batch = tuple(symbol(f"b{axis}", 0, sizes[axis] - 1) for axis in self.batch_axes)
        row = symbol("row", 0, sizes[self.row_axis] - 1)
        feature = symbol("run", 0, self._features // count - 1) * count
        ends = [
            _address(self.group, self.node, self._indices(batch, row, each))
            for each in (feature, feature + (count - 1))
        ]
        if ends[0] is None or ends[1] is None:
            return False
        return ends[1][1] - ends[0][1] == count - 1 and remainder(ends[0][1], count) == 0

    def place(self, batch: Indices, row: Size, feature: Size) -> tuple[Buffer, Size, Operand | None]:
        """Where an element is in memory, and whether it is there."""
        found = _address(self.group, self.node, self._indices(batch, row, feature))
        assert found is not None, "runs are asked for where there are some"
        return (*found, self._is_there(row, feature))

    @property
    def _features(self) -> int:
        return cast("int", self.node.shape[self.feature_axis])

    def _indices(self, batch: Indices, row: Size, feature: Size) -> Indices:
        indices: list[Size] = [0] * len(self.node.shape)
        indices[self.row_axis], indices[self.feature_axis] = row, feature
        for axis, index in zip(self.batch_axes, batch, strict=True):
            indices[axis] = index
        return tuple(indices)

    def _is_there(self, row: Size, feature: Size) -> Operand | None:
        b, rows = self.group.builder, self.node.shape[self.row_axis]
        is_whole = remainder(rows, self.tile[0]) == 0 and not self.is_read_ahead
        row_test = None if is_whole else less(b, row, rows)
        feature_test = None if self._features % self.tile[1] == 0 else less(b, feature, self._features)
        return both_or_either(b, row_test, feature_test)


@dataclass(frozen=True, slots=True)
class Tiles:
    """What there is for tiles of so many queries and keys."""

    group: GroupLowering
    found: Attention
    tile: tuple[int, int]

    @property
    def outer(self) -> Size:
        """How many attentions there are side by side."""
        return product(self.found.batch)

    @property
    def queries(self) -> Size:
        """Queries of each."""
        return self.found.scores.shape[-2]

    @property
    def keys(self) -> Size:
        """Keys of each."""
        return self.found.scores.shape[-1]

    @property
    def depth(self) -> int:
        """Features of a query."""
        dot = self.found.score_dot
        return cast("int", dot.inputs[0].shape[axes_of_dot(dot, "contract", 0)[0]])

    @property
    def width(self) -> int:
        """Features of a value."""
        return cast("int", self.found.value_dot.shape[-1])

    def batch_of(self, number: Size) -> Indices:
        """Which of the attentions this is."""
        return split_index(number, self.found.batch)

    def steps(self, first: Size) -> Size:
        """Tiles of keys that count for the tile of queries from `first` on."""
        queries, keys = self.tile
        end = minimum(self.keys, first + queries) if self.found.is_causal else self.keys
        return quotient(end + (keys - 1), keys)

    def queries_of(self, node: Node, features: int) -> Factor:
        """The queries, as `node` has them; `features` at once."""
        return self._factor(self.found.score_dot, 0, node, (self.tile[0], features))

    def keys_of(self, node: Node, features: int, *, is_read_ahead: bool = False) -> Factor:
        """The keys; `is_read_ahead`: while a tile is used the next one is loaded, even if there is none."""
        return self._factor(self.found.score_dot, 1, node, (self.tile[1], features), is_read_ahead)

    def values_of(self, node: Node, features: int) -> Factor:
        """The values."""
        return self._factor(self.found.value_dot, 1, node, (self.tile[1], features))

    def score(self, batch: Indices, query: Size, key: Size, product_: Operand) -> Operand:
        """A score as a float32, from the product of query and key; -inf where there is no such one."""
        b, dot, scores = self.group.builder, self.found.score_dot, self.found.scores
        indices = (*batch, query, key)

        def inside() -> Scalar:
            self.group.define(dot, indices, b.cast(product_, dot.tensor.dtype))
            return b.cast(self.group.read(scores, indices), f32)

        # Scores of other queries are not used, and of a triangle those of keys beyond the last one are -inf anyway.
        reads = self.found.reads_by_score
        needs_key = reads or not self.found.is_triangle or self.queries != self.keys
        is_there = both_or_either(b, self._is_query(query) if reads else None, self._is_key(key) if needs_key else None)
        return real(inside() if is_there is None else b.guard(is_there, inside, b.constant(-math.inf, f32)))

    def weight(self, batch: Indices, query: Size, key: Size, x: Operand) -> Operand:
        """What a value is multiplied with, from a weight that is yet to be divided by the sum of all."""
        b, group, found = self.group.builder, self.group, self.found
        if not found.has_noise:
            return x
        indices = (*batch, query, key)

        def inside() -> Scalar:
            # Queries without keys get their result at the end.
            for condition in found.conditions:
                group.define(condition, indices, b.constant(False, bool_))
            group.define(found.softmax.weights, indices, x)
            return b.cast(group.read(found.value_dot.inputs[0], indices), f32)

        is_there = both_or_either(b, self._is_query(query), self._is_key(key))
        return real(inside() if is_there is None else b.guard(is_there, inside, b.constant(0.0, f32)))

    def write(self, batch: Indices, query: Size, feature: Size, features: int, x: Operand) -> None:
        """Store what the group makes of an element of the result, if there is such a one among `features`."""
        b = self.group.builder
        is_feature = None if features == self.width else less(b, feature, self.width)
        is_there = both_or_either(b, self._is_query(query), is_feature)
        for output in range(len(self.group.results)):
            if self.group.body.outputs[output] not in self.found.statistics:
                write_result(self.group, output, self.found.value_dot, (*batch, query, feature), x, is_there)

    def write_statistics(self, batch: Indices, query: Size, lane: Size, values: tuple[Operand, ...]) -> None:
        """Store the statistics of a query, which the first of several lanes does."""
        found, b = self.found, self.group.builder
        is_there = both_or_either(b, less(b, lane, 1), self._is_query(query))
        for node, x in zip(found.statistics, values, strict=True):
            index = linear_index((*batch, query, 0), node.shape)
            b.store(self.group.results[self.group.body.outputs.index(node)], index, x, is_there)

    def _is_query(self, query: Size) -> Operand | None:
        whole = remainder(self.queries, self.tile[0]) == 0
        return None if whole else less(self.group.builder, query, self.queries)

    def _is_key(self, key: Size) -> Operand | None:
        return None if remainder(self.keys, self.tile[1]) == 0 else less(self.group.builder, key, self.keys)

    def _factor(self, dot: Node, side: int, node: Node, tile: tuple[int, int], is_read_ahead: bool = False) -> Factor:
        return factor_of(self.group, dot, side, node, tile, is_read_ahead, is_summed=dot is self.found.value_dot)


def factor_of(
    group: GroupLowering,
    dot: Node,
    side: int,
    node: Node,
    tile: tuple[int, int],
    is_read_ahead: bool = False,
    *,
    is_summed: bool,
) -> Factor:
    """An operand of a product, as `node` has it; `is_summed`: its rows are what the product sums over."""
    (contracted,), (free,) = axes_of_dot(dot, "contract", side), free_axes(dot, side)
    row, feature = (contracted, free) if is_summed else (free, contracted)
    return Factor(group, node, axes_of_dot(dot, "batch", side), row, feature, tile, is_read_ahead)


def write_result(
    group: GroupLowering, output: int, dot: Node, indices: Indices, x: Operand, is_there: Operand | None
) -> None:
    """Store what an output of the group makes of an element of a product."""
    b, node = group.builder, group.body.outputs[output]
    (access,) = accesses_below(Graph("", group.body.inputs, (node,)), None)[dot]
    domain: list[Size] = [0] * len(node.shape)
    for index, axis, size in zip(indices, access, dot.shape, strict=True):
        if isinstance(axis, Axis) and size != 1:
            domain[axis.index] = index
    at = tuple(domain)
    known = tuple(0 if size == 1 else index for index, size in zip(indices, dot.shape, strict=True))

    def inside() -> Scalar:
        group.define(dot, known, b.cast(x, dot.tensor.dtype))
        return group.read(node, at)

    zero = b.constant(0, node.tensor.dtype)
    result = inside() if is_there is None else b.guard(is_there, inside, zero)
    b.store(group.results[output], linear_index(at, node.shape), result, is_there)


def both_or_either(b: KernelBuilder, first: Operand | None, second: Operand | None) -> Operand | None:
    """Both conditions, where None always holds."""
    return second if first is None else first if second is None else both(b, first, second)


def _address(group: GroupLowering, node: Node, indices: Indices) -> tuple[Buffer, Size] | None:
    """Where an element is in memory; None if it is computed."""
    while node not in group.buffers:
        source, at = node.inputs[0] if node.inputs else node, indices
        if node.op is movement.permute:
            axes = cast("tuple[int, ...]", node.attribute("axes"))
            indices = tuple(at[axes.index(axis)] for axis in range(len(axes)))
        elif node.op is movement.reshape:
            indices = reshaped_indices(at, source.shape, node.shape)
        elif node.op is movement.broadcast:
            indices = tuple(0 if size == 1 else index for index, size in zip(at, source.shape, strict=True))
        elif node.op is movement.slice_:
            starts, steps = (cast("tuple[Size, ...]", node.attribute(name)) for name in ("start", "step"))
            indices = tuple(start + index * step for start, index, step in zip(starts, at, steps, strict=True))
        else:
            return None
        node = source
    return group.buffers[node], linear_index(indices, node.shape)


@dataclass(slots=True)
class RunningSoftmax:
    """The greatest score of each of a thread's queries so far, and the sum of its part of their weights."""

    b: KernelBuilder
    rows: int
    lanes: int
    """Neighbouring threads that have a query's scores together."""
    exponential: Exponential
    most: Buffer = field(init=False)
    total: Buffer = field(init=False)

    def __post_init__(self) -> None:
        self.most, self.total = (self.b.allocate(f32, self.rows) for _ in range(2))
        for row in range(self.rows):
            self.b.store(self.most, row, self.b.constant(-math.inf, f32))
            self.b.store(self.total, row, self.b.constant(0.0, f32))

    def step(self, row: int, scores: Buffer, count: int, place: Callable[[Size], Size]) -> Operand:
        """Turn the thread's `count` scores of a query into weights; gives the factor of what is summed so far."""
        b = self.b
        before = b.load_again(self.most, row)
        with b.loop(count, LoopKind.UNROLLED) as k:
            greater = b.apply("maximum", b.load_again(self.most, row), b.load_again(scores, place(k)))
            b.store(self.most, row, greater)
        most = self._over_lanes("maximum", b.load_again(self.most, row))
        b.store(self.most, row, most)
        # Where no key counts so far nothing is subtracted: infinities would give nan.
        zero = b.constant(0.0, f32)
        shift = b.select(b.apply("eq", most, b.constant(-math.inf, f32)), zero, most)
        factor = self.exponential(b, real(b.apply("sub", before, shift)))
        b.store(self.total, row, b.apply("mul", b.load_again(self.total, row), factor))
        with b.loop(count, LoopKind.UNROLLED) as k:
            weight = self.exponential(b, real(b.apply("sub", b.load_again(scores, place(k)), shift)))
            b.store(scores, place(k), weight)
            b.store(self.total, row, b.apply("add", b.load_again(self.total, row), weight))
        return factor

    def finish(self) -> None:
        """Add up the parts of the threads that share a query."""
        for row in range(self.rows):
            self.b.store(self.total, row, self._over_lanes("add", self.b.load_again(self.total, row)))

    def result(self, row: int, x: Operand, is_masked: bool) -> Operand:
        """A weighted sum divided by the sum of weights: nan where no key counts, or 0 if `is_masked`."""
        b = self.b
        mean = b.apply("div", x, b.load_again(self.total, row))
        if not is_masked:
            return real(mean)
        is_nothing = b.apply("eq", b.load_again(self.most, row), b.constant(-math.inf, f32))
        return real(b.select(is_nothing, b.constant(0.0, f32), mean))

    def statistics(self, row: int, is_masked: bool) -> tuple[Operand, Operand]:
        """The greatest score and 1 / sum; inf and 0 where no key counts if `is_masked`: weights are 0 by them."""
        b = self.b
        most = b.load_again(self.most, row)
        inverse = real(b.apply("div", b.constant(1.0, f32), b.load_again(self.total, row)))
        if not is_masked:
            return most, inverse
        is_nothing = b.apply("eq", most, b.constant(-math.inf, f32))
        values = ((b.constant(math.inf, f32), most), (b.constant(0.0, f32), inverse))
        return real(b.select(is_nothing, *values[0])), real(b.select(is_nothing, *values[1]))

    def _over_lanes(self, op: str, x: Operand) -> Operand:
        distance = 1
        while distance < self.lanes:
            x = real(self.b.apply(op, x, shuffle(self.b, x, "xor", distance)))
            distance *= 2
        return x


def exact_exponential(b: KernelBuilder, x: Operand) -> Operand:
    """exp(x), as everywhere."""
    return real(b.apply("exp", x))


def less(b: KernelBuilder, index: Size, limit: Size) -> Operand:
    """Whether an index is below a limit."""
    return real(b.apply("lt", b.index(index, i64), b.index(limit, i64)))
