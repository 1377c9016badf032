"""The functions of graphc.masked, each a function of tensors after the elements without a mask were replaced.

In: a tensor and a mask that repeats to its shape; without a mask all elements count. Out: what the function gives when
an element that is masked out is its neutral one: 0 for a sum, -inf for a maximum. The mean, the median and the variance
have none: of no elements at all they are nan. Gradients flow to the elements that count.

>>> import graphc
>>> amax(graphc.tensor([1.0, 7.0, 3.0]), mask=graphc.tensor([True, False, True]))
tensor(3.)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeAlias

import graphc
from graphc.ir.dtype import DType, f32, i64, real_of
from graphc.ir.errors import ArgumentError, DimensionError, UnsupportedDType

Dims: TypeAlias = "int | Sequence[int] | None"
Value: TypeAlias = Any
"""A tensor, with the methods that are put on it by name."""
_functions: Any = graphc
"""The root namespace, whose functions are put there by name."""


def _axes(dim: Dims, rank: int) -> tuple[int, ...]:
    """The dimensions counted from the first, in order; none given are all."""
    if dim is None or dim == ():
        return tuple(range(rank))
    rank = max(rank, 1)
    found: list[int] = []
    for axis in (dim,) if isinstance(dim, int) else dim:
        if axis in found:
            raise ArgumentError(f"dim={axis} appears multiple times in the list of dims")
        if not -rank <= axis < rank:
            raise DimensionError(
                f"Dimension out of range (expected to be in range of [{-rank}, {rank - 1}], but got {axis})"
            )
        found.append(axis % rank)
    return tuple(sorted(found))


def _full_mask(input: Value, mask: Value) -> Value:
    """The mask as booleans, in the shape of the tensor."""
    if mask.ndim > input.ndim:
        raise DimensionError(
            "_input_mask expected broadcastable mask (got mask dimensionality higher than of the input)"
        )
    return mask.bool().expand(input.shape)


def _masked(input: Value, mask: Value | None, neutral: float) -> Value:
    return input if mask is None else _functions.where(_full_mask(input, mask), input, input.new_full((), neutral))


def _lowest(input: Value, name: str) -> float:
    """What is below all others of the dtype."""
    return -math.inf if input.dtype.is_floating_point else int(_range(input, name).min)


def _highest(input: Value, name: str) -> float:
    return math.inf if input.dtype.is_floating_point else int(_range(input, name).max)


def _range(input: Value, name: str) -> Any:
    dtype: DType = input.dtype
    if (not dtype.is_signed and dtype is not graphc.uint8) or dtype.is_complex:
        raise UnsupportedDType(f"identity of {name} on {dtype} input")
    return graphc.iinfo(dtype)


def _widened(dtype: DType) -> DType:
    """The dtype of sums: small integers are counted in int64, but not unsigned ones of several bytes."""
    is_wide = not dtype.is_signed and dtype.itemsize > 1
    return dtype if dtype.is_floating_point or dtype.is_complex or is_wide else i64


# Reductions


def sum(
    input: Value,
    dim: Dims = None,
    *,
    keepdim: bool | None = False,
    dtype: DType | None = None,
    mask: Value | None = None,
) -> Value:
    """The sum of the elements that count; of integers of up to 32 bits in int64."""
    axes = _axes(dim, input.ndim)
    return _masked(input, mask, 0).sum(axes, bool(keepdim), dtype=dtype or _widened(input.dtype))


def prod(
    input: Value,
    dim: Dims = None,
    *,
    keepdim: bool | None = False,
    dtype: DType | None = None,
    mask: Value | None = None,
) -> Value:
    """Their product; of integers of up to 32 bits in int64."""
    axes = _axes(dim, input.ndim)
    found = _masked(input, mask, 1).to(dtype or _widened(input.dtype))
    for axis in reversed(axes):
        found = found.prod(axis, bool(keepdim))
    return found


def amax(
    input: Value,
    dim: Dims = None,
    *,
    keepdim: bool | None = False,
    dtype: DType | None = None,
    mask: Value | None = None,
) -> Value:
    """The greatest of them."""
    found = input if mask is None else _masked(input, mask, _lowest(input, "amax"))
    return found.amax(_axes(dim, input.ndim), bool(keepdim)).to(dtype or input.dtype)


def amin(
    input: Value,
    dim: Dims = None,
    *,
    keepdim: bool | None = False,
    dtype: DType | None = None,
    mask: Value | None = None,
) -> Value:
    """The least of them."""
    found = input if mask is None else _masked(input, mask, _highest(input, "amin"))
    return found.amin(_axes(dim, input.ndim), bool(keepdim)).to(dtype or input.dtype)


def argmax(
    input: Value,
    dim: int | None = None,
    *,
    keepdim: bool | None = False,
    dtype: DType | None = None,
    mask: Value | None = None,
) -> Value:
    """The index of the greatest of them, as a number of the tensor's dtype."""
    found = input if mask is None else _masked(input, mask, _lowest(input, "argmax"))
    return found.argmax(dim, bool(keepdim)).to(dtype or input.dtype)


