"""Which dtype a function gives, and how 16-bit floats are computed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import graphc as g
from graphc.ir.dtype import bf16, f16
from tests.composite.case import Values, draw, interpret, native, wanted
from tests.composite.cases import CASES

RESULTS: tuple[tuple[str, Callable[..., Any], tuple[str, ...], str], ...] = (
    ("tensor beside int", lambda x: x + 1, ("f32[2]",), "f32[2]"),
    ("integer beside float number", lambda x: x + 1.5, ("i32[2]",), "f32[2]"),
    ("small integer beside int", lambda x: x * 3, ("i8[2]",), "i8[2]"),
    ("half beside float number", lambda x: x * 1.5, ("f16[2]",), "f16[2]"),
    ("0-d counts less", lambda x, y: x + y, ("f32[2]", "f64[]"), "f32[2]"),
    ("0-d of a higher kind", lambda x, y: x + y, ("i64[2]", "f64[]"), "f64[2]"),
    ("two tensors", lambda x, y: x + y, ("f16[2]", "bf16[2]"), "f32[2]"),
    ("bool beside int", lambda x: x + 1, ("bool[2]",), "i64[2]"),
    ("true division of integers", lambda x: x / 2, ("i64[2]",), "f32[2]"),
    ("floor division of integers", lambda x: x // 2, ("i32[2]",), "i32[2]"),
    ("sqrt of integers", g.sqrt, ("i64[2]",), "f32[2]"),
    ("exp of halves", g.exp, ("f16[2]",), "f16[2]"),
    ("sum of bools", g.sum, ("bool[2]",), "i64[]"),
    ("sum of halves", g.sum, ("f16[2]",), "f16[]"),
    ("cumsum of small integers", lambda x: x.cumsum(0), ("i8[2]",), "i64[2]"),
    ("comparison", lambda x: x > 1, ("f32[2]",), "bool[2]"),
    ("where of numbers", lambda c: g.where(c, 1, 0), ("bool[2]",), "i64[2]"),
    ("where of a tensor and a number", lambda c, x: g.where(c, x, 0.0), ("bool[2]", "f16[2]"), "f16[2]"),
    ("argmax", g.argmax, ("f32[2]",), "i64[]"),
    ("softmax", lambda x: x.softmax(0), ("bf16[2]",), "bf16[2]"),
    ("softmax in another dtype", lambda x: x.softmax(0, dtype="float32"), ("f16[2]",), "f32[2]"),
    ("layer_norm", lambda x: g.layer_norm(x, 2), ("f16[2]",), "f16[2]"),
    ("cross_entropy", g.cross_entropy, ("f16[2,3]", "u8[2]"), "f16[]"),
    ("gelu", g.gelu, ("bf16[2]",), "bf16[2]"),
    ("matmul", g.matmul, ("f16[2,3]", "f16[3,2]"), "f16[2,2]"),
    ("integer matmul", g.matmul, ("i32[2,3]", "i32[3,2]"), "i32[2,2]"),
    ("cat", lambda x, y: g.cat([x, y]), ("f16[2]", "i64[2]"), "f16[4]"),
    ("zeros", lambda x: g.zeros(2), ("f32[]",), "f32[2]"),
    ("full of an int", lambda x: g.full((2,), 3), ("f32[]",), "i64[2]"),
    ("arange", lambda x: g.arange(3), ("f32[]",), "i64[3]"),
    ("arange of floats", lambda x: g.arange(0, 1, 0.5), ("f32[]",), "f32[2]"),
    ("eye", lambda x: g.eye(2, dtype="bool"), ("f32[]",), "bool[2,2]"),
    ("index_add of halves", lambda x, i: x.index_add(0, i, x), ("f16[2]", "i64[2]"), "f16[2]"),
    ("scatter_add of bytes", lambda x, i: x.scatter_add(0, i, x), ("u8[2]", "i64[2]"), "u8[2]"),
    ("one_hot", lambda i: g.one_hot(i, 3), ("i64[2]",), "i64[2,3]"),
    ("var of complex", g.var, ("c64[3]",), "f32[]"),
    ("abs of complex", g.abs, ("c128[3]",), "f64[3]"),
    ("mean of complex", g.mean, ("c64[3]",), "c64[]"),
    ("mse_loss", g.mse_loss, ("f16[3]", "f32[3]"), "f32[]"),
    ("masked_fill", lambda x: x.masked_fill(x > 0, -1), ("f16[3]",), "f16[3]"),
    ("isclose", g.isclose, ("i64[3]", "i64[3]"), "bool[3]"),
)


@pytest.mark.parametrize(("what", "build", "specs", "expected"), RESULTS, ids=[case[0] for case in RESULTS])
def test_result_dtype(what: str, build: Callable[..., Any], specs: tuple[str, ...], expected: str) -> None:
    assert str(g.symbolic_trace(build, *specs).outputs[0].type) == expected


ACTIVATIONS = [
    case
    for case in CASES
    if case.gradient and case.name in ("gelu", "silu", "mish", "softplus", "elu", "softmax", "layer_norm", "rms_norm")
]


@pytest.mark.parametrize("kind", [f16, bf16], ids=["f16", "bf16"])
@pytest.mark.parametrize("case", ACTIVATIONS, ids=lambda case: case.id)
def test_16_bit_floats_are_rounded_once(case: Any, kind: Any) -> None:
    arrays = tuple(a.astype(kind.numpy) for a in case.arrays)
    (expected,) = wanted(case.expected, *(a.astype(np.float64) for a in arrays))
    for found in (*interpret(case.build, *arrays), *native(case.build, *arrays)):
        assert found.dtype == kind.numpy
        assert _units(found, expected, kind.numpy) <= 1.0


def _units(found: Values, expected: Values, kind: Any) -> float:
    """The largest error in units of the last place."""
    unit = np.maximum(np.abs(expected) * float(ml_dtypes.finfo(kind).eps), float(ml_dtypes.finfo(kind).smallest_normal))
    return float(np.max(np.abs(found.astype(np.float64) - expected) / unit))


WIDE: tuple[Callable[..., Any], ...] = (
    lambda x: x.mean(),
    lambda x: x.var() + 1,
    lambda x: x.norm() / 300,
    lambda x: x.norm(3.0) / 44.8,
    lambda x: x.logsumexp(0) - 11.4,
    lambda x: (x / 300) @ (x / 300),
    lambda x: (x / 300).cumsum(0)[-1] / 300,
)


@pytest.mark.parametrize("build", WIDE)
def test_many_halves_add_up_beyond_their_range(build: Callable[..., Any]) -> None:
    x = np.full(90000, 1.0, np.float16)
    for (result,) in (interpret(build, x), native(build, x)):
        assert abs(float(result) - 1.0) < 0.02


@pytest.mark.parametrize("kind", [np.float16, ml_dtypes.bfloat16, np.float32])
def test_softmax_of_any_float_sums_to_one(kind: Any) -> None:
    (result,) = native(lambda x: x.softmax(1), draw(3, 50, low=-9, high=9).astype(kind))
    np.testing.assert_allclose(result.astype(np.float64).sum(1), 1, rtol=0.02 if kind is not np.float32 else 1e-6)
