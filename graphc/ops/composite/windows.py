"""Window functions under PyTorch's names: weights that fall off to both ends, for spectra."""

from __future__ import annotations

import math

from graphc.ir.dtype import DType, f64, get_default_dtype
from graphc.ir.dtype import dtype as to_dtype
from graphc.ir.errors import ArgumentError, DTypeError
from graphc.ir.graph import Node
from graphc.ops import build, creation
from graphc.ops import elementwise as ew
from graphc.ops.function import function


def _steps(name: str, window_length: int, periodic: bool, dtype: DType | str | None) -> tuple[Node, float] | Node:
    """The places 0, 1, ... in float64 and how many steps the window spans; of at most one place, the window itself."""
    result = get_default_dtype() if dtype is None else to_dtype(dtype)
    if not result.is_floating_point:
        raise DTypeError(
            f"{name} expects floating point dtypes, got: {result.name}", hint="ask for float32, or leave the dtype out"
        )
    if window_length < 0:
        raise ArgumentError(
            f"{name} requires non-negative window_length, got window_length={window_length}", hint="use 0 or more"
        )
    if window_length < 2:
        return build.constant(1, result, (window_length,))
    places = creation.iota(shape=(window_length,), axis=0, dtype=f64)
    return places, float(window_length if periodic else window_length - 1)


def _rounded(window: Node, dtype: DType | str | None) -> Node:
    return build.cast_to(window, get_default_dtype() if dtype is None else to_dtype(dtype))


def _cosines(
    name: str, weights: tuple[float, ...], window_length: int, periodic: bool, dtype: DType | str | None
) -> Node:
    """The sum of weights[k] * cos(2 pi k n / steps)."""
    found = _steps(name, window_length, periodic, dtype)
    if isinstance(found, Node):
        return found
    places, steps = found
    total = build.full_like(places, weights[0])
    for k, weight in enumerate(weights[1:], start=1):
        turn = ew.cos(build.scaled(places, 2.0 * math.pi * k / steps))
        total = ew.add(total, build.scaled(turn, weight))
    return _rounded(total, dtype)


@function()
def hann_window(window_length: int, periodic: bool = True, *, dtype: DType | str | None = None) -> Node:
    """(1 - cos(2 pi n / N)) / 2."""
    return _cosines("hann_window", (0.5, -0.5), window_length, periodic, dtype)


@function()
def hamming_window(
    window_length: int,
    periodic: bool = True,
    alpha: float = 0.54,
    beta: float = 0.46,
    *,
    dtype: DType | str | None = None,
) -> Node:
    """alpha - beta cos(2 pi n / N)."""
    return _cosines("hamming_window", (alpha, -beta), window_length, periodic, dtype)


@function()
def blackman_window(window_length: int, periodic: bool = True, *, dtype: DType | str | None = None) -> Node:
    """0.42 - 0.5 cos(2 pi n / N) + 0.08 cos(4 pi n / N)."""
    return _cosines("blackman_window", (0.42, -0.5, 0.08), window_length, periodic, dtype)


@function()
def bartlett_window(window_length: int, periodic: bool = True, *, dtype: DType | str | None = None) -> Node:
    """A triangle: 1 - |2 n / N - 1|."""
    found = _steps("bartlett_window", window_length, periodic, dtype)
    if isinstance(found, Node):
        return found
    places, steps = found
    one = build.ones_like(places)
    return _rounded(ew.sub(one, ew.abs_(ew.sub(build.scaled(places, 2.0 / steps), one))), dtype)


@function()
def kaiser_window(
    window_length: int, periodic: bool = True, beta: float = 12.0, *, dtype: DType | str | None = None
) -> Node:
    """I0(beta sqrt(1 - (2 n / N - 1)^2)) / I0(beta), with the modified Bessel function I0."""
    found = _steps("kaiser_window", window_length, periodic, dtype)
    if isinstance(found, Node):
        return found
    places, steps = found
    one = build.ones_like(places)
    place = ew.sub(build.scaled(places, 2.0 / steps), one)
    inside = ew.maximum(ew.sub(one, ew.mul(place, place)), build.zeros_like(one))
    argument = build.scaled(ew.sqrt(inside), beta)
    return _rounded(ew.div(_bessel_i0(argument, beta), _bessel_i0(build.full_like(one, beta), beta)), dtype)


def _bessel_i0(x: Node, largest: float) -> Node:
    """The power series of (x / 2)^2k / (k!)^2, all of whose terms are positive; as many as `largest` needs."""
    quarter = build.scaled(ew.mul(x, x), 0.25)
    total = term = build.ones_like(x)
    k, size = 0, 1.0
    while size > 1e-18:
        k += 1
        term = build.scaled(ew.mul(term, quarter), 1.0 / (k * k))
        total = ew.add(total, term)
        # The term at the largest argument against e^x / sqrt(2 pi x), below which the sum doesn't fall.
        size = math.exp(2 * k * math.log(max(largest, 1e-9) / 2) - 2 * math.lgamma(k + 1) - largest) * (1 + largest)
        if 2 * k < largest:
            size = 1.0
    return total
