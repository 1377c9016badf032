"""Calls from several threads at once, the first ones racing."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import graphc

THREADS = 6


def in_threads(work: Callable[[int], None], count: int = THREADS) -> None:
    """Run `work` in threads that start together; raises what any of them raised."""
    start = threading.Barrier(count)
    errors: list[BaseException] = []

    def body(number: int) -> None:
        try:
            start.wait(30)
            work(number)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=body, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    if errors:
        raise errors[0]


def check(f: Callable[..., Any], arrays: Sequence[np.ndarray], rounds: int = 50) -> None:
    for round in range(rounds):
        x = arrays[round % len(arrays)]
        np.testing.assert_array_equal(f(x, x), x * 2 + x)


def test_the_first_calls_race_and_compile_once() -> None:
    traced: list[int] = []

    @graphc.compile
    def f(x: Any, y: Any) -> Any:
        traced.append(threading.get_ident())
        return x * 2 + y

    in_threads(lambda number: check(f, [np.arange(10, dtype=np.float32) + number]))
    assert len(traced) == len(f.compilations) == 1


def test_other_shapes_in_each_thread() -> None:
    @graphc.compile
    def f(x: Any, y: Any) -> Any:
        return x * 2 + y

    in_threads(lambda number: check(f, [np.full((number + 1, 3), number, np.float32)]))
    assert len(f.compilations) == THREADS


def test_all_threads_change_between_shapes_and_containers() -> None:
    @graphc.compile(dynamic={"x": {0: "n"}, "y": {0: "n"}})
    def f(x: Any, y: Any) -> Any:
        return x * 2 + y

    @graphc.compile
    def g(p: Any, rate: Any) -> Any:
        return {"y": p["x"] * rate}

    def work(number: int) -> None:
        check(f, [np.full(size, number, np.float64) for size in (3, number + 1, 100, 7)])
        for round in range(50):
            x = np.full(round % 3 + 1, number, np.float64)
            np.testing.assert_array_equal(g({"x": x}, float(round))["y"], x * round)

    in_threads(work)
    assert len(f.compilations) == 1
    assert len(g.compilations) == 3


def test_one_thread_traces_while_others_call() -> None:
    """Being traced is a matter of the thread that does it."""
    tracing, called = threading.Event(), threading.Event()
    plus = graphc.compile(lambda x: x + 1)
    x = np.ones(3, np.float32)
    plus(x)

    @graphc.compile
    def slow(y: Any) -> Any:
        tracing.set()
        assert called.wait(30)
        return plus(y) * 2

    def work(number: int) -> None:
        if number == 0:
            np.testing.assert_array_equal(slow(x), (x + 1) * 2)
            return
        assert tracing.wait(30)
        result = plus(x)
        called.set()
        assert type(result) is np.ndarray
        np.testing.assert_array_equal(result, x + 1)

    in_threads(work, 2)


def test_gradients_in_threads() -> None:
    g = graphc.grad(lambda x: (x**3).sum())

    def work(number: int) -> None:
        for _ in range(20):
            x = np.full(number % 2 + 1, number, np.float64)
            np.testing.assert_allclose(g(x), 3 * x**2)

    in_threads(work)
    assert len(g.compilations) == 2


def test_a_failing_first_call_lets_the_others_try() -> None:
    count: list[int] = []

    @graphc.compile
    def f(x: Any, y: Any) -> Any:
        count.append(1)
        if len(count) == 1:
            raise ValueError("once")
        return x * 2 + y

    failed: list[int] = []

    def work(number: int) -> None:
        x = np.ones(3)
        try:
            f(x, x)
        except ValueError:
            failed.append(number)
        check(f, [x], rounds=5)

    in_threads(work)
    assert len(failed) == 1
    assert len(count) == 2
