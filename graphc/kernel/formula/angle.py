"""Reduces angles to a quadrant and a rest of at most pi/4, over the whole range of floats, without a branch.

In: any number x. Out: q and r with x = (q + 4 k) pi/2 + r, q in the last two bits of an integer, r rounded right to
nearly its last bit even where x is close to a multiple of pi/2.

Angles of moderate size go Cody and Waite's way: a multiple of pi/2 is taken off in three steps, pi/2 being the sum of
three floats. For large ones (Payne and Hanek) only those bits of 2/pi count whose product with x is neither a multiple
of 4 nor too small: a window into a table of bits, moved by the exponent, is multiplied by the fraction bits of x. Both
ways are computed, and the right one is chosen.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Final

from graphc.ir.dtype import f32, f64, u32
from graphc.kernel.formula.number import FORMATS, Number, choose, fast_two_sum, fma, two_product, two_sum

_TWO_OVER_PI: Final = 0.6366197723675814
_HALF_PI: Final = {
    f32: (1.570796251296997, 7.549789415861596e-08, 5.390302529957765e-15),
    f64: (1.5707963267948966, 6.123233995736765e-17, 1.082856673921914e-32),
}
"""Parts of pi/2, each rounded down, so that none is negative."""
_LARGE_EXPONENT: Final = {f32: 17, f64: 30}
"""From this power of two on angles are large."""
_WINDOW_32: Final = (0x00A2F983, 0x6E4E4415, 0x29FC2757, 0xD1F534DD, 0xC0DB6295, 0x993C4390, 0x41FE5163)
_WINDOW_64: Final = (
    0x000000A2F9836E4E,
    0x441529FC2757D1F5,
    0x34DDC0DB6295993C,
    0x439041FE5163ABDE,
    0xBBC561B7246E3A42,
    0x4DD2E006492EEA09,
    0xD1921CFE1DEB1CB1,
    0x29A73EE88235F52E,
    0xBB4484E99C7026B4,
    0x5F7E413991D63983,
    0x5339F49C845F8BBD,
    0xF9283B1FF897FFDE,
    0x05980FEF2F118B5A,
    0x0A6D1F6D367ECF27,
    0xCB09B74F463F669E,
    0x5FEA2D7527BAC7EB,
    0xE5F17B3D0739F78A,
    0x5292EA6BFB5FB11F,
    0x8D5D0856033046FC,
)
"""2/pi as binary digits, behind 8 (24) zeros: a window starts that many digits before the first that counts."""


def reduce_angle(x: Number) -> tuple[Number, Number]:
    """The quadrant, as a signed integer of which the last two bits count, and the rest; nan for inf and nan."""
    turned, n, rest = _reduce_first(x)
    _, second, third = _HALF_PI[x.dtype]
    rest = fma(n, -third, fma(n, -second, rest))
    quadrant, far_rest, _ = _reduce_large(x)
    is_large = _is_large(x)
    return choose(is_large, quadrant, turned.bits), choose(is_large, far_rest, rest)


def reduce_angle_twofold(x: Number) -> tuple[Number, Number, Number]:
    """The quadrant, the rest, and what rounding left out of the rest."""
    turned, n, rest = _reduce_first(x)
    _, second, third = _HALF_PI[x.dtype]
    product, product_error = two_product(n, second)
    rest, rest_error = two_sum(rest, -product)
    rest, low = fast_two_sum(rest, fma(n, -third, rest_error - product_error))
    quadrant, far_rest, far_low = _reduce_large(x)
    is_large = _is_large(x)
    return (
        choose(is_large, quadrant, turned.bits),
        choose(is_large, far_rest, rest),
        choose(is_large, far_low, low),
    )


def _reduce_first(x: Number) -> tuple[Number, Number, Number]:
    """The number of quarter turns, in the last bits of a float and as a float, and x less the first part of them."""
    turned = fma(x, _TWO_OVER_PI, x.format.magic)
    n = turned - x.format.magic
    return turned, n, fma(n, -_HALF_PI[x.dtype][0], x)


def _is_large(x: Number) -> Number:
    return (abs(x) >= 2.0 ** _LARGE_EXPONENT[x.dtype]) & (abs(x) < float("inf"))


def _reduce_large(x: Number) -> tuple[Number, Number, Number]:
    return _reduce_large_32(x) if x.dtype is f32 else _reduce_large_64(x)


def _window(offset: Number, table: tuple[int, ...]) -> list[Number]:
    """Three words of the table's bits from this bit on, by steps of 8, 4, 2 and 1 words, then bits."""
    bits = offset.dtype.bits
    words = [offset.constant(word) for word in table]
    step = 1 << ((len(words) - 4).bit_length() - 1)
    while step:
        is_beyond = (offset & (bits * step)).differs(0)
        words = [choose(is_beyond, b, a) for a, b in zip(words, words[step:])][: 3 + step]
        step //= 2
    shift = offset & (bits - 1)
    back = bits - shift
    return [(a << shift) | (b >> back) for a, b in pairwise(words)]


