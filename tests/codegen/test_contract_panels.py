"""What a contraction reads and writes: panels and epilogues that are code, and the memory that it must spare."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from graphc.codegen.contract_plan import plan_contract, workspace_bytes
from graphc.ir.dim import Dim, Size, Symbol, symbol
from graphc.ir.dtype import bool_, f32, i32, i64
from graphc.kernel.ir import (
    Bind,
    Buffer,
    Check,
    Literal,
    Loop,
    LoopKind,
    Operand,
    Store,
    Value,
)
from graphc.runtime.target import named_target, native_target
from tests.codegen.contraction import (
    Array,
    K,
    M,
    N,
    Native,
    Writer,
    contraction,
    exact_product,
    guarded,
    kernel_of,
    matmul,
    random,
)

pytestmark = pytest.mark.skipif(not native_target().has_fma, reason="without fma products are rounded before the sum")


def addresses(*arrays: Array) -> list[int]:
    return [array.ctypes.data for array in arrays]


def test_epilogue_computes_and_stores_with_strides() -> None:
    a, b, bias = Buffer("a", f32, M * K), Buffer("b", f32, K * N), Buffer("bias", f32, N)
    c, mask = Buffer("c", f32, M * N * 2), Buffer("mask", bool_, N * M)
    zero = Literal(0.0, f32)

    def epilogue(w: Writer, m: Size, n: Size, acc: Value) -> None:
        shifted = w.apply("add", f32, acc, w.load(bias, n))
        positive = w.apply("gt", bool_, shifted, zero)
        result = w.apply("select", f32, positive, shifted, zero)
        w.statements.append(Store(c, (m * N + n) * 2, result))  # every second element
        w.statements.append(Store(mask, n * M + m, positive))  # columns side by side

    statement = contraction(
        M, N, K, lambda w, m, k: w.load(a, m * K + k), lambda w, k, n: w.load(b, k * N + n), epilogue
    )
    native = Native(kernel_of((statement,), (a, b, bias, c, mask), writes=(c, mask)))
    generator = np.random.default_rng(1)
    for m, n, k in [(1, 1, 1), (9, 50, 20), (17, 33, 300), (200, 130, 30)]:
        x, y, z = random(generator, (m, k), f32), random(generator, (k, n), f32), random(generator, (n,), f32)
        expected = exact_product(x, y, np.float32) + z
        for threads in (1, 2):
            out, check_out = guarded(np.full((m, n, 2), 7, np.float32))
            positive, check_positive = guarded(np.zeros((n, m), np.bool_))
            native(addresses(x, y, z, out, positive), {"M": m, "N": n, "K": k}, threads)
            check_out()
            check_positive()
            np.testing.assert_array_equal(out[..., 0], np.maximum(expected, 0))
            assert (out[..., 1] == 7).all()
            np.testing.assert_array_equal(positive, (expected > 0).T)


def convolution(channels: int, size: int, kernel: int, stride: int, padding: int, filters: int) -> tuple[Native, int]:
    """Images [batch, channels, size, size] and filters [filters, channels, kernel, kernel]; the batch is dynamic."""
    out_size = (size + 2 * padding - kernel) // stride + 1
    batch = symbol("B", 0, 1 << 20)
    images = Buffer("images", f32, batch * (channels * size * size))
    weights = Buffer("weights", f32, filters * channels * kernel * kernel)
    result = Buffer("result", f32, batch * (filters * out_size * out_size))
    image = Symbol("image", 0, batch - 1)
    at_image = Dim((((image,), 1),))

    def window(w: Writer, k: Size, n: Size) -> Operand:
        channel, row, column = k // (kernel * kernel), k // kernel % kernel, k % kernel
        y, x = n // out_size * stride + row - padding, n % out_size * stride + column - padding
        inside: Operand = Literal(True, bool_)
        for position in (y, x):
            if padding:
                number = w.position(position)
                for test, limit in (("ge", 0), ("lt", size)):
                    passes = w.apply(test, bool_, number, Literal(limit, i64))
                    inside = w.apply("bitwise_and", bool_, inside, passes)
        index = ((at_image * channels + channel) * size + y) * size + x
        return w.load(images, index, inside if padding else None)

    statement = contraction(
        filters,
        out_size * out_size,
        channels * kernel * kernel,
        lambda w, m, k: w.load(weights, m * (channels * kernel * kernel) + k),
        window,
        lambda w, m, n, acc: w.statements.append(
            Store(result, (at_image * filters + m) * (out_size * out_size) + n, acc)
        ),
        parallel=False,
    )
    loop = Loop(image, batch, LoopKind.PARALLEL, (statement,))
    return Native(kernel_of((loop,), (images, weights, result), writes=(result,))), out_size


@pytest.mark.parametrize(
    "channels, size, kernel, stride, padding, filters",
    [(3, 9, 3, 1, 1, 5), (2, 20, 3, 1, 0, 4), (1, 30, 5, 2, 2, 9), (40, 6, 3, 1, 1, 3), (4, 8, 1, 1, 0, 8)],
)
def test_convolution_takes_windows_while_packing(
    channels: int, size: int, kernel: int, stride: int, padding: int, filters: int
) -> None:
    native, out_size = convolution(channels, size, kernel, stride, padding, filters)
    generator = np.random.default_rng(2)
    weights = random(generator, (filters, channels, kernel, kernel), f32)
    for batch in (0, 1, 3):
        images, check_images = guarded(random(generator, (batch, channels, size, size), f32))
        padded = np.pad(images, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (kernel, kernel), axis=(2, 3))
        windows = windows[:, :, ::stride, ::stride].transpose(0, 1, 4, 5, 2, 3)
        windows = windows.reshape(batch, channels * kernel**2, out_size**2)
        for threads in (1, 2):
            result, check_result = guarded(np.zeros((batch, filters, out_size * out_size), np.float32))
            native(addresses(images, weights, result), {"B": batch}, threads)
            check_images()
            check_result()
            for i in range(batch):
                expected = exact_product(weights.reshape(filters, -1), windows[i], np.float32)
                np.testing.assert_array_equal(result[i], expected)


def test_panels_gather_rows_that_data_names() -> None:
    table, rows, b = Buffer("table", f32, 40 * K), Buffer("rows", i32, M), Buffer("b", f32, K * N)
    c = Buffer("c", f32, M * N)

    def row(w: Writer, m: Size, k: Size) -> Operand:
        number, place = w.load(rows, m), Symbol("place", 0, 39)
        w.statements.append(Bind(place, 40, number))
        return w.load(table, Dim((((place,), 1),)) * K + k)

    def doubled(w: Writer, k: Size, n: Size) -> Operand:
        x = w.load(b, n * K + k)
        return w.apply("add", f32, x, x)

    statement = contraction(M, N, K, row, doubled, lambda w, m, n, acc: w.statements.append(Store(c, m * N + n, acc)))
    native = Native(kernel_of((statement,), (table, rows, b, c), writes=(c,)))
    generator = np.random.default_rng(3)
    for m, n, k in [(1, 1, 1), (11, 40, 35), (23, 70, 258)]:
        x, y = random(generator, (40, k), f32), random(generator, (n, k), f32)
        chosen = generator.integers(0, 40, m).astype(np.int32)
        out, check = guarded(np.zeros((m, n), np.float32))
        native(addresses(x, chosen, y, out), {"M": m, "N": n, "K": k}, 2)
        check()
        np.testing.assert_array_equal(out, exact_product(x[chosen], 2 * y.T, np.float32))


def test_sides_that_repeat_along_a_dimension() -> None:
    a, b, c = Buffer("a", f32, M), Buffer("b", f32, N), Buffer("c", f32, M * N)
    statement = contraction(
        M,
        N,
        K,
        lambda w, m, k: w.load(a, m),
        lambda w, k, n: w.load(b, n),
        lambda w, m, n, acc: w.statements.append(Store(c, m * N + n, acc)),
    )
    native = Native(kernel_of((statement,), (a, b, c), (c,), K))
    generator = np.random.default_rng(4)
    x, y = random(generator, (19,), f32), random(generator, (61,), f32)
    out, check = guarded(np.zeros((19, 61), np.float32))
    native(addresses(x, y, out), {"M": 19, "N": 61, "K": 6})
    check()
    expected = exact_product(np.repeat(x[:, None], 6, 1), np.repeat(y[None], 6, 0), np.float32)
    np.testing.assert_array_equal(out, expected)


def test_checks_in_an_epilogue_look_at_real_elements_only() -> None:
    a, b, c = Buffer("a", f32, M * K), Buffer("b", f32, K * N), Buffer("c", f32, M * N)

    def epilogue(w: Writer, m: Size, n: Size, acc: Value) -> None:
        fine = w.apply("ge", bool_, acc, Literal(6.0, f32))
        w.statements.append(Check(fine, 3))  # rows and columns that do not exist would hold less
        w.statements.append(Store(c, m * N + n, acc))

    statement = contraction(
        M, N, K, lambda w, m, k: w.load(a, m * K + k), lambda w, k, n: w.load(b, k * N + n), epilogue
    )
    native = Native(kernel_of((statement,), (a, b, c), writes=(c,)))
    x, y, out = np.ones((10, 6), np.float32), np.ones((6, 53), np.float32), np.zeros((10, 53), np.float32)
    native(addresses(x, y, out), {"M": 10, "N": 53, "K": 6})
    assert (out == 6).all()


AT_THE_PAGE_END = """
import ctypes, mmap
import numpy as np
from tests.codegen.contraction import K, M, N, Native, matmul

