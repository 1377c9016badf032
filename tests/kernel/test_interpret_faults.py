"""What a valid kernel never does is found while it runs, and the message names the statement."""

from __future__ import annotations

import numpy as np
import pytest

from graphc.kernel import machine
from graphc.kernel.interpret import KernelFault, OutOfBounds, RaceFault, UnwrittenRead, run_kernel
from graphc.kernel.parse import parse_kernel

HEAD = "kernel k { size n read x: f32[8] read g: i64[8] read p: bool[8] write y: f32[8] "
X = np.arange(8, dtype=np.float32)
G = np.array([3, 1, 4, 1, 5, 9, 2, 6])
P = np.array([True, False] * 4)


def run(body: str, n: int = 8, g: np.ndarray = G) -> np.ndarray:
    y = np.zeros(8, np.float32)
    run_kernel(parse_kernel(HEAD + body + " }"), [X, g, P, y], {"n": n})
    return y


BEYOND = [
    ("vector i < n { %0: f32 = load x[i + 1] }", "`%0: f32 = load x[i + 1]` names element 8 of 8 at i = 7"),
    ("serial i < n { store y[i + 5] = 1.0:f32 }", "`store y[i + 5] = 1.0:f32` names element 8 of 8 at i = 3"),
    ("serial i < n { store y[5 - i] = 1.0:f32 }", "names element -1 of 8 at i = 6"),
    ("vector i < n { vector j < n { store y[i - 1] = 1.0:f32 where false:bool } store y[i - 1] = 1.0:f32 }", "-1 of 8"),
    ("allocate t: f32[n - 6] local serial i < n { store t[i] = 1.0:f32 }", "names element 2 of 2 at i = 2"),
    ("vector i < n { %0: bool = load p[i] if %0 { store y[i + 2] = 1.0:f32 } }", "names element 8 of 8 at i = 6"),
    ("%0: f32 = reduce sum k < n + 1 { %1: f32 = load x[k] yield %1 }", "names element 8 of 8 at k = 8"),
    ("%0: f32 = load x[n + 1]", "`%0: f32 = load x[n + 1]` names element 9 of 8 at n = 8"),
]  # fmt: skip


@pytest.mark.parametrize("body, message", BEYOND, ids=range(len(BEYOND)))
def test_out_of_bounds(body: str, message: str) -> None:
    with pytest.raises(OutOfBounds) as caught:
        run(body)
    assert message in str(caught.value)


WITHIN = [
    "vector i < n { %0: bool = lt 7:i64, 3:i64 %1: f32 = load x[i + 8] where %0 store y[i] = %1 }",
    "vector i < n { %0: i64 = position i\n%1: bool = lt %0, 3:i64 store y[i + 5] = 1.0:f32 where %1 }",
    "vector i < n { %0: i64 = position i\n%1: bool = lt %0, 3:i64 if %1 { store y[i + 5] = 1.0:f32 } }",
    "if false:bool { store y[8] = 1.0:f32 }",
    "vector i < n { serial j < i { %0: f32 = load x[j + 1] store y[i] = %0 } }",
    "vector i < n { %0: i64 = load g[i] bind s < 8 = %0 %1: f32 = load x[s] store y[i] = %1 }",
    "serial i < n - 8 { store y[i + 8] = 1.0:f32 }",
]


@pytest.mark.parametrize("body", WITHIN)
def test_what_does_not_run_names_no_element(body: str) -> None:
    run(body)


RACES = [
    ("vector i < n { store y[(i // 2)] = 1.0:f32 }", "writes an element that another iteration of i reads or writes"),
    ("parallel i < n { store y[0] = 1.0:f32 }", "another iteration of i"),
    ("vector i < n - 1 { %0: f32 = load y[i] store y[i + 1] = %0 }", "`store y[i + 1] = %0` writes"),
    ("vector i < n - 1 { %0: f32 = load y[i + 1] store y[i] = %0 }", "`store y[i] = %0` writes"),
    ("vector i < n { store y[i] = 1.0:f32 %0: f32 = load y[0] }", "`%0: f32 = load y[0]` reads"),
    ("vector i < n { %0: f32 = load y[0] store y[i] = 1.0:f32 }", "`store y[i] = 1.0:f32` writes"),
    ("parallel i < 4 { vector j < 3 { store y[2*i + (j // 2)] = 1.0:f32 } }", "another iteration of j"),
    ("parallel i < 3 { vector j < 3 { store y[2*i + j] = 1.0:f32 } }", "another iteration of i"),
    ("parallel i < 3 { serial j < 3 { store y[2*i + j] = 1.0:f32 } }", "another iteration of i"),
    ("allocate t: f32[1] local parallel i < 3 { store t[0] = 1.0:f32 }", "another iteration of i"),
    ("vector i < n { %0: i64 = load g[i] bind s < 8 = %0 store y[s] = 1.0:f32 }", "another iteration of i"),
    (
        "vector i < n { allocate t: f32[2] local vector j < 4 { store t[(j // 2)] = 1.0:f32 } }",
        "another iteration of j",
    ),
    (
        "%c: f32 = contract a < 2, b < 2, k < 2 { left { yield 1.0:f32 } right { yield 1.0:f32 } "
        "epilogue { store y[a] = %c } }",
        "another iteration of a, b",
    ),
    (
        "%c: f32 = contract a < 2, b < 2, k < 2 { left { %0: f32 = load y[k] yield %0 } right { yield 1.0:f32 } "
        "epilogue { store y[2*a + b] = %c } }",
        "another iteration of a, b",
    ),
    (
        "%r: f32 = reduce sum k < 4 { store y[0] = 1.0:f32 yield 1.0:f32 }",
        "another iteration of k",
    ),
]


