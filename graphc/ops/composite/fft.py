"""Discrete Fourier transforms: `graphc.fft`, with numpy's transforms as calls of the host.

Level: tensor graph. In: real or complex tensors, of which some dimensions are cut or filled with zeros to the sizes
asked for. Out: their transforms. A transform is linear, so its gradient is its adjoint: another transform, which goes
the other way with the other factor. A real input's spectrum is Hermitian, and only half of it is kept; in the adjoint
that half counts once at the ends and twice in between.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

import numpy as np

from graphc.ir.attribute import Array
from graphc.ir.dim import Dim, Size, quotient
from graphc.ir.dtype import DType, complex_of, default_float, f32, f64, get_default_dtype, i64, real_of
from graphc.ir.dtype import dtype as to_dtype
from graphc.ir.errors import ArgumentError, DimensionError, DTypeError, ShapeError, SignatureError
from graphc.ir.graph import Node
from graphc.ir.host import HostFunction, register_host, sizes_of
from graphc.ir.type import TensorType
from graphc.ops import build, creation, indexing, movement
from graphc.ops import elementwise as ew
from graphc.ops.composite.linalg_matrix import part
from graphc.ops.composite.operand import normal_dim
from graphc.ops.composite.shapes import cat
from graphc.ops.function import function
from graphc.ops.host import call
from graphc.ops.lapack import Matrix

Cotangents: TypeAlias = "tuple[Node | None, ...]"
Nodes: TypeAlias = "tuple[Node, ...]"
Axes: TypeAlias = "tuple[int, ...]"
Dims: TypeAlias = "int | Sequence[int] | None"
Norm: TypeAlias = Literal["backward", "ortho", "forward"]

# Transforms on the host

_ADJOINT = {"backward": "forward", "forward": "backward", "ortho": "ortho"}
"""How the transform that goes back is scaled, to be the adjoint of one with this scale."""


def _complex_run(results: tuple[TensorType, ...], x: Matrix, *, axes: Axes, is_forward: bool, norm: Norm) -> Matrix:
    found = (np.fft.fftn if is_forward else np.fft.ifftn)(x, axes=axes, norm=norm)
    return np.asarray(found).astype(results[0].dtype.numpy, copy=False)


def _complex_vjp(
    cotangents: Cotangents, outputs: Nodes, x: Node, *, axes: Axes, is_forward: bool, norm: str
) -> Cotangents:
    (ct,) = cotangents
    assert ct is not None
    return (_complex_to_complex(ct, axes, not is_forward, _ADJOINT[norm]),)


def _real_run(results: tuple[TensorType, ...], x: Matrix, *, axes: Axes, norm: Norm) -> Matrix:
    return np.asarray(np.fft.rfftn(x, axes=axes, norm=norm)).astype(results[0].dtype.numpy, copy=False)


def _real_vjp(cotangents: Cotangents, outputs: Nodes, x: Node, *, axes: Axes, norm: str) -> Cotangents:
    (ct,) = cotangents
    assert ct is not None
    whole = _resized(ct, axes[-1], x.shape[axes[-1]])
    return (ew.real(_complex_to_complex(whole, axes, False, _ADJOINT[norm])),)


def _hermitian_run(results: tuple[TensorType, ...], x: Matrix, *, axes: Axes, norm: Norm) -> Matrix:
    whole = sizes_of(results[0])
    sizes = tuple(whole[axis] for axis in axes)
    return np.asarray(np.fft.irfftn(x, s=sizes, axes=axes, norm=norm)).astype(results[0].dtype.numpy, copy=False)


def _hermitian_vjp(cotangents: Cotangents, outputs: Nodes, x: Node, *, axes: Axes, norm: str) -> Cotangents:
    (ct,) = cotangents
    assert ct is not None
    last = axes[-1]
    half = _real_to_complex(ct, axes, _ADJOINT[norm])
    # Elements 1 to (n - 1) // 2 stand for themselves and for the ones across.
    place = creation.iota(shape=half.shape, axis=last, dtype=f64)
    limit = build.broadcast_to(build.size_of(quotient(ct.shape[last] - 1, 2), f64), half.shape)
    is_double = ew.bitwise_and(ew.gt(place, build.zeros_like(place)), ew.le(place, limit))
    return (ew.mul(half, ew.select(is_double, build.full_like(half, 2), build.ones_like(half))),)


register_host(HostFunction("fft.complex", _complex_run, _complex_vjp))
register_host(HostFunction("fft.real", _real_run, _real_vjp))
register_host(HostFunction("fft.hermitian", _hermitian_run, _hermitian_vjp))


def _complex_to_complex(x: Node, axes: Axes, is_forward: bool, norm: str) -> Node:
    if not axes:
        return x
    return call("fft.complex", (x,), (x.tensor,), axes=axes, is_forward=is_forward, norm=norm)[0]


def _real_to_complex(x: Node, axes: Axes, norm: str) -> Node:
    last = axes[-1]
    half = tuple(quotient(size, 2) + 1 if axis == last else size for axis, size in enumerate(x.shape))
    return call("fft.real", (x,), (TensorType(half, complex_of(x.tensor.dtype)),), axes=axes, norm=norm)[0]


def _complex_to_real(x: Node, axes: Axes, size: Size, norm: str) -> Node:
    """From half of a Hermitian spectrum to real values, of which there are `size` along the last of the axes."""
    whole = tuple(size if axis == axes[-1] else given for axis, given in enumerate(x.shape))
    return call("fft.hermitian", (x,), (TensorType(whole, real_of(x.tensor.dtype)),), axes=axes, norm=norm)[0]


# Arguments


def _resized(x: Node, axis: int, size: Size) -> Node:
    """x cut, or filled with zeros, to a size along an axis."""
    given = x.shape[axis]
    if size == given:
        return x
    rank = len(x.shape)
    zero = build.zero(x.tensor.dtype)
    high = tuple(size - given if i == axis else 0 for i in range(rank))
    return movement.pad(x, zero, low=(0,) * rank, high=high, interior=(0,) * rank)


def _points(size: Size) -> Size:
    if not isinstance(size, int | Dim):
        raise SignatureError(f"argument 'n' must be int, not {type(size).__name__}", hint="give an int")
    if isinstance(size, int) and size < 1:
        raise ShapeError(f"Invalid number of data points ({size}) specified", hint="transforms take one point or more")
    return size


def _norm(norm: str | None) -> str:
    if norm is None:
        return "backward"
    if norm not in _ADJOINT:
        raise ArgumentError(f'Invalid normalization mode: "{norm}"', hint='use "backward", "forward" or "ortho"')
    return norm


def _floats(x: Node) -> Node:
    """x in a dtype that transforms take: float32, float64, or complex."""
    dtype = default_float(x.tensor.dtype)
    if real_of(dtype) not in (f32, f64):
        raise DTypeError(f"Unsupported dtype {dtype.scalar}", hint="convert it first, e.g. x.to('float32')")
    return build.cast_to(x, dtype)


def _complex(x: Node) -> Node:
    return build.to_complex(_floats(x))


def _axis(name: str, x: Node, dim: int) -> int:
    if not x.shape:
        raise DimensionError(f"Dimension specified as {dim} but tensor has no dimensions", hint="unsqueeze it first")
    return normal_dim(name, dim, len(x.shape))


def _sizes(name: str, x: Node, s: Sequence[Size] | Size | None, dim: Dims) -> tuple[Axes, tuple[Size | None, ...]]:
    """The axes of a transform in order, and the size asked for along each; None leaves it as it is."""
    rank = len(x.shape)
    sizes = None if s is None else tuple(s) if isinstance(s, tuple | list) else (s,)
    dims = None if dim is None else tuple(dim) if isinstance(dim, tuple | list) else (dim,)
    if dims is not None:
        if sizes is not None and len(sizes) != len(dims):
            raise ArgumentError(
                "When given, dim and shape arguments must have the same length", hint=f"{name}: one size per dimension"
            )
        axes = tuple(_axis(name, x, each) for each in dims)
        if len(set(axes)) != len(axes):
            raise ArgumentError("FFT dims must be unique", hint=f"{name}: name each dimension once")
    elif sizes is not None:
        if len(sizes) > rank:
            raise ShapeError(
                f"Got shape with {len(sizes)} values but input tensor only has {rank} dimensions.",
                hint=f"{name}: one size per dimension",
            )
        axes = tuple(range(rank - len(sizes), rank))
    else:
        axes = tuple(range(rank))
    wanted = (None,) * len(axes) if sizes is None else tuple(None if size == -1 else size for size in sizes)
    return axes, wanted


def _shaped(x: Node, axes: Axes, sizes: Sequence[Size | None]) -> Node:
    for axis, size in zip(axes, sizes):
        x = _resized(x, axis, _points(x.shape[axis] if size is None else size))
    return x


def _at_least_one(name: str, axes: Axes) -> None:
    if not axes:
        raise ArgumentError(f"{name} must transform at least one axis", hint="name a dimension")


# Along one dimension


@function(namespace="fft")
def fft(input: Node, n: Size | None = None, dim: int = -1, norm: str | None = None) -> Node:
    """The transform along `dim`, of n points; `norm` scales it: "forward" by 1/n, "ortho" by the root of that."""
    x = _complex(input)
    axis = _axis("fft", x, dim)
    return _complex_to_complex(_shaped(x, (axis,), (n,)), (axis,), True, _norm(norm))


@function(namespace="fft")
def ifft(input: Node, n: Size | None = None, dim: int = -1, norm: str | None = None) -> Node:
    """The inverse of `fft`."""
    x = _complex(input)
    axis = _axis("ifft", x, dim)
    return _complex_to_complex(_shaped(x, (axis,), (n,)), (axis,), False, _norm(norm))


@function(namespace="fft")
def rfft(input: Node, n: Size | None = None, dim: int = -1, norm: str | None = None) -> Node:
    """The first half of `fft` of real values, n // 2 + 1 points: the other half is its mirror image, conjugated."""
    if input.tensor.dtype.is_complex:
        raise DTypeError(
            f"rfft expects a real input tensor, but got {input.tensor.dtype.scalar}", hint="take x.real, or use fft"
        )
    x = _floats(input)
    axis = _axis("rfft", x, dim)
    return _real_to_complex(_shaped(x, (axis,), (n,)), (axis,), _norm(norm))


