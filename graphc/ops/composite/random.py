"""Random tensors from explicit keys.

A key is a number (an int, or a 0-d integer tensor): the same key gives the same numbers, eager or compiled, with any
number of threads. Keys that differ give independent streams, so `key + 1` is as good as any other.

    noise = graphc.randn(64, 100, key=step)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeAlias

from graphc.ir.dim import Size
from graphc.ir.dtype import DType, bf16, f16, f32, f64, get_default_dtype, i64, u32, u64
from graphc.ir.dtype import dtype as to_dtype
from graphc.ir.errors import ArgumentError, DTypeError, describe
from graphc.ir.graph import Node
from graphc.ir.type import Shape
from graphc.ops import build, creation
from graphc.ops import elementwise as ew
from graphc.ops.check import INTEGER, scalar_operand, takes
from graphc.ops.composite.arithmetic import add, mul
from graphc.ops.composite.operand import Operand, only_floats
from graphc.ops.composite.sampling import exact_integers
from graphc.ops.composite.shapes import sizes_from
from graphc.ops.function import function

Key: TypeAlias = "Node | int"
Sizes: TypeAlias = "Size | Sequence[Size]"

_FRACTION = {f16: 11, bf16: 8, f32: 24, f64: 53}
"""Bits of a number below 1 that the dtype holds at even distances."""


def key_node(name: str, key: Key | None) -> Node:
    """A key as an unsigned number; raises ArgumentError where there is none."""
    if key is None:
        raise ArgumentError(
            f"{name}: no key is given, and a graph has no random numbers of its own",
            hint="pass key=..., a number or an integer tensor without dimensions",
        )
    if isinstance(key, Node):
        takes(name, key.tensor, INTEGER, "the key")
        return build.cast_to(build.reshape_to(key, scalar_operand(name, "the key", key.tensor).shape), u64)
    if isinstance(key, bool) or not isinstance(key, int):
        raise ArgumentError(f"{name}: the key is {describe(key)}", hint="use an int or an integer tensor")
    return build.constant(key % 2**64, u64)


def uniform_bits(name: str, shape: Shape, dtype: DType, key: Key | None) -> Node:
    """Multiples of the least fraction from 0 to before 1, each equally likely."""
    takes_float(name, dtype)
    bits = _FRACTION[dtype]
    word = u64 if dtype is f64 else u32
    random = creation.random_bits(key_node(name, key), shape=shape, dtype=word)
    kept = ew.shift_right(random, build.full_like(random, word.bits - bits))
    return mul(build.cast_to(kept, dtype), 2.0**-bits)


def takes_float(name: str, dtype: DType) -> None:
    """The dtype of the random numbers is one of real floats."""
    if not dtype.is_floating_point:
        raise DTypeError(
            f"{name}: no random numbers of {dtype.name}", hint="use a float dtype, or randint for integers"
        )


def normal_numbers(name: str, shape: Shape, dtype: DType, key: Key | None) -> Node:
    """Standard normal numbers by Box and Muller's method, one from each pair of uniform ones."""
    takes_float(name, dtype)
    seed = key_node(name, key)
    wide = dtype if dtype is f64 else f32
    if wide is f64:
        words = [
            creation.random_bits(ew.bitwise_xor(seed, build.constant(salt, u64)), shape=shape, dtype=u64)
            for salt in (0, _SALT)
        ]
        first, second = (ew.shift_right(each, build.full_like(each, 11)) for each in words)
        unit = 2.0**-53
    else:
        random = creation.random_bits(seed, shape=shape, dtype=u64)
        first = ew.bitwise_and(random, build.full_like(random, 2**32 - 1))
        second = ew.shift_right(random, build.full_like(random, 32))
        unit = 2.0**-32
    # Never 0, whose logarithm is infinite; rounding may give 1, whose logarithm is 0.
    above = mul(add(build.cast_to(first, wide), 0.5), unit)
    radius = ew.sqrt(mul(ew.log(above), -2.0))
    angle = mul(build.cast_to(second, wide), 2.0 * math.pi * unit)
    return build.cast_to(ew.mul(radius, ew.cos(angle)), dtype)


_SALT = 0x9E3779B97F4A7C15
"""Tells the second stream of a key from the first."""


def rand_below(name: str, p: float, shape: Shape, key: Key) -> Node:
    """Bools that are true with probability p, up to 2**-32."""
    random = creation.random_bits(key_node(name, key), shape=shape, dtype=u32)
    return ew.lt(random, build.full_like(random, min(round(p * 2**32), 2**32 - 1)))


def _float(dtype: DType | str | None) -> DType:
    return get_default_dtype() if dtype is None else to_dtype(dtype)


@function()
def rand(*size: Sizes, key: Key | None = None, dtype: DType | str | None = None) -> Node:
    """Numbers from 0 to before 1, each equally likely."""
    return uniform_bits("rand", sizes_from("rand", size), _float(dtype), key)


@function()
def randn(*size: Sizes, key: Key | None = None, dtype: DType | str | None = None) -> Node:
    """Normal numbers of mean 0 and variance 1."""
    return normal_numbers("randn", sizes_from("randn", size), _float(dtype), key)


@function()
def rand_like(input: Node, *, key: Key | None = None, dtype: DType | str | None = None) -> Node:
    """`rand` with the shape and dtype of a tensor."""
    return uniform_bits("rand_like", input.shape, input.tensor.dtype if dtype is None else to_dtype(dtype), key)


@function()
def randn_like(input: Node, *, key: Key | None = None, dtype: DType | str | None = None) -> Node:
    """`randn` with the shape and dtype of a tensor."""
    return normal_numbers("randn_like", input.shape, input.tensor.dtype if dtype is None else to_dtype(dtype), key)


@function()
def randint(
    low: int,
    high: int | Sequence[Size] | None = None,
    size: Sequence[Size] | None = None,
    *,
    key: Key | None = None,
    dtype: DType | str | None = None,
) -> Node:
    """Integers from low to before high, each equally likely up to 2**-32 of that; `low` may be left out."""
    if isinstance(high, Sequence):
        high, size = None, high
    if high is None:
        low, high = 0, low
    if size is None:
        raise ArgumentError("randint: no size is given", hint="randint(low, high, size, key=...)")
    if not low < high:
        raise ArgumentError(f"randint: nothing is from {low} to before {high}", hint="high must be above low")
    shape = sizes_from("randint", (tuple(size),))
    numbers = exact_integers(key_node("randint", key), low, high, shape)
    return build.cast_to(numbers, i64 if dtype is None else to_dtype(dtype))


@function()
def normal(mean: Operand, std: Operand, size: Sequence[Size] | None = None, *, key: Key | None = None) -> Node:
    """Normal numbers of these means and standard deviations, of their shape unless a size is given."""
    if size is not None:
        shape, dtype = sizes_from("normal", (tuple(size),)), get_default_dtype()
    else:
        given = [only_floats("normal", x) for x in (mean, std) if isinstance(x, Node)]
        if not given:
            raise ArgumentError(
                "normal: neither a tensor nor a size is given",
                hint="give a tensor of means or standard deviations, or a size",
            )
        total = given[0] if len(given) == 1 else add(given[0], given[1])
        shape, dtype = total.shape, total.tensor.dtype
    return add(mul(normal_numbers("normal", shape, dtype, key), std), mean)


@function()
def bernoulli(input: Node, *, key: Key | None = None) -> Node:
    """1 with the probability that the element gives, else 0."""
    x = only_floats("bernoulli", input)
    return build.cast_to(ew.lt(uniform_bits("bernoulli", x.shape, x.tensor.dtype, key), x), x.tensor.dtype)
