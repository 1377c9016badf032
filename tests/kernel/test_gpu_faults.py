"""Mistakes planted in kernels for a GPU: each is found, and the message names the statement, the block, the threads."""

from __future__ import annotations

import re

import numpy as np
import pytest

from graphc.kernel import machine
from graphc.kernel.interpret import (
    AlignmentFault,
    CopyFault,
    DivergenceFault,
    KernelFault,
    OutOfBounds,
    RaceFault,
    UnwrittenRead,
    run_kernel,
)
from graphc.kernel.parse import parse_kernel
from tests.kernel.gpu_kernels import GPU_TEXTS, in_threads

SIZES = {"block_sum": {"n": 300}, "warp_tree": {"n": 70}, "transpose": {"m": 40, "n": 33}, "pipeline": {"n": 3}}


def run_text(name: str, text: str) -> None:
    kernel = parse_kernel(text)
    sizes = SIZES[name]
    counts = {
        "block_sum": (300, 3),
        "warp_tree": (280, 4),
        "transpose": (1320, 1320),
        "pipeline": (384, 128),
    }[name]
    run_kernel(kernel, [np.zeros(count, np.float32) for count in counts], sizes)


def without(text: str, statement: str, number: int) -> str:
    """The text without one of its lines that hold the statement."""
    places = [match.span() for match in re.finditer(rf"\n *{re.escape(statement)}(?=\n)", text)]
    start, end = places[number]
    return text[:start] + text[end:]


def occurrences(statement: str) -> list[tuple[str, int]]:
    """Each line with the statement, in each of the kernels."""
    return [
        (name, number)
        for name, text in GPU_TEXTS.items()
        for number in range(len(re.findall(rf"\n *{re.escape(statement)}(?=\n)", text)))
    ]


@pytest.mark.parametrize("name", GPU_TEXTS)
def test_the_kernels_are_right(name: str) -> None:
    run_text(name, GPU_TEXTS[name])


@pytest.mark.parametrize("name, number", occurrences("barrier"))
@pytest.mark.parametrize("most", [1, 1 << 17])
def test_every_missing_barrier_is_a_race(name: str, number: int, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "MOST_LANES", most)
    with pytest.raises(RaceFault, match="with no barrier between") as caught:
        run_text(name, without(GPU_TEXTS[name], "barrier", number))
    assert re.search(r"at b = \d+, t = \d+", str(caught.value))


CHANGES = [
    ("pipeline", "        wait_copies 1\n", "", CopyFault, "`%0: f32 = load s[128*(k % 2) - 4*t - v + 127]` reads an"),
    ("pipeline", "wait_copies 1", "wait_copies 2", CopyFault, "that something under way will write"),
    ("pipeline", "        commit_copies\n", "", CopyFault, "reads an element that something under way will write"),
    ("pipeline", "128*((k + 1) % 2)", "0", CopyFault, "`copy_async s[4*t] = x[128*k + 4*t + 128] * 4 where %more`"),
    ("pipeline", "[4*t + 128*((k", "[4*t + 1 + 128*((k", OutOfBounds, "names element 256 of 256 at k = 0, t = 31"),
    ("pipeline", "[4*t + 128*((k", "[2*t + 128*((k", AlignmentFault, "are multiples of 16 bytes at b = 0, t = 1"),
    ("pipeline", "x[128*k + 4*t + 128]", "x[128*k + 4*t + 127]", AlignmentFault, "multiples of 16 bytes at b = 0, t ="),
    ("pipeline", "x[128*k + 4*t + 128]", "x[128*k + 4*t + 132]", OutOfBounds, "names element 387 of 384 at k = 1, t ="),
    ("block_sum", "        }\n        barrier\n", "        barrier\n        }\n", DivergenceFault,
     "`barrier` takes all threads of a block, and only some come to it: one is at b = 0, t = 0, t = 64 is missing"),
    ("block_sum", "store s[t] = %0", "store s[t + 1] = %0", OutOfBounds, "`store s[t + 1] = %0` names element 128 of"),
    ("block_sum", "store s[t] = %0", "store s[(t // 2)] = %0", RaceFault, "; the other one is t = 1"),
    ("block_sum", "store s[t] = %0", "store s[t] = %0 where %in", UnwrittenRead, "nothing has written at t = 44"),
    ("block_sum", "store y[b] = %r", "store y[0] = %r", RaceFault, "that another iteration of b reads or writes at b"),
    ("block_sum", "store y[b] = %r", "store y[b + 1] = %r", OutOfBounds, "names element 3 of 3 at b = 2"),
    ("warp_tree", "where %first", "", RaceFault, "`store y[(t // 32)] = %16` writes an element that another iteration"),
    ("transpose", "33*(8*u", "32*(8*u", UnwrittenRead, "`%9: f32 = load tile[33*(t % 32) + (t // 32) + 8*v]` reads"),
    ("transpose", "store tile[33*(8*u", "store tile[30*(8*u", RaceFault, "writes an element that another iteration of"),
    ("transpose", "y[m*q + p]", "y[m*q]", RaceFault, "another iteration of"),
]  # fmt: skip


