"""Random graphs with the structures of real ones, for property tests of the compiler: any seed gives a valid graph.

    graph = structured_graph(7, nodes=20, symbolic=True)
    arrays = structured_arguments(graph, seed=7)

Beside what `tests.random_graphs` has: every dtype, norms over any axes, contractions with batch and permuted axes,
windows, folds, scatters, scans, long axes, and outputs that are inputs, constants, views or repeated. Sizes run from
0 to some thousands. Ops that jump (comparisons, argmax, rounding) only see values that every implementation computes
to the bit, so that the others can be compared to a tolerance.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from graphc.ir.attribute import Array
from graphc.ir.dim import Size, evaluate, is_at_least, product, symbol
from graphc.ir.dtype import DType, Kind, bf16, bool_, c64, f16, f32, f64, i8, i32, i64, u8
from graphc.ir.errors import ShapeError
from graphc.ir.graph import Graph, Node, make_input
from graphc.ir.location import using
from graphc.ir.type import TensorType
from graphc.ops import build, creation
from graphc.ops import contraction as ct
from graphc.ops import elementwise as ew
from graphc.ops import indexing as ix
from graphc.ops import movement as mv
from graphc.ops import reduction as rd

FLOATS = (f32, f32, f32, f64, f16, bf16)
MOST_ELEMENTS = 60_000
UNARY = (ew.neg, ew.sin, ew.tanh, ew.sigmoid, ew.atan, ew.erf, ew.exp, ew.abs_)
BINARY = (ew.add, ew.sub, ew.mul, ew.maximum, ew.minimum)
INTEGER_BINARY = (*BINARY, ew.floor_divide, ew.remainder, ew.bitwise_and, ew.bitwise_xor)
EXACT = (
    *(ew.neg, ew.abs_, ew.maximum, ew.minimum, ew.select, ew.cast, ew.real, ew.imag, ew.conj),
    *(mv.reshape, mv.permute, mv.broadcast, mv.slice_, mv.pad, mv.flip, mv.concat, mv.window),
    *(rd.max_, rd.min_, ix.gather, ix.dynamic_slice, ix.dynamic_update, creation.constant),
)
"""Ops on floats that don't round, or all in the same way."""
COMPARISONS = (ew.eq, ew.lt, ew.ge)


def structured_graph(seed: int, *, nodes: int = 20, symbolic: bool = False) -> Graph:
    """A graph of about `nodes` structures."""
    return _Generator(random.Random(seed), symbolic).graph(nodes)


def structured_arguments(
    graph: Graph, *, seed: int, sizes: Mapping[str, int] | None = None
) -> list[npt.NDArray[np.generic]]:
    """Arrays for the graph's inputs; symbols that `sizes` doesn't name take random sizes."""
    draw = np.random.default_rng(seed)
    chosen = {each.name: int(draw.integers(1, 40)) for each in graph.sizes} | dict(sizes or {})
    arrays = []
    for node in graph.inputs:
        shape = tuple(evaluate(size, chosen) for size in node.shape)
        dtype = node.tensor.dtype
        if dtype is bool_:
            array = draw.integers(0, 2, shape).astype(np.bool_)
        elif dtype.is_integer:
            array = draw.integers(0 if not dtype.signed else -5, 6, shape)
        elif dtype.is_complex:
            array = draw.standard_normal(shape) + 1j * draw.standard_normal(shape)
        else:
            array = draw.standard_normal(shape)
        arrays.append(np.asarray(array).astype(dtype.numpy))
    return arrays


