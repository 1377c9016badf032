"""Tensors of given contents under PyTorch's names: constants, ranges, grids.

Sizes may be symbolic. Ranges of floats are computed in float64 and rounded once, so that no error adds up.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeAlias

from graphc.ir.dim import Dim, Size
from graphc.ir.dtype import DType, bf16, c128, complex_of, f16, f32, f64, get_default_dtype, i64
from graphc.ir.dtype import dtype as to_dtype
from graphc.ir.errors import ArgumentError, DTypeError, ShapeError, SignatureError, UnsupportedDType
from graphc.ir.graph import Node
from graphc.ir.type import Shape
from graphc.ops import build, creation
from graphc.ops import elementwise as ew
from graphc.ops.composite.contraction import sizes_text
from graphc.ops.composite.operand import (
    Number,
    Operand,
    as_tensor,
    c_name,
    in_dtype,
    in_dtype_exactly,
    result_dtype,
)
from graphc.ops.composite.shapes import sizes_from
from graphc.ops.function import function

Sizes: TypeAlias = "Size | Sequence[Size]"


def _dtype(dtype: DType | str | None, default: DType) -> DType:
    return default if dtype is None else to_dtype(dtype)


def _shape(name: str, given: tuple[Sizes, ...]) -> Shape:
    """Sizes given one by one or as one sequence, none below 0."""
    shape = sizes_from(name, given)
    below = [size for size in shape if isinstance(size, int) and size < 0]
    if below and name == "zeros":
        raise ShapeError("zeros: Dimension size must be non-negative.", hint="sizes count elements")
    if below:
        raise ShapeError(
            f"Trying to create tensor with negative dimension {below[0]}: {sizes_text(shape)}",
            hint=f"{name}: sizes count elements",
        )
    return shape


@function()
def full(size: Size | Sequence[Size], fill_value: Number | Node, *, dtype: DType | str | None = None) -> Node:
    """One number everywhere; its dtype is the number's unless given."""
    if isinstance(fill_value, Node) and fill_value.shape:
        raise SignatureError(
            "full(): argument 'fill_value' (position 2) must be Number, not Tensor", hint="give a single number"
        )
    value = in_dtype_exactly("full", fill_value, _dtype(dtype, result_dtype(fill_value)))
    return build.broadcast_to(value, _shape("full", (size,)))


@function()
def scalar_tensor(s: Number | Node, *, dtype: DType | str | None = None) -> Node:
    """A number as a tensor without dimensions."""
    return full((), s, dtype=_dtype(dtype, get_default_dtype()))


@function()
def zeros(*size: Sizes, dtype: DType | str | None = None) -> Node:
    """0 everywhere."""
    return build.constant(0, _dtype(dtype, get_default_dtype()), _shape("zeros", size))


@function()
def ones(*size: Sizes, dtype: DType | str | None = None) -> Node:
    """1 everywhere."""
    return build.constant(1, _dtype(dtype, get_default_dtype()), _shape("ones", size))


@function()
def empty(*size: Sizes, dtype: DType | str | None = None) -> Node:
    """0 everywhere: a graph has no memory with whatever was in it."""
    return build.constant(0, _dtype(dtype, get_default_dtype()), _shape("empty", size))


@function()
def full_like(input: Node, fill_value: Number | Node, *, dtype: DType | str | None = None) -> Node:
    """One number everywhere, in the shape and dtype of a tensor."""
    return full(input.shape, fill_value, dtype=_dtype(dtype, input.tensor.dtype))


@function(method=True, free=True)
def fill(input: Node, value: Number | Node) -> Node:
    """One number everywhere, in the shape and dtype of a tensor; it may be a tensor without dimensions."""
    if isinstance(value, Node) and value.shape:
        raise ShapeError(
            f"fill_ only supports 0-dimension value tensor but got tensor with {len(value.shape)} dimensions.",
            hint="give a single number",
        )
    return build.broadcast_to(in_dtype_exactly("fill", value, input.tensor.dtype), input.shape)


@function()
def zeros_like(input: Node, *, dtype: DType | str | None = None) -> Node:
    """0 everywhere, in the shape and dtype of a tensor."""
    return build.constant(0, _dtype(dtype, input.tensor.dtype), input.shape)


@function()
def ones_like(input: Node, *, dtype: DType | str | None = None) -> Node:
    """1 everywhere, in the shape and dtype of a tensor."""
    return build.constant(1, _dtype(dtype, input.tensor.dtype), input.shape)