@function(namespace="fft")
def irfft(input: Node, n: Size | None = None, dim: int = -1, norm: str | None = None) -> Node:
    """The inverse of `rfft`: n real values, by default an even number of them."""
    x = _complex(input)
    return _to_real(x, n, _axis("irfft", x, dim), _norm(norm))


def _to_real(x: Node, n: Size | None, axis: int, norm: str) -> Node:
    size = _points(2 * (x.shape[axis] - 1) if n is None else n)
    return _complex_to_real(_resized(x, axis, quotient(size, 2) + 1), (axis,), size, norm)


@function(namespace="fft")
def hfft(input: Node, n: Size | None = None, dim: int = -1, norm: str | None = None) -> Node:
    """`fft` of a Hermitian signal, of which the first half is given: n real values."""
    x = _complex(input)
    return _to_real(ew.conj(x), n, _axis("hfft", x, dim), _ADJOINT[_norm(norm)])


@function(namespace="fft")
def ihfft(input: Node, n: Size | None = None, dim: int = -1, norm: str | None = None) -> Node:
    """The inverse of `hfft`: the first half of a Hermitian signal."""
    if input.tensor.dtype.is_complex:
        raise DTypeError(
            f"ihfft expects a real input tensor, but got {input.tensor.dtype.scalar}", hint="take x.real, or use ifft"
        )
    x = _floats(input)
    axis = _axis("ihfft", x, dim)
    return ew.conj(_real_to_complex(_shaped(x, (axis,), (n,)), (axis,), _ADJOINT[_norm(norm)]))


