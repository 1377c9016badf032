"""Random graphs for property tests: any seed gives a valid graph, the same on every run.

    graph = random_graph(7, nodes=30, symbolic=True)
    arrays = random_arguments(graph, seed=7)        # from graphc.passes.instrument

    @given(graphs(nodes=20))
    def test_pass(graph): ...

Elementwise ops, selects, casts, views, reductions, contractions, gathers, constants; floats, integers and bools; sizes
1 to 4 and, if asked, a symbolic one and 0. With `smooth` nothing jumps when a float changes by a rounding, so values
can be compared to a tolerance; without it, only implementations with the same bits agree.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING

from graphc.ir.dim import Size, is_at_least, symbol
from graphc.ir.dtype import DType, Kind, bool_, f32, f64, i64
from graphc.ir.graph import Graph, Node, make_input
from graphc.ir.location import using
from graphc.ir.type import TensorType
from graphc.ops import build, creation
from graphc.ops import contraction as ct
from graphc.ops import elementwise as ew
from graphc.ops import indexing as ix
from graphc.ops import movement as mv
from graphc.ops import reduction as rd

if TYPE_CHECKING:
    from hypothesis import strategies as st

SMOOTH_UNARY = (ew.neg, ew.sin, ew.cos, ew.tanh, ew.sigmoid, ew.atan, ew.erf)
BOUNDED_UNARY = (*SMOOTH_UNARY, ew.abs_)
JUMPING_UNARY = (ew.floor, ew.ceil, ew.round_, ew.trunc, ew.sign)
SMOOTH_BINARY = (ew.add, ew.sub, ew.mul)
BINARY = (*SMOOTH_BINARY, ew.maximum, ew.minimum)
JUMPING_BINARY = (ew.fmod, ew.remainder)  # no copysign: it would show the sign of nan, which IEEE 754 leaves open
COMPARISONS = (ew.eq, ew.ne, ew.lt, ew.le, ew.gt, ew.ge)
INTEGER_BINARY = (ew.add, ew.sub, ew.mul, ew.maximum, ew.minimum, ew.bitwise_and, ew.bitwise_or, ew.bitwise_xor)
CONSTANTS = (0.0, -0.0, 1.0, -1.0, 2.0, 0.5, 3.0)


def random_graph(
    seed: int,
    *,
    nodes: int = 20,
    dtypes: tuple[DType, ...] = (f32, f64),
    smooth: bool = False,
    differentiable: bool = False,
    symbolic: bool = False,
    empty: bool = False,
    scalar: bool = False,
) -> Graph:
    """A graph of about `nodes` nodes with one to three inputs and outputs.

    `differentiable` leaves out kinks, integers and bools; `scalar` gives one output, a float sum.
    """
    smooth = smooth or differentiable
    return _Generator(random.Random(seed), dtypes, smooth, differentiable, symbolic, empty).graph(nodes, scalar)


def graphs(
    nodes: int = 20,
    *,
    dtypes: tuple[DType, ...] = (f32, f64),
    smooth: bool = False,
    differentiable: bool = False,
    symbolic: bool = False,
    empty: bool = False,
    scalar: bool = False,
) -> st.SearchStrategy[Graph]:
    """Random graphs of up to `nodes` nodes, as a hypothesis strategy."""
    from hypothesis import strategies as st  # late: `random_graph` serves where hypothesis is not installed

    def make(seed: int, count: int) -> Graph:
        return random_graph(
            seed,
            nodes=count,
            dtypes=dtypes,
            smooth=smooth,
            differentiable=differentiable,
            symbolic=symbolic,
            empty=empty,
            scalar=scalar,
        )

    return st.builds(make, st.integers(0, 2**32 - 1), st.integers(1, nodes))


class _Generator:
    def __init__(
        self,
        choose: random.Random,
        dtypes: tuple[DType, ...],
        smooth: bool,
        differentiable: bool,
        symbolic: bool,
        empty: bool,
    ) -> None:
        self.choose = choose
        self.dtype = choose.choice(dtypes)
        self.smooth = smooth
        self.differentiable = differentiable
        self.sizes: list[Size] = [1, 2, 3, 4, 4]
        self.symbol = symbol("n", 1, 64) if symbolic else None
        if self.symbol is not None:
            self.sizes += [self.symbol] * 3
        if empty and choose.random() < 0.3:
            self.sizes.append(0)
        self.values: list[Node] = []

    def graph(self, nodes: int, scalar: bool) -> Graph:
        with using(None):
            inputs = [self.input(f"x{i}", self.dtype) for i in range(self.choose.randint(1, 3))]
            if not self.differentiable:
                inputs.append(self.input("k", i64))
            self.values = list(inputs)
            actions = self.actions()
            for _ in range(nodes):
                self.values.append(self.choose.choice(actions)())
            if scalar:
                parts = [self.total(each) for each in self.values[-3:] if each.tensor.dtype is self.dtype]
                result = self.total(inputs[0])
                for part in parts:
                    result = ew.add(result, part)
                return Graph("f", tuple(inputs), (result,))
            outputs = self.values[-self.choose.randint(1, 3) :]
            return Graph("f", tuple(inputs), tuple(outputs))

    def actions(self) -> list[Callable[[], Node]]:
        chosen = [self.unary, self.binary, self.binary, self.constant, self.view, self.view, self.reduction, self.dot]
        chosen.append(self.again)
        if not self.differentiable:
            chosen += [self.integer, self.gather, self.select, self.repeat]
        if not self.smooth:
            chosen += [self.comparison, self.cast]
        return chosen

    def input(self, name: str, dtype: DType) -> Node:
        shape = tuple(self.choose.choice(self.sizes) for _ in range(self.choose.randint(0, 3)))
        if self.symbol is not None and name == "x0":  # a symbol that no input's shape names has no value
            shape = (self.symbol, *shape[:2])
        return make_input(name, TensorType(shape, dtype))

    def any(self, *kinds: Kind) -> Node:
        """A value so far of one of these kinds, later ones more often."""
        found = [each for each in self.values if each.tensor.dtype.kind in kinds]
        if not found:
            return self.fresh(kinds[0])
        return found[min(len(found) - 1, int(len(found) * self.choose.random() ** 0.5))]

    def fresh(self, kind: Kind) -> Node:
        dtype = {Kind.BOOL: bool_, Kind.INT: i64}.get(kind, self.dtype)
        return build.constant(self.choose.choice((0, 1)), dtype, (self.choose.choice(self.sizes),))

    def alike(self, x: Node) -> Node:
        """A value of the type of x: one there is, a constant, or one reduced and broadcast to the shape."""
        found = [each for each in self.values if each.type == x.type]
        if found and self.choose.random() < 0.7:
            return self.choose.choice(found)
        kind = x.tensor.dtype.kind
        others = [each for each in self.values if each.tensor.dtype is x.tensor.dtype]
        if not others or self.choose.random() < 0.5 or kind is not Kind.FLOAT:
            literal = self.choose.choice(CONSTANTS) if kind is Kind.FLOAT else self.choose.choice((0, 1))
            return build.full_like(x, literal)
        other = self.choose.choice(others)
        if len(other.shape) < len(x.shape) and other.shape == x.shape[len(x.shape) - len(other.shape) :]:
            return build.broadcast_to(other, x.shape)
        return build.broadcast_to(self.total(other), x.shape)

    def total(self, x: Node) -> Node:
        return rd.sum_(x, axes=tuple(range(len(x.shape)))) if x.shape else x

    def tame(self, x: Node) -> Node:
        """Floats kept in bounds, so that long products neither overflow nor vanish."""
        return ew.sin(x) if x.tensor.dtype.kind is Kind.FLOAT and self.choose.random() < 0.5 else x

    def unary(self) -> Node:
        ops = SMOOTH_UNARY if self.differentiable else BOUNDED_UNARY if self.smooth else BOUNDED_UNARY + JUMPING_UNARY
        return self.choose.choice(ops)(self.any(Kind.FLOAT))

    def binary(self) -> Node:
        ops = SMOOTH_BINARY if self.differentiable else BINARY if self.smooth else BINARY + JUMPING_BINARY
        x = self.any(Kind.FLOAT)
        operands = [x, self.alike(x)]
        self.choose.shuffle(operands)
        return self.tame(self.choose.choice(ops)(*operands))

    def constant(self) -> Node:
        x = self.any(Kind.FLOAT)
        op = self.choose.choice((ew.add, ew.mul, ew.sub))
        return op(x, build.full_like(x, self.choose.choice(CONSTANTS)))

    def integer(self) -> Node:
        x = self.any(Kind.INT)
        return self.choose.choice(INTEGER_BINARY)(x, self.alike(x))

    def comparison(self) -> Node:
        x = self.any(Kind.FLOAT, Kind.INT)
        return self.choose.choice(COMPARISONS)(x, self.alike(x))

    def select(self) -> Node:
        x = self.any(Kind.FLOAT)
        return ew.select(self.mask(x), x, self.alike(x))

    def mask(self, x: Node) -> Node:
        """A bool of the shape of x that doesn't depend on floats."""
        found = [each for each in self.values if each.tensor.dtype is bool_ and each.shape == x.shape]
        if found and self.choose.random() < 0.7:
            return self.choose.choice(found)
        if not x.shape or self.choose.random() < 0.2:
            return build.constant(self.choose.random() < 0.5, bool_, x.shape)
        count = creation.iota(shape=x.shape, axis=self.choose.randrange(len(x.shape)), dtype=i64)
        return ew.lt(count, build.full_like(count, self.choose.randint(0, 3)))

    def cast(self) -> Node:
        x = self.any(Kind.FLOAT, Kind.INT, Kind.BOOL)
        if x.tensor.dtype.kind is Kind.FLOAT:
            return ew.cast(ew.cast(x, dtype=self.choose.choice((f32, f64))), dtype=self.dtype)
        return ew.cast(x, dtype=self.choose.choice((i64, self.dtype)))

    def repeat(self) -> Node:
        """A second copy of an earlier node."""
        node = self.choose.choice(self.values)
        return node.op(*node.inputs, **node.keywords) if node.inputs else node

    def again(self) -> Node:
        """An op of one operand applied to its own result, as far as it fits: what simplifies."""
        ops = (ew.neg, ew.abs_, mv.flip, mv.permute, rd.max_, rd.sum_)
        found = [each for each in self.values if each.op in ops]
        if not found:
            return ew.neg(ew.neg(self.any(Kind.FLOAT)))
        node = self.choose.choice(found)
        if node.op in (rd.max_, rd.sum_):
            axes = tuple(a for a, size in enumerate(node.shape) if is_at_least(size, 1))
            return node.op(node, axes=axes[: self.choose.randint(0, len(axes))])
        return node.op(node, **node.keywords)

    def view(self) -> Node:
        x = self.any(Kind.FLOAT, Kind.FLOAT, Kind.INT)
        rank = len(x.shape)
        if not rank:
            return build.broadcast_to(
                x, tuple(self.choose.choice(self.sizes) for _ in range(self.choose.randint(1, 2)))
            )
        axis = self.choose.randrange(rank)
        size = x.shape[axis]
        match self.choose.randrange(8):
            case 0:
                axes = list(range(rank))
                self.choose.shuffle(axes)
                return mv.permute(x, axes=tuple(axes))
            case 1:
                return mv.flip(x, axes=tuple(a for a in range(rank) if self.choose.random() < 0.5))
            case 2 if rank > 1:  # two neighbouring axes as one
                axis = self.choose.randrange(rank - 1)
                joined = x.shape[axis] * x.shape[axis + 1]
                return mv.reshape(x, shape=(*x.shape[:axis], joined, *x.shape[axis + 2 :]))
            case 3 if rank < 4:
                return build.insert_axes(x, (self.choose.randint(0, rank),))
            case 4 if rank < 4:  # numpy's broadcast to one axis more
                return build.broadcast_to(x, (self.choose.choice(self.sizes), *x.shape))
            case 5 if isinstance(size, int) and size < 16:
                return mv.concat(x, self.alike(x), axis=axis)
            case 6 if isinstance(size, int) and size < 16:
                widths = [0] * rank
                widths[axis] = self.choose.randint(0, 2)
                value = build.constant(self.choose.choice((0, 1)), x.tensor.dtype)
                interior = tuple(int(width > 0 and self.choose.random() < 0.3) for width in widths)
                return mv.pad(x, value, low=tuple(widths), high=tuple(widths[::-1]), interior=interior)
            case _ if isinstance(size, int):
                return self.slice(x, axis, size)
            case _:
                return self.tame(x)

    def slice(self, x: Node, axis: int, size: int) -> Node:
        first = self.choose.randint(0, max(0, size - 1))
        last = self.choose.randint(first + 1, size) if size else 0
        start = tuple(first if a == axis else 0 for a in range(len(x.shape)))
        stop = tuple(last if a == axis else each for a, each in enumerate(x.shape))
        step = tuple(self.choose.randint(1, 2) if a == axis else 1 for a in range(len(x.shape)))
        return mv.slice_(x, start=start, stop=stop, step=step)

    def reduction(self) -> Node:
        x = self.any(Kind.FLOAT, Kind.FLOAT, Kind.INT)
        axes = tuple(a for a in range(len(x.shape)) if self.choose.random() < 0.5)
        ops = [rd.sum_]
        if not self.differentiable:
            if all(is_at_least(x.shape[a], 1) for a in axes):
                ops += [rd.max_, rd.min_]
        return self.choose.choice(ops)(x, axes=axes)

    def dot(self) -> Node:
        """A product over one shared size, tamed."""
        x = self.any(Kind.FLOAT)
        pairs = [
            (y, a, b)
            for y in self.values
            if y.tensor.dtype is x.tensor.dtype and len(x.shape) + len(y.shape) <= 5
            for a in range(len(x.shape))
            for b in range(len(y.shape))
            if x.shape[a] == y.shape[b]
        ]
        if not pairs:
            return self.tame(x)
        y, a, b = self.choose.choice(pairs)
        return ew.tanh(ct.dot(x, y, contract=((a,), (b,)), batch=((), ())))

    def gather(self) -> Node:
        x = self.any(Kind.FLOAT)
        axes = [a for a, size in enumerate(x.shape) if is_at_least(size, 2)]
        if not axes:
            return self.tame(x)
        index = build.constant(self.choose.choice((0, 1, -1)), i64)
        if self.choose.random() < 0.5:
            index = creation.iota(shape=(2,), axis=0, dtype=i64)
        return ix.gather(x, index, axis=self.choose.choice(axes))
