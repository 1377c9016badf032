"""The rules of kernels for a GPU: each broken once, and the message that says so."""

from __future__ import annotations

import pytest

from graphc.ir.dim import Symbol
from graphc.ir.dtype import f16, f32, i32, u32
from graphc.ir.errors import VerifyError
from graphc.kernel.ir import (
    Buffer,
    Kernel,
    Literal,
    LoadMatrix,
    Loop,
    LoopKind,
    MultiplyMatrices,
    Shuffle,
    Space,
    Statement,
    Value,
    WaitCopies,
)
from graphc.kernel.parse import parse_kernel
from graphc.kernel.verify import verify_kernel
from tests.kernel.gpu_kernels import GPU_TEXTS, in_threads
from tests.kernel.test_gpu_text import EVERYTHING

HEAD = "kernel k { size n in 1..9 read x: f32[64] read h: f16[64] read g: i32[64] write y: f32[64] "

PLACES = [
    ("block b < n { thread t < 32 { } } store y[0] = 1.0:f32", "the loop over blocks is the last statement at the top"),
    ("if true:bool { block b < n { thread t < 32 { } } }", "the loop over blocks is the last statement at the top"),
    ("block b < n { block c < n { thread t < 32 { } } }", "a loop over blocks ends with one over threads"),
    ("block b < n { thread t < 32 { block c < n { } } }", "the loop over blocks is the last statement at the top"),
    ("bind m < 4 = 2:i64 block b < m { thread t < 32 { } }", "the number of blocks is an expression of the kernel's"),
    ("block b < n { }", "a loop over blocks ends with one over threads"),
    ("block b < n { thread t < 32 { } %0: f32 = load x[0] }", "a loop over blocks ends with one over threads"),
    ("block b < n { thread t < 32 { } thread u < 32 { } }", "in front of the loop over threads nothing is done but"),
    ("block b < n { thread t < 32 { thread u < 32 { } } }", "the loop over threads is the last statement of the one"),
    ("thread t < 32 { }", "the loop over threads is the last statement of the one over blocks"),
    ("block b < n { thread t < 33 { } }", "the number of threads is a multiple of 32 up to 1024, not 33"),
    ("block b < n { thread t < 2048 { } }", "the number of threads is a multiple of 32 up to 1024, not 2048"),
    ("block b < n { thread t < 0 { } }", "the number of threads is a multiple of 32 up to 1024, not 0"),
    ("block b < n { thread t < 32*n { } }", "the number of threads is a multiple of 32 up to 1024, not 32*n"),
    ("store y[0] = 1.0:f32 block b < n { thread t < 32 { } }", "in front of the loop over blocks nothing is done but"),
    ("allocate s: f32[4] local block b < n { thread t < 32 { } }", "in front of the loop over blocks nothing is done"),
    ("block b < n { store y[0] = 1.0:f32 thread t < 32 { } }", "in front of the loop over threads nothing is done but"),
    ("block b < n { allocate s: f32[4] local thread t < 32 { } }", "a block's memory is shared; a thread's stands in"),
    ("block b < n { allocate s: f32[n] shared thread t < 32 { } }", "shared memory has a fixed size"),
    ("block b < n { allocate s: f32[60000] shared thread t < 32 { } }", "240000 bytes of shared memory are more than"),
    ("block b < n { thread t < 32 { allocate s: f32[4] shared } }", "shared memory is allocated in front of the loop"),
    ("allocate s: f32[4] shared", "shared memory is allocated in front of the loop over threads"),
    ("choose 0:i32 (c: f32[8]) of (x) { }", "this stands in a loop over threads alone"),
    ("serial i < 4 { barrier }", "this stands in a loop over threads alone"),
    ("block b < n { barrier thread t < 32 { } }", "in front of the loop over threads nothing is done but"),
    ("block b < n { thread t < 32 { vector v < 4 { barrier } } }", "what threads do together stands in conditions and"),
    ("block b < n { thread t < 32 { if true:bool { %0: f32 = reduce sum k < 4 { commit_copies yield 1.0:f32 } } } }",
     "what threads do together stands in conditions and serial loops at most"),
    ("unrolled u < n { }", "an unrolled loop has a fixed extent, not n"),
    ("block b < n { thread t < 32 { unrolled u < n { } } }", "an unrolled loop has a fixed extent, not n"),
]  # fmt: skip


