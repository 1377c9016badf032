"""One library in one process, for report.py: a JSON request a line on standard input, an answer a line on output.

    {"time": CASE, "seconds": S, "quick": Q}     seconds per call, sample by sample, once the first result is right
    {"first": true}                              seconds of the first training step, tracing and compiling included

The command line names the library and its number of threads.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import sys
import time
from typing import Any

import numpy as np

from tests.benchmarks.case import CASES, STEP, TINY_STEP
from tests.benchmarks.library import LIBRARIES, Call, Numpy
from tests.benchmarks.training import TRAININGS

LEAST = 200e-6
"""Seconds that a sample takes at least: calls shorter than that are timed many at a time."""
TOLERANCE = 1e-4


def samples(call: Call, seconds: float) -> list[float]:
    """Seconds per call, for about `seconds`."""
    count = 1
    while _loop(call, count) < LEAST:
        count *= 2
    found: list[float] = []
    end = time.perf_counter() + seconds
    while not found or time.perf_counter() < end:
        found.append(_loop(call, count) / count)
    return found


def _loop(call: Call, count: int) -> float:
    times = itertools.repeat(None, count)
    start = time.perf_counter()
    for _ in times:
        call()
    return time.perf_counter() - start


def prepare(library: Numpy, name: str, is_quick: bool) -> Call | None:
    """The call to time, after a first run whose result is checked; None where the library has none."""
    if name in (STEP, TINY_STEP, *TRAININGS):
        if name in TRAININGS:
            call = library.training(name, is_quick)
        else:
            call = library.step() if name == STEP else library.tiny_step()
        if call is not None:
            losses = [float(library.array(call())) for _ in range(20)]
            if not losses[-1] < losses[0]:
                raise ValueError(f"the loss doesn't fall: {losses}")
        return call
    case = CASES[name]
    inputs = case.inputs(is_quick)
    call = library.case(case, inputs)
    expected = case.function(np, *(x.astype(np.float64) for x in inputs))
    error = float(np.abs(library.array(call()) - expected).max() / np.abs(expected).max())
    if not error <= TOLERANCE:
        raise ValueError(f"wrong result: relative error {error:.2e}")
    return call


def answer(library: Numpy, calls: dict[str, Call | None], request: dict[str, Any]) -> dict[str, Any]:
    """What a request asks for."""
    if "first" in request:
        call = library.step()
        if call is None:
            return {}
        start = time.perf_counter()
        library.array(call())
        return {"samples": [time.perf_counter() - start]}
    name = request["time"]
    if name not in calls:
        calls[name] = None  # should it fail, it isn't tried again
        calls[name] = prepare(library, name, request["quick"])
    call = calls[name]
    return {} if call is None else {"samples": samples(call, request["seconds"])}


def main() -> None:
    """Answer until the input ends."""
    output = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints must not mix with the answers
    name, threads = sys.argv[1], int(sys.argv[2])
    library: Numpy | None = None
    calls: dict[str, Call | None] = {}
    for line in sys.stdin:
        try:
            if library is None:
                library = LIBRARIES[name](threads)
            found = answer(library, calls, json.loads(line))
        except Exception as error:  # one case of one library must not end the run: the report shows the text
            found = {"error": f"{type(error).__name__}: {error}".splitlines()[0][:200]}
        output.write(json.dumps(found) + "\n")
        output.flush()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
