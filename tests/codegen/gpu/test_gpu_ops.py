"""Every base op of every dtype on GPUs: ptxas takes its code, and the code has the op's meaning in numpy."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from graphc.codegen.gpu.support import SUPPORTED
from graphc.ir.dim import Symbol
from graphc.ir.dtype import DType
from graphc.kernel.gpu import WARP, GpuTarget
from graphc.kernel.ir import Apply, Buffer, Kernel, Load, Loop, LoopKind, Statement, Store, Value
from graphc.kernel.scalar import ScalarOp, evaluate
from tests.codegen.gpu.assembler import TARGETS, compiled
from tests.codegen.gpu.threads import run_threads
from tests.codegen.native import Array, same_bits
from tests.codegen.test_scalar_ops import BASE, cases, operand_arrays

OLDEST, NEWER = TARGETS[0], TARGETS[2]


@cache
def kernel_of_op(op: ScalarOp, size: int) -> Kernel:
    """A kernel that applies the op to all its dtypes: `x0_0`, `x0_1`, ... give `y0`."""
    block, thread = Symbol("b", 0, size // WARP - 1), Symbol("t", 0, WARP - 1)
    at = block.size * WARP + thread.size
    body: list[Statement] = []
    operands: list[Buffer] = []
    results: list[Buffer] = []
    for number, (dtypes, out) in enumerate(cases(op)):
        buffers = [Buffer(f"x{number}_{i}", d, size) for i, d in enumerate(dtypes)]
        values = tuple(Value(f"v{number}_{i}", d) for i, d in enumerate(dtypes))
        result, value = Buffer(f"y{number}", out, size), Value(f"w{number}", out)
        body += [Load(v, b, at) for v, b in zip(values, buffers)]
        body += [Apply(value, op.name, values), Store(result, at, value)]
        operands += buffers
        results.append(result)
    threads = Loop(thread, WARP, LoopKind.THREAD, tuple(body))
    blocks = Loop(block, size // WARP, LoopKind.BLOCK, (threads,))
    return Kernel("ops", (*operands, *results), (), (blocks,), frozenset(results))


def test_every_op_is_listed_for_all_its_dtypes() -> None:
    listed: dict[str, set[DType]] = {name: set(dtypes) for name, dtypes in SUPPORTED.items()}
    for op in BASE:
        for dtypes, out in cases(op):
            assert {*dtypes, out} - listed[op.name] <= ({out} if op.result.name == "BOOL" else set()), op.name
    assert set(listed) == {op.name for op in BASE}


@pytest.mark.parametrize("target", TARGETS, ids=str)
def test_ptxas_takes_every_op(target: GpuTarget) -> None:
    kernels = {f"op_{op.name}": kernel_of_op(op, WARP) for op in BASE}
    ptx, usages = compiled(kernels, target)
    assert set(usages) == set(kernels)
    assert not any(usage.spilled_bytes or usage.stack_bytes for usage in usages.values())
    assert "ftz" not in ptx
    assert "approx" not in ptx
    assert "div.rn.f32" in ptx
    assert "sqrt.rn.f64" in ptx
    fused = [text for text in ptx.split(".visible .entry ")[1:] if "fma.rn" in text]
    assert [text[: text.index("(")] for text in fused] == ["op_fma"]


@pytest.mark.parametrize("target", (OLDEST, NEWER), ids=str)
@pytest.mark.parametrize("op", BASE, ids=lambda op: op.name)
def test_code_has_the_ops_meaning(op: ScalarOp, target: GpuTarget) -> None:
    given = [operand_arrays(op, dtypes) for dtypes, _ in cases(op)]
    size = -(-max(each[0].size for each in given) // WARP) * WARP
    arrays: dict[str, Array] = {}
    expected: dict[str, Array] = {}
    for number, ((_, out), operands) in enumerate(zip(cases(op), given)):
        padded = [np.resize(x, size) for x in operands]
        arrays |= {f"x{number}_{i}": x for i, x in enumerate(padded)}
        arrays[f"y{number}"] = np.zeros(size, out.numpy)
        expected[f"y{number}"] = evaluate(op.name, out, *padded)
    run_threads(kernel_of_op(op, size), arrays, target=target)
    for number, (dtypes, out) in enumerate(cases(op)):
        got, wanted = arrays[f"y{number}"], expected[f"y{number}"]
        assert same_bits(got, wanted), f"{op.name} of {dtypes} to {out}: {got[got != wanted]}, {wanted[got != wanted]}"
