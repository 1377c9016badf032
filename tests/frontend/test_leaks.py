"""Memory over many calls: what a call takes it gives back."""

from __future__ import annotations

import contextlib
import gc
import sys
import tracemalloc
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphc
from graphc.frontend.specialize import MOST_REMEMBERED
from graphc.runtime.buffer import buffer_stats

X = np.ones(10, np.float32)

plain = graphc.compile(lambda x, y: (x + y) * x - y)
nested = graphc.compile(lambda p, rate: {"w": p["w"] * rate, "b": [p["b"] + rate]})
strided = graphc.compile(lambda x: x * 2)
executable = graphc.symbolic_trace(lambda x, y: (x + y) * x - y, "f32[10]", "f32[10]").compile()
indexed = graphc.compile(lambda x, i: x[i])
gradient = graphc.grad(lambda x: (x * x).sum())


def fails() -> None:
    with contextlib.suppress(IndexError):
        indexed(X, np.array([10]))


def refused() -> None:
    with contextlib.suppress(TypeError):
        plain(X, np.array([None]))


CALLS: dict[str, tuple[int, Callable[[], object]]] = {
    "plain arrays": (20_000, lambda: plain(X, X)),
    "containers and floats": (20_000, lambda: nested({"w": X, "b": X}, 0.5)),
    "an executable": (20_000, lambda: executable(X, X)),
    "a gradient": (20_000, lambda: gradient(X)),
    "keywords": (2_000, lambda: plain(X, y=X)),
    "copied arguments": (2_000, lambda: strided(np.ones(20, np.float32)[::2])),
    "an index out of range": (2_000, fails),
    "an argument that is refused": (2_000, refused),
}


@pytest.mark.parametrize("name", CALLS)
def test_repeated_calls_take_no_memory(name: str) -> None:
    count, call = CALLS[name]
    for _ in range(1000):  # what is kept once is kept by now
        call()
    gc.collect()
    blocks = sys.getallocatedblocks()
    tracemalloc.start()
    try:
        call()
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(count // 20):
            call()
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert grown < 20_000  # what the interpreter keeps for itself; 1 byte a call would be seen by the blocks below
    for _ in range(count):
        call()
    gc.collect()
    assert sys.getallocatedblocks() - blocks < count // 10 + 100


def test_results_are_freed_with_their_last_reference() -> None:
    f = graphc.compile(lambda x: (x.expand(1 << 20) + 1, x * 2))
    large, small = f(np.ones(1, np.float32))
    gc.collect()
    in_use = buffer_stats().in_use
    view = large[5:10]
    alive = [weakref.ref(large), weakref.ref(small)]
    del large, small
    assert alive[1]() is None
    assert buffer_stats().in_use == in_use  # the view holds the memory
    del view
    gc.collect()
    assert buffer_stats().in_use <= in_use - (4 << 20)
    peak = buffer_stats().peak
    for _ in range(20):
        f(np.ones(1, np.float32))
    assert buffer_stats().peak <= peak + (8 << 20)


def test_arguments_are_not_kept() -> None:
    f = graphc.compile(lambda p, x: p["w"] + x)
    w, x = np.ones(3), np.ones(3)
    alive = [weakref.ref(w), weakref.ref(x)]
    f({"w": w}, x)
    f({"w": w}, x=x)
    del w, x
    gc.collect()
    assert [each() for each in alive] == [None, None]


def test_a_function_that_goes_takes_its_programs_along() -> None:
    def make() -> tuple[Any, Any]:
        f = graphc.compile(lambda x: x + 1)
        f(X)
        (program,) = f.compilations
        return weakref.ref(f), weakref.ref(program.executable)

    alive = make()
    gc.collect()
    assert [each() for each in alive] == [None, None]


def test_what_is_remembered_of_dynamic_sizes_is_bounded() -> None:
    f = graphc.compile(lambda x: x, dynamic={"x": 0})
    specializer = f._specializer
    for n in range(40):
        f(np.ones(n, np.float32))
    assert len(f.compilations) == 1
    assert 40 <= len(specializer._known) <= MOST_REMEMBERED
    assert len(f._plain) <= MOST_REMEMBERED


def test_a_caught_error_holds_no_arguments() -> None:
    def misfit(x: Any) -> Any:
        return x + np.ones(7)

    x = np.ones(3)
    alive = weakref.ref(x)
    with contextlib.suppress(ValueError):
        graphc.compile(misfit)(x)
    del x
    gc.collect()
    assert alive() is None