@pytest.mark.parametrize("body, message", PLACES, ids=range(len(PLACES)))
def test_loops_and_statements_have_their_places(body: str, message: str) -> None:
    with pytest.raises(VerifyError) as caught:
        verify_kernel(parse_kernel(f"{HEAD}{body} }}"))
    assert str(caught.value).startswith(f"kernel k: {message}")
    assert ", in `" in str(caught.value)


S, SH = "allocate s: f32[64] shared", "allocate s: f16[64] shared"
FOUR = "0.0:f32, 0.0:f32, 0.0:f32, 0.0:f32"
BITS, SUMS = "0:u32, 0:u32, 0:u32, 0:u32", "%0: f32, %1: f32, %2: f32, %3: f32"

STATEMENTS = [
    (S, "choose 0.0:f32 (c: f32[8]) of (x) { }", "a choice is by an integer, not float32"),
    (S, "choose 0:i32 (c: f32[8], d: f32[8]) of (x, y), (h) { }", "each row of a choice has a parameter for each of 2"),
    (S, "choose 0:i32 (c: f32[8] shared) of (x) { }", "buffer c stands for parameters, yet is shared"),
    (S, "choose 0:i32 (c: f16[8]) of (x) { }", "buffer c is float16, and not all that it may stand for"),
    (S, "choose 0:i32 (c: f32[8]) of (y), (x) { }", "the rows of a choice are parameters of the kernel side by side"),
    (S, "choose 0:i32 (c: f32[8]) of (s) { }", "the rows of a choice are parameters of the kernel side by side"),
    (S, "choose 0:i32 (c: f32[8]) of (x) { store c[0] = 1.0:f32 }", "buffer c is not among those written to"),
    (S, "%0: f32 = shuffle left 1.0:f32, 1:i32", "there is no shuffle 'left'; there are xor, up, down, index"),
    (S, "%0: f32 = shuffle up 1.0:f32, 1.0:f32", "the number of a thread is an integer, not float32"),
    (S, "%0: f32 = shuffle up 1.0:f32, 32:i32", "thread 32 is none of a warp's 32"),
    (S, "%0: f32 = shuffle index 1.0:f32, -1:i32", "thread -1 is none of a warp's 32"),
    (S, "%0: f32 = shuffle xor 1:i32, 1:i32", "a shuffle of int32 gives no float32"),
    (S, "copy_async x[0] = s[0] * 4", "an asynchronous copy goes from global to shared memory, not from shared"),
    (S, "copy_async s[0] = h[0] * 4", "elements of float16 and float32 are not equally wide"),
    (S, "copy_async s[0] = x[0] * 3", "an asynchronous copy takes 4, 8 or 16 bytes, not 12"),
    (S, "copy_async s[0] = x[0] * 0", "an asynchronous copy takes 4, 8 or 16 bytes, not 0"),
    (SH, "copy_async s[0] = h[0] * 1", "an asynchronous copy takes 4, 8 or 16 bytes, not 2"),
    (S, "copy_async s[2*t] = x[0] * 4", "the index 2*t + 3 leaves the 64 elements of s"),
    (S, "copy_async s[t] = x[2*t] * 4", "the index 2*t + 3 leaves the 64 elements of x"),
    (S, "copy_async s[t] = x[t] * 4 where 1:i32", "a predicate is a bool, not int32"),
    (SH, "(%0: u32, %1: u32, %2: u32) = load_matrix s[0]", "1, 2 or 4 matrices are loaded, not 3"),
    (S, "(%0: u32) = load_matrix s[0]", "matrices of 16-bit elements are loaded from shared memory, not from float32"),
    (S, "(%0: u32) = load_matrix h[0]", "matrices of 16-bit elements are loaded from shared memory, not from float16"),
    (SH, "(%0: i32) = load_matrix s[0]", "a part of a matrix is uint32, not int32"),
    (S, f"({SUMS}) = multiply_matrices f32 ({BITS}), (0:u32, 0:u32), ({FOUR})", "there are no products of 'f32' matri"),
    (S, f"({SUMS}) = multiply_matrices f16 ({BITS}), (0:u32), ({FOUR})", "a product has 4 results, 4 left and 2"),
    (S, f"(%0: f32) = multiply_matrices f16 ({BITS}), (0:u32, 0:u32), ({FOUR})", "a product has 4 results, 4 left and"),
    (S, f"({SUMS}) = multiply_matrices f16 ({FOUR}), (0:u32, 0:u32), ({FOUR})", "a pair of factors is uint32, not flo"),
    (S, f"({SUMS}) = multiply_matrices f16 ({BITS}), (0:u32, 0:u32), ({BITS})", "an addend is float32, not uint32"),
    (S, f"({SUMS.replace('%3: f32', '%3: f64')}) = multiply_matrices bf16 ({BITS}), (0:u32, 0:u32), ({FOUR})",
     "a sum is float32, not float64"),
]  # fmt: skip


