"""Kernels that no other policy takes: a thread for each independent iteration, wherever its scratch is."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pytest

from graphc.ir.dim import evaluate
from graphc.kernel.gpu import grid_of
from graphc.kernel.interpret import run_kernel
from graphc.kernel.ir import Allocate, Kernel, Reduce, statements_in
from graphc.kernel.parse import parse_kernel
from graphc.kernel.verify import verify_kernel
from graphc.passes.gpu import fallback
from graphc.passes.gpu.fallback import schedule_fallback
from graphc.passes.lower import KernelCall, Scratch
from tests.codegen.corpus import CHECKED, EXAMPLES, Example, buffers
from tests.gpu.harness import TARGET, assert_same_bits

LEFT_OUT = (
    *("double_", "known_", "rows_", "columns_", "wide_", "large_"),  # one of many alike
    "scratch",  # of a length that differs between iterations: `lower` makes none
)
KERNELS = [
    *(e for e in EXAMPLES if not e.name.startswith(LEFT_OUT)),
    Example(
        "long_product",
        """
  size k
  read a: f32[3*k]
  read b: bf16[5*k]
  write y: f32[15]
  %acc: f32 = contract i < 3, j < 5, l < k parallel {
    left {
      %a: f32 = load a[k*i + l]
      yield %a
    }
    right {
      %b: bf16 = load b[5*l + j]
      %c: f32 = cast %b
      yield %c
    }
    epilogue {
      store y[5*i + j] = %acc
    }
  }
""",
        tuple({"k": k} for k in (1, 255, 256, 257, 600)),
    ),
    Example(
        "whole_numbers",
        """
  read a: i8[600]
  read b: i8[600]
  write y: i32[4]
  parallel i < 2 {
    %acc: i32 = contract m < 1, n < 2, l < 300 {
      left {
        %a: i8 = load a[300*i + l]
        yield %a
      }
      right {
        %b: i8 = load b[2*l + n]
        yield %b
      }
      epilogue {
        store y[2*i + n] = %acc
      }
    }
  }
""",
    ),
    Example(
        "long_scratch",
        """
  size n
  read x: f32[400*n]
  write y: f32[n]
  parallel i < n {
    allocate line: f32[400] local
    serial j < 400 {
      %x: f32 = load x[400*i + j]
      %a: f32 = exp %x
      store line[j] = %a
    }
    %y: f32 = reduce sum k < 400 {
      %b: f32 = load line[399 - k]
      yield %b
    }
    store y[i] = %y
  }
""",
        ({"n": 1}, {"n": 300}),
    ),
]
"""Besides short ones of all sorts: sums of several blocks, scratch that no thread should keep to itself."""


def independent(example: Example) -> Kernel:
    """The kernel with loops as `lower` leaves them."""
    return parse_kernel(f"kernel {example.name} {{{example.text.replace('vector ', 'parallel ')}}}\n")


def scheduled(kernel: Kernel) -> KernelCall:
    sources = tuple(Scratch(buffer.size, buffer.dtype) for buffer in kernel.buffers)
    (call,) = schedule_fallback(KernelCall(kernel, sources, None), TARGET)
    verify_kernel(call.kernel, is_scheduled=True)
    assert grid_of(call.kernel) is not None
    return call


def run(kernel: Kernel, like: Kernel, sizes: Mapping[str, int]) -> dict[str, npt.NDArray[np.generic]]:
    """What is written by a kernel that has the buffers of another one, and perhaps more."""
    arrays = buffers(like, sizes)
    for buffer in kernel.buffers:
        arrays.setdefault(buffer.name, np.zeros(evaluate(buffer.size, sizes), buffer.dtype.numpy))
    assert run_kernel(kernel, arrays, sizes) == []
    return {buffer.name: arrays[buffer.name] for buffer in like.writes}


@pytest.mark.parametrize("example", KERNELS, ids=lambda example: example.name)
def test_every_kernel_runs_and_keeps_every_bit(example: Example, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fallback, "MOST_BLOCKS", 2)  # so that threads go on to further iterations
    kernel = independent(example)
    on_gpu = scheduled(kernel).kernel
    for sizes in example.sizes:
        expected = run(example.kernel, kernel, sizes)
        found = run(on_gpu, kernel, sizes)
        assert_same_bits(list(found.values()), list(expected.values()))


def test_a_check_reports_its_code() -> None:
    kernel = independent(CHECKED)
    arrays = {"at": np.array([3, 11, 2]), "x": np.arange(10, dtype=np.float32), "y": np.zeros(3, np.float32)}
    assert run_kernel(scheduled(kernel).kernel, arrays, {"n": 3}) == [7]


def test_long_scratch_is_memory_of_so_many_threads_as_run() -> None:
    (example,) = (each for each in KERNELS if each.name == "long_scratch")
    call = scheduled(independent(example))
    assert not any(isinstance(s, Allocate) for s in statements_in(call.kernel.body))
    ((buffer, source),) = (
        (buffer, source)
        for buffer, source in zip(call.kernel.buffers, call.sources, strict=True)
        if buffer.name not in "xy"
    )
    assert isinstance(source, Scratch)
    assert source.size == buffer.size
    assert [evaluate(source.size, {"n": n}) // 400 for n in (1, 128, 129)] == [128, 128, 256]
    assert evaluate(source.size, {"n": 1 << 40}) * 4 <= fallback.SCRATCH_BYTES


def test_scalars_are_the_work_of_one_thread() -> None:
    kernel = parse_kernel("""
        kernel scalar {
          read x: f32[3]
          write y: f32[1]
          %s: f32 = reduce sum k < 3 {
            %x: f32 = load x[k]
            yield %x
          }
          store y[0] = %s
        }""")
    call = scheduled(kernel)
    grid = grid_of(call.kernel)
    assert grid is not None
    assert (grid.blocks, grid.threads) == (1, 32)
    assert sum(isinstance(s, Reduce) for s in statements_in(call.kernel.body)) == 1
    x, y = np.array([1, 2, 4], np.float32), np.zeros(1, np.float32)
    assert run_kernel(call.kernel, [x, y], {}) == []
    assert y == 7
