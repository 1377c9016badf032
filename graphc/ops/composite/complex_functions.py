"""Elementary functions of complex numbers by formulas of real ones, and complex numbers from and to their parts.

The inverse functions follow W. Kahan, "Branch cuts for complex elementary functions" (1987): the parts come from square
roots of z - 1 and z + 1, which put the cuts and the signs of zeros where C99 has them. Gradients are those of the
functions, not of the formulas.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from graphc.ir.dtype import bool_, f16, f32, f64
from graphc.ir.errors import DTypeError, ShapeError
from graphc.ir.graph import Node
from graphc.ops import build
from graphc.ops import elementwise as ew
from graphc.ops.composite.operand import Operand, as_tensor, broadcast, floating, tensors_only
from graphc.ops.composite.shapes import cat, cut
from graphc.ops.control import with_gradient
from graphc.ops.function import function

Formula = Callable[[Node], Node]


def _with_slope(value: Formula, slope: Callable[[Node, Node], Node]) -> Formula:
    """The formula, with `slope(result, z)` as its derivative."""

    def build_node(z: Node) -> Node:
        (result,) = with_gradient(
            (value(z),), (z,), lambda ct, out, inputs: (ew.mul(ct[0], ew.conj(slope(out[0], inputs[0]))),)
        )
        return result

    return build_node


def _plus(z: Node, number: float) -> Node:
    """z + number, with the sign of a zero imaginary part kept."""
    part = ew.real(z)
    return ew.complex_(ew.add(part, build.full_like(part, number)), ew.imag(z))


def _minus_from(number: float, z: Node) -> Node:
    part = ew.real(z)
    return ew.complex_(ew.sub(build.full_like(part, number), part), ew.neg(ew.imag(z)))


def _square(z: Node) -> Node:
    return ew.mul(z, z)


def _times_i(z: Node) -> Node:
    return ew.complex_(ew.neg(ew.imag(z)), ew.real(z))


def _over_i(z: Node) -> Node:
    return ew.complex_(ew.imag(z), ew.neg(ew.real(z)))


def _part_of_product(z: Node, w: Node, *, imaginary: bool) -> Node:
    """A part of conj(z) * w."""
    a, b, c, d = ew.real(z), ew.imag(z), ew.real(w), ew.imag(w)
    return ew.sub(ew.mul(a, d), ew.mul(b, c)) if imaginary else ew.add(ew.mul(a, c), ew.mul(b, d))


def _asin(z: Node) -> Node:
    below, above = ew.sqrt(_minus_from(1.0, z)), ew.sqrt(_plus(z, 1.0))
    base = ew.sub(ew.mul(ew.real(below), ew.real(above)), ew.mul(ew.imag(below), ew.imag(above)))
    return ew.complex_(
        ew.atan2(ew.real(z), base),
        ew.asinh(_part_of_product(below, above, imaginary=True)),
    )


def _acos(z: Node) -> Node:
    below, above = ew.sqrt(_minus_from(1.0, z)), ew.sqrt(_plus(z, 1.0))
    return ew.complex_(
        build.scaled(ew.atan2(ew.real(below), ew.real(above)), 2.0),
        ew.asinh(_part_of_product(above, below, imaginary=True)),
    )


def _acosh(z: Node) -> Node:
    below, above = ew.sqrt(_plus(z, -1.0)), ew.sqrt(_plus(z, 1.0))
    return ew.complex_(
        ew.asinh(_part_of_product(below, above, imaginary=False)),
        build.scaled(ew.atan2(ew.imag(below), ew.real(above)), 2.0),
    )


def _atanh(z: Node) -> Node:
    x, y = ew.real(z), ew.imag(z)
    one = build.ones_like(x)
    squared = ew.mul(y, y)
    # |1 + z|^2 / |1 - z|^2 is 1 + 4 x / |1 - z|^2, exact for small x.
    less, more = ew.sub(one, x), ew.add(one, x)
    ratio = ew.div(build.scaled(x, 4.0), ew.add(ew.mul(less, less), squared))
    turn = ew.atan2(build.scaled(y, 2.0), ew.sub(ew.mul(less, more), squared))
    return ew.complex_(build.scaled(ew.log1p(ratio), 0.25), build.scaled(turn, 0.5))


def _log1p(z: Node) -> Node:
    x, y = ew.real(z), ew.imag(z)
    one = build.ones_like(x)
    # |1 + z|^2 is 1 + (x (2 + x) + y^2), which keeps what is small; far from 0 the logarithm itself doesn't overflow.
    growth = ew.add(ew.mul(x, ew.add(x, build.scaled(one, 2.0))), ew.mul(y, y))
    shifted = _plus(z, 1.0)
    small = ew.lt(ew.abs_(z), build.scaled(one, 0.5))
    size = ew.select(small, build.scaled(ew.log1p(ew.select(small, growth, one)), 0.5), ew.real(ew.log(shifted)))
    return ew.complex_(size, ew.atan2(y, ew.add(one, x)))


def _expm1(z: Node) -> Node:
    x, y = ew.real(z), ew.imag(z)
    half = ew.sin(build.scaled(y, 0.5))
    less = build.scaled(ew.mul(half, half), 2.0)
    return ew.complex_(ew.sub(ew.mul(ew.expm1(x), ew.cos(y)), less), ew.mul(ew.exp(x), ew.sin(y)))


asin = _with_slope(_asin, lambda out, z: ew.rsqrt(_minus_from(1.0, _square(z))))
acos = _with_slope(_acos, lambda out, z: ew.neg(ew.rsqrt(_minus_from(1.0, _square(z)))))
atan = _with_slope(lambda z: _over_i(_atanh(_times_i(z))), lambda out, z: ew.reciprocal(_plus(_square(z), 1.0)))
asinh = _with_slope(lambda z: _over_i(_asin(_times_i(z))), lambda out, z: ew.rsqrt(_plus(_square(z), 1.0)))
acosh = _with_slope(_acosh, lambda out, z: ew.mul(ew.rsqrt(_plus(z, 1.0)), ew.rsqrt(_plus(z, -1.0))))
atanh = _with_slope(_atanh, lambda out, z: ew.reciprocal(_minus_from(1.0, _square(z))))
log1p = _with_slope(_log1p, lambda out, z: ew.reciprocal(_plus(z, 1.0)))
expm1 = _with_slope(_expm1, lambda out, z: _plus(out, 1.0))


def _scaled(z: Node, factor: float) -> Node:
    """Each part times a number, so that an infinite one leaves the other as it is."""
    return ew.complex_(build.scaled(ew.real(z), factor), build.scaled(ew.imag(z), factor))


def exp2(z: Node) -> Node:
    """2 to the z."""
    return ew.exp(_scaled(z, math.log(2)))


def log2(z: Node) -> Node:
    """The logarithm to base 2."""
    return _scaled(ew.log(z), 1 / math.log(2))


def log10(z: Node) -> Node:
    """The logarithm to base 10."""
    return _scaled(ew.log(z), 1 / math.log(10))


def sigmoid(z: Node) -> Node:
    """1 / (1 + exp(-z))."""
    return ew.reciprocal(_plus(ew.exp(ew.neg(z)), 1.0))


# From and to parts


def _parts(name: str, first: Node, second: Node) -> tuple[Node, Node]:
    names = ("real", "imag") if name == "complex" else ("abs", "angle")
    first, second = tensors_only(name, **{names[0]: first, names[1]: second})
    a, b = first.tensor.dtype, second.tensor.dtype
    if a not in (f16, f32, f64) or b not in (f16, f32, f64):
        raise DTypeError(
            f"Expected both inputs to be Half, Float or Double tensors but got {a.scalar} and {b.scalar}",
            hint=f"{name}: convert them first, e.g. x.to('float32')",
        )
    if a is not b:
        raise DTypeError(
            f"Expected object of scalar type {a.scalar} but got scalar type {b.scalar} for second argument",
            hint=f"{name}: convert one of them",
        )
    pair = broadcast(name, first, second)
    return pair[0], pair[1]


@function()
def complex_(real: Node, imag: Node) -> Node:
    """real + i * imag."""
    return ew.complex_(*_parts("complex", real, imag))


@function()
def polar(abs: Node, angle: Node) -> Node:
    """The complex number of a modulus and an angle."""
    r, phi = _parts("polar", abs, angle)
    value = ew.complex_(ew.mul(r, ew.cos(phi)), ew.mul(r, ew.sin(phi)))
    return with_gradient((value,), (r, phi), _polar_gradient)[0]


def _polar_gradient(ct: tuple[Node, ...], out: tuple[Node, ...], inputs: tuple[Node, ...]) -> tuple[Node, Node]:
    """Along the result's direction (0 at 0), and across it."""
    a, b, x, y = ew.real(ct[0]), ew.imag(ct[0]), ew.real(out[0]), ew.imag(out[0])
    size = ew.abs_(out[0])
    is_zero = ew.eq(size, build.zeros_like(size))
    along = ew.div(ew.add(ew.mul(a, x), ew.mul(b, y)), ew.select(is_zero, build.ones_like(size), size))
    return along, ew.sub(ew.mul(b, x), ew.mul(a, y))


