"""Floats of eight bits: casts to the bit, and what is refused."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import graphc
from graphc.eager.float8 import MOVES, THROUGH_FLOAT, cast, refusal
from graphc.ir.dtype import DType, bool_, c64, f8e4m3fn, f8e4m3fnuz, f8e5m2, f8e5m2fnuz, f16, f32, f64, i32

VALUES = [
    np.inf, -np.inf, np.nan, 448.0, 449.0, 464.0, 465.0, 480.0, 1e9, -1e9, 57344.0, 61439.0, 61440.0, 240.0, 247.0,
    248.0, -0.0, 1e-9, -1e-9, 0.0009765625, 0.002,
]  # fmt: skip
# The bytes that PyTorch makes of them.
BYTES = (
    (f8e4m3fn, [126, 254, 127, 126, 126, 126, 126, 126, 126, 254, 126, 126, 126, 119, 119, 120, 128, 0, 128, 0, 1]),
    (f8e5m2, [124, 252, 127, 95, 95, 95, 95, 96, 124, 252, 123, 123, 124, 92, 92, 92, 128, 0, 128, 20, 24]),
    (f8e4m3fnuz, [128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 127, 127, 128, 0, 0, 0, 1, 2]),
    (f8e5m2fnuz, [128, 128, 128, 99, 99, 99, 99, 100, 128, 128, 127, 127, 128, 96, 96, 96, 0, 0, 0, 24, 28]),
)


@pytest.mark.parametrize(("dtype", "expected"), BYTES, ids=[str(d) for d, _ in BYTES])
@pytest.mark.parametrize("source", [np.float32, np.float64])
def test_casts_to_the_bytes_of_pytorch(dtype: DType, expected: list[int], source: type) -> None:
    found = cast(np.array(VALUES, source), dtype)
    assert found.dtype == dtype.numpy
    numbers, is_nan = found.view(np.uint8).tolist(), np.isnan(found.astype(np.float32)).tolist()
    wanted = np.array(expected, np.uint8).view(dtype.numpy).astype(np.float32)
    assert is_nan == np.isnan(wanted).tolist()
    assert [a for a, nan in zip(numbers, is_nan, strict=True) if not nan] == [
        b for b, nan in zip(expected, is_nan, strict=True) if not nan
    ]


@pytest.mark.parametrize("dtype", [d for d, _ in BYTES], ids=str)
@pytest.mark.parametrize("wide", [f16, f32, f64, c64], ids=str)
def test_all_numbers_survive_the_way_there_and_back(dtype: DType, wide: DType) -> None:
    numbers = np.arange(256, dtype=np.uint8).view(dtype.numpy)
    there = cast(numbers, wide)
    assert there.dtype == wide.numpy
    np.testing.assert_array_equal(cast(there, dtype).astype(np.float32), numbers.astype(np.float32))


def test_casts_other_kinds() -> None:
    assert cast(np.array([1, -3, 1000]), f8e5m2).astype(np.float32).tolist() == [1.0, -3.0, 1024.0]
    assert cast(np.array([True, False]), f8e4m3fn).astype(np.float32).tolist() == [1.0, 0.0]
    numbers = cast(np.array([1.5, -2.5, 0.0]), f8e4m3fn)
    assert cast(numbers, i32).tolist() == [1, -2, 0]
    assert cast(numbers, bool_).tolist() == [True, True, False]


REFUSED = (
    ("add", "\"add_stub\" not implemented for 'Float8_e4m3fn'"),
    ("mul", "\"mul_cpu_reduced_float\" not implemented for 'Float8_e4m3fn'"),
    ("neg", "\"neg_cpu\" not implemented for 'Float8_e4m3fn'"),
    ("exp", "\"exp_vml_cpu\" not implemented for 'Float8_e4m3fn'"),
    ("mean", "\"sum_cpu\" not implemented for 'Float8_e4m3fn'"),
    ("lt", "\"lt_cpu\" not implemented for 'Float8_e4m3fn'"),
    ("isinf", "\"isinf\" not implemented for 'Float8_e4m3fn'"),
)


@pytest.mark.parametrize(("name", "message"), REFUSED)
def test_arithmetic_is_refused(name: str, message: str) -> None:
    error = refusal(name, f8e4m3fn)
    assert error.message == message
    assert isinstance(error, NotImplementedError)
    assert name not in MOVES | THROUGH_FLOAT


def test_tensors_are_kept_moved_and_cast() -> None:
    x = graphc.tensor([1.0, 2.0, 500.0]).to(graphc.float8_e4m3fn)
    assert repr(x) == "tensor([  1.,   2., 448.], dtype=torch.float8_e4m3fn)"
    assert x.float().tolist() == x.tolist() == [1.0, 2.0, 448.0]
    assert x.to(graphc.int32).dtype is graphc.int32
    assert x.clone()[1].item() == 2.0
    assert graphc.cat([x, x]).tolist() == [1.0, 2.0, 448.0] * 2
    assert graphc.stack([x, x])[1, :2].tolist() == [1.0, 2.0]
    assert (x == x).tolist() == [True] * 3
    assert x.view(graphc.uint8).tolist() == [56, 64, 126]
    assert graphc.full((2,), 3.3, dtype=graphc.float8_e5m2).tolist() == [3.5, 3.5]


@pytest.mark.parametrize(
    ("compute", "kernel"),
    [
        (lambda x: x + x, "add_stub"),
        (lambda x: x * 2, "mul_cpu_reduced_float"),
        (lambda x: -x, "neg_cpu"),
        (lambda x: x < x, "lt_cpu"),
        (lambda x: x.sum(), "sum_cpu"),
    ],
)
def test_tensors_are_not_computed_with(compute: Callable[[graphc.Tensor], object], kernel: str) -> None:
    x = graphc.tensor([1.0, 2.0], dtype=graphc.float8_e5m2)
    with pytest.raises(NotImplementedError, match=f"^\"{kernel}\" not implemented for 'Float8_e5m2'"):
        compute(x)
