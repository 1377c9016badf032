"""Products in shared memory: where their elements are, and each way to ask for them wrongly."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from graphc.ir.dtype import f16
from graphc.ir.errors import VerifyError
from graphc.kernel.expand import expand
from graphc.kernel.interpret import (
    AlignmentFault,
    CopyFault,
    DivergenceFault,
    KernelFault,
    OutOfBounds,
    ProductFault,
    RaceFault,
    UnwrittenRead,
    run_kernel,
)
from graphc.kernel.ir import Buffer, SharedFactor, Space
from graphc.kernel.parse import parse_kernel
from graphc.kernel.products import factor_offsets, sum_places
from graphc.kernel.text import kernel_key, print_kernel
from graphc.kernel.verify import verify_kernel

Array = npt.NDArray[Any]

TEXT = """\
kernel product {
  read a: f16[2048]
  read w: f16[512]
  write c: f32[4096]
  block b < 1 {
    allocate left: f16[2056] shared
    allocate right: f16[544] shared
    thread t < 256 {
      allocate sums: f32[16] local
      allocate other: f32[16] local
      serial i < 8 {
        %a: f16 = load a[256*i + t]
        store left[1032*(t % 16 // 8) + 128*i + 8*(t // 16) + (t % 8)] = %a
      }
      %t: i64 = position t
      %few: bool = lt %t, 64:i64
      if %few {
        copy_async right[136*(t % 4) + 8*(t // 4)] = w[32*(t // 4) + 8*(t % 4)] * 8
      }
      commit_copies
      unrolled k < 16 {
        store sums[k] = 1.0:f32
      }
      wait_copies 0
      fence_shared
      barrier
      multiply_shared f16 depth 16 sums = left[512*(t // 128)] (1032, 64), right[0] (64, 136) transposed
      wait_products sums, 0
      unrolled r < 2 {
        unrolled n < 4 {
          vector v < 2 {
            %c: f32 = load sums[4*n + 2*r + v]
            store c[512*(t // 32) + 256*r + 32*(t % 32 // 4) + 8*n + 2*(t % 4) + v] = %c
          }
        }
      }
    }
  }
}
"""
"""c = a w + 1 of [128, 16], which lies along its depth, and [16, 32], which lies across it."""


def run(text: str) -> tuple[Array, Array]:
    """What the kernel finds, and what it should."""
    random = np.random.default_rng(0)
    a, w = random.normal(size=(128, 16)).astype(np.float16), random.normal(size=(16, 32)).astype(np.float16)
    c = np.zeros(4096, np.float32)
    run_kernel(parse_kernel(text), [a.reshape(-1), w.reshape(-1), c])
    return c.reshape(128, 32), (a.astype(np.float64) @ w + 1).astype(np.float32)


def test_the_kernel_is_right() -> None:
    found, expected = run(TEXT)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


def test_the_text_reads_back() -> None:
    kernel = parse_kernel(TEXT)
    verify_kernel(kernel, is_scheduled=True)
    text = print_kernel(kernel)
    assert print_kernel(parse_kernel(text)) == text
    assert all(line.strip() in text for line in (MULTIPLY, WAIT, FENCE))
    assert expand(kernel) is kernel
    keys = {kernel_key(parse_kernel(TEXT.replace(*change))) for change in (("", ""), *CHANGES)}
    assert len(keys) == 1 + len(CHANGES)


CHANGES = (
    ("(1032, 64)", "(1024, 64)"),
    ("(64, 136) transposed", "(136, 64) transposed"),
    (" transposed", ""),
    ("(1032, 64)", "(1032, 72)"),
    ("right[0]", "right[8]"),
)


@pytest.mark.parametrize("old, new", CHANGES)
def test_another_layout_is_another_product_or_none(old: str, new: str) -> None:
    try:
        found, expected = run(TEXT.replace(old, new))
    except KernelFault:
        return
    assert not np.allclose(found, expected, rtol=1e-3, atol=1e-3)


def test_elements_are_where_a_descriptor_says() -> None:
    shared = Buffer("s", f16, 4096, Space.SHARED)
    plain = factor_offsets(SharedFactor(shared, 0, 1024, 64), 64, 32)
    assert (plain[0, 1], plain[1, 0], plain[8, 0], plain[0, 8], plain[63, 31]) == (
        1,
        8,
        64,
        1024,
        7 * 72 + 3 * 1024 + 7,
    )
    turned = factor_offsets(SharedFactor(shared, 0, 64, 256, is_transposed=True), 64, 32)
    assert (turned[0, 1], turned[1, 0], turned[8, 0], turned[0, 8], turned[63, 31]) == (
        8,
        1,
        256,
        64,
        7 * 257 + 3 * 64 + 56,
    )
    rows, columns = sum_places(64)
    assert sorted(zip(rows.reshape(-1), columns.reshape(-1))) == [
        (row, column) for row in range(64) for column in range(64)
    ]
    thread = 2 * 32 + 5 * 4 + 3
    assert [(rows[thread, e], columns[thread, e]) for e in (0, 1, 2, 4)] == [(37, 6), (37, 7), (45, 6), (37, 14)]


MULTIPLY = "      multiply_shared f16 depth 16 sums = left[512*(t // 128)] (1032, 64), right[0] (64, 136) transposed\n"
WAIT = "      wait_products sums, 0\n"
FENCE = "      fence_shared\n"
SOME = "      %some: bool = lt %t, 192:i64\n      if %some {{\n  {}      }}\n"

FAULTS = [
    # What tensor cores may not see yet: nobody fences, too early, too few.
    (FENCE, "", ProductFault, "reads an element that the thread it is from has not fenced at b = 0, t = 0"),
    ("      wait_copies 0\n      fence_shared\n", "      fence_shared\n      wait_copies 0\n", ProductFault, "fenced"),
    (FENCE, SOME.format(FENCE), ProductFault, "multiply_shared"),
    ("      barrier\n", "      barrier\n      store right[t] = 1.0:f16\n      barrier\n", ProductFault, "fenced"),
    # What parts threads.
    ("      barrier\n", "", RaceFault, "reads an element that another iteration of t writes with no barrier between"),
    (WAIT, WAIT + "      store left[t] = 1.0:f16\n", RaceFault, "store left[t]"),
    (MULTIPLY, SOME.format(MULTIPLY), DivergenceFault, "takes all threads of a group of 4 warps, and only some"),
    (WAIT, SOME.format(WAIT), DivergenceFault, "`wait_products sums, 0` takes all threads of a group of 4 warps"),
    ("512*(t // 128)", "8*(t // 64)", DivergenceFault, "takes one index from a group of 4 warps at b = 0, t = 0"),
    # What is under way.
    (WAIT, "", CopyFault, "reads an element that something under way will write"),
    (WAIT, "      wait_products sums, 1\n", CopyFault, "reads an element that something under way will write"),
    (WAIT, "      store sums[0] = 1.0:f32\n" + WAIT, CopyFault, "writes an element that something under way will"),
    (WAIT, "      store left[t] = 1.0:f16\n" + WAIT, CopyFault, "writes an element that something under way reads"),
    (WAIT, MULTIPLY + "      wait_products sums, 1\n", CopyFault, "reads an element that something under way will"),
    ("      wait_copies 0\n", "", CopyFault, "reads an element that something under way will write"),
    (WAIT, "      wait_products other, 0\n", ProductFault, "waits for products that add to other sums"),
    # What is there.
    ("      unrolled k < 16 {", "      unrolled k < 15 {", UnwrittenRead, "reads an element that nothing has written"),
    ("right[0] (64", "right[4] (64", AlignmentFault, "takes addresses that are multiples of 16 bytes at b = 0, t = 0"),
    ("(64, 136)", "(64, 144)", OutOfBounds, "names element 559 of 544"),
    ("serial i < 8 {", "serial i < 7 {", UnwrittenRead, "reads an element that nothing has written"),
]  # fmt: skip


@pytest.mark.parametrize("old, new, fault, message", FAULTS, ids=range(len(FAULTS)))
def test_planted_faults_are_found(old: str, new: str, fault: type[KernelFault], message: str) -> None:
    assert TEXT.count(old) == 1
    with pytest.raises(fault) as caught:
        run(TEXT.replace(old, new))
    assert type(caught.value) is fault
    assert str(caught.value).startswith("kernel product: `")
    assert message in str(caught.value)


REFUSED = [
    ("f16 depth", "tf32 depth", "there are no products of 'tf32' matrices in shared memory; there are of bf16, f16"),
    ("f16 depth", "bf16 depth", "the factors are bfloat16 in shared memory, not float16 in shared memory"),
    ("depth 16", "depth 24", "the depth of such a product is a multiple of 16, not 24"),
    ("depth 16", "depth 0", "the depth of such a product is a multiple of 16, not 0"),
    ("= left[512*(t // 128)]", "= a[0]", "the factors are float16 in shared memory, not float16 in global memory"),
    ("(1032, 64)", "(1028, 64)", "matrices are a multiple of 8 elements below 131072 apart, not 1028"),
    ("(1032, 64)", "(1032, 131072)", "matrices are a multiple of 8 elements below 131072 apart, not 131072"),
    ("right[0]", "right[544]", "the index 544 leaves the 544 elements of right"),
    ("sums: f32[16]", "sums: f32[18]", "such a product has a multiple of 4 sums in each thread up to 128, not 18"),
    ("sums: f32[16]", "sums: f32[132]", "such a product has a multiple of 4 sums in each thread up to 128, not 132"),
    ("wait_products sums", "wait_products left", "products add to float32 in a thread's own memory of fixed size, not"),
    ("depth 16 sums", "depth 16 c", "products add to float32 in a thread's own memory of fixed size, not to c"),
    ("thread t < 256", "thread t < 192", "to multiply in shared memory takes groups of 128 threads, not 192"),
]  # fmt: skip


@pytest.mark.parametrize("old, new, message", REFUSED, ids=range(len(REFUSED)))
def test_statements_have_their_rules(old: str, new: str, message: str) -> None:
    assert TEXT.count(old) == 1
    with pytest.raises(VerifyError) as caught:
        verify_kernel(parse_kernel(TEXT.replace(old, new)))
    assert str(caught.value).startswith(f"kernel product: {message}")


@pytest.mark.parametrize("statement", ["fence_shared", MULTIPLY.strip(), WAIT.strip()])
def test_they_stand_where_threads_come_in_order(statement: str) -> None:
    text = TEXT.replace("            store c[", f"            {statement}\n            store c[")
    with pytest.raises(VerifyError, match="what threads do together stands in conditions"):
        verify_kernel(parse_kernel(text))
