"""Code for every machine of the table: objects of the right kind that ask for nothing from outside.

LLVM ends the process on some mistakes, so each target's objects are made in a child.
"""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from graphc.runtime.target import TARGETS

_CHILD = """
import json, struct, sys
from graphc.codegen.cpu import emit_kernel
from graphc.runtime.engine import compile_object, object_symbols
from graphc.runtime.target import named_target
from graphc.kernel.ir import LoopKind
from tests.codegen.corpus import CHECKED, EXAMPLES
from tests.codegen.test_scalar_ops import BASE, cases, kernel_of_ops

def text_bytes(code):
    (at,), (size, count, names) = struct.unpack_from("<Q", code, 0x28), struct.unpack_from("<HHH", code, 0x3A)
    headers = [struct.unpack_from("<IIQQQQ", code, at + i * size) for i in range(count)]
    found = 0
    for name, _, _, _, offset, length in headers:
        start = headers[names][4] + name
        found += length if code[start : code.index(0, start)].startswith(b".text") else 0
    return found

target = named_target(sys.argv[1])
kernels = {example.name: example.kernel for example in (*EXAMPLES, CHECKED)}
for op in BASE:
    kernels[op.name] = kernel_of_ops([(op.name, dtypes, out) for dtypes, out in cases(op)], LoopKind.VECTOR)
report = {}
for name, kernel in kernels.items():
    code = compile_object(emit_kernel(kernel, target, "kernel"), target)
    defined, undefined = object_symbols(code)
    report[name] = [struct.unpack_from("<H", code, 18)[0], text_bytes(code), "kernel" in defined, undefined]
print(json.dumps(report))
"""

MACHINES = {"x86_64": 62, "aarch64": 183}
"""ELF's numbers."""
PROVIDED = {"memcpy", "memset", "memmove"}
"""What LLVM may call of its own accord."""


@pytest.mark.parametrize("name", TARGETS)
def test_objects_are_for_the_machine_and_call_nothing(name: str) -> None:
    child = subprocess.run([sys.executable, "-c", _CHILD, name], capture_output=True, text=True, check=False)
    assert child.returncode == 0, child.stderr[-2000:]
    for kernel, (machine, size, is_defined, undefined) in json.loads(child.stdout).items():
        assert machine == MACHINES[TARGETS[name].arch], kernel
        assert size > 0, kernel
        assert is_defined, kernel
        assert set(undefined) <= PROVIDED, f"{kernel} calls {undefined}"
