"""Products of matrices as kernels for a GPU, and their run by the interpreter: for the tests of contractions."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from graphc.ir.dim import Size, evaluate
from graphc.ir.dtype import DType, bf16, f16, f32
from graphc.ir.location import Location
from graphc.kernel.gpu import GpuTarget, Grid, grid_of
from graphc.kernel.interpret import run_kernel
from graphc.kernel.ir import Buffer, Kernel, Operand, Store
from graphc.kernel.verify import verify_kernel
from graphc.passes.gpu.contraction import schedule_contraction
from graphc.passes.gpu.contraction_plan import Problem, find_contraction
from graphc.passes.lower import KernelCall, Scratch, Source
from tests.codegen.contraction import Writer, contraction, kernel_of
from tests.codegen.gpu.assembler import Usage

Array = npt.NDArray[Any]


def product(rows: Size, columns: Size, depth: Size, element: DType = f32, transposed: str = "") -> Kernel:
    """c = a @ b; `transposed` names those of a and b that are stored so. 16-bit floats are summed in float32."""
    a, b, c = (
        Buffer(name, element, size)
        for name, size in (("a", rows * depth), ("b", depth * columns), ("c", rows * columns))
    )
    accumulator = f32 if element in (f16, bf16) else element

    def cast(w: Writer, x: Operand, to: DType) -> Operand:
        return x if x.dtype is to else w.apply("cast", to, x)

    statement = contraction(
        rows,
        columns,
        depth,
        lambda w, m, k: cast(w, w.load(a, k * rows + m if "a" in transposed else m * depth + k), accumulator),
        lambda w, k, n: cast(w, w.load(b, n * depth + k if "b" in transposed else k * columns + n), accumulator),
        lambda w, m, n, acc: w.statements.append(Store(c, m * columns + n, cast(w, acc, element))),
        accumulator,
    )
    return kernel_of((statement,), (a, b, c), (c,))


def problem_of(kernel: Kernel) -> Problem:
    """The kernel's contraction."""
    problem = find_contraction(kernel)
    assert problem is not None
    return problem


def calls_of(kernel: Kernel, target: GpuTarget) -> tuple[KernelCall, ...]:
    """What the policy makes of the kernel, each of whose buffers is scratch."""
    sources: list[Source] = [Scratch(buffer.size, buffer.dtype) for buffer in kernel.buffers]
    calls = schedule_contraction(KernelCall(kernel, tuple(sources), Location("test", 1, "test")), target)
    assert calls is not None
    return calls


def run_calls(calls: Sequence[KernelCall], arrays: Mapping[str, Array], sizes: Mapping[str, int]) -> None:
    """Run the calls; their buffers of these names are the arrays, others memory between them."""
    memory: dict[Source, Array] = {}
    for call in calls:
        verify_kernel(call.kernel, is_scheduled=True)
        given = []
        for buffer, source in zip(call.kernel.buffers, call.sources, strict=True):
            if source not in memory:
                between = np.full(evaluate(buffer.size, sizes), 77, buffer.dtype.numpy)
                memory[source] = arrays.get(buffer.name, between)
            given.append(memory[source])
        assert run_kernel(call.kernel, given, {size.name: sizes[size.name] for size in call.kernel.sizes}) == []


def run_kernels(kernels: Sequence[Kernel], a: Array, b: Array, transposed: str = "", **sizes: int) -> Array:
    """a @ b by kernels of `product` that a policy made."""
    calls = [KernelCall(k, tuple(Scratch(b.size, b.dtype) for b in k.buffers), None) for k in kernels]
    return run_product(calls, a, b, transposed, **sizes)


def run_product(calls: Sequence[KernelCall], a: Array, b: Array, transposed: str = "", **sizes: int) -> Array:
    """a @ b by calls made of `product`."""
    c = np.full((len(a), b.shape[1]), 77, a.dtype)
    stored = {"a": a.T if "a" in transposed else a, "b": b.T if "b" in transposed else b}
    arrays = {name: np.ascontiguousarray(array).reshape(-1) for name, array in stored.items()}
    run_calls(calls, {**arrays, "c": c.reshape(-1)}, sizes)
    return c


def check_lean(
    name: str, kernel: Kernel, code: str, usage: Usage, instructions: Mapping[str, int], resident: int
) -> Grid:
    """The PTX has so many of each pattern and no local memory, and registers are left for so many resident blocks."""
    assert not re.findall(r"(?:ld|st)\.local", code), f"{name} has numbers in memory of the thread"
    for pattern, count in instructions.items():
        assert len(re.findall(pattern, code)) == count, f"{pattern} in {name}"
    assert (usage.spilled_bytes, usage.stack_bytes) == (0, 0), name
    grid = grid_of(kernel)
    assert grid is not None
    registers = (usage.registers + 7) // 8 * 8  # as they are given out
    assert 65536 // (registers * grid.threads) >= resident, f"{name}: {registers} registers"
    return grid