@function(method=True)
def angle(input: Operand) -> Node:
    """The angle of a complex number, from -pi to pi; of a real one 0, or pi below 0."""
    x = as_tensor(input)
    if x.tensor.dtype.is_complex:
        (result,) = with_gradient((ew.atan2(ew.imag(x), ew.real(x)),), (x,), _angle_gradient)
        return result
    real = floating(x)
    zero = build.zeros_like(real)
    if x.tensor.dtype is bool_:
        return zero
    turned = ew.select(ew.lt(real, zero), build.full_like(real, math.pi), zero)
    return ew.select(ew.is_nan(real), real, turned)


def _angle_gradient(ct: tuple[Node, ...], out: tuple[Node, ...], inputs: tuple[Node, ...]) -> tuple[Node]:
    """(-y, x) / |z|^2, and 0 at 0."""
    x, y = ew.real(inputs[0]), ew.imag(inputs[0])
    size = ew.add(ew.mul(x, x), ew.mul(y, y))
    is_zero = ew.eq(size, build.zeros_like(size))
    factor = ew.div(ct[0], ew.select(is_zero, build.ones_like(size), size))
    return (ew.complex_(ew.neg(ew.mul(y, factor)), ew.mul(x, factor)),)


@function()
def view_as_real(input: Node) -> Node:
    """The parts of complex numbers as a last dimension of 2."""
    if not input.tensor.dtype.is_complex:
        raise DTypeError("view_as_real is only supported for complex tensors", hint="a real tensor has one part")
    rank = len(input.shape)
    return cat([build.insert_axes(part, (rank,)) for part in (ew.real(input), ew.imag(input))], rank)


@function()
def view_as_complex(input: Node) -> Node:
    """The last dimension, of 2, as the parts of complex numbers."""
    if input.tensor.dtype not in (f16, f32, f64):
        raise DTypeError(
            "view_as_complex is only supported for half, float and double tensors, but got a tensor of scalar type: "
            f"{input.tensor.dtype.scalar}",
            hint="convert it first, e.g. x.to('float32')",
        )
    if not input.shape:
        raise ShapeError("Input tensor must have one or more dimensions", hint="the last one has the two parts")
    if input.shape[-1] != 2:
        raise ShapeError(
            "Tensor must have a last dimension of size 2",
            hint="stack the parts along the last dimension, or use graphc.complex",
        )
    axis = len(input.shape) - 1
    first, second = (build.reshape_to(cut(input, axis, k, k + 1), input.shape[:-1]) for k in (0, 1))
    return ew.complex_(first, second)