def _mantissa_and_offset(x: Number) -> tuple[Number, Number, Number]:
    """The fraction bits with the leading one, the bit of the table where the window starts, and the sign bit's mask."""
    form = x.format
    bits = x.bitcast(form.unsigned)
    mantissa = (bits & ((1 << form.fraction) - 1)) | (1 << form.fraction)
    exponent = (bits >> form.fraction) & (2 * form.bias + 1)
    return mantissa, exponent - (form.bias + _LARGE_EXPONENT[x.dtype]), x.bits >> (form.dtype.bits - 1)


def _product(mantissa: Number, window: list[Number]) -> tuple[Number, Number]:
    """The upper two of three words of the product; what is beyond them are multiples of 4."""
    high = mantissa * window[0] + mantissa.apply("multiply_high", window[1])
    carried = mantissa.apply("multiply_high", window[2])
    low = mantissa * window[1] + carried
    return high + (low < carried).cast(high.dtype), low


def _signed(quadrant: Number, rest: tuple[Number, Number], sign: Number) -> tuple[Number, Number, Number]:
    """For negative x all are negated; `sign` is -1 or 0."""
    mask = sign << (sign.dtype.bits - 1)
    high, low = ((part.bits ^ mask).bitcast(part.dtype) for part in rest)
    return (quadrant ^ sign) - sign, high, low


def _reduce_large_32(x: Number) -> tuple[Number, Number, Number]:
    """The fixed-point product has two bits before the point and 62 behind it."""
    mantissa, offset, sign = _mantissa_and_offset(x)
    high, low = _product(mantissa, _window(offset, _WINDOW_32))
    quadrant = (high + 0x20000000) >> 30
    fraction = ((high << 2) | (low >> 30)).bitcast(x.format.signed)
    # The fraction in units of 2^-64 as a sum of floats that are exact: 24, 24 and 16 bits.
    top = (fraction & -256).cast(f32)
    rest = low << 2
    middle = (((fraction.bitcast(u32) & 255) << 16) | (rest >> 16)).bitcast(x.format.signed).cast(f32)
    bottom = (rest & 0xFFFF).bitcast(x.format.signed).cast(f32)
    turn, below = fast_two_sum(top * 2.0**-32, fma(middle, 2.0**-48, bottom * 2.0**-64))
    return _signed(quadrant.bitcast(x.format.signed), _times_half_pi(turn, below), sign)


def _reduce_large_64(x: Number) -> tuple[Number, Number, Number]:
    """The fixed-point product has two bits before the point and 126 behind it."""
    mantissa, offset, sign = _mantissa_and_offset(x)
    high, low = _product(mantissa, _window(offset, _WINDOW_64))
    quadrant = (high + (1 << 61)) >> 62
    fraction = ((high << 2) | (low >> 62)).bitcast(x.format.signed)
    rest = low << 2
    # In units of 2^-128 as a sum of floats of 32 bits each.
    top, upper = _as_float(fraction >> 32), _as_float(fraction & 0xFFFFFFFF)
    lower, bottom = (_as_float(part.bitcast(x.format.signed)) for part in (rest >> 32, rest & 0xFFFFFFFF))
    tail = fma(upper, 2.0**-64, fma(lower, 2.0**-96, bottom * 2.0**-128))
    turn, below = fast_two_sum(top * 2.0**-32, tail)
    return _signed(quadrant.bitcast(x.format.signed), _times_half_pi(turn, below), sign)


def _as_float(x: Number) -> Number:
    """An integer of at most 51 bits as a float, without a conversion, which few machines have for 64 bits."""
    return (x + FORMATS[f64].magic_bits).bitcast(f64) - FORMATS[f64].magic


def _times_half_pi(turn: Number, below: Number) -> tuple[Number, Number]:
    """(turn + below) * pi/2 as rounded value and what rounding left out."""
    first, second, _ = _HALF_PI[turn.dtype]
    product = turn * first
    error = fma(turn, first, -product)
    return fast_two_sum(product, fma(below, first, fma(turn, second, error)))