class _Generator:
    def __init__(self, choose: random.Random, symbolic: bool) -> None:
        self.choose = choose
        self.dtype = choose.choice(FLOATS)
        self.sizes: list[Size] = list(choose.choice(((1, 2, 3, 4), (1, 3, 8, 17), (1, 5, 16, 33, 100), (2, 64, 128))))
        if choose.random() < 0.1:
            self.sizes.append(0)
        if choose.random() < 0.15:
            self.sizes.append(choose.choice((4097, 9000, 20_000)))
        self.symbols: list[Size] = []
        if symbolic:
            self.symbols = [symbol("n", 0 if choose.random() < 0.3 else 1, 4096)]
            if choose.random() < 0.3:
                self.symbols.append(symbol("m", 1, 64))
            self.sizes += self.symbols * 2
        self.values: list[Node] = []
        self.exact: set[Node] = set()

    def graph(self, nodes: int) -> Graph:
        choose = self.choose
        with using(None):
            inputs = [self.input(f"x{i}", self.dtype) for i in range(choose.randint(1, 3))]
            for i, each in enumerate(self.symbols):  # a symbol that no input's shape names has no value
                inputs.append(make_input(f"s{i}", TensorType((each,), self.dtype)))
            inputs.append(self.input("k", choose.choice((i64, i32, i8, u8))))
            if choose.random() < 0.2:
                inputs.append(self.input("b", bool_))
            if choose.random() < 0.2:
                inputs.append(self.input("z", c64))
            self.values = list(inputs)
            self.exact = set(inputs)
            actions = self.actions()
            for _ in range(nodes):
                self.step(choose.choice(actions))
            read = {x for node in self.values for x in node.inputs}
            ends = [node for node in self.values if node not in read and node not in inputs] or self.values
            outputs = [*choose.sample(ends, min(len(ends), choose.randint(1, 4)))]
            outputs += [choose.choice(self.values) for _ in range(choose.randint(0, 2))]
            return Graph("f", tuple(inputs), tuple(outputs))

    def step(self, action: Callable[[], Node | None]) -> None:
        try:
            node = action()
        except ShapeError:  # with symbolic sizes many a thing isn't known to fit
            return
        if node is not None and node not in self.values and len(node.shape) <= 6 and self.is_small(node.shape):
            self.values.append(node)
            self.note_exactness(node)

    def is_small(self, shape: tuple[Size, ...]) -> bool:
        typical = {str(each): 40 for each in self.symbols}
        return (
            all(evaluate(size, typical) >= 0 for size in shape) and evaluate(product(shape), typical) <= MOST_ELEMENTS
        )

    def note_exactness(self, node: Node) -> None:
        """Whether its bits follow from those of its operands on every implementation."""
        pending, seen = [node], {node}
        while pending:
            each = pending.pop()
            if each in self.exact:
                continue
            if each.tensor.dtype.kind >= Kind.FLOAT and each.op not in EXACT:
                return
            fresh = [x for x in each.inputs if x not in seen]
            seen.update(fresh)
            pending.extend(fresh)
        self.exact.add(node)

    def actions(self) -> list[Callable[[], Node | None]]:
        twice = [self.binary, self.view, self.reduction, self.norm, self.dot, self.shift]
        once = [
            self.unary,
            self.unary,
            self.integer,
            self.comparison,
            self.cast,
            self.concat,
            self.gather,
            self.scatter,
        ]
        rest = [self.scan, self.window, self.argmax, self.update, self.complex, self.constant, self.reshape, self.fold]
        return [*twice, *twice, *once, *rest]

    # ---- values

    def input(self, name: str, dtype: DType) -> Node:
        return make_input(name, TensorType(self.shape(self.choose.randint(0, 3)), dtype))

    def shape(self, rank: int) -> tuple[Size, ...]:
        shape: list[Size] = []
        for _ in range(rank):
            options = [s for s in self.sizes if self.is_small((*shape, s, 4))]
            shape.append(self.choose.choice(options or [1]))
        return tuple(shape)

    def any(self, *kinds: Kind, exact: bool = False) -> Node:
        found = [each for each in self.values if each.tensor.dtype.kind in kinds and (each in self.exact or not exact)]
        if not found:
            dtype = {Kind.BOOL: bool_, Kind.INT: i64, Kind.COMPLEX: c64}.get(kinds[0], self.dtype)
            return build.constant(self.choose.choice((0, 1)), dtype, (self.choose.choice(self.sizes),))
        return found[min(len(found) - 1, int(len(found) * self.choose.random() ** 0.4))]

    def fit(self, x: Node) -> Node:
        """A value of the type of x: one there is, one broadcast, one reduced and broadcast, or a constant."""
        choose = self.choose
        found = [each for each in self.values if each.type == x.type and each is not x]
        if found and choose.random() < 0.6:
            return choose.choice(found)
        others = [each for each in self.values if each.tensor.dtype is x.tensor.dtype]
        choose.shuffle(others)
        for other in others[:8]:
            extra = len(x.shape) - len(other.shape)
            if extra >= 0 and all(a in (1, b) for a, b in zip(other.shape, x.shape[extra:])):
                return build.broadcast_to(other, x.shape)
            if len(other.shape) == len(x.shape) and sorted(map(str, other.shape)) == sorted(map(str, x.shape)):
                axes = self.matching(other.shape, x.shape)
                if axes is not None:
                    return mv.permute(other, axes=axes)
        if x.shape and x.tensor.dtype.kind is Kind.FLOAT and choose.random() < 0.5:
            axes = self.axes(x)
            return build.repeat_along(self.mean(x, axes), axes, x.shape)
        return build.full_like(x, choose.choice((0, 1, 2)))

    def matching(self, have: tuple[Size, ...], want: tuple[Size, ...]) -> tuple[int, ...] | None:
        left = list(range(len(have)))
        axes = []
        for size in want:
            axis = next((a for a in left if have[a] == size), None)
            if axis is None:
                return None
            left.remove(axis)
            axes.append(axis)
        return tuple(axes)

    def axes(self, x: Node) -> tuple[int, ...]:
        return tuple(a for a in range(len(x.shape)) if self.choose.random() < 0.5)

    def mean(self, x: Node, axes: tuple[int, ...]) -> Node:
        total = rd.sum_(x, axes=axes)
        count = max(1, math.prod(size if isinstance(size, int) else 16 for a, size in enumerate(x.shape) if a in axes))
        return ew.mul(total, build.full_like(total, 1.0 / count))

    # ---- structures

    def unary(self) -> Node:
        x = self.any(Kind.FLOAT)
        op = self.choose.choice(UNARY)
        return op(ew.tanh(x)) if op is ew.exp else op(x)

    def binary(self) -> Node:
        x = self.any(Kind.FLOAT)
        operands = [x, self.fit(x)]
        self.choose.shuffle(operands)
        result = self.choose.choice(BINARY)(*operands)
        return ew.tanh(result) if self.choose.random() < 0.4 else result

    def shift(self) -> Node | None:
        """A value beside itself a few places on: the stencil of a difference, or a rotation."""
        x = self.any(Kind.FLOAT)
        axes = [a for a, size in enumerate(x.shape) if is_at_least(size, 2)]
        if not axes:
            return None
        axis = self.choose.choice(axes)
        size = x.shape[axis]

        def part(start: Size, stop: Size) -> Node:
            rank = range(len(x.shape))
            starts = tuple(start if a == axis else 0 for a in rank)
            stops = tuple(stop if a == axis else x.shape[a] for a in rank)
            return mv.slice_(x, start=starts, stop=stops, step=(1,) * len(x.shape))

        if self.choose.random() < 0.5:
            return mv.concat(part(1, size), part(0, 1), axis=axis)
        return ew.sub(part(1, size), part(0, size - 1))

    def norm(self) -> Node | None:
        """Softmax, or something like layer or batch norm, over some axes."""
        x = self.any(Kind.FLOAT)
        axes = self.axes(x)
        if not axes or not all(is_at_least(x.shape[a], 1) for a in axes):
            return None
        if self.choose.random() < 0.5:
            top = build.repeat_along(rd.max_(x, axes=axes), axes, x.shape)
            power = ew.exp(ew.sub(x, top))
            return ew.div(power, build.repeat_along(rd.sum_(power, axes=axes), axes, x.shape))
        centered = ew.sub(x, build.repeat_along(self.mean(x, axes), axes, x.shape))
        variance = self.mean(ew.mul(centered, centered), axes)
        scale = ew.rsqrt(ew.add(variance, build.full_like(variance, 0.5)))
        result = ew.mul(centered, build.repeat_along(scale, axes, x.shape))
        return ew.add(result, self.fit(result)) if self.choose.random() < 0.5 else result

    def reduction(self) -> Node | None:
        choose = self.choose
        kind = choose.random()
        if kind < 0.6:
            x = self.any(Kind.FLOAT)
            axes = self.axes(x)
            nonempty = all(is_at_least(x.shape[a], 1) for a in axes)
            if nonempty and choose.random() < 0.4:
                node = choose.choice((rd.max_, rd.min_))(x, axes=axes)
            else:
                node = self.mean(x, axes)
            again = choose.random()
            if again < 0.3:
                return build.insert_axes(node, axes)
            return build.repeat_along(node, axes, x.shape) if again < 0.6 else node
        if kind < 0.8:
            x = self.any(Kind.INT)
            return rd.sum_(x, axes=self.axes(x))
        x = self.any(Kind.BOOL, exact=True)
        return choose.choice((rd.any_, rd.all_))(x, axes=self.axes(x))

    def dot(self) -> Node | None:
        """A product over some shared sizes, with some in common, of axes in any order; perhaps an epilogue."""
        choose = self.choose
        x = self.any(Kind.FLOAT, Kind.FLOAT, Kind.INT)
        others = [y for y in self.values if y.tensor.dtype is x.tensor.dtype and y.shape]
        if not others or not x.shape:
            return None
        y = choose.choice(others)
        free = list(range(len(y.shape)))
        contract: list[tuple[int, int]] = []
        batch: list[tuple[int, int]] = []
        for a in choose.sample(range(len(x.shape)), len(x.shape)):
            partners = [b for b in free if y.shape[b] == x.shape[a]]
            if partners and choose.random() < 0.8:
                b = choose.choice(partners)
                free.remove(b)
                (batch if contract and choose.random() < 0.4 else contract).append((a, b))
        if not contract:
            return None
        both = {"contract": contract, "batch": batch}
        attributes = {name: (tuple(a for a, _ in each), tuple(b for _, b in each)) for name, each in both.items()}
        node = ct.dot(x, y, **attributes)
        if node.tensor.dtype.is_integer:
            return node
        if not self.is_small(node.shape):
            return None
        depth = math.prod(size if isinstance(size, int) else 16 for size in (x.shape[a] for a, _ in contract))
        node = ew.mul(node, build.full_like(node, 1.0 / max(1, depth)))
        if choose.random() < 0.4:
            node = ew.tanh(ew.add(node, self.fit(node)))
        if choose.random() < 0.3:
            axes = tuple(choose.sample(range(len(node.shape)), len(node.shape)))
            node = ew.add(mv.permute(node, axes=axes), build.full(1, mv.permute(node, axes=axes).tensor))
        return node

    def integer(self) -> Node:
        x = self.any(Kind.INT)
        return self.choose.choice(INTEGER_BINARY)(x, self.fit(x))

    def comparison(self) -> Node:
        x = self.any(Kind.INT, Kind.FLOAT, exact=True)
        test = self.choose.choice(COMPARISONS)(x, build.full_like(x, self.choose.choice((0, 1))))
        y = self.any(Kind.FLOAT)
        if y.shape == test.shape:
            return ew.select(test, y, self.fit(y))
        return test

    def cast(self) -> Node:
        if self.choose.random() < 0.5:
            x = self.any(Kind.BOOL, Kind.INT)
            return ew.cast(x, dtype=self.choose.choice((i64, i32, self.dtype, f32)))
        return ew.cast(self.any(Kind.FLOAT), dtype=self.choose.choice((f16, f32, f64, bf16, self.dtype, self.dtype)))

    def constant(self) -> Node:
        choose = self.choose
        match choose.randrange(3):
            case 0:
                shape = tuple(s if isinstance(s, int) else 3 for s in self.shape(choose.randint(0, 2)))
                count = math.prod(shape)
                array = np.linspace(-1, 1, count).reshape(shape).astype(self.dtype.numpy)
                return creation.constant(value=Array(array))
            case 1:
                shape = self.shape(choose.randint(1, 3))
                return creation.iota(shape=shape, axis=choose.randrange(len(shape)), dtype=i64)
            case _:
                return build.constant(choose.choice((0, 1, 2.5)), self.dtype, self.shape(choose.randint(0, 2)))

    def complex(self) -> Node | None:
        choose = self.choose
        if choose.random() < 0.5:
            x = self.any(Kind.FLOAT)
            if x.tensor.dtype is not f32:
                return None
            return ew.complex_(x, self.fit(x))
        z = self.any(Kind.COMPLEX)
        match choose.randrange(5):
            case 0:
                return ew.real(z)
            case 1:
                return ew.imag(ew.mul(z, z))
            case 2:
                return ew.conj(z)
            case 3:
                return rd.sum_(z, axes=self.axes(z))
            case _:
                return ew.mul(z, self.fit(z))

    def view(self) -> Node | None:
        choose = self.choose
        x = self.any(Kind.FLOAT, Kind.INT, Kind.BOOL, Kind.COMPLEX)
        rank = len(x.shape)
        if not rank:
            return build.broadcast_to(x, self.shape(choose.randint(1, 2)))
        axis = choose.randrange(rank)
        size = x.shape[axis]
        match choose.randrange(7):
            case 0 | 1:
                return mv.permute(x, axes=tuple(choose.sample(range(rank), rank)))
            case 2:
                return mv.flip(x, axes=tuple(a for a in range(rank) if choose.random() < 0.5))
            case 3:
                return build.insert_axes(x, (choose.randint(0, rank),))
            case 4:
                return build.broadcast_to(x, (choose.choice(self.sizes), *x.shape))
            case 5:
                low = tuple(choose.randint(-1, 2) if is_at_least(s, 3) else choose.randint(0, 1) for s in x.shape)
                high = tuple(choose.randint(-1, 2) if is_at_least(s, 3) else choose.randint(0, 1) for s in x.shape)
                gap = tuple(int(choose.random() < 0.2) for _ in x.shape)
                value = build.constant(choose.choice((0, 1)), x.tensor.dtype)
                return mv.pad(x, value, low=low, high=high, interior=gap)
            case _:
                first = choose.randint(0, 1) if is_at_least(size, 2) else 0
                start = tuple(first if a == axis else 0 for a in range(rank))
                step = tuple(choose.randint(1, 3) if a == axis else 1 for a in range(rank))
                return mv.slice_(x, start=start, stop=x.shape, step=step)

    def reshape(self) -> Node | None:
        choose = self.choose
        x = self.any(Kind.FLOAT, Kind.INT)
        if choose.random() < 0.4 and len(x.shape) > 1:
            axis = choose.randrange(len(x.shape) - 1)
            joined = x.shape[axis] * x.shape[axis + 1]
            return mv.reshape(x, shape=(*x.shape[:axis], joined, *x.shape[axis + 2 :]))
        size = x.tensor.size
        if not isinstance(size, int):
            return mv.reshape(x, shape=(size,))
        shape: list[Size] = []
        while size > 1 and len(shape) < 3:
            factor = choose.choice([d for d in range(1, min(size, 64) + 1) if size % d == 0])
            shape.append(factor)
            size //= factor
        shape.append(size)
        choose.shuffle(shape)
        return mv.reshape(x, shape=tuple(shape))

    def concat(self) -> Node | None:
        x = self.any(Kind.FLOAT, Kind.INT)
        if not x.shape:
            return None
        axis = self.choose.randrange(len(x.shape))
        parts = [x, *(self.fit(x) for _ in range(self.choose.randint(1, 4)))]
        self.choose.shuffle(parts)
        return mv.concat(*parts, axis=axis)

    def index(self, extent: Size) -> Node:
        """Integers that name elements of an axis, some from its end."""
        choose = self.choose
        found = [each for each in self.values if each.tensor.dtype is i64 and len(each.shape) <= 2]
        if found and choose.random() < 0.6:
            x = choose.choice(found)
        else:
            x = creation.iota(shape=(choose.choice((1, 3, 7)),), axis=0, dtype=i64)
        size = build.broadcast_to(build.size_of(extent, i64), x.shape)
        position = ew.remainder(x, size)
        return ew.sub(position, size) if choose.random() < 0.3 else position

    def indexed_axis(self, x: Node) -> int | None:
        axes = [a for a, size in enumerate(x.shape) if is_at_least(size, 1)]
        return self.choose.choice(axes) if axes else None

    def gather(self) -> Node | None:
        x = self.any(Kind.FLOAT, Kind.INT)
        axis = self.indexed_axis(x)
        if axis is None:
            return None
        index = self.index(x.shape[axis])
        return ix.gather(x, index, axis=axis)

    def scatter(self) -> Node | None:
        x = self.any(Kind.FLOAT, Kind.INT, Kind.COMPLEX)
        axis = self.indexed_axis(x)
        if axis is None:
            return None
        index = self.index(x.shape[axis])
        shape = (*x.shape[:axis], *index.shape, *x.shape[axis + 1 :])
        if not self.is_small(shape):
            return None
        updates = self.fit(build.full(1, TensorType(shape, x.tensor.dtype)))
        mode = "add" if self.choose.random() < 0.6 and x.tensor.dtype in (i64, f32, f64, c64) else "set"
        return ix.scatter(x, index, updates, axis=axis, mode=mode)

    def update(self) -> Node | None:
        x = self.any(Kind.FLOAT)
        sizes = tuple(s if not isinstance(s, int) else self.choose.randint(min(1, s), s) for s in x.shape)
        starts = [build.constant(self.choose.randint(-1, 3), i64) for _ in x.shape]
        if self.choose.random() < 0.5:
            return ix.dynamic_slice(x, *starts, sizes=sizes)
        return ix.dynamic_update(x, self.fit(build.full(1, TensorType(sizes, x.tensor.dtype))), *starts)

    def scan(self) -> Node | None:
        x = self.any(Kind.FLOAT, Kind.INT)
        if not x.shape or x.tensor.dtype not in (i64, f32, f64):
            return None
        node = rd.cumsum(x, axis=self.choose.randrange(len(x.shape)), reverse=self.choose.random() < 0.5)
        return ew.tanh(node) if node.tensor.dtype is not i64 and self.choose.random() < 0.5 else node

    def window(self) -> Node | None:
        x = self.any(Kind.FLOAT)
        axes = [a for a, size in enumerate(x.shape) if is_at_least(size, 4)]
        if not axes or len(x.shape) > 3:
            return None
        axes = sorted(self.choose.sample(axes, self.choose.randint(1, min(2, len(axes)))))
        size = tuple(self.choose.randint(1, 3) for _ in axes)
        stride = tuple(self.choose.randint(1, 3) for _ in axes)
        gap = tuple(1 if k == 3 else self.choose.randint(1, 2) for k in size)
        node = mv.window(x, axes=tuple(axes), size=size, stride=stride, dilation=gap)
        match self.choose.randrange(4):
            case 0:
                return node
            case 1 if all(is_at_least(s, 1) for s in node.shape):
                return rd.max_(node, axes=tuple(range(len(x.shape), len(node.shape))))
            case 2:
                extent = tuple(x.shape[a] for a in axes)
                return mv.fold(node, axes=tuple(axes), size=size, stride=stride, dilation=gap, extent=extent)
            case _:
                inner = tuple(range(len(x.shape), len(node.shape)))
                weight = build.full(0.25, TensorType((*size, self.choose.choice((1, 4, 17))), x.tensor.dtype))
                counts = mv.reshape(weight, shape=weight.shape)
                return ct.dot(node, counts, contract=(inner, tuple(range(len(size)))), batch=((), ()))

    def fold(self) -> Node | None:
        x = self.any(Kind.FLOAT)
        if len(x.shape) < 2 or not isinstance(x.shape[-1], int) or not 1 <= x.shape[-1] <= 5:
            return None
        axis = self.choose.randrange(len(x.shape) - 1)
        count, size = x.shape[axis], x.shape[-1]
        if not is_at_least(count, 1):
            return None
        stride, gap = self.choose.randint(1, 2), self.choose.randint(1, 2)
        extent = (count - 1) * stride + gap * (size - 1) + 1
        return mv.fold(x, axes=(axis,), size=(size,), stride=(stride,), dilation=(gap,), extent=(extent,))

    def argmax(self) -> Node | None:
        x = self.any(Kind.FLOAT, Kind.INT, exact=True)
        axes = [a for a, size in enumerate(x.shape) if is_at_least(size, 1)]
        if not axes:
            return None
        return self.choose.choice((rd.argmax, rd.argmin))(x, axis=self.choose.choice(axes))
