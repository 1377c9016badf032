"""How fast a GPU is with graphc: cases at full size beside the rate of copies, torch, or the vendor's library.

Out: groups of tasks. Each gives seconds by library ("graphc", "graphc eager", "torch", "torch.compile"), rates, and
what part they are of the copy's rate or of the vendor's.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import partial
from typing import Any

import graphc
from graphc.ir.settings import override
from graphc.kernel.gpu import grid_of
from graphc.runtime.cuda import code
from graphc.runtime.cuda.code import Loaded
from graphc.runtime.cuda.select import driver
from tests.benchmarks.gpu_cases import Arguments, Case, all_cases, using_unit
from tests.benchmarks.gpu_task import Figures, Task
from tests.benchmarks.gpu_timing import Stopwatch
from tests.benchmarks.gpu_training import SMALL_STEPS, STEPS
from tests.benchmarks.gpu_vendor import blas, peak, torch

OLDER = "graphc for sm_80"
"""Code for GPUs that do not have what those of sm_90 alone do, on one of these."""
KEPT = 4
"""Sets of arguments in turn where arithmetic is the limit."""


@functools.cache
def stopwatch(name: str, is_tiny: bool) -> Stopwatch:
    """The library's, which keeps the rates of copies that it has measured."""
    return Stopwatch(graphc if name == "graphc" else torch(), is_tiny)


def copy_tasks(is_tiny: bool) -> Iterator[Task]:
    """Rates of copies in the device's memory: the driver's, and a kernel of graphc's that reads and writes as much."""
    for size in (1 << 30, 1 << 27, 1 << 23) if not is_tiny else (1 << 12,):
        yield Task(f"driver's copy of {_size(size)}", partial(_driver_copy, size, is_tiny))
        yield Task(f"kernel of {_size(size)}", partial(_kernel_copy, size, is_tiny))


def case_tasks(group: str, is_tiny: bool) -> Iterator[Task]:
    """The cases of a group."""
    for case in all_cases():
        if case.group == group:
            yield Task(case.name, partial(time_case, case, is_tiny))


def training_tasks(is_tiny: bool) -> Iterator[Task]:
    """Training steps: eager and compiled, the host's part included."""
    for name, make in (SMALL_STEPS if is_tiny else STEPS).items():
        yield Task(name, partial(_time_step, make, is_tiny))


def time_case(case: Case, is_tiny: bool) -> Figures:
    """Seconds and rates of a case by library."""
    arguments = case.tiny if is_tiny else case.full
    figures: Figures = {}
    forms: list[tuple[str, Any, Callable[[Any], Any]]] = [("graphc", graphc, graphc.compile)]
    if case.with_eager:
        forms.append(("graphc eager", graphc, _as_it_is))
    if case.group == "matmul" and driver().target(0).has_warpgroups:
        forms.append((OLDER, graphc, graphc.compile))
    if torch() is not None:
        forms.append(("torch", torch(), _as_it_is))
        if case.with_torch_compile:
            forms.append(("torch.compile", torch(), torch().compile))
    for name, library, compiled in forms:
        with using_unit(library, case.unit), override(gpu="sm_80") if name == OLDER else nullcontext():
            figures[name] = _attempt(partial(_time_form, case, arguments, library, compiled, is_tiny))
        library.cuda.empty_cache()
    if case.group == "matmul" and "torch" not in figures and not is_tiny and blas() is not None:
        figures["cuBLAS"] = _attempt(partial(_time_blas, case, arguments))
    _add_rates(figures, case, arguments, is_tiny)
    return figures


def _time_form(
    case: Case, arguments: Arguments, library: Any, compiled: Callable[[Any], Any], is_tiny: bool
) -> Figures:
    watch = stopwatch(library.__name__, is_tiny)
    rotations = watch.rotations(sum(each.nbytes for each in arguments) + arguments[0].nbytes)
    sets = [tuple(each.on_device(library) for each in arguments) for _ in range(min(rotations, _most(case)))]
    call = case.call(library, compiled)
    code.forget()
    with nullcontext() if case.backward else library.no_grad():
        figures = watch.device_time(lambda number: call(*sets[number % len(sets)]), len(sets))
    kernels = [_usage(each) for each in code.kept()] if library is graphc else []
    return {**figures, "kernels": kernels} if kernels else figures


