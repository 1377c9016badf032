"""Samples of distributions from explicit keys, exact but for rounding and events of probability 1e-12.

In: parameters and a key. Out: samples in the dtype of the parameters, through which no gradient flows. All are computed
in float64. The methods fill a tensor's shape, as PyTorch's do in place: `x.exponential(2.0, key=k)`.

    counts = graphc.poisson(rates, key=step)
"""

from __future__ import annotations

import math

from graphc.ir.dim import Size
from graphc.ir.dtype import DType, f64, i64, u64
from graphc.ir.dtype import dtype as to_dtype
from graphc.ir.errors import ArgumentError, DTypeError, ShapeError, UnsupportedDType
from graphc.ir.graph import Node
from graphc.ops import build, creation, indexing, ordering, reduction
from graphc.ops import elementwise as ew
from graphc.ops.composite.operand import broadcast, detached
from graphc.ops.composite.random import Key, key_node, normal_numbers
from graphc.ops.composite.sampling import (
    MOST,
    first_accepted,
    standard_exponential,
    standard_normal,
    thinned,
    tried,
    tries_for,
    unit,
)
from graphc.ops.composite.special_gamma import lgamma
from graphc.ops.function import function


def _wide(x: Node) -> Node:
    return build.cast_to(detached(x), f64)


def _number(x: Node, value: float) -> Node:
    return build.full(value, x.tensor.with_dtype(f64))


def _takes_floats(kernel: str, x: Node) -> None:
    if not x.tensor.dtype.is_floating_point:
        raise UnsupportedDType(
            f"\"{kernel}\" not implemented for '{x.tensor.dtype.scalar}'", hint="convert it first, e.g. x.float()"
        )


# Shaped like a tensor


@function(method=True, free=False)
def uniform(input: Node, from_: float = 0.0, to: float = 1.0, *, key: Key | None = None) -> Node:
    """Numbers from `from_` to before `to`, in the tensor's shape and dtype."""
    _takes_floats("check_uniform_bounds", input)
    if from_ > to:
        raise ArgumentError(
            f"uniform_ expects to return a [from, to) range, but found from={from_:g} > to={to:g}",
            hint="give the smaller number first",
        )
    kind = input.tensor.dtype
    bits = 52 if kind is f64 else {"float32": 24, "float16": 11}.get(kind.name, 8)
    random = creation.random_bits(key_node("uniform", key), shape=input.shape, dtype=u64)
    kept = build.cast_to(ew.shift_right(random, build.full_like(random, 64 - bits)), f64)
    scaled = ew.add(ew.mul(kept, _number(kept, (to - from_) * 2.0**-bits)), _number(kept, from_))
    rounded = build.cast_to(scaled, kind)
    if to == from_:
        return rounded
    # Rounding may give the end itself, which is not in the range.
    is_end = ew.ge(rounded, build.full_like(rounded, to))
    return ew.select(is_end, build.full_like(rounded, from_), rounded)


@function(method=True, free=False)
def exponential(input: Node, lambd: float = 1.0, *, key: Key | None = None) -> Node:
    """Exponential numbers of the rate `lambd`, in the tensor's shape and dtype."""
    _takes_floats("exponential", input)
    if not lambd > 0:
        raise ArgumentError(f"exponential_ expects lambda > 0.0, but found lambda={lambd:g}", hint="rates are positive")
    waits = standard_exponential(key_node("exponential", key), 0, input.shape)
    return build.cast_to(ew.div(waits, _number(waits, lambd)), input.tensor.dtype)


@function(method=True, free=False)
def geometric(input: Node, p: float, *, key: Key | None = None) -> Node:
    """How many trials it takes until one succeeds, each with probability p, in the tensor's shape and dtype."""
    if not 0 < p <= 1:
        raise ArgumentError(f"geometric_ expects p to be in (0, 1), but got p={p:g}", hint="p is a probability above 0")
    chance = unit(key_node("geometric", key), 0, input.shape)
    # P(count > k) = (1 - p)**k; at p = 1 the logarithm is -inf, and every count 1.
    counts = ew.ceil(ew.div(ew.log(chance), _number(chance, math.log1p(-p) if p < 1 else -math.inf)))
    return build.cast_to(ew.maximum(counts, _number(chance, 1.0)), input.tensor.dtype)


