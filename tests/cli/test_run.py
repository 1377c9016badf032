"""`graphc run` and `graphc passes`."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from graphc.frontend.executable import pipeline_of
from graphc.ir.graph import Graph
from graphc.ops import elementwise
from graphc.passes import all_passes, register, unregister
from tests.cli.conftest import Command

TEXT = """\
graph f(%x: f32[n,3], %i: i64[2]) {
  %0 = exp(%x) : f32[n,3]
  %1 = gather(%0, %i) {axis=1} : f32[n,2]
  return %1
}
"""


@pytest.fixture
def gir(tmp_path: Path) -> Path:
    path = tmp_path / "f.gir"
    path.write_text(TEXT)
    return path


@pytest.fixture
def wrong_pass() -> Iterator[str]:
    """A pass that changes values."""

    @register("double")
    def double(graph: Graph) -> Graph:
        """Add each output to itself."""
        return Graph(graph.name, graph.inputs, tuple(elementwise.add(x, x) for x in graph.outputs))

    yield "double"
    unregister("double")


def test_random_inputs_run(command: Command, gir: Path) -> None:
    done = command("run", gir, "--size", "n=7")
    assert done.status == 0
    assert done.out.startswith("result 0: float32 (7, 2), mean ")


def test_the_same_seed_gives_the_same_values(command: Command, gir: Path) -> None:
    assert command("run", gir, "--seed", 1).out == command("run", gir, "--seed", 1).out
    assert command("run", gir, "--seed", 1).out != command("run", gir, "--seed", 2).out


def test_given_inputs_and_written_results(command: Command, gir: Path, tmp_path: Path) -> None:
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    np.savez(tmp_path / "in.npz", x=x, i=np.array([2, 0]))
    done = command("run", gir, "--inputs", tmp_path / "in.npz", "-o", tmp_path / "out.npz")
    assert done.status == 0
    with np.load(tmp_path / "out.npz") as results:
        np.testing.assert_allclose(results["result_0"], np.exp(x)[:, [2, 0]], rtol=1e-6)


def test_check_compares_every_pass_and_native_code(command: Command, gir: Path) -> None:
    done = command("run", gir, "--check")
    assert done.status == 0
    stages = [str(step) for step in pipeline_of().steps]
    assert [line for line in done.out.splitlines() if line.startswith("check")] == [
        *(f"check after {stage}: ok" for stage in stages),
        "check native: ok",
    ]


def test_check_names_the_pass_that_changed_a_value(command: Command, gir: Path, wrong_pass: str) -> None:
    done = command("run", gir, "--check", "--passes", f"cse,{wrong_pass},dce")
    assert done.status == 1
    wrong = [line for line in done.out.splitlines() if "changed" in line]
    assert len(wrong) == 1
    assert wrong[0].startswith("check after double: result 0 changed: largest error")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--size", "m=3"), "the graph's are: n"),
        (("--size", "n"), "no NAME=N"),
        (("--inputs", "missing.npz"), "can't be read"),
        (("--inputs", "{folder}/partial.npz"), "has no array 'i'; it has x"),
        (("--inputs", "{folder}/wrong.npz"), "float64"),
        (("--inputs", "{folder}/f.gir"), "can't be read as .npz"),
        (("--inputs", "{folder}/range.npz"), "out of bounds"),
        (("--passes", "dce{{x=1}}"), "dce"),
        (("--input", "f32[2]"), "--input goes with FILE.py:FUNCTION"),
    ],
)
def test_bad_arguments_get_one_line_and_status_2(
    command: Command, gir: Path, arguments: tuple[str, ...], message: str
) -> None:
    x = np.zeros((2, 3), np.float32)
    np.savez(gir.parent / "partial.npz", x=x)
    np.savez(gir.parent / "wrong.npz", x=x.astype(np.float64), i=np.array([0, 1]))
    np.savez(gir.parent / "range.npz", x=x, i=np.array([0, 3]))
    done = command("run", gir, *(a.format(folder=gir.parent) for a in arguments))
    assert done.status == 2
    assert done.err.count("\n") == 1
    assert message in done.err


def test_passes_are_listed_with_options_and_a_line_each(command: Command) -> None:
    done = command("passes")
    assert done.status == 0
    for each in all_passes():
        (line,) = [line for line in done.out.splitlines() if line.split("{")[0].split(" ")[0] == each.name]
        assert each.summary in line
        assert all(str(option) in line for option in each.options)
    assert f"default pipeline: {pipeline_of()}" in done.out
