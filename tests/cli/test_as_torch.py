"""`graphc run --as-torch`: scripts written for PyTorch, unmodified. Each runs in a process of its own."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Command, Done


def run(folder: Path, script: str, *arguments: str, files: dict[str, str] | None = None) -> Done:
    """`python -m graphc run --as-torch script.py arguments...` in the folder."""
    for name, text in {"script.py": script, **(files or {})}.items():
        (folder / name).write_text(text)
    command = [sys.executable, "-W", "error", "-m", "graphc", "run", "--as-torch", "script.py", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, timeout=120)
    return Done(done.returncode, done.stdout, done.stderr)


def test_modules_are_the_same_objects_under_both_names(tmp_path: Path) -> None:
    script = """
import graphc, graphc.nn, graphc.autograd.functional
import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.autograd.functional
from torch import Tensor
from torch.autograd import Variable
assert torch is graphc and nn is graphc.nn and F is graphc.nn.functional
assert torch.autograd.functional is graphc.autograd.functional and Variable is graphc.autograd.Variable
assert graphc.nn.__name__ == "graphc.nn" and graphc.nn.__spec__.name == "graphc.nn"
import importlib.util
assert importlib.util.find_spec("torch") and importlib.import_module("torch.linalg") is graphc.linalg
print(isinstance(F.relu(torch.ones(2)), Tensor))
"""
    assert run(tmp_path, script) == (0, "True\n", "")


def test_types_show_as_those_of_torch(tmp_path: Path) -> None:
    script = """
import pickle, torch
x = torch.ones(2)
print(type(x), type(x.shape), type(x.dtype), type(x.device), type(torch.nn.Parameter(x)))
for each in (x, x.shape, x.dtype, x.device, type(x), type(x.dtype)):
    assert type(pickle.loads(pickle.dumps(each))) is type(each)
"""
    shown = "Tensor", "Size", "dtype", "device", "nn.parameter.Parameter"
    assert run(tmp_path, script) == (0, " ".join(f"<class 'torch.{name}'>" for name in shown) + "\n", "")


def test_the_script_is_main_with_its_arguments_and_its_folder(tmp_path: Path) -> None:
    script = """
import argparse, pickle, sys
import helper
class Item:
    pass
parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float)
parser.add_argument("rest", nargs="*")
print(__name__, __file__, sys.argv, parser.parse_args(), helper.two)
assert type(pickle.loads(pickle.dumps(Item()))) is Item and sys.modules["__main__"].Item is Item
"""
    done = run(
        tmp_path, script, "--lr", "0.5", "a", "--", "-x", files={"helper.py": "import torch\ntwo = torch.ones(2)"}
    )
    assert done.out == (
        "__main__ script.py ['script.py', '--lr', '0.5', 'a', '--', '-x'] "
        "Namespace(lr=0.5, rest=['a', '-x']) tensor([1., 1.])\n"
    )
    assert (done.status, done.err) == (0, "")


@pytest.mark.parametrize(
    "ending, status, words",
    [("sys.exit(3)", 3, ""), ("sys.exit()", 0, ""), ("sys.exit('no data')", 1, "no data\n"), ("pass", 0, "")],
)
def test_the_status_is_the_scripts(tmp_path: Path, ending: str, status: int, words: str) -> None:
    assert run(tmp_path, f"import sys, torch\n{ending}") == (status, "", words)


def test_a_traceback_shows_the_users_lines_alone(tmp_path: Path) -> None:
    script = "import torch\n\ndef add():\n    return torch.ones(2) + torch.ones(3)\n\nadd()\n"
    done = run(tmp_path, script)
    lines = [line for line in done.err.splitlines() if set(line) - set(" ^~")]
    assert done.status == 1
    assert lines[:5] == [
        "Traceback (most recent call last):",
        '  File "script.py", line 6, in <module>',
        "    add()",
        '  File "script.py", line 4, in add',
        "    return torch.ones(2) + torch.ones(3)",
    ]
    assert lines[5].endswith(
        "The size of tensor a (2) must match the size of tensor b (3) at non-singleton dimension 0"
    )
    assert "line 2" in run(tmp_path, "import torch\nprint(\n").err


@pytest.mark.parametrize(
    "line, name",
    [
        ("torch.absent_function(3)", "torch.absent_function"),
        ("from torch import absent", "torch.absent"),
        ("from torch.nn import Absent", "torch.nn.Absent"),
        ("import torch.absent.part", "torch.absent"),
        ("import torch.nn.absent as absent", "torch.nn.absent"),
    ],
)
def test_what_graphc_lacks_is_named(tmp_path: Path, line: str, name: str) -> None:
    done = run(tmp_path, f"import torch\n{line}\n")
    assert done.status == 1
    assert f'File "script.py", line 2, in <module>\n    {line}' in done.err
    assert done.err.splitlines()[-1].endswith(
        f'graphc has no {name}; README.md lists what is missing yet, under "Coming from PyTorch"'
    )
    assert "as_torch.py" not in done.err


def test_other_packages_are_missing_as_ever(tmp_path: Path) -> None:
    script = """