@function(method=True, free=False)
def cauchy(input: Node, median: float = 0.0, sigma: float = 1.0, *, key: Key | None = None) -> Node:
    """Cauchy numbers of this median and scale, in the tensor's shape and dtype."""
    _takes_floats("cauchy", input)
    if not sigma > 0:
        raise ArgumentError(f"cauchy_ expects sigma > 0.0, but found sigma={sigma:g}", hint="scales are positive")
    chance = unit(key_node("cauchy", key), 0, input.shape)
    angle = ew.mul(ew.sub(chance, _number(chance, 0.5)), _number(chance, math.pi))
    found = ew.add(ew.mul(ew.tan(angle), _number(chance, sigma)), _number(chance, median))
    return build.cast_to(found, input.tensor.dtype)


@function(method=True, free=False)
def log_normal(input: Node, mean: float = 1.0, std: float = 2.0, *, key: Key | None = None) -> Node:
    """exp of normal numbers of this mean and standard deviation, in the tensor's shape and dtype."""
    _takes_floats("log_normal", input)
    if not std > 0:
        raise ArgumentError(f"log_normal_ expects std > 0.0, but found std={std:g}", hint="deviations are positive")
    normal = normal_numbers("log_normal", input.shape, f64, key)
    power = ew.exp(ew.add(ew.mul(normal, _number(normal, std)), _number(normal, mean)))
    return build.cast_to(power, input.tensor.dtype)


# Orders and choices


@function()
def randperm(n: Size, *, key: Key | None = None, dtype: DType | str | None = None) -> Node:
    """The numbers from 0 to before n in random order, each order equally likely up to n**2 / 2**64."""
    if isinstance(n, int) and n < 0:
        raise ArgumentError(f"n must be non-negative, got {n}", hint="give 0 or more")
    bits = creation.random_bits(key_node("randperm", key), shape=(n,), dtype=u64)
    order = ordering.argsort(ew.bitcast(bits, dtype=i64), axis=0)
    return build.cast_to(order, i64 if dtype is None else to_dtype(dtype))


@function(method=True)
def multinomial(input: Node, num_samples: int, replacement: bool = False, *, key: Key | None = None) -> Node:
    """Positions drawn with the weights of a vector, or of each row of a matrix: int64, `num_samples` in a row.

    Without replacement by the order of exponential numbers over weights (Efraimidis and Spirakis 2006), in which a
    weight of 0 comes last; with replacement by the inverse of the distribution function.
    """
    dtype = input.tensor.dtype
    if not dtype.is_floating_point:
        raise DTypeError(
            f"multinomial only supports floating-point dtypes for input, got: {dtype.scalar}", hint="use x.float()"
        )
    rank = len(input.shape)
    if rank not in (1, 2):
        raise ShapeError("prob_dist must be 1 or 2 dim", hint="flatten the leading dimensions")
    if num_samples <= 0:
        raise ArgumentError("cannot sample n_sample <= 0 samples", hint="draw one or more")
    count = input.shape[-1]
    if not replacement and isinstance(count, int) and num_samples > count:
        raise ArgumentError(
            "cannot sample n_sample > prob_dist.size(-1) samples without replacement", hint="pass replacement=True"
        )
    weights, seed, axis = _wide(input), key_node("multinomial", key), rank - 1
    if not replacement:
        waits = ew.div(standard_exponential(seed, 0, weights.shape), weights)
        order = ordering.argsort(ew.bitcast(waits, dtype=i64), axis=axis)  # numbers above 0 order like their bits
        return _first(order, axis, num_samples)
    total = reduction.cumsum(weights, axis=axis, reverse=False)
    shape = (*input.shape[:-1], num_samples)
    last = indexing.gather(total, build.constant(-1, i64), axis=axis)
    wanted = ew.mul(unit(seed, 0, shape), build.repeat_along(last, (axis,), shape))
    every = (*shape, count)
    below = ew.le(
        build.broadcast_to(build.insert_axes(total, (axis,)), every), build.repeat_along(wanted, (axis + 1,), every)
    )
    place = reduction.sum_(build.cast_to(below, i64), axes=(axis + 1,))
    most = build.broadcast_to(build.size_of(count - 1, i64), shape)
    return ew.minimum(place, most)  # what rounding may have put at the very end


def _first(x: Node, axis: int, count: int) -> Node:
    """The first elements along an axis."""
    index = creation.iota(shape=(count,), axis=0, dtype=i64)
    return indexing.gather(x, index, axis=axis)


# Counts


