"""ptxas, the assembler of NVIDIA's compilers: whether it takes a module, and what each kernel needs.

In: PTX and a target. Out: registers, spills and stack of each kernel, or the assembler's complaint. It comes with the
wheel `nvidia-cuda-nvcc`, or with a CUDA toolkit; where there is neither, tests that ask for it are skipped.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from graphc.codegen.gpu.ptx import emit_ptx
from graphc.kernel.gpu import GpuTarget, parse_target
from graphc.kernel.ir import Kernel

TARGETS = tuple(map(parse_target, ("sm_75", "sm_80", "sm_90", "sm_120")))
"""A GPU of each kind that differs in what it has instructions for."""


@dataclass(frozen=True)
class Usage:
    """What one kernel takes of the machine."""

    registers: int
    spilled_bytes: int
    stack_bytes: int
    shared_bytes: int


class AssemblerError(AssertionError):
    """ptxas refused the text."""


@cache
def find_assembler() -> str | None:
    """The program, or None."""
    spec = importlib.util.find_spec("nvidia")
    for place in (spec.submodule_search_locations or ()) if spec is not None else ():
        for path in sorted(Path(place).glob("c*/bin/ptxas")):
            return str(path)
    return shutil.which("ptxas")


def assemble(ptx: str, target: GpuTarget, level: int = 3) -> dict[str, Usage]:
    """Each kernel's usage by its name; raises AssemblerError with ptxas' words. Skips the test where there is none.

    Level 0 is for whether it takes the text, which it finds out in half the time; then it optimises nothing.
    """
    program = find_assembler()
    if program is None:
        pytest.skip("no ptxas: install nvidia-cuda-nvcc")
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "kernels.ptx")
        source.write_text(ptx)
        named = re.search(r"^\.target (\w+)", ptx, re.MULTILINE)  # sm_90a where a kernel takes that
        arch = target.processor if named is None else named[1]
        command = [program, "-v", f"-O{level}", f"-arch={arch}", str(source), "-o", str(Path(folder, "kernels.cubin"))]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    report = done.stdout + done.stderr
    # It says so where it makes products in the background wait for each other.
    if done.returncode or "wgmma" in report:
        raise AssemblerError(report)
    return _usages(report)


def _usages(report: str) -> dict[str, Usage]:
    usages = {}
    for part in report.split("Compiling entry function '")[1:]:
        name = part[: part.index("'")]

        def found(pattern: str, text: str = part) -> int:
            match = re.search(pattern, text)
            return int(match[1]) if match else 0

        usages[name] = Usage(
            registers=found(r"Used (\d+) registers"),
            spilled_bytes=found(r"(\d+) bytes spill stores") + found(r"(\d+) bytes spill loads"),
            stack_bytes=found(r"(\d+) bytes stack frame"),
            shared_bytes=found(r"(\d+) bytes smem"),
        )
    return usages


def compiled(kernels: Mapping[str, Kernel], target: GpuTarget, level: int = 3) -> tuple[str, dict[str, Usage]]:
    """PTX of the kernels in one module, and what each takes."""
    ptx = emit_ptx(kernels, target)
    return ptx, assemble(ptx, target, level)
