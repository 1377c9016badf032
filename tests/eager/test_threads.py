"""Threads, forked children and interrupts: eager tensors and autograd in all of them at once."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

import numpy as np
import pytest

import graphc as torch
from graphc.eager import dispatch, program
from graphc.eager.compiled import PROGRAMS
from graphc.ir.settings import override
from graphc.runtime.lock import LOCK

THREADS = 6
ROUNDS = 40


def in_threads(work: Callable[[int], None]) -> None:
    """Run in several threads at once, and raise what one of them raised."""
    errors: list[BaseException] = []
    start = threading.Barrier(THREADS)

    def run(index: int) -> None:
        try:
            start.wait(20)
            work(index)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(index,)) for index in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    if errors:
        raise errors[0]


def test_forward_and_backward_with_new_shapes_in_threads() -> None:
    def work(index: int) -> None:
        for i in range(ROUNDS):
            n = 2 + (index * ROUNDS + i) % 17
            values = np.arange(n * 3, dtype=np.float64).reshape(n, 3) / 10 + index
            x = torch.from_numpy(values.copy()).requires_grad_()
            y = (x * x).sum(0) @ torch.ones(3, dtype=torch.float64) + (x.sin() * (i + 1)).sum()
            assert np.isclose(y.item(), (values**2).sum() + (np.sin(values) * (i + 1)).sum())
            y.backward()
            np.testing.assert_allclose(x.grad.numpy(), 2 * values + (i + 1) * np.cos(values))

    in_threads(work)


def test_one_function_gets_its_plan_from_many_threads_at_once() -> None:
    x = torch.arange(23.0, requires_grad=True)
    results: list[Any] = [None] * THREADS

    def work(index: int) -> None:
        y = torch.expm1(x * 0.03125).log1p().cumsum(0)
        (gradient,) = torch.autograd.grad(y.sum(), x)
        results[index] = y.detach().numpy().tobytes(), gradient.numpy().tobytes()

    in_threads(work)
    assert len(set(results)) == 1
    np.testing.assert_allclose(np.frombuffer(results[0][1], np.float32), np.arange(23, 0, -1) * 0.03125, rtol=1e-5)


def test_writes_in_place_in_threads() -> None:
    shared = torch.zeros(THREADS, 50)

    def work(index: int) -> None:
        mine = torch.zeros(50, requires_grad=True)
        for i in range(ROUNDS):
            y = mine * 2
            y[i % 50].add_(float(index))
            y[3:7].mul_(2.0)
            assert y.sum().item() == (2 * index if 3 <= i % 50 < 7 else index)
            y.sum().backward()
            shared[index].add_(1.0)
        assert mine.grad[0].item() == 2 * ROUNDS
        assert mine.grad[3].item() == 4 * ROUNDS

    in_threads(work)
    assert bool((shared == ROUNDS).all())


def test_threads_add_to_one_leaf() -> None:
    leaf = torch.zeros(100, requires_grad=True)

    def work(index: int) -> None:
        for _ in range(ROUNDS):
            (leaf * (index + 1)).sum().backward()

    in_threads(work)
    assert bool((leaf.grad == ROUNDS * sum(range(1, THREADS + 1))).all())


def test_threads_have_their_own_modes() -> None:
    leaf = torch.ones(3, requires_grad=True)

    def work(index: int) -> None:
        for _ in range(ROUNDS):
            if index % 2:
                with torch.no_grad():
                    assert not (leaf * 2).requires_grad
            else:
                assert (leaf * 2).requires_grad

    in_threads(work)
    assert torch.is_grad_enabled()


def test_generators_in_threads() -> None:
    expected = [torch.rand(4, generator=torch.Generator().manual_seed(index)).tolist() for index in range(THREADS)]

    def work(index: int) -> None:
        for _ in range(ROUNDS):
            assert torch.rand(4, generator=torch.Generator().manual_seed(index)).tolist() == expected[index]

    in_threads(work)


def test_one_generator_gives_threads_different_numbers() -> None:
    torch.manual_seed(5)
    alone = sorted(torch.rand(2).tolist() for _ in range(THREADS * ROUNDS))
    torch.manual_seed(5)
    drawn: list[list[float]] = []

    def work(index: int) -> None:
        drawn.extend([torch.rand(2).tolist() for _ in range(ROUNDS)])

    in_threads(work)
    assert sorted(drawn) == alone


def test_the_background_compiler_works_while_threads_compile() -> None:
    def work(index: int) -> None:
        for i in range(8):
            n = 3 + index
            x = torch.full((n,), 0.5, dtype=torch.float64, requires_grad=True)
            y = x * 2.0
            for _ in range(i % 3 + 1):
                y = torch.tanh(y) + x
            y.sum().backward()
            slope, value = 2.0, 1.0
            for _ in range(i % 3 + 1):
                value, slope = np.tanh(value) + 0.5, (1 - np.tanh(value) ** 2) * slope + 1
            np.testing.assert_allclose(x.grad.numpy(), slope)

    in_threads(work)
    PROGRAMS.wait()
    in_threads(work)  # by the programs that are ready now


def _child(results: Any) -> None:
    x = torch.arange(6.0, requires_grad=True)
    for size in (3, 5, 7):  # known code, and new
        torch.ones(size, 2).cosh().sum().item()
    for _ in range(4):
        x.grad = None
        (torch.ones(2, 6) @ (x * 0.75).exp()).sum().backward()
    PROGRAMS.wait()
    results.put((torch.rand(2).tolist(), x.grad.tolist()))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("busy", [False, True], ids=["alone", "while threads compile"])
def test_a_forked_child_goes_on(busy: bool) -> None:
    torch.manual_seed(3)
    leaf = torch.arange(6.0, requires_grad=True)
    for _ in range(3):
        (torch.ones(2, 6) @ (leaf * 0.75).exp()).sum().backward()
    stop = threading.Event()

    def compile_much(index: int) -> None:
        n = 1
        while not stop.is_set():
            n += 1
            x = torch.ones(n, index + 2, requires_grad=True)
            (x.atan() * n).sum().backward()

    threads = [threading.Thread(target=compile_much, args=(index,)) for index in range(2 * busy)]
    for thread in threads:
        thread.start()
    context = multiprocessing.get_context("fork")
    results = context.SimpleQueue()
    children = [context.Process(target=_child, args=(results,)) for _ in range(2)]
    try:
        for child in children:
            child.start()
        for child in children:
            child.join(60)
            assert child.exitcode == 0
    finally:
        stop.set()
        for child in children:
            child.kill()
        for thread in threads:
            thread.join()
    for _ in children:
        drawn, gradient = results.get()
        np.testing.assert_allclose(gradient, 2 * 0.75 * np.exp(0.75 * np.arange(6)), rtol=1e-6)
        assert len(drawn) == 2


INTERRUPTED = """
    import _thread, math, signal, threading, time
    import graphc as torch

    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may start jobs that ignore it

    x = torch.ones(5, requires_grad=True)
    interrupted = 0
    for attempt in range(12):
        timer = threading.Timer(0.02 + 0.01 * attempt, _thread.interrupt_main)
        timer.start()
        try:
            n, end = 1, time.monotonic() + 1.0
            while time.monotonic() < end:  # Python loses an interrupt that comes while an object is taken apart
                n += 1
                y = (x * n).sin()
                y[n % 5].mul_(2.0)
                y.sum().backward()
                torch.ones(n % 300 + 1, attempt + 2).tanh().mean(0)
            timer.join()  # on a busy machine it may come late
        except KeyboardInterrupt:
            interrupted += 1
        timer.join()
        z = x.detach().clone().requires_grad_()
        w = (z * 3).sin()
        w[1:3].mul_(2.0)
        w.sum().backward()
        wanted = [3 * math.cos(3) * (2 if k in (1, 2) else 1) for k in range(5)]
        assert all(abs(a - b) < 1e-3 for a, b in zip(z.grad.tolist(), wanted)), z.grad
        assert torch.is_grad_enabled()
        assert torch.ones(attempt + 2, 3).sum(0).tolist() == [attempt + 2.0] * 3
    print(interrupted)
