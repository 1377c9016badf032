"""Every base op, in scalar code and in lanes, on each machine, against its meaning in numpy."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from graphc.ir.dim import Dim, Symbol
from graphc.ir.dtype import DTYPES, DType, Kind, bf16, bool_, f16, f32, f64, i32
from graphc.kernel.ir import Apply, Buffer, Kernel, Load, Loop, LoopKind, Statement, Store, Value
from graphc.kernel.scalar import SCALARS, Result, ScalarOp, evaluate, result_dtype
from graphc.runtime.target import Target
from tests.codegen.native import Array, run_native, runnable_targets, same_bits

REAL = tuple(d for d in DTYPES if d.kind is not Kind.COMPLEX)
BASE = tuple(op for op in SCALARS.values() if op.is_base)


def special_values(dtype: DType) -> Array:
    """Values at the edges of what the dtype holds, and some in between."""
    if dtype is bool_:
        return np.array([False, True])
    if dtype.is_integer:
        limits = np.iinfo(dtype.numpy)  # type: ignore[type-var]
        wanted = (0, 1, 2, 3, 7, 8, 31, 32, 63, 64, 100, -1, -2, -3, -7, -100, limits.min, limits.max, limits.max - 1)
        return np.array([x for x in wanted if limits.min <= x <= limits.max], dtype.numpy)
    largest = {16: 65504.0, 32: 3.4028234663852886e38, 64: 1.7976931348623157e308}[dtype.bits]
    least = {f16: 2.0**-24, bf16: 2.0**-133, f32: 2.0**-149, f64: 2.0**-1074}[dtype]
    wanted_floats = [0.0, 0.5, 1.0, 1.5, 2.5, 3.1415926535, 1e-3, 0.1, 127.5, 255.9, 32768.5, 2.0**31, 2.0**63, 1e19]
    wanted_floats += [largest, least, least * 3, np.inf, 4194304.5, 8388607.5, 1e4 / 3, 65519.0, 65520.0]
    with np.errstate(over="ignore"):
        positive = np.array(wanted_floats).astype(dtype.numpy)
    return np.concatenate([positive, -positive, np.array([np.nan]).astype(dtype.numpy)])


def cases(op: ScalarOp) -> list[tuple[tuple[DType, ...], DType]]:
    """The op's operand dtypes and result dtypes."""
    dtypes = [d for d in REAL if d.kind in op.kinds]
    if op.name == "cast":
        return [((a,), b) for a, b in product(dtypes, dtypes)]
    if op.name == "bitcast":
        return [((a,), b) for a, b in product(dtypes, dtypes) if a.bits == b.bits and bool_ not in (a, b)]
    if op.result is Result.SELECT:
        return [((bool_, d, d), d) for d in dtypes]
    operands = [(d,) * op.arity for d in dtypes]
    return [(each, result_dtype(op.name, each)) for each in operands]


def operand_arrays(op: ScalarOp, dtypes: tuple[DType, ...]) -> list[Array]:
    """Every pair of special values; a third operand in another order."""
    values = [special_values(d) for d in dtypes]
    if op.arity == 1:
        return values
    left, right = (x.ravel() for x in np.meshgrid(values[-2], values[-1]))
    if op.arity == 2:
        return [left, right]
    third = np.random.default_rng(1).permutation(np.resize(values[0], left.size))
    return [third, left, right]


def kernel_of_ops(applications: list[tuple[str, tuple[DType, ...], DType]], kind: LoopKind) -> Kernel:
    """A kernel with a loop per application, over buffers `x0_0`, `x0_1`, ..., `y0`."""
    body: list[Statement] = []
    buffers: list[Buffer] = []
    sizes = []
    for number, (op, dtypes, out) in enumerate(applications):
        size = Symbol(f"n{number}")
        sizes.append(size)
        index = Symbol(f"i{number}", 0, Dim((((size,), 1),)) - 1)
        at, extent = Dim((((index,), 1),)), Dim((((size,), 1),))
        operands = tuple(Buffer(f"x{number}_{i}", d, extent) for i, d in enumerate(dtypes))
        result = Buffer(f"y{number}", out, extent)
        values = tuple(Value(f"v{number}_{i}", d) for i, d in enumerate(dtypes))
        outcome = Value(f"w{number}", out)
        loads = [Load(v, b, at) for v, b in zip(values, operands)]
        body.append(Loop(index, extent, kind, (*loads, Apply(outcome, op, values), Store(result, at, outcome))))
        buffers += (*operands, result)
    return Kernel("ops", tuple(buffers), tuple(sizes), tuple(body))


def id_of(target: Target) -> str:
    return target.cpu


@pytest.mark.parametrize("target", runnable_targets(), ids=id_of)
@pytest.mark.parametrize("kind", (LoopKind.SERIAL, LoopKind.VECTOR), ids=("scalar", "lanes"))
@pytest.mark.parametrize("op", BASE, ids=lambda op: op.name)
def test_base_op_gives_the_bits_of_its_meaning(op: ScalarOp, kind: LoopKind, target: Target) -> None:
    applications = [(op.name, dtypes, out) for dtypes, out in cases(op)]
    kernel = kernel_of_ops(applications, kind)
    arrays: dict[str, Array] = {}
    expected: dict[str, Array] = {}
    sizes: dict[str, int] = {}
    for number, (name, dtypes, out) in enumerate(applications):
        operands = operand_arrays(op, dtypes)
        arrays |= {f"x{number}_{i}": x for i, x in enumerate(operands)}
        arrays[f"y{number}"] = np.zeros(operands[0].shape, out.numpy)
        sizes[f"n{number}"] = operands[0].size
        expected[f"y{number}"] = evaluate(name, out, *operands)
    assert run_native(kernel, arrays, sizes, target=target) == 0
    for number, (name, dtypes, out) in enumerate(applications):
        got, wanted = arrays[f"y{number}"], expected[f"y{number}"]
        if not same_bits(got, wanted):
            wrong = np.flatnonzero((got != wanted) & ~((got != got) & (wanted != wanted)))
            first = wrong[0] if wrong.size else 0
            inputs = [arrays[f"x{number}_{i}"][first] for i in range(len(dtypes))]
            pytest.fail(f"{name}{dtypes} -> {out} of {inputs}: {got[first]!r}, not {wanted[first]!r} ({wrong.size})")


def test_shift_takes_an_amount_of_another_dtype() -> None:
    wide = Buffer("x", i32, 40)
    amount = Buffer("a", next(d for d in DTYPES if d.name == "uint8"), 40)
    result = Buffer("y", i32, 40)
    i = Symbol("i", 0, 39)
    at = Dim((((i,), 1),))
    v, a, w = Value("v", i32), Value("a", amount.dtype), Value("w", i32)
    body = (Load(v, wide, at), Load(a, amount, at), Apply(w, "shift_left", (v, a)), Store(result, at, w))
    kernel = Kernel("shift", (wide, amount, result), (), (Loop(i, 40, LoopKind.VECTOR, body),))
    arrays = {"x": np.full(40, 3, np.int32), "a": np.arange(40, dtype=np.uint8), "y": np.zeros(40, np.int32)}
    run_native(kernel, arrays)
    assert same_bits(arrays["y"], evaluate("shift_left", i32, arrays["x"], arrays["a"].astype(np.int32)))