# Along several


@function(namespace="fft")
def fftn(input: Node, s: Sequence[Size] | None = None, dim: Dims = None, norm: str | None = None) -> Node:
    """`fft` along each of several dimensions: `dim`, or the last len(s), or all."""
    x = _complex(input)
    axes, sizes = _sizes("fftn", x, s, dim)
    return _complex_to_complex(_shaped(x, axes, sizes), axes, True, _norm(norm))


@function(namespace="fft")
def ifftn(input: Node, s: Sequence[Size] | None = None, dim: Dims = None, norm: str | None = None) -> Node:
    """The inverse of `fftn`."""
    x = _complex(input)
    axes, sizes = _sizes("ifftn", x, s, dim)
    return _complex_to_complex(_shaped(x, axes, sizes), axes, False, _norm(norm))


@function(namespace="fft")
def rfftn(input: Node, s: Sequence[Size] | None = None, dim: Dims = None, norm: str | None = None) -> Node:
    """`fftn` of real values, halved along the last of the dimensions."""
    if input.tensor.dtype.is_complex:
        raise DTypeError(
            f"rfftn expects a real-valued input tensor, but got {input.tensor.dtype.scalar}",
            hint="take x.real, or use fftn",
        )
    x = _floats(input)
    axes, sizes = _sizes("rfftn", x, s, dim)
    _at_least_one("rfftn", axes)
    return _real_to_complex(_shaped(x, axes, sizes), axes, _norm(norm))


