"""What stands around a GPU's work: launching kernels, replaying programs, copies to and from the host, compiling.

Out: groups of tasks; seconds and rates by library, as `gpu_speed` has them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import nullcontext
from functools import partial
from typing import Any
from unittest import mock

import graphc
from graphc.runtime.cuda import launch
from tests.benchmarks.case import ROOT
from tests.benchmarks.gpu_speed import stopwatch
from tests.benchmarks.gpu_task import Figures, Task
from tests.benchmarks.gpu_vendor import torch

KERNELS, SIZE = 20, 32
COPIES = (1 << 28, 1 << 20, 1 << 12)
"""Bytes."""
FRESH = ("MLP 784-512-512-10, batch 256, Adam", "transformer block 256 wide, 8 x 128", "LeNet, batch 64")
"""Training steps whose first calls are taken apart in fresh processes."""
TINY = ("MLP 8-16-2, batch 4, SGD",)


def launch_tasks(is_tiny: bool) -> Iterator[Task]:
    """One operation, a program of small kernels, copies of the host."""
    yield Task("eager add of 10 elements", partial(_eager_add, is_tiny))
    yield Task(f"program of {KERNELS} kernels, launched", partial(_program, False, is_tiny))
    yield Task(f"program of {KERNELS} kernels, replayed", partial(_program, True, is_tiny))
    for size in COPIES[2:] if is_tiny else COPIES:
        for is_pinned in (True, False):
            kind = "pinned" if is_pinned else "pageable"
            name = f"{size >> 20} MiB" if size >> 20 else f"{size >> 10} KiB"
            yield Task(f"{name} to the device, {kind}", partial(_copy, size, True, is_pinned, is_tiny))
            yield Task(f"{name} to the host, {kind}", partial(_copy, size, False, is_pinned, is_tiny))


def compile_tasks(is_tiny: bool) -> Iterator[Task]:
    """First calls in fresh processes, with an empty cache on disk and with the one that it left."""
    for name in TINY if is_tiny else FRESH:
        yield Task(f"first steps of {name}", partial(_first_steps, name))


def _libraries() -> list[tuple[str, Any]]:
    return [("graphc", graphc), *([("torch", torch())] if torch() is not None else [])]


def _eager_add(is_tiny: bool) -> Figures:
    figures: Figures = {}
    for name, library in _libraries():
        x = library.ones(10, device="cuda")
        watch = stopwatch(name, is_tiny)

        def add(_: int, x: Any = x) -> Any:
            return x + x

        figures[name] = {**watch.host_time(add), "device": watch.device_time(add), "whole": watch.whole_time(add)}
    return figures


def small_kernels(x: Any, w: Any) -> Any:
    """Products of small matrices, one after the other: none can be a part of another one's kernel."""
    for _ in range(KERNELS):
        x = (x @ w).tanh()
    return x


def _program(is_replayed: bool, is_tiny: bool) -> Figures:
    watch = stopwatch("graphc", is_tiny)
    size = 4 if is_tiny else SIZE
    x, w = (graphc.ones(size, size, device="cuda") / size for _ in range(2))
    never = nullcontext() if is_replayed else mock.patch.object(launch, "WORTH_A_GRAPH", sys.maxsize)
    figures: Figures = {}
    with never, graphc.no_grad():
        program = graphc.compile(small_kernels)

        def call(_: int) -> Any:
            return program(x, w)

        figures["graphc"] = {**watch.host_time(call), "whole": watch.whole_time(call)}
        figures["graphc"]["device"] = watch.device_time(call)
    if torch() is not None:
        figures["torch"] = _program_of_torch(is_replayed)
    return figures


def _program_of_torch(is_replayed: bool) -> Figures:
    library = torch()
    watch = stopwatch("torch", False)
    x, w = (library.ones(SIZE, SIZE, device="cuda") / SIZE for _ in range(2))
    with library.no_grad():

        def call(_: int) -> Any:
            return small_kernels(x, w)

        if is_replayed:
            call(0)
            library.cuda.synchronize()
            graph = library.cuda.CUDAGraph()
            with library.cuda.graph(graph):
                small_kernels(x, w)

            def call(_: int) -> Any:
                graph.replay()

        return {**watch.host_time(call), "whole": watch.whole_time(call), "device": watch.device_time(call)}


def _copy(size: int, is_upload: bool, is_pinned: bool, is_tiny: bool) -> Figures:
    figures: Figures = {}
    for name, library in _libraries():
        host = library.ones(size // 4)
        host = host.pin_memory() if is_pinned else host
        device = library.ones(size // 4, device="cuda")
        target, source = (device, host) if is_upload else (host, device)

        def call(_: int, target: Any = target, source: Any = source) -> None:
            target.copy_(source, non_blocking=is_pinned)

        found = stopwatch(name, is_tiny).whole_time(call)
        figures[name] = {**found, "GB/s": size / found["median"] / 1e9}
    return figures


def _first_steps(name: str) -> Figures:
    figures: Figures = {}
    with tempfile.TemporaryDirectory() as folder:
        # The driver has a cache of its own, which would hide what its compiler takes.
        variables = {**os.environ, "GRAPHC_CACHE_DIR": folder, "CUDA_CACHE_DISABLE": "1"}
        for state in ("empty cache", "filled cache"):
            done = subprocess.run(
                [sys.executable, "-m", "tests.benchmarks.gpu_first", name],
                cwd=ROOT, env=variables, capture_output=True, text=True, timeout=300,
            )  # fmt: skip
            if done.returncode:
                raise RuntimeError(f"a fresh process ends with {done.returncode}: {done.stderr.strip()[-300:]}")
            figures[f"graphc, {state}"] = json.loads(done.stdout)
    return figures