@pytest.mark.parametrize("name, old, new, fault, message", CHANGES, ids=range(len(CHANGES)))
def test_planted_mistakes(name: str, old: str, new: str, fault: type[KernelFault], message: str) -> None:
    assert old in GPU_TEXTS[name]
    with pytest.raises(fault) as caught:
        run_text(name, GPU_TEXTS[name].replace(old, new))
    assert type(caught.value) is fault
    assert str(caught.value).startswith(f"kernel {name}: `")
    assert message in str(caught.value)


S = "allocate s: f32[64] shared"
SH = "allocate s: f16[512] shared"
HALF = "%i: i64 = position t %q: bool = lt %i, 16:i64 "
WARP = "%i: i64 = position t %q: bool = lt %i, 32:i64 "
FOUR, BITS = "0.0:f32, 0.0:f32, 0.0:f32, 0.0:f32", "0:u32, 0:u32, 0:u32, 0:u32"
FILL = "unrolled u < 8 { store s[8*t + u] = 1.0:f16 } barrier "

FAULTS = [
    # Divergence, of blocks and warps.
    (S, f"{HALF} if %q {{ barrier }}", DivergenceFault, "`barrier` takes all threads of a block, and only some come"),
    (S, f"{WARP} if %q {{ barrier }}", DivergenceFault, "one is at b = 0, t = 0, t = 32 is missing"),
    (S, "serial k < (t // 63) { barrier }", DivergenceFault, "one is at b = 0, t = 63, t = 0 is missing"),
    (S, "serial k < 4 { if true:bool { serial l < t { barrier } } }", DivergenceFault, "is missing"),
    (S, f"{HALF} if %q {{ %0: f32 = shuffle up 1.0:f32, 1:i32 }}", DivergenceFault, "takes all threads of a warp, and"),
    (S, f"{HALF} if %q {{ (%0: f32, %1: f32, %2: f32, %3: f32) = multiply_matrices f16 ({BITS}), (0:u32, 0:u32), "
     f"({FOUR}) }}", DivergenceFault, "takes all threads of a warp, and only some"),
    (SH, f"{HALF} if %q {{ (%0: u32) = load_matrix s[0] }}", DivergenceFault, "takes all threads of a warp, and only"),
    # Threads that no warp has.
    (S, "%0: i32 = load g[t] %1: f32 = shuffle index 1.0:f32, %0", OutOfBounds, "names thread 32 of the 32 of a warp"),
    # A row that a choice does not have.
    (S, "choose 1:i32 (c: f32[8]) of (x) { %0: f32 = load c[0] }", OutOfBounds, "{` takes row 1 of 1"),
    (S, "choose 0:i32 (c: f32[n]) of (x) { %0: f32 = load c[t + 1000] }", OutOfBounds, "names element 1000 of"),
    # Races, of threads and blocks, in all memories.
    (S, "store s[t] = 1.0:f32 %0: f32 = load s[t - (t % 2)]", RaceFault, "t = 1; the other"),
    (S, "store s[0] = 1.0:f32", RaceFault, "writes an element that another iteration of t reads or writes with no"),
    (S, "%0: f32 = load y[64*b + 63 - t] store y[64*b + t] = %0", RaceFault, "another iteration of t reads"),
    (S, "store y[t] = 1.0:f32", RaceFault, "; the other one is b = "),
    (S, "store y[64*b + t] = 1.0:f32 barrier %0: f32 = load y[64 + t]", RaceFault, "another iteration of b "),
    (S, "%i: i64 = position b %q: bool = eq %i, 0:i64 store s[t] = 1.0:f32 if %q { barrier } "
     "%0: f32 = load s[63 - t]", RaceFault, "with no barrier between at b = 1, t = 0"),
    (S, "%i: i64 = position b %q: bool = eq %i, 0:i64 store s[t] = 1.0:f32 if %q { barrier } if %q { "
     "%0: f32 = load s[63 - t] store s[t] = %0 }", RaceFault, "`store s[t] = %0` writes an element that another"),
    (SH, "unrolled u < 8 { store s[8*t + u] = 1.0:f16 } (%0: u32) = load_matrix s[8*t]", RaceFault, "`(%0: u32) ="),
    # Memory that nothing wrote.
    (S, "%0: f32 = load s[t]", UnwrittenRead, "reads an element that nothing has written at t = 0, b = 0"),
    (SH, "(%0: u32) = load_matrix s[8*t]", UnwrittenRead, "`(%0: u32) = load_matrix s[8*t]` reads an element that"),
    (S, "allocate a: f32[2] local store a[0] = 1.0:f32 %0: f32 = load a[1]", UnwrittenRead, "nothing has written at b"),
    # Matrices.
    (SH, FILL + "(%0: u32) = load_matrix s[8*t + 1]", AlignmentFault, "takes addresses that are multiples of 16 bytes"),
    (SH, FILL + "(%0: u32) = load_matrix s[64*t + 64]", OutOfBounds, "names element 519 of 512 at t = 7, b = 0"),
    # Copies: who may touch what, and when.
    (S, "copy_async s[t] = x[t] * 1 commit_copies %0: f32 = load s[t]", CopyFault, "`%0: f32 = load s[t]` reads an"),
    (S, "copy_async s[t] = x[t] * 1 wait_copies 0 %0: f32 = load s[t]", CopyFault, "that something under way will"),
    (S, "copy_async s[t] = x[t] * 1 commit_copies store s[63 - t] = 1.0:f32", CopyFault, "writes an element that some"),
    (S, "copy_async s[t] = x[t] * 1 barrier copy_async s[63 - t] = x[t] * 1", CopyFault, "writes an element that some"),
    (S, "copy_async s[t] = x[t] * 1 commit_copies wait_copies 0 %0: f32 = load s[63 - t]", RaceFault, "with no"),
    (S, "copy_async s[t] = x[t] * 1 commit_copies barrier wait_copies 0 %0: f32 = load s[63 - t]", RaceFault, "with"),
    (S, "%0: f32 = load s[63 - t] where false:bool store s[t] = 1.0:f32 copy_async s[63 - t] = x[t] * 1", RaceFault,
     "`copy_async s[-t + 63] = x[t] * 1` writes an element that another iteration of t"),
    (S, "copy_async s[t] = y[64*b + t] * 1 barrier store y[64*b + 63 - t] = 1.0:f32", CopyFault, "something under"),
    (S, "copy_async s[t] = y[64*b + t] * 1 store y[64*b + 63 - t] = 1.0:f32", CopyFault, "something under way reads"),
    (S, "copy_async s[t] = y[64*b + t] * 1 commit_copies wait_copies 0 store y[64*b + 63 - t] = 1.0:f32", RaceFault,
     "`store y[64*b - t + 63] = 1.0:f32` writes"),
    (S, "copy_async s[t] = y[t] * 1 commit_copies wait_copies 0 barrier store y[t] = 1.0:f32", RaceFault, "of b"),
    (S, "copy_async s[t + 1] = x[t] * 2", OutOfBounds, "names element 64 of 64 at t = 62, b = 0"),
    (S, "copy_async s[t] = x[4*t + 8*b] * 1", OutOfBounds, "names element 256 of 256 at b = 1, t = 62"),
    (S, "copy_async s[t] = x[t] * 2 where false:bool", OutOfBounds, "names element 64 of 64 at t = 63"),
    (S, "copy_async s[2*(t // 2)] = x[2*(t // 2) + 1] * 2", AlignmentFault, "multiples of 8 bytes at b = 0, t = 0"),
    (S, "copy_async s[(t // 2)] = x[t] * 1", RaceFault, "`copy_async s[(t // 2)] = x[t] * 1` writes an element that"),
    (S, f"{HALF} copy_async s[t] = x[t] * 1 if %q {{ commit_copies }} wait_copies 0 %0: f32 = load s[t]", CopyFault,
     "reads an element that something under way will write at b = 0, t = 16"),
]  # fmt: skip


