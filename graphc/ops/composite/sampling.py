"""What samplers of distributions are made of: streams of a key, rejection with a fixed number of tries, thinning.

In: a key and a shape. Out: numbers in float64, the same for any number of threads. A sampler that rejects makes all of
its tries in one tensor with the tries in front, and takes of each column the first that is accepted: the tries are
functions of their place alone, so fused code makes them where they are looked at and stores none. A column without
any, as probable as `UNLIKELY`, gives its first try.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from graphc.ir.dim import Size, product
from graphc.ir.dtype import f64, i64, u8, u32, u64
from graphc.ir.graph import Node
from graphc.ir.type import Shape
from graphc.ops import build, creation, indexing, reduction
from graphc.ops import elementwise as ew

UNLIKELY = 1e-12
"""A probability that no test of a distribution can see."""
SPREAD = 0x9E3779B97F4A7C15
"""2**64 by the golden ratio: multiples of it are far apart, whatever their number."""
MOST = 64
"""Trials that `thinned` looks at, one by one."""


def stream(seed: Node, number: int) -> Node:
    """The key of one of the independent streams of a key."""
    return ew.bitwise_xor(seed, build.constant(number * SPREAD % 2**64, u64)) if number else seed


def unit(seed: Node, number: int, shape: Shape) -> Node:
    """Float64 numbers between 0 and 1, both excluded, at even distances of 2**-52."""
    bits = creation.random_bits(stream(seed, number), shape=shape, dtype=u64)
    kept = build.cast_to(ew.shift_right(bits, build.full_like(bits, 12)), f64)
    return ew.mul(ew.add(kept, build.full_like(kept, 0.5)), build.full_like(kept, 2.0**-52))


def standard_normal(seed: Node, number: int, shape: Shape) -> Node:
    """Float64 normal numbers by Box and Muller's method, from two streams."""
    first, second = unit(seed, number, shape), unit(seed, number + 1, shape)
    radius = ew.sqrt(ew.mul(ew.log(first), build.full_like(first, -2.0)))
    return ew.mul(radius, ew.cos(ew.mul(second, build.full_like(second, 2.0 * math.pi))))


def standard_exponential(seed: Node, number: int, shape: Shape) -> Node:
    """Float64 numbers of the exponential distribution with rate 1: none is 0, none above 36.8."""
    return ew.neg(ew.log(unit(seed, number, shape)))


def tries_for(rejected: float) -> int:
    """How many tries leave none accepted with less than `UNLIKELY`, if each is rejected with this probability."""
    return max(1, math.ceil(math.log(UNLIKELY) / math.log(rejected)))


def tried(x: Node, tries: int) -> Node:
    """A parameter repeated for every try."""
    return build.broadcast_to(x, (tries, *x.shape))


def first_accepted(is_accepted: Node, values: Node) -> Node:
    """Of each column along the first axis the first value that is accepted."""
    tries, *shape = values.shape
    chosen = reduction.argmax(build.cast_to(is_accepted, u8), axis=0)
    count = product(shape)
    place = build.reshape_to(creation.iota(shape=(count,), axis=0, dtype=i64), tuple(shape))
    width = build.broadcast_to(build.size_of(count, i64), tuple(shape))
    flat = build.reshape_to(values, (tries * count,))
    return indexing.gather(flat, ew.add(ew.mul(chosen, width), place), axis=0)


def thinned(seed: Node, number: int, count: Node, chance: Node) -> Node:
    """How many of `count` trials succeed, each with this probability; counts are at most `MOST`. All are float64."""
    shape = (*count.shape, MOST)
    axis = len(count.shape)
    bits = creation.random_bits(stream(seed, number), shape=shape, dtype=u32)
    limit = build.repeat_along(ew.mul(chance, build.full_like(chance, 2.0**32)), (axis,), shape)
    is_hit = ew.lt(build.cast_to(bits, f64), limit)
    trial = creation.iota(shape=shape, axis=axis, dtype=f64)
    is_made = ew.lt(trial, build.repeat_along(count, (axis,), shape))
    hits = build.cast_to(ew.bitwise_and(is_hit, is_made), f64)
    return reduction.sum_(hits, axes=(axis,))


def exact_integers(seed: Node, low: int, high: int, shape: Sequence[Size]) -> Node:
    """Int64 numbers from low to before high, each exactly as likely as any other up to 2**-32 of that."""
    extent = high - low
    sizes = tuple(shape)
    rejected = 2**64 % extent / 2**64
    if extent <= 2**32 or rejected < 2.0**-64:
        random = creation.random_bits(seed, shape=sizes, dtype=u64)
    else:  # what lies above the last whole multiple of the extent would favour the low numbers
        bits = creation.random_bits(seed, shape=(tries_for(rejected), *sizes), dtype=u64)
        random = first_accepted(ew.lt(bits, build.full_like(bits, 2**64 - 2**64 % extent)), bits)
    kept = random if extent == 2**64 else ew.remainder(random, build.full_like(random, extent))
    offset = ew.bitcast(kept, dtype=i64)
    return ew.add(offset, build.full_like(offset, low))