@function()
def empty_like(input: Node, *, dtype: DType | str | None = None) -> Node:
    """0 everywhere, in the shape and dtype of a tensor."""
    return zeros_like(input, dtype=dtype)


def _new(name: str, value: int) -> None:
    def method(input: Node, *size: Sizes, dtype: DType | str | None = None) -> Node:
        return build.constant(value, _dtype(dtype, input.tensor.dtype), _shape(name, size))

    method.__name__ = method.__qualname__ = name
    method.__doc__ = f"{value} everywhere, in the dtype of this tensor."
    function(method=True, free=False)(method)


_new("new_zeros", 0)
_new("new_ones", 1)
_new("new_empty", 0)


@function(method=True, free=False)
def new_full(input: Node, size: Sequence[Size], fill_value: Number | Node, *, dtype: DType | str | None = None) -> Node:
    """One number everywhere, in the dtype of this tensor."""
    return full(size, fill_value, dtype=_dtype(dtype, input.tensor.dtype))


# Ranges

Bound: TypeAlias = "float | Size"


@function()
def arange(start: Bound, end: Bound | None = None, step: Bound = 1, *, dtype: DType | str | None = None) -> Node:
    """start, start + step, ... before end; arange(end) begins at 0."""
    first, last = (0, start) if end is None else (start, end)
    _check_range("arange", first, last, step, dtype)
    if any(isinstance(x, float) for x in (first, last, step)):
        if any(isinstance(x, Dim) for x in (first, last, step)):
            raise ArgumentError("arange: a float beside a symbolic size", hint="use ints, then multiply")
        low, high, by = _plain(first), _plain(last), _plain(step)
        return _line(math.ceil((high - low) / by), low, by, _dtype(dtype, get_default_dtype()))
    low_size, high_size, by_size = (x for x in (first, last, step) if not isinstance(x, float))
    if isinstance(by_size, Dim):
        raise ArgumentError(f"arange: the step is the symbolic size {by_size}", hint="use an int, then multiply")
    span = high_size - low_size
    count = (span + by_size - 1) // by_size if by_size > 0 else (-span - by_size - 1) // -by_size
    position = creation.iota(shape=(count,), axis=0, dtype=i64)
    if by_size != 1:
        position = ew.mul(position, build.full_like(position, by_size))
    if low_size != 0:
        position = ew.add(position, build.broadcast_to(build.size_of(low_size, i64), position.shape))
    return build.cast_to(position, _dtype(dtype, i64))


@function()
def range_(start: float, end: float, step: float = 1, *, dtype: DType | str | None = None) -> Node:
    """start, start + step, ... up to and including end."""
    _check_range("range", start, end, step, dtype)
    return _line(math.floor((end - start) / step) + 1, start, step, _dtype(dtype, get_default_dtype()))


def _check_range(name: str, first: Bound, last: Bound, step: Bound, dtype: DType | str | None) -> None:
    if dtype is not None and not (to_dtype(dtype).is_integer or to_dtype(dtype).is_floating_point):
        raise UnsupportedDType(
            f"\"{name}_cpu\" not implemented for '{to_dtype(dtype).scalar}'", hint="use integers or floats"
        )
    if isinstance(first, Dim) or isinstance(last, Dim) or isinstance(step, Dim):
        if step == 0:
            raise ArgumentError("step must be nonzero", hint=f"{name}: use another number")
        return
    if step == 0:
        raise ArgumentError("step must be nonzero", hint=f"{name}: use another number")
    if not (math.isfinite(first) and math.isfinite(last)):
        raise ArgumentError(f"unsupported range: {first:g} -> {last:g}", hint=f"{name}: use finite numbers")
    if (last - first) * (1 if step > 0 else -1) < 0:
        raise ArgumentError(
            "upper bound and lower bound inconsistent with step sign", hint=f"{name}: give the step the other sign"
        )


def _plain(x: Bound) -> float:
    assert not isinstance(x, Dim)
    return x


def _line(count: int, first: float, step: float, dtype: DType) -> Node:
    """first + i * step; in a range of integers both are integers."""
    if dtype.is_integer:
        whole = creation.iota(shape=(count,), axis=0, dtype=i64)
        line = ew.add(ew.mul(whole, build.full_like(whole, int(step))), build.full_like(whole, int(first)))
        return build.cast_to(line, dtype)
    position = creation.iota(shape=(count,), axis=0, dtype=f64)
    line = ew.add(ew.mul(position, build.full_like(position, step)), build.full_like(position, first))
    return build.cast_to(line, dtype)