def run_body(body: str, shared: str) -> None:
    given = {"x": np.zeros(256, np.float32), "h": np.zeros(256, np.float16), "p": np.zeros(256, np.bool_)}
    given |= {"g": np.full(256, 32, np.int32), "y": np.zeros(256, np.float32), "z": np.zeros(256, np.uint32)}
    run_kernel(parse_kernel(in_threads(body, 64, "n", shared)), given, {"n": 2})


@pytest.mark.parametrize("most", [1, 1 << 17])
@pytest.mark.parametrize("shared, body, fault, message", FAULTS, ids=range(len(FAULTS)))
def test_faults(
    shared: str, body: str, fault: type[KernelFault], message: str, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "MOST_LANES", most)
    with pytest.raises(KernelFault) as caught:
        run_body(body, shared)
    assert type(caught.value) is fault, caught.value
    assert str(caught.value).startswith("kernel k: `")
    assert message in str(caught.value)


RIGHT = [
    (S, "store s[t] = 1.0:f32 barrier %0: f32 = load s[63 - t] barrier store s[t] = %0"),
    (S, "serial k < 3 { store s[t] = 1.0:f32 barrier %0: f32 = load s[63 - t] barrier }"),
    (S, "store s[t] = 1.0:f32 %0: f32 = load s[t] store s[t] = %0"),
    (S, f"{WARP} if %q {{ %0: f32 = shuffle up 1.0:f32, 1:i32 }}"),
    (S, "%i: i64 = position b %q: bool = eq %i, 0:i64 if %q { barrier }"),
    (S, "serial k < b { store s[t] = 1.0:f32 barrier %0: f32 = load s[63 - t] barrier }"),
    (S, "store y[64*b + t] = 1.0:f32 barrier %0: f32 = load y[64*b + 63 - t]"),
    (S, "%0: f32 = load x[0] %1: f32 = load y[128 + t] store y[64*b + t] = %1"),
    (S, "copy_async s[t] = x[t] * 1 commit_copies"),
    (
        S,
        "copy_async s[t] = x[(t // 2)] * 1 commit_copies wait_copies 0 %0: f32 = load s[t] barrier "
        "store s[63 - t] = %0",
    ),
    (S, "copy_async s[t] = y[64*b + t] * 1 commit_copies wait_copies 0 barrier store y[64*b + 63 - t] = 1.0:f32"),
    (S, "copy_async s[t] = x[t] * 1 commit_copies wait_copies 0 copy_async s[t] = x[t + 1] * 1"),
    (SH, FILL + "(%0: u32) = load_matrix s[min(64*t, 504)]"),  # threads from 8 on give no row
]


@pytest.mark.parametrize("shared, body", RIGHT, ids=range(len(RIGHT)))
def test_what_is_right_is_no_fault(shared: str, body: str) -> None:
    run_body(body, shared)