def _usage(loaded: Loaded) -> Figures:
    """What a kernel takes of a multiprocessor."""
    grid, usage = grid_of(loaded.kernel), loaded.usage()
    assert grid is not None
    figures: Figures = {"name": loaded.kernel.name, "threads": grid.threads, "shared_bytes": grid.shared_bytes}
    if usage is not None:
        most = driver().properties(loaded.device).threads_per_multiprocessor
        figures |= {"registers": usage.registers, "local_bytes": usage.local_bytes, "blocks": usage.blocks}
        figures["occupancy"] = usage.blocks * grid.threads / most
    return figures


def _most(case: Case) -> int:
    return KEPT if case.traffic is None else 1 << 30


def _time_blas(case: Case, arguments: Arguments) -> Figures:
    found = blas()
    assert found is not None
    x, y = (each.on_device(graphc) for each in arguments)
    out = graphc.empty_like(x)
    return stopwatch("graphc", False).device_time(lambda number: found.multiply(x, y, out, case.unit))


def _add_rates(figures: Figures, case: Case, arguments: Arguments, is_tiny: bool) -> None:
    for each in figures.values():
        if "median" not in each:
            continue
        if case.traffic is not None:
            nbytes = case.traffic(arguments)
            each["GB/s"] = nbytes / each["median"] / 1e9
            each["of the copy"] = nbytes / each["median"] / stopwatch("graphc", is_tiny).copy_rate(nbytes)
        if case.products is not None:
            each["TFLOP/s"] = case.products(arguments) / each["median"] / 1e12
    if case.products is None or "TFLOP/s" not in figures["graphc"]:
        return
    vendor = next((name for name in ("torch", "cuBLAS") if "TFLOP/s" in figures.get(name, {})), None)
    mine = figures["graphc"]["TFLOP/s"]
    if vendor is not None:
        figures["graphc"][f"of {vendor}"] = mine / figures[vendor]["TFLOP/s"]
    most = peak(graphc.cuda.get_device_name(0), case.unit)
    if most is not None:
        figures["graphc"]["of the data sheet"] = mine * 1e12 / most


def _driver_copy(size: int, is_tiny: bool) -> Figures:
    rate = stopwatch("graphc", is_tiny).copy_rate(2 * size)
    return {"graphc": {"median": 2 * size / rate, "GB/s": rate / 1e9}}


def _kernel_copy(size: int, is_tiny: bool) -> Figures:
    watch = stopwatch("graphc", is_tiny)
    sets = [graphc.ones(size // 4, device="cuda") for _ in range(watch.rotations(2 * size))]
    negate = graphc.compile(lambda x: -x)
    with graphc.no_grad():
        found = watch.device_time(lambda number: negate(sets[number % len(sets)]), len(sets))
    rate = 2 * size / found["median"]
    return {"graphc": {**found, "GB/s": rate / 1e9, "of the copy": rate / watch.copy_rate(2 * size)}}


def _time_step(make: Callable[[Any, str], Any], is_tiny: bool) -> Figures:
    forms: list[tuple[str, Any, Callable[[Any], Any]]] = [
        ("graphc", graphc, lambda pieces: graphc.compile(pieces.step())),
        ("graphc eager", graphc, lambda pieces: pieces.step()),
    ]
    if torch() is not None:
        forms.append(("torch", torch(), lambda pieces: pieces.step()))
        forms.append(("torch.compile", torch(), lambda pieces: pieces.step(torch().compile)))
    figures: Figures = {}
    for name, library, made in forms:

        def measured(library: Any = library, made: Callable[[Any], Any] = made) -> Figures:
            step = made(make(library, "cuda"))
            watch = stopwatch(library.__name__, is_tiny)
            return {**watch.whole_time(lambda _: step()), "device": watch.device_time(lambda _: step())}

        with using_unit(library, "float32"):
            figures[name] = _attempt(measured)
    best = min((figures[name]["median"] for name in ("torch", "torch.compile") if "median" in figures.get(name, {})),
               default=None)  # fmt: skip
    if best is not None and "median" in figures["graphc"]:
        figures["graphc"]["torch's best time / this"] = best / figures["graphc"]["median"]
    return figures


def _attempt(measure: Callable[[], Figures]) -> Figures:
    """A peer that fails does not take the others' figures along; a fault of the device shows in the next call."""
    try:
        return measure()
    except Exception as error:
        return {"error": f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error) else ''}"}


def _as_it_is(function: Any) -> Any:
    return function


def _size(nbytes: int) -> str:
    return f"{nbytes >> 20} MiB" if nbytes >> 20 else f"{nbytes >> 10} KiB"
