"""Long loops: what changes from step to step must not pile up plans, native code, objects or memory."""

from __future__ import annotations

import gc
import itertools
import sys
from collections.abc import Callable, Iterator

import pytest

import graphc as torch
from graphc.eager import plan
from graphc.eager.compiled import PROGRAMS
from graphc.ir.settings import override
from graphc.runtime import engine
from graphc.runtime.buffer import buffer_stats

STEPS = 20_000
X = torch.arange(40.0)
LEAF = torch.arange(40.0, requires_grad=True)
MATRIX = torch.arange(60.0).reshape(12, 5).requires_grad_()
WEIGHT = torch.ones(7, 3, requires_grad=True)


def _accumulate(total: torch.Tensor) -> None:
    total.backward()
    for leaf in (LEAF, MATRIX, WEIGHT):
        leaf.grad = None


def _write(index: object, value: object) -> None:
    y = LEAF * 2
    y[index] = value
    _accumulate(y.sum())


def _write_through(index: object) -> None:
    y = LEAF * 2
    y[index].mul_(3.0)
    y[index].add_(1.0)
    _accumulate(y.sum())


def _train(batch: int) -> None:
    hidden = (torch.ones(batch, 7) @ WEIGHT).relu()
    _accumulate((hidden.softmax(1).log() * -1.0).sum())


NUMBERS: dict[str, Callable[[int], object]] = {
    "x * i": lambda i: X * i,
    "x + 0.1 * i": lambda i: X + 0.1 * i,
    "i - x": lambda i: i - X,
    "x ** float": lambda i: X ** (1.5 + i % 7),
    "clamp(max=i)": lambda i: X.clamp(max=i),
    "x > i": lambda i: i < X,
    "add_(i)": lambda i: X.add_(i % 3 - 1),
    "masked_fill": lambda i: X.masked_fill(i < X, float(i)),
    "add(alpha=i)": lambda i: torch.add(X, X, alpha=i),
    "full": lambda i: torch.full((3,), i),
    "x[i]": lambda i: X[i % 40],
    "x[i:i+3]": lambda i: X[i % 37 : i % 37 + 3],
    "m[i, j]": lambda i: MATRIX.detach()[i % 12, i % 5],
    "x[i] = i": lambda i: X.__setitem__(i % 40, i % 9),
    "roll": lambda i: X.roll(i % 40),
}
"""Steps that need no gradient."""
TAPES: dict[str, Callable[[int], object]] = {
    "x * i": lambda i: _accumulate((LEAF * i).sum()),
    "x[i]": lambda i: _accumulate(LEAF[i % 40] * 2),
    "x[i:i+3]": lambda i: _accumulate(LEAF[i % 37 : i % 37 + 3].sum()),
    "m[i, j:j+2]": lambda i: _accumulate(MATRIX[i % 12, i % 4 : i % 4 + 2].sum()),
    "y[i] = number": lambda i: _write(i % 40, 0.5 * i),
    "y[i:i+3] = tensor": lambda i: _write(slice(i % 37, i % 37 + 3), LEAF[:3]),
    "y[i].mul_().add_()": lambda i: _write_through(i % 40),
    "y[i:i+3].mul_().add_()": lambda i: _write_through(slice(i % 37, i % 37 + 3)),
    "batches of 1 to 50": lambda i: _train(1 + i % 50),
}
"""Steps with a gradient."""
SIZES: dict[str, Callable[[int], object]] = {
    "arange": torch.arange,
    "matmul": lambda n: torch.ones(n, 7) @ WEIGHT.detach(),
    "rand": torch.rand,
    "sum": lambda n: torch.ones(n, 3).sum(0),
    "tanh": lambda n: torch.ones(n).tanh(),
    "cat": lambda n: torch.cat([X, torch.ones(n)]),
}
"""Steps that take a new size each time."""


class Counts:
    """What may pile up."""

    def __init__(self) -> None:
        self.plans = plan.next_number()
        self.code = engine.loaded()
        self.objects = len(gc.get_objects())
        self.resident = _resident_kib()
        self.arenas = buffer_stats().in_use


def _resident_kib() -> int:
    if not sys.platform.startswith("linux"):
        return 0
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4


@pytest.fixture
def _without_collector() -> Iterator[None]:
    PROGRAMS.wait()  # those of other tests
    gc.disable()
    gc.freeze()  # what is there already isn't looked at
    yield
    gc.unfreeze()
    gc.enable()


def grown(step: Callable[[int], object], warm: int, steps: int) -> tuple[Counts, Counts]:
    """What is there after some steps, and after many more."""
    for i in range(warm):
        step(i)
    gc.collect()
    before = Counts()
    for i in range(warm, warm + steps):
        step(i)
    return before, Counts()


@pytest.mark.usefixtures("_without_collector")
@pytest.mark.parametrize("name", NUMBERS)
def test_changing_numbers_leave_nothing(name: str) -> None:
    before, after = grown(NUMBERS[name], 120, STEPS)
    assert after.plans - before.plans <= 2
    assert after.code == before.code
    assert after.objects - before.objects < 100
    assert after.resident - before.resident < 2048


@pytest.mark.usefixtures("_without_collector")
@pytest.mark.parametrize("name", TAPES)
def test_tapes_leave_nothing(name: str) -> None:
    with override(backward="eager"):  # programs of whole tapes come in the background, at any time
        before, after = grown(TAPES[name], 160, STEPS // 20)
    assert after.plans - before.plans <= 2
    assert after.code == before.code
    assert after.objects - before.objects < 4000
    assert after.resident - before.resident < 8192


@pytest.mark.parametrize("name", SIZES)
def test_new_sizes_need_no_new_code_and_little_memory(name: str) -> None:
    PROGRAMS.wait()  # those of other tests
    before, after = grown(lambda i: SIZES[name](i + 2), 10, 300)
    assert after.code - before.code <= 1
    assert after.arenas - before.arenas <= 1 << 20
    assert after.resident - before.resident < 300 * 30
    assert after.objects - before.objects < 300 * 150


def test_a_third_batch_size_compiles_nothing() -> None:
    with override(backward="eager"):  # no program of a whole tape
        for batch in (4, 6, 9):
            _train(batch)
        code = engine.loaded()
        for batch in (11, 17, 33):
            _train(batch)
    assert engine.loaded() == code


def test_numbers_that_are_part_of_programs_stop_making_code() -> None:
    values = [X.norm(1.0 + 0.001 * i).item() for i in range(300)]
    code = engine.loaded()
    values += [X.norm(1.3 + 0.001 * i).item() for i in range(200)]
    assert engine.loaded() == code
    assert all(a > b for a, b in itertools.pairwise(values[:300]))


def test_only_the_youngest_calls_of_a_function_are_remembered() -> None:
    for n in range(2, 900):
        torch.ones(n, 2).expm1()
    objects = len(gc.get_objects())
    for n in range(900, 1800):
        torch.ones(n, 2).expm1()
    gc.collect()
    assert len(gc.get_objects()) - objects < 512 * 60
    assert torch.ones(2, 2).expm1().tolist() == torch.ones(1800, 2).expm1()[:2].tolist()


def test_memory_that_isnt_shared_with_processes_is_said_to_stay() -> None:
    x = torch.zeros(2)
    with pytest.warns(UserWarning, match="other processes get copies of tensors"):
        assert x.share_memory_() is x
    assert not x.is_shared()