@function(namespace="fft")
def irfftn(input: Node, s: Sequence[Size] | None = None, dim: Dims = None, norm: str | None = None) -> Node:
    """The inverse of `rfftn`."""
    return _hermitian_to_real("irfftn", _complex(input), s, dim, _norm(norm))


def _hermitian_to_real(name: str, x: Node, s: Sequence[Size] | None, dim: Dims, norm: str) -> Node:
    axes, sizes = _sizes(name, x, s, dim)
    _at_least_one(name, axes)
    last, wanted = axes[-1], sizes[-1]
    size = _points(2 * (x.shape[last] - 1) if wanted is None else wanted)
    x = _shaped(x, axes, (*sizes[:-1], quotient(size, 2) + 1))
    return _complex_to_real(x, axes, size, norm)


@function(namespace="fft")
def hfftn(input: Node, s: Sequence[Size] | None = None, dim: Dims = None, norm: str | None = None) -> Node:
    """`fftn` of a signal that is Hermitian along the last of the dimensions, of which the first half is given."""
    x = ew.conj(_complex(input))
    return _hermitian_to_real("hfftn", x, s, dim, _ADJOINT[_norm(norm)])


@function(namespace="fft")
def ihfftn(input: Node, s: Sequence[Size] | None = None, dim: Dims = None, norm: str | None = None) -> Node:
    """The inverse of `hfftn`."""
    if input.tensor.dtype.is_complex:
        raise DTypeError(
            f"Only supports floating-point dtypes, but found: {input.tensor.dtype.scalar}", hint="take x.real"
        )
    x = _floats(input)
    axes, sizes = _sizes("ihfftn", x, s, dim)
    _at_least_one("ihfftn", axes)
    return ew.conj(_real_to_complex(_shaped(x, axes, sizes), axes, _ADJOINT[_norm(norm)]))


@function(namespace="fft")
def fft2(input: Node, s: Sequence[Size] | None = None, dim: Dims = (-2, -1), norm: str | None = None) -> Node:
    """`fftn` along two dimensions."""
    return fftn(input, s, dim, norm)


