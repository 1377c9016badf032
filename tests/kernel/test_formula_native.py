"""Native code gives the bits of the numpy evaluation for every formula, in lanes of every width that runs here."""

from __future__ import annotations

import numpy as np
import pytest

from graphc.ir.dim import Dim, Symbol
from graphc.ir.dtype import DType, bool_, f32, f64, i32, i64, u32, u64
from graphc.kernel.formula import FORMULAS
from graphc.kernel.ir import Apply, Buffer, Kernel, Load, Loop, LoopKind, Store, Value
from graphc.kernel.scalar import SCALARS, evaluate, result_dtype
from tests.codegen.native import run_native, runnable_targets, same_bits
from tests.kernel.ulp import Array, random_bits

IN_DOUBLE = ("gamma", "gamma_sum", "normal", "bessel", "modified_bessel", "airy")
COUNT = 1003
LONG = {name for name, rule in FORMULAS.items() if rule.__module__.rpartition(".")[2] in IN_DOUBLE} | {"gcd"}
"""Formulas that are run for one dtype on this machine alone: what is special about the others, short ones show."""


def kernel_of(op: str, operand: DType, out: DType) -> Kernel:
    """y[i] = op(x0[i], x1[i]) in a vector loop."""
    size = Symbol("n")
    extent = Dim((((size,), 1),))
    index = Symbol("i", 0, extent - 1)
    at = Dim((((index,), 1),))
    sources = [Buffer(f"x{number}", operand, extent) for number in range(SCALARS[op].arity)]
    values = tuple(Value(f"v{number}", operand) for number in range(len(sources)))
    target, result = Buffer("y", out, extent), Value("w", out)
    loads = [Load(value, source, at) for value, source in zip(values, sources)]
    loop = Loop(index, extent, LoopKind.VECTOR, (*loads, Apply(result, op, values), Store(target, at, result)))
    return Kernel("formula", (*sources, target), (size,), (loop,), frozenset({target}))


def operand(dtype: DType, seed: int) -> Array:
    """Values of all kinds, half of them of moderate size."""
    random, half = np.random.default_rng(seed), COUNT // 2
    if dtype is bool_:
        return random.integers(0, 2, COUNT).astype(bool)
    if dtype.is_floating_point:
        return np.concatenate(
            [random_bits(dtype.numpy, half, seed), random.normal(0, 5, COUNT - half).astype(dtype.numpy)]
        )
    limits = np.iinfo(dtype.numpy)  # type: ignore[type-var]
    wild = random.integers(limits.min, limits.max, half, dtype.numpy)
    return np.concatenate([wild, random.integers(0, 50, COUNT - half).astype(dtype.numpy)])


@pytest.mark.parametrize("name", FORMULAS)
def test_native_code_gives_the_same_bits(name: str) -> None:
    op = SCALARS[name]
    for dtype in (bool_, i32, i64, u32, u64, f32, f64):
        if dtype.kind not in op.kinds or (name == "multiply_high" and dtype.signed):
            continue
        if name in LONG and dtype not in (i64, f64):
            continue
        operands = [operand(dtype, seed) for seed in range(60, 60 + op.arity)]
        if name == "ldexp":
            random = np.random.default_rng(62)
            operands = [
                x.astype(dtype.numpy) for x in (random.uniform(0.5, 2, COUNT), random.integers(-200, 200, COUNT))
            ]
        out = result_dtype(name, (dtype,) * op.arity)
        want = evaluate(name, out, *operands)
        kernel = kernel_of(name, dtype, out)
        for target in runnable_targets()[: 1 if name in LONG else None]:
            y = np.zeros(COUNT, out.numpy)
            arrays = {f"x{number}": x for number, x in enumerate(operands)}
            assert run_native(kernel, {**arrays, "y": y}, {"n": COUNT}, target=target) == 0
            assert same_bits(y, want), f"{name} of {dtype} on {target}"
