"""GPU kernels: their code gives what the kernel interpreter gives, and ptxas takes it without a spill."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from graphc.codegen.gpu.ptx import emit_ptx
from graphc.codegen.gpu.support import check_support
from graphc.ir.dtype import c64, f32
from graphc.ir.errors import MissingFeature, UnsupportedDType
from graphc.kernel.gpu import GpuTarget, grid_of
from graphc.kernel.interpret import run_kernel
from graphc.kernel.ir import Apply, Kernel, Literal, Loop, Value
from graphc.kernel.parse import parse_kernel
from graphc.kernel.text import print_kernel
from graphc.kernel.verify import verify_kernel
from tests.codegen.corpus import Example, buffers
from tests.codegen.gpu.assembler import TARGETS, AssemblerError, compiled
from tests.codegen.gpu.kernels import LARGE, MATRICES, PLAIN, TILES, WARPGROUPS
from tests.codegen.gpu.threads import run_threads
from tests.codegen.native import same_bits

OLDEST, NEWER = TARGETS[0], TARGETS[2]


def examples(target: GpuTarget) -> tuple[Example, ...]:
    """Those that the target can run."""
    products = WARPGROUPS if target.has_warpgroups else ()
    return (*PLAIN, *(MATRICES if target.has_bf16_matrices else MATRICES[:1]), *products)


def id_of(value: object) -> str:
    return value.name if isinstance(value, Example) else str(value)


@pytest.mark.parametrize(
    "example, target",
    [(example, target) for target in (OLDEST, NEWER) for example in examples(target)],
    ids=id_of,
)
def test_code_gives_the_bits_of_the_interpreter(example: Example, target: GpuTarget) -> None:
    kernel = example.kernel
    verify_kernel(kernel, is_scheduled=True)
    for sizes in example.sizes:
        arrays = buffers(kernel, sizes)
        expected = {name: array.copy() for name, array in arrays.items()}
        codes = run_kernel(kernel, expected, sizes)
        assert run_threads(kernel, arrays, sizes, target=target) in (codes or [0])
        for name, array in arrays.items():
            if example in (*MATRICES, *WARPGROUPS):  # the order of sums is the machine's
                assert np.allclose(array, expected[name], rtol=1e-2, atol=1e-2, equal_nan=True), name
            else:
                assert same_bits(array, expected[name]), name


@pytest.mark.parametrize("target", TARGETS, ids=str)
def test_ptxas_takes_the_code_and_spills_nothing(target: GpuTarget) -> None:
    kernels = {example.name: example.kernel for example in examples(target)}
    ptx, usages = compiled(kernels, target)
    assert set(usages) == set(kernels)
    for name, usage in usages.items():
        assert (usage.spilled_bytes, usage.stack_bytes) == (0, 0), name
    assert "local" not in ptx, "an array of a thread did not become registers"
    assert usages["tiles"].registers < 168
    assert usages["elementwise"].registers <= 32


def entry(ptx: str, name: str) -> str:
    """The text of one kernel."""
    start = ptx.index(f".entry {name}(")
    return ptx[start : ptx.index("\n}\n", start)]


@pytest.fixture(scope="module")
def ptx() -> str:
    return emit_ptx({example.name: example.kernel for example in examples(NEWER)}, NEWER)


def test_neighbours_are_one_access(ptx: str) -> None:
    text = entry(ptx, "elementwise")
    assert text.count("ld.global.v4.b32") == 2
    assert text.count("st.global.v4.b32") == 1
    halves = entry(ptx, "halves")
    assert "ld.global.nc.v4.b32" in halves  # eight bfloat16
    assert halves.count("ld.global.nc.v2.b64") == 4
    assert "st.global.v4.b32" in halves
    parts = entry(ptx, "parts")
    assert re.findall(r"[ls][dt]\.global\S*", parts)[: 6 + 3] == ["ld.global.nc.b32"] * 6 + ["st.global.v2.b32"] * 3
    assert parts.count("ld.global.nc.v4.b32") == 1  # 16 bytes
    assert parts.count("ld.global.v4.b32") == 2  # 16 float16
    tiles = entry(ptx, "tiles")
    assert tiles.count("ld.shared.v4") == 4
    assert tiles.count("fma.rn.f32") == 64
    assert tiles.count("st.global.v4") == 16


def test_what_is_written_is_not_read_as_constant(ptx: str) -> None:
    # z may lie where x or y does, so that the kernel runs in place; the gather's buffers cannot.
    assert ".nc" not in entry(ptx, "elementwise")
    assert "ld.global.nc" in entry(ptx, "gather")


def test_memory_that_threads_share_is_read_after_the_barrier() -> None:
    text = emit_ptx({"k": parse_kernel(TOLD)}, NEWER)
    assert re.findall(r"(?:ld|st)\.global|bar\.sync", text) == ["st.global", "bar.sync", "ld.global", "st.global"]


TOLD = """
kernel k {
  write x: f32[32]
  write y: f32[32]
  block b < 1 {
    thread t < 32 {
      %v: f32 = position t
      store x[t] = %v
      barrier
      %w: f32 = load x[31 - t]
      store y[t] = %w
    }
  }
}
"""


def test_arithmetic_is_what_was_written(ptx: str) -> None:
    text = entry(ptx, "elementwise")
    lanes = 4 + 1  # and the rest, one at a time
    assert [text.count(f"{op}.rn.f32") for op in ("mul", "add", "fma")] == [lanes] * 3
    assert not re.search(r"ftz|approx", ptx)


def test_shared_memory_beyond_the_static_limit_is_the_launchs(ptx: str) -> None:
    assert ".extern .shared .align 16 .b8 dynamic[]" in ptx
    assert re.search(r"ld\.shared\.b64.*\[", entry(ptx, "large"))
    grid = grid_of(LARGE.kernel)
    assert grid is not None
    assert grid.shared_bytes == 16 + 8 * 8000


def test_copies_run_behind_the_threads_back_where_they_can(ptx: str) -> None:
    assert entry(ptx, "tensor_cores_f16").count("cp.async.cg.shared.global") == 4
    older = emit_ptx({"tensor_cores_f16": MATRICES[0].kernel}, OLDEST)
    assert "cp.async" not in older
    assert older.count("mma.sync.aligned.m16n8k8") == 4


def test_short_indices_are_computed_in_32_bits() -> None:
    kernel = TILES.kernel
    text = entry(emit_ptx({"tiles": kernel}, NEWER), "tiles")
    assert not re.search(r"(mul\.lo|div|rem)\.[su]64", text)


def with_buffers(count: int) -> Kernel:
    """A kernel that adds up elements of so many buffers."""
    names = [f"x{i}" for i in range(count)]
    reads = "".join(f"read {name}: f32[32]\n" for name in names)
    sums = "".join(f"%v{i}: f32 = load x{i}[t]\n%s{i + 1}: f32 = add %s{i}, %v{i}\n" for i in range(count))
    code = f"%s0: f32 = position t\n{sums}store y[t] = %s{count}\n"
    return parse_kernel(f"kernel k {{\n{reads}write y: f32[32]\nblock b < 1 {{\nthread t < 32 {{\n{code}}}\n}}\n}}\n")


@pytest.mark.parametrize("target", TARGETS, ids=str)
def test_a_kernel_may_have_many_buffers(target: GpuTarget) -> None:
    ptx, _ = compiled({"k": with_buffers(600)}, target)  # beyond what all versions of PTX take
    assert ptx.count("ld.global") == 600
    with pytest.raises(MissingFeature, match=r"k has 4095 arrays and 0 sizes; a kernel on .* has at most 4094 of both"):
        check_support(with_buffers(4094), target)


KERNEL = """
kernel k {{
  block b < 1 {{
    allocate s: f64[{size}] shared
    thread t < 32 {{
      {statement}
    }}
  }}
}}
"""
PRODUCT = "(%a: f32) = multiply_matrices bf16 (1:u32), (1:u32), (0.0:f32)"


@pytest.mark.parametrize(
    "size, statement, message",
    [
        (8193, "", "k needs 65544 bytes of shared memory; a block on cuda:sm_75 has at most 65536"),
        (1, PRODUCT, "the tensor cores of cuda:sm_75 do not multiply bf16"),
    ],
)
def test_what_the_target_cannot_do_is_refused(size: int, statement: str, message: str) -> None:
    kernel = parse_kernel(KERNEL.format(size=size, statement=statement))
    with pytest.raises(MissingFeature, match=re.escape(message)):
        emit_ptx({"k": kernel}, OLDEST)


def test_products_in_shared_memory_are_for_one_generation() -> None:
    product, other = WARPGROUPS[0].kernel, TILES.kernel
    assert re.findall(r"\.target (\w+)", emit_ptx({"k": other}, NEWER)) == ["sm_90"]
    assert re.findall(r"\.target (\w+)", emit_ptx({"k": other, "l": product}, NEWER)) == ["sm_90a"]
    for target in TARGETS:
        if target is not NEWER:
            with pytest.raises(MissingFeature, match=f"{target} do not multiply matrices in shared memory"):
                emit_ptx({"k": product}, target)


def test_an_assembler_that_makes_products_wait_is_heard() -> None:
    kernel = WARPGROUPS[0].kernel
    wait = "      wait_products sums, 1\n"
    early = "      %0: f32 = load sums[0]\n      %1: f32 = mul %0, 2.0:f32\n      store sums[0] = %1\n"
    text = print_kernel(kernel)
    assert wait in text
    with pytest.raises(AssemblerError, match="wgmma"):
        compiled({"k": parse_kernel(text.replace(wait, early + wait))}, NEWER)


def test_an_op_without_code_is_refused() -> None:
    kernel = parse_kernel(KERNEL.format(size=1, statement="%a: f32 = add 1.0:f32, 2.0:f32"))
    (blocks,) = kernel.body
    assert isinstance(blocks, Loop)
    value = Value("a", c64)
    broken = replace(kernel, body=(Apply(value, "add", (value, value)), blocks))
    with pytest.raises(UnsupportedDType, match="add of complex64 has no code for cuda:sm_75"):
        check_support(broken, OLDEST)
    with pytest.raises(UnsupportedDType, match="exp of float32 has no code"):
        check_support(replace(kernel, body=(Apply(Value("a", f32), "exp", (Literal(1.0, f32),)), blocks)), OLDEST)