def argmin(
    input: Value,
    dim: int | None = None,
    *,
    keepdim: bool | None = False,
    dtype: DType | None = None,
    mask: Value | None = None,
) -> Value:
    """The index of the least of them, as a number of the tensor's dtype."""
    found = input if mask is None else _masked(input, mask, _highest(input, "argmin"))
    return found.argmin(dim, bool(keepdim)).to(dtype or input.dtype)


def mean(
    input: Value,
    dim: Dims = None,
    *,
    keepdim: bool | None = False,
    dtype: DType | None = None,
    mask: Value | None = None,
) -> Value:
    """Their mean, nan where none counts."""
    kind, source = (input.dtype, "Input") if dtype is None else (dtype, "Optional")
    if not (kind.is_floating_point or kind.is_complex):
        raise ArgumentError(
            f"mean(): Could not infer output dtype. {source} dtype must be either a floating point or complex dtype. "
            f"Got: {kind}"
        )
    total = sum(input, dim, keepdim=keepdim, dtype=kind, mask=mask)
    return total / _count(input, mask, dim, bool(keepdim))


def _count(input: Value, mask: Value | None, dim: Dims, keepdim: bool) -> Value:
    counted = _functions.ones_like(input, dtype=graphc.bool) if mask is None else _full_mask(input, mask)
    return counted.sum(_axes(dim, input.ndim), keepdim)


def median(
    input: Value,
    dim: int = -1,
    *,
    keepdim: bool = False,
    dtype: DType | None = None,
    mask: Value | None = None,
) -> Value:
    """Their median, the lower of two; nan where none counts. Raises there for dtypes that have no nan."""
    is_float = input.dtype.is_floating_point
    real = input if is_float else input.to(f32)
    axis = _axes(dim, input.ndim)[0]
    found = _masked(real, mask, math.nan).nanmedian(axis, keepdim).values
    if is_float:
        return found
    if found.isnan().any():
        raise ArgumentError("masked median expects no fully masked out rows if dtype is not floating point")
    return found.to(dtype or input.dtype)


def logsumexp(
    input: Value,
    dim: Dims = None,
    *,
    keepdim: bool = False,
    dtype: DType | None = None,
    mask: Value | None = None,
) -> Value:
    """log of the sum of exp of them."""
    axes, found = _axes(dim, input.ndim), input
    if mask is not None:
        found = _masked(input, mask, -math.inf if input.dtype.is_complex else _lowest(input, "logsumexp"))
    return found.logsumexp(axes, keepdim=keepdim).to(dtype or input.dtype)


def norm(
    input: Value,
    ord: float | None = 2.0,
    dim: Dims = None,
    *,
    keepdim: bool | None = False,
    dtype: DType | None = None,
    mask: Value | None = None,
) -> Value:
    """The norm of them as a vector."""
    found = _masked(input, mask, math.inf if ord == -math.inf else 0)
    order = 2.0 if ord is None else ord
    return _functions.linalg.vector_norm(found, order, _axes(dim, input.ndim), bool(keepdim), dtype=dtype)


