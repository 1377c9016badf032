"""`graphc dump --target sm_90`: the stages of a program for a GPU, where there is none."""

from pathlib import Path

import pytest

from graphc.kernel.gpu import grid_of
from graphc.kernel.parse import parse_kernel
from graphc.kernel.text import print_kernel
from tests.cli.conftest import Command

SPECS = ("f32[8,16]", "f32[16,4]")


@pytest.mark.parametrize("target", ["sm_75", "sm_90", "cuda:sm_120"])
def test_ptx_is_that_of_the_gpu_named(command: Command, model: Path, target: str) -> None:
    done = command("dump", f"{model}:loss", "--input", *SPECS, "--stage", "ptx", "--target", target)
    assert done.status == 0
    assert f".target {target.removeprefix('cuda:')}" in done.out
    kernels = command("dump", f"{model}:loss", "--input", *SPECS, "--stage", "kernel", "--target", target).out
    assert done.out.count(".visible .entry") == len(kernels.split("\n\n\n"))


def test_kernels_have_grids_and_parse_back(command: Command, model: Path) -> None:
    done = command("dump", f"{model}:loss", "--input", *SPECS, "--stage", "kernel", "--target", "sm_80")
    texts = done.out.strip("\n").split("\n\n\n")
    for text in texts:
        kernel = parse_kernel(text)
        assert grid_of(kernel) is not None
        assert print_kernel(kernel).strip() == text.strip()


def test_all_stages_end_with_ptx(command: Command, model: Path) -> None:
    done = command("dump", f"{model}:loss", "--input", *SPECS, "--stage", "all", "--target", "sm_80")
    titles = [line for line in done.out.splitlines() if line.startswith("# ") and ".py" not in line]
    assert titles[0] == "# traced"
    assert titles[-4:] == ["# program", "# kernel", "# llvm", "# ptx"]
    assert "define ptx_kernel void" in done.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--stage", "ptx"), "PTX is code for a GPU; name one, e.g. --target sm_80"),
        (("--stage", "asm", "--target", "sm_80"), "cuda:sm_80 has no assembly here; use --stage ptx"),
        (("--stage", "ptx", "--target", "sm_30"), "'sm_30' names no GPU that graphc compiles for"),
        (("--stage", "ptx", "--target", "cuda:x"), "there is no target 'cuda:x'"),
    ],
)
def test_what_has_no_code(command: Command, model: Path, arguments: tuple[str, ...], message: str) -> None:
    done = command("dump", f"{model}:loss", "--input", *SPECS, *arguments)
    assert done.status == 2
    assert message in done.err
