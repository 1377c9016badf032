"""Tensors for tests.

>>> from graphc.ir.dtype import f32
>>> make_tensor((2, 3), dtype=f32, device="cpu", low=0, high=1).shape
torch.Size([2, 3])
"""

from __future__ import annotations

import math
from typing import Any

from graphc.eager.creation import empty
from graphc.eager.device import device as Device
from graphc.eager.memory_format import memory_format as MemoryFormat
from graphc.eager.random import randint
from graphc.eager.tensor import Tensor
from graphc.eager.type_info import finfo, iinfo
from graphc.ir.dtype import DType, bool_, f32, i64


def make_tensor(
    *shape: Any,
    dtype: DType,
    device: str | Device,
    low: float | None = None,
    high: float | None = None,
    requires_grad: bool = False,
    noncontiguous: bool = False,
    exclude_zero: bool = False,
    memory_format: MemoryFormat | None = None,
) -> Tensor:
    """A tensor of random numbers from `low` to before `high`: by default -9 to 9, of integers -9 to 10, of bools both.

    Raises ValueError for an empty or unrepresentable range, and for arguments that exclude each other.
    """
    sizes = tuple(shape[0]) if len(shape) == 1 and isinstance(shape[0], list | tuple) else shape
    is_whole = not (dtype.is_floating_point or dtype.is_complex)
    if noncontiguous and memory_format is not None:
        raise ValueError(
            "The parameters `noncontiguous` and `memory_format` are mutually exclusive, "
            f"but got noncontiguous={noncontiguous!r} and memory_format={memory_format!r}"
        )
    if requires_grad and is_whole:
        raise ValueError(
            f"`requires_grad=True` is not supported for boolean and integral dtypes, but got dtype={dtype!r}"
        )
    spaced = noncontiguous and math.prod(sizes) > 1
    drawn = (*sizes[:-1], 2 * sizes[-1]) if spaced else sizes
    start, end = _range(low, high, dtype)
    result: Any
    if is_whole:
        result = randint(math.ceil(start), math.ceil(end), drawn, dtype=dtype, device=device)
    elif dtype.itemsize == 1:
        filled: Any = empty(drawn, dtype=f32, device=device)
        result = filled.uniform_(start, end).to(dtype)
    else:
        result = empty(drawn, dtype=dtype, device=device)
        parts = (result.real, result.imag) if dtype.is_complex else (result,)
        for part in parts:
            part.uniform_(start, end)
    if spaced:
        result = result[..., 1::2]
    elif memory_format is not None:
        result = result.clone(memory_format=memory_format)
    if exclude_zero:
        result[result == 0] = 1 if is_whole else finfo(dtype).tiny
    found: Tensor = result.requires_grad_() if requires_grad else result
    return found


def _range(low: float | None, high: float | None, dtype: DType) -> tuple[float, float]:
    """The range given, or the default one, within what the dtype holds."""
    if dtype is bool_:
        least, most, start, end = 0.0, 2.0, 0.0, 2.0
    elif dtype.is_floating_point or dtype.is_complex:
        least, most, start, end = finfo(dtype).min, finfo(dtype).max, -9.0, 9.0
    else:
        least, most, start, end = iinfo(dtype).min, iinfo(dtype).max + (dtype is not i64), -9.0, 10.0
    start = start if low is None else low
    end = end if high is None else high
    if math.isnan(start) or math.isnan(end):
        raise ValueError(f"`low` and `high` cannot be NaN, but got low={start!r} and high={end!r}")
    if start >= end and not (start == end and (dtype.is_floating_point or dtype.is_complex)):
        raise ValueError(f"`low` must be less than `high`, but got {start} >= {end}")
    if end < least or start >= most:
        raise ValueError(
            f"The value interval specified by `low` and `high` is [{start}, {end}), "
            f"but {dtype} only supports [{least}, {most})"
        )
    return min(max(start, least), most), min(max(end, least), most)
