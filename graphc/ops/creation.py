"""Ops without tensor operands, but for the key of random bits: constants, counters, sizes as numbers, random bits.

Level: tensor graph. In: attributes. Out: nodes of fixed content.

    iota(shape=(2, 3), axis=1, dtype=i64)      # [[0, 1, 2], [0, 1, 2]]
"""

from __future__ import annotations

import numpy as np

from graphc.ir.attribute import Array
from graphc.ir.dim import Size
from graphc.ir.dtype import DType, dtype, u32, u64
from graphc.ir.errors import DTypeError
from graphc.ir.lowering import Builder, Operand, Scalar
from graphc.ir.op import Flags, Op, register
from graphc.ir.type import Shape, TensorType
from graphc.ops import check
from graphc.ops.indices import linear_index
from graphc.ops.numerics import (
    PHILOX_MULTIPLIERS,
    PHILOX_ROUNDS,
    PHILOX_WEYL,
    NumpyArray,
    philox,
    rounded,
)


def _constant_type(*, value: Array) -> TensorType:
    return TensorType(value.value.shape, dtype(value.value.dtype))


def _constant_reference(out: TensorType, *, value: Array) -> NumpyArray:
    return value.value


def is_uniform(value: Array) -> bool:
    """Whether all elements of a constant have the same bits, so that it needs no memory."""
    flat = value.value.reshape(-1)
    if flat.size < 2:
        return True
    return flat.tobytes() == flat[:1].tobytes() * flat.size


def _constant_lower(b: Builder, out: TensorType, i: tuple[Size, ...], *, value: Array) -> Scalar:
    assert is_uniform(value), "a constant of several values is a buffer: the pass that lowers reads it there"
    flat = value.value.reshape(-1)
    return b.constant(flat[0].item() if flat.size else 0, out.dtype)


constant: Op = register(
    Op(
        "constant",
        "an array of fixed values",
        type_rule=_constant_type,
        reference=_constant_reference,
        lower=_constant_lower,
    )
)


def _iota_type(*, shape: Shape, axis: int, dtype: DType) -> TensorType:
    out = TensorType(check.sizes_at_least_zero("iota", shape), dtype)
    check.takes("iota", out, check.REAL, "its dtype")
    check.axis_in_range("iota", out, axis)
    return out


def _iota_reference(out: TensorType, *, shape: tuple[int, ...], axis: int, dtype: DType) -> NumpyArray:
    counts = rounded(np.arange(shape[axis]), dtype)
    lined_up = counts.reshape([-1 if a == axis else 1 for a in range(len(shape))])
    return np.array(np.broadcast_to(lined_up, shape))


def _iota_lower(b: Builder, out: TensorType, i: tuple[Size, ...], *, shape: Shape, axis: int, dtype: DType) -> Scalar:
    return b.index(i[axis], dtype)


iota: Op = register(
    Op(
        "iota",
        "the index along an axis",
        type_rule=_iota_type,
        reference=_iota_reference,
        lower=_iota_lower,
    )
)


def _size_type(*, value: Size, dtype: DType) -> TensorType:
    out = TensorType((), dtype)
    check.takes("size", out, check.REAL, "its dtype")
    return out


def _size_reference(out: TensorType, *, value: int, dtype: DType) -> NumpyArray:
    return rounded(np.array(value), dtype)


size: Op = register(
    Op(
        "size",
        "a size, which may be symbolic, as a number",
        type_rule=_size_type,
        reference=_size_reference,
        lower=lambda b, out, i, *, value, dtype: b.index(value, dtype),
    )
)


def _random_bits_type(key: TensorType, *, shape: Shape, dtype: DType) -> TensorType:
    check.scalar_operand("random_bits", "the key", key)
    if key.dtype is not u64:
        raise DTypeError(f"random_bits: the key has dtype {key.dtype.name}", hint="give a uint64")
    if dtype not in (u32, u64):
        raise DTypeError(f"random_bits: no bits of dtype {dtype.name}", hint="ask for uint32 or uint64")
    return TensorType(check.sizes_at_least_zero("random_bits", shape), dtype)


def _random_bits_reference(out: TensorType, key: NumpyArray, *, shape: tuple[int, ...], dtype: DType) -> NumpyArray:
    counters = np.arange(int(np.prod(shape, dtype=np.int64)), dtype=np.uint64).reshape(shape)
    first, second = philox(counters, int(key))
    return rounded(first if dtype is u32 else first | (second << np.uint64(32)), dtype)


def _philox(b: Builder, counter: Scalar, key: Scalar) -> tuple[Scalar, Scalar]:
    """The first two words for a 64-bit counter and key."""
    half = b.constant(32, u64)

    def low(x: Scalar) -> Scalar:
        return b.cast(b.apply("bitwise_and", x, b.constant(0xFFFFFFFF, u64)), u32)

    def high(x: Scalar) -> Scalar:
        return b.cast(b.apply("shift_right", x, half), u32)

    words = (low(counter), high(counter), b.constant(0, u32), b.constant(0, u32))
    keys: tuple[Scalar, ...] = (low(key), high(key))
    for _ in range(PHILOX_ROUNDS):
        (a, above), (c, beyond) = (
            (b.apply("mul", x, factor), b.apply("multiply_high", x, factor))
            for x, factor in zip(words[::2], (b.constant(m, u32) for m in PHILOX_MULTIPLIERS))
        )
        first = b.apply("bitwise_xor", b.apply("bitwise_xor", beyond, words[1]), keys[0])
        third = b.apply("bitwise_xor", b.apply("bitwise_xor", above, words[3]), keys[1])
        words = (first, c, third, a)
        keys = tuple(b.apply("add", k, b.constant(w, u32)) for k, w in zip(keys, PHILOX_WEYL))
    return words[0], words[1]


def _random_bits_lower(
    b: Builder, out: TensorType, i: tuple[Size, ...], key: Operand, *, shape: Shape, dtype: DType
) -> Scalar:
    first, second = _philox(b, b.index(linear_index(i, shape), u64), key(()))
    if dtype is u32:
        return first
    return b.apply("bitwise_or", b.cast(first, u64), b.apply("shift_left", b.cast(second, u64), b.constant(32, u64)))


random_bits: Op = register(
    Op(
        "random_bits",
        "Philox 4x32-10: element i in row-major order has counter i",
        type_rule=_random_bits_type,
        reference=_random_bits_reference,
        lower=_random_bits_lower,
        flags=Flags.EXPENSIVE,
    )
)
