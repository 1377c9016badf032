"""Errors in units in the last place, from judges that know more digits."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def errors(got: Array, want: Array, rest: Array | None = None) -> Array:
    """|got - (want + rest)| in units of the last place of `got`'s dtype.

    It is inf where only one is nan or infinite, or where a zero has the wrong sign. `want` is in float64, and `rest`
    is what it lacks of the true value. A result may be infinite from half a unit beyond the greatest finite number on.
    """
    form = np.finfo(got.dtype)
    with np.errstate(all="ignore"):
        rounded = want.astype(got.dtype)
        _, exponent = np.frexp(np.where(np.isfinite(want), want, 1.0))
        unit = np.ldexp(1.0, np.maximum(exponent - 1, form.minexp) - form.nmant)
        error = np.abs((got.astype(np.float64) - want) - (0.0 if rest is None else rest)) / unit
    is_same = (got == rounded) & (np.signbit(got) == np.signbit(rounded)) & ((want == 0) | ~np.isfinite(rounded))
    is_wild = ~np.isfinite(got) | ~np.isfinite(rounded) | ((want == 0) & (got == 0))
    error = np.where(is_wild, np.inf, error)
    return np.where(is_same | (np.isnan(got) & np.isnan(want)), 0.0, error)


def random_bits(dtype: npt.DTypeLike, count: int, seed: int) -> Array:
    """Floats of any kind: every pattern of bits is as likely."""
    wide = np.random.default_rng(seed).integers(0, 2**64, count, dtype=np.uint64)
    is_single = np.dtype(dtype) == np.float32
    return (wide >> np.uint64(32)).astype(np.uint32).view(np.float32) if is_single else wide.view(np.float64)