@function(method=True)
def poisson(input: Node, *, key: Key | None = None) -> Node:
    """How often what happens at these rates happens.

    By transformed rejection (Hörmann 1993, "The transformed rejection method for generating Poisson random variables",
    algorithm PTRS) for rates of 12 and more. Lower ones are thinned: of events at rate 12 each is kept with the
    probability rate / 12.
    """
    _takes_floats("poisson_cpu", input)
    rate, seed = _wide(input), key_node("poisson", key)
    least = _number(rate, float(_LEAST))
    many = _poisson_by_rejection(seed, ew.maximum(rate, least))
    few = thinned(seed, 8, many, ew.minimum(ew.div(rate, least), _number(rate, 1.0)))
    found = ew.select(ew.lt(rate, least), few, many)
    found = ew.select(ew.is_nan(rate), rate, found)
    return build.cast_to(found, input.tensor.dtype)


_LEAST = 12
"""The mean from which counts are made by rejection. More than `MOST` of this mean have the probability 1e-25."""
_TRIES = tries_for(0.3)
"""The transformed rejections accept more than 0.7 of their tries at means of 12 and more."""


def _poisson_by_rejection(seed: Node, rate: Node) -> Node:
    one = tried(rate, _TRIES)

    def n(value: float) -> Node:
        return _number(one, value)

    b = ew.add(n(0.931), ew.mul(n(2.53), ew.sqrt(one)))
    a = ew.add(n(-0.059), ew.mul(n(0.02483), b))
    inverse = ew.add(n(1.1239), ew.div(n(1.1328), ew.sub(b, n(3.4))))
    limit = ew.sub(n(0.9277), ew.div(n(3.6224), ew.sub(b, n(2.0))))
    u = ew.sub(unit(seed, 1, one.shape), n(0.5))
    v = unit(seed, 2, one.shape)
    us = ew.sub(n(0.5), ew.abs_(u))
    slope = ew.add(ew.div(ew.mul(n(2.0), a), us), b)
    k = ew.floor(ew.add(ew.add(ew.mul(slope, u), one), n(0.43)))
    is_quick = ew.bitwise_and(ew.ge(us, n(0.07)), ew.le(v, limit))
    is_outside = ew.bitwise_or(ew.lt(k, n(0.0)), ew.bitwise_and(ew.lt(us, n(0.013)), ew.gt(v, us)))
    kept = ew.maximum(k, n(0.0))
    density = ew.sub(ew.sub(ew.mul(kept, ew.log(one)), one), lgamma(ew.add(kept, n(1.0))))
    height = ew.log(ew.div(ew.mul(v, inverse), ew.add(ew.div(a, ew.mul(us, us)), b)))
    is_under = ew.bitwise_and(ew.logical_not(is_outside), ew.le(height, density))
    return first_accepted(ew.bitwise_or(is_quick, is_under), k)


@function()
def binomial(count: Node, prob: Node, *, key: Key | None = None) -> Node:
    """How many of `count` trials succeed, each with the probability `prob`.

    By transformed rejection (Hörmann 1993, "The generation of binomial random variates", algorithm BTRS) where at least
    12 of more than 64 are expected. Of up to 64 trials each is made; lower probabilities are thinned as in `poisson`.
    """
    for name, x in (("count", count), ("prob", prob)):
        if not x.tensor.dtype.is_floating_point:
            raise DTypeError(
                f"binomial only supports floating-point dtypes for {name}, got: {x.tensor.dtype.scalar}",
                hint="use x.float()",
            )
    seed = key_node("binomial", key)
    total, chance = broadcast("binomial", ew.floor(_wide(count)), _wide(prob))
    half, zero = _number(total, 0.5), _number(total, 0.0)
    is_swapped = ew.gt(chance, half)
    p = ew.select(is_swapped, ew.sub(_number(total, 1.0), chance), chance)
    is_small = ew.le(total, _number(total, float(MOST)))
    enough = ew.select(is_small, _number(total, 2.0 * MOST), total)
    least = ew.div(_number(total, float(_LEAST)), enough)
    many = _binomial_by_rejection(seed, enough, ew.maximum(p, least))
    rest = ew.select(is_small, total, ew.minimum(many, _number(total, float(MOST))))
    few = thinned(
        seed, 8, ew.maximum(rest, zero), ew.select(is_small, p, ew.minimum(ew.div(p, least), _number(p, 1.0)))
    )
    found = ew.select(ew.bitwise_or(is_small, ew.lt(p, least)), few, many)
    found = ew.select(is_swapped, ew.sub(total, found), found)
    return build.cast_to(found, count.tensor.dtype)