@pytest.mark.parametrize("most", [1 << 17, 2])
@pytest.mark.parametrize("body, message", RACES, ids=range(len(RACES)))
def test_races(body: str, message: str, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "MOST_LANES", most)
    monkeypatch.setattr(machine, "MOST_TILE", most)
    with pytest.raises(RaceFault) as caught:
        run(body)
    assert message in str(caught.value)


NO_RACES = [
    "vector i < n { %0: f32 = load y[i] store y[i] = 1.0:f32 %1: f32 = load y[i] store y[i] = %1 }",
    "serial i < 3 { vector j < 2 { store y[i + j] = 1.0:f32 } }",
    "vector j < 8 { serial i < 3 { %0: f32 = load y[j] store y[j] = 1.0:f32 } }",
    "parallel i < 4 { serial k < 2 { vector j < 2 { %0: f32 = load y[2*i + j] store y[2*i + j] = 1.0:f32 } } }",
    "vector i < 2 { store y[i] = 1.0:f32 } vector j < 2 { store y[1 - j] = 2.0:f32 }",
    "vector i < n { allocate t: f32[1] local store t[0] = 1.0:f32 %0: f32 = load t[0] store y[i] = %0 }",
    "vector i < n { %0: f32 = load x[0] store y[i] = %0 }",
    "vector i < n { %0: bool = load p[i] store y[(i // 2)] = 1.0:f32 where %0 }",
    "vector i < n { vector j < 1 { store y[i + j] = 1.0:f32 } }",
    "%c: f32 = contract a < 1, b < 1, k < 1 { left { %0: f32 = load y[0] yield %0 } right { yield 1.0:f32 } "
    "epilogue { store y[0] = %c } }",
]


@pytest.mark.parametrize("most", [1 << 17, 2])
@pytest.mark.parametrize("body", NO_RACES, ids=range(len(NO_RACES)))
def test_no_races(body: str, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "MOST_LANES", most)
    run(body)


UNWRITTEN = [
    ("allocate t: f32[2] local %0: f32 = load t[1] store y[0] = %0", "`%0: f32 = load t[1]` reads an element"),
    ("allocate t: f32[2] local store t[0] = 1.0:f32 %0: f32 = load t[1]", "that nothing has written"),
    ("vector i < n { allocate t: f32[8] local store t[i] = 1.0:f32 %0: f32 = load t[3] }", "has written"),
    ("serial i < n { allocate t: f32[1] local %0: bool = load p[i] store t[0] = 1.0:f32 where %0 %1: f32 = load t[0] }",
     "that nothing has written"),
    ("allocate t: f32[8] local serial i < n { %0: bool = load p[i] store t[i] = 1.0:f32 where %0 } "
     "vector j < n { %1: f32 = load t[j] store y[j] = %1 }", "`%1: f32 = load t[j]` reads an element that nothing has "
     "written at j = 1"),
]  # fmt: skip


@pytest.mark.parametrize("body, message", UNWRITTEN, ids=range(len(UNWRITTEN)))
def test_reads_of_what_nothing_wrote(body: str, message: str) -> None:
    with pytest.raises(UnwrittenRead) as caught:
        run(body)
    assert message in str(caught.value)


def test_scratch_ends_with_each_iteration() -> None:
    body = "serial i < 2 { allocate t: f32[1] local %0: i64 = position i\n%1: bool = eq %0, 0:i64 "
    body += "if %1 { store t[0] = 1.0:f32 } %2: f32 = load t[0] store y[i] = %2 }"
    with pytest.raises(UnwrittenRead, match="that nothing has written"):
        run(body)


OVERLAP = "kernel k {{ read x: f32[7] write y: f32[7] {kind} i < 7 {{ %0: f32 = load x[i] store y[i] = %0 }} }}"


@pytest.mark.parametrize("shift, is_race", [(0, False), (1, True), (-1, True), (8, False)])
def test_races_are_found_where_arrays_overlap(shift: int, is_race: bool) -> None:
    memory = np.arange(32, dtype=np.float32)
    x, y = memory[10:17], memory[10 + shift : 17 + shift]
    kernel = parse_kernel(OVERLAP.format(kind="vector"))
    if is_race:
        with pytest.raises(RaceFault):
            run_kernel(kernel, [x, y])
    else:
        expected = x.copy()
        run_kernel(kernel, [x, y])
        assert (y == expected).all()


def test_serial_loops_over_arrays_that_overlap_run_in_turn() -> None:
    memory = np.arange(8, dtype=np.float32)
    run_kernel(parse_kernel(OVERLAP.format(kind="serial")), [memory[:7], memory[1:]])
    assert (memory == 0).all()


def test_elements_of_other_widths_may_overlap() -> None:
    text = "kernel k { read x: f32[4] write y: f64[4] vector i < 4 { %0: f32 = load x[i] %1: f64 = cast %0 "
    text += "store y[i] = %1 } }"
    memory = np.zeros(48, np.uint8)
    y = memory[:32].view(np.float64)
    with pytest.raises(RaceFault):  # y[0] lies on x[0] and x[1]
        run_kernel(parse_kernel(text), [memory[:16].view(np.float32), y])
    x = memory[32:].view(np.float32)
    x[...] = [1, 2, 3, 4]
    run_kernel(parse_kernel(text), [x, y])
    assert (y == [1, 2, 3, 4]).all()


def test_every_fault_is_one_of_a_kernel() -> None:
    assert all(issubclass(fault, KernelFault) for fault in (OutOfBounds, RaceFault, UnwrittenRead))
