"""The examples do what they say: each runs as a program of its own, in an empty folder, with warnings as errors."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"


def run(*arguments: object, folder: Path) -> str:
    """What a child of this interpreter prints."""
    done = subprocess.run(
        [sys.executable, "-W", "error", *map(str, arguments)],
        capture_output=True,
        text=True,
        encoding="utf-8",
        cwd=folder,
        env={**os.environ, "PYTHONIOENCODING": "utf-8", "COLUMNS": "100"},
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


COUNT_CALLS = """
import collections, json, sys
sys.path.insert(0, sys.argv[1])
from graphc.frontend.executable import Executable

calls = collections.Counter()
call_flat = Executable.call_flat

def counted(self, leaves):
    calls[self] += 1
    return call_flat(self, leaves)

Executable.call_flat = counted
import digits

accuracy = digits.main(["--out", "pictures"])
(step,), (predict,) = digits.step.compilations, digits.predict.compilations
print(json.dumps({
    "accuracy": accuracy,
    "step calls": calls.pop(step.executable),
    "predict calls": calls.pop(predict.executable),
    "other calls": sum(calls.values()),
    "inputs": [str(node.type) for node in step.graph.inputs],
    "results": [str(node.type) for node in step.graph.outputs],
    "reason": step.reason,
}))
"""


def test_linear_regression_finds_the_plane_and_draws_it(tmp_path: Path) -> None:
    text = run(EXAMPLES / "linear_regression.py", "--out", "pictures", "--epochs", 25, folder=tmp_path)
    found = re.search(r"found  weight \[(\S+), (\S+)\]  bias (\S+)\n", text)
    assert found is not None
    assert [float(number) for number in found.groups()] == pytest.approx([2.0, -3.0, 10.0], abs=0.3)
    for name in ("fit.png", "loss.png"):
        assert (tmp_path / "pictures" / name).read_bytes().startswith(b"\x89PNG")


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, dict[str, object]]:
    """The folder of a run of examples/digits.py, what it printed, and what it counted."""
    folder = tmp_path_factory.mktemp("digits")
    *shown, counts = run("-c", COUNT_CALLS, EXAMPLES, folder=folder).strip().split("\n")
    return folder, "\n".join(shown), json.loads(counts)


def test_digits_are_learned(digits: tuple[Path, str, dict[str, object]]) -> None:
    _, shown, counts = digits
    accuracy = counts["accuracy"]
    assert isinstance(accuracy, float)
    assert 0.97 <= accuracy <= 1
    assert f"test accuracy {accuracy:.1%}" in shown
    assert re.search(r"training .* 880/880 loss 0\.\d+", shown)


def test_a_training_step_is_one_program_called_once(digits: tuple[Path, str, dict[str, object]]) -> None:
    _, shown, counts = digits
    assert counts["reason"] == "first call"
    assert (counts["step calls"], counts["predict calls"], counts["other calls"]) == (880, 1, 0)
    assert re.search(r"880 steps in .* a step is one call of \d+ kernels", shown)


def test_the_step_takes_and_gives_parameters_and_velocity(digits: tuple[Path, str, dict[str, object]]) -> None:
    counts = digits[2]
    state = ["f32[128]", "f32[10]", "f32[64,128]", "f32[128,10]"] * 2
    assert sorted(counts["inputs"]) == sorted([*state, "f32[64,64]", "i64[64]", "f32[]"])  # type: ignore[call-overload]
    assert sorted(counts["results"]) == sorted(["f32[]", *state])  # type: ignore[call-overload]


@pytest.mark.parametrize("name", ["loss.png", "confusion.png"])
def test_digits_draws(digits: tuple[Path, str, dict[str, object]], name: str) -> None:
    image = pytest.importorskip("matplotlib.image")
    pixels = image.imread(digits[0] / "pictures" / name)
    height, width = pixels.shape[:2]
    assert height >= 400
    assert width >= 600
    colours = {tuple(pixel) for pixel in pixels.reshape(-1, pixels.shape[2]).round(2).tolist()}
    assert len(colours) > 50
    painted = (pixels[..., :3] != pixels[0, 0, :3]).any(axis=2)
    assert 0.05 < painted.mean() < 0.95
    assert painted[:, : width // 2].any()
    assert painted[:, width // 2 :].any()


def test_symbolic_finds_the_weights(tmp_path: Path) -> None:
    shown = run(EXAMPLES / "symbolic.py", folder=tmp_path)
    assert shown.startswith("graph descend(")
    losses = [float(text) for text in re.findall(r"loss ([\d.]+)", shown)]
    assert len(losses) == 4
    assert losses[0] > 1 > 0.001 > losses[-1]
    found, wanted = (
        [float(number) for number in numbers.split()] for numbers in re.findall(r"\[([^]]*)\]", shown.splitlines()[-1])
    )
    assert found == pytest.approx(wanted, abs=0.005)
    assert len(found) == 3


USE_PASS = """
import json, sys
import numpy as np
sys.path.insert(0, sys.argv[1])
import custom_pass, graphc
from graphc.passes.instrument import Compare, Verify