def _binomial_by_rejection(seed: Node, count: Node, chance: Node) -> Node:
    total, p = tried(count, _TRIES), tried(chance, _TRIES)

    def n(value: float) -> Node:
        return _number(total, value)

    odds = ew.div(p, ew.sub(n(1.0), p))
    deviation = ew.sqrt(ew.mul(ew.mul(total, p), ew.sub(n(1.0), p)))
    b = ew.add(n(1.15), ew.mul(n(2.53), deviation))
    a = ew.add(ew.add(n(-0.0873), ew.mul(n(0.0248), b)), ew.mul(n(0.01), p))
    centre = ew.add(ew.mul(total, p), n(0.5))
    limit = ew.sub(n(0.92), ew.div(n(4.2), b))
    alpha = ew.mul(ew.add(n(2.83), ew.div(n(5.1), b)), deviation)
    mode = ew.floor(ew.mul(ew.add(total, n(1.0)), p))
    u = ew.sub(unit(seed, 1, total.shape), n(0.5))
    v = unit(seed, 2, total.shape)
    us = ew.sub(n(0.5), ew.abs_(u))
    k = ew.floor(ew.add(ew.mul(ew.add(ew.div(ew.mul(n(2.0), a), us), b), u), centre))
    is_inside = ew.bitwise_and(ew.ge(k, n(0.0)), ew.le(k, total))
    is_quick = ew.bitwise_and(ew.ge(us, n(0.07)), ew.le(v, limit))
    kept = ew.minimum(ew.maximum(k, n(0.0)), total)
    height = ew.log(ew.div(ew.mul(v, alpha), ew.add(ew.div(a, ew.mul(us, us)), b)))

    def ways(x: Node) -> Node:
        return ew.add(lgamma(ew.add(x, n(1.0))), lgamma(ew.add(ew.sub(total, x), n(1.0))))

    ratio = ew.add(ew.sub(ways(mode), ways(kept)), ew.mul(ew.sub(kept, mode), ew.log(odds)))
    is_under = ew.le(height, ratio)
    return first_accepted(ew.bitwise_and(is_inside, ew.bitwise_or(is_quick, is_under)), k)


# Gamma and what is made of it


def _gamma(seed: Node, shape: Node) -> Node:
    """Float64 gamma numbers of rate 1 (Marsaglia and Tsang 2000, "A simple method for generating gamma variables").

    Shapes below 1 are raised by 1, and the number multiplied by u**(1 / shape).
    """
    one = _number(shape, 1.0)
    is_low = ew.lt(shape, one)
    raised = tried(ew.select(is_low, ew.add(shape, one), shape), _GAMMA_TRIES)

    def n(value: float) -> Node:
        return _number(raised, value)

    d = ew.sub(raised, n(1.0 / 3.0))
    c = ew.div(n(1.0), ew.sqrt(ew.mul(n(9.0), d)))
    x = standard_normal(seed, 1, raised.shape)
    base = ew.add(n(1.0), ew.mul(c, x))
    cube = ew.mul(base, ew.mul(base, base))
    is_positive = ew.gt(base, n(0.0))
    safe = ew.select(is_positive, cube, n(1.0))
    log_u = ew.log(unit(seed, 3, raised.shape))
    bound = ew.add(ew.mul(n(0.5), ew.mul(x, x)), ew.mul(d, ew.add(ew.sub(n(1.0), safe), ew.log(safe))))
    found = first_accepted(ew.bitwise_and(is_positive, ew.lt(log_u, bound)), ew.mul(d, safe))
    power = ew.exp(ew.div(ew.log(unit(seed, 4, shape.shape)), shape))
    return ew.select(is_low, ew.mul(found, power), found)


_GAMMA_TRIES = tries_for(0.05)


@function()
def _standard_gamma(input: Node, *, key: Key | None = None) -> Node:
    """Gamma numbers of these shapes and rate 1."""
    _takes_floats("gamma_cpu", input)
    return build.cast_to(_gamma(key_node("standard_gamma", key), _wide(input)), input.tensor.dtype)


@function()
def _sample_dirichlet(input: Node, *, key: Key | None = None) -> Node:
    """Shares that add up to 1 along the last dimension, of these concentrations: gamma numbers over their sum."""
    _takes_floats("dirichlet", input)
    if not input.shape:
        raise ShapeError("dirichlet: a single concentration", hint="give a vector of them")
    parts = _gamma(key_node("dirichlet", key), _wide(input))
    # Concentrations near 0 may underflow all at once; then all have the same share.
    parts = ew.maximum(parts, _number(parts, 1e-300))
    axis = len(input.shape) - 1
    total = build.repeat_along(reduction.sum_(parts, axes=(axis,)), (axis,), parts.shape)
    return build.cast_to(ew.div(parts, total), input.tensor.dtype)
