"""`graphc doctor`: what it says of this machine, what it says is missing, and when it fails."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from graphc.cli import doctor
from graphc.ir.errors import ArgumentError
from graphc.ir.settings import override
from graphc.runtime.cuda.driver import CudaError
from tests.cli.conftest import Command

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli")

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]


def requirements(texts: list[str]) -> dict[str, str]:
    found = [re.fullmatch(r"([\w-]+)>=([\d.]+)", text) for text in texts]
    return {match[1]: match[2] for match in found if match is not None}


def findings(command: Command) -> dict[str, dict[str, Any]]:
    done = command("doctor", "--json")
    assert done.err == ""
    return {each["name"]: each for each in json.loads(done.out)["findings"]}


def test_it_asks_for_what_the_package_asks_for() -> None:
    assert requirements(PROJECT["dependencies"]) == doctor.NEEDED
    extras = PROJECT["optional-dependencies"]
    asked = {
        name: oldest
        for extra in ("cuda", "tensorboard", "examples")
        for name, oldest in requirements(extras[extra]).items()
    }
    assert {name: oldest for name, (oldest, _) in doctor.OPTIONAL.items()} == asked
    assert PROJECT["requires-python"] == f">={'.'.join(map(str, doctor.PYTHON))}"


def test_each_thing_has_a_line(command: Command, tmp_path: Path) -> None:
    with override(cuda_driver="none", cache_dir=str(tmp_path / "code"), num_threads=1):
        done = command("doctor")
    assert (done.status, done.err) == (0, "")
    lines = {line[9:].split("  ")[0]: line for line in done.out.splitlines()}
    expected = ["graphc", "python", "numpy", "llvmlite", "LLVM", "settings", "cpu", "threads", "cache", "GPU"]
    assert lines.keys() >= {*expected, "program on the CPU", "CUDA driver", "cuda-bindings"}
    assert all(lines[name].startswith("ok  ") for name in expected[:-1])
    assert re.search(r"vectors of \d+ bits, ", lines["cpu"])
    assert f"{tmp_path / 'code'}: 0 entries, 0 bytes of at most 1.0 GiB" in lines["cache"]
    assert re.search(r"compiled and run in \d+ ms, again in \d+ us", lines["program on the CPU"])
    assert "GRAPHC_CUDA_DRIVER=none" in lines["settings"]
    assert (
        "the setting GRAPHC_CUDA_DRIVER=none turns GPUs off; optional: an NVIDIA driver with CUDA 12.0 or newer"
        in lines["CUDA driver"]
    )
    assert lines["GPU"].startswith("missing  ")


def test_other_programs_can_read_it(command: Command) -> None:
    with override(cuda_driver="none", cpu="x86-64-v3" if _is_x86() else "native"):
        found = findings(command)
    assert found["program on the CPU"]["details"]["runs"] is True
    assert found["numpy"]["details"]["needed"] == doctor.NEEDED["numpy"]
    assert found["cpu"]["details"]["vector_bits"] in (128, 256, 512)
    assert found["threads"]["details"]["threads"] >= 1
    assert found["cache"]["details"]["limit"] == 1 << 30


def _is_x86() -> bool:
    return doctor.native_target().arch == "x86_64"


def test_programs_run_on_each_gpu(command: Command) -> None:
    with override(cuda_driver="emulator"):
        found = findings(command)
    assert found["CUDA driver"]["details"]["by"] == "emulator"
    assert found["GPU 0"]["details"]["target"] == "cuda:sm_80"
    assert (found["program on GPU 0"]["state"], found["program on GPU 0"]["details"]["runs"]) == ("ok", True)


def test_a_gpu_that_is_too_old_is_told_beside_one_that_is_not(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    with override(cuda_driver="emulator:2"):
        emulator = doctor.driver()
        known = emulator.target

        def target(device: int) -> Any:
            if device == 0:
                raise CudaError("GTX 1080 has compute capability 6.1", hint="CUDA_VISIBLE_DEVICES chooses another GPU")
            return known(device)

        monkeypatch.setattr(emulator, "target", target)
        found = findings(command)
    assert found["GPU 0"]["state"] == "missing"
    assert found["GPU 0"]["text"].startswith("GTX 1080 has compute capability 6.1; CUDA_VISIBLE_DEVICES")
    assert (found["GPU 1"]["state"], found["program on GPU 1"]["state"]) == ("ok", "ok")


def test_a_folder_that_cant_be_written_is_told(command: Command, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with override(cuda_driver="none", cache_dir=str(tmp_path / "file" / "code")):
        found = findings(command)
    assert (found["cache"]["state"], found["program on the CPU"]["state"]) == ("missing", "ok")
    assert "set GRAPHC_CACHE_DIR to another folder" in found["cache"]["text"]
    with override(cuda_driver="none", cache_bytes=0):
        assert "each process compiles anew" in findings(command)["cache"]["text"]


def test_packages_that_are_absent_or_old_are_told(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(doctor.NEEDED, "numpy", "99.1")
    monkeypatch.setitem(doctor.OPTIONAL, "no-such-package", ("1", "nothing"))
    with override(cuda_driver="none"):
        found = findings(command)
    assert (found["numpy"]["state"], found["no-such-package"]["state"]) == ("wrong", "missing")
    assert found["numpy"]["text"].endswith("; needed: 99.1 or newer")
    assert found["no-such-package"]["text"] == "not installed; optional: 1 or newer, for nothing"


def _raises(x: Any) -> Any:
    raise ArgumentError("no luck", hint="try again")


@pytest.mark.parametrize(
    ("example", "text"),
    [(lambda x: x.sum(dim=1), "gives wrong numbers; compiled"), (_raises, "does not run: no luck; try again")],
)
def test_the_status_is_1_where_programs_dont_run(
    command: Command, monkeypatch: pytest.MonkeyPatch, example: Any, text: str
) -> None:
    monkeypatch.setattr(doctor, "_example", example)
    with override(cuda_driver="none"):
        done = command("doctor", "--json")
    found = {each["name"]: each for each in json.loads(done.out)["findings"]}["program on the CPU"]
    assert (done.status, json.loads(done.out)["works"], found["state"]) == (1, False, "wrong")
    assert found["text"].startswith(text)


def test_what_goes_wrong_in_a_look_is_a_line_too(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> Any:
        raise ArgumentError("GRAPHC_NUM_THREADS is 'x'", hint="it takes a whole number")

    monkeypatch.setattr(doctor, "settings", broken)
    monkeypatch.setattr(doctor, "get_num_threads", lambda: 1 // 0)
    with override(cuda_driver="none"):
        found = findings(command)
    assert (found["settings"]["state"], found["threads"]["state"]) == ("wrong", "wrong")
    assert found["settings"]["text"] == "GRAPHC_NUM_THREADS is 'x'; it takes a whole number"
    assert found["threads"]["text"] == "ZeroDivisionError: integer division or modulo by zero"
    assert found["program on the CPU"]["state"] == "ok"
