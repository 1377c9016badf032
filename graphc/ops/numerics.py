"""Numpy functions for the references of ops: what numpy lacks, and how references compute and round.

Level: numpy arrays. A reference is the meaning of an op, written without regard to how kernels compute it: roundings
that IEEE 754 fixes are those of the dtype, everything else is computed wider and rounded once.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from graphc.ir.dtype import DType, bf16, c64, c128, f16, f32, f64
from graphc.ir.type import TensorType

# The element type is what type rules decide; checkers of annotations can't follow it.
NumpyArray: TypeAlias = "npt.NDArray[Any]"
NumpyFunction: TypeAlias = Callable[..., NumpyArray]

_WIDER = {f16: f64, bf16: f64, f32: f64, c64: c128}


def widen(x: NumpyArray) -> NumpyArray:
    """Floats and complex numbers in the widest dtype of their kind; other arrays as they are."""
    if x.dtype in (f16.numpy, bf16.numpy, f32.numpy):
        return x.astype(np.float64)
    return x.astype(np.complex128) if x.dtype == c64.numpy else x


def widen_halves(x: NumpyArray) -> NumpyArray:
    """float16 and bfloat16 as float32; other arrays as they are."""
    return x.astype(np.float32) if x.dtype in (f16.numpy, bf16.numpy) else x


def rounded(x: NumpyArray, dtype: DType) -> NumpyArray:
    """The array in this dtype, rounded once; keeps 0-d arrays arrays."""
    return np.asarray(x).astype(dtype.numpy, copy=False)


def exactly(function: NumpyFunction) -> NumpyFunction:
    """A reference that computes in the dtype itself (halves in float32): for what IEEE 754 rounds, and for integers."""

    def reference(out: TensorType, *operands: NumpyArray, **attributes: object) -> NumpyArray:
        with np.errstate(all="ignore"):
            return rounded(function(*map(widen_halves, operands), **attributes), out.dtype)

    return reference


def widely(function: NumpyFunction) -> NumpyFunction:
    """A reference that computes in float64 or complex128 and rounds once."""

    def reference(out: TensorType, *operands: NumpyArray, **attributes: object) -> NumpyArray:
        with np.errstate(all="ignore"):
            return rounded(function(*map(widen, operands), **attributes), out.dtype)

    return reference


def convert(x: NumpyArray, dtype: DType) -> NumpyArray:
    """The values in another dtype, as PyTorch converts them.

    Halves are rounded by way of float32. A float becomes an integer by dropping its fraction; what the integer type
    can't hold becomes its nearest value, nan becomes 0. Complex to real drops the imaginary part.
    """
    with np.errstate(all="ignore"):
        source = widen_halves(x)
        if np.iscomplexobj(source) and dtype.numpy.kind != "b" and not dtype.is_complex:
            source = source.real
        if dtype in (f16, bf16) and source.dtype.kind in "iuf":
            return source.astype(np.float32).astype(dtype.numpy)
        if dtype.is_integer and source.dtype.kind == "f":
            return _truncate(source, dtype)
        return source.astype(dtype.numpy)


def _truncate(x: NumpyArray, dtype: DType) -> NumpyArray:
    limits = np.iinfo(dtype.numpy.name)
    wide = np.trunc(x.astype(np.float64))
    # float64(limits.max) may round up to one beyond: compare with >=, and what is below converts exactly.
    above, below = wide >= float(limits.max), wide <= float(limits.min)
    inside = np.where(above | below | np.isnan(wide), 0.0, wide).astype(dtype.numpy)
    low, high = dtype.numpy.type(limits.min), dtype.numpy.type(limits.max)
    return np.where(above, high, np.where(below, low, inside)).astype(dtype.numpy)


def sign(x: NumpyArray) -> NumpyArray:
    """-1, 0 or 1; 0 for nan, as in PyTorch."""
    result: NumpyArray = np.subtract((x > 0).astype(x.dtype), (x < 0).astype(x.dtype), dtype=x.dtype)
    return result


def sigmoid(x: NumpyArray) -> NumpyArray:
    """1 / (1 + exp(-x)), without overflow on the way."""
    small: NumpyArray = np.exp(-np.abs(x))
    return np.where(x < 0, small, 1.0) / (1.0 + small)


def _by_element(function: Callable[[float], float]) -> NumpyFunction:
    def apply(x: NumpyArray) -> NumpyArray:
        flat = [function(float(v)) for v in x.ravel()]
        return np.array(flat, dtype=np.float64).reshape(x.shape)

    return apply


erf = _by_element(math.erf)
erfc = _by_element(math.erfc)


def power(x: NumpyArray, y: NumpyArray) -> NumpyArray:
    """x to the y. Integers wrap; a negative exponent gives 0 but for the bases 1 and -1."""
    if x.dtype.kind not in "iu":
        # numpy takes a short cut for exponents without axes, which goes wrong for sqrt(-inf).
        return np.asarray(np.power(x.reshape(-1), y.reshape(-1))).reshape(x.shape)
    result, base = np.ones_like(x), x.copy()
    exponent = np.where(y < 0, 0, y).astype(np.uint64)
    while np.any(exponent):
        result = np.where(exponent & np.uint64(1), result * base, result).astype(x.dtype)
        base = (base * base).astype(x.dtype)
        exponent = exponent >> np.uint64(1)
    unit = np.where(x == 1, 1, np.where(y % 2 == 0, 1, -1)).astype(x.dtype)
    is_unit = (x == 1) | ((x == -1) if x.dtype.kind == "i" else np.zeros_like(x, bool))
    return np.where(y < 0, np.where(is_unit, unit, 0), result).astype(x.dtype)


def maximum(x: NumpyArray, y: NumpyArray) -> NumpyArray:
    """The greater of two; nan if one is, and 0 rather than -0."""
    greater = np.maximum(x, y)
    return np.where((x == 0) & (y == 0), x + y, greater) if x.dtype.kind == "f" else greater


def minimum(x: NumpyArray, y: NumpyArray) -> NumpyArray:
    """The lesser of two; nan if one is, and -0 rather than 0."""
    return -maximum(-x, -y) if x.dtype.kind == "f" else np.minimum(x, y)


def shift_left(x: NumpyArray, y: NumpyArray) -> NumpyArray:
    """Bits moved up; a distance outside 0..bits-1 moves all of them out."""
    fits = (y >= 0) & (y < x.dtype.itemsize * 8)
    return np.where(fits, np.left_shift(x, np.where(fits, y, 0).astype(x.dtype)), 0).astype(x.dtype)


def shift_right(x: NumpyArray, y: NumpyArray) -> NumpyArray:
    """Bits moved down, keeping the sign; a distance outside 0..bits-1 moves all of them out."""
    bits = x.dtype.itemsize * 8
    fits = (y >= 0) & (y < bits)
    all_out = np.where(x < 0, -1, 0).astype(x.dtype)
    return np.where(fits, np.right_shift(x, np.where(fits, y, 0).astype(x.dtype)), all_out).astype(x.dtype)


def make_complex(re: NumpyArray, im: NumpyArray) -> NumpyArray:
    """Complex numbers from their parts, kept bit by bit (`re + 1j * im` would spoil inf and nan)."""
    out = np.empty(re.shape, np.complex64 if re.dtype == np.float32 else np.complex128)
    out.real, out.imag = re, im
    return out


PHILOX_ROUNDS = 10
PHILOX_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
PHILOX_WEYL = (0x9E3779B9, 0xBB67AE85)
"""What the key's words grow by from round to round."""


def philox(counter: npt.NDArray[np.uint64], key: int) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
    """The first two words of Philox 4x32-10 for 64-bit counters (Salmon et al. 2011), each in a uint64.

    The counter's halves are the first two counter words, the others are 0; the key's halves are the two key words.
    """
    low, high = np.uint64(0xFFFFFFFF), np.uint64(32)
    words = [counter & low, counter >> high, np.zeros_like(counter), np.zeros_like(counter)]
    keys = [key & 0xFFFFFFFF, key >> 32]
    for _ in range(PHILOX_ROUNDS):
        first, second = (word * np.uint64(factor) for word, factor in zip(words[::2], PHILOX_MULTIPLIERS))
        words = [
            (second >> high) ^ words[1] ^ np.uint64(keys[0]),
            second & low,
            (first >> high) ^ words[3] ^ np.uint64(keys[1]),
            first & low,
        ]
        keys = [(k + step) & 0xFFFFFFFF for k, step in zip(keys, PHILOX_WEYL)]
    return words[0], words[1]
