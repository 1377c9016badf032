"""Native code gives the bits of the kernel interpreter: every kind of statement, at sizes around lanes and blocks."""

from __future__ import annotations

import numpy as np
import pytest

from graphc.codegen.abi import is_parallel
from graphc.kernel.interpret import run_kernel
from graphc.kernel.ir import Kernel
from graphc.kernel.parse import parse_kernel
from graphc.runtime.target import Target
from tests.codegen.corpus import CHECKED, EXAMPLES, Example, buffers
from tests.codegen.native import Array, run_native, runnable_targets, same_bits


def id_of(target: Target) -> str:
    return target.cpu


def copied(arrays: dict[str, Array]) -> dict[str, Array]:
    return {name: array.copy() for name, array in arrays.items()}


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_native_code_gives_the_bits_of_the_interpreter(example: Example) -> None:
    kernel = example.kernel
    for sizes in example.sizes:
        arrays = buffers(kernel, sizes)
        expected = copied(arrays)
        assert run_kernel(kernel, expected, sizes) == []
        for target in runnable_targets():
            if example.name == "product" and not target.has_fma:
                continue  # there a contraction multiplies and adds
            for threads in (1, 2) if is_parallel(kernel) else (1,):
                got = copied(arrays)
                assert run_native(kernel, got, sizes, threads, target) == 0
                for name, wanted in expected.items():
                    assert same_bits(got[name], wanted), (
                        f"{name} for {dict(sizes)} on {target.cpu}, {threads} threads: {got[name]}, not {wanted}"
                    )


@pytest.mark.parametrize("target", runnable_targets(), ids=id_of)
def test_a_check_reports_its_code_wherever_it_fails(target: Target) -> None:
    kernel = CHECKED.kernel
    for sizes in CHECKED.sizes:
        arrays = buffers(kernel, sizes)
        arrays["at"] = np.arange(sizes["n"]) % 10
        assert run_native(kernel, arrays, sizes, target=target) == 0
        assert same_bits(arrays["y"], arrays["x"][arrays["at"]])
        for place in range(sizes["n"]):
            for wrong in (-1, 10, -(1 << 62)):
                failing = copied(arrays)
                failing["at"][place] = wrong
                assert run_native(kernel, failing, sizes, target=target) == 7


@pytest.mark.parametrize("op", ("sum", "max"))
def test_a_reduction_does_not_depend_on_what_is_around_it(op: str) -> None:
    """A row, a column in lanes, a column in scalar code, and one in a body too large to repeat: the same bits."""
    n = 333
    x = np.random.default_rng(0).normal(size=n).astype(np.float32)
    padding = "".join(f"%p{j}: f32 = mul %{'x' if j == 0 else f'p{j - 1}'}, 1.0:f32\n" for j in range(200))
    row = f"%y: f32 = reduce {op} k < {n} {{ %x: f32 = load x[k] yield %x }} store y[0] = %y"
    large = f"%y: f32 = reduce {op} k < {n} {{ %x: f32 = load x[k] {padding} yield %p199 }} store y[0] = %y"
    lanes = (
        f"vector i < 20 {{ %y: f32 = reduce {op} k < {n} {{ %x: f32 = load x[20*k + i] yield %x }} store y[i] = %y }}"
    )
    serial = lanes.replace("vector", "serial")
    inside = f"""%y: f32 = reduce {op} k < {n} {{
      %z: f32 = reduce max l < 1 {{ %x: f32 = load x[k + l] yield %x }} yield %z }} store y[0] = %y"""
    results = []
    for body, width in ((row, 1), (large, 1), (inside, 1), (lanes, 20), (serial, 20)):
        kernel = parse_kernel(f"kernel r {{ read x: f32[{n * width}] write y: f32[{width}] {body} }}")
        for target in runnable_targets():
            arrays = {"x": np.repeat(x, width), "y": np.zeros(width, np.float32)}
            assert run_native(kernel, arrays, target=target) == 0
            results.append(arrays["y"])
    assert all(same_bits(result, np.full(result.shape, results[0][0])) for result in results)


def test_a_sum_of_negative_zeros_is_zero_in_every_form() -> None:
    for n in (1, 3, 16, 64, 65):
        for body in (
            f"serial i < 4 {{ %y: f32 = reduce sum k < {n} {{ %x: f32 = load x[4*k + i] yield %x }} store y[i] = %y }}",
            f"vector i < 4 {{ %y: f32 = reduce sum k < {n} {{ %x: f32 = load x[4*k + i] yield %x }} store y[i] = %y }}",
        ):
            kernel = parse_kernel(f"kernel z {{ read x: f32[{4 * n}] write y: f32[4] {body} }}")
            arrays = {"x": np.full(4 * n, -0.0, np.float32), "y": np.ones(4, np.float32)}
            run_native(kernel, arrays)
            assert not np.signbit(arrays["y"]).any()


def test_nothing_outside_of_the_buffers_is_touched() -> None:
    """The masked tail and the moves of runs write their own elements alone."""
    for example in EXAMPLES:
        for sizes in example.sizes[-2:]:
            kernel = example.kernel
            arrays = buffers(kernel, sizes)
            guarded, fences = {}, []
            for name, array in arrays.items():
                whole = np.full(array.nbytes + 256, 0xA5, np.uint8)
                inside = whole[128 : 128 + array.nbytes].view(array.dtype)
                inside[:] = array
                guarded[name] = inside
                fences.append((name, whole[:128], whole[128 + array.nbytes :]))
            run_native(kernel, guarded, sizes)
            for name, before, after in fences:
                assert (before == 0xA5).all(), f"{example.name} writes in front of {name}"
                assert (after == 0xA5).all(), f"{example.name} writes behind {name}"


def test_symbols_that_share_a_name_in_turn_stay_apart() -> None:
    kernel: Kernel = parse_kernel("""kernel twice {
  size n
  read x: f32[n]
  write y: f32[n]
  write z: f32[2*n]
  vector i < n {
    %a: f32 = load x[i]
    store y[i] = %a
  }
  vector i < 2*n {
    %b: f32 = load x[i // 2]
    store z[i] = %b
  }
}
""")
    x = np.arange(40, dtype=np.float32)
    arrays = {"x": x, "y": np.zeros(40, np.float32), "z": np.zeros(80, np.float32)}
    assert run_native(kernel, arrays, {"n": 40}) == 0
    assert same_bits(arrays["y"], x)
    assert same_bits(arrays["z"], np.repeat(x, 2))