def count(graph, name):
    return sum(node.op.name == name for node in graph.nodes)

graph = graphc.symbolic_trace(custom_pass.halve, "f32[1000]")
changed = custom_pass.run(graph)
print(count(graph, "div"), count(graph, "mul"), count(changed, "div"), count(changed, "mul"))
assert custom_pass.run(changed) is changed
values = np.random.default_rng(0).standard_normal(1000).astype(np.float32)
checks = Verify(), Compare([values], tolerance=0)
program = graph.compile(passes="multiply_by_inverse,fuse", instruments=checks)
assert program(values).tobytes() == graph.compile()(values).tobytes()
"""


def test_custom_pass_rewrites_and_keeps_the_bits(tmp_path: Path) -> None:
    shown = run(EXAMPLES / "custom_pass.py", folder=tmp_path)
    assert "mul(%x" in shown
    assert "same bits: [" in shown
    assert run("-c", USE_PASS, EXAMPLES, folder=tmp_path).split() == ["2", "0", "1", "1"]


TRAIN_CNN = """
import json, sys
sys.path.insert(0, sys.argv[1])
import mnist_style_cnn

losses, accuracy = mnist_style_cnn.main(["--epochs", "6"])
eager, _ = mnist_style_cnn.main(["--epochs", "1", "--no-compile"])
print(json.dumps({"losses": losses, "accuracy": accuracy, "eager": eager}))
"""


def test_the_convolutional_network_learns_the_same_compiled_and_eager(tmp_path: Path) -> None:
    *shown, last = run("-c", TRAIN_CNN, EXAMPLES, folder=tmp_path).splitlines()
    found = json.loads(last)
    assert found["losses"][0] > 2 > 0.1 > found["losses"][-1]
    assert found["accuracy"] >= 0.97
    assert f"test accuracy {found['accuracy']:.1%}" in shown
    assert found["eager"] == found["losses"][:1]


TRAIN_LANGUAGE_MODEL = """
import json, sys
sys.path.insert(0, sys.argv[1])
import char_lm

losses, test_loss = char_lm.main(["--steps", "25", "--letters", "12"])
eager, _ = char_lm.main(["--steps", "25", "--letters", "1", "--no-compile"])
print(json.dumps({"losses": losses, "test loss": test_loss, "eager": eager}))
"""


def test_the_language_model_learns_the_same_compiled_and_eager(tmp_path: Path) -> None:
    shown, _, last = run("-c", TRAIN_LANGUAGE_MODEL, EXAMPLES, folder=tmp_path).rstrip().rpartition("\n")
    found = json.loads(last)
    assert len(found["losses"]) == 25
    assert found["losses"][0] > 3.8 > 2.6 > found["losses"][-1]
    assert found["test loss"] < 2.6
    assert "25 steps in " in shown
    assert re.search(r"^The fox[\s\S]{12}\n9821 letters", shown, re.MULTILINE)
    assert found["eager"] == found["losses"]


RESUME = """
import sys
sys.path.insert(0, sys.argv[1])
from checkpoint_resume import Training

for names in ("model", "optimizer", "scheduler", "loader"), ("model", "optimizer", "scheduler"):
    Training.parts = property(lambda self: {name: getattr(self, name) for name in names})
    training = Training(7, 60)
    training.resume("out/checkpoint.safetensors")
    print(len(training.losses))
    training.run(60)
    print(repr(training.losses[-1]))
"""


def test_a_resumed_training_ends_with_the_bits_of_one_without_interruption(tmp_path: Path) -> None:
    numbers = "--steps", 60, "--stop-at", 45, "--every", 20
    shown = run(EXAMPLES / "checkpoint_resume.py", *numbers, folder=tmp_path).splitlines()
    assert "resumed after 40 steps" in shown
    assert shown[-1] == "all losses and parameters are the same, bit for bit"
    # In another process too; not if it reads other batches than those that would have come.
    start, last, start_without, last_without = run("-c", RESUME, EXAMPLES, folder=tmp_path).split()
    assert (start, start_without) == ("40", "40")
    assert shown[0] == f"without interruption: 60 steps, the last loss is {last}"
    assert last_without != last


def test_every_example_is_tested() -> None:
    names = "char_lm checkpoint_resume custom_pass digits linear_regression mnist_style_cnn symbolic"
    assert {path.stem for path in EXAMPLES.glob("*.py")} == set(names.split())