def _between(name: str, ends: tuple[Operand, Operand], steps: int, result: DType) -> Node:
    """Evenly spaced numbers in double precision, counted from the nearer end so that both ends are exact."""
    if steps < 0:
        raise ArgumentError("number of steps must be non-negative", hint=f"{name}: use 0 or more")
    _check_ends(name, ends)
    wide = c128 if result.is_complex else f64
    low, high = (_end(name, each, result, wide) for each in ends)
    place = creation.iota(shape=(steps,), axis=0, dtype=f64)
    position = build.cast_to(place, wide)
    if steps < 2:
        return build.broadcast_to(low, position.shape)
    count = build.full_like(low, steps - 1)
    if result in (f16, bf16, f32):  # the step has the precision of the result, as PyTorch's has
        low, high, count = (_kept(each, result) for each in (low, high, count))
        step = _kept(ew.div(_kept(ew.sub(high, low), result), count), result)
    else:
        step = ew.div(ew.sub(high, low), count)
    low, high, step = (build.broadcast_to(each, position.shape) for each in (low, high, step))
    forth, back = ew.mul(position, step), ew.mul(ew.sub(build.full_like(position, steps - 1), position), step)
    if result in (f16, bf16):
        forth, back = _kept(forth, result), _kept(back, result)
    return ew.select(ew.lt(place, build.full_like(place, steps // 2)), ew.add(low, forth), ew.sub(high, back))


def _kept(x: Node, dtype: DType) -> Node:
    """What a dtype keeps of numbers in double precision."""
    return build.cast_to(build.cast_to(x, dtype), x.tensor.dtype)


def _end(name: str, end: Operand, result: DType, wide: DType) -> Node:
    """An end in double precision; integers lie between integers."""
    return build.cast_to(in_dtype_exactly(name, end, result) if result.is_integer else in_dtype(name, end, wide), wide)


def _check_ends(name: str, ends: tuple[Operand, Operand]) -> None:
    wrong = [
        f"{what} with {len(end.shape)} dimension(s)"
        for what, end in zip(("start", "end"), ends, strict=True)
        if isinstance(end, Node) and end.shape
    ]
    if wrong:
        raise ShapeError(
            f"{name} only supports 0-dimensional start and end tensors, but got {' and '.join(wrong)}.",
            hint="give single numbers",
        )


@function()
def linspace(start: Operand, end: Operand, steps: int, *, dtype: DType | str | None = None) -> Node:
    """`steps` evenly spaced numbers from start to end."""
    result = _spaced_dtype("linspace", (start, end), dtype)
    return build.cast_to(_between("linspace", (start, end), steps, result), result)


@function()
def logspace(start: Operand, end: Operand, steps: int, base: float = 10.0, *, dtype: DType | str | None = None) -> Node:
    """base to the power of `steps` evenly spaced numbers from start to end."""
    result = _spaced_dtype("logspace", (start, end), dtype)
    exponent = _between("logspace", (start, end), steps, result)
    return build.cast_to(ew.pow_(build.full_like(exponent, base), exponent), result)


def _spaced_dtype(name: str, ends: tuple[Operand, Operand], dtype: DType | str | None) -> DType:
    is_complex = any(as_tensor(each).tensor.dtype.is_complex for each in ends)
    default = complex_of(get_default_dtype()) if is_complex else get_default_dtype()
    result = _dtype(dtype, default)
    if is_complex and not result.is_complex:
        raise DTypeError(
            f"torch.{name}(): inferred dtype {c_name(default)} can't be safely cast to passed dtype {result.scalar}",
            hint="ask for a complex dtype",
        )
    return result


@function()
def eye(n: Size, m: Size | None = None, *, dtype: DType | str | None = None) -> Node:
    """1 on the diagonal, 0 elsewhere."""
    for name, size in (("n", n), ("m", m)):
        if isinstance(size, int) and size < 0:
            raise ArgumentError(f"{name} must be greater or equal to 0, got {size}", hint="sizes count elements")
    shape: Shape = (n, n if m is None else m)
    row, column = (creation.iota(shape=shape, axis=axis, dtype=i64) for axis in (0, 1))
    return build.cast_to(ew.eq(row, column), _dtype(dtype, get_default_dtype()))
