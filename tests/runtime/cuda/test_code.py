"""Kernels as code on a device: what is kept in memory and on disk, under which keys, and for how long."""

from __future__ import annotations

import dataclasses
import gc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from graphc.ir.errors import MissingFeature
from graphc.ir.settings import override
from graphc.kernel.gpu import GpuTarget, grid_of
from graphc.kernel.ir import Kernel
from graphc.kernel.parse import parse_kernel
from graphc.runtime.cuda import code, library, select
from graphc.runtime.cuda.driver import CudaError
from graphc.runtime.cuda.emulator import Emulator
from graphc.runtime.cuda.native import NativeDriver
from tests.runtime.cuda import fake_driver
from tests.runtime.cuda.fake_driver import CUBIN, FakeDriver
from tests.runtime.cuda.test_emulator import ADD_ONE


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeDriver]:
    """A driver that notes its calls, with an empty cache on disk."""
    made = FakeDriver()
    driver = NativeDriver("ctypes", library.functions_of(made.library()))
    monkeypatch.setattr(select, "_drivers", {"ctypes": driver})
    with override(cuda_driver="ctypes", cache_dir=str(tmp_path)):
        yield made
    code.forget()


def made(fake: FakeDriver, name: str) -> list[tuple[Any, ...]]:
    return [call for call in fake.calls if call[0] == name]


def test_the_driver_compiles_once(fake: FakeDriver) -> None:
    first = code.loaded(ADD_ONE, 0)
    assert code.loaded(ADD_ONE, 0) is first
    ((_, _, kind, ptx, _, name, _),) = made(fake, "cuLinkAddData")
    assert (kind, name) == (1, b"k_add_one")
    assert b".entry k_add_one(" in ptx
    assert made(fake, "cuModuleLoadDataEx")[0][1].startswith(CUBIN.partition(b"\0")[0])
    assert made(fake, "cuModuleGetFunction")[0][2] == b"k_add_one"
    assert made(fake, "cuFuncSetAttribute") == []


def test_what_a_kernel_takes(fake: FakeDriver) -> None:
    first = code.loaded(ADD_ONE, 0)
    assert code.kept() == (first,)
    assert first.usage() is not None
    grid = grid_of(ADD_ONE)
    assert grid is not None
    ((_, _, threads, dynamic_bytes),) = made(fake, "cuOccupancyMaxActiveBlocksPerMultiprocessor")
    assert (threads, dynamic_bytes) == (grid.threads, 0)
    code.forget()
    assert code.kept() == ()


