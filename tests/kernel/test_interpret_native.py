"""Native code gives the interpreter's bits: for kernels, and for the programs of graphs."""

from __future__ import annotations

import numpy as np
import pytest

from graphc.frontend.executable import Executable, make_program, optimize
from graphc.ir.dim import evaluate
from graphc.kernel.interpret import run_kernel, run_program
from graphc.kernel.parse import parse_kernel
from graphc.kernel.text import kernel_key, print_kernel
from graphc.kernel.verify import verify_kernel
from graphc.passes.instrument import random_arguments
from tests.codegen.native import run_native, same_bits
from tests.kernel.kernels import RandomKernel
from tests.kernel.test_interpret import random_array
from tests.ops.cases import CASES, Case
from tests.random_graphs import random_graph

PRIMITIVES = [case for case in CASES if case.label != "refused"][::8]


def split(array: np.ndarray) -> np.ndarray:
    """A complex array as its parts, of which each has bits to compare."""
    return np.stack([array.real, array.imag]) if array.dtype.kind == "c" else array


@pytest.mark.parametrize("seed", range(60))
def test_random_kernels(seed: int) -> None:
    kernel = RandomKernel(seed).kernel
    rng = np.random.default_rng(seed)
    sizes = {"n": int(rng.integers(0, 71)), "m": int(rng.integers(1, 71))}
    arrays = [random_array(b.dtype, evaluate(b.size, sizes), rng) for b in kernel.buffers]
    interpreted = [array.copy() for array in arrays]
    compiled = {b.name: array.copy() for b, array in zip(kernel.buffers, arrays)}
    codes = run_kernel(kernel, interpreted, sizes)
    status = run_native(kernel, compiled, sizes, threads=1 + seed % 2)
    assert status in codes if codes else status == 0
    for buffer, array in zip(kernel.buffers, interpreted):
        assert same_bits(array, compiled[buffer.name]), buffer.name


@pytest.mark.parametrize("seed", range(24))
def test_programs_of_random_graphs(seed: int) -> None:
    graph = random_graph(seed, nodes=25, symbolic=seed % 2 == 0, empty=seed % 3 == 0)
    arrays = random_arguments(graph, seed=seed)
    fused = optimize(graph)
    program = make_program(fused)
    for launch in program.launches:
        verify_kernel(launch.kernel, is_scheduled=True)
        text = print_kernel(launch.kernel)
        assert print_kernel(parse_kernel(text)) == text
        assert kernel_key(parse_kernel(text)) == kernel_key(launch.kernel)
    native = Executable(graph, fused, program)(*arrays)
    results = [native] if isinstance(native, np.ndarray) else list(native)
    for interpreted, compiled in zip(run_program(program, arrays), results, strict=True):
        assert same_bits(interpreted, compiled)


@pytest.mark.parametrize("case", PRIMITIVES, ids=lambda case: case.id)
def test_programs_of_primitives(case: Case) -> None:
    graph = case.graph()
    fused = optimize(graph)
    program = make_program(fused)
    for launch in program.launches:
        verify_kernel(launch.kernel, is_scheduled=True)
    (interpreted,) = run_program(program, case.arrays)
    compiled = np.asarray(Executable(graph, fused, program)(*case.arrays))
    assert same_bits(split(interpreted), split(compiled))
