"""The benchmark script measures all that it names, and writes it. What the figures are, no test asks."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.benchmarks.case import CASES, ROOT, STEP, TINY_STEP
from tests.benchmarks.training import TRAININGS

LIBRARIES = ("graphc", "graphc eager", "numpy")


def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.report", *arguments], cwd=ROOT, capture_output=True, text=True
    )


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], str]:
    """The figures of a quick run, and the tables printed."""
    file = tmp_path_factory.mktemp("report") / "results" / "quick.json"
    done = run("--quick", "--threads", "1", "--libraries", ",".join(LIBRARIES), "--json", str(file))
    assert done.returncode == 0, done.stderr
    return json.loads(file.read_text()), done.stdout


def times(figures: dict[str, Any]) -> dict[str, Any]:
    """All entries with a least time in them."""
    found: dict[str, Any] = {}
    for group in ("import_seconds", "first_step_seconds"):
        found |= {f"{group}: {name}": each for name, each in figures[group].items()}
    for case, results in figures["calls"].items():
        found |= {f"{case}: {name}": each for name, each in results.items()}
    return found


def test_every_figure_is_there(report: tuple[dict[str, Any], str]) -> None:
    figures, _ = report
    assert list(figures["calls"]) == [*CASES, STEP, TINY_STEP, *TRAININGS]
    for case in CASES:
        assert set(figures["calls"][case]) == {f"{library}, 1 thread" for library in LIBRARIES}
    assert set(figures["calls"][STEP]) == {"graphc, 1 thread"}
    assert set(figures["calls"][TINY_STEP]) == {"graphc eager, 1 thread"}
    for name in TRAININGS:
        assert set(figures["calls"][name]) == {"graphc, 1 thread", "graphc eager, 1 thread"}
    assert set(figures["import_seconds"]) == {"graphc", "numpy"}
    assert set(figures["first_step_seconds"]) == {"graphc, empty cache", "graphc, filled cache"}
    for sizes in figures["compile_seconds"].values():
        assert [each["nodes"] for each in sizes.values()] == sorted(each["nodes"] for each in sizes.values())
        assert all(each["total"] > 0 and each["kernels"] > 0 for each in sizes.values())
    assert set(figures["kernels"]) == set(figures["peak_bytes"]) >= {"softmax", "layer norm", STEP}
    assert all(count > 0 for count in (*figures["kernels"].values(), *figures["peak_bytes"].values()))


def test_nothing_failed(report: tuple[dict[str, Any], str]) -> None:
    for name, each in times(report[0]).items():
        assert "error" not in each, f"{name}: {each}"
        assert 0 < each["min"] <= each["median"]
        assert each["samples"] >= 1


def test_the_machine_is_named(report: tuple[dict[str, Any], str]) -> None:
    where = report[0]["machine"]
    assert where["cpu"]
    assert where["cpus"] >= 1
    assert {"numpy", "llvmlite"} <= set(where["versions"])


def test_lines_are_counted_by_folder(report: tuple[dict[str, Any], str]) -> None:
    lines = report[0]["lines"]
    assert {"graphc/ir", "graphc/ops", "passes", "runtime", "tests/benchmarks"} <= set(lines)
    assert all(0 < each["code"] <= each["lines"] for each in lines.values())
    assert lines["tests/benchmarks"]["files"] == len(list(Path(__file__).parent.glob("*.py")))


def test_tables_name_every_case_and_say_that_they_mean_nothing(report: tuple[dict[str, Any], str]) -> None:
    figures, printed = report
    for name in (*CASES, STEP, TINY_STEP, *TRAININGS, *figures["kernels"], *figures["lines"]):
        assert f"| {name} |" in printed
    assert "these figures mean nothing" in printed


def test_an_unknown_library_is_one_line() -> None:
    done = run("--json", "nowhere.json", "--libraries", "graph")
    assert done.returncode == 2
    assert "there is no library 'graph'" in done.stderr
    assert not (ROOT / "nowhere.json").exists()
