"""An op that takes any attributes, and graphs made at random."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from graphc.ir import op as op_module
from graphc.ir.attribute import Array
from graphc.ir.dim import Size, symbol
from graphc.ir.dtype import DTYPES, DType, bool_, f32, f64, i32, i64
from graphc.ir.errors import GraphcError
from graphc.ir.graph import FUSED, GET, Graph, Node, make_input
from graphc.ir.location import Location, using
from graphc.ir.op import Op, register
from graphc.ir.type import TensorType, TupleType
from graphc.ops import contraction, creation, elementwise, indexing, movement, reduction


@pytest.fixture
def probe() -> Iterator[Op]:
    """An op of any operands and attributes, known for the length of a test."""
    op = register(Op("probe", "for tests", lambda *x, **attributes: TensorType((), f32), lambda out, *x, **a: None))
    yield op
    del op_module._OPS["probe"]


@pytest.fixture
def random_graph() -> Callable[[int], Graph]:
    """A graph from a seed: symbolic sizes, odd names and constants, shared nodes, fused bodies, locations."""
    return make_random_graph


NAMES = ("x", "x", "w", "layer.weight", "0", "größe", 'a "b"\n', "", "%x", "x@1", "graph", "return")
FLOATS = (0.0, -0.0, 1.0, math.inf, -math.inf, math.nan, 0.1, 1e-45, 3.4e38, 1e300, -2.5)


def make_random_graph(seed: int) -> Graph:
    chance = random.Random(seed)
    n = symbol("n", chance.choice((0, 1)), chance.choice((64, 2**48 - 1)))
    m = symbol("m", 1, 9)
    sizes: tuple[Size, ...] = (n, m, 2 * n, n + 1, 3, 1, 0)
    dtypes = chance.sample(DTYPES, 2) + [f32, f64, i64]
    inputs = []
    for _ in range(chance.randint(1, 4)):
        shape = tuple(chance.choice(sizes) for _ in range(chance.randint(0, 3)))
        with using(_some_location(chance)):
            inputs.append(make_input(chance.choice(NAMES), TensorType(shape, chance.choice(dtypes))))
    inputs.append(make_input("sizes", TensorType((n, m), f32)))
    nodes: list[Node] = list(inputs)
    for _ in range(chance.randint(0, 40)):
        with using(_some_location(chance)):
            _add(chance, nodes, sizes, dtypes)
    tensors = [node for node in nodes if isinstance(node.type, TensorType)]
    outputs = tuple(chance.choice(tensors[-8:]) for _ in range(chance.randint(0, 8)))
    return Graph(chance.choice(("step", "<lambda>", "Net.forward", "two words")), tuple(inputs), outputs)


def _some_location(chance: random.Random) -> Location | None:
    return chance.choice((None, Location("train.py", 12), Location("my model.py", 7), Location("<stdin>", 1)))


def _add(chance: random.Random, nodes: list[Node], sizes: tuple[Size, ...], dtypes: list[DType]) -> None:
    """Try one op on one of the last nodes; where it doesn't fit nothing happens."""
    tensors = [node for node in nodes if isinstance(node.type, TensorType)]
    x = chance.choice(tensors[-6:])
    rank = x.tensor.rank
    ew = elementwise
    choices: list[Callable[[], Node]] = [
        lambda: chance.choice((ew.neg, ew.exp, ew.abs_, ew.sigmoid, ew.logical_not, ew.is_nan))(x),
        lambda: chance.choice((ew.add, ew.mul, ew.lt, ew.maximum, ew.div, ew.bitwise_xor))(x, x),
        lambda: ew.cast(x, dtype=chance.choice(dtypes)),
        lambda: ew.select(ew.cast(x, dtype=bool_), x, x),
        lambda: creation.constant(value=_some_array(chance, chance.choice(DTYPES))),
        lambda: creation.iota(shape=(chance.choice(sizes), 2), axis=chance.randint(0, 1), dtype=i32),
        lambda: creation.size(value=chance.choice(sizes), dtype=i64),
        lambda: movement.reshape(x, shape=(x.tensor.size, 1)),
        lambda: movement.permute(x, axes=tuple(chance.sample(range(rank), rank))),
        lambda: movement.flip(x, axes=tuple(range(rank))),
        lambda: movement.concat(x, x, x, axis=0),
        lambda: movement.slice_(x, start=(0,) * rank, stop=x.shape, step=(2,) * rank),
        lambda: reduction.sum_(x, axes=tuple(range(chance.randint(0, rank)))),
        lambda: reduction.argmax(x, axis=0),
        lambda: contraction.dot(x, x, contract=((0,), (0,)), batch=((), ())),
        lambda: indexing.gather(x, creation.constant(value=Array(np.zeros(3, np.int64))), axis=0),
        lambda: _some_fused(chance, x),
    ]
    try:
        made = chance.choice(choices)()
    except (GraphcError, IndexError):
        return
    nodes.append(made)
    if isinstance(made.type, TupleType):
        nodes.append(GET(made, index=chance.randrange(len(made.type.elements))))


def _some_fused(chance: random.Random, x: Node) -> Node:
    inner = make_input(chance.choice(NAMES), x.tensor)
    value = elementwise.cast(inner, dtype=f32)
    outputs = (elementwise.exp(value), value)[: chance.randint(1, 2)]
    if chance.random() < 0.3 and len(outputs) == 1:
        deeper = Graph("deeper", (inner,), outputs)
        inner = make_input("a", x.tensor)
        outputs = (FUSED(inner, body=deeper),)
    return FUSED(x, body=Graph("body", (inner,), outputs))


def _some_array(chance: random.Random, dtype: DType) -> Array:
    shape = chance.choice(((), (0,), (1,), (2, 2), (3, 0, 2), (40,)))
    count = int(np.prod(shape, dtype=int))
    floats = np.array([chance.choice(FLOATS) for _ in range(count)], dtype=np.float64)
    with np.errstate(all="ignore"):
        if dtype.is_complex:
            return Array((floats + 1j * floats[::-1]).astype(dtype.numpy).reshape(shape))
        if dtype.is_floating_point:
            return Array(floats.astype(dtype.numpy).reshape(shape))
    return Array(np.array([chance.randint(0, 1) for _ in range(count)]).astype(dtype.numpy).reshape(shape))