def test_another_process_finds_machine_code_on_disk(fake: FakeDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    from graphc.codegen.gpu import ptx

    code.loaded(ADD_ONE, 0)
    code.forget()
    gc.collect()
    monkeypatch.setattr(ptx, "emit_ptx", None)
    code.loaded(ADD_ONE, 0)
    assert len(made(fake, "cuLinkComplete")) == 1
    assert len(made(fake, "cuModuleLoadDataEx")) == 2


def test_what_only_loading_compiles_is_loaded_as_ptx(fake: FakeDriver) -> None:
    fake.statuses = {"cuLinkAddData": 218}
    for _ in range(2):
        loaded = code.loaded(ADD_ONE, 0)
        assert b".entry k_add_one(" in made(fake, "cuModuleLoadDataEx")[-1][1]
        del loaded
        code.forget()
        gc.collect()
    assert len(made(fake, "cuLinkAddData")) == 1


def test_a_launch(fake: FakeDriver) -> None:
    loaded = code.loaded(ADD_ONE, 0)
    assert [loaded.blocks([n]) for n in (0, 1, 64, 65)] == [0, 1, 1, 2]
    fake.statuses = {"cuLaunchKernel": 1}
    with pytest.raises(CudaError, match="cuLaunchKernel of kernel k_add_one"):
        loaded.launch([1 << 20, 1 << 21], [100], 0, 5)
    ((_, _, *grid, words, _),) = made(fake, "cuLaunchKernel")
    assert grid == [2, 1, 1, 64, 1, 1, 0, 5]
    assert words[:3] == (1 << 20, 1 << 21, 100)
    fake.statuses = {}
    for sizes in (few := (100,)), (many := (1000,)), many, few:
        loaded.launch([1 << 20, 1 << 21], sizes, 0, 5)
    assert [call[2] for call in made(fake, "cuLaunchKernel")] == [2, 2, 16, 16, 2]
    loaded.launch([0, 0], [0], 0, 5)
    assert len(made(fake, "cuLaunchKernel")) == 5, "a grid without blocks is not launched"


def test_a_grid_of_more_blocks_than_there_can_be_is_refused(fake: FakeDriver) -> None:
    loaded = code.loaded(ADD_ONE, 0)
    loaded.launch([0, 0], [64 * (2**31 - 1)], 0, 0)
    assert made(fake, "cuLaunchKernel")[0][2] == 2**31 - 1
    with pytest.raises(MissingFeature, match="would run in 2147483648 blocks, and a GPU has at most 2147483647"):
        loaded.launch([0, 0], [64 * 2**31], 0, 0)


def test_much_shared_memory_is_asked_for(fake: FakeDriver) -> None:
    kernel = parse_kernel(
        "kernel wide { write y: f32[64] block b < 1 { allocate s: f32[16384] shared "
        "thread t < 64 { store s[t] = 1.0:f32 %0: f32 = load s[t] store y[t] = %0 } } }"
    )
    loaded = code.loaded(kernel, 0)
    assert made(fake, "cuFuncSetAttribute")[0][2:] == (8, 65536)
    fake.words = 2
    loaded.launch([1 << 20], [], 0, 0)
    assert made(fake, "cuLaunchKernel")[0][8] == 65536


def kernel(name: str) -> Kernel:
    return parse_kernel(
        f"kernel {name} {{ write y: f32[32] block b < 1 {{ thread t < 32 {{ store y[t] = 1.0:f32 }} }} }}"
    )


def test_code_is_unloaded_when_nobody_has_it(fake: FakeDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(code, "MOST_RECENT", 1)
    first = code.loaded(kernel("first"), 0)
    code.loaded(kernel("second"), 0)
    code.loaded(kernel("third"), 0)
    code.loaded(kernel("fourth"), 0)
    gone = [call[1] for call in made(fake, "cuModuleUnload")]
    assert len(gone) == 1, "the second went when the third came, and was unloaded at the next"
    assert first.module not in gone


def test_code_of_another_device_is_unloaded_before_that_of_this_one_is_loaded(
    fake: FakeDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(code, "MOST_RECENT", 1)
    for name, device in (("first", 0), ("second", 1), ("third", 1)):
        code.loaded(kernel(name), device)
    calls = [call for call in fake.calls if call[0] in ("cuCtxSetCurrent", "cuModuleLoadDataEx", "cuModuleUnload")]
    contexts = {call[1] for call in made(fake, "cuCtxSetCurrent")}
    assert len(contexts) == 2
    assert [call[0] for call in calls[-4:]] == [
        "cuCtxSetCurrent", "cuModuleUnload", "cuCtxSetCurrent", "cuModuleLoadDataEx"
    ]  # fmt: skip
    assert calls[-4][1] != calls[-2][1]


def test_an_error_is_the_kernels_own_where_launches_wait(fake: FakeDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(code, "IS_BLOCKING", True)
    loaded = code.loaded(ADD_ONE, 0)
    fake.statuses = {"cuStreamSynchronize": 700}
    with pytest.raises(CudaError, match=r"^CUDA error: illegal access .*: kernel add_one failed"):
        loaded.launch([1, 1], [1], 0, 5)


TARGET = GpuTarget(80)
PTX_PARTS: dict[str, Callable[[pytest.MonkeyPatch], str]] = {
    "text": lambda patch: code.ptx_key("other", TARGET),
    "target": lambda patch: code.ptx_key("text", dataclasses.replace(TARGET, capability=90)),
    "generator": lambda patch: (patch.setattr(code, "codegen_version", lambda: "x"), code.ptx_key("text", TARGET))[1],
    "llvmlite": lambda patch: (patch.setattr(code, "versions", lambda: ("x", "y")), code.ptx_key("text", TARGET))[1],
    "format": lambda patch: (patch.setattr(code, "_PTX_FORMAT", "x"), code.ptx_key("text", TARGET))[1],
}


@pytest.mark.parametrize("part", PTX_PARTS)
def test_each_part_of_the_ptx_key_counts(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    original = code.ptx_key("text", TARGET)
    assert original == code.ptx_key("text", TARGET)
    assert PTX_PARTS[part](monkeypatch) != original


CUBIN_PARTS: dict[str, Callable[[pytest.MonkeyPatch], str]] = {
    "ptx": lambda patch: "other",
    "driver version": lambda patch: patch.setitem(fake_driver.ANSWERS, "cuDriverGetVersion", (13000,)) or "ptx",
    "device": lambda patch: patch.setitem(fake_driver.ATTRIBUTES, 75, 8) or "ptx",
    "format": lambda patch: patch.setattr(code, "_CUBIN_FORMAT", "x") or "ptx",
}


@pytest.mark.parametrize("part", CUBIN_PARTS)
def test_each_part_of_the_machine_codes_key_counts(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def key(ptx: str) -> str:
        return code.cubin_key(ptx, NativeDriver("ctypes", library.functions_of(FakeDriver().library())), 0)

    original = key("ptx")
    assert original == key("ptx")
    assert key(CUBIN_PARTS[part](monkeypatch)) != original


def test_names_of_entries_are_those_of_ptx() -> None:
    assert code.entry_name("softmax.1 of 2-ä") == "k_softmax_1_of_2__"


def test_the_emulator_needs_no_code(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    from graphc.codegen.gpu import ptx

    monkeypatch.setattr(ptx, "emit_ptx", None)
    assert code.loaded(ADD_ONE, 1).device == 1