def var(
    input: Value,
    dim: Dims = None,
    unbiased: bool | None = None,
    *,
    correction: float | None = None,
    keepdim: bool | None = False,
    dtype: DType | None = None,
    mask: Value | None = None,
) -> Value:
    """Their variance, the sum of squares divided by their number less `correction` (1); nan where none counts."""
    if unbiased is not None and correction is not None:
        raise ArgumentError("Only one of unbiased and correction may be given")
    less = float(correction if correction is not None else unbiased is not False)
    kind: DType = input.dtype if dtype is None else dtype
    inexact = kind if kind.is_floating_point or kind.is_complex else f32
    center = sum(input, dim, keepdim=True, dtype=dtype or inexact, mask=mask) / _count(input, mask, dim, True)
    apart = input - center
    total = sum(apart * apart.conj(), dim, keepdim=keepdim, dtype=inexact, mask=mask)
    count = _count(input, mask, dim, bool(keepdim))
    if less:
        count = (count.to(real_of(inexact)) - less).clamp(min=0)
    return (total / count).to(dtype or inexact)


def std(
    input: Value,
    dim: Dims = None,
    unbiased: bool | None = None,
    *,
    correction: float | None = None,
    keepdim: bool | None = False,
    dtype: DType | None = None,
    mask: Value | None = None,
) -> Value:
    """The square root of their variance."""
    return var(input, dim, unbiased, correction=correction, keepdim=keepdim, dtype=dtype, mask=mask).sqrt()


# As many elements as there were


def cumsum(input: Value, dim: int, *, dtype: DType | None = None, mask: Value | None = None) -> Value:
    """The sums of the elements that count up to each place."""
    axis = _axes(dim, input.ndim)[0]
    return _masked(input, mask, 0).cumsum(axis, dtype=dtype or input.dtype)


def cumprod(input: Value, dim: int, *, dtype: DType | None = None, mask: Value | None = None) -> Value:
    """The products of the elements that count up to each place."""
    axis = _axes(dim, input.ndim)[0]
    return _masked(input, mask, 1).cumprod(axis, dtype=dtype or input.dtype)


def softmax(input: Value, dim: int, *, dtype: DType | None = None, mask: Value | None = None) -> Value:
    """softmax of the elements that count, 0 for the others; nan where none counts."""
    axis = _axes(dim, input.ndim)[0]
    found = input if mask is None else _masked(input, mask, _lowest(input, "amax"))
    return found.softmax(axis, dtype=dtype or input.dtype)


def log_softmax(input: Value, dim: int, *, dtype: DType | None = None, mask: Value | None = None) -> Value:
    """log of softmax of the elements that count, -inf for the others; nan where none counts."""
    axis = _axes(dim, input.ndim)[0]
    found = input if mask is None else _masked(input, mask, _lowest(input, "amax"))
    return found.log_softmax(axis, dtype=dtype or input.dtype)


def softmin(input: Value, dim: int, *, dtype: DType | None = None, mask: Value | None = None) -> Value:
    """softmax of the negated elements that count, 0 for the others; nan where none counts."""
    axis = _axes(dim, input.ndim)[0]
    found = input if mask is None else _masked(input, mask, _highest(input, "amin"))
    return (-found).softmax(axis, dtype=dtype or input.dtype)


def normalize(
    input: Value,
    ord: float,
    dim: int,
    *,
    eps: float = 1e-12,
    dtype: DType | None = None,
    mask: Value | None = None,
) -> Value:
    """The elements that count divided by their norm, or by eps where that is smaller; 0 for the others."""
    length = norm(input, ord, dim, keepdim=True, dtype=dtype or input.dtype, mask=mask)
    return _masked(input, mask, 0) / length.clamp(min=eps)


def logaddexp(
    input: Value,
    other: Value,
    *,
    dtype: DType | None = None,
    input_mask: Value | None = None,
    other_mask: Value | None = None,
) -> Value:
    """log(exp(x) + exp(y)) of the elements of both that count."""
    first, second = (
        each if mask is None else _masked(each, mask, _lowest(each, "logaddexp"))
        for each, mask in ((input, input_mask), (other, other_mask))
    )
    return _functions.logaddexp(first, second).to(dtype or input.dtype)
