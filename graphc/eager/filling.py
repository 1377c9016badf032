"""Vectors of random numbers by one program each: what the methods that fill a tensor write to it.

In: a distribution, its parameters, a key, and the tensor that is to be filled. Out: numbers in the tensor's dtype and
shape, where the tensor is. A GPU's are those of the CPU, to the last bit: an element depends on the key and on its
place alone. The parameters are inputs, and sizes are those of a vector, so that a few programs serve a whole network.

    numbers("uniform", x, key, -0.5, 0.5)
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from graphc.eager.dispatch import plan_input
from graphc.eager.placement import empty, gpu_of
from graphc.eager.plan import Plan
from graphc.eager.program import Recipe
from graphc.eager.record import see
from graphc.eager.tensor import AnyArray, Tensor
from graphc.eager.watch import WATCHING, constant
from graphc.ir.dtype import DType, bf16, f16, f32, f64, u64
from graphc.ir.dtype import dtype as to_dtype
from graphc.ir.graph import Graph, Node, make_input
from graphc.ir.type import Shape, TensorType
from graphc.ops import build, creation
from graphc.ops import elementwise as ew
from graphc.ops.composite.arithmetic import add, mul
from graphc.ops.composite.random import normal_numbers, uniform_bits
from graphc.ops.composite.sampling import standard_exponential, unit

BITS: Final = {f16: 11, bf16: 8, f32: 24, f64: 52}
"""Of the uniform numbers of a dtype, before they are stretched to a range."""


def numbers(distribution: str, like: Tensor, key: Tensor, *parameters: float) -> AnyArray:
    """Numbers in the shape and place of a tensor, and in its dtype if that is one of floats, else in float64."""
    array = like._array
    if WATCHING:
        see((like,))
    flat = array.reshape(-1) if array.flags.c_contiguous else empty((array.size,), array.dtype, gpu_of(array))
    given = [np.array(float(each)) for each in parameters]
    if WATCHING:
        for each in (*given, *(() if array.flags.c_contiguous else (flat,))):
            constant(each)
    dtype = to_dtype(array.dtype)
    plan = _plan(distribution, TensorType(flat.shape, dtype), dtype if dtype.is_floating_point else f64, len(given))
    (found,) = plan.run([flat, key._array, *given])
    return found.reshape(array.shape)


Formula = Callable[[Shape, DType, Node, Sequence[Node]], Node]
"""From a shape, a dtype, a key and float64 parameters to numbers, whatever their dtype."""


@functools.lru_cache(maxsize=512)
def _plan(distribution: str, like: TensorType, dtype: DType, count: int) -> Plan:
    formula = _FORMULAS[distribution]

    def build_graph(types: Sequence[TensorType]) -> Graph:
        vector, key = make_input("like", types[0]), make_input("key", types[1])
        given = [plan_input(place, type, True) for place, type in enumerate(types[2:], 2)]
        found = formula(vector.shape, dtype, key, given)
        return Graph(distribution, (vector, key, *given), (build.cast_to(found, dtype),))

    types = (like, TensorType((), u64), *(TensorType((), f64),) * count)
    return Plan(build_graph(types), "", Recipe(("fill", distribution, like.dtype, dtype), types, build_graph))


def _everywhere(number: Node, like: Node) -> Node:
    return build.broadcast_to(build.cast_to(number, like.tensor.dtype), like.shape)


def _uniform(shape: Shape, dtype: DType, key: Node, given: Sequence[Node]) -> Node:
    """From the first number to before the second; the third is the width of a step between them."""
    low, high, step = given
    bits = creation.random_bits(key, shape=shape, dtype=u64)
    kept = build.cast_to(ew.shift_right(bits, build.full_like(bits, 64 - BITS[dtype])), f64)
    stretched = ew.add(ew.mul(kept, _everywhere(step, kept)), _everywhere(low, kept))
    rounded = build.cast_to(stretched, dtype)
    # Rounding may give the end itself, which is not in the range.
    is_end = ew.bitwise_and(ew.ge(rounded, _everywhere(high, rounded)), build.broadcast_to(ew.gt(high, low), shape))
    return ew.select(is_end, _everywhere(low, rounded), rounded)


def _normal(shape: Shape, dtype: DType, key: Node, given: Sequence[Node]) -> Node:
    standard = normal_numbers("normal_", shape, dtype, key)
    if not given:
        return standard
    mean, deviation = given
    return add(mul(standard, deviation), mean)


def _log_normal(shape: Shape, dtype: DType, key: Node, given: Sequence[Node]) -> Node:
    return ew.exp(_normal(shape, f64, key, given))


def _exponential(shape: Shape, dtype: DType, key: Node, given: Sequence[Node]) -> Node:
    waits = standard_exponential(key, 0, shape)
    return ew.div(waits, _everywhere(given[0], waits))


def _geometric(shape: Shape, dtype: DType, key: Node, given: Sequence[Node]) -> Node:
    """Counts k with P(count > k) = (1 - p)**k, from log(1 - p)."""
    chance = ew.log(unit(key, 0, shape))
    counts = ew.ceil(ew.div(chance, _everywhere(given[0], chance)))
    return ew.maximum(counts, build.ones_like(counts))


def _cauchy(shape: Shape, dtype: DType, key: Node, given: Sequence[Node]) -> Node:
    median, scale = given
    chance = unit(key, 0, shape)
    angle = ew.mul(ew.sub(chance, build.full_like(chance, 0.5)), build.full_like(chance, math.pi))
    standard = ew.tan(angle)
    return ew.add(ew.mul(standard, _everywhere(scale, standard)), _everywhere(median, standard))


def _coins(shape: Shape, dtype: DType, key: Node, given: Sequence[Node]) -> Node:
    """1 with the probability given, else 0."""
    drawn = uniform_bits("bernoulli_", shape, f64, key)
    return build.cast_to(ew.lt(drawn, _everywhere(given[0], drawn)), f64)


_FORMULAS: Final[dict[str, Formula]] = {
    "bernoulli": _coins,
    "cauchy": _cauchy,
    "exponential": _exponential,
    "geometric": _geometric,
    "log_normal": _log_normal,
    "normal": _normal,
    "uniform": _uniform,
}