try:
    import torch.absent
except ImportError as error:
    print(type(error).__name__, error.name)
import torch_absent_vision
"""
    done = run(tmp_path, script)
    assert done.out == "ModuleNotFoundError torch.absent\n"
    assert done.err.endswith("ModuleNotFoundError: No module named 'torch_absent_vision'\n")


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_processes_of_the_script_have_torch_too(tmp_path: Path, method: str) -> None:
    script = f"""
import multiprocessing, sys
import torch

def work(queue):
    queue.put((torch.ones(2).tolist(), torch.__name__, sys.argv))

if __name__ == "__main__":
    context = multiprocessing.get_context("{method}")
    queue = context.SimpleQueue()
    child = context.Process(target=work, args=(queue,))
    child.start()
    print(queue.get())
    child.join()
    sys.exit(child.exitcode)
"""
    assert run(tmp_path, script, "x") == (0, "([1.0, 1.0], 'graphc', ['script.py', 'x'])\n", "")


def test_installing_in_a_program_of_ones_own() -> None:
    code = """
import sys
from graphc.cli import as_torch
before = len(sys.meta_path)
as_torch.install()
as_torch.install()
assert len(sys.meta_path) == before + 1
import graphc, torch.special
assert torch is graphc and torch.special is graphc.special
"""
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


def test_pytorch_itself_must_not_be_there_already(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("")
    code = """
import torch
from graphc.cli import as_torch
try:
    as_torch.install()
except RuntimeError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=True)
    assert done.stdout.startswith(f"torch is imported already, from {tmp_path}")
    assert "graphc run --as-torch SCRIPT.py" in done.stdout


def test_mistakes_in_the_command_are_one_line(command: Command, tmp_path: Path) -> None:
    assert command("run", "--as-torch", tmp_path / "absent.py") == (
        2,
        "",
        f"graphc run: error: there is no file {tmp_path / 'absent.py'}\n",
    )
    done = command("run")
    assert done.err == "graphc run: error: nothing to run is named; give a SOURCE, or --as-torch SCRIPT.py\n"
    assert command("run", "--as-torch").err == done.err


def test_what_cant_be_compiled_runs_as_pytorch_runs_it(tmp_path: Path) -> None:
    script = """
import torch
@torch.compile
def f(x):
    return x * 2 if x.sum().item() > 0 else -x
print(f(torch.ones(1)).item(), f(-torch.ones(1)).item())
try:
    torch.compile(lambda x: x.item(), fullgraph=True)(torch.ones(1))
except TypeError as error:
    print(type(error).__name__)
"""
    status, output, errors = run(tmp_path, script)
    assert (status, output) == (0, "2.0 1.0\nRecordingError\n")
    assert errors.count("it runs eagerly from now on") == 1