"""


class Interrupt:
    """Raises KeyboardInterrupt at the n-th call of a function of ours: at its first instruction, where Python looks."""

    def __init__(self, at: int) -> None:
        self.left = at
        self.calls = 0

    def __call__(self, frame: FrameType, event: str, argument: object) -> None:
        if frame.f_globals.get("__name__", "").startswith("graphc."):
            self.calls += 1
            if self.calls == self.left:
                sys.settrace(None)
                raise KeyboardInterrupt

    def during(self, work: Callable[[], object]) -> bool:
        """Whether the work was interrupted. (What Python does while it takes an object apart it can't interrupt.)"""
        before = sys.gettrace()
        sys.settrace(self)
        try:
            work()
        except KeyboardInterrupt:
            return True
        finally:
            sys.settrace(before)
        return False


def step(x: torch.Tensor, n: int) -> list[float]:
    y = (x * n).sin()
    y[1:3].mul_(2.0)
    y.sum().backward()
    return x.grad.tolist()


def is_free(lock: Any) -> bool:
    """Whether another thread gets the lock, once others have done what they are about."""
    found: list[bool] = []

    def ask() -> None:
        found.append(lock.acquire(timeout=20))
        if found[0]:
            lock.release()

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    return found[0]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("is_new, most", [(False, 300), (True, 12)])
def test_an_interrupt_at_any_call_leaves_the_mode_and_the_lock(is_new: bool, most: int) -> None:
    def work() -> list[float]:
        if is_new:  # plans are made again, and compiled
            dispatch._forget_all()
            program._patterns.clear()
        with override(backward="eager"):  # node by node: what is compiled calls little
            return step(torch.ones(5, requires_grad=True), 3)

    expected = work()
    total = Interrupt(0)
    total.during(work)
    pace, at, interrupted = max(1, total.calls // most), 0, 0
    for _ in range(most):
        at += pace
        watch = Interrupt(at)
        interrupted += watch.during(work)
        if watch.calls < at:  # each call of a whole step has been interrupted
            at = 0
        assert torch.is_grad_enabled()
        assert is_free(LOCK)
    assert interrupted >= most // 2
    assert work() == expected


def test_an_interrupt_leaves_everything_usable() -> None:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(INTERRUPTED)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert 6 <= int(done.stdout) <= 12
