"""The interpreter computes what the text says: against a second one that goes number by number, bit for bit."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphc.ir.dim import evaluate
from graphc.ir.dtype import DType
from graphc.ir.errors import ArgumentError, DTypeError, ShapeError
from graphc.kernel import machine
from graphc.kernel.fold import Fold
from graphc.kernel.interpret import run_kernel
from graphc.kernel.ir import Kernel
from graphc.kernel.parse import parse_kernel
from tests.kernel.kernels import MATMUL, SOFTMAX, TEXTS, RandomKernel
from tests.kernel.scalar_interpreter import ScalarInterpreter

Array = npt.NDArray[Any]


def random_array(dtype: DType, count: int, rng: np.random.Generator) -> Array:
    if dtype.is_floating_point:
        values = rng.standard_normal(count) * rng.choice([1.0, 1e3, 1e-3])
        values[rng.random(count) < 0.1] = np.nan
        values[rng.random(count) < 0.1] = -0.0
        return values.astype(dtype.numpy)
    if dtype.is_integer:
        return rng.integers(0 if not dtype.signed else -4, 12, count).astype(dtype.numpy)
    return rng.random(count) < 0.5


def assert_same_as_number_by_number(kernel: Kernel, sizes: dict[str, int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    arrays = [random_array(b.dtype, evaluate(b.size, sizes), rng) for b in kernel.buffers]
    expected, actual = [a.copy() for a in arrays], [a.copy() for a in arrays]
    with np.errstate(all="ignore"):
        codes = ScalarInterpreter(kernel, expected, sizes).codes
    assert set(run_kernel(kernel, actual, sizes)) == codes
    for buffer, a, b in zip(kernel.buffers, expected, actual):
        assert a.tobytes() == b.tobytes(), buffer.name


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("sizes", [{"n": 1, "m": 1}, {"n": 37, "m": 3}], ids=str)
@pytest.mark.parametrize("most", [1, 5, 1 << 17])
def test_written_kernels(name: str, sizes: dict[str, int], most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "MOST_LANES", most)
    monkeypatch.setattr(machine, "MOST_TILE", max(1, most >> 9))
    assert_same_as_number_by_number(parse_kernel(TEXTS[name]), sizes, 0)


@given(st.integers(0, 10**9), st.integers(0, 9), st.integers(1, 6))
@settings(max_examples=150, deadline=None)
def test_random_kernels(seed: int, n: int, m: int) -> None:
    assert_same_as_number_by_number(RandomKernel(seed).kernel, {"n": n, "m": m}, seed)


@given(st.integers(0, 10**9), st.sampled_from([1, 2, 7, 64]))
@settings(max_examples=50, deadline=None)
def test_the_number_of_iterations_at_once_does_not_show(seed: int, most: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(machine, "MOST_LANES", most)
        patch.setattr(machine, "MOST_TILE", most)
        assert_same_as_number_by_number(RandomKernel(seed).kernel, {"n": 9, "m": 5}, seed)


REDUCE = """kernel k {{
  size n
  read x: {given}[n]
  write y: {out}[1]
  %v: {out} = reduce {combiner} k < n {{
    %0: {given} = load x[k]
    yield %0
  }}
  store y[0] = %v
}}"""


@pytest.mark.parametrize("combiner", ["sum", "prod", "max", "min", "argmax", "argmin"])
@pytest.mark.parametrize("dtype", ["f32", "f64", "i32", "u8", "bf16"])
@pytest.mark.parametrize("count", [1, 63, 64, 65, 200])
def test_reductions_follow_the_tree(combiner: str, dtype: str, count: int) -> None:
    out = "i64" if combiner.startswith("arg") else dtype
    kernel = parse_kernel(REDUCE.format(given=dtype, out=out, combiner=combiner))
    assert_same_as_number_by_number(kernel, {"n": count}, count)


def test_the_tree_written_out() -> None:
    # 3 rows of accumulators, the last of 2 elements; then 64 of them in halves.
    rng = np.random.default_rng(1)
    x = rng.standard_normal(130).astype(np.float32)
    lanes = [np.float32(0) + x[i] + x[64 + i] for i in range(64)]
    lanes[0], lanes[1] = lanes[0] + x[128], lanes[1] + x[129]
    for half in (32, 16, 8, 4, 2, 1):
        lanes = [lanes[i] + lanes[i + half] for i in range(half)]
    y = np.zeros(1, np.float32)
    run_kernel(parse_kernel(REDUCE.format(given="f32", out="f32", combiner="sum")), [x, y], {"n": 130})
    assert y[0] == lanes[0]
    assert lanes[0] != np.cumsum(x)[-1]


@pytest.mark.parametrize(
    "combiner, dtype, expected",
    [("sum", "f32", 0.0), ("prod", "f32", 1.0), ("max", "f32", -np.inf), ("min", "i32", 2**31 - 1), ("any", "bool", 0)],
)
def test_an_empty_reduction_gives_the_identity(combiner: str, dtype: str, expected: float) -> None:
    kernel = parse_kernel(REDUCE.format(given=dtype, out=dtype, combiner=combiner))
    y = np.ones(1, kernel.buffers[1].dtype.numpy)
    run_kernel(kernel, [y[:0], y], {"n": 0})
    assert y[0] == expected


def test_sums_of_zeros_are_positive() -> None:
    y = np.ones(1, np.float32)
    run_kernel(
        parse_kernel(REDUCE.format(given="f32", out="f32", combiner="sum")), [np.full(3, -0.0, np.float32), y], {"n": 3}
    )
    assert not np.signbit(y[0])


@pytest.mark.parametrize(
    "combiner, values, place",
    [
        ("argmax", [1.0, 3.0, 3.0], 1),
        ("argmin", [2.0, -1.0, -1.0], 1),
        ("argmax", [1.0, np.nan, np.inf, np.nan], 1),
        ("argmin", [1.0, -np.inf, np.nan], 2),
        ("argmax", [-np.inf, -np.inf], 0),
        ("argmax", [0.0] * 70 + [1.0], 70),
        ("argmax", [0.0, -0.0], 0),
    ],
)
def test_the_first_extreme_wins_and_nan_is_one(combiner: str, values: list[float], place: int) -> None:
    y = np.zeros(1, np.int64)
    kernel = parse_kernel(REDUCE.format(given="f32", out="i64", combiner=combiner))
    run_kernel(kernel, [np.array(values, np.float32), y], {"n": len(values)})
    assert y[0] == place


def test_a_fold_takes_parts_of_rows() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal(500).astype(np.float32)
    results = []
    for step in (500, 64, 128, 16, 1):
        fold = Fold("sum", parse_kernel(SOFTMAX).buffers[0].dtype, ())
        for start in range(0, 500, step):
            fold.take(start, x[start : start + step], None)
        results.append(fold.result().tobytes())
    assert len(set(results)) == 1


def test_a_contraction_fuses_and_adds_blocks_in_order() -> None:
    # 1 + 2**-12 squared needs more than float32: only a fused step keeps the last bit.
    depth, one = 300, np.float32(1 + 2**-12)
    a, b = np.full((1, depth), one), np.full((depth, 7), one)
    a[0, 0] = -one * 255
    c = np.zeros((1, 7), np.float32)
    run_kernel(parse_kernel(MATMUL), {"a": a, "b": b, "bias": np.zeros(7, np.float32), "c": c}, {"m": 1})
    exact = np.float64(one) * np.float64(one)
    first, second = np.float32(0), np.float32(0)
    for k in range(256):
        first = np.float32(np.float64(a[0, k]) * np.float64(one) + np.float64(first))
    for _ in range(depth - 256):
        second = np.float32(exact + np.float64(second))
    assert (c == first + second).all()


def test_integer_contractions_wrap() -> None:
    kernel = parse_kernel(MATMUL.replace("f32", "i32"))
    rng = np.random.default_rng(0)
    a, b = (rng.integers(-(2**31), 2**31, shape, np.int32) for shape in ((3, 300), (300, 7)))
    c = np.zeros((3, 7), np.int32)
    run_kernel(kernel, [a, b, np.zeros(7, np.int32), c], {"m": 3})
    assert (c == a @ b).all()


SERIAL = {
    "sum so far": """kernel k { read x: f32[40] write y: f32[40] allocate s: f32[1] local store s[0] = 0.0:f32
        serial i < 40 { %0: f32 = load x[i] %1: f32 = load s[0] %2: f32 = add %0, %1 store s[0] = %2
        store y[i] = %2 } }""",
    "recurrence": """kernel k { read x: f32[40] write y: f32[40] store y[0] = 1.0:f32
        serial i < 39 { %0: f32 = load y[i] %1: f32 = load x[i] %2: f32 = mul %0, %1 store y[i + 1] = %2 } }""",
    "last wins": """kernel k { read x: f32[40] write y: f32[40]
        serial i < 40 { %0: f32 = load x[i] store y[(i // 7)] = %0 } }""",
    "a store after that of a later iteration": """kernel k { read x: f32[40] write y: f32[40]
        serial i < 39 { %0: f32 = load x[i] store y[i] = %0 store y[i + 1] = 0.0:f32 } }""",
    "inside a vector loop": """kernel k { read x: f32[40] write y: f32[40]
        vector j < 8 { store y[j] = 0.0:f32 serial i < 5 { %0: f32 = load x[i + 5*j] %1: f32 = load y[j]
        %2: f32 = add %0, %1 store y[j] = %2 } } }""",
    "rows after each other": """kernel k { read x: f32[40] write y: f32[40]
        serial i < 5 { vector j < 8 { %0: f32 = load x[8*i + j] store y[j] = %0 } } }""",
    "extents that differ": """kernel k { read x: f32[40] write y: f32[40]
        vector i < 8 { serial j < i + 1 { %0: f32 = load x[j] store y[5*i + (j // 2)] = %0
        %1: f32 = reduce sum r < j + 1 { %2: f32 = load x[r] yield %2 } store y[5*i] = %1 } } }""",
    "independent": """kernel k { read x: f32[40] write y: f32[40]
        serial i < 40 { %0: f32 = load y[i] %1: f32 = load x[i] %2: f32 = sub %0, %1 store y[i] = %2 } }""",
}


@pytest.mark.parametrize("name", SERIAL)
def test_serial_loops_run_in_turn_or_as_if(name: str) -> None:
    assert_same_as_number_by_number(parse_kernel(SERIAL[name]), {}, 3)


VARYING = """kernel k {
  size m in 1..9
  read x: f32[81]
  read w: f32[81]
  write y: f32[900]
  vector i < m {
    %acc: f32 = contract r < i + 1, c < m - i, k < 2*i + 1 {
      left {
        %0: f32 = load x[i + r + k]
        yield %0
      }
      right {
        %1: f32 = load w[2*c + k]
        yield %1
      }
      epilogue {
        store y[81*i + 9*r + c] = %acc
      }
    }
    %best: i64 = reduce argmin q < i + 1 {
      %2: f32 = load x[3*q]
      yield %2
    }
    %3: f32 = cast %best
    store y[m + 81*i + 80] = %3 where true:bool
  }
}"""


@pytest.mark.parametrize("size", [1, 4, 9])
def test_extents_may_differ_between_iterations(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for most in (1 << 17, 3):
        monkeypatch.setattr(machine, "MOST_LANES", most)
        assert_same_as_number_by_number(parse_kernel(VARYING), {"m": size}, size)


def test_narrow_floats_round_after_every_operation() -> None:
    text = "kernel k { read x: bf16[3] write y: bf16[3] vector i < 3 { %0: bf16 = load x[i] %1: bf16 = mul %0, %0 "
    kernel = parse_kernel(text + "%2: bf16 = add %1, 1.0:bf16 store y[i] = %2 } }")
    x = np.array([1.0078125, 3.0, -100.0], ml_dtypes.bfloat16)
    y = np.zeros_like(x)
    run_kernel(kernel, [x, y])
    assert (y == (x * x) + ml_dtypes.bfloat16(1)).all()


def test_complex_arrays_are_pairs_of_parts() -> None:
    text = "kernel conj { read x: f32[6] write y: f32[6] vector i < 3 { %0: f32 = load x[2*i] store y[2*i] = %0 "
    kernel = parse_kernel(text + "%1: f32 = load x[2*i + 1] %2: f32 = neg %1 store y[2*i + 1] = %2 } }")
    x = np.array([1 + 2j, -1j, 3], np.complex64)
    y = np.zeros_like(x)
    run_kernel(kernel, {"x": x, "y": y})
    assert (y == x.conj()).all()


def test_a_divisor_of_zero_in_front_of_an_empty_loop_does_no_harm() -> None:
    text = "kernel k { size n write y: i64[n] %0: i64 = position (7 // n) serial i < n { store y[i] = %0 } }"
    run_kernel(parse_kernel(text), [np.zeros(0, np.int64)], {"n": 0})


WRONG_ARGUMENTS: list[tuple[dict[str, Array], dict[str, int], type[Exception], str]] = [
    ({"x": np.zeros(10, np.float32)}, {"n": 1}, ArgumentError, "kernel softmax has no array for y"),
    ({"x": np.zeros(10, np.float32), "y": np.zeros(10)}, {"n": 1}, DTypeError, "the array for y has dtype float64"),
    ({"x": np.zeros(9, np.float32), "y": np.zeros(10, np.float32)}, {"n": 1}, ShapeError, "has 9 elements"),
    ({"x": np.zeros(20, np.float32)[::2], "y": np.zeros(10, np.float32)}, {"n": 1}, ArgumentError, "not contiguous"),
    ({"x": np.zeros(10, np.float32), "y": np.zeros(10, np.float32)}, {}, ArgumentError, "needs the size n"),
    ({"x": np.zeros(0, np.float32), "y": np.zeros(0, np.float32)}, {"n": 0}, ArgumentError, "outside 1..64"),
]


@pytest.mark.parametrize("arrays, sizes, error, message", WRONG_ARGUMENTS, ids=range(len(WRONG_ARGUMENTS)))
def test_arrays_have_to_fit(
    arrays: dict[str, Array], sizes: dict[str, int], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        run_kernel(parse_kernel(SOFTMAX), arrays, sizes)


def test_a_written_array_has_to_be_writeable() -> None:
    y = np.zeros(10, np.float32)
    y.flags.writeable = False
    with pytest.raises(ArgumentError, match="the array for y is read-only"):
        run_kernel(parse_kernel(SOFTMAX), [np.zeros(10, np.float32), y], {"n": 1})