libc, page = ctypes.CDLL(None), mmap.PAGESIZE
libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]

def at_the_end(size):
    space = -(-size * 4 // page) * page
    memory = mmap.mmap(-1, space + page)
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    assert libc.mprotect(start + space, page, 0) == 0
    return memory, start + space - size * 4

for left in (False, True):
    for right in (False, True):
        native = Native(matmul(M, N, K, left_transposed=left, right_transposed=right))
        for m, n, k in [(1, 1, 1), (7, 49, 3), (8, 48, 16), (9, 15, 17), (50, 100, 259), (140, 20, 30)]:
            held = [at_the_end(size) for size in (m * k, k * n, m * n)]
            native([address for _, address in held], {"M": m, "N": n, "K": k})
print("done")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="pages are protected in another way")
def test_nothing_beyond_the_arrays_is_touched() -> None:
    command = [sys.executable, "-X", "faulthandler", "-c", AT_THE_PAGE_END]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=120)
    assert done.stdout == "done\n", done.stderr


def test_workspace_is_bounded_whatever_the_sizes() -> None:
    for name in ("x86-64", "x86-64-v3", "x86-64-v4", "aarch64"):
        target = named_target(name)
        unknown, small = matmul(M, N, K), matmul(8, 16, 8)
        assert 0 < workspace_bytes(small, target) < 1 << 15
        assert workspace_bytes(unknown, target) < 16 << 20
        assert workspace_bytes(unknown, target) % 64 == 0


def test_sides_that_lie_in_memory_in_order_are_not_copied() -> None:
    target = native_target()
    plain = plan_contract(matmul(64, 96, 64).body[0], target)  # type: ignore[arg-type]
    assert not plain.tile.packed_left
    assert plain.can_read_right
    turned = plan_contract(matmul(64, 96, 64, left_transposed=True, right_transposed=True).body[0], target)  # type: ignore[arg-type]
    assert turned.tile.packed_left
    assert not turned.can_read_right
