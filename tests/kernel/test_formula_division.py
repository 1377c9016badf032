"""fmod, remainder, floor_divide and multiply_high give numpy's (or Python's) results, bit for bit."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from graphc.ir.dtype import DType, bf16, f16, f32, f64, i8, i64, u8, u32, u64
from graphc.kernel.scalar import evaluate
from tests.kernel.test_formula_special import special_values
from tests.kernel.ulp import Array, random_bits

JUDGES: dict[str, Callable[..., Array]] = {"fmod": np.fmod, "remainder": np.remainder, "floor_divide": np.floor_divide}


def pairs(dtype: DType) -> tuple[Array, Array]:
    """Pairs of all sizes, whole numbers, exact multiples, multiples of a tenth, special values."""
    random = np.random.default_rng(12)
    any_x, any_y = random_bits(dtype.numpy, 2000, 13), random_bits(dtype.numpy, 2000, 14)
    whole_x, whole_y = random.integers(-60, 60, (2, 2000)).astype(dtype.numpy)
    special_x, special_y = (a.ravel() for a in np.meshgrid(special_values(dtype), special_values(dtype)))
    tenth = np.asarray(0.1, dtype.numpy)
    with np.errstate(all="ignore"):
        x = np.concatenate([any_x, whole_x, any_x * whole_y, whole_x * tenth, special_x])
        y = np.concatenate([any_y, whole_y, any_x, whole_y * tenth, special_y])
    return x, y


@pytest.mark.parametrize("dtype", [f32, f64])
@pytest.mark.parametrize("name", JUDGES)
def test_floats(name: str, dtype: DType) -> None:
    x, y = pairs(dtype)
    with np.errstate(all="ignore"):
        want = JUDGES[name](x, y)
    got = evaluate(name, dtype, x, y)
    bits = f"u{dtype.itemsize}"
    differs = (got.view(bits) != want.view(bits)) & ~(np.isnan(got) & np.isnan(want))
    worst = int(np.argmax(differs))
    assert not differs.any(), f"{name}({x[worst]}, {y[worst]}) is {got[worst]}, not {want[worst]}"


@pytest.mark.parametrize("dtype", [f16, bf16])
@pytest.mark.parametrize("name", JUDGES)
def test_sixteen_bit_floats_are_divided_in_float32(name: str, dtype: DType) -> None:
    random = np.random.default_rng(15)
    x, y = random.normal(0, 10, (2, 500)).astype(dtype.numpy)
    want = JUDGES[name](x.astype(np.float32), y.astype(np.float32)).astype(dtype.numpy)
    assert np.array_equal(evaluate(name, dtype, x, y).astype(np.float32), want.astype(np.float32))


@pytest.mark.parametrize("dtype", [i8, i64, u8, u64])
@pytest.mark.parametrize("name", ["remainder", "floor_divide"])
def test_integers(name: str, dtype: DType) -> None:
    random = np.random.default_rng(16)
    limits = np.iinfo(dtype.numpy)  # type: ignore[type-var]
    negative = (-1, -2, -7) if dtype.signed else ()
    edges = np.array([limits.min, limits.min + 1, 0, 1, 2, 7, limits.max, *negative], dtype.numpy)
    x = np.concatenate([random.integers(limits.min, limits.max, 500, dtype.numpy), np.repeat(edges, len(edges))])
    small = random.integers(limits.min // 16, limits.max // 16, 500, dtype.numpy)
    y = np.concatenate([small, np.tile(edges, len(edges))])
    with np.errstate(all="ignore"):
        want = JUDGES[name](x, y)
    assert evaluate(name, dtype, x, y).tolist() == want.tolist()


@pytest.mark.parametrize("dtype", [u32, u64])
def test_multiply_high(dtype: DType) -> None:
    random = np.random.default_rng(17)
    top = 2**dtype.bits - 1
    x, y = random.integers(0, top, (2, 500), dtype.numpy, endpoint=True)
    x[:3], y[:3] = (top, top, 0), (top, 1, top)
    want = [(a * b) >> dtype.bits for a, b in zip(x.tolist(), y.tolist())]
    assert evaluate("multiply_high", dtype, x, y).tolist() == want
