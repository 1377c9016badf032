"""Attribute values: arrays that can't change, and keys that tell apart what Python takes for equal."""

from __future__ import annotations

import math

import numpy as np
import pytest

from graphc.ir.attribute import Array, Attribute, exact
from graphc.ir.dim import symbol
from graphc.ir.dtype import bf16, f32
from graphc.ir.errors import DTypeError

DIFFERENT: tuple[Attribute, ...] = (
    None,
    False,
    0,
    0.0,
    -0.0,
    "0",
    "",
    (),
    (0,),
    (0.0,),
    (False,),
    ((0,),),
    math.nan,
    math.inf,
    True,
    1,
    1.0,
    f32,
    "f32",
    symbol("n"),
    symbol("n", 1),
    "n",
    Array(np.zeros(2, np.float32)),
    Array(-np.zeros(2, np.float32)),
    Array(np.zeros((2, 1), np.float32)),
    Array(np.zeros(2, np.int32)),
    Array(np.zeros(2, np.float16)),
    Array(np.zeros(2, bf16.numpy)),
    ("bool", "False"),
)


def test_keys_differ_for_attributes_that_differ() -> None:
    assert len({exact(value) for value in DIFFERENT}) == len(DIFFERENT)


def test_keys_agree_for_attributes_that_agree() -> None:
    assert exact((math.nan, 1.5)) == exact((float("nan"), 1.5))
    assert exact(symbol("n") + 1) == exact(1 + symbol("n"))
    assert exact(Array(np.array([math.nan]))) == exact(Array(np.array([math.nan])))


def test_arrays_are_copies_that_can_not_be_written() -> None:
    source = np.arange(6.0).reshape(2, 3)[:, ::-1]
    array = Array(source)
    before = array.digest
    source[:] = 0
    assert array.value.tolist() == [[2, 1, 0], [5, 4, 3]]
    assert array.digest == before
    assert array.value.flags.c_contiguous
    with pytest.raises(ValueError, match="read-only"):
        array.value[0, 0] = 1


def test_arrays_compare_by_bits() -> None:
    nan, payload = (Array(np.array([bits], np.uint32).view(np.float32)) for bits in (0x7FC00000, 0x7FC00001))
    assert nan == nan != payload
    assert Array(np.array(1.0)) != Array(np.array([1.0]))
    assert hash(Array(np.arange(3))) == hash(Array(np.arange(3)))
    assert Array(np.arange(3)) != "array"


def test_the_order_of_bytes_in_memory_does_not_matter() -> None:
    big, little = (Array(np.array([1, 2], order)) for order in (">i4", "<i4"))
    assert big == little
    assert big.digest == little.digest
    assert big.dtype is little.dtype
    assert big.value.dtype.isnative


@pytest.mark.parametrize("value", [np.array(["a"]), np.array([object()]), np.array([1], "M8[s]")])
def test_arrays_hold_our_dtypes_only(value: np.ndarray) -> None:
    with pytest.raises(DTypeError, match="no dtype graphc computes with"):
        Array(value)
