"""The script for GPUs, where there is none: it compares by an emulator, finds what is wrong, and refuses to time."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import graphc
from graphc.ir.errors import IndexOutOfRange
from graphc.ir.settings import override
from graphc.kernel import interpret
from graphc.runtime.cuda import memory
from graphc.runtime.cuda.driver import CudaError
from tests.benchmarks import gpu, gpu_children, gpu_launch, gpu_speed, gpu_vendor, gpu_worker
from tests.benchmarks.gpu_cases import all_cases
from tests.benchmarks.gpu_compare import compare
from tests.benchmarks.gpu_speed import copy_tasks, time_case
from tests.benchmarks.gpu_table import tables
from tests.benchmarks.gpu_task import CLOSE, DIFFERS, ERROR, LEFT_OUT, SAME, STATES, Task

COMPARING = [name for name, group in gpu.GROUPS.items() if not group.is_speed]


@pytest.fixture
def emulated() -> Any:
    with override(cuda_driver="emulator"):
        yield
        memory.empty_cache()


def run(file: Path, *arguments: str) -> tuple[int, Any]:
    status = gpu.main(["--json", str(file), "--quick", "--jobs", "0", *arguments])
    return status, json.loads(file.read_text())


@pytest.mark.usefixtures("emulated")
def test_everything_compared_is_the_same_and_nothing_is_timed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, figures = run(tmp_path / "results" / "quick.json")
    printed = capsys.readouterr()
    wrong = {name: group["wrong"] for name, group in figures["correctness"].items() if group["wrong"]}
    assert (status, wrong) == (0, {})
    assert list(figures["correctness"]) == COMPARING
    for group in figures["correctness"].values():
        assert list(group["counts"]) == list(STATES)
        assert group["counts"][SAME] > 0
        assert sum(group["counts"].values()) == len(group["tasks"])
    assert (figures["speed"], figures["unreached"]) == ({}, [])
    assert figures["device"]["name"] == "graphc emulator of sm_80"
    assert {"date", "driver", "machine"} <= set(figures)
    assert "GB/s" not in json.dumps(figures)
    assert "those of the emulator, not of a GPU" in printed.err
    assert all(f"| {name} |" in printed.out for name in COMPARING)


@pytest.mark.usefixtures("emulated")
def test_a_wrong_kernel_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right = interpret.run_kernel

    def spoiled(kernel: Any, arrays: Any, sizes: Any) -> Any:
        found = right(kernel, arrays, sizes)
        for array in arrays[-1:]:
            if array.dtype == np.float32 and array.size:
                array.flat[-1] = np.nextafter(array.flat[-1], np.float32(9))
        return found

    monkeypatch.setattr("graphc.runtime.cuda.emulator.run_kernel", spoiled)
    status, figures = run(tmp_path / "quick.json", "--only", "functions")
    assert status == 1
    (first, *_) = figures["correctness"]["functions"]["wrong"]
    assert (first["state"], first["dtype"], first["elements"]) == (DIFFERS, "float32", 1)
    assert first["name"] in tables(figures)


@pytest.mark.usefixtures("emulated")
def test_an_emulators_speed_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert gpu.main(["--json", str(tmp_path / "none.json"), "--only", "speed"]) == 2
    assert "nothing is timed: the figures would be those of the emulator" in capsys.readouterr().err
    assert not (tmp_path / "none.json").exists()


def test_without_a_gpu_one_line_says_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with override(cuda_driver="none"):
        assert gpu.main(["--json", str(tmp_path / "none.json")]) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("nothing is measured, there is no GPU: the setting GRAPHC_CUDA_DRIVER=none")
    assert (printed.err.count("\n"), printed.out) == (1, "")
    assert not (tmp_path / "none.json").exists()


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--json", "x.json", "--only", "ops,speeed"], "there is no group 'speeed'; there are correctness, speed, ops"),
        (["--only", "ops"], "the following arguments are required: --json"),
    ],
)
def test_arguments(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        gpu.main(arguments)
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


def test_names_choose_groups_in_order() -> None:
    assert gpu.chosen("speed,steps,ops")[:3] == ["ops", "steps", "copy"]
    assert gpu.chosen("correctness") == COMPARING


ONE = np.float32([1, 2, 3])
COMPARED: list[tuple[list[Any], list[Any], str | None, str]] = [
    ([ONE], [ONE.copy()], None, SAME),
    ([ONE], [ONE * np.float32(1 + 2e-7)], None, DIFFERS),
    ([ONE], [ONE * np.float32(1 + 2e-7)], "order", CLOSE),
    ([ONE], [ONE * np.float32(1.01)], "order", DIFFERS),
    ([ONE], [ONE.astype(np.float64)], None, DIFFERS),
    ([ONE], [ONE, ONE], None, DIFFERS),
    ([ONE], [np.float32([1, 2, np.nan])], "order", DIFFERS),
    ([np.float32([np.nan])], [-np.float32([np.nan])], None, SAME),
    ([np.float32([0.0])], [np.float32([-0.0])], None, DIFFERS),
    ([np.array([1, 2])], [np.array([1, 3])], "order", DIFFERS),
    ([np.array([True])], [np.array([False])], "order", DIFFERS),
    ([ONE * 1j], [ONE * np.complex64(1j) * np.float32(1 + 2e-7)], "order", CLOSE),
]


@pytest.mark.parametrize("expected, found, reason, state", COMPARED)
def test_results_are_compared_by_bits(expected: list[Any], found: list[Any], reason: str | None, state: str) -> None:
    assert compare(expected, found, reason)["state"] == state
    if state == CLOSE:
        assert compare(expected, found, reason, 1e-8)["state"] == DIFFERS


@pytest.mark.usefixtures("emulated")
@pytest.mark.parametrize("case", all_cases()[::13], ids=lambda case: f"{case.group}: {case.name}")
def test_what_is_timed_runs(case: Any) -> None:
    figures = time_case(case, is_tiny=True)
    assert "error" not in figures["graphc"], figures
    assert figures["graphc"]["median"] > 0
    assert ("GB/s" in figures["graphc"]) == (case.traffic is not None)
    assert ("TFLOP/s" in figures["graphc"]) == (case.products is not None)
    assert all(kernel["threads"] % 32 == 0 for kernel in figures["graphc"].get("kernels", ()))


class Peer:
    """Stands for torch: graphc by another name."""

    __name__ = "torch"
    backends = SimpleNamespace(cuda=graphc.backends.cuda, cudnn=SimpleNamespace(allow_tf32=True))

    def __getattr__(self, name: str) -> Any:
        return getattr(graphc, name)


@pytest.mark.usefixtures("emulated")
def test_a_peer_is_measured_beside(monkeypatch: pytest.MonkeyPatch) -> None:
    peer = Peer()
    monkeypatch.setattr(gpu_speed, "torch", lambda: peer)
    chosen = {case.name: case for case in all_cases()}
    names = ("tf32 512", "layer norm, 4096 wide")
    figures = {name: time_case(chosen[name], is_tiny=True) for name in names}
    assert list(figures["tf32 512"]) == ["graphc", "torch"]
    assert list(figures["layer norm, 4096 wide"]) == ["graphc", "graphc eager", "torch", "torch.compile"]
    assert not [each for libraries in figures.values() for each in libraries.values() if "error" in each]
    ratio = figures["tf32 512"]["graphc"]["TFLOP/s"] / figures["tf32 512"]["torch"]["TFLOP/s"]
    assert figures["tf32 512"]["graphc"]["of torch"] == pytest.approx(ratio)
    assert peer.backends.cudnn.allow_tf32
    steps = {task.name: task for task in gpu_speed.training_tasks(is_tiny=True)}
    kernels = [each for libraries in figures.values() for each in libraries["graphc"].get("kernels", ())]
    assert {"name", "threads", "shared_bytes"} <= set(kernels[0])
    found = steps["MLP, SGD"].run()
    assert list(found) == ["graphc", "graphc eager", "torch", "torch.compile"]
    assert found["graphc"]["torch's best time / this"] > 0


@pytest.mark.usefixtures("emulated")
def test_copies_and_launches_are_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_launch, "KERNELS", 4)
    tasks = [*copy_tasks(is_tiny=True), *gpu_launch.launch_tasks(is_tiny=True)]
    speed = {"parts": {task.name: gpu_worker.perform(task) for task in tasks}}
    for name, figures in speed["parts"].items():
        assert figures["graphc"]["median"] > 0, (name, figures)
    with_device = {**gpu.where(), "quick": True, "correctness": {}, "speed": speed, "unreached": ["parts: another"]}
    printed = tables(with_device)
    assert "these times mean nothing" in printed
    assert all(f"| {name} |" in printed for name in speed["parts"])
    assert "Not reached in time: parts: another." in printed
    assert not gpu.is_wrong(with_device)
    speed["parts"]["failed"] = {"state": ERROR, "error": "it failed"}
    assert gpu.is_wrong(with_device)
    assert "| failed | it failed |" in tables(with_device)


def test_a_crash_costs_one_task() -> None:
    found = gpu_children.Findings()
    lines = [{"begin": "a"}, {"name": "a", "figures": {"state": SAME}}, {"begin": "b"}]
    code = f"import os, signal; print({chr(10).join(map(json.dumps, lines))!r}, flush=True); os.abort()"
    with tempfile.TemporaryFile() as said:
        begun, status = gpu_children._watch([sys.executable, "-c", code], {}, found, said)
    assert (begun, status) == ("b", -6)
    assert found.results == [("a", {"state": SAME})]


def test_a_share_of_a_group_runs_in_a_process_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAPHC_CUDA_DRIVER", "emulator")
    found = gpu_children.run_group("graphs", True, float("inf"), 2)
    assert {name for name, _ in found.results} == {
        f"{kind} graph {i}" for kind in ("random", "structured") for i in (0, 1)
    }
    assert all(figures["state"] == SAME for _, figures in found.results)


def test_what_time_is_too_short_for_is_listed() -> None:
    lines: list[dict[str, Any]] = []
    tasks = [Task(name, lambda: {"state": LEFT_OUT, "why": ""}) for name in ("a", "b")]
    assert gpu_worker.work(tasks, -1, lambda **fields: lines.append(fields)) == 0
    assert lines == [{"unreached": ["a", "b"]}]


def test_an_error_of_a_task_is_a_figure() -> None:
    def fail() -> Any:
        raise ValueError("not so")

    figures = gpu_worker.perform(Task("a", fail))
    assert (figures["state"], figures["error"]) == (ERROR, "ValueError: not so")
    assert figures["where"][-1].startswith("tests/benchmarks/test_gpu.py:")


def test_a_fault_of_the_device_ends_the_process_and_a_failed_check_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(error: Exception) -> Any:
        def synchronize() -> None:
            raise error

        return synchronize

    monkeypatch.setattr(graphc.cuda, "synchronize", failing(IndexOutOfRange("index out of range in self")))
    assert not gpu_worker.is_useless()
    monkeypatch.setattr(graphc.cuda, "synchronize", failing(CudaError("CUDA error: an illegal memory access")))
    lines: list[dict[str, Any]] = []
    tasks = [Task(name, lambda: {"state": SAME}) for name in ("a", "b")]
    assert gpu_worker.work(tasks, 9, lambda **fields: lines.append(fields)) == gpu_worker.FAULT
    assert [line.get("name") for line in lines] == [None, "a"]


def test_peaks_of_data_sheets() -> None:
    assert gpu_vendor.peak("NVIDIA H100 PCIe", "bfloat16") == 756e12
    assert gpu_vendor.peak("NVIDIA H100 80GB HBM3", "tf32") == 495e12
    assert gpu_vendor.peak("Tesla T4", "tf32") is None
    assert gpu_vendor.peak("a GPU of tomorrow", "float32") is None


@pytest.mark.usefixtures("emulated")
def test_graphc_under_the_name_of_torch_is_no_peer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", graphc)
    gpu_vendor.torch.cache_clear()
    assert gpu_vendor.torch() is None
    gpu_vendor.torch.cache_clear()
