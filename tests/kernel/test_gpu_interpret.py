"""Kernels for a GPU compute what their statements say: against numpy, and against loops thread by thread."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt
import pytest

from graphc.kernel import machine
from graphc.kernel.access import Nest
from graphc.kernel.interpret import run_kernel
from graphc.kernel.ir import Store
from graphc.kernel.parse import parse_kernel
from tests.kernel.gpu_kernels import BLOCK_SUM, PIPELINE, ROW_SUM, TRANSPOSE, WARP_TREE, in_threads

Array = npt.NDArray[Any]


@pytest.fixture(params=[1, 300, 1 << 17], autouse=True)
def lanes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """How many blocks run at once makes no difference."""
    monkeypatch.setattr(machine, "MOST_LANES", request.param)


def random(count: int, dtype: npt.DTypeLike = np.float32) -> Array:
    return np.random.default_rng(count).standard_normal(count).astype(dtype)


@pytest.mark.parametrize("n", [1, 127, 128, 1000])
def test_a_block_sums_through_shared_memory(n: int) -> None:
    x, y = random(n), np.zeros(-(-n // 128), np.float32)
    assert run_kernel(parse_kernel(BLOCK_SUM), [x, y], {"n": n}) == []
    tree = np.zeros(len(y) * 128, np.float32)
    tree[:n] = x
    tree = tree.reshape(len(y), 128)
    while tree.shape[1] > 1:
        half = tree.shape[1] // 2
        tree = tree[:, :half] + tree[:, half:]
    assert y.tobytes() == tree.tobytes()


@pytest.mark.parametrize("n", [1, 33, 64, 1000])
def test_a_warp_computes_the_tree_of_a_reduction_to_the_bit(n: int) -> None:
    x, warp, serial = random(4 * n), np.zeros(4, np.float32), np.zeros(4, np.float32)
    run_kernel(parse_kernel(WARP_TREE), [x, warp], {"n": n})
    run_kernel(parse_kernel(ROW_SUM), [x, serial], {"n": n})
    assert warp.tobytes() == serial.tobytes()


@pytest.mark.parametrize("m, n", [(1, 1), (32, 64), (33, 70)])
def test_tiles_are_transposed(m: int, n: int) -> None:
    x, y = random(m * n), np.zeros((n, m), np.float32)
    run_kernel(parse_kernel(TRANSPOSE), [x, y], {"m": m, "n": n})
    assert (y == x.reshape(m, n).T).all()


@pytest.mark.parametrize("n", [1, 2, 7])
def test_a_pipeline_of_copies(n: int) -> None:
    x, y = random(128 * n), np.zeros(128, np.float32)
    run_kernel(parse_kernel(PIPELINE), [x, y], {"n": n})
    expected = np.zeros(128, np.float32)
    for row in x.reshape(n, 128):
        expected += row[::-1]
    assert y.tobytes() == expected.tobytes()


ARRAYS = {
    "x": np.arange(256, dtype=np.float32),
    "h": random(256, np.float16),
    "g": np.random.default_rng(0).integers(0, 32, 256).astype(np.int32),
    "p": np.random.default_rng(1).random(256) < 0.5,
}


def run(body: str, threads: int = 64, blocks: str = "2", shared: str = "", **arrays: Array) -> dict[str, Array]:
    """The arrays after a run; block and thread number elements of y."""
    given = {name: array.copy() for name, array in {**ARRAYS, **arrays}.items()}
    given |= {"y": np.zeros(256, np.float32), "z": np.zeros(256, np.uint32)}
    run_kernel(parse_kernel(in_threads(body, threads, blocks, shared)), given, {"n": 4})
    return given


def other_thread(mode: str, lane: int, amount: int) -> int:
    if mode == "xor":
        return lane ^ amount
    if mode == "index":
        return amount
    source = lane - amount if mode == "up" else lane + amount
    return source if 0 <= source < 32 else lane


@pytest.mark.parametrize("mode", ["xor", "up", "down", "index"])
@pytest.mark.parametrize("lane", ["0:i32", "1:i64", "7:u8", "31:i32", "%g"])
def test_shuffles(mode: str, lane: str) -> None:
    body = f"%0: f32 = load x[64*b + t] %g: i32 = load g[64*b + t] %1: f32 = shuffle {mode} %0, {lane}"
    y = run(f"{body} store y[64*b + t] = %1")["y"]
    for place in range(128):
        amount = int(ARRAYS["g"][place]) if lane == "%g" else int(lane.split(":")[0])
        assert y[place] == place // 32 * 32 + other_thread(mode, place % 32, amount)


@pytest.mark.parametrize("dtype, buffer", [("f16", "h"), ("i32", "g"), ("bool", "p")])
def test_shuffles_of_other_dtypes(dtype: str, buffer: str) -> None:
    body = f"%0: {dtype} = load {buffer}[64*b + t] %1: {dtype} = shuffle xor %0, 5:i32 %2: f32 = cast %1"
    y = run(f"{body} store y[64*b + t] = %2")["y"]
    expected = ARRAYS[buffer][np.arange(128) ^ 5].astype(np.float32)
    assert (y[:128] == expected).all()


def test_a_shuffle_of_what_all_threads_share() -> None:
    y = run("%0: f32 = position b %1: f32 = shuffle up 3.0:f32, 1:i32 %2: f32 = add %0, %1 store y[64*b + t] = %2")["y"]
    assert (y[:128] == np.repeat([3, 4], 64)).all()


def test_warps_may_part() -> None:
    """Each warp of a block may go its own way; no warp is split."""
    body = "%0: i64 = position (t // 32) %1: bool = eq %0, 1:i64 %2: f32 = load x[t] if %1 { "
    y = run(body + "%3: f32 = shuffle xor %2, 1:i32 store y[64*b + t] = %3 }")["y"]
    assert (y[:128] == [*[0] * 32, *(np.arange(32, 64) ^ 1)] * 2).all()


def test_blocks_may_come_to_different_barriers() -> None:
    body = "store s[t] = 1.0:f32 %0: i64 = position b %1: bool = eq %0, 1:i64 if %1 { barrier %2: f32 = load s[63 - t] "
    body += "store y[64*b + t] = %2 } barrier %3: f32 = load s[t] store y[64*b + 128 + t] = %3"
    y = run(body, shared="allocate s: f32[64] shared")["y"]
    assert (y == np.repeat([0, 1, 1, 1], 64)).all()


@pytest.mark.parametrize("count", [1, 2, 4])
@pytest.mark.parametrize("is_transposed", [False, True])
def test_load_matrix(count: int, is_transposed: bool) -> None:
    """Rows lie in any order: thread l of warp w gives row 16 * (a permutation of its number), and so on."""
    outs = ", ".join(f"%m{i}: u32" for i in range(count))
    body = "unrolled u < 4 { %0: f16 = load h[4*t + u] store s[4*t + u] = %0 } barrier %g: i32 = load g[t] "
    body += f"bind row < 32 = %g ({outs}) = load_matrix s[8*row]{' transposed' * is_transposed} "
    for i in range(count):
        body += f"store z[{count}*t + {i}] = %m{i} "
    z = run(body, blocks="1", shared="allocate s: f16[256] shared")["z"]
    bits, rows = ARRAYS["h"].view(np.uint16), ARRAYS["g"]
    for t in range(64):
        warp, lane = divmod(t, 32)
        for i in range(count):
            halves = []
            for half in range(2):
                row, column = lane // 4, 2 * (lane % 4) + half
                if is_transposed:
                    row, column = column, row
                halves.append(int(bits[8 * rows[32 * warp + 8 * i + row] + column]))
            assert z[count * t + i] == halves[0] + (halves[1] << 16)


# Two warps multiply different matrices; `left` is 16 x 16 and `right` 16 x 8, one behind the other in memory.
HALF = """
kernel product {
  read a: DTYPE[512]
  read b: DTYPE[256]
  read c: f32[256]
  write y: f32[256]
  block i < 1 {
    allocate s: DTYPE[768] shared
    thread t < 64 {
      copy_async s[8*t] = a[8*t] * 8
      copy_async s[4*t + 512] = b[4*t] * 4
      commit_copies
      wait_copies 0
      barrier
      (%a0: u32, %a1: u32, %a2: u32, %a3: u32) = load_matrix s[256*(t // 32) + 16*(t % 16) + 8*((t // 16) % 2)]
      (%b0: u32, %b1: u32) = load_matrix s[512 + 128*(t // 32) + 8*(t % 16)] transposed
      unrolled u < 1 {
        %c0: f32 = load c[128*(t // 32) + 8*((t // 4) % 8) + 2*(t % 4)]
        %c1: f32 = load c[128*(t // 32) + 8*((t // 4) % 8) + 2*(t % 4) + 1]
        %c2: f32 = load c[128*(t // 32) + 8*((t // 4) % 8) + 2*(t % 4) + 64]
        %c3: f32 = load c[128*(t // 32) + 8*((t // 4) % 8) + 2*(t % 4) + 65]
        (%y0: f32, %y1: f32, %y2: f32, %y3: f32) = multiply_matrices DTYPE (%a0, %a1, %a2, %a3), (%b0, %b1), \
(%c0, %c1, %c2, %c3)
        store y[128*(t // 32) + 8*((t // 4) % 8) + 2*(t % 4)] = %y0
        store y[128*(t // 32) + 8*((t // 4) % 8) + 2*(t % 4) + 1] = %y1
        store y[128*(t // 32) + 8*((t // 4) % 8) + 2*(t % 4) + 64] = %y2
        store y[128*(t // 32) + 8*((t // 4) % 8) + 2*(t % 4) + 65] = %y3
      }
    }
  }
}
"""


@pytest.mark.parametrize("name, dtype", [("f16", np.float16), ("bf16", ml_dtypes.bfloat16)])
def test_products_of_half_matrices(name: str, dtype: Any) -> None:
    a, b, c = random(512, dtype), random(256, dtype), random(256)
    y = np.zeros(256, np.float32)
    run_kernel(parse_kernel(HALF.replace("DTYPE", name)), [a, b, c, y])
    left, right = a.astype(np.float64).reshape(2, 16, 16), b.astype(np.float64).reshape(2, 16, 8)
    expected = left @ right + c.astype(np.float64).reshape(2, 16, 8)
    np.testing.assert_allclose(y.reshape(2, 16, 8), expected, rtol=1e-6, atol=1e-7)


SINGLE = """
kernel product {
  read a: u32[256]
  read b: u32[128]
  write y: f32[256]
  block i < 2 {
    thread t < 32 {
      %a0: u32 = load a[128*i + 8*(t // 4) + (t % 4)]
      %a1: u32 = load a[128*i + 8*(t // 4) + (t % 4) + 64]
      %a2: u32 = load a[128*i + 8*(t // 4) + (t % 4) + 4]
      %a3: u32 = load a[128*i + 8*(t // 4) + (t % 4) + 68]
      %b0: u32 = load b[64*i + 8*(t % 4) + (t // 4)]
      %b1: u32 = load b[64*i + 8*(t % 4) + (t // 4) + 32]
      (%y0: f32, %y1: f32, %y2: f32, %y3: f32) = multiply_matrices tf32 (%a0, %a1, %a2, %a3), (%b0, %b1), \
(1.0:f32, 1.0:f32, 1.0:f32, 1.0:f32)
      store y[128*i + 8*(t // 4) + 2*(t % 4)] = %y0
      store y[128*i + 8*(t // 4) + 2*(t % 4) + 1] = %y1
      store y[128*i + 8*(t // 4) + 2*(t % 4) + 64] = %y2
      store y[128*i + 8*(t // 4) + 2*(t % 4) + 65] = %y3
    }
  }
}
"""


def truncated(x: Array) -> Array:
    """The 10 leading bits of the fraction."""
    mantissa, exponent = np.frexp(x.astype(np.float64))
    return np.ldexp(np.trunc(mantissa * 2048) / 2048, exponent)


def test_products_of_tf32_matrices_take_ten_bits_of_the_fraction() -> None:
    a, b, y = random(256), random(128), np.zeros(256, np.float32)
    run_kernel(parse_kernel(SINGLE), [a.view(np.uint32), b.view(np.uint32), y])
    expected = truncated(a).reshape(2, 16, 8) @ truncated(b).reshape(2, 8, 8) + 1
    np.testing.assert_allclose(y.reshape(2, 16, 8), expected, rtol=1e-6, atol=1e-7)
    full = a.astype(np.float64).reshape(2, 16, 8) @ b.astype(np.float64).reshape(2, 8, 8) + 1
    assert abs(y.reshape(2, 16, 8) - full).max() > 1e-4


def test_copies_take_bits_and_fill_with_zeros() -> None:
    body = "%p: bool = load p[t] copy_async s[2*t] = x[2*t] * 2 where %p commit_copies wait_copies 0 "
    body += "unrolled u < 2 { %0: u32 = load s[2*t + u] store z[2*t + u] = %0 }"
    z = run(body, blocks="1", shared="allocate s: u32[128] shared")["z"]
    assert (z[:128] == np.where(np.repeat(ARRAYS["p"][:64], 2), ARRAYS["x"][:128].view(np.uint32), 0)).all()


def test_copies_are_counted_by_each_thread() -> None:
    """The lower warp commits one group more than the upper one, so the same wait leaves it one copy more."""
    body = "copy_async s[t] = x[t] * 1 commit_copies %0: i64 = position t %1: bool = lt %0, 32:i64 "
    body += "copy_async s[64 + t] = x[64 + t] * 1 if %1 { commit_copies } wait_copies 1 "
    body += "if %1 { %2: f32 = load s[t] store y[t] = %2 } commit_copies wait_copies 0 "
    body += "%3: f32 = load s[64 + t] store y[64 + t] = %3"
    y = run(body, blocks="1", shared="allocate s: f32[128] shared")["y"]
    assert (y[:128] == [*range(32), *[0] * 32, *range(64, 128)]).all()


def test_unrolled_loops_run_in_order() -> None:
    body = "allocate a: f32[1] local store a[0] = 1.0:f32 unrolled u < 5 { %0: f32 = load a[0] %1: f32 = position u "
    body += (
        "%2: f32 = mul %0, 3.0:f32 %3: f32 = add %2, %1 store a[0] = %3 } %4: f32 = load a[0] store y[64*b + t] = %4"
    )
    expected = 1
    for u in range(5):
        expected = 3 * expected + u
    assert (run(body)["y"][:128] == expected).all()


def test_a_thread_reduces_and_moves_vectors() -> None:
    body = "%0: f32 = reduce sum k < 4 { %1: f32 = load x[4*t + k] yield %1 } "
    body += "vector v < 2 { %2: f32 = position v %3: f32 = add %0, %2 store y[128*b + 2*t + v] = %3 }"
    y = run(body)["y"]
    sums = ARRAYS["x"].reshape(64, 4).sum(axis=1)
    assert (y.reshape(2, 64, 2) == sums[:, None] + [0, 1]).all()


def test_a_grid_of_no_blocks_does_nothing() -> None:
    assert (run("store y[t] = 1.0:f32", blocks="n - 4")["y"] == 0).all()


def test_blocks_run_some_at_a_time_and_are_never_split(monkeypatch: pytest.MonkeyPatch) -> None:
    shapes: set[tuple[int, ...]] = set()
    store = machine.Machine.store

    def noting(self: machine.Machine, statement: Store, nest: Nest) -> None:
        shapes.add(nest.shape)
        store(self, statement, nest)

    monkeypatch.setattr(machine.Machine, "store", noting)
    for most in (1, 300):
        monkeypatch.setattr(machine, "MOST_LANES", most)
        run("store y[t + 64*b] = 1.0:f32", blocks="4")
        run("allocate a: f32[16] local store a[0] = 1.0:f32", blocks="4")
    assert shapes == {(64, 1), (64, 4)}


def test_checks_report_from_threads() -> None:
    body = "%0: i64 = position t + 32*b %1: bool = lt %0, 40:i64 check %1 else 5 check true:bool else 6"
    kernel = parse_kernel(in_threads(body, blocks="2"))
    given = {**ARRAYS, "y": np.zeros(256, np.float32), "z": np.zeros(256, np.uint32)}
    assert run_kernel(kernel, given, {"n": 1}) == [5]
