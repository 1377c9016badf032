"""`graphc dump`: every stage and format, and what it says to bad arguments."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from graphc.ir.parse import parse_graph
from graphc.ir.text import print_graph
from graphc.kernel.parse import parse_kernel
from graphc.kernel.text import print_kernel
from tests.cli.conftest import Command

SPECS = ("f32[8,16]", "f32[16,4]")


def test_traced_graph_parses_back(command: Command, model: Path) -> None:
    done = command("dump", f"{model}:loss", "--input", *SPECS)
    assert done.status == 0
    graph = parse_graph(done.out)
    assert [str(node.type) for node in graph.inputs] == list(SPECS)
    assert "tanh" in done.out
    assert "# model.py:5" in done.out


def test_compiled_functions_and_symbolic_sizes_are_taken(command: Command, model: Path) -> None:
    done = command("dump", f"{model}:compiled", "--input", "f32[n,16]", "f32[16,4]")
    assert done.status == 0
    assert "f32[n,16]" in done.out


def test_after_a_pass_the_graph_is_what_that_pass_gave(command: Command, model: Path) -> None:
    done = command("dump", f"{model}:loss", "--input", *SPECS, "--stage", "after:fuse")
    assert done.status == 0
    assert "fused(" in done.out
    parse_graph(done.out)


def test_a_dump_is_a_source(command: Command, model: Path, tmp_path: Path) -> None:
    file = tmp_path / "loss.gir"
    assert command("dump", f"{model}:loss", "--input", *SPECS, "-o", file).status == 0
    direct = command("dump", f"{model}:loss", "--input", *SPECS, "--stage", "kernel")
    assert command("dump", file, "--stage", "kernel").out == direct.out
    assert print_graph(parse_graph(file.read_text())) == command("dump", file).out


def test_gradient_graph_has_a_result_per_argument(command: Command, model: Path) -> None:
    done = command("dump", f"{model}:loss", "--input", *SPECS, "--grad")
    assert [str(node.type) for node in parse_graph(done.out).outputs] == ["f32[]", *SPECS]


def test_kernels_parse_back(command: Command, model: Path) -> None:
    done = command("dump", f"{model}:loss", "--input", *SPECS, "--stage", "kernel")
    texts = ["kernel " + text for text in done.out.split("kernel ")[1:]]
    assert len(texts) >= 2
    for text in texts:
        assert print_kernel(parse_kernel(text)).strip() == text.strip()


@pytest.mark.parametrize(
    ("stage", "sign"), [("program", "arena"), ("llvm", "define"), ("asm", "graphc_entry"), ("all", "# after:simplify")]
)
def test_code_stages_print(command: Command, model: Path, stage: str, sign: str) -> None:
    done = command("dump", f"{model}:loss", "--input", *SPECS, "--stage", stage)
    assert done.status == 0
    assert sign in done.out


def test_code_for_another_cpu_uses_no_wider_registers(command: Command, model: Path) -> None:
    arguments = ("dump", f"{model}:loss", "--input", *SPECS, "--stage", "asm", "--target")
    assert "zmm" not in command(*arguments, "x86-64-v3").out
    assert "ymm" not in command(*arguments, "x86-64").out


def test_json_names_every_node_and_operand(command: Command, model: Path) -> None:
    done = command("dump", f"{model}:loss", "--input", *SPECS, "--format", "json")
    value = json.loads(done.out)
    names = {node["name"] for node in value["nodes"]}
    assert names >= set(value["inputs"]) | set(value["outputs"])
    assert all(set(node["inputs"]) <= names for node in value["nodes"])
    assert value["nodes"][-1]["location"]["line"] == 6


def test_dot_has_an_arrow_per_use(command: Command, model: Path) -> None:
    done = command("dump", f"{model}:loss", "--input", *SPECS, "--format", "dot")
    graph = parse_graph(command("dump", f"{model}:loss", "--input", *SPECS).out)
    assert done.out.startswith("digraph")
    assert done.out.count("->") == sum(len(node.inputs) for node in graph.nodes) + len(graph.outputs)


def test_all_as_json_has_every_stage(command: Command, model: Path) -> None:
    done = command("dump", f"{model}:loss", "--input", *SPECS, "--stage", "all", "--format", "json", "--passes", "cse")
    assert [stage["stage"] for stage in json.loads(done.out)] == ["traced", "after:cse", "after:fuse"]


BAD = [
    ((), "arguments are required"),
    (("model.py",), "neither FILE.py:FUNCTION nor FILE.gir"),
    (("nothing.py:f", "--input", "f32[2]"), "there is no file nothing.py"),
    (("nothing.gir",), "can't be read"),
    (("{model}:los", "--input", "f32[2]"), "has no los; it has loss, misfit"),
    (("{model}:number", "--input", "f32[2]"), "is a int, no function"),
    (("{model}:loss",), "needs the types of its arguments"),
    (("{model}:loss", "--input", "f32[2"), "1:6: expected ',' or ']', found the end of the text: 'f32[2'"),
    (("{model}:loss", "--input", *SPECS, "--passes", "nosuch"), "there is no pass called 'nosuch'"),
    (("{model}:loss", "--input", "f33[2]", "f32[2]"), "f33"),
    (("{model}:misfit", "--input", "f32[2,3]"), "don't broadcast"),
    (("{model}:loss", "--input", *SPECS, "--stage", "later"), "there is no stage 'later'"),
    (("{model}:loss", "--input", *SPECS, "--stage", "after:fold", "--passes", "cse"), "has no pass 'fold'"),
    (("{model}:loss", "--input", *SPECS, "--stage", "llvm", "--format", "dot"), "--format dot is for graphs"),
    (("{model}:loss", "--input", *SPECS, "--passes", "csee", "--stage", "all"), "did you mean cse"),
    (("{model}:loss", "--input", *SPECS, "--stage", "llvm", "--target", "pdp11"), "pdp11"),
    (("{model}:loss", "--input", *SPECS, "-o", "{folder}"), "can't be written"),
    (("{model}:loss", "--input", *SPECS, "--format", "xml"), "invalid choice"),
    (("{model}:fails", "--input", "f32[2]"), "fails raised RuntimeError: no luck; at {model}:14"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD, ids=[message for _, message in BAD])
def test_bad_arguments_get_one_line_and_status_2(
    command: Command, model: Path, arguments: tuple[str, ...], message: str
) -> None:
    done = command("dump", *(a.format(model=model, folder=model.parent) for a in arguments))
    assert done.status == 2
    assert done.out == ""
    assert done.err.count("\n") == 1
    assert message.format(model=model) in done.err


def test_errors_without_a_line_of_the_users_name_none(model: Path) -> None:
    for command in ([sys.executable, "-m", "graphc"], [str(Path(sys.executable).parent / "graphc")]):
        done = subprocess.run(
            [*command, "dump", f"{model.name}:loss", "--input", "f32[2]"],
            capture_output=True,
            text=True,
            cwd=model.parent,
        )
        assert done.returncode == 2
        assert "; at " not in done.stderr


def test_a_constant_has_no_line_of_the_command(model: Path) -> None:
    model.write_text("def three(x):\n    return 3\n")
    command = [sys.executable, "-m", "graphc", "dump", f"{model.name}:three", "--input", "f32[2]"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=model.parent)
    assert "#" not in done.stdout


def test_a_file_that_fails_names_its_line(command: Command, tmp_path: Path) -> None:
    path = tmp_path / "broken.py"
    path.write_text("x = 1\ny = x / 0\n")
    done = command("dump", f"{path}:f", "--input", "f32[2]")
    assert done.status == 2
    assert "ZeroDivisionError" in done.err
    assert "broken.py:2" in done.err


def test_malformed_graph_text_names_line_and_column(command: Command, tmp_path: Path) -> None:
    path = tmp_path / "broken.gir"
    path.write_text("graph f(%x: f32[2]) {\n  %0 = exx(%x) : f32[2]\n  return %0\n}\n")
    done = command("dump", path)
    assert done.status == 2
    assert "2:8" in done.err
    assert "exp" in done.err


def test_it_runs_as_a_module_and_survives_a_closed_pipe(model: Path) -> None:
    command = f"{sys.executable} -m graphc dump {model}:loss --input 'f32[8,16]' 'f32[16,4]' --stage all | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, cwd=model.parent)
    assert done.stdout == "# traced\n"
    assert done.stderr == ""