@pytest.mark.parametrize("shared, body, message", STATEMENTS, ids=range(len(STATEMENTS)))
def test_statements_take_what_they_say(shared: str, body: str, message: str) -> None:
    kernel = parse_kernel(f"{HEAD}block b < 2 {{ {shared} thread t < 32 {{ {body} }} }} }}")
    with pytest.raises(VerifyError) as caught:
        verify_kernel(kernel)
    assert str(caught.value).startswith(f"kernel k: {message}")


@pytest.mark.parametrize(
    "body", ["parallel i < 4 { }", "%0: f32 = contract i < 2, j < 2, k < 2 { left { yield 1.0:f32 } right { yield "
             "1.0:f32 } epilogue { } }"]
)  # fmt: skip
def test_a_scheduled_kernel_has_blocks_and_threads_alone(body: str) -> None:
    kernel = parse_kernel(in_threads(f"serial l < 2 {{ {body} }}"))
    verify_kernel(kernel)
    with pytest.raises(VerifyError, match="what runs in parallel on a GPU are blocks and threads alone"):
        verify_kernel(kernel, is_scheduled=True)


ONE, ZERO, LOST = Literal(1.0, f32), Literal(0, u32), Value("lost", f32)
OUTS = tuple(Value(f"o{number}", f32) for number in range(4))

BUILT = [
    (Shuffle(OUTS[0], LOST, "up", Literal(1, i32)), "value %lost is not defined yet"),
    (Shuffle(OUTS[0], ONE, "up", LOST), "value %lost is not defined yet"),
    (MultiplyMatrices(OUTS, (ZERO,) * 4, (ZERO,) * 2, (ONE, ONE, ONE, LOST), "f16"), "value %lost is not defined yet"),
    (MultiplyMatrices((*OUTS[:3], OUTS[0]), (ZERO,) * 4, (ZERO,) * 2, (ONE,) * 4, "f16"), "value %o0 is defined twice"),
    (LoadMatrix((), Buffer("q", f16, 64, Space.SHARED), 0), "1, 2 or 4 matrices are loaded, not 0"),
    (LoadMatrix((Value("v", u32),), Buffer("q", f16, 64, Space.SHARED), 0), "buffer q is not known here"),
    (WaitCopies(-1), "-1 groups can't be under way"),
]


@pytest.mark.parametrize("statement, message", BUILT, ids=range(len(BUILT)))
def test_what_text_can_not_say_is_refused(statement: Statement, message: str) -> None:
    threads = Loop(Symbol("t", 0, 31), 32, LoopKind.THREAD, (statement,))
    blocks = Loop(Symbol("b", 0, 0), 1, LoopKind.BLOCK, (threads,))
    with pytest.raises(VerifyError) as caught:
        verify_kernel(Kernel("k", (), (), (blocks,)))
    assert str(caught.value).startswith(f"kernel k: {message}")


@pytest.mark.parametrize("name", [*GPU_TEXTS, "everything"])
def test_right_kernels_are_accepted(name: str) -> None:
    verify_kernel(parse_kernel({**GPU_TEXTS, "everything": EVERYTHING}[name]), is_scheduled=True)
