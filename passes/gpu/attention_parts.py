"""What both kernels of an attention need: elements of a group by query, key and feature, and the running softmax.

In: a group that is an attention. Out: scalar code in its builder.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias, cast

from graphc.ir.dim import Size, minimum, product, quotient
from graphc.ir.dtype import f32, i64
from graphc.ir.graph import Node
from graphc.ir.lowering import Scalar
from graphc.kernel.builder import KernelBuilder, Pair
from graphc.kernel.ir import Buffer, LoopKind, Operand
from graphc.ops.indices import linear_index, split_index
from graphc.passes.access import Axis, accesses_below
from graphc.passes.gpu.attention import Attention

if TYPE_CHECKING:
    from graphc.passes.lower import GroupLowering

Indices: TypeAlias = "tuple[Size, ...]"


@dataclass(frozen=True, slots=True)
class Tiles:
    """The group's elements. All are read only where they are; elsewhere they are 0, and scores -inf."""

    group: GroupLowering
    found: Attention

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
        return cast("int", dot.inputs[0].shape[_axes(dot, "contract", 0)[0]])

    @property
    def width(self) -> int:
        """Features of a value."""
        return cast("int", self.found.value_dot.shape[-1])

    def batch_of(self, number: Size) -> Indices:
        """Which of the attentions this is."""
        return split_index(number, self.found.batch)

    def steps(self, first: Size, queries: int, keys: int) -> Size:
        """Tiles of keys that count for the queries from `first` on."""
        end = minimum(self.keys, first + queries) if self.found.is_causal else self.keys
        return quotient(end + (keys - 1), keys)

    def query(self, node: Node, batch: Indices, query: Size, feature: Size) -> Operand:
        """An element of the queries, read from `node`, which has their shape."""
        return self._factor(self.found.score_dot, 0, node, batch, query, feature, self.queries, self.depth)

    def key(self, node: Node, batch: Indices, key: Size, feature: Size) -> Operand:
        """An element of the keys."""
        return self._factor(self.found.score_dot, 1, node, batch, key, feature, self.keys, self.depth)

    def value(self, node: Node, batch: Indices, key: Size, feature: Size) -> Operand:
        """An element of the values."""
        return self._factor(self.found.value_dot, 1, node, batch, feature, key, self.width, self.keys)

    def score(self, batch: Indices, query: Size, key: Size, product_: Operand) -> Operand:
        """A score as a float32, from the product of query and key."""
        b, dot, scores = self.group.builder, self.found.score_dot, self.found.scores
        indices = (*batch, query, key)

        def inside() -> Scalar:
            self.group.define(dot, indices, b.cast(product_, dot.tensor.dtype))
            return b.cast(self.group.read(scores, indices), f32)

        is_there = both(b, less(b, query, self.queries), less(b, key, self.keys))
        return real(b.guard(is_there, inside, b.constant(-math.inf, f32)))

    def write(self, batch: Indices, query: Size, feature: Size, x: Operand) -> None:
        """Store what the group makes of an element of the result, if there is such a one."""
        b, group, dot = self.group.builder, self.group, self.found.value_dot
        indices = (*batch, query, feature)
        root = group.body.outputs[0]
        (access,) = accesses_below(group.body, None)[dot]
        domain: list[Size] = [0] * len(root.shape)
        for index, axis, size in zip(indices, access, dot.shape, strict=True):
            if isinstance(axis, Axis) and size != 1:
                domain[axis.index] = index
        at = tuple(domain)
        is_there = both(b, less(b, query, self.queries), less(b, feature, self.width))
        for node, buffer in zip(group.body.outputs, group.results, strict=True):

            def inside(node: Node = node) -> Scalar:
                group.define(dot, indices, b.cast(x, dot.tensor.dtype))
                return group.read(node, at)

            result = b.guard(is_there, inside, b.constant(0, node.tensor.dtype))
            b.store(buffer, linear_index(at, node.shape), result, is_there)

    def _factor(
        self, dot: Node, side: int, node: Node, batch: Indices, free: Size, depth: Size, limit: Size, depth_limit: Size
    ) -> Operand:
        b, shared = self.group.builder, _axes(dot, "batch", side)
        contracted = _axes(dot, "contract", side)[0]
        indices: list[Size] = [free] * len(node.shape)
        indices[contracted] = depth
        for axis, index in zip(shared, batch, strict=True):
            indices[axis] = index
        is_there = both(b, less(b, free, limit), less(b, depth, depth_limit))
        zero = b.constant(0.0, node.tensor.dtype)
        return real(b.guard(is_there, lambda: self.group.read(node, tuple(indices)), zero))


def _axes(dot: Node, name: str, side: int) -> tuple[int, ...]:
    return cast("tuple[tuple[int, ...], tuple[int, ...]]", dot.attribute(name))[side]


@dataclass(slots=True)
class Softmax:
    """The greatest score of each of a thread's queries so far, and the sum of its part of their weights."""

    b: KernelBuilder
    rows: int
    lanes: int
    """Neighbouring threads that have a query's scores together."""
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
        factor = real(b.apply("exp", b.apply("sub", before, shift)))
        b.store(self.total, row, b.apply("mul", b.load_again(self.total, row), factor))
        with b.loop(count, LoopKind.UNROLLED) as k:
            weight = b.apply("exp", b.apply("sub", b.load_again(scores, place(k)), shift))
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

    def _over_lanes(self, op: str, x: Operand) -> Operand:
        distance = 1
        while distance < self.lanes:
            x = real(self.b.apply(op, x, self.b.shuffle(x, "xor", distance)))
            distance *= 2
        return x


def less(b: KernelBuilder, index: Size, limit: Size) -> Operand:
    """Whether an index is below a limit."""
    return real(b.apply("lt", b.index(index, i64), b.index(limit, i64)))


def both(b: KernelBuilder, first: Operand, second: Operand) -> Operand:
    """Whether both conditions hold."""
    return real(b.apply("bitwise_and", first, second))


def real(x: Scalar) -> Operand:
    """A scalar that is no complex number."""
    assert not isinstance(x, Pair), "real numbers and conditions have one part"
    return cast("Operand", x)
