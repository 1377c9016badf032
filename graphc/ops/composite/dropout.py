"""Elements and channels dropped at random, by a key: dropout and its kin.

In training a tensor is multiplied by noise that is 0 with probability p; what is kept is scaled so that means stay, and
for the alpha forms variances too (Klambauer et al. 2017, "Self-normalizing neural networks").
"""

from __future__ import annotations

import math

from graphc.ir.errors import ArgumentError, DTypeError, ShapeError
from graphc.ir.graph import Node
from graphc.ir.type import Shape
from graphc.ops import build
from graphc.ops import elementwise as ew
from graphc.ops.composite.arithmetic import add, mul
from graphc.ops.composite.random import Key, rand_below, uniform_bits
from graphc.ops.function import function

_SATURATION = 1.7580993408473766
"""Minus what selu tends to: what the alpha forms put in place of dropped elements, before scaling."""


@function()
def dropout(input: Node, p: float = 0.5, training: bool = True, *, key: Key | None = None) -> Node:
    """In training each element is 0 with probability p, else divided by 1 - p; the key decides which."""
    return _dropped("dropout", input, p, training, key, input.shape)


@function()
def feature_dropout(input: Node, p: float = 0.5, training: bool = True, *, key: Key | None = None) -> Node:
    """`dropout` of whole channels (dimension 1)."""
    return _dropped("feature_dropout", input, p, training, key, _channels(input))


@function()
def alpha_dropout(input: Node, p: float = 0.5, training: bool = False, *, key: Key | None = None) -> Node:
    """`dropout` for selu networks: dropped elements saturate, and mean and variance stay as they are."""
    return _dropped("alpha_dropout", input, p, training, key, input.shape, is_alpha=True)


@function()
def feature_alpha_dropout(input: Node, p: float = 0.5, training: bool = False, *, key: Key | None = None) -> Node:
    """`alpha_dropout` of whole channels (dimension 1)."""
    return _dropped("feature_alpha_dropout", input, p, training, key, _channels(input), is_alpha=True)


def _channels(input: Node) -> Shape:
    if len(input.shape) < 2:
        raise ShapeError("Feature dropout requires at least 2 dimensions in the input", hint="use dropout")
    return (*input.shape[:2], *(1,) * len(input.shape[2:]))


def _dropped(
    name: str, x: Node, p: float, training: bool, key: Key | None, shape: Shape, *, is_alpha: bool = False
) -> Node:
    if not 0.0 <= p <= 1.0:
        raise ArgumentError(
            f"dropout probability has to be between 0 and 1, but got {p:g}", hint=f"{name}: use a number from 0 to 1"
        )
    if not training or p == 0.0:
        return x
    dtype = x.tensor.dtype
    if not dtype.is_floating_point and not dtype.is_complex:
        raise DTypeError(
            f"result type Float can't be cast to the desired output type {dtype.scalar}",
            hint="convert the tensor first, e.g. x.to('float32')",
        )
    if p == 1.0:
        return mul(x, 0.0)
    if key is None:
        raise ArgumentError(
            f"{name}: no key is given, and a graph has no random numbers of its own",
            hint="pass key=..., a number or uint64 tensor; another key for each call and step",
        )
    is_dropped = rand_below(name, p, shape, key)

    def noise(dropped: float, kept: float) -> Node:
        parts = (build.constant(value, dtype, shape) for value in (dropped, kept))
        return build.broadcast_to(ew.select(is_dropped, *parts), x.shape)

    if not is_alpha:
        return ew.mul(x, noise(0.0, 1.0 / (1.0 - p)))
    scale = 1.0 / math.sqrt((_SATURATION**2 * p + 1.0) * (1.0 - p))
    shift = _SATURATION * scale * p
    return ew.add(ew.mul(x, noise(0.0, scale)), noise(shift - _SATURATION * scale, shift))


@function()
def rrelu(
    input: Node, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False, *, key: Key | None = None
) -> Node:
    """x above 0, else x times a slope: in training a random one from `lower` to `upper`, else their mean."""
    if lower > upper:
        raise ArgumentError(
            "Lower bound should be less than or equal to the upper bound", hint="give the smaller slope first"
        )
    if training:
        chance = uniform_bits("rrelu", input.shape, input.tensor.dtype, key)
        slope = add(mul(chance, upper - lower), lower)
    else:
        slope = build.full_like(input, (lower + upper) / 2)
    return ew.select(ew.gt(input, build.zeros_like(input)), input, ew.mul(input, slope))
