"""The native entry of a program: offsets, sizes, arguments, threads and status."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from graphc.codegen.cpu import emit_kernel
from graphc.codegen.program import ENTRY, KERNEL, arena_size, block_slots, emit_program
from graphc.codegen.work import most_threads
from graphc.ir.attribute import Array as Constant
from graphc.ir.dim import Size, Symbol, evaluate, symbol, symbols
from graphc.ir.dtype import f32
from graphc.ir.type import TensorType
from graphc.kernel.ir import Kernel
from graphc.kernel.parse import parse_kernel
from graphc.kernel.program import ConstantData, Input, Launch, Memory, Output, Program, Temporary
from graphc.runtime import pool
from graphc.runtime.engine import compile_object, object_symbols
from graphc.runtime.target import TARGETS, native_target
from tests.codegen.corpus import CHECKED
from tests.codegen.native import Array, load_for_good

N = symbol("n")
(SIZE,) = symbols(N)
assert isinstance(SIZE, Symbol)


def unary(op: str, extent: str = "n") -> Kernel:
    """y = op x, in chunks for threads."""
    size = "" if extent.isdecimal() else f"size {extent}"
    return parse_kernel(f"""kernel {op} {{
  {size}
  read x: f32[{extent}]
  write y: f32[{extent}]
  parallel i < ({extent} + 99) // 100 {{
    vector j < min(100, {extent} - 100*i) {{
      %x: f32 = load x[100*i + j]
      %y: f32 = {op} %x
      store y[100*i + j] = %y
    }}
  }}
}}
""")


def tensor(*shape: Size) -> TensorType:
    """A float32 tensor."""
    return TensorType(shape, f32)


def run(program: Program, inputs: Sequence[Array], sizes: Mapping[str, int], threads: int = 2) -> int | list[Array]:
    """Compile and run; the results, or the status where it is not 0."""
    target = native_target()
    pool.start()
    kernels = [
        load_for_good(compile_object(emit_kernel(kernel, target, KERNEL), target), KERNEL) for kernel in program.kernels
    ]
    entry = load_for_good(compile_object(emit_program(program, target), target), ENTRY)
    results = [np.zeros([evaluate(s, sizes) for s in o.type.shape], o.type.dtype.numpy) for o in program.outputs]
    constants = [np.ascontiguousarray(c.value.value) for c in program.constants]
    table = np.array(kernels, np.int64)
    arena = np.zeros(evaluate(arena_size(program, target, threads), sizes) + 64, np.uint8)
    block = [array.ctypes.data for array in (*inputs, *results, *constants, table)]
    block += [threads, *(sizes[size.name] for size in program.sizes), -(-arena.ctypes.data // 64) * 64]
    assert len(block) == block_slots(program)
    words = np.array(block, np.int64)
    status: int = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p)(entry)(words.ctypes.data)
    return status or results


def chain(ops: Sequence[str], extent: Size, sizes: tuple[Symbol, ...]) -> Program:
    """Launches one after another, through two temporaries in turn."""
    source, result = Input(0, tensor(extent)), Output(0, tensor(extent))
    room = (extent * 4 + 63) // 64 * 64
    temporaries = (Temporary(0, room, f32), Temporary(room, room, f32))
    kernels = {op: unary(op, str(extent)) for op in ops}
    memories: list[Memory] = [source, *(temporaries[i % 2] for i in range(len(ops) - 1)), result]
    launches = tuple(
        Launch(kernels[op], (memories[i], memories[i + 1]), (extent,) if sizes else ()) for i, op in enumerate(ops)
    )
    return Program("chain", (source,), (result,), (), sizes, launches, 2 * room)


@pytest.mark.parametrize("n", (0, 1, 99, 100, 101, 5000))
@pytest.mark.parametrize("is_known", (True, False), ids=("known", "symbolic"))
def test_launches_run_in_order_through_the_arena(n: int, is_known: bool) -> None:
    ops = ("neg", "abs", "sqrt", "neg", "floor")
    program = chain(ops, n, ()) if is_known else chain(ops, N, (SIZE,))
    x = np.random.default_rng(0).normal(size=n).astype(np.float32) * 9
    results = run(program, [x], {} if is_known else {"n": n})
    assert not isinstance(results, int)
    np.testing.assert_array_equal(results[0], np.floor(-np.sqrt(np.abs(-x))))


def test_each_kernel_is_in_the_table_once() -> None:
    program = chain(("neg", "abs", "neg", "abs", "neg"), N, (SIZE,))
    assert [kernel.name for kernel in program.kernels] == ["neg", "abs"]


def test_five_hundred_launches_make_little_more_code_than_five() -> None:
    few, many = (chain(["neg", "abs"] * half, 1000, ()) for half in (2, 250))
    target = native_target()
    code = [len(emit_program(program, target).split("define", 1)[1]) for program in (few, many)]
    assert code[1] < 1.1 * code[0]
    x = np.ones(1000, np.float32)
    results = run(many, [x], {})
    assert not isinstance(results, int)
    np.testing.assert_array_equal(results[0], x)


def test_constants_and_size_expressions_reach_the_kernels() -> None:
    kernel = parse_kernel("""kernel shift {
  size m
  size k
  read x: f32[m]
  read c: f32[3]
  write y: f32[m]
  vector i < m {
    %x: f32 = load x[i]
    %c: f32 = load c[i % 3]
    %k: i64 = position k
    %f: f32 = cast %k
    %d: f32 = mul %c, %f
    %y: f32 = add %x, %d
    store y[i] = %y
  }
}
""")
    source, result = Input(0, tensor(2 * N)), Output(0, tensor(2 * N))
    constant = ConstantData(Constant(np.array([1, 2, 3], np.float32)))
    launch = Launch(kernel, (source, constant, result), (2 * N, N // 3 + 5))
    program = Program("shift", (source,), (result,), (constant,), (SIZE,), (launch,), 0)
    for n in (0, 1, 7, 30):
        x = np.arange(2 * n, dtype=np.float32)
        results = run(program, [x], {"n": n})
        assert not isinstance(results, int)
        np.testing.assert_array_equal(results[0], x + np.resize([1, 2, 3], 2 * n) * np.float32(n // 3 + 5))


def test_a_failed_check_ends_the_run_with_its_code() -> None:
    kernel = CHECKED.kernel
    indices = Input(0, TensorType((N,), kernel.buffers[0].dtype))
    values, result, copy = Input(1, tensor(10)), Output(0, tensor(N)), Output(1, tensor(N))
    launches = (Launch(kernel, (indices, values, result), (N,)), Launch(unary("abs"), (result, copy), (N,)))
    program = Program("take", (indices, values), (result, copy), (), (SIZE,), launches, 0)
    x = np.arange(10, dtype=np.float32)
    good = np.array([0, 9, 5, 3] * 20)
    results = run(program, [good, x], {"n": good.size})
    assert not isinstance(results, int)
    np.testing.assert_array_equal(results[1], x[good])
    for place, wrong in ((0, 10), (79, -1), (40, 1 << 40)):
        bad = good.copy()
        bad[place] = wrong
        assert run(program, [bad, x], {"n": bad.size}) == 7


@pytest.mark.parametrize("threads", (1, 2))
def test_threads_give_the_same_bits(threads: int) -> None:
    x = np.random.default_rng(1).normal(size=300_001).astype(np.float32)
    program = chain(("exp", "neg", "tanh"), N, (SIZE,))
    results, single = (run(program, [x], {"n": x.size}, count) for count in (threads, 1))
    assert not isinstance(results, int)
    assert not isinstance(single, int)
    assert results[0].tobytes() == single[0].tobytes()


def test_small_work_stays_on_one_thread() -> None:
    threads = most_threads(unary("neg"))
    assert evaluate(threads, {"n": 0}) == 1
    assert evaluate(threads, {"n": 1000}) == 1
    assert evaluate(threads, {"n": 10_000_000}) > 8
    assert most_threads(unary("neg", "100")) == 1
    assert most_threads(CHECKED.kernel) == 1  # it has no parallel loop


@pytest.mark.parametrize("name", TARGETS)
def test_the_entry_asks_for_the_pool_alone(name: str) -> None:
    program = chain(("neg", "abs", "neg"), N, (SIZE,))
    defined, undefined = object_symbols(compile_object(emit_program(program, TARGETS[name]), TARGETS[name]))
    assert ENTRY in defined
    assert set(undefined) == {"graphc_pool_run_n"}


def test_a_program_without_launches_returns_zero() -> None:
    program = Program("nothing", (), (), (), (), (), 0)
    assert run(program, [], {}) == []