@function(namespace="fft")
def ifft2(input: Node, s: Sequence[Size] | None = None, dim: Dims = (-2, -1), norm: str | None = None) -> Node:
    """`ifftn` along two dimensions."""
    return ifftn(input, s, dim, norm)


@function(namespace="fft")
def rfft2(input: Node, s: Sequence[Size] | None = None, dim: Dims = (-2, -1), norm: str | None = None) -> Node:
    """`rfftn` along two dimensions."""
    return rfftn(input, s, dim, norm)


@function(namespace="fft")
def irfft2(input: Node, s: Sequence[Size] | None = None, dim: Dims = (-2, -1), norm: str | None = None) -> Node:
    """`irfftn` along two dimensions."""
    return irfftn(input, s, dim, norm)


@function(namespace="fft")
def hfft2(input: Node, s: Sequence[Size] | None = None, dim: Dims = (-2, -1), norm: str | None = None) -> Node:
    """`hfftn` along two dimensions."""
    return hfftn(input, s, dim, norm)


@function(namespace="fft")
def ihfft2(input: Node, s: Sequence[Size] | None = None, dim: Dims = (-2, -1), norm: str | None = None) -> Node:
    """`ihfftn` along two dimensions."""
    return ihfftn(input, s, dim, norm)


# Frequencies, and where zero stands


def _frequencies(name: str, n: int, d: float, dtype: DType | str | None, counts: Sequence[int]) -> Node:
    wanted = get_default_dtype() if dtype is None else to_dtype(dtype)
    if not (wanted.is_floating_point or wanted.is_complex):
        raise DTypeError(f"{name} requires a floating point or complex dtype", hint="give another dtype")
    step = np.asarray(1.0 / (n * d) if n else 0.0).astype(wanted.numpy)
    return creation.constant(value=Array(np.asarray(counts).astype(wanted.numpy) * step))


def _count(n: int) -> int:
    if n < 0:
        raise ShapeError(f"Trying to create tensor with negative dimension {n}: [{n}]", hint="give a size")
    return n


@function(namespace="fft")
def fftfreq(n: int, d: float = 1.0, *, dtype: DType | str | None = None) -> Node:
    """The frequency of each point of `fft` of n points that are `d` apart: from 0 up, then the negative ones."""
    half = (_count(n) + 1) // 2
    return _frequencies("fftfreq", n, d, dtype, [*range(half), *range(half - n, 0)])


@function(namespace="fft")
def rfftfreq(n: int, d: float = 1.0, *, dtype: DType | str | None = None) -> Node:
    """The frequency of each point of `rfft` of n points that are `d` apart."""
    return _frequencies("rfftfreq", n, d, dtype, range(_count(n) // 2 + 1))


def _turned(name: str, x: Node, dim: Dims, is_forward: bool) -> Node:
    rank = len(x.shape)
    dims = range(rank) if dim is None else dim if isinstance(dim, tuple | list) else (dim,)
    for each in dims:
        axis = normal_dim(name, each, rank)
        size = x.shape[axis]
        middle = size - quotient(size, 2) if is_forward else quotient(size, 2)
        if isinstance(size, int):
            x = cat((part(x, axis, middle, size), part(x, axis, 0, middle)), axis) if size else x
        else:
            place = creation.iota(shape=(size,), axis=0, dtype=i64)
            first, total = (build.broadcast_to(build.size_of(each, i64), (size,)) for each in (middle, size))
            x = indexing.gather(x, ew.remainder(ew.add(place, first), total), axis=axis)
    return x


@function(namespace="fft")
def fftshift(input: Node, dim: Dims = None) -> Node:
    """The frequency 0 moved from the front to the middle, along `dim` or all dimensions."""
    return _turned("fftshift", input, dim, True)


@function(namespace="fft")
def ifftshift(input: Node, dim: Dims = None) -> Node:
    """The frequency 0 moved from the middle to the front: the inverse of `fftshift`."""
    return _turned("ifftshift", input, dim, False)
